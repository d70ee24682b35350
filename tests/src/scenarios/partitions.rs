//! Shards that are cut off, or stand still, or are heard by nobody: attempts wait for them, and nobody decides by a clock.

use crate::cluster::{Cluster, Way, committed, until};
use crate::stage::{PATIENT, PROMPT, Stage};
use crate::stranger::Attempt;
use alloy_primitives::U256;
use commit::Verdict;
use coordinator::StateValue;
use evm::StateKey;
use eyre::{Result, ensure};
use fixtures::wallet::Call;
use primitives::{Millis, ShardId, Time};
use world::Party;

/// The shard that is away.
const AWAY: ShardId = ShardId(2);

/// How long attempts live here.
const LIFE: Millis = Millis(1_000);

/// How long after a deadline nobody may have decided: several times of asking.
const LATE: Millis = Millis(2_500);

/// Waits until a counter stands at `count` and nobody holds it.
fn counted<C: Cluster>(cluster: &mut C, stage: &Stage, shard: ShardId, count: u64) -> Result<()> {
    let key = stage.count_on(shard);
    until(cluster, &format!("{key} at {count}"), PATIENT, |cluster| {
        let seen = cluster.look(key)?;
        (seen.holder.is_none() && seen.value == StateValue::Slot(U256::from(count))).then_some(())
    })
}

/// Lets time pass to `until`, while `attempt` must hold `key` all along.
fn holds<C: Cluster>(cluster: &mut C, attempt: &Attempt, key: StateKey, until: Time) -> Result<()> {
    while cluster.now() < until {
        let holder = cluster.look(key).and_then(|seen| seen.holder);
        ensure!(holder == Some(attempt.id()), "R4: {key} was released without a decision");
        cluster.pass();
    }
    Ok(())
}

/// A shard has voted yes and is cut off before the decision: it holds its locks, past every deadline. The rest of the
/// network goes on. When the partition heals, it learns the decision and ends as the others did.
pub fn a_partition_strands_attempts_until_it_heals<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    let signed = stage.people.alice.sign(&stage.contracts.count_all())?;
    let mut attempt = Attempt::at(cluster, &[signed], LIFE)?;
    let votes = attempt.prepare_all(cluster)?;
    ensure!(votes.values().all(Verdict::is_yes), "not all voted yes: {votes:?}");
    let (coordinators, relays) = cluster.middle();
    let others = [ShardId(0), ShardId(1)];
    let middle = (0..coordinators).map(Party::Coordinator).chain((0..relays).map(Party::Relay));
    for party in others.map(Party::Shard).into_iter().chain(middle) {
        cluster.cut(party, AWAY)?;
    }
    for shard in others {
        cluster.cut(Party::Shard(AWAY), shard)?;
        let decided = attempt.decide(cluster, shard)?;
        ensure!(decided.is_ok(), "shard {shard} refused the decision: {decided:?}");
    }
    // Those who can reach each other go on.
    let pay = Call::to(stage.people.erin.address(), Vec::new()).with_value(U256::from(5));
    let among_others = cluster.submit(1, &[stage.people.bob.sign(&pay)?])?;
    committed(cluster, among_others, PROMPT)?;
    let needs_it = cluster.submit(0, &[stage.people.dave.sign(&stage.contracts.count_all())?])?;
    let past = attempt.descriptor.deadline.after(LATE);
    holds(cluster, &attempt, stage.count_on(AWAY), past)?;
    ensure!(cluster.end(needs_it).is_none(), "without shard {AWAY} it ended: {:?}", cluster.end(needs_it));
    let begun = cluster.now();
    cluster.heal()?;
    until(cluster, "end of what was stranded", PATIENT, |cluster| {
        let holder = cluster.look(stage.count_on(AWAY))?.holder;
        (holder != Some(attempt.id())).then_some(())
    })?;
    println!("decided {} after the partition healed", cluster.now().since(begun));
    committed(cluster, needs_it, PATIENT)?;
    for shard in [ShardId(0), ShardId(1), AWAY] {
        counted(cluster, stage, shard, 2)?;
    }
    Ok(())
}

/// A shard that stands still has not said no: an attempt that needs its vote stays open past its deadline, and ends once
/// the shard goes on; one that it voted for is committed there as everywhere.
pub fn a_paused_shard_delays_and_decides_nothing<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    let home = ShardId(0);
    let voted = stage.people.alice.sign(&stage.contracts.count_all())?;
    let mut voted = Attempt::at(cluster, &[voted], LIFE)?;
    voted.prepare_all(cluster)?;
    let pay = Call::to(stage.people.carol.address(), Vec::new()).with_value(U256::from(5));
    let mut unvoted = Attempt::at(cluster, &[stage.people.erin.sign(&pay)?], LIFE)?;
    ensure!(unvoted.participants() == [home, AWAY].into(), "it touches {:?}", unvoted.participants());
    unvoted.prepare(cluster, home)?;
    cluster.pause(Party::Shard(AWAY))?;
    for shard in [home, ShardId(1)] {
        let decided = voted.decide(cluster, shard)?;
        ensure!(decided.is_ok(), "shard {shard} refused the decision: {decided:?}");
    }
    let past = unvoted.descriptor.deadline.after(LATE);
    holds(cluster, &unvoted, StateKey::Account(stage.people.erin.address()), past)?;
    cluster.resume(Party::Shard(AWAY))?;
    counted(cluster, stage, AWAY, 1)?;
    let erin = StateKey::Account(stage.people.erin.address());
    until(cluster, "end of the open attempt", PATIENT, |cluster| cluster.look(erin)?.holder.is_none().then_some(()))?;
    let late = unvoted.prepare(cluster, AWAY)?;
    ensure!(!late.is_yes(), "past the deadline shard {AWAY} voted yes");
    Ok(())
}

/// A shard hears the coordinator and is not heard: it votes, and the vote is lost. The shards end the attempt among
/// themselves, and the coordinator learns of it when answers come through again.
pub fn answers_that_are_lost_decide_nothing<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    // The coordinator knows all values after this one and need not ask for them.
    let first = cluster.submit(0, &[stage.people.alice.sign(&stage.contracts.count_all())?])?;
    committed(cluster, first, PROMPT)?;
    cluster.silence(Party::Coordinator(0), AWAY, Way::Answers)?;
    let second = cluster.submit(0, &[stage.people.alice.sign(&stage.contracts.count_all())?])?;
    for shard in [ShardId(0), ShardId(1), AWAY] {
        counted(cluster, stage, shard, 2)?;
    }
    ensure!(cluster.end(second).is_none(), "a coordinator that heard nothing said {:?}", cluster.end(second));
    cluster.heal()?;
    committed(cluster, second, PATIENT)?;
    Ok(())
}
