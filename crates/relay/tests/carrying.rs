//! What a relay promises, as sentences.

#![allow(clippy::unwrap_used, reason = "a test says by panicking")]

#[allow(dead_code, reason = "shared with `sharing`")]
mod world;

use dovetail_relay::{
    Command, CommandError, Cursor, EVENTS_COUNT_MAX, Input, Life, OpenError, Relay, Reply, Route, Stage, Submission,
    SubmitError, Ticket, dead_letters, routes, spaces, trace,
};
use primitives::{Height, Millis, NetworkId, ShardId, Time};
use proof::{Delivery, DeliveryStatus, Leaf, LeafKind, Message, MessageId, domain_of};
use std::collections::BTreeSet;
use world::{Crash, Mood, NETWORK, World};

fn set(ids: &[MessageId]) -> BTreeSet<MessageId> {
    ids.iter().copied().collect()
}

fn route(source: u32, destination: u32) -> Route {
    Route { source: ShardId(source), destination: ShardId(destination) }
}

fn at(height: u64, index: u32) -> Cursor {
    Cursor { height: Height(height), index }
}

fn stages(world: &World, id: MessageId) -> Vec<Stage> {
    trace(&world.store, id).unwrap().events.iter().map(|event| event.stage).collect()
}

#[test]
fn a_message_is_carried_delivered_and_acknowledged() {
    let mut world = World::new(2);
    let ids = world.dispatch(0, 1, 1);
    world.run(1_000);
    assert_eq!(world.ran(1), set(&ids));
    assert_eq!(world.settled(0), set(&ids));
    let trace = trace(&world.store, ids[0]).unwrap();
    assert_eq!((trace.life, trace.status), (Life::Ended, Some(DeliveryStatus::Delivered)));
    let stages = stages(&world, ids[0]);
    assert_eq!(stages, [Stage::Accepted, Stage::Sent, Stage::Delivered, Stage::Acknowledging, Stage::Acknowledged]);
    assert!(trace.message.is_some());
    for space in [spaces::QUEUE, spaces::RECEIPTS, spaces::DEAD] {
        assert_eq!(world.store.count(space), 0, "{space:?} is empty when all is carried");
    }
}

#[test]
fn messages_between_all_pairs_arrive_once_each() {
    let mut world = World::new(4);
    let mut expected = vec![BTreeSet::new(); 4];
    for (from, to) in (0..4).flat_map(|from| (0..4).map(move |to| (from, to))) {
        expected[to as usize].extend(world.dispatch(from, to, 30));
    }
    world.run(5_000);
    for to in 0..4 {
        assert_eq!(world.ran(to), expected[to as usize]);
        assert!(world.shard(to).ran.values().all(|count| *count == 1));
    }
    assert_eq!((0..4).map(|id| world.settled(id).len()).sum::<usize>(), 16 * 30);
    let statuses = routes(&world.store);
    assert_eq!(statuses.len(), 16);
    assert!(statuses.iter().all(|status| status.acknowledged_count == 30 && status.queued_count == 0));
}

#[test]
fn a_route_tells_since_when_the_oldest_of_what_waits_has() {
    let mut world = World::new(2);
    let oldest = |world: &World| {
        let statuses = routes(&world.store);
        statuses.into_iter().find(|status| status.route == route(0, 1)).and_then(|status| status.oldest)
    };
    world.dispatch(0, 1, 1);
    world.run(5_000);
    assert_eq!(oldest(&world), None, "nothing waits");
    world.shard(1).down = true;
    let first = world.dispatch(0, 1, 1);
    world.run(1_000);
    let since = trace(&world.store, first[0]).unwrap().events[0].time;
    world.dispatch(0, 1, 20);
    world.run(30_000);
    assert_eq!(oldest(&world), Some(since));
    world.shard(1).down = false;
    world.run(120_000);
    assert_eq!(oldest(&world), None);
}

#[test]
fn an_answer_without_a_receipt_is_completed_by_the_outbox() {
    let mut world = World::new(2);
    world.shard(1).terse = true;
    let ids = world.dispatch(0, 1, 3);
    world.run(10_000);
    assert_eq!(world.settled(0), set(&ids));
    assert!(ids.iter().all(|id| trace(&world.store, *id).unwrap().life == Life::Ended));
}

