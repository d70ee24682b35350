//! The shards of one scene: the machines that serve, each asked on its own, with what it writes in plain view.
//!
//! Promise: every question meets a shard as it started: at its genesis, or, where codes can be proven, after its first block. A
//! shard that wrote something is opened again.

use crate::mutation::check::Check;
use crate::mutation::claim::Claim;
use crate::mutation::scene::Scene;
use crate::state_tests::first_block;
use commit::VoteProof;
use evm::Address;
use primitives::{Machine, Memory, ShardId, Space, Time, Write};
use proof::{NotMember, Signer};
use revm::primitives::hardfork::SpecId;
use shard::spaces::{ACCOUNTS, CODES, FEES, HOLDERS, PREPARED, SLOTS};
use shard::{Answer, Checks, Input, OpenError, Prepare, Shard, ShardConfig, Ticket};
use std::collections::BTreeMap;

/// When every scene plays.
pub const NOW: Time = world::START;

/// What a shard that votes no must leave as it was.
const KEPT: [Space; 6] = [ACCOUNTS, SLOTS, FEES, CODES, PREPARED, HOLDERS];

/// Why the shards of a scene do not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A shard does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A key is not in its set.
    #[error(transparent)]
    Key(#[from] NotMember),
}

/// What a shard does that none may do, whatever it is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It refused, or voted no, and changed something all the same.
    #[error("shard {shard} objects ({check}) and writes {space}")]
    Changed {
        /// Which.
        shard: ShardId,
        /// Why it objects.
        check: Check,
        /// What it changes.
        space: &'static str,
    },
    /// It did not answer.
    #[error("shard {shard} does not answer")]
    Silent {
        /// Which.
        shard: ShardId,
    },
}

/// What a shard answers to a prepare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, certified.
    Yes(Box<VoteProof>),
    /// No, or no vote at all.
    Objects(Check),
}

/// A shard that nobody has changed.
#[derive(Debug)]
struct Node {
    store: Memory,
    machine: Option<Shard>,
}

/// The shards of one scene.
#[derive(Debug)]
pub struct Network<'a> {
    scene: &'a Scene,
    checks: Checks,
    nodes: Vec<Node>,
}

impl<'a> Network<'a> {
    /// The shards of `scene`.
    pub fn start(scene: &'a Scene) -> Result<Self, StartError> {
        let validators = world::validators(scene.placement.shards_count());
        let checks = Checks::new(&scene.params, &scene.placement, &validators);
        let mut nodes = Vec::new();
        for shard in scene.placement.shards() {
            let mut store = Memory::new();
            for write in Shard::genesis(&config(scene, shard)?, &scene.genesis)? {
                store.apply(write);
            }
            if scene.params.spec.id().is_enabled_in(SpecId::CANCUN) {
                let mut machine = Shard::open(config(scene, shard)?, &store)?;
                let descriptor = Box::new(first_block::of_nobody(&scene.params, &scene.placement, NOW));
                let request = Input::AbortRequest { ticket: Ticket(1), descriptor, waits: None };
                machine.step(NOW, vec![request], &store).writes.into_iter().for_each(|write| store.apply(write));
            }
            nodes.push(Node { store, machine: None });
        }
        Ok(Self { scene, checks, nodes })
    }

    /// Whose account it is.
    pub fn owner(&self, address: Address) -> ShardId {
        self.scene.placement.shard_of(address)
    }

    /// What the shards check claims with.
    pub fn checks(&self) -> &Checks {
        &self.checks
    }

    /// What is on a shard's disk.
    pub fn store(&self, shard: ShardId) -> Option<&Memory> {
        self.nodes.get(shard.0 as usize).map(|node| &node.store)
    }

    /// Asks a shard for its vote.
    pub fn ask(&mut self, shard: ShardId, claim: &Claim, homes: Vec<VoteProof>) -> Result<Verdict, AskError> {
        match self.checks.prepare(claim.descriptor.clone(), &claim.bytes, homes) {
            // Nothing has reached the machine.
            Err(error) => Ok(Verdict::Objects(Check::from(&error))),
            Ok(prepare) => self.step(shard, prepare),
        }
    }

    fn step(&mut self, shard: ShardId, prepare: Prepare) -> Result<Verdict, AskError> {
        let scene = self.scene;
        let Some(node) = self.nodes.get_mut(shard.0 as usize) else {
            return Err(Fault::Silent { shard }.into());
        };
        let mut machine = match node.machine.take() {
            Some(machine) => machine,
            None => Shard::open(config(scene, shard)?, &node.store).map_err(StartError::from)?,
        };
        let input = Input::Prepare { ticket: Ticket(1), prepare: Box::new(prepare) };
        let output = machine.step(NOW, vec![input], &node.store);
        let reply = output.replies.into_iter().next().ok_or(Fault::Silent { shard })?;
        let (check, may_write) = match reply.answer {
            Answer::Voted { vote, receipt, .. } => match &vote.verdict {
                commit::Verdict::Yes => {
                    return Ok(Verdict::Yes(Box::new(VoteProof { vote, evidence: receipt.to_bytes() })));
                }
                commit::Verdict::No(refusal) => (Check::behind(refusal), true),
            },
            Answer::AttemptRefused(refusal) => (Check::from(&refusal), false),
            _ => return Err(Fault::Silent { shard }.into()),
        };
        // A no is a record, a leaf and a block; a refusal is nothing.
        let changed = output.writes.iter().map(space).find(|space| !may_write || KEPT.contains(space));
        if let Some(space) = changed {
            return Err(Fault::Changed { shard, check, space: space.0 }.into());
        }
        if output.writes.is_empty() {
            node.machine = Some(machine);
        }
        Ok(Verdict::Objects(check))
    }
}

/// Why a question has no verdict.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// A shard did what none may.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A shard does not open again.
    #[error(transparent)]
    Start(#[from] StartError),
}

fn space(write: &Write) -> Space {
    match write {
        Write::Put { space, .. } | Write::Delete { space, .. } => *space,
    }
}

fn config(scene: &Scene, shard: ShardId) -> Result<ShardConfig, StartError> {
    let validators = world::validators(scene.placement.shards_count());
    let sets: BTreeMap<_, _> = validators;
    let Some(set) = sets.get(&shard) else { return Err(OpenError::NoValidators { shard }.into()) };
    let signer = Signer::new(world::secret(shard), set)?;
    Ok(ShardConfig::new(scene.params.clone(), shard, scene.placement.clone(), sets, signer))
}
