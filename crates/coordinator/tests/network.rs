//! A coordinator on a network of the real rules, against one plain EVM (I9, I16).

mod world;

use alloy_primitives::{Address, TxKind, U256};
use commit::Refusal as NoVote;
use commit::coordinator::Objection;
use dovetail_coordinator::{
    Coordinator, EAGER_TRIES_COUNT_MAX, EXECUTIONS_PER_STEP_COUNT_MAX, Event, FetchId, GAS_PER_STEP_MAX,
    GAS_PER_TRY_MAX_BLOCKS, Input, NONCE_AHEAD_MAX, PENDING_COUNT_MAX, Refusal, SILENT_WAITERS_COUNT_MAX, StateValue,
    Ticket, Timing, UNPROVEN_MAX, kept, refused,
};
use evm::{
    AccountState, Environment, ExecuteError, Invalid, PayloadVerifier, RecoveredPayload, StateKey, Status,
    SystemTransaction,
};
use primitives::{Machine, Millis, ShardId, Verified};
use std::collections::BTreeMap;
use world::contracts::{
    CALLER, COUNTERS, PAIR, ROUTER, contract, deploy_all, increment, increment_all, open_market, spread, swap,
};
use world::{Crash, Dice, Memory, World, believed, call, create, sign_for, transfer, user};

/// A network with all contracts deployed through it.
fn deployed(shards: u32, coordinators: usize, users: u16) -> World {
    let mut world = World::new(shards, coordinators, users, spread(shards));
    deploy_all(&mut world);
    world
}

#[test]
fn a_swap_over_two_to_four_shards_commits_as_on_one_evm() {
    for shards in 2..=4 {
        let mut world = deployed(shards, 1, 3);
        open_market(&mut world, &[2]);
        let trader = user(2);
        let nonce = world.account(trader.address()).nonce;
        let committed = world.commit(call(&trader, nonce, contract(ROUTER), swap(trader.address(), 1_000, 900)));
        assert_eq!(committed.outcomes[0].status, Status::Success);
        // The router keeps nothing: on a shard of its own it lends its code and takes no part.
        assert_eq!(committed.participants.len() as u32, shards.min(3), "{:?}", committed.participants);
        assert_eq!(committed.proof.expect("an attempt").votes().len(), committed.participants.len());
        assert_eq!(committed.outcomes[0].logs.len(), 3, "two transfers and the swap");
        world.assert_one_evm();
    }
}

#[test]
fn a_swap_that_reverts_is_a_commit_that_spends_nonce_and_gas_and_nothing_else() {
    let mut world = deployed(4, 1, 3);
    open_market(&mut world, &[2]);
    let trader = user(2);
    let before = world.account(trader.address());
    let slots: Vec<_> = world.shards.iter().map(|shard| shard.state.slots.clone()).collect();
    let input = swap(trader.address(), 1_000, 1_000_000);
    let committed = world.commit(call(&trader, before.nonce, contract(ROUTER), input));
    assert_eq!(committed.outcomes[0].status, Status::Reverted);
    let after = world.account(trader.address());
    assert_eq!(after.nonce, before.nonce + 1);
    assert!(after.balance < before.balance);
    assert!(world.shards.iter().map(|shard| shard.state.slots.clone()).eq(slots));
    world.assert_one_evm();
}

#[test]
fn a_bundle_of_which_one_fails_leaves_nothing_at_all() {
    let mut world = deployed(4, 1, 4);
    open_market(&mut world, &[2, 3]);
    let (good, bad) = (user(2), user(3));
    let nonces = [good.address(), bad.address()].map(|address| world.account(address).nonce);
    let states: Vec<_> = world.shards.iter().map(|shard| shard.state.clone()).collect();
    let first = call(&good, nonces[0], contract(ROUTER), swap(good.address(), 1_000, 900));
    let second = call(&bad, nonces[1], contract(ROUTER), swap(bad.address(), 1_000, 1_000_000));
    let ticket = world.submit(0, vec![first, second]);
    world.run();
    let refusal = world.refused(ticket);
    assert!(matches!(refusal, Refusal::Execution(ExecuteError::BundleReverted { index: 1, .. })), "{refusal}");
    assert!(world.shards.iter().map(|shard| shard.state.clone()).eq(states));
    world.assert_one_evm();
}

#[test]
fn a_bundle_of_two_senders_commits_as_a_whole() {
    let mut world = deployed(4, 1, 4);
    open_market(&mut world, &[2, 3]);
    let bundle = [2, 3].map(|seed| {
        let trader = user(seed);
        let nonce = world.account(trader.address()).nonce;
        call(&trader, nonce, contract(ROUTER), swap(trader.address(), 1_000, 900))
    });
    let ticket = world.submit(0, bundle.into());
    world.run();
    assert_eq!(world.committed(ticket).outcomes.len(), 2);
    world.assert_one_evm();
}

#[test]
fn a_stale_witness_is_tried_again_with_fresh_values() {
    for taciturn in [false, true] {
        let mut world = deployed(3, 2, 4);
        let input = || increment_all(&COUNTERS);
        // Both coordinators know the counters; then the second's knowledge goes stale.
        world.commit(call(&user(2), 0, contract(CALLER), input()));
        let ticket = world.submit(1, vec![call(&user(3), 0, contract(CALLER), input())]);
        world.run();
        world.committed(ticket);
        world.shards.iter_mut().for_each(|shard| shard.taciturn = taciturn);
        let ticket = world.submit(0, vec![call(&user(2), 1, contract(CALLER), input())]);
        world.run();
        world.committed(ticket);
        let attempts = world.attempts(ticket);
        assert!((2..=4).contains(&attempts), "{attempts} attempts: the first cannot have been current");
        world.assert_one_evm();
    }
}

#[test]
fn a_conflicting_pair_commits_one_after_the_other() {
    for coordinators in [1, 2] {
        let mut world = deployed(4, coordinators, 4);
        let first = world.submit(0, vec![call(&user(2), 0, contract(CALLER), increment_all(&COUNTERS))]);
        let second =
            world.submit(coordinators - 1, vec![call(&user(3), 0, contract(CALLER), increment_all(&COUNTERS))]);
        world.run();
        for ticket in [first, second] {
            assert_eq!(world.committed(ticket).outcomes[0].status, Status::Success);
        }
        if coordinators == 1 {
            assert_eq!((world.attempts(first), world.attempts(second)), (1, 1), "the second waited for its turn");
            assert!(world.events[&second].iter().any(|event| matches!(event, Event::Queued { .. })));
        }
        world.assert_one_evm();
    }
}