#[test]
fn votes_and_outcomes_are_not_carried() {
    let mut world = World::new(2);
    let leaf = |kind| Leaf { kind, body: vec![1, 2, 3] };
    world.shard(0).say(vec![leaf(LeafKind::Vote), leaf(LeafKind::Outcome)]);
    world.run(1_000);
    assert!(world.shard(1).handed.is_empty());
    assert_eq!(world.store.count(spaces::RECORDS), 0);
}

#[test]
fn a_leaf_that_is_no_message_is_carried_nowhere_and_holds_nothing_up() {
    let mut world = World::new(2);
    world.shard(0).say(vec![Leaf { kind: LeafKind::Message, body: vec![1, 2, 3] }]);
    let ids = world.dispatch(0, 1, 1);
    world.run(1_000);
    assert_eq!(world.ran(1), set(&ids));
}

#[test]
fn a_message_to_an_unknown_shard_says_why_it_is_stuck() {
    let mut world = World::new(2);
    let message = world.shard(0).message(ShardId(9), b"where to?");
    world.shard(0).say(vec![Leaf { kind: LeafKind::Message, body: message.to_bytes() }]);
    let ids = world.dispatch(0, 1, 1);
    world.run(1_000);
    assert_eq!(world.ran(1), set(&ids), "those behind it are carried");
    let trace = trace(&world.store, message.id()).unwrap();
    assert_eq!(trace.life, Life::Unroutable);
    assert!(trace.events[1].detail.contains("no route leads to domain 0xd0070009"));
}

// Crashes.

#[test]
fn a_relay_killed_at_any_step_loses_nothing_and_doubles_nothing() {
    let scenario = |crash| {
        let mut world = World::with(3, |settings| settings.batch_count_max = 4);
        world.crash = crash;
        let mut ids = world.dispatch(0, 1, 6);
        ids.extend(world.dispatch(1, 0, 3));
        ids.extend(world.dispatch(2, 1, 3));
        let poison = ids[2];
        world.shard(1).moods.insert(poison, Mood::Refuses);
        world.run(2_000);
        world.shard(1).moods.clear();
        world.run(120_000);
        (world, ids)
    };
    let (sound, ids) = scenario(None);
    let crashes = [Crash::BeforeWrite, Crash::AfterWrite, Crash::AfterSend];
    for (step, crash) in (1..sound.steps.min(60)).flat_map(|step| crashes.map(|crash| (step, crash))) {
        let (world, again) = scenario(Some((step, crash)));
        assert_eq!(ids, again);
        for shard in 0..3 {
            assert_eq!(world.ran(shard), sound.ran(shard), "{crash:?} at step {step}");
            assert_eq!(world.settled(shard), sound.settled(shard), "{crash:?} at step {step}");
        }
        assert!(ids.iter().all(|id| trace(&world.store, *id).unwrap().life == Life::Ended));
        assert_eq!(world.store.count(spaces::QUEUE) + world.store.count(spaces::RECEIPTS), 0);
    }
}

#[test]
fn a_reopened_relay_goes_on_from_its_cursor() {
    let mut world = World::new(2);
    world.dispatch(0, 1, 5);
    world.run(1_000);
    world.reopen();
    world.shard(1).handed.clear();
    let ids = world.dispatch(0, 1, 1);
    world.run(1_000);
    assert_eq!(world.shard(1).handed, ids, "only what is new is handed over");
}

#[test]
fn two_relays_side_by_side_are_harmless() {
    let mut world = World::new(2);
    let ids = world.dispatch(0, 1, 20);
    world.run(1_000);
    // The second has a store of its own and has seen nothing: it carries all of it again.
    let mut shards = std::mem::take(&mut world.shards);
    let mut second = World::new(2);
    std::mem::swap(&mut second.shards, &mut shards);
    second.run(1_000);
    assert_eq!(second.ran(1), set(&ids));
    assert!(second.shard(1).ran.values().all(|count| *count == 1));
    assert!(ids.iter().all(|id| trace(&second.store, *id).unwrap().life == Life::Ended));
}

#[test]
fn a_message_that_another_relay_delivered_is_not_carried_again() {
    let mut world = World::new(2);
    world.command(Command::Pause(route(0, 1)));
    let ids = world.dispatch(0, 1, 1);
    world.run(1_000);
    let message = Message::from_bytes(&trace(&world.store, ids[0]).unwrap().message.unwrap()).unwrap();
    let delivery = Delivery::of(&message, DeliveryStatus::Expired, &[], 0);
    world.shard(1).say(vec![Leaf { kind: LeafKind::Delivery, body: delivery.to_bytes() }]);
    world.run(1_000);
    world.command(Command::Resume(route(0, 1)));
    world.run(1_000);
    assert!(world.shard(1).handed.is_empty());
    assert_eq!(world.settled(0), set(&ids));
}

