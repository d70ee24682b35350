//! A participant's side of attempts, with what `commit` leaves to the shard: readiness, locks, effects, receipts.
//!
//!   Prepare ---> derived? lagging? ---> commit ---> ready: slot, own slice current, sendable, locks free
//!                     | refused            | yes: locks + part + record + vote leaf in one batch (R2)
//!                                          | yes of the last agent: changes + record + vote leaf in one batch (R1, R2)
//!                                          | no:  record + vote leaf
//!   Decision --> commit ---> apply the stored part (I5) or drop it; release locks either way
//!   late ------> ask all others for votes ---> Votes ---> Decision, without a coordinator (R8)
//!
//! Promise (I7): a lock belongs to an attempt that voted yes and is undecided, and there is one such attempt at most for a
//! sender and nonce (R11).
//! Knows nothing of who asks: a coordinator, another one, a peer, a stranger.

use crate::applied::{Cause, Part};
use crate::blocks::{Entry, LeafPlace};
use crate::fees_reads::{FeesReads, holds_up_fees};
use crate::input::{Answer, AttemptRefusal, Busy, FreshValue, Pending, Prepare, Send, SlotRefused, shards_of};
use crate::ledger;
use crate::limits::{
    ASKS_PER_STEP_COUNT_MAX, ATTEMPTS_LIVE_COUNT_MAX, HINT_VALUES_COUNT_MAX, SLOT_AHEAD_MAX, SLOT_BEHIND_MAX,
};
use crate::locks::{LOCKS_PER_ATTEMPT_COUNT_MAX, LockTable};
use crate::queries;
use crate::shard::Work;
use crate::spaces::{self, ATTEMPTS, HOLDERS, PREPARED};
use crate::staged::{get_value, own_value};
use crate::tombstones::Ground;
use crate::votes::VoteVerifier;
use alloy_primitives::Address;
use borsh::{BorshDeserialize, BorshSerialize};
use commit::participant::{Action, Answer as VoteAnswer, Record, Step, ask_at};
use commit::{Decision, DecisionProof, Descriptor, Participant, Refusal, Rejection, VoteProof, counts};
use evm::{LockMode, NetworkParams, StateKey, Witness};
use primitives::{AttemptId, Digest, Height, Read, ShardId, Slot, Time, Verified, encode};
use proof::LeafKind;
use std::collections::{BTreeMap, BTreeSet};

/// Codes of [`Refusal::Invalid`] that this shard gives.
pub mod invalid {
    /// It sends a message that nobody could deliver.
    pub const DISPATCH: u16 = 1;
    /// It locks more keys here than an attempt may.
    pub const TOO_MANY_LOCKS: u16 = 2;
}

/// How many prepared attempts are read at a time when a shard opens.
const OPEN_PAGE_COUNT: usize = 256;

/// All that this shard keeps of an attempt: of one that it said yes to until it is settled (R7).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AttemptRecord {
    /// As `commit` keeps it.
    pub record: Record,
    /// The leaf of this shard's vote (R2).
    pub vote: LeafPlace,
    /// The block that learnt of the decision, if it was a yes.
    pub decided: Option<Height>,
}

/// An attempt's yes vote, kept until its decision.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Prepared {
    descriptor: Descriptor,
    part: Part,
    /// Own senders and the nonces that the attempt spends (R11).
    nonces: Vec<(Address, u64)>,
}

/// An undecided attempt in memory.
#[derive(Debug)]
pub(crate) struct Live {
    descriptor: Descriptor,
    nonces: Vec<(Address, u64)>,
    /// The slot it ran at.
    number: u64,
    /// How often the others were asked.
    round: u32,
    due: Time,
    /// What the others answered; lost at a restart, and then asked for again.
    votes: BTreeMap<ShardId, Verified<VoteProof>>,
}

