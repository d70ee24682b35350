//! A bridge to a foreign chain: attestors that look and sign, a carrier that brings what enough of them signed.
//!
//! ```text
//!   foreign chain --endpoints, k of n--> attestor 0 … n-1 <--outboxes, receipts checked-- shards
//!                                              | words, HTTP
//!   foreign mailbox <--process(metadata)--- carrier ---admit(receipt)--> shards' inboxes
//! ```
//!
//! Knows the order of starting and stopping. Attestors have keys and are believed, a quorum at a time; a carrier has a key that
//! pays on the foreign chain, and nobody has to believe it.

mod api;
pub mod attestor;
mod attestors;
mod carrier;
mod cursor;
mod desk;
mod hops;
mod incoming;
mod letters;
pub mod lint;
mod metrics;
mod operator;
mod outgoing;
mod progress;
mod settings;
mod spoken;
mod tries;
mod words;

pub use settings::{AttestorSettings, CarrierSettings};

use alloy_primitives::B256;
use alloy_signer_local::PrivateKeySigner;
use attestor::{Attestor, Keys, LookError};
use attestors::Attestors;
use carrier::Carrier;
use chains::endpoint::{Endpoint, EndpointError};
use chains::evm::EvmChain;
use chains::submitter::{Submitter, SubmitterSettings};
use desk::Desk;
use host::network::{Network, NetworkError};
use host::{Health, Process, ProcessError, Security, State, TlsSettings, keys};
use incoming::Incoming;
use letters::Direction;
use metrics::Metrics;
use operator::{About, Office};
use outgoing::{Outgoing, Validators};
use primitives::ShardId;
use proof::Route;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wire::server::{Listener, ServerBuilder, serve_http};
use wire::shard::ShardClient;

/// Between two looks of an attestor, and two rounds of a carrier.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How many carriers may read from an attestor at once, and how many explorers from either.
const READERS_COUNT_MAX: usize = 256;

/// How many operators may ask a carrier at once.
const OPERATORS_COUNT_MAX: usize = 16;

