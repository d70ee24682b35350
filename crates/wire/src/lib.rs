//! Everything that enters or leaves as bytes: protobuf, gRPC, Ethereum JSON-RPC.
//!
//! ```text
//!   bytes -> bounds -> protobuf -> TryFrom -> values of the project -> an `*Api` of a service      (server)
//!   values of the project -> a typed client -> protobuf -> bytes                                    (client)
//!   JSON -> Ethereum JSON-RPC -> a `Chain`                                                          (wallets)
//! ```
//!
//! Promise (I19): every message, list, text, stream, connection and wait has a bound, named in [`limits`], and lists and
//! byte strings are held to theirs before anything is decoded. Every refusal is one of a closed list of reasons.
//!
//! Protobuf is never hashed, signed or stored; what is travels inside it as opaque canonical bytes.
//!
//! Knows nothing of how a service does what it is asked: services implement [`participant::ParticipantApi`],
//! [`shard::ShardApi`], [`coordinator::CoordinatorApi`], [`relay::RelayApi`], [`node::NodeApi`],
//! [`operator::OperatorApi`] and [`jsonrpc::Chain`].

mod batch;
pub mod bounds;
pub mod client;
pub mod codec;
pub mod convert;
pub mod coordinator;
pub mod hops;
pub mod jsonrpc;
pub mod limits;
pub mod node;
pub mod operator;
pub mod participant;
pub mod proto;
pub mod quota;
pub mod rejection;
pub mod relay;
pub mod roles;
pub mod server;
pub mod shard;
pub mod state;
mod status;
mod stream;
pub mod tls;
pub mod traces;

pub use convert::ConvertError;
pub use rejection::{Reason, Rejection};
pub use status::ERROR_DOMAIN;
