//! What shards forget of old blocks, what they keep of them, and what they say then.

use super::messages::{Post, id_of, post};
use super::world::{ETHER, NETWORK, S0, S1, World, user};
use crate::blocks::LeafPlace;
use crate::page::PAGE_BYTES_MAX;
use crate::queries::{self, OutboxPage, OutcomeCursor};
use crate::retention::{Forgettings, Forgotten, Kept};
use crate::spaces::{
    APPLIED, CONSUMED, ENTRIES, HEADERS, LEAVES, OPEN_LEAVES, OUTCOMES, OUTCOMES_BY_SLOT, SENT, UNENDED,
};
use crate::told::OutcomePlace;
use crate::{AcknowledgeRefusal, Answer, DeliverRefusal, Input, LocalRefusal, Novelty};
use alloy_primitives::U256;
use primitives::{Height, ShardId, Slot, Time, Verified};
use proof::{Fact, LeafKind, domain_of};

/// Has a shard forget what is older than `before`, as its node would.
pub(super) fn forget(world: &mut World, shard: ShardId, before: Time) {
    let mut forgettings = Forgettings::default();
    while let Some(forgetting) = forgettings.next(world.store(shard), before) {
        let forgetting = Box::new(forgetting);
        let answer = world.ask(shard, |ticket| Input::Forget { ticket, forgetting: forgetting.clone() });
        assert_eq!(answer, Answer::Forgot);
    }
}

fn forget_all(world: &mut World, shard: ShardId) {
    let now = world.now;
    forget(world, shard, now);
}

/// Users 1, 2 and 5 on shard 0, users 3 and 4 on shard 1; five blocks of one transfer on the first.
fn world() -> World {
    let on = |seed, shard| (user(seed).address(), shard);
    let mut world = World::new(2, [on(1, S0), on(2, S0), on(3, S1), on(4, S1), on(5, S0)]);
    for _ in 0..5 {
        local(&mut world);
        world.wait(2_000);
    }
    world
}

fn local(world: &mut World) {
    let payload = world.transfer(&user(1), user(2).address(), ETHER);
    world.local(S0, &payload);
}

/// What the mailbox takes of a message's body.
const MAILBOX_BODY_BYTES_MAX: usize = 16 << 10;

const FIRST: LeafPlace = LeafPlace { height: Height(1), index: 0 };

#[test]
fn what_old_blocks_did_goes_and_is_told_to_have_gone() {
    let mut world = world();
    let first = queries::told(world.store(S0), OutcomePlace { height: Height(1), index: 0 }, 1).unwrap();
    let record = first.blocks[0].outcomes[0].record.clone();
    let all = queries::headers(world.store(S0), Height(1), 100);
    let before = all[3].0.time;
    forget(&mut world, S0, before);
    let store = world.store(S0);
    let kept = Kept::read(store);
    assert_eq!((kept.first, kept.applied), (Height(4), 3));
    for space in [ENTRIES, LEAVES, APPLIED, OUTCOMES, OUTCOMES_BY_SLOT] {
        assert_eq!(store.count(space), 2, "{space:?}");
    }
    assert_eq!((store.count(HEADERS), queries::headers(store, Height(1), 100)), (5, all));
    assert_eq!(queries::outcome(store, record.transaction), None);
    let gone = Forgotten::Block { asked: Height(1), first: Height(4) };
    assert_eq!(queries::blocks(store, Height(0), 10).unwrap_err(), gone);
    assert_eq!(queries::outbox_page(store, FIRST, 10, &[].into()).unwrap_err(), gone);
    assert_eq!(queries::told(store, OutcomePlace { height: Height(0), index: 0 }, 10).unwrap_err(), gone);
    assert_eq!(queries::applied(store, 2, 10).unwrap_err(), Forgotten::Record { asked: 2, first: 3 });
    let shown = queries::outcomes(store, OutcomeCursor::at(Slot(0)), Slot(u64::MAX), 10).unwrap_err();
    assert_eq!(shown, Forgotten::Shown { asked: Slot(0), first: kept.shown });
    assert_eq!(queries::blocks(store, Height(4), 10).unwrap().len(), 2);
    assert_eq!(queries::applied(store, 3, 10).unwrap().len(), 2);
    let rest = queries::outcomes(store, OutcomeCursor::at(kept.shown), Slot(u64::MAX), 10).unwrap();
    assert_eq!(rest.outcomes.len(), 2);
    assert!(gone.to_string().contains("from block 4 on"), "{gone}");
}

