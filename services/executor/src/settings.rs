//! What a shard node is told.

use evm::{Environments, NetworkParams};
use host::evidence::Settled;
use host::{Live, LiveSettings, TlsSettings, TracesSettings};
use primitives::Millis;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use wire::quota::Quota;

/// The fewest blocks back whose state is kept.
pub const BLOCKS_KEPT_COUNT_MIN: u64 = 128;

/// For how long the state after a block is kept where nothing is said.
pub const fn history_s_default() -> u64 {
    30 * 60
}

/// For how long what blocks did is kept where nothing is said: a week.
pub const fn bodies_s_default() -> u64 {
    7 * 24 * 60 * 60
}

/// The executor's TOML file; each field may also come from the environment as `DOVETAIL_EXECUTOR_<FIELD>`.
///
/// A field it does not know stops the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The network file, the same on every node.
    pub network: PathBuf,
    /// Which of its shards this node is.
    pub shard: u32,
    /// Where gRPC listens.
    pub listen: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` listen.
    pub metrics_listen: SocketAddr,
    /// The store's folder; made if it is not there.
    pub data: PathBuf,
    /// The signer's mark: what was signed last, kept outside the store's folder so that an old copy of that folder is
    /// refused. None: beside the folder, under its name with `.signed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<PathBuf>,
    /// Evidence of shards that certified two blocks of one height which an operator has looked at, by its id as the log and
    /// `dovetail evidence` show it: these shards are believed again.
    #[serde(default, skip_serializing_if = "Settled::is_empty")]
    pub settled: Settled,
    /// For how many seconds the state after each block is kept; [`BLOCKS_KEPT_COUNT_MIN`] blocks in any case.
    #[serde(default = "history_s_default")]
    pub history_s: u64,
    /// For how many seconds it is kept what blocks did, said and brought about: transactions with their outcomes and logs, and messages
    /// that have ended. Never for less than `history_s`.
    #[serde(default = "bodies_s_default")]
    pub bodies_s: u64,
    /// Whether the state after every block, and what it did, is kept, however old.
    #[serde(default)]
    pub archive: bool,
    /// Where the chain is that the network was forked from, `http://` or `https://`. What was read of it is kept in `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork_url: Option<String>,
    /// The validator's ed25519 secret key: a file of mode 0600. None: the key is in the environment variable
    /// [`host::keys::KEY_VARIABLE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
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
}

impl LiveSettings for Settings {
    const PREFIX: &'static str = "DOVETAIL_EXECUTOR";

    fn take_live(&mut self) -> Live {
        Live { log: self.log.take(), peer_quota: self.peer_quota.take(), client_quota: None }
    }
}

impl Settings {
    /// How many slots back the state is kept.
    pub(crate) fn slots_kept(&self, params: &NetworkParams) -> u64 {
        if self.archive {
            return u64::MAX;
        }
        let slots = self.history_s.saturating_mul(1_000).div_ceil(params.slot_length.0.max(1));
        slots.max(BLOCKS_KEPT_COUNT_MIN)
    }

    /// For how long what blocks did is kept; none for ever. A network that replays another chain's blocks runs what nobody signed, and
    /// knows by what it did that it did it: it forgets nothing.
    pub(crate) fn bodies_kept(&self, params: &NetworkParams) -> Option<Millis> {
        let is_for_ever = self.archive || params.environments == Environments::Replay;
        (!is_for_ever).then(|| Millis(self.bodies_s.max(self.history_s).saturating_mul(1_000)))
    }
}
