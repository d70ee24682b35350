//! Ordinary transactions over several shards, and what they must never do to each other.

use crate::cluster::{Cluster, Committed, End, committed, ended, until};
use crate::stage::{PATIENT, POCKET, PROMPT, SHARDS_COUNT, Stage, nonce, value};
use crate::stranger::Attempt;
use alloy_primitives::{U256, keccak256};
use evm::{StateKey, Status};
use eyre::{Result, ensure, eyre};
use fixtures::wallet::Call;
use primitives::{Millis, ShardId};
use std::collections::BTreeSet;

/// How often a race is run: who wins one is luck.
const RACES_COUNT: usize = 4;

/// Raises a counter on every shard, and is there on every shard and at its home when its user is told so.
pub fn a_cross_shard_transfer_commits_everywhere<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    let carol = stage.people.carol.address();
    let bob = stage.people.bob.address();
    let count_all = stage.people.carol.sign(&stage.contracts.count_all())?;
    let give = stage.people.carol.sign(&stage.contracts.give_gold(bob, 300))?;
    for (signed, shards) in [(&count_all, vec![0, 1, 2]), (&give, vec![0, 2])] {
        let sent = cluster.submit(0, std::slice::from_ref(signed))?;
        let Committed { outcomes, participants, attempt } = committed(cluster, sent, PROMPT)?;
        ensure!(outcomes[0].status == Status::Success, "it ended as {:?}", outcomes[0].status);
        let expected: BTreeSet<ShardId> = shards.into_iter().map(ShardId).collect();
        ensure!(participants == expected, "its shards are {participants:?}, not {expected:?}");
        let record = cluster.outcome(ShardId(2), keccak256(signed)).ok_or_else(|| eyre!("its home knows nothing"))?;
        ensure!(record.outcome == outcomes[0] && record.attempt == attempt, "its home recorded something else");
    }
    for shard in (0..SHARDS_COUNT).map(ShardId) {
        let count = value(cluster, stage.count_on(shard))?;
        ensure!(count == U256::ONE, "the counter of shard {shard} is at {count}");
    }
    let gold = stage.numbers(cluster, [stage.gold_of(carol), stage.gold_of(bob)])?;
    ensure!(gold == [POCKET - 300, POCKET + 300].map(U256::from), "carol and bob have {gold:?} gold");
    ensure!(stage.held(cluster)?.is_empty(), "a committed transaction holds keys");
    Ok(())
}

/// Two users pay each other at the same moment, through two coordinators: each locks what the other needs. One of them is
/// through at once, the other soon.
pub fn two_symmetric_transactions_one_commits_promptly<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    let (alice, bob) = (stage.people.alice.address(), stage.people.bob.address());
    let wei = U256::from(10_u64.pow(15));
    for race in 0..RACES_COUNT {
        let to_bob = stage.people.alice.sign(&Call::to(bob, Vec::new()).with_value(wei))?;
        let to_alice = stage.people.bob.sign(&Call::to(alice, Vec::new()).with_value(wei))?;
        let both = [cluster.submit(0, &[to_bob])?, cluster.submit(1, &[to_alice])?];
        let begun = cluster.now();
        let first = until(cluster, "first of two symmetric transactions", PROMPT, |cluster| {
            both.iter().find_map(|submission| cluster.end(*submission))
        })?;
        ensure!(matches!(first, End::Committed(_)), "the first to end ended as {first:?}");
        println!("race {race}: the first committed after {}", cluster.now().since(begun));
        for submission in both {
            committed(cluster, submission, PATIENT)?;
        }
    }
    Ok(())
}

