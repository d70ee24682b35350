//! `dovetail conformance`: the official Ethereum state tests through coordinator and shards, compared with one plain EVM.
//!
//! Says what is run and how it goes on; what is compared is [`conformance::state_tests`].

use conformance::layout::{Layout, SHARDS_COUNT_MAX};
use conformance::mutation;
use conformance::state_tests::network::Carrier;
use conformance::state_tests::runner::{Event, Settings};
use conformance::state_tests::sample::Sample;
use conformance::state_tests::subtest::SubtestReport;
use conformance::state_tests::tally::Tally;
use conformance::state_tests::{fork, report, runner};
use eyre::{Result, WrapErr, eyre};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How many failures are told in full; the rest are counted.
const FAILURES_TOLD_COUNT_MAX: usize = 50;

/// How many subtests of each corpus run on processes.
const REAL_SUBTESTS_COUNT: usize = 20;

/// How often progress is told where there is no terminal to keep it on one line.
const PROGRESS_EVERY: Duration = Duration::from_secs(20);

/// How accounts are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Spread {
    /// By the hash of their address.
    Hash,
    /// At random by --placement-seed.
    Seeded,
    /// Every account on its own shard, whatever --shards says.
    OwnShard,
}

impl Spread {
    /// The layouts that a command line asks for: each of `chosen` over each of `shards`, drawn from `placement_seed`.
    pub fn layouts(chosen: &[Self], shards: &[u32], placement_seed: Option<u64>) -> Vec<Layout> {
        let chosen = match (chosen, placement_seed) {
            ([], None) => vec![Self::Hash],
            ([], Some(_)) => vec![Self::Seeded],
            (chosen, _) => chosen.to_vec(),
        };
        let seed = placement_seed.unwrap_or(1);
        let mut layouts = Vec::new();
        for spread in chosen {
            match spread {
                Self::Hash => layouts.extend(shards.iter().map(|shards| Layout::Hash { shards: *shards })),
                Self::Seeded => layouts.extend(shards.iter().map(|shards| Layout::Seeded { shards: *shards, seed })),
                Self::OwnShard => layouts.push(Layout::OwnShard),
            }
        }
        layouts
    }
}

/// Runs Ethereum state tests over many shards and compares with the files and with one plain EVM.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folders of JSON state tests, single files, or .tar, .tar.gz, .tar.zst archives of them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Over how many shards; several after commas.
    #[arg(long, value_delimiter = ',', default_value = "4", value_parser = clap::value_parser!(u32).range(1..=i64::from(SHARDS_COUNT_MAX)))]
    shards: Vec<u32>,
    /// How accounts are spread over them; several after commas. By hash unless --placement-seed is given.
    #[arg(long, value_delimiter = ',')]
    placement: Vec<Spread>,
    /// Draws a shard for every account from this seed, for each subtest anew.
    #[arg(long)]
    placement_seed: Option<u64>,
    /// Runs only this many subtests of every folder and fork, always the same ones.
    #[arg(long, value_name = "K")]
    sample: Option<usize>,
    /// How many threads; all processors unless it is given.
    #[arg(long)]
    threads: Option<usize>,
    /// Only this fork, as the files name it.
    #[arg(long)]
    fork: Option<String>,
    /// Only subtests with this in the name of their folder, file or test.
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// Runs each subtest on a network of processes of its own, stores on disk; 20 subtests of each corpus unless --sample
    /// says how many.
    #[arg(long)]
    real: bool,
    /// Writes the result into its section of this document.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Instead changes one thing of each transaction's prepare, of state tests and of folders of blocks, and requires that a
    /// participant objects. --sample also says how many transactions of each block; the shards are its own.
    #[arg(long)]
    mutate: bool,
}

impl Arguments {
    fn settings(&self) -> Result<Settings> {
        let threads = self.threads.map_or_else(std::thread::available_parallelism, |threads| {
            std::num::NonZeroUsize::new(threads).ok_or_else(|| std::io::Error::other("no threads"))
        });
        let threads = threads.wrap_err("cannot tell on how many threads to run: give --threads")?.get();
        if let Some(fork) = self.fork.as_ref().filter(|fork| fork::spec(fork).is_none()) {
            return Err(eyre!("unknown fork {fork:?}; known are {}", fork::names()));
        }
        let (fork, filter) = (self.fork.clone(), self.filter.clone());
        let layouts = Spread::layouts(&self.placement, &self.shards, self.placement_seed);
        let settings = Settings { layouts, threads, fork, filter, sample: None, carrier: self.carrier()? };
        let sample = match (self.real, self.sample) {
            (false, None) => None,
            (false, Some(count)) => Some(Sample::draw(runner::names(&self.paths, &settings), count)),
            (true, count) => {
                let count = count.unwrap_or(REAL_SUBTESTS_COUNT);
                Some(Sample::few(runner::names(&self.paths, &settings), count))
            }
        };
        Ok(Settings { sample, ..settings })
    }

    fn carrier(&self) -> Result<Carrier> {
        if !self.real {
            return Ok(Carrier::World);
        }
        Ok(Carrier::Processes(std::env::current_exe().wrap_err("this program has no path")?))
    }

    /// How much is run, in words.
    fn extent(&self) -> String {
        let of = match (self.real, self.sample) {
            (false, None) => "all of them".to_owned(),
            (false, Some(count)) => format!("a fixed sample, up to {count} of every folder and fork"),
            (true, count) => format!("a fixed sample, {} of each corpus", count.unwrap_or(REAL_SUBTESTS_COUNT)),
        };
        let fork = self.fork.as_ref().map(|fork| format!(", fork {fork} only")).unwrap_or_default();
        let named = self.filter.as_ref().map(|filter| format!(", named like {filter:?} only")).unwrap_or_default();
        format!("{of}{fork}{named}")
    }
}

