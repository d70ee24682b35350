//! One subtest, ready to run: pre-state, block, network and signed bytes of one transaction under one fork.

use crate::state_tests::file::{Post, StateTest};
use crate::state_tests::section::SectionError;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use evm::{
    AccountState, BlobEnvironment, BlockEnvironment, Data, Environment, Environments, NetworkParams, Payload, Spec,
    State,
};
use primitives::{Millis, NetworkId, Time};
use revm::primitives::KECCAK_EMPTY;
use revm::primitives::eip4844::{BLOB_BASE_FEE_UPDATE_FRACTION_CANCUN, BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE};
use revm::primitives::hardfork::SpecId;
use shard::{GenesisAccount, GenesisAccounts};
use std::collections::{BTreeMap, BTreeSet};

/// How many blocks back BLOCKHASH reaches.
const HASHES_COUNT: u64 = 256;

/// What all subtests of a test share.
#[derive(Debug)]
pub struct Scene<'a> {
    test: &'a StateTest,
    /// The state before, as one EVM has it.
    pub before: State,
    /// The same, as a network starts from it.
    pub genesis: GenesisAccounts,
}

impl<'a> Scene<'a> {
    /// The scene of a test.
    pub fn new(test: &'a StateTest) -> Self {
        let (mut before, mut genesis) = (State::default(), GenesisAccounts::default());
        for (address, account) in &test.pre {
            let code: Data = account.code.clone().into();
            let (nonce, balance) = (account.nonce.to(), account.balance);
            let code_hash = if account.code.is_empty() { KECCAK_EMPTY } else { keccak256(&account.code) };
            before.accounts.insert(*address, AccountState { nonce, balance, code_hash });
            if code_hash != KECCAK_EMPTY {
                // It is the code of its own hash: computed a line above.
                let added = before.add_code(code_hash, &code);
                debug_assert!(added.is_ok());
            }
            for (slot, value) in &account.storage {
                before.set_slot(*address, *slot, *value);
            }
            let storage = account.storage.clone();
            genesis.insert(*address, GenesisAccount { nonce, balance, code, storage, ..GenesisAccount::default() });
        }
        Self { test, before, genesis }
    }

    /// Accounts that hold storage without code or nonce: no network has had one since Spurious Dragon, and revm, whose
    /// database cannot say that they hold any, creates over them (EIP-7610).
    pub fn storage_without_code(&self) -> BTreeSet<Address> {
        let accounts = self.test.pre.iter().filter(|(_, account)| {
            account.code.is_empty() && account.nonce.is_zero() && account.storage.values().any(|value| !value.is_zero())
        });
        accounts.map(|(address, _)| *address).collect()
    }
}

/// One subtest.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// What its test's other subtests share with it.
    pub scene: &'a Scene<'a>,
    /// The fork, as the file names it.
    pub fork: &'a str,
    /// Its rules.
    pub spec: Spec,
    /// What is expected.
    pub post: &'a Post,
}

impl Case<'_> {
    /// The chain the transaction is for.
    pub fn chain(&self) -> u64 {
        self.scene.test.config.chainid.map_or(1, |id| id.to())
    }

    /// The network that runs it.
    pub fn params(&self) -> NetworkParams {
        let env = &self.scene.test.env;
        NetworkParams {
            network: NetworkId(self.chain()),
            genesis: Time(0),
            slot_length: Millis(1000),
            base_fee: 0,
            gas_limit: env.current_gas_limit.saturating_to(),
            beneficiary: env.current_coinbase,
            spec: self.spec,
            environments: Environments::Replay,
            takes_unprotected: false,
        }
    }

    /// The block it runs in.
    pub fn block(&self) -> BlockEnvironment {
        let env = &self.scene.test.env;
        let number: u64 = env.current_number.saturating_to();
        let merged = self.spec.id().is_enabled_in(SpecId::MERGE);
        BlockEnvironment {
            spec: self.spec,
            number,
            timestamp: env.current_timestamp.saturating_to(),
            beneficiary: env.current_coinbase,
            gas_limit: env.current_gas_limit.saturating_to(),
            base_fee: env.current_base_fee.unwrap_or_default().to(),
            difficulty: env.current_difficulty.unwrap_or_default(),
            randomness: merged.then(|| B256::from(env.current_random.unwrap_or_default())),
            blob: self.spec.id().is_enabled_in(SpecId::CANCUN).then(|| self.blob()),
            hashes: (number.saturating_sub(HASHES_COUNT)..number).map(|number| (number, block_hash(number))).collect(),
        }
    }

    fn blob(&self) -> BlobEnvironment {
        let default = if self.spec.id().is_enabled_in(SpecId::PRAGUE) {
            BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE
        } else {
            BLOB_BASE_FEE_UPDATE_FRACTION_CANCUN
        };
        let schedule = self.scene.test.config.blob_schedule.get(self.fork);
        BlobEnvironment {
            excess_gas: self.scene.test.env.current_excess_blob_gas.unwrap_or_default().to(),
            update_fraction: schedule.map_or(default, |schedule| schedule.base_fee_update_fraction.to()),
        }
    }

    /// The signed transaction: the file's, or else the section's, signed here.
    pub fn bytes(&self) -> Result<Signed, SectionError> {
        if let Some(bytes) = &self.post.txbytes {
            return Ok(Signed { bytes: bytes.clone(), origin: Origin::File });
        }
        let section = &self.scene.test.transaction;
        let bytes = section.fields(self.post.indexes)?.sign(&section.signer()?, self.chain())?;
        Ok(Signed { bytes, origin: Origin::Section })
    }

    /// The transaction as its section has it.
    pub fn fields(&self) -> Result<crate::state_tests::section::Fields, SectionError> {
        self.scene.test.transaction.fields(self.post.indexes)
    }

    /// Who sends it.
    pub fn sender(&self) -> Option<Address> {
        self.scene.test.transaction.sender()
    }

    /// What is submitted to the network.
    pub fn payload(&self, bytes: &Bytes) -> Payload {
        Payload::signed(Environment::Block(self.block()), bytes.clone())
    }

    /// Every account that the test itself names.
    pub fn addresses(&self) -> BTreeSet<Address> {
        let named = [self.sender(), Some(self.scene.test.env.current_coinbase)].into_iter().flatten();
        self.scene.test.pre.keys().copied().chain(named).collect()
    }

    /// The state after as the file has it, if it has it.
    pub fn after(&self) -> Option<BTreeMap<Address, Held<'_>>> {
        let state = self.post.state.as_ref()?;
        let account = |account: &crate::state_tests::file::Account| AccountState {
            nonce: account.nonce.to(),
            balance: account.balance,
            code_hash: keccak256(&account.code),
        };
        Some(state.iter().map(|(address, entry)| (*address, (account(entry), &entry.storage))).collect())
    }
}

/// What a file says an account holds.
pub type Held<'a> = (AccountState, &'a BTreeMap<U256, U256>);

/// The hash that state tests give to the block of a number.
pub fn block_hash(number: u64) -> B256 {
    keccak256(number.to_string())
}

/// A signed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// EIP-2718.
    pub bytes: Bytes,
    /// Where it is from.
    pub origin: Origin,
}

/// Where a signed transaction is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The file's `txbytes`.
    File,
    /// Put together from the section and signed with its key.
    Section,
}
