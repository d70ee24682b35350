//! The prepare that the coordinator which serves would send for a transaction.
//!
//! Promise: it is the machine's own: submitted, fetched for, executed and begun by [`coordinator::Coordinator`], with the
//! homes' real votes. What it sends is what is changed afterwards.

use crate::mutation::check::Check;
use crate::mutation::claim::{Claim, HomeVotes, Honest};
use crate::mutation::network::{AskError, NOW, Network, Verdict};
use crate::mutation::scene::Scene;
use commit::PAYLOAD_BYTES_MAX;
use coordinator::{Coordinator, Input, Prepare, ProvenCode, Send, Settings, StateKeyValue, StateValue, Ticket, Votes};
use evm::{Address, Data, Prepared, StateKey, Witness};
use primitives::{Epoch, Machine, Memory, ShardId, Write};
use shard::queries;
use std::collections::{BTreeMap, BTreeSet};

/// More steps than any transaction takes until all its participants are asked.
const STEPS_COUNT_MAX: usize = 4_096;

/// Why there is no prepare to change.
#[derive(Debug, thiserror::Error)]
pub enum NoPrepare {
    /// It concerns one shard, which executes it without an attempt.
    #[error("it concerns one shard alone")]
    Local,
    /// It cannot be executed.
    #[error("refused: {0}")]
    Refused(String),
    /// A participant objects to what the coordinator sends: no mutation would mean anything.
    #[error("shard {shard} objects to the honest prepare: {check}")]
    Objection {
        /// Which.
        shard: ShardId,
        /// By which check.
        check: Check,
    },
    /// The coordinator does not come to it.
    #[error("the coordinator asks nobody for a vote")]
    Endless,
    /// A shard does what none may do.
    #[error(transparent)]
    Ask(#[from] AskError),
}

/// Has the coordinator begin the scene's attempt, up to the prepare of its last participant.
pub fn prepare(scene: &Scene, network: &mut Network<'_>) -> Result<Honest, NoPrepare> {
    let payload = network.checks().payload(scene.payload.clone());
    let payload = payload.map_err(|error| NoPrepare::Refused(error.to_string()))?;
    let mut desk = Desk::open(scene, network)?;
    desk.step(vec![Input::Submit { ticket: Ticket(1), payload: Box::new(payload) }])?;
    for _ in 0..STEPS_COUNT_MAX {
        if let Some(honest) = desk.honest()? {
            return Ok(honest);
        }
        if desk.answers.is_empty() {
            return Err(NoPrepare::Endless);
        }
        let answers = std::mem::take(&mut desk.answers);
        desk.step(answers)?;
    }
    Err(NoPrepare::Endless)
}

/// A coordinator, and what its next step is told.
struct Desk<'n, 's> {
    network: &'n mut Network<'s>,
    machine: Coordinator,
    store: Memory,
    answers: Vec<Input>,
    asked: BTreeSet<ShardId>,
    sent: Option<Prepare>,
}

impl<'n, 's> Desk<'n, 's> {
    fn open(scene: &Scene, network: &'n mut Network<'s>) -> Result<Self, NoPrepare> {
        let settings = Settings {
            params: scene.params.clone(),
            placement: scene.placement.clone(),
            epochs: scene.placement.shards().map(|shard| (shard, Epoch(1))).collect(),
            timing: coordinator::Timing::default(),
            commit: commit::coordinator::Settings::default(),
        };
        let store = Memory::new();
        let machine = Coordinator::open(settings, &store).map_err(|error| NoPrepare::Refused(error.to_string()))?;
        Ok(Self { network, machine, store, answers: Vec::new(), asked: BTreeSet::new(), sent: None })
    }

    fn step(&mut self, inputs: Vec<Input>) -> Result<(), NoPrepare> {
        let output = self.machine.step(NOW, inputs, &self.store);
        output.writes.into_iter().for_each(|write: Write| self.store.apply(write));
        for reply in output.replies {
            if let coordinator::Event::Refused(refusal) = reply.event {
                return Err(NoPrepare::Refused(refusal.to_string()));
            }
        }
        output.sends.into_iter().try_for_each(|send| self.carry(send))
    }

