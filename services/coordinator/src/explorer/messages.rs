//! One message: its life on both shards and at the relays, and what it waits for.
//!
//! ```text
//!  every shard: GetMessage ──┐
//!                            ├──> events in time order ──> why it waits, what its owner can do   (waiting)
//!  relays: TraceMessage ─────┤
//!  bridges: hops ────────────┘    of a message to or from a foreign chain: its transactions there   (bridges)
//! ```

use super::Explorer;
use super::answer::Problem;
use super::attempts::reason;
use super::bridges::Heard;
use super::relays::{Sight, stage};
use super::transactions::DISPATCH;
use super::waiting::Waiting;
use alloy_primitives::{Address, B256, hex, keccak256};
use evm::mailbox_address;
use futures_util::future::join_all;
use primitives::{ShardId, Time};
use proof::{DeliveryStatus, Message, MessageId, shard_of};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::hops::{Standing, Step};
use wire::jsonrpc::{Chain, LogQuery};
use wire::relay::TraceStage;
use wire::shard::{Mark, MessageLife};
use wire::{Reason, Rejection};

/// Most shards that are asked about a message of which only the id is known.
const ASKED_COUNT_MAX: usize = 64;

/// Of a message from a foreign chain, unless nodes of the bridge tell.
const UNTOLD: &str = "unknown: its sender is on a foreign chain";

/// What is known of a message, from whoever answered.
#[derive(Debug, Default)]
pub(super) struct Life {
    pub(super) message: Option<Message>,
    pub(super) source: Option<ShardId>,
    pub(super) destination: Option<ShardId>,
    pub(super) dispatched: Option<Mark>,
    pub(super) delivered: Option<Mark>,
    pub(super) acknowledged: Option<Mark>,
    pub(super) status: Option<DeliveryStatus>,
    pub(super) detail: String,
    pub(super) silent: Vec<(ShardId, String)>,
    /// Shards that do not know it and have forgotten what is old and over.
    pub(super) forgetful: BTreeSet<ShardId>,
    pub(super) sights: Vec<Sight>,
    /// What nodes of bridges say, of a message over one.
    pub(super) heard: Arc<Heard>,
}

impl Life {
    fn add(&mut self, shard: ShardId, answer: Result<MessageLife, Rejection>) {
        match answer {
            Ok(known) => {
                self.source = self.source.or(known.dispatched.map(|_| shard));
                self.destination = self.destination.or(known.delivered.map(|_| shard));
                self.message = self.message.take().or(known.message);
                self.dispatched = self.dispatched.or(known.dispatched);
                self.delivered = self.delivered.or(known.delivered);
                self.acknowledged = self.acknowledged.or(known.acknowledged);
                self.status = self.status.or(known.status);
                if self.detail.is_empty() {
                    self.detail = known.detail;
                }
            }
            Err(rejection) if rejection.reason == Reason::NotFound => {
                self.forgetful.extend(rejection.metadata.contains_key("first").then_some(shard));
            }
            Err(rejection) => self.silent.push((shard, reason(shard, &rejection))),
        }
    }

    fn is_known(&self) -> bool {
        let is_seen = |sight: &Sight| matches!(sight, Sight::Seen(_));
        self.message.is_some() || self.delivered.is_some() || self.sights.iter().any(is_seen)
    }

    /// Whether one of its ends is no shard of this network.
    pub(super) fn is_foreign(&self) -> bool {
        self.message.is_some() && (self.source.is_none() || self.destination.is_none())
    }

    /// Whether nothing more comes: its source knows its end, or is a foreign chain, which is told none.
    pub(super) fn is_over(&self) -> bool {
        let is_of_foreign = self.message.is_some() && self.source.is_none();
        self.is_acknowledged() || is_of_foreign && self.is_consumed()
    }

