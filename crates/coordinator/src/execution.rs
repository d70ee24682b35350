//! Running what is ready, and what follows from a run.

use crate::cache::StateValue;
use crate::claims::{Claim, Turn, Usage, Uses};
use crate::coordinator::{Coordinator, Draft};
use crate::fetch::FetchId;
use crate::input::{Committed, Event, ProvenCode, Send, StateKeyValue};
use crate::pending::{Pending, Stage, Trust};
use crate::refusal::Refusal;
use crate::runs::{Job, Ran, Run, RunId};
use crate::settings::{
    EXECUTIONS_PER_STEP_COUNT_MAX, FETCH_ROUNDS_COUNT_MAX, GAS_IN_STEP_MAX, GAS_PER_STEP_MAX, GAS_PER_TRY_MAX_BLOCKS,
    NONCE_AHEAD_MAX, RUNS_BESIDE_COUNT_MAX,
};
use crate::turns;
use alloy_primitives::{Address, U256};
use evm::{
    Data, Environment, ExecuteError, Executed, Invalid, LockMode, Missing, PayloadError, RecoveredPayload, StateKey,
};
use primitives::{ShardId, Time, Verified};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What one step may still run.
struct Budget {
    runs: usize,
    gas: u64,
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.runs == 0 || self.gas == 0
    }
}

impl Coordinator {
    /// Runs what is ready, the cheapest first ([`crate::turns`]), and what becomes ready by that, up to the bounds of a step;
    /// and what came first.
    pub(crate) fn run_what_is_ready(&mut self, draft: &mut Draft) {
        self.unpaid.age(draft.now);
        self.run_the_first_beside(draft);
        let oldest = self.ready.first().copied();
        let mut budget = Budget { runs: EXECUTIONS_PER_STEP_COUNT_MAX, gas: GAS_PER_STEP_MAX };
        let mut ran = BTreeSet::new();
        while !budget.is_spent() {
            let may_run = self.ready.iter().copied().filter(|turn| self.may_run(*turn));
            let order = turns::order(may_run, |turn| self.class(turn));
            if order.is_empty() {
                break;
            }
            ran.extend(self.run_some(order, &mut budget, draft));
        }
        let is_left = |oldest: &Turn| self.ready.contains(oldest) && !ran.contains(oldest) && self.may_run(*oldest);
        if let Some(oldest) = oldest.filter(is_left) {
            self.run_some(vec![oldest], &mut Budget { runs: 1, gas: GAS_PER_STEP_MAX }, draft);
        }
    }

    /// Runs these as long as the budget lasts, and then does what follows in the order of arrival; says who was run.
    fn run_some(&mut self, order: Vec<Turn>, budget: &mut Budget, draft: &mut Draft) -> BTreeSet<Turn> {
        let (mut runs, mut ran) = (BTreeMap::new(), BTreeSet::new());
        for turn in order {
            if budget.is_spent() {
                break;
            }
            let Some(pending) = self.pending.get(&turn).filter(|_| self.may_run(turn)) else { continue };
            (budget.runs, _) = (budget.runs - 1, ran.insert(turn));
            match self.payload_at(pending, draft.now) {
                Err(error) => self.refuse(turn, error.into(), draft),
                Ok(payload) if self.is_long(turn) => self.run_beside(turn, payload, draft),
                Ok(payload) => {
                    // Each run reads the cache as it is now and nothing else.
                    let run = Run::make(&self.rules, payload, &self.cache);
                    budget.gas = budget.gas.saturating_sub(run.gas);
                    runs.insert(turn, run);
                }
            }
        }
        for (turn, run) in runs {
            self.follow(turn, run, draft);
        }
        ran
    }

    /// One of the places beside the step is for what came first: those who ask for less take the others, and would pass it for ever.
    fn run_the_first_beside(&mut self, draft: &mut Draft) {
        let is_under_way = self.first_beside.is_some_and(|run| self.jobs.contains_key(&run));
        if is_under_way || self.jobs.len() >= RUNS_BESIDE_COUNT_MAX {
            return;
        }
        let Some(first) = self.ready.iter().copied().find(|turn| self.is_long(*turn)) else { return };
        let run = RunId(self.runs_count);
        self.run_some(vec![first], &mut Budget { runs: 1, gas: GAS_PER_STEP_MAX }, draft);
        self.first_beside = self.jobs.contains_key(&run).then_some(run);
    }

