//! Submissions over the same shards that share one attempt.
//!
//! ```text
//!   run, over several shards ── no attempt over these shards is undecided ──> an attempt of its own
//!              │
//!              └── else ──> gathers ── its keys are free, there is room ──> one payload, run and attempted as one
//!                              ^                                                 │              │
//!                              '── more over the same shards                 committed     anything else
//!                                                                                v              v
//!                                                                       to each its outcome   each is tried again alone
//! ```
//!
//! An attempt costs each participant a descriptor, a vote, receipts, a decision and their calls, whatever it carries. What has to
//! wait anyway waits for company; nothing waits for company alone.
//!
//! Members run one after the other, each on what those before it left, so they may want the same keys: a key that all want is
//! locked once for all of them. None depends on another's success ([`evm::Grouping::Batch`]).
//!
//! Promise: a batch changes neither what a member does nor whether it ends. It claims its members' keys in their place, all or
//! none, in the order in which it was opened; and whatever goes wrong with it, its members are tried again one by one.

use crate::claims::{Claim, Turn, Uses};
use crate::coordinator::{Coordinator, Draft};
use crate::execution::locked;
use crate::input::{Committed, Event};
use crate::pending::{Pending, Stage};
use crate::refusal::Refusal;
use crate::settings::{BATCH_BYTES_MAX, BATCH_GAS_MAX, BATCHES_UNDER_WAY_COUNT_MAX};
use evm::{BATCH_COUNT_MAX, Executed, LockMode, PayloadError, RecoveredPayload};
use primitives::{ShardId, Time, Verified};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What several submissions share.
#[derive(Debug)]
pub(crate) struct Batch {
    /// In the order in which they run.
    pub(crate) members: Vec<Turn>,
    /// The shards that each of them touched when it ran alone.
    participants: BTreeSet<ShardId>,
    /// The keys that they used then.
    uses: Uses,
    /// The gas that they burnt then.
    pub(crate) gas: u64,
    bytes: usize,
    /// Whether it holds its keys; else it waits for them.
    is_held: bool,
}

/// A submission that could join a batch.
struct Joiner {
    uses: Uses,
    gas: u64,
    bytes: usize,
}

impl Batch {
    fn of(participants: BTreeSet<ShardId>) -> Self {
        Self { members: Vec::new(), participants, uses: Uses::new(), gas: 0, bytes: 0, is_held: true }
    }

    fn has_room(&self, joiner: &Joiner) -> bool {
        self.members.len() < BATCH_COUNT_MAX
            && self.gas.saturating_add(joiner.gas) <= BATCH_GAS_MAX
            && self.bytes.saturating_add(joiner.bytes) <= BATCH_BYTES_MAX
    }

    fn join(&mut self, turn: Turn, joiner: &Joiner) {
        self.members.push(turn);
        self.gas = self.gas.saturating_add(joiner.gas);
        self.bytes = self.bytes.saturating_add(joiner.bytes);
        for (key, usage) in &joiner.uses {
            // Two that use a key in different ways come to a use that goes with nobody.
            let held = self.uses.entry(*key).or_insert(*usage);
            if held != usage {
                *held = crate::claims::Usage::Locked(LockMode::Exclusive);
            }
        }
    }
}

/// The batches that have not begun, and how many attempts are undecided, by the shards they are over.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    gathering: BTreeMap<BTreeSet<ShardId>, Vec<Turn>>,
    undecided: BTreeMap<BTreeSet<ShardId>, usize>,
}

impl Batches {
    /// An attempt over these shards has begun.
    pub(crate) fn begun(&mut self, participants: &BTreeSet<ShardId>) {
        *self.undecided.entry(participants.clone()).or_default() += 1;
    }

    /// An attempt over these shards is decided, or left.
    pub(crate) fn decided(&mut self, participants: &BTreeSet<ShardId>) {
        if let Some(count) = self.undecided.get_mut(participants) {
            *count -= 1;
            if *count == 0 {
                self.undecided.remove(participants);
            }
        }
    }

    /// Whether nothing gathers, and nothing is undecided.
    pub(crate) fn is_empty(&self) -> bool {
        self.gathering.is_empty() && self.undecided.is_empty()
    }

    fn undecided(&self, participants: &BTreeSet<ShardId>) -> usize {
        self.undecided.get(participants).copied().unwrap_or_default()
    }

    fn open(&mut self, participants: &BTreeSet<ShardId>, turn: Turn) {
        self.gathering.entry(participants.clone()).or_default().push(turn);
    }

    fn close(&mut self, participants: &BTreeSet<ShardId>, turn: Turn) {
        if let Some(turns) = self.gathering.get_mut(participants) {
            turns.retain(|gathering| *gathering != turn);
            if turns.is_empty() {
                self.gathering.remove(participants);
            }
        }
    }
}

impl Coordinator {
    /// Whether a submission shares an attempt with others rather than have one of its own: there is one before it.
    pub(crate) fn may_gather(&self, turn: Turn, executed: &Executed) -> bool {
        let is_first_try_of_one =
            |pending: &Pending| pending.tries == 0 && pending.runs_in_slots() && pending.payload.steps().len() == 1;
        let participants = &executed.participants;
        participants.len() > 1
            // Whoever reads the fees is given little time, alone (docs/decisions/0021).
            && executed.witness.fees.is_empty()
            && executed.gas() <= BATCH_GAS_MAX
            && self.batches.undecided(participants) > 0
            && self.pending.get(&turn).is_some_and(is_first_try_of_one)
    }

