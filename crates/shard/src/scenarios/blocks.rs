//! The log: headers, receipts, and what the queries make of them.

use super::world::{ETHER, S0, S1, START, World, user};
use crate::page::PAGE_BYTES_MAX;
use crate::queries::{self, OutcomeCursor};
use crate::spaces;
use crate::{Answer, Cause, Entry, Input, LeafPlace, OpenError, OutcomeLeaf, STORE_FORMAT, Shard};
use primitives::{AttemptId, Digest, Epoch, Height, Machine, Read, Slot, Time, Verified, Write};
use proof::{Fact, Header, LeafKind, SecretKey, Signer, ValidatorSet};

fn busy_world() -> World {
    let on = |seed, shard| (user(seed).address(), shard);
    let mut world = World::new(2, [on(1, S0), on(2, S0), on(3, S1), on(4, S1)]);
    for _ in 0..3 {
        let local = world.transfer(&user(1), user(2).address(), ETHER);
        world.local(S0, &local);
        let cross = world.transfer(&user(2), user(3).address(), ETHER);
        world.commit(&cross);
        world.wait(700);
    }
    world
}

#[test]
fn headers_form_one_chain_and_every_certificate_holds() {
    let world = busy_world();
    for shard in [S0, S1] {
        let blocks = queries::blocks(world.store(shard), Height(1), 100).unwrap();
        assert_eq!(blocks.len() as u64, world.nodes[&shard].machine.tip().height.0);
        let mut parent = Header::genesis_parent(super::world::NETWORK, shard);
        let mut time = Time(0);
        for block in blocks {
            assert_eq!(block.header.parent, parent);
            assert!(block.header.time >= time);
            (parent, time) = (block.header.digest(), block.header.time);
            assert!(!block.entries.is_empty(), "a block has entries");
            Verified::by(&world.verifier, (block.header, block.certificate)).unwrap();
        }
    }
}

#[test]
fn every_leaf_has_a_receipt_that_verifies_under_its_own_and_any_later_header() {
    let world = busy_world();
    let store = world.store(S0);
    let tip = world.nodes[&S0].machine.tip().height;
    let from = LeafPlace { height: Height(0), index: 0 };
    let page = queries::outbox_page(store, from, 1000, &[].into()).unwrap();
    assert!(page.leaves.len() >= 9);
    assert_eq!(page.next, LeafPlace { height: tip.next(), index: 0 });
    for (place, receipt) in page.leaves {
        assert_eq!(queries::receipt(store, place), Some(receipt.clone()));
        let fact = world.fact(receipt);
        for later in place.height.0 + 1..=tip.0 {
            let under = queries::receipt_under(store, place, Height(later)).unwrap();
            let under = world.fact(under);
            assert_eq!(under.seal.header.height, Height(later));
            assert_eq!(Fact { seal: fact.seal.clone(), ..under.into_inner() }, *fact);
        }
    }
}

#[test]
fn pages_of_the_outbox_have_no_gaps() {
    let world = busy_world();
    let all =
        queries::outbox_page(world.store(S0), LeafPlace { height: Height(0), index: 0 }, 1000, &[].into()).unwrap();
    let mut next = LeafPlace { height: Height(0), index: 0 };
    let mut paged = Vec::new();
    while paged.len() < all.leaves.len() {
        let page = queries::outbox_page(world.store(S0), next, 2, &[].into()).unwrap();
        assert!(page.next > next);
        next = page.next;
        paged.extend(page.leaves);
    }
    assert_eq!(paged, all.leaves);
    let votes = queries::outbox_page(
        world.store(S0),
        LeafPlace { height: Height(0), index: 0 },
        1000,
        &[LeafKind::Vote].into(),
    )
    .unwrap();
    assert_eq!(votes.leaves.len(), 3);
}

#[test]
fn headers_that_many_have_signed_are_told_in_pages_that_a_stock_client_takes() {
    let mut world = World::new(1, [(user(1).address(), S0), (user(2).address(), S0)]);
    let local = world.transfer(&user(1), user(2).address(), ETHER);
    world.local(S0, &local);
    let (header, one) = queries::header(world.store(S0), Height(1)).unwrap();
    let signatures = vec![one.signatures[0]; proof::VALIDATORS_COUNT_MAX];
    let signers = vec![0xff; proof::VALIDATORS_COUNT_MAX.div_ceil(8)];
    let many = proof::Certificate { signers, signatures, ..one };
    let row = |height| (spaces::height_key(Height(height)).to_vec(), primitives::encode(&(&header, &many)));
    let rows = (1..=256).map(row).map(|(key, value)| Write::Put { space: spaces::HEADERS, key, value });
    let mut store = world.store(S0).clone();
    store.commit(&rows.collect::<Vec<_>>());
    let page = queries::headers(&store, Height(1), 256);
    let size = |header: &(Header, proof::Certificate)| primitives::encode(header).len();
    assert!(page.len() > 1 && page[1..].iter().map(size).sum::<usize>() < PAGE_BYTES_MAX, "{}", page.len());
    assert!(256 * size(&page[0]) > PAGE_BYTES_MAX);
}

