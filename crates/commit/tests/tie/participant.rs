//! Every situation that a reachable state of the model puts a participant in, put to the participant that runs.

use crate::protocol::coordinator::Shards;
use crate::protocol::rules::{Decision, Does, Outcome, Prepare, Record, Rules, Vote};
use crate::protocol::state::{ALL, SHARDS, State};
use crate::protocol::system::{System, Two, Who};
use crate::world::{DEADLINE, attempt, believed, participant, vote};
use dovetail_commit::participant::{ASK_GRACE, Action, Answer, Step, TOMBSTONE_KEPT};
use dovetail_commit::{Decision as RealDecision, participant::Record as RealRecord};
use dovetail_commit::{DecisionProof, Descriptor, Participant, Refusal, Rejection, Verdict, VoteProof, decide};
use primitives::{Millis, ShardId, Time, Verified};
use std::collections::{BTreeSet, HashSet};

/// The code that is tied: as it serves, or with one rule broken.
#[derive(Debug, Clone, Copy, Default)]
pub struct Code {
    #[cfg(feature = "twins")]
    pub twin: Option<dovetail_commit::Twin>,
}

#[cfg_attr(not(feature = "twins"), allow(clippy::unused_self, reason = "as it serves, all code is the same"))]
impl Code {
    /// Shard `shard` as it runs.
    pub fn participant(self, shard: usize) -> Participant {
        #[cfg_attr(not(feature = "twins"), expect(unused_mut, reason = "nothing is broken"))]
        let mut participant = participant(shard as u32, SHARDS as u32);
        #[cfg(feature = "twins")]
        {
            participant.twin = self.twin;
        }
        participant
    }

    /// The decision that these votes prove, as whoever brings a decision has it checked.
    pub fn proof(self, descriptor: &Descriptor, votes: Vec<Verified<VoteProof>>) -> Option<DecisionProof> {
        #[cfg(feature = "twins")]
        return dovetail_commit::Twin::decision_proof(self.twin, descriptor.clone(), votes).ok();
        #[cfg(not(feature = "twins"))]
        DecisionProof::new(descriptor.clone(), votes).ok()
    }

    /// What the clock alone makes of a record.
    pub fn by_clock(self, shard: usize, record: Option<&RealRecord>, now: Time) -> Option<Step> {
        #[cfg(feature = "twins")]
        return self.participant(shard).aborted_by_clock(record?, now);
        #[cfg(not(feature = "twins"))]
        {
            let _ = (shard, record, now); // R4: nothing does.
            None
        }
    }
}

/// All that a shard's next step can depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Situation {
    homes: u8,
    shard: usize,
    record: Record,
    /// Before the deadline, past it, past the keeping of tombstones.
    clock: u8,
    /// Certified votes that are out.
    yes: u8,
    no: u8,
}

/// What happens to the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Prepare { ready: bool },
    RequestAbort,
    Decide(Decision),
    ClockAlone,
    Ask,
    TombstoneGoes,
}

const EVENTS: [Event; 8] = [
    Event::Prepare { ready: true },
    Event::Prepare { ready: false },
    Event::RequestAbort,
    Event::Decide(Decision::Commit),
    Event::Decide(Decision::Abort),
    Event::ClockAlone,
    Event::Ask,
    Event::TombstoneGoes,
];

/// What comes of it, as both sides can say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// A step.
    Step(Outcome),
    /// Nothing, without a trace.
    Nothing,
    /// The votes prove no such decision, so none arrives.
    NoProof,
    /// Whether it happens.
    Happens(bool),
}

/// Compares text and code in every situation; how many there were.
pub fn assert_fits(rules: Rules, code: Code) -> usize {
    let misfits = misfits(rules, code);
    assert!(misfits.is_empty(), "{} situations differ, first {}", misfits.len(), misfits[0]);
    situations(rules).len() * EVENTS.len()
}

/// The situations in which text and code differ, in words.
pub fn misfits(rules: Rules, code: Code) -> Vec<String> {
    let mut misfits = Vec::new();
    for situation in situations(rules) {
        for event in EVENTS {
            let text = by_text(rules, situation, event);
            for now in times(situation.clock) {
                let run = by_code(code, situation, event, now);
                if text != run {
                    misfits.push(format!("{situation:?} {event:?} at {now}: text {text:?}, code {run:?}"));
                }
            }
        }
    }
    misfits
}

