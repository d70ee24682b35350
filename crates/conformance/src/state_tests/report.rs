//! What was counted, as Markdown and as a closing summary.

use crate::document::{Section, Table};
use crate::layout::{Layout, SHARDS_COUNT_MAX};
use crate::state_tests::fork;
use crate::state_tests::network::Carrier;
use crate::state_tests::subtest::SubtestName;
use crate::state_tests::tally::{Corpus, LayoutCount, Row, Tally};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// How the run was made, for whoever wants to repeat it.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The command and its arguments.
    pub command: String,
    /// On how many threads.
    pub threads: usize,
    /// The processor's name, if it is known.
    pub processor: Option<String>,
    /// How much of it is run, in words.
    pub extent: String,
    /// Within one process, or on many.
    pub carrier: Carrier,
}

#[allow(clippy::cast_precision_loss, reason = "counts for people to read")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[allow(clippy::cast_precision_loss, reason = "counts for people to read")]
fn per_second(count: usize, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { count as f64 / elapsed.as_secs_f64() }
}

/// Shards that took part in a transaction, on average.
fn participants(count: &LayoutCount) -> String {
    format!("{:.2}", ratio(count.participants, count.committed))
}

fn crossed(count: &LayoutCount) -> String {
    format!("{:.1} %", 100.0 * ratio(count.crossed, count.committed))
}

/// How many subtests of a row count in rates.
fn ran(row: &Row) -> usize {
    row.subtests - row.skipped - row.long
}

/// The section of the document.
pub fn section(tally: &Tally, origin: &Origin) -> Section {
    match origin.carrier {
        Carrier::World => Section { name: "state tests", body: body(tally, origin) },
        Carrier::Processes(_) => Section { name: "state tests on processes", body: on_processes(tally, origin) },
    }
}

fn on_processes(tally: &Tally, origin: &Origin) -> String {
    let mut text = format!(
        "## State tests on processes\n\n\
         {} subtests ({}), each on a network of processes of its own: gRPC between coordinator and shards, RocksDB under\n\
         every shard, the same comparisons, and the oracle over the stores afterwards. {}\n\n\
         Run by:\n\n```\n{}\n```\n",
        tally.total().subtests,
        origin.extent,
        verdict(tally),
        origin.command,
    );
    for (name, corpus) in &tally.corpora {
        let mut table = Table::new(["shards", "passed", "failed", "crossed shards", "shards each"]);
        for (layout, count) in tally.layouts.iter().zip(&corpus.total().layouts) {
            let counts = [count.passed.to_string(), count.failed.to_string(), crossed(count), participants(count)];
            table.row([layout.to_string()].into_iter().chain(counts));
        }
        let _ = write!(text, "\n### {name}, a few\n\n{table}");
    }
    text
}

fn verdict(tally: &Tally) -> String {
    match tally.failed {
        0 => "Every subtest that is not skipped passed at every placement.".to_owned(),
        failed => format!("**{failed} subtests failed.**"),
    }
}

fn body(tally: &Tally, origin: &Origin) -> String {
    let mut text = String::new();
    let total = tally.total();
    // Writing to a string does not fail.
    let _ = write!(text, "{}", introduction(tally, origin, &total));
    for (name, corpus) in &tally.corpora {
        let _ = write!(text, "\n### {name}\n\n{}", corpus_text(corpus, &tally.layouts));
    }
    text
}

fn introduction(tally: &Tally, origin: &Origin, total: &Row) -> String {
    let processor = origin.processor.as_deref().unwrap_or("an unnamed processor");
    format!(
        "## State tests\n\n\
         {} subtests ({}), {} skipped by the reasons named below. {}\n\n\
         Each subtest runs through the production state machines: its pre-state is spread over the shards, its signed\n\
         transaction is submitted to a coordinator, which fetches what the run needs, prepares every participant, collects\n\
         their certified votes and delivers the decision; each participant executes the transaction again under the witness.\n\
         The union of all shards' states has to have the state root of the file, the logs their hash; gas, status, output and\n\
         logs have to be those of one unsharded revm run in the same process on the transaction's fields; a transaction\n\
         that the file calls invalid has to be refused, for the reason for which revm refuses it, and to change nothing.\n\
         Each is skipped by a named reason, passed, or failed; nothing is left out.\n\n\
         Run by:\n\n```\n{}\n```\n\n\
         {} in all, on {} threads of {processor}. Rates are for one thread; plain revm's is of the same run, both with the\n\
         recovery of the sender and without reading files and hashing roots. Signed here because the file has no signed\n\
         bytes: {}.\n",
        total.subtests,
        origin.extent,
        total.skipped,
        verdict(tally),
        origin.command,
        minutes(tally.elapsed),
        origin.threads,
        total.signed_here,
    )
}

fn minutes(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    if seconds < 100 { format!("{seconds} s") } else { format!("{} min {} s", seconds / 60, seconds % 60) }
}

fn corpus_text(corpus: &Corpus, layouts: &[Layout]) -> String {
    let total = corpus.total();
    let mut text = format!(
        "{} files, {} subtests, {} skipped, {} that plain revm gets wrong for no known reason.\n\n",
        corpus.files, total.subtests, total.skipped, total.plain_failed,
    );
    let _ = writeln!(text, "{}", by_layout(&total, layouts));
    let mut forks: Vec<(&str, Row)> = corpus.by_fork().into_iter().collect();
    forks.sort_by_key(|(name, _)| (fork::place(name), *name));
    let suites: Vec<(&str, Row)> = corpus.by_suite().into_iter().collect();
    for (what, rows) in [("fork", &forks), ("suite", &suites)] {
        let _ = writeln!(text, "Passed, by {what} and shards:\n\n{}", passed(what, rows, layouts));
        let _ = writeln!(text, "Shards that took part, on average:\n\n{}", shares(what, rows, layouts));
    }
    let _ = write!(text, "{}", left_out(corpus, layouts));
    text
}

