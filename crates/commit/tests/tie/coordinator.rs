//! Every state that the model's coordinator can be in and every event in it, put to the coordinator that runs.
//!
//! The code's coordinator shows what it knows by what it says when its timer rings, so that is compared: after a vote, an
//! acknowledgement, its deadline, and a restart from its store.

use super::participant::{described, votes};
use crate::protocol::coordinator::{Coordinator as Text, Outcome, Says, Shards, Stage};
use crate::protocol::rules::Vote;
use crate::protocol::state::{ALL, SHARDS};
use crate::world::{DEADLINE, Memory, PAYLOAD};
use dovetail_commit::coordinator::{ATTEMPTS, Coordinator, Input, Reply, Send, Settings, VOTES};
use dovetail_commit::{Decision, Descriptor};
use primitives::{Machine, Millis, ShardId, Time};
use std::collections::{BTreeMap, VecDeque};

/// Its timer rings each millisecond, so that there is time for many events before the deadline.
const SETTINGS: Settings = Settings { resend_min: Millis(1), resend_max: Millis(1) };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Begin,
    TimerRings,
    DeadlinePasses,
    Hear { shard: u8, vote: Vote },
    Acknowledged { shard: u8 },
    Crash,
}

/// Compares all of it; how many states and steps there were.
pub fn assert_fits() -> (usize, usize) {
    let (mut states, mut steps) = (0, 0);
    for homes in [0b001, 0b011] {
        let shards = Shards { all: ALL, homes };
        let ways = reachable(shards);
        for (state, way) in &ways {
            for event in events() {
                Rig::new(shards).goes(way).assert_step(*state, event);
                steps += 1;
            }
        }
        states += ways.len();
    }
    (states, steps)
}

fn events() -> Vec<Event> {
    let mut events = vec![Event::Begin, Event::TimerRings, Event::DeadlinePasses, Event::Crash];
    for shard in 0..SHARDS as u8 {
        events.extend([Vote::Yes, Vote::No].map(|vote| Event::Hear { shard, vote }));
        events.push(Event::Acknowledged { shard });
    }
    events
}

/// The states that any order of events leads to, each with a shortest way there.
fn reachable(shards: Shards) -> BTreeMap<Text, Vec<Event>> {
    let mut ways = BTreeMap::from([(Text::default(), Vec::new())]);
    let mut queue = VecDeque::from([Text::default()]);
    while let Some(state) = queue.pop_front() {
        for event in events() {
            let next = by_text(shards, state, event);
            if !ways.contains_key(&next) {
                let way = [ways[&state].as_slice(), &[event]].concat();
                ways.insert(next, way);
                queue.push_back(next);
            }
        }
    }
    ways
}

fn by_text(shards: Shards, state: Text, event: Event) -> Text {
    match event {
        Event::Begin if state.stage == Stage::Idle => state.begin(),
        Event::Begin | Event::TimerRings => state,
        Event::DeadlinePasses => Text { expired: true, ..state },
        Event::Hear { shard, vote } => state.hear(shards, shard, vote),
        Event::Acknowledged { shard } => state.acknowledged(shard),
        Event::Crash => state.recovered(shards),
    }
}

/// Whether the event makes it speak at once: something new is to be said, or its timer rings.
fn speaks(shards: Shards, before: Text, after: Text, event: Event) -> bool {
    let reserved = |text: Text| text.stage == Stage::Voting && shards.homes & !text.yes == 0;
    let decides = matches!((before.stage, after.stage), (Stage::Voting, Stage::Deciding(_)));
    match event {
        Event::Begin => before.stage == Stage::Idle,
        Event::TimerRings | Event::Crash => true,
        Event::DeadlinePasses => !before.expired,
        Event::Hear { .. } => decides || reserved(before) != reserved(after),
        Event::Acknowledged { .. } => false,
    }
}

/// The running coordinator with its store.
struct Rig {
    shards: Shards,
    descriptor: Descriptor,
    coordinator: Coordinator,
    store: Memory,
    now: Time,
    text: Text,
}

