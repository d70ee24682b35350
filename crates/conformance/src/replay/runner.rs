//! Replays blocks one after the other on threads, each under every layout, and counts.

use crate::layout::Layout;
use crate::replay::counts::{BlockRun, Counts};
use crate::replay::subject::Subject;
use crate::replay::{Placed, inside, processes};
use eyre::{Report, Result, WrapErr, eyre};
use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// The EVM goes deep.
const STACK_BYTES: usize = 64 << 20;

/// How blocks are replayed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Over how many shards, and who is where: one after the other.
    pub layouts: Vec<Layout>,
    /// How many payloads of a block are in flight at most.
    pub in_flight: usize,
    /// Over how many threads blocks are spread.
    pub threads: usize,
}

/// What became of one block.
#[derive(Debug)]
pub struct BlockReport {
    /// Its file.
    pub path: PathBuf,
    /// Number, fork and the like; what is wrong with the file if it has none.
    pub block: Result<BlockFacts, String>,
    /// For each layout.
    pub runs: Vec<Result<BlockRun, String>>,
}

/// What a block is.
#[derive(Debug, Clone)]
pub struct BlockFacts {
    /// Its number.
    pub number: u64,
    /// The fork it ran under.
    pub fork: String,
    /// The fork's place among forks.
    pub fork_order: u8,
    /// Signed transactions.
    pub transactions: usize,
    /// How long one plain EVM took for it.
    pub plain: Duration,
}

impl BlockReport {
    fn failed(path: &Path, error: &Report) -> Self {
        Self { path: path.to_owned(), block: Err(causes(error)), runs: Vec::new() }
    }

    fn new(path: &Path, subject: &Subject) -> Self {
        let block = &subject.block;
        let facts = BlockFacts {
            number: block.number(),
            fork: block.spec().to_string(),
            fork_order: block.spec().id() as u8,
            transactions: block.transactions_count(),
            plain: subject.plain.elapsed,
        };
        Self { path: path.to_owned(), block: Ok(facts), runs: Vec::new() }
    }

    /// Whether it was not reproduced at some layout, or is no block.
    pub fn has_failed(&self) -> bool {
        self.block.is_err() || self.runs.iter().any(Result::is_err)
    }
}

/// What became of all blocks.
#[derive(Debug)]
pub struct Tally {
    /// The layouts, in order.
    pub layouts: Vec<Layout>,
    /// How many payloads of a block were in flight at most.
    pub in_flight: usize,
    /// Over how many threads blocks were spread.
    pub threads: usize,
    /// Whether every shard was a process.
    pub processes: bool,
    /// By number; files that are no blocks first.
    pub blocks: Vec<BlockReport>,
    /// How long it all took.
    pub elapsed: Duration,
}

impl Tally {
    fn new(settings: &Settings, processes: bool, mut blocks: Vec<BlockReport>, started: Instant) -> Self {
        blocks.sort_by_key(|report| report.block.as_ref().map_or(0, |block| block.number));
        Self {
            layouts: settings.layouts.clone(),
            in_flight: settings.in_flight,
            threads: settings.threads,
            processes,
            blocks,
            elapsed: started.elapsed(),
        }
    }

    /// How many blocks were not reproduced.
    pub fn failed(&self) -> usize {
        self.blocks.iter().filter(|report| report.has_failed()).count()
    }

    /// The runs at the layout with this index, of those blocks that `of` accepts.
    pub fn runs(&self, layout: usize, of: impl Fn(&BlockFacts) -> bool) -> Vec<&BlockRun> {
        let blocks = self.blocks.iter().filter(|report| report.block.as_ref().is_ok_and(&of));
        blocks.filter_map(|report| report.runs.get(layout)?.as_ref().ok()).collect()
    }

    /// Everything counted in `runs`.
    pub fn counts(runs: &[&BlockRun]) -> Counts {
        let mut counts = Counts::default();
        for run in runs {
            counts += run.counts;
        }
        counts
    }
}

/// Replays blocks on networks within this process.
pub fn inside(files: &[PathBuf], settings: &Settings) -> Tally {
    let started = Instant::now();
    let next = AtomicUsize::new(0);
    let (send, reports) = channel();
    let work = |send: Sender<BlockReport>| {
        while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            // Nobody is left to hear of it: nobody is left to stop for.
            let _ = send.send(one_inside(path, settings));
        }
    };
    let blocks = std::thread::scope(|scope| {
        for _ in 0..settings.threads.min(files.len()) {
            let send = send.clone();
            let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, || work(send));
            if let Err(error) = worker {
                host::output::warn(format_args!("dovetail: a thread less: {error}\n"));
            }
        }
        drop(send);
        reports.iter().inspect(|report| tell(report, settings)).collect()
    });
    Tally::new(settings, false, blocks, started)
}

fn one_inside(path: &Path, settings: &Settings) -> BlockReport {
    let subject = match caught(|| Subject::load(path)) {
        Ok(subject) => subject,
        Err(error) => return BlockReport::failed(path, &error),
    };
    let mut report = BlockReport::new(path, &subject);
    for layout in &settings.layouts {
        let run = placed(&subject, *layout, settings)
            .and_then(|placed| caught(|| inside::run(&subject, placed.placement, placed.in_flight)));
        report.runs.push(run.map_err(|error| causes(&error)));
    }
    report
}

