//! A coordinator by hand: who knows the protocol can drive an attempt step by step, and need not be honest.
//!
//! It executes over what shards say, describes an attempt with a deadline of its own choice, and calls each participant
//! when the scenario says so. Nobody knows it, and nobody has to: participants believe votes and their own state.

use crate::cluster::Cluster;
use alloy_primitives::{Address, B256, Bytes, U256};
use commit::{Descriptor, Verdict, VoteProof};
use coordinator::StateValue;
use evm::{
    AccountState, Bytecode, Data, Environment, ExecuteError, Executed, FeesKey, Lookup, Missing, Payload,
    PayloadVerifier, Prepared, SignedTransaction, StateKey, TransactionKind, View, execute,
};
use eyre::{Result, WrapErr, bail, eyre};
use primitives::{AttemptId, Epoch, Height, Millis, ShardId, Verified, encode};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use world::{DecisionClaim, Done, PrepareClaim, Rejection, Request, Response};

/// How often values may be fetched before a run.
const ROUNDS_COUNT_MAX: usize = 64;

/// An attempt in a stranger's hands, with the votes it has collected.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// What it is.
    pub descriptor: Descriptor,
    /// What it would do.
    pub executed: Executed,
    /// What it was told.
    pub votes: BTreeMap<ShardId, VoteProof>,
    payload: Arc<[u8]>,
}

impl Attempt {
    /// Executes signed transactions over the shards' present state, and describes an attempt at them that lives so long.
    pub fn at<C: Cluster>(cluster: &mut C, transactions: &[Bytes], life: Millis) -> Result<Self> {
        let params = cluster.params().clone();
        let signed = |bytes: &Bytes| TransactionKind::Signed(SignedTransaction(Data(bytes.clone())));
        let slot = Environment::Slot(params.slot_at(cluster.now()));
        let payload = Payload::bundle(slot, transactions.iter().map(signed).collect());
        let recovered = Verified::by(&PayloadVerifier::new(params.clone()), payload.clone())?;
        let mut seen = Seen::default();
        let executed = seen.run(cluster, &recovered)?;
        let prepared = Prepared { payload, witness: executed.witness.clone(), proofs: BTreeMap::new() };
        let descriptor = Descriptor {
            network: params.network,
            participants: executed.participants.iter().map(|shard| (*shard, Epoch(1))).collect(),
            homes: executed.homes.clone(),
            payload: executed.digest(),
            number: 1,
            deadline: cluster.now().after(life),
        };
        Ok(Self { descriptor, executed, votes: BTreeMap::new(), payload: encode(&prepared).into() })
    }

    /// Its id.
    pub fn id(&self) -> AttemptId {
        self.descriptor.id()
    }

    /// Its participants.
    pub fn participants(&self) -> BTreeSet<ShardId> {
        self.descriptor.participants.keys().copied().collect()
    }

    /// Asks a shard for its vote, with the homes' votes as far as they are known; keeps what it says.
    pub fn prepare<C: Cluster>(&mut self, cluster: &mut C, shard: ShardId) -> Result<Verdict> {
        let homes = self.descriptor.homes.iter().filter(|home| **home != shard);
        let claim = PrepareClaim {
            descriptor: Arc::new(self.descriptor.clone()),
            payload: self.payload.clone(),
            homes: homes.filter_map(|home| self.votes.get(home).cloned()).collect(),
        };
        let answer = only(cluster.call(shard, Request::Prepare(vec![claim])))?;
        self.voted(shard, answer)
    }

    /// Asks every participant, homes first; the verdicts.
    pub fn prepare_all<C: Cluster>(&mut self, cluster: &mut C) -> Result<BTreeMap<ShardId, Verdict>> {
        let (homes, rest): (Vec<_>, Vec<_>) =
            self.participants().into_iter().partition(|shard| self.descriptor.homes.contains(shard));
        homes.into_iter().chain(rest).map(|shard| Ok((shard, self.prepare(cluster, shard)?))).collect()
    }

    /// Asks a shard to abort; keeps the vote it answers with.
    pub fn request_abort<C: Cluster>(&mut self, cluster: &mut C, shard: ShardId) -> Result<Verdict> {
        let answer = only(cluster.call(shard, Request::RequestAbort(vec![(&self.descriptor).into()])))?;
        self.voted(shard, answer)
    }

