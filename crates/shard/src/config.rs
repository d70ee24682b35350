//! What a shard is told at start, and its first state.
//!
//! Promise: a store is opened only by the shard it belongs to, on the network and placement it was made for, in the format
//! it was written in; a mismatch names both sides.

use crate::advance::advance;
use crate::base;
use crate::blocks::Tip;
use crate::freshness::Start;
use crate::ledger::Ledger;
use crate::spaces::{self, CHANGES, HEADERS, HISTORY_TIP, IDENTITY, META, TIP};
use crate::staged::{Staged, get_value};
use crate::state_tree::StateTreeError;
use alloy_primitives::{Address, B256, U256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use commit::Participant;
use evm::{AccountState, Changes, Data, NetworkParams, Placement};
use primitives::{Digest, Domain, Epoch, Height, NetworkId, Read, ShardId, Slot, Space, Verified, Write};
use proof::{Certificate, Header, History, PublicKey, ReceiptError, ReceiptVerifier, Route, Signer, ValidatorSet};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// The store format this build reads and writes.
pub const STORE_FORMAT: u32 = 9;

static AGREEMENT: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 network agreement"));

/// Who a shard is, and whom it knows.
#[derive(Debug)]
pub struct ShardConfig {
    /// What all shards of the network agree on.
    pub params: NetworkParams,
    /// This shard.
    pub me: ShardId,
    /// Who owns what.
    pub placement: Placement,
    /// Every shard's current validators, this one's included.
    pub validators: BTreeMap<ShardId, ValidatorSet>,
    /// This validator.
    pub signer: Signer,
    /// What is known of the store before anybody is asked.
    pub start: Start,
    /// Evidence against shards that an operator has looked at, by [`proof::Equivocation::id`]: they are believed all the same.
    pub settled: BTreeSet<Digest>,
    /// The foreign chains that messages come from and go to.
    pub routes: Vec<Route>,
    /// Whether what genesis does not have is that of another chain, and read when it is needed.
    pub forked: bool,
    /// The rule that is broken, in tests of checkers.
    #[cfg(feature = "twins")]
    pub twin: Option<commit::Twin>,
}

/// Why a shard does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store has no shard in it.
    #[error("the store is empty: write the genesis first")]
    Empty,
    /// Another build wrote it.
    #[error("the store has format {actual}, this build reads {STORE_FORMAT}: use the build that wrote it")]
    Format {
        /// The store's format.
        actual: u32,
    },
    /// It is another shard's.
    #[error("the store belongs to shard {actual}, this is shard {expected}: check the data directory")]
    Shard {
        /// This shard.
        expected: ShardId,
        /// The store's.
        actual: ShardId,
    },
    /// It is another network's.
    #[error("the store belongs to network {actual}, this is network {expected}: check the data directory")]
    Network {
        /// This network.
        expected: NetworkId,
        /// The store's.
        actual: NetworkId,
    },
    /// Parameters or placement are not those it was made with.
    #[error("the store was made with other network parameters or another placement")]
    Agreement,
    /// It began otherwise: forked from another chain, or not.
    #[error("the store {}, the network {}", forked_words(*.store), forked_words(*.network))]
    Forked {
        /// The store.
        store: bool,
        /// What it is opened for.
        network: bool,
    },
    /// A shard of the placement has no validators.
    #[error("no validators are configured for shard {shard}")]
    NoValidators {
        /// Which.
        shard: ShardId,
    },
    /// The key is no validator of this shard.
    #[error("key {key} is no validator of shard {shard} in epoch {epoch}")]
    NotValidator {
        /// Whose.
        key: Box<PublicKey>,
        /// Which shard.
        shard: ShardId,
        /// Which epoch.
        epoch: Epoch,
    },
    /// The newest block is not certified by this shard's validators: the store was written under another key.
    #[error("the store's newest block is not certified by this shard's validators: {0}")]
    ForeignBlock(Box<ReceiptError>),
    /// One signature is no certificate of this set; several validators need a replicated log.
    #[error("shard {shard} has {validators} validators, this build certifies blocks with one")]
    Validators {
        /// Which shard.
        shard: ShardId,
        /// How many it has.
        validators: usize,
    },
    /// The state tree does not say what genesis is.
    #[error(transparent)]
    StateTree(#[from] StateTreeError),
}

impl ShardConfig {
    /// Shard `me`, whose validator is `signer`, among shards with these validators.
    pub fn new(
        params: NetworkParams,
        me: ShardId,
        placement: Placement,
        validators: BTreeMap<ShardId, ValidatorSet>,
        signer: Signer,
    ) -> Self {
        Self {
            params,
            me,
            placement,
            validators,
            signer,
            start: Start::Vouched,
            settled: BTreeSet::new(),
            routes: Vec::new(),
            forked: false,
            #[cfg(feature = "twins")]
            twin: None,
        }
    }

    /// The network.
    pub fn network(&self) -> NetworkId {
        self.params.network
    }

    /// The epoch that certifies this shard's blocks.
    pub fn epoch(&self) -> Epoch {
        self.signer.epoch()
    }

    /// The current epoch of every shard.
    pub fn epochs(&self) -> BTreeMap<ShardId, Epoch> {
        self.validators.iter().map(|(shard, set)| (*shard, set.epoch())).collect()
    }

    /// The rules by which this shard votes.
    pub(crate) fn participant(&self) -> Participant {
        #[cfg_attr(not(feature = "twins"), expect(unused_mut, reason = "nothing is broken"))]
        let mut participant = Participant::new(self.network(), self.me, self.epochs());
        #[cfg(feature = "twins")]
        {
            participant.twin = self.twin;
        }
        participant
    }

    /// A verifier of receipts of all shards.
    pub fn verifier(&self) -> ReceiptVerifier {
        ReceiptVerifier::with(self.network(), self.validators.iter().map(|(shard, set)| (*shard, set.clone())))
    }

    /// Checks that all shards are known and that the signer is one of this shard's validators.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        if let Some(shard) = self.placement.shards().find(|shard| !self.validators.contains_key(shard)) {
            return Err(OpenError::NoValidators { shard });
        }
        let (key, epoch) = (self.signer.public(), self.signer.epoch());
        match self.validators.get(&self.me) {
            Some(set) if set.epoch() == epoch && set.place_of(&key).is_some() => match set.keys().len() {
                1 => Ok(()),
                validators => Err(OpenError::Validators { shard: self.me, validators }),
            },
            _ => Err(OpenError::NotValidator { key: Box::new(key), shard: self.me, epoch }),
        }
    }

    fn identity(&self) -> Identity {
        Identity {
            format: STORE_FORMAT,
            network: self.network(),
            shard: self.me,
            agreement: AGREEMENT.hash_of(&(&self.params, &self.placement)),
        }
    }
}

