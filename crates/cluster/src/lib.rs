//! A whole network as child processes of this one: what devnet, demo, replay, tests and benches run on.
//!
//! ```text
//! dovetail demo ──┬─ dovetail executor 0 … n-1     each its own folder, store, key and log file
//!                 ├─ dovetail coordinator 0 …
//!                 └─ dovetail relay 0 …
//! ```
//!
//! Promise: real processes over loopback TCP, which can be killed and started again on the same ports and folders; when
//! the cluster is dropped, none is left.

pub mod anvil;
pub mod bridge;
pub mod client;
pub mod counters;
pub mod endpoint;
mod folder;
pub mod market;
pub mod process;
pub mod rpc;
pub mod union;

use crate::client::Client;
use crate::process::{POLL_PAUSE, Process, drain_deadline};
use alloy_primitives::Address;
use eyre::{Context, Result, eyre};
use fixtures::{genesis, usual, wallet};
use host::TracesSettings;
use host::evidence::Settled;
use host::network::{EnvironmentSource, Genesis, Network, NetworkFile, RouteEntry, ShardEntry};
use primitives::ShardId;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use tokio::net::TcpSocket;
use wire::server::{Networks, ProxyHeader};

/// How long all nodes together may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_mins(1);

/// How long shards go on serving coordinators and relays that drain.
const SHARDS_ASKED_AFTER: Duration = Duration::from_secs(2);

/// How much of a log is shown.
const LOG_TAIL_LINES_COUNT: usize = 8;

/// What to start.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The EIP-155 chain id.
    pub network: u64,
    /// How many shards.
    pub shards: u32,
    /// How many coordinators.
    pub coordinators: u32,
    /// How many relays.
    pub relays: u32,
    /// Length of a slot in milliseconds.
    pub slot_ms: u64,
    /// The fork's name.
    pub fork: String,
    /// Ordinary, or replaying.
    pub environments: EnvironmentSource,
    /// Whether transactions are taken that are bound to no chain.
    pub takes_unprotected: bool,
    /// Addresses that are not where their hash puts them.
    pub pinned: BTreeMap<Address, u32>,
    /// The foreign chains that messages come from and go to.
    pub routes: Vec<RouteEntry>,
    /// Where coordinators ask the nodes of bridges.
    pub bridges: Vec<String>,
    /// The state to start from.
    pub genesis: Genesis,
    /// Where the chain is that the genesis was forked from.
    pub fork_url: Option<String>,
    /// Where all nodes send their traces.
    pub traces: Option<TracesSettings>,
    /// Extra environment of the child processes.
    pub environment: Vec<(String, String)>,
    /// When slot 0 began, in milliseconds since 1970. None: as the network file in the folder says, or else now.
    pub genesis_ms: Option<u64>,
    /// Where the first coordinator serves Ethereum JSON-RPC; port 0 is a free one. None: a free port on loopback.
    pub rpc: Option<SocketAddr>,
    /// The program to start: `dovetail` itself.
    pub program: PathBuf,
}

impl Plan {
    /// An ordinary network of `shards` shards, one coordinator and two relays, run by this program.
    pub fn new(shards: u32) -> Result<Self> {
        Ok(Self {
            network: 31_337,
            shards,
            coordinators: 1,
            relays: 2,
            slot_ms: 250,
            fork: "osaka".to_owned(),
            environments: EnvironmentSource::Slots,
            takes_unprotected: false,
            pinned: BTreeMap::new(),
            routes: Vec::new(),
            bridges: Vec::new(),
            genesis: Genesis::default(),
            fork_url: None,
            traces: None,
            environment: Vec::new(),
            genesis_ms: None,
            rpc: None,
            program: std::env::current_exe().wrap_err("this program has no path")?,
        })
    }

    /// The same with a mailbox on each shard and funded development accounts.
    pub fn development(shards: u32) -> Result<Self> {
        Self::new(shards)?.with_accounts(wallet::ACCOUNTS_COUNT)
    }

    /// The same on a development genesis with so many accounts.
    pub fn with_accounts(self, accounts: u32) -> Result<Self> {
        Ok(Self { genesis: genesis::with_accounts(self.network, self.shards, accounts)?, ..self })
    }

    /// The same with cheats: time moved, state set and senders named as test suites like.
    #[must_use]
    pub fn with_cheats(self) -> Self {
        Self { environments: EnvironmentSource::Cheats, ..self }
    }

