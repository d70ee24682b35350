//! Reads of the whole network at one moment, straight from the shards.
//!
//! ```text
//! run over what is known --missing--> fetch from the owners --> run again … --> complete
//!     after a closed block:  the answer; what was fetched is remembered
//!     the newest state:      fetch all again; nothing changed, nothing about to change --> the answer
//! ```
//!
//! Promise (I17): a read shows all or none of an attempt. After a closed block nothing changes any more, so whatever is
//! fetched when is of one moment. Of the newest state, values that were all the same before and after a moment, and that
//! no undecided attempt may change, held together at that moment.
//! Kept between two reads are codes and the state after closed blocks, which never change.

use crate::calls::{CALL_DURATION_MAX, Calls, FORKED_CALL_DURATION_MAX};
use crate::closed::{Closed, State};
use crate::shards::{Shards, named};
use alloy_primitives::{Address, B256, U256};
use evm::{
    AccountState, Bytecode, CodeCache, Data, FeesKey, Ground, Lookup, Missing, StateKey, SystemTransaction, Travels,
    View,
};
use futures_util::future::{join_all, try_join_all};
use host::network::Network;
use primitives::{ShardId, Slot};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use wire::jsonrpc::{Moment, Run, RunFailure};
use wire::limits::STATE_KEYS_COUNT_MAX;
use wire::shard::StateRead;
use wire::state::{OutcomeRecord, StateValue};
use wire::{Reason, Rejection};

/// How often one read goes to fetch what it lacks.
const FETCH_ROUNDS_COUNT_MAX: usize = 1024;

/// How often one read is begun again because something changed under it.
const TRIES_COUNT_MAX: usize = 50;

/// The pause before a read is begun again.
const TRY_PAUSE: Duration = Duration::from_millis(5);

/// Reads over all shards.
#[derive(Debug)]
pub(crate) struct Reads {
    network: Arc<Network>,
    shards: Arc<Shards>,
    codes: Arc<CodeCache>,
    closed: Closed,
    calls: Calls,
}

/// What one read may look at: what it has fetched so far, and what is known anyway.
#[derive(Debug, Default)]
struct Known {
    values: BTreeMap<StateKey, StateValue>,
    codes: BTreeMap<B256, Bytecode>,
    /// What undecided attempts may change.
    locked: BTreeSet<StateKey>,
    /// Of the closed block that is read, if one is.
    closed: Arc<State>,
    cached: Arc<CodeCache>,
}

impl Reads {
    /// Over the shards of `network`.
    pub(crate) fn new(network: Arc<Network>, shards: Arc<Shards>) -> Self {
        let is_forked = network.genesis.forked.is_some();
        let calls = Calls::new(if is_forked { FORKED_CALL_DURATION_MAX } else { CALL_DURATION_MAX });
        Self { network, shards, codes: Arc::default(), closed: Closed::new(), calls }
    }

    /// Nothing fetched yet.
    fn nothing(&self) -> Known {
        Known { cached: Arc::clone(&self.codes), ..Known::default() }
    }

    /// The values of `keys` at `moment`.
    pub(crate) async fn values(
        &self,
        keys: &BTreeSet<StateKey>,
        moment: Moment,
    ) -> Result<BTreeMap<StateKey, StateValue>, Rejection> {
        let missing: BTreeSet<Missing> = keys.iter().map(|key| Missing::Key(*key)).collect();
        let run = |known: Known| {
            let values: Option<BTreeMap<_, _>> = keys.iter().map(|key| Some((*key, known.value(key)?))).collect();
            std::future::ready((known, values.ok_or_else(|| Failure::Missing(missing.clone()))))
        };
        self.at(moment, run).await
    }