fn by_layout(total: &Row, layouts: &[Layout]) -> Table {
    let columns = [
        "shards",
        "passed",
        "failed",
        "crossed shards",
        "shards each",
        "with a proven code",
        "subtests/s",
        "plain revm's/s",
    ];
    let mut table = Table::new(columns);
    for (layout, count) in layouts.iter().zip(&total.layouts) {
        let crowded = match count.crowded {
            0 => String::new(),
            crowded => format!(" (of {crowded} with more than {SHARDS_COUNT_MAX} accounts, over {SHARDS_COUNT_MAX})"),
        };
        table.row([
            format!("{layout}{crowded}"),
            count.passed.to_string(),
            count.failed.to_string(),
            crossed(count),
            participants(count),
            count.proven.to_string(),
            format!("{:.0}", per_second(ran(total), count.elapsed)),
            format!("{:.0}", per_second(ran(total), total.plain_elapsed)),
        ]);
    }
    table
}

fn head(what: &str, more: &[&str], layouts: &[Layout]) -> Table {
    let more = more.iter().map(ToString::to_string);
    Table::new([what.to_owned()].into_iter().chain(more).chain(layouts.iter().map(ToString::to_string)))
}

fn passed(what: &str, rows: &[(&str, Row)], layouts: &[Layout]) -> Table {
    let mut table = head(what, &["subtests", "skipped"], layouts);
    for (name, row) in rows {
        let counts = row.layouts.iter().map(|count| count.passed.to_string());
        let fixed = [(*name).to_owned(), row.subtests.to_string(), row.skipped.to_string()];
        table.row(fixed.into_iter().chain(counts));
    }
    table
}

fn shares(what: &str, rows: &[(&str, Row)], layouts: &[Layout]) -> Table {
    let mut table = head(what, &[], layouts);
    for (name, row) in rows {
        table.row([(*name).to_owned()].into_iter().chain(row.layouts.iter().map(participants)));
    }
    table
}

fn left_out(corpus: &Corpus, layouts: &[Layout]) -> String {
    let mut text = String::new();
    for (reason, names) in &corpus.skipped {
        let _ = writeln!(text, "Skipped, {}: {reason}.\n", names.len());
        for (test, places) in by_test(names) {
            let _ = writeln!(text, "- {test}: {places}");
        }
        text.push('\n');
    }
    if !corpus.long.is_empty() && layouts.len() > 1 {
        let only = layouts[Layout::first_crossing(layouts)];
        let _ =
            writeln!(text, "Run over {only} alone, because one execution takes up to minutes, and not in the rates:\n");
        for (test, places) in by_test(&corpus.long) {
            let _ = writeln!(text, "- {test}: {places}");
        }
        text.push('\n');
    }
    if !corpus.pointers.is_empty() {
        let count = corpus.pointers.len();
        let _ = writeln!(
            text,
            "Files that the archive has only as pointers of Git LFS, so that nobody can run them, {count}:\n"
        );
        for name in &corpus.pointers {
            let _ = writeln!(text, "- `{}/{}`", name.folder, name.file);
        }
        text.push('\n');
    }
    text
}

/// The forks and indexes of each test.
fn by_test(names: &[SubtestName]) -> BTreeMap<String, String> {
    let mut tests: BTreeMap<String, BTreeMap<&str, Vec<String>>> = BTreeMap::new();
    for name in names {
        let file = format!("`{}/{}`", name.file.folder, name.file.file);
        tests.entry(file).or_default().entry(&name.fork).or_default().push(name.index.to_string());
    }
    let places = |forks: BTreeMap<&str, Vec<String>>| {
        let fork = |(fork, indexes): (&str, Vec<String>)| match indexes.len() {
            count if count > 4 => format!("{fork} ({count} subtests)"),
            _ => format!("{fork} {}", indexes.join(", ")),
        };
        forks.into_iter().map(fork).collect::<Vec<_>>().join("; ")
    };
    tests.into_iter().map(|(file, forks)| (file, places(forks))).collect()
}

/// What is said at the end of a run.
pub fn summary(tally: &Tally) -> String {
    let mut text = String::new();
    for (name, corpus) in &tally.corpora {
        let total = corpus.total();
        let _ =
            writeln!(text, "{name}: {} files, {} subtests, {} skipped", corpus.files, total.subtests, total.skipped);
        for (reason, names) in &corpus.skipped {
            let _ = writeln!(text, "  {:>6} skipped: {reason}", names.len());
        }
        if !corpus.pointers.is_empty() {
            let _ = writeln!(text, "  {:>6} files are only pointers of Git LFS", corpus.pointers.len());
        }
        for (layout, count) in tally.layouts.iter().zip(&total.layouts) {
            let _ = writeln!(
                text,
                "  {layout}: {} passed, {} failed; {} crossed shards, {} shards each, {} with a proven code; {:.0} \
                 subtests/s a thread, plain revm {:.0}",
                count.passed,
                count.failed,
                crossed(count),
                participants(count),
                count.proven,
                per_second(ran(&total), count.elapsed),
                per_second(ran(&total), total.plain_elapsed),
            );
        }
    }
    let total = tally.total();
    let _ = write!(
        text,
        "{} subtests in {}: {} failed, {} skipped, {} files unreadable",
        total.subtests,
        minutes(tally.elapsed),
        tally.failed,
        total.skipped,
        tally.unreadable.len(),
    );
    text
}
