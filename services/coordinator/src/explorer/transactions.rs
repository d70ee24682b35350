//! One transaction: what it is, what became of it, and its path through the shards.

use super::Explorer;
use super::answer::Problem;
use super::past_votes::Hint;
use crate::lives::Life;
use alloy_primitives::{B256, keccak256};
use futures_util::future::join_all;
use primitives::{AttemptId, ShardId};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::LazyLock;
use wire::coordinator::{LifeEvent, LifeStage};
use wire::jsonrpc::{Chain, Found};
use wire::state::OutcomeRecord;

/// Most attempts of one submission of which shards are asked; of those before, only what this node noted is told.
const ATTEMPTS_TOLD_COUNT_MAX: usize = 8;

pub(crate) static DISPATCH: LazyLock<B256> =
    LazyLock::new(|| keccak256("Dispatch(bytes32,bytes,uint64,uint64,uint256)"));

/// What this node noted of a submission.
#[derive(Debug)]
struct Noted {
    events: Vec<LifeEvent>,
    participants: BTreeSet<ShardId>,
}

impl Noted {
    fn of(life: &Life) -> Self {
        Self { events: life.events.clone(), participants: life.participants.clone() }
    }

    /// The attempts in the order in which they began.
    fn attempts(&self) -> Vec<AttemptId> {
        let mut attempts = Vec::new();
        for attempt in self.events.iter().filter_map(|event| event.attempt) {
            if !attempts.contains(&attempt) {
                attempts.push(attempt);
            }
        }
        attempts
    }
}

impl Explorer {
    /// All that is known of a transaction.
    pub(super) async fn transaction(&self, hash: B256) -> Result<Value, Problem> {
        let noted = self.node.lives.look(hash, Noted::of);
        let refusal = self.node.lives.refusal(hash);
        let found = Chain::transaction(&*self.node, hash).await;
        let mut told = match found {
            Ok(Some(Found::Placed(entry))) => {
                let mut told = self.whole(&entry.record, entry.slot, entry.index);
                told["state"] = "committed".into();
                told["messages"] = self.dispatched(&entry.record).into();
                self.add_path(&mut told, noted, Some(&entry.record)).await;
                told
            }
            Ok(Some(Found::Pending { bytes, sender })) => {
                let mut told = self.pending(&bytes, sender);
                told["state"] = "pending".into();
                self.add_path(&mut told, noted, None).await;
                told
            }
            Ok(None) | Err(_) if noted.is_some() || refusal.is_some() => {
                let mut told = self.noted_call(hash);
                told["state"] = if refusal.is_some() { "refused" } else { "pending" }.into();
                self.add_path(&mut told, noted, None).await;
                told
            }
            Ok(None) => return Err(Problem::unknown(format!("no shard and not this node knows transaction {hash}"))),
            Err(rejection) => return Err(rejection.into()),
        };
        told["hash"] = json!(hash);
        told["refusal"] = refusal.map_or(Value::Null, |ended| json!({ "time": ended.time.0, "reason": ended.reason }));
        told["silent"] = self.silent_shards().into();
        Ok(told)
    }

    /// What was signed, as this node took it in.
    fn noted_call(&self, hash: B256) -> Value {
        let signed =
            self.node.lives.look(hash, |life| life.transactions.iter().find(|signed| signed.hash == hash).cloned());
        signed.flatten().map_or_else(|| json!({}), |signed| self.pending(&signed.bytes, signed.sender))
    }

    /// Its calls, as the default tracer of `debug_traceTransaction` tells them.
    pub(super) async fn trace(&self, hash: B256) -> Result<Value, Problem> {
        let tracer = json!({ "tracer": "callTracer", "tracerConfig": { "withLog": true } });
        let mut calls = self.inside.ask("debug_traceTransaction", json!([hash, tracer])).await?;
        self.add_shards(&mut calls);
        Ok(calls)
    }

    /// Says of each call on which shard it ran.
    fn add_shards(&self, call: &mut Value) {
        if let Some(to) = call["to"].as_str().and_then(|to| to.parse().ok()) {
            call["shard"] = self.shard_of(to).into();
        }
        for inner in call.get_mut("calls").and_then(Value::as_array_mut).into_iter().flatten() {
            self.add_shards(inner);
        }
    }