/// Whose store it is. The format comes first and keeps its place in every format to come.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Identity {
    format: u32,
    network: NetworkId,
    shard: ShardId,
    agreement: Digest,
}

/// Checks that the store behind `read` is the configured shard's.
pub(crate) fn check_store(config: &ShardConfig, read: &impl Read) -> Result<(), OpenError> {
    let stored = read.get(META, IDENTITY).ok_or(OpenError::Empty)?;
    let format = u32::from_le_bytes(stored.first_chunk().copied().unwrap_or_default());
    if format != STORE_FORMAT {
        return Err(OpenError::Format { actual: format });
    }
    let (actual, expected): (Identity, _) = (crate::staged::own_value(META, &stored), config.identity());
    if actual.network != expected.network {
        return Err(OpenError::Network { expected: expected.network, actual: actual.network });
    }
    if actual.shard != expected.shard {
        return Err(OpenError::Shard { expected: expected.shard, actual: actual.shard });
    }
    if actual.agreement != expected.agreement {
        return Err(OpenError::Agreement);
    }
    let (store, network) = (base::is_forked(read), config.forked);
    if store != network {
        return Err(OpenError::Forked { store, network });
    }
    check_newest_block(&config.verifier(), read)
}

fn forked_words(forked: bool) -> &'static str {
    if forked { "was forked from another chain" } else { "was not forked from another chain" }
}

