//! Between refusals and gRPC statuses: every error enum of the house has one exhaustive match here.
//!
//! ```text
//!   error enum of a crate --match--> Rejection { reason, message, metadata } <--> tonic::Status + google.rpc.ErrorInfo
//! ```
//!
//! A caller sees the same [`Rejection`] that the service made; a status of other making becomes the nearest reason.

mod evm;
mod shard;

use crate::proto::v1;
use crate::rejection::{Reason, Rejection};
use commit::{DescriptorError, Refusal, Undecided};
use primitives::{DecodeError, Slot};
use proof::{CertificateError, ForeignError, HeaderError, MessageError, ReceiptError};
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of our reasons in `google.rpc.ErrorInfo`.
pub const ERROR_DOMAIN: &str = "dovetail.v1";

/// What is said of a service that a server does not have: tonic says nothing.
const NO_SERVICE: &str = "it does not have this service: it is another kind of node, or of another version";

/// What a caller is told to wait before it tries again, where that can help.
const RETRY_DELAY: Duration = Duration::from_millis(100);

impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        let metadata: HashMap<String, String> = rejection.metadata.into_iter().collect();
        let mut details = ErrorDetails::with_error_info(rejection.reason.as_str(), ERROR_DOMAIN, metadata);
        if rejection.reason.is_retryable() {
            details.set_retry_info(Some(RETRY_DELAY));
        }
        Self::with_error_details(rejection.reason.code(), rejection.message, details)
    }
}

impl From<Status> for Rejection {
    fn from(status: Status) -> Self {
        let info = status.get_details_error_info().filter(|info| info.domain == ERROR_DOMAIN);
        let known = info.as_ref().and_then(|info| info.reason.parse().ok());
        // A status that this process made of an error of its own transport is no answer of the peer: its connection broke.
        let is_broken = status.code() == Code::Unknown && std::error::Error::source(&status).is_some();
        let nearest = || if is_broken { Reason::Unavailable } else { reason_of(status.code()) };
        let is_missing = status.code() == Code::Unimplemented && status.message().is_empty();
        let message = if is_missing { NO_SERVICE } else { status.message() };
        let rejection = Self::new(known.unwrap_or_else(nearest), message);
        info.into_iter()
            .flat_map(|info| info.metadata)
            .fold(rejection, |rejection, (name, value)| rejection.with(&name, value))
    }
}

/// The nearest reason for a status that carries none of ours: the transport's own, or another implementation's.
fn reason_of(code: Code) -> Reason {
    match code {
        Code::InvalidArgument | Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => {
            Reason::InvalidArgument
        }
        // The transport says so of a call that ran out of its own deadline.
        Code::Cancelled | Code::DeadlineExceeded => Reason::TimedOut,
        Code::NotFound => Reason::NotFound,
        Code::PermissionDenied => Reason::PermissionDenied,
        Code::ResourceExhausted => Reason::Busy,
        Code::OutOfRange => Reason::OverBound,
        Code::Unimplemented => Reason::Unsupported,
        Code::Unavailable => Reason::Unavailable,
        Code::Unauthenticated => Reason::Unauthenticated,
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => Reason::PeerFault,
    }
}

impl From<Rejection> for v1::Rejection {
    fn from(rejection: Rejection) -> Self {
        Self {
            reason: rejection.reason.as_str().to_owned(),
            retryable: rejection.is_retryable(),
            slot: rejection.slot.map(|slot| slot.0),
            message: rejection.message,
        }
    }
}

impl From<v1::Rejection> for Rejection {
    /// A reason of a later version is a peer's fault here, told in full.
    fn from(rejection: v1::Rejection) -> Self {
        if let Ok(reason) = rejection.reason.parse() {
            return Self { slot: rejection.slot.map(Slot), ..Self::new(reason, rejection.message) };
        }
        let text = format!("{}: {}", rejection.reason, rejection.message);
        Self::new(if rejection.retryable { Reason::Unavailable } else { Reason::PeerFault }, text)
    }
}

