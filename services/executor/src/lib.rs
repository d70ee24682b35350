//! A shard node: configuration and wiring.
//!
//! ```text
//!  gRPC -> checks (all cores, pure) -> host: shard machine + RocksDB, one thread -> receipts back
//!                                         |          ^
//!                              questions to peers    roots of the state tree, beside the commit path
//! ```
//!
//! Knows the order of starting and stopping, and nothing of what a shard decides.

mod base;
mod checks;
mod convert;
mod departures;
mod elsewhere;
mod evidence;
mod fate;
mod floor;
mod forgetting;
mod node;
mod participant;
mod peers;
mod replays;
mod restore;
mod roots;
mod settings;
mod shard_api;

pub use elsewhere::ServedElsewhere;
pub use floor::FloorError;
pub use restore::{RestoreError, Restored, restore};
pub use settings::{BLOCKS_KEPT_COUNT_MIN, Settings, bodies_s_default, history_s_default};

use base::Base;
use chains::pinned::{self, Pin, PinError, Pinned};
use departures::Departures;
use fate::Fate;
use floor::Floor;
use host::network::{Forked, Network, NetworkError};
use host::{
    Bounds, Clock, Host, LiveSettings, OffsetError, OtherClocks, Process, ProcessError, Security, TimeOffset,
    TracesSettings, keys,
};
use node::Node;
use primitives::ShardId;
use proof::Signer;
use replays::Replays;
use shard::{Checks, Shard, ShardConfig, Start};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use store::backup::Subject;
use store::{Count, Durability, Identity, Mark, Marking, Store};
use wire::jsonrpc::ClientQuotas;
use wire::limits::OPEN_ATTEMPTS_COUNT_MAX;
use wire::node::OpenAttempt;
use wire::server::ServerBuilder;

