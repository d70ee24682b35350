//! Why a submission was refused, in the wire's reasons.

use coordinator::Refusal;
use wire::{Reason, Rejection};

/// The refusal as clients get it.
pub(crate) fn rejection(refusal: &Refusal) -> Rejection {
    let text = refusal.to_string();
    match refusal {
        Refusal::Execution(error) => error.clone().into(),
        Refusal::Payload(error) => error.clone().into(),
        Refusal::Busy => Rejection::new(Reason::Busy, text),
        Refusal::AlreadyPending { .. } => Rejection::new(Reason::AlreadyKnown, text),
        Refusal::Underpriced { .. } => Rejection::new(Reason::NonceInUse, text),
        Refusal::Replaced { .. } => Rejection::new(Reason::Aborted, text),
        Refusal::TooManyNonces { .. } => Rejection::new(Reason::NonceTooHigh, text),
        Refusal::Participants { .. } | Refusal::TooLong { .. } | Refusal::TooMuchGas { .. } => {
            Rejection::new(Reason::OverBound, text)
        }
        Refusal::UnknownShard { .. } => Rejection::new(Reason::UnknownShard, text),
        Refusal::Contended { .. } | Refusal::Waited => Rejection::new(Reason::Conflict, text),
        Refusal::Unsettled => Rejection::new(Reason::Stale, text),
        Refusal::Voted { refusal, .. } => refusal.clone().into(),
        Refusal::Objected { .. } => Rejection::new(Reason::InvalidTransaction, text),
        Refusal::NotRead { .. } => Rejection::new(Reason::ForkUnavailable, text),
        Refusal::Unreachable { .. } => Rejection::new(Reason::Unavailable, text),
        Refusal::Unknown { .. } | Refusal::Undecided { .. } => Rejection::new(Reason::TimedOut, text),
    }
}
