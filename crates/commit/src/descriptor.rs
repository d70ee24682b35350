//! What an attempt is: everything its id binds, and nothing else.

use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{AttemptId, Digest, Domain, Epoch, NetworkId, ShardId, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// Most shards one attempt may name.
pub const PARTICIPANTS_COUNT_MAX: usize = 64;

/// Most bytes a payload may have: transactions, environment, witness and effects' digest together.
pub const PAYLOAD_BYTES_MAX: usize = 8 << 20;

static ATTEMPT: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 attempt"));

/// One try to commit one payload on exactly these participants.
///
/// R3: its id is a digest of all fields, and votes sign the id. A vote for one attempt says nothing about another number,
/// another deadline, fewer participants, other epochs or another network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Descriptor {
    /// The network; never zero.
    pub network: NetworkId,
    /// Every shard whose yes the commit needs, each with the epoch whose validators certify its vote (R9).
    pub participants: BTreeMap<ShardId, Epoch>,
    /// The participants where the fee is reserved; prepared first (R11, I15). Not empty.
    pub homes: BTreeSet<ShardId>,
    /// The digest of what all participants vote on, as the layer that understands the payload computes it. A participant
    /// that votes yes has checked it (R3, I3).
    pub payload: Digest,
    /// The try's number, from 1.
    pub number: u32,
    /// The first block time at which every prepare is a no (R5, R10).
    pub deadline: Time,
}

/// Why a descriptor describes no attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, BorshSerialize, BorshDeserialize)]
pub enum DescriptorError {
    /// Network zero.
    #[error("the network id is zero")]
    ZeroNetwork,
    /// No participant, or more than [`PARTICIPANTS_COUNT_MAX`].
    #[error("{actual} participants where 1 to {PARTICIPANTS_COUNT_MAX} are allowed")]
    ParticipantsCount {
        /// How many are named.
        actual: u32,
    },
    /// Epoch zero.
    #[error("shard {shard} is named with epoch zero")]
    ZeroEpoch {
        /// Whose.
        shard: ShardId,
    },
    /// Nobody reserves the fee.
    #[error("no home is named")]
    NoHome,
    /// A home that has no vote.
    #[error("home {shard} is not a participant")]
    HomeNotParticipant {
        /// Which.
        shard: ShardId,
    },
    /// A payload nobody hashed.
    #[error("the payload digest is zero")]
    ZeroPayload,
    /// Attempt number zero.
    #[error("the attempt number is zero")]
    ZeroNumber,
}

impl Descriptor {
    /// The id of this attempt (R3). One hash over all fields.
    pub fn id(&self) -> AttemptId {
        AttemptId(ATTEMPT.hash_of(self))
    }

    /// The epoch that certifies the vote of `shard`, if it is a participant.
    pub fn epoch(&self, shard: ShardId) -> Option<Epoch> {
        self.participants.get(&shard).copied()
    }

    /// The only participant that is no home, if there is just one: it is asked last and is shown every other's yes, so its own
    /// yes is the decision (R1), and it commits in the batch of that vote. Known as *last agent* in the literature.
    pub fn last_agent(&self) -> Option<ShardId> {
        let mut rest = self.participants.keys().filter(|shard| !self.homes.contains(shard));
        rest.next().copied().filter(|_| rest.next().is_none())
    }

    /// Whether these fields describe an attempt at all; who may vote on it is [`crate::Participant::admit`].
    pub fn check(&self) -> Result<(), DescriptorError> {
        if self.network.0 == 0 {
            return Err(DescriptorError::ZeroNetwork);
        }
        let count = self.participants.len();
        if count == 0 || count > PARTICIPANTS_COUNT_MAX {
            return Err(DescriptorError::ParticipantsCount { actual: u32::try_from(count).unwrap_or(u32::MAX) });
        }
        if let Some((shard, _)) = self.participants.iter().find(|(_, epoch)| epoch.0 == 0) {
            return Err(DescriptorError::ZeroEpoch { shard: *shard });
        }
        if self.homes.is_empty() {
            return Err(DescriptorError::NoHome);
        }
        if let Some(shard) = self.homes.iter().find(|home| !self.participants.contains_key(home)) {
            return Err(DescriptorError::HomeNotParticipant { shard: *shard });
        }
        if self.payload.is_zero() {
            return Err(DescriptorError::ZeroPayload);
        }
        if self.number == 0 {
            return Err(DescriptorError::ZeroNumber);
        }
        Ok(())
    }
}
