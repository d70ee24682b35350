//! What others may have carried: looked up before it is handed in, and what that says about who carries a lane.

use crate::{
    input::{Answer, BatchId, Send, Taken},
    lane::{LaneId, Posture, Queued},
    peer::{Aim, Batch},
    record::{Leg, shortened},
    relay::{Relay, Step},
};
use primitives::{Millis, Read, ShardId, Time};
use proof::MessageId;
use std::collections::BTreeMap;

/// What the story says when a receiver has a message and its delivery is not here.
const SEEN: &str = "the destination has taken the message from another; its delivery is awaited";

impl LaneId {
    fn took_over(self) -> Send {
        Send::TookOver { from: self.from, to: self.to, leg: self.leg }
    }

    pub(crate) fn yielded(self) -> Send {
        Send::Yielded { from: self.from, to: self.to, leg: self.leg }
    }
}

impl Relay {
    /// Asks `shard` for what is unsure, as much as one look holds.
    pub(crate) fn look<R: Read>(&mut self, shard: ShardId, leg: Leg, step: &mut Step<'_, R>) {
        let allowed = self.peers.get(&shard).and_then(|peer| peer.looks(leg, step.now, &self.settings));
        let Some(count_max) = allowed else { return };
        let parcels = self.unsure_of(shard, leg, count_max, step.now);
        if parcels.is_empty() {
            return;
        }
        for (lane, id) in &parcels {
            if let Some(queued) = self.lane(*lane).get(*id) {
                self.lane(*lane).insert(*id, queued, Posture::UnderWay);
            }
        }
        let batch = BatchId(self.next_batch);
        self.next_batch += 1;
        let messages = parcels.iter().map(|(_, id)| *id).collect();
        step.sends.push(Send::Look { batch, shard, leg, messages });
        let until = step.now.after(self.settings.answer);
        if let Some(peer) = self.peers.get_mut(&shard) {
            peer.begin(batch, Batch { leg, aim: Aim::Look, parcels, until, lone_failures: 0 });
        }
    }

    /// What is to be looked up: of each lane its part, so that a lane with much history holds up no other.
    fn unsure_of(&self, shard: ShardId, leg: Leg, count_max: usize, now: Time) -> Vec<(LaneId, MessageId)> {
        let lanes = self.lanes_in_turn(shard, leg);
        let part = count_max.div_ceil(lanes.len().max(1));
        let unsure = |id: LaneId| {
            let lane = self.lanes.get(&id).into_iter();
            lane.flat_map(move |lane| lane.unsure(now).take(part)).map(move |message| (id, message))
        };
        lanes.into_iter().flat_map(unsure).take(count_max).collect()
    }

    /// A receiver has said which parcels it has.
    pub(crate) fn looked<R: Read>(
        &mut self,
        parcels: Vec<(LaneId, MessageId)>,
        answers: Vec<Answer>,
        step: &mut Step<'_, R>,
    ) {
        let mut answers: BTreeMap<_, _> = answers.into_iter().map(|answer| (answer.message, answer.taken)).collect();
        for (lane, id) in parcels {
            let Some(queued) = self.lane(lane).get(id) else { continue };
            match answers.remove(&id) {
                Some(Taken::Already(proof)) => self.had(lane, (id, queued), proof.as_ref(), step),
                Some(Taken::Absent) => self.absent(lane, id, queued, step),
                // No answer to this question: it is asked again.
                Some(Taken::Now(_) | Taken::Refused { .. }) | None => {
                    self.retry(lane, id, queued, "the receiver does not say whether it has it", step);
                }
            }
        }
    }

    /// Another has carried it.
    fn had<R: Read>(
        &mut self,
        lane: LaneId,
        (id, queued): (MessageId, Queued),
        proof: Option<&crate::Carried>,
        step: &mut Step<'_, R>,
    ) {
        if self.lane(lane).duty.stands_by() {
            self.lane(lane).duty.others_carry(step.now);
        }
        if lane.leg == Leg::Back {
            return self.end(lane, id, "another relay told the origin", step);
        }
        // As with a hand-over: a claim alone is not believed.
        if !proof.is_some_and(|proof| self.take_proof(id, proof, step)) {
            self.retry(lane, id, queued, SEEN, step);
            if let Some(queued) = self.lane(lane).get(id) {
                self.lane(lane).insert(id, queued, Posture::Unsure);
            }
        }
    }

    /// Nobody has carried it: it goes now, unless whoever is before this relay was seen to carry a moment ago. Whoever carries others and
    /// not this has had its time: nobody can keep a message back by being busy.
    fn absent<R: Read>(&mut self, lane: LaneId, id: MessageId, queued: Queued, step: &Step<'_, R>) {
        let (now, duty) = (step.now, self.lane(lane).duty);
        let since = step.draft.record(id).and_then(|record| record.events.last().map(|event| event.time));
        let is_overdue = since.is_some_and(|since| now >= since.after(duty.forbearance()));
        let is_believed = duty.stands_by() && now < duty.believed_until() && !is_overdue;
        let (due, posture) =
            if is_believed { (duty.believed_until(), Posture::Unsure) } else { (now, Posture::Waiting) };
        self.lane(lane).insert(id, Queued { due, ..queued }, posture);
    }

    /// A look came to nothing; what it was about is unsure as before.
    pub(crate) fn unseen(&mut self, parcels: Vec<(LaneId, MessageId)>, reason: &str) {
        for (lane, id) in parcels {
            let Some(queued) = self.lane(lane).get(id) else { continue };
            self.lane(lane).insert(id, queued, Posture::Unsure);
            self.lane(lane).state_mut().last_error = shortened(reason);
        }
    }

    /// What the answer to a hand-over says about who carries here.
    pub(crate) fn learn<R: Read>(&mut self, lane: LaneId, taken: Option<&Taken>, step: &mut Step<'_, R>) {
        match taken {
            Some(Taken::Now(_)) if self.lane(lane).duty.was_needed(step.now) => step.sends.push(lane.took_over()),
            Some(Taken::Already(_)) => self.others_carry(lane, step),
            _ => {}
        }
    }

    /// A delivery was read, attested at `time`: of a message that this relay has not handed over, so another did.
    pub(crate) fn witness<R: Read>(&mut self, back: LaneId, id: MessageId, time: Time, step: &mut Step<'_, R>) {
        let out = LaneId { from: back.to, to: back.from, leg: Leg::Out };
        let is_others = match self.lane(out).posture(id) {
            Some((_, Posture::UnderWay)) => false,
            Some((refusals, _)) => refusals == 0,
            None => self.lane(out).duty.stands_by() && step.draft.record(id).is_none(),
        };
        if is_others && time >= self.returned_at {
            self.others_carry(out, step);
        }
    }

    /// Another carries on `lane`: who carried in its place stands by again, and looks before it sends what it still has.
    fn others_carry<R: Read>(&mut self, lane: LaneId, step: &mut Step<'_, R>) {
        let now = step.now;
        let state = self.lane(lane);
        if state.duty.others_carry(now) {
            let Millis(patience) = state.duty.patience;
            state.doubt(Millis(patience));
            step.sends.push(lane.yielded());
        }
    }
}
