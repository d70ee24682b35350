//! The charts of the last hour: what the node keeps, and the two tasks that look at what nobody else notes.

use super::hour::{STEP, STEPS_COUNT_MAX, Step};
use super::{Explorer, Hour};
use crate::api::Node;
use futures_util::future::join_all;
use host::Clock;
use primitives::{ShardId, Time};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often shards are looked at for their heights.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Most keys that are named as the hottest.
const KEYS_TOLD_COUNT_MAX: usize = 10;

/// What time it is.
pub(super) fn now() -> Time {
    Clock::starting_at(Time(0)).now()
}

/// Notes what blocks show, as they are told.
pub(crate) async fn watch_blocks(node: Arc<Node>) {
    let mut head = node.head.clone();
    // What was told before this process began is of another hour.
    let mut told = head.wait_for(Option::is_some).await.ok().and_then(|head| *head);
    while head.changed().await.is_ok() {
        let (newest, before) = (*head.borrow_and_update(), told);
        let (Some(newest), Some(before)) = (newest, before) else { continue };
        let slots = node.blocks.index().occupied(before.next(), newest, super::PAGE_COUNT_MAX).unwrap_or_default();
        let shown = slots.into_iter().filter_map(|slot| node.blocks.block(slot).ok()).map(|block| block.outcomes.len());
        node.lives.hour().note_block(now(), shown.sum());
        told = Some(newest);
    }
}

/// Notes where shards are.
pub(crate) async fn watch_shards(node: Arc<Node>) {
    loop {
        let sound = node.shards.standings().filter(|(_, standing)| standing.is_sound()).map(|(shard, _)| shard);
        let looks = sound.map(|shard| {
            let node = &node;
            async move { (shard, node.shards.look(shard).await) }
        });
        for (shard, status) in join_all(looks).await {
            if let Ok(status) = status {
                node.lives.hour().note_height(now(), shard, status.head.0);
            }
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

impl Explorer {
    /// What is drawn.
    pub(super) fn charts(&self) -> Value {
        let steps = self.node.lives.hour().steps();
        let told: Vec<Value> = steps.iter().map(told).collect();
        json!({
            "stepMs": STEP.0,
            "stepsMax": STEPS_COUNT_MAX,
            "now": now().0,
            "steps": told,
            "hotKeys": hottest(&steps),
        })
    }

    /// The last hour.
    pub(super) fn hour(&self) -> &Hour {
        self.node.lives.hour()
    }
}

fn told(step: &Step) -> Value {
    json!({
        "begin": step.begin.0,
        "committed": step.committed,
        "refused": step.refused,
        "noes": step.noes,
        "transactions": step.shown,
        "latencyMs": {
            "p50": step.latency(50).map(|latency| latency.0),
            "p95": step.latency(95).map(|latency| latency.0),
            "p99": step.latency(99).map(|latency| latency.0),
        },
        "heights": step.heights.iter().map(|(shard, height)| (shard.0.to_string(), *height)).collect::<BTreeMap<_, _>>(),
    })
}

/// The keys that most submissions had to wait for.
fn hottest(steps: &[Step]) -> Vec<Value> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (key, count) in steps.iter().flat_map(|step| &step.waited) {
        *counts.entry(key).or_default() += count;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().take(KEYS_TOLD_COUNT_MAX).map(|(key, count)| json!({ "key": key, "waits": count })).collect()
}

/// Blocks of a shard's log in a thousand seconds, between its last two looks that are a step apart; none while there is one only.
pub(super) fn blocks_rate(steps: &[Step], shard: ShardId) -> Option<u64> {
    let mut seen = steps.iter().rev().filter_map(|step| Some((step.begin, *step.heights.get(&shard)?)));
    let (newest, height) = seen.next()?;
    let (before, earlier) = seen.next()?;
    height.saturating_sub(earlier).saturating_mul(1_000_000).checked_div(newest.since(before).0)
}
