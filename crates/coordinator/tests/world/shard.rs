//! A shard as a coordinator sees it: the rules of commit, the replay under the witness, its own state and locks.

use super::believed;
use alloy_primitives::{Address, B256, U256};
use commit::coordinator::Objection;
use commit::participant::{Action, Ask, Record, Step};
use commit::{DecisionProof, Descriptor, Participant, Refusal, Rejection, VoteProof};
use dovetail_coordinator::{Input, LocalAnswer, Prepare, ProvenCode, StateKeyValue, StateValue, Votes};
use evm::{
    AccountState, Bytecode, CodeCache, Data, Environment, ExecuteError, Executed, FeesKey, LockMode, Lookup,
    NetworkParams, Outcome, Payload, PayloadVerifier, Placement, Prepared, Replay, Replayer, Slice, State, StateKey,
    View, execute,
};
use primitives::{AttemptId, Epoch, ShardId, Time, Verified, decode};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How far a payload's slot may lie from the shard's.
const SLOTS_APART_MAX: u64 = 4;

struct Staged {
    payload: Payload,
    executed: Executed,
    slice: Slice,
}

pub struct Shard {
    pub me: ShardId,
    pub state: State,
    params: NetworkParams,
    placement: Placement,
    participant: Participant,
    replayer: Replayer,
    /// What the last vote was the commit of.
    pub committed_at_its_vote: Option<(Payload, Vec<Outcome>)>,
    pub records: BTreeMap<AttemptId, Record>,
    staged: BTreeMap<AttemptId, Staged>,
    rounds: BTreeMap<AttemptId, (u32, Time)>,
    outcomes: BTreeMap<B256, Vec<Outcome>>,
    /// Attempts on which it votes no whatever they are, with why.
    pub moods: Vec<Refusal>,
    /// Whose transactions it votes no to, for good.
    pub shuns: Option<Address>,
    /// Gives no hints with a stale no.
    pub taciturn: bool,
    /// Will not act on prepares.
    pub objects: Option<Objection>,
    /// Why it cannot have the values it is asked for.
    pub cannot_read: Option<String>,
    pub prepares: usize,
    /// Says of every code that it cannot prove it.
    pub proves_nothing: bool,
    /// How often it was asked to prove codes.
    pub proofs_asked: Cell<usize>,
}

impl Shard {
    pub fn new(me: ShardId, params: NetworkParams, placement: Placement, genesis: &State) -> Self {
        let accounts = genesis.accounts.iter().filter(|(address, _)| placement.shard_of(**address) == me);
        let epochs = placement.shards().map(|shard| (shard, Epoch(1))).collect();
        Self {
            me,
            state: State {
                accounts: accounts.map(|(address, account)| (*address, *account)).collect(),
                ..State::default()
            },
            participant: Participant::new(params.network, me, epochs),
            replayer: Replayer::new(params.clone(), placement.clone(), Arc::new(CodeCache::default())),
            params,
            placement,
            committed_at_its_vote: None,
            records: BTreeMap::new(),
            staged: BTreeMap::new(),
            rounds: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            moods: Vec::new(),
            shuns: None,
            taciturn: false,
            objects: None,
            cannot_read: None,
            prepares: 0,
            proves_nothing: false,
            proofs_asked: Cell::new(0),
        }
    }

    pub fn fetch(&self, keys: &[StateKey], codes: &[B256]) -> (Vec<StateKeyValue>, Vec<Data>) {
        let values = keys.iter().map(|key| (*key, self.value(*key))).collect();
        let code = |hash| self.state.codes.get(hash).map(|code| Data::from(code.original_bytes()));
        (values, codes.iter().filter_map(code).collect())
    }

    /// Proves codes of its own with bytes that only name them: here nobody lies about a code.
    pub fn prove(&self, accounts: &[Address]) -> Vec<(Address, Option<ProvenCode>)> {
        self.proofs_asked.set(self.proofs_asked.get() + 1);
        let code = |address: &Address| {
            assert_eq!(self.placement.shard_of(*address), self.me, "nobody asks a shard about another's code");
            let account =
                self.state.accounts.get(address).filter(|account| account.has_code() && !self.proves_nothing)?;
            Some(ProvenCode { hash: account.code_hash, since: Time(0), proof: account.code_hash.to_vec().into() })
        };
        accounts.iter().map(|address| (*address, code(address))).collect()
    }

    fn value(&self, key: StateKey) -> StateValue {
        assert_eq!(self.placement.owner(key), self.me, "nobody asks a shard for another's value");
        match key {
            StateKey::Account(address) => StateValue::Account(self.state.accounts.get(&address).copied()),
            StateKey::Slot(address, slot) => {
                StateValue::Slot(self.state.slots.get(&(address, slot)).copied().unwrap_or_default())
            }
            StateKey::Fees(key) => StateValue::Fees(self.state.fees.get(&key).copied().unwrap_or_default()),
        }
    }

