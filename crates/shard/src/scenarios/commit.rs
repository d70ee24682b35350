//! Attempts over shards: votes, decisions, locks, and what happens when the coordinator does not.

use super::world::{ETHER, NETWORK, S0, S1, World, user};
use crate::limits::{ABORTS_UNFOUNDED_COUNT_MAX, STEP_GAS_MAX};
use crate::spaces::{ATTEMPTS, PREPARED, TOMBSTONES};
use crate::{
    Answer, AttemptRefusal, Busy, FreshValue, HotKey, Input, LocalRefusal, LockCounts, Prepare, Send, VoteVerifier,
};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_signer::SignerSync;
use commit::{Decision, Descriptor, Refusal, Rejection, Verdict, VoteProof};
use evm::StateKey;
use primitives::{Epoch, ShardId, Verified};

/// Users 1 and 2 on shard 0, users 3 and 4 on shard 1.
fn world() -> World {
    let on = |seed, shard| (user(seed).address(), shard);
    World::new(2, [on(1, S0), on(2, S0), on(3, S1), on(4, S1)])
}

fn verdict(answer: &Answer) -> &Verdict {
    match answer {
        Answer::Voted { vote, .. } => &vote.verdict,
        other => panic!("no vote: {other:?}"),
    }
}

fn refusal(answer: &Answer) -> &Refusal {
    match verdict(answer) {
        Verdict::No(refusal) => refusal,
        Verdict::Yes => panic!("a yes"),
    }
}

/// A prepared transfer of one ether from user `from` to user `to`.
fn attempt(world: &World, from: u8, to: u8) -> Prepare {
    world.attempt(&world.transfer(&user(from), user(to).address(), ETHER), 1)
}

fn with_homes(prepare: &Prepare, homes: Vec<Verified<VoteProof>>) -> Prepare {
    Prepare { homes, ..prepare.clone() }
}

#[test]
fn a_transfer_across_two_shards_commits_on_both() {
    let mut world = world();
    let payload = world.transfer(&user(1), user(3).address(), ETHER);
    let prepare = world.commit(&payload);
    assert_eq!(prepare.descriptor.participants.len(), 2);
    assert_eq!(world.balance(user(3).address()), ETHER * U256::from(101));
    let fee = U256::from(21_000 * 10);
    assert_eq!(world.balance(user(1).address()), ETHER * U256::from(99) - fee);
    world.assert_quiet();
    let hash = payload.signed().next().unwrap().hash();
    let record = crate::queries::outcome(world.store(S0), hash).unwrap();
    assert_eq!((record.attempt, record.participants), (Some(prepare.descriptor.id()), vec![S0, S1]));
    assert_eq!(crate::queries::outcome(world.store(S1), hash), None);
}

#[test]
fn a_local_transfer_needs_no_votes_and_is_executed_once() {
    let mut world = world();
    let payload = world.transfer(&user(1), user(2).address(), ETHER);
    let first = world.local(S0, &payload);
    assert_eq!(world.local(S0, &payload), first);
    assert_eq!(world.balance(user(2).address()), ETHER * U256::from(101));
    assert_eq!(world.nodes[&S0].machine.tip().height.0, 1);
}

#[test]
fn a_local_payload_that_leaves_the_shard_is_refused_with_what_it_lacks() {
    let mut world = world();
    let payload = world.transfer(&user(1), user(3).address(), ETHER);
    let answer = world.ask(S0, |ticket| Input::Local { ticket, payload: Box::new(payload.clone()) });
    let Answer::LocalRefused(LocalRefusal::NotLocal { missing }) = answer else { panic!("{answer:?}") };
    assert!(!missing.is_empty());
    assert_eq!(world.batches, 0, "a refusal writes nothing");
}

#[test]
fn a_local_payload_may_name_accounts_of_other_shards_that_it_never_reads() {
    let mut world = world();
    let foreign = AccessListItem { address: user(3).address(), storage_keys: vec![B256::ZERO] };
    let transaction = TxEip1559 {
        chain_id: NETWORK.0,
        gas_limit: 100_000,
        to: TxKind::Call(user(2).address()),
        value: ETHER,
        access_list: AccessList(vec![foreign]),
        ..TxEip1559::default()
    };
    let signature = user(1).sign_hash_sync(&transaction.signature_hash()).unwrap();
    let bytes = TxEnvelope::Eip1559(transaction.into_signed(signature)).encoded_2718();
    let payload = world.payload(&[bytes]);
    assert_eq!(world.local(S0, &payload).len(), 1);
    assert_eq!(world.balance(user(2).address()), ETHER * U256::from(101));
}

