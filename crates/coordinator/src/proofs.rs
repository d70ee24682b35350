//! Proofs that codes are where they are, by address: with one, whoever only lends its code is no participant.
//!
//! A proof is good for ever, so it is asked for once; word that there is none yet is taken for an answer only for a while.
//! What is in here was checked by the host, and is checked again by every participant.

use crate::input::ProvenCode;
use crate::settings::{CODE_PROOFS_COUNT_MAX, UNPROVEN_MAX};
use alloy_primitives::{Address, B256};
use evm::{Data, Lookup};
use primitives::Time;
use std::collections::{BTreeMap, BTreeSet};

/// A bounded memory of proofs; one more than [`CODE_PROOFS_COUNT_MAX`] empties it.
#[derive(Debug, Default)]
pub(crate) struct CodeProofs {
    /// `None` where the owner has none to give.
    known: BTreeMap<Address, Option<ProvenCode>>,
    /// When to ask again.
    unproven: BTreeSet<(Time, Address)>,
}

impl CodeProofs {
    /// Learns an owner's answer.
    pub(crate) fn learn(&mut self, address: Address, proof: Option<ProvenCode>, now: Time) {
        if self.known.len() >= CODE_PROOFS_COUNT_MAX {
            *self = Self::default();
        }
        if matches!(self.known.get(&address), Some(Some(_))) {
            return; // What was proven once is proven, and the older proof serves more slots.
        }
        if proof.is_none() {
            self.unproven.insert((now.after(UNPROVEN_MAX), address));
        }
        self.known.insert(address, proof);
    }

    /// Forgets that there was no proof, where that was long ago.
    pub(crate) fn age(&mut self, now: Time) {
        while let Some((due, address)) = self.unproven.first().copied().filter(|(due, _)| *due <= now) {
            self.unproven.remove(&(due, address));
            if self.known.get(&address) == Some(&None) {
                self.known.remove(&address);
            }
        }
    }

    /// The code that is proven to have been at `address` before `end`.
    pub(crate) fn hash(&self, address: Address, end: Time) -> Lookup<Option<B256>> {
        let early = |proof: &ProvenCode| (proof.since < end).then_some(proof.hash);
        self.known.get(&address).map_or(Lookup::Unknown, |proof| Lookup::Known(proof.as_ref().and_then(early)))
    }

    /// The proof of it.
    pub(crate) fn proof(&self, address: Address) -> Option<Data> {
        self.known.get(&address)?.as_ref().map(|proof| proof.proof.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proven() -> ProvenCode {
        ProvenCode { hash: B256::repeat_byte(7), since: Time(5), proof: Data::default() }
    }

    #[test]
    fn a_proof_is_kept_and_its_absence_is_asked_about_again() {
        let (mut proofs, [there, not_yet]) = (CodeProofs::default(), [1, 2].map(Address::repeat_byte));
        proofs.learn(there, Some(proven()), Time(0));
        proofs.learn(there, None, Time(0));
        proofs.learn(not_yet, None, Time(0));
        assert_eq!(proofs.hash(not_yet, Time(9)), Lookup::Known(None));
        proofs.age(Time(UNPROVEN_MAX.0));
        assert_eq!(proofs.hash(not_yet, Time(9)), Lookup::Unknown);
        assert_eq!(proofs.hash(there, Time(6)), Lookup::Known(Some(B256::repeat_byte(7))));
        assert_eq!(proofs.hash(there, Time(5)), Lookup::Known(None), "that slot was over before the code was there");
        proofs.learn(not_yet, Some(proven()), Time(UNPROVEN_MAX.0));
        proofs.age(Time(u64::MAX));
        assert_eq!(proofs.proof(not_yet), Some(Data::default()));
    }

    #[test]
    fn the_memory_has_a_bound() {
        let mut proofs = CodeProofs::default();
        for number in 0..=CODE_PROOFS_COUNT_MAX as u64 {
            proofs.learn(Address::left_padding_from(&number.to_be_bytes()), Some(proven()), Time(0));
        }
        assert_eq!(proofs.known.len(), 1);
    }
}
