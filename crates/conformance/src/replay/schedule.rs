//! Which payload of a block may be submitted when: in block order, or as soon as all it depends on have committed.
//!
//! ```text
//!   payload   0   1   2   3   4        in order:   0 ─> 1 ─> 2 ─> 3 ─> 4
//!   locks     a   b   a   c   b        by locks:   0 ─> 2,  1 ─> 4,  3          at most so many in flight
//! ```
//!
//! Promise: of two payloads whose locks conflict, the earlier one in the block has committed before the later one is
//! submitted. What does not conflict commutes, so the end is that of block order.
//! Knows nothing of shards, coordinators or time.

use evm::{LockMode, StateKey};
use std::collections::{BTreeMap, BTreeSet};

/// What a payload locks, on all shards together.
pub(crate) type Locks = BTreeMap<StateKey, LockMode>;

/// The payloads of a block, by their place in it.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    /// Those that wait for a payload.
    dependents: Vec<Vec<usize>>,
    /// For how many others a payload waits.
    waits: Vec<usize>,
    ready: BTreeSet<usize>,
    in_flight: usize,
    in_flight_max: usize,
    left: usize,
}

impl Schedule {
    /// One after the other.
    pub(crate) fn in_order(count: usize) -> Self {
        let before = (0..count).map(|index| index.checked_sub(1).into_iter().collect());
        Self::new(&before.collect::<Vec<_>>(), 1)
    }

    /// At most `in_flight_max` at once, each after those before it that it conflicts with.
    pub(crate) fn by_locks(locks: &[Locks], in_flight_max: usize) -> Self {
        let mut keys: BTreeMap<StateKey, Latest> = BTreeMap::new();
        let mut before = vec![BTreeSet::new(); locks.len()];
        for (index, locks) in locks.iter().enumerate() {
            for (key, mode) in locks {
                before[index].extend(keys.entry(*key).or_default().follow(index, *mode));
            }
        }
        Self::new(&before, in_flight_max)
    }

    fn new(before: &[BTreeSet<usize>], in_flight_max: usize) -> Self {
        let mut dependents = vec![Vec::new(); before.len()];
        for (index, before) in before.iter().enumerate() {
            for earlier in before {
                dependents[*earlier].push(index);
            }
        }
        let waits: Vec<usize> = before.iter().map(BTreeSet::len).collect();
        let ready = (0..waits.len()).filter(|index| waits[*index] == 0).collect();
        Self { dependents, left: waits.len(), waits, ready, in_flight: 0, in_flight_max }
    }

    /// The next payload to submit, the earliest in the block; none until another has ended.
    pub(crate) fn next(&mut self) -> Option<usize> {
        if self.in_flight >= self.in_flight_max {
            return None;
        }
        let index = self.ready.pop_first()?;
        self.in_flight += 1;
        Some(index)
    }

    /// A payload that was submitted has committed everywhere.
    pub(crate) fn committed(&mut self, index: usize) {
        self.in_flight -= 1;
        self.left -= 1;
        for dependent in std::mem::take(&mut self.dependents[index]) {
            self.waits[dependent] -= 1;
            if self.waits[dependent] == 0 {
                self.ready.insert(dependent);
            }
        }
    }

    /// Whether all have committed.
    pub(crate) fn is_done(&self) -> bool {
        self.left == 0
    }
}

/// Who had a key last, and before them.
#[derive(Debug, Default)]
struct Latest {
    mode: Option<LockMode>,
    holders: Vec<usize>,
    /// The last that the holders conflict with.
    before: Vec<usize>,
}

impl Latest {
    /// `index` takes the key; says whom it has to follow.
    fn follow(&mut self, index: usize, mode: LockMode) -> Vec<usize> {
        if !self.mode.is_some_and(|held| held.is_compatible(mode)) {
            self.before = std::mem::take(&mut self.holders);
            self.mode = Some(mode);
        }
        self.holders.push(index);
        self.before.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::LockMode::{Credit, Exclusive, Shared};
    use super::*;
    use alloy_primitives::Address;

    fn locks<const N: usize>(locks: [(u8, LockMode); N]) -> Locks {
        locks.map(|(byte, mode)| (StateKey::Account(Address::repeat_byte(byte)), mode)).into()
    }

    fn all_next(schedule: &mut Schedule) -> Vec<usize> {
        std::iter::from_fn(|| schedule.next()).collect()
    }

    #[test]
    fn in_order_one_waits_for_the_other() {
        let mut schedule = Schedule::in_order(3);
        for index in 0..3 {
            assert_eq!(all_next(&mut schedule), [index]);
            assert!(!schedule.is_done());
            schedule.committed(index);
        }
        assert!(schedule.is_done());
    }

    #[test]
    fn what_conflicts_keeps_the_order_of_the_block_and_the_rest_goes_at_once() {
        let payloads = [
            locks([(1, Exclusive)]),
            locks([(2, Exclusive)]),
            locks([(1, Shared), (9, Credit)]),
            locks([(1, Shared), (9, Credit)]),
            locks([(1, Exclusive), (2, Shared)]),
            locks([(9, Shared)]),
        ];
        let mut schedule = Schedule::by_locks(&payloads, 8);
        assert_eq!(all_next(&mut schedule), [0, 1]);
        schedule.committed(0);
        assert_eq!(all_next(&mut schedule), [2, 3], "two readers who credit one key");
        schedule.committed(1);
        schedule.committed(3);
        assert!(all_next(&mut schedule).is_empty(), "the writer waits for all readers, the reader for all credits");
        schedule.committed(2);
        assert_eq!(all_next(&mut schedule), [4, 5]);
        schedule.committed(5);
        schedule.committed(4);
        assert!(schedule.is_done());
    }

    #[test]
    fn no_more_than_allowed_are_in_flight() {
        let payloads: Vec<Locks> = (0..9).map(|byte| locks([(byte, Exclusive)])).collect();
        let mut schedule = Schedule::by_locks(&payloads, 4);
        assert_eq!(all_next(&mut schedule), [0, 1, 2, 3]);
        schedule.committed(2);
        assert_eq!(all_next(&mut schedule), [4]);
    }

    #[test]
    fn a_block_without_payloads_is_done() {
        assert!(Schedule::in_order(0).is_done() && Schedule::by_locks(&[], 4).is_done());
    }
}