    /// Executes a payload on own state alone; says also whether it had not been executed before.
    pub fn local(&mut self, payload: &Payload, now: Time) -> (LocalAnswer, bool) {
        let verifier = PayloadVerifier::new(self.params.clone());
        let Ok(payload) = Verified::by(&verifier, payload.clone()) else { panic!("it was recovered before") };
        let hash = payload.signed().next().map(evm::RecoveredTransaction::hash).unwrap_or_default();
        if let Some(outcomes) = self.outcomes.get(&hash) {
            return (LocalAnswer::Executed(outcomes.clone()), false);
        }
        if self.is_slot_off(payload.payload(), now) {
            return (LocalAnswer::Slot { taken: self.params.slot_at(now) }, false);
        }
        let answer = match execute(&self.params, &self.placement, &payload, &OwnState(self)) {
            Err(ExecuteError::Missing(_)) => LocalAnswer::NotLocal,
            Err(error) => LocalAnswer::Refused(error.to_string()),
            Ok(executed) if self.conflict(&executed.slice(self.me, &self.placement)).is_some() => LocalAnswer::Later,
            Ok(executed) => {
                self.state.apply(&executed.effects.changes).expect("its own codes");
                self.outcomes.insert(hash, executed.effects.outcomes.clone());
                LocalAnswer::Executed(executed.effects.outcomes)
            }
        };
        let is_new = matches!(answer, LocalAnswer::Executed(_));
        (answer, is_new)
    }

    pub fn prepare(&mut self, prepare: &Prepare, now: Time) -> Input {
        self.prepares += 1;
        let descriptor = &*prepare.descriptor;
        let id = descriptor.id();
        if let Some(objection) = &self.objects {
            return self.objection(id, objection.clone());
        }
        let Prepared { payload, witness, proofs } =
            decode(&prepare.payload, commit::PAYLOAD_BYTES_MAX).expect("canonical");
        let verifier = PayloadVerifier::new(self.params.clone());
        let payload = Verified::by(&verifier, payload).expect("well signed").into_inner();
        let proven = proofs.into_iter().map(|(address, proof)| (address, B256::from_slice(&proof.0)));
        assert_eq!(witness.fixed, proven.collect(), "each is proven");
        let claim = Replay { payload: payload.clone(), witness };
        let executed = Verified::by(&self.replayer, claim).expect("an honest witness").into_inner();
        assert_eq!(executed.digest(), descriptor.payload, "R3");
        assert!(executed.participants.iter().eq(descriptor.participants.keys()), "R1");
        assert_eq!(executed.homes, descriptor.homes);
        let slice = executed.slice(self.me, &self.placement);
        let mut hints = Vec::new();
        let ready = || {
            if self.is_slot_off(payload.payload(), now) {
                return Err(Refusal::Slot { taken: self.params.slot_at(now) });
            }
            if let Some(mood) = self.moods.first() {
                return Err(mood.clone());
            }
            if payload.signed().any(|transaction| Some(transaction.sender()) == self.shuns) {
                return Err(Refusal::invalid(7, "it is shunned"));
            }
            if let Some(holder) = self.conflict(&slice) {
                return Err(Refusal::Conflict { holder });
            }
            hints = self.stale(&slice);
            if hints.is_empty() { Ok(()) } else { Err(Refusal::Stale) }
        };
        let step = self.participant.prepare(self.records.get(&id), descriptor, &prepare.homes, now, ready);
        if matches!(&step, Ok(step) if matches!(&step.answer, Some(answer) if !answer.vote().verdict.is_yes())) {
            self.moods.pop();
        }
        if self.taciturn {
            hints.clear();
        }
        self.take(id, step, Some(Staged { payload: payload.payload().clone(), executed, slice }), hints)
    }

    pub fn request_abort(&mut self, descriptor: &Descriptor, now: Time) -> Input {
        let id = descriptor.id();
        let step = self.participant.abort_request(self.records.get(&id), descriptor, now);
        self.take(id, step, None, Vec::new())
    }

    pub fn decide(&mut self, proof: &DecisionProof, now: Time) -> Input {
        let id = proof.attempt();
        let step = self.participant.decision(self.records.get(&id), proof, now);
        match self.take(id, step, None, Vec::new()) {
            Input::Votes(_) => Input::Applied { attempt: id, shard: self.me },
            other => other,
        }
    }

