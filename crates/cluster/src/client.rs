//! A user of the network: signed transactions in, what became of them out, and a look at the state.
//!
//! What demo, tests and benches talk through. Knows nothing of processes.

use crate::rpc::Rpc;
use alloy_primitives::{Address, Bytes};
use alloy_sol_types::SolCall;
use evm::{Data, Outcome};
use eyre::{Result, WrapErr, eyre};
use fixtures::wallet::{Call, Wallet};
use host::network::Network;
use primitives::{AttemptId, ShardId};
use proof::{DeliveryStatus, MessageId};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::{Duration, Instant};
use wire::client::{ClientSettings, Connection};
use wire::coordinator::{CoordinatorClient, LifeStage, Submission, SubmissionId, TransactionAccepted};
use wire::participant::ParticipantClient;
use wire::shard::{MessageLife, ShardClient};
use wire::{Reason, Rejection};

/// How long anything may take before it counts as lost.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// How often a condition is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Calls a network through one coordinator.
#[derive(Debug, Clone)]
pub struct Client {
    coordinator: CoordinatorClient,
    rpc: Rpc,
    shards: BTreeMap<ShardId, (ShardClient, ParticipantClient)>,
}

/// What a committed submission did.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Under which name the coordinator knows it.
    pub id: SubmissionId,
    /// What each of its transactions did.
    pub outcomes: Vec<Outcome>,
    /// Its shards.
    pub participants: BTreeSet<ShardId>,
    /// The attempt that committed it; none if it had one participant.
    pub attempt: Option<AttemptId>,
}

impl Settled {
    /// What its first transaction did.
    ///
    /// # Errors
    /// When the coordinator gave no outcome, which is a defect.
    pub fn first(&self) -> Result<&Outcome> {
        self.outcomes.first().ok_or_else(|| eyre!("{} committed without an outcome", self.id))
    }
}

/// How a submission ended.
#[derive(Debug, Clone)]
pub enum Ended {
    /// On all its shards.
    Committed(Settled),
    /// Nowhere.
    Refused(Rejection),
}

impl Ended {
    /// What it did, for whoever expects that it did.
    pub fn committed(self) -> Result<Settled> {
        match self {
            Self::Committed(settled) => Ok(settled),
            Self::Refused(rejection) => Err(rejection).wrap_err("the transaction was refused"),
        }
    }
}

impl Client {
    /// A user of `network` through the coordinator at these endpoints; connects when first used.
    pub fn open(network: &Network, coordinator: &str, rpc: &str) -> Result<Self> {
        let shard = |endpoint: &str| -> Result<_> {
            let connection = Connection::open(&ClientSettings::plain(endpoint))?;
            Ok((ShardClient::new(connection.clone()), ParticipantClient::new(connection)))
        };
        let shards = network.endpoints.iter().map(|(number, endpoint)| Ok((*number, shard(endpoint)?)));
        Ok(Self {
            coordinator: CoordinatorClient::new(Connection::open(&ClientSettings::plain(coordinator))?),
            rpc: Rpc::new(rpc),
            shards: shards.collect::<Result<_>>()?,
        })
    }

    /// The coordinator.
    pub fn coordinator(&self) -> &CoordinatorClient {
        &self.coordinator
    }

    /// The coordinator's Ethereum JSON-RPC.
    pub fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// A shard.
    ///
    /// # Panics
    /// If the network has no such shard.
    pub fn shard(&self, shard: ShardId) -> &ShardClient {
        &self.shards[&shard].0
    }

    /// The same shard as a participant of attempts.
    ///
    /// # Panics
    /// If the network has no such shard.
    pub fn participant(&self, shard: ShardId) -> &ParticipantClient {
        &self.shards[&shard].1
    }

    /// Submits one signed transaction and waits for its end.
    pub async fn submit(&self, transaction: Bytes) -> Result<Ended> {
        match self.coordinator.submit_transaction(Data(transaction)).await {
            Ok(TransactionAccepted { id, ended: Some(ended) }) => Ok(end(id, ended)),
            submitted => self.end_of(submitted.map(|accepted| accepted.id)).await,
        }
    }

    /// Submits signed transactions as one bundle and waits for its end.
    pub async fn submit_bundle(&self, transactions: Vec<Bytes>) -> Result<Ended> {
        let transactions = transactions.into_iter().map(Data).collect();
        let submitted = self.coordinator.submit_bundle(transactions).await.map(|bundle| bundle.id);
        self.end_of(submitted).await
    }

    /// Signs `call`, submits it and waits until it is committed.
    ///
    /// # Errors
    /// If it was refused. A transaction that reverts is committed: see its outcome's status.
    pub async fn send(&self, wallet: &mut Wallet, call: &Call) -> Result<Settled> {
        self.submit(wallet.sign(call)?).await?.committed()
    }

    /// As [`Client::send`], for a transaction that must succeed.
    pub async fn succeed(&self, wallet: &mut Wallet, call: &Call) -> Result<Settled> {
        let settled = self.send(wallet, call).await?;
        match settled.first()?.status {
            evm::Status::Success => Ok(settled),
            status => Err(eyre!("transaction {} ended as {status:?}", settled.id)),
        }
    }

    async fn end_of(&self, submitted: Result<SubmissionId, Rejection>) -> Result<Ended> {
        let id = match submitted {
            Ok(id) => id,
            Err(rejection) => return Ok(Ended::Refused(rejection)),
        };
        let waited = tokio::time::timeout(PATIENCE, self.coordinator.wait_final(id)).await;
        Ok(end(id, waited.map_err(|_| eyre!("{id} did not end within {PATIENCE:?}"))??))
    }

    /// What a view function answers, through JSON-RPC.
    pub async fn view<C: SolCall>(&self, to: Address, call: &C) -> Result<C::Return> {
        let output = self.rpc.call(to, call.abi_encode().into()).await?;
        C::abi_decode_returns(&output).wrap_err_with(|| format!("{} of {to}", C::SIGNATURE))
    }

    /// Waits until `source` has the acknowledgement of a message; says how it ended.
    pub async fn acknowledged(&self, source: ShardId, id: MessageId) -> Result<(MessageLife, DeliveryStatus)> {
        until(&format!("the acknowledgement of message {id}"), || async {
            let life = match self.shard(source).message(id).await {
                Ok(life) => life,
                Err(rejection) if rejection.reason == Reason::NotFound => return Ok(None),
                Err(rejection) => return Err(rejection.into()),
            };
            let status = life.acknowledged.and(life.status);
            Ok(status.map(|status| (life, status)))
        })
        .await
    }
}

/// How a submission ended, of which nothing follows.
fn end(id: SubmissionId, submission: Submission) -> Ended {
    let Submission { last, participants, outcomes, rejection, .. } = submission;
    if last.stage == LifeStage::Committed {
        return Ended::Committed(Settled { id, outcomes, participants, attempt: last.attempt });
    }
    Ended::Refused(rejection.unwrap_or_else(|| Rejection::new(Reason::Internal, last.detail)))
}

/// Looks again and again until there is something to see.
///
/// # Errors
/// The look's own, or that it took longer than [`PATIENCE`]; `what` names it.
pub async fn until<T, F: Future<Output = Result<Option<T>>>>(what: &str, mut look: impl FnMut() -> F) -> Result<T> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        if Instant::now() > give_up {
            return Err(eyre!("waited {PATIENCE:?} for {what}"));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
