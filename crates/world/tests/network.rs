//! A network without faults: what is submitted ends, and all shards together hold what one EVM would.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod users;

use alloy_primitives::{Address, U256};
use dovetail_world::{Plan, World};
use evm::Placement;
use primitives::{Millis, ShardId};
use users::{ETHER, genesis, params, transfer, user};

fn plan(shards: u32) -> Plan {
    let placement = Placement::new(1, shards, users::spread(shards)).unwrap();
    Plan::new(params(), placement, genesis(shards))
}

fn run(world: &mut World) {
    let limit = world.now().after(Millis(120_000));
    assert!(world.run_quiet(limit), "it comes to rest");
}

#[test]
fn a_transfer_between_two_shards_commits_on_both() {
    let mut world = World::start(plan(3)).unwrap();
    let payload = transfer(&world, 0, user(1).address(), ETHER, 0);
    let ticket = world.submit(0, payload).unwrap();
    run(&mut world);
    let committed = world.end(ticket).unwrap().as_ref().unwrap();
    assert_eq!(committed.participants, [ShardId(0), ShardId(1)].into());
    assert_eq!(world.state().accounts[&user(1).address()].balance, ETHER * U256::from(101));
}

#[test]
fn a_transfer_within_one_shard_takes_no_vote() {
    let mut world = World::start(plan(1)).unwrap();
    let payload = transfer(&world, 0, user(1).address(), ETHER, 0);
    let ticket = world.submit(0, payload).unwrap();
    run(&mut world);
    assert!(world.end(ticket).unwrap().as_ref().unwrap().proof.is_none());
}

#[test]
fn an_impossible_transaction_is_refused() {
    let mut world = World::start(plan(2)).unwrap();
    let payload = transfer(&world, 0, user(1).address(), ETHER * U256::from(1000), 0);
    let ticket = world.submit(0, payload).unwrap();
    run(&mut world);
    assert!(world.end(ticket).unwrap().is_err());
    assert_eq!(world.state().accounts[&user(0).address()].balance, ETHER * U256::from(100));
}

#[test]
fn one_seed_has_one_run() {
    let digest = |seed| {
        let latency = dovetail_world::Span::between(1, 20);
        let mut world = World::start(Plan { seed, latency, ..plan(3) }).unwrap();
        for from in 0..3 {
            let payload = transfer(&world, from, user((from + 1) % 3).address(), ETHER, 0);
            world.submit(0, payload).unwrap();
        }
        run(&mut world);
        world.digest()
    };
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
}

#[test]
fn sixty_four_shards_are_not_too_many() {
    let mut world = World::start(plan(64)).unwrap();
    let payload = transfer(&world, 5, Address::repeat_byte(9), ETHER, 0);
    let ticket = world.submit(0, payload).unwrap();
    run(&mut world);
    assert!(world.end(ticket).unwrap().is_ok());
}

#[test]
fn a_shard_that_starts_again_goes_on_where_its_disk_is() {
    let mut world = World::start(plan(2)).unwrap();
    let payload = transfer(&world, 0, user(1).address(), ETHER, 0);
    let ticket = world.submit(0, payload).unwrap();
    let limit = world.now().after(Millis(120_000));
    assert!(world.run_until(limit, |world| world.shard(ShardId(0)).machine().unwrap().live_count() == 1));
    world.crash(dovetail_world::Party::Shard(ShardId(0)));
    world.run_for(Millis(500));
    world.restart(dovetail_world::Party::Shard(ShardId(0))).unwrap();
    run(&mut world);
    assert!(world.end(ticket).unwrap().is_ok());
}
