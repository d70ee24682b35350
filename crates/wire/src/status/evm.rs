//! What execution refuses.

use crate::rejection::{Reason, Rejection};
use evm::{EnvironmentError, ExecuteError, Invalid, PayloadError, PlacementError, TransactionError, WitnessError};

impl From<TransactionError> for Rejection {
    fn from(error: TransactionError) -> Self {
        let text = error.to_string();
        match error {
            TransactionError::TooLong { .. } => Self::new(Reason::OverBound, text),
            TransactionError::Malformed { .. } => Self::new(Reason::Malformed, text),
            TransactionError::ChainId { expected, actual } => {
                Self::new(Reason::WrongChainId, text).with("expected", expected).with("actual", actual)
            }
            TransactionError::Unprotected => Self::new(Reason::Unprotected, text),
            TransactionError::Signature => Self::new(Reason::BadSignature, text),
        }
    }
}

impl From<EnvironmentError> for Rejection {
    fn from(error: EnvironmentError) -> Self {
        let reason = match error {
            EnvironmentError::BlockRefused | EnvironmentError::TravelRefused | EnvironmentError::ForkRefused { .. } => {
                Reason::WrongEnvironment
            }
        };
        Self::new(reason, error.to_string())
    }
}

impl From<PayloadError> for Rejection {
    fn from(error: PayloadError) -> Self {
        let text = error.to_string();
        match error {
            PayloadError::Count { .. } => Self::new(Reason::OverBound, text),
            PayloadError::SystemRefused { .. } => Self::new(Reason::WrongEnvironment, text),
            PayloadError::Environment(error) => error.into(),
            PayloadError::Transaction { index, error } => Self::from(error).with("index", index),
        }
    }
}

impl From<PlacementError> for Rejection {
    fn from(error: PlacementError) -> Self {
        let reason = match &error {
            PlacementError::ShardsCount { .. } => Reason::InvalidArgument,
            PlacementError::UnknownShard { .. } => Reason::UnknownShard,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<Invalid> for Rejection {
    fn from(error: Invalid) -> Self {
        let text = error.to_string();
        match error {
            Invalid::NonceTooLow { transaction, state } => {
                Self::new(Reason::NonceTooLow, text).with("transaction", transaction).with("state", state)
            }
            Invalid::NonceTooHigh { transaction, state } => {
                Self::new(Reason::NonceTooHigh, text).with("transaction", transaction).with("state", state)
            }
            Invalid::Funds { required, balance } => {
                Self::new(Reason::InsufficientFunds, text).with("required", required).with("balance", balance)
            }
            Invalid::GasLimit { limit, max } => {
                Self::new(Reason::GasLimitTooHigh, text).with("limit", limit).with("max", max)
            }
            Invalid::IntrinsicGas { limit, required } => {
                Self::new(Reason::IntrinsicGasTooLow, text).with("limit", limit).with("required", required)
            }
            Invalid::PriceBelowBaseFee { price, base_fee } => {
                Self::new(Reason::FeeTooLow, text).with("price", price).with("base_fee", base_fee)
            }
            Invalid::PriorityAbovePrice => Self::new(Reason::FeeTooLow, text),
            Invalid::SenderHasCode | Invalid::Rule { .. } => Self::new(Reason::InvalidTransaction, text),
        }
    }
}

impl From<ExecuteError> for Rejection {
    fn from(error: ExecuteError) -> Self {
        let text = error.to_string();
        match error {
            // Only a view that could have fetched and did not lets this out.
            ExecuteError::Missing(_) => Self::new(Reason::Unavailable, text),
            ExecuteError::Invalid { index, sender, reason } => {
                Self::from(reason).with("index", index).with("sender", sender)
            }
            ExecuteError::BundleReverted { index, outcome } => {
                let output = alloy_primitives::hex::encode_prefixed(&outcome.output[..outcome.output.len().min(128)]);
                Self::new(Reason::BundleFailed, text).with("index", index).with("output", output)
            }
            ExecuteError::Environment(error) => error.into(),
            ExecuteError::BlockHash { number } => Self::new(Reason::WrongEnvironment, text).with("number", number),
            ExecuteError::TooMuch | ExecuteError::BatchGas { .. } => Self::new(Reason::OverBound, text),
            ExecuteError::Evm { .. } => Self::new(Reason::WrongEnvironment, text),
        }
    }
}

impl From<WitnessError> for Rejection {
    fn from(error: WitnessError) -> Self {
        let text = error.to_string();
        match error {
            WitnessError::Execute(error) => error.into(),
            WitnessError::Incomplete(_)
            | WitnessError::Excess(_)
            | WitnessError::ExcessCode { .. }
            | WitnessError::Code(_) => Self::new(Reason::WrongPayload, text),
        }
    }
}
