//! What a replayed block must reproduce, bit for bit.

use super::{MainnetBlock, StateRootError};
use crate::{AccountState, Outcome, State, Status};
use alloy_consensus::proofs::calculate_receipt_root;
use alloy_consensus::{Receipt, ReceiptEnvelope, ReceiptWithBloom, TxType};
use alloy_eips::{eip6110, eip7002, eip7251, eip7685::Requests};
use alloy_primitives::{Address, B256, Bloom, Log, U256, b256, keccak256};
use revm::primitives::hardfork::SpecId;
use std::collections::{BTreeMap, BTreeSet};

/// What a replay did otherwise than the block's header or the file says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Another number of transactions.
    #[error("the block has {expected} transactions, the replay {actual}")]
    Transactions {
        /// The block's.
        expected: usize,
        /// The replay's.
        actual: usize,
    },
    /// Another amount of gas.
    #[error("the header says {expected} gas, the replay used {actual}")]
    GasUsed {
        /// The header's.
        expected: u64,
        /// The replay's.
        actual: u64,
    },
    /// Other logs.
    #[error("the logs bloom differs from the header's")]
    Bloom,
    /// Other receipts, or in another order.
    #[error("the header's receipts root is {expected}, the replay's {actual}")]
    ReceiptsRoot {
        /// The header's.
        expected: B256,
        /// The replay's.
        actual: B256,
    },
    /// Other requests to the consensus layer.
    #[error("the header's requests hash is {expected}, the replay's {actual}")]
    RequestsHash {
        /// The header's.
        expected: B256,
        /// The replay's.
        actual: B256,
    },
    /// The file carries trie nodes, and they do not give a state root.
    #[error("no state root: {0}")]
    NoStateRoot(#[from] StateRootError),
    /// Another state of all of Ethereum.
    #[error("the header's state root is {expected}, the replay's {actual}")]
    StateRoot {
        /// The header's.
        expected: B256,
        /// The replay's.
        actual: B256,
    },
    /// Another state.
    #[error("the file's digest of the changed state is {expected}, the replay's {actual}")]
    PostDigest {
        /// The file's.
        expected: B256,
        /// The replay's.
        actual: B256,
    },
}

/// What of a block was reproduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reproduced {
    /// Gas, as in the header.
    pub gas_used: u64,
    /// Whether the receipts root could be compared: before Byzantium receipts hold state roots.
    pub receipts_root: bool,
    /// Whether the requests hash could be compared: from Prague on.
    pub requests_hash: bool,
    /// Whether the state root could be compared: where the file carries the trie nodes for it.
    pub state_root: bool,
}

impl MainnetBlock {
    /// Compares a replay with the block: `outcomes` of all payloads in order, every account that was `wiped` by one of
    /// them, and the settled union of all states after.
    pub fn check(
        &self,
        outcomes: &[Outcome],
        wiped: &BTreeSet<Address>,
        after: &State,
    ) -> Result<Reproduced, Mismatch> {
        let signed: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.transaction.is_some()).collect();
        let (expected, actual) = (self.transactions.len(), signed.len());
        if expected != actual {
            return Err(Mismatch::Transactions { expected, actual });
        }
        let receipts = receipts(&signed);
        self.check_gas_and_logs(&receipts)?;
        let receipts_root = self.spec().includes(SpecId::BYZANTIUM);
        if receipts_root {
            equal(self.header.receipts_root, calculate_receipt_root(&receipts))
                .map_err(|(expected, actual)| Mismatch::ReceiptsRoot { expected, actual })?;
        }
        if let Some(expected) = self.header.requests_hash {
            let closing = outcomes.get(self.opening().len() + signed.len()..).unwrap_or_default();
            equal(expected, requests_hash(outcomes, closing))
                .map_err(|(expected, actual)| Mismatch::RequestsHash { expected, actual })?;
        }
        equal(self.post_digest, self.digest_of(wiped, after))
            .map_err(|(expected, actual)| Mismatch::PostDigest { expected, actual })?;
        let state_root = self.state_root_of(wiped, after).transpose()?;
        if let Some(actual) = state_root {
            equal(self.header.state_root, actual)
                .map_err(|(expected, actual)| Mismatch::StateRoot { expected, actual })?;
        }
        Ok(Reproduced {
            gas_used: self.header.gas_used,
            receipts_root,
            requests_hash: self.header.requests_hash.is_some(),
            state_root: state_root.is_some(),
        })
    }

    fn check_gas_and_logs(&self, receipts: &[ReceiptEnvelope]) -> Result<(), Mismatch> {
        let (expected, actual) =
            (self.header.gas_used, receipts.last().map_or(0, ReceiptEnvelope::cumulative_gas_used));
        if expected != actual {
            return Err(Mismatch::GasUsed { expected, actual });
        }
        let bloom = receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom());
        if bloom == self.header.logs_bloom { Ok(()) } else { Err(Mismatch::Bloom) }
    }

    /// The file's `postDigest` of a settled state: keccak256 over the accounts that changed since the block began.
    pub fn digest_of(&self, wiped: &BTreeSet<Address>, after: &State) -> B256 {
        let before = &self.pre_state;
        let mut changed = changed_slots(before, wiped, after);
        let addresses: BTreeSet<Address> = before.accounts.keys().chain(after.accounts.keys()).copied().collect();
        for address in addresses {
            if before.accounts.get(&address) != after.accounts.get(&address) {
                changed.entry(address).or_default();
            }
        }
        if !self.has_beneficiary {
            changed.remove(&self.header.beneficiary);
        }
        let bytes =
            changed.iter().flat_map(|(address, slots)| account_bytes(*address, after.accounts.get(address), slots));
        keccak256(bytes.collect::<Vec<u8>>())
    }
}