    /// Has a submission join a batch that gathers over its shards, or open one.
    pub(crate) fn gather(&mut self, turn: Turn, executed: &Executed, draft: &mut Draft) {
        let Some(pending) = self.pending.get(&turn) else { return };
        let payload = pending.payload.clone();
        let bytes = pending.payload.signed().map(|transaction| transaction.bytes().len()).sum();
        let joiner = Joiner { uses: locked(executed), gas: executed.gas(), bytes };
        // Its place is the batch's from here on.
        self.free_keys_of([turn]);
        let batch = match self.company(&joiner, &executed.participants) {
            Some(batch) => batch,
            None => self.open_batch(&executed.participants, payload, draft.now),
        };
        self.enter(turn, Stage::Member, None);
        let Some(opened) = self.pending.get_mut(&batch).and_then(|pending| pending.batch.as_mut()) else { return };
        opened.join(turn, &joiner);
        if opened.is_held && opened.members.len() > 1 {
            return self.claims.hold_more(batch, &joiner.uses);
        }
        if let Claim::Waits(key) = self.claim_for_batch(batch) {
            self.tell(turn, &Event::Queued { key }, draft);
        }
    }

    /// A batch that gathers over these shards, has room, and would wait no longer for its keys with `joiner` than without.
    fn company(&self, joiner: &Joiner, participants: &BTreeSet<ShardId>) -> Option<Turn> {
        let is_company = |turn: &&Turn| {
            let is_free = self.claims.may_hold_more(**turn, &joiner.uses);
            self.batch(**turn).is_some_and(|batch| batch.has_room(joiner) && batch.is_held == is_free)
        };
        self.batches.gathering.get(participants)?.iter().find(is_company).copied()
    }

    fn open_batch(
        &mut self,
        participants: &BTreeSet<ShardId>,
        payload: Arc<Verified<RecoveredPayload>>,
        now: Time,
    ) -> Turn {
        let turn = self.next_turn();
        self.pending.insert(turn, Pending::batch(payload, now, Batch::of(participants.clone())));
        // Its members came no later, so none waits longer than it may alone.
        self.look_again(turn, now.after(self.settings.timing.lifetime));
        self.batches.open(participants, turn);
        turn
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

    /// Begins those batches that hold their keys and have room; those over a silent shard will not have it soon.
    pub(crate) fn begin_batches(&mut self, draft: &mut Draft) {
        for (participants, turns) in self.batches.gathering.clone() {
            let silent = self.silent_among(&participants);
            let mut room = BATCHES_UNDER_WAY_COUNT_MAX.saturating_sub(self.batches.undecided(&participants));
            for turn in turns {
                if let Some(shard) = silent {
                    self.disband(turn, &Refusal::Unreachable { shard }, draft);
                } else if room > 0 && self.batch(turn).is_some_and(|batch| batch.is_held) {
                    room -= 1;
                    self.batches.close(&participants, turn);
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

    fn batch(&self, turn: Turn) -> Option<&Batch> {
        self.pending.get(&turn)?.batch.as_deref()
    }

    /// The members' payloads as one, at the slot that it is now.
    fn payload_of_batch(&self, turn: Turn, now: Time) -> Result<Arc<Verified<RecoveredPayload>>, PayloadError> {
        let members = self.batch(turn).into_iter().flat_map(|batch| &batch.members);
        let members = members.filter_map(|member| self.pending.get(member));
        let payloads: Vec<_> = members.map(|member| self.payload_at(member, now)).collect::<Result<_, _>>()?;
        Verified::by(&self.verifier, payloads.as_slice()).map(Arc::new)
    }

    /// What follows from the run of a batch: its attempt, if it is over the shards its members are over.
    pub(crate) fn claim_batch_run(&mut self, turn: Turn, executed: Executed, draft: &mut Draft) {
        let Some(batch) = self.batch(turn) else { return };
        if executed.participants != batch.participants || self.silent_among(&batch.participants).is_some() {
            return self.disband(turn, &Refusal::Waited, draft);
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
            Event::Refused(refusal) => self.disband(turn, &refusal, draft),
            _ => {}
        }
    }

    /// Ends a batch without a commit: each of its members is tried again alone, or refused as `last` if its lifetime is over.
    pub(crate) fn disband(&mut self, turn: Turn, last: &Refusal, draft: &mut Draft) {
        for member in self.close_batch(turn) {
            let Some(pending) = self.pending.get_mut(&member) else { continue };
            pending.tries += 1;
            let salt = pending.ticket.0;
            self.again(member, salt, last.clone(), draft);
        }
    }

    /// Forgets a batch and gives its keys back; says whose it was.
    fn close_batch(&mut self, turn: Turn) -> Vec<Turn> {
        self.enter(turn, Stage::Ready, None);
        self.ready.remove(&turn);
        self.free_keys_of([turn]);
        let Some(batch) = self.pending.remove(&turn).and_then(|pending| pending.batch) else { return Vec::new() };
        self.batches.close(&batch.participants, turn);
        batch.members
    }
}