#[test]
fn fifty_transactions_on_one_key_all_commit_in_their_order() {
    let mut world = deployed(4, 1, 240);
    let tickets: Vec<_> = neighbours(&world, 50)
        .into_iter()
        .map(|seed| world.submit(0, vec![call(&user(seed), 0, contract(CALLER), increment_all(&COUNTERS))]))
        .collect();
    world.run();
    let mut order = Vec::new();
    for ticket in &tickets {
        let committed = world.committed(*ticket);
        assert_eq!(committed.outcomes[0].status, Status::Success);
        assert_eq!(world.attempts(*ticket), 1, "nothing here aborts another");
        order.extend(committed.outcomes[0].transaction);
    }
    let outcomes = world.history.iter().flat_map(|(_, outcomes)| outcomes);
    let history: Vec<_> = outcomes.filter_map(|outcome| outcome.transaction).collect();
    assert!(history.ends_with(&order), "first come, first served");
    world.assert_one_evm();
}

/// So many users of one shard: what they do over the same shards may share an attempt.
fn neighbours(world: &World, count: usize) -> Vec<u16> {
    let neighbours: Vec<u16> =
        (2..240).filter(|seed| world.placement.shard_of(user(*seed).address()) == ShardId(0)).take(count).collect();
    assert_eq!(neighbours.len(), count);
    neighbours
}

/// How many attempts committed, and how many transactions with them.
fn attempted(world: &World) -> (usize, usize) {
    (world.history.len(), world.history.iter().map(|(_, outcomes)| outcomes.len()).sum())
}

#[test]
fn what_comes_while_an_attempt_is_undecided_shares_the_next() {
    let mut world = deployed(4, 1, 240);
    let before = attempted(&world);
    let tickets: Vec<_> = neighbours(&world, 50)
        .into_iter()
        .map(|seed| world.submit(0, vec![call(&user(seed), 0, contract(CALLER), increment_all(&COUNTERS))]))
        .collect();
    world.run();
    for ticket in tickets {
        assert_eq!(world.committed(ticket).outcomes.len(), 1, "its own, of all");
    }
    let (attempts, transactions) = attempted(&world);
    assert_eq!(transactions - before.1, 50);
    assert!(attempts - before.0 <= 12, "{} attempts for 50 that all want one key", attempts - before.0);
    world.assert_one_evm();
}

#[test]
fn a_batch_that_is_refused_is_tried_one_by_one() {
    let mut world = deployed(4, 1, 60);
    let neighbours = neighbours(&world, 7);
    let first = world.submit(0, vec![call(&user(neighbours[0]), 0, contract(CALLER), increment_all(&COUNTERS))]);
    let others: Vec<_> = neighbours[1..]
        .iter()
        .copied()
        .map(|seed| world.submit(0, vec![call(&user(seed), 0, contract(CALLER), increment_all(&COUNTERS))]))
        .collect();
    world.run_for(first, Millis(10_000));
    world.committed(first);
    // Whatever comes next there is refused for good, once: it is the batch.
    world.shards[0].moods = vec![NoVote::invalid(7, "in a bad mood")];
    world.run();
    for ticket in others {
        world.committed(ticket);
    }
    assert!(world.shards[0].moods.is_empty());
    world.assert_one_evm();
}

#[test]
fn coordinators_that_fight_for_one_key_all_get_it() {
    let mut world = deployed(4, 3, 40);
    let tickets: Vec<_> = (2..32)
        .map(|seed| {
            let coordinator = usize::from(seed) % 3;
            world.submit(coordinator, vec![call(&user(seed), 0, contract(CALLER), increment_all(&COUNTERS))])
        })
        .collect();
    world.run();
    for ticket in tickets {
        world.committed(ticket);
    }
    world.assert_one_evm();
}

#[test]
fn independent_transactions_do_not_wait_for_each_other() {
    let mut world = deployed(4, 1, 10);
    let tickets: Vec<_> = COUNTERS
        .iter()
        .zip(2..)
        .map(|(counter, seed)| world.submit(0, vec![call(&user(seed), 0, contract(*counter), increment(1))]))
        .collect();
    world.run();
    for ticket in tickets {
        world.committed(ticket);
        assert!(!world.events[&ticket].iter().any(|event| matches!(event, Event::Queued { .. })));
    }
    world.assert_one_evm();
}

#[test]
fn one_participant_needs_no_votes() {
    let (alice, bob) = (user(2), user(3));
    let pinned = [(alice.address(), ShardId(1)), (bob.address(), ShardId(1))];
    let mut world = World::new(3, 1, 3, pinned.into());
    let committed = world.commit(transfer(&alice, 0, bob.address(), 5));
    assert_eq!((committed.participants, committed.proof), ([ShardId(1)].into(), None));
    assert_eq!(world.shards.iter().map(|shard| shard.prepares).sum::<usize>(), 0);
    world.assert_one_evm();
}

/// So many users, from the second on, on one shard with an address that they pay; the first user is on the other.
fn payers(count: u16) -> (World, Address) {
    let payee = Address::repeat_byte(0x99);
    let users = (2..2 + count).map(|seed| (user(seed).address(), ShardId(0)));
    let pinned = users.chain([(payee, ShardId(0)), (user(1).address(), ShardId(1))]).collect();
    (World::new(2, 1, count + 1, pinned), payee)
}

#[test]
fn payments_of_one_shard_to_one_account_do_not_wait_for_each_other() {
    let (mut world, payee) = payers(40);
    let tickets: Vec<_> = (2..42).map(|seed| world.submit(0, vec![transfer(&user(seed), 0, payee, 7)])).collect();
    world.run();
    for ticket in &tickets {
        world.committed(*ticket);
        assert!(!world.events[ticket].iter().any(|event| matches!(event, Event::Queued { .. })));
    }
    assert_eq!(world.account(payee).balance, U256::from(40 * 7));
    assert_eq!(world.shards.iter().map(|shard| shard.prepares).sum::<usize>(), 0);
    world.assert_one_evm();
}

#[test]
fn a_transaction_of_two_shards_waits_for_all_payments_before_it_and_knows_what_came_of_them() {
    let (mut world, payee) = payers(20);
    let mut pay = |seed, nonce| world.submit(0, vec![transfer(&user(seed), nonce, payee, 7)]);
    let first: Vec<_> = (1..22).map(|seed| pay(seed, 0)).collect();
    world.run(); // From now on all but the payee is known.
    assert!(first.iter().all(|ticket| world.ends[ticket].is_ok()));
    let mut pay = |seed| world.submit(0, vec![transfer(&user(seed), 1, payee, 7)]);
    let [before, across, after] = [2..12, 1..2, 12..22].map(|seeds| seeds.map(&mut pay).collect::<Vec<_>>());
    world.run();
    assert_eq!((world.committed(across[0]).participants.len(), world.attempts(across[0])), (2, 1));
    let is_queued = |ticket| world.events[ticket].iter().any(|event| matches!(event, Event::Queued { .. }));
    assert!(!before.iter().any(is_queued) && is_queued(&across[0]) && after.iter().all(is_queued), "first come");
    for ticket in before.iter().chain(&after) {
        world.committed(*ticket);
    }
    assert_eq!(world.account(payee).balance, U256::from(2 * 21 * 7));
    world.assert_one_evm();
}

