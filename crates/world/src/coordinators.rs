//! A coordinator's node: what the machine sends becomes calls, what comes back becomes inputs.
//!
//! What `services/coordinator` does with gRPC: votes are checked before the machine hears of them, and an answer that does
//! not come is one that failed.

use crate::call::{CallId, DecisionClaim, Done, PrepareClaim, Rejection, Remedy, Request, Response};
use crate::node::Node;
use crate::party::Party;
use crate::story::short;
use crate::world::{Actor, StartError, World};
use commit::VoteProof;
use commit::coordinator::Objection;
use coordinator::{
    Coordinator, Event, FetchId, Input, LocalAnswer, ProvenCode, Reply, Send, Settings, StateKeyValue, StateValue,
    Ticket, Votes,
};
use evm::{Address, StateKey};
use primitives::{AttemptId, Epoch, Memory, ShardId, Time, Verified, Write};
use shard::{CodeProof, FreshValue};
use std::collections::BTreeMap;

/// A coordinator with its log and its calls under way.
#[derive(Debug)]
pub struct CoordinatorParty {
    pub(crate) node: Node<Coordinator>,
    pub(crate) calls: BTreeMap<CallId, Purpose>,
}

/// What an answer is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    Fetch { fetch: FetchId, keys: Vec<StateKey> },
    Proofs { fetch: FetchId, accounts: Vec<Address> },
    Local(Vec<Ticket>),
    Votes { shard: ShardId, attempts: Vec<AttemptId> },
    Decide { shard: ShardId, attempts: Vec<AttemptId> },
}

impl CoordinatorParty {
    pub(crate) fn new(node: Node<Coordinator>) -> Self {
        Self { node, calls: BTreeMap::new() }
    }

    /// Its machine; none while it is down.
    pub fn machine(&self) -> Option<&Coordinator> {
        self.node.machine.as_ref()
    }

    /// What is on its disk.
    pub fn store(&self) -> &Memory {
        &self.node.store
    }

    /// How many batches it wrote.
    pub fn batches(&self) -> u64 {
        self.node.batches
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.node.inbox.is_empty()
            && self.node.syncing.is_none()
            && self
                .node
                .machine
                .as_ref()
                .is_some_and(|machine| machine.pending_count() == 0 && machine.attempts_count() == 0)
    }
}

impl Actor for Coordinator {
    fn party(index: usize) -> Party {
        Party::Coordinator(index)
    }

    fn node(world: &mut World, index: usize) -> &mut Node<Self> {
        &mut world.coordinators[index].node
    }

    fn reopen(world: &World, _: usize, store: &Memory) -> Result<Self, StartError> {
        let settings = Settings {
            params: world.plan.params.clone(),
            placement: world.plan.placement.clone(),
            epochs: world.plan.placement.shards().map(|shard| (shard, Epoch(1))).collect(),
            timing: world.plan.timing,
            commit: commit::coordinator::Settings::default(),
        };
        Ok(Self::open(settings, store)?)
    }

    fn attested(_: &World, _: usize, _: &Memory) -> Time {
        Time(0)
    }

    fn synced(_: &mut World, _: usize, _: &[Write]) {}

    fn revived(world: &mut World, index: usize) {
        world.hand_in_again(index);
    }

    fn hand_out(world: &mut World, index: usize, sends: Vec<Send>, replies: Vec<Reply>) {
        for reply in replies {
            world.tell(Self::party(index), |_| told(&reply));
            world.hear(reply);
        }
        for send in sends {
            world.carry(index, send);
        }
    }

    fn died(world: &mut World, index: usize) {
        world.coordinators[index].calls.clear();
        let lost: Vec<Ticket> =
            world.pending.iter().filter(|(_, of)| **of == index).map(|(ticket, _)| *ticket).collect();
        for ticket in lost {
            world.pending.remove(&ticket);
            world.lost.insert(ticket);
        }
    }
}

impl World {
    /// What a coordinator had accepted is handed in again when it starts, as `services/coordinator` does, and has to end
    /// like anything else (docs/decisions/0015).
    fn hand_in_again(&mut self, index: usize) {
        let kept = coordinator::kept(&self.coordinators[index].node.store);
        let recovered = kept.map_err(|error| error.to_string()).and_then(|kept| {
            let each = kept.into_iter().map(|payload| self.checks.payload(payload).map_err(|error| error.to_string()));
            each.collect::<Result<Vec<_>, _>>()
        });
        match recovered {
            Ok(payloads) => {
                for payload in payloads {
                    self.tickets += 1;
                    let ticket = Ticket(self.tickets);
                    self.pending.insert(ticket, index);
                    self.give::<Coordinator>(index, Input::Submit { ticket, payload: Box::new(payload) });
                }
            }
            Err(error) => {
                self.watch.violation("I12", format!("coordinator {index} kept what nobody can hand in again: {error}"));
            }
        }
    }

