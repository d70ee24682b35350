//! Attempts that read a fragment of the beneficiary's fees: while one is undecided here, nobody pays a fee here.
//!
//! ```text
//!   yes, for FEES_READ_DEADLINE_AHEAD_MAX at most --> decided after d --> for FEES_READ_PAUSE_FACTOR times d: busy --> the next
//! ```
//!
//! Promise: readers of the beneficiary's balance hold everybody else up for a tenth of the time at most, whether they commit, abort
//! or are left alone by their coordinator. A lock is free to take, so without this one of them could stop the whole network.
//! Only a no is ever said because of it, which a shard may always say. Memory only: a restart forgets a pause.
//! Knows nothing of who pays.

use crate::limits::FEES_READ_PAUSE_FACTOR;
use evm::{FEES_READ_DEADLINE_AHEAD_MAX, LockMode, StateKey};
use primitives::{AttemptId, Millis, Time};
use std::collections::BTreeMap;

/// Whether an attempt that takes these locks keeps everybody from paying fees.
pub(crate) fn holds_up_fees(locks: &BTreeMap<StateKey, LockMode>) -> bool {
    locks.iter().any(|(key, mode)| key.holds_up_fees(*mode))
}

/// The reader that is undecided, and when the next may come.
#[derive(Debug)]
pub(crate) struct FeesReads {
    /// The undecided, and since when: as many as there are at once, since readers share with each other.
    begun: BTreeMap<AttemptId, Time>,
    free_at: Time,
}

impl Default for FeesReads {
    fn default() -> Self {
        Self { begun: BTreeMap::new(), free_at: Time(0) }
    }
}

impl FeesReads {
    /// Whether an attempt with this deadline may not read fragments of fees now.
    pub(crate) fn refuses(&self, deadline: Time, now: Time) -> bool {
        now < self.free_at || !self.begun.is_empty() || deadline > now.after(FEES_READ_DEADLINE_AHEAD_MAX)
    }

    /// An attempt reads some from now on.
    pub(crate) fn begin(&mut self, attempt: AttemptId, now: Time) {
        self.begun.insert(attempt, now);
    }

    /// It is decided, if it is one that reads some.
    pub(crate) fn end(&mut self, attempt: AttemptId, now: Time) {
        let Some(begun) = self.begun.remove(&attempt) else { return };
        let pause = now.since(begun).0.saturating_mul(FEES_READ_PAUSE_FACTOR);
        self.free_at = self.free_at.max(now.after(Millis(pause)));
    }
}
