//! A gRPC server with every limit set: services are added, everything else is already so.
//!
//!   accept (bounded, the idlest makes room) -> first bytes, TLS (timed) -> HTTP/2 (streams, headers, resets, keepalive, age)
//!     -> bytes left unread (bounded) -> calls (bounded in all, the rest shed, but no decision) -> peer and token
//!     -> traces -> field bounds -> service
//!
//! The same listener serves HTTP/1.1 for metrics, probes and JSON-RPC: [`serve_http`].
//!
//! Promise (I19): nothing a peer sends, or fails to send or read, grows this process without a bound of
//! [`crate::limits`]. Health and reflection are always there; health needs no token, so that probes work.
//!
//! On a drain it refuses new connections, ends long-lived streams, finishes calls in work, and stops when they are done
//! or after [`DRAIN_TIMEOUT`].

mod auth;
mod body;
mod client;
mod complaints;
mod descriptors;
mod http;
mod lanes;
mod listener;
mod load;
mod proxies;
mod seats;
mod secure;
mod traced;

pub use self::http::{HttpRequest, serve as serve_http};
pub use auth::Access;
pub(crate) use client::{Client, FromAddress};
pub use descriptors::raise as raise_descriptors;
pub use listener::Listener;
pub(crate) use load::refusal;
pub use proxies::{NetworkSyntax, Networks, Proxies, ProxyHeader};
#[cfg(test)]
pub(crate) use seats::Seats;
pub(crate) use seats::{Dismissal, InWork, Seat};

use crate::coordinator::{CoordinatorApi, CoordinatorServer};
use crate::limits::{
    CALL_TIMEOUT, CONNECTION_AGE_MAX, CONNECTION_WINDOW_BYTES, COORDINATOR_MESSAGE_BYTES_MAX, DRAIN_TIMEOUT,
    HEADER_LIST_BYTES_MAX, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, NODE_MESSAGE_BYTES_MAX, OPERATOR_MESSAGE_BYTES_MAX,
    PARTICIPANT_MESSAGE_BYTES_MAX, PENDING_RESETS_COUNT_MAX, RELAY_MESSAGE_BYTES_MAX, SHARD_MESSAGE_BYTES_MAX,
    STREAM_WINDOW_BYTES, STREAMS_COUNT_MAX,
};
use crate::node::{NodeApi, NodeServer};
use crate::operator::{OperatorApi, OperatorServer};
use crate::participant::{ParticipantApi, ParticipantServer};
use crate::proto::v1::coordinator_service_server::CoordinatorServiceServer;
use crate::proto::v1::node_service_server::NodeServiceServer;
use crate::proto::v1::operator_service_server::OperatorServiceServer;
use crate::proto::v1::participant_service_server::ParticipantServiceServer;
use crate::proto::v1::relay_service_server::RelayServiceServer;
use crate::proto::v1::shard_service_server::ShardServiceServer;
use crate::relay::{RelayApi, RelayServer};
use crate::shard::{ShardApi, ShardServer};
use crate::stream::Drain;
use crate::tls::Tls;
use crate::traces::Tracer;
use auth::AccessLayer;
use lanes::LanesLayer;
use load::{AtCall, LoadLayer};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::watch;
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::ServiceBuilder;
use traced::TracedLayer;

/// What differs between servers; the limits do not.
#[derive(Debug, Clone, Default)]
pub struct ServerSettings {
    /// Certificates; none for loopback and for meshes that bring their own.
    pub tls: Option<Tls>,
    /// Who may call.
    pub access: Access,
}

/// Why a server did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The descriptors of this build are broken.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("transport: {}", describe(.0))]
    Transport(#[from] tonic::transport::Error),
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which address.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// The transport hides what went wrong behind a generic sentence; its source says it.
fn describe(error: &tonic::transport::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// A server while services are added to it.
pub struct ServerBuilder {
    settings: ServerSettings,
    routes: RoutesBuilder,
    health: HealthReporter,
    names: Vec<&'static str>,
    draining: watch::Sender<bool>,
    at_call: AtCall,
    tracer: Tracer,
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("settings", &self.settings)
            .field("services", &self.names)
            .finish_non_exhaustive()
    }
}

/// Adds a tonic service with its message bound in both directions.
macro_rules! add {
    ($self:ident, $server:ident, $service:expr, $bytes_max:ident) => {{
        let mut builder = $self;
        let service =
            $server::new($service).max_decoding_message_size($bytes_max).max_encoding_message_size($bytes_max);
        builder.names.push(name_of(&service));
        builder.routes.add_service(service);
        builder
    }};
}

fn name_of<S: NamedService>(_: &S) -> &'static str {
    S::NAME
}