impl Live {
    fn new(params: &NetworkParams, prepared: &Prepared) -> Self {
        let Prepared { descriptor, part, nonces } = prepared;
        Self {
            due: first_asked(params, descriptor, part.slot),
            descriptor: descriptor.clone(),
            nonces: nonces.clone(),
            number: part.number,
            round: 0,
            votes: BTreeMap::new(),
        }
    }
}

/// The undecided attempts of a shard.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    live: BTreeMap<AttemptId, Live>,
    /// R11: one live attempt for each sender and nonce.
    senders: BTreeMap<(Address, u64), AttemptId>,
    due: BTreeSet<(Time, AttemptId)>,
    /// By deadline: before the first nothing is open here (R7).
    deadlines: BTreeSet<(Time, AttemptId)>,
    /// Those with an outcome to show here, by the slot they ran at.
    numbers: BTreeSet<(u64, AttemptId)>,
    fees_reads: FeesReads,
    /// Parts that `DecisionAppliedTwice` applies again.
    #[cfg(feature = "twins")]
    pub(crate) kept: BTreeMap<AttemptId, Prepared>,
}

impl Attempts {
    /// The attempts that the store says are undecided; takes their locks again.
    pub(crate) fn open(
        read: &impl Read,
        now: Time,
        (params, participant): (&NetworkParams, &Participant),
        locks: &mut LockTable,
    ) -> Self {
        let mut attempts = Self::default();
        let mut from = Vec::new();
        loop {
            let page = read.scan(PREPARED, &[], &from, OPEN_PAGE_COUNT);
            for (_, bytes) in &page {
                attempts.reopen(own_value(PREPARED, bytes), now, (params, participant), locks);
            }
            match page.last() {
                Some((last, _)) if page.len() == OPEN_PAGE_COUNT => from = [&last[..], &[0]].concat(),
                _ => return attempts,
            }
        }
    }

    fn reopen(
        &mut self,
        prepared: Prepared,
        now: Time,
        (params, participant): (&NetworkParams, &Participant),
        locks: &mut LockTable,
    ) {
        let attempt = prepared.descriptor.id();
        if holds_up_fees(&prepared.part.locks) {
            self.fees_reads.begin(attempt, now);
        }
        let live = Live::new(params, &prepared);
        let taken = locks.acquire(attempt, held(participant, prepared.part.locks));
        assert!(taken.is_ok(), "two undecided attempts in the store hold one key: {taken:?}");
        self.insert(attempt, live);
    }

    /// What an undecided attempt is.
    #[cfg(feature = "twins")]
    pub(crate) fn descriptor(&self, attempt: AttemptId) -> Option<&Descriptor> {
        self.live.get(&attempt).map(|live| &live.descriptor)
    }

    /// What the others have answered about an undecided attempt.
    #[cfg(feature = "twins")]
    pub(crate) fn votes(&self, attempt: AttemptId) -> impl Iterator<Item = Verified<VoteProof>> {
        self.live.get(&attempt).into_iter().flat_map(|live| live.votes.values().cloned())
    }

    /// How many there are.
    pub(crate) fn live_count(&self) -> usize {
        self.live.len()
    }

    /// When to look again at what is late.
    pub(crate) fn due_at(&self) -> Option<Time> {
        self.due.first().map(|(time, _)| *time)
    }

    /// Through which deadlines nothing is open, nor will be on a shard whose blocks to come have no earlier time than `time`: it says
    /// yes to what has a later deadline alone (R5, R10).
    pub(crate) fn settled_through(&self, time: Time) -> Time {
        let before = |(deadline, _): &(Time, AttemptId)| Time(deadline.0.saturating_sub(1));
        self.deadlines.first().map_or(time, |oldest| time.min(before(oldest)))
    }

    /// The oldest slot that an undecided attempt ran at.
    pub(crate) fn oldest_number(&self) -> Option<u64> {
        self.numbers.first().map(|(number, _)| *number)
    }

