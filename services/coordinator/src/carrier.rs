//! The coordinator's hands: calls shards for the machine, checks votes, and tells the machine and the lives what came.

use crate::batching::Batching;
use crate::lives::{Lives, Lost};
use crate::shards::Shards;
use crate::traces::Traces;
use alloy_primitives::Address;
use commit::coordinator::Objection;
use commit::{DecisionProof, Descriptor, VoteProof};
use coordinator::{
    Event, FetchId, Input, Job, LocalAnswer, LocalSubmission, Prepare, ProvenCode, Reply, Send, StateKeyValue,
    StateValue, Votes,
};
use evm::{Placement, StateKey};
use futures_util::future::join_all;
use host::network::Network;
use host::{Class, Handle, Handout, Instruments, Seen};
use primitives::{AttemptId, ShardId, Verified};
use proof::ReceiptVerifier;
use shard::{CodeProof, CodeVerifier, VoteVerifier, certified_by};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::mpsc;
use wire::limits::{STATE_PROOF_BYTES_MAX, STATE_VALUE_BYTES_MAX};
use wire::participant::{AbortRequest, Answers, DecisionClaim, VoteAnswer};
use wire::shard::StateProofs;
use wire::traces::{Context, Side};
use wire::{Reason, Rejection};

/// As many votes are checked where they arrive: most are of one block, so that one signature serves all.
const VOTES_HERE_COUNT_MAX: usize = 16;

/// An attempt whose run was charged as much is prepared by a call of its own: an answer waits for its whole batch, and its
/// replay takes some milliseconds, where most take none.
const GAS_ALONE_MIN: u64 = 1_000_000;

/// Clients of all shards, and the checks of what they say.
#[derive(Debug)]
pub(crate) struct Carrier {
    handle: Handle<Input, Reply>,
    shards: Arc<Shards>,
    lives: Arc<Lives>,
    instruments: Instruments,
    verifier: Arc<ReceiptVerifier>,
    seen: Arc<Seen>,
    traces: Arc<Traces>,
    placement: Placement,
    /// Whether codes stay where they are, so that a proof of one is worth something: not where state is set.
    has_fixed_code: bool,
}

impl Carrier {
    /// Checks what shards of `network` say.
    pub(crate) fn verifier(network: &Network) -> ReceiptVerifier {
        let validators = network.validators.iter().map(|(shard, set)| (*shard, set.clone()));
        ReceiptVerifier::with(network.params.network, validators)
    }

    /// For `network`.
    pub(crate) fn new(
        network: &Network,
        handle: Handle<Input, Reply>,
        verifier: ReceiptVerifier,
        (shards, lives, seen, traces): (Arc<Shards>, Arc<Lives>, Arc<Seen>, Arc<Traces>),
        instruments: Instruments,
    ) -> Self {
        let (verifier, placement) = (Arc::new(verifier), network.placement.clone());
        let has_fixed_code = !network.params.environments.has_cheats();
        Self { handle, shards, lives, instruments, verifier, seen, traces, placement, has_fixed_code }
    }

    /// Does what the machine asks for until the host ends.
    pub(crate) async fn carry(self: Arc<Self>, mut handouts: mpsc::Receiver<Handout<Send, Reply>>) {
        let mut lanes = BTreeMap::new();
        while let Some(handout) = handouts.recv().await {
            self.traces.note(&handout.notices);
            for send in handout.sends {
                self.begin(&mut lanes, send);
            }
            self.count(&handout.notices);
            for lost in self.lives.note(handout.notices) {
                tokio::spawn(Arc::clone(&self).report(lost));
            }
        }
    }

    /// Counts what was decided: all submissions of one attempt are told one after the other.
    fn count(&self, notices: &[Reply]) {
        let decided = notices.iter().filter_map(|reply| match &reply.event {
            Event::Decided { attempt, decision, .. } => Some((*attempt, *decision)),
            _ => None,
        });
        let decided: Vec<_> = decided.collect();
        for together in decided.chunk_by(|one, other| one.0 == other.0) {
            let [(_, decision), ..] = together else { continue };
            self.instruments.decided(decision.name(), together.len() as u64);
        }
    }

