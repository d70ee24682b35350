//! Where carriers read an attestor's words: plain HTTP, JSON, read only. Words are signed, so nobody has to be believed on the way.

use crate::words::{InboundWord, OutboundWord, WORDS_PER_ANSWER_COUNT_MAX, Words};
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Deserialize)]
struct After {
    /// The last block that is known.
    after: Option<u64>,
}

#[derive(Deserialize)]
struct From {
    shard: u32,
    /// The first index that is not known.
    from: usize,
}

/// Serves `words`.
pub(crate) fn router(words: Arc<Mutex<Words>>) -> Router {
    Router::new().route("/inbound", get(inbound)).route("/outbound", get(outbound)).with_state(words)
}

async fn inbound(State(words): State<Arc<Mutex<Words>>>, Query(query): Query<After>) -> Json<Vec<InboundWord>> {
    let words = words.lock().unwrap_or_else(PoisonError::into_inner);
    let from = query.after.map_or(0, |after| after.saturating_add(1));
    Json(words.inbound.range(from..).take(WORDS_PER_ANSWER_COUNT_MAX).map(|(_, word)| word.clone()).collect())
}

async fn outbound(State(words): State<Arc<Mutex<Words>>>, Query(query): Query<From>) -> Json<Vec<OutboundWord>> {
    let words = words.lock().unwrap_or_else(PoisonError::into_inner);
    let of_shard = words.outbound.get(&query.shard).map(Vec::as_slice).unwrap_or_default();
    Json(of_shard.iter().skip(query.from).take(WORDS_PER_ANSWER_COUNT_MAX).cloned().collect())
}