/// Replays the block in a file on a network of processes of `program`, which is `dovetail`, under the empty folder `dir`, in
/// block order; says what was compared.
///
/// # Errors
/// If the file is no block, a process fails, or the block is not reproduced.
pub async fn replay_over_processes(path: &Path, layout: Layout, program: &Path, dir: &Path) -> Result<String> {
    let (subject, settings) = (load(path).await?, Settings { layouts: vec![layout], in_flight: 1, threads: 1 });
    let run = Box::pin(processes::run(&subject, &placed(&subject, layout, &settings)?, program, dir)).await?;
    let (block, count) = (&subject.block, subject.block.transactions_count());
    Ok(format!("({}): {count} transactions over {} shards, {}", block.spec(), run.shards, line(&run)))
}

/// Running a block takes seconds, which is not for a thread that serves others.
async fn load(path: &Path) -> Result<Subject> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || Subject::load(&path)).await?
}

/// Replays blocks on networks of processes, one after the other.
pub async fn over_processes(files: &[PathBuf], settings: &Settings, keep: Option<&Path>) -> Tally {
    let started = Instant::now();
    let mut blocks = Vec::new();
    for path in files {
        let report = match load(path).await {
            Ok(subject) => one_over_processes(path, &subject, settings, keep).await,
            Err(error) => BlockReport::failed(path, &error),
        };
        tell(&report, settings);
        blocks.push(report);
    }
    Tally::new(settings, true, blocks, started)
}

async fn one_over_processes(path: &Path, subject: &Subject, settings: &Settings, keep: Option<&Path>) -> BlockReport {
    let mut report = BlockReport::new(path, subject);
    for (index, layout) in settings.layouts.iter().enumerate() {
        let run = match placed(subject, *layout, settings) {
            Ok(placed) => on_folder(subject, &placed, keep.map(|keep| keep.join(format!("{index}")))).await,
            Err(error) => Err(error),
        };
        report.runs.push(run.map_err(|error| causes(&error)));
    }
    report
}

async fn on_folder(subject: &Subject, placed: &Placed, keep: Option<PathBuf>) -> Result<BlockRun> {
    let program = std::env::current_exe().wrap_err("this program has no path")?;
    let Some(keep) = keep else {
        let dir = tempfile::tempdir().wrap_err("no temporary folder")?;
        return Box::pin(processes::run(subject, placed, &program, dir.path())).await;
    };
    let dir = keep.join(subject.block.number().to_string());
    // Stores of an earlier network have other keys and another state.
    if dir.exists() {
        return Err(eyre!("{} exists: name another folder to keep this replay in", dir.display()));
    }
    Box::pin(processes::run(subject, placed, &program, &dir)).await
}

fn placed(subject: &Subject, layout: Layout, settings: &Settings) -> Result<Placed> {
    let placement = layout.placement(&subject.block.number().to_string(), &subject.addresses())?;
    Ok(Placed { placement, in_flight: settings.in_flight })
}

/// A check that fails inside is one block's failure and not the end of all.
fn caught<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(message(panic.as_ref())))
}

fn message(panic: &(dyn Any + Send)) -> Report {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    eyre!("a check failed: {}", text.unwrap_or("it said nothing"))
}

/// What went wrong and why; a cause that the one above it tells already is not told again.
fn causes(error: &Report) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        match &text[..] {
            "" => text = cause,
            told if told.ends_with(&cause) => {}
            _ => text = format!("{text}: {cause}"),
        }
    }
    text
}

/// A line for a block, and one for each layout at which it was not reproduced.
fn tell(report: &BlockReport, settings: &Settings) {
    let block = match &report.block {
        Ok(block) => block,
        Err(error) => return host::say!("{}: NOT REPRODUCED: {error}", report.path.display()),
    };
    let name = format!("block {} ({}), {} transactions", block.number, block.fork, block.transactions);
    for (layout, run) in settings.layouts.iter().zip(&report.runs) {
        if let Err(error) = run {
            host::say!("{name}, shards {layout}: NOT REPRODUCED: {error}");
        }
    }
    let runs: Vec<&BlockRun> = report.runs.iter().flatten().collect();
    match (&runs[..], &settings.layouts[..]) {
        ([], _) => {}
        ([run], [layout]) => host::say!("{name}, shards {layout}: {}", line(run)),
        ([run, ..], _) => host::say!("{name}, {} placements: {}", runs.len(), compared(run)),
    }
}

fn line(run: &BlockRun) -> String {
    let counts = &run.counts;
    let flight = match counts.flight.most {
        0 | 1 => String::new(),
        most => format!(", at most {most} attempts in flight"),
    };
    format!(
        "{:.0} % crossed, {:.2} participants each, {} retries{flight}, {:.1} s: {}",
        counts.crossed_percent(),
        counts.participants_mean(),
        counts.retried,
        counts.elapsed.as_secs_f64(),
        compared(run),
    )
}

/// What is equal.
fn compared(run: &BlockRun) -> String {
    let reproduced = &run.reproduced;
    let named = [
        (reproduced.receipts_root, ", receipts root"),
        (reproduced.requests_hash, ", requests hash"),
        (reproduced.state_root, ", state root"),
    ];
    let named: String = named.into_iter().filter_map(|(is_equal, name)| is_equal.then_some(name)).collect();
    format!("gas {}, logs bloom{named} and post-state digest equal", reproduced.gas_used)
}
