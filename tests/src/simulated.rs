//! A World as scenarios see it: the same machines in one thread, on virtual time.

use crate::cluster::{Cluster, Committed, CrashPoint, End, Seen, Submission, Way};
use crate::stage::{Ground, NETWORK, SHARDS_COUNT};
use alloy_primitives::{Address, B256, Bytes};
use evm::{
    Data, Environment, Environments, NetworkParams, Payload, Placement, SignedTransaction, Spec, StateKey,
    TransactionKind,
};
use eyre::{Result, ensure};
use judge::{Contents, Report};
use primitives::{Millis, NetworkId, ShardId, Slot, Time};
use shard::{GenesisAccount, GenesisAccounts, OutcomeRecord, Shard, queries};
use std::collections::{BTreeMap, BTreeSet};
use world::faults::Side;
use world::{Party, Plan, Request, Response, Roots, Span, Ticket, Watch, World};

/// How much time a look at a condition takes.
const LOOK_INTERVAL: Millis = Millis(5);

/// How long a shard that starts may take to be ready.
const READY_MAX: Millis = Millis(10_000);

/// How long a stranger waits for an answer.
const ANSWER_WITHIN: Millis = Millis(20_000);

/// How long what is under way at the end may take.
const QUIET_WITHIN: Millis = Millis(60_000);

/// A network in one thread.
#[derive(Debug)]
pub struct Simulated {
    world: World,
    genesis: host::network::Genesis,
    submissions: Vec<Result<Ticket, String>>,
}

impl Simulated {
    /// The network of `ground`, at the start of its time.
    pub fn start(ground: &Ground) -> Result<Self> {
        let params = NetworkParams {
            network: NetworkId(NETWORK),
            genesis: Time(0),
            slot_length: Millis(250),
            base_fee: 1_000_000_000,
            gas_limit: 60_000_000,
            beneficiary: Address::with_last_byte(0xfe),
            spec: "osaka".parse::<Spec>()?,
            environments: Environments::Slots,
            takes_unprotected: false,
        };
        let pinned = ground.pinned.iter().map(|(address, shard)| (*address, ShardId(*shard))).collect();
        let placement = Placement::new(1, SHARDS_COUNT, pinned)?;
        let mut plan = Plan::new(params, placement, genesis(&ground.genesis));
        plan.coordinators = ground.coordinators as usize;
        plan.relays = ground.relays as usize;
        plan.timing.attempt = ground.attempt;
        plan.latency = Span::between(1, 5);
        plan.roots = Roots::Advanced;
        plan.checks = Watch::Batches;
        let mut simulated =
            Self { world: World::start(plan)?, genesis: ground.genesis.clone(), submissions: Vec::new() };
        simulated.await_ready();
        Ok(simulated)
    }

    /// Waits for what a real process says by being ready: that every shard which is up has shown its store to be the newest (R14).
    fn await_ready(&mut self) {
        let give_up = self.world.now().after(READY_MAX);
        let is_ready = |world: &World, shard| world.shard(ShardId(shard)).machine().is_none_or(Shard::is_shown);
        self.world.run_until(give_up, |world| (0..SHARDS_COUNT).all(|shard| is_ready(world, shard)));
    }

    fn parties(&self) -> impl Iterator<Item = Party> + use<> {
        let (coordinators, relays) = self.middle();
        let shards = (0..SHARDS_COUNT).map(|shard| Party::Shard(ShardId(shard)));
        shards.chain((0..coordinators).map(Party::Coordinator)).chain((0..relays).map(Party::Relay))
    }

    fn batches(&self, party: Party) -> u64 {
        match party {
            Party::Shard(shard) => self.world.shard(shard).batches(),
            Party::Coordinator(number) => self.world.coordinator(number).batches(),
            Party::Relay(number) => self.world.relay(number).batches(),
            Party::Stranger => 0,
        }
    }
}

fn genesis(genesis: &host::network::Genesis) -> GenesisAccounts {
    let account = |account: &host::network::GenesisAccount| GenesisAccount {
        nonce: account.nonce,
        balance: account.balance,
        code: Data(account.code.clone()),
        code_hash: account.code_hash,
        storage: account.storage.clone(),
    };
    genesis.accounts.iter().map(|(address, given)| (*address, account(given))).collect()
}

impl Cluster for Simulated {
    fn params(&self) -> &NetworkParams {
        &self.world.plan().params
    }

    fn placement(&self) -> &Placement {
        &self.world.plan().placement
    }

    fn middle(&self) -> (usize, usize) {
        (self.world.plan().coordinators, self.world.plan().relays)
    }

    fn now(&self) -> Time {
        self.world.now()
    }

    fn pass(&mut self) {
        self.world.run_for(LOOK_INTERVAL);
    }

    fn submit(&mut self, coordinator: usize, transactions: &[Bytes]) -> Result<Submission> {
        let signed = |bytes: &Bytes| TransactionKind::Signed(SignedTransaction(Data(bytes.clone())));
        let transactions = transactions.iter().map(signed).collect();
        let payload = Payload::bundle(Environment::Slot(Slot(0)), transactions);
        let ticket = self.world.submit(coordinator, payload).map_err(|error| error.to_string());
        self.submissions.push(ticket);
        Ok(Submission(self.submissions.len() - 1))
    }

