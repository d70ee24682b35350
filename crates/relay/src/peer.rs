//! What is known of a shard as a receiver: what is under way to it, and whether it can be reached.

use crate::{backoff, input::BatchId, lane::LaneId, record::Leg, settings::Settings};
use primitives::{ShardId, Time};
use proof::MessageId;
use std::collections::BTreeMap;

/// What a batch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// To hand its parcels over.
    HandOver,
    /// To learn whether the receiver has them.
    Look,
}

/// A batch under way.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) leg: Leg,
    pub(crate) aim: Aim,
    pub(crate) parcels: Vec<(LaneId, MessageId)>,
    /// When it is taken for lost.
    pub(crate) until: Time,
    /// How often its one parcel failed alone before; zero for one that is under no suspicion.
    pub(crate) lone_failures: u32,
}

/// One receiving shard.
#[derive(Debug)]
pub(crate) struct Peer {
    under_way: BTreeMap<BatchId, Batch>,
    /// Failures since it was last reached.
    failures: u32,
    /// Not before this after a failure.
    due: Time,
    /// The lane that the last batch of each leg began with, so that the next begins after it.
    turns: BTreeMap<Leg, LaneId>,
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self { under_way: BTreeMap::new(), failures: 0, due: Time(0), turns: BTreeMap::new() }
    }

    /// How many parcels a batch of `leg` may carry now; `None`: no batch may go.
    ///
    /// A shard that was not reached is probed with one parcel at a time, so that a parcel that breaks it is found out.
    pub(crate) fn allowance(&self, leg: Leg, now: Time, settings: &Settings) -> Option<usize> {
        if self.failures > 0 {
            return (now >= self.due && self.under_way.is_empty()).then_some(1);
        }
        let under_way = self.batches(leg, Aim::HandOver).count();
        (under_way < settings.batches_under_way_count_max).then_some(settings.batch_count_max)
    }

    /// How many messages of `leg` may be looked up now; `None`: none. One look of each leg is under way at once.
    pub(crate) fn looks(&self, leg: Leg, now: Time, settings: &Settings) -> Option<usize> {
        if self.failures > 0 {
            return (now >= self.due && self.under_way.is_empty()).then_some(1);
        }
        self.batches(leg, Aim::Look).next().is_none().then_some(settings.look_count_max)
    }

    fn batches(&self, leg: Leg, aim: Aim) -> impl Iterator<Item = &Batch> {
        self.under_way.values().filter(move |batch| batch.leg == leg && batch.aim == aim)
    }

    /// Whether a parcel that travels alone is under way.
    pub(crate) fn has_alone(&self) -> bool {
        self.under_way.values().any(|batch| batch.lone_failures > 0)
    }

    pub(crate) fn begin(&mut self, id: BatchId, batch: Batch) {
        if let Some((lane, _)) = batch.parcels.first().filter(|_| batch.aim == Aim::HandOver) {
            self.turns.insert(batch.leg, *lane);
        }
        self.under_way.insert(id, batch);
    }

    /// The lane that the last batch of `leg` began with.
    pub(crate) fn turn(&self, leg: Leg) -> Option<LaneId> {
        self.turns.get(&leg).copied()
    }

    pub(crate) fn end(&mut self, id: BatchId) -> Option<Batch> {
        self.under_way.remove(&id)
    }

    pub(crate) fn is_reached(&self) -> bool {
        self.failures == 0
    }

    pub(crate) fn reached(&mut self) {
        self.failures = 0;
    }

    pub(crate) fn missed(&mut self, shard: ShardId, now: Time, settings: &Settings) {
        self.failures = self.failures.saturating_add(1);
        let name = shard.0.to_le_bytes();
        self.due = now.after(backoff::wait(settings.reach_min, settings.reach_max, &name, self.failures));
    }

    /// How many parcels its batches hold.
    pub(crate) fn parcels_count(&self) -> usize {
        self.under_way.values().map(|batch| batch.parcels.len()).sum()
    }

    /// Batches whose answer is overdue.
    pub(crate) fn overdue(&self, now: Time) -> Vec<BatchId> {
        self.under_way.iter().filter(|(_, batch)| batch.until <= now).map(|(id, _)| *id).collect()
    }

    /// When a parcel of `leg` that is due then can go, if it does not have to wait for an answer first.
    pub(crate) fn wake_to_send(&self, leg: Leg, due: Time, settings: &Settings) -> Option<Time> {
        let then = if self.failures > 0 { due.max(self.due) } else { due };
        self.allowance(leg, then, settings).map(|_| then)
    }

    /// When a message of `leg` that is to be looked up at `due` can be, if it does not have to wait for an answer first.
    pub(crate) fn wake_to_look(&self, leg: Leg, due: Time, settings: &Settings) -> Option<Time> {
        let then = if self.failures > 0 { due.max(self.due) } else { due };
        self.looks(leg, then, settings).map(|_| then)
    }

    /// When the first batch under way is taken for lost.
    pub(crate) fn wake_to_expire(&self) -> Option<Time> {
        self.under_way.values().map(|batch| batch.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::NetworkId;

    fn settings() -> Settings {
        Settings::new(NetworkId(7), [ShardId(0)].into())
    }

    fn batch() -> Batch {
        Batch { leg: Leg::Out, aim: Aim::HandOver, parcels: vec![], until: Time(100), lone_failures: 0 }
    }

    #[test]
    fn batches_under_way_are_bounded_for_each_leg() {
        let (settings, mut peer) = (settings(), Peer::new());
        for id in 0..settings.batches_under_way_count_max as u64 {
            assert_eq!(peer.allowance(Leg::Out, Time(0), &settings), Some(settings.batch_count_max));
            peer.begin(BatchId(id), batch());
        }
        assert_eq!(peer.allowance(Leg::Out, Time(0), &settings), None);
        assert!(peer.allowance(Leg::Back, Time(0), &settings).is_some());
        assert_eq!(peer.overdue(Time(100)).len(), settings.batches_under_way_count_max);
    }

    #[test]
    fn an_unreached_shard_is_probed_with_one_parcel_at_a_time() {
        let (settings, mut peer) = (settings(), Peer::new());
        peer.missed(ShardId(0), Time(0), &settings);
        assert_eq!(peer.allowance(Leg::Out, Time(0), &settings), None);
        let due = peer.wake_to_send(Leg::Out, Time(0), &settings).unwrap();
        assert_eq!(peer.allowance(Leg::Out, due, &settings), Some(1));
        peer.begin(BatchId(0), batch());
        assert_eq!(peer.allowance(Leg::Back, due, &settings), None);
        peer.end(BatchId(0));
        peer.reached();
        assert_eq!(peer.allowance(Leg::Out, due, &settings), Some(settings.batch_count_max));
    }
}
