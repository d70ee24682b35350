//! A step's block: what was done, what is said to others, sealed by one header and one certificate.
//!
//!   entries ---> log root ------.
//!   outcomes --> outcome root ---+--> header --> certificate          one block per step that has entries; a step
//!   leaves ----> outbox root ---'      |                              that changes nothing makes no block
//!   earlier headers --> history root --'-- state root of an earlier block
//!
//! Promise: a block's time is never before its parent's (R10); headers form one chain by parent and by history; the same
//! inputs at the same times make the same bytes (I11).
//! Knows nothing of what entries and leaves mean.

use crate::outcomes::OutcomeRecord;
use crate::spaces::{self, ENTRIES, HEADERS, HISTORY, HISTORY_TIP, LEAVES, META, TIP};
use crate::staged::Staged;
use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};
use commit::Decision;
use primitives::{AttemptId, Digest, Epoch, Height, NetworkId, Read, ShardId, Time, encode};
use proof::{
    Certificate, DeliveryStatus, HEADER_VERSION, Header, History, Leaf, LeafKind, MessageId, Outbox, Place, Signer,
    Tree, TreeKind,
};

/// One thing that a block did, in the order it was done.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Entry {
    /// Executed a payload of which this shard is the only participant.
    Executed {
        /// The digest of the payload.
        payload: Digest,
    },
    /// Voted on an attempt; the vote is a leaf of this block.
    Voted {
        /// On which.
        attempt: AttemptId,
        /// Whether it was a yes: with it, locks were taken.
        yes: bool,
    },
    /// Learnt how an attempt ended: applied or dropped its effects, released its locks.
    Decided {
        /// Which.
        attempt: AttemptId,
        /// How.
        decision: Decision,
    },
    /// Consumed a message; the delivery is a leaf of this block.
    Delivered {
        /// Which.
        message: MessageId,
        /// How it ended.
        status: DeliveryStatus,
    },
    /// Learnt how a message of its own ended, and settled its value.
    Acknowledged {
        /// Which.
        message: MessageId,
        /// How it had ended.
        status: DeliveryStatus,
    },
    /// Took values of the chain that the network was forked from.
    Based {
        /// Their digest.
        values: Digest,
    },
    /// Set state, on a network with cheats.
    Cheated {
        /// The digest of the cheat.
        cheat: Digest,
    },
}

/// A leaf's place in this shard's outboxes: enough to make its receipt again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct LeafPlace {
    /// The block.
    pub height: Height,
    /// The leaf's index in the block's outbox.
    pub index: u32,
}

/// The newest block, as the next one needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Tip {
    /// Its height; 0 before the first block.
    pub height: Height,
    /// Its header's digest; of genesis, the parent of the first block.
    pub digest: Digest,
    /// Its attested time.
    pub time: Time,
}

impl Tip {
    /// The tip of a shard without blocks.
    pub(crate) fn genesis(network: NetworkId, shard: ShardId) -> Self {
        Self { height: Height(0), digest: Header::genesis_parent(network, shard), time: Time(0) }
    }
}

/// A block while its step goes on.
#[derive(Debug)]
pub(crate) struct Draft {
    height: Height,
    entries: Vec<Entry>,
    leaves: Vec<Leaf>,
    /// What the outcome root commits to of each transaction.
    outcomes: Vec<Vec<u8>>,
}

impl Draft {
    /// The block after `tip`, still empty.
    pub(crate) fn after(tip: &Tip) -> Self {
        Self { height: tip.height.next(), entries: Vec::new(), leaves: Vec::new(), outcomes: Vec::new() }
    }

    /// The height it will have.
    pub(crate) fn height(&self) -> Height {
        self.height
    }

