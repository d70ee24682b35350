//! A block on a network within this process: the machines that serve, carried by [`world::World`] without faults.

use crate::replay::counts::{BlockRun, Committed, Flight, Tally};
use crate::replay::network;
use crate::replay::schedule::Schedule;
use crate::replay::subject::Subject;
use crate::replay::verdict;
use coordinator::{Event, Ticket};
use evm::Placement;
use eyre::{Result, WrapErr, eyre};
use primitives::{Millis, Time};
use std::collections::BTreeMap;
use std::time::Instant;
use world::{Plan, World};

/// How long the network may take to commit anything, in its own time: as long as an attempt lives, and its retries.
const PATIENCE: Millis = Millis(120_000);

/// Replays a block with at most `in_flight` of its payloads at once, and compares.
pub(crate) fn run(subject: &Subject, placement: Placement, in_flight: usize) -> Result<BlockRun> {
    let (block, shards) = (&subject.block, placement.shards_count());
    let plan = Plan::new(block.params(), placement, network::accounts(block.pre_state()));
    let world = World::start(plan).wrap_err("the network does not start")?;
    let mut replay = Replay {
        world,
        schedule: subject.schedule(in_flight),
        open: BTreeMap::new(),
        tally: Tally::new(subject.payloads.len()),
        watch: Watch::default(),
    };
    let started = Instant::now();
    replay.run(subject)?;
    let mut counts = replay.tally.counts;
    (counts.elapsed, counts.flight) = (started.elapsed(), replay.watch.flight);
    let reproduced = verdict::check(block, &replay.tally.outcomes(), &subject.plain, &replay.world.state())?;
    Ok(BlockRun { shards, counts, reproduced })
}

struct Replay {
    world: World,
    schedule: Schedule,
    /// What is in flight, and its place in the block.
    open: BTreeMap<Ticket, usize>,
    tally: Tally,
    watch: Watch,
}

impl Replay {
    fn run(&mut self, subject: &Subject) -> Result<()> {
        while !self.schedule.is_done() {
            while let Some(index) = self.schedule.next() {
                let ticket = self.world.submit(0, subject.payloads[index].clone());
                self.open.insert(ticket.wrap_err_with(|| format!("payload {index} of the block"))?, index);
            }
            self.wait()?;
            self.take_what_ended(subject)?;
        }
        if self.world.run_quiet(self.world.now().after(PATIENCE)) {
            Ok(())
        } else {
            Err(eyre!("the network has not let go of everything {PATIENCE:?} after the block"))
        }
    }

    /// Lets the network run until one in flight has ended.
    fn wait(&mut self) -> Result<()> {
        let Self { world, open, watch, .. } = self;
        let limit = world.now().after(PATIENCE);
        let ended = world.run_until(limit, |world| {
            watch.look(world);
            open.keys().any(|ticket| world.end(*ticket).is_some())
        });
        let Some((ticket, index)) = open.first_key_value().filter(|_| !ended) else { return Ok(()) };
        let last = self.world.events(*ticket).last();
        Err(eyre!("payload {index} of the block has not ended after {PATIENCE:?}; the last of it was {last:?}"))
    }

    fn take_what_ended(&mut self, subject: &Subject) -> Result<()> {
        let ended: Vec<Ticket> = self.open.keys().copied().filter(|ticket| self.world.end(*ticket).is_some()).collect();
        for ticket in ended {
            let Some(index) = self.open.remove(&ticket) else { continue };
            let committed = self.committed(ticket).wrap_err_with(|| format!("payload {index} of the block"))?;
            self.tally.add(index, &subject.payloads[index], committed)?;
            self.schedule.committed(index);
        }
        Ok(())
    }

    fn committed(&self, ticket: Ticket) -> Result<Committed> {
        let is_try = |event: &&Event| matches!(event, Event::Preparing { .. } | Event::SentLocally { .. });
        let tries = self.world.events(ticket).iter().filter(is_try).count();
        match self.world.end(ticket) {
            Some(Ok(committed)) => Ok(Committed {
                outcomes: committed.outcomes.clone(),
                participants: committed.participants.len(),
                proven_codes: committed.proven_codes,
                tries,
            }),
            Some(Err(refusal)) => Err(eyre!("it was refused: {refusal}")),
            None => Err(eyre!("it has not ended")),
        }
    }
}

