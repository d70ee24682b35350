//! Whether this shard's store is as new as anything that was seen of it (R14).
//!
//! ```text
//!   open --> asking: every other shard is asked for the newest certified header of this one that it has seen
//!              |-- all have answered, and none has seen a newer one ------------> shown
//!              |-- the signer's mark agrees, and SIGHTINGS_WAIT is over --------> shown; the silent are asked on
//!   always  ---'-- a certified header of this shard beyond its tip, or another than its own there --> behind, for good
//! ```
//!
//! Promise (R14): while it is not shown the shard signs nothing; once behind it never signs again. A peer that is down
//! does not stop a shard whose signer's mark agrees, and one that answers late stops it still.
//! Knows nothing of who carries questions and answers, nor of how a mark is kept: docs/decisions/0017.

use crate::input::Busy;
use primitives::{Height, Millis, ShardId, Time};
use std::collections::BTreeSet;

/// How long a shard whose mark agrees waits for what others have seen of it.
pub const SIGHTINGS_WAIT: Millis = Millis(2_000);

/// How long it waits before it asks those again who did not answer, while it signs nothing.
const ASK_AGAIN: Millis = Millis(500);

/// The same once it is shown.
const ASK_LATER: Millis = Millis(5_000);

/// What a shard is told of its store when it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The caller knows that the store is the newest: nobody is asked.
    Vouched,
    /// The signer's mark, which is kept outside the store, agrees with it.
    Marked,
    /// There is no mark: only the others can show that the store is the newest, all of them.
    Unmarked,
}

/// What shows that a store is not the newest: the shard certified more than it has, or something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Behind {
    /// It ends before a block that this shard certified.
    #[error(
        "this shard's store ends at block {tip}, but its block {seen} was certified and seen by others: an old copy was put \
         in the store's place. Put the newest store back and start again. If that is lost, this key must sign nothing any \
         more: the shard can come back only under a new key in a new epoch, which this version cannot do yet"
    )]
    Older {
        /// Where the store ends.
        tip: Height,
        /// What was seen.
        seen: Height,
    },
    /// It has another block than one that this shard certified.
    #[error(
        "block {height} of this shard's store is not the block {height} that was certified and seen by others: an old copy \
         was put in the store's place and went on, or two processes sign with one key. Stop all of them, keep the evidence, \
         and put the store back that others have seen. If that is lost, this key must sign nothing any more: the shard can \
         come back only under a new key in a new epoch, which this version cannot do yet"
    )]
    Other {
        /// Where they differ.
        height: Height,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Asking,
    Shown,
    Behind(Behind),
}

/// What a shard knows of its own store.
#[derive(Debug)]
pub(crate) struct Freshness {
    start: Start,
    standing: Standing,
    /// Who has not answered since this shard opened.
    silent: BTreeSet<ShardId>,
    /// When it began to ask; set by its first step.
    begun: Option<Time>,
    ask_at: Time,
}

impl Freshness {
    /// A shard that opens beside `others`.
    pub(crate) fn open(start: Start, others: impl Iterator<Item = ShardId>) -> Self {
        let silent: BTreeSet<ShardId> = if start == Start::Vouched { BTreeSet::new() } else { others.collect() };
        let standing = if start == Start::Vouched { Standing::Shown } else { Standing::Asking };
        Self { start, standing, silent, begun: None, ask_at: Time(0) }
    }

    /// Whether the shard may sign.
    pub(crate) fn is_shown(&self) -> bool {
        self.standing == Standing::Shown
    }

    /// Why it may not.
    pub(crate) fn refusal(&self) -> Option<Busy> {
        match self.standing {
            Standing::Shown => None,
            Standing::Asking => Some(Busy::Asking),
            Standing::Behind(behind) => Some(Busy::Behind(behind)),
        }
    }

    /// What shows that the store is behind, if something does.
    pub(crate) fn behind(&self) -> Option<Behind> {
        match self.standing {
            Standing::Behind(behind) => Some(behind),
            Standing::Asking | Standing::Shown => None,
        }
    }

    /// Something shows that the store is behind. What showed it first stays.
    pub(crate) fn trip(&mut self, behind: Behind) {
        if self.behind().is_none() {
            self.standing = Standing::Behind(behind);
        }
    }

    /// A peer has answered, and what it has seen was looked at.
    pub(crate) fn answered(&mut self, from: ShardId) {
        self.silent.remove(&from);
    }

    /// Whether the shard is shown from now on: by all answers, or by the mark and a wait.
    pub(crate) fn becomes_shown(&mut self, now: Time) -> bool {
        let begun = *self.begun.get_or_insert(now);
        let has_waited = self.start == Start::Marked && now >= begun.after(SIGHTINGS_WAIT);
        let is_now = self.standing == Standing::Asking && (self.silent.is_empty() || has_waited);
        if is_now {
            self.standing = Standing::Shown;
        }
        is_now
    }

    /// Whom to ask now.
    pub(crate) fn ask(&mut self, now: Time) -> Vec<ShardId> {
        if self.silent.is_empty() || self.behind().is_some() || now < self.ask_at {
            return Vec::new();
        }
        self.ask_at = now.after(if self.is_shown() { ASK_LATER } else { ASK_AGAIN });
        self.silent.iter().copied().collect()
    }

    /// When to look again.
    pub(crate) fn due_at(&self) -> Option<Time> {
        (!self.silent.is_empty() && self.behind().is_none()).then_some(self.ask_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHERS: [ShardId; 2] = [ShardId(1), ShardId(2)];

    fn open(start: Start) -> Freshness {
        Freshness::open(start, OTHERS.into_iter())
    }

    #[test]
    fn a_shard_without_a_mark_waits_for_every_answer() {
        let mut freshness = open(Start::Unmarked);
        freshness.answered(ShardId(1));
        assert!(!freshness.becomes_shown(Time(0)) && !freshness.becomes_shown(Time(1_000_000)));
        freshness.answered(ShardId(2));
        assert!(freshness.becomes_shown(Time(1_000_001)) && freshness.is_shown());
        assert!(!freshness.becomes_shown(Time(1_000_002)), "it is told once");
    }

    #[test]
    fn a_shard_whose_mark_agrees_waits_a_while_and_asks_on() {
        let mut freshness = open(Start::Marked);
        assert!(!freshness.becomes_shown(Time(10)));
        assert_eq!(freshness.ask(Time(10)), OTHERS);
        assert_eq!(freshness.ask(Time(11)), []);
        assert!(freshness.becomes_shown(Time(10).after(SIGHTINGS_WAIT)));
        assert_eq!(freshness.ask(freshness.due_at().unwrap()), OTHERS);
        freshness.trip(Behind::Older { tip: Height(1), seen: Height(2) });
        assert!(!freshness.is_shown() && freshness.due_at().is_none());
    }

    #[test]
    fn a_shard_that_is_behind_stays_so() {
        let mut freshness = open(Start::Unmarked);
        let behind = Behind::Older { tip: Height(1), seen: Height(2) };
        freshness.trip(behind);
        freshness.trip(Behind::Other { height: Height(1) });
        for shard in OTHERS {
            freshness.answered(shard);
        }
        assert!(!freshness.becomes_shown(Time(9)));
        assert_eq!(freshness.refusal(), Some(Busy::Behind(behind)));
    }

    #[test]
    fn a_shard_alone_or_vouched_for_asks_nobody() {
        assert!(open(Start::Vouched).is_shown());
        let mut alone = Freshness::open(Start::Unmarked, std::iter::empty());
        assert!(alone.becomes_shown(Time(0)) && alone.ask(Time(0)).is_empty() && alone.due_at().is_none());
    }
}