    /// A client hears what became of its submission.
    fn hear(&mut self, reply: Reply) {
        let Reply { ticket, event, .. } = reply;
        let end = match &event {
            Event::Committed(committed) => Some(Ok((**committed).clone())),
            Event::Refused(refusal) => Some(Err((**refusal).clone())),
            _ => None,
        };
        assert!(!self.ends.contains_key(&ticket), "nothing comes after the last event of {ticket:?}: {event:?}");
        self.events.entry(ticket).or_default().push(event);
        if let Some(end) = end {
            self.pending.remove(&ticket);
            self.ends.insert(ticket, end);
        }
    }

    /// Makes the call that a coordinator asks for.
    fn carry(&mut self, index: usize, send: Send) {
        let Some(shard) = send.shard() else {
            if let Send::Run(job) = send {
                self.give::<Coordinator>(index, Input::Ran(Box::new(job.run())));
            }
            return;
        };
        let (request, purpose) = match send {
            Send::Run(_) => return, // It goes to no shard.
            Send::Fetch { fetch, keys, codes, .. } => {
                (Request::Read { keys: keys.clone(), codes }, Purpose::Fetch { fetch, keys })
            }
            Send::FetchProofs { fetch, accounts, .. } => {
                (Request::Prove(accounts.clone()), Purpose::Proofs { fetch, accounts })
            }
            Send::SubmitLocal { batch, .. } => {
                let (tickets, payloads) = batch.into_iter().map(|local| (local.ticket, local.payload)).unzip();
                (Request::SubmitLocal(payloads), Purpose::Local(tickets))
            }
            Send::Prepare { batch, .. } => {
                let attempts = batch.iter().map(|prepare| prepare.descriptor.id()).collect();
                let claim = |prepare: coordinator::Prepare| PrepareClaim {
                    descriptor: prepare.descriptor,
                    payload: prepare.payload,
                    homes: prepare.homes.into_iter().map(Verified::into_inner).collect(),
                };
                (Request::Prepare(batch.into_iter().map(claim).collect()), Purpose::Votes { shard, attempts })
            }
            Send::RequestAbort { batch, .. } => {
                let attempts = batch.iter().map(|descriptor| descriptor.id()).collect();
                let claims = batch.iter().map(|descriptor| (&**descriptor).into()).collect();
                (Request::RequestAbort(claims), Purpose::Votes { shard, attempts })
            }
            Send::Decide { batch, .. } => {
                let attempts = batch.iter().map(|proof| proof.attempt()).collect();
                let claims = batch.iter().map(|proof| DecisionClaim {
                    descriptor: proof.descriptor().clone(),
                    votes: proof.votes().iter().map(|vote| (**vote).clone()).collect(),
                });
                (Request::Decide(claims.collect()), Purpose::Decide { shard, attempts })
            }
        };
        let call = self.send_request(Party::Coordinator(index), shard, request);
        self.coordinators[index].calls.insert(call, purpose);
    }

    /// A shard has answered a coordinator.
    pub(crate) fn coordinator_hears(&mut self, index: usize, call: CallId, response: Response) {
        let Some(purpose) = self.coordinators[index].calls.remove(&call) else { return };
        for input in self.inputs_of(purpose, response) {
            self.give::<Coordinator>(index, input);
        }
    }