#[test]
fn a_wrong_guess_about_a_local_transaction_is_corrected() {
    let (alice, bob) = (user(2), user(3));
    let pinned = [(alice.address(), ShardId(1)), (bob.address(), ShardId(1))];
    let mut world = World::new(3, 2, 3, pinned.into());
    world.commit(transfer(&alice, 0, bob.address(), 5));
    // The other coordinator moves Bob's money while this one remembers what he had.
    let all = u64::MAX;
    let ticket = world.submit(1, vec![transfer(&bob, 0, alice.address(), all)]);
    world.run();
    world.committed(ticket);
    let ticket = world.submit(0, vec![transfer(&bob, 1, alice.address(), 7)]);
    world.run();
    world.committed(ticket);
    world.assert_one_evm();
}

#[test]
fn later_nonces_wait_for_the_earlier() {
    let mut world = deployed(4, 1, 4);
    let alice = user(2);
    let mut tickets: Vec<_> = (0..10)
        .rev()
        .map(|nonce| world.submit(0, vec![call(&alice, nonce, contract(CALLER), increment_all(&COUNTERS))]))
        .collect();
    world.run();
    tickets.reverse();
    let order: Vec<_> = tickets.iter().filter_map(|ticket| world.committed(*ticket).outcomes[0].transaction).collect();
    let history: Vec<_> = world.history.iter().filter_map(|(_, outcomes)| outcomes[0].transaction).collect();
    assert!(history.ends_with(&order));
    assert_eq!(world.account(alice.address()).nonce, 10);
    world.assert_one_evm();
}

/// A transfer that waits for the nonce before it, and one that is to replace it with these fees.
fn outbid(fees: (u128, u128)) -> (World, Ticket, Ticket) {
    let mut world = World::new(2, 1, 3, BTreeMap::new());
    let alice = user(2);
    let first = world.submit(0, vec![transfer(&alice, 1, user(3).address(), 1)]);
    world.wait(6);
    let second = world.submit(0, vec![world::transfer_for(fees, &alice, 1, user(3).address(), 2)]);
    world.wait(6);
    (world, first, second)
}

#[test]
fn a_tenth_more_replaces_what_waits_and_the_replaced_is_told_at_once() {
    let (mut world, first, second) = outbid((11, 3));
    assert!(matches!(world.refused(first), Refusal::Replaced { .. }));
    let earlier = world.submit(0, vec![transfer(&user(2), 0, user(3).address(), 1)]);
    world.run();
    world.committed(earlier);
    world.committed(second);
    world.assert_one_evm();
}

#[test]
fn less_than_a_tenth_more_of_either_fee_replaces_nothing() {
    for fees in [(10, 2), (10, 9), (11, 1)] {
        let (mut world, first, second) = outbid(fees);
        assert!(matches!(world.refused(second), Refusal::Underpriced { .. }), "{fees:?}");
        let earlier = world.submit(0, vec![transfer(&user(2), 0, user(3).address(), 1)]);
        world.run();
        world.committed(earlier);
        world.committed(first);
        world.assert_one_evm();
    }
}

#[test]
fn what_is_before_shards_goes_on_beside_its_replacement_and_one_of_them_commits() {
    let mut world = World::new(2, 1, 3, BTreeMap::new());
    let alice = user(2);
    let first = world.submit(0, vec![transfer(&alice, 0, user(3).address(), 1)]);
    world.wait(8);
    let second = world.submit(0, vec![world::transfer_for((20, 4), &alice, 0, user(3).address(), 2)]);
    world.run();
    let committed = [first, second].into_iter().filter(|ticket| matches!(world.ends.get(ticket), Some(Ok(_))));
    assert_eq!(committed.count(), 1);
    assert_eq!(world.account(alice.address()).nonce, 1);
    world.assert_one_evm();
}

#[test]
fn a_nonce_gap_that_is_filled_elsewhere_is_noticed() {
    let mut world = deployed(4, 2, 4);
    let alice = user(2);
    let late = world.submit(0, vec![transfer(&alice, 1, user(3).address(), 1)]);
    world.wait(200);
    assert!(!world.ends.contains_key(&late));
    let early = world.submit(1, vec![transfer(&alice, 0, user(3).address(), 1)]);
    world.run();
    world.committed(early);
    world.committed(late);
    world.assert_one_evm();
}

#[test]
fn nonces_given_to_two_coordinators_in_turn_follow_each_other_at_once() {
    let mut world = deployed(4, 2, 4);
    let alice = user(2);
    let pay = |nonce| vec![transfer(&alice, nonce, user(3).address(), 1)];
    let tickets: Vec<_> = (0..40).map(|nonce| world.submit(nonce as usize % 2, pay(nonce))).collect();
    let begun = world.now;
    for ticket in tickets {
        world.run_for(ticket, Millis(60_000));
        world.committed(ticket);
    }
    let took = world.now.since(begun);
    assert!(took < Millis(40 * 100), "40 nonces in turn took {took:?}");
    world.run();
    world.assert_one_evm();
}

#[test]
fn a_wait_for_a_nonce_begins_anew_with_each_that_another_coordinator_fills() {
    let mut world = deployed(4, 2, 4);
    let alice = user(2);
    let pay = |nonce| vec![transfer(&alice, nonce, user(3).address(), 1)];
    let late = [4, 5].map(|nonce| world.submit(0, pay(nonce)));
    for nonce in 0..4 {
        world.wait(20_000);
        let filled = world.submit(1, pay(nonce));
        world.run_for(filled, Millis(5_000));
        world.committed(filled);
    }
    world.run();
    for ticket in late {
        world.committed(ticket);
    }
    world.assert_one_evm();
}

#[test]
fn a_nonce_gap_that_is_never_filled_is_refused_in_the_end() {
    let mut world = World::new(2, 1, 3, BTreeMap::new());
    let ticket = world.submit(0, vec![transfer(&user(2), 5, user(3).address(), 1)]);
    world.run();
    let refusal = world.refused(ticket);
    let Refusal::Execution(ExecuteError::Invalid { reason, .. }) = refusal else { panic!("{refusal}") };
    assert_eq!(reason, Invalid::NonceTooHigh { transaction: 5, state: 0 });
    world.assert_one_evm();
}