    /// The messages that it sent, by id.
    fn dispatched(&self, record: &OutcomeRecord) -> Vec<Value> {
        let placement = &self.node.network.placement;
        let logs = record.outcome.logs.iter().filter(|log| placement.mailbox_shard(log.address).is_some());
        let ids = logs.filter(|log| log.topics.first() == Some(&DISPATCH)).filter_map(|log| log.topics.get(1));
        ids.map(|id| json!(id)).collect()
    }

    /// Its path: what this node noted, and what the shards of each attempt say.
    async fn add_path(&self, told: &mut Value, noted: Option<Noted>, record: Option<&OutcomeRecord>) {
        let events = noted.as_ref().map(|noted| noted.events.iter().map(event).collect::<Vec<_>>());
        let mut attempts = noted.as_ref().map(Noted::attempts).unwrap_or_default();
        let committing = record.and_then(|record| record.attempt);
        attempts.extend(committing.filter(|attempt| !attempts.contains(attempt)));
        let participants = self.participants(noted.as_ref(), record);
        let earlier = attempts.len().saturating_sub(ATTEMPTS_TOLD_COUNT_MAX);
        let asked = attempts.into_iter().skip(earlier).map(|attempt| {
            let (noted, participants) = (noted.as_ref(), &participants);
            async move {
                let committed = record.filter(|_| committing == Some(attempt));
                let hint = committed.map(|record| Hint::Applied(record.time));
                let mut told = self.attempt_on(attempt, participants, hint).await;
                told["decision"] = decision(noted, attempt, committing).into();
                told
            }
        });
        told["attempts"] = join_all(asked).await.into();
        told["attemptsNotTold"] = earlier.into();
        told["shards"] = participants.iter().map(|shard| shard.0).collect::<Vec<_>>().into();
        told["events"] = events.into();
    }

    fn participants(&self, noted: Option<&Noted>, record: Option<&OutcomeRecord>) -> Vec<ShardId> {
        match (record, noted) {
            (Some(record), _) if !record.participants.is_empty() => record.participants.clone(),
            (Some(record), _) => vec![self.node.network.placement.shard_of(record.sender)],
            (None, Some(noted)) => noted.participants.iter().copied().collect(),
            (None, None) => Vec::new(),
        }
    }

    /// Shards that do not answer now, and why.
    pub(super) fn silent_shards(&self) -> Vec<Value> {
        let complaint = |(shard, standing): (ShardId, host::Standing)| {
            Some(json!({ "shard": shard.0, "reason": standing.complaint()? }))
        };
        self.node.shards.standings().filter_map(complaint).collect()
    }

    /// A line of a transaction of which only the hash is known here.
    pub(super) fn under_way(&self) -> Vec<Value> {
        let all = self.node.lives.under_way(None);
        let line = |pending: &wire::jsonrpc::UnderWay| {
            let mut told = self.pending(&pending.arrival.bytes, pending.arrival.sender);
            told["hash"] = json!(pending.arrival.hash);
            told["waitsForNonce"] = pending.is_ahead.into();
            if let Some(object) = told.as_object_mut() {
                object.remove("input");
            }
            told
        };
        all.iter().take(super::PAGE_COUNT_MAX).map(line).collect()
    }
}

/// How an attempt ended, as far as it is known.
fn decision(noted: Option<&Noted>, attempt: AttemptId, committing: Option<AttemptId>) -> Option<String> {
    if committing == Some(attempt) {
        return Some("commit".to_owned());
    }
    let events = noted?.events.iter().rev();
    let mut decided = events.filter(|event| event.stage == LifeStage::Decided && event.attempt == Some(attempt));
    decided.next().map(|event| event.detail.clone())
}

fn event(event: &LifeEvent) -> Value {
    json!({
        "number": event.number,
        "time": event.time.0,
        "stage": stage(event.stage),
        "attempt": event.attempt.map(|attempt| attempt.0.to_string()),
        "shard": event.shard.map(|shard| shard.0),
        "detail": event.detail,
    })
}

fn stage(stage: LifeStage) -> &'static str {
    match stage {
        LifeStage::Accepted => "accepted",
        LifeStage::Executed => "executed",
        LifeStage::Queued => "queued",
        LifeStage::SentLocally => "sent to its shard",
        LifeStage::Preparing => "preparing",
        LifeStage::Voted => "voted",
        LifeStage::Decided => "decided",
        LifeStage::Committed => "committed",
        LifeStage::Refused => "refused",
    }
}
