//! Keys and values of the network's state, as they are asked for and answered.

use crate::convert::{
    ConvertError, address, bytes_of, canonical, encoded, hash, number, number_bytes, optional_attempt,
    optional_attempt_bytes, required, word,
};
use crate::limits::OUTCOME_BYTES_MAX;
use crate::proto::v1;
use alloy_primitives::{B256, U256, keccak256};
use evm::{AccountState, Data, FeesKey, StateKey};
use primitives::{AttemptId, Height, ShardId, Slot, Time};

pub use ::shard::{LeafPlace, OutcomeRecord};

/// The value of a [`StateKey`], of the kind that the key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateValue {
    /// Of an account; `None` where none exists.
    Account(Option<AccountState>),
    /// Of a storage slot.
    Slot(U256),
    /// Of a fragment of fees, wei.
    Fees(U256),
}

/// A value as a shard has it, and whether it is about to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadValue {
    /// As of the last decision.
    pub value: StateValue,
    /// An undecided attempt that may change it: whoever waits for that one waits less than by trying.
    pub locked_by: Option<AttemptId>,
}

/// A value that a shard says is current: a hint, which proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreshValue {
    /// Which.
    pub key: StateKey,
    /// What it is.
    pub value: StateValue,
}

impl From<StateKey> for v1::StateKey {
    fn from(key: StateKey) -> Self {
        use v1::state_key::Key;
        let key = match key {
            StateKey::Account(address) => Key::Account(bytes_of(address.as_slice())),
            StateKey::Slot(address, index) => {
                Key::Slot(v1::SlotKey { address: bytes_of(address.as_slice()), index: number_bytes(index) })
            }
            StateKey::Fees(FeesKey { shard, beneficiary }) => {
                Key::Fees(v1::FeesKey { shard: shard.0, beneficiary: bytes_of(beneficiary.as_slice()) })
            }
        };
        Self { key: Some(key) }
    }
}

impl TryFrom<v1::StateKey> for StateKey {
    type Error = ConvertError;

    fn try_from(key: v1::StateKey) -> Result<Self, ConvertError> {
        use v1::state_key::Key;
        Ok(match required("key", key.key)? {
            Key::Account(account) => Self::Account(address("account", &account)?),
            Key::Slot(slot) => Self::Slot(address("slot.address", &slot.address)?, number("slot.index", &slot.index)?),
            Key::Fees(fees) => Self::Fees(FeesKey {
                shard: ShardId(fees.shard),
                beneficiary: address("fees.beneficiary", &fees.beneficiary)?,
            }),
        })
    }
}

impl From<StateValue> for v1::StateValue {
    fn from(value: StateValue) -> Self {
        use v1::state_value::Value;
        let value = match value {
            StateValue::Account(account) => account.map(|account| Value::Account(account.into())),
            StateValue::Slot(number) => (!number.is_zero()).then(|| Value::Slot(number_bytes(number))),
            StateValue::Fees(wei) => (!wei.is_zero()).then(|| Value::Fees(number_bytes(wei))),
        };
        Self { value }
    }
}

impl StateValue {
    /// The value that a peer gave for `key`; of the key's kind, or nothing there.
    pub(crate) fn of(key: &StateKey, value: Option<v1::StateValue>) -> Result<Self, ConvertError> {
        use v1::state_value::Value;
        let wrong_kind = || ConvertError::Invalid { field: "value", reason: format!("not a value of {key}") };
        Ok(match (key, value.and_then(|value| value.value)) {
            (StateKey::Account(_), None) => Self::Account(None),
            (StateKey::Account(_), Some(Value::Account(account))) => Self::Account(Some(account.try_into()?)),
            (StateKey::Slot(..), None) => Self::Slot(U256::ZERO),
            (StateKey::Slot(..), Some(Value::Slot(bytes))) => Self::Slot(number("slot", &bytes)?),
            (StateKey::Fees(_), None) => Self::Fees(U256::ZERO),
            (StateKey::Fees(_), Some(Value::Fees(bytes))) => Self::Fees(number("fees", &bytes)?),
            (StateKey::Account(_) | StateKey::Slot(..) | StateKey::Fees(_), Some(_)) => return Err(wrong_kind()),
        })
    }
}

