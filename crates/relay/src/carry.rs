//! Sending what waits, and settling what was answered.

use crate::{
    backoff,
    draft::receipt_key,
    input::{Answer, BatchId, Parcel, Refusal, Send, Taken},
    lane::{LaneId, Posture, Queued},
    peer::{Aim, Batch},
    record::{DeadLetter, Leg, Life, Stage, shortened},
    relay::{Relay, Step},
    settings::{Settings, spaces},
};
use primitives::{Read, ShardId, Time};
use proof::MessageId;
use std::collections::BTreeMap;

/// What the story says when a destination claims a message without proof of its delivery.
const AWAITED: &str = "the destination says it has taken the message; its delivery is awaited";

impl Relay {
    /// Sends what is due, to every shard that can be sent to: deliveries home first, since they end lives.
    pub(crate) fn carry<R: Read>(&mut self, step: &mut Step<'_, R>) {
        let shards: Vec<_> = self.peers.keys().copied().collect();
        for shard in shards {
            for leg in [Leg::Back, Leg::Out] {
                while let Some(batch) = self.assemble(shard, leg, step.now) {
                    self.send(shard, batch, step);
                }
                self.look(shard, leg, step);
            }
        }
    }

    /// The next batch for `to`, if one may go and something is due.
    fn assemble(&self, to: ShardId, leg: Leg, now: Time) -> Option<Batch> {
        let peer = self.peers.get(&to)?;
        let count_max = peer.allowance(leg, now, &self.settings)?;
        let lanes = self.lanes_in_turn(to, leg);
        let until = now.after(self.settings.answer);
        let alone = || {
            let (lane, id, lone_failures) = self.first_alone(&lanes, now).filter(|_| !peer.has_alone())?;
            Some(Batch { leg, aim: Aim::HandOver, parcels: vec![(lane, id)], until, lone_failures })
        };
        let shared = || {
            let parcels = self.fair_share(&lanes, count_max, now);
            (!parcels.is_empty()).then_some(Batch { leg, aim: Aim::HandOver, parcels, until, lone_failures: 0 })
        };
        // A receiver that is missed is looked for with what is under no suspicion, if there is any.
        if peer.is_reached() { alone().or_else(shared) } else { shared().or_else(alone) }
    }

    /// The lanes that lead to `to` and may carry, beginning after the one that began last time.
    pub(crate) fn lanes_in_turn(&self, to: ShardId, leg: Leg) -> Vec<LaneId> {
        let ids = self.settings.shards.iter().map(|from| LaneId { from: *from, to, leg });
        let mut ids: Vec<_> = ids.filter(|id| self.lanes.get(id).is_some_and(|lane| !lane.is_paused())).collect();
        let last = self.peers.get(&to).and_then(|peer| peer.turn(leg));
        let start = ids.iter().position(|id| last.is_none_or(|last| *id > last)).unwrap_or(0);
        ids.rotate_left(start);
        ids
    }

    fn first_alone(&self, lanes: &[LaneId], now: Time) -> Option<(LaneId, MessageId, u32)> {
        lanes.iter().find_map(|id| self.lanes.get(id)?.first_alone(now).map(|(message, n)| (*id, message, n)))
    }

    /// What is due, one parcel of each lane in turn, up to the bounds of a batch.
    fn fair_share(&self, lanes: &[LaneId], count_max: usize, now: Time) -> Vec<(LaneId, MessageId)> {
        let due = |id: &LaneId| self.lanes.get(id).into_iter().flat_map(move |lane| lane.waiting(now)).fuse();
        let mut queues: Vec<_> = lanes.iter().map(|id| (*id, due(id))).collect();
        let (mut parcels, mut bytes) = (Vec::new(), 0);
        loop {
            let before = parcels.len();
            for (lane, queue) in &mut queues {
                let Some((id, place)) = queue.next() else { continue };
                bytes += place.bytes as usize;
                let full = parcels.len() >= count_max || bytes > self.settings.batch_bytes_max;
                if full && !parcels.is_empty() {
                    return parcels;
                }
                parcels.push((*lane, id));
            }
            if parcels.len() == before {
                return parcels;
            }
        }
    }

