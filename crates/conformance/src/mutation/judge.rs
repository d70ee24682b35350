//! What a mutated prepare comes to: who objects, and if nobody does, whether there was anything to object to.

use crate::mutation::check::Check;
use crate::mutation::claim::{Claim, HomeVotes, Honest};
use crate::mutation::mutations::Mutated;
use crate::mutation::network::{AskError, NOW, Network, Verdict};
use crate::mutation::scene::Scene;
use commit::participant::DEADLINE_AHEAD_MAX;
use commit::{Descriptor, PAYLOAD_BYTES_MAX, VoteProof};
use evm::{Address, B256, Data, Environment, Environments, Executed, Payload, Prepared};
use primitives::{Epoch, ShardId};
use shard::limits::SLOT_AHEAD_MAX;
use shard::oldest_slot_taken;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Why a mutation that everybody votes yes on is none.
///
/// In each case the transaction was run honestly, on the true state, in the environment that the mutated prepare names; and
/// what that gives - payload, witness, effects, participants, homes - is what the mutated attempt binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harmless {
    /// Payload and all it binds are the honest ones: the same try under another number or deadline.
    AnotherTry,
    /// The environment is another, which the coordinator of a replay network says, and the effects are the honest ones: the
    /// transaction does not look at what was changed.
    Unread,
    /// The environment is another, which the coordinator of a replay network says, and the effects are those that the
    /// transaction has in it.
    AnotherEnvironment,
    /// Another slot within the bounds of every shard.
    AnotherSlot,
    /// The bytes are another transaction, whose signer the network knows, and which may be sent.
    AnotherTransaction,
}

impl fmt::Display for Harmless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AnotherTry => "another try at the same",
            Self::Unread => "an environment that differs where it is not read",
            Self::AnotherEnvironment => "an environment that the coordinator may say",
            Self::AnotherSlot => "another slot within bounds",
            Self::AnotherTransaction => "another transaction that may be sent",
        })
    }
}

/// What became of a mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It cannot commit: these checks object, each of some participant.
    Caught(BTreeSet<Check>),
    /// It can commit, and may.
    Harmless(Harmless),
    /// It can commit, and must not.
    Uncaught,
}

/// Sends a prepare to every participant it names, homes first, as a coordinator would; who objects and how.
///
/// An objection by `blind` counts as a yes: the twin that shows that a check is needed.
pub fn objections(
    network: &mut Network<'_>,
    claim: &Claim,
    blind: Option<Check>,
) -> Result<BTreeMap<ShardId, Check>, AskError> {
    let mut objections = BTreeMap::new();
    let mut votes = Vec::new();
    let (homes, others): (Vec<ShardId>, Vec<ShardId>) =
        claim.descriptor.participants.keys().partition(|shard| claim.descriptor.homes.contains(shard));
    for shard in homes {
        match vote(network, claim, shard, Vec::new())? {
            Verdict::Yes(proof) => votes.push(*proof),
            Verdict::Objects(check) => drop(objections.insert(shard, check)),
        }
    }
    let is_blind_home = objections.values().any(|check| Some(*check) == blind);
    let votes = handed(network, claim, votes)?;
    for shard in others {
        if let Verdict::Objects(check) = vote(network, claim, shard, votes.clone())? {
            objections.insert(shard, check);
        }
    }
    objections.retain(|_, check| Some(*check) != blind);
    if is_blind_home {
        // It would have said yes, and nobody would miss it.
        objections.retain(|_, check| *check != Check::HomesVoted);
    }
    Ok(objections)
}

fn vote(network: &mut Network<'_>, claim: &Claim, shard: ShardId, votes: Vec<VoteProof>) -> Result<Verdict, AskError> {
    if network.store(shard).is_none() {
        // There is nobody to ask, so there will be no vote.
        return Ok(Verdict::Objects(Check::Shard));
    }
    network.ask(shard, claim, votes)
}

/// The homes' votes as they are handed on.
fn handed(network: &mut Network<'_>, claim: &Claim, given: Vec<VoteProof>) -> Result<Vec<VoteProof>, AskError> {
    Ok(match claim.homes {
        HomeVotes::Given => given,
        HomeVotes::Withheld => Vec::new(),
        HomeVotes::Forged => given.into_iter().map(forged).collect(),
        HomeVotes::OfAnotherAttempt => on_another(network, claim)?,
        HomeVotes::Borrowed => {
            let attempt = claim.descriptor.id();
            let mut votes = on_another(network, claim)?;
            for proof in &mut votes {
                proof.vote.attempt = attempt;
            }
            votes
        }
    })
}

