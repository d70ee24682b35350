//! How long a network of real processes takes to recover, under load, and what it is compared with.
//!
//! ```text
//!   load ───────────────────────────────────────────────────────────────────────────────>
//!            kill -9      start        ready                  none of those undecided
//!               ├──────────┼─────────────┤                              │
//!               │          └── serving ──┘                              │
//!               ├── attempts undecided now ───────── undecided ─────────┤
//! ```
//!
//! *Serving*: from the start of the process until it says that it is ready; of one that was stopped, from its release. *Undecided*: from the blow until no attempt that was open when it fell, or when its victim was back,
//! holds a key. For a relay: until every message that was sent before the blow is acknowledged.
//!
//! Knows nothing of how processes recover. What the load was told is audited by [`crate::audit`].

use crate::audit::holders;
use crate::load::{Load, Mix};
use crate::testnet::{SHARDS_COUNT, Testnet};
use alloy_primitives::U256;
use cluster::Node;
use cluster::client::{Client, until};
use eyre::{Result, WrapErr};
use fixtures::contracts::Ping;
use primitives::{AttemptId, ShardId};
use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};
use world::Party;

/// How long a stopped process stands still, and a line stays cut.
pub const AWAY: Duration = Duration::from_secs(5);

/// How many transactions end between one blow and the next.
const BETWEEN_COUNT: usize = 40;

/// How many attempts are open when a blow falls, or just were.
const OPEN_COUNT_MIN: usize = 3;

/// What happens to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// SIGKILL and a new start at once, with nobody at work: what a start alone takes.
    IdleRestart(Kind),
    /// A shard's store is opened by itself, its process away: what of a start is the database's.
    OpenStore,
    /// SIGKILL, and a new start at once.
    Kill(Kind),
    /// SIGKILL of a coordinator that comes back only when the others have ended what it left.
    Leave,
    /// SIGSTOP, and SIGCONT after [`AWAY`].
    Stop(Kind),
    /// Every connection to a shard is reset and none made for [`AWAY`].
    Cut,
}

/// A kind of process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An executor.
    Shard,
    /// A coordinator.
    Coordinator,
    /// A relay.
    Relay,
}

impl Kind {
    /// The victim of the `run`-th blow: each in turn.
    fn node(self, run: u32) -> Node {
        match self {
            Self::Shard => Node::Executor(run % SHARDS_COUNT),
            Self::Coordinator => Node::Coordinator(run % 2),
            Self::Relay => Node::Relay(run % 2),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Shard => "shard",
            Self::Coordinator => "coordinator",
            Self::Relay => "relay",
        }
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdleRestart(kind) => write!(f, "baseline: {} killed and started, nobody at work", kind.name()),
            Self::OpenStore => write!(f, "baseline: a shard's store opened alone, nobody at work"),
            Self::Kill(kind) => write!(f, "{} killed (SIGKILL) and started", kind.name()),
            Self::Leave => write!(f, "coordinator killed, and away until others have ended its attempts"),
            Self::Stop(kind) => write!(f, "{} stopped for {} s (SIGSTOP)", kind.name(), AWAY.as_secs()),
            Self::Cut => write!(f, "shard cut off for {} s (connections reset)", AWAY.as_secs()),
        }
    }
}

/// What one blow cost.
#[derive(Debug, Clone, Copy)]
pub struct Recovery {
    /// Until it served again; none where it served all along.
    pub serving: Option<Duration>,
    /// Until nothing was undecided; none where nothing was under way.
    pub undecided: Option<Duration>,
    /// How many attempts, or messages, were open.
    pub open: usize,
}

/// A network under load whose processes are struck one after the other.
#[derive(Debug)]
pub struct Arena {
    /// The network.
    pub net: Testnet,
    /// Its users, when they work.
    pub load: Option<Load>,
    client: Client,
}

impl Arena {
    /// The network with nobody at work yet.
    pub fn new(net: Testnet) -> Result<Self> {
        let client = net.cluster.client(0)?;
        Ok(Self { net, load: None, client })
    }

    /// Sets its users to work.
    pub fn work(&mut self, most: usize, chance: &crate::chance::Chance) -> Result<()> {
        self.load = Some(Load::start(&self.net, Mix::All, most, chance)?);
        Ok(())
    }

    /// Strikes the `run`-th victim of `blow`, and waits until it has recovered.
    pub async fn strike(&mut self, blow: Blow, run: u32) -> Result<Recovery> {
        if self.load.is_some() {
            self.busy().await?;
        }
        let recovery = match blow {
            Blow::IdleRestart(kind) => self.restarted(kind.node(run)),
            Blow::OpenStore => self.opened(run % SHARDS_COUNT),
            Blow::Kill(Kind::Relay) => self.relay_killed(run).await,
            Blow::Kill(kind) => self.killed(kind.node(run)).await,
            Blow::Leave => self.left(Kind::Coordinator.node(run)).await,
            Blow::Stop(kind) => self.stopped(kind.node(run)).await,
            Blow::Cut => self.cut_off(run % SHARDS_COUNT).await,
        };
        let recovery = recovery.wrap_err_with(|| format!("{blow}, run {run}"))?;
        if let Some(load) = &self.load {
            load.goes_on_for(BETWEEN_COUNT).await;
        }
        Ok(recovery)
    }

