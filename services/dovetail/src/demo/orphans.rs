//! Attempts whose coordinator dies: their participants end them among themselves, alike.
//!
//! ```text
//! coordinator ── prepare ──> 4 shards ── 4 yes ──> X          all voted yes: every shard commits
//! coordinator ── prepare ──> 3 shards ── 3 yes ──> X          one has no vote: it says no, every shard aborts
//!                            deadline + grace: each asks the others for their votes (R8); nobody decides by a clock (R4)
//! ```

use super::market::Books;
use super::report::{Report, same};
use super::stage::Stage;
use alloy_primitives::{Address, Bytes, U256, keccak256};
use alloy_sol_types::SolValue;
use cluster::Node;
use cluster::client::{PATIENCE, until};
use evm::{Data, StateKey, Status};
use eyre::{Result, ensure, eyre};
use primitives::{AttemptId, ShardId, Verifier};
use shard::VoteVerifier;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use wire::Reason;
use wire::participant::VoteAnswer;
use wire::state::StateValue;

/// The coordinator that dies.
const COORDINATOR: Node = Node::Coordinator(0);

/// A coordinator writes an attempt down before its first prepare, and its decision when all votes are in: the second step
/// of a new process that writes is the decision's, and it dies before that is written.
const BEFORE_THE_DECISION: &str = "before_commit:2";

/// How long the last attempts get to be forgotten by the coordinator, so that a new process has only one to write of.
const QUIET: Duration = Duration::from_millis(500);

/// What the orphaned swaps sell.
const SOLD: u64 = 500;

/// Where the pair lives, which is the shard that does not vote.
const SILENT: ShardId = ShardId(2);

/// Where `Token` keeps `balanceOf`, after name, symbol and supply.
const BALANCES_SLOT: U256 = U256::from_limbs([3, 0, 0, 0]);

/// Where `Pair` keeps `reserve0`; its tokens are immutables.
const RESERVE0_SLOT: U256 = U256::ZERO;