/// The last byte of the evidence is the signature's.
fn forged(mut proof: VoteProof) -> VoteProof {
    if let Some(last) = proof.evidence.last_mut() {
        *last ^= 1;
    }
    proof
}

/// What the homes would say on the next try.
fn on_another(network: &mut Network<'_>, claim: &Claim) -> Result<Vec<VoteProof>, AskError> {
    let descriptor = Descriptor { number: claim.descriptor.number + 1, ..claim.descriptor.clone() };
    let other = Claim { descriptor, ..claim.clone() };
    let mut votes = Vec::new();
    for home in &claim.descriptor.homes {
        if let Verdict::Yes(proof) = network.ask(*home, &other, Vec::new())? {
            votes.push(*proof);
        }
    }
    Ok(votes)
}

/// Judges one mutation.
pub fn judge(
    scene: &Scene,
    network: &mut Network<'_>,
    honest: &Honest,
    mutated: &Mutated,
    blind: Option<Check>,
) -> Result<Judgement, AskError> {
    let mut checks: BTreeSet<Check> = objections(network, &mutated.claim, blind)?.into_values().collect();
    // Others only miss the yes of a home that objects for its own reason, and nobody is asked at a shard that is not there.
    for by_the_way in [Check::HomesVoted, Check::Shard] {
        if checks.len() > 1 {
            checks.remove(&by_the_way);
        }
    }
    if !checks.is_empty() {
        return Ok(Judgement::Caught(checks));
    }
    Ok(legitimate(scene, honest, &mutated.claim).map_or(Judgement::Uncaught, Judgement::Harmless))
}

/// Why the attempt is one that a coordinator may make, if it is.
fn legitimate(scene: &Scene, honest: &Honest, claim: &Claim) -> Option<Harmless> {
    let Claim { descriptor, bytes, homes } = claim;
    let prepared: Prepared = primitives::decode(bytes, PAYLOAD_BYTES_MAX).ok()?;
    let in_time = NOW < descriptor.deadline && descriptor.deadline <= NOW.after(DEADLINE_AHEAD_MAX);
    let of_network = descriptor.network == scene.params.network && descriptor.check().is_ok();
    let epochs = descriptor.participants.values().all(|epoch| *epoch == Epoch(1));
    // Whoever is taken to be proven has to be by what its owner gave, and has the code that it has.
    let is_genuine = |(address, proof): (&Address, &Data)| honest.genuine.get(address) == Some(proof);
    let code = |address: &Address| Some((*address, scene.state.accounts.get(address)?.code_hash));
    let proven: BTreeMap<Address, B256> = prepared.proofs.keys().filter_map(code).collect();
    let executed = scene.run(&prepared.payload, &scene.state, &proven)?;
    let are_proven = prepared.proofs.iter().all(is_genuine) && prepared.proofs.keys().eq(executed.witness.fixed.keys());
    let is_run = executed.digest() == descriptor.payload
        && executed.witness == prepared.witness
        && executed.participants.iter().eq(descriptor.participants.keys())
        && executed.homes == descriptor.homes;
    if !(in_time && of_network && epochs && are_proven && is_run && *homes == HomeVotes::Given) {
        return None;
    }
    reason(scene, honest, &prepared.payload, &executed)
}

fn reason(scene: &Scene, honest: &Honest, payload: &Payload, executed: &Executed) -> Option<Harmless> {
    let told = &honest.prepared.payload;
    if payload == told {
        return Some(Harmless::AnotherTry);
    }
    if payload.transactions != told.transactions {
        return (payload.environment == told.environment).then_some(Harmless::AnotherTransaction);
    }
    match payload.environment {
        Environment::Slot(slot) => {
            let is_early = scene.params.start_of(slot) > NOW.after(SLOT_AHEAD_MAX);
            let is_near = !is_early && slot >= oldest_slot_taken(&scene.params, NOW);
            is_near.then_some(Harmless::AnotherSlot)
        }
        Environment::Travelled { .. } => None,
        Environment::Block(_) if scene.params.environments != Environments::Replay => None,
        Environment::Block(_) if executed.effects == honest.executed.effects => Some(Harmless::Unread),
        Environment::Block(_) => Some(Harmless::AnotherEnvironment),
    }
}
