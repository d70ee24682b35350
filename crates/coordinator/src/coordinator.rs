//! The machine: what comes in, who waits for what, and what goes out.
//!
//! ```text
//!   Ready ──run──> Fetching ──> Ready        Ready ──run, keys free──> Local ────> (ended)
//!     │ ^                                      │                         └──> Ready, Backoff
//!     v │                                      └──> Attempt ──committed──> (ended)
//!   Queued, Nonce                                      └──aborted──> Ready, Backoff, (refused)
//! ```
//!
//! One step takes all inputs, then runs what is ready, then begins the attempts that follow. Runs are pure over the cache
//! and do not see each other, so they may be spread over threads; what follows from them is done in the order of arrival.

use crate::attempts::jitter;
use crate::batches::Batches;
use crate::cache::{SharedCache, Stamp, ViewCache};
use crate::claims::{Claims, Turn};
use crate::fetch::Fetches;
use crate::input::{Event, Input, LocalSubmission, Prepare, Reply, Send, Ticket};
use crate::kept::Keeper;
use crate::pending::{Pending, Stage, Trust};
use crate::refusal::Refusal;
use crate::runs::{Rules, RunId};
use crate::senders::Senders;
use crate::settings::{EAGER_TRIES_COUNT_MAX, PENDING_COUNT_MAX, RUNS_BESIDE_COUNT_MAX, Settings};
use crate::turns::Unpaid;
use alloy_primitives::B256;
use commit::coordinator::{Input as CommitInput, Send as CommitSend};
use commit::{DecisionProof, Descriptor};
use evm::{Changes, PayloadVerifier, RecoveredPayload, StateKey, Travels};
use primitives::{AttemptId, Machine, Millis, Output, Read, ShardId, Time, Verified, Write};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;

/// A coordinator of one network.
#[derive(Debug)]
pub struct Coordinator {
    pub(crate) settings: Settings,
    pub(crate) verifier: PayloadVerifier,
    pub(crate) commit: commit::Coordinator,
    pub(crate) cache: SharedCache,
    pub(crate) rules: Arc<Rules>,
    /// Runs beside the step.
    pub(crate) jobs: BTreeMap<RunId, Turn>,
    /// The run beside the step that was made because it came first.
    pub(crate) first_beside: Option<RunId>,
    pub(crate) runs_count: u64,
    pub(crate) claims: Claims,
    pub(crate) batches: Batches,
    pub(crate) fetches: Fetches,
    pub(crate) senders: Senders,
    pub(crate) pending: BTreeMap<Turn, Pending>,
    pub(crate) attempts: BTreeMap<AttemptId, Turn>,
    /// Shards that left something unanswered, and have been silent since.
    pub(crate) silent: BTreeSet<ShardId>,
    /// What time it is for those who run: empty on a network without cheats.
    pub(crate) travels: Travels,
    keeper: Keeper,
    pub(crate) unpaid: Unpaid,
    tickets: BTreeMap<Ticket, Turn>,
    hashes: BTreeMap<B256, Turn>,
    pub(crate) ready: BTreeSet<Turn>,
    timers: BTreeSet<(Time, Turn)>,
    next: u64,
    pub(crate) stamp: Stamp,
}

/// What a step has come to so far.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) now: Time,
    pub(crate) replies: Vec<Reply>,
    pub(crate) fetches: Vec<Send>,
    pub(crate) locals: BTreeMap<ShardId, Vec<LocalSubmission>>,
    /// For the commit machine, once all inputs are taken.
    pub(crate) commit: Vec<CommitInput>,
    writes: Vec<Write>,
    prepares: BTreeMap<ShardId, Vec<Prepare>>,
    aborts: BTreeMap<ShardId, Vec<Arc<Descriptor>>>,
    decisions: BTreeMap<ShardId, Vec<Arc<DecisionProof>>>,
    commit_wake: Option<Time>,
}

impl Draft {
    fn new(now: Time) -> Self {
        Self {
            now,
            replies: Vec::new(),
            fetches: Vec::new(),
            locals: BTreeMap::new(),
            commit: Vec::new(),
            writes: Vec::new(),
            prepares: BTreeMap::new(),
            aborts: BTreeMap::new(),
            decisions: BTreeMap::new(),
            commit_wake: None,
        }
    }