#[test]
fn a_store_of_another_network_is_refused() {
    let mut world = World::new(2);
    world.run(1_000);
    let mut settings = world.settings.clone();
    settings.network = NetworkId(8);
    let result = Relay::open(settings, &world.store).map(|_| ());
    assert!(matches!(result, Err(OpenError::Network { .. })));
}

#[test]
fn a_bound_of_zero_is_refused() {
    let mut settings = World::new(2).settings;
    settings.batch_count_max = 0;
    let result = Relay::open(settings, &world::Store::default()).map(|_| ());
    assert_eq!(result, Err(OpenError::Zero { name: "batch_count_max" }));
}

// Poison, retries, dead letters.

#[test]
fn one_poison_message_never_blocks_those_behind() {
    for mood in [Mood::Refuses, Mood::RefusesForEver, Mood::Breaks] {
        let mut world = World::new(2);
        let ids = world.dispatch(0, 1, 40);
        world.shard(1).moods.insert(ids[0], mood);
        world.run(20_000);
        let mut sound = set(&ids);
        sound.remove(&ids[0]);
        assert_eq!(world.ran(1), sound, "{mood:?}");
    }
}

#[test]
fn a_message_that_breaks_its_receiver_travels_alone() {
    let mut world = World::new(2);
    let mut ids = world.dispatch(0, 1, 40);
    let poison = ids[7];
    world.shard(1).moods.insert(poison, Mood::Breaks);
    world.run(20_000);
    world.batches.clear();
    for _ in 0..60 {
        ids.extend(world.dispatch(0, 1, 10));
        world.run(1_000);
    }
    let with_poison: Vec<_> = world.batches.iter().filter(|(_, parcels)| parcels.contains(&poison)).collect();
    assert!(!with_poison.is_empty() && with_poison.iter().all(|(_, parcels)| parcels.len() == 1));
    assert!(with_poison.len() < 40, "it comes back {} times in a minute", with_poison.len());
    assert_eq!(world.ran(1).len(), ids.len() - 1, "those behind it do not wait for it");
    world.shard(1).moods.clear();
    world.run(10_000);
    assert_eq!(world.ran(1), set(&ids));
}

#[test]
fn a_destination_that_claims_without_proof_is_asked_again() {
    let mut world = World::new(2);
    let ids = world.dispatch(0, 1, 1);
    world.shard(1).moods.insert(ids[0], Mood::Lies);
    world.run(5_000);
    assert_eq!(trace(&world.store, ids[0]).unwrap().life, Life::Out, "a claim ends nothing");
    world.shard(1).moods.clear();
    world.run(60_000);
    assert_eq!(world.settled(0), set(&ids));
}

#[test]
fn a_destination_that_is_busy_a_thousand_times_takes_the_message_in_the_end() {
    let mut world = World::with(2, |settings| settings.retry_max = Millis(1_000));
    let ids = world.dispatch(0, 1, 2);
    world.shard(1).moods.insert(ids[0], Mood::BusyTimes(1_000));
    world.run(2_000_000);
    assert_eq!(world.ran(1), set(&ids));
    assert_eq!(world.settled(0), set(&ids));
    assert_eq!(world.shard(1).handed.iter().filter(|id| **id == ids[0]).count(), 1_001);
    assert!(dead_letters(&world.store, None, 10).is_empty());
}

#[test]
fn whoever_keeps_a_key_locked_for_an_hour_ends_no_message() {
    let mut world = World::new(2);
    let ids = world.dispatch(0, 1, 3);
    world.shard(1).moods.insert(ids[0], Mood::Refuses);
    world.run(3_600_000);
    assert_eq!(trace(&world.store, ids[0]).unwrap().life, Life::Out);
    let handed = world.shard(1).handed.iter().filter(|id| **id == ids[0]).count();
    assert!((60..200).contains(&handed), "its tries are spaced: {handed} in an hour");
    world.reopen();
    world.shard(1).moods.clear();
    world.run(61_000);
    assert_eq!(world.settled(0), set(&ids));
}

