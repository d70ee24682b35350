//! Where a node's traces go, as its settings say it, and what is counted of them.

use crate::{Instruments, Security, SecurityError};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::sync::Arc;
use wire::traces::{Lost, Tracer, start};

/// Parts of [`Ratio`].
const MILLION: u32 = 1_000_000;

/// The collector of OpenTelemetry's traces, and how much it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesSettings {
    /// Where it listens for OTLP over gRPC, as a URI.
    pub endpoint: String,
    /// The part of all transactions, and of all messages, that is traced, the same on every node.
    pub ratio: Ratio,
}

impl TracesSettings {
    /// Whether the collector, if there is one, is reached by what guards the node's other calls.
    ///
    /// # Errors
    /// What keeps it from being called, as [`SecurityError`] says it.
    pub fn check(settings: Option<&Self>, security: &Security) -> Result<(), SecurityError> {
        settings.map_or(Ok(()), |settings| security.check(&settings.endpoint))
    }
}

/// A part of a whole, from 0 to 1, to the millionth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Ratio(u32);

/// Less than nothing, or more than all.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("a ratio is {0}, allowed are 0 to 1")]
pub struct NoRatio(f64);

impl TryFrom<f64> for Ratio {
    type Error = NoRatio;

    fn try_from(ratio: f64) -> Result<Self, NoRatio> {
        #[expect(clippy::cast_sign_loss, reason = "it is between 0 and 1")]
        let parts = || (ratio * f64::from(MILLION)).round() as u32;
        if (0.0..=1.0).contains(&ratio) { Ok(Self(parts())) } else { Err(NoRatio(ratio)) }
    }
}

impl From<Ratio> for f64 {
    fn from(ratio: Ratio) -> Self {
        Self::from(ratio.0) / Self::from(MILLION)
    }
}

/// The tracer of a node by its settings, and what brings its spans to the collector, if there is one.
///
/// # Errors
/// [`SecurityError`]: the collector is not reached by what guards the node's other calls.
pub(crate) fn open(
    settings: Option<&TracesSettings>,
    node: (&str, &str),
    security: &Security,
    instruments: &Instruments,
) -> Result<(Tracer, Option<impl Future<Output = ()> + Send + use<>>), SecurityError> {
    let Some(TracesSettings { endpoint, ratio }) = settings else { return Ok((Tracer::default(), None)) };
    let connection = security.connect(endpoint)?;
    let (taken, lost) = (instruments.clone(), instruments.clone());
    let lost: Lost = Arc::new(move |reason, count| lost.spans_lost(reason, count));
    let (tracer, exporter) = start((*ratio).into(), node, &connection, move |count| taken.spans_taken(count), lost);
    tracing::info!(endpoint, ratio = f64::from(*ratio), "transactions and messages are traced");
    Ok((tracer, Some(exporter)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TracesSettings, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_ratio_is_a_part_of_all() {
        for (text, ratio) in [("0.0", 0.0), ("0.01", 0.01), ("1.0", 1.0), ("1", 1.0)] {
            let settings = read(&format!("endpoint = \"http://127.0.0.1:4317\"\nratio = {text}")).unwrap();
            assert!((f64::from(settings.ratio) - ratio).abs() < 1e-9, "{text}");
        }
        for text in ["-0.1", "1.01", "nan", "inf"] {
            let refusal = read(&format!("endpoint = \"http://127.0.0.1:4317\"\nratio = {text}")).unwrap_err();
            assert!(refusal.contains("0 to 1"), "{refusal}");
        }
    }
}
