//! `ShardService`: a shard's state, log, outbox and inbox, and transactions of its own.
//!
//! Receipts, proofs and certificates in answers are claims: check them with [`crate::facts`] and `proof`.

mod client;
pub(crate) mod convert;
mod server;

pub use client::ShardClient;
pub use server::ShardServer;

pub use ::shard::queries::OutcomeCursor;
pub use ::shard::{
    AccountParts, Cheat, HotKey, LockCounts, LogPlace, LogReader, Novelty, OutcomePlace, OwnPayload, Tip, ToldBlock,
    ToldOutcome, ToldPage, Untold,
};

use crate::participant::Answers;
use crate::rejection::Rejection;
use crate::state::{LeafPlace, OutcomeRecord, ReadValue};
use alloy_primitives::{Address, B256, U256};
use evm::{Data, Environments, Payload, StateKey, SystemTransaction};
use primitives::{Digest, Height, NetworkId, ShardId, Slot, Time};
use proof::{
    Certificate, Certified, DeliveryStatus, ForeignReceipt, Header, LeafKind, Message, MessageId, Receipt, ValidatorSet,
};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

/// Who and where a shard is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardStatus {
    /// The network.
    pub network: NetworkId,
    /// The shard.
    pub shard: ShardId,
    /// Who certifies its blocks, and in which epoch.
    pub validators: ValidatorSet,
    /// Height of the last synced block; 0 before the first.
    pub head: Height,
    /// Attested time of that block.
    pub head_time: Time,
    /// No later block of the shard has a time at or before this one.
    pub attested: Time,
    /// The first network block that is not closed there: what the shard decides later is shown in it or after.
    pub open: Slot,
    /// The first network block after which its state is kept for readers.
    pub history: Slot,
    /// What its node's own clock shows; none where it does not say.
    pub clock: Option<Time>,
    /// Header of the last block; none before the first.
    pub header: Option<Header>,
    /// Version of the placement it goes by.
    pub placement_version: u64,
    /// Which environments its network takes.
    pub environments: Environments,
    /// What it takes its network to be.
    pub terms: Terms,
}

/// All that the nodes of a network agree on before they start: parameters, placement and genesis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Of all of it: nodes with another digest are of another network.
    pub digest: Digest,
    /// The same for a person.
    pub text: String,
}

impl Terms {
    /// Checks that `other` says the same.
    ///
    /// # Errors
    /// [`OtherTerms`] with both sides.
    pub fn check(&self, other: &Self) -> Result<(), OtherTerms> {
        if self.digest == other.digest {
            return Ok(());
        }
        Err(OtherTerms { here: self.text.clone(), there: other.text.clone() })
    }
}

/// Two nodes that take their network to be different ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there: {there}; here: {here}")]
pub struct OtherTerms {
    /// This process's network.
    pub here: String,
    /// The peer's.
    pub there: String,
}

/// Values of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRead {
    /// The block after which they hold.
    pub height: Height,
    /// Attested time of that block.
    pub time: Time,
    /// One for each key, in its order.
    pub values: Vec<ReadValue>,
    /// Those of the codes that the shard has, by keccak256; checked to hash so.
    pub codes: BTreeMap<B256, Data>,
}

/// Proofs of an account and slots of it against one certified state root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateProofs {
    /// The header with the state root.
    pub header: Header,
    /// Who certified it.
    pub certificate: Certificate,
    /// The account first, then the slots in the order asked for.
    pub proofs: Vec<StateProof>,
}

/// A stored value with its path in the state tree, or a path that shows there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateProof {
    /// The value's stored bytes; empty where there is none.
    pub value: Vec<u8>,
    /// Canonical sparse Merkle proof.
    pub proof: Vec<u8>,
}

/// A block with its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedBlock {
    /// The header.
    pub header: Header,
    /// Its certificate.
    pub certificate: Certificate,
}

impl From<Certified> for CertifiedBlock {
    fn from(Certified { header, certificate }: Certified) -> Self {
        Self { header, certificate }
    }
}

impl From<CertifiedBlock> for Certified {
    fn from(CertifiedBlock { header, certificate }: CertifiedBlock) -> Self {
        Self { header, certificate }
    }
}

/// Which outcomes are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutcomeQuery {
    /// First network block.
    pub from: Slot,
    /// First network block after the range; none for the first that is not closed.
    pub to: Option<Slot>,
    /// Where to go on.
    pub cursor: Option<OutcomeCursor>,
    /// How many at most; a server never sees more than its bound.
    pub count_max: usize,
}

/// Outcomes in the order of network blocks, then of the shard's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomePage {
    /// The outcomes.
    pub outcomes: Vec<OutcomeRecord>,
    /// Where to go on; none when the range is exhausted.
    pub next: Option<OutcomeCursor>,
    /// What is shown in blocks before this one is complete: see [`ShardStatus::open`].
    pub open: Slot,
}

/// The log from a place on, and up to where all is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// The blocks, unchecked: for a [`LogReader`].
    pub told: ToldPage,
    /// With the last page: what is shown in blocks before this one is complete. See [`ShardStatus::open`].
    pub open: Slot,
}

/// One leaf and what makes it believable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxLeaf {
    /// Where it is.
    pub place: LeafPlace,
    /// Its receipt.
    pub receipt: Receipt,
}

/// What a reader of an outbox wants of blocks whose bodies are kept no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldLeaves {
    /// All leaves, which are not there: such blocks are refused ([`crate::Reason::Pruned`]).
    All,
    /// Those that are still open: enough for who carries messages and their ends.
    Open,
}

