//! From claims to facts: everything costly that a shard's machine needs done before its step.
//!
//! ```text
//!   payload ----- senders recovered ----------------------------------------> Verified<RecoveredPayload>
//!   prepare ----- homes' votes and proofs of codes verified, then replayed -> Prepare
//!   decision ---- every vote verified --------------------------------------> DecisionProof
//!   receipt ----- certificate and path verified ----------------------------> Verified<Fact>
//! ```
//!
//! Promise: pure. Nothing here reads the shard's state; whether a fact still fits it is for the machine's step to say. A
//! host runs these on all cores, a simulator in line, and both get the same.

use crate::code_proof::{CheckedProofs, CodeFact, CodeProof, CodeProofError, CodeVerifier};
use crate::votes::{VoteError, VoteVerifier};
use crate::{Prepare, ShardConfig};
use commit::{DecisionProof, Descriptor, PAYLOAD_BYTES_MAX, VoteProof};
use evm::{
    Address, CodeCache, NetworkParams, Payload, PayloadError, PayloadVerifier, Placement, Prepared, RecoveredPayload,
    Replay, Replayer, WitnessError,
};
use primitives::{DecodeError, ShardId, Verified};
use proof::{
    Admission, Certified, Fact, ForeignError, ForeignReceipt, ForeignVerifier, Receipt, ReceiptError, ReceiptVerifier,
    ValidatorSet,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a claim is no fact. The claimant's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// A prepare's bytes are no payload with a witness.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The transactions cannot be what they claim.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The payload does not run under the witness.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// A vote is none.
    #[error(transparent)]
    Vote(#[from] VoteError),
    /// A code that the witness takes for fixed is not proven to be there.
    #[error(transparent)]
    Code(#[from] CodeProofError),
}

/// The verifiers of one network.
#[derive(Debug)]
pub struct Checks {
    receipts: ReceiptVerifier,
    foreign: ForeignVerifier,
    payloads: PayloadVerifier,
    replayer: Replayer,
    codes: CheckedProofs,
}

impl Checks {
    /// For a network of these parameters, this placement and these validators.
    pub fn new(params: &NetworkParams, placement: &Placement, validators: &BTreeMap<ShardId, ValidatorSet>) -> Self {
        let validators = validators.iter().map(|(shard, set)| (*shard, set.clone()));
        Self {
            receipts: ReceiptVerifier::with(params.network, validators),
            foreign: ForeignVerifier::default(),
            payloads: PayloadVerifier::new(params.clone()),
            replayer: Replayer::new(params.clone(), placement.clone(), Arc::new(CodeCache::default())),
            codes: CheckedProofs::default(),
        }
    }

    /// The same, believing the attestors of these routes.
    #[must_use]
    pub fn with_routes(self, foreign: ForeignVerifier) -> Self {
        Self { foreign, ..self }
    }

    /// For the network that a shard is told of.
    pub fn of(config: &ShardConfig) -> Self {
        let genesis = config.validators.values().find_map(ValidatorSet::genesis);
        let foreign = ForeignVerifier::new(config.network(), genesis, &config.routes);
        Self::new(&config.params, &config.placement, &config.validators).with_routes(foreign)
    }

    /// Recovers senders.
    pub fn payload(&self, payload: Payload) -> Result<Verified<RecoveredPayload>, CheckError> {
        Ok(Verified::by(&self.payloads, payload)?)
    }

    /// Checks the homes' votes and the proofs of codes, recovers senders, replays under the witness; `prepared` is canonical bytes of
    /// [`Prepared`].
    pub fn prepare(
        &self,
        descriptor: Descriptor,
        prepared: &[u8],
        homes: Vec<VoteProof>,
    ) -> Result<Prepare, CheckError> {
        // Cheap first: nobody makes this shard execute by inventing votes.
        let votes = VoteVerifier::new(&self.receipts);
        let homes = homes.into_iter().map(|vote| Verified::by(&votes, vote)).collect::<Result<_, _>>()?;
        let Prepared { payload, witness, proofs } = primitives::decode(prepared, PAYLOAD_BYTES_MAX)?;
        let end = self.payloads.params().end_of_environment(&payload.environment);
        self.codes.check(self.code_verifier(), &witness.fixed, &proofs, end)?;
        let payload = self.payload(payload)?;
        let replay = Replay { payload: (*payload).clone(), witness };
        let executed = Verified::by(&self.replayer, replay)?;
        Ok(Prepare { descriptor, payload, executed, homes })
    }

    /// Checks a proof that the code at `address` is what it says.
    pub fn code(&self, address: Address, proof: CodeProof) -> Result<Verified<CodeFact>, CodeProofError> {
        Verified::by(&self.code_verifier(), (address, proof))
    }

    fn code_verifier(&self) -> CodeVerifier<'_> {
        CodeVerifier::new(&self.receipts, self.replayer.placement())
    }

    /// Checks the votes of a decision.
    pub fn decision(&self, descriptor: Descriptor, votes: Vec<VoteProof>) -> Result<DecisionProof, CheckError> {
        Ok(VoteVerifier::new(&self.receipts).decision(descriptor, votes)?)
    }

    /// Checks votes that peers answered with; those that fail are dropped.
    pub fn votes(&self, votes: Vec<VoteProof>) -> Vec<Verified<VoteProof>> {
        VoteVerifier::new(&self.receipts).votes(votes).0
    }

    /// Checks a certified header.
    pub fn certified(&self, claim: Certified) -> Result<Verified<Certified>, ReceiptError> {
        Verified::by(&self.receipts, claim)
    }

    /// Checks what attestors say of a foreign chain's message.
    pub fn admission(&self, receipt: ForeignReceipt) -> Result<Verified<Admission>, ForeignError> {
        Verified::by(&self.foreign, receipt)
    }

    /// Checks a receipt.
    pub fn fact(&self, receipt: Receipt) -> Result<Verified<Fact>, ReceiptError> {
        Verified::by(&self.receipts, receipt)
    }
}
