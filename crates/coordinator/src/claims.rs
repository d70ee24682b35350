//! Who may work on which keys: first come, first served, all keys or none.
//!
//! ```text
//!   key  ── holders (they go with each other) ── waiters, in the order of their submissions
//!                                                      └── of which those that it stops watch it
//! ```
//!
//! A submission holds the keys of its run from its prepare to the participants' acknowledgements. Before that it waits for
//! every holder and for every earlier waiter that it does not go with, and holds nothing meanwhile: so no deadlock, and no
//! starvation. A waiter whose turn has come keeps its place until it claims again, because running again may show other
//! keys.
//!
//! Promise: an event costs what it frees, however many wait (`work`). A waiter watches one of the keys that stop it; when
//! that does so no longer it watches another, and when there is none its turn has come.

mod queue;
mod usage;

#[cfg(test)]
mod model;
#[cfg(test)]
mod work;

use evm::{LockMode, StateKey};
use queue::Queue;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
pub(crate) use usage::Usage;

/// A submission's place in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn(pub(crate) u64);

/// The keys that a submission claims, and how it uses them.
pub(crate) type Uses = BTreeMap<StateKey, Usage>;

/// The keys that submissions of this coordinator hold and wait for.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    keys: BTreeMap<StateKey, Queue>,
    holding: BTreeMap<Turn, Uses>,
    waiting: BTreeMap<Turn, Uses>,
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
    /// Claims `uses` instead of whatever `turn` held or waited for; says also whose turn has come.
    pub(crate) fn claim(&mut self, turn: Turn, uses: &Uses) -> (Claim, BTreeSet<Turn>) {
        let touched = self.remove(turn);
        let stopped_at = stopped_at(&self.keys, turn, uses);
        match stopped_at {
            None => self.hold(turn, uses),
            Some(key) => self.wait(turn, uses, key),
        }
        let free = self.free(touched);
        (stopped_at.map_or(Claim::Held, Claim::Waits), free)
    }

    /// Whether `turn` may hold these keys too as it is: nobody else stops it.
    pub(crate) fn may_hold_more(&self, turn: Turn, uses: &Uses) -> bool {
        let held = self.holding.get(&turn);
        let has = |key: &StateKey, usage: Usage| {
            let own = held.and_then(|held| held.get(key)).copied();
            own == Some(usage) || own == Some(Usage::Locked(LockMode::Exclusive))
        };
        let more = uses.iter().filter(|(key, usage)| !has(key, **usage)).map(|(key, usage)| (*key, *usage)).collect();
        stopped_at(&self.keys, turn, &more).is_none()
    }

    /// Holds these keys too, which [`Self::may_hold_more`] allows.
    pub(crate) fn hold_more(&mut self, turn: Turn, uses: &Uses) {
        let holding = self.holding.entry(turn).or_default();
        for (key, usage) in uses {
            if let Entry::Vacant(free) = holding.entry(*key) {
                free.insert(*usage);
                self.keys.entry(*key).or_default().hold(turn, *usage);
            }
        }
    }

    /// Gives up everything `turn` holds or waits for; says whose turn has come.
    pub(crate) fn release(&mut self, turn: Turn) -> BTreeSet<Turn> {
        let touched = self.remove(turn);
        self.free(touched)
    }

    /// Gives up those keys that `turn` holds and `is_free` accepts; says whose turn has come.
    pub(crate) fn release_part(&mut self, turn: Turn, is_free: impl Fn(StateKey) -> bool) -> BTreeSet<Turn> {
        let Some(uses) = self.holding.get_mut(&turn) else { return BTreeSet::new() };
        let touched: Vec<StateKey> = uses.keys().copied().filter(|key| is_free(*key)).collect();
        for key in &touched {
            if let (Some(usage), Some(queue)) = (uses.remove(key), self.keys.get_mut(key)) {
                queue.give_up(turn, usage);
            }
        }
        self.free(touched)
    }

    /// Whether anybody but `turn` holds `key`.
    pub(crate) fn is_held_by_another(&self, turn: Turn, key: &StateKey) -> bool {
        self.keys.get(key).is_some_and(|queue| queue.is_held_by_another(turn))
    }

    /// Whether `turn` is the last holder of `key` of several that held it at once, of which one may have written.
    pub(crate) fn is_last_of_several(&self, turn: Turn, key: &StateKey) -> bool {
        self.keys.get(key).is_some_and(|queue| queue.is_last_of_several(turn))
    }

    /// Whether `turn` waits for keys, or its turn has come and it has not claimed them yet.
    pub(crate) fn is_waiting(&self, turn: Turn) -> bool {
        self.waiting.contains_key(&turn)
    }

    /// Whether nothing is held or waited for.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.holding.is_empty() && self.waiting.is_empty()
    }

    fn hold(&mut self, turn: Turn, uses: &Uses) {
        for (key, usage) in uses {
            self.keys.entry(*key).or_default().hold(turn, *usage);
        }
        self.holding.insert(turn, uses.clone());
    }

    fn wait(&mut self, turn: Turn, uses: &Uses, stopped_at: StateKey) {
        for (key, usage) in uses {
            self.keys.entry(*key).or_default().wait(turn, *usage);
        }
        self.waiting.insert(turn, uses.clone());
        self.watch(turn, stopped_at);
    }

    fn remove(&mut self, turn: Turn) -> Vec<StateKey> {
        let mut touched = Vec::new();
        for (key, usage) in self.holding.remove(&turn).into_iter().flatten() {
            if let Some(queue) = self.keys.get_mut(&key) {
                queue.give_up(turn, usage);
            }
            touched.push(key);
        }
        for (key, usage) in self.waiting.remove(&turn).into_iter().flatten() {
            if let Some(queue) = self.keys.get_mut(&key) {
                queue.leave(turn, usage);
            }
            touched.push(key);
        }
        touched
    }

    /// The waiters that `touched` keys stopped and that no key stops any more.
    fn free(&mut self, touched: Vec<StateKey>) -> BTreeSet<Turn> {
        let mut free = BTreeSet::new();
        for key in touched {
            let Some(queue) = self.keys.get_mut(&key) else { continue };
            let let_through = queue.let_through();
            if queue.is_empty() {
                self.keys.remove(&key);
            }
            free.extend(let_through.into_iter().filter(|turn| self.is_free(*turn)));
        }
        free
    }

    /// Whether the key that `turn` watched was the last to stop it; else it watches the next from here on.
    fn is_free(&mut self, turn: Turn) -> bool {
        let Some(uses) = self.waiting.get(&turn) else { return false };
        let next = stopped_at(&self.keys, turn, uses);
        if let Some(key) = next {
            self.watch(turn, key);
        }
        next.is_none()
    }

    fn watch(&mut self, turn: Turn, key: StateKey) {
        let usage = self.waiting.get(&turn).and_then(|uses| uses.get(&key));
        if let (Some(usage), Some(queue)) = (usage, self.keys.get_mut(&key)) {
            queue.watch(turn, *usage);
        }
    }

    #[cfg(debug_assertions)]
    pub(crate) fn assert_valid(&self) {
        self.keys.iter().for_each(|(key, queue)| queue.assert_valid(key));
    }
}

