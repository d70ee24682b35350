//! How many Worlds start, commit one transaction and end in a second.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "it measures, and stops at what it did not expect")]

#[path = "../tests/users/mod.rs"]
mod users;

use dovetail_world::{Plan, World};
use evm::Placement;
use primitives::Millis;
use std::time::Instant;

fn main() {
    for (shards, worlds) in [(1, 2000), (3, 1000), (4, 1000), (16, 300), (64, 60)] {
        let plan = || {
            let placement = Placement::new(1, shards, users::spread(shards)).unwrap();
            let mut genesis = users::genesis(shards);
            genesis.retain(|address, _| (0..4).any(|seed| users::user(seed).address() == *address));
            Plan::new(users::params(), placement, genesis)
        };
        let plan = plan();
        let mut world = World::start(plan.clone()).unwrap();
        let payload = users::transfer(&world, 0, users::user(1).address(), users::ETHER, 0);
        world.submit(0, payload.clone()).unwrap();
        let begun = Instant::now();
        for _ in 0..worlds {
            World::start(plan.clone()).unwrap();
        }
        let started = begun.elapsed() / worlds;
        let (begun, mut steps) = (Instant::now(), 0);
        for _ in 0..worlds {
            let mut world = World::start(plan.clone()).unwrap();
            let ticket = world.submit(0, payload.clone()).unwrap();
            assert!(world.run_quiet(world.now().after(Millis(60_000))));
            assert!(world.end(ticket).unwrap().is_ok());
            steps += world.steps();
        }
        let each = begun.elapsed() / worlds;
        println!(
            "shards={shards}: start {started:?}, start and commit {each:?}, {} steps, {:.0} worlds/s",
            steps / u64::from(worlds),
            1.0 / each.as_secs_f64()
        );
    }
}