    /// Whether its source took the receipt of its delivery.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.acknowledged.is_some()
            || self.is_forgotten()
            || self.relay_says_for(self.source, &[TraceStage::Acknowledged])
    }

    /// Whether its source has forgotten it: of what it sent it forgets nothing of which it does not know the end.
    fn is_forgotten(&self) -> bool {
        self.source.is_some_and(|source| self.forgetful.contains(&source))
    }

    /// Whether its destination consumed it. An acknowledgement proves that, whoever is silent.
    pub(super) fn is_consumed(&self) -> bool {
        let after = [TraceStage::Delivered, TraceStage::Acknowledging, TraceStage::Acknowledged];
        self.delivered.is_some() || self.is_acknowledged() || self.relay_says_for(self.destination, &after)
    }

    /// Whether this shard was asked and did not answer.
    pub(super) fn is_silent(&self, shard: Option<ShardId>) -> bool {
        self.silent.iter().any(|(silent, _)| Some(*silent) == shard)
    }

    /// Whether a relay saw one of `stages`, where `shard`, who knows it best, is silent: a shard that answers has the last word.
    fn relay_says_for(&self, shard: Option<ShardId>, stages: &[TraceStage]) -> bool {
        let mut seen = self.sights.iter().flat_map(|sight| match sight {
            Sight::Seen(trace) => &trace.events[..],
            _ => &[],
        });
        self.is_silent(shard) && seen.any(|event| stages.contains(&event.stage))
    }

    /// Whether nodes of the bridge tell of this, in a final block of the foreign chain.
    fn is_there(&self, step: Step) -> bool {
        self.heard.hops.iter().any(|told| told.hop.step == step && told.hop.state == Standing::Final)
    }

    /// How far it has come, in words: what only a silent shard knows is unknown, not undone.
    fn steps(&self) -> Value {
        let step = |is_done: bool, shard: Option<ShardId>| match shard {
            _ if is_done => "yes".to_owned(),
            Some(shard) if self.is_silent(Some(shard)) => format!("unknown: shard {shard} is silent"),
            _ => "not yet".to_owned(),
        };
        json!({
            // Whoever has it has it from its source's outbox.
            "dispatched": step(self.is_known(), self.source),
            "consumed": step(self.is_consumed() || self.is_there(Step::Processed), self.destination),
            "acknowledged": match self.source {
                None if self.is_foreign() && !self.is_there(Step::Answered) => UNTOLD.to_owned(),
                source => step(self.is_acknowledged() || source.is_none(), source),
            },
        })
    }

    fn settle(&mut self, network: primitives::NetworkId) {
        let carried = self.sights.iter().find_map(|sight| match sight {
            Sight::Seen(trace) => Some(trace.message.clone()),
            _ => None,
        });
        self.message = self.message.take().or(carried);
        if let Some(message) = &self.message {
            self.source = self.source.or(shard_of(network, message.origin));
            self.destination = self.destination.or(shard_of(network, message.destination));
        }
    }
}

impl Explorer {
    /// A message's life.
    pub(super) async fn message(&self, id: B256) -> Result<Value, Problem> {
        let id = MessageId(id);
        let life = self.life(id).await;
        if !life.is_known() {
            let words = format!("no shard and no relay that answers knows message {id}");
            return Err(if life.silent.is_empty() { Problem::unknown(words) } else { Problem::silent(words) });
        }
        let transaction = self.dispatching(&life, id).await;
        let waiting = Waiting::of(&life, super::charts::now());
        let silent = life.silent.iter().map(|(shard, reason)| json!({ "shard": shard.0, "reason": reason }));
        Ok(json!({
            "id": id.to_string(),
            "message": life.message.as_ref().map(|message| self.told_message(message)),
            "source": life.source.map(|shard| shard.0),
            "destination": life.destination.map(|shard| shard.0),
            "transaction": transaction,
            "dispatched": mark(life.dispatched),
            "delivered": mark(life.delivered),
            "acknowledged": mark(life.acknowledged),
            "status": life.status.map(status),
            "detail": life.detail,
            "events": events(&life),
            "relays": life.sights.iter().map(sight).collect::<Vec<_>>(),
            "isOver": life.is_over(),
            "steps": life.steps(),
            "foreign": life.message.as_ref().and_then(|message| self.foreign_hop(message, &life.heard)),
            "waiting": waiting.map(|waiting| json!({ "why": waiting.why, "can": waiting.can })),
            "forgotten": life.forgetful.iter().map(|shard| shard.0).collect::<Vec<_>>(),
            "silent": silent.collect::<Vec<_>>(),
        }))
    }

    async fn life(&self, id: MessageId) -> Life {
        let mut life = Life::default();
        let shards: Vec<ShardId> = self.node.shards.ids().take(ASKED_COUNT_MAX).collect();
        let asked = join_all(shards.iter().map(|shard| async move {
            let peer = self.node.shards.sound(*shard)?;
            peer.shard.message(id).await
        }));
        let (answers, sights) = tokio::join!(asked, self.relays.sights(id));
        shards.into_iter().zip(answers).for_each(|(shard, answer)| life.add(shard, answer));
        life.sights = sights;
        life.settle(self.node.network.params.network);
        if let Some((message, route)) =
            life.message.as_ref().and_then(|message| Some((message, self.route_of(message)?)))
        {
            life.heard = self.bridges.hear(message.v3_id(), route.terms().chain_id).await;
        }
        life
    }

