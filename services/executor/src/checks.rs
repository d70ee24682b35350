//! From claims to facts, on as many cores as there are: what a shard's machine takes is checked here first.
//!
//! Promise: pure. Nothing here reads the shard's state; whether a fact still fits it is for the machine's step to say.

use evm::{CodeCache, Payload, PayloadVerifier, Prepared, RecoveredPayload, Replay, Replayer};
use host::network::Network;
use primitives::Verified;
use proof::{Fact, Receipt, ReceiptVerifier};
use rayon::prelude::*;
use std::sync::Arc;
use wire::facts::VoteVerifier;
use wire::limits::PREPARED_BYTES_MAX;
use wire::participant::{DecisionClaim, Prepare};
use wire::{Reason, Rejection};

/// The verifiers of one network.
#[derive(Debug)]
pub(crate) struct Checks {
    receipts: ReceiptVerifier,
    payloads: PayloadVerifier,
    replayer: Replayer,
}

impl Checks {
    /// For `network`.
    pub(crate) fn new(network: &Network) -> Self {
        let validators = network.validators.iter().map(|(shard, set)| (*shard, set.clone()));
        Self {
            receipts: ReceiptVerifier::with(network.params.network, validators),
            payloads: PayloadVerifier::new(network.params.clone()),
            replayer: Replayer::new(network.params.clone(), network.placement.clone(), Arc::new(CodeCache::default())),
        }
    }

    /// Recovers senders.
    pub(crate) fn payload(&self, payload: Payload) -> Result<Verified<RecoveredPayload>, Rejection> {
        Verified::by(&self.payloads, payload).map_err(Rejection::from)
    }

    /// Checks the homes' votes, recovers senders, replays under the witness.
    pub(crate) fn prepare(&self, prepare: Prepare) -> Result<shard::Prepare, Rejection> {
        let Prepare { descriptor, payload, homes } = prepare;
        // Cheap first: nobody makes this shard execute by inventing votes.
        let votes = VoteVerifier::new(&self.receipts);
        let homes = homes.into_iter().map(|vote| Verified::by(&votes, vote)).collect::<Result<_, _>>()?;
        let Prepared { payload, witness } = primitives::decode(&payload, PREPARED_BYTES_MAX)?;
        let payload = self.payload(payload)?;
        let replay = Replay { payload: (*payload).clone(), witness };
        let executed = Verified::by(&self.replayer, replay).map_err(Rejection::from)?;
        Ok(shard::Prepare { descriptor, payload, executed, homes })
    }

    /// Checks the votes of a decision.
    pub(crate) fn decision(&self, claim: DecisionClaim) -> Result<commit::DecisionProof, Rejection> {
        Ok(VoteVerifier::new(&self.receipts).decision(claim)?)
    }

    /// Checks votes that peers answered with; those that fail are dropped.
    pub(crate) fn votes(&self, votes: Vec<commit::VoteProof>) -> Vec<Verified<commit::VoteProof>> {
        VoteVerifier::new(&self.receipts).votes(votes).0
    }

    /// Checks a receipt.
    pub(crate) fn fact(&self, receipt: Receipt) -> Result<Verified<Fact>, Rejection> {
        Ok(Verified::by(&self.receipts, receipt)?)
    }
}

/// Checks every item, on all cores, off the threads that serve.
pub(crate) async fn each<T, F>(
    checks: &Arc<Checks>,
    items: Vec<T>,
    check: impl Fn(&Checks, T) -> Result<F, Rejection> + Send + Sync + 'static,
) -> Result<Vec<Result<F, Rejection>>, Rejection>
where
    T: Send + 'static,
    F: Send + 'static,
{
    let checks = Arc::clone(checks);
    let work = move || items.into_par_iter().map(|item| check(&checks, item)).collect();
    tokio::task::spawn_blocking(work).await.map_err(|error| Rejection::new(Reason::Internal, error.to_string()))
}