    /// Whether there is room for its run, in this step or beside it.
    pub(crate) fn may_run(&self, turn: Turn) -> bool {
        !self.is_long(turn) || self.jobs.len() < RUNS_BESIDE_COUNT_MAX
    }

    fn is_long(&self, turn: Turn) -> bool {
        self.pending.get(&turn).is_some_and(|pending| pending.gas_limit() > GAS_IN_STEP_MAX)
    }

    fn run_beside(&mut self, turn: Turn, payload: Arc<Verified<RecoveredPayload>>, draft: &mut Draft) {
        let id = RunId(self.runs_count);
        self.runs_count += 1;
        self.enter(turn, Stage::Running(id), Some(draft.now.after(self.settings.timing.patience)));
        self.jobs.insert(id, turn);
        let (rules, cache) = (Arc::clone(&self.rules), self.cache.clone());
        draft.fetches.push(Send::Run(Job { id, payload, rules, cache }));
    }

    /// A run beside the step was made.
    pub(crate) fn ran(&mut self, Ran { id, run }: Ran, draft: &mut Draft) {
        if let Some(turn) = self.jobs.get(&id).copied() {
            self.enter(turn, Stage::Ready, None);
            self.follow(turn, run, draft);
        }
    }

    fn class(&self, turn: Turn) -> u64 {
        let pending = self.pending.get(&turn);
        pending.map_or(0, |pending| self.unpaid.class(pending.payer(), pending.gas_limit()))
    }

    /// The payload at the slot that it is now, or one that the shards take: they refuse a slot gone by (R10), and one before
    /// what touched the same keys (R13).
    pub(crate) fn payload_at(
        &self,
        pending: &Pending,
        now: Time,
    ) -> Result<Arc<Verified<RecoveredPayload>>, PayloadError> {
        let payload = pending.payload.payload();
        let params = &self.settings.params;
        let slot = self.travels.environment(params, pending.slots.at(params.slot_at(now)));
        if payload.environment == slot || matches!(payload.environment, Environment::Block(_)) {
            return Ok(pending.payload.clone());
        }
        Verified::by(&self.verifier, (&*pending.payload, slot)).map(Arc::new)
    }

    fn follow(&mut self, turn: Turn, run: Run, draft: &mut Draft) {
        self.cache.write().used(run.looked_at.iter().copied());
        if let Some(pending) = self.pending.get_mut(&turn) {
            pending.payload = run.payload.clone();
            pending.burnt = pending.burnt.saturating_add(run.gas);
            pending.unpaid = pending.unpaid.saturating_add(run.gas);
            if let Some(payer) = pending.payer() {
                self.unpaid.burn(payer, run.gas);
            }
        }
        match run.result {
            Ok(executed) => self.claim(turn, executed, draft),
            Err(ExecuteError::Missing(missing)) => self.fetch(turn, &missing, draft),
            Err(error) => self.failed(turn, &run.looked_at, error, draft),
        }
    }

    fn failed(&mut self, turn: Turn, looked_at: &BTreeSet<StateKey>, error: ExecuteError, draft: &mut Draft) {
        if self.batch(turn).is_some() {
            return self.batch_failed(turn, error, draft);
        }
        if let Some((sender, transaction, state)) = nonce_too_high(&error)
            && transaction.saturating_sub(state) <= NONCE_AHEAD_MAX
            && self.awaits_nonce(turn, sender)
        {
            let Some(lack) = self.lack_of_funds(turn, &error) else {
                return self.await_nonce(turn, (sender, transaction, state), error, draft);
            };
            return self.doubt(turn, looked_at, lack, draft);
        }
        if depends_on_state(&error) {
            return self.doubt(turn, looked_at, error, draft);
        }
        self.refuse(turn, Refusal::Execution(error), draft);
    }

    /// What a transaction with a nonce too high lacks besides: whoever could not pay for it now has no place to wait in. Of a
    /// bundle the first counts; it may pay the others.
    fn lack_of_funds(&self, turn: Turn, error: &ExecuteError) -> Option<ExecuteError> {
        let ExecuteError::Invalid { index: 0, sender, .. } = error else { return None };
        let transaction = self.pending.get(&turn)?.payload.signed().next()?;
        let Some(StateValue::Account(account)) = self.cache.read().get(&StateKey::Account(*sender)) else {
            return None;
        };
        let (balance, required) = (account.map_or(U256::ZERO, |account| account.balance), transaction.cost_max());
        // The beneficiary has more than its account says.
        let is_short = balance < required && *sender != self.settings.params.beneficiary;
        let reason = Invalid::Funds { required, balance };
        is_short.then_some(ExecuteError::Invalid { index: 0, sender: *sender, reason })
    }

