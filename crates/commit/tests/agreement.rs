//! I1, I3, I5, I7: every order of the real transitions of three participants, explored exhaustively.
//!
//! The network keeps every vote ever certified for ever and delivers any of them to anybody at any time, or never: that is
//! loss, duplication and reordering. The coordinator is whoever sends anything at any time: that is a byzantine one. A
//! participant may crash between its sync and its answer, and goes on from its record: its record is its only state.
//!
//! A checker that never failed proves nothing, so each rule also has a broken twin here, which must be caught.

mod world;

use dovetail_commit::participant::{Action, Record, Step, TOMBSTONE_KEPT};
use dovetail_commit::{Decision, DecisionProof, Descriptor, Participant, Refusal, Rejection, Verdict, Vote, VoteProof};
use primitives::{Epoch, Millis, ShardId, Time, Verified};
use std::collections::{BTreeSet, HashSet, VecDeque};
use world::{DEADLINE, attempt, believed, participant};

const SHARDS: usize = 3;
const EARLY: Time = Time(1);

/// The real rules, or those rules with one of them broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    Real,
    /// R1 broken: commits without the last participant's vote.
    Subset,
    /// R2 broken: answers without having written.
    Unwritten,
    /// R2 broken: votes twice.
    Equivocating,
    /// R4 broken: aborts by its own clock after a yes.
    LocalTimer,
    /// R5 broken: answers no to an abort request and forgets.
    NoTombstone,
    /// R5 broken: drops its tombstones before the deadline.
    EarlyTombstone,
    /// R5 broken: prepares past the deadline, when tombstones are gone.
    BlindToDeadline,
    /// R7 broken: forgets decided attempts past the deadline.
    Forgetful,
    /// I5 broken: carries a decision out as often as it comes.
    Twice,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
struct Shard {
    record: Option<Record>,
    expired: bool,
    locked: bool,
    applied: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct State {
    shards: [Shard; SHARDS],
    /// Votes ever certified: by whom, and whether yes.
    certified: BTreeSet<(u32, bool)>,
}

struct Explorer {
    rules: Rules,
    descriptor: Descriptor,
    participants: [Participant; SHARDS],
}

impl Explorer {
    fn new(rules: Rules) -> Self {
        let participants = [0, 1, 2].map(|shard| participant(shard, 3));
        Self { rules, descriptor: attempt(3), participants }
    }

    /// The same with shard 2 alone no home: it commits with its vote.
    fn with_a_last_agent(rules: Rules) -> Self {
        let explorer = Self::new(rules);
        let descriptor = Descriptor { homes: [ShardId(0), ShardId(1)].into(), ..explorer.descriptor };
        Self { descriptor, ..explorer }
    }

    /// The number of states, whether a commit and an abort were reached, and what went wrong first.
    fn explore(&self) -> (usize, BTreeSet<Decision>, Option<&'static str>) {
        let mut seen = HashSet::from([State::default()]);
        let mut queue = VecDeque::from([State::default()]);
        let mut ends = BTreeSet::new();
        while let Some(state) = queue.pop_front() {
            ends.extend(state.shards.iter().filter_map(|shard| decided(shard.record.as_ref())));
            if let Some(violation) = violation(&state) {
                return (seen.len(), ends, Some(violation));
            }
            for next in self.successors(&state) {
                if seen.insert(next.clone()) {
                    queue.push_back(next);
                }
            }
        }
        (seen.len(), ends, None)
    }

    fn successors(&self, state: &State) -> Vec<State> {
        let mut next = Vec::new();
        for place in 0..SHARDS {
            self.clock(state, place, &mut next);
            self.messages(state, place, &mut next);
            self.decisions(state, place, &mut next);
            self.defects(state, place, &mut next);
        }
        next
    }

    fn clock(&self, state: &State, place: usize, next: &mut Vec<State>) {
        let shard = &state.shards[place];
        if !shard.expired {
            next.push(with(state, place, |shard| shard.expired = true));
        }
        let now = now(shard);
        let may_go = match (&shard.record, self.rules) {
            (Some(Record::Refused { .. }), Rules::EarlyTombstone) => true,
            (Some(Record::Decided { .. }), Rules::Forgetful) => shard.expired,
            (record, _) => record.as_ref().is_some_and(|record| record.may_go(now)),
        };
        if may_go {
            next.push(with(state, place, |shard| shard.record = None));
        }
    }