    /// Says that an accepted submission ended without a commit; unless it has committed by another coordinator's hands, or by
    /// this one's before a restart.
    async fn report(self: Arc<Self>, lost: Lost) {
        let Some(first) = lost.transactions.first() else { return };
        let (hash, sender, nonce) = (first.hash, first.sender, first.nonce);
        if let Ok(peer) = self.shards.peer(self.placement.shard_of(sender))
            && peer.shard.outcome(hash).await.is_ok()
        {
            return;
        }
        self.instruments.accepted_refused();
        tracing::warn!(transaction = %hash, %sender, nonce, reason = lost.reason, "accepted, and ended without a commit");
    }

    /// What every transaction needs goes with others'; the rest is done on its own.
    fn begin(self: &Arc<Self>, lanes: &mut BTreeMap<ShardId, Lane>, send: Send) {
        match send {
            Send::SubmitLocal { shard, batch } => self.lane(lanes, shard).locals.send(batch),
            Send::Prepare { shard, batch } => {
                let (light, heavy) = by_weight(batch);
                self.lane(lanes, shard).prepares.send(light);
                for alone in heavy {
                    tokio::spawn(Arc::clone(self).act(Send::Prepare { shard, batch: vec![alone] }));
                }
            }
            Send::Decide { shard, batch } => self.lane(lanes, shard).decisions.send(batch),
            other => drop(tokio::spawn(Arc::clone(self).act(other))),
        }
    }