    fn end(&mut self, submission: Submission) -> Option<End> {
        let ticket = match self.submissions.get(submission.0)? {
            Ok(ticket) => *ticket,
            Err(refusal) => return Some(End::Refused(refusal.clone())),
        };
        match self.world.end(ticket) {
            Some(Ok(committed)) => Some(End::Committed(Committed {
                outcomes: committed.outcomes.clone(),
                participants: committed.participants.clone(),
                attempt: committed.attempt(),
            })),
            Some(Err(refusal)) => Some(End::Refused(refusal.to_string())),
            None => self.world.is_lost(ticket).then_some(End::Lost),
        }
    }

    fn look(&mut self, key: StateKey) -> Option<Seen> {
        let shard = self.world.shard(self.placement().owner(key));
        shard.machine()?;
        let store = shard.store();
        let value = match key {
            StateKey::Account(address) => coordinator::StateValue::Account(queries::account(store, address)),
            StateKey::Slot(address, slot) => coordinator::StateValue::Slot(queries::slot(store, address, slot)),
            StateKey::Fees(fees) => coordinator::StateValue::Fees(queries::fees(store, fees.beneficiary)),
        };
        Some(Seen { value, holder: queries::locked_by(store, &key) })
    }

    fn code(&mut self, shard: ShardId, hash: B256) -> Option<Data> {
        queries::code(self.world.shard(shard).store(), hash).map(Into::into)
    }

    fn outcome(&mut self, shard: ShardId, transaction: B256) -> Option<OutcomeRecord> {
        let shard = self.world.shard(shard);
        shard.machine()?;
        queries::outcome(shard.store(), transaction)
    }

    fn call(&mut self, shard: ShardId, request: Request) -> Response {
        let call = self.world.call(shard, request);
        let give_up = self.world.now().after(ANSWER_WITHIN);
        self.world.run_until(give_up, |world| world.answer(call).is_some());
        self.world.answer(call).cloned().unwrap_or(Response::Failed)
    }

    fn kill(&mut self, party: Party) -> Result<()> {
        self.world.crash(party);
        Ok(())
    }

    fn restart(&mut self, party: Party) -> Result<()> {
        self.world.restart(party)?;
        self.await_ready();
        Ok(())
    }

    fn restart_to_die(&mut self, party: Party, point: CrashPoint) -> Result<()> {
        let (side, step) = match point {
            CrashPoint::BeforeWrite(step) => (Side::Before, step),
            CrashPoint::AfterWrite(step) => (Side::After, step),
        };
        let batch = self.batches(party) + step;
        self.world.restart(party)?;
        self.world.die_at(party, batch, side);
        Ok(())
    }

    fn is_up(&mut self, party: Party) -> bool {
        match party {
            Party::Shard(shard) => self.world.shard(shard).machine().is_some(),
            Party::Coordinator(number) => self.world.coordinator(number).machine().is_some(),
            Party::Relay(number) => self.world.relay(number).machine().is_some(),
            Party::Stranger => false,
        }
    }

    fn pause(&mut self, party: Party) -> Result<()> {
        self.world.pause(party);
        Ok(())
    }

    fn resume(&mut self, party: Party) -> Result<()> {
        self.world.resume(party);
        Ok(())
    }

    fn cut(&mut self, caller: Party, shard: ShardId) -> Result<()> {
        self.world.refuse(caller, Party::Shard(shard));
        Ok(())
    }

    fn silence(&mut self, caller: Party, shard: ShardId, way: Way) -> Result<()> {
        if way != Way::Answers {
            self.world.cut(caller, Party::Shard(shard));
        }
        if way != Way::Calls {
            self.world.cut(Party::Shard(shard), caller);
        }
        Ok(())
    }

    fn heal(&mut self) -> Result<()> {
        self.world.heal_links();
        Ok(())
    }

    fn record(&mut self) -> Result<()> {
        self.world.keep_calls();
        Ok(())
    }

    fn recorded_count(&mut self) -> usize {
        self.world.kept_calls().len()
    }

    fn replay(&mut self) -> Result<usize> {
        let calls = self.world.kept_calls().to_vec();
        let mut answered = 0;
        for (shard, request) in calls {
            answered += usize::from(!matches!(self.call(shard, request), Response::Failed));
        }
        Ok(answered)
    }

    fn audit(mut self) -> Result<Report> {
        self.world.heal_links();
        for party in self.parties() {
            self.world.resume(party);
            if !self.is_up(party) {
                self.world.restart(party)?;
            }
        }
        let limit = self.world.now().after(QUIET_WITHIN);
        ensure!(self.world.run_quiet(limit), "after {QUIET_WITHIN} with everybody up something is still under way");
        let violations = self.world.violations();
        ensure!(violations.is_empty(), "what no step may do was done: {violations:?}");
        let mut contents = BTreeMap::new();
        for shard in self.placement().shards() {
            contents.insert(shard, Contents::read(self.world.shard(shard).store())?);
        }
        let report =
            judge::judge(self.params(), self.placement(), &BTreeSet::new(), judge::genesis(&self.genesis)?, &contents)?;
        ensure!(report.undecided == 0, "{} attempts are undecided", report.undecided);
        ensure!(report.messages_under_way == 0, "{} messages are under way", report.messages_under_way);
        Ok(report)
    }
}
