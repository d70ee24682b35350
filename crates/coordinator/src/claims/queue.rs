//! One key's holders, and those that wait for it by use and arrival.
//!
//! Every question is answered by the first of each use: it takes a look-up for each, however long the queue is.

use super::{Turn, Usage};
use evm::LockMode;
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// They all go with each other.
    holders: BTreeSet<(Usage, Turn)>,
    waiters: BTreeSet<(Usage, Turn)>,
    /// Those of the waiters that are stopped here and have to be told when they are not.
    watchers: BTreeSet<(Usage, Turn)>,
    /// Whether it has been held, without a gap, by several of which one may write.
    is_crowded: bool,
}

impl Queue {
    pub(super) fn hold(&mut self, turn: Turn, usage: Usage) {
        let writes = [usage.mode() == LockMode::Exclusive, self.is_held_in(Usage::Logged(LockMode::Exclusive))];
        self.is_crowded |= !self.holders.is_empty() && writes.contains(&true);
        self.holders.insert((usage, turn));
    }

    /// `turn` holds the key no more.
    pub(super) fn give_up(&mut self, turn: Turn, usage: Usage) {
        self.holders.remove(&(usage, turn));
        self.is_crowded &= !self.holders.is_empty();
    }

    pub(super) fn wait(&mut self, turn: Turn, usage: Usage) {
        self.waiters.insert((usage, turn));
    }

    /// `turn` waits for the key no more.
    pub(super) fn leave(&mut self, turn: Turn, usage: Usage) {
        self.waiters.remove(&(usage, turn));
        self.watchers.remove(&(usage, turn));
    }

    /// Has a waiter told when the key stops it no more.
    pub(super) fn watch(&mut self, turn: Turn, usage: Usage) {
        self.watchers.insert((usage, turn));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.holders.is_empty() && self.waiters.is_empty()
    }

    pub(super) fn is_held_by_another(&self, turn: Turn) -> bool {
        self.holders.iter().any(|(_, holder)| *holder != turn)
    }

    /// Whether `turn` is the last of several that held the key at once, of which one may have written.
    pub(super) fn is_last_of_several(&self, turn: Turn) -> bool {
        self.is_crowded && !self.is_held_by_another(turn)
    }

    /// Whether a holder or an earlier waiter keeps `turn` from using the key like this.
    pub(super) fn stops(&self, turn: Turn, usage: Usage) -> bool {
        self.is_held_against(usage) || self.first_against(usage).is_some_and(|first| first < turn)
    }

    /// The watchers that the key stops no more, who watch it no longer.
    pub(super) fn let_through(&mut self) -> Vec<Turn> {
        let watched = Usage::ALL.into_iter().filter(|usage| first(&self.watchers, *usage).is_some());
        let through: Vec<(Usage, Turn)> = watched.flat_map(|usage| self.let_through_in(usage)).collect();
        for watcher in &through {
            self.watchers.remove(watcher);
        }
        through.into_iter().map(|(_, turn)| turn).collect()
    }

    fn let_through_in(&self, usage: Usage) -> impl Iterator<Item = (Usage, Turn)> {
        let end = match (self.is_held_against(usage), self.first_against(usage)) {
            (true, _) => Turn(0),
            // Whoever goes with nobody may be the first itself.
            (false, Some(first)) if !usage.goes_with(usage) => Turn(first.0.saturating_add(1)),
            (false, Some(first)) => first,
            (false, None) => Turn(u64::MAX),
        };
        self.watchers.range((usage, Turn(0))..(usage, end)).copied().inspect(|_| looked())
    }

    fn is_held_against(&self, usage: Usage) -> bool {
        against(usage).any(|other| self.is_held_in(other))
    }

    fn is_held_in(&self, usage: Usage) -> bool {
        first(&self.holders, usage).is_some()
    }

    /// The first of the waiters that do not go with `usage`.
    fn first_against(&self, usage: Usage) -> Option<Turn> {
        against(usage).filter_map(|other| first(&self.waiters, other)).min()
    }

    #[cfg(debug_assertions)]
    pub(super) fn assert_valid(&self, key: &evm::StateKey) {
        let held: Vec<Usage> = Usage::ALL.into_iter().filter(|usage| self.is_held_in(*usage)).collect();
        let all = held.iter().flat_map(|one| held.iter().map(move |other| (one, other)));
        assert!({ all }.all(|(one, other)| one == other || one.goes_with(*other)), "{key} is held by several");
        let alone = held.iter().all(|usage| usage.goes_with(*usage)) || self.holders.len() == 1;
        assert!(alone, "{key} is held by several that write");
        assert!(!self.is_empty(), "{key} has an empty queue");
        assert!(self.watchers.is_subset(&self.waiters), "{key} is watched by one that does not wait for it");
        let free = self.watchers.iter().find(|(usage, turn)| !self.stops(*turn, *usage));
        assert!(free.is_none(), "{free:?} waits for {key}, which is free");
    }
}

/// The uses that do not go with this one.
fn against(usage: Usage) -> impl Iterator<Item = Usage> {
    Usage::ALL.into_iter().filter(move |other| !other.goes_with(usage))
}

fn first(side: &BTreeSet<(Usage, Turn)>, usage: Usage) -> Option<Turn> {
    if side.is_empty() {
        return None;
    }
    looked();
    side.range((usage, Turn(0))..).next().filter(|(other, _)| *other == usage).map(|(_, turn)| *turn)
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
