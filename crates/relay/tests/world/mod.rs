//! A small network in memory: shards that certify what they say and consume what they are given, one store, one relay.

use alloy_primitives::{B256, U256};
use dovetail_relay::{
    Answer, BatchId, Carried, Command, Cursor, Input, Leg, Parcel, Refusal, Relay, Reply, Send, Settings, Taken, Ticket,
};
use primitives::{Digest, Epoch, Height, Machine, NetworkId, Read, ShardId, Space, Time, Write};
use proof::{
    Certificate, Delivery, DeliveryStatus, HEADER_VERSION, Header, History, Leaf, LeafKind, Message, MessageId, Outbox,
    ReceiptVerifier, SecretKey, Signer, ValidatorSet, domain_of,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(crate) const NETWORK: NetworkId = NetworkId(7);

/// When every run begins.
pub(crate) const START: Time = Time(1_000_000);

/// A store in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Store(BTreeMap<(Space, Vec<u8>), Vec<u8>>);

impl Store {
    pub(crate) fn apply(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Put { space, key, value } => self.0.insert((space, key), value),
                Write::Delete { space, key } => self.0.remove(&(space, key)),
            };
        }
    }

    pub(crate) fn count(&self, space: Space) -> usize {
        self.0.keys().filter(|(of, _)| *of == space).count()
    }
}

impl Read for Store {
    fn get(&self, space: Space, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(&(space, key.to_vec())).cloned()
    }

    fn scan(&self, space: Space, prefix: &[u8], from: &[u8], count_max: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let entries = self.0.range((space, from.to_vec())..).take_while(|((of, _), _)| *of == space);
        let entries = entries.filter(|((_, key), _)| key.starts_with(prefix));
        entries.take(count_max).map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }
}

/// How a shard treats a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Refuses,
    RefusesForEver,
    /// Says so often that it is busy, and then takes it.
    BusyTimes(u32),
    /// A key that the message needs stays locked; from this time on the message has expired.
    LockedUntil(Time),
    /// Breaks down over it: the whole batch gets no answer.
    Breaks,
    /// Says that it had it before, and had not.
    Lies,
}

/// A block of a shard.
pub(crate) type Block = (Header, Certificate, Outbox);

pub(crate) struct Shard {
    pub(crate) id: ShardId,
    /// Of the step under way.
    now: Time,
    signer: Signer,
    set: ValidatorSet,
    history: History,
    parent: Digest,
    blocks: Vec<Block>,
    pub(crate) down: bool,
    /// Answers without the receipt of the delivery leaf.
    pub(crate) terse: bool,
    pub(crate) moods: BTreeMap<MessageId, Mood>,
    /// How often each message ran here.
    pub(crate) ran: BTreeMap<MessageId, u32>,
    /// Where it said how each ended.
    told: BTreeMap<MessageId, Cursor>,
    /// How often each delivery was settled here.
    pub(crate) settled: BTreeMap<MessageId, u32>,
    /// Every parcel that was handed over, in order.
    pub(crate) handed: Vec<MessageId>,
    nonce: u32,
}

impl Shard {
    fn new(id: ShardId) -> Self {
        let key = SecretKey::from_bytes(&[id.0 as u8 + 1; 32]).unwrap();
        let set = ValidatorSet::new(Epoch(1), vec![key.public()]).unwrap();
        Self {
            id,
            now: START,
            signer: Signer::new(key, &set).unwrap(),
            set,
            history: History::new(NETWORK, id),
            parent: Header::genesis_parent(NETWORK, id),
            blocks: Vec::new(),
            down: false,
            terse: false,
            moods: BTreeMap::new(),
            ran: BTreeMap::new(),
            told: BTreeMap::new(),
            settled: BTreeMap::new(),
            handed: Vec::new(),
            nonce: 0,
        }
    }