    /// Claims the keys of a run, and goes on with it when they are free.
    fn claim(&mut self, turn: Turn, executed: Executed, draft: &mut Draft) {
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        if pending.batch.is_some() {
            return self.claim_batch_run(turn, executed, draft);
        }
        (pending.trust, pending.nonce_since) = (Trust::Guessed, None);
        let ticket = pending.ticket;
        let is_logged = is_local(&executed) && !pending.met_others;
        let uses = if is_logged { logged(&executed, pending) } else { locked(&executed) };
        if let Some(shard) = self.silent_among(&executed.participants) {
            return self.ask_first(turn, &executed, shard, draft);
        }
        if let Err(refusal) = self.accept(turn, draft) {
            return self.refuse(turn, refusal, draft);
        }
        draft.reply(ticket, Event::Executed { participants: executed.participants.clone() });
        if self.may_gather(turn, &executed, &uses) {
            return self.gather(turn, &executed, uses, draft);
        }
        let (claim, free) = self.claims.claim(turn, &uses);
        self.wake(free.into_iter().filter(|other| *other != turn));
        match claim {
            Claim::Waits(key) => {
                self.queue(turn, executed.participants.clone(), key, draft);
            }
            Claim::Held => match executed.participants.len() {
                0 => {
                    // It reads nothing and changes nothing, so there is nobody to ask.
                    let committed = Committed::of(&executed, None);
                    self.finish(turn, Event::Committed(Box::new(committed)), draft);
                }
                1 if is_local(&executed) => self.send_locally(turn, Arc::new(executed), draft),
                _ => self.begin(turn, Arc::new(executed), draft),
            },
        }
    }

    /// Has the submission wait for keys that others hold.
    fn queue(&mut self, turn: Turn, participants: BTreeSet<ShardId>, key: StateKey, draft: &mut Draft) {
        let Some(pending) = self.pending.get(&turn) else { return };
        draft.reply(pending.ticket, Event::Queued { key });
        self.enter(turn, Stage::Queued { participants }, Some(draft.now.after(self.settings.timing.answer)));
    }

    /// Has values fetched, and the submission wait for them.
    pub(crate) fn fetch(&mut self, turn: Turn, missing: &BTreeSet<Missing>, draft: &mut Draft) {
        if let Err(refusal) = self.may_wait(turn, missing) {
            return self.refuse(turn, refusal, draft);
        }
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        pending.rounds += 1;
        if pending.rounds > FETCH_ROUNDS_COUNT_MAX {
            return self.refuse(turn, Refusal::Unsettled, draft);
        }
        let (burnt, max) = (pending.burnt, GAS_PER_TRY_MAX_BLOCKS.saturating_mul(self.settings.params.gas_limit));
        if burnt > max && pending.runs_in_slots() {
            return self.refuse(turn, Refusal::TooMuchGas { burnt, max }, draft);
        }
        if !self.silent.is_empty() && self.silent_among(&self.owners(missing)).is_some() {
            self.free_keys_of([turn]);
        }
        let (settings, when) = (&self.settings, draft.now);
        let (fetches, sends) =
            self.fetches.want(turn, missing, &settings.placement, (when, self.stamp, &settings.timing));
        draft.fetches.extend(sends);
        let stage = if fetches.is_empty() { Stage::Ready } else { Stage::Fetching(fetches) };
        self.enter(turn, stage, None);
    }

    /// A shard says that it cannot have what it is asked for.
    pub(crate) fn fetch_refused(&mut self, fetch: FetchId, reason: &str, draft: &mut Draft) {
        let Some(ended) = self.fetches.end(fetch) else { return };
        for turn in ended.waiters {
            let refusal = Refusal::NotRead { shard: ended.shard, reason: reason.to_owned() };
            self.not_fetched(turn, refusal, draft);
        }
    }

