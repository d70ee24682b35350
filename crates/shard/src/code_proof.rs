//! Proof that a code is at an address: what a participant asks for instead of the owner's vote, where code never changes.
//!
//!   code hash ── in account ── path ──> state root of an earlier block ── in header ── certificate of the owner's validators
//!
//! A code that was there once is there for ever ([`evm::Witness::fixed`]), so a proof does not grow old, and a proof by any
//! block that the payload's slot had seen will do: who deploys runs at a slot that has begun, so nobody goes by a code before
//! the slot of its deployment (I20). That the code is no delegation, and that the fork is one whose rules keep it, is for the replay to see.
//! One that is too new for the state root, which lags, cannot be proven yet: its owner takes part like any other.
//!
//! Promise (I3): what is believed of a code is what the validators of the address's own shard certified.
//! Knows nothing of transactions.  Source: `docs/decisions/0012-fixed-code.md`.

use crate::queries;
use crate::state_tree::{self, StateProof, StateTreeError};
use alloy_primitives::{Address, B256};
use borsh::{BorshDeserialize, BorshSerialize};
use evm::{AccountState, Data, Placement, StateKey};
use primitives::{DecodeError, Digest, Domain, Read, ShardId, Time, Verifier, decode, encode};
use proof::{Certificate, Header, ReceiptError, ReceiptVerifier};
use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Most bytes a proof of a code may have: header, a large set's certificate, and a path.
pub const CODE_PROOF_BYTES_MAX: usize = 64 * 1024;

/// How many checked proofs are remembered: 40 bytes each. One more empties the memory.
pub const CODE_PROOFS_CHECKED_COUNT_MAX: usize = 65_536;

static CHECKED: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 checked code proof"));

/// Why a code is not believed to be where it is said to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeProofError {
    /// The witness says that an account lends its code, and there is no proof that it has it.
    #[error("no proof of the code of {address}")]
    Missing {
        /// Whose code.
        address: Address,
    },
    /// A proof of a code that the witness does not take for fixed.
    #[error("a proof of the code of {address}, which nothing rests on")]
    Excess {
        /// Whose code.
        address: Address,
    },
    /// The bytes are no proof.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A shard speaks for another.
    #[error("shard {said} says what code {address} of shard {owner} has")]
    Shard {
        /// Whose code.
        address: Address,
        /// Whose header it is.
        said: ShardId,
        /// Who owns the address.
        owner: ShardId,
    },
    /// The account is not in the state that the header is of.
    #[error(transparent)]
    State(#[from] StateTreeError),
    /// The code is proven to have been there when the payload's slot was over: it may be younger than the payload (R13).
    #[error("the code of {address} is proven to be there since {since}, after the payload's slot, which ends at {end}")]
    TooNew {
        /// Whose code.
        address: Address,
        /// The header's time.
        since: Time,
        /// When the payload's slot is over.
        end: Time,
    },
    /// The header is not believed.
    #[error(transparent)]
    Header(#[from] ReceiptError),
    /// It proves another code: that of another account, or a state before this one was there.
    #[error("{address} is proven to have code {actual}, not {expected}")]
    OtherCode {
        /// Whose code.
        address: Address,
        /// What the witness says.
        expected: B256,
        /// What is proven.
        actual: B256,
    },
}

/// The claim that an account was as it says after an earlier block of its shard.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CodeProof {
    /// A header of the owner, with the root of its state.
    pub header: Header,
    /// The signatures over it.
    pub certificate: Certificate,
    /// The account, code hash included.
    pub account: AccountState,
    /// Its path.
    pub proof: StateProof,
}

impl CodeProof {
    /// The canonical bytes, as a prepare carries them.
    pub fn to_data(&self) -> Data {
        encode(self).into()
    }
}

