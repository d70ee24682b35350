//! `CoordinatorService` on the machine.

use crate::blocks::Blocks;
use crate::carrier::claim;
use crate::cheats::Cheats;
use crate::lives::{Lives, Milestone, Signed};
use crate::reads::Reads;
use crate::refusal;
use crate::shards::Shards;
use crate::traces::Traces;
use alloy_primitives::B256;
use coordinator::{Input, Reply};
use evm::{Data, Environment, Payload, PayloadVerifier, RecoveredPayload, SignedTransaction, TransactionKind};
use host::network::Network;
use host::{Class, Handle, Health};
use primitives::{Slot, Verified};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use wire::coordinator::{BundleAccepted, CoordinatorApi, LifeEvent, ShardInfo, Submission, SubmissionId};
use wire::jsonrpc::Ended;
use wire::{Reason, Rejection};

/// How long a submitter waits to hear what became of the first try of what was accepted. After that it has to follow its life.
const FIRST_TRY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it waits to hear whether it is accepted at all: longer than the machine waits for a silent shard.
const FIRST_WORD_TIMEOUT: Duration = Duration::from_secs(20);

/// The bytes of one signed transaction that is hashed and recovered where it arrives.
const LITTLE_BYTES_MAX: usize = 8 << 10;

/// A running coordinator.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) handle: Handle<Input, Reply>,
    pub(crate) network: Arc<Network>,
    pub(crate) shards: Arc<Shards>,
    pub(crate) lives: Arc<Lives>,
    pub(crate) traces: Arc<Traces>,
    pub(crate) reads: Reads,
    pub(crate) blocks: Arc<Blocks>,
    pub(crate) health: Health,
    /// The last block that is told; none while not even that is known.
    pub(crate) head: watch::Receiver<Option<Slot>>,
    /// Where there are any.
    pub(crate) cheats: Option<Cheats>,
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
        self.lives.passed(id, after).await.ok_or_else(|| self.unknown(id))?;
        let later = |event: &&LifeEvent| event.number > after;
        let events = self.lives.look(id, |life| life.events.iter().filter(later).cloned().collect());
        events.ok_or_else(|| self.unknown(id))
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
        seen.flatten().ok_or_else(|| self.unknown(id))
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
    /// Recovers the senders, some 50 µs for each; of more than a little, off the threads that serve.
    async fn recover(&self, payload: Payload) -> Result<Verified<RecoveredPayload>, Rejection> {
        let verifier = PayloadVerifier::new(self.network.params.clone());
        if is_little(&payload) {
            return Ok(Verified::by(&verifier, payload)?);
        }
        let recovered = tokio::task::spawn_blocking(move || Verified::by(&verifier, payload)).await;
        let recovered = recovered.map_err(|error| Rejection::new(Reason::Internal, error.to_string()))?;
        Ok(recovered?)
    }

    /// Hands in again what was accepted and had not ended when the process ended.
    pub(crate) async fn resume(&self, kept: Vec<Payload>) {
        let count = kept.len();
        for payload in kept {
            match self.recover(payload).await {
                Ok(payload) => self.resume_one(payload).await,
                Err(rejection) => tracing::error!(%rejection, "an accepted submission cannot be tried again"),
            }
        }
        if count > 0 {
            tracing::info!(count, "accepted submissions handed in again");
        }
    }

    async fn resume_one(&self, payload: Verified<RecoveredPayload>) {
        let transactions = signed_of(&payload);
        let id = match &transactions[..] {
            [transaction] => transaction.hash,
            _ => B256::new(*payload.digest().as_bytes()),
        };
        let Ok(ticket) = self.lives.begin(id, transactions) else { return };
        self.traces.begin(ticket, id);
        self.lives.accept(ticket);
        // A host that stops already keeps it for its next start.
        let _ = self.handle.tell(Class::UnderWay, Input::Submit { ticket, payload: Box::new(payload) }).await;
    }

    async fn submit(&self, id: B256, payload: Verified<RecoveredPayload>) -> Result<B256, Rejection> {
        match &self.cheats {
            None => self.hand_in(id, payload).await,
            Some(cheats) => self.in_block(cheats, self.hand_in(id, payload)).await,
        }
    }

    /// Hands a payload to the machine, and waits for what its first try comes to: what can be refused is refused here.
    async fn hand_in(&self, id: B256, payload: Verified<RecoveredPayload>) -> Result<B256, Rejection> {
        let known = |id: B256| Rejection::new(Reason::AlreadyKnown, format!("already known: {id}"));
        let ticket = self.lives.begin(id, signed_of(&payload)).map_err(known)?;
        self.traces.begin(ticket, id);
        let input = Input::Submit { ticket, payload: Box::new(payload) };
        if let Err(error) = self.handle.tell(Class::New, input).await {
            self.lives.forget(ticket);
            self.traces.forget(ticket);
            return Err(error.into());
        }
        let accepted = self.lives.reached(id, Milestone::Accepted);
        if tokio::time::timeout(FIRST_WORD_TIMEOUT, accepted).await.is_err() {
            let text = format!("{id} could not be run yet: look it up by its hash before sending it again");
            return Err(Rejection::new(Reason::TimedOut, text));
        }
        // What is accepted ends in a receipt or with a reason that is kept, whether anybody waits for it or not.
        let _ = tokio::time::timeout(FIRST_TRY_TIMEOUT, self.lives.reached(id, Milestone::Settled)).await;
        match self.lives.look(id, |life| life.refusal.as_ref().map(refusal::rejection)).flatten() {
            Some(rejection) => Err(rejection),
            None => Ok(id),
        }
    }

    fn unknown(&self, id: B256) -> Rejection {
        unknown(id, self.lives.refusal(id))
    }
}

/// Whether its senders are recovered sooner than another thread is woken for it and wakes this one.
fn is_little(payload: &Payload) -> bool {
    let bytes = |transaction: &TransactionKind| match transaction {
        TransactionKind::Signed(signed) => signed.0.len(),
        TransactionKind::System(_) => 0,
    };
    payload.transactions.len() == 1 && payload.transactions.iter().map(bytes).sum::<usize>() <= LITTLE_BYTES_MAX
}

/// A payload of signed transactions; each try runs at the slot of its own time.
fn signed(transactions: Vec<Data>) -> Payload {
    let transactions =
        transactions.into_iter().map(|bytes| TransactionKind::Signed(SignedTransaction(bytes))).collect();
    Payload::bundle(Environment::Slot(Slot(0)), transactions)
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

/// What this process does not know by its hash.
fn unknown(id: B256, ended: Option<Ended>) -> Rejection {
    let text = match ended {
        None => format!("{id} was not submitted to this coordinator since it started: look it up at the shards"),
        Some(ended) => format!("{id} ended without a commit at {}: {}", ended.time, ended.reason),
    };
    Rejection::new(Reason::NotFound, text)
}
