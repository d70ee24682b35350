//! What this node saw in the last hour, in steps of ten seconds.
//!
//! Promise: bounded: [`STEPS_COUNT_MAX`] steps, [`CAUSES_COUNT_MAX`] causes and [`KEYS_COUNT_MAX`] keys in each. Kept in memory,
//! gone with the process. It is of the submissions that this node took in, and of the blocks that it told.

use coordinator::{Event, Reply};
use primitives::{Millis, ShardId, Time};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How long one step is.
pub(super) const STEP: Millis = Millis(10_000);

/// How many are kept: an hour.
pub(super) const STEPS_COUNT_MAX: usize = 360;

/// Most causes of aborts and refusals that one step tells apart.
const CAUSES_COUNT_MAX: usize = 16;

/// Most keys that one step counts waiting for.
const KEYS_COUNT_MAX: usize = 64;

/// Latencies are counted in classes that each are a quarter longer than the one before: from 1 ms to some 13 minutes.
const CLASSES_COUNT: usize = 64;

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    /// When it began.
    pub(super) begin: Time,
    /// Submissions that committed.
    pub(super) committed: u64,
    /// Submissions that were refused for good.
    pub(super) refused: u64,
    /// Noes to attempts, by cause.
    pub(super) noes: BTreeMap<&'static str, u64>,
    /// How often a submission waited for a key.
    pub(super) waited: BTreeMap<String, u64>,
    /// Transactions that blocks showed.
    pub(super) shown: u64,
    /// Height of each shard's log at the step's last look.
    pub(super) heights: BTreeMap<ShardId, u64>,
    latencies: [u32; CLASSES_COUNT],
}

impl Step {
    fn at(begin: Time) -> Self {
        Self {
            begin,
            committed: 0,
            refused: 0,
            noes: BTreeMap::new(),
            waited: BTreeMap::new(),
            shown: 0,
            heights: BTreeMap::new(),
            latencies: [0; CLASSES_COUNT],
        }
    }

    /// How long `part` per cent of the commits took at most, to a quarter; none without commits.
    pub(super) fn latency(&self, part: u64) -> Option<Millis> {
        let total: u64 = self.latencies.iter().map(|count| u64::from(*count)).sum();
        let wanted = (total * part).div_ceil(100).max(1);
        let mut seen = 0;
        let class = self.latencies.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        });
        class.map(|class| Millis(longest(class)))
    }
}

/// The longest time of a class.
fn longest(class: usize) -> u64 {
    (0..class).fold(1, |longest: u64, _| (longest + longest / 4).max(longest + 1))
}

fn class(millis: Millis) -> usize {
    (0..CLASSES_COUNT - 1).find(|class| millis.0 <= longest(*class)).unwrap_or(CLASSES_COUNT - 1)
}

/// The last hour.
#[derive(Debug, Default)]
pub(crate) struct Hour(Mutex<VecDeque<Step>>);

impl Hour {
    /// Counts what became of a submission that began at `begun`.
    pub(crate) fn note(&self, reply: &Reply, begun: Option<Time>) {
        let mut steps = self.lock();
        let step = step(&mut steps, reply.time);
        match &reply.event {
            Event::Committed(_) => {
                step.committed += 1;
                let took = reply.time.since(begun.unwrap_or(reply.time));
                step.latencies[class(took)] += 1;
            }
            Event::Refused(_) => step.refused += 1,
            Event::Voted { verdict: commit::Verdict::No(refusal), .. } => {
                count(&mut step.noes, refusal.name(), CAUSES_COUNT_MAX);
            }
            Event::Queued { key } => count(&mut step.waited, key.to_string(), KEYS_COUNT_MAX),
            _ => {}
        }
    }

    /// Counts what a block shows.
    pub(super) fn note_block(&self, now: Time, transactions: usize) {
        step(&mut self.lock(), now).shown += transactions as u64;
    }

    /// Notes where a shard is.
    pub(super) fn note_height(&self, now: Time, shard: ShardId, height: u64) {
        step(&mut self.lock(), now).heights.insert(shard, height);
    }

    /// All steps, the oldest first.
    pub(super) fn steps(&self) -> Vec<Step> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Step>> {
        // Each change leaves whole steps behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The step of `now`, or the newest where time has gone back. Steps in which nothing was noted are not there.
fn step(steps: &mut VecDeque<Step>, now: Time) -> &mut Step {
    let begin = Time(now.0 - now.0 % STEP.0);
    if steps.back().is_none_or(|newest| newest.begin < begin) {
        steps.push_back(Step::at(begin));
    }
    let oldest = begin.0.saturating_sub(STEP.0 * (STEPS_COUNT_MAX as u64 - 1));
    while steps.len() > 1 && steps.front().is_some_and(|step| step.begin.0 < oldest) {
        steps.pop_front();
    }
    let newest = steps.len() - 1;
    &mut steps[newest]
}

fn count<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K, count_max: usize) {
    if counts.len() < count_max || counts.contains_key(&key) {
        *counts.entry(key).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator::Ticket;

    fn committed(time: u64) -> Reply {
        let committed = coordinator::Committed {
            outcomes: Vec::new(),
            participants: std::collections::BTreeSet::new(),
            proven_codes: 0,
            proof: None,
        };
        Reply { ticket: Ticket(1), time: Time(time), event: Event::Committed(Box::new(committed)) }
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let hour = Hour::default();
        for step in 0..2 * STEPS_COUNT_MAX as u64 {
            hour.note_block(Time(step * STEP.0 + 3), 2);
        }
        let steps = hour.steps();
        assert_eq!((steps.len(), steps[0].begin.0), (STEPS_COUNT_MAX, STEPS_COUNT_MAX as u64 * STEP.0));
        assert!(steps.iter().all(|step| step.shown == 2));
    }

    #[test]
    fn latencies_are_told_to_a_quarter() {
        let hour = Hour::default();
        for took in [10, 20, 30, 40, 1_000] {
            hour.note(&committed(100_000 + took), Some(Time(100_000)));
        }
        let step = hour.steps().pop().unwrap();
        let median = step.latency(50).unwrap().0;
        assert!((30..=38).contains(&median), "{median}");
        assert!((1_000..=1_250).contains(&step.latency(99).unwrap().0));
        assert_eq!(Step::at(Time(0)).latency(50), None);
    }

    #[test]
    fn time_that_goes_back_is_counted_where_it_was() {
        let hour = Hour::default();
        hour.note_block(Time(50_000), 1);
        hour.note_block(Time(10_000), 1);
        assert_eq!(hour.steps().iter().map(|step| (step.begin.0, step.shown)).collect::<Vec<_>>(), [(50_000, 2)]);
    }

    #[test]
    fn causes_and_keys_beyond_their_bound_are_not_counted() {
        let mut counts = BTreeMap::new();
        for key in 0..100 {
            count(&mut counts, key, 10);
            count(&mut counts, 3, 10);
        }
        assert_eq!((counts.len(), counts[&3]), (10, 100 + 1 - 3 + 3));
    }
}
