//! What a coordinator node is told.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

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
}