    fn insert(&mut self, attempt: AttemptId, live: Live) {
        self.due.insert((live.due, attempt));
        self.deadlines.insert((live.descriptor.deadline, attempt));
        self.numbers.insert((live.number, attempt));
        self.senders.extend(live.nonces.iter().map(|nonce| (*nonce, attempt)));
        self.live.insert(attempt, live);
    }

    fn remove(&mut self, attempt: AttemptId, now: Time) {
        let Some(live) = self.live.remove(&attempt) else { return };
        self.fees_reads.end(attempt, now);
        self.due.remove(&(live.due, attempt));
        self.deadlines.remove(&(live.descriptor.deadline, attempt));
        self.numbers.remove(&(live.number, attempt));
        for nonce in &live.nonces {
            self.senders.remove(nonce);
        }
    }

    /// I7: live attempts and holders of locks are the same.
    pub(crate) fn assert_valid(&self, locks: &LockTable) {
        assert!(locks.holders().eq(self.live.keys().copied()), "a lock without a live attempt, or the reverse");
        assert_eq!(self.due.len(), self.live.len(), "each live attempt is due once");
        for (attempt, live) in &self.live {
            assert!(self.due.contains(&(live.due, *attempt)), "{attempt} is due at another time");
            assert!(
                live.nonces.iter().all(|nonce| self.senders.get(nonce) == Some(attempt)),
                "{attempt} shares a nonce"
            );
        }
        let deadlines = self.live.iter().map(|(attempt, live)| (live.descriptor.deadline, *attempt));
        assert_eq!(
            deadlines.collect::<BTreeSet<_>>(),
            self.deadlines,
            "the deadlines of live attempts are those kept in order"
        );
        let numbers = self.live.iter().map(|(attempt, live)| (live.number, *attempt));
        assert_eq!(
            numbers.collect::<BTreeSet<_>>(),
            self.numbers,
            "the slots of live attempts are those kept in order"
        );
        let nonces: usize = self.live.values().map(|live| live.nonces.len()).sum();
        assert_eq!(nonces, self.senders.len(), "a nonce is reserved for no live attempt");
    }
}

/// The locks of an attempt's part that are held until its decision: all of them (R6).
#[cfg_attr(not(feature = "twins"), expect(unused_variables, reason = "the rule is the same for all participants"))]
fn held(participant: &Participant, locks: BTreeMap<StateKey, LockMode>) -> BTreeMap<StateKey, LockMode> {
    #[cfg(feature = "twins")] // EarlyReadUnlock and UndecidedRead break R6.
    let locks = crate::twins::held(participant.twin, locks);
    locks
}

/// When an undecided attempt is asked about for the first time. A last agent that has not voted when its slot is taken no more will
/// not say yes (R10); one that has has committed, and what follows on that runs there. So it is asked then, and the attempt is shown in its
/// own slot.
fn first_asked(params: &NetworkParams, descriptor: &Descriptor, slot: Option<Slot>) -> Time {
    let late = ask_at(descriptor.deadline, 0);
    match slot.filter(|_| descriptor.last_agent().is_some()) {
        Some(slot) => late.min(params.end_of(slot).after(SLOT_BEHIND_MAX).after(SLOT_AHEAD_MAX)),
        None => late,
    }
}

/// What this shard keeps of an attempt.
pub fn attempt(read: &impl Read, attempt: AttemptId) -> Option<AttemptRecord> {
    get_value(read, ATTEMPTS, &spaces::attempt_key(attempt))
}

/// An undecided attempt that may change `key`, if there is one: a read beside it may be of half an attempt (I17).
///
/// One look-up: a scan over holders that come and go would walk over all that were there since the last compaction.
pub fn locked_by(read: &impl Read, key: &StateKey) -> Option<AttemptId> {
    get_value(read, HOLDERS, &spaces::holder_key(key))
}

