//! Why a transaction cannot be included, in words that plain revm and the network share.

use coordinator::Refusal;
use evm::{ExecuteError, Invalid, PayloadError, TransactionError};
use revm::context::result::InvalidTransaction;
use std::fmt;

/// A kind of refusal: what is compared between one EVM and the network, amounts left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// No bytes say it, or these bytes say nothing.
    Undecodable,
    /// Signed for another chain.
    Chain,
    /// The signature is nobody's.
    Signature,
    /// The sender has sent this nonce already.
    NonceTooLow,
    /// The sender has to send others first.
    NonceTooHigh,
    /// The sender cannot pay.
    Funds,
    /// More gas than the block or the fork allows.
    GasLimit,
    /// Less gas than its bytes cost.
    IntrinsicGas,
    /// It does not pay the base fee.
    PriceBelowBaseFee,
    /// Its priority fee is over its whole fee.
    PriorityAbovePrice,
    /// The sender is a contract.
    SenderHasCode,
    /// Another rule of the fork, in revm's words.
    Rule(String),
    /// The EVM itself gave up.
    GaveUp(String),
    /// The network did not take it for a reason that one EVM does not know.
    Network(String),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Undecodable => "undecodable",
            Self::Chain => "signed for another chain",
            Self::Signature => "the signature is nobody's",
            Self::NonceTooLow => "nonce too low",
            Self::NonceTooHigh => "nonce too high",
            Self::Funds => "insufficient funds",
            Self::GasLimit => "gas limit too high",
            Self::IntrinsicGas => "gas limit too low",
            Self::PriceBelowBaseFee => "price below the base fee",
            Self::PriorityAbovePrice => "priority fee above the whole fee",
            Self::SenderHasCode => "the sender has code",
            Self::Rule(words) | Self::GaveUp(words) | Self::Network(words) => words,
        })
    }
}

impl From<&InvalidTransaction> for Kind {
    fn from(invalid: &InvalidTransaction) -> Self {
        use InvalidTransaction as Cause;
        match invalid {
            Cause::NonceTooLow { .. } => Self::NonceTooLow,
            Cause::NonceTooHigh { .. } => Self::NonceTooHigh,
            Cause::LackOfFundForMaxFee { .. } => Self::Funds,
            Cause::CallerGasLimitMoreThanBlock | Cause::TxGasLimitGreaterThanCap { .. } => Self::GasLimit,
            Cause::CallGasCostMoreThanGasLimit { .. } | Cause::GasFloorMoreThanGasLimit { .. } => Self::IntrinsicGas,
            Cause::GasPriceLessThanBasefee => Self::PriceBelowBaseFee,
            Cause::PriorityFeeGreaterThanMaxFee => Self::PriorityAbovePrice,
            Cause::RejectCallerWithCode => Self::SenderHasCode,
            Cause::InvalidChainId | Cause::MissingChainId => Self::Chain,
            other => Self::Rule(other.to_string()),
        }
    }
}

impl From<&Invalid> for Kind {
    fn from(invalid: &Invalid) -> Self {
        match invalid {
            Invalid::NonceTooLow { .. } => Self::NonceTooLow,
            Invalid::NonceTooHigh { .. } => Self::NonceTooHigh,
            Invalid::Funds { .. } => Self::Funds,
            Invalid::GasLimit { .. } => Self::GasLimit,
            Invalid::IntrinsicGas { .. } => Self::IntrinsicGas,
            Invalid::PriceBelowBaseFee { .. } => Self::PriceBelowBaseFee,
            Invalid::PriorityAbovePrice => Self::PriorityAbovePrice,
            Invalid::SenderHasCode => Self::SenderHasCode,
            Invalid::Rule { reason } => Self::Rule(reason.clone()),
        }
    }
}

impl From<&PayloadError> for Kind {
    fn from(error: &PayloadError) -> Self {
        match error {
            PayloadError::Transaction {
                error: TransactionError::ChainId { .. } | TransactionError::Unprotected,
                ..
            } => Self::Chain,
            PayloadError::Transaction { error: TransactionError::Signature, .. } => Self::Signature,
            PayloadError::Transaction { error: TransactionError::Malformed { .. }, .. } => Self::Undecodable,
            other => Self::Network(other.to_string()),
        }
    }
}

impl From<&Refusal> for Kind {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Execution(ExecuteError::Invalid { reason, .. }) => Self::from(reason),
            Refusal::Execution(ExecuteError::Evm { reason }) => Self::GaveUp(reason.clone()),
            Refusal::Payload(error) => Self::from(error),
            other => Self::Network(other.to_string()),
        }
    }
}
