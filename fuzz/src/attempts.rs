//! A coordinator's half of two-phase commit under any votes, objections, times and restarts: it says nothing that it has not
//! written, and after a restart says the same.

use crate::choice::Choice;
use crate::sample::{self, believed};
use commit::coordinator::{Coordinator, Input, Objection, Reply, Send, Settings, VOTES};
use commit::{Decision, Descriptor, Refusal, Verdict, Vote, VoteProof};
use primitives::{AttemptId, Epoch, Machine, Memory, Millis, Read, ShardId, Time, Verified};
use std::collections::{BTreeMap, BTreeSet};

/// Most steps of one run.
const STEPS_COUNT_MAX: usize = 150;

/// Attempts that may be begun.
const ATTEMPTS_COUNT: u32 = 4;

struct World {
    now: Time,
    store: Memory,
    machine: Coordinator,
    /// The verdict of each shard on each attempt: drawn once, kept for ever (R2).
    verdicts: BTreeMap<(AttemptId, ShardId), Verdict>,
    /// What the coordinator has told anybody.
    told: BTreeMap<AttemptId, Decision>,
    begun: BTreeSet<AttemptId>,
}

/// Inputs in the order that the bytes say.
pub fn attempts(data: &[u8]) {
    play(data);
}

fn play(data: &[u8]) -> World {
    let mut choice = Choice::new(data);
    let store = Memory::default();
    let machine = Coordinator::open(Settings::default(), &store).expect("an empty store");
    let (verdicts, told, begun) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    let mut world = World { now: sample::START, store, machine, verdicts, told, begun };
    for _ in 0..STEPS_COUNT_MAX {
        if choice.is_empty() {
            break;
        }
        let inputs = (0..choice.below(4)).map(|_| world.input(&mut choice)).collect();
        let is_lost = choice.once_in(12);
        world.step(inputs, is_lost);
        world.now = world.now.after(Millis(*choice.of(&[0, 1, 900, 9_000, 30_000])));
        if choice.once_in(10) {
            world.reopen();
        }
    }
    world.end();
    world
}

impl World {
    fn descriptor(choice: &mut Choice<'_>) -> Descriptor {
        let number = choice.below(ATTEMPTS_COUNT as usize) as u32;
        let mut descriptor = sample::descriptor(2 + number % 2, number);
        if choice.once_in(16) {
            descriptor.homes.clear();
        }
        descriptor
    }

    fn input(&mut self, choice: &mut Choice<'_>) -> Input {
        let descriptor = Self::descriptor(choice);
        let (attempt, shard) = (descriptor.id(), ShardId(choice.below(4) as u32));
        match choice.below(6) {
            0 | 1 => {
                self.begun.insert(attempt);
                Input::Begin { descriptor, payload: vec![1, 2, 3].into() }
            }
            2 | 3 => Input::Votes(vec![self.vote(attempt, shard, choice)]),
            4 => {
                let objection = if choice.once_in(2) { Objection::Later } else { Objection::Never("no".to_owned()) };
                Input::Rejected { attempt, shard, objection }
            }
            _ => Input::Applied { attempt, shard },
        }
    }

    fn vote(&mut self, attempt: AttemptId, shard: ShardId, choice: &mut Choice<'_>) -> Verified<VoteProof> {
        let drawn = if choice.once_in(3) { Verdict::No(Refusal::Busy) } else { Verdict::Yes };
        let verdict = self.verdicts.entry((attempt, shard)).or_insert(drawn).clone();
        let epoch = if choice.once_in(12) { Epoch(2) } else { Epoch(1) };
        believed(VoteProof { vote: Vote { attempt, shard, epoch, verdict }, evidence: Vec::new() })
    }

    fn step(&mut self, inputs: Vec<Input>, is_lost: bool) {
        let output = self.machine.step(self.now, inputs, &self.store);
        if is_lost {
            return self.reopen(); // A crash before the batch: nobody hears of the step.
        }
        let votes_before: BTreeSet<AttemptId> =
            output.sends.iter().map(Send::attempt).filter(|id| self.has_votes(*id)).collect();
        let kept: Vec<AttemptId> = output.writes.iter().filter_map(kept_votes).collect();
        self.store.commit(&output.writes);
        for send in &output.sends {
            self.check_send(send, votes_before.contains(&send.attempt()) || kept.contains(&send.attempt()));
        }
        for reply in &output.replies {
            self.check_reply(reply);
        }
    }