    /// What a submission waits for does not come: a shard did not answer in all its patience, or cannot. Whoever was promised
    /// nothing is told; the others try again.
    pub(crate) fn not_fetched(&mut self, turn: Turn, refusal: Refusal, draft: &mut Draft) {
        let Some(pending) = self.pending.get(&turn) else { return };
        let salt = pending.ticket.0;
        if pending.kept.is_none() {
            return self.refuse(turn, refusal, draft);
        }
        let free = self.claims.release(turn);
        self.wake(free);
        self.again(turn, salt, refusal, draft);
    }

    pub(crate) fn fetched(&mut self, fetch: FetchId, values: Vec<StateKeyValue>, codes: &[Data]) {
        let Some(ended) = self.fetches.end(fetch) else { return };
        for code in codes {
            self.cache.write().learn_code(code);
        }
        for (key, value) in values {
            // A shard speaks for itself alone.
            if self.settings.placement.owner(key) == ended.shard {
                self.cache.write().learn(key, value, ended.asked, self.stamp);
                if let (StateKey::Account(sender), StateValue::Account(Some(account))) = (key, value) {
                    self.wake_nonces(sender, account.nonce);
                }
            }
        }
        self.go_on(fetch, ended.waiters);
    }

    pub(crate) fn fetched_proofs(&mut self, fetch: FetchId, proofs: Vec<(Address, Option<ProvenCode>)>, now: Time) {
        let Some(ended) = self.fetches.end(fetch) else { return };
        let mut proofs: BTreeMap<Address, Option<ProvenCode>> = proofs.into_iter().collect();
        for account in ended.proofs {
            // No answer for one is an answer too: then its owner takes part.
            self.cache.write().learn_proof(account, proofs.remove(&account).flatten(), now);
        }
        self.go_on(fetch, ended.waiters);
    }

    /// Those that waited for a fetch and for nothing else run again.
    fn go_on(&mut self, fetch: FetchId, waiters: BTreeSet<Turn>) {
        for turn in waiters {
            let Some(pending) = self.pending.get_mut(&turn) else { continue };
            let Stage::Fetching(open) = &mut pending.stage else { continue };
            open.remove(&fetch);
            if open.is_empty() {
                self.enter(turn, Stage::Ready, None);
            }
        }
    }

    /// A run failed on values that may be old: they are fetched again before it is believed.
    fn doubt(&mut self, turn: Turn, looked_at: &BTreeSet<StateKey>, error: ExecuteError, draft: &mut Draft) {
        let Some(pending) = self.pending.get(&turn) else { return };
        if pending.trust == Trust::Refreshed {
            return self.refuse(turn, Refusal::Execution(error), draft);
        }
        // What came before may yet make it succeed: it has its turn after that.
        let unsettled = may_be_mended(&error) && looked_at.iter().any(|key| self.claims.is_held_by_another(turn, key));
        if unsettled && pending.nonce_since.is_none() {
            let shared = looked_at.iter().map(|key| (*key, Usage::Locked(LockMode::Shared))).collect();
            let (claim, free) = self.claims.claim(turn, &shared);
            self.wake(free.into_iter().filter(|other| *other != turn));
            if let Claim::Waits(key) = claim {
                let owners = looked_at.iter().map(|key| self.settings.placement.owner(*key)).collect();
                return match self.accept(turn, draft) {
                    Ok(()) => self.queue(turn, owners, key, draft),
                    Err(refusal) => self.refuse(turn, refusal, draft),
                };
            }
            let free = self.claims.release(turn);
            self.wake(free);
        }
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        pending.trust = Trust::Refreshed;
        for key in looked_at {
            self.cache.write().forget(key);
        }
        let missing = looked_at.iter().map(|key| Missing::Key(*key)).collect();
        self.fetch(turn, &missing, draft);
    }

    /// Whether the sender's nonce is known well enough to wait for a later one: it is about to change here, or was just
    /// looked up.
    fn awaits_nonce(&self, turn: Turn, sender: Address) -> bool {
        let known = self
            .pending
            .get(&turn)
            .is_some_and(|pending| pending.trust == Trust::Refreshed || pending.nonce_since.is_some());
        known || self.claims.is_held_by_another(turn, &StateKey::Account(sender))
    }