#[test]
fn a_local_payload_that_cannot_run_is_refused() {
    let mut world = world();
    let bytes = World::sign_at(&user(1), TxKind::Call(user(2).address()), ETHER, Vec::new(), 7);
    let payload = world.payload(&[bytes]);
    let answer = world.ask(S0, |ticket| Input::Local { ticket, payload: Box::new(payload.clone()) });
    assert!(matches!(answer, Answer::LocalRefused(LocalRefusal::Execution(_))), "{answer:?}");
}

#[test]
fn a_slot_far_from_block_time_is_refused() {
    let mut world = world();
    let payload = world.transfer(&user(1), user(2).address(), ETHER);
    let prepare = attempt(&world, 1, 3);
    world.wait(120_000);
    let answer = world.ask(S0, |ticket| Input::Local { ticket, payload: Box::new(payload.clone()) });
    assert!(matches!(answer, Answer::LocalRefused(LocalRefusal::Slot(_))), "{answer:?}");
    let mut late = prepare;
    late.descriptor.deadline = world.now.after(primitives::Millis(1));
    let taken = world.params.slot_at(world.now);
    assert_eq!(refusal(&world.prepare(S0, &late)), &Refusal::Slot { taken });
}

#[test]
fn a_yes_vote_outlives_a_restart() {
    let mut world = world();
    let prepare = attempt(&world, 1, 3);
    let before = world.prepare(S0, &prepare);
    let locks = world.nodes[&S0].machine.locks_count();
    world.restart(S0);
    assert_eq!(world.nodes[&S0].machine.locks_count(), locks);
    assert_eq!(world.prepare(S0, &prepare), before);
}

#[test]
fn a_vote_is_for_ever_the_same() {
    let mut world = world();
    let mut prepare = attempt(&world, 1, 3);
    let first = world.prepare(S0, &prepare);
    let votes = world.prepare_all(&mut prepare);
    for shard in [S0, S1] {
        world.decide(shard, &prepare.descriptor, &votes);
    }
    world.wait(1_000_000);
    let descriptor = prepare.descriptor.clone();
    assert_eq!(world.prepare(S0, &prepare), first);
    let asked =
        world.ask(S0, |ticket| Input::AbortRequest { ticket, descriptor: Box::new(descriptor.clone()), waits: None });
    assert_eq!(asked, first);
}

#[test]
fn a_tombstone_makes_a_later_prepare_a_no() {
    let mut world = world();
    let prepare = attempt(&world, 1, 3);
    let descriptor = prepare.descriptor.clone();
    let asked =
        world.ask(S0, |ticket| Input::AbortRequest { ticket, descriptor: Box::new(descriptor.clone()), waits: None });
    assert_eq!(refusal(&asked), &Refusal::AbortRequested);
    world.restart(S0);
    assert_eq!(world.prepare(S0, &prepare), asked);
    assert_eq!(world.nodes[&S0].machine.locks_count(), 0);
}

/// Abort requests for attempts that nobody ever prepared.
fn of_strangers(descriptor: &Descriptor, numbers: std::ops::Range<u32>) -> Vec<Input> {
    let request = |number| {
        let descriptor = Box::new(Descriptor { number, ..descriptor.clone() });
        Input::AbortRequest { ticket: crate::Ticket(u64::from(number)), descriptor, waits: None }
    };
    numbers.map(request).collect()
}

#[test]
fn what_strangers_have_signed_is_bounded_and_goes_after_its_deadline() {
    let mut world = world();
    let descriptor = attempt(&world, 1, 3).descriptor;
    let most = ABORTS_UNFOUNDED_COUNT_MAX as u32;
    let answers = world.step(S0, of_strangers(&descriptor, 1..most + 3)).unwrap();
    let busy =
        |answer: &&Answer| matches!(answer, Answer::AttemptRefused(AttemptRefusal::Busy(Busy::Tombstones { .. })));
    assert_eq!(answers.iter().filter(busy).count(), 2);
    assert_eq!(world.store(S0).count(ATTEMPTS), ABORTS_UNFOUNDED_COUNT_MAX);
    world.restart(S0);
    let again = world.step(S0, of_strangers(&descriptor, most + 3..most + 4)).unwrap();
    assert!(busy(&&again[0]), "a restart forgets none of them");
    let answers = world.step(S0, of_strangers(&descriptor, 1..2)).unwrap();
    assert!(matches!(answers[0], Answer::Voted { .. }), "what was said is said again");
    world.wait(200_000);
    for block in 0..5 {
        let (from, to) = if block % 2 == 0 { (1, 2) } else { (2, 1) };
        world.local(S0, &world.transfer(&user(from), user(to).address(), U256::from(1)));
    }
    assert_eq!((world.store(S0).count(ATTEMPTS), world.store(S0).count(TOMBSTONES)), (0, 0));
    let late = Descriptor { deadline: world.now.after(primitives::Millis(1_000)), ..descriptor };
    let answers = world.step(S0, of_strangers(&late, 1..2)).unwrap();
    assert!(matches!(answers[0], Answer::Voted { .. }), "there is room again");
}

