//! The coordinator's side: carry an attempt to its end, as often as it takes.
//!
//! ```text
//!       Begin            every home voted yes           all voted yes | some no         all that may lock acked
//!   ---------> Homes ---------------------> Rest ---------------------------> Deciding ------------------> forgotten
//!     * log      |   Prepare, again and again |                               * log      Decide, again      * log
//!                '---- at the deadline, or when one will never vote: RequestAbort to all who are silent; the answers are votes
//! ```
//!
//! Promise: it never decides by its own clock and never without votes (R1, R4); what it sends more than once is safe to
//! receive more than once. Its log only lets a restart finish sooner: participants finish without it (R8).
//!
//! The log: [`ATTEMPTS`] has the attempt and its payload from before the first prepare; [`VOTES`] has the deciding votes
//! from before the first decide; both go when every participant that may hold a lock has acknowledged. [`DECISIONS`]
//! remembers the last [`DECISIONS_COUNT_MAX`] decisions.
//!
//! Promise (I19): what a dead participant never acknowledges keeps nobody from beginning. At the bound the attempt with the
//! oldest deadline is forgotten, if that is past: its participants finish it among themselves (R8).

mod attempt;
mod memory;

use crate::PAYLOAD_BYTES_MAX;
use crate::{Decision, DecisionProof, Descriptor, DescriptorError, VoteProof};
use attempt::{Attempt, Objected, Recorded};
use memory::Memory;
use primitives::{AttemptId, Machine, Millis, Output, Read, ShardId, Space, Time, Verified, Write};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Attempts not yet forgotten: attempt id to descriptor and payload.
pub const ATTEMPTS: Space = Space("commit_attempts");
/// The deciding votes of attempts decided but not yet forgotten: attempt id to votes.
pub const VOTES: Space = Space("commit_votes");
/// The last decisions: running number to attempt and decision.
pub const DECISIONS: Space = Space("commit_decisions");

/// Most attempts in flight at once.
pub const ATTEMPTS_COUNT_MAX: usize = 8192;
/// Most decisions remembered after their attempts are forgotten.
pub const DECISIONS_COUNT_MAX: usize = 65_536;

/// How often to say things again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The wait after the first send; doubles each time.
    pub resend_min: Millis,
    /// The longest wait between sends.
    pub resend_max: Millis,
}

impl Default for Settings {
    fn default() -> Self {
        Self { resend_min: Millis(1_000), resend_max: Millis(8_000) }
    }
}

/// What comes in.
#[derive(Debug, Clone)]
pub enum Input {
    /// A new attempt with its payload.
    Begin {
        /// The attempt.
        descriptor: Descriptor,
        /// What the participants need to compute [`Descriptor::payload`]; opaque here.
        payload: Arc<[u8]>,
    },
    /// Votes, from whomever.
    Votes(Vec<Verified<VoteProof>>),
    /// A participant would not act on a message.
    Rejected {
        /// On which attempt.
        attempt: AttemptId,
        /// Who.
        shard: ShardId,
        /// Whether that may change.
        objection: Objection,
    },
    /// A participant has carried out the decision. Unproven: a lie only stops a courtesy.
    Applied {
        /// Of which attempt.
        attempt: AttemptId,
        /// Who.
        shard: ShardId,
    },
}

/// What a participant says that would not act on a message and cast no vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// Not now; the same message may be taken later.
    Later,
    /// Never, in the participant's words.
    Never(String),
    /// Never, because it is over on all its shards, which have forgotten how ([`crate::Rejection::Settled`]).
    Settled,
}