/// A transaction whose coordinator is gone.
#[derive(Debug)]
struct Orphan {
    signed: Bytes,
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

pub(super) async fn show(stage: &mut Stage, report: &mut Report) {
    let voted = report.claim("the coordinator dies with all votes in, before it decides", all_voted(stage)).await;
    if let Some(orphan) = voted {
        report.claim("the shards commit, all of them, without a coordinator", committed(stage, &orphan)).await;
        report.claim("a coordinator that comes back finds it done", found_done(stage, &orphan)).await;
    }
    let unvoted = report.claim("it dies again, while one shard is down and has no vote", one_silent(stage)).await;
    if let Some(orphan) = unvoted {
        report.claim("the shards abort, all of them, without a coordinator", aborted(stage, &orphan)).await;
        report
            .claim("a coordinator that comes back still has it, and commits it", taken_up_again(stage, &orphan))
            .await;
    }
}

/// Alice's swap is prepared and voted on by all shards; then its coordinator dies.
async fn all_voted(stage: &mut Stage) -> Result<(String, Orphan)> {
    let (before, bought, signed) = signed_swap(stage).await?;
    tokio::time::sleep(QUIET).await;
    stage.cluster.terminate(COORDINATOR)?;
    let point = (host::CRASH_VARIABLE.to_owned(), BEFORE_THE_DECISION.to_owned());
    stage.cluster.restart_with(COORDINATOR, &[point])?;
    stage.cluster.wait_ready(COORDINATOR)?;
    submit(stage, signed.clone()).await?;
    coordinator_gone(stage).await?;
    let changes = changes(stage, &before, bought);
    let attempt = locked(stage, &changes).await?;
    let voters = yes_voters(stage, attempt).await?;
    let seen = format!("{voters} certified yes votes, {} values locked, nothing changed", changes.len());
    Ok((seen, Orphan { signed, attempt, changes, before, bought }))
}

/// A swap of Alice, signed and not sent, with her books before it and what it buys.
async fn signed_swap(stage: &mut Stage) -> Result<(Books, U256, Bytes)> {
    let Stage { client, market, alice, .. } = stage;
    let (before, bought) =
        (Books::of(market, client, alice.address()).await?, market.quote(client, U256::from(SOLD)).await?);
    let signed = alice.sign(&market.swap(alice.address(), U256::from(SOLD), bought))?;
    Ok((before, bought, signed))
}

async fn submit(stage: &Stage, signed: Bytes) -> Result<()> {
    match stage.client.coordinator().submit_transaction(Data(signed)).await {
        // Whether the answer is out before the coordinator dies is luck, and nobody needs it.
        Err(rejection) if rejection.reason != Reason::Unavailable => Err(rejection.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn coordinator_gone(stage: &mut Stage) -> Result<()> {
    let give_up = Instant::now() + PATIENCE;
    while !stage.cluster.has_exited(COORDINATOR) {
        ensure!(Instant::now() < give_up, "the coordinator did not reach its crash point");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stage.cluster.reap(COORDINATOR);
    Ok(())
}

/// The one attempt that holds all of `changes`, none of which has happened.
async fn locked(stage: &Stage, changes: &[Change]) -> Result<AttemptId> {
    let mut holders = BTreeSet::new();
    for Change { key, from, .. } in changes {
        let (value, holder) = read(stage, *key).await?;
        same(&format!("{key} while undecided"), &value, from)?;
        holders.insert(holder.ok_or_else(|| eyre!("{key} is not locked"))?);
    }
    ensure!(holders.len() == 1, "{} attempts hold what one should", holders.len());
    holders.pop_first().ok_or_else(|| eyre!("nothing is locked"))
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
    let shard = stage.owner(key);
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

/// The values of all changes once no attempt holds them, and how long that took.
async fn unlocked(stage: &Stage, changes: &[Change]) -> Result<(Vec<U256>, Duration)> {
    let begun = Instant::now();
    let mut values = Vec::new();
    for Change { key, .. } in changes {
        let decided = || async {
            let (value, holder) = read(stage, *key).await?;
            Ok(holder.is_none().then_some(value))
        };
        values.push(until(&format!("the decision on {key}"), decided).await?);
    }
    Ok((values, begun.elapsed()))
}

async fn committed(stage: &Stage, orphan: &Orphan) -> Result<(String, ())> {
    let (values, took) = unlocked(stage, &orphan.changes).await?;
    let expected: Vec<U256> = orphan.changes.iter().map(|change| change.to).collect();
    same("what the shards have", &values, &expected)?;
    Ok((format!("{} shards, within {:.1} s, asking each other", values.len(), took.as_secs_f64()), ()))
}

async fn found_done(stage: &mut Stage, orphan: &Orphan) -> Result<(String, ())> {
    stage.cluster.restart(COORDINATOR)?;
    stage.cluster.wait_ready(COORDINATOR)?;
    let home = stage.shard_of(stage.alice.address());
    let record = stage.client.shard(home).outcome(keccak256(&orphan.signed)).await?;
    same("its status", &record.outcome.status, &Status::Success)?;
    same("the attempt that committed it", &record.attempt, &Some(orphan.attempt))?;
    let after = Books::of(&stage.market, &stage.client, stage.alice.address()).await?;
    let expected = orphan.before.after_swap(&record.outcome, U256::from(SOLD), orphan.bought);
    same("the books after the swap", &after, &expected)?;
    Ok((format!("{SOLD} gold for {}, once", orphan.bought), ()))
}

/// Alice's swap is prepared while the pair's shard is down: the others vote, it cannot; then the coordinator dies.
async fn one_silent(stage: &mut Stage) -> Result<(String, Orphan)> {
    // A swap that commits, so that the coordinator knows all values and executes the next without asking anybody.
    super::market::swap(stage).await?;
    let (before, bought, signed) = signed_swap(stage).await?;
    let all = changes(stage, &before, bought);
    let (silent, voting): (Vec<_>, Vec<_>) = all.iter().partition(|change| stage.owner(change.key) == SILENT);
    same("values of the silent shard", &silent.len(), &1)?;
    stage.cluster.kill(Node::Executor(SILENT.0))?;
    submit(stage, signed.clone()).await?;
    let attempt = until("the votes of the others", || async { Ok(locked(stage, &voting).await.ok()) }).await?;
    stage.cluster.kill(COORDINATOR)?;
    stage.cluster.restart(Node::Executor(SILENT.0))?;
    stage.cluster.wait_ready(Node::Executor(SILENT.0))?;
    let seen = format!("{} shards hold their values, shard {SILENT} knows nothing", voting.len());
    Ok((seen, Orphan { signed, attempt, changes: all, before, bought }))
}

async fn aborted(stage: &Stage, orphan: &Orphan) -> Result<(String, ())> {
    let (values, took) = unlocked(stage, &orphan.changes).await?;
    let expected: Vec<U256> = orphan.changes.iter().map(|change| change.from).collect();
    same("what the shards have", &values, &expected)?;
    let answers = stage.client.participant(SILENT).query_votes(vec![orphan.attempt]).await?;
    let Some(Ok(VoteAnswer::Vote { proof, .. })) = answers.into_iter().next() else {
        eyre::bail!("shard {SILENT} has no vote");
    };
    let vote = VoteVerifier::new(&stage.verifier()).verify(proof)?.vote;
    ensure!(!vote.verdict.is_yes(), "shard {SILENT} voted yes");
    Ok((format!("{} shards, within {:.1} s; nothing happened", values.len(), took.as_secs_f64()), ()))
}

/// Nothing happened, so nothing is in the way of trying again; and what was accepted is kept until it ends.
async fn taken_up_again(stage: &mut Stage, orphan: &Orphan) -> Result<(String, ())> {
    stage.cluster.restart(COORDINATOR)?;
    stage.cluster.wait_ready(COORDINATOR)?;
    let home = stage.client.shard(stage.shard_of(stage.alice.address()));
    let hash = keccak256(&orphan.signed);
    let record = until("outcome of the swap", || async { Ok(home.outcome(hash).await.ok()) }).await?;
    ensure!(record.attempt != Some(orphan.attempt), "by the attempt that was aborted");
    let after = Books::of(&stage.market, &stage.client, stage.alice.address()).await?;
    let expected = orphan.before.after_swap(&record.outcome, U256::from(SOLD), orphan.bought);
    same("the books after the swap", &after, &expected)?;
    Ok((format!("{SOLD} gold for {}, once", orphan.bought), ()))
}