    /// Makes a block that says `leaves`.
    pub(crate) fn say(&mut self, leaves: Vec<Leaf>) {
        let height = Height(self.blocks.len() as u64 + 1);
        let outbox = Outbox::new(NETWORK, self.id, height, leaves).unwrap();
        let header = Header {
            version: HEADER_VERSION,
            network: NETWORK,
            shard: self.id,
            epoch: Epoch(1),
            height,
            parent: self.parent,
            time: self.now,
            settled_through: Time(0),
            ended_before: 0,
            log_root: Digest::new([1; 32]),
            outcome_root: Digest::new([2; 32]),
            outbox_root: outbox.root(),
            outbox_count: outbox.count(),
            history_root: self.history.root(),
            state_root: Digest::new([3; 32]),
            state_height: height,
        };
        let certificate = self.signer.certify(&header).unwrap();
        self.parent = header.digest();
        self.history.append(&self.parent);
        self.blocks.push((header, certificate, outbox));
    }

    pub(crate) fn head(&self) -> Height {
        Height(self.blocks.len() as u64)
    }

    /// Forgets its newest `count` blocks, as a store does that is restored from a copy; gives them away.
    pub(crate) fn lose(&mut self, count: usize) -> Vec<Block> {
        self.blocks.split_off(self.blocks.len() - count)
    }

    /// Has them again.
    pub(crate) fn find(&mut self, lost: Vec<Block>) {
        self.blocks.extend(lost);
    }

    /// A message to `to`, not yet said.
    pub(crate) fn message(&mut self, to: ShardId, body: &[u8]) -> Message {
        self.nonce += 1;
        Message {
            nonce: self.nonce,
            origin: domain_of(NETWORK, self.id),
            sender: B256::left_padding_from(&[0x11; 20]),
            destination: domain_of(NETWORK, to),
            recipient: B256::left_padding_from(&[0x22; 20]),
            body: body.to_vec(),
            gas_limit: 100_000,
            deadline: Time(1_000_000),
            value: U256::ZERO,
        }
    }

    fn receipt(&self, position: Cursor) -> Option<Vec<u8>> {
        let place = usize::try_from(position.height.0.checked_sub(1)?).ok()?;
        let (header, certificate, outbox) = self.blocks.get(place)?;
        outbox.receipt(position.index, header, certificate).ok().map(|receipt| receipt.to_bytes())
    }

    /// The receipt of the last leaf said.
    pub(crate) fn last_receipt(&self) -> Vec<u8> {
        let (header, _, outbox) = self.blocks.last().unwrap();
        self.receipt(Cursor { height: header.height, index: outbox.count() - 1 }).unwrap()
    }

    /// Leaves a relay carries, from `cursor` on, and the first not looked at.
    fn outbox(&self, cursor: Cursor, count_max: u32) -> (Vec<Vec<u8>>, Cursor) {
        let (mut receipts, mut at) = (Vec::new(), Cursor { height: cursor.height.max(Height(1)), ..cursor });
        while let Some((_, _, outbox)) = self.blocks.get(at.height.0 as usize - 1) {
            if receipts.len() as u32 >= count_max {
                break;
            }
            match outbox.leaves().get(at.index as usize) {
                Some(leaf) => {
                    if matches!(leaf.kind, LeafKind::Message | LeafKind::Delivery) {
                        receipts.extend(self.receipt(at));
                    }
                    at.index += 1;
                }
                None => at = Cursor { height: at.height.next(), index: 0 },
            }
        }
        (receipts, at.max(cursor))
    }

    /// Whether it has consumed `id`, or knows how its own message `id` ended.
    fn has(&self, verifier: &ReceiptVerifier, leg: Leg, id: MessageId) -> Taken {
        if leg == Leg::Back {
            return if self.settled.contains_key(&id) { Taken::Already(None) } else { Taken::Absent };
        }
        match self.told.get(&id) {
            Some(position) => {
                let receipt = self.receipt(*position).filter(|_| !self.terse);
                Taken::Already(receipt.map(|receipt| Carried::check(verifier, receipt).unwrap()))
            }
            None => Taken::Absent,
        }
    }