    fn has_cheats(&self) -> bool {
        self.environments == EnvironmentSource::Cheats
    }

    /// The same with the contracts that tools expect at the same address of every chain.
    pub fn with_usual_contracts(mut self) -> Result<Self> {
        self.genesis.accounts.extend(usual::accounts()?);
        Ok(self)
    }
}

/// One process of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// A shard's.
    Executor(u32),
    /// A coordinator.
    Coordinator(u32),
    /// A relay.
    Relay(u32),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Executor(number) => write!(f, "executor-{number}"),
            Self::Coordinator(number) => write!(f, "coordinator-{number}"),
            Self::Relay(number) => write!(f, "relay-{number}"),
        }
    }
}

/// How far the start of a network is.
#[derive(Debug, Clone)]
pub enum Progress {
    /// Nodes of the network that ran in the folder before are ending.
    Left(Vec<String>),
    /// `ready` of `count` nodes are ready, and this is the next to be.
    Ready {
        /// So many nodes are ready.
        ready: usize,
        /// Of so many.
        count: usize,
        /// The next to be.
        waits_for: Node,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left(nodes) => {
                write!(
                    f,
                    "waiting for nodes of the network that ran here before, which are ending: {}",
                    nodes.join(", ")
                )
            }
            Self::Ready { ready, count, waits_for } => {
                write!(f, "{ready} of {count} nodes are ready, waiting for {waits_for}")
            }
        }
    }
}

/// Where a node listens.
#[derive(Debug, Clone, Copy)]
struct Ports {
    /// What it is for: gRPC, or an attestor's words.
    serving: SocketAddr,
    metrics: SocketAddr,
}

/// Where each coordinator serves JSON-RPC.
type RpcAddresses = BTreeMap<u32, SocketAddr>;

/// A running network.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    plan: Plan,
    network: Network,
    ports: BTreeMap<Node, Ports>,
    rpc: RpcAddresses,
    _reservation: Reservation,
    /// Nobody else lays a network out in the folder or runs one meanwhile.
    _folder: File,
    running: BTreeMap<Node, Process>,
}

impl Cluster {
    /// Starts the network of `plan` with everything it keeps under `dir`, and waits until every node is ready.
    pub fn start(plan: Plan, dir: &Path) -> Result<Self> {
        Self::start_watched(plan, dir, |_| {})
    }

    /// The same, and tells what it waits for whenever that changes.
    pub fn start_watched(plan: Plan, dir: &Path, mut tell: impl FnMut(Progress)) -> Result<Self> {
        let mut cluster = Self::lay_out_watched(plan, dir, &mut tell)?;
        cluster.start_all_watched(tell)?;
        Ok(cluster)
    }

    /// Writes everything that the nodes of `plan` need under `dir`, and starts none.
    pub fn lay_out(plan: Plan, dir: &Path) -> Result<Self> {
        Self::lay_out_watched(plan, dir, |_| {})
    }

    fn lay_out_watched(plan: Plan, dir: &Path, mut tell: impl FnMut(Progress)) -> Result<Self> {
        // Nodes read paths relative to where they run, which is here.
        let dir = &std::path::absolute(dir)?;
        std::fs::create_dir_all(dir).wrap_err_with(|| format!("cannot make {}", dir.display()))?;
        let folder = folder::take(dir)?;
        folder::vacated(dir, |left| tell(Progress::Left(left.to_vec())))?;
        let (reservation, ports, rpc) = reserve(&plan)?;
        let network = write_network(&plan, &ports, dir)?;
        let running = BTreeMap::new();
        let cluster = Self {
            dir: dir.to_owned(),
            plan,
            network,
            ports,
            rpc,
            _reservation: reservation,
            _folder: folder,
            running,
        };
        nodes(&cluster.plan).into_iter().try_for_each(|node| cluster.write_settings(node))?;
        Ok(cluster)
    }

    /// Starts every node, and waits until all are ready.
    pub fn start_all(&mut self) -> Result<()> {
        self.start_all_watched(|_| {})
    }

    fn start_all_watched(&mut self, mut tell: impl FnMut(Progress)) -> Result<()> {
        let nodes = nodes(&self.plan);
        let count = nodes.len();
        nodes.iter().try_for_each(|node| self.spawn(*node))?;
        for (ready, node) in nodes.into_iter().enumerate() {
            tell(Progress::Ready { ready, count, waits_for: node });
            self.wait_ready(node)?;
        }
        Ok(())
    }

