//! Logs: events in the past tense with data as fields, to standard error.
//!
//! `DOVETAIL_LOG` filters (default `info`, for example `info,dovetail_host=debug`); `DOVETAIL_LOG_FORMAT=json` writes one JSON
//! object per line.
//!
//! Promise: a line that cannot be written is lost and counted; it never stops, panics or kills what wrote it.

use crate::environment::{self, NotUnicode};
use crate::stderr::Stderr;
use prometheus_client::metrics::counter::Counter;
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// The variable with the filter.
pub const LOG_VARIABLE: &str = "DOVETAIL_LOG";
/// The variable with the format: `text` or `json`.
pub const LOG_FORMAT_VARIABLE: &str = "DOVETAIL_LOG_FORMAT";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is none.
    #[error("{LOG_VARIABLE} is no log filter: {0}")]
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

/// Sets logging up for the whole process, from the environment. Call it once, in `main`. Counts lines that were lost.
///
/// # Errors
/// [`LoggingError`].
pub fn init() -> Result<Counter, LoggingError> {
    let filter = environment::variable(LOG_VARIABLE)?.unwrap_or_else(|| "info".to_owned());
    let format = environment::variable(LOG_FORMAT_VARIABLE)?;
    let stderr = Stderr::default();
    let lost = stderr.lost();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(move || stderr.clone())
        // What it would say of its own failures it says in a way that panics.
        .log_internal_errors(false)
        // Colours are for people: not in files.
        .with_ansi(io::stderr().is_terminal());
    match format.as_deref() {
        None | Some("text") => builder.try_init(),
        Some("json") => builder.json().try_init(),
        Some(other) => return Err(LoggingError::Format(other.to_owned())),
    }
    .map_err(|_| LoggingError::Twice)?;
    Ok(lost)
}
