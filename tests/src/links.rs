//! Proxies between the processes of a network: each party reaches each shard over a line of its own, which can be broken.
//!
//! ```text
//!  party ── TCP ──> line: open | silent one way, both ways | cut ── TCP ──> shard
//!                     └── while recording: ── HTTP/2 ──> recorder: a copy of every call ──┘
//! ```
//!
//! Promise: a cut line resets its connections and closes new ones at once; a silent one keeps them and passes nothing on,
//! not even the word that it was closed. Knows nothing of what the bytes mean; the recorder knows a call's path and body.

use crate::cluster::Way;
use crate::recorder::{Call, Recorder};
use cluster::{Cluster as Nodes, Node};
use eyre::{Result, WrapErr, eyre};
use primitives::ShardId;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use world::Party;

/// How many bytes a line passes on at a time.
const PIECE_BYTES: usize = 16 << 10;

/// How a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    is_cut: bool,
    calls_pass: bool,
    answers_pass: bool,
    target: SocketAddr,
}

impl Line {
    fn passes(&self, way: Way) -> bool {
        match way {
            Way::Calls => self.calls_pass,
            Way::Answers => self.answers_pass,
            Way::Both => self.calls_pass && self.answers_pass,
        }
    }
}

/// Every line of a network.
#[derive(Debug)]
pub struct Links {
    lines: BTreeMap<(Party, ShardId), (SocketAddr, watch::Sender<Line>)>,
    shards: BTreeMap<ShardId, SocketAddr>,
    recorder: Option<Recorder>,
}

impl Links {
    /// Lines from each of `parties` to each of `shards`, which listen at these addresses.
    pub async fn open(parties: &[Party], shards: BTreeMap<ShardId, SocketAddr>) -> Result<Self> {
        let mut lines = BTreeMap::new();
        for party in parties {
            for (shard, target) in &shards {
                let listener = TcpListener::bind("127.0.0.1:0").await.wrap_err("no free port for a line")?;
                let address = listener.local_addr()?;
                let line = Line { is_cut: false, calls_pass: true, answers_pass: true, target: *target };
                let (sender, state) = watch::channel(line);
                tokio::spawn(serve(listener, state));
                lines.insert((*party, *shard), (address, sender));
            }
        }
        Ok(Self { lines, shards, recorder: None })
    }

    /// Lines between nodes that are laid out and not started: each of `parties` gets a network file whose endpoints are its
    /// own lines.
    pub async fn wire(nodes: &Nodes, parties: &[Party]) -> Result<Self> {
        let links = Self::open(parties, addresses(nodes)?).await?;
        parties.iter().try_for_each(|party| links.lead(nodes, *party))?;
        Ok(links)
    }

    fn lead(&self, nodes: &Nodes, party: Party) -> Result<()> {
        let (node, path) = (node(party)?, nodes.network_path());
        let mut text = std::fs::read_to_string(&path)?;
        for (shard, endpoint) in &nodes.network().endpoints {
            text = text.replace(endpoint, &format!("http://{}", self.address(party, *shard)?));
        }
        let own = path.with_file_name(format!("network-{node}.toml"));
        std::fs::write(&own, text)?;
        let settings = std::fs::read_to_string(nodes.settings_path(node))?;
        let settings = settings.replace(&path.display().to_string(), &own.display().to_string());
        Ok(std::fs::write(nodes.settings_path(node), settings)?)
    }

    /// Where `party` finds `shard`.
    pub fn address(&self, party: Party, shard: ShardId) -> Result<SocketAddr> {
        self.line(party, shard).map(|(address, _)| *address)
    }

    /// Resets the line's connections and refuses new ones.
    pub fn cut(&self, party: Party, shard: ShardId) -> Result<()> {
        self.line(party, shard)?.1.send_modify(|line| line.is_cut = true);
        Ok(())
    }

    /// Leads the line to `target` instead; connections that are open are reset.
    pub fn redirect(&self, party: Party, shard: ShardId, target: SocketAddr) -> Result<()> {
        self.line(party, shard)?.1.send_modify(|line| line.target = target);
        Ok(())
    }

    /// Lets nothing pass that way.
    pub fn silence(&self, party: Party, shard: ShardId, way: Way) -> Result<()> {
        self.line(party, shard)?.1.send_modify(|line| {
            line.calls_pass &= way == Way::Answers;
            line.answers_pass &= way == Way::Calls;
        });
        Ok(())
    }

    /// Opens every line. What was held back passes.
    pub fn heal(&self) {
        for (_, line) in self.lines.values() {
            line.send_modify(|line| (line.is_cut, line.calls_pass, line.answers_pass) = (false, true, true));
        }
    }