/// What an undecided attempt may still do to the state.
#[derive(Debug)]
pub(crate) struct Undecided {
    /// Which.
    pub(crate) attempt: AttemptId,
    /// The slot it ran at.
    pub(crate) number: u64,
    /// Those that take part in it.
    pub(crate) participants: Vec<ShardId>,
    locks: BTreeMap<StateKey, LockMode>,
}

impl Undecided {
    fn of(key: &[u8], Prepared { part, .. }: Prepared) -> Option<Self> {
        let attempt = AttemptId(Digest::new(key.try_into().ok()?));
        Some(Self { attempt, number: part.number, participants: part.participants, locks: part.locks })
    }

    /// Whether it may change `key`.
    pub(crate) fn changes(&self, key: &StateKey) -> bool {
        changing(&self.locks).any(|changed| changed == key)
    }
}

/// What `attempt` may still do, while it is undecided here.
pub(crate) fn undecided(read: &impl Read, attempt: AttemptId) -> Option<Undecided> {
    let key = spaces::attempt_key(attempt);
    Undecided::of(&key, get_value(read, PREPARED, &key)?)
}

/// Every undecided attempt.
pub(crate) fn all_undecided(read: &impl Read) -> impl Iterator<Item = Undecided> {
    let rows = read.scan(PREPARED, &[], &[], usize::MAX).into_iter();
    rows.filter_map(|(key, stored)| Undecided::of(&key, own_value(PREPARED, &stored)))
}

/// The keys that an attempt with these locks may change.
fn changing(locks: &BTreeMap<StateKey, LockMode>) -> impl Iterator<Item = &StateKey> {
    locks.iter().filter(|(_, mode)| **mode != LockMode::Shared).map(|(key, _)| key)
}

/// What a prepare met that is in its way.
#[derive(Debug, Default)]
struct Met {
    /// A key that another holds.
    held: Option<StateKey>,
    /// Own values that are not what its witness says, as they are now.
    stale: Vec<FreshValue>,
}

impl<R: Read> Work<'_, '_, R> {
    /// Votes on an attempt, or answers with the vote that stands.
    pub(crate) fn prepare(&mut self, prepare: &Prepare) -> Result<Pending, AttemptRefusal> {
        let descriptor = &prepare.descriptor;
        let id = descriptor.id();
        let known = attempt(&self.ledger.staged, id);
        if known.is_none() {
            check_derived(prepare)?;
            self.check_room()?;
            self.check_read(prepare.executed.witness.keys())?;
        }
        let (mut met, mut part) = (Met::default(), None);
        let step = self.shard.participant.prepare(
            known.as_ref().map(|known| &known.record),
            descriptor,
            &prepare.homes,
            self.time,
            || self.ready(id, prepare, &mut met).map(|ready| part = Some(ready)),
        )?;
        let action = step.action;
        if let Some(key) = met.held {
            self.shard.heat.note(key, self.time);
        }
        let answer = self.answer_vote(id, known, step, Ground::Voted, met.stale);
        match (action, part) {
            (Action::Lock, Some(part)) => self.lock(id, descriptor, part, prepare),
            (Action::Commit, Some(part)) => self.commit(id, descriptor, part),
            _ => {}
        }
        answer
    }

    /// Votes no if there is no vote yet, and answers with the vote that stands (R4, R5).
    ///
    /// A no that nobody is seen to wait for is said only while there are few of them: whoever holds a lock shows a yes.
    pub(crate) fn abort_request(
        &mut self,
        descriptor: &Descriptor,
        waits: Option<&Verified<VoteProof>>,
    ) -> Result<Pending, AttemptRefusal> {
        let id = descriptor.id();
        let known = attempt(&self.ledger.staged, id);
        // A yes that counts makes whoever gave it wait for the others'.
        let waited = waits.is_some_and(|proof| proof.vote.verdict.is_yes() && counts(descriptor, id, &proof.vote));
        let ground = if waited { Ground::Waited } else { Ground::Unfounded };
        let excess = self.shard.tombstones.excess(ground).filter(|_| known.is_none());
        if let Some(kept) = excess {
            return Err(Busy::Tombstones { kept }.into());
        }
        let record = known.as_ref().map(|known| &known.record);
        let step = self.shard.participant.abort_request(record, descriptor, self.time)?;
        self.answer_vote(id, known, step, ground, Vec::new())
    }

