//! One order of everything that was committed, out of all shards' logs (I9), in which slots never decrease (I20).
//!
//!   shard a:  T1  T2  M        a conflict on a key orders its two records as they stand in the log; of what may come
//!   shard b:  T2' T1' T3       next, that of the smallest slot does. Strict locking (R6) means that there is an order
//!                              that all logs agree with, R13 that slots never decrease in it.
//!
//! A code that never changes is gone by without a lock, but not before it was there: its first deployment comes first.
//!
//! Promise: running the payloads in this order on one plain EVM gives the union of the shards' states, or the shards are
//! wrong. Two logs that contradict each other are an error, not an order.
//! Knows nothing of stores: logs come as [`crate::queries::applied`] pages them.

use crate::{Applied, Cause};
use alloy_primitives::Address;
use evm::{Environment, Environments, LockMode, Payload, StateKey};
use primitives::ShardId;
use std::collections::{BTreeMap, BTreeSet};

/// One committed payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Why it was committed.
    pub cause: Cause,
    /// What ran.
    pub payload: Payload,
}

/// Why logs have no common order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Two logs order conflicting records differently: shards did not serialize.
    #[error("the logs contradict each other about {cause:?}")]
    Cycle {
        /// One of those that cannot be ordered.
        cause: Cause,
    },
    /// Time ran backwards: a record comes after one of a later slot that it conflicts with.
    #[error("{later:?} ran at slot {behind} and comes after {earlier:?}, which ran at slot {slot}")]
    Backwards {
        /// What the logs put first.
        earlier: Cause,
        /// Its slot, or its block's number where blocks are replayed.
        slot: u64,
        /// What they put after it.
        later: Cause,
        /// The slot of that.
        behind: u64,
    },
    /// No log has what ran: a home's log is missing.
    #[error("no log has the payload of {cause:?}")]
    NoPayload {
        /// Which.
        cause: Cause,
    },
}

/// A record's name over all logs: an attempt is one, whatever shard's log it is in; all others are their shard's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Attempt(Cause),
    Own { shard: ShardId, place: usize },
}

/// What must come before what.
#[derive(Debug, Default)]
struct Graph {
    payloads: BTreeMap<Name, (Cause, Option<Payload>)>,
    after: BTreeMap<Name, BTreeSet<Name>>,
    waits_for: BTreeMap<Name, usize>,
    /// Who first gave an account its code.
    deployed: BTreeMap<Address, Name>,
    /// Who went by an account's code without a lock.
    lent: BTreeSet<(Address, Name)>,
}

/// Who held a key last in a log, in groups that do not conflict among themselves.
#[derive(Debug)]
struct Holders {
    mode: LockMode,
    now: Vec<Name>,
    before: Vec<Name>,
}

/// All committed payloads in an order that every shard's log agrees with and in which slots never decrease; the same for the
/// same logs. Where `environments` says that blocks are replayed, their numbers stand for slots, and what runs at a slot of the
/// network all the same comes as early as the logs let it.
///
/// # Errors
/// [`OrderError`].
pub fn order(environments: Environments, logs: &BTreeMap<ShardId, Vec<Applied>>) -> Result<Vec<Committed>, OrderError> {
    let mut graph = Graph::default();
    for (shard, log) in logs {
        graph.add_log(*shard, log);
    }
    graph.put_deployments_first();
    graph.sort(environments)
}

/// What a payload's transactions see as NUMBER, where numbers follow each other.
fn number(environments: Environments, environment: &Environment) -> Option<u64> {
    match (environment, environments) {
        (Environment::Slot(slot), Environments::Slots) => Some(slot.0),
        (Environment::Block(block), Environments::Replay) => Some(block.number),
        _ => None,
    }
}

impl Graph {
    fn add_log(&mut self, shard: ShardId, log: &[Applied]) {
        let mut holders: BTreeMap<StateKey, Holders> = BTreeMap::new();
        for (place, record) in log.iter().enumerate() {
            let name = match record.cause {
                Cause::Attempt(_) => Name::Attempt(record.cause),
                _ => Name::Own { shard, place },
            };
            let entry = self.payloads.entry(name).or_insert((record.cause, None));
            entry.1 = entry.1.take().or_else(|| record.payload.clone());
            for address in &record.deployed {
                self.deployed.entry(*address).or_insert(name);
            }
            self.lent.extend(record.lent.iter().map(|address| (*address, name)));
            for (key, mode) in &record.locks {
                self.hold(holders.entry(*key), name, *mode);
            }
        }
    }

    /// Adds the edges from deployments to those who went by the code; what was there from genesis has none.
    fn put_deployments_first(&mut self) {
        for (address, name) in std::mem::take(&mut self.lent) {
            if let Some(deployment) = self.deployed.get(&address).copied() {
                self.precedes(deployment, name);
            }
        }
    }