/// What goes to participants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Send {
    /// Asks for a vote.
    Prepare {
        /// Whom.
        to: ShardId,
        /// On what.
        descriptor: Arc<Descriptor>,
        /// The payload.
        payload: Arc<[u8]>,
        /// The homes' yes votes; empty if `to` is a home.
        homes: Vec<Verified<VoteProof>>,
    },
    /// Asks for a no, or for the vote already cast.
    RequestAbort {
        /// Whom.
        to: ShardId,
        /// On what.
        descriptor: Arc<Descriptor>,
    },
    /// Delivers the decision.
    Decide {
        /// Whom.
        to: ShardId,
        /// The decision and its votes.
        proof: Arc<DecisionProof>,
    },
}

impl Send {
    /// To whom it goes.
    pub fn to(&self) -> ShardId {
        match self {
            Self::Prepare { to, .. } | Self::RequestAbort { to, .. } | Self::Decide { to, .. } => *to,
        }
    }

    /// Which attempt it is about.
    pub fn attempt(&self) -> AttemptId {
        match self {
            Self::Prepare { descriptor, .. } | Self::RequestAbort { descriptor, .. } => descriptor.id(),
            Self::Decide { proof, .. } => proof.attempt(),
        }
    }
}

/// What goes back to whoever began the attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The attempt was not begun.
    Refused {
        /// Which.
        attempt: AttemptId,
        /// Why.
        reason: BeginError,
    },
    /// Every home has voted yes: the fee is reserved, and the rest is being asked.
    HomesReserved {
        /// Which.
        attempt: AttemptId,
    },
    /// It is decided; delivery goes on.
    Decided {
        /// The decision and its votes.
        proof: Arc<DecisionProof>,
    },
    /// Every participant that may hold a lock has carried out the decision, or there is no room to wait for the rest.
    Finished {
        /// Which.
        attempt: AttemptId,
        /// How it ended.
        decision: Decision,
    },
    /// Nobody who is still silent will ever vote on it: it is left to those who have, who end it among themselves (R8).
    Abandoned {
        /// Which.
        attempt: AttemptId,
        /// Who would not vote.
        shard: ShardId,
        /// Why.
        reason: String,
    },
    /// Undecided past its deadline, it was left to its participants (R8): there was no room for it any more.
    Left {
        /// Which.
        attempt: AttemptId,
    },
}

/// Why an attempt was not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    /// The descriptor describes no attempt.
    #[error("malformed attempt: {0}")]
    Descriptor(#[from] DescriptorError),
    /// The payload is too large.
    #[error("a payload of {actual} bytes where at most {PAYLOAD_BYTES_MAX} are allowed")]
    PayloadTooLong {
        /// Its size.
        actual: usize,
    },
    /// [`ATTEMPTS_COUNT_MAX`] attempts are in flight.
    #[error("{ATTEMPTS_COUNT_MAX} attempts are in flight")]
    Busy,
    /// The attempt is in flight or decided already.
    #[error("the attempt was begun before")]
    Known,
}

/// The coordinator's store does not read back; it was written by something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {key} of {space:?} is damaged: {reason}")]
pub struct OpenError {
    /// Where.
    pub space: Space,
    /// Which key, in hex.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The coordinator's machine over any number of attempts, each on its own.
#[derive(Debug)]
pub struct Coordinator {
    settings: Settings,
    attempts: BTreeMap<AttemptId, Attempt>,
    timers: BTreeSet<(Time, AttemptId)>,
    /// The same attempts by their deadlines: which is left to its participants when there is no room.
    deadlines: BTreeSet<(Time, AttemptId)>,
    memory: Memory,
}

impl Coordinator {
    /// The coordinator that goes on where the one that wrote this store stopped (I12).
    ///
    /// Its first step, at whatever time, says again what was last said of every unfinished attempt.
    pub fn open(settings: Settings, read: &impl Read) -> Result<Self, OpenError> {
        let memory = Memory::open(read)?;
        let attempts = attempt::recover(read)?;
        let timers = attempts.keys().map(|id| (Time(0), *id)).collect();
        let deadlines = attempts.iter().map(|(id, attempt)| (attempt.descriptor.deadline, *id)).collect();
        Ok(Self { settings, attempts, timers, deadlines, memory })
    }

