//! How processes die and come up again.
//!
//! Promise: what a process hears of nobody but itself dies with it; what is on its disk is what `disk` says, and a
//! batch that was being written may be there or not.

use crate::faults::{CrashPoint, Kind, Side, Tail};
use crate::node::Asked;
use crate::party::Party;
use crate::plan::Span;
use crate::queue::Event;
use crate::world::{Actor, StartError, World};
use primitives::Millis;

/// Whether power fails with a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    /// Only the process dies: what it wrote is there, synced or not.
    Kept,
    /// What was not synced may be gone.
    Lost,
}

/// How long it takes to replace a disk.
const REPAIR: Span = Span::between(5_000, 20_000);

/// How long a machine is down after the crash of an enumeration.
const CRASH_POINT_DOWN: Millis = Millis(300);

impl World {
    /// The step, unless its process dies with the batch not on the disk, or with nobody knowing whether it is.
    pub(crate) fn survives<M: Actor>(&mut self, index: usize, batch: u64, output: Asked<M>) -> Option<Asked<M>> {
        if self.is_crash_point(M::party(index), batch, Side::Before) {
            self.die_at_point::<M>(index);
            return None;
        }
        if self.strikes_batch(Kind::TornWrite) {
            // A part of the record is there; opening finds that and drops it.
            self.stop_one::<M>(index, Power::Lost);
            return None;
        }
        if self.strikes_batch(Kind::FailedFsync) {
            if self.disk_dice.chance(500_000) {
                self.write::<M>(index, output.writes); // It is there after all, as the next opening will find.
            }
            self.stop_one::<M>(index, Power::Kept);
            return None;
        }
        Some(output)
    }

    fn strikes_batch(&mut self, kind: Kind) -> bool {
        let chance = self.plan.faults.chance(kind);
        let strikes = chance > 0 && self.disk_dice.chance(chance);
        if strikes {
            self.struck(kind);
        }
        strikes
    }

    pub(crate) fn dies_after<M: Actor>(&mut self, index: usize) -> bool {
        let batch = M::node(self, index).batches;
        let dies = self.is_crash_point(M::party(index), batch, Side::After);
        if dies {
            self.die_at_point::<M>(index);
        }
        dies
    }

    fn is_crash_point(&self, party: Party, batch: u64, side: Side) -> bool {
        matches!(self.plan.faults.crash, Some(point) if (point.party, point.batch, point.side) == (party, batch, side))
    }

    /// The one crash of an enumeration: once, with as much of the tail lost as it says.
    fn die_at_point<M: Actor>(&mut self, index: usize) {
        let Some(CrashPoint { tail, .. }) = self.plan.faults.crash.take() else { return };
        self.crash_point_met = true;
        let node = M::node(self, index);
        let unsynced = node.disk.unsynced_count();
        let lost = match tail {
            Tail::Kept => 0,
            Tail::Halved => unsynced.div_ceil(2),
            Tail::Lost => unsynced,
        };
        node.disk.lose(&mut node.store, lost);
        node.syncing = None;
        self.kill::<M>(index, Power::Kept);
        if self.stays_down.take() == Some(M::party(index)) {
            return;
        }
        let life = M::node(self, index).life;
        self.queue.push(self.now.after(CRASH_POINT_DOWN), Event::Restart(M::party(index), life));
    }

    /// Ends a process. A batch being written may be there or not; if power fails too, what was not synced may be gone.
    pub(crate) fn kill<M: Actor>(&mut self, index: usize, power: Power) {
        let node = M::node(self, index);
        if node.machine.is_none() {
            return;
        }
        if let Some(output) = node.syncing.take()
            && self.disk_dice.chance(500_000)
        {
            self.write::<M>(index, output.writes);
        }
        let unsynced = M::node(self, index).disk.unsynced_count();
        if power == Power::Lost && unsynced > 0 {
            let lost = self.disk_dice.between(1, unsynced as u64) as usize;
            let node = M::node(self, index);
            node.disk.lose(&mut node.store, lost);
        }
        M::node(self, index).forget();
        M::died(self, index);
        self.tell(M::party(index), |_| format!("dies, power {power:?}"));
    }

    /// A process starts. A damaged disk is replaced first, which takes its operator a while.
    pub(crate) fn come_up<M: Actor>(&mut self, index: usize) {
        let node = M::node(self, index);
        if node.machine.is_some() {
            return;
        }
        if let Some(damage) = node.disk.damage.take() {
            let life = node.life;
            let wait = self.disk_dice.between(REPAIR.least.0, REPAIR.most.0);
            self.tell(M::party(index), |_| format!("does not open ({damage:?}): its disk is replaced by the mirror"));
            return self.queue.push(self.now.after(Millis(wait)), Event::Restart(M::party(index), life));
        }
        let revived = self.revive::<M>(index);
        assert!(revived.is_ok(), "{} does not open: {revived:?}", M::party(index));
        self.tell(M::party(index), |_| "starts".to_owned());
        self.loop_again::<M>(index);
    }

    pub(crate) fn revive<M: Actor>(&mut self, index: usize) -> Result<(), StartError> {
        if M::node(self, index).machine.is_some() {
            return Ok(());
        }
        let store = std::mem::take(&mut M::node(self, index).store);
        let opened = M::reopen(self, index, &store);
        let (earliest, now) = (M::attested(self, index, &store), self.now);
        let node = M::node(self, index);
        node.store = store;
        node.disk.damage = None;
        node.machine = Some(opened?);
        node.clock.restart(earliest, now);
        M::revived(self, index);
        self.due::<M>(index);
        Ok(())
    }
}