    /// What a shard says that it voted; none if it knows nothing.
    pub fn vote_of<C: Cluster>(&mut self, cluster: &mut C, shard: ShardId) -> Result<Option<Verdict>> {
        match only(cluster.call(shard, Request::QueryVotes(vec![self.id()])))? {
            Ok(Done::Unknown) => Ok(None),
            answer => self.voted(shard, answer).map(Some),
        }
    }

    fn voted(&mut self, shard: ShardId, answer: Result<Done, Rejection>) -> Result<Verdict> {
        match answer {
            Ok(Done::Voted { proof, .. }) => {
                let verdict = proof.vote.verdict.clone();
                self.votes.insert(shard, proof);
                Ok(verdict)
            }
            Ok(other) => bail!("shard {shard} answered a question for its vote with {other:?}"),
            Err(rejection) => bail!("shard {shard} did not vote: {}", rejection.text),
        }
    }

    /// Hands a shard the votes there are as a decision.
    pub fn decide<C: Cluster>(&self, cluster: &mut C, shard: ShardId) -> Result<Result<Height, Rejection>> {
        self.decide_by(cluster, shard, self.votes.values().cloned().collect())
    }

    /// Hands a shard these votes as a decision.
    pub fn decide_by<C: Cluster>(
        &self,
        cluster: &mut C,
        shard: ShardId,
        votes: Vec<VoteProof>,
    ) -> Result<Result<Height, Rejection>> {
        let claim = DecisionClaim { descriptor: self.descriptor.clone(), votes };
        match only(cluster.call(shard, Request::Decide(vec![claim])))? {
            Ok(Done::Decided(height)) => Ok(Ok(height)),
            Ok(other) => bail!("shard {shard} answered a decision with {other:?}"),
            Err(rejection) => Ok(Err(rejection)),
        }
    }
}

fn only(response: Response) -> Result<Result<Done, Rejection>> {
    match response {
        Response::Done(mut items) if items.len() == 1 => Ok(items.remove(0)),
        other => bail!("one question was answered with {other:?}"),
    }
}

/// What the stranger has seen of the state.
#[derive(Debug, Default)]
struct Seen {
    values: BTreeMap<StateKey, StateValue>,
    codes: BTreeMap<B256, Bytecode>,
}

impl Seen {
    fn run<C: Cluster>(&mut self, cluster: &mut C, payload: &evm::RecoveredPayload) -> Result<Executed> {
        for _ in 0..ROUNDS_COUNT_MAX {
            match execute(cluster.params(), cluster.placement(), payload, self) {
                Ok(executed) => return Ok(executed),
                Err(ExecuteError::Missing(missing)) => {
                    missing.into_iter().try_for_each(|missing| self.fetch(cluster, missing))?;
                }
                Err(error) => return Err(error).wrap_err("a stranger's transaction does not run"),
            }
        }
        bail!("after {ROUNDS_COUNT_MAX} rounds a run still lacks values")
    }

    fn fetch<C: Cluster>(&mut self, cluster: &mut C, missing: Missing) -> Result<()> {
        match missing {
            Missing::Key(key) => {
                self.values.insert(key, crate::cluster::look(cluster, key)?.value);
            }
            Missing::Code { account, hash } => {
                let shard = cluster.placement().shard_of(account);
                let code = cluster.code(shard, hash).ok_or_else(|| eyre!("shard {shard} lacks code {hash}"))?;
                self.codes.insert(hash, Bytecode::new_raw(code.0));
            }
            // A stranger has no proof at hand, and its view says so before anybody asks.
            Missing::CodeProof(_) => {}
        }
        Ok(())
    }

    fn number(&self, key: StateKey) -> Lookup<U256> {
        match self.values.get(&key) {
            Some(StateValue::Slot(number) | StateValue::Fees(number)) => Lookup::Known(*number),
            _ => Lookup::Unknown,
        }
    }
}

impl View for Seen {
    fn account(&self, address: Address) -> Lookup<Option<AccountState>> {
        match self.values.get(&StateKey::Account(address)) {
            Some(StateValue::Account(account)) => Lookup::Known(*account),
            _ => Lookup::Unknown,
        }
    }

    fn slot(&self, address: Address, slot: U256) -> Lookup<U256> {
        self.number(StateKey::Slot(address, slot))
    }

    fn fees(&self, key: FeesKey) -> Lookup<U256> {
        self.number(StateKey::Fees(key))
    }

    fn code(&self, hash: B256) -> Lookup<Bytecode> {
        self.codes.get(&hash).cloned().map_or(Lookup::Unknown, Lookup::Known)
    }
}