    fn lane<'a>(self: &Arc<Self>, lanes: &'a mut BTreeMap<ShardId, Lane>, shard: ShardId) -> &'a Lane {
        lanes.entry(shard).or_insert_with(|| Lane::start(self, shard))
    }

    async fn act(self: Arc<Self>, send: Send) {
        match send {
            Send::Run(job) => self.run(job).await,
            Send::Fetch { shard, fetch, keys, codes } => self.fetch(shard, fetch, keys, codes).await,
            Send::FetchProofs { shard, fetch, accounts } => self.fetch_proofs(shard, fetch, accounts).await,
            Send::SubmitLocal { shard, batch } => self.submit_local(shard, batch).await,
            Send::Prepare { shard, batch } => self.prepare(shard, batch).await,
            Send::RequestAbort { shard, batch } => self.request_abort(shard, batch).await,
            Send::Decide { shard, batch } => self.decide(shard, batch).await,
        }
    }

    /// Makes a run on a thread of its own. One that panics is a bug, and is asked for again.
    async fn run(&self, job: Job) {
        if let Ok(ran) = tokio::task::spawn_blocking(move || job.run()).await {
            self.tell(Input::Ran(Box::new(ran))).await;
        }
    }

    async fn tell(&self, input: Input) {
        // A host that stops takes no more; participants finish without it (R8).
        let _ = self.handle.tell(Class::UnderWay, input).await;
    }

    async fn fetch(&self, shard: ShardId, fetch: FetchId, keys: Vec<StateKey>, codes: Vec<alloy_primitives::B256>) {
        let read = match self.shards.peer(shard) {
            Ok(peer) => peer.shard.read_state(&keys, &codes.into_iter().collect::<BTreeSet<_>>()).await,
            Err(rejection) => Err(rejection),
        };
        match read {
            Ok(read) => {
                let values = keys.into_iter().zip(read.values.iter().map(|read| state_value(read.value))).collect();
                self.tell(Input::Fetched { fetch, values, codes: read.codes.into_values().collect() }).await;
            }
            Err(Rejection { reason: Reason::ForkUnavailable, message, .. }) => {
                self.tell(Input::FetchRefused { fetch, reason: message }).await;
            }
            Err(rejection) => {
                tracing::debug!(%shard, %rejection, "values not fetched");
                self.tell(Input::FetchFailed { fetch }).await;
            }
        }
    }

    /// Asks a shard to prove codes. What it cannot prove, or what proves nothing, is no proof: then it takes part itself.
    async fn fetch_proofs(&self, shard: ShardId, fetch: FetchId, accounts: Vec<Address>) {
        if !self.has_fixed_code {
            let proofs = accounts.into_iter().map(|account| (account, None)).collect();
            return self.tell(Input::FetchedProofs { fetch, proofs }).await;
        }
        let asks = accounts.into_iter().map(|account| async move {
            match self.shards.peer(shard)?.shard.prove_state(account, &[]).await {
                Ok(proven) => Ok((account, self.proven_code(account, proven))),
                Err(rejection) if rejection.is_retryable() => Err(rejection),
                Err(_) => Ok((account, None)),
            }
        });
        match join_all(asks).await.into_iter().collect::<Result<_, Rejection>>() {
            Ok(proofs) => self.tell(Input::FetchedProofs { fetch, proofs }).await,
            Err(rejection) => {
                tracing::debug!(%shard, %rejection, "proofs of codes not fetched");
                self.tell(Input::FetchFailed { fetch }).await;
            }
        }
    }

    fn proven_code(&self, account: Address, proven: StateProofs) -> Option<ProvenCode> {
        let StateProofs { header, certificate, proofs } = proven;
        let first = proofs.into_iter().next().filter(|first| !first.value.is_empty())?;
        let state = primitives::decode(&first.value, STATE_VALUE_BYTES_MAX).ok()?;
        let path = primitives::decode(&first.proof, STATE_PROOF_BYTES_MAX).ok()?;
        let proof = CodeProof { header, certificate, account: state, proof: path };
        let bytes = proof.to_data();
        match Verified::by(&CodeVerifier::new(&self.verifier, &self.placement), (account, proof)) {
            Ok(fact) => Some(ProvenCode { hash: fact.hash, since: fact.since, proof: bytes }),
            Err(error) => {
                tracing::warn!(%account, %error, "a proof of a code was not believed");
                None
            }
        }
    }

    async fn submit_local(&self, shard: ShardId, batch: Vec<LocalSubmission>) {
        let (tickets, payloads): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|local| (local.ticket, local.payload)).unzip();
        let answers = match self.shards.peer(shard) {
            Ok(peer) => {
                let above = self.traces.of_tickets(&tickets);
                self.traced("submit", &above, peer.shard.submit_local(&payloads)).await
            }
            Err(rejection) => Err(rejection),
        };
        match answers {
            Ok(answers) => {
                for (ticket, answer) in tickets.into_iter().zip(answers) {
                    let answer = match answer {
                        Ok(records) => {
                            LocalAnswer::Executed(records.into_iter().map(|record| record.outcome).collect())
                        }
                        Err(rejection) => local_refusal(&rejection),
                    };
                    self.tell(Input::Local { ticket, answer }).await;
                }
            }
            Err(rejection) => {
                let answer =
                    if rejection.reason == Reason::Busy { LocalAnswer::Later } else { LocalAnswer::Unreachable };
                for ticket in tickets {
                    self.tell(Input::Local { ticket, answer: answer.clone() }).await;
                }
            }
        }
    }

    async fn prepare(&self, shard: ShardId, batch: Vec<Prepare>) {
        let attempts: Vec<AttemptId> = batch.iter().map(|prepare| prepare.descriptor.id()).collect();
        let prepares = batch.into_iter().map(|prepare| wire::participant::Prepare {
            descriptor: (*prepare.descriptor).clone(),
            payload: prepare.payload.to_vec().into(),
            homes: prepare.homes.into_iter().map(primitives::Verified::into_inner).collect(),
        });
        let prepares: Vec<_> = prepares.collect();
        let answers = match self.shards.peer(shard) {
            Ok(peer) => {
                let above = self.traces.of_attempts(&attempts);
                self.traced("prepare", &above, peer.participant.prepare(prepares)).await
            }
            Err(rejection) => Err(rejection),
        };
        self.votes(shard, &attempts, answers).await;
    }

    async fn request_abort(&self, shard: ShardId, batch: Vec<Arc<Descriptor>>) {
        let attempts: Vec<AttemptId> = batch.iter().map(|descriptor| descriptor.id()).collect();
        let requests: Vec<AbortRequest> = batch.iter().map(|descriptor| (&**descriptor).into()).collect();
        let answers = match self.shards.peer(shard) {
            Ok(peer) => {
                let above = self.traces.of_attempts(&attempts);
                self.traced("request abort", &above, peer.participant.request_abort(requests)).await
            }
            Err(rejection) => Err(rejection),
        };
        self.votes(shard, &attempts, answers).await;
    }

    /// A call to a shard, as a span of each trace that it is part of.
    async fn traced<F: Future>(&self, name: &str, above: &[Context], call: F) -> F::Output {
        self.traces.tracer().follow(Side::Caller, name, above, call).await
    }

    /// Checks the votes among the answers and hands all to the machine at once.
    async fn votes(&self, shard: ShardId, attempts: &[AttemptId], answers: Result<Answers<VoteAnswer>, Rejection>) {
        let answers = match answers {
            Ok(answers) => answers,
            Err(rejection) => {
                tracing::debug!(%shard, %rejection, "no votes came");
                return; // The machine says it again by its own schedule.
            }
        };
        let (mut proofs, mut hints) = (Vec::new(), Vec::new());
        for (attempt, answer) in attempts.iter().zip(answers) {
            match answer {
                Ok(VoteAnswer::Vote { proof, hint }) => {
                    proofs.push(proof);
                    hints.extend(hint.into_iter().map(|fresh| (fresh.key, state_value(fresh.value))));
                }
                Ok(VoteAnswer::Unknown) => {}
                Err(rejection) => self.rejected(*attempt, shard, &rejection).await,
            }
        }
        if let Some(votes) = self.check(proofs, hints).await {
            self.tell(Input::Votes(votes)).await;
        }
    }

    async fn check(&self, proofs: Vec<VoteProof>, hints: Vec<StateKeyValue>) -> Option<Votes> {
        if proofs.is_empty() {
            return None;
        }
        let (count, verifier, seen) = (proofs.len(), Arc::clone(&self.verifier), Arc::clone(&self.seen));
        let check = move || {
            let (mut votes, failed) = VoteVerifier::new(&verifier).votes(proofs);
            votes.iter().filter_map(|vote| certified_by(vote)).for_each(|certified| seen.note(&certified));
            votes.retain(|vote| seen.is_believed(vote.vote.shard));
            (votes, failed)
        };
        let (votes, failed) =
            if count <= VOTES_HERE_COUNT_MAX { check() } else { tokio::task::spawn_blocking(check).await.ok()? };
        for error in failed {
            tracing::warn!(%error, "a vote was not believed");
        }
        Some(Votes { votes, hints })
    }

    async fn decide(&self, shard: ShardId, batch: Vec<Arc<DecisionProof>>) {
        let claims: Vec<DecisionClaim> = batch.iter().map(|proof| claim(proof)).collect();
        let results = match self.shards.peer(shard) {
            Ok(peer) => {
                let attempts: Vec<AttemptId> = batch.iter().map(|proof| proof.attempt()).collect();
                let above = self.traces.of_attempts(&attempts);
                self.traced("decide", &above, peer.decisions.decide(claims)).await
            }
            Err(rejection) => Err(rejection),
        };
        let Ok(results) = results else { return };
        for (proof, result) in batch.iter().zip(results) {
            let attempt = proof.attempt();
            match result {
                Ok(height) => {
                    self.lives.decisions().note_applied(attempt, shard, height);
                    self.tell(Input::Applied { attempt, shard }).await;
                }
                Err(rejection) => self.rejected(attempt, shard, &rejection).await,
            }
        }
    }

    async fn rejected(&self, attempt: AttemptId, shard: ShardId, rejection: &Rejection) {
        let objection = match rejection.reason {
            Reason::Settled => Objection::Settled,
            _ if rejection.is_retryable() => Objection::Later,
            _ => Objection::Never(rejection.to_string()),
        };
        self.tell(Input::Rejected { attempt, shard, objection }).await;
    }
}