#[test]
fn whoever_waits_is_answered_when_strangers_have_used_up_theirs() {
    let mut world = world();
    let mut prepare = attempt(&world, 1, 3);
    let yes = world.prepare(S0, &prepare);
    prepare.homes = vec![world.vote(&yes)];
    let of_nobody = Descriptor { deadline: world.now.after(primitives::Millis(30_000)), ..prepare.descriptor.clone() };
    world.step(S1, of_strangers(&of_nobody, 1..ABORTS_UNFOUNDED_COUNT_MAX as u32 + 1));
    world.wait(11_000);
    world.step(S0, vec![Input::Tick]);
    world.answer_questions(S0);
    assert_eq!(world.nodes[&S0].machine.live_count(), 0, "it got its no, and its locks are free");
}

#[test]
fn after_its_no_has_gone_an_attempt_is_a_no_by_rule_and_a_yes_never_goes() {
    let mut world = world();
    let committed = world.commit(&world.transfer(&user(1), user(3).address(), ETHER));
    let refused = attempt(&world, 1, 3);
    world.step(S0, of_strangers(&refused.descriptor, 1..2));
    world.wait(200_000);
    world.local(S0, &world.transfer(&user(1), user(2).address(), U256::from(1)));
    assert_eq!(world.store(S0).count(ATTEMPTS), 1);
    let asked = world.step(S0, of_strangers(&committed.descriptor, 1..2)).unwrap();
    assert!(matches!(&asked[0], Answer::Voted { vote, .. } if vote.verdict.is_yes()), "R7: {asked:?}");
    for _ in 0..2 {
        let answer = world.prepare(S0, &refused);
        assert!(matches!(refusal(&answer), Refusal::Expired { .. }), "{answer:?}");
        world.restart(S0);
    }
    assert_eq!(world.nodes[&S0].machine.locks_count(), 0);
}

#[test]
fn an_abort_that_comes_after_the_deadline_of_an_attempt_unknown_here_is_not_written_down() {
    let mut world = world();
    let prepare = attempt(&world, 1, 3);
    let no = world.step(S0, of_strangers(&prepare.descriptor, 1..2)).unwrap();
    let vote = world.vote(&no[0]);
    world.wait(10_000);
    let batches = world.batches;
    let decided = world.decide(S1, &prepare.descriptor, &[vote]);
    assert!(matches!(decided, Answer::Decided { decision: Decision::Abort, .. }), "{decided:?}");
    assert_eq!(world.batches, batches);
    assert!(matches!(refusal(&world.prepare(S1, &prepare)), Refusal::Expired { .. }));
}

#[test]
fn an_abort_request_after_a_yes_changes_nothing() {
    let mut world = world();
    let prepare = attempt(&world, 1, 3);
    let yes = world.prepare(S0, &prepare);
    let descriptor = prepare.descriptor.clone();
    world.wait(1_000_000);
    let asked =
        world.ask(S0, |ticket| Input::AbortRequest { ticket, descriptor: Box::new(descriptor.clone()), waits: None });
    assert_eq!(asked, yes);
    assert_eq!(world.nodes[&S0].machine.live_count(), 1);
}

#[test]
fn a_decision_before_the_prepare_is_harmless() {
    let mut world = world();
    let prepare = attempt(&world, 1, 3);
    let descriptor = prepare.descriptor.clone();
    let no =
        world.ask(S0, |ticket| Input::AbortRequest { ticket, descriptor: Box::new(descriptor.clone()), waits: None });
    let vote = world.vote(&no);
    let decided = world.decide(S1, &prepare.descriptor, &[vote]);
    assert!(matches!(decided, Answer::Decided { decision: Decision::Abort, .. }), "{decided:?}");
    assert_eq!(refusal(&world.prepare(S1, &prepare)), &Refusal::AlreadyAborted);
    world.assert_quiet();
}

#[test]
fn a_decision_is_applied_once_however_often_it_comes() {
    let mut world = world();
    let mut prepare = attempt(&world, 1, 3);
    let votes = world.prepare_all(&mut prepare);
    let first = world.decide(S1, &prepare.descriptor, &votes);
    let batches = world.batches;
    assert_eq!(world.decide(S1, &prepare.descriptor, &votes), first);
    world.restart(S1);
    assert_eq!(world.decide(S1, &prepare.descriptor, &votes), first);
    assert_eq!(world.batches, batches, "the second and third write nothing");
    assert_eq!(world.balance(user(3).address()), ETHER * U256::from(101));
}

