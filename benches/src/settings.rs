//! How long, by how many, and which rows: from the environment and the arguments.

use crate::{soak, sweep};
use eyre::{Result, WrapErr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is asked for by this one word: the rows that say most, so that all of it takes three minutes at ten seconds a row.
const QUICK: &str = "quick";

/// Parts of the names of those rows.
const QUICK_ROWS: [&str; 7] = [
    "floor::",
    "local/erc20 shards=1",
    "atomic/erc20 shards=2",
    "atomic/calls shards=4",
    "commit::latency",
    "message::acknowledged",
    "baseline::",
];

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
    /// 10,000 if unset. Of a soak the last of them, a million if unset.
    pub(crate) histories: Vec<u64>,
    /// Whether that was set.
    pub(crate) says_history: bool,
    /// What the rate of an open loop is a quarter of; the peak of the same run, or else of a closed loop before it, if unset.
    /// `DOVETAIL_BENCH_PEAK`.
    pub(crate) peak: Option<f64>,
    /// Messages that wait for a relay. `DOVETAIL_BENCH_BACKLOG`; 20,000 if unset.
    pub(crate) backlog: u64,
    /// Where the table is written as well, if anywhere. `DOVETAIL_BENCH_REPORT`.
    pub(crate) report: Option<PathBuf>,
    /// Only rows whose name has one of these in it; all if there are none. Arguments.
    rows: Vec<String>,
}

impl Settings {
    /// As this process was started.
    pub(crate) fn read() -> Result<Self> {
        let duration = Duration::from_secs(number("DOVETAIL_BENCH_SECONDS")?.unwrap_or(60));
        let warm = number("DOVETAIL_BENCH_WARM_SECONDS")?.map_or(duration / 5, Duration::from_secs);
        let users = u32::try_from(number("DOVETAIL_BENCH_USERS")?.unwrap_or(128))?;
        let histories = std::env::var("DOVETAIL_BENCH_HISTORY");
        let says_history = histories.is_ok();
        let histories = histories.unwrap_or_else(|_| "10000".to_owned());
        let histories = histories
            .split(',')
            .map(|text| text.trim().parse().wrap_err_with(|| format!("{text:?} is no number of transactions")));
        let histories = histories.collect::<Result<_>>()?;
        let report = std::env::var_os("DOVETAIL_BENCH_REPORT").map(PathBuf::from);
        let rows: Vec<String> = std::env::args().skip(1).collect();
        let rows = if rows == [QUICK] { QUICK_ROWS.map(str::to_owned).into() } else { rows };
        let peak = number("DOVETAIL_BENCH_PEAK")?.map(|peak| peak as f64);
        let backlog = number("DOVETAIL_BENCH_BACKLOG")?.unwrap_or(20_000);
        Ok(Self { duration, warm, users, histories, says_history, peak, backlog, report, rows })
    }

    /// Where sweeps are written, if it is them that are asked for: `sweep FOLDER`.
    pub(crate) fn sweep(&self) -> Option<&Path> {
        match &self.rows[..] {
            [sweep, folder] if sweep == sweep::NAME => Some(Path::new(folder)),
            _ => None,
        }
    }

    /// Whether it is the soak that is asked for, by its name alone.
    pub(crate) fn is_soak(&self) -> bool {
        self.rows == [soak::NAME]
    }

    /// The same with so many users.
    pub(crate) fn with_users(&self, users: u32) -> Self {
        Self { users, ..self.clone() }
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