    /// A code by its hash, from a shard that should have it.
    pub(crate) async fn code(&self, owner: ShardId, hash: B256) -> Result<Data, Rejection> {
        if hash == AccountState::EMPTY.code_hash {
            return Ok(Data::default());
        }
        if let Some(code) = self.codes.get(hash) {
            return Ok(Data(code.original_bytes()));
        }
        let mut read = self
            .shards
            .sound(owner)?
            .shard
            .read_state(&[], &BTreeSet::from([hash]))
            .await
            .map_err(|rejection| named(owner, rejection))?;
        let code =
            read.codes.remove(&hash).ok_or_else(|| Rejection::new(Reason::NotFound, format!("no code {hash}")))?;
        // The client has checked that it hashes so; the cache checks again.
        let _ = self.codes.code(hash, &code);
        Ok(code)
    }

    /// What `run` comes to on the state of `moment`, in the block of `slot`: in its turn, off the threads that serve, within a
    /// deadline.
    pub(crate) async fn over<T: Send + 'static>(
        &self,
        moment: Moment,
        (slot, travels): (Slot, Travels),
        run: Run<T>,
    ) -> Result<T, Rejection> {
        let in_turn = |known| {
            let (network, run, travels) = (Arc::clone(&self.network), Arc::clone(&run), travels.clone());
            let once = move || {
                let ground = Ground::travelled(&network.params, &network.placement, slot, travels);
                let ran = run(&ground, &known);
                (known, ran.map_err(Failure::from))
            };
            async move {
                let refused = |rejection| (Known::default(), Err(Failure::Refused(Box::new(rejection))));
                self.calls.run(once).await.unwrap_or_else(refused)
            }
        };
        self.calls.within(self.at(moment, in_turn)).await
    }

    /// What `brief` comes to on the state of `moment`, in the block of `slot`: here, since it takes a bounded time; within a
    /// deadline.
    pub(crate) async fn briefly<T: Send + 'static>(
        &self,
        moment: Moment,
        (slot, travels): (Slot, Travels),
        brief: &Run<T>,
    ) -> Result<T, Rejection> {
        let here = |known| {
            let (params, placement) = (&self.network.params, &self.network.placement);
            let ground = Ground::travelled(params, placement, slot, travels.clone());
            let ran = brief(&ground, &known).map_err(Failure::from);
            std::future::ready((known, ran))
        };
        self.calls.within(self.at(moment, here)).await
    }

    /// Runs `run` over the state of `moment`.
    async fn at<T, R>(&self, moment: Moment, run: impl Fn(Known) -> R) -> Result<T, Rejection>
    where
        R: Future<Output = (Known, Result<T, Failure>)>,
    {
        match moment {
            Moment::After(slot) => self.complete(&mut self.nothing(), Some(slot), run).await,
            Moment::Newest => self.newest(run).await,
        }
    }

    /// Runs `run` until it lacks nothing and all it read held at one moment.
    async fn newest<T, R>(&self, run: impl Fn(Known) -> R) -> Result<T, Rejection>
    where
        R: Future<Output = (Known, Result<T, Failure>)>,
    {
        let (mut known, mut locked) = (self.nothing(), BTreeSet::new());
        for _ in 0..TRIES_COUNT_MAX {
            let result = self.complete(&mut known, None, &run).await;
            let (before, mut again) = (known.values.clone(), self.nothing());
            self.fetch(&mut again, before.keys().map(|key| Missing::Key(*key)).collect(), None).await?;
            if again.values == before && again.locked.is_empty() {
                return result;
            }
            (known.values, locked) = (again.values, again.locked);
            tokio::time::sleep(TRY_PAUSE).await;
        }
        self.check_decided(&locked).await?;
        Err(Rejection::new(Reason::Stale, "what the call reads never stood still"))
    }

    /// Fails, with the attempt and its shards, for a key that an attempt of a closed slot may still change: then a shard does not
    /// answer, and trying again is of no use yet.
    async fn check_decided(&self, locked: &BTreeSet<StateKey>) -> Result<(), Rejection> {
        let mut keys: BTreeMap<ShardId, Vec<StateKey>> = BTreeMap::new();
        for key in locked {
            keys.entry(self.network.placement.owner(*key)).or_default().push(*key);
        }
        let checks = keys.iter().map(|(shard, keys)| async move {
            let status = self.shards.sound(*shard)?.shard.status().await.map_err(|error| named(*shard, error))?;
            let Some(closed) = status.open.0.checked_sub(1).map(Slot) else { return Ok(()) };
            self.ask(*shard, keys, &BTreeSet::new(), Some(closed)).await.map(drop)
        });
        try_join_all(checks).await.map(drop)
    }

    async fn complete<T, R>(
        &self,
        known: &mut Known,
        after: Option<Slot>,
        run: impl Fn(Known) -> R,
    ) -> Result<T, Rejection>
    where
        R: Future<Output = (Known, Result<T, Failure>)>,
    {
        for _ in 0..FETCH_ROUNDS_COUNT_MAX {
            known.closed = after.map(|slot| self.closed.state(slot)).unwrap_or_default();
            let (back, result) = run(std::mem::take(known)).await;
            *known = back;
            match result {
                Ok(value) => return Ok(value),
                Err(Failure::Missing(missing)) => self.fetch(known, missing, after).await?,
                Err(Failure::Refused(rejection)) => return Err(*rejection),
            }
        }
        Err(Rejection::new(Reason::OverBound, format!("the call reads more than {FETCH_ROUNDS_COUNT_MAX} times")))
    }

    /// Fetches what is missing from its owners, all shards at once: the newest, or what it was after a closed slot.
    async fn fetch(&self, known: &mut Known, missing: BTreeSet<Missing>, after: Option<Slot>) -> Result<(), Rejection> {
        let (mut keys, mut codes): (BTreeMap<ShardId, Vec<StateKey>>, BTreeMap<ShardId, BTreeSet<B256>>) =
            Default::default();
        for missing in missing {
            match missing {
                Missing::Key(key) => keys.entry(self.network.placement.owner(key)).or_default().push(key),
                // A read has no participants to save, and its view says of every code that there is no proof.
                Missing::CodeProof(_) => {}
                Missing::Code { hash, account } => match self.codes.get(hash) {
                    Some(code) => drop(known.codes.insert(hash, code)),
                    None => drop(codes.entry(self.network.placement.shard_of(account)).or_default().insert(hash)),
                },
            }
        }
        let shards: BTreeSet<ShardId> = keys.keys().chain(codes.keys()).copied().collect();
        let none = BTreeSet::new();
        let asks = shards.into_iter().map(|shard| {
            let keys = keys.get(&shard).map(Vec::as_slice).unwrap_or_default();
            self.ask(shard, keys, codes.get(&shard).unwrap_or(&none), after)
        });
        for (asked, read) in try_join_all(asks).await? {
            let locked = asked.iter().zip(&read.values).filter(|(_, value)| value.locked_by.is_some());
            known.locked.extend(locked.map(|(key, _)| *key));
            let values = asked.into_iter().zip(read.values.into_iter().map(|value| value.value));
            let values: Vec<(StateKey, StateValue)> = values.collect();
            if let Some(slot) = after {
                self.closed.add(slot, values.iter().copied());
            }
            known.values.extend(values);
            for (hash, code) in read.codes {
                let code = self
                    .codes
                    .code(hash, &code)
                    .map_err(|error| Rejection::new(Reason::PeerFault, error.to_string()))?;
                known.codes.insert(hash, code);
            }
        }
        Ok(())
    }

    async fn ask(
        &self,
        shard: ShardId,
        keys: &[StateKey],
        codes: &BTreeSet<B256>,
        after: Option<Slot>,
    ) -> Result<(Vec<StateKey>, StateRead), Rejection> {
        let client = &self.shards.sound(shard)?.shard;
        let named = |rejection| named(shard, rejection);
        let first = &keys[..keys.len().min(STATE_KEYS_COUNT_MAX)];
        let mut whole = client.read_state_after(first, codes, after).await.map_err(named)?;
        for part in keys.chunks(STATE_KEYS_COUNT_MAX).skip(1) {
            whole.values.extend(client.read_state_after(part, &BTreeSet::new(), after).await.map_err(named)?.values);
        }
        Ok((keys.to_vec(), whole))
    }

    /// The first slot after which every shard keeps its state.
    pub(crate) async fn oldest(&self) -> Result<Slot, Rejection> {
        let asks = self.shards.ids().map(|shard| async move {
            let status = self.shards.sound(shard)?.shard.status().await;
            status.map(|status| status.history).map_err(|rejection| named(shard, rejection))
        });
        Ok(try_join_all(asks).await?.into_iter().max().unwrap_or(Slot(0)))
    }

    /// What the protocol's own transaction `record` called, as the shard says that ran it.
    pub(crate) async fn own_call(&self, record: &OutcomeRecord) -> Result<Option<SystemTransaction>, Rejection> {
        // Nobody takes part in it but the shard itself.
        let [shard] = record.participants[..] else { return Ok(None) };
        match self.shards.sound(shard)?.shard.own_call(record.transaction).await {
            Ok(call) => Ok(Some(call)),
            Err(rejection) if rejection.reason == Reason::NotFound => Ok(None),
            Err(rejection) => Err(named(shard, rejection)),
        }
    }

    /// What a transaction did, from whichever of `shards` has it.
    pub(crate) async fn outcome(
        &self,
        id: B256,
        shards: &BTreeSet<ShardId>,
    ) -> Result<Option<OutcomeRecord>, Rejection> {
        if id.is_zero() {
            return Ok(None); // No transaction hashes to it, and shards refuse to be asked.
        }
        let asks = shards.iter().map(|shard| async {
            self.shards.sound(*shard)?.shard.outcome(id).await.map_err(|rejection| named(*shard, rejection))
        });
        let mut failed = None;
        for answer in join_all(asks).await {
            match answer {
                Ok(record) => return Ok(Some(record)),
                Err(rejection) if rejection.reason == Reason::NotFound => {}
                Err(rejection) => failed = Some(rejection),
            }
        }
        failed.map_or(Ok(None), Err)
    }
}