    fn send<R: Read>(&mut self, shard: ShardId, batch: Batch, step: &mut Step<'_, R>) {
        let mut parcels = Vec::new();
        for (lane, id) in &batch.parcels {
            let Some(queued) = self.lane(*lane).get(*id) else { continue };
            let Some(receipt) = step.draft.get(spaces::RECEIPTS, &receipt_key(batch.leg, *id)) else {
                self.die(*lane, *id, queued, "its receipt is not in the relay's store", step);
                continue;
            };
            self.lane(*lane).insert(*id, queued, Posture::UnderWay);
            let stage = if batch.leg == Leg::Out { Stage::Sent } else { Stage::Acknowledging };
            let (now, attempt) = (step.now, queued.refusals + 1);
            step.draft.change_record(*id, |record| record.tell(now, stage, attempt, ""));
            parcels.push(Parcel { message: *id, receipt });
        }
        if parcels.is_empty() {
            return;
        }
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        step.sends.push(match batch.leg {
            Leg::Out => Send::Deliver { batch: id, shard, parcels },
            Leg::Back => Send::Acknowledge { batch: id, shard, parcels },
        });
        if let Some(peer) = self.peers.get_mut(&shard) {
            peer.begin(id, batch);
        }
    }

    /// Settles each parcel of a batch by what its receiver said of it. An answer to no batch says nothing new: what it
    /// was about is sent again and answered "already".
    pub(crate) fn answered<R: Read>(&mut self, id: BatchId, answers: Vec<Answer>, step: &mut Step<'_, R>) {
        let Some((shard, batch)) = self.end_batch(id) else { return };
        if let Some(peer) = self.peers.get_mut(&shard) {
            peer.reached();
        }
        if batch.aim == Aim::Look {
            return self.looked(batch.parcels, answers, step);
        }
        let mut answers: BTreeMap<_, _> = answers.into_iter().map(|answer| (answer.message, answer.taken)).collect();
        for (lane, message) in batch.parcels {
            // What is no longer in the queue was settled otherwise meanwhile.
            let Some(queued) = self.lane(lane).get(message) else { continue };
            let taken = answers.remove(&message);
            self.learn(lane, taken.as_ref(), step);
            match (lane.leg, taken) {
                (Leg::Out, Some(Taken::Now(proof) | Taken::Already(proof))) => {
                    // A claim alone is not believed: only the delivery leaf ends the way out.
                    if !proof.is_some_and(|proof| self.take_proof(message, &proof, step)) {
                        self.retry(lane, message, queued, AWAITED, step);
                    }
                }
                (Leg::Back, Some(Taken::Now(_))) => self.end(lane, message, "", step),
                (Leg::Back, Some(Taken::Already(_))) => self.end(lane, message, "the origin had it before", step),
                (leg, Some(Taken::Refused { refusal: Refusal::Over, reason })) => {
                    step.draft.delete_receipt(leg, message);
                    self.end(lane, message, &reason, step);
                }
                (_, Some(Taken::Refused { refusal: Refusal::Final, reason })) => {
                    let refusals = queued.refusals.saturating_add(1);
                    self.die(lane, message, Queued { refusals, ..queued }, &reason, step);
                }
                (_, Some(Taken::Refused { refusal: Refusal::Retryable, reason })) => {
                    self.retry(lane, message, queued, &reason, step);
                }
                (_, None | Some(Taken::Absent)) => self.retry(lane, message, queued, "the answer leaves it out", step),
            }
        }
    }

    fn end_batch(&mut self, id: BatchId) -> Option<(ShardId, Batch)> {
        self.peers.iter_mut().find_map(|(shard, peer)| peer.end(id).map(|batch| (*shard, batch)))
    }

