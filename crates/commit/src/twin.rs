//! The broken twins: this code with one rule broken, so that every checker is seen to fail.
//!
//! ```text
//!   prepare, abort_request, decision --- rule kept ---> Step
//!                                  \'--- Twin ---------> Step that breaks it      only with the feature `twins`
//! ```
//!
//! Promise: without the feature nothing of this is compiled; with it and without a twin the code does the same. Each twin
//! breaks one rule at the place where that rule is kept, where a line names the twin.
//! Knows nothing of who looks for the damage.

use crate::participant::{Action, Record, Step};
use crate::{Decision, DecisionProof, Descriptor, Participant, Undecided, VoteProof};
use primitives::{Time, Verified};

/// Which rule is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Twin {
    /// R4: a shard that voted yes aborts by itself when its attempt is late.
    LocalTimerAbort,
    /// R5: asked to abort, a shard says no without writing it.
    NoTombstone,
    /// R5, R10: a shard votes on prepares past the deadline.
    DeadlineIgnored,
    /// R6: read locks are given back at the vote.
    EarlyReadUnlock,
    /// R6, R12: reads neither wait for an undecided writer nor take a lock.
    UndecidedRead,
    /// R1, R3: yes votes of some participants and no no are taken for a commit.
    ParticipantsNotBound,
    /// R7: a decided attempt is forgotten past its deadline.
    EarlyForgetting,
    /// R2: what a step sends leaves before its batch is synced. A host's defect: kept and broken by whoever runs the
    /// machines.
    VoteBeforeSync,
    /// R9: a vote counts whoever signed its block, so that a shard seems to say two things.
    CertificateUnchecked,
    /// R9: a vote counts in any shard's outbox, not only in that of the shard it names.
    ForeignVoteAccepted,
    /// DESIGN section 4: a shard votes yes though its own slice of the witness is not its state.
    StaleWitnessAccepted,
    /// I5: a commit is carried out as often as it comes.
    DecisionAppliedTwice,
    /// R11, I15: shards that are no homes lock before every home has reserved the fee.
    HomesNotAwaited,
    /// R13: a shard takes a slot before one that read or wrote the same keys.
    SlotOrderIgnored,
    /// R14: a shard whose store is an old copy votes all the same.
    RestoredStoreVotes,
    /// I13, I14: a shard forgets a message that it consumed before its origin has certified that it knows the end.
    MessageForgotten,
}

impl Twin {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::LocalTimerAbort,
        Self::NoTombstone,
        Self::DeadlineIgnored,
        Self::EarlyReadUnlock,
        Self::UndecidedRead,
        Self::ParticipantsNotBound,
        Self::EarlyForgetting,
        Self::VoteBeforeSync,
        Self::CertificateUnchecked,
        Self::ForeignVoteAccepted,
        Self::StaleWitnessAccepted,
        Self::DecisionAppliedTwice,
        Self::HomesNotAwaited,
        Self::SlotOrderIgnored,
        Self::RestoredStoreVotes,
        Self::MessageForgotten,
    ];

    /// A short stable name, for a command line and for reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::LocalTimerAbort => "local-timer-abort",
            Self::NoTombstone => "no-tombstone",
            Self::DeadlineIgnored => "deadline-ignored",
            Self::EarlyReadUnlock => "early-read-unlock",
            Self::UndecidedRead => "undecided-read",
            Self::ParticipantsNotBound => "participants-not-bound",
            Self::EarlyForgetting => "early-forgetting",
            Self::VoteBeforeSync => "vote-before-sync",
            Self::CertificateUnchecked => "certificate-unchecked",
            Self::ForeignVoteAccepted => "foreign-vote-accepted",
            Self::StaleWitnessAccepted => "stale-witness-accepted",
            Self::DecisionAppliedTwice => "decision-applied-twice",
            Self::HomesNotAwaited => "homes-not-awaited",
            Self::SlotOrderIgnored => "slot-order-ignored",
            Self::RestoredStoreVotes => "restored-store-votes",
            Self::MessageForgotten => "message-forgotten",
        }
    }

    /// The twin of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|twin| twin.name() == name)
    }

    /// The decision that `votes` make, for whoever checks decisions on their way to a shard with this twin.
    ///
    /// # Errors
    /// [`Undecided`] if they make none; with [`Twin::ParticipantsNotBound`] only if there is no vote at all.
    pub fn decision_proof(
        twin: Option<Self>,
        descriptor: Descriptor,
        votes: Vec<Verified<VoteProof>>,
    ) -> Result<DecisionProof, Undecided> {
        match (twin, DecisionProof::new(descriptor.clone(), votes.clone())) {
            (Some(Self::ParticipantsNotBound), Err(undecided)) => {
                DecisionProof::unbound(descriptor, votes).ok_or(undecided)
            }
            (_, proof) => proof,
        }
    }
}

/// What the hooks in the participant's transitions call.
impl Participant {
    /// Whether this is the rule that is broken here.
    pub(crate) fn breaks(&self, twin: Twin) -> bool {
        self.twin == Some(twin)
    }

    /// The record as [`Twin::EarlyForgetting`] has it: a decision is gone past its deadline.
    pub(crate) fn recalled<'a>(
        &self,
        record: Option<&'a Record>,
        descriptor: &Descriptor,
        now: Time,
    ) -> Option<&'a Record> {
        let is_decided = matches!(record, Some(Record::Decided { .. }));
        let is_forgotten = self.breaks(Twin::EarlyForgetting) && is_decided && now >= descriptor.deadline;
        if is_forgotten { None } else { record }
    }

    /// The step as [`Twin::NoTombstone`] has it: the no is said and not written.
    pub(crate) fn without_tombstone(&self, step: Step) -> Step {
        if self.breaks(Twin::NoTombstone) { Step { write: None, ..step } } else { step }
    }

    /// What [`Twin::DecisionAppliedTwice`] does about a commit that was carried out.
    pub(crate) fn applied_again(&self, record: Option<&Record>, proof: &DecisionProof) -> Option<Step> {
        let committed = matches!(record, Some(Record::Decided { decision: Decision::Commit, .. }));
        let again = self.breaks(Twin::DecisionAppliedTwice) && committed && proof.decide() == Decision::Commit;
        again.then(|| Step { write: record.cloned(), answer: None, action: Action::Apply })
    }

    /// What [`Twin::LocalTimerAbort`] does about a late attempt; nothing without it. Asked where [`Participant::late`] is.
    pub fn aborted_by_clock(&self, record: &Record, now: Time) -> Option<Step> {
        let Record::Prepared { descriptor } = record else { return None };
        (self.breaks(Twin::LocalTimerAbort) && now >= descriptor.deadline)
            .then(|| self.end(descriptor, Decision::Abort))
    }
}
