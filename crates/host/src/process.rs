//! A service's process from start to end: logging, signals, health, metrics; then serve, and drain when asked to.
//!
//! ```text
//! start: logging -> signals -> /metrics /healthz /readyz (not ready)
//! serve: listen -> ready -> SIGTERM | the host ends | a task fails
//!        -> not ready -> calls finish -> queue drains -> store synced -> end
//! ```

use crate::{Health, HostError, Instruments, State, TaskFailed, Tasks, logging, serve_http, shutdown};
use prometheus_client::registry::Registry;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use wire::server::{Listener, ServerBuilder, ServerError};

/// Why a process does not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Logging could not be set up.
    #[error(transparent)]
    Logging(#[from] logging::LoggingError),
    /// The host stopped.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A task beside the host failed.
    #[error(transparent)]
    Task(#[from] TaskFailed),
    /// gRPC does not listen or failed.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The metrics endpoint does not listen, or signals are refused.
    #[error("cannot serve metrics on {address}: {error}")]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The system refuses signal handlers.
    #[error("cannot take signals: {0}")]
    Signals(io::Error),
}

/// A process that has started and does not serve yet.
#[derive(Debug)]
pub struct Process {
    /// Cancelled when the process is asked to stop.
    pub stop: CancellationToken,
    /// What it says about itself.
    pub health: Health,
    /// Where its host counts.
    pub instruments: Instruments,
    /// What runs beside its host, and must.
    pub tasks: Tasks,
}

impl Process {
    /// Sets up logging, signals and the HTTP endpoint for metrics and probes.
    pub async fn start(metrics_listen: SocketAddr) -> Result<Self, ProcessError> {
        logging::init()?;
        let stop = shutdown::on_signal().map_err(ProcessError::Signals)?;
        let health = Health::new();
        let mut registry = Registry::with_prefix("dovetail");
        let instruments = Instruments::register(&mut registry);
        health.register(&mut registry);
        let failed = |error| ProcessError::Metrics { address: metrics_listen, error };
        let listener = TcpListener::bind(metrics_listen).await.map_err(failed)?;
        tokio::spawn(serve_http(listener, Arc::new(registry), health.clone(), CancellationToken::new()));
        Ok(Self { stop, health, instruments, tasks: Tasks::new() })
    }

    /// Serves gRPC until the process is asked to stop, the host ends or a task beside it fails; then drains both.
    pub async fn serve(
        self,
        server: ServerBuilder,
        listen: SocketAddr,
        lifeline: crate::Lifeline,
    ) -> Result<(), ProcessError> {
        self.serve_when(std::future::ready(()), server, listen, lifeline).await
    }

    /// The same for a process that is ready only when `able` says so; it serves before.
    pub async fn serve_when(
        self,
        able: impl Future<Output = ()>,
        server: ServerBuilder,
        listen: SocketAddr,
        mut lifeline: crate::Lifeline,
    ) -> Result<(), ProcessError> {
        let listener = Listener::bind(listen).await?;
        tracing::info!(address = %listener.address(), "gRPC served");
        let ready = async {
            able.await;
            self.health.set(State::Ready);
            std::future::pending::<()>().await;
        };
        let grpc = server.serve(listener, self.stop.clone().cancelled_owned());
        tokio::pin!(grpc);
        let outcome = tokio::select! {
            outcome = &mut grpc => outcome,
            () = ready => Ok(()),
            ended = lifeline.ended() => return Ok(ended?),
            failed = self.tasks.failed() => return end_with(failed, lifeline).await,
            () = self.stop.cancelled() => {
                self.health.set(State::Draining);
                grpc.await
            }
        };
        lifeline.drain();
        lifeline.ended().await?;
        Ok(outcome?)
    }
}

/// Brings what is queued to the store, and ends with the failure.
async fn end_with(failed: TaskFailed, mut lifeline: crate::Lifeline) -> Result<(), ProcessError> {
    lifeline.drain();
    lifeline.ended().await?;
    Err(failed.into())
}