#[test]
fn a_message_whose_key_stays_locked_expires_after_its_deadline_and_its_origin_is_told() {
    let mut world = World::new(2);
    let ids = world.dispatch(0, 1, 1);
    let deadline = Time(world.now.0 + 900_000);
    world.shard(1).moods.insert(ids[0], Mood::LockedUntil(deadline));
    world.run(1_000_000);
    assert_eq!(trace(&world.store, ids[0]).unwrap().status, Some(DeliveryStatus::Expired));
    assert!(world.ran(1).is_empty());
    assert_eq!(world.settled(0), set(&ids));
}

#[test]
fn an_acknowledgement_is_tried_for_as_long_as_its_origin_is_busy() {
    let mut world = World::new(2);
    let ids = world.dispatch(0, 1, 1);
    world.shard(0).moods.insert(ids[0], Mood::BusyTimes(40));
    world.run(3_600_000);
    assert_eq!(world.settled(0), set(&ids));
    assert!(dead_letters(&world.store, None, 10).is_empty());
}

#[test]
fn messages_that_wait_for_a_lock_leave_the_queue_to_others() {
    let mut world = World::with(2, |settings| settings.queue_count_max = 8);
    let stuck = world.dispatch(0, 1, 20);
    world.shard(1).moods.extend(stuck.iter().map(|id| (*id, Mood::Refuses)));
    let others = world.dispatch(0, 1, 20);
    world.run(300_000);
    assert_eq!(world.ran(1), set(&others));
    world.shard(1).moods.clear();
    world.run(61_000);
    assert_eq!(world.settled(0).len(), 40);
}

#[test]
fn what_waits_for_locks_is_bounded_and_the_rest_stays_in_its_outbox() {
    let mut world = World::with(2, |settings| {
        (settings.queue_count_max, settings.stuck_count_max, settings.page_count_max) = (4, 8, 4);
    });
    let ids = world.dispatch(0, 1, 40);
    world.shard(1).moods.extend(ids.iter().map(|id| (*id, Mood::Refuses)));
    world.run(3_600_000);
    assert!(world.store.count(spaces::QUEUE) <= 4 + 8 + 4, "{} wait", world.store.count(spaces::QUEUE));
    world.reopen();
    world.shard(1).moods.clear();
    world.run(300_000);
    assert_eq!(world.settled(0), set(&ids));
}

#[test]
fn a_message_refused_for_good_is_parked_and_an_operator_revives_it() {
    let mut world = World::new(2);
    let ids = world.dispatch(0, 1, 2);
    world.shard(1).moods.insert(ids[0], Mood::RefusesForEver);
    world.run(60_000);
    let letters = dead_letters(&world.store, None, 10);
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].message, letters[0].refusals), (ids[0], 1));
    assert_eq!(letters[0].reason, "out of mood");
    let handed = world.shard(1).handed.iter().filter(|id| **id == ids[0]).count();
    assert_eq!(handed, 1);
    world.reopen();
    world.shard(1).moods.clear();
    assert_eq!(world.command(Command::Retry(ids[0])), Reply::Commanded { ticket: Ticket(1), result: Ok(()) });
    world.run(1_000);
    assert_eq!(world.ran(1), set(&ids));
    assert!(dead_letters(&world.store, None, 10).is_empty());
    assert!(stages(&world, ids[0]).contains(&Stage::Revived));
}

#[test]
fn a_dead_letter_that_an_operator_gives_up_is_gone_until_its_block_is_read_again() {
    let mut world = World::new(2);
    let ids = world.dispatch(0, 1, 2);
    world.shard(1).moods.insert(ids[0], Mood::RefusesForEver);
    world.run(60_000);
    let given_up = Command::Drop { message: ids[0], reason: "its contract is broken".to_owned() };
    assert_eq!(world.command(given_up.clone()), Reply::Commanded { ticket: Ticket(1), result: Ok(()) });
    assert!(dead_letters(&world.store, None, 10).is_empty());
    let told = trace(&world.store, ids[0]).unwrap().events.last().unwrap().detail.clone();
    assert_eq!(told, "an operator gave it up: its contract is broken");
    let not_dead = Err(CommandError::NotDead { message: ids[0] });
    assert_eq!(world.command(given_up), Reply::Commanded { ticket: Ticket(1), result: not_dead });
    world.shard(1).moods.clear();
    world.reopen();
    world.run(60_000);
    assert_eq!(world.ran(1), set(&ids[1..]), "nobody tries it any more");
    let again = Command::Rescan { route: route(0, 1), from: Height(0), to: Height(1_000) };
    assert_eq!(world.command(again), Reply::Commanded { ticket: Ticket(1), result: Ok(()) });
    world.run(60_000);
    assert_eq!(world.ran(1), set(&ids));
    assert_eq!(world.settled(0), set(&ids));
    let handed = world.shard(1).handed.iter().filter(|id| **id == ids[1]).count();
    assert_eq!(handed, 1, "what had arrived is not brought twice");
}

