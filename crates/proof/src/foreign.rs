//! A message of a foreign chain, or the end there of one of ours, as that chain's attestors vouch for it here.
//!
//! ```text
//!   leaf -- index, path --> root -- in --> attested block -- signed by k of n attestors --> Admission
//!   leaf: v3 bytes of a message that was dispatched there, or [`Processed`]
//! ```
//!
//! Promise (I21): what a route's messages are is said by its threshold of distinct attestors and by nobody else; every context
//! (route, keys, terms) comes from this verifier's configuration, never from the receipt. Changing any bit of a receipt makes
//! it fail.
//! What it cannot promise: a quorum of attestors that lies is believed. It can invent messages of its own foreign domain
//! and withhold others, and say of messages to it that they were processed; it cannot speak for a shard or another domain, have a
//! message run twice, choose its gas or deadline beyond the route's terms, or carry value.
//! Knows nothing of foreign chains: attestors look, this counts their signatures.

use crate::merkle::{self, Place, Tree, TreeKind};
use crate::{Message, MessageError, MessageId, PathError, Processed, PublicKey, Route, SecretKey, Signature, purpose};
use alloy_primitives::{B256, U256};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{DecodeError, Digest, Height, NetworkId, ShardId, Time, Verifier, decode, encode};
use std::collections::BTreeMap;

/// How many bytes a foreign receipt may have: the largest body, a path, every attestor's signature, and some room.
pub const FOREIGN_RECEIPT_BYTES_MAX: usize = 48 * 1024;

/// How many leaves one foreign block has at most: far more than a block's gas pays for.
pub const FOREIGN_MESSAGES_COUNT_MAX: u32 = 1 << 16;

/// One block of a foreign chain with every message that its mailbox dispatched to shards in it, then every message of shards that it
/// processed: what an attestor signs.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ForeignBlock {
    /// The route's digest ([`Route::digest`]): chain, mailbox, terms, network.
    pub route: Digest,
    /// The foreign block's number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its own time.
    pub time: Time,
    /// How many leaves it has.
    pub count: u32,
    /// The root over them.
    pub root: Digest,
}

impl ForeignBlock {
    /// The block of `route` with these leaves, and their tree.
    pub fn new(route: Digest, domain: u32, head: (u64, B256, Time), leaves: &[Vec<u8>]) -> (Self, Tree) {
        let ((number, hash, time), tree) = (head, Tree::new(leaves));
        let count = tree.count().min(u64::from(u32::MAX)) as u32;
        (Self { route, number, hash, time, count, root: tree.root(&place(domain, number)) }, tree)
    }

    /// What each attestor signs.
    pub fn signed_digest(&self) -> Digest {
        purpose::FOREIGN_BLOCK.hash_of(self)
    }
}

/// Foreign trees are of a kind of their own, so that no root of one is an outbox's; the network is in the route's digest.
fn place(domain: u32, number: u64) -> Place {
    Place { kind: TreeKind::Foreign, network: NetworkId(0), shard: ShardId(domain), height: Height(number) }
}

/// One attestor's word on one foreign block.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Attestation {
    /// Of which block.
    pub block: ForeignBlock,
    /// Whose word.
    pub attestor: PublicKey,
    /// Over [`ForeignBlock::signed_digest`].
    pub signature: Signature,
}

impl Attestation {
    /// The word of whoever has `key`.
    pub fn sign(block: ForeignBlock, key: &SecretKey) -> Self {
        let signature = key.sign(&block.signed_digest());
        Self { block, attestor: key.public(), signature }
    }

    /// Whether its attestor signed it; not whether that attestor counts.
    pub fn is_signed(&self) -> bool {
        self.attestor.verify(&self.block.signed_digest(), &self.signature).is_ok()
    }

    /// Whether the two prove, to whoever reads them, that one attestor said two things of one block number of one route.
    pub fn contradicts(&self, other: &Self) -> bool {
        let (mine, theirs) = (&self.block, &other.block);
        self.attestor == other.attestor
            && (mine.route, mine.number) == (theirs.route, theirs.number)
            && mine != theirs
            && self.is_signed()
            && other.is_signed()
    }
}

/// All that makes one leaf of a foreign block believable here: a claim until a [`ForeignVerifier`] has checked it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ForeignReceipt {
    /// The v3 bytes of a message, or a [`Processed`].
    pub leaf: Vec<u8>,
    /// Its place among the block's leaves.
    pub index: u32,
    /// Its siblings from leaf to top.
    pub path: Vec<Digest>,
    /// The block.
    pub block: ForeignBlock,
    /// Who signed it, by place in the route's ascending keys, ascending.
    pub signatures: Vec<(u16, Signature)>,
}

impl ForeignReceipt {
    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// The receipt with these canonical bytes; at most [`FOREIGN_RECEIPT_BYTES_MAX`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, FOREIGN_RECEIPT_BYTES_MAX)
    }
}

/// What a checked foreign receipt amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// This message was sent on that chain, and runs on these terms.
    Message {
        /// The message, its terms the route's.
        message: Message,
        /// What it is known by everywhere: Hyperlane's id, of the v3 bytes alone, so that it stays one message when terms change.
        id: MessageId,
    },
    /// A message of this network was processed on that chain.
    Processed(Processed),
}

impl Admission {
    /// The domain of the shard that it is for.
    pub fn destination(&self) -> u32 {
        match self {
            Self::Message { message, .. } => message.destination,
            Self::Processed(processed) => processed.origin,
        }
    }