#[test]
fn a_nonce_too_far_ahead_is_refused_at_once() {
    let mut world = World::new(2, 1, 3, BTreeMap::new());
    let [waits, refused] = [NONCE_AHEAD_MAX, NONCE_AHEAD_MAX + 1]
        .map(|nonce| world.submit(0, vec![transfer(&user(2), nonce, user(3).address(), 1)]));
    world.wait(200);
    assert!(!world.ends.contains_key(&waits));
    let Refusal::Execution(ExecuteError::Invalid { reason, .. }) = world.refused(refused) else {
        panic!("another refusal")
    };
    assert_eq!(reason, Invalid::NonceTooHigh { transaction: NONCE_AHEAD_MAX + 1, state: 0 });
}

#[test]
fn what_no_earlier_one_can_mend_is_refused_at_once_and_not_queued_behind_it() {
    let mut world = World::new(2, 1, 6, BTreeMap::new());
    let pay = |nonce, amount| vec![transfer(&user(4), nonce, user(5).address(), amount)];
    world.commit(transfer(&user(4), 0, user(5).address(), 1));
    let under_way = world.submit(0, pay(1, 1));
    world.wait(1);
    assert!(!world.ends.contains_key(&under_way), "it holds its sender's account");
    let late = [(0, "too low"), (300, "too high")].map(|(nonce, reason)| (world.submit(0, pay(nonce, 2)), reason));
    world.run();
    for (ticket, reason) in late {
        let waited = |event: &Event| matches!(event, Event::Queued { .. } | Event::AwaitsNonce { .. });
        assert!(!world.events[&ticket].iter().any(waited), "what is {reason} was accepted");
        let refusal = world.refused(ticket).to_string();
        assert!(refusal.contains(reason), "{refusal}");
    }
    world.committed(under_way);
}

#[test]
fn whoever_cannot_pay_does_not_wait_for_an_earlier_nonce() {
    let mut world = World::new(2, 1, 3, BTreeMap::new());
    let pauper = user(9);
    let refused = world.submit(0, vec![transfer(&pauper, 1, user(3).address(), 1)]);
    world.wait(200);
    let Refusal::Execution(ExecuteError::Invalid { reason, .. }) = world.refused(refused) else {
        panic!("another refusal")
    };
    assert!(matches!(reason, Invalid::Funds { balance, .. } if balance.is_zero()), "{reason}");
    // What is on its way to it counts.
    let gift = world.submit(0, vec![transfer(&user(2), 0, pauper.address(), world::ETHER)]);
    world.wait(6);
    let late = world.submit(0, vec![transfer(&pauper, 1, user(3).address(), 1)]);
    world.wait(200);
    world.committed(gift);
    assert!(!world.ends.contains_key(&late));
    let early = world.submit(0, vec![transfer(&pauper, 0, user(3).address(), 1)]);
    world.run();
    world.committed(early);
    world.committed(late);
    world.assert_one_evm();
}

#[test]
fn a_nonce_too_low_and_a_lack_of_funds_are_refused_with_both_sides() {
    let mut world = World::new(2, 1, 3, BTreeMap::new());
    world.commit(transfer(&user(2), 0, user(3).address(), 1));
    let low = world.submit(0, vec![transfer(&user(2), 0, user(3).address(), 2)]);
    let poor = world.submit(0, vec![transfer(&user(9), 0, user(3).address(), 2)]);
    world.run();
    let reason = |refusal| match refusal {
        Refusal::Execution(ExecuteError::Invalid { reason, .. }) => reason,
        other => panic!("{other}"),
    };
    assert_eq!(reason(world.refused(low)), Invalid::NonceTooLow { transaction: 0, state: 1 });
    assert!(matches!(reason(world.refused(poor)), Invalid::Funds { .. }));
    world.assert_one_evm();
}

#[test]
fn what_was_poor_when_last_seen_is_looked_at_again() {
    let mut world = World::new(2, 2, 3, BTreeMap::new());
    let pauper = user(9);
    let refused = world.submit(0, vec![transfer(&pauper, 0, user(3).address(), 2)]);
    world.run();
    world.refused(refused);
    let gift = world.submit(1, vec![transfer(&user(2), 0, pauper.address(), world::ETHER)]);
    world.run();
    world.committed(gift);
    let paid = world.submit(0, vec![transfer(&pauper, 0, user(3).address(), 2)]);
    world.run();
    world.committed(paid);
    world.assert_one_evm();
}

#[test]
fn what_an_earlier_submission_is_about_to_pay_can_be_spent_by_the_next() {
    let mut world = World::new(2, 1, 3, BTreeMap::new());
    let pauper = user(9);
    let gift = world.submit(0, vec![transfer(&user(2), 0, pauper.address(), world::ETHER)]);
    world.wait(6);
    let spent = world.submit(0, vec![transfer(&pauper, 0, user(3).address(), 2)]);
    world.run();
    world.committed(gift);
    world.committed(spent);
    world.assert_one_evm();
}

#[test]
fn a_transaction_that_is_pending_is_not_taken_twice() {
    let mut world = World::new(2, 1, 3, BTreeMap::new());
    let transaction = transfer(&user(2), 0, user(3).address(), 1);
    let first = world.submit(0, vec![transaction.clone()]);
    let second = world.submit(0, vec![transaction]);
    assert!(matches!(world.refused(second), Refusal::AlreadyPending { .. }));
    world.run();
    world.committed(first);
}

#[test]
fn a_shard_that_votes_no_for_good_ends_the_submission() {
    let mut world = deployed(4, 1, 3);
    world.shards[2].moods = vec![NoVote::invalid(3, "too many locks")];
    let ticket = world.submit(0, vec![call(&user(2), 0, contract(CALLER), increment_all(&COUNTERS))]);
    world.run();
    assert!(matches!(world.refused(ticket), Refusal::Voted { shard: ShardId(2), .. }));
    assert_eq!(world.account(user(2).address()).nonce, 0);
    world.assert_one_evm();
}

#[test]
fn what_is_aborted_again_and_again_is_tried_until_it_commits() {
    let mut world = deployed(4, 1, 3);
    world.shards[2].moods = vec![NoVote::Busy; 2 * EAGER_TRIES_COUNT_MAX as usize];
    let ticket = world.submit(0, vec![call(&user(2), 0, contract(CALLER), increment_all(&COUNTERS))]);
    world.run();
    world.committed(ticket);
    assert_eq!(world.attempts(ticket), 2 * EAGER_TRIES_COUNT_MAX as usize + 1);
    world.assert_one_evm();
}