#[test]
fn nobody_locks_before_the_homes_have_voted() {
    let mut world = world();
    let prepare = attempt(&world, 1, 3);
    let refused = world.prepare(S1, &prepare);
    assert_eq!(refused, Answer::AttemptRefused(Rejection::HomesMissing { home: S0 }.into()));
    assert_eq!(world.nodes[&S1].machine.locks_count(), 0);
    let home = world.prepare(S0, &prepare);
    let home = world.vote(&home);
    assert_eq!(verdict(&world.prepare(S1, &with_homes(&prepare, vec![home]))), &Verdict::Yes);
}

#[test]
fn the_last_agent_commits_in_the_batch_of_its_vote_and_locks_nothing() {
    let mut world = world();
    let mut prepare = attempt(&world, 1, 3);
    let home = world.prepare(S0, &prepare);
    let home = world.vote(&home);
    prepare.homes = vec![home.clone()];
    let batches = world.batches;
    let yes = world.prepare(S1, &prepare);
    assert_eq!((verdict(&yes), world.batches), (&Verdict::Yes, batches + 1));
    assert_eq!(world.balance(user(3).address()), ETHER * U256::from(101));
    let machine = &world.nodes[&S1].machine;
    assert_eq!((machine.locks_count(), machine.live_count(), world.store(S1).count(PREPARED)), (0, 0, 0));
    // Its own shard waits for the decision; another payment to the same account does not.
    world.local(S1, &world.transfer(&user(4), user(3).address(), ETHER));
    world.restart(S1);
    let descriptor = prepare.descriptor.clone();
    let asked =
        world.ask(S1, |ticket| Input::AbortRequest { ticket, descriptor: Box::new(descriptor.clone()), waits: None });
    assert_eq!(asked, yes, "R7: whoever asks it hears the yes that was the commit");
    let (batches, last) = (world.batches, world.vote(&yes));
    for _ in 0..2 {
        let told = world.decide(S1, &prepare.descriptor, &[home.clone(), last.clone()]);
        assert!(matches!(told, Answer::Decided { decision: Decision::Commit, .. }), "{told:?}");
    }
    assert_eq!(world.batches, batches, "it has nothing left to do");
    assert_eq!(world.balance(user(3).address()), ETHER * U256::from(102));
    world.decide(S0, &prepare.descriptor, &[home, last]);
    world.assert_quiet();
}

#[test]
fn a_home_whose_coordinator_dies_learns_of_the_commit_from_the_last_agent() {
    let mut world = world();
    let mut prepare = attempt(&world, 1, 3);
    world.prepare_all(&mut prepare);
    world.wait(11_000);
    world.step(S0, vec![Input::Tick]);
    world.answer_questions(S0);
    assert_eq!(world.balance(user(1).address()), ETHER * U256::from(99) - U256::from(21_000 * 10));
    world.assert_quiet();
}

#[test]
fn an_attempt_that_names_fewer_shards_than_it_touches_is_refused() {
    let mut world = world();
    let mut prepare = attempt(&world, 1, 3);
    prepare.descriptor.participants.remove(&S1);
    let refused = world.prepare(S0, &prepare);
    assert!(matches!(refused, Answer::AttemptRefused(AttemptRefusal::Participants { .. })), "{refused:?}");
}

#[test]
fn an_attempt_with_another_payload_digest_is_refused() {
    let mut world = world();
    let other = attempt(&world, 2, 4);
    let mut prepare = attempt(&world, 1, 3);
    prepare.descriptor.payload = other.descriptor.payload;
    let refused = world.prepare(S0, &prepare);
    let wrong = matches!(&refused, Answer::AttemptRefused(AttemptRefusal::Commit(Rejection::WrongPayload { .. })));
    assert!(wrong, "{refused:?}");
}

#[test]
fn an_attempt_of_another_epoch_is_refused() {
    let mut world = world();
    let mut prepare = attempt(&world, 1, 3);
    prepare.descriptor.participants.insert(S1, Epoch(2));
    let refused = world.prepare(S0, &prepare);
    let wrong = matches!(&refused, Answer::AttemptRefused(AttemptRefusal::Commit(Rejection::WrongEpoch { .. })));
    assert!(wrong, "{refused:?}");
}

#[test]
fn a_prepare_past_its_deadline_is_a_no() {
    let mut world = world();
    let prepare = attempt(&world, 1, 3);
    world.wait(10_000);
    assert!(matches!(refusal(&world.prepare(S0, &prepare)), Refusal::Expired { .. }));
}

