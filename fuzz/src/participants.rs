//! Three participants and whoever sends anything at any time: no order of messages, restarts and times splits a decision.
//!
//! Votes are kept for ever and shown to anybody, in any number and order; only votes that were cast exist. A participant
//! that crashes loses what it had not written, and its answer.

use crate::choice::Choice;
use crate::sample::{self, believed};
use commit::participant::{Action, Record, Step};
use commit::{Decision, DecisionProof, Descriptor, Participant, Refusal, Rejection, Vote, VoteProof};
use primitives::{AttemptId, Epoch, Millis, ShardId, Time, Verified};
use std::collections::BTreeMap;

const SHARDS: u32 = 3;

/// Most things that happen in one run.
const EVENTS_COUNT_MAX: usize = 200;

struct Shard {
    rules: Participant,
    now: Time,
    records: BTreeMap<AttemptId, Record>,
    applied: BTreeMap<AttemptId, u32>,
}

#[derive(Default)]
struct World {
    shards: Vec<Shard>,
    descriptors: Vec<Descriptor>,
    /// Every vote ever certified.
    votes: BTreeMap<(ShardId, AttemptId), Vec<Vote>>,
}

/// Messages in the order that the input says.
pub fn participants(data: &[u8]) {
    play(data);
}

fn play(data: &[u8]) -> World {
    let mut choice = Choice::new(data);
    let mut world = World::new();
    for _ in 0..EVENTS_COUNT_MAX {
        if choice.is_empty() {
            break;
        }
        world.happen(&mut choice);
        world.assert_valid();
    }
    world.end();
    world
}

impl World {
    fn new() -> Self {
        let epochs: BTreeMap<ShardId, Epoch> = (0..SHARDS).map(|shard| (ShardId(shard), Epoch(1))).collect();
        let shard = |shard| Shard {
            rules: Participant::new(sample::NETWORK, ShardId(shard), epochs.clone()),
            now: sample::START,
            records: BTreeMap::new(),
            applied: BTreeMap::new(),
        };
        let two = Descriptor { homes: [ShardId(1)].into(), ..sample::descriptor(2, 3) };
        let descriptors = vec![sample::descriptor(3, 1), sample::descriptor(3, 2), two];
        Self { shards: (0..SHARDS).map(shard).collect(), descriptors, ..Self::default() }
    }

    fn happen(&mut self, choice: &mut Choice<'_>) {
        let place = choice.below(self.shards.len());
        let descriptor = choice.of(&self.descriptors).clone();
        let crashes = choice.once_in(6);
        match choice.below(6) {
            0 | 1 => self.prepare(place, &descriptor, choice, crashes),
            2 => self.abort_request(place, &descriptor, crashes),
            3 => self.decide(place, &descriptor, choice, crashes),
            4 => self.wait(place, choice),
            _ => self.ask_late(place, &descriptor),
        }
    }

    /// Some of the votes on an attempt that exist, as facts.
    fn known(&self, descriptor: &Descriptor, choice: &mut Choice<'_>) -> Vec<Verified<VoteProof>> {
        let all =
            self.votes.iter().filter(|((_, attempt), _)| *attempt == descriptor.id()).flat_map(|(_, votes)| votes);
        let fact = |vote: &Vote| believed(VoteProof { vote: vote.clone(), evidence: Vec::new() });
        all.filter(|_| !choice.once_in(5)).map(fact).collect()
    }

    fn prepare(&mut self, place: usize, descriptor: &Descriptor, choice: &mut Choice<'_>, crashes: bool) {
        let homes = self.known(descriptor, choice);
        let ready = match choice.below(4) {
            0 => Err(Refusal::Stale),
            1 => Err(Refusal::Busy),
            _ => Ok(()),
        };
        let shard = &self.shards[place];
        let record = shard.records.get(&descriptor.id());
        let step = shard.rules.prepare(record, descriptor, &homes, shard.now, || ready);
        self.take(place, descriptor, step, crashes);
    }

    fn abort_request(&mut self, place: usize, descriptor: &Descriptor, crashes: bool) {
        let shard = &self.shards[place];
        let step = shard.rules.abort_request(shard.records.get(&descriptor.id()), descriptor, shard.now);
        self.take(place, descriptor, step, crashes);
    }

    fn decide(&mut self, place: usize, descriptor: &Descriptor, choice: &mut Choice<'_>, crashes: bool) {
        let Ok(proof) = DecisionProof::new(descriptor.clone(), self.known(descriptor, choice)) else { return };
        let shard = &self.shards[place];
        let step = shard.rules.decision(shard.records.get(&descriptor.id()), &proof, shard.now);
        let is_contradiction = matches!(step, Err(Rejection::Contradiction { .. }));
        let is_own = descriptor.epoch(shard.rules.shard).is_some();
        assert!(!is_contradiction || !is_own, "true votes contradict nobody");
        self.take(place, descriptor, step, crashes);
    }