    /// Leads all lines through a recorder; connections that are open are reset.
    pub async fn record(&mut self) -> Result<()> {
        let recorder = Recorder::open(&self.shards).await?;
        for ((_, shard), (_, line)) in &self.lines {
            let target = recorder.address(*shard).ok_or_else(|| eyre!("shard {shard} has no recorder"))?;
            line.send_modify(|line| line.is_cut = true);
            line.send_modify(|line| (line.is_cut, line.target) = (false, target));
        }
        self.recorder = Some(recorder);
        Ok(())
    }

    /// What was recorded.
    pub fn recorded(&self) -> Vec<Call> {
        self.recorder.as_ref().map(Recorder::calls).unwrap_or_default()
    }

    fn line(&self, party: Party, shard: ShardId) -> Result<&(SocketAddr, watch::Sender<Line>)> {
        self.lines.get(&(party, shard)).ok_or_else(|| eyre!("there is no line from {party} to shard {shard}"))
    }
}

/// A party's process.
pub(crate) fn node(party: Party) -> Result<Node> {
    Ok(match party {
        Party::Shard(shard) => Node::Executor(shard.0),
        Party::Coordinator(number) => Node::Coordinator(u32::try_from(number)?),
        Party::Relay(number) => Node::Relay(u32::try_from(number)?),
        Party::Stranger => return Err(eyre!("a stranger is no process")),
    })
}

/// Where the shards themselves listen.
pub(crate) fn addresses(nodes: &Nodes) -> Result<BTreeMap<ShardId, SocketAddr>> {
    let address = |(shard, endpoint): (&ShardId, &String)| {
        let address = endpoint.trim_start_matches("http://").parse();
        Ok((*shard, address.wrap_err_with(|| format!("{endpoint} is no address"))?))
    };
    nodes.network().endpoints.iter().map(address).collect()
}

async fn serve(listener: TcpListener, line: watch::Receiver<Line>) {
    while let Ok((near, _)) = listener.accept().await {
        if !line.borrow().is_cut {
            Handle::current().spawn(carry(near, line.clone()));
        }
    }
}

/// One connection, until either end closes it or the line is cut or led elsewhere.
async fn carry(near: TcpStream, mut line: watch::Receiver<Line>) {
    let target = line.borrow_and_update().target;
    let Ok(far) = TcpStream::connect(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (calls, answers) = (line.clone(), line.clone());
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = pump(near_read, far_write, Way::Calls, calls) => {}
        () = pump(far_read, near_write, Way::Answers, answers) => {}
        _ = line.wait_for(|line| line.is_cut || line.target != target) => {}
    }
}

/// Passes bytes on, and the end of them, whenever the line lets them pass.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way, mut line: watch::Receiver<Line>) {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = from.read(&mut piece).await.unwrap_or(0);
        if line.wait_for(|line| line.passes(way)).await.is_err() || count == 0 {
            return;
        }
        if to.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A shard that says everything back, and a line to it.
    async fn echo() -> (Links, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        let links = Links::open(&[Party::Relay(0)], [(ShardId(0), target)].into()).await.unwrap();
        let caller = TcpStream::connect(links.address(Party::Relay(0), ShardId(0)).unwrap()).await.unwrap();
        (links, caller)
    }

    async fn said_back(caller: &mut TcpStream, bytes: &[u8]) -> bool {
        let mut answer = vec![0; bytes.len()];
        caller.write_all(bytes).await.is_ok() && caller.read_exact(&mut answer).await.is_ok() && answer == bytes
    }

    #[tokio::test]
    async fn an_open_line_passes_everything_on() {
        let (_links, mut caller) = echo().await;
        assert!(said_back(&mut caller, &vec![7; 100_000]).await);
    }

    #[tokio::test]
    async fn a_silent_line_passes_on_what_it_held_once_it_is_healed() {
        let (links, mut caller) = echo().await;
        for way in [Way::Calls, Way::Answers, Way::Both] {
            links.silence(Party::Relay(0), ShardId(0), way).unwrap();
            caller.write_all(b"held").await.unwrap();
            let mut answer = [0; 4];
            let waited = tokio::time::timeout(Duration::from_millis(50), caller.read_exact(&mut answer)).await;
            assert!(waited.is_err(), "{way:?} is silent and {answer:?} came back");
            links.heal();
            // What a cancelled read had taken would be lost: nothing had come.
            caller.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"held");
        }
    }

    #[tokio::test]
    async fn a_cut_line_resets_and_refuses_until_it_is_healed() {
        let (links, mut caller) = echo().await;
        assert!(said_back(&mut caller, b"before").await);
        links.cut(Party::Relay(0), ShardId(0)).unwrap();
        assert!(!said_back(&mut caller, b"cut").await);
        let address = links.address(Party::Relay(0), ShardId(0)).unwrap();
        let mut again = TcpStream::connect(address).await.unwrap();
        assert!(!said_back(&mut again, b"cut").await);
        links.heal();
        let mut healed = TcpStream::connect(address).await.unwrap();
        assert!(said_back(&mut healed, b"healed").await);
    }
}
