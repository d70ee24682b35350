//! Logs: events in the past tense with data as fields, to standard error.
//!
//! `DOVETAIL_LOG` filters (default `info`, for example `info,dovetail_host=debug`); `DOVETAIL_LOG_FORMAT=json` writes one JSON
//! object per line.

use std::env;
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
    /// Somebody set logging up before.
    #[error("logging is set up already")]
    Twice,
}

/// Sets logging up for the whole process, from the environment. Call it once, in `main`.
///
/// # Errors
/// [`LoggingError`].
pub fn init() -> Result<(), LoggingError> {
    let filter = env::var(LOG_VARIABLE).unwrap_or_else(|_| "info".to_owned());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(io::stderr)
        // Colours are for people: not in files.
        .with_ansi(io::stderr().is_terminal());
    match env::var(LOG_FORMAT_VARIABLE).as_deref() {
        Err(_) | Ok("text") => builder.try_init(),
        Ok("json") => builder.json().try_init(),
        Ok(other) => return Err(LoggingError::Format(other.to_owned())),
    }
    .map_err(|_| LoggingError::Twice)
}