    /// A node's settings file.
    pub fn settings_path(&self, node: Node) -> PathBuf {
        settings_file(&self.dir, node)
    }

    /// The network as its nodes know it.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The network file.
    pub fn network_path(&self) -> PathBuf {
        network_file(&self.dir)
    }

    /// A node's gRPC endpoint.
    pub fn endpoint(&self, node: Node) -> String {
        format!("http://{}", self.ports[&node].serving)
    }

    /// A coordinator's Ethereum JSON-RPC endpoint.
    pub fn rpc(&self, coordinator: u32) -> String {
        format!("http://{}", self.rpc[&coordinator])
    }

    /// A node's metrics endpoint.
    pub fn metrics(&self, node: Node) -> String {
        format!("http://{}/metrics", self.ports[&node].metrics)
    }

    /// A node's log file.
    pub fn log(&self, node: Node) -> PathBuf {
        self.dir.join(format!("{node}.log"))
    }

    /// The process id of a running node.
    pub fn pid(&self, node: Node) -> Option<u32> {
        self.running.get(&node).map(Process::id)
    }

    /// All running nodes with their process ids.
    pub fn nodes(&self) -> impl Iterator<Item = (Node, u32)> {
        self.running.iter().map(|(node, process)| (*node, process.id()))
    }

    /// Kills a node with SIGKILL and waits until it is gone.
    pub fn kill(&mut self, node: Node) -> Result<()> {
        let process = self.running.remove(&node).ok_or_else(|| eyre!("{node} is not running"))?;
        process.kill().wrap_err_with(|| format!("cannot kill {node}"))
    }

    /// What is started from now on is started by this program.
    pub fn upgrade(&mut self, program: PathBuf) {
        self.plan.program = program;
    }

    /// Starts a killed node again, on its ports and its folder, without waiting.
    pub fn restart(&mut self, node: Node) -> Result<()> {
        self.restart_with(node, &[])
    }

    /// Starts a killed node again with more environment, such as a crash point.
    pub fn restart_with(&mut self, node: Node, environment: &[(String, String)]) -> Result<()> {
        self.spawn_with(node, environment)
    }