    fn inputs_of(&self, purpose: Purpose, response: Response) -> Vec<Input> {
        match (purpose, response) {
            (Purpose::Fetch { fetch, keys }, Response::Values { values, codes }) => {
                vec![Input::Fetched { fetch, values: keys.into_iter().zip(values).collect(), codes }]
            }
            (Purpose::Proofs { fetch, accounts }, Response::Proofs(proofs)) => {
                let proven = |account, claim: CodeProof| {
                    let proof = claim.to_data();
                    let fact = self.checks.code(account, claim).ok()?;
                    Some(ProvenCode { hash: fact.hash, since: fact.since, proof })
                };
                let proofs = accounts.into_iter().zip(proofs);
                let proofs = proofs.map(|(account, proof)| (account, proof.and_then(|proof| proven(account, proof))));
                vec![Input::FetchedProofs { fetch, proofs: proofs.collect() }]
            }
            (Purpose::Fetch { fetch, .. } | Purpose::Proofs { fetch, .. }, _) => vec![Input::FetchFailed { fetch }],
            (Purpose::Local(tickets), Response::Done(items)) => {
                let local = |(ticket, item)| Input::Local { ticket, answer: local_answer(item) };
                tickets.into_iter().zip(items).map(local).collect()
            }
            (Purpose::Local(tickets), _) => {
                let local = |ticket| Input::Local { ticket, answer: LocalAnswer::Unreachable };
                tickets.into_iter().map(local).collect()
            }
            (Purpose::Votes { shard, attempts }, Response::Done(items)) => self.votes_of(shard, &attempts, items),
            (Purpose::Decide { shard, attempts }, Response::Done(items)) => {
                let input = |(attempt, item)| match item {
                    Ok(_) => Input::Applied { attempt, shard },
                    Err(rejection) => rejected(attempt, shard, &rejection),
                };
                attempts.into_iter().zip(items).map(input).collect()
            }
            // Said again by the machine's own schedule.
            (Purpose::Votes { .. } | Purpose::Decide { .. }, _) => Vec::new(),
        }
    }

    fn votes_of(&self, shard: ShardId, attempts: &[AttemptId], items: Vec<Result<Done, Rejection>>) -> Vec<Input> {
        let (mut proofs, mut hints, mut inputs): (Vec<VoteProof>, Vec<StateKeyValue>, Vec<Input>) = Default::default();
        for (attempt, item) in attempts.iter().zip(items) {
            match item {
                Ok(Done::Voted { proof, hint }) => {
                    proofs.push(proof);
                    hints.extend(hint.iter().map(fresh));
                }
                Ok(_) => {}
                Err(rejection) => inputs.push(rejected(*attempt, shard, &rejection)),
            }
        }
        if !proofs.is_empty() {
            inputs.push(Input::Votes(Votes { votes: self.believed_votes(proofs), hints }));
        }
        inputs
    }
}

/// An event in a few words.
fn told(reply: &Reply) -> String {
    let ticket = reply.ticket.0;
    match &reply.event {
        Event::Accepted => format!("takes submission {ticket}"),
        Event::Executed { participants } => format!("{ticket} touches {participants:?}"),
        Event::Queued { key } => format!("{ticket} waits for {key}"),
        Event::AwaitsNonce { transaction, state } => format!("{ticket} has nonce {transaction}, it is {state}'s turn"),
        Event::SentLocally { shard } => format!("{ticket} goes to shard {shard} alone"),
        Event::Preparing { attempt, number } => format!("{ticket} is attempt {}, try {number}", short(*attempt)),
        Event::Voted { attempt, shard, verdict } => {
            format!("hears {} of shard {shard} on {}", if verdict.is_yes() { "yes" } else { "no" }, short(*attempt))
        }
        Event::Decided { attempt, decision, .. } => format!("knows: {} {}", decision.name(), short(*attempt)),
        Event::Committed(_) => format!("{ticket} is committed"),
        Event::Refused(refusal) => format!("{ticket} is refused: {refusal}"),
    }
}

fn rejected(attempt: AttemptId, shard: ShardId, rejection: &Rejection) -> Input {
    let objection = match rejection.remedy {
        Remedy::Later => Objection::Later,
        Remedy::Settled => Objection::Settled,
        Remedy::NotLocal | Remedy::Slot { .. } | Remedy::Environment | Remedy::Never => {
            Objection::Never(rejection.text.clone())
        }
    };
    Input::Rejected { attempt, shard, objection }
}

fn local_answer(item: Result<Done, Rejection>) -> LocalAnswer {
    match item {
        Ok(Done::Executed(records)) => {
            LocalAnswer::Executed(records.into_iter().map(|record| record.outcome).collect())
        }
        Ok(_) => LocalAnswer::Unreachable,
        Err(rejection) => match rejection.remedy {
            Remedy::NotLocal => LocalAnswer::NotLocal,
            Remedy::Slot { taken } => LocalAnswer::Slot { taken },
            Remedy::Environment | Remedy::Later => LocalAnswer::Later,
            Remedy::Settled | Remedy::Never => LocalAnswer::Refused(rejection.text),
        },
    }
}

fn fresh(value: &FreshValue) -> StateKeyValue {
    match *value {
        FreshValue::Account(address, account) => (StateKey::Account(address), StateValue::Account(account)),
        FreshValue::Slot(address, slot, number) => (StateKey::Slot(address, slot), StateValue::Slot(number)),
        FreshValue::Fees(key, wei) => (StateKey::Fees(key), StateValue::Fees(wei)),
    }
}
