//! The relay's hands: fetches outbox pages, checks receipts, delivers, and tells the machine how it went.

use futures_util::{StreamExt, TryStreamExt};
use host::network::Network;
use host::{Class, Handle, Handout, Health, Instruments, Peer, Process, Security, SecurityError, Seen};
use primitives::{Height, ShardId, Verifier};
use proof::{Certified, LeafKind, MessageId, Receipt, ReceiptError, ReceiptVerifier};
use relay::{Answer, BatchId, Carried, Cursor, Input, Leg, Parcel, Refusal, Reply, Send, Taken};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use wire::shard::{Delivered, MessageLife, Novelty, OldLeaves, OutboxPage, ShardClient};
use wire::state::LeafPlace;
use wire::traces::{Context, Side, Tracer};
use wire::{Reason, Rejection};

/// The pause before a broken block stream is opened again; pages are fetched by the machine's own schedule meanwhile.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);

/// How many messages of one look are asked for at once.
const LOOKS_COUNT_MAX: usize = 32;

/// Whether a shard's refusal is its last word on a receipt. Only what the receipt itself says can make it that: locks go,
/// disks are emptied, settings are mended, and a shard that does not know what it sent is behind what it has signed.
fn refusal(reason: Reason) -> Refusal {
    match reason {
        Reason::Malformed
        | Reason::OverBound
        | Reason::WrongNetwork
        | Reason::WrongShard
        | Reason::WrongLeaf
        | Reason::BadReceipt
        | Reason::BadMessage => Refusal::Final,
        Reason::Settled => Refusal::Over,
        _ => Refusal::Retryable,
    }
}

/// Clients of all shards, and the checks of what they say.
#[derive(Debug)]
pub(crate) struct Carrier {
    handle: Handle<Input, Reply>,
    verifier: Arc<ReceiptVerifier>,
    seen: Arc<Seen>,
    instruments: Instruments,
    tracer: Tracer,
    shards: BTreeMap<ShardId, ShardClient>,
    peers: BTreeMap<ShardId, Peer>,
}

impl Carrier {
    /// For `network`; clients connect when first used.
    pub(crate) fn connect(
        network: &Network,
        handle: Handle<Input, Reply>,
        verifier: ReceiptVerifier,
        seen: Arc<Seen>,
        (instruments, tracer): (Instruments, Tracer),
        (security, health): (&Security, &Health),
    ) -> Result<Self, SecurityError> {
        let open = |(shard, endpoint): (&ShardId, &String)| {
            Ok::<_, SecurityError>((*shard, ShardClient::new(security.connect(endpoint)?)))
        };
        Ok(Self {
            handle,
            verifier: Arc::new(verifier),
            seen,
            instruments,
            tracer,
            shards: network.endpoints.iter().map(open).collect::<Result<_, _>>()?,
            peers: network.endpoints.keys().map(|shard| (*shard, health.peer(format!("shard {shard}")))).collect(),
        })
    }

    /// Checks receipts of `network`.
    pub(crate) fn verifier(network: &Network) -> ReceiptVerifier {
        let validators = network.validators.iter().map(|(shard, set)| (*shard, set.clone()));
        ReceiptVerifier::with(network.params.network, validators)
    }

    /// Clients of all shards.
    pub(crate) fn clients(&self) -> BTreeMap<ShardId, ShardClient> {
        self.shards.clone()
    }

    /// Checks a receipt off the threads that serve.
    pub(crate) async fn check(&self, receipt: Receipt) -> Result<Carried, Rejection> {
        let mut checked = self.check_all(vec![receipt]).await?;
        let lost = || Rejection::new(Reason::Internal, "a check gave no result");
        Ok(checked.pop().ok_or_else(lost)??)
    }

    async fn check_all(&self, receipts: Vec<Receipt>) -> Result<Vec<Result<Carried, ReceiptError>>, Rejection> {
        let verifier = Arc::clone(&self.verifier);
        let check = move || receipts.into_iter().map(|receipt| Carried::of(&verifier, receipt)).collect();
        let checked: Vec<Result<Carried, ReceiptError>> = tokio::task::spawn_blocking(check)
            .await
            .map_err(|error| Rejection::new(Reason::Internal, error.to_string()))?;
        checked.iter().flatten().for_each(|carried| self.seen.note(&carried.fact().seal));
        Ok(checked)
    }

