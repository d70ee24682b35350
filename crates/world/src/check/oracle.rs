//! One plain EVM over everything that was committed (I9, I16).

use crate::shards::ShardParty;
use crate::world::World;
use alloy_primitives::B256;
use evm::{AccountState, Outcome, Payload, PayloadVerifier, Placement, RecoveredPayload, State, TransactionKind};
use primitives::{ShardId, Verified};
use shard::{Applied, Committed, GenesisAccounts, OrderError, queries};
use std::collections::BTreeMap;

impl World {
    /// Runs every committed payload on one EVM, slot after slot in an order that every shard's log agrees with (I20), and
    /// compares state, gas and logs.
    pub(crate) fn check_oracle(&mut self) {
        let log = |(shard, party): (ShardId, &ShardParty)| {
            queries::applied(party.archive(), 0, usize::MAX).map(|log| (shard, log))
        };
        let logs: Result<BTreeMap<ShardId, Vec<Applied>>, _> = (0..).map(ShardId).zip(&self.shards).map(log).collect();
        let logs = match logs {
            Ok(logs) => logs,
            Err(forgotten) => return self.watch.violation("I9", forgotten.to_string()),
        };
        let order = match shard::order(self.plan.params.environments, &logs) {
            Ok(order) => order,
            Err(error @ OrderError::Backwards { .. }) => return self.watch.violation("I20", error.to_string()),
            Err(error) => return self.watch.violation("I9", error.to_string()),
        };
        match self.one_evm(order) {
            Ok(state) => self.compare(&state),
            Err(text) => self.watch.violation("I9", text),
        }
    }

    fn one_evm(&mut self, order: Vec<Committed>) -> Result<State, String> {
        let one_shard = Placement::new(1, 1, BTreeMap::new()).map_err(|error| error.to_string())?;
        let mut plain = genesis_state(&self.plan.genesis);
        for Committed { cause, payload } in order {
            let payload = self.recovered(payload)?;
            let run = evm::execute(&self.plan.params, &one_shard, &payload, &plain)
                .map_err(|error| format!("{cause:?} was committed, and one EVM refuses it: {error}"))?;
            plain.apply(&run.effects.changes).map_err(|error| error.to_string())?;
            let hashes = payload.signed().map(evm::RecoveredTransaction::hash);
            for (hash, outcome) in hashes.zip(&run.effects.outcomes) {
                self.compare_outcome(hash, outcome);
            }
        }
        Ok(plain.settled())
    }

    /// A payload of users, or one of a shard's own making.
    fn recovered(&self, payload: Payload) -> Result<RecoveredPayload, String> {
        match &payload.transactions[..] {
            [TransactionKind::System(system)] => Ok(RecoveredPayload::system(payload.environment, system.clone())),
            _ => Verified::by(&PayloadVerifier::new(self.plan.params.clone()), payload)
                .map(Verified::into_inner)
                .map_err(|error| error.to_string()),
        }
    }

    /// I16: gas, logs and outcome are those of one EVM.
    fn compare_outcome(&mut self, hash: B256, plain: &Outcome) {
        let records = self.shards.iter().filter_map(|party| queries::outcome(party.archive(), hash));
        let records: Vec<Outcome> = records.map(|record| record.outcome).collect();
        if records.is_empty() {
            self.watch.violation("I16", format!("{hash} was committed, and nobody has its outcome"));
        }
        for outcome in records.into_iter().filter(|outcome| outcome != plain) {
            self.watch.violation("I16", format!("{hash} did {outcome:?} here, {plain:?} on one EVM"));
        }
    }

    /// I9: the union of all states is the state of one EVM.
    fn compare(&mut self, plain: &State) {
        let sharded = self.state();
        let accounts: Vec<String> = sharded
            .accounts
            .keys()
            .chain(plain.accounts.keys())
            .filter(|address| existing(&sharded, address) != existing(plain, address))
            .map(|address| {
                format!("{address}: {:?} here, {:?} on one EVM", existing(&sharded, address), existing(plain, address))
            })
            .collect();
        let slots = sharded.slots.iter().find(|(key, value)| plain.slots.get(key) != Some(value)).map(|(key, _)| *key);
        let slots = slots.or_else(|| plain.slots.keys().find(|key| !sharded.slots.contains_key(key)).copied());
        if let Some(first) = accounts.into_iter().next() {
            self.watch.violation("I9", first);
        }
        if let Some((address, slot)) = slots {
            let (here, there) = (sharded.slots.get(&(address, slot)), plain.slots.get(&(address, slot)));
            self.watch.violation("I9", format!("slot {slot} of {address}: {here:?} here, {there:?} on one EVM"));
        }
    }
}

fn existing<'a>(state: &'a State, address: &alloy_primitives::Address) -> Option<&'a AccountState> {
    state.accounts.get(address)
}

/// The genesis of a plan, as one EVM holds it.
#[allow(clippy::expect_used, reason = "the code is put under its own hash")]
pub(super) fn genesis_state(genesis: &GenesisAccounts) -> State {
    let mut state = State::default();
    for (address, account) in genesis {
        let code_hash = if account.code.is_empty() {
            AccountState::EMPTY.code_hash
        } else {
            let hash = alloy_primitives::keccak256(&*account.code);
            state.add_code(hash, &account.code).expect("a code under its own hash");
            hash
        };
        state.accounts.insert(*address, AccountState { nonce: account.nonce, balance: account.balance, code_hash });
        for (slot, value) in &account.storage {
            state.set_slot(*address, *slot, *value);
        }
    }
    state
}
