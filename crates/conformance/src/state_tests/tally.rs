//! What is counted over all subtests: by corpus, suite, fork and layout.

use crate::layout::Layout;
use crate::state_tests::source::FileName;
use crate::state_tests::subtest::{SubtestName, SubtestReport};
use crate::state_tests::verdict::Skip;
use std::collections::BTreeMap;
use std::time::Duration;

/// What one layout made of many subtests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LayoutCount {
    /// As the file and one EVM have it.
    pub passed: usize,
    /// Otherwise.
    pub failed: usize,
    /// Transactions that were committed.
    pub committed: usize,
    /// Of these, how many touched more than one shard.
    pub crossed: usize,
    /// Shards that took part, over all committed.
    pub participants: usize,
    /// Of the committed, those in which a code was proven instead of asked about.
    pub proven: usize,
    /// Subtests in which accounts shared shards although each should have had its own.
    pub crowded: usize,
    /// How long they took together.
    pub elapsed: Duration,
}

impl LayoutCount {
    /// The sum of two.
    pub fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.committed += other.committed;
        self.crossed += other.crossed;
        self.participants += other.participants;
        self.proven += other.proven;
        self.crowded += other.crowded;
        self.elapsed += other.elapsed;
    }
}

/// What is counted over some subtests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// All there are.
    pub subtests: usize,
    /// Those that do not count, for a reason.
    pub skipped: usize,
    /// Those that plain revm gets otherwise than the file, for no reason known.
    pub plain_failed: usize,
    /// Those whose transaction was signed here.
    pub signed_here: usize,
    /// Those that take so long that they count in no rate.
    pub long: usize,
    /// How long plain revm took.
    pub plain_elapsed: Duration,
    /// By layout, in their order.
    pub layouts: Vec<LayoutCount>,
}

impl Row {
    fn new(layouts: usize) -> Self {
        Self { layouts: vec![LayoutCount::default(); layouts], ..Self::default() }
    }

    /// The sum of two.
    pub fn add(&mut self, other: &Self) {
        self.subtests += other.subtests;
        self.skipped += other.skipped;
        self.plain_failed += other.plain_failed;
        self.signed_here += other.signed_here;
        self.long += other.long;
        self.plain_elapsed += other.plain_elapsed;
        self.layouts.resize(self.layouts.len().max(other.layouts.len()), LayoutCount::default());
        for (mine, theirs) in self.layouts.iter_mut().zip(&other.layouts) {
            mine.add(theirs);
        }
    }

    fn count(&mut self, report: &SubtestReport) {
        self.subtests += 1;
        self.skipped += usize::from(report.skip.is_some() && !report.has_failed());
        self.plain_failed += usize::from(!report.plain.is_empty());
        self.signed_here += usize::from(report.is_signed_here);
        let is_timed = !report.name.is_long();
        self.long += usize::from(!is_timed);
        if is_timed {
            self.plain_elapsed += report.plain_elapsed;
        }
        for (count, run) in self.layouts.iter_mut().zip(&report.layouts) {
            let Some(run) = run else { continue };
            let passed = report.skip.is_none() && report.plain.is_empty() && run.mismatches.is_empty();
            count.passed += usize::from(passed);
            count.failed += usize::from(!run.mismatches.is_empty() || !report.plain.is_empty());
            count.committed += usize::from(run.participants > 0);
            count.crossed += usize::from(run.participants > 1);
            count.participants += run.participants;
            count.proven += usize::from(run.proven_codes > 0);
            count.crowded += usize::from(run.is_crowded);
            if is_timed {
                count.elapsed += run.elapsed;
            }
        }
    }
}

/// One corpus.
#[derive(Debug, Clone, Default)]
pub struct Corpus {
    /// Files with tests.
    pub files: usize,
    /// By suite and fork.
    pub rows: BTreeMap<(String, String), Row>,
    /// Subtests that do not count, by reason.
    pub skipped: BTreeMap<Skip, Vec<SubtestName>>,
    /// Those that run under one layout only.
    pub long: Vec<SubtestName>,
    /// Files that were never fetched: Git LFS pointers.
    pub pointers: Vec<FileName>,
}

impl Corpus {
    /// Everything together.
    pub fn total(&self) -> Row {
        let mut total = Row::default();
        self.rows.values().for_each(|row| total.add(row));
        total
    }

    /// By suite.
    pub fn by_suite(&self) -> BTreeMap<&str, Row> {
        self.by(|(suite, _)| suite.as_str())
    }

    /// By fork.
    pub fn by_fork(&self) -> BTreeMap<&str, Row> {
        self.by(|(_, fork)| fork.as_str())
    }

    fn by<'a>(&'a self, group: impl Fn(&'a (String, String)) -> &'a str) -> BTreeMap<&'a str, Row> {
        let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
        for (key, row) in &self.rows {
            rows.entry(group(key)).or_default().add(row);
        }
        rows
    }
}

/// Everything that was counted.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// The layouts, in order.
    pub layouts: Vec<Layout>,
    /// By name.
    pub corpora: BTreeMap<String, Corpus>,
    /// How many subtests failed.
    pub failed: usize,
    /// Files and archives that could not be read, each with what is wrong.
    pub unreadable: Vec<String>,
    /// How long it all took, reading and hashing included.
    pub elapsed: Duration,
}

impl Tally {
    /// Nothing yet.
    pub fn new(layouts: Vec<Layout>) -> Self {
        Self { layouts, ..Self::default() }
    }

    /// Counts a file.
    pub fn file(&mut self, name: &FileName, reports: &[SubtestReport]) {
        let layouts = self.layouts.len();
        let corpus = self.corpora.entry(name.corpus.clone()).or_default();
        corpus.files += 1;
        for report in reports {
            let key = (name.suite().to_owned(), report.name.fork.clone());
            corpus.rows.entry(key).or_insert_with(|| Row::new(layouts)).count(report);
            if report.name.is_long() {
                corpus.long.push(report.name.clone());
            }
            if report.has_failed() {
                self.failed += 1;
            } else if let Some(skip) = &report.skip {
                corpus.skipped.entry(skip.clone()).or_default().push(report.name.clone());
            }
        }
    }

    /// Counts a file that was never fetched.
    pub fn pointer(&mut self, name: FileName) {
        self.corpora.entry(name.corpus.clone()).or_default().pointers.push(name);
    }

    /// All corpora together.
    pub fn total(&self) -> Row {
        let mut total = Row::default();
        self.corpora.values().for_each(|corpus| total.add(&corpus.total()));
        total
    }

    /// Puts names in order, which threads have mixed.
    pub fn sort(&mut self) {
        for corpus in self.corpora.values_mut() {
            corpus.skipped.values_mut().for_each(|names| names.sort());
            corpus.long.sort();
            corpus.pointers.sort();
        }
        self.unreadable.sort();
    }
}
