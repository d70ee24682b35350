//! A coordinator node: configuration and wiring.
//!
//! ```text
//!  gRPC, JSON-RPC --submit--> host: coordinator machine + RocksDB --fetch, prepare, decide--> shards
//!        ^                        |            ^------------- values, votes, applied ----------'
//!        '---- lives <--- events -'
//!
//!  JSON-RPC: blocks, followed shard by shard and kept while they are new; values, asked for and double-checked
//! ```
//!
//! Knows the order of starting and stopping, and nothing of what a coordinator decides. It has no key: nobody has to
//! believe it.

mod api;
mod batching;
mod blocks;
mod calls;
mod carrier;
mod chain;
mod cheats;
mod closed;
mod explorer;
mod follow;
mod index;
mod lives;
mod pruning;
mod reads;
mod refusal;
mod settings;
mod shards;
mod traces;

pub use cheats::CheatsError;
pub use explorer::ExplorerError;
pub use settings::{
    ATTEMPT_MS_MAX, ATTEMPT_MS_MIN, AttemptOutOfBounds, BLOCKS_KEPT_COUNT_MIN, Settings, attempt_ms_default,
};
pub use shards::ForeignShard;

use api::Node;
use blocks::Blocks;
use carrier::Carrier;
use cheats::Cheats;
use coordinator::Coordinator;
use explorer::Explorer;
use host::network::{Network, NetworkError};
use host::{
    Bounds, Clock, Health, Host, LiveSettings, Needs, OffsetError, Process, ProcessError, Security, Seen, TimeOffset,
    TracesSettings,
};
use index::Index;
use lives::Lives;
use primitives::Time;
use reads::Reads;
use shards::Shards;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::backup::Subject;
use store::{Durability, Identity, Reader, Store};
use traces::Traces;
use wire::jsonrpc::{ClientQuotas, JsonRpc};
use wire::server::ServerBuilder;