    /// Ends an attempt as its votes say (R1, R8).
    pub(crate) fn decision(&mut self, proof: &DecisionProof) -> Result<Answer, AttemptRefusal> {
        let (id, decision) = (proof.attempt(), proof.decide());
        let known = attempt(&self.ledger.staged, id);
        let record = known.as_ref().map(|known| &known.record);
        let step = self.shard.participant.decision(record, proof, self.time)?;
        let height = match (&known, step.action) {
            (Some(known), Action::Apply | Action::Release) => self.end(id, known, step),
            (Some(known), _) => known.decided.unwrap_or(known.vote.height),
            (None, _) if step.answer.is_none() => self.draft.height(), // Past its deadline there is nothing to remember.
            (None, _) => {
                self.answer_vote(id, None, step, Ground::Voted, Vec::new())?;
                self.draft.height()
            }
        };
        Ok(Answer::Decided { attempt: id, decision, height })
    }

    /// Keeps another participant's vote on a late attempt, and ends the attempt if the votes decide it (R8).
    pub(crate) fn vote(&mut self, vote: Verified<VoteProof>) {
        let id = vote.vote.attempt;
        let Some(live) = self.shard.attempts.live.get_mut(&id) else { return };
        let is_no = !vote.vote.verdict.is_yes();
        if !counts(&live.descriptor, id, &vote.vote) {
            return; // R9: certified by another epoch than the attempt binds.
        }
        if is_no || !live.votes.contains_key(&vote.vote.shard) {
            live.votes.insert(vote.vote.shard, vote);
        }
        if let Some(proof) = self.decide_alone(id) {
            self.finish_alone(&proof);
        }
    }

    /// Asks the others about every attempt that is late (R8). R4: a timer may only ask.
    pub(crate) fn ask_about_late(&mut self) {
        for _ in 0..ASKS_PER_STEP_COUNT_MAX {
            let due = self.shard.attempts.due.first().copied();
            let Some((_, id)) = due.filter(|(due, _)| *due <= self.time) else { return };
            #[cfg(feature = "twins")] // LocalTimerAbort breaks R4.
            if self.abort_by_clock(id) {
                continue;
            }
            match self.decide_alone(id) {
                Some(proof) => self.finish_alone(&proof), // The only participant has nobody to ask.
                None => self.ask(id),
            }
        }
    }

    /// Asks all others about one late attempt, and sets when to ask again.
    fn ask(&mut self, id: AttemptId) {
        let Some(known) = attempt(&self.ledger.staged, id) else { return };
        if known.vote.height == self.draft.height() {
            return; // Its block is not sealed yet.
        }
        let waits = queries::receipt_at(&self.ledger.staged, known.vote);
        let Some(live) = self.shard.attempts.live.get_mut(&id) else { return };
        let record = Record::Prepared { descriptor: live.descriptor.clone() };
        let Some(ask) = self.shard.participant.ask(&record, live.round, self.time) else { return };
        self.shard.attempts.due.remove(&(live.due, id));
        (live.round, live.due) = (live.round.saturating_add(1), ask.again);
        self.shard.attempts.due.insert((live.due, id));
        let (descriptor, waits) = (ask.descriptor, Box::new(waits));
        let question = |to: &ShardId| Send::AskVotes { to: *to, descriptor: descriptor.clone(), waits: waits.clone() };
        self.sends.extend(ask.shards.iter().map(question));
    }

    fn finish_alone(&mut self, proof: &DecisionProof) {
        let decided = self.decision(proof);
        debug_assert!(decided.is_ok(), "the votes of a live attempt decide it: {decided:?}");
    }