#[test]
fn blocks_that_were_not_read_yet_are_not_read_again() {
    let mut world = World::new(2);
    let ids = world.dispatch(0, 1, 1);
    world.run(1_000);
    let read = routes(&world.store).into_iter().find(|status| status.route == route(0, 1)).unwrap().cursor.height;
    let result = Err(CommandError::NotRead { route: route(0, 1), read });
    let command = Command::Rescan { route: route(0, 1), from: Height(1_000), to: Height(2_000) };
    assert_eq!(world.command(command), Reply::Commanded { ticket: Ticket(1), result });
    let result = Err(CommandError::NoRoute { route: route(0, 9) });
    let command = Command::Rescan { route: route(0, 9), from: Height(0), to: Height(1) };
    assert_eq!(world.command(command), Reply::Commanded { ticket: Ticket(1), result });
    assert_eq!(world.settled(0), set(&ids));
}

#[test]
fn a_message_that_is_no_dead_letter_is_not_revived() {
    let mut world = World::new(2);
    let ids = world.dispatch(0, 1, 1);
    world.run(1_000);
    let result = Err(CommandError::NotDead { message: ids[0] });
    assert_eq!(world.command(Command::Retry(ids[0])), Reply::Commanded { ticket: Ticket(1), result });
}

#[test]
fn a_dead_letter_that_another_relay_delivered_is_acknowledged() {
    let mut world = World::new(2);
    let ids = world.dispatch(0, 1, 1);
    world.shard(1).moods.insert(ids[0], Mood::RefusesForEver);
    world.run(1_000);
    assert_eq!(dead_letters(&world.store, None, 10).len(), 1);
    let message = Message::from_bytes(&trace(&world.store, ids[0]).unwrap().message.unwrap()).unwrap();
    let delivery = Delivery::of(&message, DeliveryStatus::Delivered, &[], 0);
    world.shard(1).say(vec![Leaf { kind: LeafKind::Delivery, body: delivery.to_bytes() }]);
    world.run(1_000);
    assert_eq!(world.settled(0), set(&ids));
    assert!(dead_letters(&world.store, None, 10).is_empty());
    assert_eq!(routes(&world.store)[1].dead_count, 0);
}

#[test]
fn no_dead_letter_is_forgotten_a_lane_full_of_them_reads_no_further() {
    let mut world = World::with(3, |settings| {
        (settings.dead_letters_count_max, settings.page_count_max, settings.batch_count_max) = (4, 1, 1);
        settings.queue_count_max = 2;
    });
    let ids = world.dispatch(0, 1, 20);
    world.shard(1).moods.extend(ids.iter().map(|id| (*id, Mood::RefusesForEver)));
    let others = world.dispatch(0, 2, 20);
    world.run(60_000);
    let letters = dead_letters(&world.store, None, 100);
    assert!((4..=4 + 2).contains(&letters.len()), "{} dead letters", letters.len());
    assert!(letters.iter().all(|letter| trace(&world.store, letter.message).is_some()));
    let status = routes(&world.store).into_iter().find(|status| status.route == route(0, 1)).unwrap();
    assert!(status.last_error.contains("reads no further"), "{}", status.last_error);
    assert_eq!(world.ran(2), set(&others), "another lane is not held up");
    world.reopen();
    world.shard(1).moods.clear();
    while let Some(letter) = dead_letters(&world.store, None, 1).first() {
        world.command(Command::Retry(letter.message));
        world.run(60_000);
    }
    assert_eq!(world.ran(1), set(&ids), "what the lane left was in its outbox");
    assert_eq!(world.settled(0).len(), 40);
}

#[test]
fn dead_letters_are_read_in_pages() {
    let mut world = World::new(2);
    let ids = world.dispatch(0, 1, 5);
    for id in &ids {
        world.shard(1).moods.insert(*id, Mood::RefusesForEver);
    }
    world.run(5_000);
    let mut read = Vec::new();
    while let page = dead_letters(&world.store, read.last().copied(), 2)
        && !page.is_empty()
    {
        read.extend(page.iter().map(|letter| letter.message));
    }
    assert_eq!(read, set(&ids).into_iter().collect::<Vec<_>>());
}