/// What is said to one shard in batches.
#[derive(Debug)]
struct Lane {
    locals: Batching<LocalSubmission>,
    prepares: Batching<Prepare>,
    decisions: Batching<Arc<DecisionProof>>,
}

impl Lane {
    fn start(carrier: &Arc<Carrier>, shard: ShardId) -> Self {
        let act = |carrier: &Arc<Carrier>, send| Arc::clone(carrier).act(send);
        let [for_locals, for_prepares, for_decisions] = [carrier, carrier, carrier].map(Arc::clone);
        Self {
            locals: Batching::start(move |batch| act(&for_locals, Send::SubmitLocal { shard, batch })),
            prepares: Batching::start(move |batch| act(&for_prepares, Send::Prepare { shard, batch })),
            decisions: Batching::start(move |batch| act(&for_decisions, Send::Decide { shard, batch })),
        }
    }
}

/// Prepares that go together, and those that go alone.
fn by_weight(batch: Vec<Prepare>) -> (Vec<Prepare>, Vec<Prepare>) {
    batch.into_iter().partition(|prepare| prepare.gas < GAS_ALONE_MIN)
}

/// A decision as it travels.
pub(crate) fn claim(proof: &DecisionProof) -> DecisionClaim {
    DecisionClaim {
        descriptor: proof.descriptor().clone(),
        votes: proof.votes().iter().map(|vote| (**vote).clone()).collect(),
    }
}

