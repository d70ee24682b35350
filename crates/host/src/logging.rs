//! Logs: events in the past tense with data as fields, to standard error.
//!
//! `DOVETAIL_LOG` filters (default `info`, for example `info,dovetail_host=debug`); `DOVETAIL_LOG_FORMAT=json` writes one JSON
//! object per line.
//!
//! Promise: a line that cannot be written is lost and counted; it never stops, panics or kills what wrote it.

use crate::environment::{self, NotUnicode};
use crate::stderr::Stderr;
use prometheus_client::metrics::counter::Counter;
use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use tracing_subscriber::EnvFilter;

/// The variable with the filter.
pub const LOG_VARIABLE: &str = "DOVETAIL_LOG";
/// The variable with the format: `text` or `json`.
pub const LOG_FORMAT_VARIABLE: &str = "DOVETAIL_LOG_FORMAT";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is none.
    #[error("this is no log filter ({LOG_VARIABLE}, or the setting log): {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The format is unknown.
    #[error("{LOG_FORMAT_VARIABLE} is \"text\" or \"json\", not {0:?}")]
    Format(String),
    /// A variable is not text.
    #[error(transparent)]
    NotUnicode(#[from] NotUnicode),
    /// Somebody set logging up before.
    #[error("logging is set up already")]
    Twice,
}

/// Sets logging up for the whole process, from the environment. Call it once, in `main`. Counts lines that were lost, and gives what
/// changes the filter.
///
/// # Errors
/// [`LoggingError`].
pub(crate) fn init() -> Result<(Counter, Filter), LoggingError> {
    let filter = environment::variable(LOG_VARIABLE)?.unwrap_or_else(|| "info".to_owned());
    let format = environment::variable(LOG_FORMAT_VARIABLE)?;
    let stderr = Stderr::default();
    let lost = stderr.lost();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&filter)?)
        .with_writer(move || stderr.clone())
        // What it would say of its own failures it says in a way that panics.
        .log_internal_errors(false)
        // Colours are for people: not in files.
        .with_ansi(io::stderr().is_terminal());
    let set: Setter = match format.as_deref() {
        None | Some("text") => {
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map_err(|_| LoggingError::Twice)?;
            // An error means that logging is gone, and with it whoever could be told.
            Arc::new(move |filter| drop(handle.reload(filter)))
        }
        Some("json") => {
            let builder = builder.json().with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map_err(|_| LoggingError::Twice)?;
            Arc::new(move |filter| drop(handle.reload(filter)))
        }
        Some(other) => return Err(LoggingError::Format(other.to_owned())),
    };
    Ok((lost, Filter { initial: filter, set }))
}

type Setter = Arc<dyn Fn(EnvFilter) + Send + Sync>;

/// What is logged, changed while the process runs. Clones change the same.
#[derive(Clone)]
pub(crate) struct Filter {
    initial: String,
    set: Setter,
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").field("initial", &self.initial).finish_non_exhaustive()
    }
}

impl Filter {
    /// The filter that `text` describes; without one, that of the environment.
    pub(crate) fn parse(&self, text: Option<&str>) -> Result<EnvFilter, LoggingError> {
        Ok(EnvFilter::try_new(text.unwrap_or(&self.initial))?)
    }

    /// Logs by `filter` from now on.
    pub(crate) fn set(&self, filter: EnvFilter) {
        (self.set)(filter);
    }

    /// One that changes nothing.
    #[cfg(test)]
    pub(crate) fn unset() -> Self {
        Self { initial: "info".to_owned(), set: Arc::new(drop) }
    }
}