impl From<AccountState> for v1::AccountValue {
    fn from(account: AccountState) -> Self {
        Self {
            nonce: account.nonce,
            balance: number_bytes(account.balance),
            code_hash: bytes_of(account.code_hash.as_slice()),
        }
    }
}

impl TryFrom<v1::AccountValue> for AccountState {
    type Error = ConvertError;

    fn try_from(account: v1::AccountValue) -> Result<Self, ConvertError> {
        Ok(Self {
            nonce: account.nonce,
            balance: number("balance", &account.balance)?,
            code_hash: hash("code_hash", &account.code_hash)?,
        })
    }
}

impl From<ReadValue> for v1::ReadValue {
    fn from(read: ReadValue) -> Self {
        Self { value: Some(read.value.into()), locked_by: optional_attempt_bytes(read.locked_by) }
    }
}

impl ReadValue {
    /// The value that a peer gave for `key`.
    pub(crate) fn of(key: &StateKey, read: v1::ReadValue) -> Result<Self, ConvertError> {
        Ok(Self { value: StateValue::of(key, read.value)?, locked_by: optional_attempt("locked_by", &read.locked_by)? })
    }
}

/// A code as a peer sent it, which must hash to what it is called.
pub(crate) fn code(code: v1::Code) -> Result<(B256, Data), ConvertError> {
    let hash = hash("code.hash", &code.hash)?;
    let actual = keccak256(&code.code);
    if actual == hash {
        return Ok((hash, Data(code.code.into())));
    }
    Err(ConvertError::Invalid { field: "code", reason: format!("hashes to {actual}, called {hash}") })
}

impl From<LeafPlace> for v1::OutboxCursor {
    fn from(place: LeafPlace) -> Self {
        Self { height: place.height.0, index: place.index }
    }
}

impl From<v1::OutboxCursor> for LeafPlace {
    fn from(cursor: v1::OutboxCursor) -> Self {
        Self { height: Height(cursor.height), index: cursor.index }
    }
}

impl From<FreshValue> for v1::FreshValue {
    fn from(fresh: FreshValue) -> Self {
        Self { key: Some(fresh.key.into()), value: Some(fresh.value.into()) }
    }
}

impl TryFrom<v1::FreshValue> for FreshValue {
    type Error = ConvertError;

    fn try_from(fresh: v1::FreshValue) -> Result<Self, ConvertError> {
        let key = required("key", fresh.key)?.try_into()?;
        Ok(Self { value: StateValue::of(&key, fresh.value)?, key })
    }
}

impl From<OutcomeRecord> for v1::OutcomeRecord {
    fn from(record: OutcomeRecord) -> Self {
        Self {
            transaction_hash: bytes_of(record.transaction.as_slice()),
            transaction: record.bytes.0.into(),
            sender: bytes_of(record.sender.as_slice()),
            outcome: encoded(&record.outcome),
            number: record.number,
            height: record.height.0,
            index: record.index,
            time_ms: record.time.0,
            leaf: Some(record.leaf.into()),
            attempt: optional_attempt_bytes(record.attempt),
            participants: record.participants.iter().map(|shard| shard.0).collect(),
            shown_slot: record.shown.0,
        }
    }
}

impl TryFrom<v1::OutcomeRecord> for OutcomeRecord {
    type Error = ConvertError;

