//! Panics, each a bug: an event in the log and a count, in the place of what the system would print.
//!
//! A call's own task that panics costs that call its answer and nothing else; a task that the process cannot do without ends
//! the process: [`crate::Tasks`].

use prometheus_client::metrics::counter::Counter;
use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{PanicHookInfo, set_hook};
use tracing::error;

/// Logs every panic of the process from now on, and counts it.
pub(crate) fn log(panics: Counter) {
    set_hook(Box::new(move |panic| {
        panics.inc();
        told(panic);
    }));
}

fn told(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let (thread, reason) = (thread.name().unwrap_or("unnamed"), reason(panic.payload()));
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        error!(thread, place, reason, %backtrace, "panicked");
    } else {
        error!(thread, place, reason, "panicked");
    }
}

fn reason(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given")
}