/// The situations in all reachable states of one attempt, whoever coordinates: honest coordinators lead to no others.
fn situations(rules: Rules) -> BTreeSet<Situation> {
    let mut situations = BTreeSet::new();
    for homes in [0b001, 0b011] {
        let system = System { rules, who: Who::Anyone, homes, two: Two::No, clock_max: 2, kept: 2 };
        explore(&system, |state| {
            let own = &state.attempts[0];
            let of = |shard: usize| Situation {
                homes,
                shard,
                record: own.parties[shard].record,
                clock: state.clock[shard],
                yes: own.yes,
                no: own.no,
            };
            situations.extend((0..SHARDS).map(of));
        });
    }
    situations
}

fn explore(system: &System, mut visit: impl FnMut(&State)) {
    use stateright::Model;
    let mut stack = system.init_states();
    let mut seen: HashSet<State> = stack.iter().copied().collect();
    while let Some(state) = stack.pop() {
        visit(&state);
        stack.extend(system.next_states(&state).into_iter().filter(|next| seen.insert(*next)));
    }
}

/// Block times at the edges of what a clock of the model stands for.
fn times(clock: u8) -> [Time; 2] {
    let kept = DEADLINE.after(TOMBSTONE_KEPT);
    match clock {
        0 => [Time(1), Time(DEADLINE.0 - 1)],
        1 => [DEADLINE, kept],
        _ => [kept.after(Millis(1)), kept.after(Millis(86_400_000))],
    }
}

fn by_text(rules: Rules, at: Situation, event: Event) -> Seen {
    let expired = at.clock > 0;
    let step = |outcome: Option<Outcome>| outcome.map_or(Seen::Nothing, Seen::Step);
    match event {
        Event::Prepare { ready } => {
            let home = at.homes >> at.shard & 1 == 1;
            let reserved = at.homes & !at.yes == 0;
            let last = Shards { all: ALL, homes: at.homes }.last_agent() == 1 << at.shard;
            step(rules.prepare(at.record, Prepare { home, last, reserved, expired, ready }))
        }
        Event::RequestAbort => step(rules.abort_request(at.record, expired)),
        Event::Decide(decision) => {
            if rules.proves(at.yes | own_yes(at), at.no, decision) {
                step(rules.decision(at.record, decision, expired))
            } else {
                Seen::NoProof
            }
        }
        Event::ClockAlone => step(rules.late(at.record, expired)),
        Event::Ask => Seen::Happens(at.record == Record::Prepared && expired),
        Event::TombstoneGoes => Seen::Happens(at.record == Record::Refused && at.clock > 1),
    }
}

fn by_code(code: Code, at: Situation, event: Event, now: Time) -> Seen {
    let descriptor = described(at.homes);
    let mut shard = code.participant(at.shard);
    if matches!(at.record, Record::Forgotten(_)) {
        note_all_settled(&mut shard);
    }
    let record = concrete(&descriptor, at.shard, at.record);
    let record = record.as_ref();
    let votes = |yes: u8, no: u8| votes(&descriptor, yes, no);
    match event {
        Event::Prepare { ready } => {
            let ready = || if ready { Ok(()) } else { Err(Refusal::Stale) };
            seen(at, shard.prepare(record, &descriptor, &votes(at.yes, at.no), now, ready))
        }
        Event::RequestAbort => seen(at, shard.abort_request(record, &descriptor, now)),
        Event::Decide(decision) => {
            let votes = match decision {
                Decision::Commit => votes(at.yes | own_yes(at), 0),
                Decision::Abort => votes(0, at.no),
            };
            match code.proof(&descriptor, votes) {
                Some(proof) => seen(at, shard.decision(record, &proof, now)),
                None => Seen::NoProof,
            }
        }
        Event::ClockAlone => code.by_clock(at.shard, record, now).map_or(Seen::Nothing, |step| seen(at, Ok(step))),
        Event::Ask => Seen::Happens(record.is_some_and(|record| asks_all_others(&shard, record, now))),
        Event::TombstoneGoes => Seen::Happens(record.is_some_and(|record| record.may_go(now))),
    }
}

/// All others say that nothing with the attempt's deadline is open.
pub fn note_all_settled(participant: &mut Participant) {
    let own = participant.shard;
    for other in (0..SHARDS as u32).map(ShardId).filter(|other| *other != own) {
        participant.note_settled(other, DEADLINE);
    }
}

