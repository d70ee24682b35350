//! What attestors said of each block number, so that two words which contradict each other are seen.
//!
//! Promise: bounded by the number of attestors; whoever says much forgets only what it said itself.

use proof::{Attestation, PublicKey};
use std::collections::BTreeMap;

/// Words that are remembered of one attestor, those on the lowest numbers forgotten first; some 300 bytes each.
const WORDS_PER_ATTESTOR_COUNT_MAX: usize = 4_096;

/// By attestor and block number.
#[derive(Debug, Default)]
pub(crate) struct Spoken(BTreeMap<PublicKey, BTreeMap<u64, Attestation>>);

impl Spoken {
    /// Remembers `word`; gives an earlier one on the same number, of whomever, that says something else.
    pub(crate) fn note(&mut self, word: &Attestation) -> Option<Attestation> {
        let number = word.block.number;
        let mut earlier = self.0.values().filter_map(|words| words.get(&number));
        let against = earlier.find(|earlier| earlier.block != word.block).cloned();
        let own = self.0.entry(word.attestor).or_default();
        own.insert(number, word.clone());
        if own.len() > WORDS_PER_ATTESTOR_COUNT_MAX {
            own.pop_first();
        }
        against
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;
    use primitives::{Digest, Time};
    use proof::{ForeignBlock, SecretKey};

    fn word(seed: u8, number: u64, hash: u8) -> Attestation {
        let block = ForeignBlock {
            route: Digest::new([1; 32]),
            number,
            hash: B256::repeat_byte(hash),
            time: Time(1),
            count: 0,
            root: Digest::new([0; 32]),
        };
        Attestation::sign(block, &SecretKey::from_bytes(&[seed; 32]).unwrap())
    }

    #[test]
    fn a_contradiction_is_seen_whoever_spoke_first() {
        for (first, second) in [(1, 2), (2, 1), (1, 1)] {
            let mut spoken = Spoken::default();
            assert_eq!(spoken.note(&word(first, 7, 0xaa)), None);
            assert_eq!(spoken.note(&word(second, 8, 0xbb)), None);
            assert_eq!(spoken.note(&word(second, 7, 0xbb)), Some(word(first, 7, 0xaa)));
        }
    }

    #[test]
    fn whoever_says_much_forgets_only_what_it_said_itself() {
        let mut spoken = Spoken::default();
        spoken.note(&word(1, 7, 0xaa));
        let said = word(2, 0, 0xbb);
        for number in 8..8 + WORDS_PER_ATTESTOR_COUNT_MAX as u64 + 10 {
            let mut said = said.clone();
            said.block.number = number;
            spoken.note(&said);
        }
        assert_eq!(spoken.0[&said.attestor].len(), WORDS_PER_ATTESTOR_COUNT_MAX);
        assert_eq!(spoken.note(&word(3, 7, 0xcc)), Some(word(1, 7, 0xaa)));
    }
}
