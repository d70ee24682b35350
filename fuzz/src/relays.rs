//! A relay among shards that are slow, silent, moody and repeat themselves: nothing is lost, nothing runs twice, and when
//! everybody answers, everything is settled (I14).

use crate::choice::Choice;
use crate::sample::{self, Speaker};
use primitives::{Height, Machine, Memory, Millis, ShardId, Time};
use proof::{Delivery, DeliveryStatus, Leaf, LeafKind, Message, MessageId, ReceiptVerifier};
use relay::{
    Answer, Carried, Command, Cursor, Input, Leg, Life, Parcel, Refusal, Relay, Route, Send, Settings, Taken, Ticket,
    dead_letters, routes,
};
use std::collections::{BTreeMap, BTreeSet};

const SHARDS: u32 = 3;

/// Most steps of one run, and steps in which all must be settled once everybody answers.
const STEPS_COUNT_MAX: usize = 100;
const END_STEPS_COUNT_MAX: usize = 3_000;

/// Most messages of one run.
const MESSAGES_COUNT_MAX: u32 = 12;

struct Shard {
    speaker: Speaker,
    ran: BTreeSet<MessageId>,
    settled: BTreeSet<MessageId>,
}

struct World {
    now: Time,
    store: Memory,
    relay: Relay,
    verifier: ReceiptVerifier,
    shards: Vec<Shard>,
    /// Messages said, with their origin and whether a shard has lied about them.
    said: BTreeMap<MessageId, ShardId>,
    lied_about: BTreeSet<MessageId>,
    inputs: Vec<Input>,
    /// What the relay has sent and nobody has answered.
    open: Vec<Send>,
    wake: Option<Time>,
}

/// Answers and failures in the order that the bytes say.
pub fn relay(data: &[u8]) {
    play(data);
}

fn play(data: &[u8]) -> World {
    let mut choice = Choice::new(data);
    let mut world = World::new(&mut choice);
    for _ in 0..STEPS_COUNT_MAX {
        if choice.is_empty() {
            break;
        }
        for _ in 0..choice.below(4) {
            world.happen(&mut choice);
        }
        world.step(choice.below(12));
        world.now = world.now.after(Millis(*choice.of(&[0, 1, 100, 600, 31_000, 61_000])));
    }
    world.end();
    world
}

/// Small bounds, so that they are met.
fn settings(choice: &mut Choice<'_>) -> Settings {
    let mut settings = Settings::new(sample::NETWORK, (0..SHARDS).map(ShardId).collect());
    if choice.once_in(2) {
        (settings.queue_count_max, settings.batch_count_max, settings.page_count_max) = (2, 2, 2);
        (settings.dead_letters_count_max, settings.stuck_count_max, settings.patience_count) = (2, 2, 2);
        settings.ended_count_max = 3;
    }
    settings
}

impl World {
    fn new(choice: &mut Choice<'_>) -> Self {
        let speaker = |shard| Speaker::new(shard, 1);
        let shard = |shard| Shard { speaker: speaker(shard), ran: BTreeSet::new(), settled: BTreeSet::new() };
        let shards: Vec<Shard> = (0..SHARDS).map(shard).collect();
        let store = Memory::default();
        Self {
            now: sample::START,
            relay: Relay::open(settings(choice), &store).expect("an empty store"),
            verifier: sample::verifier(shards.iter().map(|shard| &shard.speaker)),
            store,
            shards,
            said: BTreeMap::new(),
            lied_about: BTreeSet::new(),
            inputs: Vec::new(),
            open: Vec::new(),
            wake: None,
        }
    }

    fn happen(&mut self, choice: &mut Choice<'_>) {
        let (from, to) = (choice.below(self.shards.len()), ShardId(choice.below(self.shards.len()) as u32));
        let route = Route { source: ShardId(from as u32), destination: to };
        match choice.below(10) {
            0 | 1 => self.say(from, to),
            2..=6 => self.answer_one(choice),
            7 => self.inputs.push(Input::News { shard: to }),
            8 => self.submit(choice),
            _ => {
                let any = self.said.keys().nth(choice.below(self.said.len().max(1))).copied();
                let command = match (choice.below(3), any) {
                    (0, _) => Command::Pause(route),
                    (1, Some(message)) => Command::Retry(message),
                    _ => Command::Resume(route),
                };
                self.inputs.push(Input::Command { ticket: Ticket(1), command });
            }
        }
    }

    /// A message in a block of its own, between other leaves.
    fn say(&mut self, from: usize, to: ShardId) {
        let nonce = self.said.len() as u32 + 1;
        if nonce > MESSAGES_COUNT_MAX {
            return;
        }
        let speaker = &mut self.shards[from].speaker;
        let message = sample::message(speaker.id, to, nonce);
        let vote = Leaf { kind: LeafKind::Vote, body: vec![nonce as u8] };
        let leaf = Leaf { kind: LeafKind::Message, body: message.to_bytes() };
        speaker.say(vec![vote.clone(), leaf, vote]);
        self.said.insert(message.id(), speaker.id);
    }

