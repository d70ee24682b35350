//! `dovetail replay`: real Ethereum blocks through coordinator and shards, compared with their own headers.
//!
//! Says which blocks and how; what is compared is [`conformance::replay`].

use crate::conformance::Spread;
use conformance::layout::SHARDS_COUNT_MAX;
use conformance::replay::runner::Settings;
use conformance::replay::{find, report, runner, section};
use eyre::{Result, WrapErr, eyre};
use std::path::PathBuf;

/// How many payloads of a block may be in flight at most.
const IN_FLIGHT_COUNT_MAX: i64 = 1024;

/// Replays real Ethereum blocks.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Block files, `<number>.json.zst`, or folders of them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Over how many shards a block's state is spread; several after commas.
    #[arg(long, value_delimiter = ',', default_value = "4", value_parser = clap::value_parser!(u32).range(1..=i64::from(SHARDS_COUNT_MAX)))]
    shards: Vec<u32>,
    /// How accounts are spread over them; several after commas. By hash unless --placement-seed is given.
    #[arg(long, value_delimiter = ',')]
    placement: Vec<Spread>,
    /// Places every account at random by this seed, for each block anew.
    #[arg(long)]
    placement_seed: Option<u64>,
    /// How many of a block's transactions may be in flight at once. With one they go in block order; with more, each goes as
    /// soon as those before it that it conflicts with have committed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=IN_FLIGHT_COUNT_MAX))]
    in_flight: u32,
    /// On how many threads; all processors unless it is given.
    #[arg(long)]
    threads: Option<usize>,
    /// Starts real processes for each block, one network after the other, and asks the oracle at the end.
    #[arg(long)]
    processes: bool,
    /// Keeps the processes' stores and logs in this folder, which must not have those of an earlier replay.
    #[arg(long, requires = "processes")]
    keep: Option<PathBuf>,
    /// Writes the result into its section of this document.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Arguments {
    fn settings(&self) -> Result<Settings> {
        let threads = match self.threads {
            Some(0) => return Err(eyre!("nothing runs on no threads")),
            Some(threads) => threads,
            None => std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
        };
        let layouts = Spread::layouts(&self.placement, &self.shards, self.placement_seed);
        Ok(Settings { layouts, in_flight: self.in_flight as usize, threads })
    }
}

/// Replays every block and prints a line for each.
///
/// # Errors
/// If a path is wrong, nothing is replayed. If a block was not reproduced, the others are replayed all the same.
pub async fn run(arguments: Arguments) -> Result<()> {
    let settings = arguments.settings()?;
    let files = find(&arguments.paths)?;
    let tally = if arguments.processes {
        runner::over_processes(&files, &settings, arguments.keep.as_deref()).await
    } else {
        let settings = settings.clone();
        // It computes for minutes, which is not for a thread that serves others.
        tokio::task::spawn_blocking(move || runner::inside(&files, &settings)).await?
    };
    host::output::write(format_args!("{}", report::summary(&tally)));
    if let Some(path) = &arguments.report {
        let section = section(&tally, &report::command(&arguments.paths));
        section.write(path).wrap_err_with(|| format!("cannot write {}", path.display()))?;
    }
    match tally.failed() {
        0 => Ok(()),
        failed => Err(eyre!("{failed} of {} blocks were not reproduced", tally.blocks.len())),
    }
}
