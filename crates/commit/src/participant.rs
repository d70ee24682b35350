//! A participant's side of an attempt, as pure transitions over the one record it keeps.
//!
//! ```text
//!                    prepare, ready            all yes
//!       (nothing) ------------------> Prepared ---------> Decided(Commit)   apply, release
//!           | |                          |     some no         ^
//!           | |                          '--------------> Decided(Abort)    release
//!           | |  prepare, ready, last agent                    |
//!           | '------------------------------------------------'   its yes is the last: apply at once
//!           |  prepare, not ready | abort request | past the deadline
//!           '--------------------> Refused   (may go after the deadline: R5)
//! ```
//!
//! There is no other arrow. In particular none leaves `Prepared` by a clock (R4), and none leaves `Decided` before every participant
//! has certified that nothing with its deadline is open there (R7): nobody is left then who could ask, and who asks all the same
//! gets no vote.
//!
//! Promise: what [`Step::answer`] says was or is being written: the shard puts `Step::write` and the effects of
//! `Step::action` into one batch and answers after the sync (R2). The record is all there is: after a crash the same
//! record gives the same answers.
//!
//! Knows nothing of locks, effects and state: whether the shard is ready is asked of the caller, what is locked or applied
//! is the caller's.

use crate::decision::counts;
use crate::{Decision, DecisionProof, Descriptor, Refusal, Rejection, Verdict, Vote, VoteProof};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{AttemptId, Epoch, Millis, NetworkId, ShardId, Time, Verified};
use std::collections::{BTreeMap, BTreeSet};

/// How far ahead of block time a deadline may lie: bounds how long a tombstone is kept, and how long an attempt whose
/// coordinator withholds a prepare may hold its locks.
pub const DEADLINE_AHEAD_MAX: Millis = Millis(30 * 1000);

/// How long after the deadline a participant first asks the others: time for the coordinator's decision to arrive.
pub const ASK_GRACE: Millis = Millis(500);

/// The wait between the first two times of asking; doubles each time.
pub const ASK_BACKOFF_MIN: Millis = Millis(500);

/// The longest wait between two times of asking.
pub const ASK_BACKOFF_MAX: Millis = Millis(30_000);

/// How long after the deadline a no is kept, so that a repeated question gets the recorded answer and no new leaf.
pub const TOMBSTONE_KEPT: Millis = Millis(60_000);

/// What a shard keeps of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Record {
    /// Voted yes; locks are held until the decision (R6).
    Prepared {
        /// The attempt: whom to ask when the decision is late (R8).
        descriptor: Descriptor,
    },
    /// Voted no; nothing is locked. A tombstone if nobody had prepared it.
    Refused {
        /// The no.
        vote: Vote,
        /// The attempt's deadline, after which the rule stands in for this record (R5).
        deadline: Time,
    },
    /// Voted yes, and decided. Kept until the attempt is settled (R7).
    Decided {
        /// The yes.
        vote: Vote,
        /// How it ended.
        decision: Decision,
    },
}

impl Record {
    /// How the attempt ended, if this shard knows.
    pub fn decision(&self) -> Option<Decision> {
        match self {
            Self::Prepared { .. } => None,
            Self::Refused { .. } => Some(Decision::Abort),
            Self::Decided { decision, .. } => Some(*decision),
        }
    }

    /// Whether locks are held for it (I7).
    pub fn holds_locks(&self) -> bool {
        matches!(self, Self::Prepared { .. })
    }

    /// Whether the rule "past the deadline every prepare is a no" may stand in for this record now (R5).
    pub fn may_go(&self, now: Time) -> bool {
        matches!(self, Self::Refused { deadline, .. } if now > deadline.after(TOMBSTONE_KEPT))
    }

    /// The last time at which a no that is written at `now` is kept, whenever its attempt's deadline was.
    pub fn kept_until(&self, now: Time) -> Option<Time> {
        let Self::Refused { deadline, .. } = self else { return None };
        Some(now.max(*deadline).after(TOMBSTONE_KEPT))
    }
}

/// The vote to answer with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Cast in this step: it becomes a leaf of this block's outbox.
    New(Vote),
    /// Cast before: answer with the receipt of its leaf (R2, R7).
    Existing(Vote),
}

impl Answer {
    /// The vote, whenever it was cast.
    pub fn vote(&self) -> &Vote {
        match self {
            Self::New(vote) | Self::Existing(vote) => vote,
        }
    }
}