    /// Hyperlane's id of the message that it is about.
    pub fn v3_id(&self) -> B256 {
        match self {
            Self::Message { id, .. } => id.0,
            Self::Processed(processed) => processed.id,
        }
    }
}

/// Why a foreign receipt is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForeignError {
    /// The bytes are no receipt.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The bytes are no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// No route comes from where the message says it does.
    #[error("no route comes from domain {domain:#x}")]
    UnknownRoute {
        /// Which.
        domain: u32,
    },
    /// The attestors speak of another route, another network, or this one under other terms.
    #[error("the attestation is for route {actual}, this one is {expected}")]
    OtherRoute {
        /// This verifier's.
        expected: Digest,
        /// The receipt's.
        actual: Digest,
    },
    /// More than [`FOREIGN_MESSAGES_COUNT_MAX`].
    #[error("a foreign block of {actual} leaves where at most {FOREIGN_MESSAGES_COUNT_MAX} are allowed")]
    TooMany {
        /// How many it claims.
        actual: u32,
    },
    /// The leaf is not in the block.
    #[error("the leaf is not in the attested block: {0}")]
    Path(PathError),
    /// Signers that are not ascending, or not the route's.
    #[error("attestor {place} is out of order, or the route has only {attestors}")]
    Signer {
        /// Its place.
        place: u16,
        /// How many there are.
        attestors: usize,
    },
    /// Not enough of them.
    #[error("{actual} attestors signed where {needed} are needed")]
    Quorum {
        /// How many signed.
        actual: usize,
        /// How many are needed.
        needed: usize,
    },
    /// A signature that is none.
    #[error("the signature of attestor {place} does not verify")]
    Signature {
        /// Its place.
        place: u16,
    },
}

/// Checks foreign receipts against one network's routes.
#[derive(Debug, Clone, Default)]
pub struct ForeignVerifier {
    routes: BTreeMap<u32, (Route, Digest)>,
}

impl ForeignVerifier {
    /// A verifier for the network that began with `genesis` and has these routes.
    pub fn new(network: NetworkId, genesis: Option<&Digest>, routes: &[Route]) -> Self {
        let named = |route: &Route| (route.terms().domain, (route.clone(), route.digest(network, genesis)));
        Self { routes: routes.iter().map(named).collect() }
    }

    fn check_signatures(route: &Route, receipt: &ForeignReceipt) -> Result<(), ForeignError> {
        let (keys, needed) = (&route.terms().attestors, route.terms().threshold);
        let actual = receipt.signatures.len();
        if actual < needed {
            return Err(ForeignError::Quorum { actual, needed });
        }
        let digest = receipt.block.signed_digest();
        let mut next = 0;
        for (place, signature) in &receipt.signatures {
            let at = usize::from(*place);
            let key = keys.get(at).filter(|_| at >= next);
            let key = key.ok_or(ForeignError::Signer { place: *place, attestors: keys.len() })?;
            key.verify(&digest, signature).map_err(|_| ForeignError::Signature { place: *place })?;
            next = at + 1;
        }
        Ok(())
    }
}

impl Verifier<ForeignReceipt> for ForeignVerifier {
    type Fact = Admission;
    type Error = ForeignError;

    fn verify(&self, receipt: ForeignReceipt) -> Result<Admission, ForeignError> {
        let block = &receipt.block;
        let said = Said::of(&receipt.leaf)?;
        let domain = said.domain();
        let (route, expected) = self.routes.get(&domain).ok_or(ForeignError::UnknownRoute { domain })?;
        if block.route != *expected {
            return Err(ForeignError::OtherRoute { expected: *expected, actual: block.route });
        }
        if block.count > FOREIGN_MESSAGES_COUNT_MAX {
            return Err(ForeignError::TooMany { actual: block.count });
        }
        let (place, count, index) = (place(domain, block.number), u64::from(block.count), u64::from(receipt.index));
        merkle::verify_path(&place, &block.root, count, index, &receipt.leaf, &receipt.path)
            .map_err(ForeignError::Path)?;
        Self::check_signatures(route, &receipt)?;
        Ok(said.on_terms_of(route, block))
    }
}

/// What a leaf says, before anybody is known to vouch for it.
enum Said {
    Message(Message),
    Processed(Processed),
}

impl Said {
    fn of(leaf: &[u8]) -> Result<Self, MessageError> {
        match Processed::from_bytes(leaf) {
            Some(processed) => Ok(Self::Processed(processed)),
            // The terms come later, from the route that the message's own origin names.
            None => Ok(Self::Message(Message::from_packed(leaf, 0, Time(0), U256::ZERO)?)),
        }
    }

    /// The foreign domain that it is said of.
    fn domain(&self) -> u32 {
        match self {
            Self::Message(message) => message.origin,
            Self::Processed(processed) => processed.domain,
        }
    }

    fn on_terms_of(self, route: &Route, block: &ForeignBlock) -> Admission {
        match self {
            Self::Message(mut message) => {
                message.gas_limit = route.terms().gas_limit;
                message.deadline = block.time.after(route.terms().window);
                let id = MessageId(message.v3_id());
                Admission::Message { message, id }
            }
            Self::Processed(processed) => Admission::Processed(processed),
        }
    }
}

#[cfg(test)]
#[path = "foreign/attacks.rs"]
mod attacks;

#[cfg(test)]
#[path = "foreign/incidents.rs"]
mod incidents;