/// Looks at the coordinator after every event.
#[derive(Debug, Default)]
struct Watch {
    flight: Flight,
    /// How many since when.
    since: Option<(Time, usize)>,
}

impl Watch {
    fn look(&mut self, world: &World) {
        let attempts = world.coordinator(0).machine().map_or(0, coordinator::Coordinator::attempts_count);
        let now = world.now();
        if let Some((then, attempts)) = self.since.filter(|(_, attempts)| *attempts > 0) {
            let millis = now.since(then).0;
            self.flight.millis += millis;
            self.flight.attempt_millis += millis * attempts as u64;
        }
        self.flight.most = self.flight.most.max(attempts);
        self.since = Some((now, attempts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use std::path::{Path, PathBuf};

    /// The block in a file, if the data is here.
    fn subject(number: u64) -> Option<Subject> {
        let data = std::env::var_os("DOVETAIL_DATA").map(PathBuf::from);
        let data = data.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
        let path = data.join("mainnet-blocks").join(format!("{number}.json.zst"));
        if !path.exists() {
            host::say!("skipped: no mainnet-blocks folder; set DOVETAIL_DATA to the folder that has it");
            return None;
        }
        Some(Subject::load(&path).unwrap())
    }

    fn on(subject: &Subject, layout: Layout, in_flight: usize) -> Result<BlockRun> {
        run(subject, layout.placement("here", &subject.addresses())?, in_flight)
    }

    #[test]
    fn a_block_is_the_same_on_one_shard_and_with_every_account_on_its_own() {
        let Some(subject) = subject(19_933_122) else { return };
        let alone = on(&subject, Layout::Hash { shards: 1 }, 1).unwrap();
        let apart = on(&subject, Layout::OwnShard, 1).unwrap();
        assert_eq!(alone.reproduced, apart.reproduced);
        assert_eq!((alone.counts.crossed, alone.counts.retried), (0, 0));
        assert!(apart.counts.crossed > subject.block.transactions_count() / 2 && apart.shards > 16);
    }

    #[test]
    fn with_many_transactions_in_flight_a_block_ends_as_in_order() {
        let Some(subject) = subject(19_933_122) else { return };
        let in_order = on(&subject, Layout::Hash { shards: 4 }, 1).unwrap();
        let at_once = on(&subject, Layout::Hash { shards: 4 }, 16).unwrap();
        assert_eq!(in_order.reproduced, at_once.reproduced);
        assert_eq!(in_order.counts.flight.most, 1);
        assert!(at_once.counts.flight.most > 4 && at_once.counts.flight.mean() > 1.5, "{:?}", at_once.counts.flight);
    }

    #[test]
    fn a_block_whose_file_lacks_a_code_is_reproduced_with_the_code_s_hash_alone() {
        let Some(subject) = subject(25_229_957) else { return };
        let state = subject.block.pre_state();
        let unknown = |hash| !state.codes.contains_key(hash);
        assert!(state.accounts.values().any(|account| account.has_code() && unknown(&account.code_hash)));
        assert!(on(&subject, Layout::Hash { shards: 4 }, 1).unwrap().reproduced.state_root);
    }

    #[test]
    fn what_differs_from_one_plain_evm_is_told() {
        let Some(mut subject) = subject(46_147) else { return };
        subject.plain.outcomes[0].gas_used += 1;
        let error = on(&subject, Layout::Hash { shards: 2 }, 1).unwrap_err();
        let mismatch = error.downcast_ref::<Box<crate::replay::BlockMismatch>>().expect("a mismatch");
        assert!(mismatch.mismatch.is_none() && mismatch.outcome.as_ref().is_some_and(|(index, ..)| *index == 0));
    }

    #[test]
    fn a_block_that_was_cut_short_differs_from_its_header() {
        let Some(mut subject) = subject(46_147) else { return };
        // The reward: what remains has the block's gas and logs, but not its state.
        subject.payloads.remove(1);
        subject.plain.outcomes.remove(1);
        let error = on(&subject, Layout::Hash { shards: 2 }, 1);
        assert!(error.is_err(), "{error:?}");
    }
}
