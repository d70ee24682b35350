//! Coordinators that lie, stall or race: they may delay, and never split what shards decide (I1, I6).
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod stranger;
mod users;

use alloy_primitives::U256;
use commit::{Decision, Refusal, Verdict, VoteProof};
use dovetail_world::{Done, Plan, Watch, World, secret, validators};
use evm::{Payload, Placement, State};
use primitives::{Epoch, Height, Millis, ShardId, Time, Verified};
use proof::{Equivocation, Leaf, LeafKind, Outbox, Receipt, ReceiptVerifier, Signer};
use shard::queries;
use stranger::{Attempt, ask_one, attempt, vote_of};
use users::{ETHER, NETWORK, genesis, params, transfer, user};

const HOME: ShardId = ShardId(0);
const OTHER: ShardId = ShardId(1);

/// Three shards; a transfer from user 0 to user 1 crosses from the first to the second.
fn start(coordinators: usize) -> World {
    let placement = Placement::new(1, 3, users::spread(3)).unwrap();
    World::start(Plan { coordinators, checks: Watch::Batches, ..Plan::new(params(), placement, genesis(3)) }).unwrap()
}

fn payment(world: &World) -> Payload {
    transfer(world, 0, user(1).address(), ETHER, 0)
}

/// Both votes on a payment are in, and nobody has been told.
fn voted() -> (World, Attempt) {
    let mut world = start(1);
    let mut attempt = attempt(&world, &payment(&world), 1);
    attempt.collect_all(&mut world);
    assert!(attempt.votes.values().all(|proof| proof.vote.verdict.is_yes()));
    assert_eq!(attempt.votes.len(), 2);
    (world, attempt)
}

fn decisions(world: &World, attempt: &Attempt) -> Vec<Option<Decision>> {
    let decision =
        |shard: &ShardId| queries::attempt(world.shard(*shard).store(), attempt.descriptor.id())?.record.decision();
    attempt.descriptor.participants.keys().map(decision).collect()
}

/// The participants end it by themselves, alike; gives how.
fn end_alone(world: &mut World, attempt: &Attempt) -> Decision {
    let limit = world.now().after(Millis(120_000));
    assert!(world.run_quiet(limit), "the participants never end it");
    let decisions = decisions(world, attempt);
    let first = decisions[0].expect("decided");
    assert!(decisions.iter().all(|decision| *decision == Some(first)), "{decisions:?}");
    first
}

fn has_moved(state: &State) -> bool {
    state.accounts[&user(1).address()].balance == ETHER * U256::from(101)
}

#[test]
fn a_coordinator_that_commits_here_and_aborts_there_splits_nobody() {
    let (mut world, attempt) = voted();
    assert!(matches!(ask_one(&mut world, HOME, attempt.decide()), Ok(Done::Decided(_))));
    // There it tries all it has: to ask for a no, half of the votes, the same vote twice, a vote turned round.
    let asked = ask_one(&mut world, OTHER, attempt.abort_request());
    assert!(vote_of(&asked).unwrap().vote.verdict.is_yes(), "R4: after a yes an abort request changes nothing");
    let own = attempt.votes[&OTHER].clone();
    let mut turned = attempt.votes[&HOME].clone();
    turned.vote.verdict = Verdict::No(Refusal::Busy);
    for votes in [vec![own.clone()], vec![own.clone(), own.clone()], vec![own, turned]] {
        assert!(ask_one(&mut world, OTHER, attempt.claim(votes)).is_err());
    }
    assert_eq!(end_alone(&mut world, &attempt), Decision::Commit);
    assert!(has_moved(&world.state()));
}

#[test]
fn a_coordinator_that_invents_a_no_releases_nobody() {
    let (mut world, attempt) = voted();
    // A vote that says no, in a block that the coordinator signs with a key of its own.
    let no = VoteProof {
        vote: commit::Vote { verdict: Verdict::No(Refusal::Busy), ..attempt.votes[&HOME].vote.clone() },
        evidence: Vec::new(),
    };
    let forged = said_by(ShardId(2), HOME, &no, Height(1));
    for shard in [HOME, OTHER] {
        assert!(ask_one(&mut world, shard, attempt.claim(vec![forged.clone()])).is_err());
    }
    assert_eq!(end_alone(&mut world, &attempt), Decision::Commit);
}

/// Each prefix of what a coordinator sends: prepare home, prepare other, decide home, decide other.
#[test]
fn a_coordinator_that_stalls_at_each_send_holds_nobody() {
    for sends in 1..=4 {
        let mut world = start(1);
        let mut attempt = attempt(&world, &payment(&world), 1);
        for (number, shard) in attempt.order().into_iter().chain(attempt.order()).enumerate().take(sends) {
            if number < 2 {
                assert_eq!(attempt.collect(&mut world, shard), Some(Verdict::Yes));
            } else {
                assert!(ask_one(&mut world, shard, attempt.decide()).is_ok());
            }
        }
        let stalled = world.now();
        let limit = world.now().after(Millis(120_000));
        assert!(world.run_quiet(limit), "stalled after {sends} sends");
        // A home that voted alone asks the others, who say no and mean it (R5).
        let expected = if sends == 1 { Decision::Abort } else { Decision::Commit };
        assert_eq!(end_alone(&mut world, &attempt), expected, "stalled after {sends} sends");
        assert_eq!(has_moved(&world.state()), expected == Decision::Commit);
        assert!(
            world.now() < stalled.after(Millis(15_000)),
            "locked for no longer than the deadline and a round of asking"
        );
        // Whoever comes back later with what was held back finds it decided.
        if sends == 1 {
            assert!(!attempt.collect(&mut world, OTHER).unwrap().is_yes(), "R5: the prepare comes after the no");
        }
    }
}

