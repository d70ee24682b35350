//! Submissions over the same shards that share one attempt.
//!
//! ```text
//!   run, over several shards ── it need not wait for any attempt or key ──> an attempt of its own
//!              │
//!              └── else ──> gathers ── its keys are free, and there is ──> one payload, run and attempted as one
//!                              ^       room or it has waited enough           │           │             │
//!                              │                                          committed  it spoils itself  others abort it
//!                              '── more over the same shards                  v           v             v
//!                                                              to each its outcome   without whoever   each is tried
//!                                                                                    spoils it, or     again alone
//!                                                                                    in halves
//! ```
//!
//! An attempt costs each participant a descriptor, a vote, receipts, a decision and their calls, whatever it carries. What has to
//! wait anyway waits for company; nothing waits for company alone.
//!
//! Members run one after the other, each on what those before it left, so they may want the same keys: a key that all want is
//! locked once for all of them. None depends on another's success ([`evm::Grouping::Batch`]).
//!
//! Promise: a batch changes neither what a member does nor whether it ends. It claims its members' keys in their place, all or
//! none, in the order in which it was opened. It waits for no key that a member does not want, and for other attempts no longer
//! than [`GATHERING_MAX`]. Whatever goes wrong with it, its members are tried again; one that spoils it for the others, though it
//! is right alone, costs them a few attempts and not one for each.

use crate::claims::{Claim, Turn, Usage, Uses};
use crate::coordinator::{Coordinator, Draft};
use crate::execution::locked;
use crate::input::{Committed, Event};
use crate::pending::{Pending, Stage};
use crate::refusal::Refusal;
use crate::settings::{BATCH_BYTES_MAX, BATCHES_UNDER_WAY_COUNT_MAX, GAS_IN_STEP_MAX, GATHERING_MAX};
use evm::{BATCH_COUNT_MAX, BATCH_GAS_MAX, ExecuteError, Executed, LockMode, PayloadError, RecoveredPayload};
use primitives::{ShardId, Time, Verified};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What several submissions share.
#[derive(Debug)]
pub(crate) struct Batch {
    /// In the order in which they run.
    members: Vec<Member>,
    /// What each of them was over when it ran alone.
    over: Over,
    /// The keys that they used then.
    uses: Uses,
    /// The gas that they burnt then.
    pub(crate) gas: u64,
    bytes: usize,
    /// Whether it holds its keys; else it waits for them.
    is_held: bool,
    /// When it has waited enough for others over its shards.
    patient_until: Time,
}

/// A submission that shares, or could.
#[derive(Debug)]
struct Member {
    turn: Turn,
    /// As it ran alone.
    uses: Uses,
    gas: u64,
    bytes: usize,
}

impl Batch {
    fn of(over: Over, patient_until: Time) -> Self {
        Self { members: Vec::new(), over, uses: Uses::new(), gas: 0, bytes: 0, is_held: true, patient_until }
    }

    /// Its members, in the order in which they run.
    pub(crate) fn turns(&self) -> impl Iterator<Item = Turn> {
        self.members.iter().map(|member| member.turn)
    }

    fn has_room(&self, joiner: &Member) -> bool {
        self.members.len() < BATCH_COUNT_MAX
            && self.gas.saturating_add(joiner.gas) <= BATCH_GAS_MAX
            && self.bytes.saturating_add(joiner.bytes) <= BATCH_BYTES_MAX
    }

    /// What `joiner` uses and this does not claim yet, or not as much of.
    fn news(&self, joiner: &Member) -> Uses {
        let exclusive = Usage::Locked(LockMode::Exclusive);
        let is_claimed = |key, usage| self.uses.get(key).is_some_and(|own| *own == usage || *own == exclusive);
        let news = joiner.uses.iter().filter(|(key, usage)| !is_claimed(key, **usage));
        news.map(|(key, usage)| (*key, *usage)).collect()
    }

