//! Faults that strike now and then: when, whom, and for how long.
//!
//! Promise: drawn from a stream of its own, so that one seed has the same faults whatever else it does with luck; after
//! [`World::heal`] nothing strikes any more, and whoever is down comes up.

use crate::disk::Damage;
use crate::faults::Kind;
use crate::life::Power;
use crate::node::Node;
use crate::party::Party;
use crate::queue::Event;
use crate::world::{Actor, World};
use coordinator::Coordinator;
use primitives::{Machine, Millis, ShardId, Time};
use relay::Relay;
use shard::Shard;

/// Most twins of coordinators in a run.
const TWINS_COUNT_MAX: usize = 2;

/// How long a dead shard stays down, at least: past the deadline of every attempt it knew, with grace.
const DEAD_MIN: Millis = Millis(12_000);

/// And at most.
const DEAD_MAX: Millis = Millis(40_000);

/// Does one thing to the node of whatever kind of party.
macro_rules! on_node {
    ($world:expr, $party:expr, $node:ident => $do:expr) => {
        match $party {
            Party::Shard(shard) => {
                let $node = &mut $world.shards[shard.0 as usize].node;
                $do;
            }
            Party::Coordinator(index) => {
                let $node = &mut $world.coordinators[index].node;
                $do;
            }
            Party::Relay(index) => {
                let $node = &mut $world.relays[index].node;
                $do;
            }
            Party::Stranger => {}
        }
    };
}
pub(crate) use on_node;

impl World {
    /// Everybody, in order.
    pub(crate) fn parties(&self) -> Vec<Party> {
        let shards = (0..self.shards.len()).map(|shard| Party::Shard(ShardId(shard as u32)));
        let coordinators = (0..self.coordinators.len()).map(Party::Coordinator);
        shards.chain(coordinators).chain((0..self.relays.len()).map(Party::Relay)).collect()
    }

    /// How many batches a party wrote, over all its lives.
    pub(crate) fn batches_of(&self, party: Party) -> u64 {
        match party {
            Party::Shard(shard) => self.shards[shard.0 as usize].batches(),
            Party::Coordinator(index) => self.coordinators[index].batches(),
            Party::Relay(index) => self.relays[index].batches(),
            Party::Stranger => 0,
        }
    }

    /// Has every kind that strikes now and then strike for the first time.
    pub(crate) fn arm(&mut self) {
        let kinds: Vec<(Kind, Millis)> = self.plan.faults.pauses().collect();
        for (kind, pause) in kinds {
            self.arm_again(kind, pause);
        }
    }

    fn arm_again(&mut self, kind: Kind, pause: Millis) {
        let wait = self.chaos_dice.between(1, pause.0.saturating_mul(2).max(1));
        self.queue.push(self.now.after(Millis(wait)), Event::Strike(kind));
    }

    /// How much is in flight: submissions, undecided attempts, messages between contracts.
    pub fn work_in_flight(&self) -> u64 {
        let live = |party: &crate::ShardParty| party.machine().map_or(0, Shard::live_count) as u64;
        let attempts: u64 = self.shards.iter().map(live).sum();
        self.pending.len() as u64 + attempts + self.open_messages.len() as u64
    }

    /// Counts a strike.
    pub(crate) fn struck(&mut self, kind: Kind) {
        let work = self.work_in_flight();
        self.counts.note(kind, work);
        self.tell("***", |_| format!("fault: {} with {work} in flight", kind.name()));
    }

    /// Faults end: links are whole, clocks right, disks well, and who is down comes up soon. The run goes on.
    pub fn heal(&mut self) {
        self.plan.faults.end();
        self.links.heal();
        for index in 0..self.shards.len() {
            if self.shards[index].copies.start() == shard::Start::Unmarked {
                self.kill::<Shard>(index, Power::Kept);
                self.put_newest_back(index);
            }
        }
        for party in self.parties() {
            let mut down = None;
            on_node!(self, party, node => down = node.heal());
            if let Some(life) = down {
                self.queue.push(self.now.after(Millis(1)), Event::Restart(party, life));
            }
        }
        self.tell("***", |_| "faults end".to_owned());
    }

    fn pick_party(&mut self) -> Party {
        let parties = self.parties();
        self.chaos_dice.pick(&parties).copied().unwrap_or(Party::Stranger)
    }

    fn for_a_while(&mut self, least: u64, most: u64) -> Time {
        self.now.after(Millis(self.chaos_dice.between(least, most)))
    }

    /// One strike of `kind`, and the next is armed.
    pub(crate) fn strike(&mut self, kind: Kind) {
        let Some(pause) = self.plan.faults.pause(kind) else { return };
        self.arm_again(kind, pause);
        if self.strike_once(kind) {
            self.struck(kind);
        }
    }