fn local_refusal(rejection: &Rejection) -> LocalAnswer {
    match rejection.reason {
        Reason::NotLocal => LocalAnswer::NotLocal,
        Reason::WrongSlot => rejection.slot.map_or(LocalAnswer::Later, |taken| LocalAnswer::Slot { taken }),
        _ if rejection.is_retryable() => LocalAnswer::Later,
        _ => LocalAnswer::Refused(rejection.message.clone()),
    }
}

fn state_value(value: wire::state::StateValue) -> StateValue {
    match value {
        wire::state::StateValue::Account(account) => StateValue::Account(account),
        wire::state::StateValue::Slot(number) => StateValue::Slot(number),
        wire::state::StateValue::Fees(wei) => StateValue::Fees(wei),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::{Digest, Epoch, NetworkId, Time};

    fn prepare(number: u32, gas: u64) -> Prepare {
        let descriptor = Descriptor {
            network: NetworkId(1),
            participants: [(ShardId(0), Epoch(1)), (ShardId(1), Epoch(1))].into(),
            homes: [ShardId(0)].into(),
            payload: Digest::new([7; 32]),
            number,
            deadline: Time(1_000),
        };
        Prepare { descriptor: Arc::new(descriptor), payload: Arc::from([]), homes: Vec::new(), gas }
    }

    #[test]
    fn a_transfers_vote_does_not_wait_for_the_replay_of_what_burns_much() {
        let batch = vec![prepare(1, 21_000), prepare(2, 16_000_000), prepare(3, 60_000)];
        let (light, heavy) = by_weight(batch);
        let numbers = |batch: Vec<Prepare>| batch.iter().map(|prepare| prepare.descriptor.number).collect::<Vec<_>>();
        assert_eq!((numbers(light), numbers(heavy)), (vec![1, 3], vec![2]));
    }
}
