//! What contracts do over shards is what they do on one EVM; the audit compares every outcome, log and unit of gas.

use crate::cluster::{Cluster, Committed, End, committed, ended};
use crate::stage::{Bouncer, PROMPT, Stage, nonce, value};
use alloy_primitives::U256;
use alloy_sol_types::SolCall;
use evm::{StateKey, Status};
use eyre::{Result, ensure};
use fixtures::wallet::Call;
use primitives::ShardId;
use std::collections::BTreeSet;

/// How deep two contracts of two shards call each other.
const DEPTH: u64 = 7;

/// Contracts of two shards call each other back, eight frames deep: each outer frame sees what the inner ones wrote. A
/// contract that reverts on another shard is survived, and leaves nothing; a market of four contracts is traded on.
pub fn reentrancy_across_shards_equals_one_evm<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    let (here, there) = (stage.contracts.caller, stage.contracts.other_caller);
    let bounce = Bouncer::bounceCall { other: there, depth: U256::from(DEPTH) };
    let sent = cluster.submit(0, &[stage.people.carol.sign(&Call::to(here, bounce.abi_encode()))?])?;
    let Committed { outcomes, participants, .. } = committed(cluster, sent, PROMPT)?;
    ensure!(participants == BTreeSet::from([0, 1, 2].map(ShardId)), "it took {participants:?}");
    let trace = Bouncer::bounceCall::abi_decode_returns(&outcomes[0].output)?;
    // Eight frames, four of either contract; on the way out each adds the four visits that its contract then counts.
    ensure!(trace == U256::from(44_444_444), "the trace is {trace}");
    ensure!(outcomes[0].logs.len() == 8, "{} logs of eight frames", outcomes[0].logs.len());
    let visits = stage.numbers(cluster, [here, there].map(|caller| StateKey::Slot(caller, U256::ZERO)))?;
    ensure!(visits == [U256::from(4); 2], "the contracts count {visits:?} visits");

    let [kept, failing, _] = stage.contracts.counters;
    let survive = Call::to(there, Bouncer::surviveCall { kept, failing }.abi_encode());
    let sent = cluster.submit(1, &[stage.people.alice.sign(&survive)?])?;
    let done = committed(cluster, sent, PROMPT)?;
    ensure!(done.outcomes[0].status == Status::Success, "it ended as {:?}", done.outcomes[0].status);
    let counts = stage.numbers(cluster, [ShardId(0), ShardId(1)].map(|shard| stage.count_on(shard)))?;
    ensure!(counts == [U256::ONE, U256::ZERO], "the kept and the failing counter are at {counts:?}");

    let swap = stage.contracts.market.swap(stage.people.bob.address(), U256::from(500), U256::ONE);
    let allow = fixtures::contracts::Token::approveCall { spender: stage.contracts.market.router, amount: U256::MAX };
    let allow = stage.people.bob.sign(&Call::to(stage.contracts.market.gold, allow.abi_encode()))?;
    let swap = stage.people.bob.sign(&swap)?;
    let sent = [cluster.submit(0, &[allow])?, cluster.submit(0, &[swap])?];
    for submission in sent {
        let done = committed(cluster, submission, PROMPT)?;
        ensure!(done.outcomes[0].status == Status::Success, "it ended as {:?}", done.outcomes[0].status);
    }
    ensure!(value(cluster, stage.salt_of(stage.people.bob.address()))? > U256::ZERO, "nothing was bought");
    Ok(())
}

/// Two users' transactions over three shards as one bundle: both, or neither.
pub fn a_bundle_commits_whole_or_not_at_all<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    let [alice, bob, ..] = stage.people.users();
    let give = |stage: &mut Stage, there, back| -> Result<_> {
        let there = stage.people.alice.sign(&stage.contracts.give_gold(bob, there))?;
        Ok([there, stage.people.bob.sign(&stage.contracts.give_gold(alice, back))?])
    };
    let before = stage.numbers(cluster, [alice, bob].map(|user| stage.gold_of(user)))?;
    let sent = cluster.submit(0, &give(stage, 100, 200)?)?;
    let done = committed(cluster, sent, PROMPT)?;
    ensure!(done.outcomes.len() == 2, "{} outcomes of two transactions", done.outcomes.len());
    let after = stage.numbers(cluster, [alice, bob].map(|user| stage.gold_of(user)))?;
    let moved = U256::from(100);
    ensure!(after == [before[0] + moved, before[1] - moved], "gold went from {before:?} to {after:?}");

    // The second of these has too little: the first must not happen either.
    let nonces = [nonce(cluster, alice)?, nonce(cluster, bob)?];
    let sent = cluster.submit(1, &give(stage, 100, 50_000)?)?;
    let end = ended(cluster, sent, PROMPT)?;
    ensure!(matches!(end, End::Refused(_)), "a bundle with a failing transaction ended as {end:?}");
    let gold = stage.numbers(cluster, [alice, bob].map(|user| stage.gold_of(user)))?;
    ensure!(gold == after, "a refused bundle moved gold from {after:?} to {gold:?}");
    ensure!([nonce(cluster, alice)?, nonce(cluster, bob)?] == nonces, "a refused bundle took a nonce");
    Ok(())
}
