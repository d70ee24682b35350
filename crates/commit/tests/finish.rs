//! I6, I12: the real coordinator and real participants over a network that loses, doubles and reorders, with crashes at
//! every write. Every attempt ends, on all shards alike; without the coordinator too.

mod world;

use dovetail_commit::coordinator::{
    ATTEMPTS, ATTEMPTS_COUNT_MAX, BeginError, Coordinator, DECISIONS, Input, Objection, Reply, Send, Settings, VOTES,
};
use dovetail_commit::participant::{Action, Record, Step};
use dovetail_commit::{Decision, DecisionProof, Descriptor, Participant, Refusal, VoteProof};
use primitives::{AttemptId, Machine, Millis, ShardId, Time, Verified};
use std::collections::BTreeMap;
use std::sync::Arc;
use world::{Dice, Memory, attempt, believed, no, participant, payload_digest, yes};

#[derive(Debug, Clone)]
enum Message {
    ToShard(ShardId, Send),
    /// A participant asks another.
    Ask(ShardId, ShardId, Descriptor),
    /// The answer to an asking participant.
    Told(ShardId, Verified<VoteProof>),
    ToCoordinator(Input),
}

#[derive(Debug)]
struct Shard {
    participant: Participant,
    records: BTreeMap<AttemptId, Record>,
    rounds: BTreeMap<AttemptId, (u32, Time)>,
    gathered: BTreeMap<AttemptId, BTreeMap<ShardId, Verified<VoteProof>>>,
    applied: BTreeMap<AttemptId, u32>,
}

/// Where the coordinator's process stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crash {
    Never,
    /// In the n-th step that writes: before its batch is synced.
    Before(usize),
    /// In the n-th step that writes: after the sync, before anything is sent.
    After(usize),
}

struct World {
    dice: Dice,
    now: Time,
    store: Memory,
    coordinator: Option<Coordinator>,
    restarts: bool,
    crash: Crash,
    writes: usize,
    shards: Vec<Shard>,
    wires: Vec<Message>,
    lossy: bool,
    replies: Vec<Reply>,
    unready: u64,
}

const SETTINGS: Settings = Settings { resend_min: Millis(200), resend_max: Millis(2_000) };

impl World {
    fn new(seed: u64, shards: u32) -> Self {
        let shards = (0..shards)
            .map(|shard| Shard {
                participant: participant(shard, shards),
                records: BTreeMap::new(),
                rounds: BTreeMap::new(),
                gathered: BTreeMap::new(),
                applied: BTreeMap::new(),
            })
            .collect();
        let store = Memory::default();
        let coordinator = Coordinator::open(SETTINGS, &store).expect("an empty store");
        Self {
            dice: Dice(seed),
            now: Time(1),
            store,
            coordinator: Some(coordinator),
            restarts: true,
            crash: Crash::Never,
            writes: 0,
            shards,
            wires: Vec::new(),
            lossy: true,
            replies: Vec::new(),
            unready: 10,
        }
    }

    fn coordinate(&mut self, inputs: Vec<Input>) {
        let Some(coordinator) = &mut self.coordinator else { return };
        let output = coordinator.step(self.now, inputs, &self.store);
        if !output.writes.is_empty() {
            self.writes += 1;
            if self.crash == Crash::Before(self.writes) {
                return self.stop();
            }
            self.store.write(&output.writes);
            if self.crash == Crash::After(self.writes) {
                return self.stop();
            }
        }
        self.replies.extend(output.replies);
        self.wires.extend(output.sends.into_iter().map(|send| Message::ToShard(send.to(), send)));
    }