#[test]
fn what_is_aborted_all_its_lifetime_is_refused_with_the_last_reason_and_that_is_remembered() {
    let timing = Timing { lifetime: Millis(20_000), ..Timing::default() };
    let mut world = World::with(timing, (4, 1, 3), spread(4));
    deploy_all(&mut world);
    world.shards[2].moods = vec![NoVote::Busy; 10_000];
    let ticket = world.submit(0, vec![call(&user(2), 0, contract(CALLER), increment_all(&COUNTERS))]);
    let took = world.run_for(ticket, Millis(40_000));
    assert!((20_000..30_000).contains(&took.0), "{took:?}");
    let refusal = world.refused(ticket);
    assert!(matches!(refusal, Refusal::Contended { shard: ShardId(2), last: NoVote::Busy, .. }), "{refusal}");
    world.shards[2].moods.clear();
    world.run();
    world.assert_one_evm();
    let remembered = refused(&world.nodes[0].store).expect("its own store");
    assert_eq!(remembered.iter().map(|refused| refused.reason.clone()).collect::<Vec<_>>(), [refusal.to_string()]);
    assert!(kept(&world.nodes[0].store).expect("its own store").is_empty());
}

#[test]
fn what_was_accepted_outlives_a_restart_and_commits() {
    let mut world = deployed(4, 1, 3);
    let alice = user(2);
    // One is under way, one waits for its keys, one for a nonce.
    for nonce in [0, 1, 3] {
        world.submit(0, vec![call(&alice, nonce, contract(CALLER), increment_all(&COUNTERS))]);
    }
    world.wait(20);
    world.restart(0);
    world.wait(20);
    world.restart(0);
    let missing = world.submit(0, vec![call(&alice, 2, contract(CALLER), increment_all(&COUNTERS))]);
    world.run();
    world.committed(missing);
    assert_eq!(world.account(alice.address()).nonce, 4, "none vanished");
    assert!(kept(&world.nodes[0].store).expect("its own store").is_empty());
    world.assert_one_evm();
}

#[test]
fn what_was_refused_in_the_first_run_is_not_kept() {
    let mut world = World::new(2, 1, 3, BTreeMap::new());
    world.submit(0, vec![transfer(&user(9), 0, user(3).address(), 1)]);
    world.run();
    assert!(kept(&world.nodes[0].store).expect("its own store").is_empty());
    assert!(refused(&world.nodes[0].store).expect("its own store").is_empty(), "its client was told in the answer");
}

/// Users on shard 0, which dies, and on shard 1; both know a counter on shard 1.
fn dead_home() -> World {
    let places = [(user(2).address(), 0), (user(3).address(), 1), (user(4).address(), 1)];
    let mut pinned = spread(4);
    pinned.extend(places.map(|(address, shard)| (address, ShardId(shard))));
    let mut world = World::new(4, 1, 5, pinned);
    deploy_all(&mut world);
    let counter = COUNTERS.into_iter().map(contract).find(|counter| world.placement.shard_of(*counter).0 != 0);
    let counter = counter.expect("one of four is elsewhere");
    for seed in 2..=4 {
        world.commit(call(&user(seed), 0, counter, increment(1)));
    }
    world.cut_off = vec![ShardId(0)];
    world
}

fn living_counter(world: &World) -> Address {
    let counters = COUNTERS.into_iter().map(contract);
    counters.into_iter().find(|counter| world.placement.shard_of(*counter).0 != 0).expect("one of four")
}

#[test]
fn a_dead_home_keeps_no_keys_of_live_shards_from_their_users() {
    let mut world = dead_home();
    let counter = living_counter(&world);
    let stuck = world.submit(0, vec![call(&user(2), 1, counter, increment(1))]);
    world.wait(3);
    let served = world.submit(0, vec![call(&user(3), 1, counter, increment(1))]);
    let took = world.run_for(served, Millis(60_000));
    world.committed(served);
    assert!(took <= Millis(2_000), "{took:?}: longer than it takes to see that a shard is silent");
    // From then on it is known, and its users wait for it without a claim.
    let again = world.submit(0, vec![call(&user(3), 2, counter, increment(1))]);
    assert!(world.run_for(again, Millis(60_000)) <= Millis(200));
    world.wait(10_000);
    let late = world.submit(0, vec![call(&user(4), 1, counter, increment(1))]);
    assert!(world.run_for(late, Millis(60_000)) <= Millis(200), "its tries go on, and claim nothing");
    assert!(!world.ends.contains_key(&stuck), "it was accepted");
    world.cut_off.clear();
    world.run();
    world.committed(stuck);
    world.assert_one_evm();
}

#[test]
fn a_decision_is_told_although_a_participant_dies_before_it_hears_of_it() {
    let mut world = dead_home();
    world.cut_off.clear();
    let counter = living_counter(&world);
    let ticket = world.submit(0, vec![call(&user(2), 1, counter, increment(1))]);
    let decided = |world: &World| world.events[&ticket].iter().any(|event| matches!(event, Event::Decided { .. }));
    while !decided(&world) {
        world.moment();
    }
    world.cut_off = vec![ShardId(0)];
    let next = world.submit(0, vec![call(&user(3), 1, counter, increment(1))]);
    assert!(world.run_for(ticket, Millis(60_000)) <= Millis(2_000));
    world.committed(ticket);
    world.run_for(next, Millis(2_000));
    world.committed(next);
    assert_eq!((world.nodes[0].machine.pending_count(), world.nodes[0].machine.attempts_count()), (0, 1));
    world.cut_off.clear();
    world.run();
    world.assert_one_evm();
}

#[test]
fn those_who_wait_for_a_silent_shard_leave_room_for_the_others() {
    let mut world = dead_home();
    let stranger = |number: u64| {
        let address = (0..).map(|salt| Address::left_padding_from(&[number.to_be_bytes(), [salt; 8]].concat()));
        address.into_iter().find(|address| world.placement.shard_of(*address).0 == 0).expect("some")
    };
    let strangers: Vec<Address> = (0..PENDING_COUNT_MAX as u64).map(stranger).collect();
    let mut ticket = 1_000_000;
    let mut ask = |world: &mut World, account| {
        let environment = Environment::Slot(world.params.slot_at(world.now));
        let burn = SystemTransaction::Burn { account, value: U256::ZERO };
        let payload = Box::new(believed(RecoveredPayload::system(environment, burn)));
        ticket += 1;
        world.step(0, vec![Input::Submit { ticket: Ticket(ticket), payload }]);
        Ticket(ticket)
    };
    ask(&mut world, strangers[0]);
    world.wait(1_000);
    let asked: Vec<Ticket> = strangers[1..].iter().map(|account| ask(&mut world, *account)).collect();
    let refused = asked.iter().filter(|ticket| world.ends.contains_key(ticket)).count();
    assert_eq!(asked.len() - refused, SILENT_WAITERS_COUNT_MAX - 1);
    assert_eq!(world.refused(asked[asked.len() - 1]), Refusal::Unreachable { shard: ShardId(0) });
    let counter = living_counter(&world);
    let served = world.submit(0, vec![call(&user(3), 1, counter, increment(1))]);
    world.run_for(served, Millis(1_000));
    world.committed(served);
}