    /// The decision that the collected votes and this shard's own make, if they make one.
    fn decide_alone(&self, id: AttemptId) -> Option<DecisionProof> {
        let live = self.shard.attempts.live.get(&id)?;
        let others = || live.votes.values().cloned();
        if live.votes.values().any(|vote| !vote.vote.verdict.is_yes()) {
            return DecisionProof::new(live.descriptor.clone(), others().collect()).ok();
        }
        #[cfg(feature = "twins")] // ParticipantsNotBound breaks R1.
        if let Some(proof) = self.decide_without_the_rest(id) {
            return Some(proof);
        }
        if live.votes.keys().filter(|shard| **shard != self.shard.me).count() + 1 < live.descriptor.participants.len() {
            return None;
        }
        let own = self.own_vote(id)?;
        DecisionProof::new(live.descriptor.clone(), others().chain([own]).collect()).ok()
    }

    /// This shard's own vote as a fact: checked like anyone's.
    pub(crate) fn own_vote(&self, id: AttemptId) -> Option<Verified<VoteProof>> {
        let known = attempt(&self.ledger.staged, id)?;
        if known.vote.height == self.draft.height() {
            return None; // Its block is not sealed yet; the next answer will do.
        }
        let receipt = queries::receipt_at(&self.ledger.staged, known.vote);
        Verified::by(&VoteVerifier::new(&self.shard.verifier), receipt.to_bytes()).ok()
    }

    fn check_room(&self) -> Result<(), Busy> {
        self.shard.check_lag()?;
        if let Some(kept) = self.shard.tombstones.excess(Ground::Voted) {
            return Err(Busy::Tombstones { kept });
        }
        match self.shard.attempts.live.len() {
            live if live >= ATTEMPTS_LIVE_COUNT_MAX => Err(Busy::Attempts { live }),
            _ => Ok(()),
        }
    }

    /// Whether this shard can promise to commit: asked only while the vote is open.
    fn ready(&self, id: AttemptId, prepare: &Prepare, met: &mut Met) -> Result<Part, Refusal> {
        let Prepare { payload, executed, .. } = prepare;
        let shard = &*self.shard;
        let environment = &payload.payload().environment;
        let out_of_slot = |refused: SlotRefused| Refusal::Slot { taken: refused.taken };
        self.check_slot(environment).map_err(out_of_slot)?; // R10
        let slice = executed.slice(shard.me, &shard.placement);
        if slice.locks.len() > LOCKS_PER_ATTEMPT_COUNT_MAX {
            return Err(Refusal::invalid(invalid::TOO_MANY_LOCKS, "it locks too many keys on one shard"));
        }
        // Locks first: what an undecided attempt holds exclusively is about to be stale anyway.
        let wanted = &slice.locks;
        #[cfg(feature = "twins")] // UndecidedRead breaks R6.
        let wanted = &shard.awaited(wanted.clone());
        if let Some(conflict) = shard.locks.conflict(wanted) {
            met.held = Some(conflict.key);
            return Err(Refusal::Conflict { holder: conflict.holder });
        }
        if shard.waiting.is_claimed(wanted, self.time) {
            return Err(Refusal::Busy); // I14: a message has waited for this key longer than its patience.
        }
        // Whoever replays another chain's blocks runs them in their order, and tips are read there often.
        let is_watched = shard.params.environments.has_slots() && holds_up_fees(wanted);
        if is_watched && shard.attempts.fees_reads.refuses(prepare.descriptor.deadline, self.time) {
            return Err(Refusal::Busy);
        }
        if let Some(holder) = self.own_nonces(prepare).iter().find_map(|nonce| shard.attempts.senders.get(nonce)) {
            return Err(Refusal::Conflict { holder: *holder }); // R11
        }
        self.check_order(environment, &slice).map_err(out_of_slot)?; // R13
        met.stale = self.stale_values(&slice.witness);
        #[cfg(feature = "twins")] // StaleWitnessAccepted votes yes all the same.
        if shard.breaks(commit::Twin::StaleWitnessAccepted) {
            met.stale.clear();
        }
        if !met.stale.is_empty() {
            return Err(Refusal::Stale);
        }
        let messages = shard.mailbox.messages(&executed.effects.outcomes, &shard.placement);
        let messages = messages.map_err(|error| Refusal::invalid(invalid::DISPATCH, &error.to_string()))?;
        let is_own = |sender| shard.placement.shard_of(sender) == shard.me;
        Ok(Part::of(Cause::Attempt(id), shard.me, payload, executed, slice, messages, is_own))
    }