    fn stop(&mut self) {
        self.coordinator =
            self.restarts.then(|| Coordinator::open(SETTINGS, &self.store).expect("its own log reads back"));
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::ToCoordinator(input) => self.coordinate(vec![input]),
            Message::ToShard(to, send) => self.arrive(to, send),
            Message::Ask(from, to, descriptor) => {
                let shard = &mut self.shards[to.0 as usize];
                let record = shard.records.get(&descriptor.id());
                if let Ok(step) = shard.participant.abort_request(record, &descriptor, self.now)
                    && let Some(vote) = shard.take(descriptor.id(), step)
                {
                    self.wires.push(Message::Told(from, vote));
                }
            }
            Message::Told(to, vote) => self.told(to, vote),
        }
    }

    fn arrive(&mut self, to: ShardId, send: Send) {
        let unready = self.dice.below(100) < self.unready;
        let (now, shard) = (self.now, &mut self.shards[to.0 as usize]);
        let id = send.attempt();
        let record = shard.records.get(&id);
        let step = match &send {
            Send::Prepare { descriptor, homes, .. } => {
                shard
                    .participant
                    .prepare(record, descriptor, homes, now, || if unready { Err(Refusal::Stale) } else { Ok(()) })
            }
            Send::RequestAbort { descriptor, .. } => shard.participant.abort_request(record, descriptor, now),
            Send::Decide { proof, .. } => shard.participant.decision(record, proof, now),
        };
        let step = step.expect("an honest coordinator is never rejected");
        let vote = shard.take(id, step);
        self.wires.push(Message::ToCoordinator(match (vote, send) {
            (_, Send::Decide { .. }) => Input::Applied { attempt: id, shard: to },
            (Some(vote), _) => Input::Votes(vec![vote]),
            (None, _) => unreachable!("a question is answered with a vote"),
        }));
    }

    fn told(&mut self, to: ShardId, vote: Verified<VoteProof>) {
        let shard = &mut self.shards[to.0 as usize];
        let id = vote.vote.attempt;
        let Some(Record::Prepared { descriptor }) = shard.records.get(&id).cloned() else { return };
        let gathered = shard.gathered.entry(id).or_default();
        gathered.insert(vote.vote.shard, vote);
        let own = shard.participant.query(shard.records.get(&id)).expect("its own vote");
        let votes = gathered.values().cloned().chain([believed(own)]).collect();
        if let Ok(proof) = DecisionProof::new(descriptor, votes) {
            let step = shard.participant.decision(shard.records.get(&id), &proof, self.now).expect("valid");
            shard.take(id, step);
        }
    }

    /// One moment: some messages arrive, some do not, clocks go on.
    fn moment(&mut self) {
        self.now = self.now.after(Millis(50));
        for message in std::mem::take(&mut self.wires) {
            match if self.lossy { self.dice.below(10) } else { 9 } {
                0 | 1 => {}
                2 => {
                    self.deliver(message.clone());
                    self.wires.push(message);
                }
                3 | 4 => self.wires.push(message),
                _ => self.deliver(message),
            }
        }
        self.coordinate(Vec::new());
        for shard in &mut self.shards {
            self.wires.extend(shard.ask(self.now));
        }
    }

    fn run(&mut self, moments: usize) {
        for _ in 0..moments {
            self.moment();
        }
    }

    fn begin(&mut self, number: u32, shards: u32) -> Descriptor {
        let payload: Arc<[u8]> = format!("payload {number}").into_bytes().into();
        let mut descriptor = attempt(shards);
        (descriptor.number, descriptor.payload) = (number, payload_digest(&payload));
        descriptor.deadline = self.now.after(Millis(3_000));
        if number.is_multiple_of(3) {
            descriptor.homes.insert(ShardId(1));
        }
        self.coordinate(vec![Input::Begin { descriptor: descriptor.clone(), payload }]);
        descriptor
    }

    /// How the attempt ended; panics if it did not end, or not alike.
    fn end(&self, descriptor: &Descriptor) -> Option<Decision> {
        let id = descriptor.id();
        let mut ends = Vec::new();
        for place in descriptor.participants.keys() {
            let shard = &self.shards[place.0 as usize];
            let record = shard.records.get(&id);
            assert!(!record.is_some_and(Record::holds_locks), "{id} still holds locks at {place}");
            let applied = shard.applied.get(&id).copied().unwrap_or(0);
            assert_eq!(applied, u32::from(record.and_then(Record::decision) == Some(Decision::Commit)), "I5");
            ends.extend(record.and_then(Record::decision));
        }
        ends.dedup();
        assert!(ends.len() <= 1, "I1: {ends:?}");
        ends.first().copied()
    }
}