#[test]
fn a_later_nonce_waits_as_long_as_the_earlier_is_on_its_way() {
    let mut world = dead_home();
    let counter = living_counter(&world);
    world.cut_off = vec![world.placement.shard_of(counter)];
    let bob = user(2);
    let early = world.submit(0, vec![call(&bob, 1, counter, increment(1))]);
    let late = world.submit(0, vec![call(&bob, 2, counter, increment(1))]);
    let gap = world.submit(0, vec![call(&bob, 4, counter, increment(1))]);
    world.run_for(late, Millis(100_000));
    assert!(!world.ends.contains_key(&early) && !world.ends.contains_key(&late) && !world.ends.contains_key(&gap));
    world.cut_off.clear();
    world.run_for(gap, Millis(200_000));
    world.committed(early);
    world.committed(late);
    // The one before it is not here: that wait has an end, and says so.
    let Refusal::Execution(ExecuteError::Invalid { reason, .. }) = world.refused(gap) else {
        panic!("another refusal")
    };
    assert_eq!(reason, Invalid::NonceTooHigh { transaction: 4, state: 3 });
    world.run();
    world.assert_one_evm();
}

#[test]
fn a_shard_that_objects_to_a_prepare_ends_the_submission_and_frees_the_others() {
    let mut world = deployed(4, 1, 3);
    world.shards[2].objects = Some(Objection::Never("another placement".to_owned()));
    let ticket = world.submit(0, vec![call(&user(2), 0, contract(CALLER), increment_all(&COUNTERS))]);
    world.run();
    let expected = Refusal::Objected { shard: ShardId(2), reason: "another placement".to_owned() };
    assert_eq!(world.refused(ticket), expected);
    world.assert_one_evm();
}

#[test]
fn what_is_over_and_forgotten_is_met_by_the_next_run_and_not_refused() {
    let mut world = deployed(4, 1, 3);
    world.shards[2].objects = Some(Objection::Settled);
    let ticket = world.submit(0, vec![call(&user(2), 0, contract(CALLER), increment_all(&COUNTERS))]);
    world.run_for(ticket, Millis(15_000));
    assert!(!world.ends.contains_key(&ticket));
    world.shards[2].objects = None;
    world.run_for(ticket, Millis(100_000));
    world.committed(ticket);
    world.run();
    world.assert_one_evm();
}

#[test]
fn a_shard_that_answers_no_fetch_is_named() {
    let mut world = deployed(4, 2, 3);
    world.cut_off = vec![ShardId(1)];
    let ticket = world.submit(1, vec![call(&user(2), 0, contract(CALLER), increment_all(&COUNTERS))]);
    world.run();
    assert_eq!(world.refused(ticket), Refusal::Unreachable { shard: ShardId(1) });
}

#[test]
fn what_a_shard_cannot_read_is_told_at_once_and_in_its_words() {
    let mut world = deployed(4, 2, 3);
    world.shards[1].cannot_read = Some("the forked chain does not answer".to_owned());
    let ticket = world.submit(1, vec![call(&user(2), 0, contract(CALLER), increment_all(&COUNTERS))]);
    assert!(world.run_for(ticket, Millis(1_000)) < Millis(1_000), "nobody waits for a shard that has answered");
    let expected = Refusal::NotRead { shard: ShardId(1), reason: "the forked chain does not answer".to_owned() };
    assert_eq!(world.refused(ticket), expected);
    world.shards[1].cannot_read = None;
    let again = world.submit(1, vec![call(&user(2), 0, contract(CALLER), increment_all(&COUNTERS))]);
    world.run();
    world.committed(again);
}

#[test]
fn a_shard_that_is_silent_after_a_local_submission_leaves_it_unknown() {
    let (alice, bob) = (user(2), user(3));
    let pinned = [(alice.address(), ShardId(1)), (bob.address(), ShardId(1))];
    let mut world = World::new(2, 1, 3, pinned.into());
    world.commit(transfer(&alice, 0, bob.address(), 5));
    world.cut_off = vec![ShardId(1)];
    let ticket = world.submit(0, vec![transfer(&alice, 1, bob.address(), 5)]);
    world.wait(10_000);
    assert!(!world.ends.contains_key(&ticket), "it was accepted: it is sent again for all its lifetime");
    world.run_for(ticket, Millis(700_000));
    assert_eq!(world.refused(ticket), Refusal::Unknown { shard: ShardId(1) });
}

#[test]
fn a_shard_that_comes_back_is_sent_its_local_submission_once_more() {
    let (alice, bob) = (user(2), user(3));
    let pinned = [(alice.address(), ShardId(1)), (bob.address(), ShardId(1))];
    let mut world = World::new(2, 1, 3, pinned.into());
    world.commit(transfer(&alice, 0, bob.address(), 5));
    world.cut_off = vec![ShardId(1)];
    let ticket = world.submit(0, vec![transfer(&alice, 1, bob.address(), 5)]);
    world.wait(10_000);
    world.cut_off.clear();
    world.run();
    world.committed(ticket);
    world.assert_one_evm();
}

#[test]
fn a_participant_that_comes_back_lets_the_attempt_end() {
    let mut world = deployed(4, 1, 3);
    world.commit(call(&user(2), 0, contract(CALLER), increment_all(&COUNTERS)));
    world.cut_off = vec![ShardId(3)];
    let ticket = world.submit(0, vec![call(&user(2), 1, contract(CALLER), increment_all(&COUNTERS))]);
    world.wait(8_000);
    assert!(!world.ends.contains_key(&ticket), "nobody decides without a vote (R4)");
    world.cut_off.clear();
    world.run();
    world.committed(ticket);
    world.assert_one_evm();
}

#[test]
fn a_network_that_loses_doubles_and_reorders_loses_and_doubles_no_transaction() {
    for seed in 0..6 {
        let mut world = deployed(4, 2, 20);
        (world.lossy, world.dice) = (true, Dice(seed));
        let mut tickets = Vec::new();
        for seed in 2..14_u16 {
            let coordinator = usize::from(seed) % 2;
            let counters = &COUNTERS[usize::from(seed) % 3..];
            tickets
                .push(world.submit(coordinator, vec![call(&user(seed), 0, contract(CALLER), increment_all(counters))]));
            let next = transfer(&user(seed), 1, user(seed + 1).address(), 3);
            tickets.push(world.submit(coordinator, vec![next]));
        }
        world.run();
        for ticket in tickets {
            world.committed(ticket);
        }
        world.assert_one_evm();
    }
}