    /// Waits until a node answers that it is ready.
    pub fn wait_ready(&mut self, node: Node) -> Result<()> {
        let address = self.ports[&node].metrics;
        let until = Instant::now() + READY_TIMEOUT;
        loop {
            if is_ready(address) {
                return Ok(());
            }
            if let Some(status) = self.running.get_mut(&node).and_then(Process::exited) {
                return Err(eyre!("{node} ended with {status} while starting:\n{}", self.log_tail(node)));
            }
            if Instant::now() > until {
                return Err(eyre!("{node} was not ready within {READY_TIMEOUT:?}; see {}", self.log(node).display()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether the node's process has ended by itself, for instance at a crash point.
    pub fn has_exited(&mut self, node: Node) -> bool {
        self.running.get_mut(&node).is_none_or(|process| process.exited().is_some())
    }

    /// Forgets a node that has ended by itself, so that it can be started again.
    pub fn reap(&mut self, node: Node) {
        if self.has_exited(node) {
            self.running.remove(&node);
        }
    }

    /// The last lines of a node's log.
    pub fn log_tail(&self, node: Node) -> String {
        let log = std::fs::read_to_string(self.log(node)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES_COUNT)..].join("\n")
    }

    /// A node that ended although nobody asked it to, and how.
    pub fn casualty(&mut self) -> Option<(Node, ExitStatus)> {
        self.running.iter_mut().find_map(|(node, process)| Some((*node, process.exited()?)))
    }

    /// Stops one node with SIGTERM and waits for it to drain.
    pub fn terminate(&mut self, node: Node) -> Result<()> {
        let process = self.running.remove(&node).ok_or_else(|| eyre!("{node} is not running"))?;
        process.terminate().wrap_err_with(|| format!("{node} did not stop cleanly"))
    }

    /// Sends a running node a signal by name: `STOP` and `CONT` make it a node that does not answer for a while.
    pub fn signal(&self, node: Node, name: &str) -> Result<()> {
        self.running.get(&node).ok_or_else(|| eyre!("{node} is not running"))?.signal(name)
    }

    /// A user of the network, through this coordinator.
    pub fn client(&self, coordinator: u32) -> Result<Client> {
        Client::open(&self.network, &self.endpoint(Node::Coordinator(coordinator)), &self.rpc(coordinator))
    }

    /// Stops every node with SIGTERM and waits for all of them to drain: as long as the slowest takes, not as long as all
    /// take together. Relays and coordinators are asked first; the shards, which those still need, once they have ended or
    /// [`SHARDS_ASKED_AFTER`] later.
    pub fn stop(mut self) -> Result<()> {
        let shards = self.running.extract_if(.., |node, _| matches!(node, Node::Executor(_))).collect();
        let mut others = ask_to_end(std::mem::take(&mut self.running));
        let until = Instant::now() + SHARDS_ASKED_AFTER;
        while others.iter_mut().any(|(_, asked)| asked.is_running()) && Instant::now() < until {
            std::thread::sleep(POLL_PAUSE);
        }
        let (shards, until) = (ask_to_end(shards), drain_deadline());
        others.into_iter().chain(shards).map(|(node, asked)| asked.wait(node, until)).fold(Ok(()), Result::and)
    }

    fn spawn(&mut self, node: Node) -> Result<()> {
        self.spawn_with(node, &[])
    }

    fn spawn_with(&mut self, node: Node, more: &[(String, String)]) -> Result<()> {
        let kind = match node {
            Node::Executor(_) => "executor",
            Node::Coordinator(_) => "coordinator",
            Node::Relay(_) => "relay",
        };
        let settings = self.settings_path(node);
        let environment = self.plan.environment.iter().chain(more);
        let process = Process::spawn(&self.plan.program, kind, &settings, environment, &self.log(node))
            .wrap_err_with(|| format!("cannot start {node}"))?;
        self.running.insert(node, process);
        Ok(())
    }

    fn write_settings(&self, node: Node) -> Result<()> {
        let (network, data, ports) = (self.network_path(), self.dir.join(node.to_string()), self.ports[&node]);
        let cheats_clock = self.plan.has_cheats().then(|| self.dir.join("clock"));
        let text = match node {
            Node::Executor(shard) => toml::to_string(&executor_service::Settings {
                network,
                shard,
                listen: ports.serving,
                metrics_listen: ports.metrics,
                data,
                mark: None,
                settled: Settled::default(),
                history_s: executor_service::history_s_default(),
                bodies_s: executor_service::bodies_s_default(),
                // A snapshot is a state gone by, however long ago.
                archive: self.plan.has_cheats(),
                fork_url: self.plan.fork_url.clone(),
                key: Some(key_path(&self.dir, shard)),
                cheats_clock,
                tls: None,
                insecure: false,
                traces: self.plan.traces.clone(),
                log: None,
                peer_quota: None,
            }),
            Node::Coordinator(number) => toml::to_string(&coordinator_service::Settings {
                network,
                listen: ports.serving,
                rpc_listen: self.rpc[&number],
                metrics_listen: ports.metrics,
                data,
                settled: Settled::default(),
                trusted_proxies: Networks::default(),
                proxy_header: ProxyHeader::default(),
                relays: (0..self.plan.relays).map(|relay| self.endpoint(Node::Relay(relay))).collect(),
                bridges: self.plan.bridges.clone(),
                index_keep_s: None,
                attempt_ms: coordinator_service::attempt_ms_default(),
                cheats_clock,
                tls: None,
                insecure: false,
                traces: self.plan.traces.clone(),
                log: None,
                peer_quota: None,
                client_quota: None,
            }),
            Node::Relay(place) => toml::to_string(&relay_service::Settings {
                network,
                listen: ports.serving,
                metrics_listen: ports.metrics,
                data,
                relays: self.plan.relays,
                place,
                settled: Settled::default(),
                cheats_clock,
                tls: None,
                insecure: false,
                traces: self.plan.traces.clone(),
                log: None,
                peer_quota: None,
            }),
        };
        Ok(std::fs::write(self.settings_path(node), text?)?)
    }
}

/// A process after SIGTERM, or why it could not be asked.
struct Asked(Process, Result<()>);

impl Asked {
    fn is_running(&mut self) -> bool {
        self.1.is_ok() && self.0.exited().is_none()
    }

    fn wait(self, node: Node, until: Instant) -> Result<()> {
        let Self(process, asked) = self;
        asked.and_then(|()| process.wait_ended(until)).wrap_err_with(|| format!("{node} did not stop cleanly"))
    }
}

fn ask_to_end(running: BTreeMap<Node, Process>) -> Vec<(Node, Asked)> {
    let ask = |(node, mut process): (Node, Process)| {
        let asked = process.ask_to_end();
        (node, Asked(process, asked))
    };
    running.into_iter().map(ask).collect()
}

fn nodes(plan: &Plan) -> Vec<Node> {
    let executors = (0..plan.shards).map(Node::Executor);
    let coordinators = (0..plan.coordinators).map(Node::Coordinator);
    executors.chain(coordinators).chain((0..plan.relays).map(Node::Relay)).collect()
}

/// An address for all that the nodes of `plan` listen on: each node's ports, and where each coordinator serves JSON-RPC.
fn reserve(plan: &Plan) -> Result<(Reservation, BTreeMap<Node, Ports>, RpcAddresses)> {
    let mut reservation = Reservation::default();
    let ports = nodes(plan).into_iter().map(|node| Ok((node, reservation.ports()?))).collect::<Result<_>>()?;
    let rpc = (0..plan.coordinators).map(|number| Ok((number, reservation.rpc(plan, number)?)));
    let rpc = rpc.collect::<Result<_>>()?;
    Ok((reservation, ports, rpc))
}

/// Free ports on loopback, one after another, and what keeps them ours.
///
/// A port that is only bound, never listened on, lets a child listen on it, as often as it is started again; meanwhile
/// the system gives it to nobody else's connection.
#[derive(Debug, Default)]
struct Reservation(Vec<TcpSocket>);

impl Reservation {
    fn port(&mut self) -> Result<SocketAddr> {
        self.take(SocketAddr::from(([127, 0, 0, 1], 0))).wrap_err("no free port on loopback")
    }

    /// This very address, if nobody else listens there.
    fn take(&mut self, address: SocketAddr) -> Result<SocketAddr> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // As every listener has it, or the child's could not be bound beside this one.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let address = socket.local_addr()?;
        self.0.push(socket);
        Ok(address)
    }

    fn ports(&mut self) -> Result<Ports> {
        Ok(Ports { serving: self.port()?, metrics: self.port()? })
    }

    /// Where this coordinator serves JSON-RPC: the first one where it was asked to.
    fn rpc(&mut self, plan: &Plan, coordinator: u32) -> Result<SocketAddr> {
        match plan.rpc.filter(|_| coordinator == 0) {
            Some(address) => self.take(address).wrap_err_with(|| format!("cannot serve JSON-RPC on {address}")),
            None => self.port(),
        }
    }
}

fn write_network(plan: &Plan, ports: &BTreeMap<Node, Ports>, dir: &Path) -> Result<Network> {
    let entry = |shard: u32| -> Result<ShardEntry> {
        // A network that comes back keeps its keys.
        let key = host::keys::read_or_generate(&key_path(dir, shard))?;
        Ok(ShardEntry {
            shard,
            endpoint: format!("http://{}", ports[&Node::Executor(shard)].serving),
            epoch: 1,
            validators: vec![key.to_string()],
        })
    };
    let file = NetworkFile {
        network: plan.network,
        genesis_ms: plan.genesis_ms.map_or_else(|| genesis_ms(dir), Ok)?,
        slot_ms: plan.slot_ms,
        base_fee_wei: 1_000_000_000,
        gas_limit: 60_000_000,
        beneficiary: Address::with_last_byte(0xfe),
        fork: plan.fork.clone(),
        environments: plan.environments,
        allow_unprotected_transactions: plan.takes_unprotected,
        placement_version: 1,
        genesis: None,
        genesis_digest: None,
        shards: (0..plan.shards).map(entry).collect::<Result<_>>()?,
        pinned: plan.pinned.clone(),
        routes: plan.routes.clone(),
        roles: BTreeMap::new(),
    };
    Ok(Network::load(&file.write(&plan.genesis, dir)?)?)
}

fn network_file(dir: &Path) -> PathBuf {
    dir.join("network.toml")
}

fn settings_file(dir: &Path, node: Node) -> PathBuf {
    dir.join(format!("{node}.toml"))
}

/// When the network's slot 0 began: now, or as its file says when it comes back.
fn genesis_ms(dir: &Path) -> Result<u64> {
    if let Some(network) = Cluster::kept_network(dir)? {
        return Ok(network.params.genesis.0);
    }
    Ok(std::time::UNIX_EPOCH.elapsed().wrap_err("this machine's clock is before 1970")?.as_millis().try_into()?)
}

fn key_path(dir: &Path, shard: u32) -> PathBuf {
    dir.join(format!("executor-{shard}.key"))
}

/// Whether the node behind `address` says it is ready: one plain HTTP request, so that waiting needs no client.
fn is_ready(address: SocketAddr) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
    let mut answer = [0; 16];
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").is_ok()
        && stream.read(&mut answer).is_ok_and(|count| answer[..count].starts_with(b"HTTP/1.1 200"))
}

/// The settings of a node of the network kept under `dir`, if there are any; `what` they are called where they cannot be read.
fn kept_settings<T: serde::de::DeserializeOwned>(dir: &Path, node: Node, what: &str) -> Result<Option<T>> {
    let path = settings_file(dir, node);
    if !path.exists() {
        return Ok(None);
    }
    let settings = toml::from_str(&std::fs::read_to_string(&path)?);
    settings.map(Some).wrap_err_with(|| format!("{} is not {what}", path.display()))
}

impl Cluster {
    /// Where the first coordinator of the network kept under `dir` served JSON-RPC when it last ran, if there is one.
    pub fn kept_rpc(dir: &Path) -> Result<Option<SocketAddr>> {
        let settings: Option<coordinator_service::Settings> =
            kept_settings(dir, Node::Coordinator(0), "a coordinator's settings")?;
        Ok(settings.map(|settings| settings.rpc_listen))
    }

    /// Where the network kept under `dir` reads the chain it was forked from, if it was.
    pub fn kept_fork_url(dir: &Path) -> Result<Option<String>> {
        let settings: Option<executor_service::Settings> = kept_settings(dir, Node::Executor(0), "a shard's settings")?;
        Ok(settings.and_then(|settings| settings.fork_url))
    }

    /// The network kept under `dir`, if there is one.
    pub fn kept_network(dir: &Path) -> Result<Option<Network>> {
        let path = network_file(dir);
        Ok(if path.exists() { Some(Network::load(&path)?) } else { None })
    }

    /// The shard's executor.
    pub fn executor(shard: ShardId) -> Node {
        Node::Executor(shard.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_reserved_port_is_listened_on_again_and_again() {
        let mut reservation = Reservation::default();
        let port = reservation.port().unwrap();
        for _ in 0..3 {
            assert!(TcpStream::connect(port).is_err(), "nobody listens while the node is down");
            let listener = TcpListener::bind(port).unwrap();
            let caller = TcpStream::connect(port).unwrap();
            drop((listener.accept().unwrap(), caller));
        }
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = Reservation::default().take(listener.local_addr().unwrap()).unwrap_err();
        assert!(format!("{error:#}").contains("in use"), "{error:#}");
    }

    #[test]
    fn a_port_is_kept_for_each_that_listens_and_for_nothing_else() {
        let asked = Reservation::default().port().unwrap();
        let plan = Plan { relays: 2, coordinators: 2, rpc: Some(asked), ..Plan::new(3).unwrap() };
        let (reservation, _, rpc) = reserve(&plan).unwrap();
        // gRPC and metrics of seven nodes, JSON-RPC of two.
        assert_eq!((reservation.0.len(), rpc[&0]), (2 * 7 + 2, asked));
    }

    #[test]
    fn no_two_reserved_ports_are_the_same() {
        let mut reservation = Reservation::default();
        let ports: std::collections::BTreeSet<_> = (0..200).map(|_| reservation.port().unwrap()).collect();
        assert_eq!(ports.len(), 200);
    }

    #[test]
    fn a_folder_whose_network_runs_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let running = Cluster::lay_out(Plan::new(1).unwrap(), dir.path()).unwrap();
        let files = || std::fs::read(running.network_path()).unwrap();
        let before = files();
        let refused = Cluster::lay_out(Plan::new(1).unwrap(), dir.path()).err().unwrap().to_string();
        assert!(refused.contains("another process runs the network"), "{refused}");
        assert_eq!(files(), before);
        drop(running);
        Cluster::lay_out(Plan::new(1).unwrap(), dir.path()).unwrap();
    }
}
