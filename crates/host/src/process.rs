//! A service's process from start to end: logging, signals, health, metrics; then serve, and drain when asked to.
//!
//! ```text
//! start: logging -> signals -> /metrics /healthz /readyz (not ready)
//! serve: listen -> ready -> SIGTERM | the host ends | a task fails
//!        -> not ready -> calls finish -> queue drains -> store synced -> end
//! ```
//!
//! Promise: a process is whole or ends. A task that must run and panics ends it with an error; a drain that hangs is ended by force.

use crate::live::{self, LiveSettings, Users};
use crate::logging::Filter;
use crate::network::Network;
use crate::reload::{Apply, Part, Reload};
use crate::{
    Health, HostError, Instruments, Security, SecurityError, State, TaskFailed, Tasks, TracesSettings, logging, panics,
    serve_http, shutdown, traces,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use wire::jsonrpc::ClientQuotas;
use wire::limits::METRICS_CONNECTIONS_COUNT_MAX;
use wire::server::{Listener, ServerBuilder, ServerError};
use wire::traces::Tracer;

/// Why a process does not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Logging could not be set up.
    #[error(transparent)]
    Logging(#[from] logging::LoggingError),
    /// The host stopped.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A port does not listen, or gRPC failed.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A task beside the host failed.
    #[error(transparent)]
    Task(#[from] TaskFailed),
    /// A setting that may change while the process runs cannot be used.
    #[error("the settings: {0}")]
    Live(String),
    /// The system refuses signal handlers, or the parent asked for something unknown.
    #[error("cannot be told when to stop: {0}")]
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
    beside: Vec<oneshot::Receiver<()>>,
    filter: Filter,
    tracer: Tracer,
}

impl Process {
    /// Sets up logging, signals and the HTTP endpoint for metrics and probes.
    pub async fn start(metrics_listen: SocketAddr) -> Result<Self, ProcessError> {
        Self::start_with(metrics_listen, |_| ()).await
    }

    /// The same with instruments of the service's own, entered by `register` in the registry whose prefix is `dovetail`.
    pub async fn start_with(
        metrics_listen: SocketAddr,
        register: impl FnOnce(&mut Registry),
    ) -> Result<Self, ProcessError> {
        let (lines_lost, filter) = logging::init()?;
        raise_descriptors();
        let panics_counted = Counter::default();
        panics::log(panics_counted.clone());
        let stop = shutdown::on_signal().map_err(ProcessError::Signals)?;
        shutdown::with_parent(&stop).map_err(ProcessError::Signals)?;
        let health = Health::new();
        let mut registry = Registry::with_prefix("dovetail");
        registry.register("log_lines_lost", "Lines of the log that could not be written", lines_lost);
        registry.register("panics", "Panics, each a bug; the log has where", panics_counted);
        let instruments = Instruments::register(&mut registry);
        health.register(&mut registry);
        register(&mut registry);
        let listener = Listener::bind_for(metrics_listen, METRICS_CONNECTIONS_COUNT_MAX).await?;
        // It says how the drain goes, so it stays until the end.
        let tasks = Tasks::new();
        tasks.spawn("metrics", serve_http(listener, Arc::new(registry), health.clone(), CancellationToken::new()));
        let drain = stop.clone();
        tasks.spawn("drain watch", async move {
            drain.cancelled().await;
            shutdown::end_by_force_later();
        });
        Ok(Self { stop, health, instruments, tasks, beside: Vec::new(), filter, tracer: Tracer::default() })
    }

    /// Puts the settings into use that may change while the process runs, and exchanges them with `security` and the roles of `network`
    /// when their files change or on SIGHUP.
    ///
    /// # Errors
    /// If what `settings` say cannot be used, or the system refuses the handler.
    pub fn watch_all<T: LiveSettings>(
        &self,
        (config, settings): (&Path, &T),
        (file, network): (&Path, &Network),
        security: &Security,
        clients: ClientQuotas,
    ) -> Result<(), ProcessError> {
        let users = Users { filter: self.filter.clone(), security: security.clone(), clients };
        users.prepare(&settings.clone().take_live()).map_err(ProcessError::Live)?();
        let settings = live::part(config, settings, users);
        self.watch(security, vec![settings, security.roles_of(file, network)])
    }

    /// Traces what this process does to the collector of `settings`, as the node that is called so, one of its `kind`.
    ///
    /// # Errors
    /// When the collector is not reached by what guards the node's other calls.
    pub fn trace(
        &mut self,
        settings: Option<&TracesSettings>,
        (kind, name): (&str, &str),
        security: &Security,
    ) -> Result<Tracer, SecurityError> {
        let (tracer, exporter) = traces::open(settings, (kind, name), security, &self.instruments)?;
        if let Some(exporter) = exporter {
            self.tasks.spawn("the exporter of traces", exporter);
        }
        self.tracer = tracer.clone();
        Ok(tracer)
    }

    /// Exchanges what `security` and further `parts` say while the process runs: on SIGHUP, and when their files change.
    ///
    /// # Errors
    /// When the system refuses the handler.
    pub fn watch(&self, security: &Security, mut parts: Vec<Part>) -> Result<(), ProcessError> {
        security.tell();
        parts.extend(security.certificates());
        parts.push(self.expiry(security));
        let reload = Reload::new(parts, self.instruments.clone());
        let watch = reload.watch(self.stop.clone()).map_err(ProcessError::Signals)?;
        self.tasks.spawn("reload", watch);
        Ok(())
    }

    /// The gauge of the certificate's end, set now and after each exchange.
    fn expiry(&self, security: &Security) -> Part {
        let (security, instruments) = (security.clone(), self.instruments.clone());
        let set = move || security.until_s().into_iter().for_each(|until_s| instruments.certificate_until(until_s));
        set();
        Part::new("gauges", Vec::new(), move || Ok((String::new(), Box::new(set.clone()) as Apply)))
    }

    /// Serves something else beside gRPC. It has to end by itself when the process stops; the host waits for that, so that
    /// calls in work are answered.
    pub fn serve_beside(&mut self, name: &'static str, server: impl Future<Output = ()> + Send + 'static) {
        let (end, ended) = oneshot::channel::<()>();
        self.beside.push(ended);
        self.tasks.spawn(name, async move {
            server.await;
            drop(end);
        });
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
        let calls = self.instruments.calls.clone();
        let server = server.traced(self.tracer.clone()).at_call(move || {
            calls.inc();
        });
        let grpc = server.serve(listener, self.stop.clone().cancelled_owned());
        tokio::pin!(grpc);
        let outcome = tokio::select! {
            outcome = &mut grpc => outcome,
            () = ready => Ok(()),
            ended = lifeline.ended() => return Ok(ended?),
            failed = self.tasks.failed() => {
                self.health.set(State::Failed(failed.to_string()));
                self.stop.cancel();
                return end_with(failed, lifeline).await;
            }
            () = self.stop.cancelled() => {
                self.health.set(State::Draining);
                grpc.await
            }
        };
        for ended in self.beside {
            // An error is the end itself: nothing is ever sent.
            let _ = ended.await;
        }
        lifeline.drain();
        lifeline.ended().await?;
        self.tracer.flush().await;
        Ok(outcome?)
    }
}

/// A refusal is no reason not to start: listeners take their share of what there is.
fn raise_descriptors() {
    match wire::server::raise_descriptors() {
        Ok(limit) => tracing::debug!(limit, "files that may be open"),
        Err(error) => tracing::warn!(%error, "the limit of open files was not raised"),
    }
}

/// Brings what is queued to the store, and ends with the failure. Calls in work may wait for the task that is gone.
async fn end_with(failed: TaskFailed, mut lifeline: crate::Lifeline) -> Result<(), ProcessError> {
    lifeline.drain();
    lifeline.ended().await?;
    Err(failed.into())
}
