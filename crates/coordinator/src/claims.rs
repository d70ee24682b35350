//! Who may work on which keys: first come, first served, all keys or none.
//!
//! ```text
//!   key  ── holders (compatible with each other) ── waiters, in the order of their submissions
//! ```
//!
//! A submission holds the keys of its run from its prepare to the participants' acknowledgements. Before that it waits for
//! every holder and for every earlier waiter that it conflicts with, and holds nothing meanwhile: so no deadlock, and no
//! starvation. A waiter whose turn has come keeps its place until it claims again, because running again may show other
//! keys.

use evm::{LockMode, StateKey};
use std::collections::{BTreeMap, BTreeSet};

/// A submission's place in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn(pub(crate) u64);

type Locks = BTreeMap<StateKey, LockMode>;

#[derive(Debug, Default)]
struct Queue {
    holders: BTreeMap<Turn, LockMode>,
    waiters: BTreeMap<Turn, LockMode>,
}

impl Queue {
    /// Whether `turn` may hold the key in `mode` now.
    fn admits(&self, turn: Turn, mode: LockMode) -> bool {
        let earlier = self.waiters.range(..turn);
        let others = self.holders.iter().filter(|(holder, _)| **holder != turn).chain(earlier);
        others.map(|(_, other)| *other).all(|other| other.is_compatible(mode))
    }

    /// The waiters that this key alone would let through, in order.
    fn next(&self) -> Vec<Turn> {
        let mut before: Vec<LockMode> = self.holders.values().copied().collect();
        let mut next = Vec::new();
        for (turn, mode) in &self.waiters {
            if !before.iter().all(|other| other.is_compatible(*mode)) {
                break;
            }
            before.push(*mode);
            next.push(*turn);
        }
        next
    }
}

/// The keys that submissions of this coordinator hold and wait for.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    keys: BTreeMap<StateKey, Queue>,
    holding: BTreeMap<Turn, Locks>,
    waiting: BTreeMap<Turn, Locks>,
}

/// What a claim comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// All keys are held.
    Held,
    /// None is held; the first that is not free.
    Waits(StateKey),
}

impl Claims {
    /// Claims `locks` instead of whatever `turn` held or waited for; says also whose turn it may be now.
    pub(crate) fn claim(&mut self, turn: Turn, locks: &Locks) -> (Claim, BTreeSet<Turn>) {
        let touched = self.remove(turn);
        let blocking =
            locks.iter().find(|(key, mode)| self.keys.get(*key).is_some_and(|queue| !queue.admits(turn, **mode)));
        let claim = match blocking {
            None => Claim::Held,
            Some((key, _)) => Claim::Waits(*key),
        };
        for (key, mode) in locks {
            let queue = self.keys.entry(*key).or_default();
            let side = if claim == Claim::Held { &mut queue.holders } else { &mut queue.waiters };
            side.insert(turn, *mode);
        }
        let side = if claim == Claim::Held { &mut self.holding } else { &mut self.waiting };
        side.insert(turn, locks.clone());
        let free = self.free(touched);
        (claim, free)
    }

    /// Gives up everything `turn` holds or waits for; says whose turn it may be now.
    pub(crate) fn release(&mut self, turn: Turn) -> BTreeSet<Turn> {
        let touched = self.remove(turn);
        self.free(touched)
    }

    /// Gives up those keys that `turn` holds and `is_free` accepts; says whose turn it may be now.
    pub(crate) fn release_part(&mut self, turn: Turn, is_free: impl Fn(StateKey) -> bool) -> BTreeSet<Turn> {
        let Some(locks) = self.holding.get_mut(&turn) else { return BTreeSet::new() };
        let touched: BTreeSet<StateKey> = locks.keys().copied().filter(|key| is_free(*key)).collect();
        for key in &touched {
            locks.remove(key);
            if let Some(queue) = self.keys.get_mut(key) {
                queue.holders.remove(&turn);
            }
        }
        self.free(touched)
    }

    /// Whether anybody but `turn` holds `key`.
    pub(crate) fn is_held_by_another(&self, turn: Turn, key: &StateKey) -> bool {
        self.keys.get(key).is_some_and(|queue| queue.holders.keys().any(|holder| *holder != turn))
    }

