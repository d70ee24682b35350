//! The head of the network as one chain: the last slot that every shard's attested time has passed.

use crate::shards::Shards;
use host::network::Network;
use primitives::{Slot, Time};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Asks all shards for their attested time, twice a slot, and tells the head as it grows. It ends when nobody listens.
pub(crate) fn follow(network: Arc<Network>, shards: Arc<Shards>) -> watch::Receiver<Slot> {
    let (head, receiver) = watch::channel(Slot(0));
    let pause = Duration::from_millis(network.params.slot_length.0.div_ceil(2));
    tokio::spawn(async move {
        while !head.is_closed() {
            if let Some(attested) = attested(&shards).await {
                let closed = closed(&network, attested);
                head.send_if_modified(|head| {
                    let grows = closed > *head;
                    *head = closed.max(*head);
                    grows
                });
            }
            tokio::time::sleep(pause).await;
        }
    });
    receiver
}

/// The earliest of all shards' attested times; none while one of them does not answer.
async fn attested(shards: &Shards) -> Option<Time> {
    let statuses = futures_util::future::join_all(shards.iter().map(|(_, peer)| peer.shard.status())).await;
    let times = statuses.into_iter().map(|status| status.map(|status| status.attested).ok());
    times.collect::<Option<Vec<_>>>()?.into_iter().min()
}

/// The last slot whose every moment is at or before `attested`.
fn closed(network: &Network, attested: Time) -> Slot {
    Slot(network.params.slot_at(Time(attested.0 + 1)).0.saturating_sub(1))
}
