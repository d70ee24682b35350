//! The relay's hands: fetches outbox pages, checks receipts, delivers, and tells the machine how it went.

use futures_util::StreamExt;
use host::network::Network;
use host::{Class, Handle, Handout, Health, Peer, Process};
use primitives::{Height, ShardId};
use proof::{LeafKind, MessageId, Receipt, ReceiptError, ReceiptVerifier};
use relay::{Answer, BatchId, Carried, Cursor, Input, Parcel, Refusal, Reply, Send, Taken};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use wire::client::{ClientSettings, ConnectError, Connection};
use wire::shard::{Delivered, Novelty, OutboxPage, ShardClient};
use wire::state::LeafPlace;
use wire::{Reason, Rejection};

/// The pause before a broken block stream is opened again; pages are fetched by the machine's own schedule meanwhile.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);

/// Clients of all shards, and the checks of what they say.
#[derive(Debug)]
pub(crate) struct Carrier {
    handle: Handle<Input, Reply>,
    verifier: Arc<ReceiptVerifier>,
    shards: BTreeMap<ShardId, ShardClient>,
    peers: BTreeMap<ShardId, Peer>,
}

impl Carrier {
    /// For `network`; clients connect when first used.
    pub(crate) fn connect(
        network: &Network,
        handle: Handle<Input, Reply>,
        health: &Health,
    ) -> Result<Self, ConnectError> {
        let validators = network.validators.iter().map(|(shard, set)| (*shard, set.clone()));
        let open = |(shard, endpoint): (&ShardId, &String)| {
            Ok((*shard, ShardClient::new(Connection::open(&ClientSettings::plain(endpoint.clone()))?)))
        };
        Ok(Self {
            handle,
            verifier: Arc::new(ReceiptVerifier::with(network.params.network, validators)),
            shards: network.endpoints.iter().map(open).collect::<Result<_, _>>()?,
            peers: network.endpoints.keys().map(|shard| (*shard, health.peer(format!("shard {shard}")))).collect(),
        })
    }

    /// Checks a receipt off the threads that serve.
    pub(crate) async fn check(&self, receipt: Receipt) -> Result<Carried, Rejection> {
        let mut checked = self.check_all(vec![receipt]).await?;
        let lost = || Rejection::new(Reason::Internal, "a check gave no result");
        Ok(checked.pop().ok_or_else(lost)??)
    }

    async fn check_all(&self, receipts: Vec<Receipt>) -> Result<Vec<Result<Carried, ReceiptError>>, Rejection> {
        let verifier = Arc::clone(&self.verifier);
        let check = move || receipts.iter().map(|receipt| Carried::check(&verifier, receipt.to_bytes())).collect();
        tokio::task::spawn_blocking(check).await.map_err(|error| Rejection::new(Reason::Internal, error.to_string()))
    }

    /// Tells the machine of every new block, so that it fetches at once instead of at its next poll.
    pub(crate) fn listen(self: &Arc<Self>, process: &Process) {
        for shard in self.shards.keys().copied() {
            process.watch("that listens to blocks", Arc::clone(self).listen_to(shard));
        }
    }

    async fn listen_to(self: Arc<Self>, shard: ShardId) {
        let client = &self.shards[&shard];
        loop {
            // From the newest block on: what came before is fetched by the cursor.
            let status = client.status().await;
            self.note(shard, status.as_ref().err());
            let from = status.map_or(Height(u64::MAX), |status| status.head.next());
            if from != Height(u64::MAX)
                && let Ok(blocks) = client.stream_blocks(from).await
            {
                tokio::pin!(blocks);
                while let Some(Ok(_)) = blocks.next().await {
                    if self.handle.tell(Class::UnderWay, Input::News { shard }).await.is_err() {
                        return;
                    }
                }
            }
            tokio::time::sleep(LISTEN_PAUSE).await;
        }
    }

    /// Does what the machine asks for, each call on its own, until the host ends.
    pub(crate) async fn carry(self: Arc<Self>, mut handouts: mpsc::Receiver<Handout<Send, Reply>>) {
        while let Some(handout) = handouts.recv().await {
            for send in handout.sends {
                tokio::spawn(Arc::clone(&self).act(send));
            }
        }
    }