    fn deliver(&mut self, verifier: &ReceiptVerifier, parcels: &[Parcel]) -> Option<Vec<Answer>> {
        let breaks = |parcel: &Parcel| self.moods.get(&parcel.message) == Some(&Mood::Breaks);
        self.handed.extend(parcels.iter().map(|parcel| parcel.message));
        if self.down || parcels.iter().any(breaks) {
            return None;
        }
        let answer = |parcel: &Parcel| Answer { message: parcel.message, taken: self.take(verifier, parcel) };
        Some(parcels.iter().map(answer).collect())
    }

    fn take(&mut self, verifier: &ReceiptVerifier, parcel: &Parcel) -> Taken {
        let refused = |refusal| Taken::Refused { refusal, reason: "out of mood".to_owned() };
        match self.moods.get(&parcel.message) {
            Some(Mood::Refuses) => return refused(Refusal::Retryable),
            Some(Mood::RefusesForEver) => return refused(Refusal::Final),
            Some(Mood::Lies) => return Taken::Already(None),
            Some(Mood::LockedUntil(deadline)) if self.now < *deadline => return refused(Refusal::Retryable),
            Some(Mood::BusyTimes(times)) if *times > 0 => {
                let left = Mood::BusyTimes(times - 1);
                self.moods.insert(parcel.message, left);
                return refused(Refusal::Retryable);
            }
            Some(Mood::LockedUntil(_)) => return self.expire(verifier, parcel),
            Some(Mood::BusyTimes(_) | Mood::Breaks) | None => {}
        }
        let carried = Carried::check(verifier, parcel.receipt.clone()).unwrap();
        if let Ok(delivery) = Delivery::from_fact(carried.fact()) {
            return self.settle(delivery.message);
        }
        let message = Message::from_fact(carried.fact()).unwrap();
        assert_eq!(message.destination, domain_of(NETWORK, self.id), "it came to the wrong shard");
        let id = message.id();
        if self.ran.contains_key(&id) {
            return Taken::Already(None);
        }
        self.ran.insert(id, 1);
        self.end(verifier, &message, DeliveryStatus::Delivered)
    }

    fn expire(&mut self, verifier: &ReceiptVerifier, parcel: &Parcel) -> Taken {
        let carried = Carried::check(verifier, parcel.receipt.clone()).unwrap();
        match Delivery::from_fact(carried.fact()) {
            Ok(delivery) => self.settle(delivery.message),
            Err(_) => self.end(verifier, &Message::from_fact(carried.fact()).unwrap(), DeliveryStatus::Expired),
        }
    }

    fn end(&mut self, verifier: &ReceiptVerifier, message: &Message, status: DeliveryStatus) -> Taken {
        let delivery = Delivery::of(message, status, b"ok", 21_000);
        self.say(vec![Leaf { kind: LeafKind::Delivery, body: delivery.to_bytes() }]);
        self.told.insert(message.id(), Cursor { height: self.head(), index: 0 });
        let proof = Carried::check(verifier, self.last_receipt()).unwrap();
        Taken::Now((!self.terse).then_some(proof))
    }

    fn settle(&mut self, id: MessageId) -> Taken {
        match self.settled.insert(id, 1) {
            None => Taken::Now(None),
            Some(_) => Taken::Already(None),
        }
    }
}

/// Where a run is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The step's batch is lost, and all it would have sent.
    BeforeWrite,
    /// The batch is there; nothing was sent.
    AfterWrite,
    /// All was sent, and no answer came.
    AfterSend,
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) store: Store,
    pub(crate) relay: Relay,
    pub(crate) shards: BTreeMap<ShardId, Shard>,
    pub(crate) replies: Vec<Reply>,
    pub(crate) settings: Settings,
    pub(crate) steps: u64,
    pub(crate) crash: Option<(u64, Crash)>,
    verifier: ReceiptVerifier,
    inputs: VecDeque<Input>,
    /// Every batch that was handed over, in order.
    pub(crate) batches: Vec<(ShardId, Vec<MessageId>)>,
    /// Shards that have lost what was read of them.
    pub(crate) beyond: BTreeSet<ShardId>,
    /// How often this relay took another's place.
    pub(crate) takeovers: usize,
    /// What this relay's host never hands over, and says is refused for now.
    pub(crate) withheld: BTreeSet<MessageId>,
    /// How many receipts it handed over that were answered, and how many of them the receiver had already.
    pub(crate) handed_over: usize,
    pub(crate) redundant: usize,
}

