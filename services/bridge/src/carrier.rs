//! A carrier: collects attestors' words and brings what enough of them say, in and out.
//!
//! ```text
//!   Incoming: attestors --words--> shards' inboxes          each at its own pace, in rounds: what keeps one of them
//!   Outgoing: attestors --words--> the foreign mailbox      keeps nothing of the other
//! ```
//!
//! Promise: it can withhold and nothing else: shards and the foreign ISM count the signatures themselves. Memory holds what is not
//! settled yet; after a restart it goes on at the first of that.

use crate::desk::{Desk, Order};
use crate::incoming::Incoming;
use crate::letters::Direction;
use crate::metrics::Metrics;
use crate::outgoing::Outgoing;
use host::Health;
use std::time::Duration;

/// Both halves.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
    pub(crate) desk: Desk,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
}

impl Carrier {
    /// Carries for ever, a round in each direction every `interval`.
    pub(crate) async fn carry(self, interval: Duration) {
        let Self { mut incoming, mut outgoing, desk, metrics, health } = self;
        let inward = async {
            loop {
                while let Some(Order { ask, answer }) = desk.take_order(Direction::In) {
                    let _ = answer.send(incoming.obey(&ask).await);
                }
                let paused = desk.paused(Direction::In);
                incoming.round(paused.is_some()).await;
                let standing = incoming.standing();
                say(&health, Direction::In, paused.as_deref(), standing.complaint().as_deref());
                metrics.set(Direction::In, &standing, paused.is_some());
                desk.set_standing(Direction::In, standing);
                tokio::time::sleep(interval).await;
            }
        };
        let outward = async {
            loop {
                while let Some(Order { ask, answer }) = desk.take_order(Direction::Out) {
                    let _ = answer.send(outgoing.obey(&ask).await);
                }
                let paused = desk.paused(Direction::Out);
                outgoing.round(paused.is_some()).await;
                let standing = outgoing.standing();
                say(&health, Direction::Out, paused.as_deref(), standing.complaint().as_deref());
                metrics.set(Direction::Out, &standing, paused.is_some());
                desk.set_standing(Direction::Out, standing);
                tokio::time::sleep(interval).await;
            }
        };
        tokio::join!(inward, outward);
    }
}

/// What an operator reads at `/readyz`.
fn say(health: &Health, direction: Direction, paused: Option<&str>, complaint: Option<&str>) {
    let about = match direction {
        Direction::In => "the way in",
        Direction::Out => "the way out",
    };
    let paused = paused.map(|reason| format!("paused: {reason}"));
    health.remark(about, paused.as_deref().or(complaint));
}