/// What the shard does beside writing the record, in the same batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Takes the locks and keeps the effects aside.
    Lock,
    /// Applies the effects and releases the locks. Asked for once per attempt (I5).
    Apply,
    /// Drops the effects and releases the locks.
    Release,
    /// Applies the effects of the prepare itself, for which nothing was locked. Asked for once per attempt (I5).
    Commit,
}

/// What a transition asks for: one batch with `write` and `action`, then `answer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The new record, if it changes.
    pub write: Option<Record>,
    /// The vote to answer with. `None` after a decision that needs none: the answer is that it is applied.
    pub answer: Option<Answer>,
    /// What else goes into the batch.
    pub action: Action,
}

impl Step {
    fn existing(vote: Vote) -> Self {
        Self { write: None, answer: Some(Answer::Existing(vote)), action: Action::Nothing }
    }
}

/// A question to the other participants of a late attempt (R8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The attempt; sent as an abort request, whose answers are votes (R4: a timer may only ask).
    pub descriptor: Descriptor,
    /// Whom.
    pub shards: BTreeSet<ShardId>,
    /// When to ask again if nothing is decided by then: with the next round's number.
    pub again: Time,
}

/// A shard as a participant: who it is, and whose epochs it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    /// The network.
    pub network: NetworkId,
    /// This shard.
    pub shard: ShardId,
    /// The current epoch of every shard of the network, this one's included.
    pub epochs: BTreeMap<ShardId, Epoch>,
    /// Through which deadlines each other shard has certified that nothing is open there (R7).
    settled: BTreeMap<ShardId, Time>,
    /// The rule that is broken, in tests of checkers.
    #[cfg(feature = "twins")]
    pub twin: Option<crate::Twin>,
}

impl Participant {
    /// Shard `shard` of `network`, where the shards' epochs are these.
    pub fn new(network: NetworkId, shard: ShardId, epochs: BTreeMap<ShardId, Epoch>) -> Self {
        Self {
            network,
            shard,
            epochs,
            settled: BTreeMap::new(),
            #[cfg(feature = "twins")]
            twin: None,
        }
    }

    /// Another shard has certified that no attempt with a deadline at or before `through` is open there, nor will be.
    pub fn note_settled(&mut self, shard: ShardId, through: Time) {
        let known = self.settled.entry(shard).or_insert(Time(0));
        *known = through.max(*known);
    }

    /// Whether nothing with this deadline is open on any of `others`, nor can begin here at block time `now`.
    pub fn is_settled(&self, mut others: impl Iterator<Item = ShardId>, deadline: Time, now: Time) -> bool {
        let through = |shard| self.settled.get(&shard).copied().unwrap_or(Time(0));
        now >= deadline && others.all(|shard| through(shard) >= deadline)
    }

    /// Whether an attempt of which there is no record here may have had one (R7).
    fn check_unsettled(&self, descriptor: &Descriptor, now: Time) -> Result<(), Rejection> {
        let others = descriptor.participants.keys().copied().filter(|shard| *shard != self.shard);
        if self.is_settled(others, descriptor.deadline, now) {
            return Err(Rejection::Settled { attempt: descriptor.id() });
        }
        Ok(())
    }

    /// Whether this shard can vote on the attempt at all.
    ///
    /// Every participant is checked, not only this one: an attempt with a shard or epoch that does not exist could never
    /// be decided, and would hold its locks for ever.
    pub fn admit(&self, descriptor: &Descriptor, now: Time) -> Result<(), Rejection> {
        descriptor.check()?;
        if descriptor.network != self.network {
            return Err(Rejection::WrongNetwork { expected: self.network, actual: descriptor.network });
        }
        if descriptor.epoch(self.shard).is_none() {
            return Err(Rejection::NotParticipant { shard: self.shard });
        }
        for (shard, actual) in &descriptor.participants {
            let expected = *self.epochs.get(shard).ok_or(Rejection::UnknownShard { shard: *shard })?;
            if expected != *actual {
                return Err(Rejection::WrongEpoch { shard: *shard, expected, actual: *actual });
            }
        }
        if descriptor.deadline > now.after(DEADLINE_AHEAD_MAX) {
            return Err(Rejection::DeadlineTooFar { deadline: descriptor.deadline, now });
        }
        Ok(())
    }

