//! Whether a history of committed transactions has an order: no cycle in its graph of dependencies, and no slot before an
//! earlier one's.
//!
//! ```text
//!   each shard's log: who wrote a key, in order          x:  (first) ──ww──> T1 ──ww──> T2
//!   what each transaction read of a key                                       └─wr─> T3 ──rw──> T2    T3 saw T1's, not T2's
//!   each client's transactions, one after the other      T3 ──session──> T4
//!
//!   G0: a cycle of ww   G1a: a value read that nobody committed   G1c: with wr   G2: with rw   session: with a client's order
//!   backwards: ww, wr or rw from a transaction to one of an earlier slot
//! ```
//!
//! Promise: without an anomaly there is one order of all transactions in which each reads what was written last before it,
//! each client's stand as it sent them, and slots never decrease where every transaction has one (I20): an order by slots,
//! and within a slot by dependencies, is one that no dependency goes against. Versions are those of the owners' logs, not guessed from values; a value that a
//! key had more than once is taken to be the one that its reader's place in the log allows, so that nothing is made up.
//! Knows nothing of attempts, votes and EVM: a transaction is a name, a value is bytes.
//! Source: Adya, "Weak Consistency", 1999, chapter 3.

use evm::StateKey;
use primitives::ShardId;
use shard::Cause;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A transaction's name over all logs: an attempt is one, whatever shard's log it is in; all others are their shard's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transaction {
    /// One that several shards committed.
    Attempt(Cause),
    /// One of a shard alone, by its place in the log.
    Own {
        /// Whose.
        shard: ShardId,
        /// From 0.
        place: usize,
    },
}

/// A key's value as bytes; none where there is nothing.
pub type Value = Option<Vec<u8>>;

/// What a transaction read of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// This value: what its witness says.
    Value(Value),
    /// What was there at its place in the log: it ran there and then.
    Current,
}

/// How a transaction changed a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// To this value.
    Value(Value),
    /// To a value that was not seen, as another of the same batch hid it. Whoever reads it is believed.
    Unseen,
    /// By an amount: credits do not order each other, and nobody knows the value by them alone.
    Credit,
}

/// What one transaction did on one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Which transaction.
    pub transaction: Transaction,
    /// What it read.
    pub reads: BTreeMap<StateKey, Reading>,
    /// What it changed.
    pub changes: BTreeMap<StateKey, Change>,
}

/// All that was committed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// The values before the first transaction; a key that is not here had none.
    pub first: BTreeMap<StateKey, Vec<u8>>,
    /// What each shard applied, in the order of its log.
    pub logs: BTreeMap<ShardId, Vec<Access>>,
    /// Each client's transactions, each sent after the one before was acknowledged.
    pub sessions: Vec<Vec<Transaction>>,
    /// At which slot each ran; of one that is not here nobody says.
    pub slots: BTreeMap<Transaction, u64>,
}

/// Why one transaction comes before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependency {
    /// The other overwrote its value of the key.
    WriteWrite(StateKey),
    /// The other read its value of the key.
    WriteRead(StateKey),
    /// The other overwrote the value of the key that it had read.
    ReadWrite(StateKey),
    /// Its client sent the other afterwards.
    Session,
}

/// How a history fails to have an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anomaly {
    /// I5: a transaction is in one log twice.
    Twice {
        /// Which.
        transaction: Transaction,
        /// Whose log.
        shard: ShardId,
    },
    /// G1a: a transaction read what no committed transaction wrote.
    NeverWritten {
        /// Who.
        transaction: Transaction,
        /// Of which key.
        key: StateKey,
        /// What.
        value: Value,
    },
    /// I20: a transaction comes after one of a later slot.
    Backwards {
        /// What comes first.
        before: Transaction,
        /// At which slot it ran.
        slot: u64,
        /// Why it comes first.
        why: Dependency,
        /// What comes after it.
        after: Transaction,
        /// At which slot that ran.
        behind: u64,
    },
    /// Transactions that would each have to come before the next, and the last before the first.
    Cycle {
        /// G0, G1c, G2 or session: the mildest kind of edges that closes one.
        kind: &'static str,
        /// The transactions, each with why it comes before the next.
        edges: Vec<(Transaction, Dependency)>,
    },
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice { transaction, shard } => write!(f, "{transaction:?} is in the log of shard {shard} twice"),
            Self::NeverWritten { transaction, key, value } => {
                write!(f, "G1a: {transaction:?} read {value:?} of {key}, which no committed transaction wrote")
            }
            Self::Backwards { before, slot, why, after, behind } => {
                write!(f, "backwards: {before:?} of slot {slot} -{why:?}-> {after:?} of slot {behind}")
            }
            Self::Cycle { kind, edges } => {
                write!(f, "{kind}: ")?;
                edges.iter().try_for_each(|(transaction, why)| write!(f, "{transaction:?} -{why:?}-> "))?;
                write!(f, "the first")
            }
        }
    }
}

