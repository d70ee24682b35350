//! From the words of the shard's machine and queries to those of its service.

use super::{CertifiedBlock, Mark, MessageLife, OutboxLeaf, OutboxPage, StateProof, StateProofs};
use crate::state::{FreshValue, StateValue};
use evm::StateKey;
use proof::DeliveryStatus;
use shard::queries;

impl From<shard::FreshValue> for FreshValue {
    fn from(fresh: shard::FreshValue) -> Self {
        match fresh {
            shard::FreshValue::Account(address, account) => {
                Self { key: StateKey::Account(address), value: StateValue::Account(account) }
            }
            shard::FreshValue::Slot(address, slot, value) => {
                Self { key: StateKey::Slot(address, slot), value: StateValue::Slot(value) }
            }
            shard::FreshValue::Fees(key, wei) => Self { key: StateKey::Fees(key), value: StateValue::Fees(wei) },
        }
    }
}

impl From<queries::Block> for CertifiedBlock {
    fn from(block: queries::Block) -> Self {
        Self { header: block.header, certificate: block.certificate }
    }
}

impl From<queries::OutboxPage> for OutboxPage {
    fn from(page: queries::OutboxPage) -> Self {
        let leaves = page.leaves.into_iter().map(|(place, receipt)| OutboxLeaf { place, receipt });
        Self { leaves: leaves.collect(), next: page.next }
    }
}

impl From<queries::ProvenState> for StateProofs {
    fn from(proven: queries::ProvenState) -> Self {
        let proof = |value: queries::ProvenValue| StateProof {
            value: value.value.unwrap_or_default(),
            proof: primitives::encode(&value.proof),
        };
        Self {
            header: proven.header,
            certificate: proven.certificate,
            proofs: proven.values.into_iter().map(proof).collect(),
        }
    }
}

impl From<queries::MessageLife> for MessageLife {
    fn from(life: queries::MessageLife) -> Self {
        let acknowledgement = life.sent.as_ref().and_then(|sent| sent.end.as_ref());
        // A destination knows how a message ended before its source does; where both are here, they agree.
        let delivery = life.consumed.as_ref().map(|consumed| &consumed.delivery);
        let delivery = delivery.or(acknowledgement.map(|end| &end.delivery)).cloned();
        let dispatched = life.sent.as_ref().map(|sent| Mark { height: sent.leaf.height, time: sent.time });
        let delivered =
            life.consumed.as_ref().map(|consumed| Mark { height: consumed.leaf.height, time: consumed.time });
        let acknowledged = acknowledgement.map(|end| Mark { height: end.height, time: end.time });
        let message = life.sent.map(|sent| sent.message).or(life.consumed.map(|consumed| consumed.message));
        Self {
            message,
            dispatched,
            delivered,
            acknowledged,
            status: delivery.as_ref().map(|delivery| delivery.status),
            detail: delivery.map(|delivery| detail(delivery.status, &delivery.detail)).unwrap_or_default(),
        }
    }
}

/// What a delivery's detail says to a person: nothing of a success, else the revert's text or its bytes.
fn detail(status: DeliveryStatus, bytes: &[u8]) -> String {
    match status {
        DeliveryStatus::Delivered => String::new(),
        DeliveryStatus::Failed | DeliveryStatus::Expired => match std::str::from_utf8(bytes) {
            Ok(text) if text.chars().all(|character| !character.is_control()) => text.to_owned(),
            _ => alloy_primitives::hex::encode_prefixed(bytes),
        },
    }
}