    /// A prepare at block time `now`, with the homes' votes it carries.
    ///
    /// `ready` is asked at most once, and only if the vote is open: the own slice of the witness is current, the effects
    /// are right, every lock is free.
    ///
    /// # Errors
    /// A [`Rejection`] if this shard cannot vote on it: nothing is written, a better prepare may follow.
    pub fn prepare(
        &self,
        record: Option<&Record>,
        descriptor: &Descriptor,
        homes: &[Verified<VoteProof>],
        now: Time,
        ready: impl FnOnce() -> Result<(), Refusal>,
    ) -> Result<Step, Rejection> {
        #[cfg(feature = "twins")] // EarlyForgetting breaks R7.
        let record = self.recalled(record, descriptor, now);
        if let Some(vote) = self.query(record) {
            return Ok(Step::existing(vote)); // R2, R7: one vote, for ever the same.
        }
        self.admit(descriptor, now)?;
        self.check_unsettled(descriptor, now)?;
        let expired = now >= descriptor.deadline;
        #[cfg(feature = "twins")] // DeadlineIgnored breaks R5.
        let expired = expired && !self.breaks(crate::Twin::DeadlineIgnored);
        if expired {
            return Ok(self.refuse(descriptor, Refusal::Expired { deadline: descriptor.deadline, now })); // R5, R10
        }
        self.check_homes(descriptor, homes)?;
        Ok(match ready() {
            Ok(()) => self.accept(descriptor),
            Err(refusal) => self.refuse(descriptor, refusal),
        })
    }

    /// A request to abort at block time `now`: by the coordinator, or by a participant whose attempt is late.
    ///
    /// R4: after a yes it changes nothing; the answer is the yes. R5: without a vote, a no is written first.
    pub fn abort_request(
        &self,
        record: Option<&Record>,
        descriptor: &Descriptor,
        now: Time,
    ) -> Result<Step, Rejection> {
        #[cfg(feature = "twins")] // EarlyForgetting breaks R7.
        let record = self.recalled(record, descriptor, now);
        if let Some(vote) = self.query(record) {
            return Ok(Step::existing(vote));
        }
        self.admit(descriptor, now)?;
        self.check_unsettled(descriptor, now)?;
        let refused = self.refuse(descriptor, Refusal::AbortRequested);
        #[cfg(feature = "twins")] // NoTombstone breaks R5.
        let refused = self.without_tombstone(refused);
        Ok(refused)
    }

    /// A decision, from whomever (R8): the proof speaks for itself.
    ///
    /// # Errors
    /// [`Rejection::Contradiction`] if it is not what this shard's own vote and record allow.
    pub fn decision(&self, record: Option<&Record>, proof: &DecisionProof, now: Time) -> Result<Step, Rejection> {
        #[cfg(feature = "twins")] // DecisionAppliedTwice breaks I5.
        if let Some(step) = self.applied_again(record, proof) {
            return Ok(step);
        }
        #[cfg(feature = "twins")] // EarlyForgetting breaks R7.
        let record = self.recalled(record, proof.descriptor(), now);
        let contradiction = Rejection::Contradiction { attempt: proof.attempt() };
        let nothing = Step { write: None, answer: None, action: Action::Nothing };
        match (record, proof.decide()) {
            (Some(Record::Prepared { descriptor }), decision) => Ok(self.end(descriptor, decision)),
            (Some(Record::Decided { decision, .. }), claimed) if *decision == claimed => Ok(nothing), // I5: once.
            (Some(Record::Refused { .. }), Decision::Abort) => Ok(nothing),
            // R5: past the deadline no prepare can lock any more, so there is nothing to remember.
            (None, Decision::Abort) if now >= proof.descriptor().deadline => Ok(nothing),
            // R7: it was carried out here, or a shard would not be settled, and is forgotten.
            (None, Decision::Commit) if self.check_unsettled(proof.descriptor(), now).is_err() => Ok(nothing),
            // A prepare may still be on its way; without this no it would lock for an attempt that is over.
            (None, Decision::Abort) => {
                self.admit(proof.descriptor(), now)?;
                Ok(self.refuse(proof.descriptor(), Refusal::AlreadyAborted))
            }
            (Some(Record::Refused { .. } | Record::Decided { .. }) | None, _) => Err(contradiction),
        }
    }

    /// This shard's vote, if it has one on record (R7).
    pub fn query(&self, record: Option<&Record>) -> Option<Vote> {
        Some(match record? {
            Record::Prepared { descriptor } => self.vote(descriptor, Verdict::Yes),
            Record::Refused { vote, .. } | Record::Decided { vote, .. } => vote.clone(),
        })
    }

