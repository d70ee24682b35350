//! Taking leaves in: from pages of outboxes, from answers, from whoever hands one in.
//!
//! Every way ends in `accept_message` or `accept_delivery`, so that each message is taken in once whatever the way.

use crate::{
    draft::receipt_key,
    input::{Carried, Send, Submission, SubmitError},
    lane::{Cursor, LaneId, Part, Posture, Queued},
    record::{Leg, Life, Record, Stage, shortened},
    relay::{Relay, Step, lanes_from},
    settings::spaces,
};
use primitives::{Height, Read, ShardId};
use proof::{Delivery, DeliveryStatus, Fact, LeafKind, Message, MessageError, MessageId};
use std::collections::BTreeSet;

/// What a relay reads in a leaf.
enum Said {
    Message(Message),
    Delivery(Delivery),
}

impl Said {
    fn of(fact: &Fact) -> Result<Self, MessageError> {
        match fact.leaf.kind {
            LeafKind::Delivery => Delivery::from_fact(fact).map(Self::Delivery),
            LeafKind::Message | LeafKind::Vote | LeafKind::Outcome => Message::from_fact(fact).map(Self::Message),
        }
    }

    /// The domain it is to be carried to.
    fn to(&self) -> u32 {
        match self {
            Self::Message(message) => message.destination,
            Self::Delivery(delivery) => delivery.origin,
        }
    }

    fn id(&self) -> MessageId {
        match self {
            Self::Message(message) => message.id(),
            Self::Delivery(delivery) => delivery.message,
        }
    }
}

/// What came of a fetch.
#[derive(Debug)]
pub(crate) struct Page {
    /// What was asked for.
    pub(crate) from: Cursor,
    /// The leaves.
    pub(crate) leaves: Vec<Carried>,
    /// The first leaf not looked at.
    pub(crate) next: Cursor,
    /// The shard's newest block.
    pub(crate) head: Height,
}

impl Relay {
    /// Takes a page in: each lane from its own cursor on, up to the first leaf it has no room for.
    pub(crate) fn take_page<R: Read>(&mut self, shard: ShardId, page: &Page, step: &mut Step<'_, R>) {
        let Page { from, leaves, next, head } = page;
        let (from, next) = (*from, *next);
        if !self.sources.contains_key(&shard) {
            return;
        }
        if let Some(read) = self.read_beyond(shard, *head) {
            return self.stop_reading(shard, read, *head, step);
        }
        if !is_sound(shard, from, leaves, next) {
            return self.fetch_failed(shard, "the page is not in order, or not of this shard", step);
        }
        self.read_on(shard, step);
        let Some(source) = self.sources.get_mut(&shard) else { return };
        source.answered((from, next), leaves.len(), step.now, &self.settings);
        let mut reading = self.lanes_within(shard, from, next);
        for carried in leaves {
            self.take_leaf(shard, carried, &mut reading, step);
        }
        for (lane, part) in reading {
            self.lane(lane).read_to(part, next);
        }
        self.hear_head(shard, next, *head);
    }

    /// The lanes that have read up to `next` and were away hear how far `shard` has come.
    fn hear_head(&mut self, shard: ShardId, next: Cursor, head: Height) {
        let ahead_max = self.settings.catch_up_blocks_count;
        let ids: Vec<_> = lanes_from(&self.settings, shard).collect();
        for id in ids {
            let lane = self.lane(id);
            if lane.state.cursor == next {
                lane.hear_head(head, ahead_max);
            }
        }
    }

    /// Up to which block `shard` was read, if that is beyond its newest: then its store is older than what it has said.
    fn read_beyond(&self, shard: ShardId, head: Height) -> Option<Height> {
        let front = lanes_from(&self.settings, shard).filter_map(|id| Some(self.lanes.get(&id)?.state.cursor)).max()?;
        let read = if front.index > 0 { front.height } else { Height(front.height.0.saturating_sub(1)) };
        (read > head).then_some(read)
    }