/// Why a node of the bridge does not start or did not go on.
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
    /// The bytes are no secp256k1 key.
    #[error("the secp256k1 key: {0}")]
    Secp256k1(String),
    /// The network has no route to the domain.
    #[error("the network file has no route to domain {0}")]
    NoRoute(u32),
    /// The route does not count this key.
    #[error("the route to domain {0} does not name this attestor's key")]
    NotAttestor(u32),
    /// A rule of [`lint`].
    #[error("unsafe settings: {}", .0.join("; "))]
    Unsafe(Vec<String>),
    /// An endpoint is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A shard is not reached by what guards it.
    #[error(transparent)]
    Security(#[from] host::SecurityError),
    /// A port that does not listen.
    #[error(transparent)]
    Server(#[from] wire::server::ServerError),
    /// The folder.
    #[error("the folder `data`: {0}")]
    Data(#[from] io::Error),
}

/// Runs the attestor that the settings at `config` describe, until SIGTERM or SIGINT.
pub async fn run_attestor(config: &Path) -> Result<(), Error> {
    let settings: AttestorSettings = host::load_settings(config, "DOVETAIL_ATTESTOR")?;
    let network = Network::load(&settings.network)?;
    let route = network.route(settings.domain).ok_or(Error::NoRoute(settings.domain))?.clone();
    refuse(lint::attestor(&settings, &route))?;
    let process = Process::start(settings.metrics_listen).await?;
    let keys = Keys { attestation: keys::read_file(&settings.key)?, checkpoint: secp256k1(&settings.checkpoint_key)? };
    route.place_of(&keys.attestation.public()).ok_or(Error::NotAttestor(settings.domain))?;
    let endpoints = settings.endpoints.iter().map(|url| Endpoint::new(url)).collect::<Result<_, _>>()?;
    let terms = route.terms();
    let chain = EvmChain::new(terms.chain_id, terms.mailbox, settings.finality, endpoints, settings.agree);
    let security = security(settings.tls.as_ref(), settings.insecure, &network, settings.operator_listen)?;
    process.watch(&security, vec![security.roles_of(&settings.network, &network)])?;
    let shards = shards(&network, &security)?;
    let opened = Attestor::open(network, settings.domain, chain, keys, &settings.data, settings.from_block)?;
    let mut attestor = opened.ok_or(Error::NoRoute(settings.domain))?;
    let desk = Desk::open(&settings.data.join("paused.json"))?;
    let office = Office { desk: desk.clone(), about: about(&route), words: Some(attestor.words()) };
    serve_operator(settings.operator_listen, office, (&security, &process)).await?;
    let listener = Listener::bind_for(settings.listen, READERS_COUNT_MAX).await?;
    let hops = hops::attestors_router(attestor.words(), route.terms().chain_id);
    let router = api::router(attestor.words()).merge(hops);
    let served = serve_http(listener, router, process.stop.clone().cancelled_owned());
    process.tasks.spawn("words", served);
    process.health.set(State::Ready);
    while !process.stop.is_cancelled() {
        let looked = look(&mut attestor, &shards, &desk).await;
        process.health.remark("looking", looked.err().map(|error| error.to_string()).as_deref());
        pause(&process).await;
    }
    Ok(())
}

/// One look in each direction that is not paused. A route that has stopped coming in still goes out.
async fn look(
    attestor: &mut Attestor<EvmChain>,
    shards: &BTreeMap<ShardId, ShardClient>,
    desk: &Desk,
) -> Result<(), LookError> {
    let looked = if desk.paused(Direction::In).is_none() { attestor.look_in().await.map(drop) } else { Ok(()) };
    if let Err(error) = &looked {
        tracing::warn!(%error, "a look at the foreign chain was not good");
    }
    if desk.paused(Direction::Out).is_none() {
        for (shard, client) in shards {
            while attestor.look_out(*shard, client).await? > 0 {}
        }
    }
    looked
}

/// Runs the carrier that the settings at `config` describe, until SIGTERM or SIGINT.
pub async fn run_carrier(config: &Path) -> Result<(), Error> {
    let settings: CarrierSettings = host::load_settings(config, "DOVETAIL_CARRIER")?;
    let network = Network::load(&settings.network)?;
    let route = network.route(settings.domain).ok_or(Error::NoRoute(settings.domain))?.clone();
    refuse(lint::carrier(&settings, &route))?;
    let metrics = Metrics::default();
    let process = Process::start_with(settings.metrics_listen, |registry| metrics.register(registry)).await?;
    let security = security(settings.tls.as_ref(), settings.insecure, &network, settings.operator_listen)?;
    let desk = desk(&settings, &route, (&security, &process)).await?;
    process.watch(&security, vec![security.roles_of(&settings.network, &network)])?;
    let shards = shards(&network, &security)?;
    let carrier = carrier(settings, network, route, shards, (desk, metrics, process.health.clone()))?;
    process.health.set(State::Ready);
    tokio::select! {
        () = carrier.carry(LOOK_INTERVAL) => {}
        // What is under way is in the journal.
        () = process.stop.cancelled() => {}
    }
    Ok(())
}

/// The desk of a carrier, served to its operator and to explorers if its settings say where.
async fn desk(
    settings: &CarrierSettings,
    route: &Route,
    (security, process): (&Security, &Process),
) -> Result<Desk, Error> {
    std::fs::create_dir_all(&settings.data)?;
    let desk = Desk::open(&settings.data.join("paused.json"))?;
    let office = Office { desk: desk.clone(), about: about(route), words: None };
    serve_operator(settings.operator_listen, office, (security, process)).await?;
    if let Some(address) = settings.listen {
        let listener = Listener::bind_for(address, READERS_COUNT_MAX).await?;
        let router = hops::carriers_router(desk.clone(), route.terms().chain_id);
        process.tasks.spawn("hops", serve_http(listener, router, process.stop.clone().cancelled_owned()));
    }
    Ok(desk)
}

/// What guards this node's calls, and its operator's port if it has one.
fn security(
    tls: Option<&TlsSettings>,
    is_insecure: bool,
    network: &Network,
    operator_listen: Option<SocketAddr>,
) -> Result<Security, Error> {
    let security = Security::open(tls, is_insecure, network)?;
    Ok(operator_listen.map_or(Ok(security.clone()), |listen| security.listening(listen))?)
}

async fn serve_operator(
    at: Option<SocketAddr>,
    office: Office,
    (security, process): (&Security, &Process),
) -> Result<(), Error> {
    if let Some(address) = at {
        let listener = Listener::bind_for(address, OPERATORS_COUNT_MAX).await?;
        let server = ServerBuilder::new(security.server())?.operator(Arc::new(office));
        process.tasks.try_spawn("operator", server.serve(listener, process.stop.clone().cancelled_owned()));
    }
    Ok(())
}

fn about(route: &Route) -> About {
    let terms = route.terms();
    About { domain: terms.domain, chain_id: terms.chain_id, mailbox: terms.mailbox }
}

fn carrier(
    settings: CarrierSettings,
    network: Network,
    route: Route,
    shards: BTreeMap<ShardId, ShardClient>,
    (desk, metrics, health): (Desk, Metrics, Health),
) -> Result<Carrier, Error> {
    let submitting = SubmitterSettings {
        chain_id: route.terms().chain_id,
        mailbox: route.terms().mailbox,
        fee_max: u128::from(settings.fee_gwei_max) * 1_000_000_000,
        patience: Duration::from_secs(settings.patience_s),
        journal: settings.data.join("flights"),
    };
    let submitter = Submitter::open(submitting, Endpoint::new(&settings.endpoint)?, secp256k1(&settings.key)?)?;
    let validators =
        Validators { addresses: settings.validators, threshold: settings.validators_threshold, ism: settings.ism };
    let attestors = Attestors::new(settings.attestors);
    let data = &settings.data;
    let outgoing = Outgoing::open(network.clone(), validators, submitter, shards.clone(), attestors.clone(), data)?;
    let incoming = Incoming::open(network, route, shards, attestors, data)?;
    Ok(Carrier { incoming, outgoing, desk, metrics, health })
}

async fn pause(process: &Process) {
    tokio::select! {
        () = tokio::time::sleep(LOOK_INTERVAL) => {}
        () = process.stop.cancelled() => {}
    }
}

fn refuse(faults: Vec<String>) -> Result<(), Error> {
    if faults.is_empty() { Ok(()) } else { Err(Error::Unsafe(faults)) }
}

fn shards(network: &Network, security: &Security) -> Result<BTreeMap<ShardId, ShardClient>, Error> {
    let open = |(shard, endpoint): (&ShardId, &String)| {
        Ok::<_, Error>((*shard, ShardClient::new(security.connect(endpoint)?)))
    };
    network.endpoints.iter().map(open).collect()
}

/// The secp256k1 key in a file: 32 bytes of hex, as an ed25519 one is kept.
fn secp256k1(path: &Path) -> Result<PrivateKeySigner, Error> {
    let secret = B256::new(*keys::read_file(path)?.to_bytes());
    PrivateKeySigner::from_bytes(&secret).map_err(|error| Error::Secp256k1(error.to_string()))
}