/// Leaves in outbox order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxPage {
    /// The leaves.
    pub leaves: Vec<OutboxLeaf>,
    /// The first leaf not looked at yet.
    pub next: LeafPlace,
    /// The newest block.
    pub head: Height,
}

/// A moment of a message's life on a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The block.
    pub height: Height,
    /// Its attested time.
    pub time: Time,
}

/// What a shard knows of a message, as its source or as its destination.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageLife {
    /// The message, where the shard still has it.
    pub message: Option<Message>,
    /// When it was dispatched, at its source.
    pub dispatched: Option<Mark>,
    /// When it was consumed or refused, at its destination.
    pub delivered: Option<Mark>,
    /// When the delivery's receipt came back, at its source.
    pub acknowledged: Option<Mark>,
    /// What became of it.
    pub status: Option<DeliveryStatus>,
    /// Why it failed, for a person.
    pub detail: String,
}

/// A receipt that has taken effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// When.
    pub novelty: Novelty,
    /// The block it took effect in.
    pub height: Height,
    /// For a message: the receipt of its delivery.
    pub receipt: Option<Receipt>,
}

/// What a shard offers besides commit; a service implements it and [`ShardServer`] serves it.
///
/// Counts and ranges arrive within their bounds. Calls that change something answer after the step is synced.
/// # Errors
/// A [`Rejection`] of the whole call.
pub trait ShardApi: Send + Sync + 'static {
    /// Who and where the shard is.
    fn status(&self) -> impl Future<Output = Result<ShardStatus, Rejection>> + Send;

    /// Executes payloads of which this shard is the only participant; answers the outcomes of each.
    fn submit_local(
        &self,
        payloads: Vec<Payload>,
    ) -> impl Future<Output = Result<Answers<Vec<OutcomeRecord>>, Rejection>> + Send;

    /// Reads values and codes: the newest of one block, or those after the closed slot `after`.
    fn read_state(
        &self,
        keys: Vec<StateKey>,
        code_hashes: BTreeSet<B256>,
        after: Option<Slot>,
    ) -> impl Future<Output = Result<StateRead, Rejection>> + Send;

    /// Proves an account and slots of it.
    fn prove_state(
        &self,
        address: Address,
        slots: Vec<U256>,
    ) -> impl Future<Output = Result<StateProofs, Rejection>> + Send;

    /// What a transaction did; [`crate::Reason::NotFound`] without a record.
    fn outcome(&self, transaction: B256) -> impl Future<Output = Result<OutcomeRecord, Rejection>> + Send;

    /// What a transaction of the protocol itself called; [`crate::Reason::NotFound`] without a record.
    fn own_call(&self, transaction: B256) -> impl Future<Output = Result<SystemTransaction, Rejection>> + Send;

    /// What is locked here now.
    fn locks(&self) -> impl Future<Output = Result<LockCounts, Rejection>> + Send;

    /// Outcomes of a range of network blocks.
    fn outcomes(&self, query: OutcomeQuery) -> impl Future<Output = Result<OutcomePage, Rejection>> + Send;

    /// The log from `from` on, without waiting: up to `count_max` outcomes.
    fn tell_log(&self, from: OutcomePlace, count_max: usize)
    -> impl Future<Output = Result<LogPage, Rejection>> + Send;

    /// Up to `count_max` blocks from `from` on, without waiting.
    fn blocks(
        &self,
        from: Height,
        count_max: usize,
    ) -> impl Future<Output = Result<Vec<CertifiedBlock>, Rejection>> + Send;

    /// Waits until the block at `height` is synced.
    fn wait_block(&self, height: Height) -> impl Future<Output = Result<(), Rejection>> + Send;

    /// Up to `count_max` leaves from `cursor` on of these kinds (empty: all), without waiting.
    fn outbox(
        &self,
        cursor: LeafPlace,
        count_max: usize,
        kinds: BTreeSet<LeafKind>,
        old: OldLeaves,
    ) -> impl Future<Output = Result<OutboxPage, Rejection>> + Send;

    /// The receipt of the leaf of `kind` about `id`; [`crate::Reason::NotFound`] without one.
    fn receipt(&self, kind: LeafKind, id: B256) -> impl Future<Output = Result<Receipt, Rejection>> + Send;

    /// What the shard knows of a message; [`crate::Reason::NotFound`] if nothing.
    fn message(&self, id: MessageId) -> impl Future<Output = Result<MessageLife, Rejection>> + Send;

    /// The newest certified block of `shard` that this one has seen.
    fn sighting(&self, shard: ShardId) -> impl Future<Output = Result<Option<CertifiedBlock>, Rejection>> + Send;

    /// Takes a certified block, unchecked, that somebody has seen; answers the height of this shard's own newest.
    fn show_sighting(&self, newest: CertifiedBlock) -> impl Future<Output = Result<Height, Rejection>> + Send;

    /// Consumes messages and takes acknowledgements; receipts are unchecked.
    fn deliver(&self, receipts: Vec<Receipt>) -> impl Future<Output = Result<Answers<Delivered>, Rejection>> + Send;

    /// Sets state, on a network with cheats; answers the slot that it holds from. [`crate::Reason::Unsupported`] elsewhere.
    fn cheat(&self, _cheat: Cheat) -> impl Future<Output = Result<Slot, Rejection>> + Send {
        async { Err(Rejection::from(::shard::CheatRefusal::NoCheats)) }
    }

    /// Consumes messages of foreign chains.
    fn admit(
        &self,
        receipts: Vec<ForeignReceipt>,
    ) -> impl Future<Output = Result<Answers<Delivered>, Rejection>> + Send;
}