fn equal(expected: B256, actual: B256) -> Result<(), (B256, B256)> {
    if expected == actual { Ok(()) } else { Err((expected, actual)) }
}

/// Slots that changed. Of an account that was wiped those that were written since: the wipe itself is no write.
fn changed_slots(before: &State, wiped: &BTreeSet<Address>, after: &State) -> BTreeMap<Address, BTreeMap<U256, U256>> {
    let mut changed: BTreeMap<Address, BTreeMap<U256, U256>> = BTreeMap::new();
    for key in before.slots.keys().chain(after.slots.keys()) {
        let then = before.slots.get(key).filter(|_| !wiped.contains(&key.0)).copied().unwrap_or_default();
        let now = after.slots.get(key).copied().unwrap_or_default();
        if then != now {
            changed.entry(key.0).or_default().insert(key.1, now);
        }
    }
    changed
}

fn account_bytes(address: Address, account: Option<&AccountState>, slots: &BTreeMap<U256, U256>) -> Vec<u8> {
    let mut bytes = address.to_vec();
    match account {
        None => bytes.push(0),
        Some(account) => {
            bytes.push(1);
            bytes.extend(account.nonce.to_be_bytes());
            bytes.extend(account.balance.to_be_bytes::<32>());
            bytes.extend(account.code_hash);
        }
    }
    for (slot, value) in slots {
        bytes.push(2);
        bytes.extend(slot.to_be_bytes::<32>());
        bytes.extend(value.to_be_bytes::<32>());
    }
    bytes
}

/// The receipts of a block's transactions, in order.
fn receipts(outcomes: &[&Outcome]) -> Vec<ReceiptEnvelope> {
    let mut cumulative_gas_used = 0;
    let receipt = |outcome: &&Outcome| {
        cumulative_gas_used += outcome.gas_used;
        let logs: Vec<Log> = outcome.logs.iter().cloned().map(Into::into).collect();
        let status = (outcome.status == Status::Success).into();
        let receipt = ReceiptWithBloom::from(Receipt { status, cumulative_gas_used, logs });
        ReceiptEnvelope::from_typed(TxType::try_from(outcome.kind).unwrap_or(TxType::Legacy), receipt)
    };
    outcomes.iter().map(receipt).collect()
}

/// The hash of a block's requests (EIP-7685): deposits from logs, then what the two request contracts returned.
fn requests_hash(outcomes: &[Outcome], closing: &[Outcome]) -> B256 {
    let deposits: Vec<u8> = outcomes.iter().flat_map(|outcome| &outcome.logs).flat_map(deposit).collect();
    let mut requests = Requests::default();
    requests.push_request_with_type(eip6110::DEPOSIT_REQUEST_TYPE, deposits);
    let types = [eip7002::WITHDRAWAL_REQUEST_TYPE, eip7251::CONSOLIDATION_REQUEST_TYPE];
    for (kind, outcome) in types.into_iter().zip(closing) {
        requests.push_request_with_type(kind, outcome.output.to_vec());
    }
    requests.requests_hash()
}

/// The deposit that a log announces (EIP-6110), or nothing.
fn deposit(log: &crate::Log) -> Vec<u8> {
    const EVENT: B256 = b256!("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");
    // Five byte strings of known lengths, ABI-encoded: public key, credentials, amount, signature, index.
    const FIELDS: [(usize, usize); 5] = [(192, 48), (288, 32), (352, 8), (416, 96), (544, 8)];
    if log.address != eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS || log.topics.first() != Some(&EVENT) {
        return Vec::new();
    }
    FIELDS
        .iter()
        .flat_map(|(start, length)| log.data.get(*start..start + length).unwrap_or_default().to_vec())
        .collect()
}
