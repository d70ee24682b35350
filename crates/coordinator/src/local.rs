//! Submissions that concern one shard alone: no votes, its own log decides.
//!
//! ```text
//!   several of one key ──> one batch ──> one step of the shard, one after the other on its own state ──> their outcomes
//! ```
//!
//! They do not wait for each other here, whatever keys they share but their senders' accounts ([`crate::claims`]): what ran here
//! only says which shard it is, and the shard runs each again on what those before it left. Who met another coordinator's lock
//! there waits for its keys like an attempt from then on, so that one at a time asks whether the lock has gone.

use crate::claims::Turn;
use crate::coordinator::{Coordinator, Draft};
use crate::input::{Committed, Event, LocalAnswer, LocalSubmission};
use crate::pending::{Local, Stage};
use crate::refusal::Refusal;
use evm::{Executed, Outcome};
use std::sync::Arc;

/// Times a shard may refuse what ran here before it is believed: what ran here ran on guesses.
const LOCAL_REFUSALS_COUNT_MAX: u32 = 3;

impl Coordinator {
    pub(crate) fn send_locally(&mut self, turn: Turn, executed: Arc<Executed>, draft: &mut Draft) {
        let Some(shard) = executed.participants.first().copied() else { return };
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        pending.tries += 1;
        let (ticket, payload) = (pending.ticket, pending.payload.payload().clone());
        draft.reply(ticket, Event::SentLocally { shard });
        draft.locals.entry(shard).or_default().push(LocalSubmission { ticket, payload: payload.clone() });
        let local = Local { shard, payload, executed, since: draft.now };
        self.enter(turn, Stage::Local(Box::new(local)), Some(draft.now.after(self.settings.timing.answer)));
    }

    pub(crate) fn local(&mut self, turn: Turn, answer: LocalAnswer, draft: &mut Draft) {
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        let (tries, ticket) = (pending.tries, pending.ticket);
        let Stage::Local(local) = &mut pending.stage else { return };
        let shard = local.shard;
        if answer == LocalAnswer::Unreachable {
            // The same payload again, which the shard executes once: whether it has is unknown.
            let stage = std::mem::replace(&mut pending.stage, Stage::Ready);
            return self.enter(turn, stage, Some(draft.now.after(self.settings.timing.backoff_max)));
        }
        let executed = std::mem::replace(&mut pending.stage, Stage::Backoff);
        let Stage::Local(local) = executed else { return };
        match answer {
            LocalAnswer::Executed(outcomes) => self.committed_locally(turn, &local, outcomes, draft),
            LocalAnswer::Refused(reason) if tries >= LOCAL_REFUSALS_COUNT_MAX => {
                self.refuse(turn, Refusal::Objected { shard, reason }, draft);
            }
            answer => {
                // All that want a key which somebody holds at the shard would run against that: one at a time is enough.
                pending.met_others |= answer == LocalAnswer::Later;
                match answer {
                    LocalAnswer::Slot { taken } => pending.slot_refused(taken),
                    _ => self.forget_read(&local.executed, shard),
                }
                let free = self.claims.release(turn);
                self.wake(free);
                let last = Refusal::Contended { tries, shard, last: commit::Refusal::Busy };
                self.again(turn, ticket.0, last, draft);
            }
        }
    }

    /// No answer for too long: it is sent again, which is safe, and in the end given up without knowing.
    pub(crate) fn local_is_late(&mut self, turn: Turn, draft: &mut Draft) {
        let timing = self.settings.timing;
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        let (ticket, since) = (pending.ticket, pending.since);
        let is_kept = pending.kept.is_some();
        let Stage::Local(local) = &pending.stage else { return };
        let shard = local.shard;
        let is_impatient = !is_kept && draft.now.since(local.since) >= timing.patience;
        if is_impatient || draft.now.since(since) >= timing.lifetime {
            return self.refuse(turn, Refusal::Unknown { shard }, draft);
        }
        let has_patience = draft.now.since(local.since) < timing.patience;
        let wait = if has_patience { timing.answer } else { timing.backoff_late };
        let submission = LocalSubmission { ticket, payload: local.payload.clone() };
        draft.locals.entry(shard).or_default().push(submission);
        self.silent.insert(shard);
        self.look_again(turn, draft.now.after(wait));
    }

    /// Forgets what it changed as the last of several at once: each ran here without the others, so only the shard knows what came
    /// of all. Until then the value is guess enough for more of them.
    fn forget_crowded(&mut self, turn: Turn, executed: &Executed) {
        for (key, _) in executed.effects.changes.keys() {
            if self.claims.is_last_of_several(turn, &key) {
                self.cache.write().forget(&key);
            }
        }
    }

    fn committed_locally(&mut self, turn: Turn, local: &Local, outcomes: Vec<Outcome>, draft: &mut Draft) {
        if outcomes == local.executed.effects.outcomes {
            self.learn_commit(&local.executed.effects.changes);
            self.forget_crowded(turn, &local.executed);
        } else {
            // It did something else on the shard's own state; what, only the shard knows.
            self.forget_read(&local.executed, local.shard);
        }
        let participants = local.executed.participants.clone();
        let committed = Committed { outcomes, participants, proven_codes: 0, proof: None };
        self.finish(turn, Event::Committed(Box::new(committed)), draft);
    }
}
