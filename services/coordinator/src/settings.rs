//! What a coordinator node is told.

use coordinator::Timing;
use evm::NetworkParams;
use host::evidence::Settled;
use host::{Live, LiveSettings, TlsSettings, TracesSettings};
use primitives::Millis;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use wire::quota::Quota;
use wire::server::{Networks, Proxies, ProxyHeader};

/// The shortest time to an attempt's deadline: votes take two round trips and two synced writes.
pub const ATTEMPT_MS_MIN: u64 = 100;

/// The longest: shards refuse what lies [`commit::participant::DEADLINE_AHEAD_MAX`] ahead of their own clocks.
pub const ATTEMPT_MS_MAX: u64 = 25_000;

/// The fewest blocks back that the chain index keeps.
pub const BLOCKS_KEPT_COUNT_MIN: u64 = 128;

/// The coordinator's TOML file; each field may also come from the environment as `DOVETAIL_COORDINATOR_<FIELD>`.
///
/// A field it does not know stops the start. A coordinator has no key: nobody has to believe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The network file, the same on every node.
    pub network: PathBuf,
    /// Where gRPC listens.
    pub listen: SocketAddr,
    /// Where Ethereum JSON-RPC listens, HTTP and WebSocket.
    pub rpc_listen: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` listen.
    pub metrics_listen: SocketAddr,
    /// The store's folder; made if it is not there.
    pub data: PathBuf,
    /// Evidence of shards that certified two blocks of one height which an operator has looked at, by its id as the log and
    /// `dovetail evidence` show it: these shards are believed again.
    #[serde(default, skip_serializing_if = "Settled::is_empty")]
    pub settled: Settled,
    /// The networks of the proxies that stand before `rpc_listen` and are believed when they say whom a request is from, as in
    /// `["10.0.0.0/8"]`; none where nothing is said, and then every connection is a client.
    #[serde(default, skip_serializing_if = "Networks::is_empty")]
    pub trusted_proxies: Networks,
    /// The header in which they all say it: `x-forwarded-for` or `forwarded`.
    #[serde(default)]
    pub proxy_header: ProxyHeader,
    /// The gRPC endpoints of relays, as URIs, whose word on messages the explorer tells; none where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<String>,
    /// Where attestors and carriers of bridges listen for explorers, as URLs, whose word on transactions of foreign chains the explorer
    /// tells; none where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bridges: Vec<String>,
    /// For how many seconds the chain index keeps what blocks show; [`BLOCKS_KEPT_COUNT_MIN`] blocks in any case. None: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_keep_s: Option<u64>,
    /// From the begin of an attempt to its deadline, in milliseconds: how long participants wait for a coordinator that is gone.
    #[serde(default = "attempt_ms_default")]
    pub attempt_ms: u64,
    /// The file that says how far time was moved, the same for all nodes: on a network with cheats, and on no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cheats_clock: Option<PathBuf>,
    /// Certificates for gRPC. None: plain text, on loopback alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSettings>,
    /// Whether gRPC is in plain text where others reach it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// Where traces of transactions and messages go. None: nothing is traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traces: Option<TracesSettings>,
    /// What is logged, as `DOVETAIL_LOG` says it and in its place; taken anew while the node runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// How many calls each peer of gRPC may make; taken anew while the node runs. None: as many as the port takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_quota: Option<Quota>,
    /// How many calls each client of JSON-RPC may make; taken anew while the node runs. None: as many as the port takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_quota: Option<Quota>,
}

impl LiveSettings for Settings {
    const PREFIX: &'static str = "DOVETAIL_COORDINATOR";

    fn take_live(&mut self) -> Live {
        Live { log: self.log.take(), peer_quota: self.peer_quota.take(), client_quota: self.client_quota.take() }
    }
}

/// [`Settings::attempt_ms`] where nothing is said.
pub fn attempt_ms_default() -> u64 {
    Timing::default().attempt.0
}

impl Settings {
    /// Whom JSON-RPC believes about clients.
    pub(crate) fn proxies(&self) -> Proxies {
        Proxies { trusted: self.trusted_proxies.clone(), header: self.proxy_header }
    }

    /// How many slots back the chain index keeps; none for all.
    pub(crate) fn slots_kept(&self, params: &NetworkParams) -> Option<u64> {
        let slots = self.index_keep_s?.saturating_mul(1_000).div_ceil(params.slot_length.0.max(1));
        Some(slots.max(BLOCKS_KEPT_COUNT_MIN))
    }

    /// The machine's patience.
    ///
    /// # Errors
    /// [`AttemptOutOfBounds`].
    pub(crate) fn timing(&self) -> Result<Timing, AttemptOutOfBounds> {
        let actual = self.attempt_ms;
        if !(ATTEMPT_MS_MIN..=ATTEMPT_MS_MAX).contains(&actual) {
            return Err(AttemptOutOfBounds { actual });
        }
        Ok(Timing { attempt: Millis(actual), ..Timing::default() })
    }
}

/// A deadline that no attempt can keep, or that no shard takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("attempt_ms is {actual}, allowed are {ATTEMPT_MS_MIN} to {ATTEMPT_MS_MAX}")]
pub struct AttemptOutOfBounds {
    actual: u64,
}
