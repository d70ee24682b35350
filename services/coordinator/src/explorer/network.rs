//! The network: what it is, whom to believe, and how it is now.

use super::Explorer;
use super::answer::Problem;
use super::charts::blocks_rate;
use crate::lives::Standstill;
use futures_util::future::join_all;
use host::Standing;
use primitives::{ShardId, Time};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use wire::jsonrpc::Chain;
use wire::relay::Route;
use wire::shard::{HotKey, LockCounts, ShardStatus};

/// For how long what was asked is told again: so many readers cost as much as one.
const KEPT: Duration = Duration::from_millis(900);

/// Most undecided attempts that are named.
const ATTEMPTS_TOLD_COUNT_MAX: usize = 50;

/// How the network was, and when it was asked.
#[derive(Debug)]
pub(super) struct Told {
    at: Instant,
    value: Value,
}

impl Explorer {
    /// What all nodes agree on, and the validators' keys: whom a reader believes, if this node does not lie about them. The same
    /// is in the network file.
    pub(super) fn network(&self) -> Value {
        let network = &self.node.network;
        let shards = network.validators.iter().map(|(shard, set)| {
            json!({
                "shard": shard.0,
                "epoch": set.epoch().0,
                "validators": set.keys().iter().map(ToString::to_string).collect::<Vec<_>>(),
                "genesis": set.genesis().map(ToString::to_string),
                "mailbox": evm::mailbox_address(*shard),
            })
        });
        json!({
            "network": network.params.network.0,
            "slotMs": network.params.slot_length.0,
            "genesisMs": network.params.genesis.0,
            "gasLimit": network.params.gas_limit,
            "baseFee": network.params.base_fee,
            "beneficiary": network.params.beneficiary,
            "hasCheats": network.params.environments.has_cheats(),
            "genesisDigest": network.genesis_digest.to_string(),
            "shards": shards.collect::<Vec<_>>(),
            "relays": self.relays_count(),
            "foreignRoutes": network.routes.len(),
        })
    }

    /// How it is now.
    pub(super) async fn now(&self) -> Result<Value, Problem> {
        let mut told = self.now.lock().await;
        if let Some(told) = told.as_ref().filter(|told| told.at.elapsed() < KEPT) {
            return Ok(told.value.clone());
        }
        let value = self.asked_now().await;
        *told = Some(Told { at: Instant::now(), value: value.clone() });
        Ok(value)
    }

    async fn asked_now(&self) -> Value {
        let undecided = self.node.lives.undecided();
        let looks = self.node.shards.standings().map(|(shard, standing)| {
            let open = undecided.iter().filter(|open| open.participants.contains(&shard)).count();
            self.shard_now(shard, standing, open)
        });
        let (shards, relays) = tokio::join!(join_all(looks), self.relays_now());
        let now = super::charts::now();
        let told = undecided.iter().take(ATTEMPTS_TOLD_COUNT_MAX).map(|open| open_attempt(open, now));
        json!({
            "time": now.0,
            "head": self.node.head.borrow().map(|slot| slot.0),
            "oldest": Chain::oldest(&*self.node).0,
            "shards": shards,
            "relays": relays,
            "attempts": { "count": undecided.len(), "oldest": told.collect::<Vec<_>>() },
            "pending": self.under_way(),
            "silent": self.silent_shards(),
        })
    }

    async fn shard_now(&self, shard: ShardId, standing: Standing, open: usize) -> Value {
        let asked = if standing.is_sound() {
            self.node.shards.look(shard).await.map_err(|rejection| rejection.message)
        } else {
            Err(standing.complaint().unwrap_or_default())
        };
        match asked {
            Ok(status) => {
                let locks = self.locks(shard).await;
                self.told_status(shard, &status, (open, locks))
            }
            Err(reason) => json!({ "shard": shard.0, "answers": false, "reason": reason, "undecided": open }),
        }
    }

    /// What is locked there, if it says so: a shard of an earlier build does not.
    async fn locks(&self, shard: ShardId) -> Option<LockCounts> {
        self.node.shards.sound(shard).ok()?.shard.locks().await.ok()
    }

    fn told_status(&self, shard: ShardId, status: &ShardStatus, (open, locks): (usize, Option<LockCounts>)) -> Value {
        let now = super::charts::now();
        json!({
            "shard": shard.0,
            "answers": true,
            "height": status.head.0,
            "headTime": status.head_time.0,
            "attested": status.attested.0,
            "lagMs": now.since(status.attested).0,
            "openBlock": status.open.0,
            "historyFrom": status.history.0,
            "clock": status.clock.map(|clock| clock.0),
            "blocksPerThousandSeconds": blocks_rate(&self.hour().steps(), shard),
            "stateRoot": status.header.as_ref().map(|header| header.state_root.to_string()),
            "undecided": open,
            "locks": locks.map(told_locks),
        })
    }

    async fn relays_now(&self) -> Vec<Value> {
        let routes = self.relays.routes().await;
        let told = routes.into_iter().enumerate().map(|(number, routes)| match routes {
            Ok(routes) => json!({
                "relay": number,
                "answers": true,
                "routes": routes.iter().map(|route| self.route(route)).collect::<Vec<_>>(),
            }),
            Err(rejection) => json!({ "relay": number, "answers": false, "reason": rejection.message, "routes": [] }),
        });
        told.collect()
    }

    fn route(&self, route: &Route) -> Value {
        json!({
            "source": self.domain(route.key.source),
            "destination": self.domain(route.key.destination),
            "isPaused": route.paused,
            "queued": route.queued_count,
            "dead": route.dead_count,
            "acknowledged": route.acknowledged_count,
            "oldestSince": route.oldest.map(|time| time.0),
            "movedAt": route.progress.map(|time| time.0),
            "lastError": route.last_error,
        })
    }
}

fn told_locks(counts: LockCounts) -> Value {
    let hot = |hot: HotKey| json!({ "key": hot.key.to_string(), "count": hot.count });
    json!({
        "keys": counts.keys_count,
        "holders": counts.holders_count,
        "waiting": counts.waiting_count,
        "hottest": counts.hottest.into_iter().map(hot).collect::<Vec<_>>(),
    })
}

fn open_attempt(open: &Standstill, now: Time) -> Value {
    json!({
        "attempt": open.attempt.0.to_string(),
        "submission": open.id,
        "transaction": open.transaction,
        "ageMs": now.since(open.since).0,
        "shards": open.participants.iter().map(|shard| shard.0).collect::<Vec<_>>(),
    })
}
