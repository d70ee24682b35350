//! Real Ethereum mainnet blocks, as payloads for a replay network.
//!
//!   file ── parse ──> pre-state, header ── payloads ──> opening calls, transactions, closing calls, rewards
//!                                              replayed on shards ──> outcomes, union of states ── check ──> header
//!
//! Format `mainnet-block/v1`: one JSON object with everything the block reads, so that it executes offline.
//!
//! Promise: a file that parses is the block its hash names: header, transactions and what ommers it has are checked against it.

mod alone;
mod checks;
mod dao;
mod trie;
mod witness;

pub use alone::{Alone, AloneError};
pub use checks::{Mismatch, Reproduced};
pub use trie::TrieError;
pub use witness::StateRootError;

use crate::{
    AccountState, BlobEnvironment, BlockEnvironment, Data, Environment, Environments, Funding, NetworkParams, Payload,
    SignedTransaction, Spec, State, SystemTransaction, TransactionKind, UnknownSpec, WrongCode,
};
use alloy_consensus::Header;
use alloy_consensus::proofs::{calculate_ommers_root, ordered_trie_root_encoded};
use alloy_eips::{eip2935, eip4788, eip7002, eip7251, eip7691, eip7892};
use alloy_primitives::{Address, B256, Bytes, U64, U256, keccak256};
use primitives::{Millis, NetworkId, Time};
use revm::handler::system_call::SYSTEM_CALL_GAS_LIMIT;
use revm::primitives::KECCAK_EMPTY;
use revm::primitives::hardfork::SpecId;
use serde::Deserialize;
use std::collections::BTreeMap;
use witness::StateWitness;

/// The most bytes a block's JSON may have.
pub const BLOCK_BYTES_MAX: usize = 256 << 20;

/// What the files call their format.
const FORMAT: &str = "mainnet-block/v1";

/// When mainnet first and then again raised its blob count, seconds (EIP-7892).
const BLOB_SCHEDULE: [(u64, u64); 2] =
    [(1_767_747_671, eip7892::BPO2_BASE_UPDATE_FRACTION), (1_765_290_071, eip7892::BPO1_BASE_UPDATE_FRACTION)];