    pub(crate) fn reply(&mut self, ticket: Ticket, event: Event) {
        self.replies.push(Reply { ticket, time: self.now, event });
    }

    /// Decisions first: they free what the rest may need.
    fn into_output(self, wake: Option<Time>) -> Output<Send, Reply> {
        let decisions = self.decisions.into_iter().map(|(shard, batch)| Send::Decide { shard, batch });
        let aborts = self.aborts.into_iter().map(|(shard, batch)| Send::RequestAbort { shard, batch });
        let prepares = self.prepares.into_iter().map(|(shard, batch)| Send::Prepare { shard, batch });
        let locals = self.locals.into_iter().map(|(shard, batch)| Send::SubmitLocal { shard, batch });
        let sends = decisions.chain(aborts).chain(prepares).chain(locals).chain(self.fetches).collect();
        let wake = [wake, self.commit_wake].into_iter().flatten().min();
        Output { writes: self.writes, sends, replies: self.replies, wake }
    }
}

impl Coordinator {
    /// The coordinator that finishes what the one that wrote this store began.
    pub fn open(settings: Settings, read: &impl Read) -> Result<Self, commit::coordinator::OpenError> {
        Ok(Self {
            verifier: PayloadVerifier::new(settings.params.clone()),
            commit: commit::Coordinator::open(settings.commit, read)?,
            rules: Arc::new(Rules { params: settings.params.clone(), placement: settings.placement.clone() }),
            settings,
            cache: SharedCache::default(),
            jobs: BTreeMap::new(),
            first_beside: None,
            runs_count: 0,
            claims: Claims::default(),
            batches: Batches::default(),
            fetches: Fetches::default(),
            senders: Senders::default(),
            pending: BTreeMap::new(),
            attempts: BTreeMap::new(),
            silent: BTreeSet::new(),
            travels: Travels::default(),
            keeper: Keeper::open(read)?,
            unpaid: Unpaid::default(),
            tickets: BTreeMap::new(),
            hashes: BTreeMap::new(),
            ready: BTreeSet::new(),
            timers: BTreeSet::new(),
            next: 0,
            stamp: Stamp::default(),
        })
    }

    /// How many submissions have not ended.
    pub fn pending_count(&self) -> usize {
        self.tickets.len()
    }

    /// How many attempts are not yet acknowledged by all their participants, those of before a restart included.
    pub fn attempts_count(&self) -> usize {
        self.commit.in_flight()
    }

    /// What the network's state is believed to be.
    pub fn cache(&self) -> impl Deref<Target = ViewCache> {
        self.cache.read()
    }

    fn take(&mut self, input: Input, draft: &mut Draft) {
        self.hear(&input);
        match input {
            Input::Submit { ticket, payload } => self.submit(ticket, *payload, draft),
            Input::Travel(travels) => self.travels = travels,
            Input::Forget => *self.cache.write() = ViewCache::default(),
            Input::Fetched { fetch, values, codes } => self.fetched(fetch, values, &codes),
            Input::FetchedProofs { fetch, proofs } => self.fetched_proofs(fetch, proofs, draft.now),
            Input::FetchFailed { fetch } => self.fetches.failed(fetch, draft.now, &self.settings.timing),
            Input::FetchRefused { fetch, reason } => self.fetch_refused(fetch, &reason, draft),
            Input::Votes(votes) => self.votes(votes, draft),
            Input::Ran(ran) => self.ran(*ran, draft),
            Input::Rejected { attempt, shard, objection } => self.rejected(attempt, shard, objection, draft),
            Input::Applied { attempt, shard } => self.applied(attempt, shard, draft),
            Input::Local { ticket, answer } => {
                if let Some(turn) = self.tickets.get(&ticket).copied() {
                    self.local(turn, answer, draft);
                }
            }
        }
    }

