//! Which shard owns what: the versioned map from address to shard.

use crate::StateKey;
use alloy_primitives::{Address, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::ShardId;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result as IoResult};

/// The most shards a network may have.
pub const SHARDS_COUNT_MAX: u32 = 1 << 12;

/// What a mailbox's address starts with; the shard's number follows in four bytes.
const MAILBOX_PREFIX: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xd0, 0x7e];

/// Why a map is not a placement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// No shard, or too many.
    #[error("{actual} shards where 1 to {SHARDS_COUNT_MAX} are allowed")]
    ShardsCount {
        /// How many were given.
        actual: u32,
    },
    /// An address is pinned to a shard that does not exist.
    #[error("{address} is pinned to shard {shard}, but there are only {shards_count} shards")]
    UnknownShard {
        /// The pinned address.
        address: Address,
        /// Where it is pinned.
        shard: ShardId,
        /// How many shards there are.
        shards_count: u32,
    },
}

/// The address of the mailbox contract of `shard`, which this very shard owns.
pub fn mailbox_address(shard: ShardId) -> Address {
    let mut bytes = [0; 20];
    bytes[..16].copy_from_slice(&MAILBOX_PREFIX);
    bytes[16..].copy_from_slice(&shard.0.to_be_bytes());
    Address::new(bytes)
}

/// A version of the map from address to shard: pinned addresses first, mailboxes on their own shard, the rest by hash.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct Placement {
    version: u64,
    shards_count: u32,
    pinned: BTreeMap<Address, ShardId>,
}

impl Placement {
    /// The placement over shards 0 to `shards_count` - 1 with these addresses pinned.
    pub fn new(version: u64, shards_count: u32, pinned: BTreeMap<Address, ShardId>) -> Result<Self, PlacementError> {
        if shards_count == 0 || shards_count > SHARDS_COUNT_MAX {
            return Err(PlacementError::ShardsCount { actual: shards_count });
        }
        match pinned.iter().find(|(_, shard)| shard.0 >= shards_count) {
            Some((address, shard)) => {
                Err(PlacementError::UnknownShard { address: *address, shard: *shard, shards_count })
            }
            None => Ok(Self { version, shards_count, pinned }),
        }
    }

    /// Which version of the map this is.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many shards there are.
    pub fn shards_count(&self) -> u32 {
        self.shards_count
    }

    /// The addresses placed by hand.
    pub fn pinned(&self) -> &BTreeMap<Address, ShardId> {
        &self.pinned
    }

    /// Every shard, in order.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shards_count).map(ShardId)
    }

    /// The shard that owns the account at `address` and its storage.
    pub fn shard_of(&self, address: Address) -> ShardId {
        if self.shards_count == 1 {
            return ShardId(0);
        }
        match self.pinned.get(&address).copied().or_else(|| self.mailbox_shard(address)) {
            Some(shard) => shard,
            None => self.hashed(address),
        }
    }

    /// The shard that owns the value of `key`.
    pub fn owner(&self, key: StateKey) -> ShardId {
        match key {
            StateKey::Account(address) | StateKey::Slot(address, _) => self.shard_of(address),
            StateKey::Fees(fees) => fees.shard,
        }
    }

    /// The shard whose mailbox lives at `address`, if one does.
    pub fn mailbox_shard(&self, address: Address) -> Option<ShardId> {
        let number = u32::from_be_bytes(address[16..].try_into().ok()?);
        (address[..16] == MAILBOX_PREFIX && number < self.shards_count).then_some(ShardId(number))
    }

    fn hashed(&self, address: Address) -> ShardId {
        let hash = keccak256(address);
        let head = hash[..8].iter().fold(0_u64, |head, byte| head << 8 | u64::from(*byte));
        ShardId((head % u64::from(self.shards_count)) as u32)
    }
}

impl BorshDeserialize for Placement {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let (version, shards_count, pinned) = BorshDeserialize::deserialize_reader(reader)?;
        Self::new(version, shards_count, pinned).map_err(|error| Error::new(ErrorKind::InvalidData, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::address;

    fn placement(pinned: BTreeMap<Address, ShardId>) -> Placement {
        Placement::new(1, 4, pinned).expect("four shards")
    }

    #[test]
    fn a_pinned_address_is_where_it_was_put() {
        let pinned = address!("00000000000000000000000000000000000000aa");
        for shard in 0..4 {
            assert_eq!(placement([(pinned, ShardId(shard))].into()).shard_of(pinned), ShardId(shard));
        }
    }

    #[test]
    fn a_mailbox_lives_on_its_own_shard() {
        let placement = placement(BTreeMap::new());
        assert_eq!(mailbox_address(ShardId(3)), address!("0000000000000000000000000000d07e00000003"));
        for shard in placement.shards() {
            assert_eq!(placement.shard_of(mailbox_address(shard)), shard);
            assert_eq!(placement.mailbox_shard(mailbox_address(shard)), Some(shard));
        }
        assert_eq!(placement.mailbox_shard(mailbox_address(ShardId(4))), None);
    }

    #[test]
    fn the_rest_is_spread_by_hash() {
        let placement = placement(BTreeMap::new());
        let mut counts = BTreeMap::new();
        for byte in 0..=255 {
            *counts.entry(placement.shard_of(Address::repeat_byte(byte))).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 4);
        assert!(counts.values().all(|count| (40..90).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_pin_to_an_unknown_shard_is_refused_in_bytes_too() {
        let pinned = BTreeMap::from([(Address::ZERO, ShardId(4))]);
        assert!(matches!(Placement::new(1, 4, pinned.clone()), Err(PlacementError::UnknownShard { .. })));
        assert!(primitives::decode::<Placement>(&primitives::encode(&(1_u64, 4_u32, pinned)), 1024).is_err());
        assert!(primitives::decode::<Placement>(&primitives::encode(&placement(BTreeMap::new())), 1024).is_ok());
    }
}