    /// A receipt that a user hands in: of any leaf that there is.
    fn submit(&mut self, choice: &mut Choice<'_>) {
        let speaker = &choice.of(&self.shards).speaker;
        if speaker.blocks.is_empty() {
            return;
        }
        let height = choice.below(speaker.blocks.len());
        let index = choice.below(speaker.blocks[height].2.leaves().len()) as u32;
        let carried = self.carried(speaker, Height(height as u64 + 1), index);
        self.inputs.push(Input::Submit { ticket: Ticket(2), carried });
    }

    fn carried(&self, speaker: &Speaker, height: Height, index: u32) -> Carried {
        Carried::check(&self.verifier, speaker.receipt(height, index).to_bytes()).expect("a sound receipt")
    }

    /// One of the open questions is answered: truly, falsely, twice, or it failed.
    fn answer_one(&mut self, choice: &mut Choice<'_>) {
        if self.open.is_empty() {
            return;
        }
        let place = choice.below(self.open.len());
        let send = if choice.once_in(8) { self.open[place].clone() } else { self.open.swap_remove(place) };
        let input = match (&send, choice.below(8)) {
            (_, 0) => return, // It is lost.
            (Send::FetchOutbox { shard, .. }, 1) => Input::FetchFailed { shard: *shard, reason: "no route".to_owned() },
            (Send::Deliver { batch, .. } | Send::Acknowledge { batch, .. } | Send::Look { batch, .. }, 1) => {
                Input::Unreachable { batch: *batch, reason: "no route".to_owned() }
            }
            (Send::Deliver { batch, parcels, .. } | Send::Acknowledge { batch, parcels, .. }, 2 | 3) => {
                let answers = parcels.iter().filter_map(|parcel| self.false_answer(parcel, choice)).collect();
                Input::Answered { batch: *batch, answers }
            }
            _ => self.answer(send),
        };
        self.inputs.push(input);
    }

    /// A refusal, a lie, or no word about this parcel.
    fn false_answer(&mut self, parcel: &Parcel, choice: &mut Choice<'_>) -> Option<Answer> {
        let message = parcel.message;
        let refused = |refusal| Taken::Refused { refusal, reason: "out of mood".to_owned() };
        let taken = match choice.below(6) {
            0 => return None,
            1 => refused(Refusal::Final),
            2 => Taken::Already(None),
            3 => Taken::Now(None),
            _ => refused(Refusal::Retryable),
        };
        if matches!(taken, Taken::Already(_) | Taken::Now(_)) {
            self.lied_about.insert(message);
        }
        Some(Answer { message, taken })
    }

    fn answer(&mut self, send: Send) -> Input {
        match send {
            Send::FetchOutbox { shard, cursor, count_max } => self.page(shard, cursor, count_max),
            Send::Deliver { batch, shard, parcels } => {
                let answers = parcels.iter().map(|parcel| self.deliver(shard, parcel)).collect();
                Input::Answered { batch, answers }
            }
            Send::Acknowledge { batch, shard, parcels } => {
                let answers = parcels.iter().map(|parcel| self.settle(shard, parcel)).collect();
                Input::Answered { batch, answers }
            }
            Send::Look { batch, shard, leg, messages } => {
                let shard = &self.shards[shard.0 as usize];
                let has = |id| if leg == Leg::Out { shard.ran.contains(id) } else { shard.settled.contains(id) };
                let taken = |id| if has(id) { Taken::Already(None) } else { Taken::Absent };
                let answers = messages.iter().map(|id| Answer { message: *id, taken: taken(id) }).collect();
                Input::Answered { batch, answers }
            }
            Send::TookOver { .. } | Send::Yielded { .. } | Send::Beyond { .. } | Send::Within { .. } => Input::Tick,
        }
    }

    fn page(&self, id: ShardId, cursor: Cursor, count_max: u32) -> Input {
        let speaker = &self.shards[id.0 as usize].speaker;
        let (mut leaves, mut next) = (Vec::new(), Cursor { height: cursor.height.max(Height(1)), ..cursor });
        while let Some((_, _, outbox)) = speaker.blocks.get(next.height.0 as usize - 1) {
            if leaves.len() as u32 >= count_max {
                break;
            }
            match outbox.leaves().get(next.index as usize) {
                Some(leaf) => {
                    if matches!(leaf.kind, LeafKind::Message | LeafKind::Delivery) {
                        leaves.push(self.carried(speaker, next.height, next.index));
                    }
                    next.index += 1;
                }
                None => next = Cursor { height: next.height.next(), index: 0 },
            }
        }
        Input::Page {
            shard: id,
            from: cursor,
            leaves,
            next: next.max(cursor),
            head: Height(speaker.blocks.len() as u64),
        }
    }