impl From<DecodeError> for Rejection {
    fn from(error: DecodeError) -> Self {
        let reason = match &error {
            DecodeError::TooLong { .. } => Reason::OverBound,
            DecodeError::Malformed { .. } => Reason::Malformed,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<DescriptorError> for Rejection {
    fn from(error: DescriptorError) -> Self {
        let reason = match &error {
            DescriptorError::ParticipantsCount { .. } => Reason::OverBound,
            DescriptorError::ZeroNetwork
            | DescriptorError::ZeroEpoch { .. }
            | DescriptorError::NoHome
            | DescriptorError::HomeNotParticipant { .. }
            | DescriptorError::ZeroPayload
            | DescriptorError::ZeroNumber => Reason::BadDescriptor,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<commit::Rejection> for Rejection {
    fn from(error: commit::Rejection) -> Self {
        use commit::Rejection as E;
        let text = error.to_string();
        match error {
            E::Descriptor(error) => error.into(),
            E::WrongNetwork { expected, actual } => {
                Self::new(Reason::WrongNetwork, text).with("expected", expected).with("actual", actual)
            }
            E::NotParticipant { shard } => Self::new(Reason::NotParticipant, text).with("shard", shard),
            E::UnknownShard { shard } => Self::new(Reason::UnknownShard, text).with("shard", shard),
            E::WrongEpoch { shard, expected, actual } => {
                let rejection = Self::new(Reason::WrongEpoch, text).with("shard", shard);
                rejection.with("expected", expected).with("actual", actual)
            }
            E::DeadlineTooFar { deadline, now } => {
                Self::new(Reason::DeadlineTooFar, text).with("deadline_ms", deadline.0).with("time_ms", now.0)
            }
            E::HomesMissing { home } => Self::new(Reason::HomesMissing, text).with("home", home),
            E::WrongPayload { expected, actual } => {
                Self::new(Reason::WrongPayload, text).with("expected", expected).with("actual", actual)
            }
            E::Contradiction { attempt } => Self::new(Reason::Contradiction, text).with("attempt", attempt),
            E::Settled { attempt } => Self::new(Reason::Settled, text).with("attempt", attempt),
            E::Busy => Self::new(Reason::Busy, text),
        }
    }
}

/// A certified no, told to whoever submitted the transaction.
impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::Expired { .. } => Self::new(Reason::Expired, text),
            Refusal::AbortRequested | Refusal::AlreadyAborted => Self::new(Reason::Aborted, text),
            Refusal::Stale => Self::new(Reason::Stale, text),
            Refusal::Slot { taken } => Self { slot: Some(taken), ..Self::new(Reason::WrongSlot, text) },
            Refusal::Conflict { holder } => Self::new(Reason::Conflict, text).with("holder", holder),
            Refusal::WrongEffects { .. } => Self::new(Reason::WrongEffects, text),
            Refusal::Invalid { code, .. } => Self::new(Reason::InvalidTransaction, text).with("code", code),
            Refusal::Busy => Self::new(Reason::Busy, text),
        }
    }
}

impl From<Undecided> for Rejection {
    fn from(error: Undecided) -> Self {
        let text = error.to_string();
        Self::new(Reason::Undecided, text).with("votes", error.votes).with("participants", error.participants)
    }
}

impl From<HeaderError> for Rejection {
    fn from(error: HeaderError) -> Self {
        let reason = match &error {
            HeaderError::Epoch { .. } => Reason::WrongEpoch,
            HeaderError::Version { .. }
            | HeaderError::Zero { .. }
            | HeaderError::OutboxCount { .. }
            | HeaderError::SettledAhead { .. }
            | HeaderError::StateAhead { .. } => Reason::BadReceipt,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<ForeignError> for Rejection {
    fn from(error: ForeignError) -> Self {
        let text = error.to_string();
        match error {
            ForeignError::Decode(error) => error.into(),
            ForeignError::Message(error) => error.into(),
            ForeignError::UnknownRoute { .. } => Self::new(Reason::NoRoute, text),
            ForeignError::TooMany { .. } => Self::new(Reason::OverBound, text),
            ForeignError::OtherRoute { .. }
            | ForeignError::Path(_)
            | ForeignError::Signer { .. }
            | ForeignError::Quorum { .. }
            | ForeignError::Signature { .. } => Self::new(Reason::BadReceipt, text),
        }
    }
}

impl From<ReceiptError> for Rejection {
    fn from(error: ReceiptError) -> Self {
        let text = error.to_string();
        match error {
            ReceiptError::Decode(error) => error.into(),
            ReceiptError::Header(error) => error.into(),
            ReceiptError::Network { expected, actual } => {
                Self::new(Reason::WrongNetwork, text).with("expected", expected).with("actual", actual)
            }
            ReceiptError::UnknownValidators { shard, epoch } => {
                Self::new(Reason::WrongEpoch, text).with("shard", shard).with("epoch", epoch)
            }
            ReceiptError::BodyTooLong { .. } => Self::new(Reason::OverBound, text),
            ReceiptError::Path(_) | ReceiptError::Ancestry(_) => Self::new(Reason::BadReceipt, text),
            ReceiptError::Certificate(error) => error.into(),
        }
    }
}

impl From<CertificateError> for Rejection {
    fn from(error: CertificateError) -> Self {
        let reason = match &error {
            CertificateError::Epoch { .. } => Reason::WrongEpoch,
            CertificateError::Header { .. }
            | CertificateError::BitmapLength { .. }
            | CertificateError::UnknownSigner { .. }
            | CertificateError::Count { .. }
            | CertificateError::UnderQuorum { .. }
            | CertificateError::Signature { .. }
            | CertificateError::Unrelated => Reason::BadReceipt,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<MessageError> for Rejection {
    fn from(error: MessageError) -> Self {
        let text = error.to_string();
        match error {
            MessageError::Decode(error) => error.into(),
            MessageError::BodyTooLong { .. } => Self::new(Reason::OverBound, text),
            MessageError::Kind { .. } => Self::new(Reason::WrongLeaf, text),
            MessageError::TooShort { .. }
            | MessageError::Version { .. }
            | MessageError::ZeroRecipient
            | MessageError::ForeignDomain { .. } => Self::new(Reason::BadMessage, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::{Epoch, NetworkId, ShardId};

    #[test]
    fn a_connection_that_breaks_in_a_call_is_no_fault_of_the_peer() {
        let broken = Status::from_error(Box::new(std::io::Error::other("the pipe broke")));
        assert_eq!(Rejection::from(broken).reason, Reason::Unavailable);
        assert_eq!(Rejection::from(Status::new(Code::Unknown, "said by the peer")).reason, Reason::PeerFault);
    }

    #[test]
    fn a_service_that_a_server_does_not_have_is_said_in_words() {
        let missing = Rejection::from(Status::unimplemented(""));
        assert_eq!((missing.reason, missing.message.as_str()), (Reason::Unsupported, NO_SERVICE));
        assert_eq!(Rejection::from(Status::unimplemented("of the peer's")).message, "of the peer's");
    }

    #[test]
    fn every_reason_survives_a_status() {
        for reason in Reason::ALL {
            let rejection = Rejection::new(*reason, "why").with("shard", 3);
            let status = Status::from(rejection.clone());
            assert_eq!(status.code(), reason.code());
            assert_eq!(status.get_details_retry_info().is_some(), reason.is_retryable());
            assert_eq!(Rejection::from(status), rejection);
        }
    }

    #[test]
    fn every_reason_survives_an_item() {
        for reason in Reason::ALL {
            let rejection = Rejection::new(*reason, "why");
            assert_eq!(Rejection::from(v1::Rejection::from(rejection.clone())), rejection);
        }
    }

    #[test]
    fn a_status_of_other_making_becomes_the_nearest_reason() {
        assert_eq!(Rejection::from(Status::unavailable("gone")).reason, Reason::Unavailable);
        assert_eq!(Rejection::from(Status::cancelled("Timeout expired")).reason, Reason::TimedOut);
        assert_eq!(Rejection::from(Status::unknown("?")).reason, Reason::PeerFault);
    }

    #[test]
    fn a_reason_under_a_foreign_domain_is_not_ours() {
        let details = ErrorDetails::with_error_info("NONCE_TOO_LOW", "example.org", HashMap::new());
        let status = Status::with_error_details(Code::NotFound, "x", details);
        assert_eq!(Rejection::from(status).reason, Reason::NotFound);
    }

    #[test]
    fn a_mismatch_tells_both_sides() {
        let error = commit::Rejection::WrongEpoch { shard: ShardId(2), expected: Epoch(3), actual: Epoch(4) };
        let rejection = Rejection::from(error);
        assert_eq!(rejection.reason, Reason::WrongEpoch);
        assert_eq!(rejection.metadata["expected"], "3");
        assert_eq!(rejection.metadata["actual"], "4");
        let error = ::evm::TransactionError::ChainId { expected: NetworkId(1337), actual: 1 };
        assert_eq!(Rejection::from(error).reason, Reason::WrongChainId);
    }

    #[test]
    fn a_long_status_stays_within_the_header_list() {
        let long = Rejection::new(Reason::Internal, "x".repeat(1 << 20));
        assert!(Status::from(long).message().len() <= crate::limits::TEXT_BYTES_MAX);
    }
}