#[test]
fn the_newest_block_stays_and_what_was_forgotten_stays_so_after_a_restart() {
    let mut world = world();
    world.wait(1_000_000);
    forget_all(&mut world, S0);
    assert_eq!(Kept::read(world.store(S0)).first, Height(5));
    world.restart(S0);
    local(&mut world);
    assert_eq!(world.store(S0).count(OUTCOMES), 2);
    assert_eq!(queries::blocks(world.store(S0), Height(5), 10).unwrap().len(), 2);
}

#[test]
fn a_transaction_that_was_forgotten_does_not_run_again() {
    let mut world = world();
    let payload = world.transfer(&user(1), user(2).address(), ETHER);
    world.local(S0, &payload);
    world.wait(1_000);
    local(&mut world);
    forget_all(&mut world, S0);
    let (balance, payload) = (world.balance(user(2).address()), Box::new(payload));
    let answer = world.ask(S0, |ticket| Input::Local { ticket, payload: payload.clone() });
    assert!(matches!(answer, Answer::LocalRefused(LocalRefusal::Execution(_))), "{answer:?}");
    assert_eq!(world.balance(user(2).address()), balance);
}

#[test]
fn what_was_computed_twice_is_forgotten_once() {
    let mut world = world();
    let forgetting = Forgettings::default().next(world.store(S0), world.now).unwrap();
    let input = |ticket| Input::Forget { ticket, forgetting: Box::new(forgetting.clone()) };
    world.ask(S0, input);
    let (kept, rows) = (Kept::read(world.store(S0)), world.store(S0).count(OUTCOMES));
    local(&mut world);
    world.ask(S0, input);
    assert_eq!((Kept::read(world.store(S0)), world.store(S0).count(OUTCOMES)), (kept, rows + 1));
}

#[test]
fn an_attempt_whose_votes_block_was_forgotten_is_still_answered_and_decided() {
    let mut world = world();
    let transfer = world.transfer(&user(1), user(3).address(), ETHER);
    let mut open = world.attempt(&transfer, 1);
    let first = world.prepare(S0, &open);
    let vote = world.vote(&first);
    world.wait(5_000);
    let other = world.transfer(&user(5), user(2).address(), ETHER);
    world.local(S0, &other);
    forget_all(&mut world, S0);
    assert_eq!(world.store(S0).count(OPEN_LEAVES), 1);
    world.restart(S0);
    assert_eq!(world.prepare(S0, &open), first, "the same receipt, to the byte");
    open.homes = vec![vote.clone()];
    let answer = world.prepare(S1, &open);
    let votes = [vote, world.vote(&answer)];
    for shard in [S0, S1] {
        assert!(matches!(world.decide(shard, &open.descriptor, &votes), Answer::Decided { .. }));
    }
    world.assert_quiet();
    assert_eq!(world.store(S0).count(OPEN_LEAVES), 1, "R7: it is remembered, and so is its vote");
    world.wait(40_000);
    world.commit(&world.transfer(&user(1), user(3).address(), ETHER)); // Each sees the other's header of now.
    world.commit(&world.transfer(&user(1), user(3).address(), ETHER));
    forget_all(&mut world, S0);
    let open = world.store(S0).entries(OPEN_LEAVES).count();
    assert!(open <= 2, "of what is settled no vote is left: {open}");
}

fn is_over(answer: &Answer) -> bool {
    matches!(
        answer,
        Answer::DeliverRefused(DeliverRefusal::Over { .. })
            | Answer::AcknowledgeRefused(AcknowledgeRefusal::Over { .. })
    )
}

/// A message with value that was sent, and how old blocks are forgotten at both ends.
fn sent() -> (Post, Verified<Fact>) {
    let mut post = post();
    let deadline = post.soon();
    let fact = post.send(post.pong, ETHER, deadline);
    post.world.wait(5_000);
    local_at(&mut post, S0); // So that its block is not the newest.
    (post, fact)
}

fn local_at(post: &mut Post, shard: ShardId) {
    let (from, to) = if shard == S0 { (1, 3) } else { (4, 5) };
    let payload = post.world.transfer(&user(from), user(to).address(), ETHER);
    post.world.local(shard, &payload);
}