    /// Takes a batch back whose receiver was not reached. That counts against the receiver, not against the parcels;
    /// but a parcel that was alone in it stays alone until it is answered, since the fault may be its own.
    pub(crate) fn unreachable<R: Read>(&mut self, id: BatchId, reason: &str, step: &mut Step<'_, R>) {
        let Some((shard, batch)) = self.end_batch(id) else { return };
        let now = step.now;
        if let Some(peer) = self.peers.get_mut(&shard) {
            peer.missed(shard, now, &self.settings);
        }
        if batch.aim == Aim::Look {
            return self.unseen(batch.parcels, reason);
        }
        let alone = batch.parcels.len() == 1;
        let failures = batch.lone_failures + 1;
        for (lane, message) in batch.parcels {
            let Some(mut queued) = self.lane(lane).get(message) else { continue };
            let posture = if alone { Posture::Alone(failures) } else { Posture::Waiting };
            if alone {
                let Settings { reach_min, reach_max, .. } = self.settings;
                queued.due = now.after(backoff::wait(reach_min, reach_max, message.0.as_slice(), failures));
            }
            self.queue(lane, message, queued, posture, step);
            self.lane(lane).state_mut().last_error = shortened(reason);
            step.draft.change_record(message, |record| {
                record.tell(now, Stage::Retrying, queued.refusals + 1, reason);
            });
        }
    }

    /// Takes batches back whose answer is overdue.
    pub(crate) fn expire<R: Read>(&mut self, step: &mut Step<'_, R>) {
        let overdue: Vec<_> = self.peers.values().flat_map(|peer| peer.overdue(step.now)).collect();
        for id in overdue {
            self.unreachable(id, "no answer in time", step);
        }
    }

    /// Has a refused parcel wait for its next try. However often that happens its life goes on: who is busy or holds a
    /// lock must not be able to end it (I14). After its deadline its destination needs no lock to say that it has expired.
    pub(crate) fn retry<R: Read>(
        &mut self,
        lane: LaneId,
        id: MessageId,
        queued: Queued,
        reason: &str,
        step: &mut Step<'_, R>,
    ) {
        let refusals = queued.refusals.saturating_add(1);
        let queued = Queued { refusals, ..queued };
        let settings = &self.settings;
        let wait = backoff::wait(settings.retry_min, settings.retry_max, id.0.as_slice(), refusals);
        let (now, due) = (step.now, step.now.after(wait));
        let posture = self.lane(lane).again();
        self.queue(lane, id, Queued { due, ..queued }, posture, step);
        self.lane(lane).state_mut().last_error = shortened(reason);
        step.draft.change_record(id, |record| record.tell(now, Stage::Retrying, refusals, reason));
    }

    /// Gives a parcel up that was refused for good: it becomes a dead letter, receipt and all, until an operator revives
    /// it. No dead letter is forgotten.
    fn die<R: Read>(&mut self, lane: LaneId, id: MessageId, queued: Queued, reason: &str, step: &mut Step<'_, R>) {
        self.lane(lane).remove(id);
        step.draft.delete(spaces::QUEUE, &lane.queue_key(id));
        self.lane(lane).state_mut().last_error = shortened(reason);
        let Some(mut record) = step.draft.record(id) else { return };
        let letter = DeadLetter {
            message: id,
            source: record.source,
            destination: record.destination,
            leg: lane.leg,
            refusals: queued.refusals,
            reason: shortened(reason),
            time: step.now,
            bytes: queued.bytes,
            number: self.draw_number(),
        };
        record.life = if lane.leg == Leg::Out { Life::DeadOut } else { Life::DeadBack };
        record.tell(step.now, Stage::Dead, 0, reason);
        step.draft.put_record(id, record);
        step.draft.put_value(spaces::DEAD, id.0.as_slice(), &letter);
        self.lane(lane).bury(&letter);
        if self.lane(lane).is_full_of_dead() {
            let text = format!("this lane is full of dead letters and reads no further; the last one: {reason}");
            self.lane(lane).state_mut().last_error = shortened(&text);
        }
    }