#[test]
fn a_shard_that_is_down_costs_no_message_its_tries() {
    let mut world = World::new(3);
    world.shard(1).down = true;
    let ids = world.dispatch(0, 1, 30);
    let others = world.dispatch(0, 2, 30);
    world.run(600_000);
    assert_eq!(world.ran(2), set(&others), "the other route is not held up");
    assert!(dead_letters(&world.store, None, 10).is_empty());
    world.shard(1).down = false;
    world.run(60_000);
    assert_eq!(world.ran(1), set(&ids));
    assert_eq!(world.settled(0).len(), 60);
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    let mut world = World::with(2, |settings| settings.answer = Millis(1_000));
    let ids = world.dispatch(0, 1, 3);
    // The first answers never come: the messages ran, and nobody said so.
    for _ in 0..4 {
        world.step();
    }
    world.crash = Some((world.steps + 1, Crash::AfterSend));
    world.step();
    world.run(60_000);
    assert_eq!(world.settled(0), set(&ids));
    assert!(world.shard(1).ran.values().all(|count| *count == 1));
}

#[test]
fn a_story_is_bounded_however_long_it_takes() {
    let mut world = World::new(2);
    let ids = world.dispatch(0, 1, 1);
    world.shard(1).moods.insert(ids[0], Mood::Refuses);
    world.run(3_600_000);
    let events = trace(&world.store, ids[0]).unwrap().events;
    assert_eq!(events.len(), EVENTS_COUNT_MAX);
    assert_eq!(events[0].stage, Stage::Accepted);
    assert!(events.last().unwrap().attempt > 20);
}

// Bounds.

#[test]
fn a_full_queue_stops_its_own_lane_and_no_other() {
    let mut world = World::with(3, |settings| (settings.queue_count_max, settings.page_count_max) = (8, 16));
    world.command(Command::Pause(route(0, 1)));
    let ids = world.dispatch(0, 1, 100);
    let others = world.dispatch(0, 2, 50);
    world.run(10_000);
    assert_eq!(world.ran(2), set(&others), "the full lane holds nobody up");
    assert_eq!(world.store.count(spaces::QUEUE), 8, "no more is taken in than the bound");
    let status = routes(&world.store).into_iter().find(|status| status.route == route(0, 1)).unwrap();
    assert_eq!((status.queued_count, status.paused), (8, true));
    assert_eq!(status.cursor.height.0, 9, "the cursor stands at the first leaf not accepted");
    world.reopen();
    world.command(Command::Resume(route(0, 1)));
    world.run(60_000);
    assert_eq!(world.ran(1), set(&ids), "what was left behind is fetched again, without a gap");
    assert_eq!(world.settled(0).len(), 150);
}

#[test]
fn a_batch_is_bounded_in_count() {
    let mut world = World::with(2, |settings| settings.batch_count_max = 7);
    let ids = world.dispatch(0, 1, 50);
    world.run(10_000);
    assert_eq!(world.ran(1), set(&ids));
    assert_eq!(world.largest_batch(), 7);
}

#[test]
fn a_batch_is_bounded_in_bytes() {
    let mut world = World::with(2, |settings| settings.batch_bytes_max = 1);
    let ids = world.dispatch(0, 1, 10);
    world.run(10_000);
    assert_eq!(world.ran(1), set(&ids));
    assert_eq!(world.largest_batch(), 1, "a single parcel goes, however large");
}

/// Two routes to shard 2, one with 50 messages and one with 2, both resumed at one moment.
fn crowded(batch_count_max: usize) -> (World, Vec<MessageId>, Vec<MessageId>) {
    let mut world = World::with(3, |settings| {
        (settings.batch_count_max, settings.batches_under_way_count_max) = (batch_count_max, 1);
    });
    for from in [0, 1] {
        world.command(Command::Pause(route(from, 2)));
    }
    let (many, few) = (world.dispatch(0, 2, 50), world.dispatch(1, 2, 2));
    world.run(1_000);
    for from in [0, 1] {
        world.give(Input::Command { ticket: Ticket(1), command: Command::Resume(route(from, 2)) });
    }
    world.run(5_000);
    (world, many, few)
}

#[test]
fn routes_to_one_shard_share_its_batches() {
    let (world, many, few) = crowded(4);
    let (_, first) = world.batches.iter().find(|(shard, _)| *shard == ShardId(2)).unwrap();
    let of = |ids: &[MessageId]| first.iter().filter(|id| ids.contains(id)).count();
    assert_eq!((of(&many), of(&few)), (2, 2));
    assert_eq!(world.ran(2).len(), 52);
}