    /// Whether it found somebody to strike.
    fn strike_once(&mut self, kind: Kind) -> bool {
        match kind {
            Kind::OneWayPartition | Kind::Partition | Kind::SlowLink => self.strike_links(kind),
            Kind::Crash | Kind::CrashLoop | Kind::LostUnsynced | Kind::BitFlip | Kind::Misdirected => {
                self.strike_process(kind)
            }
            Kind::DeadShard => self.strike_dead(),
            Kind::Pause => {
                let (party, until) = (self.pick_party(), self.for_a_while(100, 8_000));
                on_node!(self, party, node => node.paused_until = Some(until));
                self.is_up(party)
            }
            Kind::FullDisk => {
                let (party, until) = (self.pick_party(), self.for_a_while(500, 8_000));
                on_node!(self, party, node => node.disk.full_until = Some(until));
                self.is_up(party) && !matches!(party, Party::Relay(_)) // A relay begins nothing new for anybody.
            }
            Kind::DiskStall => {
                let (party, until) = (self.pick_party(), self.for_a_while(500, 5_000));
                on_node!(self, party, node => node.disk.stalled_until = Some(until));
                self.is_up(party)
            }
            Kind::ClockJump | Kind::ClockSkew | Kind::ClockFreeze => self.strike_clock(kind),
            Kind::ClockFarAhead => self.send_clock_far(),
            Kind::TwinCoordinator => self.twin(),
            Kind::LyingCoordinator => self.lie(),
            Kind::Replay => self.replay(),
            Kind::UnknownKey => self.hand_in_forged(),
            Kind::ForgingRelay => self.carry_forged(),
            Kind::RestoredStore => self.restore_copy(),
            // These strike at a message or a batch.
            Kind::Drop
            | Kind::Duplicate
            | Kind::Reorder
            | Kind::Delay
            | Kind::Reset
            | Kind::TornWrite
            | Kind::FailedFsync => false,
        }
    }

    fn strike_links(&mut self, kind: Kind) -> bool {
        let parties = self.parties();
        let until = self.for_a_while(500, 12_000);
        if kind == Kind::Partition {
            let sides: Vec<bool> = parties.iter().map(|_| self.chaos_dice.chance(500_000)).collect();
            let placed: Vec<(Party, bool)> = parties.into_iter().zip(sides).collect();
            for (one, here) in &placed {
                for (other, there) in &placed {
                    if here != there {
                        self.links.cut(*one, *other, until);
                    }
                }
            }
            return placed.iter().any(|(_, side)| *side) && placed.iter().any(|(_, side)| !*side);
        }
        // Every way has a shard at one of its ends.
        let shard = Party::Shard(ShardId(self.chaos_dice.below(self.shards.len() as u64) as u32));
        let (mut one, mut other) = (shard, self.pick_party());
        if self.chaos_dice.chance(500_000) {
            (one, other) = (other, one);
        }
        if kind == Kind::OneWayPartition {
            self.links.cut(one, other, until);
        } else {
            self.links.slow(one, other, until);
            self.links.slow(other, one, until);
        }
        one != other
    }

    fn strike_process(&mut self, kind: Kind) -> bool {
        let party = if kind == Kind::LostUnsynced { self.pick_unsynced() } else { Some(self.pick_party()) };
        let Some(party) = party else { return false };
        if !self.is_up(party) {
            return false;
        }
        match kind {
            Kind::CrashLoop => {
                let loops = self.chaos_dice.between(2, 5) as u32;
                on_node!(self, party, node => node.loops_left = loops);
            }
            Kind::BitFlip => on_node!(self, party, node => node.disk.damage = Some(Damage::Checksum)),
            Kind::Misdirected => {
                on_node!(self, party, node => node.disk.damage = Some(Damage::Link));
                let (at, life) = (self.for_a_while(1, 4_000), self.life(party));
                self.queue.push(at, Event::Kill(party, life)); // Nobody finds it before the next opening.
                return true;
            }
            _ => {}
        }
        let power = if kind == Kind::LostUnsynced { Power::Lost } else { Power::Kept };
        self.stop(party, power);
        true
    }

    /// A shard dies, and stays so until its attempts' deadlines are past.
    fn strike_dead(&mut self) -> bool {
        let shard = ShardId(self.chaos_dice.below(self.shards.len() as u64) as u32);
        if !self.is_up(Party::Shard(shard)) {
            return false;
        }
        let back = self.for_a_while(DEAD_MIN.0, DEAD_MAX.0);
        self.kill::<Shard>(shard.0 as usize, Power::Kept);
        let life = self.life(Party::Shard(shard));
        self.queue.push(back, Event::Restart(Party::Shard(shard), life));
        true
    }

    /// Somebody with batches that power may take: being written, or a coordinator's that are not synced.
    fn pick_unsynced(&mut self) -> Option<Party> {
        let mut parties = self.parties();
        parties.retain(|party| {
            let mut unsynced = false;
            on_node!(self, *party, node => unsynced = node.syncing.is_some() || node.disk.unsynced_count() > 0);
            unsynced
        });
        self.chaos_dice.pick(&parties).copied()
    }

