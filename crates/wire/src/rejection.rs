//! Why a call or an item of a batch is refused: one closed list of reasons for gRPC and JSON-RPC alike.
//!
//! Each reason has one gRPC code and says whether trying the same again can help. Crates' own error enums become a
//! [`Rejection`] in module `status`, by exhaustive matches; nothing here or there branches on text.

use crate::limits::TEXT_BYTES_MAX;
use primitives::Slot;
use std::collections::BTreeMap;
use std::fmt;
use tonic::Code;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $text:literal $code:ident $retry:ident;)*) => {
        /// A reason code. Its text travels as `google.rpc.ErrorInfo.reason` and as `Rejection.reason`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The reason's text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The gRPC code of a call refused for it.
            pub fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)* }
            }

            /// Whether the same request may succeed later.
            pub fn is_retryable(self) -> bool {
                match self { $(Self::$name => reasons!(@ $retry),)* }
            }
        }
    };
    (@ again) => { true };
    (@ never) => { false };
}

reasons! {
    // The caller's fault.
    /// Bytes that are no value of their type.
    Malformed "MALFORMED" InvalidArgument never;
    /// A field over one of its bounds.
    OverBound "OVER_BOUND" OutOfRange never;
    /// A value that no request may have.
    InvalidArgument "INVALID_ARGUMENT" InvalidArgument never;
    /// Another network's id.
    WrongNetwork "WRONG_NETWORK" InvalidArgument never;
    /// The request belongs to another shard.
    WrongShard "WRONG_SHARD" FailedPrecondition never;
    /// No such shard in this network.
    UnknownShard "UNKNOWN_SHARD" NotFound never;
    /// Another epoch than the shard's current one.
    WrongEpoch "WRONG_EPOCH" FailedPrecondition never;
    /// Nothing is known of the attempt.
    UnknownAttempt "UNKNOWN_ATTEMPT" NotFound never;
    /// No such thing here.
    NotFound "NOT_FOUND" NotFound never;
    /// A descriptor that describes no attempt.
    BadDescriptor "BAD_DESCRIPTOR" InvalidArgument never;
    /// This shard is not among the attempt's participants.
    NotParticipant "NOT_PARTICIPANT" InvalidArgument never;
    /// The payload is not the one the attempt binds.
    WrongPayload "WRONG_PAYLOAD" InvalidArgument never;
    /// The deadline lies further ahead than this shard allows.
    DeadlineTooFar "DEADLINE_TOO_FAR" OutOfRange again;
    /// The homes' certified yes votes are missing.
    HomesMissing "HOMES_MISSING" FailedPrecondition never;
    /// The votes decide nothing.
    Undecided "UNDECIDED" FailedPrecondition never;
    /// The decision contradicts this shard's record: an alarm.
    Contradiction "CONTRADICTION" DataLoss never;
    /// The attempt or the message is over on all its shards, and no longer known here.
    Settled "SETTLED" NotFound never;
    /// A receipt, certificate or path that does not verify.
    BadReceipt "BAD_RECEIPT" InvalidArgument never;
    /// A receipt of another kind of leaf, or about another thing, than the call takes.
    WrongLeaf "WRONG_LEAF" InvalidArgument never;
    /// A signature that is not the signer's.
    BadSignature "BAD_SIGNATURE" InvalidArgument never;
    /// A transaction type that this fork does not have, or that cannot be split over shards.
    UnsupportedTransaction "UNSUPPORTED_TRANSACTION" InvalidArgument never;
    /// A transaction signed for another chain id.
    WrongChainId "WRONG_CHAIN_ID" InvalidArgument never;
    /// A transaction signed for no chain id, so for every one (before EIP-155).
    Unprotected "UNPROTECTED" InvalidArgument never;
    /// The nonce was used.
    NonceTooLow "NONCE_TOO_LOW" FailedPrecondition never;
    /// Earlier nonces are missing.
    NonceTooHigh "NONCE_TOO_HIGH" FailedPrecondition again;
    /// Another transaction of this sender with this nonce is under way.
    NonceInUse "NONCE_IN_USE" AlreadyExists again;
    /// The same transaction was submitted before.
    AlreadyKnown "ALREADY_KNOWN" AlreadyExists never;
    /// The sender cannot pay value and the maximum fee.
    InsufficientFunds "INSUFFICIENT_FUNDS" FailedPrecondition never;
    /// The fee cap is under the base fee, or under the tip.
    FeeTooLow "FEE_TOO_LOW" FailedPrecondition never;
    /// The gas limit is over the block's or the transaction's maximum.
    GasLimitTooHigh "GAS_LIMIT_TOO_HIGH" OutOfRange never;
    /// The gas limit is under what the transaction costs before it runs.
    IntrinsicGasTooLow "INTRINSIC_GAS_TOO_LOW" InvalidArgument never;
    /// The transaction breaks another rule of its type.
    InvalidTransaction "INVALID_TRANSACTION" InvalidArgument never;
    /// A transaction of a bundle failed, so none happened.
    BundleFailed "BUNDLE_FAILED" Aborted never;
    /// A call, not a transaction, reverted.
    ExecutionReverted "EXECUTION_REVERTED" Aborted never;
    /// The payload's block environment or system transactions are not allowed on this network.
    WrongEnvironment "WRONG_ENVIRONMENT" FailedPrecondition never;
    /// Execution gives other effects than claimed.
    WrongEffects "WRONG_EFFECTS" FailedPrecondition never;
    /// A message that does not fit its bounds or goes where no route leads.
    BadMessage "BAD_MESSAGE" InvalidArgument never;
    /// It touches other shards, so it needs an attempt: send it to a coordinator.
    NotLocal "NOT_LOCAL" FailedPrecondition never;
    /// No route leads there.
    NoRoute "NO_ROUTE" NotFound never;
    /// A log or state query over more than is served.
    RangeTooWide "RANGE_TOO_WIDE" OutOfRange never;
    /// State of a past block, which is not kept.
    HistoryUnavailable "HISTORY_UNAVAILABLE" OutOfRange never;
    /// What past blocks did, said or show, which is not kept.
    Pruned "PRUNED" OutOfRange never;
    /// No credentials, or wrong ones.
    Unauthenticated "UNAUTHENTICATED" Unauthenticated never;
    /// Credentials without the right.
    PermissionDenied "PERMISSION_DENIED" PermissionDenied never;
    /// This network or build does not offer it.
    Unsupported "UNSUPPORTED" Unimplemented never;

    // Nobody's fault.
    /// A value read has changed since.
    Stale "STALE" Aborted again;
    /// The slot is gone by, too early, or before what touched the same keys: at another slot it may succeed.
    WrongSlot "WRONG_SLOT" Aborted again;
    /// Another undecided attempt holds a lock.
    Conflict "CONFLICT" Aborted again;
    /// The deadline has passed.
    Expired "EXPIRED" Aborted again;
    /// Somebody aborted it first.
    Aborted "ABORTED" Aborted again;
    /// An operator paused the route.
    Paused "PAUSED" FailedPrecondition again;
    /// At a bound of what is held at once.
    Busy "BUSY" ResourceExhausted again;
    /// The disk is too full for new work.
    DiskFull "DISK_FULL" ResourceExhausted again;
    /// Stopping, starting, or cut off from a shard it needs.
    Unavailable "UNAVAILABLE" Unavailable again;
    /// The chain that this network was forked from does not give a value that is needed.
    ForkUnavailable "FORK_UNAVAILABLE" Unavailable again;
    /// It took too long; whether it happened is unknown.
    TimedOut "TIMED_OUT" DeadlineExceeded again;

    // The host's or a peer's fault.
    /// A peer answered with what no correct peer says.
    PeerFault "PEER_FAULT" Internal again;
    /// The store refused: full, failed, or not ours.
    StoreFailed "STORE_FAILED" Unavailable again;
    /// A rule of this program broke. A bug.
    Internal "INTERNAL" Internal never;
}