    fn restarted(&mut self, node: Node) -> Result<Recovery> {
        self.net.cluster.kill(node)?;
        Ok(Recovery { serving: Some(self.started(node)?), undecided: None, open: 0 })
    }

    fn opened(&mut self, shard: u32) -> Result<Recovery> {
        let (node, network) = (Node::Executor(shard), self.net.cluster.network().params.network);
        self.net.cluster.kill(node)?;
        let key = host::keys::read_file(&self.net.dir().join(format!("{node}.key")))?.public();
        let identity = store::Identity {
            kind: "executor".to_owned(),
            network,
            name: format!("shard {shard}"),
            key: Some(*key.as_bytes()),
        };
        let begun = Instant::now();
        let opened = store::Store::open(
            &self.net.dir().join(node.to_string()),
            &shard::SPACES,
            &identity,
            store::Settings::default(),
        )?;
        let serving = Some(begun.elapsed());
        drop(opened);
        self.started(node)?;
        Ok(Recovery { serving, undecided: None, open: 0 })
    }

    fn started(&mut self, node: Node) -> Result<Duration> {
        let begun = Instant::now();
        self.net.cluster.restart(node)?;
        self.net.cluster.wait_ready(node)?;
        Ok(begun.elapsed())
    }

    /// Waits until a blow has something to strike.
    async fn busy(&self) -> Result<()> {
        until("enough open attempts", || async { Ok((self.open(None).await?.len() >= OPEN_COUNT_MIN).then_some(())) })
            .await
    }

    /// The attempts that hold keys, as far as the shards that answer say.
    async fn open(&self, away: Option<ShardId>) -> Result<BTreeSet<AttemptId>> {
        holders(&self.net, &self.client, away).await
    }

    async fn ended(&self, open: &BTreeSet<AttemptId>) -> Result<()> {
        until("the end of every open attempt", || async { Ok(self.open(None).await?.is_disjoint(open).then_some(())) })
            .await
    }

    async fn killed(&mut self, node: Node) -> Result<Recovery> {
        let struck = Instant::now();
        self.net.cluster.kill(node)?;
        let mut open = self.open(shard_of(node)).await?;
        let serving = Some(self.started(node)?);
        open.extend(self.open(None).await?);
        self.ended(&open).await?;
        Ok(Recovery { serving, undecided: Some(struck.elapsed()), open: open.len() })
    }

    async fn left(&mut self, node: Node) -> Result<Recovery> {
        let struck = Instant::now();
        self.net.cluster.kill(node)?;
        let open = self.open(None).await?;
        self.ended(&open).await?;
        let undecided = Some(struck.elapsed());
        Ok(Recovery { serving: Some(self.started(node)?), undecided, open: open.len() })
    }

    async fn relay_killed(&mut self, run: u32) -> Result<Recovery> {
        let struck = Instant::now();
        let node = Kind::Relay.node(run);
        self.net.cluster.kill(node)?;
        let ping = self.net.contracts.ping;
        let sent = self.client.view(ping, &Ping::sentCountCall {}).await?;
        let known = self.client.view(ping, &Ping::deliveredCountCall {}).await?;
        let serving = Some(self.started(node)?);
        until("the acknowledgement of every message", || async {
            let delivered = self.client.view(ping, &Ping::deliveredCountCall {}).await?;
            Ok((delivered >= sent).then_some(()))
        })
        .await?;
        let open = sent.saturating_sub(known).min(U256::from(u32::MAX)).to::<usize>();
        Ok(Recovery { serving, undecided: Some(struck.elapsed()), open })
    }

    async fn stopped(&mut self, node: Node) -> Result<Recovery> {
        let struck = Instant::now();
        self.net.cluster.signal(node, "STOP")?;
        let mut open = self.open(shard_of(node)).await?;
        // How long it stands still is what is done to it; nothing is waited for.
        tokio::time::sleep(AWAY.saturating_sub(struck.elapsed())).await;
        let released = Instant::now();
        self.net.cluster.signal(node, "CONT")?;
        self.net.cluster.wait_ready(node)?;
        let serving = Some(released.elapsed());
        open.extend(self.open(None).await?);
        self.ended(&open).await?;
        Ok(Recovery { serving, undecided: Some(struck.elapsed()), open: open.len() })
    }

    async fn cut_off(&mut self, shard: u32) -> Result<Recovery> {
        let (struck, parties) = (Instant::now(), self.net.parties());
        for party in &parties {
            self.net.lines()?.cut(*party, ShardId(shard))?;
        }
        for other in (0..SHARDS_COUNT).filter(|other| *other != shard) {
            self.net.lines()?.cut(Party::Shard(ShardId(shard)), ShardId(other))?;
        }
        let mut open = self.open(None).await?;
        tokio::time::sleep(AWAY.saturating_sub(struck.elapsed())).await;
        self.net.lines()?.heal();
        open.extend(self.open(None).await?);
        self.ended(&open).await?;
        Ok(Recovery { serving: None, undecided: Some(struck.elapsed()), open: open.len() })
    }
}

fn shard_of(node: Node) -> Option<ShardId> {
    match node {
        Node::Executor(shard) => Some(ShardId(shard)),
        Node::Coordinator(_) | Node::Relay(_) => None,
    }
}