    /// The route that a message takes; none of a message between shards.
    fn route_of(&self, message: &Message) -> Option<&proof::Route> {
        let is_its = |route: &&proof::Route| [message.origin, message.destination].contains(&route.terms().domain);
        self.node.network.routes.iter().find(is_its)
    }

    /// The transaction that sent it, found by its mailbox's log.
    async fn dispatching(&self, life: &Life, id: MessageId) -> Option<B256> {
        let query = LogQuery {
            addresses: vec![mailbox_address(life.source?)],
            topics: [vec![*DISPATCH], vec![id.0], Vec::new(), Vec::new()],
        };
        let node = &*self.node;
        let head = Chain::head(node).await.ok()?;
        let found = Chain::search(node, &query, Chain::oldest(node), head, 1).await.ok()?;
        let entries = Chain::excerpt(node, &query, *found.slots.first()?).await.ok()?;
        let is_its = |log: &evm::Log| log.topics.get(1) == Some(&id.0);
        entries
            .into_iter()
            .find(|entry| entry.record.outcome.logs.iter().any(is_its))
            .map(|entry| entry.record.transaction)
    }

    fn told_message(&self, message: &Message) -> Value {
        json!({
            "nonce": message.nonce,
            "origin": self.domain(message.origin),
            "destination": self.domain(message.destination),
            "sender": party(message.sender),
            "recipient": party(message.recipient),
            "value": message.value.to_string(),
            "gasLimit": message.gas_limit,
            "deadline": message.deadline.0,
            "body": hex::encode_prefixed(&message.body),
            "v3Id": message.v3_id(),
        })
    }

    /// The transactions on the foreign chain that nodes of bridges tell, and how anybody finds them, since no shard knows one: by the log of
    /// the mailbox there that has the message's id. None of a message between shards.
    fn foreign_hop(&self, message: &Message, heard: &Heard) -> Option<Value> {
        let network = self.node.network.params.network;
        let (domain, event) = match (shard_of(network, message.origin), shard_of(network, message.destination)) {
            (None, _) => (message.origin, "DispatchId(bytes32)"),
            (_, None) => (message.destination, "ProcessId(bytes32)"),
            _ => return None,
        };
        let route = self.route_of(message);
        let (hops, nodes) = heard.told();
        Some(json!({
            "domain": domain,
            "chainId": route.map(|route| route.terms().chain_id),
            "mailbox": route.map(|route| route.terms().mailbox),
            "event": event,
            "topics": [keccak256(event), message.v3_id()],
            "command": format!("dovetail bridge why {}", message.v3_id()),
            "hops": hops,
            "nodes": nodes,
        }))
    }

    /// A domain: its number, and whose it is.
    pub(super) fn domain(&self, domain: u32) -> Value {
        let shard = shard_of(self.node.network.params.network, domain).map(|shard| shard.0);
        json!({ "domain": domain, "shard": shard, "isForeign": shard.is_none() })
    }
}

/// An address where the 32 bytes are one.
fn party(word: B256) -> Value {
    let address = Address::from_word(word);
    if address.into_word() == word { json!(address) } else { json!(word) }
}

fn mark(mark: Option<Mark>) -> Value {
    mark.map_or(Value::Null, |mark| json!({ "height": mark.height.0, "time": mark.time.0 }))
}

fn status(status: DeliveryStatus) -> &'static str {
    match status {
        DeliveryStatus::Delivered => "delivered",
        DeliveryStatus::Failed => "failed",
        DeliveryStatus::Expired => "expired",
    }
}

fn sight(sight: &Sight) -> Value {
    match sight {
        Sight::Seen(trace) => json!({ "saw": true, "events": trace.events.len() }),
        Sight::Unseen => json!({ "saw": false }),
        Sight::Silent(reason) => json!({ "silent": reason }),
    }
}

