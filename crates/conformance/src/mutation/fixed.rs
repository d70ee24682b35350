//! Lies about codes that never change: taken for fixed, so that their owners have no say, on no proof or a false one.

use crate::mutation::claim::Claim;
use crate::mutation::kind::{Kind, Proof, Told};
use crate::mutation::mutations::{Mutated, Teller};
use alloy_primitives::{Address, B256, keccak256};
use evm::{AccountState, Data, Executed, Prepared};
use std::collections::BTreeMap;

/// What is said to prove a code.
const NO_PROOF: &[u8] = b"believe me";

/// What a lender's code is said to be: it stops at once.
const OTHER_CODE: [u8; 1] = [0];

/// Into how many parts a proof is cut; the first byte of each is changed, and the last of all.
const PARTS_COUNT: usize = 5;

/// Every way to lie about what never changes, where there is such a thing: a code that is lent and nothing else.
pub(crate) fn mutations(teller: &Teller<'_>) -> Vec<Mutated> {
    let mut mutated: Vec<Mutated> = excess(teller).into_iter().collect();
    mutated.extend(altered(teller));
    let witness = &teller.honest.prepared.witness;
    let accounts = witness.accounts.iter();
    let contracts = accounts.filter_map(|(address, account)| Some((*address, account.filter(AccountState::has_code)?)));
    let contracts = contracts.map(|(address, account)| (address, account.code_hash));
    let codes: BTreeMap<Address, B256> = contracts.chain(witness.fixed.clone()).collect();
    let payload = &teller.honest.prepared.payload;
    let Some(executed) = teller.scene.run(payload, &teller.scene.state, &codes) else { return mutated };
    let Some(lender) = executed.witness.fixed.keys().next().copied() else { return mutated };
    mutated.push(told(teller, Proof::Missing, executed.clone()));
    mutated.push(told(teller, Proof::Forged, executed));
    mutated.extend(other_code(teller, lender, codes));
    mutated
}

/// The claim of a run that took codes for fixed, which nothing proves.
fn told(teller: &Teller<'_>, proof: Proof, executed: Executed) -> Mutated {
    let fixed = executed.witness.fixed.keys();
    let proofs = match proof {
        Proof::Forged | Proof::OtherCode => fixed.map(|address| (*address, Data::from(NO_PROOF.to_vec()))).collect(),
        _ => BTreeMap::new(),
    };
    let payload = teller.honest.prepared.payload.clone();
    let prepared = Prepared { payload: payload.clone(), witness: executed.witness.clone(), proofs };
    let claim = Claim { bytes: primitives::encode(&prepared), ..teller.following(payload, executed) };
    Mutated::new(Kind::Proof(proof), Told::Consistently, claim)
}

/// A world in which the lender has another code, and its owner is not asked.
fn other_code(teller: &Teller<'_>, lender: Address, mut codes: BTreeMap<Address, B256>) -> Option<Mutated> {
    let mut state = teller.scene.state.clone();
    let other = keccak256(OTHER_CODE);
    state.add_code(other, &Data::from(OTHER_CODE.to_vec())).ok()?;
    state.accounts.get_mut(&lender)?.code_hash = other;
    codes.insert(lender, other);
    let executed = teller.scene.run(&teller.honest.prepared.payload, &state, &codes);
    let executed = executed.filter(|executed| executed.witness.fixed.contains_key(&lender))?;
    Some(told(teller, Proof::OtherCode, executed))
}

/// A proof of something that the run has an owner's vote for.
fn excess(teller: &Teller<'_>) -> Option<Mutated> {
    let mut prepared = teller.honest.prepared.clone();
    let address = *prepared.witness.accounts.keys().next()?;
    prepared.proofs.insert(address, NO_PROOF.to_vec().into());
    let claim = teller.honest.claim_of(teller.honest.descriptor.clone(), &prepared);
    Some(Mutated::new(Kind::Proof(Proof::Excess), Told::Alone, claim))
}

/// Genuine proofs that the honest prepare carries, with one byte changed, or in each other's place.
fn altered(teller: &Teller<'_>) -> Vec<Mutated> {
    let honest = teller.honest;
    let Some((address, proof)) = honest.prepared.proofs.first_key_value() else { return Vec::new() };
    let mut altered = Vec::new();
    let mut push = |kind, proof: Vec<u8>| {
        let mut prepared = honest.prepared.clone();
        prepared.proofs.insert(*address, proof.into());
        let claim = honest.claim_of(honest.descriptor.clone(), &prepared);
        altered.push(Mutated::new(Kind::Proof(kind), Told::Alone, claim));
    };
    for part in 0..=PARTS_COUNT {
        let mut bytes = proof.0.to_vec();
        let place = bytes.len() * part / PARTS_COUNT;
        if let Some(byte) = bytes.get_mut(place.min(proof.0.len() - 1)) {
            *byte ^= 1;
        }
        push(Proof::Flipped, bytes);
    }
    if let Some((_, of_another)) = honest.genuine.iter().find(|(other, _)| *other != address) {
        push(Proof::OfAnother, of_another.0.to_vec());
    }
    altered
}