    /// A destination consumes a message once, and says so in its outbox.
    fn deliver(&mut self, to: ShardId, parcel: &Parcel) -> Answer {
        let carried = Carried::check(&self.verifier, parcel.receipt.clone()).expect("it was checked before");
        let message = Message::from_fact(carried.fact()).expect("a message");
        assert_eq!(message.destination, proof::domain_of(sample::NETWORK, to), "it came to the wrong shard");
        let shard = &mut self.shards[to.0 as usize];
        let taken = if shard.ran.insert(message.id()) {
            let delivery = Delivery::of(&message, DeliveryStatus::Delivered, b"ok", 21_000);
            let height = shard.speaker.say(vec![Leaf { kind: LeafKind::Delivery, body: delivery.to_bytes() }]);
            let shard = &self.shards[to.0 as usize];
            Taken::Now(Some(self.carried(&shard.speaker, height, 0)))
        } else {
            Taken::Already(None)
        };
        Answer { message: parcel.message, taken }
    }

    fn settle(&mut self, at: ShardId, parcel: &Parcel) -> Answer {
        let carried = Carried::check(&self.verifier, parcel.receipt.clone()).expect("it was checked before");
        let delivery = Delivery::from_fact(carried.fact()).expect("a delivery");
        assert_eq!(delivery.origin, proof::domain_of(sample::NETWORK, at), "it came to the wrong shard");
        let is_new = self.shards[at.0 as usize].settled.insert(delivery.message);
        let taken = if is_new { Taken::Now(None) } else { Taken::Already(None) };
        Answer { message: parcel.message, taken }
    }

    /// One step; sometimes the process dies before its batch, or after it.
    fn step(&mut self, fate: usize) {
        let inputs = std::mem::take(&mut self.inputs);
        let output = self.relay.step(self.now, inputs, &self.store);
        let (dies_before, dies_after) = (fate == 10, fate == 11);
        if !dies_before {
            self.store.commit(&output.writes);
        }
        if dies_before || dies_after {
            return self.reopen();
        }
        self.open.extend(output.sends);
        self.wake = output.wake;
    }

    /// I12: from its store it tells the same of every route.
    fn reopen(&mut self) {
        self.relay = Relay::open(self.settings(), &self.store).expect("its own store");
        let waiting: u64 = routes(&self.store).iter().map(|route| route.queued_count).sum();
        assert!(waiting <= u64::from(2 * MESSAGES_COUNT_MAX), "no more waits than was said");
        self.open.clear();
        self.wake = Some(self.now);
    }

    fn settings(&self) -> Settings {
        // Bounds are not in the store: a restart may find others.
        Settings::new(sample::NETWORK, self.shards.iter().map(|shard| shard.speaker.id).collect())
    }

    /// Every route runs, every dead letter is revived, everybody answers the truth: every message is settled, once.
    fn end(&mut self) {
        self.resume_all();
        for _ in 0..END_STEPS_COUNT_MAX {
            for send in std::mem::take(&mut self.open) {
                let input = self.answer(send);
                self.inputs.push(input);
            }
            self.revive();
            self.step(0);
            if self.is_settled() {
                return;
            }
            let soon = self.now.after(Millis(1));
            if self.open.is_empty() {
                self.now = self.wake.unwrap_or(soon).max(soon).min(self.now.after(Millis(61_000)));
            }
        }
        let missing: Vec<_> = self.said.iter().filter(|(id, from)| !self.is_done(**id, **from)).collect();
        let lives: Vec<Option<Life>> =
            missing.iter().map(|(id, _)| relay::trace(&self.store, **id).map(|trace| trace.life)).collect();
        panic!("never settled: {missing:?} {lives:?}");
    }

    fn resume_all(&mut self) {
        for (source, destination) in
            (0..SHARDS).flat_map(|from| (0..SHARDS).map(move |to| (ShardId(from), ShardId(to))))
        {
            let command = Command::Resume(Route { source, destination });
            self.inputs.push(Input::Command { ticket: Ticket(1), command });
        }
    }

    fn revive(&mut self) {
        for letter in dead_letters(&self.store, None, usize::MAX) {
            let command = Command::Retry(letter.message);
            self.inputs.push(Input::Command { ticket: Ticket(1), command });
        }
    }

    fn is_done(&self, id: MessageId, from: ShardId) -> bool {
        self.lied_about.contains(&id) || self.shards[from.0 as usize].settled.contains(&id)
    }

    fn is_settled(&self) -> bool {
        self.said.iter().all(|(id, from)| self.is_done(*id, *from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds::Stream;

    #[test]
    fn messages_are_settled_and_lied_about() {
        let worlds: Vec<World> = (1..=60).map(|seed| play(&Stream(seed).bytes(400))).collect();
        let settled: usize = worlds.iter().flat_map(|world| &world.shards).map(|shard| shard.settled.len()).sum();
        assert!(settled > 60, "{settled} settled");
        assert!(worlds.iter().any(|world| !world.lied_about.is_empty()));
    }
}