    fn submit(&mut self, ticket: Ticket, payload: Verified<RecoveredPayload>, draft: &mut Draft) {
        let mut pending = Pending::new(ticket, Arc::new(payload), draft.now);
        let known = pending.hashes().find(|hash| self.hashes.contains_key(hash));
        if let Some(transaction) = known {
            return draft.reply(ticket, Event::Refused(Box::new(Refusal::AlreadyPending { transaction })));
        }
        if let Err(refusal) = self.replace(&pending, draft) {
            return draft.reply(ticket, Event::Refused(Box::new(refusal)));
        }
        if self.tickets.len() >= PENDING_COUNT_MAX {
            return draft.reply(ticket, Event::Refused(Box::new(Refusal::Busy)));
        }
        self.keeper.recall(&mut pending);
        let turn = self.next_turn();
        self.hashes.extend(pending.hashes().map(|hash| (hash, turn)));
        pending.nonces().for_each(|nonce| self.senders.arrive(nonce, turn));
        self.tickets.insert(ticket, turn);
        self.pending.insert(turn, pending);
        self.ready.insert(turn);
        draft.reply(ticket, Event::Accepted);
    }

    /// The next place in the order of arrival.
    pub(crate) fn next_turn(&mut self) -> Turn {
        self.next += 1;
        Turn(self.next - 1)
    }

    /// Tells whoever brought a submission; of a batch, all of its members.
    pub(crate) fn tell(&self, turn: Turn, event: &Event, draft: &mut Draft) {
        let Some(pending) = self.pending.get(&turn) else { return };
        let Some(batch) = &pending.batch else { return draft.reply(pending.ticket, event.clone()) };
        for member in batch.turns().filter_map(|member| self.pending.get(&member)) {
            draft.reply(member.ticket, event.clone());
        }
    }

    /// Moves a submission to another stage, and lets go of what it waited for in the last.
    pub(crate) fn enter(&mut self, turn: Turn, stage: Stage, due: Option<Time>) {
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        let left = std::mem::replace(&mut pending.stage, stage);
        if let Some(earlier) = std::mem::replace(&mut pending.due, due) {
            self.timers.remove(&(earlier, turn));
        }
        self.timers.extend(due.map(|due| (due, turn)));
        match &pending.stage {
            Stage::Ready => self.ready.insert(turn),
            _ => self.ready.remove(&turn),
        };
        match left {
            Stage::Fetching(fetches) => self.fetches.unwant(turn, &fetches),
            Stage::Nonce { sender, nonce } => self.senders.leave(sender, nonce, turn),
            Stage::Attempt(attempt) => {
                self.attempts.remove(&attempt.id);
                if attempt.proof.is_none() {
                    self.batches.decided(&attempt.executed);
                }
            }
            Stage::Running(run) => {
                self.jobs.remove(&run);
            }
            Stage::Ready
            | Stage::Queued { .. }
            | Stage::Backoff
            | Stage::Local(_)
            | Stage::Member(_)
            | Stage::Gathering => {}
        }
    }

    /// Looks at a submission again at `due`, in the stage it is in.
    pub(crate) fn look_again(&mut self, turn: Turn, due: Time) {
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        if let Some(earlier) = pending.due.replace(due) {
            self.timers.remove(&(earlier, turn));
        }
        self.timers.insert((due, turn));
    }

    /// The shard that a local submission was handed to.
    pub(crate) fn shard_asked_by(&self, ticket: Ticket) -> Option<ShardId> {
        match &self.pending.get(self.tickets.get(&ticket)?)?.stage {
            Stage::Local(local) => Some(local.shard),
            _ => None,
        }
    }

    /// The submission may be worked on: it is kept from here on, and whoever brought it will hear how it ends.
    pub(crate) fn accept(&mut self, turn: Turn, draft: &mut Draft) -> Result<(), Refusal> {
        let Some(pending) = self.pending.get_mut(&turn) else { return Ok(()) };
        self.keeper.keep(pending, &mut draft.writes)
    }

    /// Those that waited for keys run again.
    pub(crate) fn wake(&mut self, turns: impl IntoIterator<Item = Turn>) {
        for turn in turns {
            match self.pending.get(&turn).map(|pending| &pending.stage) {
                Some(Stage::Queued { .. }) => self.enter(turn, Stage::Ready, None),
                Some(Stage::Gathering) => {
                    self.claim_for_batch(turn);
                }
                _ => {}
            }
        }
    }

