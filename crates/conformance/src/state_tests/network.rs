//! A subtest on the network: shards, a coordinator, and everything between a signed transaction and its last lock.
//!
//! The machines are those that serve; what carries their messages is [`world::World`], with no faults.

use crate::state_tests::case::Case;
use crate::state_tests::first_block;
use crate::state_tests::refusal::Kind;
use alloy_primitives::Bytes;
use evm::{Outcome, Placement, PlacementError, State};
use primitives::Millis;
use revm::primitives::hardfork::SpecId;
use shard::CheckError;
use std::path::PathBuf;
use world::{Plan, Request, StartError, World};

/// How long one transaction may take in virtual time: as long as the network lets an attempt live, and the retries of it.
const PATIENCE: Millis = Millis(120_000);

/// Virtual time within which every shard has written its first block: a call there and one step.
const FIRST_BLOCKS: Millis = Millis(1_000);

/// What the network made of a subtest.
#[derive(Debug, Clone)]
pub struct NetworkRun {
    /// What became of the transaction, or why it was refused.
    pub end: Result<Outcome, Kind>,
    /// What all shards hold together, fees in their accounts.
    pub state: State,
    /// How many shards took part; none if it was refused.
    pub participants: usize,
    /// How many codes were proven instead of asked about.
    pub proven_codes: usize,
}

/// On what the network runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Carrier {
    /// Within this process, stores in memory.
    #[default]
    World,
    /// On processes of this program, stores on disk.
    Processes(PathBuf),
}

/// Why the network came to no end.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// No such placement.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// It does not start.
    #[error("the network does not start: {0}")]
    Start(#[from] StartError),
    /// It goes on for ever, or has not let go of everything.
    #[error("the network did not come to rest within {} s of its own time: {state}", PATIENCE.0 / 1000)]
    Restless {
        /// What was last heard.
        state: String,
    },
    /// A process failed, or the oracle disagrees.
    #[error("{reason}")]
    Processes {
        /// What happened, from the outermost cause to the innermost.
        reason: String,
    },
    /// The transaction was committed, but with another number of outcomes than one.
    #[error("the network says {actual} outcomes of one transaction")]
    Outcomes {
        /// How many.
        actual: usize,
    },
}

/// Runs `case` on shards placed as `placement` says.
pub fn run(case: &Case<'_>, bytes: &Bytes, placement: &Placement) -> Result<NetworkRun, NetworkError> {
    let mut world = World::start(Plan::new(case.params(), placement.clone(), case.scene.genesis.clone()))?;
    if case.spec.id().is_enabled_in(SpecId::CANCUN) {
        first_blocks(&mut world, case, placement);
    }
    let ticket = match world.submit(0, case.payload(bytes)) {
        Ok(ticket) => ticket,
        Err(error) => {
            let kind = match &error {
                CheckError::Payload(error) => Kind::from(error),
                other => Kind::Network(other.to_string()),
            };
            return Ok(NetworkRun { end: Err(kind), state: world.state(), participants: 0, proven_codes: 0 });
        }
    };
    let rests = world.run_quiet(world.now().after(PATIENCE));
    match world.end(ticket) {
        Some(Ok(committed)) if rests => match &committed.outcomes[..] {
            [outcome] => Ok(NetworkRun {
                end: Ok(outcome.clone()),
                participants: committed.participants.len(),
                proven_codes: committed.proven_codes,
                state: world.state(),
            }),
            outcomes => Err(NetworkError::Outcomes { actual: outcomes.len() }),
        },
        Some(Err(refusal)) if rests => {
            Ok(NetworkRun { end: Err(Kind::from(refusal)), state: world.state(), participants: 0, proven_codes: 0 })
        }
        _ => {
            let state =
                world.events(ticket).last().map_or("nothing was heard".to_owned(), |event| format!("{event:?}"));
            Err(NetworkError::Restless { state })
        }
    }
}

/// Has every shard write its first block, so that it can prove its codes.
fn first_blocks(world: &mut World, case: &Case<'_>, placement: &Placement) {
    let descriptor = first_block::of_nobody(&case.params(), placement, world.now());
    for shard in placement.shards() {
        world.call(shard, Request::RequestAbort(vec![(&descriptor).into()]));
    }
    world.run_for(FIRST_BLOCKS);
}
