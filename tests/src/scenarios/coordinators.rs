//! Coordinators that die, and coordinators that do the same thing at once: nobody needs to trust them, or to wait for them.

use crate::cluster::{Cluster, CrashPoint, End, committed, ended, until};
use crate::stage::{PATIENT, Stage, nonce, value};
use alloy_primitives::{U256, keccak256};
use evm::Status;
use eyre::{Result, ensure};
use primitives::ShardId;
use world::Party;

/// The coordinator that dies.
const MORTAL: usize = 0;

/// The steps of a coordinator that write while it brings one attempt to its end: it is begun, decided, forgotten.
const STEPS_COUNT: u64 = 3;

/// How often a race is run: who wins one is luck.
const RACES_COUNT: usize = 6;

/// The coordinator dies before and after each thing it writes. The user goes to another coordinator with the same signed
/// transaction, and it is done once; the dead one is not needed for anything.
pub fn a_coordinator_dies_at_each_step_and_nobody_waits_for_it<C: Cluster>(
    cluster: &mut C,
    stage: &mut Stage,
) -> Result<()> {
    let points = (1..=STEPS_COUNT).flat_map(|step| [CrashPoint::BeforeWrite(step), CrashPoint::AfterWrite(step)]);
    let mut counted = 0;
    for point in points {
        // It comes back and finishes what it left; so the steps to come are those of what it is given now.
        if !cluster.is_up(Party::Coordinator(MORTAL)) {
            cluster.restart(Party::Coordinator(MORTAL))?;
        }
        let last = cluster.submit(MORTAL, &[stage.people.erin.sign(&stage.contracts.count_all())?])?;
        committed(cluster, last, PATIENT)?;
        counted += 1;
        cluster.kill(Party::Coordinator(MORTAL))?;
        cluster.restart_to_die(Party::Coordinator(MORTAL), point)?;
        let signed = stage.people.alice.sign(&stage.contracts.count_all())?;
        let told = cluster.submit(MORTAL, std::slice::from_ref(&signed))?;
        until(cluster, "death of the coordinator", PATIENT, |cluster| {
            (!cluster.is_up(Party::Coordinator(MORTAL))).then_some(())
        })?;
        let (begun, hash) = (cluster.now(), keccak256(&signed));
        // Another user, who needs the same keys, and the same user by another way.
        let other = stage.people.bob.sign(&stage.contracts.count_all())?;
        let sent = [cluster.submit(1, &[other])?, cluster.submit(1, &[signed])?];
        committed(cluster, sent[0], PATIENT)?;
        let again = ended(cluster, sent[1], PATIENT)?;
        let record = cluster.outcome(ShardId(0), hash);
        let succeeded = record.is_some_and(|record| record.outcome.status == Status::Success);
        ensure!(succeeded, "{point}: the transaction is not at its home, and its user was told {again:?}");
        counted += 2;
        for shard in [ShardId(0), ShardId(1), ShardId(2)] {
            let key = stage.count_on(shard);
            until(cluster, "count on every shard", PATIENT, |cluster| {
                let seen = cluster.look(key)?;
                (seen.value == coordinator::StateValue::Slot(U256::from(counted))).then_some(())
            })?;
        }
        println!(
            "{point}: {:?}; others done after {}",
            first_word(cluster.end(told).as_ref()),
            cluster.now().since(begun)
        );
        ensure!(!cluster.is_up(Party::Coordinator(MORTAL)), "{point}: the dead coordinator is up");
    }
    Ok(())
}

fn first_word(end: Option<&End>) -> &'static str {
    match end {
        Some(End::Committed(_)) => "its user was told of the commit",
        Some(End::Refused(_)) => "its user was refused",
        Some(End::Lost) | None => "its user was told nothing",
    }
}

/// One signed transaction through two coordinators at once: it is done once, and both say what happened.
pub fn two_coordinators_race_one_transaction<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    let (alice, carol) = (stage.people.alice.address(), stage.people.carol.address());
    let before = value(cluster, stage.gold_of(carol))?;
    for race in 1..=RACES_COUNT {
        let next = stage.people.alice.nonce();
        let signed = stage.people.alice.sign(&stage.contracts.give_gold(carol, 10))?;
        let both = [cluster.submit(0, std::slice::from_ref(&signed))?, cluster.submit(1, &[signed])?];
        let mut ends = Vec::new();
        for submission in both {
            ends.push(ended(cluster, submission, PATIENT)?);
        }
        let is_committed = |end: &End| matches!(end, End::Committed(_));
        ensure!(ends.iter().any(is_committed), "race {race}: nobody committed it: {ends:?}");
        let after = nonce(cluster, alice)?;
        ensure!(after == next + 1, "race {race}: the sender's next nonce is {after}");
        let gold = value(cluster, stage.gold_of(carol))?;
        let expected = before + U256::from(10 * race);
        ensure!(gold == expected, "race {race}: the recipient has {gold} gold, not {expected}");
    }
    Ok(())
}
