//! What mutation mode counts, and how it is told.

use crate::document::{Section, Table};
use crate::mutation::check::Check;
use crate::mutation::judge::{Harmless, Judgement};
use crate::mutation::kind::{Kind, Told};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// How many uncaught mutations and faults are told in full.
const TOLD_COUNT_MAX: usize = 30;

/// Where a transaction is from, and what network it ran on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A state test, in its own block on a replay network.
    StateTest,
    /// A state test's transaction on a network of slots.
    StateTestInSlot,
    /// A mainnet block.
    Block,
}

/// What became of one kind of mutation.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// How many were told.
    pub told: usize,
    /// By check, how many it objected to.
    pub caught: BTreeMap<Check, usize>,
    /// Those that were none.
    pub harmless: BTreeMap<Harmless, usize>,
    /// Those that could commit and must not.
    pub uncaught: usize,
}

/// Everything that is counted.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Transactions whose prepares were changed.
    pub transactions: BTreeMap<Origin, usize>,
    /// By how many participants they had.
    pub participants: BTreeMap<usize, usize>,
    /// Transactions of one shard alone: no prepare is sent.
    pub local: usize,
    /// Transactions that cannot be executed: no prepare is sent.
    pub refused: usize,
    /// By what was changed.
    pub rows: BTreeMap<(Kind, Told), Row>,
    /// Uncaught mutations, honest prepares that somebody objects to, shards that wrote what they must not.
    pub failures: Vec<String>,
    /// How many of those there are.
    pub failures_count: usize,
    /// Files that could not be read.
    pub unreadable: Vec<String>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Tally {
    /// Counts one mutation.
    pub fn judged(&mut self, name: &str, kind: Kind, told: Told, judgement: &Judgement) {
        let row = self.rows.entry((kind, told)).or_default();
        row.told += 1;
        match judgement {
            Judgement::Caught(checks) => checks.iter().for_each(|check| *row.caught.entry(*check).or_default() += 1),
            Judgement::Harmless(harmless) => *row.harmless.entry(*harmless).or_default() += 1,
            Judgement::Uncaught => {
                row.uncaught += 1;
                self.failed(format!("nobody objects to {kind}, {told}: {name}"));
            }
        }
    }

    /// Counts something that must not be.
    pub fn failed(&mut self, what: String) {
        self.failures_count += 1;
        if self.failures.len() < TOLD_COUNT_MAX {
            self.failures.push(what);
        }
    }

    /// Takes over what another thread counted.
    pub fn add(&mut self, other: Self) {
        add(&mut self.transactions, other.transactions);
        add(&mut self.participants, other.participants);
        self.local += other.local;
        self.refused += other.refused;
        for (key, more) in other.rows {
            let row = self.rows.entry(key).or_default();
            row.told += more.told;
            add(&mut row.caught, more.caught);
            add(&mut row.harmless, more.harmless);
            row.uncaught += more.uncaught;
        }
        self.failures_count += other.failures_count;
        self.failures.extend(other.failures);
        self.failures.sort();
        self.failures.truncate(TOLD_COUNT_MAX);
        self.unreadable.extend(other.unreadable);
    }

    /// How many transactions were lied about.
    pub fn transactions_count(&self) -> usize {
        self.transactions.values().sum()
    }

    /// How many mutations were told.
    pub fn mutations_count(&self) -> usize {
        self.rows.values().map(|row| row.told).sum()
    }

    /// How many of them nobody objected to, though they are none.
    pub fn harmless_count(&self) -> usize {
        self.rows.values().flat_map(|row| row.harmless.values()).sum()
    }

    /// How many of them nobody objected to, though somebody must.
    pub fn uncaught_count(&self) -> usize {
        self.rows.values().map(|row| row.uncaught).sum()
    }

    /// By check, how many mutations it objected to.
    pub fn checks(&self) -> BTreeMap<Check, usize> {
        let mut checks = BTreeMap::new();
        self.rows.values().for_each(|row| add(&mut checks, row.caught.clone()));
        checks
    }

    /// The counts in a few lines.
    pub fn summary(&self) -> String {
        let of = |origin| self.transactions.get(&origin).copied().unwrap_or_default();
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{} transactions over several shards ({} of state tests, {} of them in slots, {} of mainnet blocks), {} \
             mutations: {} caught, {} harmless, {} uncaught. {} transactions concern one shard alone and {} cannot be \
             executed: no prepare is sent for them.",
            self.transactions_count(),
            of(Origin::StateTest) + of(Origin::StateTestInSlot),
            of(Origin::StateTestInSlot),
            of(Origin::Block),
            self.mutations_count(),
            self.mutations_count() - self.harmless_count() - self.uncaught_count(),
            self.harmless_count(),
            self.uncaught_count(),
            self.local,
            self.refused,
        );
        text
    }

    /// Each kind of mutation, and who objected.
    pub fn table(&self) -> Table {
        let mut table = Table::new(["changed", "told", "times", "caught by", "harmless", "uncaught"]);
        for ((kind, told), row) in &self.rows {
            table.row([
                kind.to_string(),
                told.to_string(),
                row.told.to_string(),
                counts(&row.caught),
                counts(&row.harmless),
                row.uncaught.to_string(),
            ]);
        }
        table
    }

    /// Each check, and to how many mutations it objected.
    pub fn checks_table(&self) -> Table {
        let checks = self.checks();
        let mut table = Table::new(["check", "objected to"]);
        for check in Check::ALL.into_iter().filter(|check| checks.contains_key(check)) {
            table.row([check.to_string(), checks[&check].to_string()]);
        }
        table
    }

    /// The document's section.
    pub fn section(&self, command: &str) -> Section {
        let body = format!(
            "## Mutations\n\n`{command}`, {:.0} s.\n\n{}\n\n\
             Each transaction is prepared by the coordinator that serves; then one thing of its prepare is changed and the \
             result sent to every participant it names, homes first, with the votes that the homes give. *Alone*, the \
             change contradicts the rest. *Consistently*, the coordinator has executed the transaction again in a world \
             where the change is true, so that witness, effects, participants and digest follow from it, and only \
             somebody who knows better can object. Caught means that some participant votes no or refuses, so that it \
             cannot commit; whoever does has written nothing but its no. A mutation may be caught by several checks, each \
             of which is counted. Harmless means that the honest execution of the payload, in the environment that the \
             prepare names, gives exactly what the mutated attempt binds, and that a coordinator may name it.\n\n{}\n{}",
            self.elapsed.as_secs_f64(),
            self.summary(),
            self.table(),
            self.checks_table(),
        );
        Section { name: "mutations", body }
    }
}

fn add<K: Ord>(counts: &mut BTreeMap<K, usize>, more: BTreeMap<K, usize>) {
    for (key, count) in more {
        *counts.entry(key).or_default() += count;
    }
}

fn counts<K: ToString>(counts: &BTreeMap<K, usize>) -> String {
    let parts: Vec<String> = counts.iter().map(|(key, count)| format!("{} {count}", key.to_string())).collect();
    parts.join(", ")
}