    /// The cache takes over a commit, and whoever waited for a nonce learns of it.
    pub(crate) fn learn_commit(&mut self, changes: &Changes) {
        self.cache.write().apply(changes, self.stamp);
        for (sender, account) in &changes.accounts {
            if let Some(account) = account {
                self.wake_nonces(*sender, account.nonce);
            }
        }
    }

    pub(crate) fn wake_nonces(&mut self, sender: alloy_primitives::Address, nonce: u64) {
        for turn in self.senders.due(sender, nonce) {
            if let Some(pending) = self.pending.get_mut(&turn) {
                pending.trust = Trust::Guessed;
            }
            self.enter(turn, Stage::Ready, None);
        }
    }

    /// Tries again after an abort, a local refusal or silence, the sooner the fewer tries it had, and refuses it as `last`
    /// when its lifetime is over. `salt` differs between coordinators, so that two that collide do not collide again.
    pub(crate) fn again(&mut self, turn: Turn, salt: u64, last: Refusal, draft: &mut Draft) {
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        if pending.batch.is_some() && !is_of_its_slot(&last) {
            return self.disband(turn, &last, draft);
        }
        let timing = &self.settings.timing;
        if draft.now.since(pending.since) >= timing.lifetime {
            return self.refuse(turn, last, draft);
        }
        (pending.rounds, pending.burnt, pending.trust) = (0, 0, Trust::Guessed);
        let doublings = pending.tries.saturating_sub(1).min(20);
        let is_eager = pending.tries <= EAGER_TRIES_COUNT_MAX;
        let wait_max = if is_eager { timing.backoff_max } else { timing.backoff_late };
        let wait = timing.backoff_min.0.saturating_mul(1 << doublings).min(wait_max.0);
        let wait = wait + jitter(salt, pending.tries) % (wait + 1);
        self.enter(turn, Stage::Backoff, Some(draft.now.after(Millis(wait))));
    }

    pub(crate) fn refuse(&mut self, turn: Turn, refusal: Refusal, draft: &mut Draft) {
        self.finish(turn, Event::Refused(Box::new(refusal)), draft);
    }

    /// The submission's last event.
    pub(crate) fn finish(&mut self, turn: Turn, event: Event, draft: &mut Draft) {
        if self.batch(turn).is_some() {
            return self.finish_batch(turn, event, draft);
        }
        self.enter(turn, Stage::Ready, None);
        self.ready.remove(&turn);
        if let Some(pending) = self.pending.remove(&turn) {
            self.tickets.remove(&pending.ticket);
            for hash in pending.hashes() {
                self.hashes.remove(&hash);
            }
            pending.nonces().for_each(|nonce| self.senders.depart(nonce, turn));
            let refusal = if let Event::Refused(refusal) = &event { Some(&**refusal) } else { None };
            if let (None, Some(payer)) = (refusal, pending.payer()) {
                self.unpaid.pay(payer, pending.unpaid);
            }
            self.keeper.end(&pending, refusal, draft.now, &mut draft.writes);
            draft.reply(pending.ticket, event);
        }
        let free = self.claims.release(turn);
        self.wake(free);
    }

