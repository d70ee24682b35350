//! From refusals to JSON-RPC errors, in the codes and texts that wallets know from geth.

use crate::rejection::{Reason, Rejection};
use alloy_primitives::{Bytes, hex};
use evm::{Answered, Status};
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::types::error::{INTERNAL_ERROR_CODE, INVALID_PARAMS_CODE};

/// A transaction, block or state that cannot be had; geth's code for nearly everything.
pub(super) const SERVER_ERROR_CODE: i32 = -32_000;
/// EIP-1474: the resource is unavailable now.
pub(super) const UNAVAILABLE_CODE: i32 = -32_002;
/// EIP-1474: the method is not supported here.
pub(super) const UNSUPPORTED_CODE: i32 = -32_004;
/// EIP-1474: the request is over a limit.
pub(super) const LIMIT_CODE: i32 = -32_005;
/// EIP-4444: what an old block shows is not kept any more.
pub(super) const PRUNED_CODE: i32 = 4444;
/// A call reverted; the data is its output.
pub(super) const REVERTED_CODE: i32 = 3;

/// The selector of Solidity's `Error(string)`.
const ERROR_SELECTOR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
/// The selector of Solidity's `Panic(uint256)`.
const PANIC_SELECTOR: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];

/// What a method answers.
pub(super) type Answer<T> = Result<T, ErrorObjectOwned>;

/// An error without data.
pub(super) fn error(code: i32, message: impl Into<String>) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(code, message, None::<()>)
}

/// Parameters that are none of the method's.
pub(super) fn invalid_params(message: impl Into<String>) -> ErrorObjectOwned {
    error(INVALID_PARAMS_CODE, message)
}

impl From<Rejection> for ErrorObjectOwned {
    fn from(rejection: Rejection) -> Self {
        let message = match geth_text(rejection.reason) {
            Some(text) if !rejection.message.starts_with(text) => format!("{text}: {}", rejection.message),
            _ => rejection.message,
        };
        error(code(rejection.reason), message)
    }
}

/// What geth says first, where its wallets look for it.
fn geth_text(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::NonceTooLow => Some("nonce too low"),
        Reason::NonceTooHigh => Some("nonce too high"),
        Reason::NonceInUse => Some("replacement transaction underpriced"),
        Reason::AlreadyKnown => Some("already known"),
        Reason::InsufficientFunds => Some("insufficient funds for gas * price + value"),
        Reason::FeeTooLow => Some("max fee per gas less than block base fee"),
        Reason::GasLimitTooHigh => Some("exceeds block gas limit"),
        Reason::IntrinsicGasTooLow => Some("intrinsic gas too low"),
        Reason::BadSignature => Some("invalid sender"),
        Reason::WrongChainId => Some("invalid chain id for signer"),
        Reason::Unprotected => Some("only replay-protected (EIP-155) transactions allowed over RPC"),
        Reason::UnsupportedTransaction => Some("transaction type not supported"),
        Reason::ExecutionReverted => Some("execution reverted"),
        Reason::Pruned => Some("pruned history unavailable"),
        _ => None,
    }
}

fn code(reason: Reason) -> i32 {
    match reason {
        Reason::Malformed | Reason::OverBound | Reason::InvalidArgument => INVALID_PARAMS_CODE,
        Reason::RangeTooWide | Reason::Busy => LIMIT_CODE,
        Reason::Unavailable
        | Reason::ForkUnavailable
        | Reason::TimedOut
        | Reason::StoreFailed
        | Reason::DiskFull
        | Reason::Paused => UNAVAILABLE_CODE,
        Reason::Unsupported => UNSUPPORTED_CODE,
        Reason::ExecutionReverted => REVERTED_CODE,
        Reason::Pruned => PRUNED_CODE,
        Reason::Internal | Reason::PeerFault | Reason::Contradiction => INTERNAL_ERROR_CODE,
        Reason::WrongNetwork
        | Reason::WrongShard
        | Reason::NotLocal
        | Reason::UnknownShard
        | Reason::WrongEpoch
        | Reason::UnknownAttempt
        | Reason::NotFound
        | Reason::BadDescriptor
        | Reason::NotParticipant
        | Reason::WrongPayload
        | Reason::DeadlineTooFar
        | Reason::HomesMissing
        | Reason::Undecided
        | Reason::Settled
        | Reason::BadReceipt
        | Reason::WrongLeaf
        | Reason::BadSignature
        | Reason::UnsupportedTransaction
        | Reason::WrongChainId
        | Reason::Unprotected
        | Reason::NonceTooLow
        | Reason::NonceTooHigh
        | Reason::NonceInUse
        | Reason::AlreadyKnown
        | Reason::InsufficientFunds
        | Reason::FeeTooLow
        | Reason::GasLimitTooHigh
        | Reason::IntrinsicGasTooLow
        | Reason::InvalidTransaction
        | Reason::BundleFailed
        | Reason::WrongEnvironment
        | Reason::WrongEffects
        | Reason::BadMessage
        | Reason::NoRoute
        | Reason::HistoryUnavailable
        | Reason::Unauthenticated
        | Reason::PermissionDenied
        | Reason::Stale
        | Reason::WrongSlot
        | Reason::Conflict
        | Reason::Expired
        | Reason::Aborted => SERVER_ERROR_CODE,
    }
}

/// The output of a call that succeeded, or the error that the call ended in.
pub(super) fn output(answered: Answered) -> Result<Bytes, ErrorObjectOwned> {
    match answered.outcome.status {
        Status::Success => Ok(answered.outcome.output.into()),
        Status::Reverted | Status::Halted => Err(failed(&answered)),
    }
}

/// The error that a call ended in.
pub(super) fn failed(answered: &Answered) -> ErrorObjectOwned {
    match &answered.halt {
        Some(words) => error(SERVER_ERROR_CODE, words.clone()),
        None => reverted(&answered.outcome.output),
    }
}

/// The error of a call that reverted with `output`.
fn reverted(output: &[u8]) -> ErrorObjectOwned {
    let data = hex::encode_prefixed(output);
    ErrorObjectOwned::owned(REVERTED_CODE, revert_words(output), Some(data))
}

/// What is said of a call that reverted with `output`.
pub(super) fn revert_words(output: &[u8]) -> String {
    match revert_reason(output) {
        Some(reason) => format!("execution reverted: {reason}"),
        None => "execution reverted".to_owned(),
    }
}

/// What Solidity's `require` or `Panic` says, if the output is one of them.
fn revert_reason(output: &[u8]) -> Option<String> {
    let (selector, arguments) = output.split_first_chunk::<4>()?;
    match *selector {
        ERROR_SELECTOR => {
            let length = u32::from_be_bytes(*arguments.get(32..64)?.last_chunk()?) as usize;
            let text = arguments.get(64..)?.get(..length)?;
            String::from_utf8(text.to_vec()).ok()
        }
        PANIC_SELECTOR => {
            let code = u32::from_be_bytes(*arguments.get(..32)?.last_chunk()?);
            Some(format!("panic code {code:#04x}"))
        }
        _ => None,
    }
}