impl Shard {
    /// Carries out a step; the vote to answer with.
    fn take(&mut self, id: AttemptId, step: Step) -> Option<Verified<VoteProof>> {
        if let Some(record) = step.write {
            self.records.insert(id, record);
        }
        if step.action == Action::Apply {
            *self.applied.entry(id).or_default() += 1;
        }
        step.answer.map(|answer| believed(answer.vote().clone()))
    }

    fn ask(&mut self, now: Time) -> Vec<Message> {
        let mut asks = Vec::new();
        for (id, record) in &self.records {
            let (round, at) = self.rounds.entry(*id).or_insert((0, Time(0)));
            if now < *at {
                continue;
            }
            if let Some(ask) = self.participant.late(record, *round, now) {
                (*round, *at) = (*round + 1, ask.again);
                let from = self.participant.shard;
                asks.extend(ask.shards.into_iter().map(|to| Message::Ask(from, to, ask.descriptor.clone())));
            }
        }
        asks
    }
}

#[test]
fn every_attempt_ends_alike_over_a_lossy_network() {
    let mut committed = 0;
    for seed in 0..60 {
        let mut world = World::new(seed, 4);
        let attempts: Vec<_> = (1..=5).map(|number| world.begin(number, 2 + number % 3)).collect();
        world.run(120);
        world.lossy = false;
        world.run(1_500);
        for descriptor in &attempts {
            let end = world.end(descriptor);
            assert!(end.is_some());
            committed += usize::from(end == Some(Decision::Commit));
        }
        assert_eq!(world.coordinator.as_ref().expect("up").in_flight(), 0, "all is acknowledged and forgotten");
        assert_eq!(world.store.count(ATTEMPTS) + world.store.count(VOTES), 0);
        assert_eq!(world.store.count(DECISIONS), 5);
    }
    assert!(committed > 20, "only {committed} of 300 committed: the run proves little");
}

#[test]
fn a_coordinator_that_crashes_at_any_write_finishes_what_it_began() {
    for nth in 1..=9 {
        for crash in [Crash::Before(nth), Crash::After(nth)] {
            for seed in 0..5 {
                let mut world = World::new(seed, 4);
                world.crash = crash;
                let attempts: Vec<_> = (1..=3).map(|number| world.begin(number, 4)).collect();
                world.run(60);
                world.lossy = false;
                world.run(1_500);
                for descriptor in &attempts {
                    world.end(descriptor);
                }
                assert_eq!(world.coordinator.as_ref().expect("restarted").in_flight(), 0);
            }
        }
    }
}

#[test]
fn participants_finish_without_the_coordinator() {
    for nth in 1..=6 {
        for crash in [Crash::Before(nth), Crash::After(nth)] {
            for seed in 0..8 {
                let mut world = World::new(seed, 4);
                (world.restarts, world.crash, world.unready) = (false, crash, 0);
                let attempts: Vec<_> = (1..=2).map(|number| world.begin(number, 4)).collect();
                world.run(60);
                world.lossy = false;
                world.run(2_000);
                for descriptor in &attempts {
                    world.end(descriptor);
                }
            }
        }
    }
}

fn alone() -> (Coordinator, Memory, Descriptor) {
    let store = Memory::default();
    (Coordinator::open(Settings::default(), &store).expect("empty"), store, attempt(3))
}

fn begin(descriptor: &Descriptor) -> Input {
    Input::Begin { descriptor: descriptor.clone(), payload: world::PAYLOAD.into() }
}

fn kinds(sends: &[Send]) -> Vec<(u32, &'static str)> {
    sends
        .iter()
        .map(|send| {
            let kind = match send {
                Send::Prepare { .. } => "prepare",
                Send::RequestAbort { .. } => "request abort",
                Send::Decide { .. } => "decide",
            };
            (send.to().0, kind)
        })
        .collect()
}