    /// How many attempts are not yet forgotten.
    pub fn in_flight(&self) -> usize {
        self.attempts.len()
    }

    /// The attempts not yet forgotten, with their descriptors.
    pub fn unfinished(&self) -> impl Iterator<Item = (AttemptId, &Descriptor)> {
        self.attempts.iter().map(|(id, attempt)| (*id, &*attempt.descriptor))
    }

    /// How the attempt ended, if it is among the last [`DECISIONS_COUNT_MAX`] decided here.
    pub fn decision(&self, attempt: AttemptId) -> Option<Decision> {
        self.memory.get(attempt)
    }

    fn begin(&mut self, now: Time, descriptor: Descriptor, payload: Arc<[u8]>, out: &mut Output<Send, Reply>) {
        let id = descriptor.id();
        self.make_room(now, out);
        if let Err(reason) = self.may_begin(id, &descriptor, &payload) {
            out.replies.push(Reply::Refused { attempt: id, reason });
            return;
        }
        self.deadlines.insert((descriptor.deadline, id));
        let attempt = Attempt::new(descriptor, payload);
        out.writes.push(attempt.begun());
        self.attempts.insert(id, attempt);
        self.say(now, id, out);
    }

    fn may_begin(&self, id: AttemptId, descriptor: &Descriptor, payload: &[u8]) -> Result<(), BeginError> {
        descriptor.check()?;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(BeginError::PayloadTooLong { actual: payload.len() });
        }
        if self.attempts.contains_key(&id) || self.memory.get(id).is_some() {
            return Err(BeginError::Known);
        }
        if self.attempts.len() >= ATTEMPTS_COUNT_MAX {
            return Err(BeginError::Busy);
        }
        Ok(())
    }

    /// Leaves the attempt with the oldest deadline to its participants, if there is no room and that deadline has passed.
    fn make_room(&mut self, now: Time, out: &mut Output<Send, Reply>) {
        let oldest = self.deadlines.first().copied().filter(|_| self.attempts.len() >= ATTEMPTS_COUNT_MAX);
        let Some((_, id)) = oldest.filter(|(deadline, _)| *deadline <= now) else { return };
        out.replies.push(match self.attempts.get(&id).and_then(Attempt::decision) {
            Some(decision) => Reply::Finished { attempt: id, decision },
            None => Reply::Left { attempt: id },
        });
        self.forget(id, out);
    }

    fn vote(&mut self, now: Time, proof: Verified<VoteProof>, out: &mut Output<Send, Reply>) {
        let id = proof.vote.attempt;
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        match attempt.record(proof) {
            Recorded::Nothing => {}
            Recorded::HomesReserved => {
                out.replies.push(Reply::HomesReserved { attempt: id });
                self.say_anew(now, id, out);
            }
            Recorded::Decided(proof) => {
                out.writes.push(attempt::decided(&proof));
                out.writes.extend(self.memory.remember(id, proof.decide()));
                out.replies.push(Reply::Decided { proof });
                self.say_anew(now, id, out);
                self.forget_if_done(id, out);
            }
            Recorded::NeedsNoDecision => self.forget_if_done(id, out),
        }
    }

