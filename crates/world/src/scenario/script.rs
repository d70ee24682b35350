//! Fixed scenarios of a few transactions, each with what must have become of it.

use super::town::{Town, town};
use super::work::{Library, Work};
use crate::faults::{CrashPoint, Faults};
use crate::world::World;
use crate::{Party, Plan, Roots, Span, StartError, Ticket, Watch};
use primitives::{Millis, ShardId};

/// How long a script may take to come to rest: attempts, their deadlines, questions, and a message that expires.
const REST_MAX: Millis = Millis(10 * 60_000);

/// A scenario.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// What it is called.
    pub name: &'static str,
    /// What happens in it.
    act: fn(&mut Play),
}

/// Every scenario.
pub const SCRIPTS: &[Script] = &[
    Script { name: "a transfer within a shard", act: |play| play.submit(0, Work::Transfer { to: 3 }) },
    Script { name: "a transfer over two shards", act: |play| play.submit(0, Work::Transfer { to: 1 }) },
    Script { name: "a swap over three shards", act: |play| play.submit(0, Work::Swap { token: 0 }) },
    Script { name: "a revert over two shards", act: |play| play.submit(0, Work::Fail { counter: 1 }) },
    Script { name: "a revert that reads another shard", act: |play| play.submit(0, Work::Haggle { token: 1 }) },
    Script { name: "a bundle over three shards", act: |play| play.submit(0, Work::Bundle { to: [1, 2] }) },
    Script { name: "a bundle that fails", act: |play| play.submit(0, Work::FailingBundle { to: 1 }) },
    Script { name: "re-entrancy over two shards", act: |play| play.submit(2, Work::Bounce { caller: 0, depth: 3 }) },
    Script {
        name: "a library that is there, proven and borrowed",
        act: |play| {
            play.submit(0, Work::Transfer { to: 1 });
            play.rest();
            play.submit(2, Work::Borrow { borrower: 2, library: Library::Founded(0) });
        },
    },
    Script {
        name: "a library that is deployed and borrowed",
        act: |play| {
            play.submit(0, Work::Deploy);
            play.rest();
            play.submit(1, Work::Borrow { borrower: 2, library: Library::Made { by: 0, nonce: 0 } });
        },
    },
    Script {
        name: "two swaps that conflict, of two coordinators",
        act: |play| {
            play.submit_to(0, 0, Work::Swap { token: 0 });
            play.submit_to(1, 1, Work::Swap { token: 1 });
        },
    },
    Script {
        name: "one transaction, two coordinators",
        act: |play| {
            play.submit_to(0, 0, Work::Transfer { to: 1 });
            play.submit_to(1, 0, Work::Transfer { to: 1 });
        },
    },
    Script {
        name: "a message that is delivered",
        act: |play| play.submit(0, Work::Message { from: 0, to: 1, patience: 300_000 }),
    },
    Script {
        name: "a message that is refused and refunded",
        act: |play| {
            play.submit(1, Work::Refuse { pong: 1, refuses: true });
            play.rest();
            play.submit(0, Work::Message { from: 0, to: 1, patience: 300_000 });
        },
    },
    Script {
        name: "a message that expires",
        act: |play| {
            play.world.crash(Party::Shard(ShardId(1)));
            play.submit(0, Work::Message { from: 0, to: 1, patience: 1_000 });
            play.world.run_for(Millis(3_000));
            play.restart(Party::Shard(ShardId(1)));
        },
    },
    Script {
        name: "a refund that follows its sender home",
        act: |play| {
            play.submit(2, Work::Refuse { pong: 2, refuses: true });
            play.rest();
            play.submit(0, Work::Letter { through: 1, to: 2, patience: 300_000 });
        },
    },
    Script {
        name: "a coordinator that dies with the votes",
        act: |play| {
            play.submit(0, Work::Swap { token: 0 });
            let limit = play.world.now().after(Millis(10_000));
            play.world.run_until(limit, |world| (0..3).filter(|shard| has_live(world, ShardId(*shard))).count() >= 2);
            play.world.crash(Party::Coordinator(0));
            play.world.run_for(Millis(60_000));
            play.restart(Party::Coordinator(0));
        },
    },
];

fn has_live(world: &World, shard: ShardId) -> bool {
    world.shard(shard).machine().is_some_and(|machine| machine.live_count() > 0)
}

/// A scenario under way.
#[derive(Debug)]
pub struct Play {
    /// Where it plays.
    pub world: World,
    town: &'static Town,
    /// What was submitted.
    pub tickets: Vec<Ticket>,
}

impl Script {
    /// Plays it, with this crash or none, to its end and its checks.
    ///
    /// # Errors
    /// [`StartError`], which is a bug of the scenario.
    pub fn play(&self, crash: Option<CrashPoint>) -> Result<Play, StartError> {
        let town = town();
        let plan = Plan {
            coordinators: 2,
            relays: 1,
            faults: Faults::crashing(crash),
            latency: Span::of(2),
            roots: Roots::Advanced,
            checks: Watch::Batches,
            ..Plan::new(town.params.clone(), town.placement.clone(), town.genesis.clone())
        };
        let mut stage = Play { world: World::start(plan)?, town, tickets: Vec::new() };
        (self.act)(&mut stage);
        if stage.rest() {
            stage.world.check_end();
        } else {
            stage.world.check_stuck();
        }
        Ok(stage)
    }
}

impl Play {
    /// Hands work of user `from` to the first coordinator.
    fn submit(&mut self, from: usize, work: Work) {
        self.submit_to(0, from, work);
    }

    fn submit_to(&mut self, coordinator: usize, from: usize, work: Work) {
        let address = self.town.users[from].address;
        let store = self.world.shard(self.town.placement.shard_of(address)).store();
        let nonce = shard::queries::account(store, address).map_or(0, |account| account.nonce);
        let payload = work.payload(&self.world, self.town, from, nonce);
        if let Ok(ticket) = self.world.submit(coordinator, payload) {
            self.tickets.push(ticket);
        }
    }

    /// Runs until nothing is left to do.
    fn rest(&mut self) -> bool {
        let limit = self.world.now().after(REST_MAX);
        self.world.run_until(limit, |world| world.is_quiet() || !world.violations().is_empty());
        self.world.is_quiet()
    }

    fn restart(&mut self, party: Party) {
        let restarted = self.world.restart(party);
        assert!(restarted.is_ok(), "{party} does not open: {restarted:?}");
    }
}
