//! Between the machine's types and those of the wire.

use commit::{VOTE_BYTES_MAX, Vote, VoteProof};
use evm::{Data, StateKey};
use host::network::Genesis;
use proof::Receipt;
use shard::{AcknowledgeRefusal, AttemptRefusal, Busy, DeliverRefusal, GenesisAccounts, LocalRefusal};
use wire::state::{FreshValue, StateValue};
use wire::{Reason, Rejection};

/// The genesis of the network file, as the shard takes it.
pub(crate) fn genesis(genesis: &Genesis) -> GenesisAccounts {
    let account = |account: &host::network::GenesisAccount| shard::GenesisAccount {
        nonce: account.nonce,
        balance: account.balance,
        code: Data(account.code.clone()),
        storage: account.storage.clone(),
    };
    genesis.accounts.iter().map(|(address, given)| (*address, account(given))).collect()
}

/// A vote's receipt as the evidence that travels.
pub(crate) fn vote_proof(receipt: &Receipt) -> Result<VoteProof, Rejection> {
    let vote: Vote = primitives::decode(&receipt.leaf.body, VOTE_BYTES_MAX)?;
    Ok(VoteProof { vote, evidence: receipt.to_bytes() })
}

/// One of the shard's values, as a hint.
pub(crate) fn fresh_value(value: shard::FreshValue) -> FreshValue {
    match value {
        shard::FreshValue::Account(address, account) => {
            FreshValue { key: StateKey::Account(address), value: StateValue::Account(account) }
        }
        shard::FreshValue::Slot(address, slot, number) => {
            FreshValue { key: StateKey::Slot(address, slot), value: StateValue::Slot(number) }
        }
        shard::FreshValue::Fees(key, wei) => FreshValue { key: StateKey::Fees(key), value: StateValue::Fees(wei) },
    }
}

/// A record points at a leaf that is not there.
pub(crate) fn lost() -> Rejection {
    Rejection::new(Reason::StoreFailed, "a record points at a leaf that the store does not have")
}

pub(crate) fn busy(busy: &Busy) -> Rejection {
    Rejection::new(Reason::Busy, busy.to_string())
}

pub(crate) fn attempt_refusal(refusal: &AttemptRefusal) -> Rejection {
    let text = refusal.to_string();
    match refusal {
        AttemptRefusal::Commit(rejection) => rejection.clone().into(),
        AttemptRefusal::Busy(reason) => busy(reason),
        AttemptRefusal::Participants { .. } | AttemptRefusal::Homes { .. } => Rejection::new(Reason::BadDescriptor, text),
    }
}

pub(crate) fn local_refusal(refusal: LocalRefusal) -> Rejection {
    let text = refusal.to_string();
    match refusal {
        LocalRefusal::Busy(reason) => busy(&reason),
        LocalRefusal::NotLocal { .. } => Rejection::new(Reason::NotLocal, text),
        LocalRefusal::Slot(_) => Rejection::new(Reason::WrongEnvironment, text),
        LocalRefusal::Execution(error) => error.into(),
        LocalRefusal::Dispatch(_) => Rejection::new(Reason::BadMessage, text),
    }
}

pub(crate) fn deliver_refusal(refusal: &DeliverRefusal) -> Rejection {
    let text = refusal.to_string();
    match refusal {
        DeliverRefusal::Busy(reason) => busy(reason),
        DeliverRefusal::Message(error) => error.clone().into(),
        DeliverRefusal::WrongDestination { .. } => Rejection::new(Reason::WrongShard, text),
    }
}

pub(crate) fn acknowledge_refusal(refusal: &AcknowledgeRefusal) -> Rejection {
    let text = refusal.to_string();
    match refusal {
        AcknowledgeRefusal::Busy(reason) => busy(reason),
        AcknowledgeRefusal::Message(error) => error.clone().into(),
        AcknowledgeRefusal::UnknownMessage { .. } => Rejection::new(Reason::NotFound, text),
        AcknowledgeRefusal::WrongDestination { .. } => Rejection::new(Reason::WrongShard, text),
    }
}