/// Why bytes are not a mainnet block.
#[derive(Debug, thiserror::Error)]
pub enum MainnetError {
    /// More bytes than allowed; nothing was parsed.
    #[error("{actual} bytes where at most {BLOCK_BYTES_MAX} are allowed")]
    TooLong {
        /// How many came.
        actual: usize,
    },
    /// Not the JSON of this format.
    #[error("malformed block file: {0}")]
    Json(#[from] serde_json::Error),
    /// Another format, or another version of it.
    #[error("format {actual:?}, expected {FORMAT:?}")]
    Format {
        /// What the file says.
        actual: String,
    },
    /// A header that is not RLP.
    #[error("malformed header: {0}")]
    Header(#[from] alloy_rlp::Error),
    /// The header is not that of the block's hash, or the transactions are not those of the header.
    #[error("{what} is {actual}, expected {expected}")]
    Root {
        /// Which of the two.
        what: &'static str,
        /// What the file or header says.
        expected: B256,
        /// What the content gives.
        actual: B256,
    },
    /// A fork of another name.
    #[error(transparent)]
    Fork(#[from] UnknownSpec),
    /// A code that is not that of its hash.
    #[error(transparent)]
    Code(#[from] WrongCode),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    format: String,
    chain_id: u64,
    hash: B256,
    fork: String,
    header: Bytes,
    transactions: Vec<Bytes>,
    #[serde(default)]
    withdrawals: Option<Vec<Withdrawal>>,
    ommers: Option<Vec<Bytes>>,
    block_hashes: BTreeMap<u64, B256>,
    pre_state: BTreeMap<Address, Account>,
    codes: BTreeMap<B256, Bytes>,
    witness: Option<witness::File>,
    verified: VerifiedParts,
}

#[derive(Deserialize)]
struct Withdrawal {
    address: Address,
    /// Gwei.
    amount: U64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    balance: U256,
    nonce: u64,
    code_hash: Option<B256>,
    storage: BTreeMap<U256, U256>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerifiedParts {
    state_root: Option<bool>,
    post_digest: B256,
}

/// A mainnet block with all it reads.
#[derive(Debug, Clone)]
pub struct MainnetBlock {
    chain_id: u64,
    header: Header,
    hash: B256,
    spec: Spec,
    transactions: Vec<Data>,
    withdrawals: Vec<(Address, U256)>,
    ommers: Vec<Header>,
    hashes: BTreeMap<u64, B256>,
    pre_state: State,
    witness: Option<StateWitness>,
    post_digest: B256,
    /// Whether the digest counts the beneficiary: only where its balance before the block is known.
    has_beneficiary: bool,
}

impl MainnetBlock {
    /// The block in `json`, its header checked against its hash, its transactions and ommers against its header.
    pub fn parse(json: &[u8]) -> Result<Self, MainnetError> {
        if json.len() > BLOCK_BYTES_MAX {
            return Err(MainnetError::TooLong { actual: json.len() });
        }
        let file: File = serde_json::from_slice(json)?;
        if file.format != FORMAT {
            return Err(MainnetError::Format { actual: file.format });
        }
        let header: Header = alloy_rlp::decode_exact(&file.header)?;
        root("the header's hash", file.hash, keccak256(&file.header))?;
        root("the transactions' root", header.transactions_root, ordered_trie_root_encoded(&file.transactions))?;
        let ommers: Vec<Header> =
            file.ommers.iter().flatten().map(alloy_rlp::decode_exact).collect::<Result<_, _>>()?;
        // A file that carries a part of the state alone may leave them out: nobody it knows is paid for them.
        if !ommers.is_empty() {
            root("the ommers' hash", header.ommers_hash, calculate_ommers_root(&ommers))?;
        }
        Ok(Self {
            chain_id: file.chain_id,
            hash: file.hash,
            spec: file.fork.parse()?,
            transactions: file.transactions.into_iter().map(Data::from).collect(),
            withdrawals: file.withdrawals.iter().flatten().map(wei).collect(),
            ommers,
            hashes: file.block_hashes,
            pre_state: pre_state(&file.pre_state, &file.codes)?,
            witness: file.witness.map(StateWitness::from),
            post_digest: file.verified.post_digest,
            has_beneficiary: file.verified.state_root == Some(true),
            header,
        })
    }

    /// The block's number.
    pub fn number(&self) -> u64 {
        self.header.number
    }

    /// keccak256 of the header.
    pub fn hash(&self) -> B256 {
        self.hash
    }

    /// The fork it ran under.
    pub fn spec(&self) -> Spec {
        self.spec
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How many signed transactions it has.
    pub fn transactions_count(&self) -> usize {
        self.transactions.len()
    }

    /// Every account and slot the block reads, as they were before it.
    pub fn pre_state(&self) -> &State {
        &self.pre_state
    }

    /// The parameters of a network that replays mainnet: what a block does not say does not matter.
    pub fn params(&self) -> NetworkParams {
        NetworkParams {
            network: NetworkId(self.chain_id),
            genesis: Time(0),
            slot_length: Millis(12_000),
            base_fee: 0,
            gas_limit: self.header.gas_limit,
            beneficiary: self.header.beneficiary,
            spec: self.spec,
            environments: Environments::Replay,
            takes_unprotected: false,
        }
    }

    /// The environment all of the block runs in.
    pub fn environment(&self) -> Environment {
        let header = &self.header;
        let mut hashes = self.hashes.clone();
        hashes.insert(header.number.saturating_sub(1), header.parent_hash);
        let merged = self.spec.includes(SpecId::MERGE);
        Environment::Block(BlockEnvironment {
            spec: self.spec,
            number: header.number,
            timestamp: header.timestamp,
            beneficiary: header.beneficiary,
            gas_limit: header.gas_limit,
            base_fee: header.base_fee_per_gas.unwrap_or_default(),
            difficulty: header.difficulty,
            randomness: merged.then_some(header.mix_hash),
            blob: header.excess_blob_gas.map(|excess_gas| self.blob(excess_gas)),
            hashes,
        })
    }

    /// Everything the block does, in order. The payloads of one block must commit in this order where they conflict.
    pub fn payloads(&self) -> Vec<Payload> {
        let signed = self.transactions.iter().cloned().map(|bytes| TransactionKind::Signed(SignedTransaction(bytes)));
        let opening = self.opening().into_iter().map(TransactionKind::System);
        let closing = self.closing().into_iter().map(TransactionKind::System);
        let environment = self.environment();
        let payload = |kind| Payload::bundle(environment.clone(), vec![kind]);
        opening.chain(signed).chain(closing).map(payload).collect()
    }

    /// What happens before the first transaction: the DAO fork, the parent's hash, the beacon root.
    fn opening(&self) -> Vec<SystemTransaction> {
        let parent_hash = self.spec.includes(SpecId::PRAGUE).then_some(self.header.parent_hash);
        let dao = (self.header.number == dao::BLOCK).then(dao::transaction);
        let parent = parent_hash.map(|hash| call(eip2935::HISTORY_STORAGE_ADDRESS, hash.0.into()));
        let beacon = self.header.parent_beacon_block_root;
        let beacon = beacon.map(|root| call(eip4788::BEACON_ROOTS_ADDRESS, root.0.into()));
        [dao, parent, beacon].into_iter().flatten().collect()
    }

    /// What happens after the last: the request contracts, withdrawals or rewards, and the fragments of fees go home.
    fn closing(&self) -> Vec<SystemTransaction> {
        let mut closing = Vec::new();
        if self.spec.includes(SpecId::PRAGUE) {
            closing.push(call(eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, Bytes::new()));
            closing.push(call(eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, Bytes::new()));
        }
        let balances = if self.spec.includes(SpecId::MERGE) { self.withdrawals.clone() } else { self.rewards() };
        if !balances.is_empty() {
            closing.push(SystemTransaction::Increase { balances });
        }
        closing.push(SystemTransaction::Settle);
        closing
    }

    /// Block and ommer rewards of proof of work.
    fn rewards(&self) -> Vec<(Address, U256)> {
        const ETHER: u128 = 1_000_000_000_000_000_000;
        let base = match self.spec.id() {
            spec if spec.is_enabled_in(SpecId::PETERSBURG) => 2 * ETHER,
            spec if spec.is_enabled_in(SpecId::BYZANTIUM) => 3 * ETHER,
            _ => 5 * ETHER,
        };
        let of_ommer = |ommer: &Header| {
            let eighths = u128::from(ommer.number.saturating_add(8).saturating_sub(self.header.number));
            (ommer.beneficiary, U256::from(eighths * base / 8))
        };
        let own = base + base / 32 * self.ommers.len() as u128;
        self.ommers.iter().map(of_ommer).chain([(self.header.beneficiary, U256::from(own))]).collect()
    }

    fn blob(&self, excess_gas: u64) -> BlobEnvironment {
        let raised = BLOB_SCHEDULE.iter().find(|(since, _)| self.header.timestamp >= *since);
        let update_fraction = match raised {
            Some((_, fraction)) => *fraction,
            None if self.spec.includes(SpecId::PRAGUE) => eip7691::BLOB_GASPRICE_UPDATE_FRACTION_PECTRA as u64,
            None => alloy_eips::eip4844::BLOB_GASPRICE_UPDATE_FRACTION as u64,
        };
        BlobEnvironment { excess_gas, update_fraction }
    }
}

fn root(what: &'static str, expected: B256, actual: B256) -> Result<(), MainnetError> {
    if expected == actual { Ok(()) } else { Err(MainnetError::Root { what, expected, actual }) }
}

fn wei(withdrawal: &Withdrawal) -> (Address, U256) {
    (withdrawal.address, U256::from(withdrawal.amount) * U256::from(1_000_000_000_u64))
}

fn call(target: Address, input: Bytes) -> SystemTransaction {
    SystemTransaction::Call {
        caller: eip4788::SYSTEM_ADDRESS,
        target,
        input: input.into(),
        gas_limit: SYSTEM_CALL_GAS_LIMIT,
        value: U256::ZERO,
        funding: Funding::Caller,
    }
}

fn pre_state(accounts: &BTreeMap<Address, Account>, codes: &BTreeMap<B256, Bytes>) -> Result<State, WrongCode> {
    let mut state = State::default();
    for (address, account) in accounts {
        let code_hash = account.code_hash.unwrap_or(KECCAK_EMPTY);
        state.accounts.insert(*address, AccountState { nonce: account.nonce, balance: account.balance, code_hash });
        for (slot, value) in &account.storage {
            state.set_slot(*address, *slot, *value);
        }
    }
    for (hash, code) in codes {
        state.add_code(*hash, &code.clone().into())?;
    }
    Ok(state)
}
