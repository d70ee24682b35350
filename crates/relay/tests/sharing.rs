//! What several relays that share the routes promise, as sentences, on virtual time.

#![allow(clippy::unwrap_used, reason = "a test says by panicking")]

#[allow(dead_code, reason = "shared with `carrying`")]
mod world;

use dovetail_relay::{Input, Life, Share, trace};
use primitives::{ShardId, Time};
use proof::MessageId;
use std::collections::{BTreeMap, BTreeSet};
use world::{Mood, START, Shard, World};

/// How much time passes between two rounds: an answer takes one.
const ROUND_MS: u64 = 10;

/// How a relay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Runs,
    /// As by SIGSTOP: it goes on where it was.
    Stopped,
    /// As by SIGKILL.
    Dead,
}

/// Several relays over the same shards.
struct Crew {
    now: Time,
    shards: BTreeMap<ShardId, Shard>,
    relays: Vec<(World, State, Time)>,
    dispatched: u32,
}

impl Crew {
    fn new(shards: u32, relays: u32) -> Self {
        let relay = |place| World::with(shards, |settings| settings.share = Share::new(place, relays).unwrap());
        let mut relays: Vec<_> = (0..relays).map(|place| (relay(place), State::Runs, START)).collect();
        let shards = std::mem::take(&mut relays[0].0.shards);
        Self { now: START, shards, relays, dispatched: 0 }
    }

    /// With its worlds' shards in place, `act` on relay `index`.
    fn on<T>(&mut self, index: usize, act: impl FnOnce(&mut World) -> T) -> T {
        let world = &mut self.relays[index].0;
        world.now = self.now;
        std::mem::swap(&mut world.shards, &mut self.shards);
        let result = act(world);
        std::mem::swap(&mut world.shards, &mut self.shards);
        result
    }

    /// `count` messages, spread over all routes.
    fn dispatch(&mut self, count: u32) -> Vec<MessageId> {
        let shards = self.shards.len() as u32;
        let first = self.dispatched;
        self.dispatched += count;
        let ids = (first..first + count).flat_map(|n| {
            let (from, to) = (n % shards, n / shards % shards);
            self.on(0, |world| world.dispatch(from, to, 1))
        });
        ids.collect()
    }

    /// Lets `millis` pass, with `each` message dispatched in every round.
    fn run(&mut self, millis: u64, each: u32) -> Vec<MessageId> {
        let mut ids = Vec::new();
        for _ in 0..millis / ROUND_MS {
            self.now.0 += ROUND_MS;
            let heads: Vec<_> = self.shards.values().map(Shard::head).collect();
            for index in 0..self.relays.len() {
                let (_, state, wake) = self.relays[index];
                if state == State::Runs {
                    let next = self.on(index, |world| {
                        let due = wake <= world.now || world.has_inputs();
                        due.then(|| world.step().unwrap_or(Time(u64::MAX)))
                    });
                    self.relays[index].2 = next.unwrap_or(wake);
                }
            }
            ids.extend(self.dispatch(each));
            let moved: Vec<_> = self.shards.values().zip(heads).filter(|(shard, head)| shard.head() != *head).collect();
            for shard in moved.into_iter().map(|(shard, _)| shard.id) {
                self.relays.iter_mut().for_each(|(world, _, _)| world.give(Input::News { shard }));
            }
        }
        ids
    }

    fn set(&mut self, index: usize, state: State) {
        self.relays[index].1 = state;
    }

    /// Opens a relay on the store it has.
    fn reopen(&mut self, index: usize) {
        let now = self.now;
        let (world, state, wake) = &mut self.relays[index];
        world.reopen();
        (*state, *wake) = (State::Runs, now);
    }

    /// Every receipt that was handed over, and how many of them for nothing.
    fn handed_over(&self) -> (usize, usize) {
        let count = |count: fn(&World) -> usize| self.relays.iter().map(|(world, _, _)| count(world)).sum();
        (count(|world| world.handed_over), count(|world| world.redundant))
    }

    fn settled(&self) -> BTreeSet<MessageId> {
        self.shards.values().flat_map(|shard| shard.settled.keys().copied()).collect()
    }

    /// Until all of `ids` are settled; how long it took.
    fn run_until_settled(&mut self, ids: &[MessageId], millis_max: u64) -> u64 {
        let start = self.now.0;
        while !ids.iter().all(|id| self.shards.values().any(|shard| shard.settled.contains_key(id))) {
            assert!(self.now.0 < start + millis_max, "not settled after {millis_max} ms");
            self.run(ROUND_MS, 0);
        }
        self.now.0 - start
    }

    /// Which relay carries messages from shard 0 to shard 1.
    fn first(&self) -> usize {
        let route = dovetail_relay::Route { source: ShardId(0), destination: ShardId(1) };
        let of = self.relays.len() as u32;
        (0..of).find(|place| Share::new(*place, of).unwrap().rank(route) == 0).unwrap() as usize
    }
}

#[test]
fn relays_that_are_alive_hand_over_nearly_nothing_twice() {
    for relays in [2, 3] {
        let mut crew = Crew::new(4, relays);
        let ids = crew.run(8_000, 1);
        crew.run_until_settled(&ids, 60_000);
        let (handed, redundant) = crew.handed_over();
        assert!(handed >= 2 * ids.len(), "each message and each delivery was handed over: {handed}");
        assert!(redundant * 100 < handed, "{redundant} of {handed} were redundant with {relays} relays");
        assert!(crew.shards.values().all(|shard| shard.ran.values().all(|count| *count == 1)));
    }
}