    fn precedes(&mut self, earlier: Name, name: Name) {
        if earlier != name && self.after.entry(earlier).or_default().insert(name) {
            *self.waits_for.entry(name).or_default() += 1;
        }
    }

    /// Adds the edges from the last group of holders that conflicts with `name`'s mode.
    fn hold(&mut self, holders: std::collections::btree_map::Entry<'_, StateKey, Holders>, name: Name, mode: LockMode) {
        let holders = holders.or_insert(Holders { mode, now: Vec::new(), before: Vec::new() });
        if !holders.now.is_empty() && !holders.mode.is_compatible(mode) {
            holders.before = std::mem::take(&mut holders.now);
        }
        holders.mode = mode;
        for earlier in &holders.before {
            self.precedes(*earlier, name);
        }
        holders.now.push(name);
    }

    /// Kahn's algorithm, the smallest slot first, and of one slot the smallest name.
    fn sort(mut self, environments: Environments) -> Result<Vec<Committed>, OrderError> {
        let slots: BTreeMap<Name, u64> = self
            .payloads
            .iter()
            .filter_map(|(name, (_, payload))| Some((*name, number(environments, &payload.as_ref()?.environment)?)))
            .collect();
        let placed = |name: Name| (slots.get(&name).copied(), name);
        let is_free = |name: &&Name| self.waits_for.get(*name).is_none_or(|count| *count == 0);
        let mut free: BTreeSet<(Option<u64>, Name)> =
            self.payloads.keys().filter(is_free).map(|name| placed(*name)).collect();
        // The newest slot that comes before a record, and whose it is.
        let mut newest: BTreeMap<Name, (u64, Cause)> = BTreeMap::new();
        let mut sorted = Vec::with_capacity(self.payloads.len());
        while let Some((slot, name)) = free.pop_first() {
            let Some((cause, payload)) = self.payloads.remove(&name) else { continue };
            let before = newest.remove(&name);
            check_slot(before, slot, cause)?;
            let latest = slot.map(|slot| (slot, cause)).or(before);
            for next in self.after.remove(&name).unwrap_or_default() {
                if let Some(latest) = latest {
                    let known = newest.entry(next).or_insert(latest);
                    *known = if latest.0 > known.0 { latest } else { *known };
                }
                let waits = self.waits_for.entry(next).or_default();
                *waits -= 1;
                if *waits == 0 {
                    free.insert(placed(next));
                }
            }
            sorted.push(Committed { cause, payload: payload.ok_or(OrderError::NoPayload { cause })? });
        }
        match self.payloads.into_values().next() {
            Some((cause, _)) => Err(OrderError::Cycle { cause }),
            None => Ok(sorted),
        }
    }
}