    /// Leaves of the blocks that the shard makes again would be passed over: nothing is taken until it has the old ones.
    fn stop_reading<R: Read>(&mut self, shard: ShardId, read: Height, head: Height, step: &mut Step<'_, R>) {
        let reason = format!(
            "shard {shard} is at block {head}, but was read up to block {read}: its store is older than what it has said"
        );
        self.fetch_failed(shard, &reason, step);
        let Some(source) = self.sources.get_mut(&shard) else { return };
        if source.beyond.replace(reason).is_none() {
            step.sends.push(Send::Beyond { shard, read, head });
        }
    }

    /// The shard has every block that was read, if it had lost some.
    fn read_on<R: Read>(&mut self, shard: ShardId, step: &mut Step<'_, R>) {
        let Some(reason) = self.sources.get_mut(&shard).and_then(|source| source.beyond.take()) else { return };
        let ids: Vec<_> = lanes_from(&self.settings, shard).collect();
        for id in ids {
            if self.lane(id).state.last_error == shortened(&reason) {
                self.lane(id).state_mut().last_error.clear();
            }
        }
        step.sends.push(Send::Within { shard });
    }

    /// The parts of lanes that have room and stand on the page.
    fn lanes_within(&mut self, shard: ShardId, from: Cursor, next: Cursor) -> BTreeSet<(LaneId, Part)> {
        let ids: Vec<_> = lanes_from(&self.settings, shard).collect();
        let within = ids.into_iter().flat_map(|id| {
            let places = self.lane(id).open_places().filter(|(_, cursor)| (from..next).contains(cursor));
            places.map(move |(part, _)| (id, part))
        });
        within.collect()
    }

    fn take_leaf<R: Read>(
        &mut self,
        shard: ShardId,
        carried: &Carried,
        reading: &mut BTreeSet<(LaneId, Part)>,
        step: &mut Step<'_, R>,
    ) {
        // A shard's validators vouch for the leaf; one that is no message all the same is carried nowhere.
        let Ok(said) = Said::of(carried.fact()) else { return };
        let Some(id) = self.lane_for(shard, &said) else { return self.note_unroutable(carried, &said, step) };
        let position = carried.position();
        let lane = self.lane(id);
        let Some(part) = lane.part_of(position).filter(|part| reading.contains(&(id, *part))) else { return };
        if lane.has_room(part) {
            self.accept(id, carried, said, step);
        } else {
            lane.read_to(part, position);
            reading.remove(&(id, part));
        }
    }

    /// The lane that carries what `shard` said, if it leads to a shard this relay knows.
    fn lane_for(&self, shard: ShardId, said: &Said) -> Option<LaneId> {
        let to = proof::shard_of(self.settings.network, said.to())?;
        let leg = match said {
            Said::Message(_) => Leg::Out,
            Said::Delivery(_) => Leg::Back,
        };
        let known = self.settings.shards.contains(&shard) && self.settings.shards.contains(&to);
        known.then_some(LaneId { from: shard, to, leg })
    }

    /// Takes in what someone hands in.
    pub(crate) fn submit<R: Read>(
        &mut self,
        carried: &Carried,
        step: &mut Step<'_, R>,
    ) -> Result<Submission, SubmitError> {
        let fact = carried.fact();
        let said = Said::of(fact)?;
        let id = said.id();
        let lane = self.lane_for(fact.shard, &said).ok_or(SubmitError::NoRoute { domain: said.to() })?;
        if !self.lane(lane).is_open() {
            return Err(SubmitError::Full { from: lane.from, to: lane.to });
        }
        Ok(if self.accept(lane, carried, said, step) { Submission::Accepted(id) } else { Submission::Duplicate(id) })
    }

