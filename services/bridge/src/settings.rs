//! What attestors and carriers are told.

use alloy_primitives::Address;
use chains::chain::Finality;
use chains::hyperlane::IsmKind;
use host::TlsSettings;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// An attestor's TOML file; each field may also come from the environment as `DOVETAIL_ATTESTOR_<FIELD>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestorSettings {
    /// The network file, whose route to `domain` has this attestor's key.
    pub network: PathBuf,
    /// The foreign chain's Hyperlane domain.
    pub domain: u32,
    /// Where carriers read its words, and explorers which transactions it read them in, over HTTP.
    pub listen: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` listen.
    pub metrics_listen: SocketAddr,
    /// The folder of its journal and of evidence; made if it is not there.
    pub data: PathBuf,
    /// Its ed25519 key, for what comes in: a file of mode 0600.
    pub key: PathBuf,
    /// Its secp256k1 key, for what goes out: a file of mode 0600.
    pub checkpoint_key: PathBuf,
    /// The foreign chain's JSON-RPC endpoints, of providers that have nothing to do with each other.
    pub endpoints: Vec<String>,
    /// How many of them have to show the same block.
    pub agree: usize,
    /// The first foreign block that is looked at: the one in which the mailbox was deployed, or a later one.
    pub from_block: u64,
    /// Where its operator reaches it by gRPC (`dovetail bridge`): an address of the loopback, or any with `tls`. Nowhere if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_listen: Option<SocketAddr>,
    /// When a foreign block is final.
    pub finality: Finality,
    /// Certificates to call shards with, and to be called by operators with. None: plain text, on loopback alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSettings>,
    /// Whether shards of other hosts are called in plain text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
}

/// A carrier's TOML file; each field may also come from the environment as `DOVETAIL_CARRIER_<FIELD>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CarrierSettings {
    /// The network file.
    pub network: PathBuf,
    /// The foreign chain's Hyperlane domain.
    pub domain: u32,
    /// Where `/metrics`, `/healthz` and `/readyz` listen.
    pub metrics_listen: SocketAddr,
    /// The folder of its journal and of evidence; made if it is not there.
    pub data: PathBuf,
    /// Where attestors serve their words.
    pub attestors: Vec<String>,
    /// The validators of the foreign mailbox's multisig ISM, in its order.
    pub validators: Vec<Address>,
    /// How many of them that ISM needs.
    pub validators_threshold: usize,
    /// Of which kind that ISM is.
    #[serde(default)]
    pub ism: IsmKind,
    /// The foreign chain's JSON-RPC endpoint that deliveries are sent through. It cannot forge, only withhold.
    pub endpoint: String,
    /// The secp256k1 key of the account that pays there: a file of mode 0600.
    pub key: PathBuf,
    /// The most that a gas may cost there, in gwei.
    pub fee_gwei_max: u64,
    /// After how many seconds without a receipt a delivery is sent again at a higher fee.
    pub patience_s: u64,
    /// Where explorers read, over HTTP, which transactions it has under way there, and why a message waits. Nowhere if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Where its operator reaches it by gRPC (`dovetail bridge`): an address of the loopback, or any with `tls`. Nowhere if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_listen: Option<SocketAddr>,
    /// Certificates to call shards with, and to be called by operators with. None: plain text, on loopback alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSettings>,
    /// Whether shards of other hosts are called in plain text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
}