#[test]
fn a_coordinator_that_crashes_at_any_write_leaves_nothing_undecided() {
    let mut crashes = 0;
    for nth in 1..=12 {
        for crash in [Crash::Before as fn(usize) -> Crash, Crash::After] {
            let mut world = deployed(4, 1, 8);
            let node = &mut world.nodes[0];
            node.crash = crash(node.writes + nth);
            for seed in 2..7 {
                world.submit(0, vec![call(&user(seed), 0, contract(CALLER), increment_all(&COUNTERS))]);
                world.wait(8);
            }
            world.run();
            crashes += world.nodes[0].crashes;
            world.nodes[0].crash = Crash::Never;
            world.assert_one_evm();
            // It works on: the same users, whatever became of their transactions, send the next.
            let next: Vec<_> = (2..7)
                .map(|seed| {
                    let nonce = world.account(user(seed).address()).nonce;
                    world.submit(0, vec![call(&user(seed), nonce, contract(CALLER), increment_all(&COUNTERS))])
                })
                .collect();
            world.run();
            for ticket in next {
                world.committed(ticket);
            }
            world.assert_one_evm();
        }
    }
    assert!(crashes >= 20, "only {crashes} of 24 runs crashed");
}

#[test]
fn submissions_and_the_work_of_one_step_are_bounded() {
    let world = World::new(2, 1, 1, BTreeMap::new());
    let store = Memory::default();
    let mut machine = Coordinator::open(world.settings(), &store).expect("an empty store");
    let environment = Environment::Slot(world.params.slot_at(world.now));
    let submit = |number: usize| {
        let account = Address::left_padding_from(&number.to_be_bytes());
        let payload =
            RecoveredPayload::system(environment.clone(), SystemTransaction::Burn { account, value: U256::ZERO });
        Input::Submit { ticket: Ticket(number as u64), payload: Box::new(believed(payload)) }
    };
    let output = machine.step(world.now, (0..=PENDING_COUNT_MAX).map(submit).collect(), &store);
    let refused: Vec<_> = output.replies.iter().filter(|reply| matches!(reply.event, Event::Refused(_))).collect();
    assert!(matches!(&refused[..], [reply] if reply.ticket == Ticket(PENDING_COUNT_MAX as u64)));
    assert_eq!(output.sends.len(), EXECUTIONS_PER_STEP_COUNT_MAX, "one fetch for each run");
    assert_eq!(output.wake, Some(world.now), "the rest goes on at once");
    let output = machine.step(world.now, Vec::new(), &store);
    assert_eq!(output.sends.len(), EXECUTIONS_PER_STEP_COUNT_MAX);
}

#[test]
fn a_shard_cannot_speak_for_another() {
    let [alice, bob, carol] = [2, 3, 9].map(|seed| user(seed).address());
    let pinned = [(alice, ShardId(0)), (bob, ShardId(0)), (carol, ShardId(1))];
    let mut world = World::new(2, 1, 3, pinned.into());
    let ticket = world.submit(0, vec![transfer(&user(2), 0, bob, 1)]);
    let rich = StateValue::Account(Some(AccountState::with_balance(U256::MAX)));
    let values = [alice, carol].map(|address| (StateKey::Account(address), rich));
    world.step(0, vec![Input::Fetched { fetch: FetchId(0), values: values.into(), codes: Vec::new() }]);
    let cached = |address| world.nodes[0].machine.cache().get(&StateKey::Account(address));
    assert_eq!(cached(alice), Some(rich), "shard 0 was asked and speaks for itself");
    assert_eq!(cached(carol), None);
    world.run();
    world.committed(ticket);
    world.assert_one_evm();
}

#[test]
fn a_waiting_submission_runs_at_the_slot_of_its_own_time() {
    let mut world = deployed(4, 1, 3);
    let alice = user(2);
    let late = world.submit(0, vec![call(&alice, 1, contract(PAIR), Vec::new())]);
    let slot = world.params.slot_at(world.now);
    world.wait(1_000);
    let early = world.submit(0, vec![transfer(&alice, 0, user(3).address(), 1)]);
    world.run();
    world.committed(early);
    world.committed(late);
    let Some((payload, _)) = world.history.last() else { panic!("two were committed") };
    let evm::Environment::Slot(actual) = payload.environment else { panic!("a slot") };
    assert!(actual.0 >= slot.0 + 4, "{actual} is not later than {slot}");
    world.assert_one_evm();
}

/// Burns `rounds` times 26 gas, then reads slot 1, the slot that it names, and so on until one holds zero.
fn burner(rounds: u32) -> Vec<u8> {
    let [_, high, middle, low] = rounds.to_be_bytes();
    let burn = [0x62, high, middle, low, 0x5b, 0x60, 1, 0x90, 0x03, 0x80, 0x60, 4, 0x57, 0x50];
    let chase = [0x60, 1, 0x5b, 0x54, 0x80, 0x60, 16, 0x57, 0x00];
    init(&[&burn[..], &chase].concat())
}

/// A contract that burns 2.5 million gas and chases through so many slots.
fn chaser(slots: u64) -> (World, Address) {
    let mut world = World::new(2, 1, 6, BTreeMap::new());
    let contract = user(2).address().create(0);
    world.commit(create(&user(2), 0, burner(96_000)));
    let shard = world.placement.shard_of(contract).0 as usize;
    for slot in 1..slots {
        world.shards[shard].state.slots.insert((contract, U256::from(slot)), U256::from(slot + 1));
    }
    (world, contract)
}

#[test]
fn what_burns_gas_and_then_chases_unknown_slots_is_stopped() {
    let (mut world, contract) = chaser(200);
    let ticket = world.submit(0, vec![call(&user(3), 0, contract, Vec::new())]);
    let mut moments = 0;
    while !world.ends.contains_key(&ticket) {
        world.moment();
        moments += 1;
    }
    let Refusal::TooMuchGas { burnt, max } = world.refused(ticket) else { panic!("another refusal") };
    assert_eq!(max, GAS_PER_TRY_MAX_BLOCKS * world.params.gas_limit);
    assert!((max..max + 3_000_000).contains(&burnt), "{burnt}: what was burnt is counted as it is");
    assert!(moments < 1_000, "{moments}");
    // One that chases less does commit.
    let (mut world, contract) = chaser(40);
    let committed = world.commit(call(&user(3), 0, contract, Vec::new()));
    assert_eq!(committed.outcomes[0].status, Status::Success);
}