    /// The own senders and the nonces that the payload spends.
    fn own_nonces(&self, prepare: &Prepare) -> Vec<(Address, u64)> {
        let shard = &*self.shard;
        let signed = prepare.payload.signed().map(|transaction| (transaction.sender(), transaction.nonce()));
        signed.filter(|(sender, _)| shard.placement.shard_of(*sender) == shard.me).collect()
    }

    /// Which own values are not what the witness says, as they are now.
    fn stale_values(&self, witness: &Witness) -> Vec<FreshValue> {
        let staged = &self.ledger.staged;
        let accounts = witness.accounts.iter().filter_map(|(address, claimed)| {
            let account = ledger::account(staged, *address);
            (account != *claimed).then_some(FreshValue::Account(*address, account))
        });
        let slots = witness.slots.iter().filter_map(|((address, slot), claimed)| {
            let value = ledger::slot(staged, *address, *slot);
            (value != *claimed).then_some(FreshValue::Slot(*address, *slot, value))
        });
        let fees = witness.fees.iter().filter_map(|(key, claimed)| {
            let value = ledger::fees(staged, key.beneficiary);
            (value != *claimed).then_some(FreshValue::Fees(*key, value))
        });
        accounts.chain(slots).chain(fees).take(HINT_VALUES_COUNT_MAX).collect()
    }

    /// Takes the locks and keeps the part, in the batch of the yes vote (R2).
    fn lock(&mut self, id: AttemptId, descriptor: &Descriptor, part: Part, prepare: &Prepare) {
        let nonces = self.own_nonces(prepare);
        let taken = self.shard.locks.acquire(id, held(&self.shard.participant, part.locks.clone()));
        debug_assert!(taken.is_ok(), "readiness has just found these locks free: {taken:?}");
        // The homes' votes came with the prepare: if a home is gone when the attempt is late, there is no need to ask it (R8).
        let is_of_this = |home: &&Verified<VoteProof>| counts(descriptor, id, &home.vote);
        let votes = prepare.homes.iter().filter(is_of_this).map(|home| (home.vote.shard, home.clone())).collect();
        for key in changing(&part.locks) {
            self.ledger.staged.put_value(HOLDERS, spaces::holder_key(key), &id);
        }
        if holds_up_fees(&part.locks) {
            self.shard.attempts.fees_reads.begin(id, self.time);
        }
        let prepared = Prepared { descriptor: descriptor.clone(), part, nonces };
        self.shard.attempts.insert(id, Live { votes, ..Live::new(&self.shard.params, &prepared) });
        self.ledger.staged.put_value(PREPARED, spaces::attempt_key(id), &prepared);
    }

    /// Does in the batch of the yes vote what others do at the decision: this vote was the last (R1).
    fn commit(&mut self, id: AttemptId, descriptor: &Descriptor, part: Part) {
        self.shard.settling.keep(self.shard.me, descriptor, &mut self.ledger.staged);
        self.draft.push_entry(Entry::Decided { attempt: id, decision: Decision::Commit });
        self.apply(part);
    }