#[test]
fn routes_to_one_shard_take_turns_when_a_batch_is_too_small_for_all() {
    let (world, _, few) = crowded(1);
    let handed = &world.shards[&ShardId(2)].handed;
    let last_of_few = handed.iter().rposition(|id| few.contains(id)).unwrap();
    assert!(last_of_few < 4, "two messages of one route wait behind {last_of_few} of another");
    assert_eq!(world.ran(2).len(), 52);
}

#[test]
fn ended_messages_are_forgotten_oldest_first() {
    let mut world = World::with(2, |settings| settings.ended_count_max = 5);
    world.shard(1).terse = true;
    let ids = world.dispatch(0, 1, 20);
    world.run(10_000);
    assert_eq!(world.ran(1), set(&ids));
    assert_eq!(world.store.count(spaces::RECORDS), 5);
    assert_eq!(world.store.count(spaces::MESSAGES), 5);
    assert_eq!(world.store.count(spaces::ENDED), 5);
    assert!(trace(&world.store, ids[0]).is_none() && trace(&world.store, ids[19]).is_some());
}

// Pause.

#[test]
fn pause_stops_the_new_and_loses_nothing_in_flight() {
    let mut world = World::new(2);
    world.shard(1).terse = true;
    let ids = world.dispatch(0, 1, 3);
    while world.ran(1).is_empty() {
        world.step();
    }
    // They ran; their deliveries are not yet known here. Pause, and say more.
    world.command(Command::Pause(route(0, 1)));
    let later = world.dispatch(0, 1, 3);
    world.run(30_000);
    assert_eq!(world.settled(0), set(&ids), "what was under way went to its end");
    assert_eq!(world.ran(1), set(&ids), "nothing new was sent");
    assert!(
        later.iter().all(|id| trace(&world.store, *id).unwrap().life == Life::Out),
        "the new is taken in and waits"
    );
    world.reopen();
    world.run(30_000);
    assert_eq!(world.ran(1), set(&ids), "a pause outlives a restart");
    world.command(Command::Resume(route(0, 1)));
    world.run(30_000);
    assert_eq!(world.settled(0), &set(&ids) | &set(&later));
}

#[test]
fn a_route_that_is_not_there_is_not_paused() {
    let mut world = World::new(2);
    let result = Err(CommandError::NoRoute { route: route(0, 9) });
    assert_eq!(world.command(Command::Pause(route(0, 9))), Reply::Commanded { ticket: Ticket(1), result });
}

// What is handed in, and what is forged.

#[test]
fn a_receipt_handed_in_twice_is_taken_in_once() {
    let mut world = World::new(2);
    let ids = world.dispatch(0, 1, 1);
    let block = at(1, 1);
    world.run(1_000);
    let receipt = world.receipt(0, block);
    let carried = world.check(receipt);
    for _ in 0..2 {
        world.give(Input::Submit { ticket: Ticket(5), carried: carried.clone() });
        world.step();
        let result = Ok(Submission::Duplicate(ids[0]));
        assert_eq!(world.replies.pop().unwrap(), Reply::Submitted { ticket: Ticket(5), result });
    }
    let mut fresh = World::new(2);
    for expected in [Submission::Accepted(ids[0]), Submission::Duplicate(ids[0])] {
        fresh.give(Input::Submit { ticket: Ticket(5), carried: carried.clone() });
        fresh.step();
        assert_eq!(fresh.replies.pop().unwrap(), Reply::Submitted { ticket: Ticket(5), result: Ok(expected) });
    }
    fresh.run(1_000);
    assert_eq!(fresh.ran(1), set(&ids));
}

#[test]
fn a_vote_handed_in_is_refused() {
    let mut world = World::new(2);
    world.shard(0).say(vec![Leaf { kind: LeafKind::Vote, body: vec![1] }]);
    let carried = world.check(world.shards[&ShardId(0)].last_receipt());
    world.give(Input::Submit { ticket: Ticket(5), carried });
    world.step();
    let reply = world.replies.pop().unwrap();
    assert!(matches!(reply, Reply::Submitted { result: Err(SubmitError::Leaf(_)), .. }));
}

