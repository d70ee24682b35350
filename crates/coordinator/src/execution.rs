//! Running what is ready, and what follows from a run.

use crate::cache::{StateValue, Watched};
use crate::claims::{Claim, Turn};
use crate::coordinator::{Coordinator, Draft};
use crate::fetch::FetchId;
use crate::input::{Committed, Event, ProvenCode, StateKeyValue};
use crate::pending::{Pending, Stage, Trust};
use crate::refusal::Refusal;
use crate::settings::{EXECUTIONS_PER_STEP_COUNT_MAX, FETCH_ROUNDS_COUNT_MAX, NONCE_AHEAD_MAX};
use alloy_primitives::{Address, U256};
use evm::{
    Data, Environment, ExecuteError, Executed, Invalid, LockMode, Missing, Payload, PayloadError, RecoveredPayload,
    StateKey, execute,
};
use primitives::{Time, Verified};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A run over the cache: it changes nothing.
struct Run {
    payload: Arc<Verified<RecoveredPayload>>,
    result: Result<Executed, ExecuteError>,
    looked_at: BTreeSet<StateKey>,
}

impl Coordinator {
    /// Runs what is ready, in the order of arrival, and what becomes ready by that, up to the bound of a step.
    pub(crate) fn run_what_is_ready(&mut self, draft: &mut Draft) {
        let mut left = EXECUTIONS_PER_STEP_COUNT_MAX;
        while left > 0 && !self.ready.is_empty() {
            let batch: Vec<Turn> = self.ready.iter().copied().take(left).collect();
            left -= batch.len();
            // Each run reads the cache as it is now and nothing else: here is where threads would go.
            let runs: Vec<_> = batch.into_iter().filter_map(|turn| Some((turn, self.run(turn, draft.now)?))).collect();
            for (turn, run) in runs {
                match run {
                    Ok(run) => self.follow(turn, run, draft),
                    Err(error) => self.refuse(turn, error.into(), draft),
                }
            }
        }
    }

    fn run(&self, turn: Turn, now: Time) -> Option<Result<Run, PayloadError>> {
        let pending = self.pending.get(&turn)?;
        Some(self.payload_at(pending, now).map(|payload| {
            let end = self.settings.params.end_of_environment(&payload.payload().environment);
            let view = Watched::new(&self.cache, end);
            let result = execute(&self.settings.params, &self.settings.placement, &payload, &view);
            Run { payload, result, looked_at: view.looked_at() }
        }))
    }

    /// The payload at the slot that it is now, or one that the shards take: they refuse a slot gone by (R10), and one before
    /// what touched the same keys (R13).
    fn payload_at(&self, pending: &Pending, now: Time) -> Result<Arc<Verified<RecoveredPayload>>, PayloadError> {
        let payload = pending.payload.payload();
        let slot = Environment::Slot(pending.slots.at(self.settings.params.slot_at(now)));
        if payload.environment == slot || matches!(payload.environment, Environment::Block(_)) {
            return Ok(pending.payload.clone());
        }
        let transactions = payload.transactions.clone();
        Verified::by(&self.verifier, Payload { environment: slot, transactions }).map(Arc::new)
    }

    fn follow(&mut self, turn: Turn, run: Run, draft: &mut Draft) {
        self.cache.used(run.looked_at.iter().copied());
        if let Some(pending) = self.pending.get_mut(&turn) {
            pending.payload = run.payload.clone();
        }
        match run.result {
            Ok(executed) => self.claim(turn, executed, draft),
            Err(ExecuteError::Missing(missing)) => self.fetch(turn, &missing, draft),
            Err(error) => self.failed(turn, &run.looked_at, error, draft),
        }
    }

    fn failed(&mut self, turn: Turn, looked_at: &BTreeSet<StateKey>, error: ExecuteError, draft: &mut Draft) {
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
        let Some(StateValue::Account(account)) = self.cache.get(&StateKey::Account(*sender)) else { return None };
        let (balance, required) = (account.map_or(U256::ZERO, |account| account.balance), transaction.cost_max());
        // The beneficiary has more than its account says.
        let is_short = balance < required && *sender != self.settings.params.beneficiary;
        let reason = Invalid::Funds { required, balance };
        is_short.then_some(ExecuteError::Invalid { index: 0, sender: *sender, reason })
    }