/// A reason text that this build does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown reason {0:?}")]
pub struct UnknownReason(pub String);

impl std::str::FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        let known = Self::ALL.iter().copied().find(|reason| reason.as_str() == text);
        known.ok_or_else(|| UnknownReason(text.to_owned()))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a call, or one item of a batch, was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({reason})")]
pub struct Rejection {
    /// The code callers branch on.
    pub reason: Reason,
    /// A sentence for a person; at most [`TEXT_BYTES_MAX`] bytes.
    pub message: String,
    /// Both sides of a mismatch and the like, by name. Travels with a refused call, not with an item of a batch.
    pub metadata: BTreeMap<String, String>,
    /// With [`Reason::WrongSlot`], a slot that would be taken.
    pub slot: Option<Slot>,
}

impl Rejection {
    /// A rejection; `message` is cut to [`TEXT_BYTES_MAX`] bytes.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: cut(message.into()), metadata: BTreeMap::new(), slot: None }
    }

    /// This with `name` = `value` in its metadata.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.metadata.insert(name.to_owned(), cut(value.to_string()));
        self
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.reason.is_retryable()
    }
}

/// `text`, cut at a character's edge to at most [`TEXT_BYTES_MAX`] bytes.
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        let mut end = TEXT_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_its_text() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
        }
        assert!("NO_SUCH".parse::<Reason>().is_err());
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let rejection = Rejection::new(Reason::Internal, "é".repeat(TEXT_BYTES_MAX));
        assert_eq!(rejection.message.len(), TEXT_BYTES_MAX);
    }
}