#[test]
fn relays_that_cannot_keep_up_take_nothing_over_from_each_other() {
    let mut crew = Crew::new(4, 2);
    // More than batches of 64 and a round of 10 ms carry: a backlog of seconds.
    let ids = crew.dispatch(3_000);
    crew.run_until_settled(&ids, 120_000);
    let (handed, redundant) = crew.handed_over();
    assert!(redundant * 100 < handed, "{redundant} of {handed} were redundant");
}

#[test]
fn a_relay_that_dies_is_replaced_within_seconds_and_takes_its_routes_back() {
    for state in [State::Dead, State::Stopped] {
        let mut crew = Crew::new(2, 2);
        let before = crew.run(5_000, 1);
        crew.run_until_settled(&before, 5_000);
        let first = crew.first();
        crew.set(first, state);
        let ids = crew.on(0, |world| world.dispatch(0, 1, 20));
        let took = crew.run_until_settled(&ids, 30_000);
        assert!(took <= 6_000, "the messages of a relay that is {state:?} took {took} ms");
        // The substitute goes on without waiting.
        let ids = crew.on(0, |world| world.dispatch(0, 1, 20));
        let took = crew.run_until_settled(&ids, 30_000);
        assert!(took <= 500, "and the next ones {took} ms");
        let other = 1 - first;
        assert!(crew.relays[other].0.takeovers > 0);
        // It comes back, with all that was said meanwhile unread.
        let meanwhile = crew.run(20_000, 1);
        let (_, redundant) = crew.handed_over();
        if state == State::Dead {
            crew.reopen(first);
        } else {
            crew.set(first, State::Runs);
        }
        let after = crew.run(30_000, 1);
        crew.run_until_settled(&[meanwhile, after].concat(), 10_000);
        let (_, now_redundant) = crew.handed_over();
        assert!(now_redundant - redundant < 60, "{} for nothing when it came back", now_redundant - redundant);
    }
}

#[test]
fn of_three_relays_two_may_die() {
    let mut crew = Crew::new(2, 3);
    let ids = crew.run(3_000, 1);
    crew.run_until_settled(&ids, 5_000);
    for dead in [0, 1] {
        crew.set(dead, State::Dead);
        let ids = crew.run(2_000, 1);
        let took = crew.run_until_settled(&ids, 30_000);
        assert!(took <= 10_000, "{took} ms after relay {dead} died");
    }
    assert_eq!(crew.settled().len(), crew.dispatched as usize);
}

#[test]
fn a_relay_that_lost_its_folder_sends_no_history_again_and_carries_the_new_first() {
    let mut crew = Crew::new(2, 1);
    let history = crew.dispatch(2_000);
    crew.run_until_settled(&history, 600_000);
    let (before, _) = crew.handed_over();
    let (world, _, _) = &mut crew.relays[0];
    world.store = world::Store::default();
    crew.reopen(0);
    crew.run(ROUND_MS * 20, 0);
    let ids = crew.dispatch(100);
    let took = crew.run_until_settled(&ids, 60_000);
    assert!(took < 1_000, "the new ones took {took} ms");
    crew.run(60_000, 0);
    let (after, redundant) = crew.handed_over();
    assert_eq!((after - before, redundant), (200, 0), "only what is new is handed over");
    let store = &crew.relays[0].0.store;
    assert!(history.iter().all(|id| trace(store, *id).unwrap().life == Life::Ended), "and every old life is told");
}

#[test]
fn a_relay_killed_while_it_catches_up_leaves_nothing_out() {
    let mut crew = Crew::new(2, 1);
    crew.set(0, State::Dead);
    let ids = crew.run(10_000, 1);
    crew.reopen(0);
    for _ in 0..40 {
        crew.run(ROUND_MS * 3, 0);
        crew.reopen(0);
    }
    crew.run_until_settled(&ids, 120_000);
    assert!(crew.shards.values().all(|shard| shard.ran.values().all(|count| *count == 1)));
}

#[test]
fn a_message_that_one_relay_cannot_deliver_is_taken_over_by_nobody_for_long() {
    let mut crew = Crew::new(2, 2);
    let stuck = crew.on(0, |world| world.dispatch(0, 1, 1));
    crew.shards.get_mut(&ShardId(1)).unwrap().moods.insert(stuck[0], Mood::Refuses);
    let ids = crew.run(60_000, 1);
    crew.run_until_settled(&ids, 5_000);
    let (handed, redundant) = crew.handed_over();
    assert!(redundant * 100 < handed, "{redundant} of {handed} were redundant");
    crew.shards.get_mut(&ShardId(1)).unwrap().moods.clear();
    crew.run_until_settled(&stuck, 61_000);
}

#[test]
fn a_relay_that_carries_all_messages_but_one_keeps_none_back() {
    let mut crew = Crew::new(2, 2);
    let first = crew.first();
    let kept = crew.on(first, |world| {
        let ids = world.dispatch(0, 1, 1);
        world.withheld.extend(&ids);
        ids
    });
    // The route is never silent: each way the one that stands by sees others carried all the while.
    let mut ids = crew.run(40_000, 1);
    assert!(crew.shards[&ShardId(1)].ran.contains_key(&kept[0]), "the message is kept from its destination");
    ids.extend(crew.run(40_000, 1));
    assert!(crew.settled().contains(&kept[0]), "its delivery is kept from its origin");
    crew.run_until_settled(&ids, 5_000);
    let (handed, redundant) = crew.handed_over();
    assert!(redundant * 100 < handed, "{redundant} of {handed} were redundant");
    assert_eq!(crew.relays[1 - first].0.takeovers, 0, "the route stays with the one that carries it");
}
