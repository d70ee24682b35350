//! `CoordinatorService` on the machine.

use crate::blocks::Blocks;
use crate::carrier::claim;
use crate::lives::{Lives, Signed};
use crate::reads::Reads;
use crate::refusal;
use crate::shards::Shards;
use alloy_primitives::B256;
use coordinator::{Input, Reply};
use evm::{Data, Environment, Payload, PayloadVerifier, RecoveredPayload, SignedTransaction, TransactionKind};
use host::network::Network;
use host::{Class, Handle};
use primitives::{Slot, Verified};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use wire::coordinator::{BundleAccepted, CoordinatorApi, LifeEvent, ShardInfo, Submission, SubmissionId};
use wire::{Reason, Rejection};

/// How long a submitter waits to hear that its transaction cannot be executed. After that it has to follow its life.
const FIRST_WORD_TIMEOUT: Duration = Duration::from_secs(5);

/// A running coordinator.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) handle: Handle<Input, Reply>,
    pub(crate) network: Arc<Network>,
    pub(crate) shards: Arc<Shards>,
    pub(crate) lives: Arc<Lives>,
    pub(crate) reads: Reads,
    pub(crate) blocks: Arc<Blocks>,
    /// The last block that is told; none while not even that is known.
    pub(crate) head: watch::Receiver<Option<Slot>>,
}

impl CoordinatorApi for Node {
    async fn submit_transaction(&self, transaction: Data) -> Result<SubmissionId, Rejection> {
        let payload = self.recover(signed(vec![transaction])).await?;
        let hash = payload.signed().next().map(evm::RecoveredTransaction::hash);
        let id = hash.ok_or_else(|| Rejection::new(Reason::Internal, "a signed payload without a transaction"))?;
        self.submit(id, payload).await
    }

    async fn submit_bundle(&self, transactions: Vec<Data>) -> Result<BundleAccepted, Rejection> {
        let payload = self.recover(signed(transactions)).await?;
        let transactions = payload.signed().map(evm::RecoveredTransaction::hash).collect();
        let id = B256::new(*payload.digest().as_bytes());
        Ok(BundleAccepted { id: self.submit(id, payload).await?, transactions })
    }

    async fn submit_payload(&self, payload: Payload) -> Result<SubmissionId, Rejection> {
        let payload = self.recover(payload).await?;
        let id = B256::new(*payload.digest().as_bytes());
        self.submit(id, payload).await
    }

    async fn wait_events(&self, id: SubmissionId, after: u32) -> Result<Vec<LifeEvent>, Rejection> {
        self.lives.passed(id, after).await.ok_or_else(|| unknown(id))?;
        let later = |event: &&LifeEvent| event.number > after;
        let events = self.lives.look(id, |life| life.events.iter().filter(later).cloned().collect());
        events.ok_or_else(|| unknown(id))
    }

    async fn submission(&self, id: SubmissionId) -> Result<Submission, Rejection> {
        let seen = self.lives.look(id, |life| {
            Some(Submission {
                last: life.events.last()?.clone(),
                participants: life.participants.clone(),
                outcomes: life.outcomes.clone(),
                rejection: life.refusal.as_ref().map(refusal::rejection),
                decision: life.proof.as_deref().map(claim),
            })
        });
        seen.flatten().ok_or_else(|| unknown(id))
    }

    async fn network(&self) -> Result<wire::coordinator::Network, Rejection> {
        let shard = |(shard, endpoint): (&primitives::ShardId, &String)| {
            let validators = self.network.validators.get(shard)?.clone();
            Some(ShardInfo { shard: *shard, endpoint: endpoint.clone(), validators })
        };
        Ok(wire::coordinator::Network {
            params: self.network.params.clone(),
            placement: self.network.placement.clone(),
            shards: self.network.endpoints.iter().filter_map(shard).collect(),
        })
    }
}

impl Node {
    /// Recovers the senders off the threads that serve: it costs some 50 µs for each.
    async fn recover(&self, payload: Payload) -> Result<Verified<RecoveredPayload>, Rejection> {
        let verifier = PayloadVerifier::new(self.network.params.clone());
        let recovered = tokio::task::spawn_blocking(move || Verified::by(&verifier, payload)).await;
        let recovered = recovered.map_err(|error| Rejection::new(Reason::Internal, error.to_string()))?;
        Ok(recovered?)
    }

    /// Hands a payload to the machine, and waits for the first word on whether it can be executed.
    async fn submit(&self, id: B256, payload: Verified<RecoveredPayload>) -> Result<B256, Rejection> {
        if let Some(rejection) = self.known(id) {
            return Err(rejection);
        }
        let ticket = self.lives.begin(id, signed_of(&payload));
        let input = Input::Submit { ticket, payload: Box::new(payload) };
        if let Err(error) = self.handle.tell(Class::New, input).await {
            self.lives.forget(ticket);
            return Err(error.into());
        }
        // Number 1 is that it was taken in; the next says what became of its first execution.
        let word = tokio::time::timeout(FIRST_WORD_TIMEOUT, self.lives.passed(id, 1)).await;
        if word.is_ok()
            && let Some(Some(rejection)) = self.lives.look(id, |life| life.refusal.as_ref().map(refusal::rejection))
        {
            return Err(rejection);
        }
        Ok(id)
    }

    /// Why `id` is not taken again: it is under way or done. What was refused may be tried again.
    fn known(&self, id: B256) -> Option<Rejection> {
        let is_known = self.lives.look(id, |life| life.refusal.is_none())?;
        is_known.then(|| Rejection::new(Reason::AlreadyKnown, format!("already known: {id}")))
    }
}

/// A payload of signed transactions; each try runs at the slot of its own time.
fn signed(transactions: Vec<Data>) -> Payload {
    let transactions =
        transactions.into_iter().map(|bytes| TransactionKind::Signed(SignedTransaction(bytes))).collect();
    Payload { environment: Environment::Slot(Slot(0)), transactions }
}

fn signed_of(payload: &RecoveredPayload) -> Vec<Signed> {
    let signed = |transaction: &evm::RecoveredTransaction| Signed {
        hash: transaction.hash(),
        sender: transaction.sender(),
        nonce: transaction.nonce(),
        bytes: transaction.bytes().clone(),
    };
    payload.signed().map(signed).collect()
}

fn unknown(id: B256) -> Rejection {
    let text = format!("{id} was not submitted to this coordinator since it started: look it up at the shards");
    Rejection::new(Reason::NotFound, text)
}