impl World {
    pub(crate) fn new(count: u32) -> Self {
        Self::with(count, |_| {})
    }

    pub(crate) fn with(count: u32, change: impl FnOnce(&mut Settings)) -> Self {
        let shards: BTreeMap<_, _> = (0..count).map(|id| (ShardId(id), Shard::new(ShardId(id)))).collect();
        let mut settings = Settings::new(NETWORK, shards.keys().copied().collect());
        change(&mut settings);
        let store = Store::default();
        let verifier = ReceiptVerifier::with(NETWORK, shards.values().map(|shard| (shard.id, shard.set.clone())));
        Self {
            now: START,
            relay: Relay::open(settings.clone(), &store).unwrap(),
            store,
            shards,
            replies: Vec::new(),
            settings,
            steps: 0,
            crash: None,
            verifier,
            inputs: VecDeque::new(),
            batches: Vec::new(),
            beyond: BTreeSet::new(),
            takeovers: 0,
            withheld: BTreeSet::new(),
            handed_over: 0,
            redundant: 0,
        }
    }

    pub(crate) fn shard(&mut self, id: u32) -> &mut Shard {
        self.shards.get_mut(&ShardId(id)).unwrap()
    }

    /// Says `count` messages from `from` to `to`, each in a block of its own between votes.
    pub(crate) fn dispatch(&mut self, from: u32, to: u32, count: u32) -> Vec<MessageId> {
        let now = self.now;
        let shard = self.shard(from);
        shard.now = now;
        let say = |n: u32| {
            let message = shard.message(ShardId(to), &n.to_be_bytes());
            let vote = Leaf { kind: LeafKind::Vote, body: vec![n as u8] };
            shard.say(vec![vote.clone(), Leaf { kind: LeafKind::Message, body: message.to_bytes() }, vote]);
            message.id()
        };
        (0..count).map(say).collect()
    }

    pub(crate) fn check(&self, receipt: Vec<u8>) -> Carried {
        Carried::check(&self.verifier, receipt).unwrap()
    }

    pub(crate) fn receipt(&self, shard: u32, position: Cursor) -> Vec<u8> {
        self.shards[&ShardId(shard)].receipt(position).unwrap()
    }

    pub(crate) fn give(&mut self, input: Input) {
        self.inputs.push_back(input);
    }

    pub(crate) fn has_inputs(&self) -> bool {
        !self.inputs.is_empty()
    }

    pub(crate) fn command(&mut self, command: Command) -> Reply {
        self.give(Input::Command { ticket: Ticket(1), command });
        self.step();
        self.replies.pop().unwrap()
    }

    pub(crate) fn reopen(&mut self) {
        self.relay = Relay::open(self.settings.clone(), &self.store).unwrap();
        self.inputs.clear();
    }

    /// One step: all inputs that wait, one batch, then everything sent is answered into the next step's inputs.
    /// Gives back when to wake.
    pub(crate) fn step(&mut self) -> Option<Time> {
        let inputs = self.inputs.drain(..).collect();
        let output = self.relay.step(self.now, inputs, &self.store);
        self.steps += 1;
        let crash = self.crash.filter(|(step, _)| *step == self.steps).map(|(_, crash)| crash);
        if crash == Some(Crash::BeforeWrite) {
            self.reopen();
            return Some(self.now);
        }
        self.store.apply(output.writes);
        if crash == Some(Crash::AfterWrite) {
            self.reopen();
            return Some(self.now);
        }
        self.replies.extend(output.replies);
        for send in output.sends {
            let answer = self.carry_out(send);
            self.inputs.push_back(answer);
        }
        if crash == Some(Crash::AfterSend) {
            self.reopen();
            return Some(self.now);
        }
        if self.inputs.is_empty() { output.wake } else { Some(self.now) }
    }