    fn join(&mut self, joiner: Member) {
        self.gas = self.gas.saturating_add(joiner.gas);
        self.bytes = self.bytes.saturating_add(joiner.bytes);
        for (key, usage) in &joiner.uses {
            // Two that use a key in different ways come to a use that goes with nobody.
            let held = self.uses.entry(*key).or_insert(*usage);
            if held != usage {
                *held = Usage::Locked(LockMode::Exclusive);
            }
        }
        self.members.push(joiner);
    }

    /// Goes on with those that stay; says who does not.
    fn part(&mut self, stays: impl Fn(Turn) -> bool) -> Vec<Member> {
        let empty = Self { is_held: self.is_held, ..Self::of(self.over.clone(), self.patient_until) };
        let Self { members, .. } = std::mem::replace(self, empty);
        let (staying, leaving): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| stays(member.turn));
        for member in staying {
            self.join(member);
        }
        leaving
    }
}

/// The shards that an attempt is over. Only what has the same homes shares: an attempt of several homes is shown by each of them for
/// itself, and a block would not say in which order its transactions ran.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Over {
    participants: BTreeSet<ShardId>,
    homes: BTreeSet<ShardId>,
}

impl Over {
    fn of(executed: &Executed) -> Self {
        Self { participants: executed.participants.clone(), homes: executed.homes.clone() }
    }
}

/// The batches that have not begun, and how many attempts are undecided, by the shards they are over.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    gathering: BTreeMap<Over, Vec<Turn>>,
    undecided: BTreeMap<Over, usize>,
}

impl Batches {
    /// An attempt has begun.
    pub(crate) fn begun(&mut self, executed: &Executed) {
        *self.undecided.entry(Over::of(executed)).or_default() += 1;
    }

    /// An attempt is decided, or left.
    pub(crate) fn decided(&mut self, executed: &Executed) {
        let over = Over::of(executed);
        if let Some(count) = self.undecided.get_mut(&over) {
            *count -= 1;
            if *count == 0 {
                self.undecided.remove(&over);
            }
        }
    }

    /// Whether nothing gathers, and nothing is undecided.
    pub(crate) fn is_empty(&self) -> bool {
        self.gathering.is_empty() && self.undecided.is_empty()
    }

    fn undecided(&self, over: &Over) -> usize {
        self.undecided.get(over).copied().unwrap_or_default()
    }

    fn open(&mut self, over: Over, turn: Turn) {
        self.gathering.entry(over).or_default().push(turn);
    }

    fn close(&mut self, over: &Over, turn: Turn) {
        if let Some(turns) = self.gathering.get_mut(over) {
            turns.retain(|gathering| *gathering != turn);
            if turns.is_empty() {
                self.gathering.remove(over);
            }
        }
    }
}

impl Coordinator {
    /// Whether a submission shares an attempt with others rather than have one of its own: it has to wait anyway, for an attempt over the
    /// same shards or for a key.
    pub(crate) fn may_gather(&self, turn: Turn, executed: &Executed, uses: &Uses) -> bool {
        let is_first_try_of_one =
            |pending: &Pending| pending.tries == 0 && pending.runs_in_slots() && pending.payload.steps().len() == 1;
        // In company it may burn more than it did alone.
        let may_burn_little = |pending: &Pending| pending.gas_limit() <= GAS_IN_STEP_MAX;
        executed.participants.len() > 1
            // Whoever reads the fees is given little time, alone (docs/decisions/0021).
            && executed.witness.fees.is_empty()
            && executed.gas() <= BATCH_GAS_MAX
            // A batch would be behind all that came since.
            && !self.claims.is_waiting(turn)
            && (self.batches.undecided(&Over::of(executed)) > 0 || !self.claims.may_hold_more(turn, uses))
            && self.pending.get(&turn).is_some_and(|pending| is_first_try_of_one(pending) && may_burn_little(pending))
    }