    fn carry(&mut self, send: Send) -> Result<(), NoPrepare> {
        match send {
            Send::Fetch { shard, fetch, keys, codes, .. } => {
                let Some(store) = self.network.store(shard) else { return Ok(()) };
                let values = keys.into_iter().map(|key| value(store, key)).collect();
                let codes = codes.into_iter().filter_map(|hash| Some(queries::code(store, hash)?.into())).collect();
                self.answers.push(Input::Fetched { fetch, values, codes });
                Ok(())
            }
            Send::FetchProofs { shard, fetch, accounts } => {
                let prove = |account| (account, self.proven(shard, account));
                let proofs = accounts.into_iter().map(prove).collect();
                self.answers.push(Input::FetchedProofs { fetch, proofs });
                Ok(())
            }
            Send::Prepare { shard, batch } => batch.into_iter().try_for_each(|prepare| self.vote(shard, prepare)),
            Send::Run(job) => {
                self.answers.push(Input::Ran(Box::new(job.run())));
                Ok(())
            }
            Send::SubmitLocal { .. } => Err(NoPrepare::Local),
            Send::RequestAbort { .. } | Send::Decide { .. } => Ok(()),
        }
    }

    /// What proves a code, as the shard has it and as a coordinator's host has checked it.
    fn proven(&self, shard: ShardId, account: Address) -> Option<ProvenCode> {
        let claim = shard::prove_code(self.network.store(shard)?, account).ok().flatten()?;
        let proof = claim.to_data();
        let fact = self.network.checks().code(account, claim).ok()?;
        Some(ProvenCode { hash: fact.hash, since: fact.since, proof })
    }

    /// What proves the codes of the contracts of a witness.
    fn genuine(&self, witness: &Witness) -> BTreeMap<Address, Data> {
        let accounts = witness.accounts.keys().chain(witness.fixed.keys());
        let proofs = accounts.filter_map(|address| {
            let owner = self.network.owner(*address);
            Some((*address, self.proven(owner, *address)?.proof))
        });
        proofs.collect()
    }

    fn vote(&mut self, shard: ShardId, prepare: Prepare) -> Result<(), NoPrepare> {
        let descriptor = (*prepare.descriptor).clone();
        let claim = Claim { descriptor, bytes: prepare.payload.to_vec(), homes: HomeVotes::Given };
        let homes = prepare.homes.iter().map(|vote| (**vote).clone()).collect();
        match self.network.ask(shard, &claim, homes)? {
            Verdict::Objects(check) => Err(NoPrepare::Objection { shard, check }),
            Verdict::Yes(vote) => {
                let votes = self.network.checks().votes(vec![*vote]);
                self.answers.push(Input::Votes(Votes { votes, hints: Vec::new() }));
                self.asked.insert(shard);
                self.sent = Some(prepare);
                Ok(())
            }
        }
    }

    /// What was sent, once everybody was asked.
    fn honest(&self) -> Result<Option<Honest>, NoPrepare> {
        let Some(sent) = &self.sent else { return Ok(None) };
        if !sent.descriptor.participants.keys().all(|shard| self.asked.contains(shard)) {
            return Ok(None);
        }
        let descriptor = (*sent.descriptor).clone();
        let refused = |error: &dyn std::fmt::Display| NoPrepare::Refused(error.to_string());
        let prepared: Prepared =
            primitives::decode(&sent.payload, PAYLOAD_BYTES_MAX).map_err(|error| refused(&error))?;
        let checked = self.network.checks().prepare(descriptor.clone(), &sent.payload, Vec::new());
        let executed = checked.map_err(|error| refused(&error))?.executed.into_inner();
        let genuine = self.genuine(&prepared.witness);
        Ok(Some(Honest { descriptor, prepared, executed, genuine }))
    }
}

fn value(store: &Memory, key: StateKey) -> StateKeyValue {
    let value = match key {
        StateKey::Account(address) => StateValue::Account(queries::account(store, address)),
        StateKey::Slot(address, slot) => StateValue::Slot(queries::slot(store, address, slot)),
        StateKey::Fees(fees) => StateValue::Fees(queries::fees(store, fees.beneficiary)),
    };
    (key, value)
}
