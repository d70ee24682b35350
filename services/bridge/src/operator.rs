//! Where an operator asks a carrier or an attestor and tells it what to do: HTTP and JSON, on a loopback port of its own. `dovetail bridge` speaks it.
//!
//! Promise: an answer that something is so comes after it is on the disk. Knows no keys and no passwords: `lint` refuses any
//! address but one of the loopback.

use crate::desk::{Ask, Desk};
use crate::letters::Direction;
use alloy_primitives::B256;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// How long a half may take until its next round.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// What a node says of itself beside how it stands.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) domain: u32,
    pub(crate) chain_id: u64,
    pub(crate) mailbox: alloy_primitives::Address,
}

#[derive(Clone)]
struct Shared {
    desk: Desk,
    about: About,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Gas {
    #[serde(default)]
    gas: u64,
}

#[derive(Deserialize)]
struct Range {
    from: u64,
    to: u64,
}

/// Serves `desk`.
pub(crate) fn router(desk: Desk, about: About) -> Router {
    Router::new()
        .route("/routes", get(routes))
        .route("/dead-letters", get(letters))
        .route("/dead-letters/{id}", get(letter))
        .route("/dead-letters/{id}/retry", post(retry))
        .route("/dead-letters/{id}/drop", post(drop_letter))
        .route("/dead-letters/{id}/refund", post(refund))
        .route("/pause/{direction}", post(pause))
        .route("/resume/{direction}", post(resume))
        .route("/rescan", post(rescan))
        .route("/why/{id}", get(why))
        .with_state(Shared { desk, about })
}

/// The same for an attestor, which has no letters and looks for itself.
pub(crate) fn attestors_router(desk: Desk, about: About) -> Router {
    Router::new()
        .route("/routes", get(routes))
        .route("/pause/{direction}", post(pause))
        .route("/resume/{direction}", post(resume))
        .with_state(Shared { desk, about })
}

async fn routes(State(shared): State<Shared>) -> Json<Value> {
    let About { domain, chain_id, mailbox } = &shared.about;
    let way = |direction| {
        let standing = shared.desk.standing(direction);
        let complaint = standing.complaint();
        json!({ "paused": shared.desk.paused(direction), "standing": standing, "complaint": complaint })
    };
    let (inward, outward) = (way(Direction::In), way(Direction::Out));
    Json(json!({ "domain": domain, "chain_id": chain_id, "mailbox": mailbox, "in": inward, "out": outward }))
}

/// What both halves answer, the way out first; none if one has no round `within` that.
pub(crate) async fn ask_both(desk: &Desk, ask: &Ask, within: Duration) -> Option<[Value; 2]> {
    let ask_one = async |direction| {
        let heard = desk.order(direction, ask.clone())?;
        tokio::time::timeout(within, heard).await.ok()?.ok()
    };
    let (outward, inward) = tokio::join!(ask_one(Direction::Out), ask_one(Direction::In));
    Some([outward?, inward?])
}

/// The one answer that is one.
async fn answer(desk: &Desk, ask: Ask, missing: &str) -> Response {
    let Some(answers) = ask_both(desk, &ask, ANSWER_TIMEOUT).await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "no round came to its end in time\n").into_response();
    };
    match answers.into_iter().find(|answer| !answer.is_null()) {
        Some(answer) if answer.get("error").is_some() => (StatusCode::CONFLICT, Json(answer)).into_response(),
        Some(answer) => Json(answer).into_response(),
        None => (StatusCode::NOT_FOUND, format!("{missing}\n")).into_response(),
    }
}

async fn letters(State(shared): State<Shared>) -> Response {
    let Some(answers) = ask_both(&shared.desk, &Ask::Letters, ANSWER_TIMEOUT).await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "no round came to its end in time\n").into_response();
    };
    let all: Vec<Value> = answers.into_iter().filter_map(|answer| answer.as_array().cloned()).flatten().collect();
    Json(all).into_response()
}

async fn letter(State(shared): State<Shared>, Path(id): Path<B256>) -> Response {
    answer(&shared.desk, Ask::Letter(id), "there is no such letter").await
}

async fn retry(State(shared): State<Shared>, Path(id): Path<B256>, Query(Gas { gas }): Query<Gas>) -> Response {
    answer(&shared.desk, Ask::Retry { id, gas }, "there is no such letter").await
}

async fn drop_letter(State(shared): State<Shared>, Path(id): Path<B256>, Query(query): Query<Reason>) -> Response {
    if query.reason.trim().is_empty() {
        return (StatusCode::BAD_REQUEST, "a letter is dropped for a reason: say which\n").into_response();
    }
    answer(&shared.desk, Ask::Drop { id, reason: query.reason }, "there is no such letter").await
}

/// Nobody can: Hyperlane's mailbox keeps no deadline, so what was not processed may still be.
async fn refund(Path(id): Path<B256>) -> Response {
    let why = format!(
        "{id} is not given back: the mailbox there keeps no deadline, so whoever has its checkpoint may have it processed at any time, and \
         a refund would pay twice. A recipient that keeps a deadline itself (contracts/src/Vault.sol) sends it back by a message of its \
         own: retry, and it comes.\n"
    );
    (StatusCode::CONFLICT, why).into_response()
}

async fn pause(
    State(shared): State<Shared>,
    Path(direction): Path<Direction>,
    Query(query): Query<Reason>,
) -> Response {
    let reason = if query.reason.is_empty() { "by an operator".to_owned() } else { query.reason };
    written(shared.desk.set_paused(direction, Some(reason)))
}

async fn resume(State(shared): State<Shared>, Path(direction): Path<Direction>) -> Response {
    written(shared.desk.set_paused(direction, None))
}

fn written(result: std::io::Result<()>) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn rescan(State(shared): State<Shared>, Query(Range { from, to }): Query<Range>) -> Response {
    if from > to {
        return (StatusCode::BAD_REQUEST, "the first block is after the last\n").into_response();
    }
    answer(&shared.desk, Ask::Rescan { from, to }, "there is nothing to look at again").await
}

async fn why(State(shared): State<Shared>, Path(id): Path<B256>) -> Response {
    let unknown = "nobody here has heard of it: no attestor told this carrier, and no shard knows the id";
    answer(&shared.desk, Ask::Why(id), unknown).await
}
