//! Attempts in a stranger's hands: votes and decisions that come in the wrong order, twice, or as lies.

use crate::cluster::{Cluster, committed, until};
use crate::stage::{PATIENT, PROMPT, Stage, value};
use crate::stranger::Attempt;
use alloy_primitives::U256;
use commit::Verdict;
use eyre::{Result, ensure};
use primitives::{Millis, ShardId};
use world::Party;

/// Longer than a scenario's steps take, shorter than anybody waits.
const LIFE: Millis = Millis(5_000);

const HOME: ShardId = ShardId(0);
const LAST: ShardId = ShardId(2);

/// R5: what was asked to abort before it voted has voted no, and says so to whatever comes later.
pub fn a_prepare_after_the_abort_is_refused<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    let signed = stage.people.alice.sign(&stage.contracts.count_all())?;
    let mut attempt = Attempt::at(cluster, std::slice::from_ref(&signed), LIFE)?;
    let tombstone = attempt.request_abort(cluster, LAST)?;
    ensure!(!tombstone.is_yes(), "asked to abort, a shard without a vote said {tombstone:?}");
    let home = attempt.prepare(cluster, HOME)?;
    ensure!(home.is_yes(), "the home said {home:?}");
    let late = attempt.prepare(cluster, LAST)?;
    ensure!(late == tombstone, "R2: the shard said {tombstone:?} and then {late:?}");
    // A shard that dies has not forgotten it.
    cluster.kill(Party::Shard(LAST))?;
    cluster.restart(Party::Shard(LAST))?;
    let later = attempt.prepare(cluster, LAST)?;
    ensure!(later == tombstone, "R2: after a restart the shard said {later:?}");
    let decided = attempt.decide(cluster, HOME)?;
    ensure!(decided.is_ok(), "one no aborts, and the home said {decided:?}");
    ensure!(stage.held(cluster)?.is_empty(), "an aborted attempt holds keys");
    // Nothing happened, so the same transaction may be tried again.
    let sent = cluster.submit(0, &[signed])?;
    committed(cluster, sent, PROMPT)?;
    Ok(())
}

/// A decision that overtakes its prepare: an abort is taken and makes the prepare a no; a commit cannot be, because it
/// would need the vote of the very shard that has none.
pub fn a_decision_before_the_prepare_is_harmless<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    let signed = stage.people.alice.sign(&stage.contracts.count_all())?;
    let mut attempt = Attempt::at(cluster, std::slice::from_ref(&signed), LIFE)?;
    let (middle, last) = (ShardId(1), LAST);
    attempt.prepare(cluster, HOME)?;
    let yes = attempt.prepare(cluster, middle)?;
    ensure!(yes.is_yes(), "shard {middle} said {yes:?}");
    // Two of three votes are no commit (R1).
    let early = attempt.decide(cluster, last)?;
    ensure!(early.is_err(), "shard {last} took two of three votes for a decision");
    ensure!(attempt.vote_of(cluster, last)?.is_none(), "a refused decision made a vote");
    // The abort comes before the prepare.
    let mut aborting = attempt.clone();
    aborting.votes.clear();
    let no = aborting.request_abort(cluster, last)?;
    ensure!(!no.is_yes());
    attempt.votes.insert(last, aborting.votes[&last].clone());
    for shard in [middle, HOME] {
        let decided = aborting.decide(cluster, shard)?;
        ensure!(decided.is_ok(), "shard {shard} refused an abort: {decided:?}");
    }
    let late = attempt.prepare(cluster, last)?;
    ensure!(!late.is_yes(), "the prepare came after the abort and shard {last} said {late:?}");

    // The same where a shard has never heard of the attempt when its abort comes.
    let again = stage.people.bob.sign(&stage.contracts.count_all())?;
    let mut unheard = Attempt::at(cluster, std::slice::from_ref(&again), LIFE)?;
    unheard.request_abort(cluster, middle)?;
    let decided = unheard.decide(cluster, last)?;
    ensure!(decided.is_ok(), "shard {last} refused an abort: {decided:?}");
    let late = unheard.prepare(cluster, last);
    ensure!(late.is_err() || !late?.is_yes(), "shard {last} voted yes after the abort");
    ensure!(stage.held(cluster)?.is_empty(), "an aborted attempt holds keys");
    for signed in [signed, again] {
        let sent = cluster.submit(0, &[signed])?;
        committed(cluster, sent, PROMPT)?;
    }
    Ok(())
}

