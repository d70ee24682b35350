//! Ethereum JSON-RPC over HTTP and WebSocket: the whole network as one chain.
//!
//!   wallet -> connection, time, CORS, size and batch bounds -> meter of work and bytes -> method -> Chain (the node) -> JSON
//!
//! What this chain is: a block is a *slot*. Its number is the slot's, its time follows from the number, its content is
//! what ran at it on all shards, what one shard shows in the order of its log. A slot is shown once it is closed, and then it
//! is final unless a shard was silent: `latest`, `safe` and `finalized` are the same block.
//!
//! Told as it is, not as it is elsewhere: a block's hash is that of its number (BLOCKHASH on every shard), not of its
//! header; `stateRoot` is zero, because each shard has its own; transactions of the protocol itself (deliveries of
//! messages) have type 0x7e, a zero signature and no input, and stand in the tries as their hash. The state after a block
//! is told as long as it is kept, and a question about an older one is refused.
//!
//! Errors carry geth's codes and texts, which wallets branch on. Source: execution-apis; EIP-1474.

mod arguments;
mod block_id;
mod call;
pub mod chain;
mod cheats;
mod door;
mod entry;
mod error;
mod fees;
mod filters;
mod heavy;
mod ids;
mod intake;
mod logs;
mod meter;
mod methods;
mod network_form;
mod node;
mod otterscan;
mod parties;
mod shares;
mod simulate;
mod simulate_v1;
mod site;
mod subscriptions;
mod trace;
mod view;

#[cfg(test)]
mod tests;

pub use chain::{
    AccountView, Candidates, Chain, Ended, Found, LogQuery, Moment, Readiness, Run, RunFailure, SlotBlock, UnderWay,
    pruned,
};
pub use cheats::{Command, Done};
pub use entry::Entry;
pub use intake::{ARRIVALS_COUNT_MAX, Arrival, Intake, Page};
pub use parties::{Order, nonce, parties};
pub use site::{Inside, LOOK_BYTES_MAX, Look, Refused, Shown, Site, Telling, Told};

use crate::limits::{
    JSONRPC_BATCH_COUNT_MAX, JSONRPC_BUFFER_COUNT_MAX, JSONRPC_CONNECTIONS_COUNT_MAX, JSONRPC_REQUEST_BYTES_MAX,
    JSONRPC_RESPONSE_BYTES_MAX, JSONRPC_SUBSCRIPTIONS_COUNT_MAX, KEEPALIVE_INTERVAL,
};
use crate::quota::{Buckets, Quota};
use crate::server::{Client, Listener, Proxies, ServerError, serve_http};
use door::{Door, Ready};
use heavy::Heavy;
use jsonrpsee::Methods;
use jsonrpsee::core::middleware::RpcServiceBuilder;
use jsonrpsee::core::traits::IdProvider;
use jsonrpsee::server::{BatchRequestConfig, PingConfig, Server, ServerConfig, stop_channel};
use jsonrpsee::types::SubscriptionId;
use meter::MeterLayer;
use node::Node;
use shares::Shares;
use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use tower::ServiceBuilder;
use tower_http::cors::{Any, CorsLayer};

/// Why the JSON-RPC server did not start.
#[derive(Debug, thiserror::Error)]
pub enum JsonRpcError {
    /// The address cannot be bound.
    #[error(transparent)]
    Listen(#[from] ServerError),
    /// Two methods of one name: a mistake of this build.
    #[error("method: {0}")]
    Method(#[from] jsonrpsee::core::RegisterMethodError),
}

/// How many calls each client may make, whatever connections it makes them over. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct ClientQuotas(Buckets<Client>);

impl ClientQuotas {
    /// Another quota from the next call on; none, and nothing is counted.
    pub fn set(&self, quota: Option<Quota>) {
        self.0.set(quota);
    }
}

/// A JSON-RPC server that listens and does not serve yet.
#[derive(Debug)]
pub struct JsonRpc {
    listener: Listener,
    methods: Methods,
    heavy: Heavy,
    readiness: Ready,
    proxies: Proxies,
    site: Option<Arc<dyn Site>>,
    quotas: ClientQuotas,
}

impl JsonRpc {
    /// Listens for `chain` on `address`; port 0 takes any free one, which [`JsonRpc::address`] tells.
    pub async fn bind<C: Chain>(address: SocketAddr, chain: Arc<C>) -> Result<Self, JsonRpcError> {
        let listener = Listener::bind_for(address, JSONRPC_CONNECTIONS_COUNT_MAX as usize).await?;
        let heavy = Heavy::default();
        let methods = methods::module(Node::new(Arc::clone(&chain), heavy.clone()))?.into();
        Ok(Self {
            listener,
            methods,
            heavy,
            readiness: Ready::of(chain),
            proxies: Proxies::default(),
            site: None,
            quotas: ClientQuotas::default(),
        })
    }

    /// Behind `proxies`, which say whom a request is from.
    #[must_use]
    pub fn behind(self, proxies: Proxies) -> Self {
        Self { proxies, ..self }
    }

    /// With `site` beside the methods.
    #[must_use]
    pub fn beside(self, site: Arc<dyn Site>) -> Self {
        Self { site: Some(site), ..self }
    }

    /// With a quota for each client; by default there is none.
    #[must_use]
    pub fn within(self, quotas: ClientQuotas) -> Self {
        Self { quotas, ..self }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Serves until `shutdown` ends; then takes no more calls and waits for those in work, but not for ever.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let cors = CorsLayer::new().allow_origin(Any).allow_methods(Any).allow_headers(Any).allow_private_network(true);
        let (stop, handle) = stop_channel();
        let builder = Server::builder()
            .set_config(config())
            .set_http_middleware(ServiceBuilder::new().layer(cors))
            .set_rpc_middleware(RpcServiceBuilder::new().layer(MeterLayer(
                self.heavy,
                Shares::default(),
                self.quotas.0.clone(),
            )))
            .to_service_builder();
        let proxies = Arc::new(self.proxies);
        let buckets = self.quotas.0;
        let (readiness, site) = (self.readiness, self.site);
        let door = Door { builder, methods: self.methods, stop, readiness, proxies, site, buckets };
        let shutdown = async {
            shutdown.await;
            // An error means that it has stopped already.
            let _ = handle.stop();
        };
        serve_http(self.listener, door, shutdown).await;
    }
}

/// The methods alone, for a caller that brings requests without a connection.
///
/// # Errors
/// [`JsonRpcError::Method`] if two have one name.
pub fn methods<C: Chain>(chain: Arc<C>) -> Result<Methods, JsonRpcError> {
    Ok(methods::module(Node::new(chain, Heavy::default()))?.into())
}

fn config() -> ServerConfig {
    ServerConfig::builder()
        .max_request_body_size(JSONRPC_REQUEST_BYTES_MAX)
        .max_response_body_size(JSONRPC_RESPONSE_BYTES_MAX)
        .max_connections(JSONRPC_CONNECTIONS_COUNT_MAX)
        .max_subscriptions_per_connection(JSONRPC_SUBSCRIPTIONS_COUNT_MAX)
        .set_batch_request_config(BatchRequestConfig::Limit(JSONRPC_BATCH_COUNT_MAX))
        .set_message_buffer_capacity(JSONRPC_BUFFER_COUNT_MAX)
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