/// The first key that `turn` may not hold now.
fn stopped_at(keys: &BTreeMap<StateKey, Queue>, turn: Turn, uses: &Uses) -> Option<StateKey> {
    let stops = |key: &StateKey, usage: Usage| keys.get(key).is_some_and(|queue| queue.stops(turn, usage));
    uses.iter().find(|(key, usage)| stops(key, **usage)).map(|(key, _)| *key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Address;
    use evm::LockMode::{self, Exclusive, Shared};

    fn locks<const N: usize>(locks: [(u8, LockMode); N]) -> Uses {
        locks.map(|(byte, mode)| (key(byte), Usage::Locked(mode))).into()
    }

    fn logged<const N: usize>(keys: [u8; N]) -> Uses {
        keys.map(|byte| (key(byte), Usage::Logged(Exclusive))).into()
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
    fn what_one_shard_executes_in_order_does_not_wait_for_each_other_but_for_what_is_locked() {
        let mut claims = Claims::default();
        assert_eq!(claims.claim(Turn(1), &logged([1])).0, Claim::Held);
        assert_eq!(claims.claim(Turn(2), &logged([1, 2])).0, Claim::Held);
        assert_eq!(claims.claim(Turn(3), &locks([(1, Shared)])).0, Claim::Waits(key(1)));
        assert_eq!(claims.claim(Turn(4), &logged([1])).0, Claim::Waits(key(1)), "the reader came first");
        assert!(claims.release(Turn(1)).is_empty());
        assert!(claims.is_last_of_several(Turn(2), &key(1)) && !claims.is_last_of_several(Turn(2), &key(2)));
        assert_eq!(claims.release(Turn(2)), [Turn(3)].into());
        assert_eq!(claims.claim(Turn(3), &locks([(1, Shared)])), (Claim::Held, [].into()));
        assert!(!claims.is_last_of_several(Turn(3), &key(1)), "there was a gap");
        assert_eq!(claims.release(Turn(3)), [Turn(4)].into());
    }

    #[test]
    fn a_holder_may_hold_more_of_what_nobody_else_has() {
        let mut claims = Claims::default();
        claims.claim(Turn(1), &locks([(1, Exclusive), (2, Shared)]));
        claims.claim(Turn(2), &locks([(3, Exclusive)]));
        assert!(claims.may_hold_more(Turn(1), &locks([(1, Shared), (4, Exclusive)])), "it has the first already");
        assert!(!claims.may_hold_more(Turn(1), &locks([(3, Shared)])), "another holds it");
        assert!(!claims.may_hold_more(Turn(1), &locks([(2, Exclusive)])), "it only shares it");
        claims.hold_more(Turn(1), &locks([(1, Shared), (4, Exclusive)]));
        assert_eq!(claims.claim(Turn(3), &locks([(4, Shared)])).0, Claim::Waits(key(4)));
        assert_eq!(claims.claim(Turn(4), &locks([(1, Shared)])).0, Claim::Waits(key(1)), "it still has it alone");
        assert_eq!(claims.release(Turn(1)), [Turn(3), Turn(4)].into());
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