    /// Adds an entry: from now on there will be a block.
    pub(crate) fn push_entry(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Adds a leaf and says where it will be found.
    pub(crate) fn push_leaf(&mut self, kind: LeafKind, body: Vec<u8>) -> LeafPlace {
        self.leaves.push(Leaf { kind, body });
        LeafPlace { height: self.height, index: (self.leaves.len() - 1) as u32 }
    }

    /// Adds a transaction, which is at its place among the block's outcomes ([`Draft::outcomes_count`]).
    pub(crate) fn push_outcome(&mut self, record: &OutcomeRecord) {
        self.outcomes.push(record.commitment());
    }

    /// How many transactions it has.
    pub(crate) fn outcomes_count(&self) -> u32 {
        self.outcomes.len() as u32
    }

    /// Whether the step did nothing that makes a block.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// What a header takes from outside the block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings {
    /// The network.
    pub(crate) network: NetworkId,
    /// This shard.
    pub(crate) shard: ShardId,
    /// The epoch that signs.
    pub(crate) epoch: Epoch,
    /// The block's attested time.
    pub(crate) time: Time,
    /// Through which deadlines nothing is open here after the block.
    pub(crate) settled_through: Time,
    /// Before which nonce all messages to shards have ended after the block.
    pub(crate) ended_before: u32,
    /// The newest state root known, and the block it is of.
    pub(crate) state: (Height, Digest),
}

/// A block that is certified.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// Its header.
    pub(crate) header: Header,
    /// The signatures over it.
    pub(crate) certificate: Certificate,
    /// Its outbox, with all nodes.
    pub(crate) outbox: Outbox,
}

impl Draft {
    /// Makes the header and certifies it.
    ///
    /// # Panics
    /// If the header is one that no validator may sign, or the outbox is above its bound: this machine's own fault, and
    /// signing it would be worse than stopping.
    pub(crate) fn seal(
        self,
        around: Surroundings,
        tip: &Tip,
        history: &History,
        signer: &Signer,
    ) -> (Sealed, Vec<Entry>) {
        let root = |kind, leaves: Vec<Vec<u8>>| {
            let place = Place { kind, network: around.network, shard: around.shard, height: self.height };
            Tree::new(leaves).root(&place)
        };
        let outbox = Outbox::new(around.network, around.shard, self.height, self.leaves);
        let outbox = outbox.unwrap_or_else(|error| panic!("the step's bounds keep an outbox within its own: {error}"));
        let header = Header {
            version: HEADER_VERSION,
            network: around.network,
            shard: around.shard,
            epoch: around.epoch,
            height: self.height,
            parent: tip.digest,
            time: around.time,
            settled_through: around.settled_through,
            ended_before: around.ended_before,
            log_root: root(TreeKind::Log, self.entries.iter().map(encode).collect()),
            outcome_root: root(TreeKind::Outcomes, self.outcomes),
            outbox_root: outbox.root(),
            outbox_count: outbox.count(),
            history_root: history.root(),
            state_root: around.state.1,
            state_height: around.state.0,
        };
        let certificate = signer.certify(&header);
        let certificate = certificate.unwrap_or_else(|error| panic!("an own header is sound: {error}"));
        (Sealed { header, certificate, outbox }, self.entries)
    }
}

impl Sealed {
    /// Stages the block and moves the tip.
    pub(crate) fn stage<R: Read>(&self, entries: &[Entry], history: &mut History, staged: &mut Staged<'_, R>) -> Tip {
        let key = spaces::height_key(self.header.height);
        let tip = Tip { height: self.header.height, digest: self.header.digest(), time: self.header.time };
        staged.put_value(HEADERS, key, &(&self.header, &self.certificate));
        staged.put_value(ENTRIES, key, entries);
        staged.put_value(LEAVES, key, self.outbox.leaves());
        for appended in history.append(&tip.digest) {
            staged.put_value(HISTORY, appended.node.key(), &appended.digest);
        }
        staged.put_value(META, HISTORY_TIP, history);
        staged.put_value(META, TIP, &tip);
        tip
    }
}

/// What an outcome leaf says of a transaction, at the home of its sender.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OutcomeLeaf {
    /// The transaction's hash.
    pub transaction: B256,
    /// The attempt that committed it; none if this shard was the only participant.
    pub attempt: Option<AttemptId>,
    /// How it ended.
    pub status: evm::Status,
    /// Gas paid for.
    pub gas_used: u64,
    /// The digest of the whole outcome.
    pub outcome: Digest,
}

impl Sealed {
    /// The receipt of one of this block's leaves.
    ///
    /// # Panics
    /// If the place is not one that this block's draft gave out.
    pub(crate) fn receipt(&self, place: LeafPlace) -> proof::Receipt {
        let receipt = self.outbox.receipt(place.index, &self.header, &self.certificate);
        receipt.unwrap_or_else(|error| panic!("a draft gives out places of its own leaves: {error}"))
    }
}
