//! How far a clock may run ahead of all others, so that one that is wrong does not take its machine along.
//!
//! ```text
//!   other: "my clock shows t" --> heard(t, when it was asked by a steady clock)
//!   own clock --> min(own, newest of what the others' show by now + CLOCK_AHEAD_MAX) --> the machine's time
//! ```
//!
//! Promise: it only caps. Who hears nobody goes by its own clock, after [`HEARING_WAIT`]; who is not ahead of everybody is held by
//! nobody. What others say is their own clock and not their machines' time, so clocks that all go ahead together hold none back.
//! Whoever lies ahead lifts the cap and moves nothing. Knows nothing of who asks: docs/decisions/0020.

use crate::{Millis, ShardId, Time};
use std::collections::BTreeMap;

/// How far ahead of the newest of the others' clocks the time of a machine may be: as far as shards take slots from the future, so
/// that a shard whose clock is far ahead still takes the slots that the others take.
pub const CLOCK_AHEAD_MAX: Millis = Millis(500);

/// How long a process that starts beside others goes on from its last time before it takes its own clock's word unheard.
pub const HEARING_WAIT: Millis = Millis(2_000);

/// What the others' clocks were heard to show. Lengths of time are by a steady clock that began with this.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ceiling {
    heard: BTreeMap<ShardId, Heard>,
    is_alone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heard {
    said: Time,
    at: Millis,
}

impl Ceiling {
    /// Nobody was heard yet.
    pub fn beside_others() -> Self {
        Self::default()
    }

    /// There is nobody to hear.
    pub fn alone() -> Self {
        Self { is_alone: true, ..Self::default() }
    }

    /// The clock of `from` showed `said` when it was asked at `asked` or later: however long its answer took, it is taken to be
    /// ahead rather than behind. What it said before is of the past, also if that was later.
    pub fn hear(&mut self, from: ShardId, said: Time, asked: Millis) {
        self.heard.insert(from, Heard { said, at: asked });
    }

    /// Whether anybody was heard.
    pub fn has_heard(&self) -> bool {
        !self.heard.is_empty()
    }

    /// Whether what [`Ceiling::cap`] says is the present. Before, it is where the machine was when it was stopped.
    pub fn is_settled(&self, steady: Millis) -> bool {
        self.has_heard() || self.is_alone || steady >= HEARING_WAIT
    }

    /// What to take for the time where the own clock shows `own` and the machine began at `earliest`.
    pub fn cap(&self, own: Time, earliest: Time, steady: Millis) -> Time {
        let now = |heard: &Heard| heard.said.after(Millis(steady.0.saturating_sub(heard.at.0)));
        match self.heard.values().map(now).max() {
            Some(newest) => own.min(newest.after(CLOCK_AHEAD_MAX)),
            None if self.is_settled(steady) => own,
            None => own.min(earliest.after(steady)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const START: Time = Time(1_000 * HOUR);
    const ONE: ShardId = ShardId(1);
    const TWO: ShardId = ShardId(2);

    fn heard(said: &[(ShardId, u64)]) -> Ceiling {
        let mut ceiling = Ceiling::beside_others();
        for (from, after) in said {
            ceiling.hear(*from, START.after(Millis(*after)), Millis(0));
        }
        ceiling
    }

    fn cap(ceiling: &Ceiling, own_ahead: u64, steady: u64) -> u64 {
        ceiling.cap(START.after(Millis(own_ahead)), START, Millis(steady)).since(START).0
    }

    #[test]
    fn a_clock_far_ahead_of_all_others_is_held() {
        let ceiling = heard(&[(ONE, 0), (TWO, 300)]);
        assert_eq!(cap(&ceiling, HOUR, 0), 800);
        assert_eq!(cap(&ceiling, HOUR + 1_000, 1_000), 1_800, "and goes on as they do while they are silent");
    }

    #[test]
    fn a_clock_that_is_not_ahead_is_left_alone() {
        assert_eq!(cap(&heard(&[(ONE, 0)]), 400, 0), 400);
        assert_eq!(cap(&heard(&[(ONE, 0), (TWO, HOUR)]), 100, 0), 100, "whoever lies ahead moves nothing");
    }

    #[test]
    fn clocks_that_go_ahead_together_hold_none_back() {
        assert_eq!(cap(&heard(&[(ONE, HOUR), (TWO, 0)]), HOUR, 0), HOUR);
    }

    #[test]
    fn one_that_was_ahead_and_is_right_again_caps_again() {
        let mut ceiling = heard(&[(ONE, HOUR)]);
        ceiling.hear(ONE, START, Millis(0));
        assert_eq!(cap(&ceiling, HOUR, 0), 500);
    }

    #[test]
    fn who_hears_nobody_goes_by_its_own_clock() {
        assert_eq!(cap(&Ceiling::alone(), HOUR, 0), HOUR);
        let silent = Ceiling::beside_others();
        assert_eq!(cap(&silent, HOUR, 1_999), 1_999, "for a moment it may hear somebody yet");
        assert_eq!(cap(&silent, HOUR, 2_000), HOUR);
        assert!(!silent.is_settled(Millis(1_999)) && silent.is_settled(Millis(2_000)));
        assert!(heard(&[(ONE, 0)]).is_settled(Millis(0)) && Ceiling::alone().is_settled(Millis(0)));
    }
}
