//! The command line: what to run, on how many threads, and how to say what came of it.

use clap::{Parser, Subcommand};
use dovetail_world::faults::{Counts, Kind};
use dovetail_world::scenario::{self, Options, Report, crashes, script};
use dovetail_world::{Dice, Story, Tally};
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// In so many seeds each kind of fault has to strike while there is work.
const COVERING_SEEDS_COUNT: u64 = 500;

/// Runs whole networks under seeds.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a mix of work under faults for each seed.
    Run(RunArguments),
    /// Runs each seed twice and compares the digests.
    Twice(RunArguments),
    /// Crashes each machine of each script before and after each of its writes.
    Crashes(CrashArguments),
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// Seeds from A up to B, without B: A..B. Or `fresh:N`: N seeds that nobody knows before; it says how to have the same
    /// again, which is `drawn:FROM:N`.
    #[arg(long, default_value = "0..1000", conflicts_with = "seed")]
    seeds: Seeds,
    /// One seed.
    #[arg(long)]
    seed: Option<u64>,
    /// On how many threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Tells the run as a story, as it happens. With --seed.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Goes on after a violation.
    #[arg(long)]
    keep_going: bool,
    /// Runs with one rule broken, until the checkers see it.
    #[cfg(feature = "twins")]
    #[arg(long)]
    twin: Option<String>,
}

#[derive(Debug, clap::Args)]
struct CrashArguments {
    /// Only scripts whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
}

/// Which seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seeds {
    Range(Range<u64>),
    Fresh(u64),
    Drawn { from: u64, count: u64 },
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?} is no number: {error}"));
        if let Some(count) = text.strip_prefix("fresh:") {
            return Ok(Self::Fresh(number(count)?));
        }
        if let Some((from, count)) = text.strip_prefix("drawn:").and_then(|text| text.split_once(':')) {
            return Ok(Self::Drawn { from: number(from)?, count: number(count)? });
        }
        let (from, to) = text.split_once("..").ok_or_else(|| format!("{text:?} is not A..B"))?;
        let (from, to) = (number(from)?, number(to)?);
        if from < to { Ok(Self::Range(from..to)) } else { Err(format!("{text:?} has no seed in it")) }
    }
}

impl RunArguments {
    fn seeds(&self) -> Vec<u64> {
        match (&self.seed, &self.seeds) {
            (Some(seed), _) => vec![*seed],
            (None, Seeds::Range(range)) => range.clone().collect(),
            (None, Seeds::Fresh(count)) => {
                let from = entropy();
                println!("fresh seeds; the same again: --seeds drawn:{from}:{count}");
                drawn(from, *count)
            }
            (None, Seeds::Drawn { from, count }) => drawn(*from, *count),
        }
    }

    #[cfg_attr(not(feature = "twins"), allow(clippy::unnecessary_wraps, reason = "a twin may have no such name"))]
    fn options(&self) -> Result<Options, String> {
        let story = if self.trace { Story::Printed } else { Story::Silent };
        #[cfg(feature = "twins")]
        {
            let twin = self.twin.as_deref().map(|name| commit::Twin::named(name).ok_or(name)).transpose();
            let twin = twin.map_err(|name| {
                let names: Vec<&str> = commit::Twin::ALL.iter().map(|twin| twin.name()).collect();
                format!("no twin {name:?}: there are {}", names.join(", "))
            })?;
            Ok(Options { story, twin, ..Options::default() })
        }
        #[cfg(not(feature = "twins"))]
        Ok(Options { story, ..Options::default() })
    }
}

fn drawn(from: u64, count: u64) -> Vec<u64> {
    let mut dice = Dice::new(from);
    (0..count).map(|_| dice.number() >> 16).collect()
}

/// A number that nobody knows before: only the seeds' choice, never a run, depends on it.
#[allow(clippy::disallowed_methods, reason = "fresh seeds are to be fresh; they are printed")]
fn entropy() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64
}

#[allow(clippy::disallowed_methods, reason = "it measures")]
fn now() -> Instant {
    Instant::now()
}

pub(crate) fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run(arguments) => run(&arguments),
        Command::Twice(arguments) => twice(&arguments),
        Command::Crashes(arguments) => enumerate(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::from(2)
        }
    }
}