/// Runs the tests, tells what happens, and writes the report.
///
/// # Errors
/// If a path is wrong, nothing is run. If a file cannot be read or a subtest fails, the others are run all the same.
pub async fn run(arguments: Arguments) -> Result<()> {
    // It computes for minutes, which is not for a thread that serves others.
    tokio::task::spawn_blocking(move || run_here(&arguments)).await?
}

fn run_here(arguments: &Arguments) -> Result<()> {
    for path in &arguments.paths {
        std::fs::metadata(path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
    }
    let settings = arguments.settings()?;
    if arguments.mutate {
        let tally = mutation::run(&arguments.paths, &settings, arguments.sample);
        return mutation::tell(&tally, &command(arguments), arguments.report.as_deref());
    }
    let tally = counted(&arguments.paths, &settings);
    host::say!("{}", report::summary(&tally));
    if let Some(path) = &arguments.report {
        let section = report::section(&tally, &origin(arguments, &settings));
        section.write(path).wrap_err_with(|| format!("cannot write {}", path.display()))?;
    }
    judge(&tally)
}

fn counted(paths: &[PathBuf], settings: &Settings) -> Tally {
    let started = Instant::now();
    let mut tally = Tally::new(settings.layouts.clone());
    let mut progress = Progress::new();
    runner::run(paths, settings, &mut |event| match event {
        Event::File(name, reports) => {
            for report in reports.iter().filter(|report| report.has_failed()) {
                progress.failure(report, &settings.layouts);
            }
            // A file of which nothing is asked for says nothing.
            if !reports.is_empty() {
                tally.file(&name, &reports);
            }
        }
        Event::Pointer(name) => tally.pointer(name),
        Event::Unreadable(what) => {
            progress.line(&what);
            tally.unreadable.push(what);
        }
        Event::Pulse(done) => progress.pulse(done),
    });
    progress.clear();
    tally.elapsed = started.elapsed();
    tally.sort();
    tally
}

fn judge(tally: &Tally) -> Result<()> {
    let (total, unreadable) = (tally.total().subtests, tally.unreadable.len());
    match (tally.failed, unreadable) {
        (0, 0) if total == 0 => Err(eyre!("no subtest has such a name, or is of such a fork")),
        (0, 0) => Ok(()),
        (0, _) => Err(eyre!("{unreadable} files could not be read: {}", tally.unreadable.join("; "))),
        (failed, _) => Err(eyre!("{failed} of {total} subtests failed, {unreadable} files could not be read")),
    }
}

fn origin(arguments: &Arguments, settings: &Settings) -> report::Origin {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    report::Origin {
        command: command(arguments),
        threads: settings.threads,
        processor: model.map(|(_, name)| name.trim().to_owned()),
        extent: arguments.extent(),
        carrier: settings.carrier.clone(),
    }
}

/// The command as somebody else would type it.
fn command(arguments: &Arguments) -> String {
    let shown = std::env::args().skip(1).map(|argument| {
        let is_path = arguments.paths.iter().any(|path| path.as_os_str() == argument.as_str());
        let name = std::path::Path::new(&argument).file_name().map(|name| name.to_string_lossy().into_owned());
        if is_path { name.unwrap_or(argument) } else { argument }
    });
    ["dovetail".to_owned()].into_iter().chain(shown).collect::<Vec<_>>().join(" ")
}

/// One line that says how far it is, where there is a terminal; a line now and then where there is none.
struct Progress {
    started: Instant,
    told: Instant,
    failures: usize,
    is_terminal: bool,
}

impl Progress {
    fn new() -> Self {
        let now = Instant::now();
        Self { started: now, told: now, failures: 0, is_terminal: std::io::stderr().is_terminal() }
    }

    #[allow(clippy::cast_precision_loss, reason = "a count for people to read")]
    fn pulse(&mut self, done: usize) {
        let every = if self.is_terminal { Duration::from_millis(200) } else { PROGRESS_EVERY };
        if self.told.elapsed() < every {
            return;
        }
        self.told = Instant::now();
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = done as f64 / seconds.max(f64::EPSILON);
        let line = format!("{done} subtests in {seconds:.0} s, {rate:.0}/s, {} failed", self.failures);
        let mut stderr = std::io::stderr().lock();
        // Nobody reads it: nothing to do about it.
        let _ = if self.is_terminal { write!(stderr, "\r\x1b[K{line}") } else { writeln!(stderr, "{line}") };
        let _ = stderr.flush();
    }

    fn clear(&self) {
        if self.is_terminal {
            host::output::warn(format_args!("\r\x1b[K"));
        }
    }

    fn line(&self, text: &str) {
        self.clear();
        host::say!("{text}");
    }

    fn failure(&mut self, report: &SubtestReport, layouts: &[Layout]) {
        self.failures += 1;
        if self.failures > FAILURES_TOLD_COUNT_MAX {
            return;
        }
        self.line(&format!("FAILED {}", report.name));
        for mismatch in &report.plain {
            host::say!("    {mismatch}");
        }
        for (layout, run) in layouts.iter().zip(&report.layouts) {
            for mismatch in run.iter().flat_map(|run| &run.mismatches) {
                host::say!("    over shards {layout}: {mismatch}");
            }
        }
    }
}