    /// Claims the keys of a run, and goes on with it when they are free.
    fn claim(&mut self, turn: Turn, executed: Executed, draft: &mut Draft) {
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        (pending.trust, pending.nonce_since) = (Trust::Guessed, None);
        let ticket = pending.ticket;
        draft.reply(ticket, Event::Executed { participants: executed.participants.clone() });
        let (claim, free) = self.claims.claim(turn, &locks(&executed));
        self.wake(free.into_iter().filter(|other| *other != turn));
        match claim {
            Claim::Waits(key) => {
                self.enter(turn, Stage::Queued, None);
                draft.reply(ticket, Event::Queued { key });
            }
            Claim::Held => match executed.participants.len() {
                0 => {
                    // It reads nothing and changes nothing, so there is nobody to ask.
                    let committed = Committed::of(&executed, None);
                    self.finish(turn, Event::Committed(Box::new(committed)), draft);
                }
                // What it takes for fixed the shard could not look up: it needs the proofs, which only a prepare carries.
                1 if executed.witness.fixed.is_empty() => self.send_locally(turn, Arc::new(executed), draft),
                _ => self.begin(turn, Arc::new(executed), draft),
            },
        }
    }

    /// Has values fetched, and the submission wait for them.
    pub(crate) fn fetch(&mut self, turn: Turn, missing: &BTreeSet<Missing>, draft: &mut Draft) {
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        pending.rounds += 1;
        if pending.rounds > FETCH_ROUNDS_COUNT_MAX {
            return self.refuse(turn, Refusal::Unsettled, draft);
        }
        let (settings, when) = (&self.settings, draft.now);
        let (fetches, sends) =
            self.fetches.want(turn, missing, &settings.placement, (when, self.stamp, &settings.timing));
        draft.fetches.extend(sends);
        let stage = if fetches.is_empty() { Stage::Ready } else { Stage::Fetching(fetches) };
        self.enter(turn, stage, None);
    }

    pub(crate) fn fetched(&mut self, fetch: FetchId, values: Vec<StateKeyValue>, codes: &[Data]) {
        let Some(ended) = self.fetches.end(fetch) else { return };
        for code in codes {
            self.cache.learn_code(code);
        }
        for (key, value) in values {
            // A shard speaks for itself alone.
            if self.settings.placement.owner(key) == ended.shard {
                self.cache.learn(key, value, ended.asked, self.stamp);
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
            self.cache.learn_proof(account, proofs.remove(&account).flatten(), now);
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
        let unsettled = looked_at.iter().any(|key| self.claims.is_held_by_another(turn, key));
        if unsettled && pending.nonce_since.is_none() {
            let shared = looked_at.iter().map(|key| (*key, LockMode::Shared)).collect();
            let (claim, free) = self.claims.claim(turn, &shared);
            self.wake(free.into_iter().filter(|other| *other != turn));
            if let Claim::Waits(_) = claim {
                return self.enter(turn, Stage::Queued, None);
            }
            let free = self.claims.release(turn);
            self.wake(free);
        }
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        pending.trust = Trust::Refreshed;
        for key in looked_at {
            self.cache.forget(key);
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
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        let since = *pending.nonce_since.get_or_insert(draft.now);
        let (ticket, timing) = (pending.ticket, self.settings.timing);
        pending.rounds = 0;
        if draft.now.since(since) >= timing.nonce {
            return self.refuse(turn, Refusal::Execution(error), draft);
        }
        // Whoever waits for a nonce holds no place before others.
        let free = self.claims.release(turn);
        self.wake(free);
        if self.senders.wait(sender, nonce, turn).is_err() {
            return self.refuse(turn, Refusal::TooManyNonces { sender }, draft);
        }
        if since == draft.now {
            draft.reply(ticket, Event::AwaitsNonce { transaction: nonce, state });
        }
        self.enter(turn, Stage::Nonce { sender, nonce }, Some(draft.now.after(timing.nonce_poll)));
    }
}

/// The keys of a run, as its participants will lock them.
fn locks(executed: &Executed) -> BTreeMap<StateKey, LockMode> {
    let mut locks: BTreeMap<StateKey, LockMode> = executed.witness.keys().map(|key| (key, LockMode::Shared)).collect();
    for (key, mode) in executed.effects.changes.keys() {
        locks.entry(key).and_modify(|held| *held = LockMode::Exclusive).or_insert(mode);
    }
    locks
}

fn nonce_too_high(error: &ExecuteError) -> Option<(Address, u64, u64)> {
    match error {
        ExecuteError::Invalid { sender, reason: Invalid::NonceTooHigh { transaction, state }, .. } => {
            Some((*sender, *transaction, *state))
        }
        _ => None,
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
        ExecuteError::Missing(_) | ExecuteError::Environment(_) | ExecuteError::BlockHash { .. } => false,
    }
}
