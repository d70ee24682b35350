//! One subtest from beginning to end: plain revm, then the network under each layout, then the verdicts.

use crate::layout::Layout;
use crate::state_tests::case::{Case, Origin, Scene};
use crate::state_tests::file::{Post, StateTest};
use crate::state_tests::fork;
use crate::state_tests::network::{self, Carrier, NetworkError, NetworkRun};
use crate::state_tests::plain::{self, PlainRun};
use crate::state_tests::processes;
use crate::state_tests::root::state_root;
use crate::state_tests::source::FileName;
use crate::state_tests::verdict::{self, Mismatch, Skip};
use alloy_primitives::{Address, B256, Bytes};
use evm::PayloadVerifier;
use primitives::Verified;
use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Tests of which one execution takes from many seconds to minutes, where a network executes it once for each participant:
/// 2^32 - 1 rounds of BLAKE2, and billions of gas of loops.
const LONG: [&str; 2] = ["CALLBlake2f_MaxRounds", "loopMul"];

/// Which subtest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubtestName {
    /// Its file.
    pub file: FileName,
    /// Its test.
    pub test: String,
    /// The fork, as the file names it.
    pub fork: String,
    /// Its place among the fork's.
    pub index: usize,
}

impl SubtestName {
    /// Whether one execution of it takes minutes. It runs under one layout, is in no sample, and counts in no rate.
    pub fn is_long(&self) -> bool {
        LONG.iter().any(|long| self.test.starts_with(long))
    }
}

impl fmt::Display for SubtestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{} {}] in {}", self.test, self.fork, self.index, self.file)
    }
}

/// What one layout made of a subtest.
#[derive(Debug)]
pub struct LayoutRun {
    /// Everything that differs; nothing if it passed.
    pub mismatches: Vec<Mismatch>,
    /// How many shards took part; none if the transaction was refused.
    pub participants: usize,
    /// How many codes were proven instead of asked about.
    pub proven_codes: usize,
    /// Whether accounts had to share shards although each should have had its own.
    pub is_crowded: bool,
    /// From signed bytes to the union of states.
    pub elapsed: Duration,
}

/// A subtest that was run, or skipped.
#[derive(Debug)]
pub struct SubtestReport {
    /// Which.
    pub name: SubtestName,
    /// Why it does not count, if it does not.
    pub skip: Option<Skip>,
    /// What plain revm gets otherwise than the file, where no reason is known.
    pub plain: Vec<Mismatch>,
    /// One for each layout, in their order; none where it is not run under that one.
    pub layouts: Vec<Option<LayoutRun>>,
    /// How long plain revm took, recovery of the sender included.
    pub plain_elapsed: Duration,
    /// Whether the transaction had to be put together and signed here.
    pub is_signed_here: bool,
}

impl SubtestReport {
    fn skipped(name: SubtestName, skip: Skip) -> Self {
        Self {
            name,
            skip: Some(skip),
            plain: Vec::new(),
            layouts: Vec::new(),
            plain_elapsed: Duration::ZERO,
            is_signed_here: false,
        }
    }

    fn unrun(name: SubtestName, mismatch: Mismatch) -> Self {
        Self {
            name,
            skip: None,
            plain: vec![mismatch],
            layouts: Vec::new(),
            plain_elapsed: Duration::ZERO,
            is_signed_here: false,
        }
    }

    /// Whether anything of it failed.
    pub fn has_failed(&self) -> bool {
        !self.plain.is_empty() || self.layouts.iter().flatten().any(|run| !run.mismatches.is_empty())
    }
}

/// The names of all subtests of a test, in order.
pub fn names<'a>(
    file: &'a FileName,
    test: &'a str,
    content: &'a StateTest,
) -> impl Iterator<Item = (SubtestName, &'a Post)> + 'a {
    content.post.iter().flat_map(move |(fork, posts)| {
        posts.iter().enumerate().map(move |(index, post)| {
            (SubtestName { file: file.clone(), test: test.to_owned(), fork: fork.clone(), index }, post)
        })
    })
}

/// Runs a subtest on plain revm and under every layout.
pub fn run(
    scene: &Scene<'_>,
    name: SubtestName,
    post: &Post,
    (layouts, carrier): (&[Layout], &Carrier),
) -> SubtestReport {
    let Some(spec) = fork::spec(&name.fork) else {
        let fork = name.fork.clone();
        if fork::is_unsupported(&fork) {
            return SubtestReport::skipped(name, Skip::Unsupported { fork });
        }
        return SubtestReport::unrun(name, Mismatch::UnknownFork { fork });
    };
    let fork = name.fork.clone();
    let case = Case { scene, fork: &fork, spec, post };
    let signed = match case.bytes() {
        Ok(signed) => signed,
        Err(error) => return SubtestReport::unrun(name, error.into()),
    };
    match caught(|| compare(&case, &name, &signed.bytes, (layouts, carrier))) {
        Ok(report) => SubtestReport { is_signed_here: signed.origin == Origin::Section, ..report },
        Err(message) => SubtestReport::unrun(name, Mismatch::Panicked { message }),
    }
}

fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    // What panicked is dropped with all it had.
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "a panic".to_owned())
}

