//! One key's holders, and those that wait for it by mode and arrival.
//!
//! Every question is answered by the first waiter of each mode: it takes three look-ups, however long the queue is.

use super::Turn;
use evm::LockMode;
use std::collections::{BTreeMap, BTreeSet};

const MODES: [LockMode; 3] = [LockMode::Shared, LockMode::Credit, LockMode::Exclusive];

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Compatible with each other, so all in one mode.
    holders: BTreeMap<Turn, LockMode>,
    waiters: BTreeSet<(LockMode, Turn)>,
    /// Those of the waiters that are stopped here and have to be told when they are not.
    watchers: BTreeSet<(LockMode, Turn)>,
}

impl Queue {
    pub(super) fn hold(&mut self, turn: Turn, mode: LockMode) {
        self.holders.insert(turn, mode);
    }

    /// `turn` holds the key no more.
    pub(super) fn give_up(&mut self, turn: Turn) {
        self.holders.remove(&turn);
    }

    pub(super) fn wait(&mut self, turn: Turn, mode: LockMode) {
        self.waiters.insert((mode, turn));
    }

    /// `turn` waits for the key no more.
    pub(super) fn leave(&mut self, turn: Turn, mode: LockMode) {
        self.waiters.remove(&(mode, turn));
        self.watchers.remove(&(mode, turn));
    }

    /// Has a waiter told when the key stops it no more.
    pub(super) fn watch(&mut self, turn: Turn, mode: LockMode) {
        self.watchers.insert((mode, turn));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.holders.is_empty() && self.waiters.is_empty()
    }

    pub(super) fn is_held_by_another(&self, turn: Turn) -> bool {
        self.holders.keys().any(|holder| *holder != turn)
    }

    /// Whether a holder or an earlier waiter keeps `turn` from holding the key in `mode`.
    pub(super) fn stops(&self, turn: Turn, mode: LockMode) -> bool {
        self.is_held_against(mode) || self.first_against(mode).is_some_and(|first| first < turn)
    }

    /// The watchers that the key stops no more, who watch it no longer.
    pub(super) fn let_through(&mut self) -> Vec<Turn> {
        let through: Vec<(LockMode, Turn)> = MODES.iter().flat_map(|mode| self.let_through_in(*mode)).collect();
        for watcher in &through {
            self.watchers.remove(watcher);
        }
        through.into_iter().map(|(_, turn)| turn).collect()
    }

    fn let_through_in(&self, mode: LockMode) -> impl Iterator<Item = (LockMode, Turn)> {
        let end = match (self.is_held_against(mode), self.first_against(mode)) {
            (true, _) => Turn(0),
            // Whoever waits to write may be the first itself.
            (false, Some(first)) if mode == LockMode::Exclusive => Turn(first.0.saturating_add(1)),
            (false, Some(first)) => first,
            (false, None) => Turn(u64::MAX),
        };
        self.watchers.range((mode, Turn(0))..(mode, end)).copied().inspect(|_| looked())
    }

    fn is_held_against(&self, mode: LockMode) -> bool {
        looked();
        self.holders.values().next().is_some_and(|held| !held.is_compatible(mode))
    }

    /// The first of the waiters that are not compatible with `mode`.
    fn first_against(&self, mode: LockMode) -> Option<Turn> {
        MODES.iter().filter(|other| !other.is_compatible(mode)).filter_map(|other| self.first(*other)).min()
    }

    fn first(&self, mode: LockMode) -> Option<Turn> {
        looked();
        self.waiters.range((mode, Turn(0))..).next().filter(|(other, _)| *other == mode).map(|(_, turn)| *turn)
    }

    #[cfg(debug_assertions)]
    pub(super) fn assert_valid(&self, key: &evm::StateKey) {
        let mut modes = self.holders.values();
        let first = modes.next();
        assert!(modes.all(|mode| first.is_some_and(|first| first.is_compatible(*mode))), "{key} is held by several");
        assert!(!self.is_empty(), "{key} has an empty queue");
        assert!(self.watchers.is_subset(&self.waiters), "{key} is watched by one that does not wait for it");
    }
}

#[cfg(test)]
thread_local! {
    /// Entries looked at in all queues.
    pub(super) static LOOKS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Counts an entry that is looked at, where a test wants to know.
fn looked() {
    #[cfg(test)]
    LOOKS.set(LOOKS.get() + 1);
}
