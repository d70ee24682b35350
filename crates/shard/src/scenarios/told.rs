//! The log as an index reads it, and what it does not believe. One lie a test.

use super::world::{ETHER, NETWORK, S0, S1, World, user};
use crate::queries::{self, OutcomeCursor};
use crate::told::{LogPlace, LogReader, ToldPage, Untold};
use crate::{OutcomeRecord, Tip};
use alloy_primitives::{Address, B256, U256};
use evm::Log;
use primitives::{Digest, Height, ShardId, Slot, Time};
use proof::{Certificate, Header};

/// Three blocks of one transaction on the first shard, and blocks of votes between them.
fn world() -> World {
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

fn reader(world: &World, shard: ShardId) -> LogReader {
    LogReader::new(world.params.clone(), shard, LogPlace::genesis(&world.params, shard))
}

fn page(world: &World, reader: &LogReader, shard: ShardId, count_max: usize) -> ToldPage {
    queries::told(world.store(shard), reader.wanted(), count_max).unwrap()
}

/// All that a reader of pages of `count_max` transactions is told.
fn told(world: &World, shard: ShardId, count_max: usize) -> Vec<OutcomeRecord> {
    let (mut reader, mut records) = (reader(world, shard), Vec::new());
    loop {
        let page = page(world, &reader, shard, count_max);
        let is_last = page.next.is_none();
        records.extend(reader.read(&world.verifier, page).unwrap());
        if is_last {
            assert_eq!(reader.at().tip, *world.nodes[&shard].machine.tip());
            return records;
        }
    }
}

/// What is said when `lie` is told of the whole log of the first shard.
fn refusal(world: &World, lie: impl FnOnce(&mut ToldPage)) -> Untold {
    let mut reader = reader(world, S0);
    let honest = page(world, &reader, S0, 1_000);
    let (mut page, before) = (honest.clone(), reader.at());
    lie(&mut page);
    let refused = reader.read(&world.verifier, page).unwrap_err();
    assert_eq!(reader.at(), before, "nothing of it is believed");
    assert_eq!(reader.read(&world.verifier, honest).unwrap().len(), 6, "and the truth is, afterwards");
    refused
}

/// The first block that has transactions.
fn first(page: &mut ToldPage) -> &mut crate::ToldBlock {
    page.blocks.iter_mut().find(|block| !block.outcomes.is_empty()).unwrap()
}

fn record(page: &mut ToldPage) -> &mut OutcomeRecord {
    &mut first(page).outcomes[0].record
}

#[test]
fn the_log_is_read_whole_in_pages_of_any_size() {
    let world = world();
    let cursor = OutcomeCursor::at(Slot(0));
    let mut all = queries::outcomes(world.store(S0), cursor, Slot(u64::MAX), 1_000).unwrap().outcomes;
    all.sort_by_key(|record| (record.height, record.index));
    assert_eq!(all.len(), 6);
    for count_max in [1, 2, 3, 1_000] {
        assert_eq!(told(&world, S0, count_max), all);
    }
    assert_eq!(told(&world, S1, 1_000), []);
}

#[test]
fn a_block_of_many_transactions_is_told_in_parts_and_believed_when_it_is_whole() {
    let on = |seed| (user(seed).address(), S0);
    let mut world = World::new(2, [on(1), on(2), on(3), on(4), on(5)]);
    let payloads: Vec<_> = (1..=5).map(|seed| world.transfer(&user(seed), user(1).address(), ETHER)).collect();
    let local = |(payload, ticket): (&primitives::Verified<evm::RecoveredPayload>, u64)| crate::Input::Local {
        ticket: crate::Ticket(ticket),
        payload: Box::new(payload.clone()),
    };
    world.step(S0, payloads.iter().zip(1_000..).map(local).collect()).unwrap();
    let mut reader = reader(&world, S0);
    let parts: Vec<usize> = (0..3)
        .map(|_| {
            let page = page(&world, &reader, S0, 2);
            reader.read(&world.verifier, page).unwrap().len()
        })
        .collect();
    assert_eq!(parts, [0, 0, 5]);
    for count_max in 1..=5 {
        assert_eq!(told(&world, S0, count_max).len(), 5);
    }
}

#[test]
fn what_the_protocol_itself_called_is_told_and_bound_by_its_id() {
    let mut post = super::messages::post();
    let deadline = post.soon();
    for _ in 0..3 {
        let fact = post.send(post.pong, ETHER, deadline);
        let answer = post.world.deliver(S1, &fact);
        let delivery = post.world.delivery_fact(&answer);
        post.world.acknowledge(S0, &delivery);
    }
    for shard in [S0, S1] {
        let records = told(&post.world, shard, 1_000);
        let own: Vec<_> = records.iter().filter(|record| record.bytes.is_empty()).collect();
        assert_eq!(own.len(), 3);
        for record in own {
            assert_eq!(record.called, queries::own_call(post.world.store(shard), record.transaction));
            assert!(record.called.is_some());
        }
        assert!(records.iter().all(|record| record.bytes.is_empty() == record.called.is_some()));
    }
    let mut reader = reader(&post.world, S1);
    let mut other = page(&post.world, &reader, S1, 1_000);
    let own = other.blocks.iter_mut().flat_map(|block| &mut block.outcomes).filter_map(|told| told.own.as_mut());
    own.for_each(|own| own.cause = crate::Cause::Local(Digest::new([9; 32])));
    let refused = reader.read(&post.world.verifier, other).unwrap_err();
    assert!(matches!(refused, Untold::Called { .. }), "{refused}");
    let mut missing = page(&post.world, &reader, S1, 1_000);
    missing.blocks.iter_mut().flat_map(|block| &mut block.outcomes).for_each(|told| told.own = None);
    let refused = reader.read(&post.world.verifier, missing).unwrap_err();
    assert!(matches!(refused, Untold::Called { .. }), "{refused}");
}

#[test]
fn a_transaction_that_is_left_out_is_missed() {
    let refused = refusal(&world(), |page| drop(first(page).outcomes.pop()));
    assert!(matches!(refused, Untold::Outcomes { count: 0, .. }), "{refused}");
}

#[test]
fn a_transaction_that_is_added_is_refused() {
    let refused = refusal(&world(), |page| {
        let twice = first(page).outcomes[0].clone();
        first(page).outcomes.push(twice);
    });
    assert!(matches!(refused, Untold::Outcomes { count: 2, .. }), "{refused}");
}

#[test]
fn other_gas_is_refused() {
    let refused = refusal(&world(), |page| record(page).outcome.gas_used += 1);
    assert!(matches!(refused, Untold::Outcomes { .. }), "{refused}");
}

#[test]
fn a_log_that_nobody_wrote_is_refused() {
    let log = Log { address: Address::ZERO, topics: vec![B256::ZERO], data: Vec::new().into() };
    let refused = refusal(&world(), |page| record(page).outcome.logs.push(log));
    assert!(matches!(refused, Untold::Outcomes { .. }), "{refused}");
}

#[test]
fn another_sender_is_refused() {
    let refused = refusal(&world(), |page| record(page).sender = Address::ZERO);
    assert!(matches!(refused, Untold::Outcomes { .. }), "{refused}");
}

#[test]
fn other_bytes_are_refused() {
    let refused = refusal(&world(), |page| record(page).bytes = vec![2, 3].into());
    assert!(matches!(refused, Untold::Bytes { .. }), "{refused}");
}

#[test]
fn a_transaction_whose_bytes_are_kept_back_is_not_taken_for_one_that_nobody_signed() {
    let refused = refusal(&world(), |page| record(page).bytes = Vec::new().into());
    assert!(matches!(refused, Untold::Outcomes { .. }), "{refused}");
}

#[test]
fn another_slot_than_it_ran_at_is_refused() {
    let refused = refusal(&world(), |page| record(page).number += 1);
    assert!(matches!(refused, Untold::Outcomes { .. }), "{refused}");
}

#[test]
fn another_network_block_than_shows_it_is_refused() {
    let refused = refusal(&world(), |page| record(page).shown = record(page).shown.next());
    assert!(matches!(refused, Untold::Place { .. }), "{refused}");
}

#[test]
fn another_place_or_time_is_refused() {
    let lies: [fn(&mut OutcomeRecord); 4] = [
        |record| record.index += 1,
        |record| record.height = record.height.next(),
        |record| record.time = Time(record.time.0 + 1),
        |record| record.leaf.height = record.leaf.height.next(),
    ];
    for lie in lies {
        let refused = refusal(&world(), |page| lie(record(page)));
        assert!(matches!(refused, Untold::Place { .. }), "{refused}");
    }
}

#[test]
fn a_block_that_is_left_out_is_missed() {
    let refused = refusal(&world(), |page| drop(page.blocks.remove(1)));
    assert_eq!(refused, Untold::Height { expected: Height(2), actual: Height(3) });
}

#[test]
fn a_header_that_is_made_up_is_refused() {
    let refused = refusal(&world(), |page| page.blocks[1].header.outbox_root = Digest::new([7; 32]));
    assert_eq!(refused, Untold::Parent { height: Height(3), before: Height(2) });
}

#[test]
fn a_last_header_that_is_made_up_is_refused() {
    let lie = |header: &mut Header| header.time = Time(header.time.0 + 1);
    let refused = refusal(&world(), |page| lie(&mut page.blocks.last_mut().unwrap().header));
    assert!(matches!(refused, Untold::Certificate { .. }), "{refused}");
}

#[test]
fn blocks_without_a_certificate_are_refused() {
    let refused = refusal(&world(), |page| page.certificate = None);
    assert!(matches!(refused, Untold::Uncertified { .. }), "{refused}");
    let forged = |certificate: &mut Certificate| certificate.signatures.clear();
    let refused = refusal(&world(), |page| forged(page.certificate.as_mut().unwrap()));
    assert!(matches!(refused, Untold::Certificate { .. }), "{refused}");
}

#[test]
fn another_shards_log_is_refused() {
    let world = world();
    let other = page(&world, &reader(&world, S1), S1, 1_000);
    let refused = refusal(&world, |page| *page = other);
    assert_eq!(refused, Untold::Shard { actual: S1 });
}

#[test]
fn a_page_that_leads_nowhere_is_refused() {
    let refused = refusal(&world(), |page| {
        page.blocks.clear();
        page.next = Some(crate::OutcomePlace { height: Height(1), index: 0 });
    });
    assert_eq!(refused, Untold::Empty { height: Height(1) });
}

#[test]
fn a_log_of_which_the_newest_blocks_are_kept_back_is_noticed() {
    let refused = refusal(&world(), |page| page.blocks.clear());
    assert!(matches!(refused, Untold::Short { told: Height(0), .. }), "{refused}");
    let refused = refusal(&world(), |page| drop(page.blocks.pop()));
    assert!(matches!(refused, Untold::Short { .. }), "{refused}");
}

#[test]
fn a_log_that_is_shorter_than_it_was_is_noticed() {
    let world = world();
    let tip = Tip { height: Height(99), digest: Digest::new([9; 32]), time: Time(1) };
    let mut reader = LogReader::new(world.params.clone(), S0, LogPlace { tip, open: Slot(0) });
    let page = page(&world, &reader, S0, 1_000);
    let head = page.head;
    assert_eq!(reader.read(&world.verifier, page), Err(Untold::Behind { head, tip: Height(99) }));
}

#[test]
fn a_log_that_began_anew_is_noticed() {
    let world = world();
    let place = LogPlace::genesis(&world.params, S0);
    let tip = Tip { digest: Header::genesis_parent(NETWORK, S1), ..place.tip };
    let mut reader = LogReader::new(world.params.clone(), S0, LogPlace { tip, ..place });
    let page = page(&world, &reader, S0, 1_000);
    let refused = reader.read(&world.verifier, page);
    assert_eq!(refused, Err(Untold::Parent { height: Height(1), before: Height(0) }));
}

#[test]
fn what_is_shown_in_a_block_that_was_said_to_be_closed_is_refused() {
    let mut world = world();
    let mut reader = reader(&world, S0);
    let all = page(&world, &reader, S0, 1_000);
    reader.read(&world.verifier, all).unwrap();
    let now = world.params.slot_at(world.now);
    reader.close(Slot(now.0 + 100));
    let local = world.transfer(&user(1), user(2).address(), U256::from(1));
    world.local(S0, &local);
    let more = page(&world, &reader, S0, 1_000);
    let refused = reader.read(&world.verifier, more).unwrap_err();
    assert!(matches!(refused, Untold::Closed { .. }), "{refused}");
}

#[test]
fn a_reader_that_begins_again_goes_on_where_it_was() {
    let world = world();
    let mut before = reader(&world, S0);
    let first = before.read(&world.verifier, page(&world, &before, S0, 2)).unwrap();
    let mut after = LogReader::new(world.params.clone(), S0, before.at());
    let rest = after.read(&world.verifier, page(&world, &after, S0, 1_000)).unwrap();
    assert_eq!([first, rest].concat(), told(&world, S0, 1_000));
    assert!(after.at().open > Slot(0), "what is certified closes blocks, too");
}