/// All events in order of time, each with who did what.
fn events(life: &Life) -> Vec<Value> {
    let mut events: Vec<(Time, Value)> = Vec::new();
    let marks = [
        (life.dispatched, life.source, "dispatched", "in its source's outbox"),
        (
            life.delivered,
            life.destination,
            life.status.map_or("delivered", status),
            "consumed from its destination's inbox",
        ),
        (life.acknowledged, life.source, "acknowledged", "its source took the delivery's receipt"),
    ];
    for (mark, shard, stage, words) in marks {
        let Some(mark) = mark else { continue };
        let event = json!({
            "time": mark.time.0, "stage": stage, "shard": shard.map(|shard| shard.0), "height": mark.height.0, "detail": words,
        });
        events.push((mark.time, event));
    }
    for (number, seen) in life.sights.iter().enumerate() {
        let Sight::Seen(trace) = seen else { continue };
        for event in &trace.events {
            let told = json!({
                "time": event.time.0, "stage": stage(event.stage), "relay": number, "try": event.attempt_number,
                "detail": event.detail,
            });
            events.push((event.time, told));
        }
    }
    events.sort_by_key(|(time, _)| *time);
    events.into_iter().map(|(_, event)| event).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample::message;
    use super::*;
    use primitives::Height;
    use wire::relay::{Trace, TraceEvent};

    /// Of a message from shard 0 to shard 2, of which `silent` does not answer and a relay saw `stage`.
    fn life(silent: ShardId, stage: Option<TraceStage>) -> Life {
        let event = |stage| TraceEvent { time: Time(9), stage, attempt_number: 1, detail: String::new() };
        let sight = |stage| Sight::Seen(Trace { message: message(), events: vec![event(stage)] });
        Life {
            message: Some(message()),
            source: Some(ShardId(0)),
            destination: Some(ShardId(2)),
            silent: vec![(silent, "stopped".to_owned())],
            sights: stage.map(sight).into_iter().collect(),
            ..Life::default()
        }
    }

    fn mark() -> Mark {
        Mark { height: Height(5), time: Time(5) }
    }

    #[test]
    fn what_a_silent_source_would_know_is_unknown_until_a_relay_says_it() {
        let told = Life { delivered: Some(mark()), ..life(ShardId(0), None) };
        let unknown = "unknown: shard 0 is silent";
        assert_eq!(told.steps(), json!({ "dispatched": "yes", "consumed": "yes", "acknowledged": unknown }));
        assert!(!told.is_over());
        assert!(Life { delivered: Some(mark()), ..life(ShardId(0), Some(TraceStage::Acknowledged)) }.is_over());
    }

    #[test]
    fn what_is_acknowledged_was_consumed_though_its_destination_is_silent() {
        let unknown = "unknown: shard 2 is silent";
        let steps = json!({ "dispatched": "yes", "consumed": unknown, "acknowledged": "not yet" });
        assert_eq!(life(ShardId(2), None).steps(), steps);
        let told = Life { acknowledged: Some(mark()), ..life(ShardId(2), None) };
        assert_eq!(told.steps(), json!({ "dispatched": "yes", "consumed": "yes", "acknowledged": "yes" }));
        assert!(life(ShardId(2), Some(TraceStage::Delivered)).is_consumed());
    }

    #[test]
    fn what_its_source_has_forgotten_is_over_and_waits_for_nothing() {
        let unknown = || Rejection::new(Reason::NotFound, "the message is not here");
        let mut told = Life { silent: Vec::new(), ..life(ShardId(0), Some(TraceStage::Acknowledged)) };
        for shard in [0, 2] {
            told.add(ShardId(shard), Err(unknown()));
        }
        assert!(!told.is_over(), "a shard that has forgotten nothing would know it");
        for shard in [0, 2] {
            told.add(ShardId(shard), Err(unknown().with("first", 9)));
        }
        assert!(told.is_over() && Waiting::of(&told, Time(u64::MAX)).is_none());
        assert_eq!(told.steps(), json!({ "dispatched": "yes", "consumed": "yes", "acknowledged": "yes" }));
        // The destination may keep it for longer; what it has forgotten alone says nothing.
        let kept = Life { forgetful: [ShardId(0)].into(), delivered: Some(mark()), ..life(ShardId(1), None) };
        assert!(kept.is_over());
        assert!(!Life { forgetful: [ShardId(2)].into(), ..life(ShardId(1), None) }.is_consumed());
    }

    #[test]
    fn what_happened_on_a_foreign_chain_is_unknown_until_the_bridge_tells_it() {
        let delivered = Some(DeliveryStatus::Delivered);
        let foreign = Message { origin: 31_337, ..message() };
        let there = life(ShardId(9), None);
        let mut told =
            Life { message: Some(foreign), source: None, delivered: Some(mark()), status: delivered, ..there };
        assert_eq!(told.steps()["acknowledged"], UNTOLD);
        let (step, state) = (Step::Answered, Standing::Final);
        let hop = wire::hops::Hop { step, state, transaction: None, block: Some(3), block_hash: None };
        let by = [0].into();
        told.heard = Heard { words: Vec::new(), hops: vec![super::super::bridges::Told { hop, by }] }.into();
        assert_eq!(told.steps(), json!({ "dispatched": "yes", "consumed": "yes", "acknowledged": "yes" }));
    }

    #[test]
    fn a_shard_that_answers_has_the_last_word() {
        assert!(!life(ShardId(2), Some(TraceStage::Acknowledged)).is_acknowledged());
    }
}