#[test]
fn homes_are_prepared_first_and_their_votes_go_with_the_rest() {
    let (mut coordinator, store, descriptor) = alone();
    let first = coordinator.step(Time(1), vec![begin(&descriptor)], &store);
    assert_eq!(kinds(&first.sends), [(0, "prepare")]);
    assert!(!first.writes.is_empty(), "the log comes before the prepare");
    let second = coordinator.step(Time(2), vec![Input::Votes(vec![yes(&descriptor, 0)])], &store);
    assert_eq!(kinds(&second.sends), [(1, "prepare"), (2, "prepare")]);
    for send in second.sends {
        let Send::Prepare { homes, .. } = send else { panic!("a prepare") };
        assert_eq!(homes, [yes(&descriptor, 0)]);
    }
    assert_eq!(second.replies, [Reply::HomesReserved { attempt: descriptor.id() }]);
}

#[test]
fn a_home_that_refuses_ends_the_attempt_before_anybody_else_is_asked() {
    let (mut coordinator, store, descriptor) = alone();
    coordinator.step(Time(1), vec![begin(&descriptor)], &store);
    let output = coordinator.step(Time(2), vec![Input::Votes(vec![no(&descriptor, 0)])], &store);
    assert_eq!(output.sends, []);
    assert!(matches!(output.replies[1], Reply::Finished { decision: Decision::Abort, .. }));
    assert_eq!(coordinator.in_flight(), 0);
    assert_eq!(coordinator.decision(descriptor.id()), Some(Decision::Abort));
}

#[test]
fn an_abort_goes_to_those_that_may_hold_a_lock() {
    let (mut coordinator, store, descriptor) = alone();
    coordinator.step(Time(1), vec![begin(&descriptor)], &store);
    coordinator.step(Time(2), vec![Input::Votes(vec![yes(&descriptor, 0)])], &store);
    let output = coordinator.step(Time(3), vec![Input::Votes(vec![no(&descriptor, 1)])], &store);
    assert_eq!(kinds(&output.sends), [(0, "decide"), (2, "decide")], "the one that refused has no lock");
    let applied = |shard| Input::Applied { attempt: descriptor.id(), shard: ShardId(shard) };
    let output = coordinator.step(Time(4), vec![applied(0), Input::Votes(vec![no(&descriptor, 2)])], &store);
    assert!(matches!(output.replies[..], [Reply::Finished { .. }]), "a late no needs no decision either");
}

#[test]
fn past_the_deadline_the_silent_are_asked_to_abort_and_nothing_is_decided() {
    let (mut coordinator, store, descriptor) = alone();
    coordinator.step(Time(1), vec![begin(&descriptor)], &store);
    coordinator.step(Time(2), vec![Input::Votes(vec![yes(&descriptor, 0), yes(&descriptor, 1)])], &store);
    let output = coordinator.step(descriptor.deadline, Vec::new(), &store);
    assert_eq!(kinds(&output.sends), [(2, "request abort")]);
    assert_eq!(output.replies, [], "R4: it decides by votes alone");
    let output = coordinator.step(Time(u64::MAX / 2), Vec::new(), &store);
    assert_eq!((kinds(&output.sends), output.replies), (vec![(2, "request abort")], vec![]));
    let output = coordinator.step(Time(u64::MAX / 2), vec![Input::Votes(vec![yes(&descriptor, 2)])], &store);
    assert!(matches!(&output.replies[..], [Reply::Decided { proof }] if proof.decide() == Decision::Commit));
}

#[test]
fn a_home_that_is_dead_does_not_keep_the_others_waiting_past_the_deadline() {
    let (mut coordinator, store, descriptor) = alone();
    coordinator.step(Time(1), vec![begin(&descriptor)], &store);
    let output = coordinator.step(descriptor.deadline, Vec::new(), &store);
    assert_eq!(kinds(&output.sends), [(0, "request abort"), (1, "request abort"), (2, "request abort")]);
    let output = coordinator.step(descriptor.deadline, vec![Input::Votes(vec![no(&descriptor, 1)])], &store);
    assert!(matches!(&output.replies[..], [Reply::Decided { proof }] if proof.decide() == Decision::Abort));
    assert_eq!(kinds(&output.sends), [(0, "decide")], "it may have locked for a prepare that comes late");
}