/// Says whether an anomaly of some kind may run over an edge.
type Counts = fn(&Dependency) -> bool;

/// The kinds of anomalies, each with the edges of those before it.
const KINDS: [(&str, Counts); 4] = [
    ("G0", |why| matches!(why, Dependency::WriteWrite(_))),
    ("G1c", |why| matches!(why, Dependency::WriteWrite(_) | Dependency::WriteRead(_))),
    ("G2", |why| !matches!(why, Dependency::Session)),
    ("session", |_| true),
];

/// What is wrong with the history; nothing if it has an order.
///
/// Each edge is looked at four times: linear in reads and writes, times the logarithm of their number.
pub fn anomalies(history: &History) -> Vec<Anomaly> {
    let mut graph = Graph::default();
    for (shard, log) in &history.logs {
        graph.add_log(*shard, log, &history.first);
    }
    for session in &history.sessions {
        session.windows(2).for_each(|pair| graph.edge(pair[0], pair[1], Dependency::Session));
    }
    let cycle = KINDS.into_iter().find_map(|(kind, takes)| Some((kind, graph.cycle(takes)?)));
    let cycle = cycle.map(|(kind, edges)| Anomaly::Cycle { kind, edges });
    let backwards = graph.backwards(&history.slots);
    graph.anomalies.into_iter().chain(cycle).chain(backwards).collect()
}

/// One version of a key: who made it and at which place of the log.
#[derive(Debug)]
struct Version {
    by: Option<(Transaction, usize)>,
    value: Option<Value>,
    credit: bool,
}

/// Who comes before whom, and why.
#[derive(Debug, Default)]
struct Graph {
    after: BTreeMap<Transaction, BTreeMap<Transaction, BTreeSet<Dependency>>>,
    anomalies: Vec<Anomaly>,
}

impl Graph {
    fn edge(&mut self, before: Transaction, after: Transaction, why: Dependency) {
        if before != after {
            self.after.entry(before).or_default().entry(after).or_default().insert(why);
        }
    }

    fn add_log(&mut self, shard: ShardId, log: &[Access], first: &BTreeMap<StateKey, Vec<u8>>) {
        let mut seen = BTreeSet::new();
        for access in log.iter().filter(|access| !seen.insert(access.transaction)) {
            self.anomalies.push(Anomaly::Twice { transaction: access.transaction, shard });
        }
        let keys: BTreeSet<StateKey> =
            log.iter().flat_map(|access| access.reads.keys().chain(access.changes.keys())).copied().collect();
        let mut versions: BTreeMap<StateKey, Vec<Version>> =
            keys.iter().map(|key| (*key, vec![original(first, key)])).collect();
        for (place, access) in log.iter().enumerate() {
            for (key, change) in &access.changes {
                let made = made(access.transaction, place, change);
                versions.entry(*key).or_default().push(made);
            }
        }
        for (key, versions) in &versions {
            self.add_writes(*key, versions);
        }
        for (place, access) in log.iter().enumerate() {
            for (key, reading) in &access.reads {
                self.add_read(access.transaction, place, *key, reading, &versions[key]);
            }
        }
    }

    /// ww: every version after those it replaced; credits in a row replace what was before the row.
    fn add_writes(&mut self, key: StateKey, versions: &[Version]) {
        for (index, version) in versions.iter().enumerate().skip(1) {
            let Some((after, _)) = version.by else { continue };
            for before in replaced(versions, index) {
                self.edge(before, after, Dependency::WriteWrite(key));
            }
        }
    }

