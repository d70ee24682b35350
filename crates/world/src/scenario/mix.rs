//! A seed's run: a network, its faults, its work; healed, brought to rest, and checked.

use super::town::{Town, town};
use super::work::Work;
use crate::faults::{Counts, Faults, Kind};
use crate::world::World;
use crate::{Dice, Plan, Roots, Span, StartError, Story, Tally, Ticket, Violation, Watch};
use primitives::{Digest, Millis};
use shard::queries;
use std::collections::BTreeMap;

/// Coordinators of a mix.
const COORDINATORS_COUNT: usize = 2;

/// Relays of a mix.
const RELAYS_COUNT: usize = 2;

/// How often several users submit at once.
const TOGETHER_PER_MILLION: u32 = 150_000;

/// How long a healed network may take to come to rest.
const REST_MAX: Millis = Millis(15 * 60_000);

/// How long faults go on after the last submission.
const LINGER: Millis = Millis(5_000);

/// Steps after which a run is taken for one that never ends.
const STEPS_COUNT_MAX: u64 = 400_000;

/// What a run is, beside its seed.
#[derive(Debug, Clone)]
pub struct Options {
    /// What goes wrong; none for what the seed draws.
    pub faults: Option<Faults>,
    /// Whether it is told.
    pub story: Story,
    /// The rule that is broken.
    #[cfg(feature = "twins")]
    pub twin: Option<commit::Twin>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            faults: None,
            story: Story::Silent,
            #[cfg(feature = "twins")]
            twin: None,
        }
    }
}

/// How a run went.
#[derive(Debug)]
pub struct Report {
    /// Which.
    pub seed: u64,
    /// Of every event and write.
    pub digest: Digest,
    /// What did not hold: the first ends the run.
    pub violations: Vec<Violation>,
    /// Which faults struck.
    pub counts: Counts,
    /// Which were enabled.
    pub enabled: Vec<Kind>,
    /// What shards did.
    pub tally: Tally,
    /// Submissions that clients heard to be committed, refused, and heard nothing more of.
    pub told: [u64; 3],
    /// Messages refunded, and delivered.
    pub messages: (u64, u64),
    /// How long it was, in its own time.
    pub length: Millis,
    /// How many steps machines made.
    pub steps: u64,
    /// What was told, if it was kept.
    pub story: Vec<String>,
}

/// Runs one seed.
///
/// # Errors
/// [`StartError`], which is a bug of the scenario.
///
/// # Panics
/// If a machine does: its checks of itself are part of the run.
pub fn run(seed: u64, options: &Options) -> Result<Report, StartError> {
    let town = town();
    let mut dice = Dice::new(seed).fork(100);
    let faults = options.faults.clone().unwrap_or_else(|| Faults::drawn(&mut dice.fork(1)));
    let enabled: Vec<Kind> = faults.kinds().collect();
    let world = World::start(plan(seed, town, faults, options, &mut dice))?;
    let mut run = Run { world, town, dice, tickets: BTreeMap::new() };
    run.work();
    run.rest();
    Ok(run.report(seed, enabled))
}

fn plan(seed: u64, town: &Town, faults: Faults, options: &Options, dice: &mut Dice) -> Plan {
    let sync = if dice.chance(800_000) { Span::between(0, dice.between(1, 30)) } else { Span::of(0) };
    Plan {
        coordinators: COORDINATORS_COUNT,
        relays: RELAYS_COUNT,
        seed,
        faults,
        latency: Span::between(1, dice.between(1, 40)),
        sync,
        relay_poll: Millis(dice.between(100, 2_000)),
        roots: if dice.chance(500_000) { Roots::Advanced } else { Roots::Left },
        bodies_kept: dice.chance(800_000).then(|| Millis(dice.between(200, 3_000))),
        checks: Watch::Batches,
        story: options.story,
        #[cfg(feature = "twins")]
        twin: options.twin,
        ..Plan::new(town.params.clone(), town.placement.clone(), town.genesis.clone())
    }
}

struct Run {
    world: World,
    town: &'static Town,
    dice: Dice,
    /// Who submitted what is pending, and how many nonces it takes.
    tickets: BTreeMap<Ticket, (usize, u64)>,
}

impl Run {
    /// Whether nothing is wrong yet.
    fn goes_on(&self) -> bool {
        self.world.violations().is_empty() && self.world.steps() < STEPS_COUNT_MAX
    }