/// Why a shard node does not start or did not go on.
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
    /// There is no key.
    #[error(transparent)]
    Key(#[from] keys::KeyFileError),
    /// The key is not this shard's.
    #[error("{0}: check `key` and the network file's validators")]
    NotMember(#[from] proof::NotMember),
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The store failed while its genesis was written.
    #[error(transparent)]
    Fault(#[from] store::Fault),
    /// The shard does not open.
    #[error(transparent)]
    Open(#[from] shard::OpenError),
    /// It does not know what time it is on a network with cheats.
    #[error(transparent)]
    Offset(#[from] OffsetError),
    /// What it last attested cannot be read.
    #[error(transparent)]
    Floor(#[from] FloorError),
    /// The store is an old copy (R14).
    #[error(transparent)]
    Behind(#[from] shard::Behind),
    /// A forked network, and nothing said of where the other chain is.
    #[error("the network was forked from {0}: say where that chain is, in `fork_url`")]
    NoForkUrl(Forked),
    /// A chain to read from, and nothing to read.
    #[error("`fork_url` is set, and the network was not forked from another chain")]
    NotForked,
    /// The forked chain's endpoint is no endpoint.
    #[error("`fork_url`: {0}")]
    ForkUrl(#[from] PinError),
    /// Another node serves the shard.
    #[error(transparent)]
    Elsewhere(#[from] ServedElsewhere),
    /// A copy of its store may not be put back.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// Its gRPC would not be guarded, or a peer is not reached by what guards it.
    #[error(transparent)]
    Security(#[from] host::SecurityError),
}

/// Looks at all that a start would read before it opens its store: settings, network, key.
///
/// # Errors
/// What would stop the start.
pub fn check(config: &Path) -> Result<(), Error> {
    load(config).map(drop)
}

fn load(config: &Path) -> Result<(Settings, Network, Signer, Security), Error> {
    let settings: Settings = host::load_settings(config, Settings::PREFIX)?;
    let network = Network::load(&settings.network)?;
    forked_chain(&settings, &network)?;
    let signer = Signer::new(keys::read(settings.key.as_deref())?, network.validators(ShardId(settings.shard))?)?;
    let security = Security::open(settings.tls.as_ref(), settings.insecure, &network)?;
    let security = security.listening(settings.listen)?;
    TracesSettings::check(settings.traces.as_ref(), &security)?;
    host::check_ports(&[settings.metrics_listen, settings.listen])?;
    store::check_folder(&settings.data)?;
    Ok((settings, network, signer, security))
}

/// The chain that the network was forked from, if it was.
fn forked_chain(settings: &Settings, network: &Network) -> Result<Option<Pinned>, Error> {
    match (network.genesis.forked, &settings.fork_url) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Error::NotForked),
        (Some(forked), None) => Err(Error::NoForkUrl(forked)),
        (Some(Forked { chain_id, block, hash }), Some(url)) => {
            Ok(Some(Pinned::at(pinned::endpoint(url)?, Pin { chain_id, number: block, hash })))
        }
    }
}

/// Runs the shard node that the settings at `config` describe, until SIGTERM or SIGINT.
pub async fn run(config: &Path) -> Result<(), Error> {
    let (settings, network, signer, security) = load(config)?;
    let me = ShardId(settings.shard);
    let key = *signer.public().as_bytes();
    let mut process = Process::start(settings.metrics_listen).await?;
    process.watch_all((config, &settings), (&settings.network, &network), &security, ClientQuotas::default())?;
    let tracer = process.trace(settings.traces.as_ref(), ("shard", &me.to_string()), &security)?;
    let (store, mark, machine) = open(&settings, &network, me, signer)?;
    elsewhere::check(&network, &security, me).await?;
    let settled = &settings.settled.0;
    let open_evidence =
        shard::queries::evidence(&store.reader()).into_iter().filter(|known| !settled.contains(&known.id()));
    let open_evidence: Vec<_> = open_evidence.collect();
    let (floor, attested) = Floor::open(&settings.data)?;
    let is_alone = network.endpoints.len() < 2;
    let clocks = if is_alone { OtherClocks::none() } else { OtherClocks::unheard() };
    let offset = TimeOffset::of_network(&network.params, settings.cheats_clock.as_deref())?;
    let clock = Clock::starting_at(attested.max(machine.time())).beside(clocks.clone()).moved_by(offset);
    let host = Host {
        name: format!("shard {me}"),
        machine,
        store,
        clock,
        bounds: Bounds::default(),
        instruments: process.instruments.clone(),
        health: process.health.clone(),
        ticket_of: |reply: &shard::Reply| Some(host::Ticket(reply.ticket.0)),
    };
    let forked_chain = forked_chain(&settings, &network)?;
    let running = host.spawn().map_err(ProcessError::from)?;
    let checks = Checks::new(&network.params, &network.placement, &network.validators);
    let checks = Arc::new(checks.with_routes(network.foreign_verifier()));
    let terms = network.terms();
    let (base, reads) = forked_chain.map(|chain| Base::start(chain, running.handle.clone())).unzip();
    if let Some(reads) = reads {
        process.tasks.spawn("values of the forked chain", reads);
    }
    let (slots_kept, bodies_kept) = (settings.slots_kept(&network.params), settings.bodies_kept(&network.params));
    let node = Arc::new(Node {
        handle: running.handle,
        checks,
        network,
        me,
        floor,
        terms,
        slots_kept,
        open: AtomicU64::new(0),
        clocks: clocks.clone(),
        base,
        replays: Replays::default(),
        fate: Fate::new(mark),
        evidence: host::evidence::folder(&settings.data),
        instruments: process.instruments.clone(),
        departures: Departures::new(tracer),
    });
    // What an earlier process may not have come to write.
    for known in &open_evidence {
        evidence::keep(&node, known);
    }
    let peers = peers::connect(&node, &security)?;
    peers::watch(&node, &peers, &process.health, &clocks);
    process.tasks.spawn("questions to peers", peers::carry(Arc::clone(&node), peers, running.handouts));
    process.tasks.try_spawn("state roots", roots::follow(Arc::clone(&node)));
    if let Some(kept) = bodies_kept {
        process.tasks.try_spawn("forgetting what is old", forgetting::follow(Arc::clone(&node), kept));
    }
    let subject = Subject {
        identity: identity(&node.network, me, &key),
        genesis: node.network.genesis_digest,
        count: height,
        now_ms: 0,
    };
    let known = (process.health.clone(), security.clone());
    let itself = host::Node::new(format!("shard {me}"), known, node.handle.reader(), settings.data.clone(), subject);
    let itself = itself.with_open(open_attempts);
    let server = ServerBuilder::new(security.server()).map_err(ProcessError::from)?;
    let server = server.shard(Arc::clone(&node)).participant(Arc::clone(&node)).node(Arc::new(itself));
    let instruments = process.instruments.clone();
    tokio::select! {
        end = process.serve_when(able(&node), server, settings.listen, running.lifeline) => Ok(end?),
        behind = node.fate.wait_behind() => {
            instruments.store_behind();
            Err(behind.into())
        }
    }
}

fn identity(network: &Network, me: ShardId, key: &[u8; 32]) -> Identity {
    Identity {
        kind: "executor".to_owned(),
        network: network.params.network,
        name: format!("shard {me}"),
        key: Some(*key),
    }
}

/// The height of a store.
fn height(reader: &store::Reader) -> u64 {
    shard::queries::status(reader).map_or(0, |status| status.tip.height.0)
}

/// What is open at a store.
fn open_attempts(reader: &store::Reader) -> (Vec<OpenAttempt>, u64) {
    let (open, count) = shard::queries::open(reader, OPEN_ATTEMPTS_COUNT_MAX);
    let told = open.into_iter().map(|(id, descriptor)| OpenAttempt {
        id: alloy_primitives::B256::new(*id.0.as_bytes()),
        participants: descriptor.participants.into_keys().collect(),
        deadline: descriptor.deadline,
    });
    (told.collect(), count as u64)
}

/// Waits until this node may sign, and its time is the present.
async fn able(node: &Node) {
    node.fate.wait_shown().await;
    node.clocks.settled().await;
}

/// The store, made with its genesis if it is new, its mark, and the machine on it.
fn open(settings: &Settings, network: &Network, me: ShardId, signer: Signer) -> Result<(Store, Mark, Shard), Error> {
    let identity = identity(network, me, signer.public().as_bytes());
    let store_settings = store::Settings { durability: Durability::Synced, ..store::Settings::default() };
    let marking = Marking {
        path: settings.mark.clone().unwrap_or_else(|| store::mark_beside(&settings.data)),
        count: Count {
            of_store: height,
            of_batch: |writes| shard::queries::height_after(writes).map(|height| height.0),
        },
    };
    let (mut store, mark) = Store::open_marked(&settings.data, marking, &shard::SPACES, &identity, store_settings)?;
    let (params, placement) = (network.params.clone(), network.placement.clone());
    let config = ShardConfig {
        start: if mark.is_set() { Start::Marked } else { Start::Unmarked },
        settled: settings.settled.0.clone(),
        routes: network.routes.clone(),
        forked: network.genesis.forked.is_some(),
        ..ShardConfig::new(params, me, placement, network.validators.clone(), signer)
    };
    if shard::queries::status(&store.reader()).is_none() {
        store.commit(&Shard::genesis(&config, &convert::genesis(&network.genesis))?)?;
    }
    let reader = store.reader();
    let machine = Shard::open(config, &reader)?;
    Ok((store, mark, machine))
}