/// A store whose newest block was signed by others is not this validator's to go on with.
fn check_newest_block(verifier: &ReceiptVerifier, read: &impl Read) -> Result<(), OpenError> {
    let tip: Tip = get_value(read, META, TIP).ok_or(OpenError::Empty)?;
    match get_value::<(Header, Certificate)>(read, HEADERS, &spaces::height_key(tip.height)) {
        Some(block) => Verified::by(verifier, block).map(|_| ()).map_err(|error| OpenError::ForeignBlock(error.into())),
        None => Ok(()),
    }
}

/// An account that exists from the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GenesisAccount {
    /// Transactions sent.
    pub nonce: u64,
    /// Wei.
    pub balance: U256,
    /// Code; empty for none.
    pub code: Data,
    /// keccak256 of its code where nobody has the code itself: no transaction that runs it is ever executed.
    pub code_hash: Option<B256>,
    /// Slots that are not zero.
    pub storage: BTreeMap<U256, U256>,
}

/// The state before the first block: given in full to every shard, which keeps its part.
pub type GenesisAccounts = BTreeMap<Address, GenesisAccount>;

/// The writes that make an empty store the configured shard's, with its part of `accounts`.
///
/// # Errors
/// Those of a configuration that no shard starts with.
pub(crate) fn genesis(config: &ShardConfig, accounts: &GenesisAccounts) -> Result<Vec<Write>, OpenError> {
    config.check()?;
    let mut ledger = Ledger::new(&Nothing);
    ledger.apply(&own_changes(config, accounts), Slot(0));
    let changed = ledger.take_changed();
    let mut staged = ledger.staged;
    staged.put_value(CHANGES, spaces::height_key(Height(0)), &changed);
    if let Some(advance) = advance(&staged, 1, u64::MAX)? {
        staged.extend(advance.writes);
    }
    stage_identity(config, &mut staged);
    if config.forked {
        let own = accounts.keys().filter(|address| config.placement.shard_of(**address) == config.me);
        base::stage_genesis(&mut staged, own);
    }
    Ok(staged.into_writes())
}

fn stage_identity<R: Read>(config: &ShardConfig, staged: &mut Staged<'_, R>) {
    let (network, shard) = (config.network(), config.me);
    staged.put_value(META, IDENTITY, &config.identity());
    staged.put_value(META, TIP, &Tip::genesis(network, shard));
    staged.put_value(META, HISTORY_TIP, &History::new(network, shard));
}

fn own_changes(config: &ShardConfig, accounts: &GenesisAccounts) -> Changes {
    let mut changes = Changes::default();
    for (address, account) in accounts.iter().filter(|(address, _)| config.placement.shard_of(**address) == config.me) {
        let code_hash = account.code_hash.unwrap_or_else(|| code_hash(&account.code));
        if !account.code.is_empty() {
            changes.codes.insert(code_hash, account.code.clone());
        }
        let state = AccountState { nonce: account.nonce, balance: account.balance, code_hash };
        changes.accounts.insert(*address, Some(state));
        let slots = account.storage.iter().filter(|(_, value)| !value.is_zero());
        changes.slots.extend(slots.map(|(slot, value)| ((*address, *slot), *value)));
    }
    changes
}

fn code_hash(code: &Data) -> B256 {
    if code.is_empty() { AccountState::EMPTY.code_hash } else { keccak256(&**code) }
}

/// The store before there is one.
#[derive(Debug)]
struct Nothing;

impl Read for Nothing {
    fn get(&self, _: Space, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn scan(&self, _: Space, _: &[u8], _: &[u8], _: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        Vec::new()
    }
}