#[test]
fn outcomes_are_listed_in_the_order_of_network_blocks_and_resume_from_a_cursor() {
    let world = busy_world();
    let store = world.store(S0);
    let list = |from, to, count_max| queries::outcomes(store, from, to, count_max).unwrap();
    let (start, end) = (OutcomeCursor::at(Slot(0)), Slot(u64::MAX));
    let all = list(start, end, 100).outcomes;
    assert_eq!(all.len(), 6);
    assert!(all.is_sorted_by_key(|record| (record.shown, record.height, record.index)));
    let first = list(start, end, 2);
    let rest = list(first.next.unwrap(), end, 100);
    assert_eq!((rest.next, [first.outcomes, rest.outcomes].concat()), (None, all.clone()));
    let slot = all[2].shown;
    let of_slot = all.iter().filter(|record| record.shown == slot).count();
    assert_eq!(list(OutcomeCursor::at(slot), Slot(slot.0 + 1), 100).outcomes.len(), of_slot);
    for record in all {
        let place = queries::leaf_place(store, LeafKind::Outcome, record.transaction.0).unwrap();
        let fact = world.fact(queries::receipt(store, place).unwrap());
        let leaf: crate::OutcomeLeaf = primitives::decode(&fact.leaf.body, 1024).unwrap();
        assert_eq!(leaf.outcome, crate::outcome_digest(&record.outcome));
    }
}

#[test]
fn the_logs_of_all_shards_name_each_attempt_and_its_payload() {
    let world = busy_world();
    let (log0, log1) =
        (queries::applied(world.store(S0), 0, 100).unwrap(), queries::applied(world.store(S1), 0, 100).unwrap());
    let attempts = |log: &[crate::Applied]| -> Vec<Cause> {
        log.iter().map(|record| record.cause).filter(|cause| matches!(cause, Cause::Attempt(_))).collect()
    };
    assert_eq!(attempts(&log0), attempts(&log1));
    assert_eq!(log0.len(), 6);
    assert!(log0.iter().all(|record| record.payload.is_some() && !record.locks.is_empty()));
    assert!(log1.iter().all(|record| record.payload.is_none()));
}

#[test]
fn a_step_that_changes_nothing_makes_no_block() {
    let mut world = busy_world();
    let tip = *world.nodes[&S0].machine.tip();
    world.wait(1000);
    assert_eq!(world.step(S0, vec![Input::Tick]), Some(vec![]));
    assert_eq!(*world.nodes[&S0].machine.tip(), tip);
}

#[test]
fn to_attest_writes_nothing() {
    let mut world = busy_world();
    world.wait(5_000);
    let node = world.nodes.get_mut(&S0).unwrap();
    let output = node.machine.step(world.now, vec![Input::Attest { ticket: crate::Ticket(1) }], &node.store);
    let height = node.machine.tip().height;
    assert_eq!(
        output.replies[0].answer,
        Answer::Attested {
            open: crate::first_open(&world.params, world.now, None),
            time: Time(world.now.0 - 1),
            height
        }
    );
    assert_eq!(output.writes, vec![]);
}

#[test]
fn block_time_never_goes_back_over_a_restart() {
    let mut world = busy_world();
    world.wait(5_000);
    let before = world.local(S0, &world.transfer(&user(1), user(2).address(), ETHER)).remove(0).time;
    world.restart(S0);
    let local = world.transfer(&user(1), user(2).address(), ETHER);
    world.now = START; // The machine's clock jumps back; block time does not.
    let after = world.local(S0, &local).remove(0).time;
    assert_eq!(after, before);
}

#[test]
fn a_store_of_another_shard_is_refused() {
    let world = busy_world();
    let config = super::world::config(S1, &world.params, &world.placement);
    let refused = Shard::open(config, world.store(S0));
    assert!(matches!(refused, Err(OpenError::Shard { expected, actual }) if (expected, actual) == (S1, S0)));
}

#[test]
fn a_store_made_for_another_placement_is_refused() {
    let world = busy_world();
    let other = evm::Placement::new(2, 2, [].into()).unwrap();
    let config = super::world::config(S0, &world.params, &other);
    assert!(matches!(Shard::open(config, world.store(S0)), Err(OpenError::Agreement)));
}