#[test]
fn a_message_that_has_not_ended_is_carried_from_a_block_that_was_forgotten() {
    let (mut post, fact) = sent();
    forget_all(&mut post.world, S0);
    let all = queries::open_outbox_page(post.world.store(S0), FIRST, 10, &[LeafKind::Message].into());
    assert_eq!((all.leaves.len(), all.next.height), (1, Kept::read(post.world.store(S0)).first));
    let carried = post.world.fact(all.leaves[0].1.clone());
    assert_eq!(carried.leaf, fact.leaf);
    assert_eq!(post.world.store(S0).count(SENT), 1);
    let answer = post.world.deliver(S1, &carried);
    local_at(&mut post, S1);
    forget_all(&mut post.world, S1);
    assert_eq!(post.world.store(S1).count(CONSUMED), 1, "its origin has not said that it knows the end");
    let Answer::Delivered { receipt, .. } = &answer else { panic!("{answer:?}") };
    let again = post.world.deliver(S1, &carried);
    assert!(
        matches!(&again, Answer::Delivered { receipt: same, novelty: Novelty::Already, .. } if same == receipt),
        "{again:?}"
    );
    let end = post.world.delivery_fact(&again);
    let answer = post.world.acknowledge(S0, &end);
    assert!(matches!(answer, Answer::Acknowledged { novelty: Novelty::New, .. }), "{answer:?}");
    assert_eq!(post.world.nodes[&S0].machine.value.in_flight, U256::ZERO);
}

/// All leaves that `page` gives from one page to the next, none of which has more bytes than half of what a stock client takes,
/// but for its last leaf; and how many pages that were.
fn paged(page: impl Fn(LeafPlace) -> OutboxPage) -> (Vec<LeafPlace>, usize) {
    let (mut next, mut places, mut count) = (FIRST, Vec::new(), 0);
    loop {
        let page = page(next);
        let sizes: Vec<usize> = page.leaves.iter().map(|(_, receipt)| receipt.to_bytes().len()).collect();
        let before_the_last = sizes.iter().rev().skip(1).sum::<usize>();
        assert!(before_the_last < PAGE_BYTES_MAX, "{} leaves of {sizes:?}", sizes.len());
        places.extend(page.leaves.into_iter().map(|(place, _)| place));
        if page.next.height > page.head {
            return (places, count + 1);
        }
        assert!(page.next > next);
        (next, count) = (page.next, count + 1);
    }
}

#[test]
fn an_outbox_of_the_largest_messages_is_told_in_pages_that_a_stock_client_takes() {
    let mut post = post();
    let (body, deadline, pong) = (vec![7; MAILBOX_BODY_BYTES_MAX], Time(post.world.now.0 + 3_600_000), post.pong);
    let count = 2 * PAGE_BYTES_MAX / body.len() + 8;
    for _ in 0..count {
        post.dispatch(domain_of(NETWORK, S1), pong, (U256::ZERO, &body), deadline);
    }
    let kinds = [LeafKind::Message].into();
    let store = post.world.store(S0);
    let (kept, pages) = paged(|from| queries::outbox_page(store, from, 256, &kinds).unwrap());
    assert_eq!((kept.len(), pages > 2), (count, true));
    local_at(&mut post, S0); // So that the last message's block is not the newest.
    post.world.wait(1_000);
    forget_all(&mut post.world, S0);
    let store = post.world.store(S0);
    assert!(Kept::read(store).first > kept[count - 1].height);
    let (open, pages) = paged(|from| queries::open_outbox_page(store, from, 256, &kinds));
    assert_eq!((open, pages > 2), (kept, true));
}

#[test]
fn a_message_that_is_over_is_forgotten_at_both_ends_and_whoever_kept_it_is_refused() {
    let (mut post, fact) = sent();
    let answer = post.world.deliver(S1, &fact);
    let end = post.world.delivery_fact(&answer);
    post.world.acknowledge(S0, &end);
    let supply = post.world.supply();
    for shard in [S0, S1] {
        local_at(&mut post, shard);
        post.world.wait(1_000);
        forget_all(&mut post.world, shard);
    }
    assert_eq!(post.world.store(S0).count(SENT), 0, "it ended here");
    assert_eq!(post.world.store(S1).count(CONSUMED), 1, "shard 1 has seen no header of shard 0 since");
    let deadline = post.soon();
    let second = post.send(post.pong, U256::ZERO, deadline);
    post.world.deliver(S1, &second);
    local_at(&mut post, S1);
    forget_all(&mut post.world, S1);
    assert_eq!(post.world.store(S1).count(CONSUMED), 1, "the first has gone, the second has not ended");
    let received = post.world.slot(post.pong, 0);
    for _ in 0..2 {
        for (shard, kept) in [(S1, &fact), (S0, &end)] {
            let answer = if shard == S1 { post.world.deliver(S1, kept) } else { post.world.acknowledge(S0, kept) };
            assert!(is_over(&answer), "{answer:?}");
            post.world.restart(shard); // And knows it still.
        }
    }
    assert_eq!((post.world.slot(post.pong, 0), post.world.supply()), (received, supply), "it ran once (I14, I8)");
    let life = queries::message(post.world.store(S1), id_of(&fact));
    assert_eq!((life.sent, life.consumed), (None, None));
    assert_eq!(post.world.store(S0).count(UNENDED), 1);
}

