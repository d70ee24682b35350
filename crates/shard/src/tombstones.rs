//! Noes that may go: when, and how many of them strangers have asked for.
//!
//!   no --> ATTEMPTS and TOMBSTONES, in the batch of the vote --> kept past the deadline --> both go, with some later block
//!                                                                                      (R5: the rule stands in for them)
//!
//! Promise (R5, I19): a no stays for as long as a prepare could still find the way open, and then a while; the noes that
//! somebody asked for without showing a vote are bounded, so that a stranger can neither fill the disk nor keep the signer
//! busy. Nothing goes but in the batch of a block whose time is past it: a shard that comes back from that batch knows that
//! time, and with it the rule.
//! Knows nothing of votes: a yes goes otherwise ([`crate::settling`], R7).

use crate::limits::{
    ABORTS_UNFOUNDED_COUNT_MAX, ABORTS_WAITED_COUNT_MAX, TOMBSTONES_COUNT_MAX, TOMBSTONES_PER_STEP_COUNT_MAX,
};
use crate::spaces::{self, ATTEMPTS, TOMBSTONES};
use crate::staged::Staged;
use primitives::{AttemptId, Digest, Read, Time};
use std::collections::BTreeMap;
use std::collections::btree_map::OccupiedEntry;

/// How many are read at a time when a shard opens.
const OPEN_PAGE_COUNT: usize = 1_024;

/// Why a no was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ground {
    /// To a prepare, or because of another's no.
    Voted = 1,
    /// To somebody who asked for it and showed the yes of a participant that waits.
    Waited = 2,
    /// To somebody who asked for it and showed nothing.
    Unfounded = 3,
}

impl Ground {
    fn of(byte: Option<&u8>) -> Self {
        match byte {
            Some(2) => Self::Waited,
            Some(3) => Self::Unfounded,
            _ => Self::Voted,
        }
    }
}

/// The noes on the disk that may go one day.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    until: BTreeMap<(Time, AttemptId), Ground>,
    waited_count: usize,
    unfounded_count: usize,
}

impl Tombstones {
    /// Those that the store has.
    pub(crate) fn open(read: &impl Read) -> Self {
        let mut tombstones = Self::default();
        let mut from = Vec::new();
        loop {
            let page = read.scan(TOMBSTONES, &[], &from, OPEN_PAGE_COUNT);
            for (key, value) in &page {
                if let Some((until, attempt)) = parts(key) {
                    tombstones.insert(until, attempt, Ground::of(value.first()));
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == OPEN_PAGE_COUNT => from = [&last[..], &[0]].concat(),
                _ => return tombstones,
            }
        }
    }

    fn insert(&mut self, until: Time, attempt: AttemptId, ground: Ground) {
        if self.until.insert((until, attempt), ground).is_none() {
            self.waited_count += usize::from(ground == Ground::Waited);
            self.unfounded_count += usize::from(ground == Ground::Unfounded);
        }
    }

    /// How many there are, if there is no room for one more of them.
    pub(crate) fn excess(&self, ground: Ground) -> Option<usize> {
        let (count, count_max) = match ground {
            Ground::Voted => (self.until.len(), TOMBSTONES_COUNT_MAX),
            Ground::Waited => (self.waited_count, ABORTS_WAITED_COUNT_MAX),
            Ground::Unfounded => (self.unfounded_count, ABORTS_UNFOUNDED_COUNT_MAX),
        };
        (count >= count_max).then_some(count)
    }

    /// Has the no to `attempt` go some time after `until`.
    pub(crate) fn keep<R: Read>(
        &mut self,
        until: Time,
        attempt: AttemptId,
        ground: Ground,
        staged: &mut Staged<'_, R>,
    ) {
        self.insert(until, attempt, ground);
        staged.put(TOMBSTONES, spaces::tombstone_key(until, attempt), vec![ground as u8]);
    }

    /// Takes away what may go at `now`, which is the time of the block that this batch makes.
    pub(crate) fn prune<R: Read>(&mut self, now: Time, staged: &mut Staged<'_, R>) {
        for _ in 0..TOMBSTONES_PER_STEP_COUNT_MAX {
            let first = self.until.first_entry().filter(|first| first.key().0 < now);
            let Some(((until, attempt), ground)) = first.map(OccupiedEntry::remove_entry) else { return };
            self.waited_count -= usize::from(ground == Ground::Waited);
            self.unfounded_count -= usize::from(ground == Ground::Unfounded);
            staged.delete(TOMBSTONES, spaces::tombstone_key(until, attempt));
            staged.delete(ATTEMPTS, spaces::attempt_key(attempt));
        }
    }
}

fn parts(key: &[u8]) -> Option<(Time, AttemptId)> {
    let (until, attempt) = key.split_at_checked(8)?;
    Some((Time(spaces::number_of(until)), AttemptId(Digest::new(attempt.try_into().ok()?))))
}
