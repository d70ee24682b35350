//! Transactions of one shard alone, and everything else that runs on a shard's own state within a step.
//!
//!   payload --> own view --> executed, or: not local | invalid | busy       nothing changes unless all of it is allowed
//!
//! Promise: a run sees this shard's state as of this point of the step and nothing else; it is refused if an undecided
//! attempt holds a key that it reads or writes (R6), so it never sees half an attempt (I17).
//! Knows nothing of votes and receipts.

use crate::applied::{Cause, Part, transaction_ids};
use crate::blocks::Entry;
use crate::dispatch::DispatchError;
use crate::input::{Answer, Busy, LocalRefusal, SlotRefused};
use crate::ledger::OwnView;
use crate::limits::{SLOT_AHEAD_MAX, SLOT_BEHIND_MAX};
use crate::outcomes::{self, OutcomeRecord};
use crate::shard::Work;
use evm::{Environment, ExecuteError, Executed, Missing, NetworkParams, RecoveredPayload, Slice};
use primitives::{Read, Slot, Time};
use proof::Message;
use std::collections::BTreeSet;

/// A run on this shard's own state that may be applied.
#[derive(Debug)]
pub(crate) struct OwnRun {
    /// What it read and did.
    pub(crate) executed: Executed,
    /// The same, as this shard's part: all of it.
    pub(crate) slice: Slice,
    /// What it sends.
    pub(crate) messages: Vec<Message>,
}

/// Why a run on this shard's own state may not be applied.
#[derive(Debug)]
pub(crate) enum RunRefusal {
    /// It needs what others own.
    NotLocal(BTreeSet<Missing>),
    /// It does not run.
    Execute(ExecuteError),
    /// It sends what nobody could deliver.
    Dispatch(DispatchError),
    /// It meets a lock.
    Busy(Busy),
}

impl From<RunRefusal> for LocalRefusal {
    fn from(refusal: RunRefusal) -> Self {
        match refusal {
            RunRefusal::NotLocal(missing) => Self::NotLocal { missing },
            RunRefusal::Execute(error) => Self::Execution(error),
            RunRefusal::Dispatch(error) => Self::Dispatch(error),
            RunRefusal::Busy(busy) => Self::Busy(busy),
        }
    }
}

impl<R: Read> Work<'_, '_, R> {
    /// Executes a payload of which this shard is the only participant, or finds that it did before.
    pub(crate) fn local(&mut self, payload: &RecoveredPayload) -> Answer {
        if let Some(outcomes) = self.known_outcomes(payload) {
            return Answer::Executed { outcomes };
        }
        match self.admit_local(payload) {
            Ok(run) => Answer::Executed { outcomes: self.apply_local(payload, run) },
            Err(refusal) => Answer::LocalRefused(refusal),
        }
    }

    fn known_outcomes(&self, payload: &RecoveredPayload) -> Option<Vec<OutcomeRecord>> {
        transaction_ids(payload).map(|id| outcomes::outcome(&self.ledger.staged, id)).collect()
    }

    fn admit_local(&mut self, payload: &RecoveredPayload) -> Result<OwnRun, LocalRefusal> {
        self.shard.check_lag()?;
        let environment = &payload.payload().environment;
        self.check_slot(environment)?;
        let run = self.run_own(payload)?;
        self.check_order(environment, &run.slice)?;
        Ok(run)
    }

    fn apply_local(&mut self, payload: &RecoveredPayload, run: OwnRun) -> Vec<OutcomeRecord> {
        self.draft.push_entry(Entry::Executed { payload: payload.digest() });
        self.apply_run(Cause::Local(payload.digest()), payload, run)
    }

    /// Applies a run of [`Work::run_own`]; nothing may have changed in between.
    pub(crate) fn apply_run(&mut self, cause: Cause, payload: &RecoveredPayload, run: OwnRun) -> Vec<OutcomeRecord> {
        let me = self.shard.me;
        let part = Part::of(cause, me, payload, &run.executed, run.slice, run.messages, |_| true);
        self.apply(part)
    }

