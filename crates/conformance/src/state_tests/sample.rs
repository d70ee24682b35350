//! A fixed sample: of every folder of a corpus and every fork in it, some subtests, the same on every machine.

use crate::state_tests::subtest::SubtestName;
use alloy_primitives::keccak256;
use std::collections::{BTreeMap, BTreeSet};

/// Subtests that were drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample(BTreeSet<SubtestName>);

impl Sample {
    /// Draws up to `count` of `names` for each folder and fork, long ones excepted.
    pub fn draw(names: Vec<SubtestName>, count: usize) -> Self {
        let mut groups: BTreeMap<(String, String, String), BTreeMap<u64, SubtestName>> = BTreeMap::new();
        for name in names.into_iter().filter(|name| !name.is_long()) {
            let key = (name.file.corpus.clone(), name.file.folder.clone(), name.fork.clone());
            let group = groups.entry(key).or_default();
            group.insert(order(&name), name);
            if group.len() > count {
                group.pop_last();
            }
        }
        Self(groups.into_values().flat_map(BTreeMap::into_values).collect())
    }

    /// `count` of `names` for each corpus, over all its folders and forks, long ones excepted.
    pub fn few(names: Vec<SubtestName>, count: usize) -> Self {
        let mut corpora: BTreeMap<String, BTreeMap<u64, SubtestName>> = BTreeMap::new();
        for name in names.into_iter().filter(|name| !name.is_long()) {
            let group = corpora.entry(name.file.corpus.clone()).or_default();
            group.insert(order(&name), name);
            if group.len() > count {
                group.pop_last();
            }
        }
        Self(corpora.into_values().flat_map(BTreeMap::into_values).collect())
    }

    /// Whether it was drawn.
    pub fn has(&self, name: &SubtestName) -> bool {
        self.0.contains(name)
    }

    /// How many were drawn.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// A number that says nothing about the subtest.
fn order(name: &SubtestName) -> u64 {
    let hash = keccak256(name.to_string());
    hash[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_tests::source::FileName;

    fn names() -> Vec<SubtestName> {
        let name = |number: usize| SubtestName {
            file: FileName {
                corpus: "corpus".to_owned(),
                folder: format!("suite{}/folder", number % 5),
                file: format!("{number}.json"),
            },
            test: number.to_string(),
            fork: if number.is_multiple_of(3) { "Osaka".to_owned() } else { "Cancun".to_owned() },
            index: 0,
        };
        (0..300).map(name).collect()
    }

    #[test]
    fn every_folder_and_fork_is_in_a_sample() {
        let sample = Sample::draw(names(), 2);
        assert_eq!(sample.count(), 5 * 2 * 2);
        let groups: BTreeSet<_> = sample.0.iter().map(|name| (name.file.folder.clone(), name.fork.clone())).collect();
        assert_eq!(groups.len(), 10);
    }

    #[test]
    fn a_sample_is_the_same_whatever_the_order() {
        let mut reversed = names();
        reversed.reverse();
        assert_eq!(Sample::draw(reversed.clone(), 3), Sample::draw(names(), 3));
        assert_eq!(Sample::few(reversed, 20), Sample::few(names(), 20));
        assert_eq!(Sample::few(names(), 20).count(), 20);
    }

    #[test]
    fn what_takes_minutes_is_in_no_sample() {
        let mut names = names();
        let all = Sample::draw(names.clone(), 300).count();
        names.iter_mut().take(7).for_each(|name| name.test = "CALLBlake2f_MaxRounds".to_owned());
        assert_eq!((Sample::draw(names.clone(), 300).count(), Sample::few(names, 300).count()), (all - 7, all - 7));
    }

    #[test]
    fn a_larger_sample_has_all_of_a_smaller_one() {
        let (small, large) = (Sample::draw(names(), 2), Sample::draw(names(), 5));
        assert!(small.0.is_subset(&large.0));
    }
}
