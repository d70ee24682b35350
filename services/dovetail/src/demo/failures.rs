//! Nothing in the middle is trusted: the coordinator dies between votes and decision, a relay with messages on the way.

use super::market::Books;
use super::messages::{self, Correspondents, DESTINATION, SOURCE};
use super::report::{Report, same};
use super::stage::Stage;
use crate::client::{Client, PATIENCE, until};
use crate::cluster::Node;
use crate::contracts::{Ping, Pong};
use crate::wallet::Call;
use alloy_primitives::{Address, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue};
use evm::{Data, StateKey, Status};
use eyre::{Result, ensure, eyre};
use futures_util::StreamExt;
use primitives::{AttemptId, Verifier};
use proof::domain_of;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use wire::coordinator::SubmissionId;
use wire::facts::VoteVerifier;
use wire::participant::VoteAnswer;
use wire::relay::{RelayClient, RouteKey};
use wire::state::StateValue;

/// A coordinator writes an attempt down before its first prepare, and its decision when all votes are in: the second step
/// of a new process that writes is the decision's, and it dies before that is written.
const BEFORE_THE_DECISION: &str = "before_commit:2";

/// How long the last attempts get to be forgotten by the coordinator, so that a new process has only one to write of.
const QUIET: Duration = Duration::from_millis(500);

/// What the orphaned swap sells.
const SOLD: u64 = 500;

/// Where `Token` keeps `balanceOf`, after name, symbol and supply.
const BALANCES_SLOT: U256 = U256::from_limbs([3, 0, 0, 0]);

/// Where `Pair` keeps `reserve0`; its tokens are immutables.
const RESERVE0_SLOT: U256 = U256::ZERO;

/// How many messages are on the way when the relay dies; one transaction may send at most 64.
const MESSAGES_COUNT: u64 = 60;

/// How long these messages have.
const MESSAGES_LIFE: Duration = Duration::from_mins(2);

pub(super) async fn show(stage: &mut Stage, report: &mut Report) {
    report.section("Nothing in the middle is trusted");
    let orphan = report.claim("the coordinator dies with all votes in, before it decides", orphan(stage)).await;
    if let Some(orphan) = orphan {
        report.claim("the shards end the attempt alike, without a coordinator", ended_alike(stage, &orphan)).await;
        report.claim("a coordinator that comes back finds it done", found_done(stage, &orphan)).await;
    }
    report.claim("a relay dies with 60 messages on the way, each arrives once", relay_killed(stage)).await;
}

/// A transaction whose coordinator is gone.
#[derive(Debug)]
struct Orphan {
    transaction: SubmissionId,
    attempt: AttemptId,
    /// What it changes, one value on each shard.
    changes: Vec<Change>,
    before: Books,
    bought: U256,
}

/// One value that the orphan changes.
#[derive(Debug, Clone, Copy)]
struct Change {
    key: StateKey,
    from: U256,
    to: U256,
}

/// Alice's swap is prepared and voted on by all shards; then its coordinator dies.
async fn orphan(stage: &mut Stage) -> Result<(String, Orphan)> {
    let Stage { client, market, alice, cluster, .. } = stage;
    let (before, bought) =
        (market.books(client, alice.address()).await?, market.quote(client, U256::from(SOLD)).await?);
    let signed = alice.sign(&market.swap(alice.address(), U256::from(SOLD), bought))?;
    tokio::time::sleep(QUIET).await;
    let coordinator = Node::Coordinator(0);
    cluster.terminate(coordinator)?;
    let point = (host::CRASH_VARIABLE.to_owned(), BEFORE_THE_DECISION.to_owned());
    cluster.restart_with(coordinator, &[point])?;
    cluster.wait_ready(coordinator)?;
    let transaction = keccak256(&signed);
    let attempt = followed(client, transaction, Data(signed)).await?;
    coordinator_gone(stage).await?;
    let changes = changes(stage, &before, bought);
    for change in &changes {
        let seen = read(stage, change.key).await?;
        same(&format!("{} while undecided", change.key), &seen, &(change.from, Some(attempt)))?;
    }
    let voters = yes_voters(stage, attempt).await?;
    let seen = format!("{voters} certified yes votes, {} values locked, nothing changed", changes.len());
    Ok((seen, Orphan { transaction, attempt, changes, before, bought }))
}

