//! Whoever recorded everything may say it all again: what is over stays as it is (I13).

use crate::cluster::{Cluster, committed, until};
use crate::stage::{Letter, PATIENT, Stage, nonce};
use alloy_primitives::U256;
use evm::StateKey;
use eyre::{Result, ensure};
use primitives::{Millis, ShardId};
use world::Party;

/// How many rounds a run has.
const ROUNDS_COUNT: usize = 3;

/// One run of the network's life: transactions over all shards, a transfer, a message; through both coordinators at once, so
/// that some attempts are aborted.
fn run<C: Cluster>(cluster: &mut C, stage: &mut Stage, name: &str) -> Result<()> {
    let carol = stage.people.carol.address();
    let mut sent = Vec::new();
    for round in 0..ROUNDS_COUNT {
        let letter = Letter {
            destination: ShardId(2),
            recipient: stage.contracts.pong,
            body: format!("{name}, {round}").into_bytes().into(),
            gas: 400_000,
            deadline: cluster.now().after(Millis(600_000)),
            value: U256::from(7),
        };
        let (alice, bob, dave) = (&mut stage.people.alice, &mut stage.people.bob, &mut stage.people.dave);
        let all = [
            alice.sign(&stage.contracts.count_all())?,
            bob.sign(&stage.contracts.count_all())?,
            dave.sign(&stage.contracts.give_gold(carol, 10))?,
            alice.sign(&stage.contracts.send(&letter))?,
        ];
        for (coordinator, signed) in [0, 1, 1, 0].into_iter().zip(all) {
            sent.push(cluster.submit(coordinator, &[signed])?);
        }
    }
    for submission in sent {
        committed(cluster, submission, PATIENT)?;
    }
    Ok(())
}

/// What the runs change, and nothing else does.
fn state<C: Cluster>(cluster: &mut C, stage: &Stage) -> Result<Vec<U256>> {
    let [alice, bob, carol, dave, _] = stage.people.users();
    let users = [alice, bob, carol, dave];
    let counts = (0..3).map(|shard| stage.count_on(ShardId(shard)));
    let ends = (0..6).map(|slot| StateKey::Slot(stage.contracts.ping, U256::from(slot)));
    let received = StateKey::Slot(stage.contracts.pong, U256::ZERO);
    let wei = users.map(StateKey::Account).into_iter();
    let gold = users.map(|user| stage.gold_of(user)).into_iter();
    let mut values = Vec::new();
    for key in counts.chain(ends).chain([received]).chain(wei).chain(gold) {
        values.push(crate::stage::value(cluster, key)?);
    }
    for user in users {
        values.push(U256::from(nonce(cluster, user)?));
    }
    Ok(values)
}

/// Waits until so many messages were acknowledged in all.
fn acknowledged<C: Cluster>(cluster: &mut C, stage: &Stage, count: usize) -> Result<()> {
    let delivered = StateKey::Slot(stage.contracts.ping, U256::from(3));
    until(cluster, &format!("word of {count} messages"), PATIENT, |cluster| {
        (cluster.look(delivered)?.value == coordinator::StateValue::Slot(U256::from(count))).then_some(())
    })
}

/// Everything that was asked of any shard in one run is asked again in the next one, after all shards have been killed and
/// started: during that run, and when nothing else goes on. The next run has its own effects and no others.
pub fn replaying_run_k_into_run_k_plus_1_changes_nothing<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    cluster.record()?;
    let before = state(cluster, stage)?;
    run(cluster, stage, "run k")?;
    acknowledged(cluster, stage, ROUNDS_COUNT)?;
    let (after, recorded) = (state(cluster, stage)?, cluster.recorded_count());
    ensure!(recorded > 10 * ROUNDS_COUNT, "only {recorded} calls were recorded");
    for shard in (0..3).map(|shard| Party::Shard(ShardId(shard))) {
        cluster.kill(shard)?;
        cluster.restart(shard)?;
    }
    let alone = cluster.replay()?;
    ensure!(alone >= recorded, "{alone} of {recorded} calls were answered");
    ensure!(state(cluster, stage)? == after, "a run that is over was changed by saying it again");
    ensure!(stage.held(cluster)?.is_empty(), "an attempt that is over holds keys");

    let carol = stage.people.carol.address();
    let under_way = cluster.submit(0, &[stage.people.dave.sign(&stage.contracts.give_gold(carol, 10))?])?;
    cluster.replay()?;
    run(cluster, stage, "run k + 1")?;
    cluster.replay()?;
    committed(cluster, under_way, PATIENT)?;
    acknowledged(cluster, stage, 2 * ROUNDS_COUNT)?;
    let last = state(cluster, stage)?;
    // Counters, messages sent and arrived, gold and nonces went on by one run, and by one transfer of dave's.
    let went = |from: &[U256], to: &[U256], at: usize| to[at].wrapping_sub(from[at]);
    let [counts, sent, received] = [0, 5, 9];
    for place in [counts, counts + 1, counts + 2, sent, received] {
        let (first, second) = (went(&before, &after, place), went(&after, &last, place));
        ensure!(first == second && !first.is_zero(), "place {place} went on by {first} and then by {second}");
    }
    let (dave, gold, nonces) = (3, 14, 18);
    let given = went(&last, &after, gold + dave);
    ensure!(given == U256::from(10 * (ROUNDS_COUNT + 1)), "dave gave {given} gold in the second run");
    let used = went(&after, &last, nonces + dave);
    ensure!(used == U256::from(ROUNDS_COUNT + 1), "dave's nonce went on by {used}");
    Ok(())
}