    /// Has a submission join a batch that gathers over its shards, or open one.
    pub(crate) fn gather(&mut self, turn: Turn, executed: &Executed, uses: Uses, draft: &mut Draft) {
        let Some(pending) = self.pending.get(&turn) else { return };
        let (payload, ticket) = (pending.payload.clone(), pending.ticket);
        let bytes = pending.payload.signed().map(|transaction| transaction.bytes().len()).sum();
        let joiner = Member { turn, uses, gas: executed.gas(), bytes };
        // Its place is the batch's from here on.
        self.free_keys_of([turn]);
        let over = Over::of(executed);
        let company = self.company(&joiner, &over);
        let batch = company.unwrap_or_else(|| self.open_batch(over, payload, draft.now));
        self.enter(turn, Stage::Member(batch), None);
        let Some(opened) = self.batch_mut(batch) else { return };
        let (is_held, uses) = (opened.is_held && company.is_some(), joiner.uses.clone());
        opened.join(joiner);
        if is_held {
            return self.claims.hold_more(batch, &uses);
        }
        if let Claim::Waits(key) = self.claim_for_batch(batch) {
            draft.reply(ticket, Event::Queued { key });
        }
    }

    /// A batch that gathers over these shards, has room, and waits for no more and no less than `joiner` does.
    fn company(&self, joiner: &Member, over: &Over) -> Option<Turn> {
        let waits_alike = |turn: Turn, batch: &Batch| {
            let is_free = self.claims.may_hold_more(turn, &joiner.uses);
            batch.is_held == is_free && (is_free || self.claims.may_hold_more(turn, &batch.news(joiner)))
        };
        let is_company =
            |turn: &&Turn| self.batch(**turn).is_some_and(|batch| batch.has_room(joiner) && waits_alike(**turn, batch));
        self.batches.gathering.get(over)?.iter().find(is_company).copied()
    }

    fn open_batch(&mut self, over: Over, payload: Arc<Verified<RecoveredPayload>>, now: Time) -> Turn {
        let turn = self.new_batch(Batch::of(over.clone(), now.after(GATHERING_MAX)), payload, now);
        self.look_again(turn, now.after(GATHERING_MAX));
        self.batches.open(over, turn);
        turn
    }

    fn new_batch(&mut self, batch: Batch, payload: Arc<Verified<RecoveredPayload>>, now: Time) -> Turn {
        let turn = self.next_turn();
        self.pending.insert(turn, Pending::batch(payload, now, batch));
        turn
    }

    /// A batch has gathered for a while: it begins, or goes on waiting for its keys as long as a submission may.
    pub(crate) fn gathering_is_long(&mut self, turn: Turn, draft: &mut Draft) {
        let Some(since) = self.pending.get(&turn).map(|pending| pending.since) else { return };
        let end = since.after(self.settings.timing.lifetime);
        if draft.now >= end {
            return self.disband(turn, &Refusal::Waited, draft);
        }
        self.look_again(turn, end);
    }

    /// Claims all keys of a batch that gathers.
    pub(crate) fn claim_for_batch(&mut self, turn: Turn) -> Claim {
        let Some(batch) = self.pending.get_mut(&turn).and_then(|pending| pending.batch.as_mut()) else {
            return Claim::Held;
        };
        let (claim, free) = self.claims.claim(turn, &batch.uses);
        batch.is_held = claim == Claim::Held;
        self.wake(free.into_iter().filter(|other| *other != turn));
        claim
    }