#[test]
fn a_message_that_is_brought_again_in_the_step_that_forgets_it_is_answered_from_its_record() {
    let (mut post, fact) = sent();
    let first = post.world.deliver(S1, &fact);
    let end = post.world.delivery_fact(&first);
    post.world.acknowledge(S0, &end);
    let deadline = post.soon();
    let second = post.send(post.pong, U256::ZERO, deadline); // Its header says that the first has ended.
    post.world.deliver(S1, &second);
    local_at(&mut post, S1);
    post.world.wait(1_000);
    let forgetting = Forgettings::default().next(post.world.store(S1), post.world.now).unwrap();
    let again = Input::Deliver { ticket: crate::Ticket(1), fact: Box::new(fact.clone()) };
    let forget = Input::Forget { ticket: crate::Ticket(2), forgetting: Box::new(forgetting) };
    let answers = post.world.step(S1, vec![again, forget]).unwrap();
    let (Answer::Delivered { receipt, .. }, Answer::Delivered { receipt: same, novelty, .. }) = (&first, &answers[0])
    else {
        panic!("{answers:?}")
    };
    assert_eq!((same, *novelty), (receipt, Novelty::Already));
    assert_eq!(post.world.store(S1).count(CONSUMED), 1, "the second has not ended");
    assert!(is_over(&post.world.deliver(S1, &fact)));
}

#[test]
fn what_has_not_ended_holds_back_what_was_sent_later_and_nothing_else() {
    let (mut post, first) = sent();
    let deadline = post.soon();
    let second = post.send(post.pong, U256::ZERO, deadline);
    let answer = post.world.deliver(S1, &second);
    let end = post.world.delivery_fact(&answer);
    post.world.acknowledge(S0, &end);
    let third = post.send(post.pong, U256::ZERO, deadline);
    assert_eq!(
        queries::headers(post.world.store(S0), post.world.nodes[&S0].machine.tip().height, 1)[0].0.ended_before,
        0
    );
    post.world.deliver(S1, &third);
    local_at(&mut post, S1);
    forget_all(&mut post.world, S1);
    assert_eq!(post.world.store(S1).count(CONSUMED), 2, "the first may be anywhere: nothing after it is certified");
    let again = post.world.deliver(S1, &second);
    assert!(matches!(again, Answer::Delivered { novelty: Novelty::Already, .. }), "{again:?}");
    let late = post.world.deliver(S1, &first);
    assert!(matches!(late, Answer::Delivered { novelty: Novelty::New, .. }), "{late:?}");
}

/// Bytes of keys and values in a shard's store.
fn bytes(world: &World, shard: ShardId) -> usize {
    let of = |space| world.store(shard).entries(space).map(|(key, value)| key.len() + value.len()).sum::<usize>();
    crate::SPACES.into_iter().map(of).sum()
}

/// A step of many transfers on shard 0, and its state tree.
fn locals(world: &mut World, count: u64) {
    let nonce = world.account(user(1).address()).unwrap().nonce;
    let sign =
        |at| World::sign_at(&user(1), alloy_primitives::TxKind::Call(user(2).address()), U256::from(1), Vec::new(), at);
    let inputs = (nonce..nonce + count).map(|at| {
        let payload = world.payload(&[sign(at)]);
        Input::Local { ticket: crate::Ticket(at), payload: Box::new(payload) }
    });
    let answers = world.step(S0, inputs.collect()).unwrap();
    assert!(answers.iter().all(|answer| matches!(answer, Answer::Executed { .. })));
    world.advance(S0);
}

/// How long bodies are kept in the soaks, in milliseconds and blocks.
const KEPT_MILLIS: u64 = 60_000;

/// Bytes that a block leaves behind for ever: its header, the certificate and its part of the tree of headers.
const BLOCK_BYTES_LEFT_MAX: usize = 520;

/// Bytes that a local transaction takes while its block's body is kept: its bytes twice, in the outcome and in the log.
const LOCAL_BYTES_KEPT_MAX: usize = 850;

/// Blocks after which as many versions of the state tree are kept as ever will be, and as much of the past.
const SETTLED_COUNT: u64 = crate::state_tree::STATE_VERSIONS_KEPT_COUNT + 100;