    fn messages(&self, state: &State, place: usize, next: &mut Vec<State>) {
        let (shard, participant) = (&state.shards[place], &self.participants[place]);
        let record = shard.record.as_ref();
        let votes = self.votes(state, |_| true);
        let now = if self.rules == Rules::BlindToDeadline { EARLY } else { now(shard) };
        for ready in [Ok(()), Err(Refusal::Stale)] {
            let step = participant.prepare(record, &self.descriptor, &votes, now, || ready);
            self.take(state, place, step, next);
        }
        let mut step = participant.abort_request(record, &self.descriptor, now);
        if let (Ok(step), Rules::NoTombstone) = (&mut step, self.rules) {
            step.write = None;
        }
        self.take(state, place, step, next);
    }

    fn decisions(&self, state: &State, place: usize, next: &mut Vec<State>) {
        let (shard, participant) = (&state.shards[place], &self.participants[place]);
        // Any subset of the votes decides as its yes part or as its no part does.
        for yes in [true, false] {
            let votes = self.votes(state, |certified| certified == yes);
            let Ok(proof) = DecisionProof::new(self.descriptor.clone(), votes) else { continue };
            let again = Record::Prepared { descriptor: self.descriptor.clone() };
            let record = match (&shard.record, self.rules) {
                (Some(Record::Decided { .. }), Rules::Twice) => Some(&again),
                (record, _) => record.as_ref(),
            };
            self.take(state, place, participant.decision(record, &proof, now(shard)), next);
        }
    }

    /// What only a broken twin does.
    fn defects(&self, state: &State, place: usize, next: &mut Vec<State>) {
        let shard = &state.shards[place];
        let Some(Record::Prepared { descriptor }) = &shard.record else { return };
        let vote =
            Vote { attempt: descriptor.id(), shard: ShardId(place as u32), epoch: Epoch(1), verdict: Verdict::Yes };
        let end = |decision, applied| {
            with(state, place, |shard| {
                shard.record = Some(Record::Decided { vote: vote.clone(), decision });
                shard.applied += applied;
                shard.locked = false;
            })
        };
        match self.rules {
            Rules::LocalTimer if shard.expired => next.push(end(Decision::Abort, 0)),
            Rules::Subset if [0, 1].iter().all(|by| state.certified.contains(&(*by, true))) => {
                next.push(end(Decision::Commit, 1));
            }
            Rules::Equivocating => {
                let mut both = state.clone();
                both.certified.insert((place as u32, false));
                next.push(both);
            }
            _ => {}
        }
    }

    /// The states after a step: with its answer certified and out, and with a crash between the sync and the answer.
    fn take(&self, state: &State, place: usize, step: Result<Step, Rejection>, next: &mut Vec<State>) {
        let Ok(step) = step else { return };
        let mut synced = state.clone();
        if self.rules != Rules::Unwritten || step.answer.is_none() {
            synced.shards[place] = apply(&state.shards[place], &step);
        }
        let mut answered = synced.clone();
        if let Some(answer) = &step.answer {
            answered.certified.insert((place as u32, answer.vote().verdict.is_yes()));
        }
        next.extend([synced, answered]);
    }