    fn await_nonce(
        &mut self,
        turn: Turn,
        (sender, nonce, state): (Address, u64, u64),
        error: ExecuteError,
        draft: &mut Draft,
    ) {
        // As long as the sender's next is on its way here, it is that one's time.
        let is_next_here = self.senders.has(sender, state);
        let looks = !is_next_here && self.senders.first_from(sender, state).contains(&turn);
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        let (is_new, ticket, timing) = (pending.nonce_since.is_none(), pending.ticket, self.settings.timing);
        // Each nonce that was used elsewhere has the next waited for anew.
        let stands_still = |(next, _): &(u64, Time)| !is_next_here && *next == state;
        let (_, since) = pending.nonce_since.filter(stands_still).unwrap_or((state, draft.now));
        (pending.nonce_since, pending.rounds) = (Some((state, since)), 0);
        let is_over = draft.now.since(pending.since) >= timing.lifetime;
        if is_over || draft.now.since(since) >= timing.nonce {
            return self.refuse(turn, Refusal::Execution(error), draft);
        }
        // Whoever waits for a nonce holds no place before others.
        let free = self.claims.release(turn);
        self.wake(free);
        if self.senders.wait(sender, nonce, turn).is_err() {
            return self.refuse(turn, Refusal::TooManyNonces { sender }, draft);
        }
        if let Err(refusal) = self.accept(turn, draft) {
            self.senders.leave(sender, nonce, turn);
            return self.refuse(turn, refusal, draft);
        }
        if is_new {
            draft.reply(ticket, Event::AwaitsNonce { transaction: nonce, state });
        }
        let pause = if looks { timing.nonce_pause(draft.now.since(since)) } else { timing.nonce_poll_late };
        self.enter(turn, Stage::Nonce { sender, nonce }, Some(draft.now.after(pause)));
    }
}

/// Whether one shard alone may execute it. What it takes for fixed that shard could not look up: it needs the proofs, which only
/// a prepare carries.
fn is_local(executed: &Executed) -> bool {
    executed.participants.len() == 1 && executed.witness.fixed.is_empty()
}

/// The keys of a run, as its participants will lock them.
pub(crate) fn locked(executed: &Executed) -> Uses {
    uses(executed, Usage::Locked)
}

/// The keys of a run that one shard executes in the order of its log. A sender's own account is nobody else's meanwhile: so
/// nonces stay in order, and what it has.
fn logged(executed: &Executed, pending: &Pending) -> Uses {
    let mut uses = uses(executed, Usage::Logged);
    for (sender, _) in pending.nonces() {
        uses.insert(StateKey::Account(sender), Usage::Locked(LockMode::Exclusive));
    }
    uses
}

fn uses(executed: &Executed, usage: impl Fn(LockMode) -> Usage) -> Uses {
    let mut uses: Uses = executed.witness.keys().map(|key| (key, usage(LockMode::Shared))).collect();
    for (key, mode) in executed.effects.changes.keys() {
        let held = uses.entry(key).and_modify(|held| *held = usage(LockMode::Exclusive));
        held.or_insert_with(|| usage(mode));
    }
    uses
}

fn nonce_too_high(error: &ExecuteError) -> Option<(Address, u64, u64)> {
    match error {
        ExecuteError::Invalid { sender, reason: Invalid::NonceTooHigh { transaction, state }, .. } => {
            Some((*sender, *transaction, *state))
        }
        _ => None,
    }
}

/// Whether what came before could make it succeed. Nonces only grow, and one too far ahead has no place to wait in.
fn may_be_mended(error: &ExecuteError) -> bool {
    match error {
        ExecuteError::Invalid { reason: Invalid::NonceTooLow { .. }, .. } => false,
        error => nonce_too_high(error).is_none_or(|(_, nonce, state)| nonce.saturating_sub(state) <= NONCE_AHEAD_MAX),
    }
}

/// Whether other values could make the run succeed.
fn depends_on_state(error: &ExecuteError) -> bool {
    match error {
        ExecuteError::BundleReverted { .. } | ExecuteError::Evm { .. } | ExecuteError::TooMuch => true,
        ExecuteError::Invalid { reason, .. } => matches!(
            reason,
            Invalid::NonceTooLow { .. } | Invalid::NonceTooHigh { .. } | Invalid::Funds { .. } | Invalid::SenderHasCode
        ),
        ExecuteError::Missing(_)
        | ExecuteError::Environment(_)
        | ExecuteError::BlockHash { .. }
        | ExecuteError::BatchGas { .. } => false,
    }
}