    /// Runs `payload` on this shard's own state; changes nothing.
    pub(crate) fn run_own(&mut self, payload: &RecoveredPayload) -> Result<OwnRun, RunRefusal> {
        let shard = &*self.shard;
        let view = OwnView {
            read: &self.ledger.staged,
            placement: &shard.placement,
            me: shard.me,
            codes: &shard.codes,
            forked: shard.forked,
        };
        let executed = evm::execute_alone(&shard.params, &shard.placement, payload, &view);
        let executed = executed.map_err(|error| self.refusal_of(error))?;
        if executed.participants.iter().any(|participant| *participant != shard.me) {
            return Err(RunRefusal::NotLocal(BTreeSet::new()));
        }
        let slice = executed.slice(shard.me, &shard.placement);
        let wanted = &slice.locks;
        #[cfg(feature = "twins")] // UndecidedRead breaks R6.
        let wanted = &shard.awaited(wanted.clone());
        if let Some(conflict) = shard.locks.conflict(wanted) {
            self.shard.heat.note(conflict.key, self.time);
            return Err(RunRefusal::Busy(Busy::locked(conflict)));
        }
        let messages = shard.mailbox.messages(&executed.effects.outcomes, &shard.placement);
        let messages = messages.map_err(RunRefusal::Dispatch)?;
        Ok(OwnRun { executed, slice, messages })
    }

    fn refusal_of(&self, error: ExecuteError) -> RunRefusal {
        let ExecuteError::Missing(missing) = error else { return RunRefusal::Execute(error) };
        let keys = missing.iter().filter_map(|missing| if let Missing::Key(key) = missing { Some(*key) } else { None });
        match self.check_read(keys) {
            Ok(()) => RunRefusal::NotLocal(missing),
            Err(busy) => RunRefusal::Busy(busy),
        }
    }

    /// Runs what this shard itself brings about, at [`Work::own_environment`].
    pub(crate) fn run_system(&mut self, payload: &RecoveredPayload) -> Result<OwnRun, RunRefusal> {
        let run = self.run_own(payload)?;
        match self.check_order(&payload.payload().environment, &run.slice) {
            Ok(()) => Ok(run),
            Err(SlotRefused { slot, .. }) => Err(RunRefusal::Busy(Busy::Early { slot })),
        }
    }

    /// R10: whether a payload's slot is one that this shard takes at its block time. A replayed block's time is not ours.
    pub(crate) fn check_slot(&self, environment: &Environment) -> Result<(), SlotRefused> {
        let Some(slot) = environment.slot() else { return Ok(()) };
        let params = &self.shard.params;
        let is_early = params.start_of(slot) > self.time.after(SLOT_AHEAD_MAX);
        if is_early || slot < oldest_slot_taken(params, self.time) {
            return Err(SlotRefused { slot, taken: params.slot_at(self.time) });
        }
        Ok(())
    }

    /// R13: whether a payload's slot comes after all that its locks conflict with. A replayed block is not of our time.
    ///
    /// What deploys code waits for its slot to begin: whoever goes by that code without a lock is held against the time at
    /// which it was there ([`crate::CodeFact::since`]).
    pub(crate) fn check_order(&self, environment: &Environment, slice: &Slice) -> Result<(), SlotRefused> {
        let Some(slot) = environment.slot() else { return Ok(()) };
        let begun = self.shard.params.slot_at(self.time);
        if slot > begun && !slice.changes.codes.is_empty() {
            return Err(SlotRefused { slot, taken: begun });
        }
        #[cfg(feature = "twins")] // SlotOrderIgnored breaks R13.
        if self.shard.breaks(commit::Twin::SlotOrderIgnored) {
            return Ok(());
        }
        match self.shard.recency.needed(&slice.locks) {
            taken if slot < taken => Err(SlotRefused { slot, taken }),
            _ => Ok(()),
        }
    }

    /// The environment of what this shard runs by itself: the slot of its block time, or the newest that a payload ran
    /// ahead of it; so R13 never stands in its way.
    pub(crate) fn own_environment(&self) -> Environment {
        Environment::Slot(self.own_slot())
    }

    /// The slot of [`Work::own_environment`].
    pub(crate) fn own_slot(&self) -> Slot {
        self.shard.params.slot_at(self.time).max(self.shard.recency.newest())
    }
}

/// The oldest slot that a shard takes at block time `time` (R10): what ran before it is complete but for what is undecided.
pub fn oldest_slot_taken(params: &NetworkParams, time: Time) -> Slot {
    params.slot_at(Time(time.0.saturating_sub(SLOT_BEHIND_MAX.0)))
}
