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
mod node;
mod participant;
mod peers;
mod roots;
mod settings;
mod shard_api;

pub use settings::Settings;

use checks::Checks;
use host::network::{Network, NetworkError};
use host::{Bounds, Clock, Health, Host, Instruments, State, keys};
use node::Node;
use primitives::{ShardId, Time};
use proof::Signer;
use shard::{Shard, ShardConfig};
use std::path::Path;
use std::sync::Arc;
use store::{Durability, Identity, Store};
use tokio::net::TcpListener;
use wire::server::{Listener, ServerBuilder, ServerSettings};

/// Why a shard node does not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Logging could not be set up.
    #[error(transparent)]
    Logging(#[from] host::logging::LoggingError),
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
    /// The host stopped.
    #[error(transparent)]
    Host(#[from] host::HostError),
    /// gRPC does not listen or failed.
    #[error(transparent)]
    Server(#[from] wire::server::ServerError),
    /// A peer's endpoint is no endpoint.
    #[error("a peer's endpoint: {0}")]
    Peer(#[from] wire::client::ConnectError),
    /// The metrics endpoint or the signals.
    #[error("cannot serve metrics or take signals: {0}")]
    System(#[from] std::io::Error),
}

/// Runs the shard node that the settings at `config` describe, until SIGTERM or SIGINT.
pub async fn run(config: &Path) -> Result<(), Error> {
    host::logging::init()?;
    let settings: Settings = host::load_settings(config, "DOVETAIL_EXECUTOR")?;
    let network = Network::load(&settings.network)?;
    let me = ShardId(settings.shard);
    let stop = host::shutdown::on_signal()?;
    let health = Health::new();
    let mut registry = prometheus_client::registry::Registry::with_prefix("dovetail");
    let instruments = Instruments::register(&mut registry);
    let metrics = TcpListener::bind(settings.metrics_listen).await?;
    tokio::spawn(host::serve_http(metrics, Arc::new(registry), health.clone(), stop.clone()));

    let signer = Signer::new(keys::read_file(&settings.key)?, network.validators(me)?)?;
    let (store, machine) = open(&settings, &network, me, signer)?;
    let clock = Clock::starting_at(shard::queries::status(&store.reader()).map_or(Time(0), |status| status.attested));
    let host = Host {
        name: format!("shard {me}"),
        machine,
        store,
        clock,
        bounds: Bounds::default(),
        instruments,
        ticket_of: |reply: &shard::Reply| Some(host::Ticket(reply.ticket.0)),
    };
    let running = host.spawn()?;
    let checks = Arc::new(Checks::new(&network));
    let node = Arc::new(Node { handle: running.handle, checks, network, me });
    let peers = peers::connect(&node)?;
    tokio::spawn(peers::carry(Arc::clone(&node), peers, running.handouts));
    tokio::spawn(roots::follow(Arc::clone(&node)));

    let listener = Listener::bind(settings.listen).await?;
    let server = ServerBuilder::new(ServerSettings::default())?.shard(Arc::clone(&node)).participant(node);
    health.set(State::Ready);
    tracing::info!(shard = %me, address = %listener.address(), "shard node serves");
    let mut lifeline = running.lifeline;
    let served = tokio::select! {
        served = server.serve(listener, stop.clone().cancelled_owned()) => served,
        ended = lifeline.ended() => return Ok(ended?),
    };
    health.set(State::Draining);
    lifeline.drain();
    lifeline.ended().await?;
    Ok(served?)
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
    let config = ShardConfig {
        params: network.params.clone(),
        me,
        placement: network.placement.clone(),
        validators: network.validators.clone(),
        signer,
    };
    if shard::queries::status(&store.reader()).is_none() {
        store.commit(&Shard::genesis(&config, &convert::genesis(&network.genesis))?)?;
    }
    let reader = store.reader();
    Ok((store, Shard::open(config, &reader)?))
}