    fn objected(&mut self, now: Time, id: AttemptId, shard: ShardId, reason: String, out: &mut Output<Send, Reply>) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        if attempt.decision().is_some() {
            return self.applied(id, shard, out); // It will never do better; its operator has the alarm.
        }
        match attempt.object(shard) {
            Objected::Nothing => {}
            Objected::GivesUp => self.say_anew(now, id, out),
            Objected::Hopeless => {
                out.replies.push(Reply::Abandoned { attempt: id, shard, reason });
                self.forget(id, out);
            }
        }
    }

    fn applied(&mut self, id: AttemptId, shard: ShardId, out: &mut Output<Send, Reply>) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.applied(shard);
            self.forget_if_done(id, out);
        }
    }

    fn forget_if_done(&mut self, id: AttemptId, out: &mut Output<Send, Reply>) {
        let Some(decision) = self.attempts.get(&id).and_then(Attempt::finished) else { return };
        out.replies.push(Reply::Finished { attempt: id, decision });
        self.forget(id, out);
    }

    fn forget(&mut self, id: AttemptId, out: &mut Output<Send, Reply>) {
        if let Some(attempt) = self.attempts.remove(&id) {
            self.timers.remove(&(attempt.due, id));
            self.deadlines.remove(&(attempt.descriptor.deadline, id));
            out.writes.push(Write::delete(ATTEMPTS, *id.0.as_bytes()));
            out.writes.push(Write::delete(VOTES, *id.0.as_bytes()));
        }
    }

    /// Says what the attempt's new stage asks for, without waiting for a timer.
    fn say_anew(&mut self, now: Time, id: AttemptId, out: &mut Output<Send, Reply>) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.said = 0;
        }
        self.say(now, id, out);
    }

    /// Says what the attempt's stage asks for, and arms the timer for saying it again.
    fn say(&mut self, now: Time, id: AttemptId, out: &mut Output<Send, Reply>) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        self.timers.remove(&(attempt.due, id));
        out.sends.extend(attempt.say(now));
        let wait = self.settings.resend_min.0.saturating_mul(1 << attempt.said.min(20)).min(self.settings.resend_max.0);
        attempt.said = attempt.said.saturating_add(1);
        attempt.due = attempt.next_due(now, Millis(wait.max(1)));
        self.timers.insert((attempt.due, id));
    }

    fn say_what_is_due(&mut self, now: Time, out: &mut Output<Send, Reply>) {
        let due: Vec<AttemptId> = self.timers.iter().take_while(|(time, _)| *time <= now).map(|(_, id)| *id).collect();
        for id in due {
            self.say(now, id, out);
        }
    }

    #[cfg(debug_assertions)]
    fn assert_valid(&self) {
        assert!(self.attempts.len() <= ATTEMPTS_COUNT_MAX);
        assert_eq!(self.attempts.len(), self.timers.len(), "every attempt has one timer");
        assert_eq!(self.attempts.len(), self.deadlines.len(), "every attempt has one deadline");
        for (id, attempt) in &self.attempts {
            assert!(self.timers.contains(&(attempt.due, *id)), "the timer is the attempt's");
            // A full memory may have forgotten a decision that is still being told.
            let is_remembered = self.memory.get(*id).is_some();
            assert!(attempt.decision().is_some() == is_remembered || self.memory.is_full());
        }
    }
}

impl Machine for Coordinator {
    type Input = Input;
    type Send = Send;
    type Reply = Reply;

    fn step(&mut self, now: Time, inputs: Vec<Input>, _read: &impl Read) -> Output<Send, Reply> {
        let mut out = Output::new();
        for input in inputs {
            match input {
                Input::Begin { descriptor, payload } => self.begin(now, descriptor, payload, &mut out),
                Input::Votes(votes) => votes.into_iter().for_each(|proof| self.vote(now, proof, &mut out)),
                Input::Rejected { objection: Objection::Later, .. } => {} // Said again when its time comes.
                Input::Rejected { attempt, shard, objection: Objection::Never(reason) } => {
                    self.objected(now, attempt, shard, reason, &mut out);
                }
                Input::Rejected { attempt, shard, objection: Objection::Settled } => {
                    self.objected(now, attempt, shard, "it is over, and forgotten".to_owned(), &mut out);
                }
                Input::Applied { attempt, shard } => self.applied(attempt, shard, &mut out),
            }
        }
        self.say_what_is_due(now, &mut out);
        out.wake = self.timers.first().map(|(time, _)| *time);
        #[cfg(debug_assertions)]
        self.assert_valid();
        out
    }
}
