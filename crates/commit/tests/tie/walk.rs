//! Runs of the participants that serve, at random, each step of which must be one of the model's.
//!
//! Whoever coordinates is byzantine, as in the model's `Who::Anyone`. The code's state is told in the model's words after
//! every step; the model must know a step from the words before to the words after.

use super::participant::{Code, abstracted, described, done, note_all_settled, said, votes};
use crate::protocol::rules::{Does, Rules, Vote};
use crate::protocol::state::{SHARDS, State};
use crate::protocol::system::{System, Two, Who};
use crate::world::{DEADLINE, Dice};
use dovetail_commit::participant::{Record, Step, TOMBSTONE_KEPT};
use dovetail_commit::{Descriptor, Refusal, Rejection};
use primitives::{Millis, Time};
use stateright::Model;

/// Events of one run.
const EVENTS_COUNT: usize = 40;

/// What the runs were like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Walked {
    /// Steps that changed something.
    pub steps: usize,
    /// Runs in which a shard committed.
    pub commits: usize,
    /// Runs in which a shard that had voted yes aborted.
    pub aborts: usize,
}

/// The participants in one run, and how the model has it.
struct Run {
    code: Code,
    system: System,
    descriptor: Descriptor,
    records: [Option<Record>; SHARDS],
    state: State,
    dice: Dice,
}

/// Runs the code `runs` times, or says which step the model does not have.
pub fn walk(code: Code, runs: u64) -> Result<Walked, String> {
    let mut walked = Walked::default();
    for seed in 1..=runs {
        let mut run = Run::new(code, seed);
        for _ in 0..EVENTS_COUNT {
            let (before, event) = (run.state, run.event());
            if run.state == before {
                continue;
            }
            if !run.system.next_states(&before).contains(&run.state) {
                return Err(format!("seed {seed}: {event} leads from {before:?} to {:?}", run.state));
            }
            walked.steps += 1;
        }
        let parties = &run.state.attempts[0];
        walked.commits += usize::from(parties.committed());
        let aborted = |party: &crate::protocol::state::Party| party.record == crate::protocol::rules::Record::Aborted;
        walked.aborts += usize::from(parties.parties.iter().any(aborted));
    }
    Ok(walked)
}

impl Run {
    fn new(code: Code, seed: u64) -> Self {
        let homes = if seed.is_multiple_of(2) { 0b001 } else { 0b011 };
        let system = System { rules: Rules::default(), who: Who::Anyone, homes, two: Two::No, clock_max: 2, kept: 2 };
        let (descriptor, dice) = (described(homes), Dice(seed));
        Self { code, system, descriptor, records: [const { None }; SHARDS], state: State::default(), dice }
    }

    /// Lets something happen to some shard; what, in words.
    fn event(&mut self) -> String {
        let shard = self.dice.below(SHARDS as u64) as usize;
        let now = now(self.state.clock[shard]);
        let (record, mut participant) = (self.records[shard].clone(), self.code.participant(shard));
        if matches!(self.state.attempts[0].parties[shard].record, crate::protocol::rules::Record::Forgotten(_)) {
            note_all_settled(&mut participant);
        }
        let (yes, no) = (self.state.attempts[0].yes, self.state.attempts[0].no);
        let out = votes(&self.descriptor, yes, no);
        let (what, step) = match self.dice.below(20) {
            0 if self.state.clock[shard] < 2 => {
                self.state.clock[shard] += 1;
                return format!("shard {shard} is at {}", self::now(self.state.clock[shard]));
            }
            1 if record.as_ref().is_some_and(|record| record.may_go(now)) && !self.is_gone(shard) => {
                self.records[shard] = None;
                let party = &mut self.state.attempts[0].parties[shard];
                (party.record, party.gone) = (abstracted(None), true);
                return format!("shard {shard} drops its tombstone");
            }
            2 if self.system.forgets(&self.state, 0, shard) => {
                self.records[shard] = None;
                let party = &mut self.state.attempts[0].parties[shard];
                if let Some(end) = party.record.end() {
                    party.record = crate::protocol::rules::Record::Forgotten(end);
                }
                return format!("shard {shard} forgets what it decided");
            }
            2 => ("looks at its clock", self.code.by_clock(shard, record.as_ref(), now).ok_or(nothing())),
            3 => ("is asked to abort", participant.abort_request(record.as_ref(), &self.descriptor, now)),
            4..10 => {
                let some = out.into_iter().filter(|_| self.dice.below(5) > 0).collect();
                let proof = self.code.proof(&self.descriptor, some);
                (
                    "is told a decision",
                    proof.map_or(Err(nothing()), |proof| participant.decision(record.as_ref(), &proof, now)),
                )
            }
            _ => {
                let ready = if self.dice.below(12) > 0 { Ok(()) } else { Err(Refusal::Stale) };
                ("prepares", participant.prepare(record.as_ref(), &self.descriptor, &out, now, || ready))
            }
        };
        if let Ok(step) = step {
            self.take(shard, &step);
        }
        format!("shard {shard} {what} at {now}")
    }

    /// The step is synced; its answer leaves unless the shard crashes first.
    fn take(&mut self, shard: usize, step: &Step) {
        if let Some(written) = &step.write {
            self.records[shard] = Some(written.clone());
        }
        let attempt = &mut self.state.attempts[0];
        let party = &mut attempt.parties[shard];
        if step.write.is_some() {
            party.record = abstracted(self.records[shard].as_ref());
        }
        match done(step.action) {
            Does::Nothing => {}
            Does::Lock => party.locked = true,
            Does::Release => party.locked = false,
            Does::Apply => (party.locked, party.applied) = (false, party.applied + 1),
        }
        if self.dice.below(5) > 0 {
            match step.answer.as_ref().map(said) {
                Some(Vote::Yes) => attempt.yes |= 1 << shard,
                Some(Vote::No) => attempt.no |= 1 << shard,
                None => {}
            }
        }
    }

    fn is_gone(&self, shard: usize) -> bool {
        self.state.attempts[0].parties[shard].gone
    }
}

/// A block time in each place that the model's clock knows.
fn now(clock: u8) -> Time {
    match clock {
        0 => Time(1),
        1 => DEADLINE.after(Millis(1)),
        _ => DEADLINE.after(TOMBSTONE_KEPT).after(Millis(1)),
    }
}

/// Nothing happens, for a reason that nobody looks at.
fn nothing() -> Rejection {
    Rejection::Busy
}