/// Whether the shard, once the grace is over too, asks everybody else; nobody else is ever asked.
fn asks_all_others(shard: &Participant, record: &RealRecord, now: Time) -> bool {
    let is_past = now >= DEADLINE;
    let now = if is_past { now.max(DEADLINE.after(ASK_GRACE)) } else { now };
    let Some(ask) = shard.late(record, 0, now) else { return false };
    let others: BTreeSet<ShardId> = (0..SHARDS as u32).map(ShardId).filter(|other| *other != shard.shard).collect();
    assert_eq!(ask.shards, others);
    true
}

fn own_yes(at: Situation) -> u8 {
    u8::from(at.record.vote() == Some(Vote::Yes)) << at.shard
}

/// The code's step in the model's words.
fn seen(at: Situation, step: Result<Step, Rejection>) -> Seen {
    let Ok(step) = step else { return Seen::Nothing };
    if let (Some(Answer::Existing(_)), Some(written)) = (&step.answer, &step.write) {
        panic!("a vote that stood before is written again: {written:?}");
    }
    let record = step.write.as_ref().map_or(at.record, |written| abstracted(Some(written)));
    Seen::Step(Outcome { record, says: step.answer.as_ref().map(said), does: done(step.action) })
}

/// The vote that an answer carries.
pub fn said(answer: &Answer) -> Vote {
    if answer.vote().verdict.is_yes() { Vote::Yes } else { Vote::No }
}

/// What an action is called in the model.
pub fn done(action: Action) -> Does {
    match action {
        Action::Nothing => Does::Nothing,
        Action::Lock => Does::Lock,
        Action::Apply | Action::Commit => Does::Apply,
        Action::Release => Does::Release,
    }
}

/// What a record is called in the model.
pub fn abstracted(record: Option<&RealRecord>) -> Record {
    match record {
        None => Record::Nothing,
        Some(RealRecord::Prepared { .. }) => Record::Prepared,
        Some(RealRecord::Refused { .. }) => Record::Refused,
        Some(RealRecord::Decided { decision: RealDecision::Commit, .. }) => Record::Committed,
        Some(RealRecord::Decided { decision: RealDecision::Abort, .. }) => Record::Aborted,
    }
}

fn concrete(descriptor: &Descriptor, shard: usize, record: Record) -> Option<RealRecord> {
    let yes = vote(descriptor, shard as u32, Verdict::Yes);
    let no = vote(descriptor, shard as u32, Verdict::No(Refusal::Stale));
    Some(match record {
        Record::Nothing | Record::Forgotten(_) => return None,
        Record::Prepared => RealRecord::Prepared { descriptor: descriptor.clone() },
        Record::Refused => RealRecord::Refused { vote: no, deadline: descriptor.deadline },
        Record::Committed => RealRecord::Decided { vote: yes, decision: RealDecision::Commit },
        Record::Aborted => RealRecord::Decided { vote: yes, decision: RealDecision::Abort },
    })
}

/// The attempt over all shards, with these homes.
pub fn described(homes: u8) -> Descriptor {
    Descriptor { homes: among(homes).map(ShardId).collect(), ..attempt(SHARDS as u32) }
}

/// These shards' votes, believed.
pub fn votes(descriptor: &Descriptor, yes: u8, no: u8) -> Vec<Verified<VoteProof>> {
    let yes = among(yes).map(|shard| vote(descriptor, shard, Verdict::Yes));
    let no = among(no).map(|shard| vote(descriptor, shard, Verdict::No(Refusal::Stale)));
    yes.chain(no).map(believed).collect()
}

fn among(mask: u8) -> impl Iterator<Item = u32> {
    (0..SHARDS as u32).filter(move |shard| mask >> shard & 1 == 1)
}

/// R1, on all sets of votes: what they decide is the same in text and code.
pub fn assert_decisions_fit() {
    for (yes, no) in (0..=ALL).flat_map(|yes| (0..=ALL).map(move |no| (yes, no))) {
        let descriptor = described(0b001);
        let cast: Vec<_> = votes(&descriptor, yes, no).into_iter().map(|proof| proof.vote.clone()).collect();
        let run = decide(&descriptor, &cast).map(|decision| match decision {
            RealDecision::Commit => Decision::Commit,
            RealDecision::Abort => Decision::Abort,
        });
        assert_eq!(run, crate::protocol::rules::decide(yes, no, ALL), "yes of {yes:03b}, no of {no:03b}");
    }
}
