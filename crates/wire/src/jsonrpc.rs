//! Ethereum JSON-RPC over HTTP and WebSocket: the whole network as one chain.
//!
//!   wallet -> CORS, size, connection and batch bounds -> method -> Chain (the node) -> JSON
//!
//! What this chain is: a block is a *slot*. Its number is the slot's, its time follows from the number, its content is
//! what ran at it on all shards, what one shard shows in the order of its log. A slot is shown once it is closed, and then it
//! is final unless a shard was silent: `latest`, `safe` and `finalized` are the same block.
//!
//! Told as it is, not as it is elsewhere: a block's hash is that of its number (BLOCKHASH on every shard), not of its
//! header; `stateRoot` is zero, because each shard has its own; transactions of the protocol itself (deliveries of
//! messages) have type 0x7e, a zero signature and no input. Only the latest state is kept; a question about an older one is
//! answered when it is the same, and refused otherwise.
//!
//! Errors carry geth's codes and texts, which wallets branch on. Source: execution-apis; EIP-1474.

mod block_id;
pub mod chain;
mod error;
mod fees;
mod filters;
mod logs;
mod methods;
mod node;
mod subscriptions;
mod view;

#[cfg(test)]
mod tests;

pub use chain::{AccountView, CallFailure, Chain, Ended, Found, SlotBlock};

use crate::limits::{
    HANDSHAKE_TIMEOUT, JSONRPC_BATCH_COUNT_MAX, JSONRPC_BUFFER_COUNT_MAX, JSONRPC_CONNECTIONS_COUNT_MAX,
    JSONRPC_REQUEST_BYTES_MAX, JSONRPC_RESPONSE_BYTES_MAX, JSONRPC_SUBSCRIPTIONS_COUNT_MAX, KEEPALIVE_INTERVAL,
    KEEPALIVE_TIMEOUT,
};
use jsonrpsee::Methods;
use jsonrpsee::core::traits::IdProvider;
use jsonrpsee::server::{BatchRequestConfig, PingConfig, Server, ServerConfig, ServerHandle};
use jsonrpsee::types::SubscriptionId;
use node::Node;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use tower_http::cors::{Any, CorsLayer};

/// Why the JSON-RPC server did not start.
#[derive(Debug, thiserror::Error)]
pub enum JsonRpcError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Two methods of one name: a mistake of this build.
    #[error("method: {0}")]
    Method(#[from] jsonrpsee::core::RegisterMethodError),
}

/// A running JSON-RPC server. Dropping it stops nothing; call [`JsonRpc::stop`].
#[derive(Debug)]
pub struct JsonRpc {
    address: SocketAddr,
    handle: ServerHandle,
}

impl JsonRpc {
    /// Serves `chain` on `address`; port 0 takes any free one, which [`JsonRpc::address`] tells.
    pub async fn serve<C: Chain>(address: SocketAddr, chain: Arc<C>) -> Result<Self, JsonRpcError> {
        let failed = |source| JsonRpcError::Listen { address, source };
        let cors = CorsLayer::new().allow_origin(Any).allow_methods(Any).allow_headers(Any);
        let server = Server::builder()
            .set_config(config())
            .set_http_middleware(tower::ServiceBuilder::new().layer(cors))
            .build(address)
            .await
            .map_err(failed)?;
        let address = server.local_addr().map_err(failed)?;
        let module = methods(chain)?;
        Ok(Self { address, handle: server.start(module) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops taking calls and waits until those in work are done.
    pub async fn stop(self) {
        // An error means that it has stopped already.
        let _ = self.handle.stop();
        self.handle.stopped().await;
    }
}

/// The methods alone, for a caller that brings requests without a connection.
///
/// # Errors
/// [`JsonRpcError::Method`] if two have one name.
pub fn methods<C: Chain>(chain: Arc<C>) -> Result<Methods, JsonRpcError> {
    Ok(methods::module(Node::new(chain))?.into())
}

fn config() -> ServerConfig {
    ServerConfig::builder()
        .max_request_body_size(JSONRPC_REQUEST_BYTES_MAX)
        .max_response_body_size(JSONRPC_RESPONSE_BYTES_MAX)
        .max_connections(JSONRPC_CONNECTIONS_COUNT_MAX)
        .max_subscriptions_per_connection(JSONRPC_SUBSCRIPTIONS_COUNT_MAX)
        .set_batch_request_config(BatchRequestConfig::Limit(JSONRPC_BATCH_COUNT_MAX))
        .set_message_buffer_capacity(JSONRPC_BUFFER_COUNT_MAX)
        .set_first_request_timeout(Some(HANDSHAKE_TIMEOUT))
        .set_keep_alive(Some(KEEPALIVE_INTERVAL))
        .set_keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .enable_ws_ping(PingConfig::new().ping_interval(KEEPALIVE_INTERVAL).inactive_limit(2 * KEEPALIVE_INTERVAL))
        .set_id_provider(HexIds)
        .build()
}

/// Subscription ids as Ethereum clients expect them: a random number in hex.
#[derive(Debug)]
struct HexIds;

impl IdProvider for HexIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        SubscriptionId::Str(format!("{:#x}", random()).into())
    }
}

/// A number that others cannot guess: whoever knows a filter's or a subscription's id may use it.
pub(crate) fn random() -> u128 {
    let half = || u128::from(RandomState::new().build_hasher().finish());
    (half() << 64) | half()
}
