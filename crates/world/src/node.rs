//! A machine with its store, its clock and what waits for its next step: what `host` is to a process.

use crate::disk::{Disk, Durability};
use primitives::{Ceiling, Height, Machine, Memory, Millis, Output, ShardId, Time};
use std::fmt;

/// Inputs that one step takes: as many as `host` gives by default.
pub(crate) const INPUTS_PER_STEP_COUNT_MAX: usize = 1024;

/// What a host asked a machine for, and has not handed out.
pub(crate) type Asked<M> = Output<<M as Machine>::Send, <M as Machine>::Reply>;

/// One machine and what its host keeps.
pub(crate) struct Node<M: Machine> {
    /// None while it is down.
    pub(crate) machine: Option<M>,
    /// What is readable of its disk.
    pub(crate) store: Memory,
    pub(crate) disk: Disk,
    pub(crate) inbox: Vec<M::Input>,
    /// When its machine wants to be woken, in World time.
    pub(crate) wake: Option<Time>,
    /// How often it was started: what was meant for an earlier life comes to nothing.
    pub(crate) life: u32,
    /// Whether a step is among the events to come.
    pub(crate) step_due: bool,
    /// The step whose batch is being synced.
    pub(crate) syncing: Option<Asked<M>>,
    pub(crate) clock: Clock,
    /// Stands still until then.
    pub(crate) paused_until: Option<Time>,
    /// How often it dies again after its next starts.
    pub(crate) loops_left: u32,
    /// Of a shard: the newest block that others were told of.
    pub(crate) tip_seen: Height,
    /// How many steps it made.
    pub(crate) steps: u64,
    /// How many batches it made, over all its lives.
    pub(crate) batches: u64,
}

impl<M: Machine> fmt::Debug for Node<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Node");
        text.field("life", &self.life).field("steps", &self.steps).field("batches", &self.batches);
        text.finish_non_exhaustive()
    }
}

impl<M: Machine> Node<M> {
    pub(crate) fn new(machine: M, store: Memory, durability: Durability) -> Self {
        Self {
            machine: Some(machine),
            store,
            disk: Disk::new(durability),
            inbox: Vec::new(),
            wake: None,
            life: 1,
            step_due: false,
            syncing: None,
            clock: Clock::default(),
            paused_until: None,
            loops_left: 0,
            tip_seen: Height(0),
            steps: 0,
            batches: 0,
        }
    }

    /// One step with what waits, at this machine's own time; none while it is down.
    pub(crate) fn step(&mut self, now: Time) -> Option<Asked<M>> {
        let machine = self.machine.as_mut()?;
        let rest = self.inbox.split_off(self.inbox.len().min(INPUTS_PER_STEP_COUNT_MAX));
        let inputs = std::mem::replace(&mut self.inbox, rest);
        self.steps += 1;
        self.wake = None;
        let output = machine.step(self.clock.at(now), inputs, &self.store);
        if !output.writes.is_empty() {
            self.batches += 1;
        }
        Some(output)
    }

    /// Everything that a process forgets when it dies.
    pub(crate) fn forget(&mut self) {
        self.machine = None;
        self.inbox.clear();
        self.wake = None;
        self.step_due = false;
        self.syncing = None;
        self.life += 1;
    }
}

/// A machine's clock: World time, off by a skew, and never back. A clock that is set back stands still, and a shard's is held
/// by what the others' show, as `host::Clock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Milliseconds ahead of World time, or behind.
    pub(crate) skew: i64,
    /// Stands still until then.
    pub(crate) frozen_until: Option<Time>,
    /// Is [`FAR_AHEAD`] of World time until then.
    pub(crate) far_until: Option<Time>,
    /// When its process began, in World time.
    began: Time,
    earliest: Time,
    latest: Time,
    ceiling: Ceiling,
    heard_at: Option<Time>,
}

/// How far ahead a clock far ahead is: more than a run lasts.
pub(crate) const FAR_AHEAD: Millis = Millis(6 * 3_600_000);

/// Between two looks at what the others' clocks show: as in `services/executor`.
const LOOK_PAUSE: Millis = Millis(1_000);