#[test]
fn attempts_that_a_dead_participant_never_acknowledges_keep_nobody_from_beginning() {
    let (mut coordinator, store, mut descriptor) = alone();
    let begins = (1..=ATTEMPTS_COUNT_MAX as u32).map(|number| {
        descriptor.number = number;
        begin(&descriptor)
    });
    coordinator.step(Time(1), begins.collect(), &store);
    let decided = vec![Input::Votes((0..3).map(|shard| yes(&descriptor, shard)).collect())];
    coordinator.step(Time(2), decided, &store);
    assert_eq!(coordinator.in_flight(), ATTEMPTS_COUNT_MAX);
    let (now, mut left, mut finished) = (descriptor.deadline, 0, 0);
    for number in 0..20 {
        let (number, deadline) = (ATTEMPTS_COUNT_MAX as u32 + 1 + number, now.after(Millis(5)));
        let output = coordinator.step(now, vec![begin(&Descriptor { number, deadline, ..descriptor.clone() })], &store);
        left += output.replies.iter().filter(|reply| matches!(reply, Reply::Left { .. })).count();
        finished += output.replies.iter().filter(|reply| matches!(reply, Reply::Finished { .. })).count();
        assert!(!output.replies.iter().any(|reply| matches!(reply, Reply::Refused { .. })), "{:?}", output.replies);
    }
    // The order among equal deadlines is by id: the decided one may be among them, or not.
    assert_eq!((left + finished, finished <= 1), (20, true));
    assert_eq!(coordinator.in_flight(), ATTEMPTS_COUNT_MAX);
}

#[test]
fn a_lost_send_is_said_again_with_bounded_backoff() {
    let (mut coordinator, store, mut descriptor) = alone();
    descriptor.deadline = Time(u64::MAX);
    let mut now = Time(1);
    let mut output = coordinator.step(now, vec![begin(&descriptor)], &store);
    for _ in 0..40 {
        assert_eq!(kinds(&output.sends), [(0, "prepare")]);
        let next = output.wake.expect("a timer");
        assert!(next > now && next.since(now) <= Settings::default().resend_max);
        assert_eq!(coordinator.step(Time(next.0 - 1), Vec::new(), &store).sends, [], "not before its time");
        now = next;
        output = coordinator.step(now, Vec::new(), &store);
    }
}

#[test]
fn a_doubled_vote_and_a_vote_of_another_attempt_change_nothing() {
    let (mut coordinator, store, descriptor) = alone();
    let mut other = descriptor.clone();
    other.number = 2;
    coordinator.step(Time(1), vec![begin(&descriptor)], &store);
    let votes = vec![yes(&descriptor, 0), yes(&descriptor, 0), yes(&other, 1), yes(&other, 2), yes(&descriptor, 0)];
    let output = coordinator.step(Time(2), vec![Input::Votes(votes)], &store);
    assert_eq!(kinds(&output.sends), [(1, "prepare"), (2, "prepare")]);
    assert_eq!(output.replies.len(), 1);
}

#[test]
fn a_participant_that_will_never_vote_ends_the_attempt_by_the_others_noes() {
    let (mut coordinator, store, descriptor) = alone();
    coordinator.step(Time(1), vec![begin(&descriptor)], &store);
    coordinator.step(Time(2), vec![Input::Votes(vec![yes(&descriptor, 0)])], &store);
    let object = |objection| Input::Rejected { attempt: descriptor.id(), shard: ShardId(2), objection };
    let later = coordinator.step(Time(3), vec![object(Objection::Later)], &store);
    assert_eq!((later.sends, later.replies), (vec![], vec![]), "later is later");
    let never = coordinator.step(Time(4), vec![object(Objection::Never("no".to_owned()))], &store);
    assert_eq!(kinds(&never.sends), [(1, "request abort"), (2, "request abort")]);
    assert_eq!(never.replies, [], "R4: an objection is not a vote");
    let output = coordinator.step(Time(5), vec![Input::Votes(vec![no(&descriptor, 1)])], &store);
    assert_eq!(kinds(&output.sends), [(0, "decide"), (2, "decide")]);
}