/// Why a run gave nothing.
enum Failure {
    Missing(BTreeSet<Missing>),
    Refused(Box<Rejection>),
}

impl From<RunFailure> for Failure {
    fn from(failure: RunFailure) -> Self {
        match failure {
            RunFailure::Missing(missing) => Self::Missing(missing),
            RunFailure::Refused(rejection) => Self::Refused(Box::new(rejection)),
        }
    }
}

impl Known {
    fn value(&self, key: &StateKey) -> Option<StateValue> {
        self.values.get(key).copied().or_else(|| self.closed.get(key))
    }
}

impl View for Known {
    fn account(&self, address: Address) -> Lookup<Option<AccountState>> {
        match self.value(&StateKey::Account(address)) {
            Some(StateValue::Account(account)) => Lookup::Known(account),
            _ => Lookup::Unknown,
        }
    }

    fn slot(&self, address: Address, slot: U256) -> Lookup<U256> {
        match self.value(&StateKey::Slot(address, slot)) {
            Some(StateValue::Slot(number)) => Lookup::Known(number),
            _ => Lookup::Unknown,
        }
    }

    fn fees(&self, key: FeesKey) -> Lookup<U256> {
        match self.value(&StateKey::Fees(key)) {
            Some(StateValue::Fees(wei)) => Lookup::Known(wei),
            _ => Lookup::Unknown,
        }
    }

    fn code(&self, hash: B256) -> Lookup<Bytecode> {
        let code = self.codes.get(&hash).cloned().or_else(|| self.cached.get(hash));
        code.map_or(Lookup::Unknown, Lookup::Known)
    }
}