    fn carry_out(&mut self, send: Send) -> Input {
        match send {
            Send::FetchOutbox { shard, cursor, count_max } => self.fetch(shard, cursor, count_max),
            Send::Deliver { batch, shard, parcels } | Send::Acknowledge { batch, shard, parcels } => {
                self.hand_over(batch, shard, &parcels)
            }
            Send::Look { batch, shard, leg, messages } => self.look(batch, shard, leg, &messages),
            Send::TookOver { .. } => {
                self.takeovers += 1;
                Input::Tick
            }
            Send::Yielded { .. } => Input::Tick,
            Send::Beyond { shard, .. } => {
                self.beyond.insert(shard);
                Input::Tick
            }
            Send::Within { shard } => {
                self.beyond.remove(&shard);
                Input::Tick
            }
        }
    }

    fn fetch(&mut self, id: ShardId, cursor: Cursor, count_max: u32) -> Input {
        let shard = &self.shards[&id];
        if shard.down {
            return Input::FetchFailed { shard: id, reason: "connection refused".to_owned() };
        }
        let (receipts, next) = shard.outbox(cursor, count_max);
        let leaves = receipts.into_iter().map(|receipt| self.check(receipt)).collect();
        Input::Page { shard: id, from: cursor, leaves, next, head: shard.head() }
    }

    fn look(&mut self, batch: BatchId, shard: ShardId, leg: Leg, messages: &[MessageId]) -> Input {
        let receiver = &self.shards[&shard];
        if receiver.down {
            return Input::Unreachable { batch, reason: "connection refused".to_owned() };
        }
        let answer = |id: &MessageId| Answer { message: *id, taken: receiver.has(&self.verifier, leg, *id) };
        Input::Answered { batch, answers: messages.iter().map(answer).collect() }
    }

    fn hand_over(&mut self, batch: BatchId, shard: ShardId, parcels: &[Parcel]) -> Input {
        let (withheld, parcels): (Vec<_>, Vec<_>) =
            parcels.iter().cloned().partition(|parcel| self.withheld.contains(&parcel.message));
        self.batches.push((shard, parcels.iter().map(|parcel| parcel.message).collect()));
        let receiver = self.shards.get_mut(&shard).unwrap();
        receiver.now = self.now;
        match receiver.deliver(&self.verifier, &parcels) {
            Some(mut answers) => {
                self.handed_over += answers.len();
                self.redundant += answers.iter().filter(|answer| matches!(answer.taken, Taken::Already(_))).count();
                let refused = || Taken::Refused { refusal: Refusal::Retryable, reason: "withheld".to_owned() };
                answers.extend(withheld.iter().map(|parcel| Answer { message: parcel.message, taken: refused() }));
                Input::Answered { batch, answers }
            }
            None => Input::Unreachable { batch, reason: "connection reset".to_owned() },
        }
    }

    /// How many parcels the largest batch had.
    pub(crate) fn largest_batch(&self) -> usize {
        self.batches.iter().map(|(_, parcels)| parcels.len()).max().unwrap_or(0)
    }

    /// Runs for `millis` of its own time, waking when the relay asks to.
    pub(crate) fn run(&mut self, millis: u64) {
        let end = Time(self.now.0 + millis);
        let mut steps = 0;
        while self.now <= end {
            let wake = self.step().unwrap_or(end);
            steps += 1;
            assert!(steps < 100_000, "the relay does not come to rest");
            if wake > end {
                break;
            }
            self.now = self.now.max(wake);
        }
        self.now = end;
    }

    pub(crate) fn ran(&self, shard: u32) -> BTreeSet<MessageId> {
        self.shards[&ShardId(shard)].ran.keys().copied().collect()
    }

    pub(crate) fn settled(&self, shard: u32) -> BTreeSet<MessageId> {
        self.shards[&ShardId(shard)].settled.keys().copied().collect()
    }
}
