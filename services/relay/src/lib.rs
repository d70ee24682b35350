//! A relay node: configuration and wiring.
//!
//! ```text
//!  shards' outboxes --page--> check receipts --> host: relay machine + RocksDB --> deliver, acknowledge --> shards' inboxes
//!  shards' block streams --news--------------------^                                      |
//!                                                  ^------------- answers ----------------'
//! ```
//!
//! Knows the order of starting and stopping, and nothing of what a relay decides. It has no key: nobody has to believe it.

mod api;
mod carrier;
mod operator;
mod pauses;
mod settings;

pub use settings::Settings;

use api::Node;
use carrier::Carrier;
use host::network::{Network, NetworkError};
use host::{
    Bounds, Clock, Health, Host, LiveSettings, OffsetError, Process, ProcessError, Security, Seen, TimeOffset,
    TracesSettings,
};
use pauses::Pauses;
use primitives::Time;
use relay::Relay;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::backup::Subject;
use store::{Durability, Identity, Reader, Store};
use wire::jsonrpc::ClientQuotas;
use wire::server::ServerBuilder;

/// Why a relay node does not start or did not go on.
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
    /// The relay does not open.
    #[error(transparent)]
    Open(#[from] relay::OpenError),
    /// It has no place among those that share the routes.
    #[error("`place` and `relays`: {0}")]
    Share(#[from] relay::ShareError),
    /// It does not know what time it is on a network with cheats.
    #[error(transparent)]
    Offset(#[from] OffsetError),
    /// The folder of evidence cannot be read.
    #[error("the folder of evidence in `data`: {0}")]
    Evidence(#[from] std::io::Error),
    /// Its gRPC would not be guarded, or a shard is not reached by what guards it.
    #[error(transparent)]
    Security(#[from] host::SecurityError),
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
    settings.share()?;
    let network = Network::load(&settings.network)?;
    let security = Security::open(settings.tls.as_ref(), settings.insecure, &network)?.listening(settings.listen)?;
    TracesSettings::check(settings.traces.as_ref(), &security)?;
    host::check_ports(&[settings.metrics_listen, settings.listen])?;
    store::check_folder(&settings.data)?;
    Ok((settings, network, security))
}

/// Runs the relay node that the settings at `config` describe, until SIGTERM or SIGINT.
pub async fn run(config: &Path) -> Result<(), Error> {
    let (settings, network, security) = load(config)?;
    let mut process = Process::start(settings.metrics_listen).await?;
    process.watch_all((config, &settings), (&settings.network, &network), &security, ClientQuotas::default())?;
    let tracer = process.trace(settings.traces.as_ref(), ("relay", &settings.place.to_string()), &security)?;
    let offset = TimeOffset::of_network(&network.params, settings.cheats_clock.as_deref())?;
    let (store, machine) = open(&settings, &network)?;
    let host = Host {
        name: "relay".to_owned(),
        machine,
        store,
        clock: Clock::starting_at(Time(0)).moved_by(offset),
        bounds: Bounds::default(),
        instruments: process.instruments.clone(),
        health: process.health.clone(),
        ticket_of: |reply: &relay::Reply| Some(host::Ticket(api::ticket_of(reply).0)),
    };
    let running = host.spawn().map_err(ProcessError::from)?;
    let verifier = Carrier::verifier(&network);
    let settled = settings.settled.0.clone();
    let seen = Arc::new(Seen::open(&settings.data, settled, &verifier, process.instruments.clone())?);
    let carrier = Carrier::connect(
        &network,
        running.handle.clone(),
        verifier,
        Arc::clone(&seen),
        (process.instruments.clone(), tracer),
        (&security, &process.health),
    )?;
    let carrier = Arc::new(carrier);
    process.tasks.spawn("what it has seen of shards", seen.show(carrier.clients()));
    carrier.listen(&process);
    process.tasks.spawn("the carrier", Arc::clone(&carrier).carry(running.handouts));
    let reader = running.handle.reader();
    let pauses = Pauses::open(&reader.snapshot(), process.health.clone(), process.instruments.clone());
    let itself =
        itself(&network, (process.health.clone(), security.clone()), running.handle.reader(), settings.data.clone());
    let node = Arc::new(Node::new(running.handle, carrier, pauses, network.params.network));
    let server = ServerBuilder::new(security.server())
        .map_err(ProcessError::from)?
        .relay(Arc::clone(&node))
        .operator(node)
        .node(itself);
    Ok(process.serve(server, settings.listen, running.lifeline).await?)
}

fn open(settings: &Settings, network: &Network) -> Result<(Store, Relay), Error> {
    let identity = identity(network);
    let store_settings = store::Settings { durability: Durability::Synced, ..store::Settings::default() };
    let store = Store::open(&settings.data, &relay::spaces::ALL, &identity, store_settings)?;
    let shards = network.placement.shards().collect();
    let reader = store.reader();
    let share = settings.share()?;
    let machine =
        Relay::open(relay::Settings { share, ..relay::Settings::new(network.params.network, shards) }, &reader)?;
    Ok((store, machine))
}

fn identity(network: &Network) -> Identity {
    Identity { kind: "relay".to_owned(), network: network.params.network, name: "relay".to_owned(), key: None }
}

/// The node as far as all kinds are the same: how it is, and copies of its store.
fn itself(network: &Network, known: (Health, Security), reader: Reader, data: PathBuf) -> Arc<host::Node> {
    let (identity, genesis) = (identity(network), network.genesis_digest);
    let subject = Subject { identity, genesis, count: |_| 0, now_ms: 0 };
    Arc::new(host::Node::new("relay".to_owned(), known, reader, data, subject))
}
