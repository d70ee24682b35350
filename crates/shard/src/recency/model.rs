//! Every way in which three transactions can pass two shards: the slots of what commits agree with both logs (I20).
//!
//! Each transaction touches one key on each shard, in any mode, at one of two slots. A prepare takes its locks or ends the
//! transaction; when both shards have said yes, each applies it when it likes. All orders of these events are walked
//! through, with the shard's own tables.

use super::Recency;
use crate::LockTable;
use alloy_primitives::Address;
use evm::{LockMode, StateKey};
use primitives::{AttemptId, Digest, Slot};
use std::collections::{BTreeMap, BTreeSet};

const TRANSACTIONS_COUNT: usize = 3;
const SHARDS_COUNT: usize = 2;
const MODES: [LockMode; 3] = [LockMode::Shared, LockMode::Credit, LockMode::Exclusive];

/// Whether shards refuse slots that lie before others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Kept,
    Broken,
}

/// What a transaction is: its slot, and how it touches the key of each shard.
#[derive(Clone, Copy)]
struct Transaction {
    slot: Slot,
    modes: [LockMode; SHARDS_COUNT],
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    Start,
    Prepared,
    Applied,
}

/// What has happened; locks and slots follow from it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Network {
    at: [[At; SHARDS_COUNT]; TRANSACTIONS_COUNT],
    aborted: [bool; TRANSACTIONS_COUNT],
    /// Each shard's log.
    logs: [Vec<usize>; SHARDS_COUNT],
}

fn locks(transaction: Transaction, shard: usize) -> BTreeMap<StateKey, LockMode> {
    [(StateKey::Account(Address::repeat_byte(shard as u8 + 1)), transaction.modes[shard])].into()
}

fn id(index: usize) -> AttemptId {
    AttemptId(Digest::new([index as u8 + 1; 32]))
}

impl Network {
    fn new() -> Self {
        Self {
            at: [[At::Start; SHARDS_COUNT]; TRANSACTIONS_COUNT],
            aborted: [false; TRANSACTIONS_COUNT],
            logs: [Vec::new(), Vec::new()],
        }
    }

    /// What a shard's prepared transactions hold.
    fn table(&self, all: &[Transaction], shard: usize) -> LockTable {
        let mut table = LockTable::default();
        for (index, transaction) in all.iter().enumerate() {
            if self.at[index][shard] == At::Prepared && !self.aborted[index] {
                table.acquire(id(index), locks(*transaction, shard)).expect("it was free");
            }
        }
        table
    }

    /// What a shard knows of slots.
    fn recency(&self, all: &[Transaction], shard: usize) -> Recency {
        let mut recency = Recency::open(Slot(0));
        for index in &self.logs[shard] {
            recency.touch(&locks(all[*index], shard), all[*index].slot);
        }
        recency
    }

    /// The network after the next thing that happens to a transaction on a shard, if anything can.
    fn after(&self, all: &[Transaction], index: usize, shard: usize, rule: Rule) -> Option<Self> {
        let mut next = self.clone();
        let wanted = locks(all[index], shard);
        match self.at[index][shard] {
            _ if self.aborted[index] => return None,
            At::Start => {
                let needed = self.recency(all, shard).needed(&wanted);
                let in_order = rule == Rule::Broken || all[index].slot >= needed;
                if in_order && self.table(all, shard).conflict(&wanted).is_none() {
                    next.at[index][shard] = At::Prepared;
                } else {
                    next.aborted[index] = true;
                }
            }
            At::Prepared if self.at[index].iter().all(|at| *at != At::Start) => {
                next.at[index][shard] = At::Applied;
                next.logs[shard].push(index);
            }
            At::Prepared | At::Applied => return None,
        }
        Some(next)
    }

    /// Whether a conflict stands in a log against the order of the slots.
    fn goes_back(&self, all: &[Transaction]) -> bool {
        (0..SHARDS_COUNT).any(|shard| {
            let log = &self.logs[shard];
            let Some((last, earlier)) = log.split_last() else { return false };
            earlier.iter().any(|before| {
                let conflict = !all[*before].modes[shard].is_compatible(all[*last].modes[shard]);
                conflict && all[*before].slot > all[*last].slot
            })
        })
    }

    /// Everything that can happen next.
    fn successors(&self, all: &[Transaction], rule: Rule) -> impl Iterator<Item = Self> {
        let events = (0..TRANSACTIONS_COUNT).flat_map(|index| (0..SHARDS_COUNT).map(move |shard| (index, shard)));
        events.filter_map(move |(index, shard)| self.after(all, index, shard, rule))
    }
}

/// How many states there are, and how many of them go back in time.
fn walk(all: &[Transaction], rule: Rule) -> (usize, usize) {
    let mut seen = BTreeSet::from([Network::new()]);
    let mut open = vec![Network::new()];
    while let Some(network) = open.pop() {
        open.extend(network.successors(all, rule).filter(|next| seen.insert(next.clone())));
    }
    (seen.len(), seen.iter().filter(|network| network.goes_back(all)).count())
}

fn transactions() -> Vec<Transaction> {
    let slots = [Slot(1), Slot(2)].into_iter();
    let modes = MODES.into_iter().flat_map(|first| MODES.into_iter().map(move |second| [first, second]));
    slots.flat_map(|slot| modes.clone().map(move |modes| Transaction { slot, modes })).collect()
}

/// Every set of three of them, each with the next few: enough to have all pairs of modes and slots meet.
fn cases() -> impl Iterator<Item = [Transaction; TRANSACTIONS_COUNT]> {
    let all = transactions();
    let count = all.len();
    (0..count * count).map(move |number| [all[number / count], all[number % count], all[(number * 7 + 5) % count]])
}

#[test]
fn no_order_of_events_lets_a_conflict_go_back_in_time() {
    let mut states = 0;
    for case in cases() {
        let (seen, wrong) = walk(&case, Rule::Kept);
        assert_eq!(wrong, 0);
        states += seen;
    }
    assert!(states > 100_000, "{states} states");
}

#[test]
fn a_shard_that_takes_any_slot_lets_time_go_back() {
    let wrong: usize = cases().map(|case| walk(&case, Rule::Broken).1).sum();
    assert!(wrong > 0);
}