    fn try_from(record: v1::OutcomeRecord) -> Result<Self, ConvertError> {
        let participants: Vec<ShardId> = record.participants.into_iter().map(ShardId).collect();
        if !participants.is_sorted_by(|one, next| one < next) {
            let reason = "shards are not in ascending order".to_owned();
            return Err(ConvertError::Invalid { field: "participants", reason });
        }
        Ok(Self {
            transaction: word("transaction_hash", &record.transaction_hash)?,
            bytes: Data(record.transaction.into()),
            sender: address("sender", &record.sender)?,
            outcome: canonical("outcome", &record.outcome, OUTCOME_BYTES_MAX)?,
            number: record.number,
            shown: Slot(record.shown_slot),
            height: Height(record.height),
            index: record.index,
            time: Time(record.time_ms),
            leaf: required("leaf", record.leaf)?.into(),
            attempt: optional_attempt("attempt", &record.attempt)?,
            participants,
            called: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Address;
    use evm::{Log, Outcome, Status};

    /// An outcome with every part set.
    pub(crate) fn outcome_record() -> OutcomeRecord {
        OutcomeRecord {
            transaction: B256::repeat_byte(1),
            bytes: vec![2, 3].into(),
            sender: Address::repeat_byte(4),
            outcome: Outcome {
                transaction: Some(B256::repeat_byte(1)),
                kind: 2,
                status: Status::Success,
                gas_used: 21_000,
                gas_price: 7,
                output: vec![5].into(),
                logs: vec![Log { address: Address::repeat_byte(6), topics: vec![B256::ZERO], data: vec![7].into() }],
                created: None,
            },
            number: 9,
            shown: Slot(9),
            height: Height(10),
            index: 11,
            time: Time(12),
            leaf: LeafPlace { height: Height(10), index: 13 },
            attempt: Some(AttemptId(primitives::Digest::new([14; 32]))),
            participants: vec![ShardId(0), ShardId(3)],
            called: None,
        }
    }

    fn keys_and_values() -> Vec<(StateKey, StateValue)> {
        let address = Address::repeat_byte(1);
        let account = AccountState { nonce: 1, balance: U256::MAX, code_hash: B256::repeat_byte(2) };
        let fees = FeesKey { shard: ShardId(2), beneficiary: address };
        vec![
            (StateKey::Account(address), StateValue::Account(Some(account))),
            (StateKey::Account(address), StateValue::Account(Some(AccountState::EMPTY))),
            (StateKey::Account(address), StateValue::Account(None)),
            (StateKey::Slot(address, U256::from(3)), StateValue::Slot(U256::from(4))),
            (StateKey::Slot(address, U256::MAX), StateValue::Slot(U256::ZERO)),
            (StateKey::Fees(fees), StateValue::Fees(U256::from(5))),
        ]
    }

    #[test]
    fn keys_and_values_survive_the_wire() {
        for (key, value) in keys_and_values() {
            let fresh = FreshValue { key, value };
            assert_eq!(FreshValue::try_from(v1::FreshValue::from(fresh)), Ok(fresh));
            for locked_by in [None, Some(AttemptId(primitives::Digest::new([9; 32])))] {
                let read = ReadValue { value, locked_by };
                assert_eq!(ReadValue::of(&key, read.into()), Ok(read));
            }
        }
    }

    #[test]
    fn a_value_of_another_kind_than_its_key_is_refused() {
        let (account, _) = keys_and_values()[0];
        let refused = StateValue::of(&account, Some(StateValue::Slot(U256::from(1)).into()));
        assert!(matches!(refused, Err(ConvertError::Invalid { .. })));
    }

    #[test]
    fn an_outcome_survives_the_wire() {
        let record = outcome_record();
        assert_eq!(OutcomeRecord::try_from(v1::OutcomeRecord::from(record.clone())), Ok(record));
    }

    #[test]
    fn participants_out_of_order_are_refused() {
        let mut record = v1::OutcomeRecord::from(outcome_record());
        record.participants = vec![3, 0];
        assert!(OutcomeRecord::try_from(record).is_err());
    }

    #[test]
    fn a_code_that_hashes_to_another_name_is_refused() {
        let named = |hash: B256| v1::Code { hash: bytes_of(hash.as_slice()), code: vec![1, 2].into() };
        assert!(code(named(keccak256([1, 2]))).is_ok());
        assert!(code(named(keccak256([1, 3]))).is_err());
    }
}
