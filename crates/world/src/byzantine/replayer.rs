//! Somebody who recorded what passed, and says it again.

use crate::call::{CallId, Done, Request, Response};
use crate::faults::Kind;
use crate::party::Party;
use crate::queue::Parcel;
use crate::world::World;
use primitives::ShardId;

/// How many calls are remembered; which, chance decides.
const RECORDED_COUNT_MAX: usize = 128;

impl World {
    /// Remembers a call, if somebody may say it again.
    pub(crate) fn record(&mut self, shard: ShardId, request: &Request) {
        let faults = &self.plan.faults;
        let listens = [Kind::Replay, Kind::UnknownKey, Kind::ForgingRelay, Kind::LyingCoordinator];
        let listens = listens.into_iter().any(|kind| faults.pause(kind).is_some());
        if !listens || !request.is_work() {
            return;
        }
        self.prepare_before_homes(shard, request);
        if self.recorded.len() < RECORDED_COUNT_MAX {
            return self.recorded.push((shard, request.clone()));
        }
        let place = self.chaos_dice.below(RECORDED_COUNT_MAX as u64) as usize;
        self.recorded[place] = (shard, request.clone());
    }

    /// Now and then asks a shard that is no home to vote before the homes have (I15 has it wait).
    fn prepare_before_homes(&mut self, home: ShardId, request: &Request) {
        let Request::Prepare(claims) = request else { return };
        let Some(claim) = claims.first().filter(|claim| claim.descriptor.homes.contains(&home)) else { return };
        let others = claim.descriptor.participants.keys().filter(|shard| !claim.descriptor.homes.contains(shard));
        let others: Vec<ShardId> = others.copied().collect();
        if self.plan.faults.pause(Kind::Replay).is_some()
            && self.chaos_dice.chance(100_000)
            && let Some(other) = self.chaos_dice.pick(&others).copied()
        {
            self.call_unrecorded(other, Request::Prepare(vec![claim.clone()]));
        }
    }

    /// Says one of the recorded calls again: mostly where it went, sometimes where it does not belong.
    pub(crate) fn replay(&mut self) -> bool {
        let Some((shard, request)) = self.chaos_dice.pick(&self.recorded).cloned() else { return false };
        let elsewhere = self.chaos_dice.chance(200_000);
        let shard = if elsewhere { ShardId(self.chaos_dice.below(self.shards.len() as u64) as u32) } else { shard };
        self.call_unrecorded(shard, request);
        true
    }

    /// A call of the stranger's that nobody records.
    pub(crate) fn call_unrecorded(&mut self, shard: ShardId, request: Request) -> CallId {
        self.calls += 1;
        let call = CallId(self.calls);
        self.send(Party::Stranger, Party::Shard(shard), Parcel::Request(call, Box::new(request)));
        call
    }

    /// A stranger's call is answered.
    pub(crate) fn stranger_hears(&mut self, call: CallId, response: Response) {
        self.liar_hears(call, &response);
        if self.forged.remove(&call)
            && let Response::Done(items) = &response
            && items.iter().any(|item| matches!(item, Ok(Done::Decided(_) | Done::Delivered { .. })))
        {
            self.watch.violation("R9", format!("what was forged was carried out: {items:?}"));
        }
        if self.plan.faults.kinds().next().is_none() {
            self.answers.insert(call, response);
        }
    }
}