impl Default for Clock {
    fn default() -> Self {
        Self {
            skew: 0,
            frozen_until: None,
            far_until: None,
            began: Time(0),
            earliest: Time(0),
            latest: Time(0),
            ceiling: Ceiling::alone(),
            heard_at: None,
        }
    }
}

impl Clock {
    /// What its machine's host takes for the time at World time `now`.
    pub(crate) fn at(&mut self, now: Time) -> Time {
        let stands = self.latest.0 > 0 && self.frozen_until.is_some_and(|until| now < until);
        if !stands {
            let capped = self.ceiling.cap(self.shows(now), self.earliest, now.since(self.began));
            self.latest = self.latest.max(capped);
        }
        self.latest
    }

    /// What it shows itself, whoever holds its machine back.
    pub(crate) fn shows(&self, now: Time) -> Time {
        if self.is_far(now) { now.after(FAR_AHEAD) } else { Time(now.0.saturating_add_signed(self.skew)) }
    }

    pub(crate) fn is_far(&self, now: Time) -> bool {
        self.far_until.is_some_and(|until| now < until)
    }

    /// A process that starts at World time `now`: its clock goes on from no earlier than `earliest`.
    pub(crate) fn restart(&mut self, earliest: Time, now: Time) {
        (self.earliest, self.latest, self.began) = (earliest, earliest, now);
        (self.ceiling, self.heard_at) = (Ceiling::alone(), None);
    }

    /// Whether anybody was heard since its process began: nobody else could tell that it is wrong (docs/decisions/0020).
    pub(crate) fn has_heard(&self) -> bool {
        self.ceiling.has_heard()
    }

    /// Whether it was told of a clock far ahead, last by whom it is of, and would believe another.
    pub(crate) fn believes_far(&self, now: Time) -> bool {
        let newest = self.ceiling.cap(Time(u64::MAX), Time(0), now.since(self.began));
        self.ceiling.has_heard() && newest > now.after(Millis(FAR_AHEAD.0 / 2))
    }

    /// Whether it is time to ask what the others' clocks show.
    pub(crate) fn asks(&self, now: Time) -> bool {
        self.heard_at.is_none_or(|heard| now >= heard.after(LOOK_PAUSE))
    }

    /// There are no others.
    pub(crate) fn hear_nobody(&mut self, now: Time) {
        self.heard_at = Some(now);
    }

    /// What the others that answer show, of some that there are.
    pub(crate) fn hear(&mut self, others: Vec<(ShardId, Time)>, now: Time) {
        if self.heard_at.is_none() {
            self.ceiling = Ceiling::beside_others();
        }
        if others.is_empty() && self.heard_at.is_none() {
            // Nobody can tell it, and whoever starts a machine alone sets its clock: docs/decisions/0020.
            self.far_until = None;
            return;
        }
        self.heard_at = Some(now);
        for (other, said) in others {
            self.ceiling.hear(other, said, now.since(self.began));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_stands_still() {
        let mut clock = Clock { skew: 500, ..Clock::default() };
        assert_eq!(clock.at(Time(1000)), Time(1500));
        clock.skew = -500;
        assert_eq!((clock.at(Time(1100)), clock.at(Time(2100))), (Time(1500), Time(1600)));
    }

    #[test]
    fn a_frozen_clock_thaws() {
        let mut clock = Clock::default();
        assert_eq!(clock.at(Time(10)), Time(10));
        clock.frozen_until = Some(Time(20));
        assert_eq!((clock.at(Time(19)), clock.at(Time(20))), (Time(10), Time(20)));
    }
    #[test]
    fn a_clock_far_ahead_is_held_by_the_others_until_it_is_right() {
        let (mut clock, others) = (Clock::default(), |now| vec![(ShardId(1), Time(now))]);
        clock.restart(Time(500), Time(1_000));
        clock.far_until = Some(Time(20_000));
        clock.hear(others(1_000), Time(1_000));
        assert_eq!((clock.at(Time(1_000)), clock.at(Time(9_000))), (Time(1_500), Time(9_500)));
        assert_eq!(clock.at(Time(20_000)), Time(20_000));
    }
}
