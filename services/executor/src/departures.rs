//! The first span of a message's trace: from the block that sent it to the first who fetched it.

use alloy_primitives::B256;
use proof::{LeafKind, Message, Receipt};
use shard::LeafPlace;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use wire::traces::{Nanos, Side, Span, Tracer};

/// Messages that are known to have been fetched, the newest: several relays fetch each, and some again.
const FETCHED_COUNT_MAX: usize = 16_384;

/// What is traced of messages that leave this shard.
#[derive(Debug)]
pub(crate) struct Departures {
    tracer: Tracer,
    fetched: Mutex<Fetched>,
}

#[derive(Debug, Default)]
struct Fetched {
    known: BTreeSet<B256>,
    /// The oldest first.
    order: VecDeque<B256>,
}

impl Departures {
    /// Of what `tracer` has in its sample.
    pub(crate) fn new(tracer: Tracer) -> Self {
        Self { tracer, fetched: Mutex::default() }
    }

    /// Somebody fetches a page of the outbox.
    pub(crate) fn note(&self, leaves: &[(LeafPlace, Receipt)]) {
        if !self.tracer.is_on() {
            return;
        }
        for (_, receipt) in leaves.iter().filter(|(_, receipt)| receipt.leaf.kind == LeafKind::Message) {
            let Ok(message) = Message::from_bytes(&receipt.leaf.body) else { continue };
            let id = message.id().0;
            let Some(context) = self.tracer.sampled(&id).filter(|_| self.is_first(id)) else { continue };
            let span = Span::first(context, Side::Within, "message in the outbox").with("dovetail.message", id);
            let begun = Nanos(receipt.header.time.0.saturating_mul(1_000_000));
            self.tracer.tell(Span { begun, ..span });
        }
    }

    fn is_first(&self, id: B256) -> bool {
        // Set and order are whole after every operation.
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        if !fetched.known.insert(id) {
            return false;
        }
        fetched.order.push_back(id);
        if fetched.order.len() > FETCHED_COUNT_MAX
            && let Some(oldest) = fetched.order.pop_front()
        {
            fetched.known.remove(&oldest);
        }
        true
    }
}
