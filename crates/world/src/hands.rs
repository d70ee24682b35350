//! Faults by hand: for scenarios that say themselves what happens, to whom, and when it ends.
//!
//! Promise: what is done here is done at once and lasts until it is undone; nothing of it is drawn, so a seed's run without
//! it is unchanged.

use crate::call::Request;
use crate::chaos::on_node;
use crate::faults::{CrashPoint, Side, Tail};
use crate::party::Party;
use crate::world::World;
use primitives::{ShardId, Time};

/// Until it is undone.
const FOR_EVER: Time = Time(u64::MAX);

impl World {
    /// Nothing passes from one party to the other any more.
    pub fn cut(&mut self, from: Party, to: Party) {
        self.links.cut(from, to, FOR_EVER);
    }

    /// Connections from one party to the other are reset, and new ones refused.
    pub fn refuse(&mut self, caller: Party, to: Party) {
        self.links.refuse(caller, to, FOR_EVER);
    }

    /// Everything passes everywhere.
    pub fn heal_links(&mut self) {
        self.links.heal();
    }

    /// A party stands still: what comes to it waits.
    pub fn pause(&mut self, party: Party) {
        on_node!(self, party, node => node.paused_until = Some(FOR_EVER));
    }

    /// It goes on.
    pub fn resume(&mut self, party: Party) {
        on_node!(self, party, node => node.paused_until = None);
        self.queue.hasten(party, FOR_EVER, self.now);
    }

    /// Ends a party's process at its `batch`-th batch, over all its lives, and does not start it again.
    pub fn die_at(&mut self, party: Party, batch: u64, side: Side) {
        self.plan.faults.crash = Some(CrashPoint { party, batch, side, tail: Tail::Kept });
        self.stays_down = Some(party);
    }

    /// From now on keeps all calls to shards that may change something.
    pub fn keep_calls(&mut self) {
        self.kept.get_or_insert_default();
    }

    pub(crate) fn keep(&mut self, from: Party, shard: ShardId, request: &Request) {
        if let Some(kept) = &mut self.kept
            && request.is_work()
            && from != Party::Stranger
        {
            kept.push((shard, request.clone()));
        }
    }

    /// The calls that were kept, in their order.
    pub fn kept_calls(&self) -> &[(ShardId, Request)] {
        self.kept.as_deref().unwrap_or_default()
    }
}