impl ServerBuilder {
    /// A server with health and reflection.
    pub fn new(settings: ServerSettings) -> Result<Self, ServerError> {
        let (health, health_service) = tonic_health::server::health_reporter();
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(crate::proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let mut routes = RoutesBuilder::default();
        // Most tools still ask by the old name.
        let (v1, v1alpha) = (reflection().build_v1()?, reflection().build_v1alpha()?);
        routes.add_service(health_service).add_service(v1).add_service(v1alpha);
        let at_call = AtCall(Arc::new(|| ()));
        let (names, draining, tracer) = (Vec::new(), watch::Sender::new(false), Tracer::default());
        Ok(Self { settings, routes, health, names, draining, at_call, tracer })
    }

    /// Does `at_call` at each call that comes in, whatever becomes of it. It must not wait.
    #[must_use]
    pub fn at_call(self, at_call: impl Fn() + Send + Sync + 'static) -> Self {
        Self { at_call: AtCall(Arc::new(at_call)), ..self }
    }

    /// Continues the traces that calls are part of.
    #[must_use]
    pub fn traced(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// Serves `ParticipantService` by `api`.
    #[must_use]
    pub fn participant<A: ParticipantApi>(self, api: Arc<A>) -> Self {
        add!(self, ParticipantServiceServer, ParticipantServer::new(api), PARTICIPANT_MESSAGE_BYTES_MAX)
    }

    /// Serves `ShardService` by `api`.
    #[must_use]
    pub fn shard<A: ShardApi>(self, api: Arc<A>) -> Self {
        let drain = self.drain();
        add!(self, ShardServiceServer, ShardServer::new(api, drain), SHARD_MESSAGE_BYTES_MAX)
    }

    /// Serves `CoordinatorService` by `api`.
    #[must_use]
    pub fn coordinator<A: CoordinatorApi>(self, api: Arc<A>) -> Self {
        let drain = self.drain();
        add!(self, CoordinatorServiceServer, CoordinatorServer::new(api, drain), COORDINATOR_MESSAGE_BYTES_MAX)
    }

    /// Serves `RelayService` by `api`.
    #[must_use]
    pub fn relay<A: RelayApi>(self, api: Arc<A>) -> Self {
        add!(self, RelayServiceServer, RelayServer::new(api), RELAY_MESSAGE_BYTES_MAX)
    }

    /// Serves `NodeService` by `api`.
    #[must_use]
    pub fn node<A: NodeApi>(self, api: Arc<A>) -> Self {
        add!(self, NodeServiceServer, NodeServer::new(api), NODE_MESSAGE_BYTES_MAX)
    }

    /// Serves `OperatorService` by `api`.
    #[must_use]
    pub fn operator<A: OperatorApi>(self, api: Arc<A>) -> Self {
        add!(self, OperatorServiceServer, OperatorServer::new(api), OPERATOR_MESSAGE_BYTES_MAX)
    }

    /// What tells `grpc.health.v1.Health` how the process is. Services serve from the start; a host that is not ready
    /// says so through this.
    pub fn health(&self) -> Health {
        Health { reporter: self.health.clone(), names: self.names.clone() }
    }

    /// The services alone, for a caller that brings requests without a connection. Of the limits only those of messages and
    /// their fields hold.
    pub fn routes(self) -> tonic::service::Routes {
        self.routes.routes()
    }

    fn drain(&self) -> Drain {
        Drain::new(self.draining.subscribe())
    }

    /// Serves on `listener` until `shutdown` ends, then drains.
    pub async fn serve(self, listener: Listener, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        let health = self.health();
        health.set(ServingStatus::Serving).await;
        let Self { settings, routes, draining, at_call, tracer, .. } = self;
        let layers = ServiceBuilder::new()
            .layer(LoadLayer(at_call))
            .layer(LanesLayer::new())
            .layer(AccessLayer::new(settings.access.clone()))
            .layer(TracedLayer(tracer));
        let router = transport().layer(layers).add_routes(routes.routes());
        let drain = async {
            shutdown.await;
            health.set(ServingStatus::NotServing).await;
            draining.send_replace(true);
        };
        let (mut drained, seats) = (draining.subscribe(), listener.seats());
        let late = async {
            // The sender lives as long as this function: an error cannot be.
            let _ = drained.wait_for(|draining| *draining).await;
            tokio::time::sleep(DRAIN_TIMEOUT).await;
        };
        tokio::select! {
            served = router.serve_with_incoming_shutdown(secure::connections(listener, settings.tls), drain) => Ok(served?),
            () = late => {
                tracing::warn!(connections = seats.count(), "calls did not end in time and were cut off");
                seats.dismiss_all();
                Ok(())
            }
        }
    }
}

/// The state of a server's services, as `grpc.health.v1.Health` tells it.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
    names: Vec<&'static str>,
}

impl Health {
    /// Says of every service, and of the server as a whole, that it is in `status`.
    pub async fn set(&self, status: ServingStatus) {
        self.reporter.set_service_status("", status).await;
        for name in &self.names {
            self.reporter.set_service_status(name, status).await;
        }
    }
}

/// The transport with all its limits.
fn transport() -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .max_concurrent_streams(STREAMS_COUNT_MAX)
        .timeout(CALL_TIMEOUT)
        .http2_max_header_list_size(HEADER_LIST_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_COUNT_MAX))
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        // No grace beside it: with one, tonic 0.14 cuts the connection without ever asking it to go. Streams end by
        // themselves (STREAM_AGE_MAX), so a connection that was asked does go.
        .max_connection_age(CONNECTION_AGE_MAX)
}
