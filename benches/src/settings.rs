//! How long, by how many, and which rows: from the environment and the arguments.

use eyre::{Result, WrapErr};
use std::time::Duration;

/// What is run.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// How long each row is measured. `DOVETAIL_BENCH_SECONDS`.
    pub(crate) duration: Duration,
    /// How long it runs before that. `DOVETAIL_BENCH_WARM_SECONDS`; a fifth of the former if unset.
    pub(crate) warm: Duration,
    /// Users at work at once, each with one transaction under way. `DOVETAIL_BENCH_USERS`.
    pub(crate) users: u32,
    /// Transactions of history that reads are measured over, one after the other. `DOVETAIL_BENCH_HISTORY`, with commas between;
    /// 10,000 if unset.
    pub(crate) histories: Vec<u64>,
    /// Only rows whose name has one of these in it; all if there are none. Arguments.
    rows: Vec<String>,
}

impl Settings {
    /// As this process was started.
    pub(crate) fn read() -> Result<Self> {
        let duration = Duration::from_secs(number("DOVETAIL_BENCH_SECONDS")?.unwrap_or(60));
        let warm = number("DOVETAIL_BENCH_WARM_SECONDS")?.map_or(duration / 5, Duration::from_secs);
        let users = u32::try_from(number("DOVETAIL_BENCH_USERS")?.unwrap_or(128))?;
        let histories = std::env::var("DOVETAIL_BENCH_HISTORY").unwrap_or_else(|_| "10000".to_owned());
        let histories = histories
            .split(',')
            .map(|text| text.trim().parse().wrap_err_with(|| format!("{text:?} is no number of transactions")));
        let histories = histories.collect::<Result<_>>()?;
        Ok(Self { duration, warm, users, histories, rows: std::env::args().skip(1).collect() })
    }

    /// Whether a row is asked for.
    pub(crate) fn has(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|part| row.contains(part.as_str()))
    }
}

fn number(name: &str) -> Result<Option<u64>> {
    let value = std::env::var(name).ok();
    value.map(|text| text.parse().wrap_err_with(|| format!("{name} is {text:?}, not a number"))).transpose()
}
