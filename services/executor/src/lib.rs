//! A shard node: configuration and wiring.
//!
//! ```text
//!  gRPC -> checks (all cores, pure) -> host: shard machine + RocksDB, one thread -> receipts back
//!                                         |          ^
//!                              questions to peers    roots of the state tree, beside the commit path
//! ```
//!
//! Knows the order of starting and stopping, and nothing of what a shard decides.

mod checks;
mod convert;
mod floor;
mod node;
mod participant;
mod peers;
mod roots;
mod settings;
mod shard_api;

pub use floor::FloorError;
pub use settings::Settings;

use floor::Floor;
use host::network::{Network, NetworkError};
use host::{Bounds, Clock, Host, Process, ProcessError, keys};
use node::Node;
use primitives::ShardId;
use proof::Signer;
use shard::{Checks, Shard, ShardConfig};
use std::path::Path;
use std::sync::Arc;
use store::{Durability, Identity, Store};
use wire::server::{ServerBuilder, ServerSettings};

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
    /// What it last attested cannot be read.
    #[error(transparent)]
    Floor(#[from] FloorError),
    /// A peer's endpoint is no endpoint.
    #[error("a peer's endpoint: {0}")]
    Peer(#[from] wire::client::ConnectError),
}

/// Runs the shard node that the settings at `config` describe, until SIGTERM or SIGINT.
pub async fn run(config: &Path) -> Result<(), Error> {
    let settings: Settings = host::load_settings(config, "DOVETAIL_EXECUTOR")?;
    let network = Network::load(&settings.network)?;
    let me = ShardId(settings.shard);
    let process = Process::start(settings.metrics_listen).await?;
    let signer = Signer::new(keys::read(settings.key.as_deref())?, network.validators(me)?)?;
    let (store, machine) = open(&settings, &network, me, signer)?;
    let (floor, attested) = Floor::open(&settings.data)?;
    let clock = Clock::starting_at(attested.max(machine.time()));
    let host = Host {
        name: format!("shard {me}"),
        machine,
        store,
        clock,
        bounds: Bounds::default(),
        instruments: process.instruments.clone(),
        ticket_of: |reply: &shard::Reply| Some(host::Ticket(reply.ticket.0)),
    };
    let running = host.spawn().map_err(ProcessError::from)?;
    let checks = Arc::new(Checks::new(&network.params, &network.placement, &network.validators));
    let terms = network.terms();
    let node = Arc::new(Node { handle: running.handle, checks, network, me, floor, terms });
    let peers = peers::connect(&node)?;
    peers::watch(&node, &peers, &process.health);
    process.watch("of questions to peers", peers::carry(Arc::clone(&node), peers, running.handouts));
    process.tasks.spawn("of the state tree's roots", roots::follow(Arc::clone(&node)));
    let server = ServerBuilder::new(ServerSettings::default()).map_err(ProcessError::from)?;
    let server = server.shard(Arc::clone(&node)).participant(node);
    Ok(process.serve(server, settings.listen, running.lifeline).await?)
}

/// The store, made with its genesis if it is new, and the machine on it.
fn open(settings: &Settings, network: &Network, me: ShardId, signer: Signer) -> Result<(Store, Shard), Error> {
    let identity = Identity {
        kind: "executor".to_owned(),
        network: network.params.network,
        name: format!("shard {me}"),
        key: Some(*signer.public().as_bytes()),
    };
    let store_settings = store::Settings { durability: Durability::Synced, ..store::Settings::default() };
    let mut store = Store::open(&settings.data, &shard::SPACES, &identity, store_settings)?;
    let (params, placement) = (network.params.clone(), network.placement.clone());
    let config = ShardConfig::new(params, me, placement, network.validators.clone(), signer);
    if shard::queries::status(&store.reader()).is_none() {
        store.commit(&Shard::genesis(&config, &convert::genesis(&network.genesis))?)?;
    }
    let reader = store.reader();
    Ok((store, Shard::open(config, &reader)?))
}
