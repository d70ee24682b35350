//! The head of the network as one chain: the last slot that every shard's attested time has passed.
//!
//! Promise: it never goes back, and a shard that does not answer for [`host::PEER_SILENT_MAX`] does not hold it.

use crate::shards::Shards;
use host::network::Network;
use primitives::{ShardId, Slot, Time};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What is known of every shard's time, and the head that follows from it.
#[derive(Debug)]
struct Heads {
    network: Arc<Network>,
    shards: Arc<Shards>,
    closed: Mutex<BTreeMap<ShardId, Slot>>,
    head: watch::Sender<Slot>,
}

/// Asks all shards for their attested time, twice a slot, and tells the head as it grows. It ends when nobody listens.
pub(crate) fn follow(network: Arc<Network>, shards: Arc<Shards>) -> watch::Receiver<Slot> {
    let (head, receiver) = watch::channel(Slot(0));
    let pause = Duration::from_millis(network.params.slot_length.0.div_ceil(2));
    let heads = Arc::new(Heads { network, shards, closed: Mutex::default(), head });
    for shard in heads.shards.ids() {
        let heads = Arc::clone(&heads);
        tokio::spawn(async move {
            while !heads.head.is_closed() {
                heads.ask(shard).await;
                tokio::time::sleep(pause).await;
            }
        });
    }
    receiver
}

impl Heads {
    async fn ask(&self, shard: ShardId) {
        let status = self.shards.look(shard).await;
        // A panic while it was held left a whole map.
        let mut slots = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(status) = status {
            slots.insert(shard, closed(&self.network, status.attested));
        }
        let sound = self.shards.standings().filter(|(_, standing)| standing.is_sound());
        // None while a shard that may still answer has not.
        let Some(sound) = sound.map(|(shard, _)| slots.get(&shard).copied()).collect::<Option<Vec<_>>>() else {
            return;
        };
        let Some(closed) = sound.into_iter().min() else { return };
        self.head.send_if_modified(|head| {
            let grows = closed > *head;
            *head = closed.max(*head);
            grows
        });
    }
}

/// The last slot whose every moment is at or before `attested`.
fn closed(network: &Network, attested: Time) -> Slot {
    Slot(network.params.slot_at(Time(attested.0 + 1)).0.saturating_sub(1))
}