#[test]
fn what_is_refused_for_nothing_delays_nobody_else() {
    let (mut world, contract) = chaser(1);
    // All values are known, so that everything is ready at once.
    world.commit(call(&user(3), 0, contract, Vec::new()));
    world.commit(transfer(&user(4), 0, user(5).address(), 1));
    let verifier = PayloadVerifier::new(world.params.clone());
    let payload = |transactions| Box::new(Verified::by(&verifier, world.payload(transactions)).expect("well signed"));
    // Each burns its gas, and then its second transaction cannot be included: that costs its sender nothing.
    let too_little = |number| sign_for(20_000, &user(3), 2, (TxKind::Call(user(5).address()), number, Vec::new()));
    let bundle = |number: u64| vec![call(&user(3), 1, contract, number.to_be_bytes().to_vec()), too_little(number)];
    let submit = |number, transactions| Input::Submit { ticket: Ticket(number), payload: payload(transactions) };
    let mut inputs: Vec<Input> = (0..100).map(|number| submit(1_000 + number, bundle(number))).collect();
    let cheap = sign_for(21_000, &user(4), 1, (TxKind::Call(user(5).address()), 1, Vec::new()));
    inputs.push(submit(2_000, vec![cheap]));
    world.step(0, inputs);
    let transfer = &world.events[&Ticket(2_000)];
    assert!(transfer.iter().any(|event| matches!(event, Event::Executed { .. })), "it came last, and costs little");
    let refused = (1_000..1_100).filter(|ticket| world.ends.contains_key(&Ticket(*ticket))).count();
    let per_step = GAS_PER_STEP_MAX / 2_500_000 + 1;
    assert!((1..=per_step as usize).contains(&refused), "{refused}: a step's gas is bounded");
    let took = world.run_for(Ticket(2_000), Millis(1_000));
    assert!(took <= Millis(60), "{took:?}");
    world.committed(Ticket(2_000));
    world.run();
    assert!((1_000..1_100).all(|ticket| world.ends.contains_key(&Ticket(ticket))));
    world.assert_one_evm();
}

#[test]
fn a_run_that_may_take_long_is_made_beside_the_step_and_commits_like_any_other() {
    let (mut world, contract) = chaser(5);
    let long = |nonce| sign_for(5_000_000, &user(3), nonce, (TxKind::Call(contract), 0, Vec::new()));
    let committed = world.commit(long(0));
    assert_eq!(committed.outcomes[0].status, Status::Success);
    assert!(world.runs_beside >= 2, "each run of it, until it has all slots");
    let tickets: Vec<_> = (1..8).map(|nonce| world.submit(0, vec![long(nonce)])).collect();
    world.run();
    for ticket in tickets {
        world.committed(ticket);
    }
    assert_eq!(world.account(user(3).address()).nonce, 8);
}

#[test]
fn a_prepare_says_what_its_run_was_charged() {
    let (mut world, contract) = chaser(5);
    let far = |seed: &u16| world.placement.shard_of(user(*seed).address()) != world.placement.shard_of(contract);
    let sender = (3..6).find(far).expect("somebody lives on the other shard");
    let committed = world.commit(call(&user(sender), 0, contract, Vec::new()));
    let charged = committed.outcomes[0].gas_used;
    assert!(charged > 2_500_000, "{charged}");
    let last = &world.prepared_gas[world.prepared_gas.len() - 2..];
    assert_eq!(last, [charged; 2], "the home, then the other");
}

#[test]
fn a_run_beside_the_step_that_is_lost_is_made_again() {
    let (mut world, contract) = chaser(3);
    world.lossy = true;
    for nonce in 0..10 {
        world.commit(sign_for(5_000_000, &user(3), nonce, (TxKind::Call(contract), 0, Vec::new())));
    }
    assert_eq!(world.account(user(3).address()).nonce, 10);
}

/// Init code that returns `code`, of at most 255 bytes.
fn init(code: &[u8]) -> Vec<u8> {
    let length = u8::try_from(code.len()).expect("short");
    // CODECOPY(0, 12, length), RETURN(0, length).
    [&[0x60, length, 0x60, 12, 0x60, 0, 0x39, 0x60, length, 0x60, 0, 0xf3], code].concat()
}

/// A contract on shard 0, which its user is on too, that borrows all it does from a library on shard 1.
fn borrower() -> (World, Address) {
    let (owner, librarian) = (user(2), user(3));
    let (contract, library) = (owner.address().create(0), librarian.address().create(0));
    let places = [(owner.address(), 0), (contract, 0), (librarian.address(), 1), (library, 1)];
    let pinned = places.map(|(address, shard)| (address, ShardId(shard))).into();
    let mut world = World::new(2, 1, 4, pinned);
    // SSTORE(0, SLOAD(0) + 1), in the borrower's storage.
    world.commit(create(&librarian, 0, init(&[0x60, 0, 0x54, 0x60, 1, 0x01, 0x60, 0, 0x55])));
    let delegating = [&[0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x73], library.as_slice(), &[0x5a, 0xf4]].concat();
    world.commit(create(&owner, 0, init(&delegating)));
    (world, contract)
}

#[test]
fn whoever_only_lends_a_proven_code_is_not_asked_for_a_vote() {
    let (mut world, contract) = borrower();
    let before: Vec<usize> = world.shards.iter().map(|shard| shard.prepares).collect();
    for nonce in 1..=3 {
        let committed = world.commit(call(&user(2), nonce, contract, Vec::new()));
        assert_eq!(committed.outcomes[0].status, Status::Success);
        assert_eq!(committed.participants, [ShardId(0)].into());
        // One shard that cannot know the other's code by itself: an attempt, which carries the proof.
        assert_eq!(committed.proof.expect("an attempt").votes().len(), 1);
    }
    let after: Vec<usize> = world.shards.iter().map(|shard| shard.prepares).collect();
    assert_eq!((after[0] - before[0], after[1] - before[1]), (3, 0));
    assert_eq!(world.shards[1].proofs_asked.get(), 1, "a proof is good for ever");
    assert_eq!(world.slot(contract, 0), U256::from(3));
    world.assert_one_evm();
}

#[test]
fn whoever_cannot_prove_its_code_takes_part_until_it_can() {
    let (mut world, contract) = borrower();
    world.shards[1].proves_nothing = true;
    let both = [ShardId(0), ShardId(1)].into();
    for nonce in 1..=2 {
        assert_eq!(world.commit(call(&user(2), nonce, contract, Vec::new())).participants, both);
    }
    world.shards[1].proves_nothing = false;
    let until = world.now.after(UNPROVEN_MAX);
    while world.now < until {
        world.wait(1);
    }
    let committed = world.commit(call(&user(2), 3, contract, Vec::new()));
    assert_eq!(committed.participants, [ShardId(0)].into());
    assert_eq!(world.slot(contract, 0), U256::from(3));
    world.assert_one_evm();
}