    /// Takes a message out of the dead letters.
    pub(crate) fn exhume<R: Read>(&mut self, id: MessageId, step: &mut Step<'_, R>) -> Option<(LaneId, DeadLetter)> {
        let letter: DeadLetter = step.draft.value(spaces::DEAD, id.0.as_slice())?;
        let lane = self.lane_of_letter(&letter)?;
        step.draft.delete(spaces::DEAD, id.0.as_slice());
        self.lane(lane).exhume(&letter);
        Some((lane, letter))
    }

    /// The origin has the delivery: the message's life is over.
    pub(crate) fn end<R: Read>(&mut self, lane: LaneId, id: MessageId, detail: &str, step: &mut Step<'_, R>) {
        let now = step.now;
        self.lane(lane).remove(id);
        self.lane(lane).done(now);
        step.draft.delete(spaces::QUEUE, &lane.queue_key(id));
        step.draft.delete_receipt(Leg::Back, id); // That of the way out went when the delivery came.
        step.draft.change_record(id, |record| {
            record.life = Life::Ended;
            record.tell(now, Stage::Acknowledged, 0, detail);
        });
        self.remember_ended(id, step);
    }

    /// Counts `id` among the ended and forgets the oldest of them past the bound.
    pub(crate) fn remember_ended<R: Read>(&mut self, id: MessageId, step: &mut Step<'_, R>) {
        let number = self.identity.ended_next;
        self.identity.ended_next += 1;
        step.draft.put_value(spaces::ENDED, &number.to_be_bytes(), &id);
        step.draft.change_record(id, |record| record.ended = Some(number));
        while self.identity.ended_next - self.identity.ended_first > self.settings.ended_count_max {
            let number = self.identity.ended_first;
            self.identity.ended_first += 1;
            forget_ended(number, step);
        }
    }

    /// When something can be sent, or is to be taken for lost, without an answer coming first.
    pub(crate) fn wake_to_carry(&self) -> Option<Time> {
        let wakes = self.peers.iter().flat_map(|(shard, peer)| {
            let sends = [Leg::Back, Leg::Out].into_iter().filter_map(move |leg| {
                let lanes = self.lanes_in_turn(*shard, leg);
                let lanes = lanes.iter().filter_map(|id| self.lanes.get(id));
                let due = lanes.filter_map(|lane| {
                    let alone = lane.next_alone().filter(|_| !peer.has_alone());
                    lane.next_waiting().into_iter().chain(alone).min()
                });
                due.min().and_then(|due| peer.wake_to_send(leg, due, &self.settings))
            });
            let looks = [Leg::Back, Leg::Out].into_iter().filter_map(move |leg| {
                let lanes = self.lanes_in_turn(*shard, leg);
                let due = lanes.iter().filter_map(|id| self.lanes.get(id)?.next_unsure()).min();
                due.and_then(|due| peer.wake_to_look(leg, due, &self.settings))
            });
            sends.chain(looks).chain(peer.wake_to_expire())
        });
        wakes.min()
    }
}

/// Forgets the message that ended as number `number`, unless it lives again or ended again since.
fn forget_ended<R: Read>(number: u64, step: &mut Step<'_, R>) {
    let key = number.to_be_bytes();
    let id: Option<MessageId> = step.draft.value(spaces::ENDED, &key);
    step.draft.delete(spaces::ENDED, &key);
    let Some((id, record)) = id.and_then(|id| step.draft.record(id).map(|record| (id, record))) else { return };
    if record.ended == Some(number) && matches!(record.life, Life::Ended | Life::Unroutable) {
        step.draft.delete_record(id);
    }
}