    /// Records a new vote, or finds the one that stands.
    fn answer_vote(
        &mut self,
        id: AttemptId,
        known: Option<AttemptRecord>,
        step: Step,
        ground: Ground,
        hint: Vec<FreshValue>,
    ) -> Result<Pending, AttemptRefusal> {
        match (step.answer, known) {
            (Some(VoteAnswer::New(vote)), _) => {
                let place = self.draft.push_leaf(LeafKind::Vote, encode(&vote));
                self.draft.push_entry(Entry::Voted { attempt: id, yes: vote.verdict.is_yes() });
                if let Some(record) = step.write {
                    if let Some(until) = record.kept_until(self.time) {
                        self.shard.tombstones.keep(until, id, ground, &mut self.ledger.staged);
                    }
                    let decided = matches!(record, Record::Decided { .. }).then_some(place.height);
                    let record = AttemptRecord { record, vote: place, decided };
                    self.ledger.staged.put_value(ATTEMPTS, spaces::attempt_key(id), &record);
                }
                Ok(Pending::Vote { vote, place, hint })
            }
            (Some(VoteAnswer::Existing(vote)), Some(known)) => Ok(Pending::Vote { vote, place: known.vote, hint }),
            (_, _) => Err(Rejection::Busy.into()),
        }
    }

    /// Names, for keys that an attempt has just given back, another that may change them: creditors share a key.
    fn name_other_holders<'k>(&mut self, keys: impl Iterator<Item = &'k StateKey>) {
        for key in keys {
            match self.shard.locks.changer(key) {
                Some(other) => self.ledger.staged.put_value(HOLDERS, spaces::holder_key(key), &other),
                None => self.ledger.staged.delete(HOLDERS, spaces::holder_key(key)),
            }
        }
    }

    /// Applies or drops the stored part and releases the locks. The record no longer asks for it: once (I5).
    pub(crate) fn end(&mut self, id: AttemptId, known: &AttemptRecord, step: Step) -> Height {
        let height = self.draft.height();
        let key = spaces::attempt_key(id);
        let prepared: Option<Prepared> = get_value(&self.ledger.staged, PREPARED, &key);
        #[cfg(feature = "twins")] // DecisionAppliedTwice breaks I5.
        let prepared = self.keep_part(id, prepared);
        if let Some(record) = step.write {
            if let Some(decision) = record.decision() {
                self.draft.push_entry(Entry::Decided { attempt: id, decision });
            }
            let record = AttemptRecord { record, vote: known.vote, decided: Some(height) };
            self.ledger.staged.put_value(ATTEMPTS, key, &record);
        }
        if let Some(live) = self.shard.attempts.live.get(&id) {
            self.shard.settling.keep(self.shard.me, &live.descriptor, &mut self.ledger.staged);
        }
        self.ledger.staged.delete(PREPARED, key);
        self.shard.locks.release(id);
        self.name_other_holders(prepared.iter().flat_map(|prepared| changing(&prepared.part.locks)));
        self.shard.attempts.remove(id, self.time);
        if let (Action::Apply, Some(prepared)) = (step.action, prepared) {
            self.apply(prepared.part);
        }
        height
    }
}

/// Whether the descriptor names what the execution is: same payload, witness and effects (R3), same shards.
fn check_derived(prepare: &Prepare) -> Result<(), AttemptRefusal> {
    let Prepare { descriptor, payload, executed, .. } = prepare;
    let actual = executed.digest();
    if descriptor.payload != actual || executed.payload != payload.digest() {
        return Err(Rejection::WrongPayload { expected: descriptor.payload, actual }.into());
    }
    let named = shards_of(&descriptor.participants);
    if named != executed.participants {
        return Err(AttemptRefusal::Participants { named, executed: executed.participants.clone() });
    }
    if descriptor.homes != executed.homes {
        let (named, executed) = (descriptor.homes.clone(), executed.homes.clone());
        return Err(AttemptRefusal::Homes { named, executed });
    }
    Ok(())
}