/// Does one thing a second and forgets; the bytes of shard 0 when all has settled, and those after as many blocks again as were
/// `blocks_count` before.
fn soak(world: &mut World, rounds: u64, mut once: impl FnMut(&mut World, u64)) -> [(usize, u64); 2] {
    let mut sizes = Vec::new();
    for round in 1..=rounds {
        once(world, round);
        world.recorded = Vec::new();
        world.wait(1_000);
        for shard in world.placement.shards() {
            world.advance(shard);
            let before = Time(world.now.0 - KEPT_MILLIS);
            forget(world, shard, before);
        }
        if round == rounds - 300 || round == rounds {
            sizes.push((bytes(world, S0), world.nodes[&S0].machine.tip().height.0));
        }
    }
    sizes.try_into().unwrap()
}

#[test]
fn a_store_that_forgets_stops_growing_but_for_headers() {
    const TRANSACTIONS_PER_BLOCK_COUNT: u64 = 16;
    let on = |seed, shard| (user(seed).address(), shard);
    let mut world = World::new(1, [on(1, S0), on(2, S0)]);
    let once = |world: &mut World, _| locals(world, TRANSACTIONS_PER_BLOCK_COUNT);
    let [(before, first), (after, last)] = soak(&mut world, SETTLED_COUNT + 300, once);
    let left = (after - before) / usize::try_from(last - first).unwrap();
    println!("{before} bytes at block {first}, {after} at block {last}: {left} a block stay for ever");
    assert!(left <= BLOCK_BYTES_LEFT_MAX, "{left} bytes a block stay for ever");
    let bodies = [ENTRIES, LEAVES, APPLIED, OUTCOMES, OUTCOMES_BY_SLOT];
    let rows = |space| world.store(S0).entries(space).map(|(key, value)| key.len() + value.len()).sum::<usize>();
    let transactions = usize::try_from(TRANSACTIONS_PER_BLOCK_COUNT).unwrap() * world.store(S0).count(ENTRIES);
    let kept = bodies.map(rows).iter().sum::<usize>() / transactions;
    println!("{kept} bytes a transaction while it is kept: {:?}", bodies.map(|space| rows(space) / transactions));
    assert!(kept <= LOCAL_BYTES_KEPT_MAX, "{kept} bytes a transaction");
}

#[test]
fn participants_stores_that_forget_stop_growing_but_for_headers() {
    let on = |seed, shard| (user(seed).address(), shard);
    let mut world = World::new(2, [on(1, S0), on(2, S0), on(3, S1), on(4, S1)]);
    let once = |world: &mut World, round| {
        let (from, to) = if round % 2 == 0 { (1, 3) } else { (4, 2) };
        let payload = world.transfer(&user(from), user(to).address(), U256::from(1));
        world.commit(&payload);
    };
    let [(before, first), (after, last)] = soak(&mut world, SETTLED_COUNT + 300, once);
    let left = (after - before) / usize::try_from(last - first).unwrap();
    println!("{before} bytes at block {first}, {after} at block {last}: {left} a block stay for ever");
    assert!(left <= BLOCK_BYTES_LEFT_MAX, "{left} bytes a block stay for ever");
}

#[test]
fn stores_of_many_messages_stop_growing_but_for_headers() {
    let mut post = post();
    let mut ends = Vec::new();
    let mut rows = Vec::new();
    for round in 1..=200_u64 {
        let deadline = post.soon();
        let fact = post.send(post.pong, U256::from(1), deadline);
        let answer = post.world.deliver(S1, &fact);
        ends.push(post.world.delivery_fact(&answer));
        if ends.len() > 3 {
            post.world.acknowledge(S0, &ends.remove(0)); // It is some seconds on its way.
        }
        post.world.wait(1_000);
        for shard in [S0, S1] {
            post.world.advance(shard);
            let before = Time(post.world.now.0 - 20_000);
            forget(&mut post.world, shard, before);
        }
        if round % 100 == 0 {
            let of = |(shard, space)| post.world.store(shard).count(space);
            rows.push([(S0, SENT), (S0, UNENDED), (S1, CONSUMED), (S0, OPEN_LEAVES), (S1, OPEN_LEAVES)].map(of));
        }
    }
    println!("sent, unended, consumed and open leaves: {rows:?}");
    assert_eq!(rows[0], rows[1], "as many rows after 200 messages as after 100");
    assert!(rows[1][0] <= 30 && rows[1][2] <= 30 && rows[1][1] == 3, "{rows:?}");
}