    /// Tells the machine of every new block, so that it fetches at once instead of at its next poll.
    pub(crate) fn listen(self: &Arc<Self>, process: &Process) {
        for shard in self.shards.keys().copied() {
            process.tasks.spawn("the listener to blocks", Arc::clone(self).listen_to(shard));
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
                while let Some(Ok(block)) = blocks.next().await {
                    self.sight(block.into());
                    if self.handle.tell(Class::UnderWay, Input::News { shard }).await.is_err() {
                        return;
                    }
                }
            }
            tokio::time::sleep(LISTEN_PAUSE).await;
        }
    }

    /// What a stream says is worth a fetch whatever it is; what is certified is also worth remembering.
    fn sight(&self, certified: Certified) {
        if let Ok(certified) = self.verifier.verify(certified) {
            let certified: Certified = certified;
            self.seen.note(&certified);
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
            Send::Deliver { batch, shard, parcels } => self.carry_to("deliver", batch, shard, parcels).await,
            Send::Acknowledge { batch, shard, parcels } => self.carry_to("acknowledge", batch, shard, parcels).await,
            Send::Look { batch, shard, leg, messages } => self.look(batch, shard, leg, messages).await,
            Send::TookOver { from, to, leg } => {
                tracing::info!(%from, %to, ?leg, "carries in the place of a relay that was silent");
                return self.instruments.route_taken_over(from, to);
            }
            Send::Yielded { from, to, leg } => {
                return tracing::info!(%from, %to, ?leg, "leaves a route to another relay, which carries it");
            }
            Send::Beyond { shard, read, head } => {
                tracing::error!(
                    %shard, %head, %read,
                    "a shard has lost blocks that were read before: nothing of it is carried until it has them again"
                );
                return self.seen.lost(shard);
            }
            Send::Within { shard } => {
                tracing::info!(%shard, "a shard has again all that was read of it");
                return self.seen.found(shard);
            }
        };
        // A host that stops takes no more; after a restart it asks again.
        let _ = self.handle.tell(Class::UnderWay, input).await;
    }

    async fn fetch(&self, shard: ShardId, from: Cursor, count_max: u32) -> Input {
        let page = self.page(shard, from, count_max).await;
        self.note(shard, page.as_ref().err());
        match page {
            Ok((leaves, next, head)) => Input::Page { shard, from, leaves, next, head },
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

    async fn page(
        &self,
        shard: ShardId,
        from: Cursor,
        count_max: u32,
    ) -> Result<(Vec<Carried>, Cursor, Height), Rejection> {
        if !self.seen.is_believed(shard) {
            let text = format!("shard {shard} certified two blocks of one height: an operator has to decide");
            return Err(Rejection::new(Reason::Unavailable, text));
        }
        let place = LeafPlace { height: from.height, index: from.index };
        let kinds = BTreeSet::from([LeafKind::Message, LeafKind::Delivery]);
        let OutboxPage { leaves, next, head } =
            self.client(shard)?.outbox(place, count_max, &kinds, OldLeaves::Open).await?;
        let checked = self.check_all(leaves.into_iter().map(|leaf| leaf.receipt).collect()).await?;
        let leaves = checked.into_iter().collect::<Result<_, _>>()?;
        Ok((leaves, Cursor { height: next.height, index: next.index }, head))
    }

    /// Hands parcels to a shard, as a span of each trace that a message of them has.
    async fn carry_to(&self, name: &str, batch: BatchId, shard: ShardId, parcels: Vec<Parcel>) -> Input {
        let above = parcels.iter().filter_map(|parcel| self.tracer.sampled(&parcel.message.0));
        let above: Vec<Context> = above.collect();
        match self.tracer.follow(Side::Caller, name, &above, self.hand_in(shard, parcels)).await {
            Ok(answers) => Input::Answered { batch, answers },
            Err(rejection) => Input::Unreachable { batch, reason: rejection.to_string() },
        }
    }

    async fn look(&self, batch: BatchId, shard: ShardId, leg: Leg, messages: Vec<MessageId>) -> Input {
        match self.look_up(shard, leg, &messages).await {
            Ok(taken) => {
                let answer = |(message, taken)| Answer { message, taken };
                Input::Answered { batch, answers: messages.into_iter().zip(taken).map(answer).collect() }
            }
            Err(rejection) => Input::Unreachable { batch, reason: rejection.to_string() },
        }
    }

    async fn look_up(&self, shard: ShardId, leg: Leg, messages: &[MessageId]) -> Result<Vec<Taken>, Rejection> {
        let client = self.client(shard)?;
        let looks: Vec<_> = messages.iter().copied().map(|id| self.look_one(client, leg, id)).collect();
        futures_util::stream::iter(looks).buffered(LOOKS_COUNT_MAX).try_collect().await
    }

    /// Whether a shard has one message, and if it was sent there how it ended. What does not verify is no answer.
    async fn look_one(&self, client: &ShardClient, leg: Leg, id: MessageId) -> Result<Taken, Rejection> {
        let life = match client.message(id).await {
            Err(rejection) if rejection.reason == Reason::NotFound => return Ok(Taken::Absent),
            life => life?,
        };
        match (leg, life) {
            (Leg::Back, MessageLife { acknowledged: Some(_), .. }) => Ok(Taken::Already(None)),
            (Leg::Out, MessageLife { delivered: Some(_), .. }) => {
                // The leaf may be forgotten where the record is not: then its end is asked for again.
                let proof = match client.receipt(LeafKind::Delivery, id.0).await {
                    Ok(receipt) => self.check(receipt).await.ok(),
                    Err(_) => None,
                };
                Ok(Taken::Already(proof))
            }
            _ => Ok(Taken::Absent),
        }
    }

    async fn hand_in(&self, shard: ShardId, parcels: Vec<Parcel>) -> Result<Vec<Answer>, Rejection> {
        let (messages, receipts): (Vec<_>, Vec<_>) =
            parcels.into_iter().map(|parcel| (parcel.message, parcel.receipt)).unzip();
        let results = self.client(shard)?.deliver_encoded(receipts).await?;
        let again = results.iter().flatten().filter(|delivered| delivered.novelty == Novelty::Already).count();
        self.instruments.handed_over(results.len() as u64, again as u64);
        tracing::debug!(%shard, count = results.len(), again, "receipts handed over");
        let answers = self.answers(results).await?;
        Ok(messages.into_iter().zip(answers).map(|(message, taken)| Answer { message, taken }).collect())
    }

    /// What a shard made of each receipt. A delivery that does not verify is no answer; the true one is in the outbox.
    async fn answers(&self, results: Vec<Result<Delivered, Rejection>>) -> Result<Vec<Taken>, Rejection> {
        let receipts = results.iter().flatten().filter_map(|delivered| delivered.receipt.clone()).collect();
        let mut checked = self.check_all(receipts).await?.into_iter();
        let answers = results.into_iter().map(|result| match result {
            Ok(Delivered { novelty, receipt, .. }) => {
                let receipt = receipt.and_then(|_| checked.next()).and_then(Result::ok);
                match novelty {
                    Novelty::New => Taken::Now(receipt),
                    Novelty::Already => Taken::Already(receipt),
                }
            }
            Err(rejection) => Taken::Refused { refusal: refusal(rejection.reason), reason: rejection.to_string() },
        });
        Ok(answers.collect())
    }

    fn client(&self, shard: ShardId) -> Result<&ShardClient, Rejection> {
        let unknown = || Rejection::new(Reason::UnknownShard, format!("shard {shard} is not in the network"));
        self.shards.get(&shard).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_receipt_says_is_refused_for_good() {
        for reason in [Reason::Busy, Reason::Conflict, Reason::DiskFull, Reason::Unavailable, Reason::NotFound] {
            assert_eq!(refusal(reason), Refusal::Retryable, "{reason}");
        }
        for reason in [Reason::Unauthenticated, Reason::PermissionDenied, Reason::WrongEpoch, Reason::Internal] {
            assert_eq!(refusal(reason), Refusal::Retryable, "{reason}: an operator can mend it");
        }
        assert_eq!(refusal(Reason::BadMessage), Refusal::Final);
        assert_eq!(refusal(Reason::Settled), Refusal::Over);
    }
}
