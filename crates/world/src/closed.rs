//! What each shard has said to be closed: no slot before it may ever show more (I20).
//!
//! ```text
//!   each second: a shard is asked to attest --> open slot, time --> kept, also over restarts, as `services/executor` keeps it
//!   each batch:  an outcome shown in a slot before an open one that was said --> violation
//! ```
//!
//! What is told is kept here whether power fails or not. A process may lose its last seconds of it with the power; then its
//! clock, which is not set back by an outage, is past them.

use crate::world::World;
use primitives::{Millis, ShardId, Slot, Time, Write};
use shard::spaces::OUTCOMES;
use shard::{Answer, Input, OutcomeRecord, Ticket};

/// No call's ticket: those count from 1.
pub(crate) const NO_CALL: Ticket = Ticket(0);

/// Most canonical bytes of an outcome's record.
const OUTCOME_BYTES_MAX: usize = 4 << 20;

/// What a shard has told of its time.
#[derive(Debug)]
pub(crate) struct Told {
    open: Slot,
    /// No block to come has an earlier time: the millisecond after the one that was told of, as `services/executor` notes it.
    pub(crate) time: Time,
}

impl Default for Told {
    fn default() -> Self {
        Self { open: Slot(0), time: Time(0) }
    }
}

impl World {
    /// Has a shard that makes a step attest in it.
    pub(crate) fn ask_to_attest(&mut self, shard: ShardId) {
        let node = &mut self.shards[shard.0 as usize].node;
        if node.machine.is_some() {
            node.inbox.push(Input::Attest { ticket: NO_CALL });
        }
    }

    /// A shard has said up to when all is told.
    pub(crate) fn note_attested(&mut self, shard: ShardId, answer: &Answer) {
        let Answer::Attested { open, time, .. } = answer else { return };
        let party = &mut self.shards[shard.0 as usize];
        if party.copies.is_old() {
            return; // It serves nobody before it is shown to be the newest, and it never is.
        }
        let told = &mut party.told;
        let before = told.open;
        (told.open, told.time) = (before.max(*open), told.time.max(time.after(Millis(1))));
        if *open < before {
            let text = format!("shard {shard} says that slot {open} is open, and had closed all before {before}");
            self.watch.violation("I20", text);
        }
    }

    /// I20: what is closed stays closed.
    pub(crate) fn watch_closed(&mut self, shard: ShardId, writes: &[Write]) {
        let open = self.shards[shard.0 as usize].told.open;
        let outcomes = writes.iter().filter_map(|write| match write {
            Write::Put { space: OUTCOMES, value, .. } => {
                primitives::decode::<OutcomeRecord>(value, OUTCOME_BYTES_MAX).ok()
            }
            _ => None,
        });
        let late: Vec<OutcomeRecord> = outcomes.filter(|record| record.shown < open).collect();
        for record in late {
            let OutcomeRecord { transaction, shown, .. } = record;
            let text = format!("shard {shard} shows {transaction} in slot {shown}, and had closed all before {open}");
            self.watch.violation("I20", text);
        }
    }
}
