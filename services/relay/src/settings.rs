//! What a relay node is told.

use host::evidence::Settled;
use host::{Live, LiveSettings, TlsSettings, TracesSettings};
use relay::{Share, ShareError};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use wire::quota::Quota;

/// The relay's TOML file; each field may also come from the environment as `DOVETAIL_RELAY_<FIELD>`.
///
/// A field it does not know stops the start. A relay has no key: nobody has to believe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The network file, the same on every node.
    pub network: PathBuf,
    /// Where gRPC listens.
    pub listen: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` listen.
    pub metrics_listen: SocketAddr,
    /// The store's folder; made if it is not there.
    pub data: PathBuf,
    /// How many relays share the routes; 1 where it is left out.
    #[serde(default = "alone", skip_serializing_if = "is_alone")]
    pub relays: u32,
    /// Which of them this is, from 0.
    #[serde(default, skip_serializing_if = "is_first")]
    pub place: u32,
    /// Evidence of shards that certified two blocks of one height which an operator has looked at, by its id as the log and
    /// `dovetail evidence` show it: these shards are believed again.
    #[serde(default, skip_serializing_if = "Settled::is_empty")]
    pub settled: Settled,
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

fn alone() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
fn is_alone(relays: &u32) -> bool {
    *relays == 1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
fn is_first(place: &u32) -> bool {
    *place == 0
}

impl Settings {
    /// Its place among the relays.
    ///
    /// # Errors
    /// [`ShareError`]: there is no such place.
    pub(crate) fn share(&self) -> Result<Share, ShareError> {
        Share::new(self.place, self.relays)
    }
}

impl LiveSettings for Settings {
    const PREFIX: &'static str = "DOVETAIL_RELAY";

    fn take_live(&mut self) -> Live {
        Live { log: self.log.take(), peer_quota: self.peer_quota.take(), client_quota: None }
    }
}