#[test]
fn an_empty_store_and_one_of_another_format_are_refused() {
    let world = busy_world();
    let config = || super::world::config(S0, &world.params, &world.placement);
    let empty = primitives::Memory::default();
    assert!(matches!(Shard::open(config(), &empty), Err(OpenError::Empty)));
    let mut other = world.store(S0).clone();
    let mut identity = other.get(crate::spaces::META, b"identity").unwrap();
    for format in [1, STORE_FORMAT - 1, STORE_FORMAT + 1] {
        identity[..4].copy_from_slice(&format.to_le_bytes());
        other.commit(&[primitives::Write::put(crate::spaces::META, *b"identity", identity.clone())]);
        let refused = Shard::open(config(), &other).unwrap_err();
        assert!(matches!(refused, OpenError::Format { actual } if actual == format));
        assert!(refused.to_string().contains("use the build that wrote it"), "{refused}");
    }
    // What a build of format 8 wrote, to the byte: however that goes on, its number is read.
    let earlier = [&8_u32.to_le_bytes()[..], &[0xff; 60]].concat();
    other.commit(&[primitives::Write::put(crate::spaces::META, *b"identity", earlier)]);
    assert!(matches!(Shard::open(config(), &other), Err(OpenError::Format { actual: 8 })));
}

#[test]
fn inputs_beyond_a_steps_bound_are_answered_busy() {
    let mut world = busy_world();
    let inputs = (0..=crate::limits::INPUTS_PER_STEP_COUNT_MAX as u64)
        .map(|ticket| Input::Attest { ticket: crate::Ticket(ticket) })
        .collect::<Vec<_>>();
    let count = inputs.len();
    let node = world.nodes.get_mut(&S0).unwrap();
    let output = node.machine.step(world.now, inputs, &node.store);
    assert_eq!(output.replies.len(), count, "each ticket is answered");
}

#[test]
fn gas_beyond_a_steps_bound_waits_for_the_next_step() {
    let mut world = busy_world();
    let payload = world.transfer(&user(2), user(1).address(), ETHER);
    let gas = payload.signed().next().unwrap().gas_limit();
    let count = crate::limits::STEP_GAS_MAX / gas + 1;
    let local = |ticket| Input::Local { ticket: crate::Ticket(ticket), payload: Box::new(payload.clone()) };
    let node = world.nodes.get_mut(&S0).unwrap();
    let output = node.machine.step(world.now, (0..count).map(local).collect(), &node.store);
    let busy = |reply: &&crate::Reply| {
        matches!(reply.answer, crate::Answer::LocalRefused(crate::LocalRefusal::Busy(crate::Busy::Inputs)))
    };
    assert_eq!(output.replies.len() as u64, count, "each ticket is answered");
    assert_eq!(output.replies.iter().filter(busy).count(), 1, "the last one comes again");
}

#[test]
fn a_key_that_is_no_validator_is_refused() {
    let world = busy_world();
    let mut config = super::world::config(S0, &world.params, &world.placement);
    config.validators.insert(S0, config.validators[&S1].clone());
    assert!(matches!(Shard::open(config, world.store(S0)), Err(OpenError::NotValidator { .. })));
}

#[test]
fn a_store_that_another_key_signed_is_refused() {
    let world = busy_world();
    let mut config = super::world::config(S0, &world.params, &world.placement);
    let stranger = SecretKey::from_bytes(&[99; 32]).unwrap();
    let set = ValidatorSet::new(Epoch(1), vec![stranger.public()]).unwrap();
    config.signer = Signer::new(stranger, &set).unwrap();
    config.validators.insert(S0, set);
    assert!(matches!(Shard::open(config, world.store(S0)), Err(OpenError::ForeignBlock(_))));
}

#[test]
fn a_shard_with_several_validators_is_refused_until_its_log_is_replicated() {
    let world = busy_world();
    let mut config = super::world::config(S0, &world.params, &world.placement);
    let keys = [S0, S1].map(|shard| config.validators[&shard].keys()[0]).to_vec();
    config.validators.insert(S0, ValidatorSet::new(Epoch(1), keys).unwrap());
    assert!(matches!(Shard::open(config, world.store(S0)), Err(OpenError::Validators { validators: 2, .. })));
}

#[test]
fn the_bytes_that_a_certificate_covers_are_frozen() {
    let leaf = OutcomeLeaf {
        transaction: [1; 32].into(),
        attempt: Some(AttemptId(Digest::new([2; 32]))),
        status: evm::Status::Reverted,
        gas_used: 21_000,
        outcome: Digest::new([3; 32]),
    };
    let hex = |bytes: Vec<u8>| alloy_primitives::hex::encode(bytes);
    let (ones, twos, threes) = ("01".repeat(32), "02".repeat(32), "03".repeat(32));
    assert_eq!(hex(primitives::encode(&leaf)), format!("{ones}01{twos}010852000000000000{threes}"));
    let voted = Entry::Voted { attempt: AttemptId(Digest::new([2; 32])), yes: true };
    assert_eq!(hex(primitives::encode(&voted)), format!("01{twos}01"));
    let decided = Entry::Decided { attempt: AttemptId(Digest::new([2; 32])), decision: commit::Decision::Abort };
    assert_eq!(hex(primitives::encode(&decided)), format!("02{twos}01"));
}