    /// Takes in the delivery that a destination's answer brought, if it is the one of `message` and there is room.
    pub(crate) fn take_proof<R: Read>(&mut self, message: MessageId, proof: &Carried, step: &mut Step<'_, R>) -> bool {
        let shard = proof.fact().shard;
        let Ok(Said::Delivery(delivery)) = Said::of(proof.fact()) else { return false };
        let said = Said::Delivery(delivery);
        let Some(lane) = self.lane_for(shard, &said).filter(|_| said.id() == message) else { return false };
        self.lane(lane).is_open() && self.accept(lane, proof, said, step)
    }

    fn accept<R: Read>(&mut self, lane: LaneId, carried: &Carried, said: Said, step: &mut Step<'_, R>) -> bool {
        match said {
            Said::Message(message) => self.accept_message(lane, carried, &message, step),
            Said::Delivery(delivery) => self.accept_delivery(lane, carried, &delivery, step),
        }
    }

    fn accept_message<R: Read>(
        &mut self,
        lane: LaneId,
        carried: &Carried,
        message: &Message,
        step: &mut Step<'_, R>,
    ) -> bool {
        let id = message.id();
        let ends = (message.origin, message.destination);
        if step.draft.record(id).is_some_and(|record| (record.source, record.destination) != ends) {
            self.disown(id, step);
        }
        let known = step.draft.record(id);
        // Its delivery may have come first: then only the message itself is news.
        step.draft.put(spaces::MESSAGES, id.0.as_slice(), message.to_bytes());
        let is_again = |record: &Record| record.life == Life::Unroutable || Self::is_given_up(id, record, step);
        if known.as_ref().is_some_and(|record| !is_again(record)) {
            return false;
        }
        let mut record = known.unwrap_or(Record::new(message.origin, message.destination, Life::Out));
        record.life = Life::Out;
        record.tell(step.now, Stage::Accepted, 0, &place_text(carried));
        step.draft.put_record(id, record);
        self.queue_new(lane, id, carried, step);
        true
    }

    fn accept_delivery<R: Read>(
        &mut self,
        lane: LaneId,
        carried: &Carried,
        delivery: &Delivery,
        step: &mut Step<'_, R>,
    ) -> bool {
        let id = delivery.message;
        let known = step.draft.record(id);
        let ends = (delivery.origin, delivery.destination);
        let mut record = known.unwrap_or(Record::new(ends.0, ends.1, Life::Out));
        if (record.source, record.destination) != ends {
            // Another shard than the destination reports on the message: not a word of it.
            return false;
        }
        self.witness(lane, id, carried.fact().time, step);
        match record.life {
            Life::DeadBack if Self::is_given_up(id, &record, step) => {}
            Life::Back | Life::Ended | Life::DeadBack => return false,
            Life::Out | Life::Unroutable => self.end_out(lane, id, step),
            Life::DeadOut => {
                self.exhume(id, step);
                self.end_out(lane, id, step);
            }
        }
        record.life = Life::Back;
        record.status = Some(delivery.status);
        record.tell(step.now, Stage::Delivered, 0, &status_text(delivery, carried));
        step.draft.put_record(id, record);
        self.queue_new(lane, id, carried, step);
        true
    }

    /// Whether an operator gave it up: dead, and no letter any more.
    fn is_given_up<R: Read>(id: MessageId, record: &Record, step: &Step<'_, R>) -> bool {
        matches!(record.life, Life::DeadOut | Life::DeadBack) && step.draft.get(spaces::DEAD, id.0.as_slice()).is_none()
    }

    /// Forgets a delivery that came before its message and was said by a shard that the message was never for.
    fn disown<R: Read>(&mut self, id: MessageId, step: &mut Step<'_, R>) {
        let record = step.draft.record(id);
        self.exhume(id, step);
        if let Some(route) = record.and_then(|record| self.route(record.source, record.destination)) {
            for lane in [LaneId::out(route), LaneId::back(route)] {
                self.lane(lane).remove(id);
                step.draft.delete(spaces::QUEUE, &lane.queue_key(id));
            }
        }
        step.draft.delete_record(id);
        for leg in [Leg::Out, Leg::Back] {
            step.draft.delete_receipt(leg, id);
        }
    }