/// Two transactions of one nonce, through two coordinators, each with the whole balance: one is paid. The same with a
/// stranger who has one of them prepared everywhere before the other is tried.
pub fn a_payer_cannot_spend_one_balance_twice<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    let [alice, bob, carol, dave, erin] = stage.people.users();
    let recipients = [bob, carol];
    let next = stage.people.alice.nonce();
    let spend = |stage: &mut Stage, to| {
        stage.people.alice.set_nonce(next);
        stage.people.alice.sign(&stage.contracts.give_gold(to, POCKET))
    };
    let payments = [spend(stage, bob)?, spend(stage, carol)?];
    let both = [cluster.submit(0, &payments[..1])?, cluster.submit(1, &payments[1..])?];
    let mut paid = 0;
    for submission in both {
        paid += usize::from(matches!(ended(cluster, submission, PATIENT)?, End::Committed(_)));
    }
    ensure!(paid == 1, "{paid} of two payments of one nonce were committed");
    let after = nonce(cluster, alice)?;
    ensure!(after == next + 1, "the payer's next nonce is {after}, not {}", next + 1);
    let gold = stage.numbers(cluster, [alice, recipients[0], recipients[1]].map(|user| stage.gold_of(user)))?;
    let one_is_richer = gold[1..].iter().filter(|gold| **gold == U256::from(2 * POCKET)).count() == 1;
    ensure!(gold[0].is_zero() && one_is_richer, "payer and recipients have {gold:?} gold");

    // A stranger's turn: the first of dave's two payments waits for its decision, the second is refused its reservation.
    let next = stage.people.dave.nonce();
    let first = stage.people.dave.sign(&stage.contracts.give_gold(erin, POCKET))?;
    stage.people.dave.set_nonce(next);
    let second = stage.people.dave.sign(&stage.contracts.give_gold(carol, POCKET))?;
    let mut first = Attempt::at(cluster, &[first], Millis(10_000))?;
    let mut second = Attempt::at(cluster, &[second], Millis(10_000))?;
    let votes = first.prepare_all(cluster)?;
    ensure!(votes.values().all(commit::Verdict::is_yes), "the first payment is not prepared: {votes:?}");
    let home = ShardId(1);
    let refused = second.prepare(cluster, home)?;
    ensure!(!refused.is_yes(), "R11: the home reserved one nonce for two attempts");
    for shard in first.participants() {
        let decided = first.decide(cluster, shard)?;
        ensure!(decided.is_ok(), "shard {shard} refused the decision: {decided:?}");
    }
    let gold = stage.numbers(cluster, [dave, erin].map(|user| stage.gold_of(user)))?;
    ensure!(gold == [0, 2 * POCKET].map(U256::from), "dave and erin have {gold:?} gold");
    Ok(())
}

/// A credit that is under way over two shards and a local one to the same account: neither takes the other away.
pub fn a_cross_shard_credit_survives_a_later_local_credit<C: Cluster>(
    cluster: &mut C,
    stage: &mut Stage,
) -> Result<()> {
    let bob = StateKey::Account(stage.people.bob.address());
    let before = value(cluster, bob)?;
    let pay = |wei: u64| Call::to(stage.people.bob.address(), Vec::new()).with_value(U256::from(wei));
    let (from_afar, from_near) = (pay(1_000), pay(70));
    // Carol's shard takes part too, so no vote is the last and bob's shard waits for the decision.
    let to_carol = Call::to(stage.people.carol.address(), Vec::new()).with_value(U256::from(1));
    let both = [stage.people.alice.sign(&from_afar)?, stage.people.alice.sign(&to_carol)?];
    let mut credit = Attempt::at(cluster, &both, Millis(10_000))?;
    ensure!(credit.participants().len() == 3, "{:?}", credit.participants());
    let votes = credit.prepare_all(cluster)?;
    ensure!(votes.values().all(commit::Verdict::is_yes), "the credit is not prepared: {votes:?}");
    let local = cluster.submit(0, &[stage.people.dave.sign(&from_near)?])?;
    // It has to wait: the account is locked until the other credit is decided (R6).
    for _ in 0..20 {
        ensure!(cluster.end(local).is_none(), "a local credit went past a lock: {:?}", cluster.end(local));
        cluster.pass();
    }
    ensure!(value(cluster, bob)? == before, "something was credited before any decision");
    for shard in credit.participants() {
        let decided = credit.decide(cluster, shard)?;
        ensure!(decided.is_ok(), "shard {shard} refused the decision: {decided:?}");
    }
    committed(cluster, local, PATIENT)?;
    let after = value(cluster, bob)?;
    ensure!(after == before + U256::from(1_070), "{before} wei and 1070 make {after}");

    // Of two shards the one that is no home commits with its vote, and locks nothing.
    let mut credit = Attempt::at(cluster, &[stage.people.alice.sign(&from_afar)?], Millis(10_000))?;
    ensure!(credit.participants() == BTreeSet::from([ShardId(0), ShardId(1)]), "{:?}", credit.participants());
    credit.prepare_all(cluster)?;
    let local = cluster.submit(0, &[stage.people.dave.sign(&from_near)?])?;
    committed(cluster, local, PROMPT)?;
    ensure!(value(cluster, bob)? == before + U256::from(2_140), "a vote that was the last was no commit");
    for shard in credit.participants() {
        let decided = credit.decide(cluster, shard)?;
        ensure!(decided.is_ok(), "shard {shard} refused the decision: {decided:?}");
    }

    // And the other way round: the local one first, while the coordinator believes the older balance.
    let (local, afar) = (stage.people.dave.sign(&from_near)?, stage.people.alice.sign(&from_afar)?);
    let local = cluster.submit(1, &[local])?;
    committed(cluster, local, PROMPT)?;
    let afar = cluster.submit(0, &[afar])?;
    committed(cluster, afar, PROMPT)?;
    let after = value(cluster, bob)?;
    ensure!(after == before + U256::from(3_210), "{before} wei and 3210 make {after}");
    Ok(())
}