    fn votes(&self, state: &State, which: impl Fn(bool) -> bool) -> Vec<Verified<VoteProof>> {
        let verdict = |yes| if yes { Verdict::Yes } else { Verdict::No(Refusal::Stale) };
        let certified = state.certified.iter().filter(|(_, yes)| which(*yes));
        certified.map(|(by, yes)| believed(world::vote(&self.descriptor, *by, verdict(*yes)))).collect()
    }
}

fn with(state: &State, place: usize, change: impl FnOnce(&mut Shard)) -> State {
    let mut state = state.clone();
    change(&mut state.shards[place]);
    state
}

fn now(shard: &Shard) -> Time {
    if shard.expired { DEADLINE.after(TOMBSTONE_KEPT).after(Millis(1)) } else { EARLY }
}

fn apply(shard: &Shard, step: &Step) -> Shard {
    let mut shard = shard.clone();
    if let Some(record) = &step.write {
        shard.record = Some(record.clone());
    }
    match step.action {
        Action::Nothing => {}
        Action::Lock => shard.locked = true,
        Action::Apply | Action::Commit => (shard.locked, shard.applied) = (false, (shard.applied + 1).min(2)),
        Action::Release => shard.locked = false,
    }
    shard
}

fn decided(record: Option<&Record>) -> Option<Decision> {
    match record {
        Some(Record::Decided { decision, .. }) => Some(*decision),
        _ => None,
    }
}

fn violation(state: &State) -> Option<&'static str> {
    let ends: BTreeSet<Decision> = state.shards.iter().filter_map(|shard| decided(shard.record.as_ref())).collect();
    let refused = state.shards.iter().any(|shard| matches!(shard.record, Some(Record::Refused { .. })));
    let said = |yes| (0..SHARDS as u32).filter(|by| state.certified.contains(&(*by, yes))).count();
    if ends.len() > 1 {
        return Some("split decision");
    }
    if ends.contains(&Decision::Commit) && refused {
        return Some("partial commit");
    }
    if state.shards.iter().any(|shard| shard.applied > 1) {
        return Some("applied twice");
    }
    if said(true) == SHARDS && said(false) > 0 {
        return Some("evidence of both");
    }
    if (0..SHARDS as u32).any(|by| state.certified.contains(&(by, true)) && state.certified.contains(&(by, false))) {
        return Some("two votes");
    }
    let prepared = |shard: &Shard| shard.record.as_ref().is_some_and(Record::holds_locks);
    if state.shards.iter().any(|shard| shard.locked != prepared(shard)) {
        return Some("lock without a live attempt");
    }
    None
}

#[test]
fn no_order_of_events_splits_an_attempt() {
    for explorer in [Explorer::new(Rules::Real), Explorer::with_a_last_agent(Rules::Real)] {
        let (states, ends, violation) = explorer.explore();
        assert_eq!(violation, None);
        assert_eq!(ends, [Decision::Commit, Decision::Abort].into(), "both ends were explored");
        assert!(states > 1_000, "{states} states are too few to mean anything");
    }
}

fn assert_caught(rules: Rules, as_what: &[&str]) {
    for explorer in [Explorer::new(rules), Explorer::with_a_last_agent(rules)] {
        let (_, _, violation) = explorer.explore();
        let violation = violation.unwrap_or_else(|| panic!("{rules:?} was not caught"));
        assert!(as_what.contains(&violation), "{rules:?} was caught as {violation}");
    }
}

#[test]
fn a_commit_without_every_vote_is_caught() {
    assert_caught(Rules::Subset, &["partial commit", "split decision"]);
}

#[test]
fn a_vote_that_was_not_written_is_caught() {
    assert_caught(Rules::Unwritten, &["two votes", "evidence of both"]);
}

#[test]
fn a_second_vote_is_caught() {
    assert_caught(Rules::Equivocating, &["two votes", "evidence of both", "split decision"]);
}

#[test]
fn an_abort_by_the_own_clock_is_caught() {
    assert_caught(Rules::LocalTimer, &["split decision"]);
}

#[test]
fn a_no_without_a_tombstone_is_caught() {
    assert_caught(Rules::NoTombstone, &["two votes", "evidence of both", "partial commit"]);
}

#[test]
fn a_tombstone_dropped_before_the_deadline_is_caught() {
    assert_caught(Rules::EarlyTombstone, &["two votes", "evidence of both", "partial commit"]);
}

#[test]
fn a_prepare_accepted_past_the_deadline_is_caught() {
    assert_caught(Rules::BlindToDeadline, &["two votes", "evidence of both", "partial commit"]);
}

#[test]
fn a_forgotten_decision_is_caught() {
    assert_caught(Rules::Forgetful, &["two votes", "evidence of both", "partial commit"]);
}

#[test]
fn a_decision_carried_out_twice_is_caught() {
    assert_caught(Rules::Twice, &["applied twice"]);
}