#[test]
fn a_receipt_for_a_full_lane_is_refused_for_now() {
    let mut world = World::with(2, |settings| settings.queue_count_max = 2);
    world.command(Command::Pause(route(0, 1)));
    world.dispatch(0, 1, 3);
    world.run(1_000);
    let carried = world.check(world.receipt(0, at(3, 1)));
    world.give(Input::Submit { ticket: Ticket(5), carried });
    world.step();
    let full = SubmitError::Full { from: ShardId(0), to: ShardId(1) };
    assert_eq!(world.replies.pop().unwrap(), Reply::Submitted { ticket: Ticket(5), result: Err(full) });
}

#[test]
fn a_delivery_reported_by_another_shard_ends_nothing() {
    // Shard 2 says of a message for shard 1 that it was for itself, and has expired.
    for before in [true, false] {
        let mut world = World::new(3);
        world.command(Command::Pause(route(0, 1)));
        let message = world.shard(0).message(ShardId(1), b"hello");
        let say = |world: &mut World| {
            world.shard(0).say(vec![Leaf { kind: LeafKind::Message, body: message.to_bytes() }]);
            world.run(1_000);
        };
        let lie = |world: &mut World| {
            let mut delivery = Delivery::of(&message, DeliveryStatus::Expired, &[], 0);
            delivery.destination = domain_of(NETWORK, ShardId(2));
            world.shard(2).say(vec![Leaf { kind: LeafKind::Delivery, body: delivery.to_bytes() }]);
            world.run(1_000);
        };
        if before {
            lie(&mut world);
            say(&mut world);
        } else {
            say(&mut world);
            lie(&mut world);
        }
        world.command(Command::Resume(route(0, 1)));
        world.run(10_000);
        assert_eq!(world.ran(1), set(&[message.id()]), "the message is delivered all the same");
        assert_eq!(trace(&world.store, message.id()).unwrap().status, Some(DeliveryStatus::Delivered));
    }
}

#[test]
fn a_page_out_of_order_is_refused_whole_and_asked_for_again() {
    let mut world = World::new(2);
    let ids = world.dispatch(0, 1, 3);
    let leaves = [3, 1].map(|height| world.check(world.receipt(0, at(height, 1)))).to_vec();
    let next = at(9, 0);
    world.give(Input::Page { shard: ShardId(0), from: Cursor::START, leaves, next, head: Height(9) });
    world.step();
    assert_eq!(world.store.count(spaces::RECORDS), 0);
    assert!(routes(&world.store).iter().any(|status| status.last_error.contains("not in order")));
    world.run(5_000);
    assert_eq!(world.ran(1), set(&ids));
}

#[test]
fn an_old_page_given_again_changes_nothing() {
    let mut world = World::new(2);
    let ids = world.dispatch(0, 1, 3);
    world.run(1_000);
    let before = world.store.clone();
    let leaves = (1..=3).map(|height| world.check(world.receipt(0, at(height, 1))));
    let leaves = leaves.collect();
    let next = at(4, 0);
    world.give(Input::Page { shard: ShardId(0), from: Cursor::START, leaves, next, head: Height(9) });
    world.step();
    assert_eq!(world.store, before);
    assert_eq!(world.shard(1).handed.len(), ids.len());
}

#[test]
fn a_shard_that_lost_blocks_is_not_read_until_it_has_them_again_and_nothing_is_skipped() {
    let mut world = World::new(2);
    let first = world.dispatch(0, 1, 3);
    world.run(1_000);
    let lost = world.shard(0).lose(2);
    world.run(1_000);
    let said = routes(&world.store);
    assert!(
        said.iter().any(|status| status.last_error.contains("is at block 1, but was read up to block 3")),
        "{said:?}"
    );
    world.shard(0).find(lost);
    let later = world.dispatch(0, 1, 2);
    world.run(5_000);
    assert_eq!(world.ran(1), set(&[first, later].concat()));
    assert!(routes(&world.store).iter().all(|status| status.last_error.is_empty()));
}

#[test]
fn blocks_made_again_below_a_cursor_are_not_passed_over() {
    let mut world = World::new(2);
    world.dispatch(0, 1, 3);
    world.run(1_000);
    let before = routes(&world.store);
    world.shard(0).lose(2);
    world.dispatch(0, 1, 1);
    world.run(1_000);
    let cursors = |routes: &[dovetail_relay::RouteStatus]| routes.iter().map(|route| route.cursor).collect::<Vec<_>>();
    assert_eq!(cursors(&routes(&world.store)), cursors(&before), "the cursor waits where it was");
    assert!(world.beyond.contains(&ShardId(0)), "and the host is told");
}