#[test]
fn coordinators_that_race_one_transaction_commit_it_once() {
    for seed in 0..20 {
        let placement = Placement::new(1, 3, users::spread(3)).unwrap();
        let latency = dovetail_world::Span::between(1, 40);
        let plan = Plan {
            coordinators: 3,
            seed,
            latency,
            checks: Watch::Batches,
            ..Plan::new(params(), placement, genesis(3))
        };
        let mut world = World::start(plan).unwrap();
        let payload = payment(&world);
        let tickets = [0, 1, 2].map(|coordinator| world.submit(coordinator, payload.clone()).unwrap());
        let limit = world.now().after(Millis(300_000));
        assert!(world.run_quiet(limit), "seed {seed}");
        let state = world.state();
        assert!(has_moved(&state), "seed {seed}");
        assert_eq!(state.accounts[&user(0).address()].nonce, 1, "seed {seed}: once");
        let committed = tickets.iter().filter(|ticket| matches!(world.end(**ticket), Some(Ok(_)))).count();
        assert!(committed >= 1, "seed {seed}: somebody is told");
    }
}

#[test]
fn a_coordinator_that_narrows_the_participants_commits_nothing() {
    let mut world = start(1);
    let honest = attempt(&world, &payment(&world), 1);
    let mut descriptor = (*honest.descriptor).clone();
    descriptor.participants.remove(&OTHER);
    let mut narrowed = Attempt { descriptor: descriptor.into(), ..honest };
    assert_eq!(narrowed.collect(&mut world, HOME), None, "R1: no vote on an attempt that names too few");
    assert!(ask_one(&mut world, HOME, narrowed.decide()).is_err());
    assert!(!has_moved(&world.state()));
}

#[test]
fn a_coordinator_that_prepares_the_others_first_locks_nobody() {
    let mut world = start(1);
    let mut attempt = attempt(&world, &payment(&world), 1);
    assert_eq!(attempt.collect(&mut world, OTHER), None, "R11, I15: the home has not reserved the fee");
    let votes = attempt.votes.clone();
    attempt.votes.insert(HOME, VoteProof { evidence: vec![7; 64], ..sample_vote(&attempt) });
    assert_eq!(attempt.collect(&mut world, OTHER), None, "a home's vote without a receipt is none");
    attempt.votes = votes;
    attempt.commit(&mut world);
    assert!(has_moved(&world.state()));
}

fn sample_vote(attempt: &Attempt) -> VoteProof {
    let vote = commit::Vote { attempt: attempt.descriptor.id(), shard: HOME, epoch: Epoch(1), verdict: Verdict::Yes };
    VoteProof { vote, evidence: Vec::new() }
}

/// `proof`'s vote as a leaf of a block of `shard` at `height`, signed by the validator of `signer`.
fn said_by(signer: ShardId, shard: ShardId, proof: &VoteProof, height: Height) -> VoteProof {
    let leaf = Leaf { kind: LeafKind::Vote, body: primitives::encode(&proof.vote) };
    let outbox = Outbox::new(NETWORK, shard, height, vec![leaf]).unwrap();
    let evidence = sealed(signer, shard, height, &outbox).to_bytes();
    VoteProof { vote: proof.vote.clone(), evidence }
}

fn sealed(signer: ShardId, shard: ShardId, height: Height, outbox: &Outbox) -> Receipt {
    let set = validators(3);
    let mut world = start(1);
    let mut template = attempt(&world, &payment(&world), 1);
    template.collect(&mut world, HOME);
    let (mut header, _) = queries::header(world.shard(HOME).store(), Height(1)).unwrap();
    (header.shard, header.height, header.time) = (shard, height, Time(header.time.0 + 1));
    (header.outbox_root, header.outbox_count) = (outbox.root(), outbox.count());
    let certificate = Signer::new(secret(signer), &set[&signer]).unwrap().certify(&header).unwrap();
    outbox.receipt(0, &header, &certificate).unwrap()
}

/// With one validator for each shard, that shard's word is all there is: one that says two things can split an attempt it
/// takes part in. It cannot deny having done so: its two blocks of one height are evidence that anyone can check.
#[test]
fn a_shard_that_says_two_things_leaves_evidence_that_names_it() {
    let (world, attempt) = voted();
    let yes = &attempt.votes[&HOME];
    let no = commit::Vote { verdict: Verdict::No(Refusal::Busy), ..yes.vote.clone() };
    let said = Receipt::from_bytes(&yes.evidence).unwrap();
    let height = said.certified().height;
    let no = said_by(HOME, HOME, &VoteProof { vote: no, evidence: Vec::new() }, height);
    assert!(world.checks().votes(vec![no.clone()]).len() == 1, "its validator did sign it");
    let denied = Receipt::from_bytes(&no.evidence).unwrap();
    let claim = Equivocation {
        first: (said.certified().clone(), said.certificate.clone()),
        second: (denied.certified().clone(), denied.certificate.clone()),
    };
    let verifier = ReceiptVerifier::with(NETWORK, validators(3));
    let evidence = Verified::by(&verifier, claim).unwrap();
    assert_eq!((evidence.shard, evidence.height, &evidence.signers[..]), (HOME, height, &[0][..]));
}
