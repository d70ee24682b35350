//! What a World is made of.

use crate::faults::Faults;
use evm::{NetworkParams, Placement};
use primitives::{Millis, Time};
use shard::GenesisAccounts;

/// When every World begins.
pub const START: Time = Time(1_700_000_000_000);

/// A network to run, and everything that may happen to it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What all shards agree on.
    pub params: NetworkParams,
    /// Who owns what, and how many shards there are.
    pub placement: Placement,
    /// The state before the first block.
    pub genesis: GenesisAccounts,
    /// How many coordinators.
    pub coordinators: usize,
    /// How many relays.
    pub relays: usize,
    /// What all randomness follows from.
    pub seed: u64,
    /// What goes wrong.
    pub faults: Faults,
    /// The coordinators' patience.
    pub timing: coordinator::Timing,
    /// How long a message takes.
    pub latency: Span,
    /// How long a synced batch takes. From zero to zero, it takes no event of its own.
    pub sync: Span,
    /// How often a relay asks a shard that had nothing new.
    pub relay_poll: Millis,
    /// Whether state trees are advanced. Without, a shard refuses new work after
    /// [`shard::state_tree::STATE_ROOT_LAG_BLOCKS_MAX`] blocks.
    pub roots: Roots,
    /// For how long shards keep what their blocks did, where state trees are advanced. None: for ever. Checks go by an archive.
    pub bodies_kept: Option<Millis>,
    /// What the run is checked for while it goes.
    pub checks: Watch,
    /// Whether the run is told as a story.
    pub story: Story,
    /// The rule that is broken.
    #[cfg(feature = "twins")]
    pub twin: Option<commit::Twin>,
}

/// From how long to how long, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The shortest.
    pub least: Millis,
    /// The longest.
    pub most: Millis,
}

impl Span {
    /// Always this long.
    pub const fn of(millis: u64) -> Self {
        Self { least: Millis(millis), most: Millis(millis) }
    }

    /// From one to the other.
    pub const fn between(least: u64, most: u64) -> Self {
        Self { least: Millis(least), most: Millis(most) }
    }
}

/// Whether state trees are advanced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roots {
    /// Not at all: a short run.
    Left,
    /// As a shard's node does, beside its steps.
    Advanced,
}

/// Whether a run is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// Not by the World.
    Nothing,
    /// After each batch, for what a batch can break.
    Batches,
}

/// Whether a run is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// Not at all.
    Silent,
    /// Kept line by line, for [`crate::World::story`].
    Kept,
    /// Written to standard output as it happens.
    Printed,
}

impl Plan {
    /// One coordinator, no relay, no fault, messages of one millisecond and a disk that takes no time.
    pub fn new(params: NetworkParams, placement: Placement, genesis: GenesisAccounts) -> Self {
        Self {
            params,
            placement,
            genesis,
            coordinators: 1,
            relays: 0,
            seed: 0,
            faults: Faults::none(),
            timing: coordinator::Timing::default(),
            latency: Span::of(1),
            sync: Span::of(0),
            relay_poll: Millis(100),
            roots: Roots::Left,
            bodies_kept: None,
            checks: Watch::Nothing,
            story: Story::Silent,
            #[cfg(feature = "twins")]
            twin: None,
        }
    }
}