/// Why a coordinator node does not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process around it.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The settings are not settings.
    #[error(transparent)]
    Settings(#[from] host::SettingsError),
    /// The network file is no network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The coordinator does not open.
    #[error(transparent)]
    Open(#[from] coordinator::OpenError),
    /// The attempts' deadline is out of bounds.
    #[error(transparent)]
    Attempt(#[from] AttemptOutOfBounds),
    /// The folder of evidence cannot be read.
    #[error("the folder of evidence in `data`: {0}")]
    Evidence(#[from] std::io::Error),
    /// It does not know what time it is on a network with cheats.
    #[error(transparent)]
    Offset(#[from] OffsetError),
    /// What time contracts see cannot be read.
    #[error(transparent)]
    Cheats(#[from] CheatsError),
    /// Its gRPC would not be guarded, or a shard is not reached by what guards it.
    #[error(transparent)]
    Security(#[from] host::SecurityError),
    /// A shard is of another network.
    #[error(transparent)]
    Foreign(#[from] ForeignShard),
    /// The explorer does not begin.
    #[error(transparent)]
    Explorer(#[from] ExplorerError),
    /// JSON-RPC does not listen.
    #[error(transparent)]
    JsonRpc(#[from] wire::jsonrpc::JsonRpcError),
}

/// Looks at all that a start would read before it opens its store: settings and network.
///
/// # Errors
/// What would stop the start.
pub fn check(config: &Path) -> Result<(), Error> {
    load(config).map(drop)
}

fn load(config: &Path) -> Result<(Settings, Network, Security), Error> {
    let settings: Settings = host::load_settings(config, Settings::PREFIX)?;
    let network = Network::load(&settings.network)?;
    settings.timing()?;
    let security = Security::open(settings.tls.as_ref(), settings.insecure, &network)?.listening(settings.listen)?;
    explorer::check(&settings.relays, &settings.bridges)?;
    TracesSettings::check(settings.traces.as_ref(), &security)?;
    host::check_ports(&[settings.metrics_listen, settings.rpc_listen, settings.listen])?;
    store::check_folder(&settings.data)?;
    Ok((settings, network, security))
}

/// Runs the coordinator node that the settings at `config` describe, until SIGTERM or SIGINT.
pub async fn run(config: &Path) -> Result<(), Error> {
    let (settings, network, security) = load(config)?;
    let mut process = Process::start(settings.metrics_listen).await?;
    let quotas = ClientQuotas::default();
    process.watch_all((config, &settings), (&settings.network, &network), &security, quotas.clone())?;
    let name = settings.listen.to_string();
    let traces = process.trace(settings.traces.as_ref(), ("coordinator", &name), &security)?;
    let traces = Arc::new(Traces::new(traces));
    let (store, machine) = open(&settings, &network)?;
    let (kept, refused) = (coordinator::kept(&store.reader())?, coordinator::refused(&store.reader())?);
    let offset = TimeOffset::of_network(&network.params, settings.cheats_clock.as_deref())?;
    // Before the machine takes its first step: what it waits for would wait as long as its clock was ahead.
    let shards = Arc::new(Shards::connect(&network, &security, &process.health)?);
    shards.meet().await?;
    let cheats = Cheats::open(&network, offset.clone(), &settings.data)?;
    let host = Host {
        name: "coordinator".to_owned(),
        machine,
        store,
        clock: Clock::starting_at(Time(0)).beside(shards.clocks()).moved_by(offset),
        bounds: Bounds::default(),
        instruments: process.instruments.clone(),
        health: process.health.clone(),
        // A submission has many events: they come out as notices and are kept as its life.
        ticket_of: |_: &coordinator::Reply| None,
    };
    let running = host.spawn().map_err(ProcessError::from)?;
    let network = Arc::new(network);
    process.health.set_needs(Needs::SomePeer);
    let index = Index::open(&settings.data, network.params.clone())?;
    let blocks = Arc::new(Blocks::new(index, shards.ids()));
    let lives = Arc::new(Lives::remembering(&refused));
    let verifier = Carrier::verifier(&network);
    let settled = settings.settled.0.clone();
    let seen = Arc::new(Seen::open(&settings.data, settled, &verifier, process.instruments.clone())?);
    process.tasks.spawn("what it has seen of shards", Arc::clone(&seen).show(shards.clients()));
    let known = (Arc::clone(&shards), Arc::clone(&lives), seen, Arc::clone(&traces));
    let (handle, instruments) = (running.handle.clone(), process.instruments.clone());
    let carrier = Arc::new(Carrier::new(&network, handle, verifier, known, instruments));
    process.tasks.spawn("the carrier", carrier.carry(running.handouts));
    let head = blocks.head();
    follow::follow(&process, &network, Carrier::verifier(&network), &shards, &blocks);
    if let Some(slots_kept) = settings.slots_kept(&network.params) {
        pruning::prune(&process, slots_kept, &blocks);
    }
    let reads = Reads::new(Arc::clone(&network), Arc::clone(&shards));
    let node = Arc::new(Node {
        handle: running.handle,
        network,
        shards,
        lives,
        traces,
        reads,
        blocks,
        health: process.health.clone(),
        head,
        cheats,
    });
    if let Some(cheats) = &node.cheats {
        node.resume_cheats(cheats).await;
    }
    node.resume(kept).await;
    let others = (&settings.relays[..], &settings.bridges[..]);
    let explorer = Arc::new(Explorer::of(Arc::clone(&node), others, process.stop.clone())?);
    process.tasks.spawn("the explorer's count of what blocks show", explorer::watch_blocks(Arc::clone(&node)));
    process.tasks.spawn("the explorer's look at shards", explorer::watch_shards(Arc::clone(&node)));
    let rpc = JsonRpc::bind(settings.rpc_listen, Arc::clone(&node)).await?;
    let rpc = rpc.behind(settings.proxies()).within(quotas).beside(explorer);
    tracing::info!(address = %rpc.address(), "JSON-RPC and the explorer served");
    let known = (process.health.clone(), security.clone());
    let itself = itself(&node.network, known, node.handle.reader(), settings.data.clone());
    let server = ServerBuilder::new(security.server()).map_err(ProcessError::from)?.coordinator(node).node(itself);
    let stop = process.stop.clone();
    process.serve_beside("JSON-RPC", rpc.serve(stop.cancelled_owned()));
    Ok(process.serve(server, settings.listen, running.lifeline).await?)
}

fn open(settings: &Settings, network: &Network) -> Result<(Store, Coordinator), Error> {
    let identity = identity(network);
    // Nothing here is promised to shards, so it need not be synced: docs/decisions/0010, 0015.
    let store_settings = store::Settings { durability: Durability::Buffered, ..store::Settings::default() };
    let attempts = [commit::coordinator::ATTEMPTS, commit::coordinator::VOTES, commit::coordinator::DECISIONS];
    let spaces = [&attempts[..], &[coordinator::KEPT, coordinator::REFUSED]].concat();
    let store = Store::open(&settings.data, &spaces, &identity, store_settings)?;
    let reader = store.reader();
    let machine = Coordinator::open(
        coordinator::Settings {
            params: network.params.clone(),
            placement: network.placement.clone(),
            epochs: network.validators.iter().map(|(shard, set)| (*shard, set.epoch())).collect(),
            timing: settings.timing()?,
            commit: commit::coordinator::Settings::default(),
        },
        &reader,
    )?;
    Ok((store, machine))
}

fn identity(network: &Network) -> Identity {
    Identity {
        kind: "coordinator".to_owned(),
        network: network.params.network,
        name: "coordinator".to_owned(),
        key: None,
    }
}

/// The node as far as all kinds are the same: how it is, and copies of its store.
fn itself(network: &Network, known: (Health, Security), reader: Reader, data: PathBuf) -> Arc<host::Node> {
    let (identity, genesis) = (identity(network), network.genesis_digest);
    let subject = Subject { identity, genesis, count: |_| 0, now_ms: 0 };
    Arc::new(host::Node::new("coordinator".to_owned(), known, reader, data, subject))
}