    fn wait(&mut self, place: usize, choice: &mut Choice<'_>) {
        let shard = &mut self.shards[place];
        shard.now = shard.now.after(Millis(*choice.of(&[1, 400, 9_000, 10_000, 61_000, 600_000])));
        shard.records.retain(|_, record| !record.may_go(shard.now)); // R5
    }

    /// R4, R8: whoever waits asks; the answers are votes.
    fn ask_late(&mut self, place: usize, descriptor: &Descriptor) {
        let shard = &self.shards[place];
        let Some(record) = shard.records.get(&descriptor.id()) else { return };
        let Some(ask) = shard.rules.late(record, 0, shard.now) else { return };
        for to in ask.shards {
            self.abort_request(to.0 as usize, &ask.descriptor, false);
        }
    }

    fn take(&mut self, place: usize, descriptor: &Descriptor, step: Result<Step, Rejection>, crashes: bool) {
        let (Ok(step), id) = (step, descriptor.id()) else { return };
        if crashes {
            return; // Before the batch: as if nothing had come.
        }
        let shard = &mut self.shards[place];
        if let Some(record) = step.write {
            shard.records.insert(id, record);
        }
        if step.action == Action::Apply {
            *shard.applied.entry(id).or_default() += 1;
        }
        if let Some(answer) = step.answer {
            let votes = self.votes.entry((shard.rules.shard, id)).or_default();
            if !votes.contains(answer.vote()) {
                votes.push(answer.vote().clone());
            }
        }
    }

    fn assert_valid(&self) {
        for votes in self.votes.values() {
            // R2; past the deadline and its keeping a no may be given again in other words (R5).
            assert!(
                votes.iter().all(|vote| vote.verdict.is_yes()) || votes.iter().all(|vote| !vote.verdict.is_yes()),
                "I2"
            );
            assert!(votes.len() == 1 || !votes[0].verdict.is_yes(), "I2: one yes");
        }
        for descriptor in &self.descriptors {
            let id = descriptor.id();
            let decisions: Vec<Decision> =
                self.shards.iter().filter_map(|shard| shard.records.get(&id)?.decision()).collect();
            assert!(decisions.iter().all(|decision| *decision == decisions[0]), "I1");
            let is_yes = |shard: &ShardId| self.votes.get(&(*shard, id)).is_some_and(|votes| votes[0].verdict.is_yes());
            let is_committed = decisions.contains(&Decision::Commit);
            assert!(!is_committed || descriptor.participants.keys().all(is_yes), "I3");
            assert!(self.shards.iter().all(|shard| shard.applied.get(&id).is_none_or(|times| *times == 1)), "I5");
        }
    }

    /// I6, I7: when everybody has asked everybody, nothing is locked.
    fn end(&mut self) {
        for shard in &mut self.shards {
            shard.now = shard.now.after(Millis(600_000));
        }
        for descriptor in self.descriptors.clone() {
            for place in 0..self.shards.len() {
                self.ask_late(place, &descriptor);
            }
            for place in 0..self.shards.len() {
                let mut all = Choice::new(&[]);
                self.decide(place, &descriptor, &mut all, false);
            }
        }
        self.assert_valid();
        assert!(self.shards.iter().flat_map(|shard| shard.records.values()).all(|record| !record.holds_locks()), "I7");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds::Stream;
    use commit::Verdict;

    #[test]
    fn attempts_end_both_ways() {
        let worlds: Vec<World> = (1..=60).map(|seed| play(&Stream(seed).bytes(400))).collect();
        let shards = worlds.iter().flat_map(|world| &world.shards);
        let decisions: Vec<_> = shards.flat_map(|shard| shard.records.values().filter_map(Record::decision)).collect();
        assert!(decisions.contains(&Decision::Commit) && decisions.contains(&Decision::Abort), "{decisions:?}");
    }

    #[test]
    #[should_panic(expected = "I2")]
    fn a_shard_that_votes_twice_is_caught() {
        let mut world = World::new();
        let descriptor = world.descriptors[0].clone();
        for verdict in [Verdict::Yes, Verdict::No(Refusal::Busy)] {
            let vote = Vote { attempt: descriptor.id(), shard: ShardId(0), epoch: Epoch(1), verdict };
            world.votes.entry((ShardId(0), descriptor.id())).or_default().push(vote);
        }
        world.assert_valid();
    }
}