fn compare(
    case: &Case<'_>,
    name: &SubtestName,
    bytes: &Bytes,
    (layouts, carrier): (&[Layout], &Carrier),
) -> SubtestReport {
    let recovering = Instant::now();
    let submitted = Verified::by(&PayloadVerifier::new(case.params()), case.payload(bytes));
    let recovering = recovering.elapsed();
    let plain = plain::run(case, bytes);
    let root = state_root(&plain.state);
    let mut faults = verdict::plain(case, &plain, root);
    if let (Ok(payload), Ok(fields)) = (&submitted, case.fields()) {
        let env = payload.signed().next().map(evm::RecoveredTransaction::env);
        let field = env.and_then(|env| fields.difference(env));
        faults.extend(field.map(|field| Mismatch::Section { field }));
    }
    let known = is_storage_without_code(case, &faults, &plain).then_some(Skip::StorageWithoutCode);
    let accounts: BTreeSet<Address> = case.addresses().union(&plain.touched).copied().collect();
    let subject = Subject { case, name: &name.to_string(), bytes, accounts: &accounts, carrier, plain: (&plain, root) };
    let only = name.is_long().then(|| Layout::first_crossing(layouts));
    let layouts = layouts.iter().enumerate().map(|(index, layout)| {
        let is_asked = only.is_none_or(|only| only == index);
        is_asked.then(|| {
            caught(|| subject.under(layout)).unwrap_or_else(|message| LayoutRun {
                mismatches: vec![Mismatch::Panicked { message }],
                participants: 0,
                proven_codes: 0,
                is_crowded: false,
                elapsed: Duration::ZERO,
            })
        })
    });
    SubtestReport {
        name: name.clone(),
        layouts: layouts.collect(),
        plain: if known.is_some() { Vec::new() } else { faults },
        skip: known,
        plain_elapsed: plain.elapsed + recovering,
        is_signed_here: false,
    }
}

/// Whether plain revm goes wrong only where it cannot see storage.
fn is_storage_without_code(case: &Case<'_>, faults: &[Mismatch], plain: &PlainRun) -> bool {
    let invisible = case.scene.storage_without_code();
    let is_of_state = |fault: &Mismatch| matches!(fault, Mismatch::Root { .. } | Mismatch::Logs { .. });
    !faults.is_empty() && faults.iter().all(is_of_state) && !invisible.is_disjoint(&plain.touched)
}

/// A subtest whose plain run is done.
struct Subject<'a> {
    case: &'a Case<'a>,
    name: &'a str,
    bytes: &'a Bytes,
    accounts: &'a BTreeSet<Address>,
    carrier: &'a Carrier,
    plain: (&'a PlainRun, B256),
}

impl Subject<'_> {
    fn under(&self, layout: &Layout) -> LayoutRun {
        let started = Instant::now();
        let run = self.on_network(layout);
        let elapsed = started.elapsed();
        let is_crowded = layout.is_crowded(self.accounts.len());
        let (participants, proven_codes) = run.as_ref().map_or((0, 0), |run| (run.participants, run.proven_codes));
        let mismatches = run.map_or_else(|error| vec![error.into()], |run| self.mismatches(&run));
        LayoutRun { mismatches, participants, proven_codes, is_crowded, elapsed }
    }

    fn on_network(&self, layout: &Layout) -> Result<NetworkRun, NetworkError> {
        let placement = layout.placement(self.name, self.accounts)?;
        match self.carrier {
            Carrier::World => network::run(self.case, self.bytes, &placement),
            Carrier::Processes(program) => {
                let ran = processes::run(self.case, self.bytes, &placement, (self.plain.0, program));
                ran.map_err(|error| NetworkError::Processes { reason: format!("{error:#}") })
            }
        }
    }

    fn mismatches(&self, run: &NetworkRun) -> Vec<Mismatch> {
        let (plain, root) = self.plain;
        verdict::network(self.case, run, plain, root)
    }
}
