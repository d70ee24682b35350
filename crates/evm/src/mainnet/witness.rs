//! The state root after a block, from the trie nodes that its file carries.
//!
//! The nodes prove what the block reads against its parent's state root; with what the block changed they give its own.
//! Only the result is compared with the header: nobody can come to that root from nodes or changes that are wrong.

use super::MainnetBlock;
use super::trie::{Nodes, PartialTrie, TrieError};
use crate::{AccountState, State};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Why a block's file does not give a state root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateRootError {
    /// The nodes do not reach, or are malformed.
    #[error(transparent)]
    Trie(#[from] TrieError),
    /// The nodes of an account's storage do not reach, or are malformed.
    #[error("storage of {account}: {source}")]
    Storage {
        /// Whose.
        account: Address,
        /// What is wrong.
        source: TrieError,
    },
    /// A leaf that is no account.
    #[error("the leaf of {account} is no account: {reason}")]
    Leaf {
        /// Whose.
        account: Address,
        /// What is wrong.
        reason: alloy_rlp::Error,
    },
    /// The nodes prove something else than the file's pre-state.
    #[error("the pre-state of {account} is not what the trie nodes have")]
    PreState {
        /// Whose.
        account: Address,
    },
}

/// The trie nodes as the file has them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File {
    parent_state_root: B256,
    nodes: Vec<Bytes>,
}

/// Trie nodes under the state root before a block.
#[derive(Debug, Clone)]
pub(super) struct StateWitness {
    parent_root: B256,
    nodes: Nodes,
}

impl From<File> for StateWitness {
    fn from(file: File) -> Self {
        Self { parent_root: file.parent_state_root, nodes: Nodes::new(file.nodes) }
    }
}

impl MainnetBlock {
    /// Whether the file carries what a state root takes.
    pub fn has_state_witness(&self) -> bool {
        self.witness.is_some()
    }

    /// The root of the whole of Ethereum's state after the block, if what it touches is now as in `after` and the accounts in
    /// `wiped` lost their storage on the way. None if the file carries no trie nodes.
    pub fn state_root_of(&self, wiped: &BTreeSet<Address>, after: &State) -> Option<Result<B256, StateRootError>> {
        self.witness.as_ref().map(|witness| Tries { witness, before: &self.pre_state, wiped, after }.root())
    }
}

struct Tries<'a> {
    witness: &'a StateWitness,
    before: &'a State,
    wiped: &'a BTreeSet<Address>,
    after: &'a State,
}

impl Tries<'_> {
    fn root(&self) -> Result<B256, StateRootError> {
        let mut trie = PartialTrie::new(self.witness.parent_root, &self.witness.nodes)?;
        let addresses = self.before.accounts.keys().chain(self.after.accounts.keys());
        for address in addresses.collect::<BTreeSet<_>>() {
            let key = keccak256(address);
            let leaf = trie.get(key)?.map(alloy_rlp::decode_exact::<TrieAccount>).transpose();
            let leaf = leaf.map_err(|reason| StateRootError::Leaf { account: *address, reason })?;
            if leaf.as_ref().map(state_of) != self.before.accounts.get(address).copied() {
                return Err(StateRootError::PreState { account: *address });
            }
            let storage_root = self.storage_root(*address, leaf.map_or(EMPTY_ROOT_HASH, |leaf| leaf.storage_root))?;
            let now = self.after.accounts.get(address).map(|account| leaf_of(account, storage_root));
            trie.set(key, now)?;
        }
        Ok(trie.root()?)
    }

    /// The root of an account's storage, which before the block was `root`.
    fn storage_root(&self, account: Address, root: B256) -> Result<B256, StateRootError> {
        let (before, after) = (slots(self.before, account), slots(self.after, account));
        let failed = |source| StateRootError::Storage { account, source };
        if before.is_empty() && after.is_empty() && !self.wiped.contains(&account) {
            return Ok(root);
        }
        let mut trie = PartialTrie::new(root, &self.witness.nodes).map_err(failed)?;
        for (slot, value) in &before {
            let proven = trie.get(slot_key(*slot)).map_err(failed)?;
            if proven != Some(alloy_rlp::encode(value).as_slice()) {
                return Err(StateRootError::PreState { account });
            }
        }
        if self.wiped.contains(&account) {
            trie = PartialTrie::empty();
        }
        for slot in before.keys().chain(after.keys()) {
            trie.set(slot_key(*slot), after.get(slot).map(alloy_rlp::encode)).map_err(failed)?;
        }
        trie.root().map_err(failed)
    }
}

/// The slots of an account that are not zero.
fn slots(state: &State, account: Address) -> BTreeMap<U256, U256> {
    let slots = state.slots.range((account, U256::ZERO)..=(account, U256::MAX));
    slots.map(|((_, slot), value)| (*slot, *value)).collect()
}

fn slot_key(slot: U256) -> B256 {
    keccak256(slot.to_be_bytes::<32>())
}

fn state_of(leaf: &TrieAccount) -> AccountState {
    AccountState { nonce: leaf.nonce, balance: leaf.balance, code_hash: leaf.code_hash }
}

fn leaf_of(account: &AccountState, storage_root: B256) -> Vec<u8> {
    let AccountState { nonce, balance, code_hash } = *account;
    alloy_rlp::encode(TrieAccount { nonce, balance, storage_root, code_hash })
}