    fn take(
        &mut self,
        id: AttemptId,
        step: Result<Step, Rejection>,
        staged: Option<Staged>,
        hints: Vec<StateKeyValue>,
    ) -> Input {
        let step = match step {
            Ok(step) => step,
            Err(rejection) => return self.objection(id, Objection::Never(rejection.to_string())),
        };
        if let Some(record) = step.write {
            self.records.insert(id, record);
        }
        match (step.action, staged) {
            (Action::Lock, Some(staged)) => {
                self.staged.insert(id, staged);
            }
            (Action::Apply, _) => {
                let staged = self.staged.remove(&id).expect("it was locked");
                self.state.apply(&staged.slice.changes).expect("its own codes");
            }
            (Action::Release, _) => {
                self.staged.remove(&id).expect("it was locked");
            }
            (Action::Commit, Some(staged)) => {
                self.state.apply(&staged.slice.changes).expect("its own codes");
                self.committed_at_its_vote = Some((staged.payload, staged.executed.effects.outcomes.clone()));
            }
            _ => {}
        }
        let vote = step.answer.map(|answer| VoteProof { vote: answer.vote().clone(), evidence: Vec::new() });
        Input::Votes(Votes { votes: vote.map(believed).into_iter().collect(), hints })
    }

    fn objection(&self, attempt: AttemptId, objection: Objection) -> Input {
        Input::Rejected { attempt, shard: self.me, objection }
    }

    fn conflict(&self, slice: &Slice) -> Option<AttemptId> {
        let conflicts = |held: &BTreeMap<StateKey, LockMode>| {
            slice.locks.iter().any(|(key, mode)| held.get(key).is_some_and(|held| !held.is_compatible(*mode)))
        };
        self.staged.iter().find(|(_, staged)| conflicts(&staged.slice.locks)).map(|(id, _)| *id)
    }

    fn stale(&self, slice: &Slice) -> Vec<StateKeyValue> {
        let accounts = slice
            .witness
            .accounts
            .iter()
            .map(|(address, value)| (StateKey::Account(*address), StateValue::Account(*value)));
        let slots = slice.witness.slots.iter();
        let slots = slots.map(|((address, slot), value)| (StateKey::Slot(*address, *slot), StateValue::Slot(*value)));
        let fees = slice.witness.fees.iter().map(|(key, value)| (StateKey::Fees(*key), StateValue::Fees(*value)));
        let claims = accounts.chain(slots).chain(fees).map(|(key, claimed)| (key, claimed, self.value(key)));
        claims.filter(|(_, claimed, actual)| claimed != actual).map(|(key, _, actual)| (key, actual)).collect()
    }

    fn is_slot_off(&self, payload: &Payload, now: Time) -> bool {
        let Environment::Slot(slot) = payload.environment else { return false };
        slot.0.abs_diff(self.params.slot_at(now).0) > SLOTS_APART_MAX
    }

    /// Late attempts, and whom to ask about them.
    pub fn late(&mut self, now: Time) -> Vec<Ask> {
        let mut asks = Vec::new();
        for (id, record) in &self.records {
            let (round, at) = self.rounds.entry(*id).or_insert((0, Time(0)));
            if now >= *at
                && let Some(ask) = self.participant.late(record, *round, now)
            {
                (*round, *at) = (*round + 1, ask.again);
                asks.push(ask);
            }
        }
        asks
    }

    pub fn has_committed(&self, attempt: AttemptId) -> bool {
        matches!(self.records.get(&attempt), Some(Record::Decided { decision: commit::Decision::Commit, .. }))
    }

    pub fn staged(&self, attempt: AttemptId) -> Option<(Payload, Vec<Outcome>)> {
        let staged = self.staged.get(&attempt)?;
        Some((staged.payload.clone(), staged.executed.effects.outcomes.clone()))
    }

    pub fn prepared(&self) -> Vec<AttemptId> {
        self.records.iter().filter(|(_, record)| record.holds_locks()).map(|(id, _)| *id).collect()
    }

    pub fn is_unlocked(&self) -> bool {
        self.staged.is_empty() && self.prepared().is_empty()
    }
}

/// What a shard knows by itself.
struct OwnState<'a>(&'a Shard);

impl OwnState<'_> {
    fn own<T>(&self, key: StateKey, value: Lookup<T>) -> Lookup<T> {
        if self.0.placement.owner(key) == self.0.me { value } else { Lookup::Unknown }
    }
}

impl View for OwnState<'_> {
    fn account(&self, address: Address) -> Lookup<Option<AccountState>> {
        self.own(StateKey::Account(address), self.0.state.account(address))
    }

    fn slot(&self, address: Address, slot: U256) -> Lookup<U256> {
        self.own(StateKey::Slot(address, slot), self.0.state.slot(address, slot))
    }

    fn fees(&self, key: FeesKey) -> Lookup<U256> {
        self.own(StateKey::Fees(key), self.0.state.fees(key))
    }

    fn code(&self, hash: B256) -> Lookup<Bytecode> {
        self.0.state.code(hash)
    }
}
