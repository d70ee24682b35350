//! What a shard's machine refuses.

use crate::rejection::{Reason, Rejection};
use shard::state_tree::StateTreeError;
use shard::{
    AcknowledgeRefusal, AttemptRefusal, BaseRefusal, Busy, CheatRefusal, CheckError, CodeProofError, DeliverRefusal,
    DispatchError, Forgotten, LocalRefusal, PastError, SlotRefused, VoteError,
};

impl From<Busy> for Rejection {
    fn from(busy: Busy) -> Self {
        let text = busy.to_string();
        match busy {
            Busy::Locked { holder, .. } => Self::new(Reason::Conflict, text).with("holder", holder),
            Busy::Lagging { .. }
            | Busy::Attempts { .. }
            | Busy::Tombstones { .. }
            | Busy::Inputs
            | Busy::NotRead { .. }
            | Busy::Early { .. } => Self::new(Reason::Busy, text),
            // Nothing was looked at: as if the shard were not there.
            Busy::Asking | Busy::Behind(_) | Busy::Disbelieved { .. } => Self::new(Reason::Unavailable, text),
        }
    }
}

impl From<SlotRefused> for Rejection {
    fn from(error: SlotRefused) -> Self {
        Self { slot: Some(error.taken), ..Self::new(Reason::WrongSlot, error.to_string()) }
    }
}

impl From<LocalRefusal> for Rejection {
    fn from(refusal: LocalRefusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            LocalRefusal::Busy(busy) => busy.into(),
            LocalRefusal::NotLocal { .. } => Self::new(Reason::NotLocal, text),
            LocalRefusal::Slot(error) => error.into(),
            LocalRefusal::Execution(error) => error.into(),
            LocalRefusal::Dispatch(error) => error.into(),
        }
    }
}

impl From<CheatRefusal> for Rejection {
    fn from(refusal: CheatRefusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            CheatRefusal::NoCheats | CheatRefusal::Message { .. } | CheatRefusal::Computed { .. } => {
                Self::new(Reason::Unsupported, text)
            }
            CheatRefusal::Busy(busy) => busy.into(),
            CheatRefusal::NotOwn { .. } => Self::new(Reason::WrongShard, text),
            CheatRefusal::Code { .. } => Self::new(Reason::InvalidArgument, text),
            CheatRefusal::Past(PastError::Pruned { .. }) => Self::new(Reason::HistoryUnavailable, text),
            CheatRefusal::Past(PastError::Undecided { .. }) => Self::new(Reason::Busy, text),
        }
    }
}

impl From<DispatchError> for Rejection {
    fn from(error: DispatchError) -> Self {
        let text = error.to_string();
        match error {
            DispatchError::Message(error) => error.into(),
            DispatchError::UnknownDestination { .. } => Self::new(Reason::NoRoute, text),
            DispatchError::TooMany { .. } => Self::new(Reason::OverBound, text),
            DispatchError::Malformed
            | DispatchError::Id { .. }
            | DispatchError::Origin { .. }
            | DispatchError::ForeignValue { .. }
            | DispatchError::Beneficiary { .. } => Self::new(Reason::BadMessage, text),
        }
    }
}

impl From<AttemptRefusal> for Rejection {
    fn from(refusal: AttemptRefusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            AttemptRefusal::Commit(rejection) => rejection.into(),
            AttemptRefusal::Busy(busy) => busy.into(),
            AttemptRefusal::Participants { .. } | AttemptRefusal::Homes { .. } => {
                Self::new(Reason::BadDescriptor, text)
            }
        }
    }
}

impl From<DeliverRefusal> for Rejection {
    fn from(refusal: DeliverRefusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            DeliverRefusal::Busy(busy) => busy.into(),
            DeliverRefusal::Message(error) => error.into(),
            DeliverRefusal::Over { .. } => Self::new(Reason::Settled, text),
            DeliverRefusal::WrongDestination { .. } => Self::new(Reason::WrongShard, text),
        }
    }
}

impl From<Forgotten> for Rejection {
    fn from(forgotten: Forgotten) -> Self {
        let text = forgotten.to_string();
        let first = match forgotten {
            Forgotten::Block { first, .. } => first.0,
            Forgotten::Shown { first, .. } => first.0,
            Forgotten::Record { first, .. } => first,
        };
        Self::new(Reason::Pruned, text).with("first", first)
    }
}

impl From<BaseRefusal> for Rejection {
    fn from(refusal: BaseRefusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            BaseRefusal::Busy(busy) => busy.into(),
            // A node reads what is its own, with its accounts and within its bounds.
            BaseRefusal::NotForked
            | BaseRefusal::Foreign { .. }
            | BaseRefusal::TooMany { .. }
            | BaseRefusal::NoAccount { .. } => Self::new(Reason::Internal, text),
        }
    }
}

impl From<AcknowledgeRefusal> for Rejection {
    fn from(refusal: AcknowledgeRefusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            AcknowledgeRefusal::Busy(busy) => busy.into(),
            AcknowledgeRefusal::Message(error) => error.into(),
            AcknowledgeRefusal::UnknownMessage { .. } => Self::new(Reason::NotFound, text),
            AcknowledgeRefusal::Over { first, .. } => Self::new(Reason::Settled, text).with("first", first),
            AcknowledgeRefusal::WrongDestination { .. } => Self::new(Reason::BadReceipt, text),
        }
    }
}

impl From<VoteError> for Rejection {
    fn from(error: VoteError) -> Self {
        let text = error.to_string();
        match error {
            VoteError::Decode(error) => error.into(),
            VoteError::Receipt(error) => error.into(),
            VoteError::Descriptor(error) => error.into(),
            VoteError::Undecided(error) => error.into(),
            VoteError::Kind { .. } | VoteError::OtherVote | VoteError::OtherAttempt { .. } => {
                Self::new(Reason::WrongLeaf, text)
            }
            VoteError::Shard { said, named } => {
                Self::new(Reason::WrongShard, text).with("expected", named).with("actual", said)
            }
            VoteError::Epoch { certified, named } => {
                Self::new(Reason::WrongEpoch, text).with("expected", named).with("actual", certified)
            }
            VoteError::VotesCount { .. } => Self::new(Reason::OverBound, text),
        }
    }
}

impl From<CheckError> for Rejection {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Decode(error) => error.into(),
            CheckError::Payload(error) => error.into(),
            CheckError::Witness(error) => error.into(),
            CheckError::Vote(error) => error.into(),
            CheckError::Code(error) => error.into(),
        }
    }
}

impl From<CodeProofError> for Rejection {
    fn from(error: CodeProofError) -> Self {
        let text = error.to_string();
        match error {
            CodeProofError::Decode(error) => error.into(),
            CodeProofError::State(error) => error.into(),
            CodeProofError::Header(error) => error.into(),
            CodeProofError::Shard { said, owner, .. } => {
                Self::new(Reason::WrongShard, text).with("expected", owner).with("actual", said)
            }
            CodeProofError::Missing { .. }
            | CodeProofError::Excess { .. }
            | CodeProofError::OtherCode { .. }
            | CodeProofError::TooNew { .. } => Self::new(Reason::BadReceipt, text),
        }
    }
}

impl From<StateTreeError> for Rejection {
    fn from(error: StateTreeError) -> Self {
        let text = error.to_string();
        match error {
            StateTreeError::Corrupt { .. } => Self::new(Reason::StoreFailed, text),
            StateTreeError::NoVersion { .. } => Self::new(Reason::HistoryUnavailable, text),
            StateTreeError::Proof { .. } => Self::new(Reason::BadReceipt, text),
        }
    }
}
