//! Which refusals may be tried again: the table of `wire::status`, for the refusals of machines.
//!
//! Knows nothing of gRPC; that crate's `Reason` has the same division into "again" and "never".

use crate::call::{Rejection, Remedy};
use evm::{ExecuteError, Invalid, PayloadError, WitnessError};
use proof::ReceiptError;
use shard::{AcknowledgeRefusal, AttemptRefusal, Busy, CheckError, DeliverRefusal, LocalRefusal};

fn rejection(remedy: Remedy, error: &impl ToString) -> Rejection {
    Rejection { remedy, text: error.to_string() }
}

impl From<Busy> for Remedy {
    fn from(_: Busy) -> Self {
        Self::Later
    }
}

impl From<&ExecuteError> for Remedy {
    fn from(error: &ExecuteError) -> Self {
        match error {
            ExecuteError::Missing(_) | ExecuteError::Invalid { reason: Invalid::NonceTooHigh { .. }, .. } => {
                Self::Later
            }
            ExecuteError::Environment(_) | ExecuteError::BlockHash { .. } | ExecuteError::Evm { .. } => {
                Self::Environment
            }
            ExecuteError::Invalid { .. }
            | ExecuteError::BundleReverted { .. }
            | ExecuteError::BatchGas { .. }
            | ExecuteError::TooMuch => Self::Never,
        }
    }
}

impl From<LocalRefusal> for Rejection {
    fn from(refusal: LocalRefusal) -> Self {
        let remedy = match &refusal {
            LocalRefusal::Busy(busy) => (*busy).into(),
            LocalRefusal::NotLocal { .. } => Remedy::NotLocal,
            LocalRefusal::Slot(refused) => Remedy::Slot { taken: refused.taken },
            LocalRefusal::Execution(error) => error.into(),
            LocalRefusal::Dispatch(_) => Remedy::Never,
        };
        rejection(remedy, &refusal)
    }
}

impl From<AttemptRefusal> for Rejection {
    fn from(refusal: AttemptRefusal) -> Self {
        let remedy = match &refusal {
            AttemptRefusal::Busy(_) | AttemptRefusal::Commit(commit::Rejection::Busy) => Remedy::Later,
            AttemptRefusal::Commit(commit::Rejection::Settled { .. }) => Remedy::Settled,
            AttemptRefusal::Commit(_) | AttemptRefusal::Participants { .. } | AttemptRefusal::Homes { .. } => {
                Remedy::Never
            }
        };
        rejection(remedy, &refusal)
    }
}

impl From<DeliverRefusal> for Rejection {
    fn from(refusal: DeliverRefusal) -> Self {
        let remedy = match refusal {
            DeliverRefusal::Busy(_) => Remedy::Later,
            DeliverRefusal::Over { .. } => Remedy::Settled,
            DeliverRefusal::Message(_) | DeliverRefusal::WrongDestination { .. } => Remedy::Never,
        };
        rejection(remedy, &refusal)
    }
}

impl From<AcknowledgeRefusal> for Rejection {
    fn from(refusal: AcknowledgeRefusal) -> Self {
        // A shard that does not know what it sent is behind what it has signed; it may catch up.
        let remedy = match refusal {
            AcknowledgeRefusal::Busy(_) | AcknowledgeRefusal::UnknownMessage { .. } => Remedy::Later,
            AcknowledgeRefusal::Over { .. } => Remedy::Settled,
            AcknowledgeRefusal::Message(_) | AcknowledgeRefusal::WrongDestination { .. } => Remedy::Never,
        };
        rejection(remedy, &refusal)
    }
}

impl From<CheckError> for Rejection {
    fn from(error: CheckError) -> Self {
        let remedy = match &error {
            CheckError::Payload(PayloadError::Environment(_) | PayloadError::SystemRefused { .. }) => {
                Remedy::Environment
            }
            CheckError::Witness(WitnessError::Execute(error)) => error.into(),
            _ => Remedy::Never, // What does not check today does not check tomorrow.
        };
        rejection(remedy, &error)
    }
}

impl From<ReceiptError> for Rejection {
    fn from(error: ReceiptError) -> Self {
        rejection(Remedy::Never, &error)
    }
}