    /// Whom to ask about an attempt whose decision is late at block time `now`, for the `round`-th time, from 0 (R8).
    ///
    /// `None` if it is decided, or not due: then it is at [`ask_at`].
    pub fn late(&self, record: &Record, round: u32, now: Time) -> Option<Ask> {
        let Record::Prepared { descriptor } = record else { return None };
        if now < ask_at(descriptor.deadline, round) {
            return None;
        }
        self.ask(record, round, now)
    }

    /// The same of an undecided attempt that the shard has its own reasons to ask about sooner: R4, asking decides nothing.
    pub fn ask(&self, record: &Record, round: u32, now: Time) -> Option<Ask> {
        let Record::Prepared { descriptor } = record else { return None };
        let shards = descriptor.participants.keys().copied().filter(|shard| *shard != self.shard).collect();
        Some(Ask { descriptor: descriptor.clone(), shards, again: now.after(ask_backoff(round)) })
    }

    /// I15: whoever is not a home locks nothing before every home has reserved the fee.
    fn check_homes(&self, descriptor: &Descriptor, homes: &[Verified<VoteProof>]) -> Result<(), Rejection> {
        if descriptor.homes.contains(&self.shard) {
            return Ok(());
        }
        #[cfg(feature = "twins")] // HomesNotAwaited breaks R11.
        if self.breaks(crate::Twin::HomesNotAwaited) {
            return Ok(());
        }
        let attempt = descriptor.id();
        let said_yes = |home: ShardId| {
            homes.iter().any(|proof| {
                proof.vote.shard == home && proof.vote.verdict.is_yes() && counts(descriptor, attempt, &proof.vote)
            })
        };
        match descriptor.homes.iter().find(|home| !said_yes(**home)) {
            Some(home) => Err(Rejection::HomesMissing { home: *home }),
            None => Ok(()),
        }
    }

    /// A yes. R1: that of the last agent, which has seen all others', decides, so it commits where others lock.
    fn accept(&self, descriptor: &Descriptor) -> Step {
        let vote = self.vote(descriptor, Verdict::Yes);
        let (record, action) = if descriptor.last_agent() == Some(self.shard) {
            (Record::Decided { vote: vote.clone(), decision: Decision::Commit }, Action::Commit)
        } else {
            (Record::Prepared { descriptor: descriptor.clone() }, Action::Lock)
        };
        Step { write: Some(record), answer: Some(Answer::New(vote)), action }
    }

    fn refuse(&self, descriptor: &Descriptor, refusal: Refusal) -> Step {
        let vote = self.vote(descriptor, Verdict::No(refusal));
        Step {
            write: Some(Record::Refused { vote: vote.clone(), deadline: descriptor.deadline }),
            answer: Some(Answer::New(vote)),
            action: Action::Nothing,
        }
    }

    pub(crate) fn end(&self, descriptor: &Descriptor, decision: Decision) -> Step {
        Step {
            write: Some(Record::Decided { vote: self.vote(descriptor, Verdict::Yes), decision }),
            answer: None,
            action: match decision {
                Decision::Commit => Action::Apply,
                Decision::Abort => Action::Release,
            },
        }
    }

    fn vote(&self, descriptor: &Descriptor, verdict: Verdict) -> Vote {
        // `admit` has checked that this shard is named, with its current epoch.
        let epoch = descriptor.epoch(self.shard).unwrap_or(Epoch(0));
        Vote { attempt: descriptor.id(), shard: self.shard, epoch, verdict }
    }
}

/// The first block time at which a participant asks for the `round`-th time, from 0, about an attempt still undecided.
pub fn ask_at(deadline: Time, round: u32) -> Time {
    (0..round.min(64)).fold(deadline.after(ASK_GRACE), |time, earlier| time.after(ask_backoff(earlier)))
}

/// The wait after the `round`-th time of asking: doubles, bounded by [`ASK_BACKOFF_MAX`].
fn ask_backoff(round: u32) -> Millis {
    Millis(ASK_BACKOFF_MIN.0.saturating_mul(1 << round.min(20)).min(ASK_BACKOFF_MAX.0))
}

/// The record's key in a store: the attempt's id.
pub fn record_key(attempt: AttemptId) -> [u8; 32] {
    *attempt.0.as_bytes()
}