    fn add_read(&mut self, reader: Transaction, place: usize, key: StateKey, reading: &Reading, versions: &[Version]) {
        let Some(index) = read_version(place, reading, versions) else {
            let Reading::Value(value) = reading else { return };
            let value = value.clone();
            return self.anomalies.push(Anomaly::NeverWritten { transaction: reader, key, value });
        };
        for version in group(versions, index) {
            if let Some((writer, _)) = version.by {
                self.edge(writer, reader, Dependency::WriteRead(key));
            }
        }
        for next in next_group(versions, index) {
            self.edge(reader, next, Dependency::ReadWrite(key));
        }
    }

    /// A cycle of edges that `takes` takes, if there is one: depth first, without recursion.
    fn cycle(&self, takes: fn(&Dependency) -> bool) -> Option<Vec<(Transaction, Dependency)>> {
        let mut done: BTreeSet<Transaction> = BTreeSet::new();
        for root in self.after.keys() {
            let mut path: Vec<(Transaction, Vec<(Transaction, Dependency)>)> = vec![(*root, self.next(*root, takes))];
            let mut chosen: Vec<Dependency> = Vec::new();
            let mut on_path = BTreeSet::from([*root]);
            if done.contains(root) {
                continue;
            }
            while let Some((here, open)) = path.last_mut() {
                let Some((next, why)) = open.pop() else {
                    done.insert(*here);
                    on_path.remove(here);
                    path.pop();
                    chosen.pop();
                    continue;
                };
                if on_path.contains(&next) {
                    chosen.push(why);
                    return Some(closed(&path, &chosen, next));
                }
                if !done.contains(&next) {
                    on_path.insert(next);
                    chosen.push(why);
                    path.push((next, self.next(next, takes)));
                }
            }
        }
        None
    }

    /// The first dependency that goes back in time. A client's own order is none: nothing was read or overwritten.
    fn backwards(&self, slots: &BTreeMap<Transaction, u64>) -> Option<Anomaly> {
        let edges =
            self.after.iter().flat_map(|(before, next)| next.iter().map(move |(after, whys)| (before, after, whys)));
        edges.into_iter().find_map(|(before, after, whys)| {
            let (slot, behind) = (*slots.get(before)?, *slots.get(after)?);
            let why = whys.iter().find(|why| **why != Dependency::Session).filter(|_| slot > behind)?;
            Some(Anomaly::Backwards { before: *before, slot, why: *why, after: *after, behind })
        })
    }

    fn next(&self, from: Transaction, takes: fn(&Dependency) -> bool) -> Vec<(Transaction, Dependency)> {
        let edges = self.after.get(&from).into_iter().flatten();
        edges.filter_map(|(to, whys)| Some((*to, *whys.iter().find(|why| takes(why))?))).collect()
    }
}

/// The part of the path from `start` on, each with why it comes before the next.
fn closed<T>(path: &[(Transaction, T)], chosen: &[Dependency], start: Transaction) -> Vec<(Transaction, Dependency)> {
    let names = path.iter().map(|(name, _)| *name);
    names.zip(chosen.iter().copied()).skip_while(|(name, _)| *name != start).collect()
}

fn original(first: &BTreeMap<StateKey, Vec<u8>>, key: &StateKey) -> Version {
    Version { by: None, value: Some(first.get(key).cloned()), credit: false }
}

fn made(by: Transaction, place: usize, change: &Change) -> Version {
    let by = Some((by, place));
    match change {
        Change::Value(value) => Version { by, value: Some(value.clone()), credit: false },
        Change::Unseen => Version { by, value: None, credit: false },
        Change::Credit => Version { by, value: None, credit: true },
    }
}

/// The versions that stand together with `index`: itself, or all credits of its row up to it.
fn group(versions: &[Version], index: usize) -> &[Version] {
    let row = versions[..=index].iter().rev().take_while(|version| version.credit).count();
    &versions[(index + 1 - row.max(1))..=index]
}

/// Who made the versions that `index` replaced.
fn replaced(versions: &[Version], index: usize) -> Vec<Transaction> {
    let start = index + 1 - group(versions, index).len();
    let Some(last) = start.checked_sub(1) else { return Vec::new() };
    group(versions, last).iter().filter_map(|version| version.by).map(|(by, _)| by).collect()
}

/// Who made the versions that replaced `index`: one, or a row of credits.
fn next_group(versions: &[Version], index: usize) -> Vec<Transaction> {
    let later = &versions[index + 1..];
    let row = later.iter().take_while(|version| version.credit).count();
    later[..row.max(1).min(later.len())].iter().filter_map(|version| version.by).map(|(by, _)| by).collect()
}

