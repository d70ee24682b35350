//! The newest certified header of each shard that somebody has seen, and whether a shard said two things.
//!
//! ```text
//!   every certified header that is met --> newer than the newest: that is the newest now
//!                                      \-> another one of that height is remembered: evidence
//! ```
//!
//! Promise: the newest is never forgotten; of the others the last [`SIGHTINGS_PER_SHARD_COUNT_MAX`] by height are
//! remembered, so that a shard that says something else for one of their heights is caught at once.
//! Knows nothing of who asks for them, nor of disks.

use crate::{Certified, Equivocation};
use primitives::{Height, ShardId};
use std::collections::BTreeMap;

/// How many headers of one shard are remembered: some 600 bytes each with one validator.
pub const SIGHTINGS_PER_SHARD_COUNT_MAX: usize = 256;

/// What a certified header is to somebody who has seen others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// Nothing new.
    Known,
    /// The newest of its shard.
    Newest,
    /// The shard certified another one of that height.
    Contradiction(Box<Equivocation>),
}

/// What somebody has seen of each shard.
#[derive(Debug, Default)]
pub struct Sightings {
    shards: BTreeMap<ShardId, BTreeMap<Height, Certified>>,
}

impl Sightings {
    /// Notes a header that was checked.
    pub fn note(&mut self, certified: &Certified) -> Sighting {
        let seen = self.shards.entry(certified.header.shard).or_default();
        let height = certified.header.height;
        match seen.get(&height) {
            Some(known) if known.header == certified.header => return Sighting::Known,
            Some(known) => return Sighting::Contradiction(Box::new(Equivocation::between(known, certified))),
            None => {}
        }
        let is_newest = seen.last_key_value().is_none_or(|(newest, _)| *newest < height);
        seen.insert(height, certified.clone());
        if seen.len() > SIGHTINGS_PER_SHARD_COUNT_MAX {
            seen.pop_first();
        }
        if is_newest { Sighting::Newest } else { Sighting::Known }
    }

    /// The newest header of `shard` that was seen.
    pub fn newest(&self, shard: ShardId) -> Option<&Certified> {
        self.shards.get(&shard)?.last_key_value().map(|(_, certified)| certified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Header;
    use crate::sample::{self, Chain};
    use primitives::{Time, Verifier};

    fn certified(height: u64) -> Certified {
        Chain::new().certified(height).into()
    }

    #[test]
    fn the_newest_is_the_highest_whatever_the_order() {
        let mut sightings = Sightings::default();
        assert_eq!(sightings.note(&certified(4)), Sighting::Newest);
        assert_eq!(sightings.note(&certified(3)), Sighting::Known);
        assert_eq!(sightings.note(&certified(4)), Sighting::Known);
        assert_eq!(sightings.newest(sample::SHARD), Some(&certified(4)));
        assert_eq!(sightings.newest(ShardId(9)), None);
    }

    #[test]
    fn a_second_header_of_a_height_is_evidence_that_verifies() {
        let mut sightings = Sightings::default();
        sightings.note(&certified(3));
        sightings.note(&certified(5));
        let header = Header { time: Time(1), ..certified(3).header };
        let certificate = sample::certificate(&header, &[1, 2, 3]);
        let Sighting::Contradiction(evidence) = sightings.note(&Certified { header, certificate }) else {
            panic!("it contradicts what was seen")
        };
        assert!(sample::verifier().verify(*evidence).is_ok());
        assert_eq!(sightings.newest(sample::SHARD), Some(&certified(5)), "and changes nothing");
    }

    #[test]
    fn the_lowest_is_forgotten_at_the_bound() {
        let mut sightings = Sightings::default();
        let count = SIGHTINGS_PER_SHARD_COUNT_MAX as u64;
        let sound = certified(3);
        let at = |height: u64| {
            let header = Header { height: Height(height), ..sound.header.clone() };
            Certified { header, certificate: sound.certificate.clone() }
        };
        (1..=count + 1).for_each(|height| {
            sightings.note(&at(height));
        });
        let seen = &sightings.shards[&sample::SHARD];
        assert_eq!((seen.len() as u64, seen.first_key_value().map(|(height, _)| *height)), (count, Some(Height(2))));
    }
}
