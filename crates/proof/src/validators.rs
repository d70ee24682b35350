//! Who signs for a shard in an epoch, and how many of them are enough.

use crate::PublicKey;
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Digest, Epoch};
use std::io;

/// How many validators a set may have.
pub const VALIDATORS_COUNT_MAX: usize = 256;

/// Why keys are not a validator set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValidatorSetError {
    /// Epochs start at 1.
    #[error("epoch 0 is never valid")]
    EpochZero,
    /// A set needs a key.
    #[error("a validator set has at least one key")]
    Empty,
    /// More than [`VALIDATORS_COUNT_MAX`].
    #[error("{actual} validators where at most {max} are allowed")]
    TooMany {
        /// How many keys came.
        actual: usize,
        /// How many are allowed.
        max: usize,
    },
    /// One key twice would count twice.
    #[error("validator {key} appears twice")]
    Duplicate {
        /// Which key, as text.
        key: String,
    },
}

/// The validators of one shard in one epoch: distinct, in ascending order of their bytes, each with one voice.
///
/// Bound to a genesis, what they certify is worth nothing in another life of the network: one that began again, under the same
/// id and keys, from something else.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct ValidatorSet {
    epoch: Epoch,
    keys: Vec<PublicKey>,
    /// The digest of what the network agreed on when it began; none for a set that is bound to no network's beginning.
    genesis: Option<Digest>,
}

impl ValidatorSet {
    /// The set of `keys` in `epoch`; their order does not matter.
    pub fn new(epoch: Epoch, mut keys: Vec<PublicKey>) -> Result<Self, ValidatorSetError> {
        if epoch == Epoch(0) {
            return Err(ValidatorSetError::EpochZero);
        }
        if keys.is_empty() {
            return Err(ValidatorSetError::Empty);
        }
        if keys.len() > VALIDATORS_COUNT_MAX {
            return Err(ValidatorSetError::TooMany { actual: keys.len(), max: VALIDATORS_COUNT_MAX });
        }
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(ValidatorSetError::Duplicate { key: pair[0].to_string() }),
            None => Ok(Self { epoch, keys, genesis: None }),
        }
    }

    /// The same validators, of the life of the network that began with `genesis`.
    #[must_use]
    pub fn bound_to(self, genesis: Digest) -> Self {
        Self { genesis: Some(genesis), ..self }
    }

    /// What the life of the network began with that this set is bound to.
    pub fn genesis(&self) -> Option<&Digest> {
        self.genesis.as_ref()
    }

    /// The epoch this set signs in.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The keys, in ascending order: a key's place here is its bit in a certificate.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The place of `key`, if it is a member.
    pub fn place_of(&self, key: &PublicKey) -> Option<usize> {
        self.keys.binary_search(key).ok()
    }

    /// How many distinct signers are strictly more than two thirds of the set.
    pub fn quorum(&self) -> usize {
        self.keys.len() * 2 / 3 + 1
    }
}

impl BorshDeserialize for ValidatorSet {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let (epoch, keys, genesis) = <(Epoch, Vec<PublicKey>, Option<Digest>)>::deserialize_reader(reader)?;
        let set = Self::new(epoch, keys.clone()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let set = Self { genesis, ..set };
        if set.keys == keys {
            Ok(set)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "validator keys are not in ascending order"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    fn keys(count: u8) -> Vec<PublicKey> {
        (1..=count).map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap().public()).collect()
    }

    #[test]
    fn a_quorum_is_strictly_more_than_two_thirds() {
        for (count, quorum) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (9, 7), (10, 7)] {
            let set = ValidatorSet::new(Epoch(1), keys(count)).unwrap();
            assert_eq!(set.quorum(), quorum, "of {count}");
            assert!(quorum * 3 > usize::from(count) * 2 && (quorum - 1) * 3 <= usize::from(count) * 2);
        }
    }

    #[test]
    fn an_empty_set_is_refused() {
        assert_eq!(ValidatorSet::new(Epoch(1), vec![]), Err(ValidatorSetError::Empty));
    }

    #[test]
    fn a_set_of_epoch_zero_is_refused() {
        assert_eq!(ValidatorSet::new(Epoch(0), keys(1)), Err(ValidatorSetError::EpochZero));
    }

    #[test]
    fn a_key_that_appears_twice_is_refused() {
        let key = keys(1)[0];
        assert_eq!(
            ValidatorSet::new(Epoch(1), vec![key, key]),
            Err(ValidatorSetError::Duplicate { key: key.to_string() })
        );
    }

    #[test]
    fn too_many_validators_are_refused() {
        let many = vec![keys(1)[0]; VALIDATORS_COUNT_MAX + 1];
        assert!(matches!(ValidatorSet::new(Epoch(1), many), Err(ValidatorSetError::TooMany { .. })));
    }

    #[test]
    fn the_order_of_keys_does_not_matter() {
        let mut reversed = keys(4);
        reversed.reverse();
        assert_eq!(ValidatorSet::new(Epoch(1), keys(4)), ValidatorSet::new(Epoch(1), reversed));
    }

    #[test]
    fn unsorted_bytes_of_a_set_are_refused() {
        let set = ValidatorSet::new(Epoch(1), keys(3)).unwrap();
        assert_eq!(borsh::from_slice::<ValidatorSet>(&borsh::to_vec(&set).unwrap()).unwrap(), set);
        let mut reversed = set.keys.clone();
        reversed.reverse();
        assert!(
            borsh::from_slice::<ValidatorSet>(&borsh::to_vec(&(set.epoch, reversed, None::<Digest>)).unwrap()).is_err()
        );
    }
}