    async fn act(self: Arc<Self>, send: Send) {
        let input = match send {
            Send::FetchOutbox { shard, cursor, count_max } => self.fetch(shard, cursor, count_max).await,
            Send::Deliver { batch, shard, parcels } | Send::Acknowledge { batch, shard, parcels } => {
                self.deliver(batch, shard, parcels).await
            }
        };
        // A host that stops takes no more; after a restart it asks again.
        let _ = self.handle.tell(Class::UnderWay, input).await;
    }

    async fn fetch(&self, shard: ShardId, from: Cursor, count_max: u32) -> Input {
        let page = self.page(shard, from, count_max).await;
        self.note(shard, page.as_ref().err());
        match page {
            Ok((leaves, next)) => Input::Page { shard, from, leaves, next },
            Err(rejection) => Input::FetchFailed { shard, reason: rejection.to_string() },
        }
    }

    /// Notes whether a shard is there, for whoever asks how this process is.
    fn note(&self, shard: ShardId, failed: Option<&Rejection>) {
        match (self.peers.get(&shard), failed) {
            (Some(peer), Some(rejection)) => peer.failed(rejection),
            (Some(peer), None) => peer.answered(),
            (None, _) => {}
        }
    }

    async fn page(&self, shard: ShardId, from: Cursor, count_max: u32) -> Result<(Vec<Carried>, Cursor), Rejection> {
        let place = LeafPlace { height: from.height, index: from.index };
        let kinds = BTreeSet::from([LeafKind::Message, LeafKind::Delivery]);
        let OutboxPage { leaves, next } = self.client(shard)?.outbox(place, count_max, &kinds).await?;
        let checked = self.check_all(leaves.into_iter().map(|leaf| leaf.receipt).collect()).await?;
        let leaves = checked.into_iter().collect::<Result<_, _>>()?;
        Ok((leaves, Cursor { height: next.height, index: next.index }))
    }

    async fn deliver(&self, batch: BatchId, shard: ShardId, parcels: Vec<Parcel>) -> Input {
        match self.hand_in(shard, &parcels).await {
            Ok(answers) => Input::Answered { batch, answers },
            Err(rejection) => Input::Unreachable { batch, reason: rejection.to_string() },
        }
    }

    async fn hand_in(&self, shard: ShardId, parcels: &[Parcel]) -> Result<Vec<Answer>, Rejection> {
        let receipts = parcels.iter().map(|parcel| Receipt::from_bytes(&parcel.receipt));
        let receipts: Vec<Receipt> = receipts.collect::<Result<_, _>>()?;
        let results = self.client(shard)?.deliver(&receipts).await?;
        let mut answers = Vec::with_capacity(results.len());
        for (parcel, result) in parcels.iter().zip(results) {
            answers.push(self.answer(parcel.message, result).await);
        }
        Ok(answers)
    }

    async fn answer(&self, message: MessageId, result: Result<Delivered, Rejection>) -> Answer {
        let taken = match result {
            Ok(Delivered { novelty, receipt, .. }) => {
                let receipt = match receipt {
                    // A delivery that does not verify is no answer; the true one is in the outbox.
                    Some(receipt) => self.check(receipt).await.ok(),
                    None => None,
                };
                match novelty {
                    Novelty::New => Taken::Now(receipt),
                    Novelty::Already => Taken::Already(receipt),
                }
            }
            Err(rejection) => {
                let refusal = if rejection.is_retryable() { Refusal::Retryable } else { Refusal::Final };
                Taken::Refused { refusal, reason: rejection.to_string() }
            }
        };
        Answer { message, taken }
    }

    fn client(&self, shard: ShardId) -> Result<&ShardClient, Rejection> {
        let unknown = || Rejection::new(Reason::UnknownShard, format!("shard {shard} is not in the network"));
        self.shards.get(&shard).ok_or_else(unknown)
    }
}