/// I20: what comes next is of no earlier slot than what the logs put before it.
fn check_slot(before: Option<(u64, Cause)>, slot: Option<u64>, later: Cause) -> Result<(), OrderError> {
    match (before, slot) {
        (Some((slot, earlier)), Some(behind)) if slot > behind => {
            Err(OrderError::Backwards { earlier, slot, later, behind })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::{AttemptId, Digest, Height, Slot, Time};
    use std::slice::from_ref;

    fn attempt(number: u8) -> Cause {
        Cause::Attempt(AttemptId(Digest::new([number; 32])))
    }

    fn record(cause: Cause, locks: &[(u8, LockMode)]) -> Applied {
        Applied {
            cause,
            height: Height(1),
            time: Time(1),
            locks: locks.iter().map(|(key, mode)| (StateKey::Account(Address::repeat_byte(*key)), *mode)).collect(),
            deployed: BTreeSet::new(),
            lent: BTreeSet::new(),
            payload: Some(Payload::bundle(Environment::Slot(Slot(1)), Vec::new())),
        }
    }

    fn causes(logs: &[&[Applied]]) -> Result<Vec<Cause>, OrderError> {
        let logs = (0..).map(ShardId).zip(logs.iter().map(|log| log.to_vec())).collect();
        Ok(order(Environments::Slots, &logs)?.into_iter().map(|committed| committed.cause).collect())
    }

    use LockMode::{Credit, Exclusive, Shared};

    #[test]
    fn conflicting_records_keep_the_order_of_their_log() {
        let (one, two) = (record(attempt(1), &[(7, Exclusive)]), record(attempt(2), &[(7, Exclusive)]));
        assert_eq!(causes(&[&[two.clone(), one.clone()]]), Ok(vec![attempt(2), attempt(1)]));
        assert_eq!(causes(&[&[one, two]]), Ok(vec![attempt(1), attempt(2)]));
    }

    #[test]
    fn logs_may_disagree_about_records_that_do_not_conflict() {
        let (one, two) = (record(attempt(1), &[(7, Shared)]), record(attempt(2), &[(7, Shared)]));
        let (three, four) = (record(attempt(1), &[(8, Credit)]), record(attempt(2), &[(8, Credit)]));
        assert_eq!(causes(&[&[two, one], &[three, four]]).map(|order| order.len()), Ok(2));
    }

    #[test]
    fn a_later_log_orders_what_an_earlier_one_leaves_open() {
        let first = [record(attempt(1), &[(7, Shared)]), record(attempt(2), &[(7, Shared)])];
        let second = [record(attempt(2), &[(8, Exclusive)]), record(attempt(1), &[(8, Shared)])];
        assert_eq!(causes(&[&first, &second]), Ok(vec![attempt(2), attempt(1)]));
    }

    #[test]
    fn logs_that_contradict_each_other_have_no_order() {
        let one = |key| record(attempt(1), &[(key, Exclusive)]);
        let two = |key| record(attempt(2), &[(key, Exclusive)]);
        let refused = causes(&[&[one(7), two(7)], &[two(8), one(8)]]);
        assert!(matches!(refused, Err(OrderError::Cycle { .. })), "{refused:?}");
    }

    #[test]
    fn a_reader_comes_between_the_writers_around_it() {
        let local = |byte| Cause::Local(Digest::new([byte; 32]));
        let log = [
            record(attempt(9), &[(7, Exclusive)]),
            record(local(1), &[(7, Shared)]),
            record(local(2), &[(7, Shared)]),
            record(attempt(3), &[(7, Exclusive)]),
        ];
        assert_eq!(causes(&[&log]), Ok(vec![attempt(9), local(1), local(2), attempt(3)]));
    }

    #[test]
    fn whoever_goes_by_a_code_comes_after_its_first_deployment_alone() {
        let code: BTreeSet<Address> = [Address::repeat_byte(7)].into();
        let user = Applied { lent: code.clone(), ..record(attempt(1), &[(1, Exclusive)]) };
        let deployment = Applied { deployed: code.clone(), ..record(attempt(2), &[(7, Exclusive)]) };
        assert_eq!(causes(&[from_ref(&user), from_ref(&deployment)]), Ok(vec![attempt(2), attempt(1)]));
        // What changes the account later may come before or after: it need not have changed the code.
        let later = Applied { deployed: code, ..record(attempt(3), &[(7, Exclusive)]) };
        let first = [user, record(attempt(3), &[(1, Exclusive)])];
        assert_eq!(causes(&[&first, &[deployment, later]]), Ok(vec![attempt(2), attempt(1), attempt(3)]));
    }

    /// The same record at another slot.
    fn at(slot: u64, record: Applied) -> Applied {
        let payload = Payload::bundle(Environment::Slot(Slot(slot)), Vec::new());
        Applied { payload: Some(payload), ..record }
    }

    #[test]
    fn slots_never_decrease_in_the_order() {
        let local = |byte| Cause::Local(Digest::new([byte; 32]));
        let first = [at(7, record(local(1), &[(1, Exclusive)])), at(9, record(local(2), &[(1, Exclusive)]))];
        let second = [at(8, record(local(3), &[(2, Exclusive)])), at(8, record(local(4), &[(2, Exclusive)]))];
        let third = [at(5, record(local(5), &[(3, Exclusive)]))];
        let sorted = causes(&[&first, &second, &third]);
        assert_eq!(sorted, Ok(vec![local(5), local(1), local(3), local(4), local(2)]));
    }

    #[test]
    fn a_record_of_slot_5_after_one_of_slot_7_on_the_same_key_is_refused() {
        let log = |mode| [at(7, record(attempt(1), &[(7, Exclusive)])), at(5, record(attempt(2), &[(7, mode)]))];
        let refused = Err(OrderError::Backwards { earlier: attempt(1), slot: 7, later: attempt(2), behind: 5 });
        assert_eq!(causes(&[&log(Exclusive)]), refused);
        assert_eq!(causes(&[&log(Shared)]), refused, "a reader sees time run backwards too");
        let apart = [at(7, record(attempt(1), &[(7, Credit)])), at(5, record(attempt(2), &[(7, Credit)]))];
        assert_eq!(causes(&[&apart]), Ok(vec![attempt(2), attempt(1)]), "what commutes may stand either way");
    }

    #[test]
    fn time_that_runs_backwards_over_two_shards_and_a_third_record_is_refused() {
        let middle = |key| at(7, record(attempt(2), &[(key, Exclusive)]));
        let first = [at(7, record(attempt(1), &[(1, Exclusive)])), middle(1)];
        let second = [middle(2), at(6, record(attempt(3), &[(2, Shared)]))];
        let refused = causes(&[&first, &second]);
        assert!(matches!(refused, Err(OrderError::Backwards { slot: 7, behind: 6, .. })), "{refused:?}");
    }

    #[test]
    fn an_attempt_whose_homes_log_is_missing_is_an_error() {
        let without = Applied { payload: None, ..record(attempt(1), &[(7, Exclusive)]) };
        assert_eq!(causes(&[&[without]]), Err(OrderError::NoPayload { cause: attempt(1) }));
    }
}