/// Submits, and follows the transaction until the coordinator is gone; its attempt.
async fn followed(client: &Client, id: SubmissionId, signed: Data) -> Result<AttemptId> {
    client.coordinator().submit_transaction(signed).await?;
    let mut events = Box::pin(client.coordinator().watch(id, 0).await?);
    let mut attempt = None;
    while let Some(Ok(event)) = events.next().await {
        ensure!(!event.stage.is_final(), "it ended before its coordinator did: {}", event.detail);
        attempt = event.attempt.or(attempt);
    }
    attempt.ok_or_else(|| eyre!("the coordinator died before it told of an attempt"))
}

async fn coordinator_gone(stage: &mut Stage) -> Result<()> {
    let give_up = Instant::now() + PATIENCE;
    while !stage.cluster.has_exited(Node::Coordinator(0)) {
        ensure!(Instant::now() < give_up, "the coordinator did not reach its crash point");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stage.cluster.reap(Node::Coordinator(0));
    Ok(())
}

/// What selling [`SOLD`] gold for `bought` salt changes: one value on each of the four shards.
fn changes(stage: &Stage, before: &Books, bought: U256) -> Vec<Change> {
    let (market, alice, sold) = (stage.market, stage.alice.address(), U256::from(SOLD));
    let nonce = U256::from(before.nonce);
    vec![
        Change { key: balance(market.gold, alice), from: before.gold, to: before.gold - sold },
        Change { key: balance(market.salt, alice), from: before.salt, to: before.salt + bought },
        Change { key: StateKey::Slot(market.pair, RESERVE0_SLOT), from: before.reserve0, to: before.reserve0 + sold },
        Change { key: StateKey::Account(alice), from: nonce, to: nonce + U256::ONE },
    ]
}

/// Where a token keeps `holder`'s balance: Solidity's layout of a mapping.
fn balance(token: Address, holder: Address) -> StateKey {
    StateKey::Slot(token, keccak256((holder, BALANCES_SLOT).abi_encode()).into())
}

/// A value (of an account: its nonce) as its shard has it, and the undecided attempt that holds it.
async fn read(stage: &Stage, key: StateKey) -> Result<(U256, Option<AttemptId>)> {
    let shard = stage.network().placement.owner(key);
    let read = stage.client.shard(shard).read_state(&[key], &BTreeSet::new()).await?;
    let value = read.values.first().ok_or_else(|| eyre!("shard {shard} gave no value"))?;
    let number = match value.value {
        StateValue::Account(account) => U256::from(account.map_or(0, |account| account.nonce)),
        StateValue::Slot(number) | StateValue::Fees(number) => number,
    };
    Ok((number, value.locked_by))
}

/// How many shards prove that they have voted yes: it must be all.
async fn yes_voters(stage: &Stage, attempt: AttemptId) -> Result<usize> {
    let receipts = stage.verifier();
    let mut voters = 0;
    for shard in stage.network().placement.shards() {
        let answers = stage.client.participant(shard).query_votes(vec![attempt]).await?;
        let Some(Ok(VoteAnswer::Vote { proof, .. })) = answers.into_iter().next() else {
            eyre::bail!("shard {shard} has no vote");
        };
        let vote = VoteVerifier::new(&receipts).verify(proof)?.vote;
        same("whose vote it is, and on what", &(vote.shard, vote.attempt), &(shard, attempt))?;
        ensure!(vote.verdict.is_yes(), "shard {shard} voted no");
        voters += 1;
    }
    Ok(voters)
}

/// Every shard comes to the decision by itself, and to the same one.
async fn ended_alike(stage: &Stage, orphan: &Orphan) -> Result<(String, ())> {
    let begun = Instant::now();
    for Change { key, to, .. } in &orphan.changes {
        let value = until(&format!("the decision on {key}"), || async {
            let (value, holder) = read(stage, *key).await?;
            Ok(holder.is_none().then_some(value))
        })
        .await?;
        same(&format!("{key} once decided"), &value, to)?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok((format!("all {} committed within {seconds:.1} s, asking each other", orphan.changes.len()), ()))
}

async fn found_done(stage: &mut Stage, orphan: &Orphan) -> Result<(String, ())> {
    let coordinator = Node::Coordinator(0);
    stage.cluster.restart(coordinator)?;
    stage.cluster.wait_ready(coordinator)?;
    let Stage { client, market, alice, .. } = stage;
    let home = stage.cluster.network().placement.shard_of(alice.address());
    let record = client.shard(home).outcome(orphan.transaction).await?;
    same("its status", &record.outcome.status, &Status::Success)?;
    same("the attempt that committed it", &record.attempt, &Some(orphan.attempt))?;
    let after = market.books(client, alice.address()).await?;
    let expected = orphan.before.after_swap(&record.outcome, U256::from(SOLD), orphan.bought);
    same("the books after the swap", &after, &expected)?;
    Ok((format!("{SOLD} gold for {}, once", orphan.bought), ()))
}

/// The destination stands still while the relays take the messages and send them; then one relay is killed.
async fn relay_killed(stage: &mut Stage) -> Result<(String, ())> {
    let Correspondents { ping: sender, pong: recipient } = stage.correspondents;
    let mut user = stage.user_away_from(DESTINATION).await?;
    let received = stage.client.view(recipient, &Pong::receivedCountCall {}).await?;
    let delivered = stage.client.view(sender, &Ping::deliveredCountCall {}).await?;
    let victim = Node::Relay(0);
    let relay = stage.relay(victim)?;
    let network = stage.network().params.network;
    let call = Ping::sendManyCall {
        destination: domain_of(network, DESTINATION),
        recipient: recipient.into_word(),
        count: U256::from(MESSAGES_COUNT),
        gasLimit: messages::HANDLE_GAS,
        deadlineMs: messages::from_now(MESSAGES_LIFE)?.0,
    };
    let call = Call::to(sender, call.abi_encode()).with_gas_limit(15_000_000);
    stage.cluster.signal(Node::Executor(DESTINATION.0), "STOP")?;
    let sent = stage.client.succeed(&mut user, &call).await;
    let route = RouteKey { source: domain_of(network, SOURCE), destination: domain_of(network, DESTINATION) };
    let under_way = until("the relay to have the messages", || queued(&relay, route)).await;
    stage.cluster.kill(victim)?;
    stage.cluster.signal(Node::Executor(DESTINATION.0), "CONT")?;
    let (_, under_way) = (sent?, under_way?);
    arrived(stage, recipient, received).await?;
    stage.cluster.restart(victim)?;
    stage.cluster.wait_ready(victim)?;
    acknowledged(stage, sender, delivered).await?;
    for number in 0..MESSAGES_COUNT {
        let body = U256::from(number).abi_encode();
        same("how often a message arrived", &stage.count_of(&body).await?, &U256::ONE)?;
    }
    let total = stage.client.view(recipient, &Pong::receivedCountCall {}).await?;
    same("messages received", &total, &(received + U256::from(MESSAGES_COUNT)))?;
    Ok((
        format!(
            "killed with {under_way} on the way: {MESSAGES_COUNT} arrived once each, {MESSAGES_COUNT} acknowledged"
        ),
        (),
    ))
}

/// How many messages wait or are under way on a route, once all are.
async fn queued(relay: &RelayClient, route: RouteKey) -> Result<Option<u64>> {
    let routes = relay.routes().await?;
    let queued = routes.iter().find(|one| one.key == route).map_or(0, |one| one.queued_count);
    Ok((queued >= MESSAGES_COUNT).then_some(queued))
}

async fn arrived(stage: &Stage, recipient: Address, before: U256) -> Result<()> {
    until("all messages to arrive", || async {
        let count = stage.client.view(recipient, &Pong::receivedCountCall {}).await?;
        Ok((count >= before + U256::from(MESSAGES_COUNT)).then_some(()))
    })
    .await
}

async fn acknowledged(stage: &Stage, sender: Address, before: U256) -> Result<()> {
    until("all acknowledgements to return", || async {
        let count = stage.client.view(sender, &Ping::deliveredCountCall {}).await?;
        Ok((count >= before + U256::from(MESSAGES_COUNT)).then_some(()))
    })
    .await
}