#[test]
fn a_stale_witness_is_a_no_with_fresh_values() {
    let mut world = world();
    let prepare = attempt(&world, 1, 3);
    let local = world.transfer(&user(1), user(2).address(), ETHER);
    world.local(S0, &local);
    let answer = world.prepare(S0, &prepare);
    assert_eq!(refusal(&answer), &Refusal::Stale);
    let Answer::Voted { hint, .. } = answer else { panic!() };
    assert_eq!(hint, [FreshValue::Account(user(1).address(), world.account(user(1).address()))]);
}

fn counted(world: &mut World, shard: ShardId) -> LockCounts {
    match world.ask(shard, |ticket| Input::CountLocks { ticket }) {
        Answer::Locks(counts) => counts,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_conflict_is_an_immediate_no_and_the_next_attempt_succeeds() {
    let mut world = world();
    let paying = world.transfer_beside(&user(4), &user(1), user(3).address(), ETHER);
    let mut first = world.attempt(&paying, 1);
    let second = attempt(&world, 2, 3);
    let votes = world.prepare_all(&mut first);
    // Both write user 3 on shard 1; their homes have different senders.
    let home = world.prepare(S0, &second);
    let home = world.vote(&home);
    let answer = world.prepare(S1, &with_homes(&second, vec![home.clone()]));
    assert_eq!(refusal(&answer), &Refusal::Conflict { holder: first.descriptor.id() });
    let no = world.vote(&answer);
    let locks = counted(&mut world, S1);
    let recipient = StateKey::Account(user(3).address());
    assert_eq!((locks.holders_count, locks.waiting_count), (1, 0));
    assert!(locks.keys_count > 0, "the first attempt holds its keys");
    assert_eq!(locks.hottest, [HotKey { key: recipient, count: 1 }]);
    for shard in [S0, S1] {
        world.decide(shard, &first.descriptor, &votes);
        world.decide(shard, &second.descriptor, std::slice::from_ref(&no));
    }
    world.assert_quiet();
    let locks = counted(&mut world, S1);
    assert_eq!((locks.keys_count, locks.holders_count, locks.hottest.len()), (0, 0, 1));
    let again = world.transfer(&user(2), user(3).address(), ETHER);
    world.commit(&again);
    assert_eq!(world.balance(user(3).address()), ETHER * U256::from(102));
}

#[test]
fn a_local_transaction_waits_for_an_undecided_attempt() {
    let mut world = world();
    let mut prepare = attempt(&world, 1, 3);
    let votes = world.prepare_all(&mut prepare);
    let local = world.transfer(&user(2), user(1).address(), ETHER);
    let answer = world.ask(S0, |ticket| Input::Local { ticket, payload: Box::new(local.clone()) });
    let Answer::LocalRefused(LocalRefusal::Busy(Busy::Locked { key, .. })) = answer else { panic!("{answer:?}") };
    assert_eq!(counted(&mut world, S0).hottest, [HotKey { key, count: 1 }]);
    world.decide(S0, &prepare.descriptor, &votes);
    world.local(S0, &local);
}

#[test]
fn one_sender_and_nonce_has_one_live_attempt() {
    let mut world = world();
    let first = attempt(&world, 1, 3);
    let second = attempt(&world, 1, 4);
    world.prepare(S0, &first);
    assert_eq!(refusal(&world.prepare(S0, &second)), &Refusal::Conflict { holder: first.descriptor.id() });
}

#[test]
fn write_skew_is_refused() {
    // Each reads the counter it does not write: read locks held to the decision make one of them fail (R6).
    let (a, b) = (Address::repeat_byte(0xaa), Address::repeat_byte(0xbb));
    let mut world = skewed_world(a, b);
    let mut first = world.attempt(&call_beside(&world, 4, (1, a)), 1);
    let second = world.attempt(&call(&world, 3, b), 1);
    assert_eq!(first.descriptor.participants.len(), 2);
    let votes = world.prepare_all(&mut first);
    assert!(votes.iter().all(|vote| vote.vote.verdict.is_yes()));
    let answer = world.prepare(S1, &second);
    assert_eq!(refusal(&answer), &Refusal::Conflict { holder: first.descriptor.id() });
    for shard in [S0, S1] {
        world.decide(shard, &first.descriptor, &votes);
    }
    // Tried again with what it read before, it is refused by the shard whose value has changed since.
    let again = Prepare { descriptor: renumbered(&second), ..second };
    let home = world.prepare(S1, &again);
    let home = world.vote(&home);
    assert_eq!(refusal(&world.prepare(S0, &with_homes(&again, vec![home]))), &Refusal::Stale);
}

#[test]
fn read_locks_are_held_to_the_decision() {
    let (a, b) = (Address::repeat_byte(0xaa), Address::repeat_byte(0xbb));
    let mut world = skewed_world(a, b);
    let mut first = world.attempt(&call_beside(&world, 3, (1, a)), 1);
    let votes = world.prepare_all(&mut first);
    // The first only reads b's slot on shard 1; a local write of it has to wait for the decision.
    let write = call(&world, 4, Address::repeat_byte(0xcc));
    let answer = world.ask(S1, |ticket| Input::Local { ticket, payload: Box::new(write.clone()) });
    assert!(matches!(answer, Answer::LocalRefused(LocalRefusal::Busy(Busy::Locked { .. }))), "{answer:?}");
    world.decide(S1, &first.descriptor, &votes);
    world.local(S1, &write);
}

fn renumbered(prepare: &Prepare) -> commit::Descriptor {
    commit::Descriptor { number: 2, ..prepare.descriptor.clone() }
}

fn call(world: &World, seed: u8, to: Address) -> Verified<evm::RecoveredPayload> {
    world.payload(&[world.sign(&user(seed), TxKind::Call(to), U256::ZERO, Vec::new())])
}

/// The same with the shard of user `also` as a second home.
fn call_beside(world: &World, also: u8, (seed, to): (u8, Address)) -> Verified<evm::RecoveredPayload> {
    world.beside_home_of(&user(also), world.sign(&user(seed), TxKind::Call(to), U256::ZERO, Vec::new()))
}

/// `a` on shard 0 and `b` on shard 1 each set their own slot 0 to what the other returns plus one when called with no
/// data, and return their slot when called with data. `c` on shard 1 sets `b` by way of a call with 32 bytes of nothing.
fn skewed_world(a: Address, b: Address) -> World {
    use crate::{GenesisAccount, GenesisAccounts};
    let c = Address::repeat_byte(0xcc);
    let with_code = |code: Vec<u8>| GenesisAccount { nonce: 1, code: code.into(), ..Default::default() };
    let mut accounts: GenesisAccounts =
        (1..=4).map(|seed| (user(seed).address(), GenesisAccount { balance: ETHER, ..Default::default() })).collect();
    accounts.insert(a, with_code(skewed(b)));
    accounts.insert(b, with_code(skewed(a)));
    accounts.insert(c, with_code(poke(b)));
    let on = |seed, shard| (user(seed).address(), shard);
    let pinned = [on(1, S0), on(2, S0), on(3, S1), on(4, S1), (a, S0), (b, S1), (c, S1)];
    World::with_accounts(2, pinned, &accounts)
}

/// No data: slot 0 = 1 + what `other` returns to one byte of data. One byte: returns slot 0. More: slot 0 += 1.
fn skewed(other: Address) -> Vec<u8> {
    let mut code = vec![0x36, 0x80, 0x60, 1, 0x14, 0x60, 0x38, 0x57]; // size == 1: jump to 0x38
    code.extend([0x60, 1, 0x10, 0x60, 0x44, 0x57]); // 1 < size: jump to 0x44
    code.extend([0x60, 32, 0x60, 0, 0x60, 1, 0x60, 0, 0x73]); // staticcall(gas, other, 0, 1, 0, 32)
    code.extend(other);
    code.extend([0x5a, 0xfa, 0x50]);
    code.extend([0x60, 0, 0x51, 0x60, 1, 0x01, 0x60, 0, 0x55, 0x00]); // slot 0 = returned + 1
    assert_eq!(code.len(), 0x38);
    code.extend([0x5b, 0x60, 0, 0x54, 0x60, 0, 0x52, 0x60, 32, 0x60, 0, 0xf3]); // return slot 0
    assert_eq!(code.len(), 0x44);
    code.extend([0x5b, 0x60, 0, 0x54, 0x60, 1, 0x01, 0x60, 0, 0x55, 0x00]); // slot 0 += 1
    code
}

/// Calls `target` with two bytes of data.
fn poke(target: Address) -> Vec<u8> {
    let mut code = vec![0x60, 0, 0x60, 0, 0x60, 2, 0x60, 0, 0x60, 0, 0x73];
    code.extend(target);
    code.extend([0x5a, 0xf1, 0x00]);
    code
}

#[test]
fn a_late_attempt_is_finished_by_its_participants_without_a_coordinator() {
    let mut world = world();
    let paying = world.transfer_beside(&user(4), &user(1), user(3).address(), ETHER);
    let mut prepare = world.attempt(&paying, 1);
    world.prepare_all(&mut prepare); // The coordinator dies with the votes in its hand.
    world.wait(10_400);
    world.step(S0, vec![Input::Tick]);
    assert_eq!(world.sends, [], "not before deadline and grace");
    world.wait(200);
    world.step(S0, vec![Input::Tick]);
    let [Send::AskVotes { to: S1, descriptor, waits }] = &world.sends[..] else { panic!("{:?}", world.sends) };
    assert_eq!(*descriptor, prepare.descriptor);
    let shown = Verified::by(&VoteVerifier::new(&world.verifier), waits.to_bytes()).unwrap();
    assert_eq!((shown.vote.shard, shown.vote.verdict.is_yes()), (S0, true), "it shows that it waits");
    world.answer_questions(S0);
    world.step(S1, vec![Input::Tick]);
    world.answer_questions(S1);
    world.assert_quiet();
    assert_eq!(world.balance(user(3).address()), ETHER * U256::from(101));
}

#[test]
fn a_late_attempt_that_one_shard_never_saw_is_aborted_by_asking() {
    let mut world = world();
    let prepare = attempt(&world, 1, 3);
    world.prepare(S0, &prepare);
    world.restart(S0);
    world.wait(11_000);
    world.step(S0, vec![Input::Tick]);
    world.answer_questions(S0);
    world.assert_quiet();
    assert_eq!(world.balance(user(1).address()), ETHER * U256::from(100));
    assert_eq!(world.store(S0).count(PREPARED), 0);
}

#[test]
fn an_attempt_of_one_participant_ends_without_anybody_to_ask() {
    let mut world = world();
    let prepare = attempt(&world, 1, 2);
    assert_eq!(prepare.descriptor.participants.len(), 1);
    assert_eq!(verdict(&world.prepare(S0, &prepare)), &Verdict::Yes);
    world.wait(11_000);
    world.step(S0, vec![Input::Tick]);
    world.assert_quiet();
    assert_eq!(world.balance(user(2).address()), ETHER * U256::from(101));
}

#[test]
fn asking_goes_on_with_growing_waits_until_there_is_a_decision() {
    let mut world = world();
    let prepare = attempt(&world, 1, 3);
    world.prepare(S0, &prepare);
    let mut asked = Vec::new();
    for _ in 0..200 {
        world.wait(100);
        world.step(S0, vec![Input::Tick]);
        if !std::mem::take(&mut world.sends).is_empty() {
            asked.push(world.now.0);
        }
    }
    let waits: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits, [500, 1000, 2000, 4000, 8000]);
    assert_eq!(world.nodes[&S0].machine.live_count(), 1, "R4: no clock ends an attempt");
}

#[test]
fn a_bundle_of_which_one_fails_cannot_be_prepared() {
    let world = world();
    let revert = world.sign(&user(2), TxKind::Create, U256::ZERO, vec![0xfe]);
    let pay = world.sign(&user(1), TxKind::Call(user(3).address()), ETHER, Vec::new());
    let payload = world.payload(&[pay, revert]);
    let placement = &world.placement;
    let run = evm::execute(&world.params, placement, &payload, &evm::State::default());
    assert!(run.is_err());
}

#[test]
fn a_bundle_of_two_homes_commits_everywhere() {
    let mut world = world();
    let first = world.sign(&user(1), TxKind::Call(user(4).address()), ETHER, Vec::new());
    let second = world.sign(&user(3), TxKind::Call(user(2).address()), ETHER, Vec::new());
    let payload = world.payload(&[first, second]);
    let prepare = world.commit(&payload);
    assert_eq!(prepare.descriptor.homes.len(), 2);
    assert_eq!(world.balance(user(4).address()), ETHER * U256::from(101));
    assert_eq!(world.balance(user(2).address()), ETHER * U256::from(101));
    world.assert_quiet();
}

#[test]
fn a_system_payload_of_a_replay_network_is_executed_once() {
    let params = evm::NetworkParams { environments: evm::Environments::Replay, ..super::world::params() };
    let (miner, far) = (Address::repeat_byte(0x31), Address::repeat_byte(0x32));
    let mut world = World::with_params(params.clone(), 2, [(miner, S0), (far, S1)], &crate::GenesisAccounts::new());
    let reward = |to, number| {
        let block = evm::BlockEnvironment { number, ..params.block_of(primitives::Slot(1)) };
        let increase = evm::SystemTransaction::Increase { balances: vec![(to, ETHER)] };
        let transactions = vec![evm::TransactionKind::System(increase)];
        let payload = evm::Payload::bundle(evm::Environment::Block(block), transactions);
        Verified::by(&evm::PayloadVerifier::new(params.clone()), payload).unwrap()
    };
    let payload = reward(miner, 7);
    let first = world.local(S0, &payload);
    assert_eq!(first[0].number, 7);
    assert_eq!(first[0].transaction, crate::system_id(payload.digest(), 0));
    assert_eq!(world.local(S0, &payload), first, "a lost reply does not pay twice");
    assert_eq!(world.balance(miner), ETHER);
    world.local(S0, &reward(miner, 8));
    assert_eq!(world.balance(miner), ETHER * U256::from(2));
    let far = reward(far, 9);
    let answer = world.ask(S0, |ticket| Input::Local { ticket, payload: Box::new(far.clone()) });
    assert!(matches!(answer, Answer::LocalRefused(LocalRefusal::NotLocal { .. })), "{answer:?}");
}

#[test]
fn a_participant_with_its_homes_vote_finishes_without_the_home() {
    let mut world = world();
    let prepare = attempt(&world, 1, 3);
    let home = world.prepare(S0, &prepare);
    let home = vec![world.vote(&home)];
    assert!(verdict(&world.prepare(S1, &with_homes(&prepare, home))).is_yes());
    world.wait(60_000);
    world.step(S1, vec![Input::Tick]);
    assert_eq!(world.nodes[&S1].machine.locks_count(), 0, "nobody had to be asked");
    assert_eq!(world.balance(user(3).address()), ETHER * U256::from(101));
}

/// An attempt of user 1's at a contract that stores the beneficiary's balance, undecided for so long at most.
fn reader(world: &World, number: u32, life: u64) -> Prepare {
    // PUSH20 beneficiary, BALANCE, PUSH1 0, SSTORE, STOP.
    let code = [&[0x73][..], world.params.beneficiary.as_slice(), &[0x31, 0x60, 0, 0x55, 0]].concat();
    let payload = world.payload(&[world.sign(&user(1), TxKind::Create, U256::ZERO, code)]);
    let mut prepare = world.attempt(&payload, number);
    prepare.descriptor.deadline = world.now.after(primitives::Millis(life));
    prepare
}

#[test]
fn whoever_reads_the_beneficiarys_balance_holds_it_for_a_moment_only() {
    let mut world = world();
    let long = reader(&world, 1, 10_000);
    assert_eq!(long.descriptor.participants.len(), 2, "its balance has a fragment on every shard");
    assert_eq!(refusal(&world.prepare(S0, &long)), &Refusal::Busy, "while it is undecided nobody pays a fee");
    let short = reader(&world, 2, 2_500);
    let home = world.prepare(S0, &short);
    assert!(verdict(&home).is_yes());
    let payment = world.transfer(&user(2), user(4).address(), ETHER);
    let payment = world.attempt(&payment, 1);
    assert!(matches!(refusal(&world.prepare(S0, &payment)), Refusal::Conflict { .. }));
    world.wait(3_000);
    let no = world.ask(S1, |ticket| Input::AbortRequest {
        ticket,
        descriptor: Box::new(short.descriptor.clone()),
        waits: None,
    });
    let no = world.vote(&no);
    world.decide(S0, &short.descriptor, &[no]);
    let again = reader(&world, 3, 2_500);
    assert_eq!(refusal(&world.prepare(S0, &again)), &Refusal::Busy, "it held it for three seconds");
    let payment = world.transfer(&user(2), user(4).address(), ETHER);
    world.commit(&payment);
    world.wait(26_000);
    assert_eq!(refusal(&world.prepare(S0, &reader(&world, 4, 2_500))), &Refusal::Busy);
    world.wait(1_000);
    let later = reader(&world, 5, 2_500);
    assert!(verdict(&world.prepare(S0, &later)).is_yes());
}

#[test]
fn a_bundle_that_burns_more_than_a_steps_gas_keeps_out_nothing_that_burns_none() {
    let mut world = world();
    world.nodes.get_mut(&S0).unwrap().machine.params.gas_limit = STEP_GAS_MAX;
    let prepare = attempt(&world, 1, 3);
    let never_valid = |number: u64| {
        let transaction = TxEip1559 {
            chain_id: NETWORK.0,
            nonce: 1_000 + number,
            gas_limit: STEP_GAS_MAX,
            max_fee_per_gas: 10,
            to: TxKind::Call(user(2).address()),
            ..TxEip1559::default()
        };
        let signature = user(2).sign_hash_sync(&transaction.signature_hash()).unwrap();
        TxEnvelope::Eip1559(transaction.into_signed(signature)).encoded_2718()
    };
    let bundle: Vec<Vec<u8>> = (0..2).map(never_valid).collect();
    let inputs = vec![
        Input::Local { ticket: crate::Ticket(1), payload: Box::new(world.payload(&bundle)) },
        Input::Prepare { ticket: crate::Ticket(2), prepare: Box::new(prepare) },
    ];
    let answers = world.step(S0, inputs).unwrap();
    assert!(matches!(answers[1], Answer::Voted { .. }), "{:?}", answers[1]);
}