    fn strike_clock(&mut self, kind: Kind) -> bool {
        let party = self.pick_party();
        let until = self.for_a_while(500, 8_000);
        let (ahead, off) = (
            self.chaos_dice.between(500, 15_000).cast_signed(),
            self.chaos_dice.between(0, 6_000).cast_signed() - 3_000,
        );
        on_node!(self, party, node => match kind {
            Kind::ClockJump => node.clock.skew = ahead,
            Kind::ClockSkew => node.clock.skew = off,
            _ => node.clock.frozen_until = Some(until),
        });
        self.is_up(party)
    }

    /// The clock of one shard is hours ahead for a while; of two nobody could say which is right, nor of one that never heard another.
    fn send_clock_far(&mut self) -> bool {
        let now = self.now;
        let (index, until) =
            (self.chaos_dice.below(self.shards.len() as u64) as usize, self.for_a_while(2_000, 30_000));
        let is_far = |clock: &crate::node::Clock| clock.is_far(now) || clock.believes_far(now);
        if self.shards.len() < 2 || self.shards.iter().any(|shard| is_far(&shard.node.clock)) {
            return false;
        }
        if !self.shards[index].node.clock.has_heard() {
            return false;
        }
        self.shards[index].node.clock.far_until = Some(until);
        self.is_up(Party::Shard(ShardId(index as u32)))
    }

    /// A shard asks the others what their clocks show, as `services/executor` does: whoever is up and can be reached says it.
    pub(crate) fn hear_clocks(&mut self, party: Party) {
        let (Party::Shard(me), now) = (party, self.now) else { return };
        if !self.shards[me.0 as usize].node.clock.asks(now) {
            return;
        }
        self.ask_to_attest(me);
        if self.shards.len() < 2 {
            return self.shards[me.0 as usize].node.clock.hear_nobody(now);
        }
        let answers = |shard: ShardId, other: &crate::ShardParty| {
            let other_party = Party::Shard(shard);
            shard != me
                && other.node.machine.is_some()
                && other.node.paused_until.is_none_or(|until| until <= now)
                && !self.links.is_cut(party, other_party, now)
                && !self.links.is_cut(other_party, party, now)
        };
        let others = (0..).map(ShardId).zip(&self.shards).filter(|(shard, other)| answers(*shard, other));
        let said = others.map(|(shard, other)| (shard, other.node.clock.shows(now))).collect();
        self.shards[me.0 as usize].node.clock.hear(said, now);
    }

    /// Ends a process, which comes up again some time later.
    pub(crate) fn stop(&mut self, party: Party, power: Power) {
        match party {
            Party::Shard(shard) => self.stop_one::<Shard>(shard.0 as usize, power),
            Party::Coordinator(index) => self.stop_one::<Coordinator>(index, power),
            Party::Relay(index) => self.stop_one::<Relay>(index, power),
            Party::Stranger => {}
        }
    }

    pub(crate) fn stop_one<M: Actor>(&mut self, index: usize, power: Power) {
        self.kill::<M>(index, power);
        let at = self.for_a_while(20, 3_000);
        let life = M::node(self, index).life;
        self.queue.push(at, Event::Restart(M::party(index), life));
    }

    /// A party in a crash loop dies again soon after it started.
    pub(crate) fn loop_again<M: Actor>(&mut self, index: usize) {
        let node = M::node(self, index);
        if node.loops_left > 0 {
            node.loops_left -= 1;
            let life = node.life;
            let at = self.for_a_while(1, 400);
            self.queue.push(at, Event::Kill(M::party(index), life));
        }
    }

    fn is_up(&mut self, party: Party) -> bool {
        let mut up = false;
        on_node!(self, party, node => up = node.machine.is_some());
        up
    }

    fn life(&mut self, party: Party) -> u32 {
        let mut life = 0;
        on_node!(self, party, node => life = node.life);
        life
    }

    /// Until when a party stands still.
    pub(crate) fn paused_until(&mut self, party: Party) -> Option<Time> {
        let now = self.now;
        let mut paused = None;
        on_node!(self, party, node => paused = node.paused_until.filter(|until| now < *until));
        paused
    }

    /// A second coordinator goes on from a copy of another's log, while that one does too.
    fn twin(&mut self) -> bool {
        let originals = self.plan.coordinators;
        if self.coordinators.len() >= originals + TWINS_COUNT_MAX {
            return false;
        }
        let original = self.chaos_dice.below(originals as u64) as usize;
        let store = self.coordinators[original].node.store.clone();
        let Ok(machine) = Coordinator::reopen(self, original, &store) else { return false };
        self.coordinators.push(crate::CoordinatorParty::new(Node::new(
            machine,
            store,
            crate::disk::Durability::Buffered,
        )));
        self.due::<Coordinator>(self.coordinators.len() - 1);
        true
    }
}

impl<M: Machine> Node<M> {
    /// Nothing is wrong with it any more; its life, if it is down and has to be started.
    fn heal(&mut self) -> Option<u32> {
        self.paused_until = None;
        self.loops_left = 0;
        self.clock.skew = 0;
        self.clock.frozen_until = None;
        self.clock.far_until = None;
        self.disk.full_until = None;
        self.disk.stalled_until = None;
        self.machine.is_none().then_some(self.life)
    }
}
