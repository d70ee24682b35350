//! A message's way over the foreign chain, as one node of a bridge knows it: `GET /hops/{Hyperlane's id}`, for an explorer.
//!
//! ```text
//!   attestor: what it read in final blocks -----> dispatched, processed, answered      final
//!   carrier:  what it sent, until it is settled --> processed, answered                under way, mined, reverted; and why it waits
//! ```
//!
//! Promise: read only, and bounded: [`ASKED_COUNT_MAX`] questions to a carrier at once, each answered within [`ANSWER_TIMEOUT`] or not at
//! all.

use crate::desk::{Ask, Desk};
use crate::operator::ask_both;
use crate::words::Words;
use alloy_primitives::{Address, B256, U256};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chains::submitter::BlockPlace;
use primitives::{ShardId, Time};
use proof::{Message, Processed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use wire::hops::{Hop, Sight, Standing, Step};

/// How many questions of explorers wait for a carrier's next round at once.
const ASKED_COUNT_MAX: usize = 16;

/// How long they may wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) fn hop((step, state): (Step, Standing), transaction: B256, block: Option<BlockPlace>) -> Hop {
    let (transaction, block_hash) = (Some(transaction), block.map(|block| block.hash));
    Hop { step, state, transaction, block: block.map(|block| block.number), block_hash }
}

/// The message of the foreign chain whose end this one, from a mailbox itself, tells its sender.
pub(crate) fn answered(shard: u32, packed: &[u8]) -> Option<B256> {
    let message = Message::from_packed(packed, 0, Time(0), U256::ZERO).ok()?;
    let mailbox: Address = evm::mailbox_address(ShardId(shard));
    let (id, status) = message.body.split_first_chunk::<32>()?;
    (message.sender == mailbox.into_word() && status.len() == 32).then(|| B256::new(*id))
}

/// What the leaf of a foreign block says was done there, and with which message.
pub(crate) fn done(leaf: &[u8]) -> (Step, B256) {
    let processed = Processed::from_bytes(leaf).map(|processed| (Step::Processed, processed.id));
    processed.unwrap_or_else(|| (Step::Dispatched, alloy_primitives::keccak256(leaf)))
}

/// Serves what an attestor read.
pub(crate) fn attestors_router(words: Arc<Mutex<Words>>, chain_id: u64) -> Router {
    let said = async move |State(words): State<Arc<Mutex<Words>>>, Path(id): Path<B256>| {
        let hops = words.lock().unwrap_or_else(PoisonError::into_inner).hops(id);
        Json(Sight { chain_id, hops, why: None })
    };
    Router::new().route("/hops/{id}", get(said)).with_state(words)
}

#[derive(Clone)]
struct Carriers {
    desk: Desk,
    chain_id: u64,
    turns: Arc<Semaphore>,
}

/// Serves what a carrier has under way.
pub(crate) fn carriers_router(desk: Desk, chain_id: u64) -> Router {
    let carriers = Carriers { desk, chain_id, turns: Arc::new(Semaphore::new(ASKED_COUNT_MAX)) };
    Router::new().route("/hops/{id}", get(of_carrier)).with_state(carriers)
}

async fn of_carrier(State(carriers): State<Carriers>, Path(id): Path<B256>) -> Response {
    let Carriers { desk, chain_id, turns } = carriers;
    let busy = || (StatusCode::SERVICE_UNAVAILABLE, "no round came to its end in time\n").into_response();
    let Ok(_turn) = turns.try_acquire() else { return busy() };
    let Some(answers) = ask_both(&desk, &Ask::Hops(id), ANSWER_TIMEOUT).await else { return busy() };
    let mut sight = Sight { chain_id, ..Sight::default() };
    for said in answers.into_iter().filter_map(|answer| serde_json::from_value::<Sight>(answer).ok()) {
        sight.hops.extend(said.hops);
        sight.why = sight.why.or(said.why);
    }
    Json(sight).into_response()
}