    /// Begins those batches that hold their keys and have room, or have waited for it long enough: what is under way may be slow,
    /// or never end. Those over a silent shard go on one by one.
    pub(crate) fn begin_batches(&mut self, draft: &mut Draft) {
        for (over, turns) in self.batches.gathering.clone() {
            let silent = self.silent_among(&over.participants);
            let mut room = BATCHES_UNDER_WAY_COUNT_MAX.saturating_sub(self.batches.undecided(&over));
            for turn in turns {
                if let Some(shard) = silent {
                    self.disband(turn, &Refusal::Unreachable { shard }, draft);
                    continue;
                }
                let begins = |batch: &Batch| batch.is_held && (room > 0 || batch.patient_until <= draft.now);
                if self.batch(turn).is_some_and(begins) {
                    room = room.saturating_sub(1);
                    self.batches.close(&over, turn);
                    self.run_batch(turn, draft);
                }
            }
        }
    }

    /// Has a batch run, and takes no more members into it.
    fn run_batch(&mut self, turn: Turn, draft: &mut Draft) {
        let payload = match self.payload_of_batch(turn, draft.now) {
            Ok(payload) => payload,
            Err(error) => return self.disband(turn, &error.into(), draft),
        };
        if let Some(pending) = self.pending.get_mut(&turn) {
            pending.payload = payload;
        }
        self.enter(turn, Stage::Ready, None);
    }

    /// What shares the attempt of `turn`, if that is no submission.
    pub(crate) fn batch(&self, turn: Turn) -> Option<&Batch> {
        self.pending.get(&turn)?.batch.as_deref()
    }

    fn batch_mut(&mut self, turn: Turn) -> Option<&mut Batch> {
        self.pending.get_mut(&turn)?.batch.as_deref_mut()
    }

    /// The members' payloads as one, at the slot that it is now.
    fn payload_of_batch(&self, turn: Turn, now: Time) -> Result<Arc<Verified<RecoveredPayload>>, PayloadError> {
        let members = self.batch(turn).into_iter().flat_map(Batch::turns);
        let members = members.filter_map(|member| self.pending.get(&member));
        let payloads: Vec<_> = members.map(|member| self.payload_at(member, now)).collect::<Result<_, _>>()?;
        Verified::by(&self.verifier, payloads.as_slice()).map(Arc::new)
    }

    /// What follows from the run of a batch: its attempt, if it is over the shards its members are over.
    pub(crate) fn claim_batch_run(&mut self, turn: Turn, executed: Executed, draft: &mut Draft) {
        let Some(batch) = self.batch(turn) else { return };
        if self.silent_among(&batch.over.participants).is_some() {
            return self.disband(turn, &Refusal::Waited, draft);
        }
        if Over::of(&executed) != batch.over {
            return self.halve(turn, &Refusal::Waited, draft);
        }
        let (claim, free) = self.claims.claim(turn, &locked(&executed));
        self.wake(free.into_iter().filter(|other| *other != turn));
        match claim {
            Claim::Held => self.begin(turn, Arc::new(executed), draft),
            Claim::Waits(_) => {
                let due = draft.now.after(self.settings.timing.answer);
                self.enter(turn, Stage::Queued { participants: executed.participants }, Some(due));
            }
        }
    }

    /// The last event of a batch's attempt, for its members: each of them ends as it did, or is tried again alone.
    pub(crate) fn finish_batch(&mut self, turn: Turn, event: Event, draft: &mut Draft) {
        match event {
            Event::Committed(committed) => {
                let members = self.close_batch(turn);
                for (member, outcome) in members.into_iter().zip(&committed.outcomes) {
                    let own = Committed { outcomes: vec![outcome.clone()], ..(*committed).clone() };
                    self.finish(member, Event::Committed(Box::new(own)), draft);
                }
            }
            Event::Refused(refusal) if is_of_its_content(&refusal) => self.halve(turn, &refusal, draft),
            Event::Refused(refusal) => self.disband(turn, &refusal, draft),
            _ => {}
        }
    }