impl Rig {
    fn new(shards: Shards) -> Self {
        let store = Memory::default();
        let coordinator = Coordinator::open(SETTINGS, &store).expect("an empty store");
        let descriptor = described(shards.homes);
        Self { shards, descriptor, coordinator, store, now: Time(1), text: Text::default() }
    }

    fn goes(mut self, way: &[Event]) -> Self {
        for event in way {
            self.assert_step(self.text, *event);
        }
        self
    }

    /// Takes one step on both sides and compares.
    fn assert_step(&mut self, before: Text, event: Event) {
        assert_eq!(self.text, before);
        let after = by_text(self.shards, before, event);
        let said = self.by_code(event);
        let expected =
            if speaks(self.shards, before, after, event) { after.says(self.shards) } else { Says::default() };
        assert_eq!(said, expected, "{before:?} {event:?}");
        self.assert_same(after, &format!("{before:?} {event:?}"));
        self.text = after;
    }

    fn assert_same(&self, text: Text, after: &str) {
        let in_flight = usize::from(matches!(text.stage, Stage::Voting | Stage::Deciding(_)));
        assert_eq!(self.coordinator.in_flight(), in_flight, "{after}");
        assert_eq!(self.store.count(ATTEMPTS), in_flight, "{after}");
        let decided = usize::from(matches!(text.stage, Stage::Deciding(_)));
        assert_eq!(self.store.count(VOTES), decided, "{after}");
        let decision = self.coordinator.decision(self.descriptor.id());
        match text.stage {
            Stage::Idle | Stage::Voting => assert_eq!(decision, None, "{after}"),
            Stage::Deciding(Outcome { commit, .. }) => {
                assert_eq!(decision, Some(if commit { Decision::Commit } else { Decision::Abort }), "{after}");
            }
            Stage::Forgotten => assert!(decision.is_some(), "{after}"),
        }
    }

    fn by_code(&mut self, event: Event) -> Says {
        let id = self.descriptor.id();
        let vote = |shard: u8, vote| match vote {
            Vote::Yes => votes(&self.descriptor, 1 << shard, 0),
            Vote::No => votes(&self.descriptor, 0, 1 << shard),
        };
        let input = match event {
            Event::Begin => Some(Input::Begin { descriptor: self.descriptor.clone(), payload: PAYLOAD.into() }),
            Event::Hear { shard, vote: said } => Some(Input::Votes(vote(shard, said))),
            Event::Acknowledged { shard } => Some(Input::Applied { attempt: id, shard: ShardId(shard.into()) }),
            Event::TimerRings => {
                self.now = self.now.after(Millis(1));
                None
            }
            Event::DeadlinePasses => {
                self.now = self.now.max(DEADLINE);
                None
            }
            Event::Crash => {
                self.coordinator = Coordinator::open(SETTINGS, &self.store).expect("its own store");
                None
            }
        };
        let out = self.coordinator.step(self.now, input.into_iter().collect(), &self.store);
        self.store.write(&out.writes);
        if event == Event::Begin && self.text.stage != Stage::Idle {
            assert!(matches!(out.replies[..], [Reply::Refused { .. }]), "{:?}", out.replies);
        }
        out.sends.iter().fold(Says::default(), |says, send| self.with(says, send))
    }

    fn with(&self, mut says: Says, send: &Send) -> Says {
        let bit = 1 << send.to().0;
        assert_eq!(send.attempt(), self.descriptor.id());
        match send {
            Send::Prepare { to, homes, .. } => {
                let expected = if self.descriptor.homes.contains(to) { 0 } else { self.descriptor.homes.len() };
                assert_eq!(homes.len(), expected, "R11: whoever is no home sees that the fee is reserved");
                says.prepare |= bit;
            }
            Send::RequestAbort { .. } => says.request_abort |= bit,
            Send::Decide { proof, .. } if proof.decide() == Decision::Commit => says.commit |= bit,
            Send::Decide { .. } => says.abort |= bit,
        }
        says
    }
}
