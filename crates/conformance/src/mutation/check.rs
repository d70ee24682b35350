//! Which check objects: every way in which a participant says no, told apart.

use commit::{Refusal, Rejection};
use evm::{ExecuteError, PayloadError, WitnessError};
use shard::{AttemptRefusal, CheckError};
use std::fmt;

/// What a participant checks before it votes yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// The prepare's bytes are canonical.
    Encoding,
    /// The transactions are signed, for this chain, as this network takes them.
    Payload,
    /// The network takes such an environment.
    Environment,
    /// The witness has all that the run reads.
    WitnessComplete,
    /// The witness has nothing that the run does not read.
    WitnessExact,
    /// Each code of the witness has its hash.
    Code,
    /// What the witness takes for fixed is proven to be where it says.
    CodeProof,
    /// The payload runs on the witness at all: nonce, funds, gas, rules of the fork.
    Execution,
    /// A home's vote is certified by that shard and says what it is said to.
    Vote,
    /// Payload, witness and effects are those that the attempt's id binds.
    Digest,
    /// The named participants are those that the run touches.
    Participants,
    /// The named homes are the senders'.
    Homes,
    /// The attempt is one at all.
    Descriptor,
    /// It is of this network.
    Network,
    /// It binds every shard to its current epoch.
    Epoch,
    /// Every named shard exists.
    Shard,
    /// The deadline is not too far ahead.
    DeadlineAhead,
    /// The deadline has not passed.
    DeadlinePassed,
    /// Every home has said yes on this very attempt.
    HomesVoted,
    /// The slot is about now.
    Slot,
    /// The participant's own values are those of the witness.
    OwnValues,
    /// Nobody holds a lock on what it needs.
    Locks,
    /// The effects can be carried out: messages that can be sent, not too many locks.
    Effects,
    /// There is room.
    Room,
}

impl Check {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::Encoding,
        Self::Payload,
        Self::Environment,
        Self::WitnessComplete,
        Self::WitnessExact,
        Self::Code,
        Self::CodeProof,
        Self::Execution,
        Self::Vote,
        Self::Digest,
        Self::Participants,
        Self::Homes,
        Self::Descriptor,
        Self::Network,
        Self::Epoch,
        Self::Shard,
        Self::DeadlineAhead,
        Self::DeadlinePassed,
        Self::HomesVoted,
        Self::Slot,
        Self::OwnValues,
        Self::Locks,
        Self::Effects,
        Self::Room,
    ];
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoding => "encoding",
            Self::Payload => "signatures and chain",
            Self::Environment => "kind of environment",
            Self::WitnessComplete => "witness complete",
            Self::WitnessExact => "witness exact",
            Self::Code => "code of its hash",
            Self::CodeProof => "fixed code proven",
            Self::Execution => "runs at all",
            Self::Vote => "certified vote",
            Self::Digest => "digest bound by the id",
            Self::Participants => "participants of the run",
            Self::Homes => "homes of the senders",
            Self::Descriptor => "well-formed attempt",
            Self::Network => "network",
            Self::Epoch => "epochs",
            Self::Shard => "known shards",
            Self::DeadlineAhead => "deadline not too far",
            Self::DeadlinePassed => "deadline not passed",
            Self::HomesVoted => "homes' yes on this attempt",
            Self::Slot => "slot about now",
            Self::OwnValues => "own values current",
            Self::Locks => "locks free",
            Self::Effects => "effects can be carried out",
            Self::Room => "room",
        })
    }
}

impl From<&CheckError> for Check {
    fn from(error: &CheckError) -> Self {
        match error {
            CheckError::Decode(_) => Self::Encoding,
            CheckError::Payload(PayloadError::Environment(_) | PayloadError::SystemRefused { .. })
            | CheckError::Witness(WitnessError::Execute(ExecuteError::Environment(_))) => Self::Environment,
            CheckError::Payload(_) => Self::Payload,
            CheckError::Witness(WitnessError::Incomplete(_)) => Self::WitnessComplete,
            CheckError::Witness(WitnessError::Excess(_) | WitnessError::ExcessCode { .. }) => Self::WitnessExact,
            CheckError::Witness(WitnessError::Code(_)) => Self::Code,
            CheckError::Witness(WitnessError::Execute(_)) => Self::Execution,
            CheckError::Vote(_) => Self::Vote,
            CheckError::Code(_) => Self::CodeProof,
        }
    }
}

impl From<&AttemptRefusal> for Check {
    fn from(refusal: &AttemptRefusal) -> Self {
        match refusal {
            AttemptRefusal::Busy(_) => Self::Room,
            AttemptRefusal::Participants { .. } => Self::Participants,
            AttemptRefusal::Homes { .. } => Self::Homes,
            AttemptRefusal::Commit(rejection) => rejection.into(),
        }
    }
}

impl From<&Rejection> for Check {
    fn from(rejection: &Rejection) -> Self {
        match rejection {
            Rejection::Descriptor(_) => Self::Descriptor,
            Rejection::WrongNetwork { .. } => Self::Network,
            Rejection::NotParticipant { .. } => Self::Participants,
            Rejection::UnknownShard { .. } => Self::Shard,
            Rejection::WrongEpoch { .. } => Self::Epoch,
            Rejection::DeadlineTooFar { .. } => Self::DeadlineAhead,
            Rejection::HomesMissing { .. } => Self::HomesVoted,
            Rejection::WrongPayload { .. } => Self::Digest,
            Rejection::Settled { .. } => Self::DeadlinePassed,
            Rejection::Contradiction { .. } | Rejection::Busy => Self::Room,
        }
    }
}

impl Check {
    /// The check behind a vote of no.
    pub fn behind(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Expired { .. } => Self::DeadlinePassed,
            Refusal::Stale => Self::OwnValues,
            Refusal::Slot { .. } => Self::Slot,
            Refusal::Conflict { .. } | Refusal::AbortRequested | Refusal::AlreadyAborted => Self::Locks,
            Refusal::WrongEffects { .. } => Self::Digest,
            Refusal::Invalid { .. } => Self::Effects,
            Refusal::Busy => Self::Room,
        }
    }
}