    /// The run of a batch failed: whoever it failed at is tried alone, and the others go on without.
    pub(crate) fn batch_failed(&mut self, turn: Turn, error: ExecuteError, draft: &mut Draft) {
        let ExecuteError::Invalid { index, .. } = error else {
            return self.halve(turn, &Refusal::Execution(error), draft);
        };
        let members = self.batch(turn).map_or(0, |batch| batch.members.len());
        let Some(spoiler) = self.batch(turn).and_then(|batch| batch.turns().nth(index)).filter(|_| members > 1) else {
            return self.disband(turn, &Refusal::Execution(error), draft);
        };
        self.part(turn, &[spoiler].into());
        self.go_alone(spoiler, &Refusal::Execution(error), draft);
        self.run_batch(turn, draft);
    }

    /// A batch spoils itself, and nobody knows which of its members does: its halves go on, each for itself.
    fn halve(&mut self, turn: Turn, last: &Refusal, draft: &mut Draft) {
        let Some(batch) = self.batch(turn) else { return };
        let (count, over) = (batch.members.len(), batch.over.clone());
        let rest: BTreeSet<Turn> = batch.turns().skip(count / 2).collect();
        if count < 4 {
            return self.disband(turn, last, draft);
        }
        let Some(payload) = self.pending.get(&turn).map(|pending| pending.payload.clone()) else { return };
        let leaving = self.part(turn, &rest);
        let mut half = Batch::of(over, draft.now);
        for member in leaving {
            half.join(member);
        }
        let half = self.new_batch(half, payload, draft.now);
        for member in rest {
            self.enter(member, Stage::Member(half), None);
        }
        self.run_batch(turn, draft);
        self.run_batch(half, draft);
    }

    /// Takes these out of a batch, which is tried anew.
    fn part(&mut self, turn: Turn, leaving: &BTreeSet<Turn>) -> Vec<Member> {
        let Some(pending) = self.pending.get_mut(&turn) else { return Vec::new() };
        (pending.rounds, pending.burnt) = (0, 0);
        let Some(batch) = &mut pending.batch else { return Vec::new() };
        batch.part(|member| !leaving.contains(&member))
    }

    /// Whether a member may leave its batch as if it had not joined: that has not begun.
    pub(crate) fn may_leave(&self, batch: Turn) -> bool {
        self.pending.get(&batch).is_some_and(|pending| matches!(pending.stage, Stage::Gathering))
    }

    /// Takes a member out of a batch that gathers.
    pub(crate) fn leave(&mut self, batch: Turn, member: Turn) {
        self.part(batch, &[member].into());
        if self.batch(batch).is_some_and(|batch| batch.members.is_empty()) {
            self.close_batch(batch);
        } else {
            self.claim_for_batch(batch);
        }
    }

    /// Ends a batch without a commit: each of its members is tried again alone, or refused as `last` if its lifetime is over.
    pub(crate) fn disband(&mut self, turn: Turn, last: &Refusal, draft: &mut Draft) {
        for member in self.close_batch(turn) {
            self.go_alone(member, last, draft);
        }
    }

    /// A member goes on without its batch.
    fn go_alone(&mut self, member: Turn, last: &Refusal, draft: &mut Draft) {
        let Some(pending) = self.pending.get_mut(&member) else { return };
        pending.tries += 1;
        let salt = pending.ticket.0;
        self.again(member, salt, last.clone(), draft);
    }

    /// Forgets a batch and gives its keys back; says whose it was.
    fn close_batch(&mut self, turn: Turn) -> Vec<Turn> {
        self.enter(turn, Stage::Ready, None);
        self.ready.remove(&turn);
        self.free_keys_of([turn]);
        let Some(batch) = self.pending.remove(&turn).and_then(|pending| pending.batch) else { return Vec::new() };
        self.batches.close(&batch.over, turn);
        batch.turns().collect()
    }
}

/// Whether a batch was refused for what is in it, and not for who else was there.
fn is_of_its_content(refusal: &Refusal) -> bool {
    use Refusal::{Objected, Participants, TooLong, TooMuchGas, Voted};
    matches!(refusal, Objected { .. } | Participants { .. } | TooLong { .. } | TooMuchGas { .. } | Voted { .. })
}