/// All have voted yes. Whatever the coordinator then tells to whom, and in which order, all commit or all abort.
pub fn a_lying_coordinator_cannot_split_an_attempt<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    let signed = stage.people.alice.sign(&stage.contracts.count_all())?;
    let mut attempt = Attempt::at(cluster, std::slice::from_ref(&signed), Millis(2_000))?;
    let mut other = attempt.clone();
    other.descriptor.number += 1;
    let foreign = other.request_abort(cluster, ShardId(1))?;
    ensure!(!foreign.is_yes());
    let votes = attempt.prepare_all(cluster)?;
    ensure!(votes.values().all(Verdict::is_yes), "not all voted yes: {votes:?}");
    // A no on another try of the same payload aborts nothing here (R3).
    let lie = attempt.decide_by(cluster, HOME, other.votes.values().cloned().collect())?;
    ensure!(lie.is_err(), "the home took a vote on another attempt for an abort");
    // Told to abort, everybody answers with the yes that stands (R4).
    for shard in attempt.participants() {
        let stands = attempt.request_abort(cluster, shard)?;
        ensure!(stands.is_yes(), "shard {shard} took its yes back: {stands:?}");
    }
    // The commit goes to one shard alone; then the coordinator is never heard of again.
    let decided = attempt.decide(cluster, LAST)?;
    ensure!(decided.is_ok(), "shard {LAST} refused the decision: {decided:?}");
    for shard in [ShardId(0), ShardId(1), ShardId(2)] {
        let key = stage.count_on(shard);
        until(cluster, "commit on every shard", PATIENT, |cluster| {
            let seen = cluster.look(key)?;
            (seen.holder.is_none() && seen.value == coordinator::StateValue::Slot(U256::ONE)).then_some(())
        })?;
    }
    Ok(())
}

/// R2: a yes outlives its shard's death, with its locks and its effects; the others wait for it and the attempt commits.
pub fn a_shard_that_dies_after_its_vote_keeps_it<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    let signed = stage.people.alice.sign(&stage.contracts.count_all())?;
    let mut attempt = Attempt::at(cluster, std::slice::from_ref(&signed), Millis(2_000))?;
    attempt.prepare_all(cluster)?;
    let voted = attempt.votes.clone();
    for shard in [LAST, HOME] {
        cluster.kill(Party::Shard(shard))?;
        cluster.restart(Party::Shard(shard))?;
        let stands = attempt.vote_of(cluster, shard)?;
        ensure!(stands == Some(Verdict::Yes), "after its death shard {shard} says that it voted {stands:?}");
        ensure!(attempt.votes[&shard].vote == voted[&shard].vote, "shard {shard} has another vote");
        let key = stage.count_on(shard);
        let holder = cluster.look(key).and_then(|seen| seen.holder);
        ensure!(holder == Some(attempt.id()), "after its death shard {shard} has {key} held by {holder:?}");
    }
    for shard in attempt.participants() {
        let decided = attempt.decide(cluster, shard)?;
        ensure!(decided.is_ok(), "shard {shard} refused the decision: {decided:?}");
        let count = value(cluster, stage.count_on(shard))?;
        ensure!(count == U256::ONE, "the counter of shard {shard} is at {count}");
        let twice = attempt.decide(cluster, shard)?;
        ensure!(twice == decided, "the second time shard {shard} said {twice:?}");
        let count = value(cluster, stage.count_on(shard))?;
        ensure!(count == U256::ONE, "I5: the counter of shard {shard} is at {count}");
    }
    Ok(())
}