    /// Whether nothing is held or waited for.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.holding.is_empty() && self.waiting.is_empty()
    }

    fn remove(&mut self, turn: Turn) -> BTreeSet<StateKey> {
        let mut touched = BTreeSet::new();
        for locks in [self.holding.remove(&turn), self.waiting.remove(&turn)].into_iter().flatten() {
            for key in locks.into_keys() {
                if let Some(queue) = self.keys.get_mut(&key) {
                    queue.holders.remove(&turn);
                    queue.waiters.remove(&turn);
                }
                touched.insert(key);
            }
        }
        touched
    }

    /// The waiters on `touched` keys that all their keys would let through.
    fn free(&mut self, touched: BTreeSet<StateKey>) -> BTreeSet<Turn> {
        let mut candidates = BTreeSet::new();
        for key in touched {
            let Some(queue) = self.keys.get(&key) else { continue };
            candidates.extend(queue.next());
            if queue.holders.is_empty() && queue.waiters.is_empty() {
                self.keys.remove(&key);
            }
        }
        candidates.retain(|turn| {
            self.waiting.get(turn).is_some_and(|locks| {
                locks.iter().all(|(key, mode)| self.keys.get(key).is_none_or(|queue| queue.admits(*turn, *mode)))
            })
        });
        candidates
    }

    #[cfg(debug_assertions)]
    pub(crate) fn assert_valid(&self) {
        for (key, queue) in &self.keys {
            let modes: Vec<LockMode> = queue.holders.values().copied().collect();
            let compatible = modes.iter().all(|mode| modes.len() == 1 || mode.is_compatible(modes[0]));
            assert!(compatible, "{key} is held by several that conflict");
            assert!(!queue.holders.is_empty() || !queue.waiters.is_empty(), "{key} has an empty queue");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LockMode::{Exclusive, Shared};
    use alloy_primitives::Address;

    fn locks<const N: usize>(locks: [(u8, LockMode); N]) -> Locks {
        locks.map(|(byte, mode)| (key(byte), mode)).into()
    }

    fn key(byte: u8) -> StateKey {
        StateKey::Account(Address::repeat_byte(byte))
    }

    #[test]
    fn the_second_waits_for_the_first_and_then_has_its_turn() {
        let mut claims = Claims::default();
        assert_eq!(claims.claim(Turn(1), &locks([(1, Exclusive)])).0, Claim::Held);
        assert_eq!(claims.claim(Turn(2), &locks([(1, Exclusive), (2, Exclusive)])).0, Claim::Waits(key(1)));
        assert_eq!(claims.claim(Turn(3), &locks([(3, Exclusive)])).0, Claim::Held, "it concerns nobody else");
        assert_eq!(claims.release(Turn(1)), [Turn(2)].into());
        assert_eq!(claims.claim(Turn(2), &locks([(1, Exclusive)])).0, Claim::Held);
    }

    #[test]
    fn readers_share_and_a_writer_is_not_overtaken_by_later_readers() {
        let mut claims = Claims::default();
        claims.claim(Turn(1), &locks([(1, Shared)]));
        assert_eq!(claims.claim(Turn(2), &locks([(1, Shared)])).0, Claim::Held);
        assert_eq!(claims.claim(Turn(3), &locks([(1, Exclusive)])).0, Claim::Waits(key(1)));
        assert_eq!(claims.claim(Turn(4), &locks([(1, Shared)])).0, Claim::Waits(key(1)), "the writer came first");
        assert!(claims.release(Turn(1)).is_empty());
        assert_eq!(claims.release(Turn(2)), [Turn(3)].into());
    }

    #[test]
    fn a_waiter_whose_turn_has_come_keeps_its_place_while_it_runs_again() {
        let mut claims = Claims::default();
        claims.claim(Turn(1), &locks([(1, Exclusive)]));
        claims.claim(Turn(2), &locks([(1, Exclusive)]));
        claims.release(Turn(1));
        assert_eq!(claims.claim(Turn(3), &locks([(1, Exclusive)])).0, Claim::Waits(key(1)));
        assert_eq!(claims.release(Turn(2)), [Turn(3)].into(), "and gives it up when it needs it no more");
    }

    #[test]
    fn keys_given_back_in_part_are_free_at_once() {
        let mut claims = Claims::default();
        claims.claim(Turn(1), &locks([(1, Exclusive), (2, Exclusive)]));
        claims.claim(Turn(2), &locks([(1, Exclusive)]));
        claims.claim(Turn(3), &locks([(2, Exclusive)]));
        assert_eq!(claims.release_part(Turn(1), |held| held == key(2)), [Turn(3)].into());
        assert_eq!(claims.release(Turn(1)), [Turn(2)].into());
    }

    #[test]
    fn nothing_is_left_when_all_is_released() {
        let mut claims = Claims::default();
        for turn in 1..=5 {
            claims.claim(Turn(turn), &locks([(1, Exclusive), (turn as u8, Shared)]));
        }
        for turn in 1..=5 {
            claims.release(Turn(turn));
        }
        assert!(claims.is_empty());
    }
}