    /// The way out of a message whose delivery is proven has ended, whoever carried it.
    fn end_out<R: Read>(&mut self, back: LaneId, id: MessageId, step: &mut Step<'_, R>) {
        let out = LaneId { from: back.to, to: back.from, leg: Leg::Out };
        let now = step.now;
        if self.lane(out).remove(id).is_some() {
            self.lane(out).done(now);
        }
        step.draft.delete(spaces::QUEUE, &out.queue_key(id));
        step.draft.delete_receipt(Leg::Out, id);
    }

    fn queue_new<R: Read>(&mut self, lane: LaneId, id: MessageId, carried: &Carried, step: &mut Step<'_, R>) {
        let bytes = carried.receipt().len() as u32;
        let is_old = carried.fact().time < self.returned_at;
        let (due, posture) = self.lane(lane).welcome(step.now, is_old);
        let queued = Queued { due, number: self.draw_number(), refusals: 0, bytes };
        step.draft.put(spaces::RECEIPTS, &receipt_key(lane.leg, id), carried.receipt().to_vec());
        let now = step.now;
        self.lane(lane).state_mut().progress = now;
        self.queue(lane, id, queued, posture, step);
    }

    /// Puts a parcel in its lane's queue, here and in the store.
    pub(crate) fn queue<R: Read>(
        &mut self,
        lane: LaneId,
        id: MessageId,
        queued: Queued,
        posture: Posture,
        step: &mut Step<'_, R>,
    ) {
        step.draft.put_value(spaces::QUEUE, &lane.queue_key(id), &queued);
        self.lane(lane).insert(id, queued, posture);
    }

    /// A message to a domain no route leads to is not carried, and its life says why.
    fn note_unroutable<R: Read>(&mut self, carried: &Carried, said: &Said, step: &mut Step<'_, R>) {
        let Said::Message(message) = said else { return };
        let id = message.id();
        if step.draft.record(id).is_some() {
            return;
        }
        let mut record = Record::new(message.origin, message.destination, Life::Unroutable);
        record.tell(step.now, Stage::Accepted, 0, &place_text(carried));
        let why = format!("no route leads to domain {:#010x}", message.destination);
        record.tell(step.now, Stage::Dead, 0, &why);
        step.draft.put_record(id, record);
        step.draft.put(spaces::MESSAGES, id.0.as_slice(), message.to_bytes());
        self.remember_ended(id, step);
    }

    pub(crate) fn fetch_failed<R: Read>(&mut self, shard: ShardId, reason: &str, step: &mut Step<'_, R>) {
        let Some(source) = self.sources.get_mut(&shard) else { return };
        source.failed(shard, step.now, &self.settings);
        let ids: Vec<_> = lanes_from(&self.settings, shard).collect();
        for id in ids {
            let lane = self.lane(id);
            // A failure that repeats itself is not written again.
            if lane.state.last_error != shortened(reason) {
                lane.state_mut().last_error = shortened(reason);
            }
        }
    }
}

/// Whether a page is what was asked for: of one shard, in order, between its own ends.
fn is_sound(shard: ShardId, from: Cursor, leaves: &[Carried], next: Cursor) -> bool {
    let positions: Vec<_> = leaves.iter().map(Carried::position).collect();
    from <= next
        && leaves.iter().all(|carried| carried.fact().shard == shard)
        && positions.iter().all(|position| (from..next).contains(position))
        && positions.is_sorted_by(|a, b| a < b)
}

fn place_text(carried: &Carried) -> String {
    let Fact { shard, height, index, time, .. } = carried.fact();
    format!("shard {shard}, block {height}, leaf {index}, attested {time}")
}

fn status_text(delivery: &Delivery, carried: &Carried) -> String {
    let status = match delivery.status {
        DeliveryStatus::Delivered => "delivered",
        DeliveryStatus::Failed => "failed",
        DeliveryStatus::Expired => "expired",
    };
    format!("{status}, gas used {}; {}", delivery.gas_used, place_text(carried))
}