/// One seed, with a machine's panic for a violation.
fn run_seed(seed: u64, options: &Options) -> Result<Report, String> {
    let caught = panic::catch_unwind(AssertUnwindSafe(|| scenario::run(seed, options)));
    match caught {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(error)) => Err(format!("the scenario does not start: {error}")),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("a machine panicked: {}", text.unwrap_or_default()))
        }
    }
}

/// Runs seeds on threads; `each` hears every result, and says whether to go on.
fn on_threads<T: Send>(
    seeds: &[u64],
    threads: usize,
    run: impl Fn(u64) -> T + Sync,
    mut each: impl FnMut(u64, T) -> bool,
) {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let (results, heard) = mpsc::sync_channel(64);
        for _ in 0..threads.max(1) {
            let (results, next, stop, run) = (results.clone(), &next, &stop, &run);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let place = next.fetch_add(1, Ordering::Relaxed) as usize;
                    let Some(seed) = seeds.get(place) else { return };
                    if results.send((*seed, run(*seed))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        for (seed, result) in heard {
            if !stop.load(Ordering::Relaxed) && !each(seed, result) {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
}

/// What many seeds came to.
#[derive(Debug, Default)]
struct Sum {
    seeds: u64,
    covering: BTreeMap<Kind, u64>,
    enabled: BTreeMap<Kind, u64>,
    counts: Counts,
    tally: Tally,
    told: [u64; 3],
    messages: (u64, u64),
    virtual_millis: u64,
    steps: u64,
    failures: u64,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.counts.add(&report.counts);
        self.tally.add(&report.tally);
        let uncovered = report.counts.uncovered(report.enabled.iter().copied());
        for kind in &report.enabled {
            *self.enabled.entry(*kind).or_default() += 1;
            *self.covering.entry(*kind).or_default() += u64::from(!uncovered.contains(kind));
        }
        for (sum, told) in self.told.iter_mut().zip(report.told) {
            *sum += told;
        }
        self.messages.0 += report.messages.0;
        self.messages.1 += report.messages.1;
        self.virtual_millis += report.length.0;
        self.steps += report.steps;
    }

    /// Kinds that struck no work in any of so many seeds that each should have.
    fn uncovered(&self) -> Vec<&'static str> {
        let is_covered = |kind: &&Kind| self.covering.get(kind).is_some_and(|seeds| *seeds > 0);
        let uncovered = Kind::ALL.iter().filter(|kind| !is_covered(kind)).map(|kind| kind.name());
        if self.seeds < COVERING_SEEDS_COUNT { Vec::new() } else { uncovered.collect() }
    }

    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    fn print(&self, wall: Duration) {
        let seconds = wall.as_secs_f64().max(1e-9);
        println!(
            "{} seeds in {seconds:.1} s: {:.1} seeds/s, {} steps, virtual time {:.0} times wall time",
            self.seeds,
            self.seeds as f64 / seconds,
            self.steps,
            self.virtual_millis as f64 / 1000.0 / seconds
        );
        let Tally {
            commits,
            shared,
            last_agents,
            forgotten,
            messages_forgotten,
            aborts,
            locals,
            messages,
            acknowledged,
        } = self.tally;
        println!("shards:  {commits} attempts committed, {aborts} aborted, {locals} payloads of one shard alone");
        println!(
            "         {shared} parts of shared attempts, {last_agents} commits with the last agent's vote, {forgotten} settled records and {messages_forgotten} consumed messages forgotten"
        );
        let [committed, refused, lost] = self.told;
        println!("clients: {committed} told committed, {refused} told refused, {lost} told nothing more");
        println!(
            "messages: {messages} consumed, {acknowledged} settled: {} delivered, {} refunded",
            self.messages.1, self.messages.0
        );
        println!(
            "faults:  {:<20} {:>9} {:>11} {:>9}   seeds covering / having it",
            "", "struck", "under load", "most work"
        );
        for kind in Kind::ALL {
            let (count, having) = (self.counts.of(*kind), self.enabled.get(kind).copied().unwrap_or(0));
            let covering = self.covering.get(kind).copied().unwrap_or(0);
            let note = if having > 0 && covering == 0 { "  NOT COVERED" } else { "" };
            println!(
                "         {:<20} {:>9} {:>11} {:>9}   {covering} / {having}{note}",
                kind.name(),
                count.fired,
                count.under_load,
                count.work_max
            );
        }
    }
}

fn run(arguments: &RunArguments) -> Result<bool, String> {
    let (seeds, options) = (arguments.seeds(), arguments.options()?);
    let quiet = panic::take_hook();
    panic::set_hook(Box::new(|_| {})); // A panic is told with its seed.
    let (begun, mut sum) = (now(), Sum::default());
    on_threads(
        &seeds,
        arguments.threads,
        |seed| run_seed(seed, &options),
        |seed, result| {
            let wrong: Vec<String> = match &result {
                Ok(report) => report.violations.iter().map(ToString::to_string).collect(),
                Err(text) => vec![text.clone()],
            };
            if let Ok(report) = &result {
                sum.add(report);
            }
            if wrong.is_empty() {
                return true;
            }
            sum.failures += 1;
            for text in &wrong {
                println!("seed {seed}: {text}");
            }
            println!("  replay: cargo run -p dovetail-world --bin world -- run --seed {seed} --trace");
            arguments.keep_going
        },
    );
    panic::set_hook(quiet);
    sum.print(begun.elapsed());
    if sum.failures > 0 {
        println!("{} seeds with violations", sum.failures);
    }
    let uncovered = sum.uncovered();
    if !uncovered.is_empty() {
        println!(
            "these kinds of faults struck nothing in {} seeds, so the run does not count: {uncovered:?}",
            sum.seeds
        );
    }
    if let (Some(_), Some(report)) = (arguments.seed, one(arguments, &seeds, &options)) {
        println!("digest {}", report.digest);
        let uncovered = report.counts.uncovered(report.enabled);
        let names: Vec<&str> = uncovered.iter().map(|kind| kind.name()).collect();
        println!(
            "not covered by this seed: {}",
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        );
    }
    Ok(sum.failures == 0 && uncovered.is_empty())
}

/// One seed again, silently, for what is said of it at the end.
fn one(arguments: &RunArguments, seeds: &[u64], options: &Options) -> Option<Report> {
    if arguments.trace {
        return None;
    }
    run_seed(*seeds.first()?, options).ok()
}

fn twice(arguments: &RunArguments) -> Result<bool, String> {
    let (seeds, options) = (arguments.seeds(), arguments.options()?);
    let (begun, mut differing) = (now(), 0_u64);
    on_threads(
        &seeds,
        arguments.threads,
        |seed| [run_seed(seed, &options), run_seed(seed, &options)].map(|result| result.map(|report| report.digest)),
        |seed, digests| {
            if digests[0] != digests[1] {
                differing += 1;
                println!("seed {seed}: {:?} and then {:?}", digests[0], digests[1]);
            }
            true
        },
    );
    println!("{} seeds twice in {:.1} s: {differing} differ", seeds.len(), begun.elapsed().as_secs_f64());
    Ok(differing == 0)
}

fn enumerate(arguments: &CrashArguments) -> Result<bool, String> {
    let (begun, mut points, mut wrong, mut missed) = (now(), 0, 0, 0);
    for script in script::SCRIPTS.iter().filter(|script| script.name.contains(&arguments.only)) {
        let found = crashes::enumerate_script(script).map_err(|error| error.to_string())?;
        println!("{:<50} {:>5} crashes, {} not met", found.script, found.points, found.missed);
        if !found.violations.is_empty() {
            println!("  again: cargo run -p dovetail-world --bin world -- crashes --only {:?}", found.script);
        }
        for (point, violation) in &found.violations {
            println!("  {point:?}: {violation}");
        }
        points += found.points;
        wrong += found.violations.len();
        missed += found.missed;
    }
    println!("{points} crashes in {:.1} s, {missed} not met, {wrong} violations", begun.elapsed().as_secs_f64());
    Ok(wrong == 0 && missed == 0 && points > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read() {
        assert_eq!("3..9".parse(), Ok(Seeds::Range(3..9)));
        assert_eq!("fresh:9".parse(), Ok(Seeds::Fresh(9)));
        for text in ["", "3", "9..3", "3..3", "a..b", "fresh:", "-1..3"] {
            assert!(text.parse::<Seeds>().is_err(), "{text}");
        }
    }
}
