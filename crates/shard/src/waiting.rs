//! Messages and deliveries that met a lock: they run in the step that frees it, and it is not taken before them for ever.
//!
//!   locked --> waits on that key --> the key is free: it runs, without being brought again
//!               | for PATIENCE: new attempts do not get the keys that it met --> ... for CLAIM at most, then they do again
//!
//! Promise (I14): whoever takes locks one after the other, or shares one with others without a gap, delays a message by the
//! locks that stand and no longer. A holder that is never decided, because a shard is gone, keeps only what it holds: a claim
//! ends by itself, so that what waits for a dead shard does not freeze what is alive.
//! Memory only: after a restart a message waits again from the next time that somebody brings it.
//! Knows nothing of how messages run.

use crate::input::Busy;
use crate::limits::{
    WAITING_BYTES_MAX, WAITING_CLAIM, WAITING_COUNT_MAX, WAITING_KEYS_COUNT_MAX, WAITING_PATIENCE,
    WAITING_PER_KEY_COUNT_MAX,
};
use crate::locks::LockTable;
use evm::{LockMode, StateKey};
use primitives::{Time, Verified};
use proof::{Admission, Fact, LeafKind, MessageId};
use std::collections::{BTreeMap, BTreeSet};

/// What waits: a message, or the delivery of one. One shard may be the source and the destination of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WaiterId {
    pub(crate) kind: LeafKind,
    pub(crate) message: MessageId,
}

/// As it was handed in: by a shard's receipt, or by a foreign chain's attestors.
#[derive(Debug, Clone)]
pub(crate) enum Brought {
    /// A leaf of a shard.
    Fact(Box<Verified<Fact>>),
    /// What attestors vouch for.
    Foreign(Verified<Admission>),
}

impl Brought {
    /// Bytes that it keeps, as far as their number is anybody's choice.
    fn bytes(&self) -> usize {
        match self {
            Self::Fact(fact) => fact.leaf.body.len(),
            Self::Foreign(admission) => match &**admission {
                Admission::Message { message, .. } => message.body.len(),
                Admission::Processed(_) => 0,
            },
        }
    }
}

/// One that waits.
#[derive(Debug, Clone)]
struct Waiter {
    what: Brought,
    /// When it met a new key last: its patience and its claim run from here.
    since: Time,
    /// The key that it waits for now, and how it wants it.
    on: (StateKey, LockMode),
    /// Every key that it met, the one it waits for included.
    met: BTreeMap<StateKey, LockMode>,
}

impl Waiter {
    /// Whether new attempts have to leave its keys alone at `now`.
    fn claims(&self, now: Time) -> bool {
        let from = self.since.after(WAITING_PATIENCE);
        (from..from.after(WAITING_CLAIM)).contains(&now)
    }
}

/// All that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    waiters: BTreeMap<WaiterId, Waiter>,
    /// Who has met which key.
    keys: BTreeMap<StateKey, BTreeSet<WaiterId>>,
    bytes: usize,
}

impl Waiting {
    /// How many wait.
    pub(crate) fn count(&self) -> usize {
        self.waiters.len()
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Has `what` wait for `key`, if there is room; whoever has no place is brought again.
    pub(crate) fn wait(&mut self, id: WaiterId, what: &Brought, key: StateKey, mode: LockMode, now: Time) {
        if !self.waiters.contains_key(&id) && !self.enter(id, what, (key, mode), now) {
            return;
        }
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        waiter.on = (key, mode);
        let is_new = !waiter.met.contains_key(&key);
        if is_new && waiter.met.len() >= WAITING_KEYS_COUNT_MAX {
            return self.leave(id);
        }
        if is_new {
            waiter.since = now;
        }
        waiter.met.insert(key, mode);
        self.keys.entry(key).or_default().insert(id);
    }

    fn enter(&mut self, id: WaiterId, what: &Brought, on: (StateKey, LockMode), now: Time) -> bool {
        let crowd = self.keys.get(&on.0).map_or(0, BTreeSet::len);
        let bytes = self.bytes + what.bytes();
        if self.waiters.len() >= WAITING_COUNT_MAX || crowd >= WAITING_PER_KEY_COUNT_MAX || bytes > WAITING_BYTES_MAX {
            return false;
        }
        self.bytes = bytes;
        self.waiters.insert(id, Waiter { what: what.clone(), since: now, on, met: BTreeMap::new() });
        true
    }

    /// It has come to its end, or will not come to it here.
    pub(crate) fn leave(&mut self, id: WaiterId) {
        let Some(waiter) = self.waiters.remove(&id) else { return };
        self.bytes -= waiter.what.bytes();
        for key in waiter.met.keys() {
            if let Some(ids) = self.keys.get_mut(key) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.keys.remove(key);
                }
            }
        }
    }

    /// What still stands in the way of one that waits: it need not run to find that out.
    pub(crate) fn hindrance(&self, id: WaiterId, locks: &LockTable) -> Option<Busy> {
        let (key, mode) = self.waiters.get(&id)?.on;
        locks.conflict(&BTreeMap::from([(key, mode)])).map(Busy::locked)
    }

    /// Whether an attempt that wants these keys has to leave one of them to somebody who waits.
    pub(crate) fn is_claimed(&self, wanted: &BTreeMap<StateKey, LockMode>, now: Time) -> bool {
        if self.keys.is_empty() {
            return false;
        }
        wanted.iter().any(|(key, mode)| {
            let ids = self.keys.get(key).into_iter().flatten();
            let mut waiters = ids.filter_map(|id| self.waiters.get(id)).filter(|waiter| waiter.claims(now));
            waiters.any(|waiter| waiter.met.get(key).is_some_and(|wants| !wants.is_compatible(*mode)))
        })
    }

    /// Those whose key is free, the longest waiting first.
    pub(crate) fn ready(&self, locks: &LockTable) -> Vec<(WaiterId, Brought)> {
        let free = self.waiters.iter().filter(|(id, _)| self.hindrance(**id, locks).is_none());
        let mut free: Vec<_> = free.collect();
        free.sort_by_key(|(id, waiter)| (waiter.since, **id));
        free.into_iter().map(|(id, waiter)| (*id, waiter.what.clone())).collect()
    }

    /// What must hold between steps.
    pub(crate) fn assert_valid(&self) {
        let bytes: usize = self.waiters.values().map(|waiter| waiter.what.bytes()).sum();
        assert_eq!(bytes, self.bytes, "the bytes of those that wait are counted");
        let met: usize = self.waiters.values().map(|waiter| waiter.met.len()).sum();
        assert_eq!(met, self.keys.values().map(BTreeSet::len).sum::<usize>(), "each key knows who has met it");
    }
}