/// The proof of the code at `address` by the newest header; `None` if there is none yet: no block, no account, no code.
///
/// # Errors
/// [`StateTreeError`] if the tree cannot be read.
pub fn prove_code(read: &impl Read, address: Address) -> Result<Option<CodeProof>, StateTreeError> {
    let Some(proven) = queries::prove_state(read, &[StateKey::Account(address)])? else { return Ok(None) };
    let queries::ProvenState { header, certificate, values } = proven;
    let value = values.into_iter().next().and_then(|value| Some((value.value?, value.proof)));
    Ok(value.and_then(|(value, proof)| {
        let account = decode(&value, value.len()).ok().filter(AccountState::has_code)?;
        Some(CodeProof { header, certificate, account, proof })
    }))
}

/// A code that is at an address for ever, if it is one that can never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeFact {
    /// Where.
    pub address: Address,
    /// keccak256 of the code.
    pub hash: B256,
    /// Since when at the latest: the header's time. No slot that was over before then saw the code there.
    pub since: Time,
}

/// Checks proofs of codes by one network's placement and validator sets.
#[derive(Debug, Clone, Copy)]
pub struct CodeVerifier<'a> {
    receipts: &'a ReceiptVerifier,
    placement: &'a Placement,
}

impl<'a> CodeVerifier<'a> {
    /// Over the validators that `receipts` knows.
    pub fn new(receipts: &'a ReceiptVerifier, placement: &'a Placement) -> Self {
        Self { receipts, placement }
    }
}

impl Verifier<(Address, CodeProof)> for CodeVerifier<'_> {
    type Fact = CodeFact;
    type Error = CodeProofError;

    fn verify(&self, (address, proof): (Address, CodeProof)) -> Result<CodeFact, CodeProofError> {
        let CodeProof { header, certificate, account, proof } = proof;
        let (said, owner) = (header.shard, self.placement.shard_of(address));
        if said != owner {
            return Err(CodeProofError::Shard { address, said, owner });
        }
        // Cheap first: a path costs less than a signature.
        state_tree::verify(header.state_root, &StateKey::Account(address), Some(&encode(&account)), &proof)?;
        let since = header.time;
        self.receipts.verify((header, certificate))?;
        Ok(CodeFact { address, hash: account.code_hash, since })
    }
}

/// Proofs that were checked before. Remembers exact bytes, so that what is in it never changes a result.
#[derive(Debug, Default)]
pub(crate) struct CheckedProofs(Mutex<BTreeMap<Digest, Time>>);

impl CheckedProofs {
    /// Checks that each of `fixed` is proven to have been there before `end`, when the payload's slot is over, and that nothing
    /// else is proven.
    pub(crate) fn check(
        &self,
        verifier: CodeVerifier<'_>,
        fixed: &BTreeMap<Address, B256>,
        proofs: &BTreeMap<Address, Data>,
        end: Time,
    ) -> Result<(), CodeProofError> {
        if let Some(address) = proofs.keys().find(|address| !fixed.contains_key(*address)) {
            return Err(CodeProofError::Excess { address: *address });
        }
        for (address, expected) in fixed {
            let bytes = proofs.get(address).ok_or(CodeProofError::Missing { address: *address })?;
            let since = self.check_one(verifier, *address, *expected, bytes)?;
            if since >= end {
                return Err(CodeProofError::TooNew { address: *address, since, end });
            }
        }
        Ok(())
    }

    fn check_one(
        &self,
        verifier: CodeVerifier<'_>,
        address: Address,
        expected: B256,
        bytes: &Data,
    ) -> Result<Time, CodeProofError> {
        let claim = CHECKED.hash_of(&(address, expected, &bytes.0[..]));
        if let Some(since) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&claim) {
            return Ok(*since);
        }
        let CodeFact { hash: actual, since, .. } =
            verifier.verify((address, decode(&bytes.0, CODE_PROOF_BYTES_MAX)?))?;
        if actual != expected {
            return Err(CodeProofError::OtherCode { address, expected, actual });
        }
        let mut checked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.len() >= CODE_PROOFS_CHECKED_COUNT_MAX {
            checked.clear();
        }
        checked.insert(claim, since);
        Ok(since)
    }
}