    /// Users submit, in waves and with pauses.
    fn work(&mut self) {
        let submissions = self.dice.between(10, 40);
        let pause_max = [5, 100, 1_000][self.dice.below(3) as usize];
        for _ in 0..submissions {
            if !self.goes_on() {
                return;
            }
            let pause = if self.dice.chance(50_000) { self.dice.below(12_000) } else { self.dice.below(pause_max) };
            self.wait(Millis(pause));
            if self.dice.chance(TOGETHER_PER_MILLION) {
                self.submit_together();
            } else {
                self.submit();
            }
        }
        self.wait(LINGER);
    }

    fn wait(&mut self, length: Millis) {
        let limit = self.world.now().after(length);
        self.world.run_until(limit, |world| !world.violations().is_empty() || world.steps() >= STEPS_COUNT_MAX);
    }

    fn submit(&mut self) {
        let from = self.dice.below(self.town.users.len() as u64) as usize;
        let work = Work::drawn(&mut self.dice, self.town);
        let ahead = self.pending_nonces(from);
        if ahead > 0 && self.dice.chance(700_000) {
            return; // Most wait for their last to end.
        }
        let nonce = self.nonce(from) + ahead;
        let payload = work.payload(&self.world, self.town, from, nonce);
        let coordinator = self.dice.below(COORDINATORS_COUNT as u64) as usize;
        self.hand_in(coordinator, from, work, payload.clone());
        if self.dice.chance(80_000) {
            // The same to another coordinator: they race.
            self.hand_in((coordinator + 1) % COORDINATORS_COUNT, from, work, payload);
        }
    }

    /// Several users want the same of one coordinator at once: it may put it into one attempt.
    fn submit_together(&mut self) {
        let work = Work::drawn_for_many(&mut self.dice, self.town);
        let coordinator = self.dice.below(COORDINATORS_COUNT as u64) as usize;
        for from in 0..self.town.users.len() {
            let ahead = self.pending_nonces(from);
            if self.dice.chance(300_000) || (ahead > 0 && self.dice.chance(700_000)) {
                continue;
            }
            let payload = work.payload(&self.world, self.town, from, self.nonce(from) + ahead);
            self.hand_in(coordinator, from, work, payload);
        }
    }

    fn hand_in(&mut self, coordinator: usize, from: usize, work: Work, payload: evm::Payload) {
        if let Ok(ticket) = self.world.submit(coordinator, payload) {
            self.tickets.insert(ticket, (from, work.transactions_count()));
        }
    }

    fn nonce(&self, from: usize) -> u64 {
        let address = self.town.users[from].address;
        let store = self.world.shard(self.town.placement.shard_of(address)).store();
        queries::account(store, address).map_or(0, |account| account.nonce)
    }

    fn pending_nonces(&self, from: usize) -> u64 {
        let mine = self.tickets.iter().filter(|(ticket, (of, _))| {
            *of == from && self.world.end(**ticket).is_none() && !self.world.is_lost(**ticket)
        });
        mine.map(|(_, (_, nonces))| *nonces).sum()
    }

    /// Faults end, and everything must come to its end (I6).
    fn rest(&mut self) {
        if !self.world.violations().is_empty() {
            return;
        }
        if self.world.steps() >= STEPS_COUNT_MAX {
            return self.world.check_stuck();
        }
        self.world.heal();
        let limit = self.world.now().after(REST_MAX);
        self.world.run_until(limit, |world| {
            world.is_quiet() || !world.violations().is_empty() || world.steps() >= STEPS_COUNT_MAX
        });
        if !self.world.violations().is_empty() {
            return;
        }
        if self.world.is_quiet() {
            self.world.check_end();
        } else {
            self.world.check_stuck();
        }
    }

    fn report(self, seed: u64, enabled: Vec<Kind>) -> Report {
        let world = self.world;
        let mut told = [0; 3];
        for ticket in self.tickets.keys() {
            let place = match world.end(*ticket) {
                Some(Ok(_)) => 0,
                Some(Err(_)) => 1,
                None => 2,
            };
            told[place] += 1;
        }
        Report {
            seed,
            digest: world.digest(),
            violations: world.violations().to_vec(),
            counts: world.counts().clone(),
            enabled,
            tally: world.tally(),
            told,
            messages: world.messages_ended(),
            length: world.now().since(crate::START),
            steps: world.steps(),
            story: world.story().to_vec(),
        }
    }
}
