//! What a relay is told once: its network, the shards it carries between, and its bounds.

use crate::share::Share;
use primitives::{Millis, NetworkId, ShardId};
use std::collections::BTreeSet;

/// Everything a relay is configured with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The network. A store of another network is refused.
    pub network: NetworkId,
    /// The shards it reads from and carries to.
    pub shards: BTreeSet<ShardId>,
    /// Which relay this is, of those that share the routes.
    pub share: Share,
    /// For how long a route may be silent before the next relay in order takes it over, times that relay's rank.
    pub grace: Millis,
    /// By how many blocks a shard is ahead when a relay that comes back reads its newest first and the others beside them.
    pub catch_up_blocks_count: u64,
    /// How many receipts may wait or be under way on one lane. A full lane stops reading until it is half empty.
    pub queue_count_max: usize,
    /// After how many refusals in a row a receipt no longer takes a place in its lane's queue: it waits for a lock or for
    /// room, and those behind it need not.
    pub patience_count: u32,
    /// How many such receipts wait on one lane, beside its queue. A lane with more stops reading.
    pub stuck_count_max: usize,
    /// How many dead letters one lane keeps. A lane with more stops reading: what it would forget stays where it is, in
    /// its shard's outbox.
    pub dead_letters_count_max: usize,
    /// How many ended messages are remembered for `trace`; the oldest goes first.
    pub ended_count_max: u64,
    /// How many receipts one delivery carries.
    pub batch_count_max: usize,
    /// How many messages are looked up at once at one shard.
    pub look_count_max: usize,
    /// How many bytes of receipts one delivery carries, if it carries more than one.
    pub batch_bytes_max: usize,
    /// How many deliveries, and how many acknowledgements, are under way to one shard at once.
    pub batches_under_way_count_max: usize,
    /// How many leaves one fetch asks for.
    pub page_count_max: u32,
    /// How long to wait before asking again a shard that had nothing new.
    pub poll: Millis,
    /// How long a fetch or a batch may be under way before it is taken for lost.
    pub answer: Millis,
    /// The wait after a message's first refusal; it doubles with each.
    pub retry_min: Millis,
    /// The longest wait between two tries of a message.
    pub retry_max: Millis,
    /// The wait after a shard could not be reached; it doubles with each failure.
    pub reach_min: Millis,
    /// The longest wait before a shard is tried again.
    pub reach_max: Millis,
}

impl Settings {
    /// The bounds that suit a network on one machine, and most others.
    pub fn new(network: NetworkId, shards: BTreeSet<ShardId>) -> Self {
        Self {
            network,
            shards,
            share: Share::ALONE,
            grace: Millis(2_000),
            catch_up_blocks_count: 64,
            queue_count_max: 4096,
            patience_count: 8,
            stuck_count_max: 16_384,
            dead_letters_count_max: 1024,
            ended_count_max: 100_000,
            batch_count_max: 64,
            look_count_max: 256,
            batch_bytes_max: 1024 * 1024,
            batches_under_way_count_max: 4,
            page_count_max: 64,
            poll: Millis(100),
            answer: Millis(30_000),
            retry_min: Millis(500),
            retry_max: Millis(60_000),
            reach_min: Millis(100),
            reach_max: Millis(5_000),
        }
    }
}

/// The spaces a relay keeps its state in.
pub mod spaces {
    use primitives::Space;

    /// Whose store this is, and running numbers: one key.
    pub const IDENTITY: Space = Space("relay_identity");
    /// A message's life: message id to record.
    pub const RECORDS: Space = Space("relay_records");
    /// The message itself: message id to canonical message.
    pub const MESSAGES: Space = Space("relay_messages");
    /// Receipts to be carried: leg and message id to canonical receipt.
    pub const RECEIPTS: Space = Space("relay_receipts");
    /// Lanes: from, to and leg to cursor, pause and counts.
    pub const LANES: Space = Space("relay_lanes");
    /// What waits on a lane or is under way: from, to, leg and message id to its place in the queue.
    pub const QUEUE: Space = Space("relay_queue");
    /// Dead letters: message id to what became of it.
    pub const DEAD: Space = Space("relay_dead");
    /// Ended messages in the order of their ends: running number to message id.
    pub const ENDED: Space = Space("relay_ended");

    /// What a lane that reads its newest first has still to read: from, to and leg to first cursor and the one after the last.
    pub const GAPS: Space = Space("relay_gaps");

    /// All of them, to open a store with.
    pub const ALL: [Space; 9] = [IDENTITY, RECORDS, MESSAGES, RECEIPTS, LANES, QUEUE, DEAD, ENDED, GAPS];
}
