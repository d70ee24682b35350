//! When a process is to end: SIGTERM, SIGINT, or the end of the parent that started it.
//!
//! Promise: who asks is heard, whatever becomes of the log; and a process that was asked ends, by force after
//! [`DRAIN_DURATION_MAX`] if it does not end by itself.

use crate::environment;
use std::io::{self, Read};
use std::thread;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// The variable that a parent sets to `stdin` in a child that is not to outlive it: the child drains when its standard
/// input ends, which it does with the parent, however that ended.
pub const PARENT_VARIABLE: &str = "DOVETAIL_PARENT";

/// The one value of [`PARENT_VARIABLE`].
pub const PARENT_STDIN: &str = "stdin";

/// How long a drain may take in all; above what each part of it may take. After it the process aborts, which its store is
/// made for (I12).
pub const DRAIN_DURATION_MAX: Duration = Duration::from_secs(25);

/// A token that is cancelled at the first SIGTERM or SIGINT. Call it once per process, inside the runtime.
///
/// # Errors
/// When the system refuses the handlers.
pub fn on_signal() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        stop.cancel();
        info!(signal = name, "asked to stop, drain begun");
    });
    Ok(token)
}

/// Cancels `stop` when the parent ends, if it asked for that by [`PARENT_VARIABLE`].
///
/// # Errors
/// When the variable has another value, or there is no thread to wait on.
pub fn with_parent(stop: &CancellationToken) -> io::Result<()> {
    let refused = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
    match environment::variable(PARENT_VARIABLE).map_err(|error| refused(error.to_string()))?.as_deref() {
        None => Ok(()),
        Some(PARENT_STDIN) => wait_for_end_of_input(stop.clone()),
        Some(other) => Err(refused(format!("{PARENT_VARIABLE} is {PARENT_STDIN:?} or not set, not {other:?}"))),
    }
}

/// On a thread of its own: a read of standard input cannot be given up, and nobody has to wait for it.
fn wait_for_end_of_input(stop: CancellationToken) -> io::Result<()> {
    let wait = move || {
        let mut ignored = [0; 64];
        let mut input = io::stdin().lock();
        // An error ends it as the end does: a parent that cannot be heard of is gone.
        while matches!(input.read(&mut ignored), Ok(count) if count > 0) {}
        stop.cancel();
        info!("the parent ended, drain begun");
    };
    thread::Builder::new().name("parent".to_owned()).spawn(wait).map(drop)
}

/// Aborts the process if it still runs [`DRAIN_DURATION_MAX`] from now: a drain that hangs, on a thread that no longer
/// answers too, must not be for ever.
pub(crate) fn end_by_force_later() {
    let force = || {
        thread::sleep(DRAIN_DURATION_MAX);
        error!(seconds = DRAIN_DURATION_MAX.as_secs(), "the drain did not end, the process aborts; its store is whole");
        std::process::abort()
    };
    if thread::Builder::new().name("drain watch".to_owned()).spawn(force).is_err() {
        error!("no thread to watch the drain");
    }
}
