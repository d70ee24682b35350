//! Where to read a shard's outbox next.
//!
//! Most lanes stand at the front. A lane that was full stands behind, and catches up when it has room again: front and
//! behind take turns, so that neither starves the other.

use crate::{backoff, lane::Cursor, settings::Settings};
use primitives::{ShardId, Time};

/// How few blocks a page without leaves spans when it has come to the head of the log: then the next waits for a poll, so
/// that blocks without messages are not followed one by one.
const HEAD_BLOCKS_COUNT: u64 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Front,
    Behind,
}

/// One shard as a sender.
#[derive(Debug)]
pub(crate) struct Source {
    /// When the fetch under way is taken for lost.
    asking_until: Option<Time>,
    /// Not before this after a failure.
    due: Time,
    failures: u32,
    /// The front had nothing new: not before this.
    quiet_until: Time,
    last: Turn,
    /// Why nothing of it is taken: it has lost blocks that were read.
    pub(crate) beyond: Option<String>,
}

impl Source {
    pub(crate) fn new() -> Self {
        Self { asking_until: None, due: Time(0), failures: 0, quiet_until: Time(0), last: Turn::Behind, beyond: None }
    }

    /// Where to read now, given the cursors of the lanes that have room.
    pub(crate) fn plan(&mut self, cursors: &[Cursor], now: Time, settings: &Settings) -> Option<Cursor> {
        if self.asking_until.is_some_and(|until| now < until) || now < self.due {
            return None;
        }
        let (behind, front) = (cursors.iter().min()?, cursors.iter().max()?);
        let quiet = now < self.quiet_until;
        let turn = match (behind < front, quiet, self.last) {
            (false, true, _) => return None,
            (false, false, _) | (true, false, Turn::Behind) => Turn::Front,
            (true, true, _) | (true, false, Turn::Front) => Turn::Behind,
        };
        self.last = turn;
        self.asking_until = Some(now.after(settings.answer));
        Some(if turn == Turn::Front { *front } else { *behind })
    }

    /// A page with `leaves_count` leaves came. One without, that ended near where it began, ended at the head.
    pub(crate) fn answered(&mut self, page: (Cursor, Cursor), leaves_count: usize, now: Time, settings: &Settings) {
        self.asking_until = None;
        self.failures = 0;
        let (from, next) = page;
        if leaves_count == 0 && next.height.0.saturating_sub(from.height.0) <= HEAD_BLOCKS_COUNT {
            self.quiet_until = now.after(settings.poll);
        }
    }

    pub(crate) fn failed(&mut self, shard: ShardId, now: Time, settings: &Settings) {
        self.asking_until = None;
        self.failures = self.failures.saturating_add(1);
        let name = shard.0.to_le_bytes();
        self.due = now.after(backoff::wait(settings.reach_min, settings.reach_max, &name, self.failures));
    }

    pub(crate) fn news(&mut self) {
        self.quiet_until = Time(0);
    }

    /// When to look again if nothing comes in and some lane has room.
    pub(crate) fn wake(&self) -> Time {
        self.asking_until.unwrap_or(self.due.max(self.quiet_until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::{Height, NetworkId};

    fn at(height: u64) -> Cursor {
        Cursor { height: Height(height), index: 0 }
    }

    fn settings() -> Settings {
        Settings::new(NetworkId(7), [ShardId(0)].into())
    }

    #[test]
    fn front_and_behind_take_turns() {
        let (settings, mut source) = (settings(), Source::new());
        let mut read = Vec::new();
        for _ in 0..4 {
            let from = source.plan(&[at(3), at(9), at(9)], Time(1), &settings).unwrap();
            source.answered((from, at(10)), 1, Time(1), &settings);
            read.push(from);
        }
        assert_eq!(read, [at(9), at(3), at(9), at(3)]);
    }

    #[test]
    fn a_quiet_front_is_polled_and_does_not_hold_up_what_is_behind() {
        let (settings, mut source) = (settings(), Source::new());
        assert_eq!(source.plan(&[at(9)], Time(1), &settings), Some(at(9)));
        source.answered((at(9), at(9)), 0, Time(1), &settings);
        assert_eq!(source.plan(&[at(9)], Time(2), &settings), None);
        assert_eq!(source.wake(), Time(101));
        assert_eq!(source.plan(&[at(3), at(9)], Time(2), &settings), Some(at(3)));
        source.answered((at(3), at(4)), 1, Time(2), &settings);
        assert_eq!(source.plan(&[at(9)], Time(101), &settings), Some(at(9)));
    }

    #[test]
    fn one_fetch_is_under_way_until_it_is_taken_for_lost() {
        let (settings, mut source) = (settings(), Source::new());
        assert!(source.plan(&[at(1)], Time(0), &settings).is_some());
        assert_eq!(source.plan(&[at(1)], Time(1), &settings), None);
        assert!(source.plan(&[at(1)], Time(settings.answer.0), &settings).is_some());
    }

    #[test]
    fn a_failed_fetch_waits_longer_each_time() {
        let (settings, mut source) = (settings(), Source::new());
        source.failed(ShardId(0), Time(0), &settings);
        let first = source.wake();
        for _ in 0..5 {
            source.failed(ShardId(0), Time(0), &settings);
        }
        assert!(source.wake() > first);
        assert_eq!(source.plan(&[at(1)], first, &settings), None);
    }
}