#[test]
fn an_attempt_that_no_silent_participant_will_vote_on_is_abandoned() {
    let (mut coordinator, store, descriptor) = alone();
    coordinator.step(Time(1), vec![begin(&descriptor)], &store);
    coordinator.step(Time(2), vec![Input::Votes(vec![yes(&descriptor, 0), yes(&descriptor, 1)])], &store);
    let never = || {
        let objection = Objection::Never("wrong epoch".to_owned());
        Input::Rejected { attempt: descriptor.id(), shard: ShardId(2), objection }
    };
    coordinator.step(Time(3), vec![never()], &store);
    let output = coordinator.step(Time(4), vec![never()], &store);
    assert!(matches!(output.replies[..], [Reply::Abandoned { shard: ShardId(2), .. }]));
    assert_eq!((coordinator.in_flight(), output.wake), (0, None));
}

#[test]
fn what_cannot_be_an_attempt_is_not_begun() {
    let (mut coordinator, store, descriptor) = alone();
    let mut begin_refused = |descriptor: &Descriptor, payload: Arc<[u8]>| {
        let begin = Input::Begin { descriptor: descriptor.clone(), payload };
        let output = coordinator.step(Time(1), vec![begin], &store);
        assert_eq!((output.writes, output.sends), (vec![], vec![]));
        match output.replies.into_iter().next() {
            Some(Reply::Refused { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    };
    let long = vec![0; dovetail_commit::PAYLOAD_BYTES_MAX + 1].into();
    assert!(matches!(begin_refused(&descriptor, long), BeginError::PayloadTooLong { .. }));
    let mut homeless = descriptor.clone();
    homeless.homes.clear();
    assert!(matches!(begin_refused(&homeless, world::PAYLOAD.into()), BeginError::Descriptor(_)));
    coordinator.step(Time(1), vec![begin(&descriptor)], &store);
    let output = coordinator.step(Time(1), vec![begin(&descriptor)], &store);
    assert!(matches!(output.replies[..], [Reply::Refused { reason: BeginError::Known, .. }]));
}

#[test]
fn attempts_in_flight_are_bounded() {
    let (mut coordinator, store, mut descriptor) = alone();
    descriptor.deadline = Time(u64::MAX);
    let begins = (1..=ATTEMPTS_COUNT_MAX as u32 + 1).map(|number| {
        descriptor.number = number;
        begin(&descriptor)
    });
    let output = coordinator.step(Time(1), begins.collect(), &store);
    assert!(matches!(output.replies[..], [Reply::Refused { reason: BeginError::Busy, .. }]));
    assert_eq!(coordinator.in_flight(), ATTEMPTS_COUNT_MAX);
}

#[test]
fn a_restarted_coordinator_delivers_a_logged_decision_without_asking_for_votes() {
    let (mut coordinator, mut store, descriptor) = alone();
    for (now, input) in
        [(1, begin(&descriptor)), (2, Input::Votes((0..3).map(|shard| yes(&descriptor, shard)).collect()))]
    {
        let output = coordinator.step(Time(now), vec![input], &store);
        store.write(&output.writes);
    }
    let mut restarted = Coordinator::open(Settings::default(), &store).expect("its own log");
    assert_eq!(restarted.decision(descriptor.id()), Some(Decision::Commit));
    let output = restarted.step(Time(3), Vec::new(), &store);
    assert_eq!(kinds(&output.sends), [(0, "decide"), (1, "decide"), (2, "decide")]);
}

#[test]
fn a_damaged_log_is_refused_with_its_place() {
    let mut store = Memory::default();
    store.write(&[primitives::Write::put(ATTEMPTS, vec![1; 32], vec![2; 9])]);
    let error = Coordinator::open(Settings::default(), &store).expect_err("refused");
    assert_eq!(error.space, ATTEMPTS);
    assert!(error.to_string().contains("0x0101"), "{error}");
}