    fn look_at_what_is_due(&mut self, draft: &mut Draft) {
        let due: Vec<Turn> =
            self.timers.iter().take_while(|(time, _)| *time <= draft.now).map(|(_, turn)| *turn).collect();
        for turn in due {
            match self.pending.get(&turn).map(|pending| &pending.stage) {
                // Of a run that is not heard of, the host has lost the question.
                Some(Stage::Backoff | Stage::Running(_)) => self.enter(turn, Stage::Ready, None),
                Some(Stage::Nonce { sender, .. }) => {
                    let account = StateKey::Account(*sender);
                    if !self.claims.is_held_by_another(turn, &account) {
                        self.cache.write().forget(&account);
                    }
                    self.enter(turn, Stage::Ready, None);
                }
                Some(Stage::Local(_)) => self.local_is_late(turn, draft),
                Some(Stage::Queued { .. }) => self.queue_is_long(turn, draft),
                Some(Stage::Attempt(_)) => self.attempt_is_late(turn, draft),
                Some(Stage::Gathering) => self.gathering_is_long(turn, draft),
                Some(Stage::Ready | Stage::Fetching(_) | Stage::Member(_)) | None => {}
            }
        }
        let due = self.fetches.due(draft.now, &self.settings.timing);
        for shard in &due.silent {
            self.free_keys_of(self.fetches.waiters(*shard));
        }
        self.silent.extend(due.silent);
        draft.fetches.extend(due.sends);
        for ended in due.ended {
            for turn in ended.waiters {
                self.not_fetched(turn, Refusal::Unreachable { shard: ended.shard }, draft);
            }
        }
    }

    /// Hands the commit machine what there is for it, and does what it replies.
    fn commit(&mut self, draft: &mut Draft, read: &impl Read) {
        let inputs = std::mem::take(&mut draft.commit);
        let output = self.commit.step(draft.now, inputs, read);
        draft.writes.extend(output.writes);
        draft.commit_wake = output.wake;
        for send in output.sends {
            self.send(send, draft);
        }
        for reply in output.replies {
            self.commit_reply(reply, draft);
        }
    }

    fn send(&mut self, send: CommitSend, draft: &mut Draft) {
        match send {
            CommitSend::Prepare { to, descriptor, payload, homes } => {
                // None if nobody here waits for it any more.
                let gas = self.attempt_of(descriptor.id()).map_or(0, |attempt| attempt.executed.gas());
                draft.prepares.entry(to).or_default().push(Prepare { descriptor, payload, homes, gas });
            }
            CommitSend::RequestAbort { to, descriptor } => draft.aborts.entry(to).or_default().push(descriptor),
            CommitSend::Decide { to, proof } => draft.decisions.entry(to).or_default().push(proof),
        }
    }

    fn next_wake(&self, now: Time) -> Option<Time> {
        let soonest = self.ready.iter().any(|turn| self.may_run(*turn)).then_some(now);
        [soonest, self.fetches.wake(), self.timers.first().map(|(time, _)| *time)].into_iter().flatten().min()
    }

    #[cfg(debug_assertions)]
    fn assert_valid(&self) {
        self.claims.assert_valid();
        assert!(self.tickets.len() <= PENDING_COUNT_MAX);
        assert_eq!(self.tickets.len(), self.pending.values().filter(|pending| pending.batch.is_none()).count());
        assert!(self.jobs.len() <= RUNS_BESIDE_COUNT_MAX);
        if self.pending.is_empty() {
            assert!(self.claims.is_empty() && self.senders.is_empty() && self.ready.is_empty());
            assert!(
                self.batches.is_empty() && self.hashes.is_empty() && self.attempts.is_empty() && self.timers.is_empty()
            );
        }
        for (turn, pending) in &self.pending {
            let is_ready = matches!(pending.stage, Stage::Ready);
            assert_eq!(is_ready, self.ready.contains(turn), "{pending:?}");
            assert!(pending.due.is_none_or(|due| self.timers.contains(&(due, *turn))));
        }
    }
}

/// Whether a try failed for nothing but the slot it ran at.
fn is_of_its_slot(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Contended { last: commit::Refusal::Slot { .. }, .. })
}

impl Machine for Coordinator {
    type Input = Input;
    type Send = Send;
    type Reply = Reply;

    fn step(&mut self, now: Time, inputs: Vec<Input>, read: &impl Read) -> Output<Send, Reply> {
        self.stamp.0 += 1;
        let mut draft = Draft::new(now);
        for input in inputs {
            self.take(input, &mut draft);
        }
        self.commit(&mut draft, read);
        self.cache.write().age_proofs(now);
        self.look_at_what_is_due(&mut draft);
        self.begin_batches(&mut draft);
        self.run_what_is_ready(&mut draft);
        self.commit(&mut draft, read);
        #[cfg(debug_assertions)]
        self.assert_valid();
        draft.into_output(self.next_wake(now))
    }
}