    fn has_votes(&self, attempt: AttemptId) -> bool {
        self.store.get(VOTES, attempt.0.as_bytes()).is_some()
    }

    fn check_send(&mut self, send: &Send, is_logged: bool) {
        assert!(self.begun.contains(&send.attempt()), "nobody asked for this attempt");
        match send {
            Send::Decide { to, proof } => {
                assert!(is_logged, "a decision is logged before it is sent");
                assert!(proof.descriptor().epoch(*to).is_some(), "only participants are told");
                self.tell(proof.attempt(), proof.decide());
            }
            Send::Prepare { to, descriptor, homes, .. } => {
                let is_home = descriptor.homes.contains(to);
                let said_yes =
                    |home: &ShardId| homes.iter().any(|vote| vote.vote.shard == *home && vote.vote.verdict.is_yes());
                assert!(is_home || descriptor.homes.iter().all(said_yes), "R11");
            }
            Send::RequestAbort { to, descriptor } => assert!(descriptor.epoch(*to).is_some()),
        }
    }

    fn check_reply(&mut self, reply: &Reply) {
        match reply {
            Reply::Decided { proof } => self.tell(proof.attempt(), proof.decide()),
            Reply::Finished { attempt, decision } => self.tell(*attempt, *decision),
            Reply::Refused { .. } | Reply::HomesReserved { .. } | Reply::Abandoned { .. } | Reply::Left { .. } => {}
        }
    }

    /// I1, I3, I4: one decision for an attempt, and the one that the votes make.
    fn tell(&mut self, attempt: AttemptId, decision: Decision) {
        assert_eq!(*self.told.entry(attempt).or_insert(decision), decision, "I1");
        let mut votes = self.verdicts.iter().filter(|((of, _), _)| *of == attempt).map(|(_, verdict)| verdict);
        match decision {
            Decision::Commit => assert!(votes.clone().filter(|verdict| verdict.is_yes()).count() >= 2, "I3"),
            Decision::Abort => assert!(votes.any(|verdict| !verdict.is_yes()), "I4"),
        }
    }

    /// I12: from its log it has the same attempts and the same decisions.
    fn reopen(&mut self) {
        self.machine = Coordinator::open(Settings::default(), &self.store).expect("its own log");
        let again = Coordinator::open(Settings::default(), &self.store).expect("its own log");
        assert!(self.machine.unfinished().eq(again.unfinished()));
        for (attempt, decision) in &self.told {
            assert_eq!(
                self.machine.decision(*attempt),
                Some(*decision),
                "I12: a decision that was told is not forgotten"
            );
        }
    }

    /// When everybody votes and applies, nothing is left.
    fn end(&mut self) {
        let all: Vec<Descriptor> = self.machine.unfinished().map(|(_, descriptor)| descriptor.clone()).collect();
        for descriptor in all {
            let attempt = descriptor.id();
            for shard in descriptor.participants.keys().copied() {
                let vote = self.vote(attempt, shard, &mut Choice::new(&[]));
                self.step(vec![Input::Votes(vec![vote])], false);
            }
            let applied = descriptor.participants.keys().map(|shard| Input::Applied { attempt, shard: *shard });
            self.step(applied.collect(), false);
        }
        assert_eq!(self.machine.in_flight(), 0, "all votes decide");
    }
}

/// Whose votes a write keeps.
fn kept_votes(write: &primitives::Write) -> Option<AttemptId> {
    match write {
        primitives::Write::Put { space, key, .. } if *space == VOTES => {
            let key = <[u8; 32]>::try_from(key.as_slice()).ok()?;
            Some(AttemptId(primitives::Digest::new(key)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds::Stream;

    #[test]
    fn attempts_end_both_ways() {
        let told: Vec<Decision> = (1..=60).flat_map(|seed| play(&Stream(seed).bytes(400)).told.into_values()).collect();
        assert!(told.contains(&Decision::Commit) && told.contains(&Decision::Abort), "{told:?}");
    }
}
