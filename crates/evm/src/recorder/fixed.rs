//! Accounts that only lend their code, where nothing can ever change it: their owners have nothing to vouch for.
//!
//!   eager run:   account read ── only its code used, code lasting, owner no participant otherwise, proof at hand ──> fixed
//!   strict run:  told a code ──> stands for the account ── anything else used, or the code not lasting ──> Missing account
//!
//! Promise: a strict run that ends has used of its fixed accounts nothing but codes that were there to stay, if they were
//! there at all; that they were is for proofs to say.
//! Source: EIP-6780, EIP-7702, EIP-3541; `docs/decisions/0012-fixed-code.md`.

use super::{Curiosity, Missing, Recorder};
use crate::{Lookup, StateKey};
use alloy_primitives::{Address, B256};
use primitives::ShardId;
use revm::bytecode::eip7702::EIP7702_MAGIC_BYTES;
use std::collections::{BTreeMap, BTreeSet};

impl Recorder<'_> {
    /// Notes that nonce, balance or storage of the account matter, and not its code alone.
    pub(crate) fn uses(&mut self, address: Address) {
        self.used.insert(address);
        if self.fixed.contains_key(&address) || self.told_code(address).is_some() {
            self.missing.insert(Missing::Key(StateKey::Account(address)));
        }
    }

    /// The code that a replay is told of instead of the account, if the account may lend it at all.
    pub(super) fn told_code(&self, address: Address) -> Option<B256> {
        match (self.curiosity, self.view.fixed_code(address)) {
            (Curiosity::Strict, Lookup::Known(hash)) => hash.filter(|_| self.may_lend(address)),
            _ => None,
        }
    }

    /// Takes accounts that only lent their code out of what was read.
    ///
    /// An eager run does so for the owners that are no participants otherwise, and names the proofs that it lacks; a strict
    /// one checks that it was told of no more than the rules allow, and names the accounts that it lacks.
    pub(crate) fn fix(&mut self) {
        match self.curiosity {
            Curiosity::Strict => {
                let loose = self.fixed.iter().filter(|(_, hash)| !self.is_lasting(**hash));
                let loose: Vec<_> = loose.map(|(address, _)| Missing::Key(StateKey::Account(*address))).collect();
                self.missing.extend(loose);
            }
            Curiosity::Eager => {
                for lent in self.idle_lenders() {
                    self.fix_all(lent);
                }
            }
        }
    }

    /// The accounts that only lent their code, for each shard that owns nothing else of what was read or written.
    fn idle_lenders(&self) -> Vec<Vec<(Address, B256)>> {
        let mut lenders: BTreeMap<ShardId, Vec<(Address, B256)>> = BTreeMap::new();
        let fees = self.witness.fees.keys().chain(self.draft.credits.keys());
        let mut needed: BTreeSet<ShardId> = fees.map(|key| key.shard).collect();
        for (address, shard) in &self.owners {
            match self.lent_code(*address) {
                Some(hash) => lenders.entry(*shard).or_default().push((*address, hash)),
                None => drop(needed.insert(*shard)),
            }
        }
        lenders.into_iter().filter(|(shard, _)| !needed.contains(shard)).map(|(_, lent)| lent).collect()
    }

    /// Takes all of one owner's accounts out of what was read, or none: for one it would take part as well as for all.
    fn fix_all(&mut self, lent: Vec<(Address, B256)>) {
        let proofs: Vec<_> =
            lent.iter().map(|(address, hash)| (*address, *hash, self.view.fixed_code(*address))).collect();
        if proofs.iter().any(|(_, hash, known)| matches!(known, Lookup::Known(proven) if *proven != Some(*hash))) {
            return;
        }
        let unknown = proofs.iter().filter(|(_, _, known)| *known == Lookup::Unknown);
        self.missing.extend(unknown.map(|(address, _, _)| Missing::CodeProof(*address)));
        for (address, hash) in lent {
            self.witness.accounts.remove(&address);
            self.owners.remove(&address);
            self.fixed.insert(address, hash);
        }
    }

    /// The code of an account that was used for nothing else, if that code never changes.
    fn lent_code(&self, address: Address) -> Option<B256> {
        let account = self.witness.accounts.get(&address).copied().flatten()?;
        let lends = self.may_lend(address) && !self.used.contains(&address) && self.is_lasting(account.code_hash);
        lends.then_some(account.code_hash)
    }

    /// Whether code that an account had before this payload stays for ever.
    ///
    /// From Cancun on SELFDESTRUCT removes only what the same transaction created (EIP-6780), and a network never goes back
    /// behind Cancun. Not under Amsterdam, whose instructions nothing has tried here yet. Not of the beneficiary, whose account
    /// is more than its key, and not of a mailbox, whose logs are its owner's business.
    fn may_lend(&self, address: Address) -> bool {
        let is_plain = address != self.block.beneficiary && self.placement.mailbox_shard(address).is_none();
        is_plain && self.params.spec.keeps_contracts() && self.block.spec.keeps_contracts()
    }

    /// Whether the code was read and is no delegation, which its account's owner may change (EIP-7702).
    fn is_lasting(&self, hash: B256) -> bool {
        self.witness.codes.get(&hash).is_some_and(|code| !code.0.is_empty() && !code.0.starts_with(EIP7702_MAGIC_BYTES))
    }
}