/// Which version was read. Of several with one value the one at the reader's place, or else the latest before it.
fn read_version(place: usize, reading: &Reading, versions: &[Version]) -> Option<usize> {
    let is_before = |version: &Version| version.by.is_none_or(|(_, made)| made < place);
    let current = versions.iter().rposition(is_before)?;
    let Reading::Value(value) = reading else { return Some(current) };
    let is_read = |version: &Version| version.value.as_ref() == Some(value);
    // A credit's value is nobody's to compare: it is what its reader says.
    if is_read(&versions[current]) || versions[current].value.is_none() {
        return Some(current);
    }
    let earlier = versions[..current].iter().rposition(is_read);
    let hidden = || versions.iter().rposition(|version| version.value.is_none());
    earlier.or_else(|| versions.iter().position(is_read)).or_else(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Address;
    use primitives::{AttemptId, Digest};

    const A: ShardId = ShardId(0);
    const B: ShardId = ShardId(1);

    fn t(number: u8) -> Transaction {
        Transaction::Attempt(Cause::Attempt(AttemptId(Digest::new([number; 32]))))
    }

    fn key(name: u8) -> StateKey {
        StateKey::Account(Address::repeat_byte(name))
    }

    fn value(byte: u8) -> Value {
        (byte > 0).then(|| vec![byte])
    }

    fn access(number: u8, reads: &[(u8, u8)], writes: &[(u8, u8)]) -> Access {
        Access {
            transaction: t(number),
            reads: reads.iter().map(|(name, byte)| (key(*name), Reading::Value(value(*byte)))).collect(),
            changes: writes.iter().map(|(name, byte)| (key(*name), Change::Value(value(*byte)))).collect(),
        }
    }

    fn history(a: Vec<Access>, b: Vec<Access>) -> History {
        History { logs: [(A, a), (B, b)].into(), ..History::default() }
    }

    /// The kind of the only cycle.
    fn kind(history: &History) -> &'static str {
        match &anomalies(history)[..] {
            [Anomaly::Cycle { kind, .. }] => kind,
            others => panic!("{others:?}"),
        }
    }

    const X: u8 = 1;
    const Y: u8 = 2;

    #[test]
    fn a_serial_history_over_two_shards_has_an_order() {
        let a = vec![access(1, &[(X, 0)], &[(X, 1)]), access(2, &[(X, 1)], &[(X, 2)])];
        let b = vec![access(1, &[], &[(Y, 1)]), access(2, &[(Y, 1)], &[]), access(3, &[(Y, 1)], &[(Y, 3)])];
        assert_eq!(anomalies(&history(a, b)), []);
    }

    #[test]
    fn writes_ordered_differently_on_two_shards_are_g0() {
        let a = vec![access(1, &[], &[(X, 1)]), access(2, &[], &[(X, 2)])];
        let b = vec![access(2, &[], &[(Y, 2)]), access(1, &[], &[(Y, 1)])];
        assert_eq!(kind(&history(a, b)), "G0");
    }

    #[test]
    fn a_dirty_read_is_g1a() {
        let a = vec![access(1, &[(X, 7)], &[])];
        let expected = Anomaly::NeverWritten { transaction: t(1), key: key(X), value: value(7) };
        assert_eq!(anomalies(&history(a, Vec::new())), [expected]);
    }

    #[test]
    fn two_that_read_each_others_writes_are_g1c() {
        let a = vec![access(1, &[], &[(X, 1)]), access(2, &[(X, 1)], &[])];
        let b = vec![access(2, &[], &[(Y, 2)]), access(1, &[(Y, 2)], &[])];
        assert_eq!(kind(&history(a, b)), "G1c");
    }

    #[test]
    fn a_lost_update_is_g2() {
        let a = vec![access(1, &[(X, 0)], &[(X, 1)]), access(2, &[(X, 0)], &[(X, 2)])];
        assert_eq!(kind(&history(a, Vec::new())), "G2");
    }

    #[test]
    fn write_skew_over_two_shards_is_g2() {
        let a = vec![access(1, &[(X, 0)], &[]), access(2, &[], &[(X, 2)])];
        let b = vec![access(2, &[(Y, 0)], &[]), access(1, &[], &[(Y, 1)])];
        let found = anomalies(&history(a, b));
        let [Anomaly::Cycle { kind: "G2", edges }] = &found[..] else { panic!("{found:?}") };
        let whys: BTreeSet<Dependency> = edges.iter().map(|(_, why)| *why).collect();
        assert_eq!(whys, [Dependency::ReadWrite(key(X)), Dependency::ReadWrite(key(Y))].into());
    }

    #[test]
    fn a_read_of_half_a_transaction_is_g2() {
        let a = vec![access(1, &[], &[(X, 1)]), access(2, &[(X, 1)], &[])];
        let b = vec![access(2, &[(Y, 0)], &[]), access(1, &[], &[(Y, 1)])];
        assert_eq!(kind(&history(a, b)), "G2");
    }

    #[test]
    fn a_stale_read_after_the_clients_own_write_breaks_its_session() {
        let a = vec![access(1, &[], &[(X, 1)]), access(2, &[(X, 0)], &[])];
        let mut history = history(a, Vec::new());
        assert_eq!(anomalies(&history), [], "it may stand before the write");
        history.sessions = vec![vec![t(1), t(2)]];
        assert_eq!(kind(&history), "session");
    }

    /// Two on one key, the first of slot 7 and the second of slot 5.
    fn at_slots(first: Access, second: Access) -> History {
        let slots = [(first.transaction, 7), (second.transaction, 5)].into();
        History { slots, ..history(vec![first, second], Vec::new()) }
    }

    #[test]
    fn a_dependency_on_a_later_slot_is_backwards() {
        let (writes, reads) =
            (|number, byte| access(number, &[], &[(X, byte)]), |number| access(number, &[(X, 0)], &[]));
        let overwriting = at_slots(writes(1, 1), writes(2, 2));
        let reading = at_slots(writes(1, 1), access(2, &[(X, 1)], &[]));
        let overwriting_what_was_read = at_slots(reads(1), writes(2, 2));
        for (history, why) in [
            (overwriting, Dependency::WriteWrite(key(X))),
            (reading, Dependency::WriteRead(key(X))),
            (overwriting_what_was_read, Dependency::ReadWrite(key(X))),
        ] {
            let expected = Anomaly::Backwards { before: t(1), slot: 7, why, after: t(2), behind: 5 };
            assert_eq!(anomalies(&history), [expected]);
        }
    }

    #[test]
    fn transactions_that_share_nothing_or_commute_may_run_at_any_slots() {
        let apart = at_slots(access(1, &[], &[(X, 1)]), access(2, &[(Y, 0)], &[]));
        assert_eq!(anomalies(&apart), []);
        let credit = |number| Access { changes: [(key(X), Change::Credit)].into(), ..access(number, &[], &[]) };
        assert_eq!(anomalies(&at_slots(credit(1), credit(2))), []);
        let mut sent = at_slots(access(1, &[(X, 0)], &[]), access(2, &[(X, 0)], &[]));
        sent.sessions = vec![vec![t(1), t(2)]];
        assert_eq!(anomalies(&sent), [], "a client that was asked to run again later sends something of now");
    }

    #[test]
    fn a_transaction_twice_in_a_log_is_told() {
        let a = vec![access(1, &[], &[(X, 1)]), access(1, &[], &[(X, 1)])];
        assert_eq!(anomalies(&history(a, Vec::new())), [Anomaly::Twice { transaction: t(1), shard: A }]);
    }

    #[test]
    fn a_value_that_comes_back_is_read_where_its_reader_stands() {
        let a = vec![
            access(1, &[], &[(X, 1)]),
            access(2, &[(X, 1)], &[(X, 2)]),
            access(3, &[(X, 2)], &[(X, 1)]),
            access(4, &[(X, 1)], &[]),
        ];
        assert_eq!(anomalies(&history(a, Vec::new())), []);
    }

    #[test]
    fn credits_do_not_order_each_other_but_their_readers() {
        let credit = |number| Access { changes: [(key(X), Change::Credit)].into(), ..access(number, &[], &[]) };
        let other = |number| Access { changes: [(key(Y), Change::Credit)].into(), ..access(number, &[], &[]) };
        let agreeing = history(vec![credit(1), credit(2)], vec![other(2), other(1)]);
        assert_eq!(anomalies(&agreeing), []);
        let reads = |number, name| Access { reads: [(key(name), Reading::Current)].into(), ..access(number, &[], &[]) };
        let torn = history(vec![credit(1), reads(3, X)], vec![reads(3, Y), other(1)]);
        assert_eq!(kind(&torn), "G2");
    }
}
