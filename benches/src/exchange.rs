//! Messages there and back between two shards' machines alone: each with its store, on one thread, with handlers and state roots.
//!
//! ```text
//!   sent ──> handed over ──> taken in ──> handed back ──> acknowledged ──> both trees advanced over what changed
//!            receipts as bytes, checked as a shard checks them
//! ```
//!
//! What is left out is gRPC, the relay's own store and the coordinator. Each phase is told as CPU of the thread, which other work on
//! the machine does not lengthen much; what RocksDB does on threads of its own stands beside.

use crate::meter::cpu;
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, SolConstructor};
use evm::{
    Data, Environment, Environments, NetworkParams, Payload, Placement, SignedTransaction, Spec, TransactionKind,
    mailbox_address,
};
use eyre::{Result, WrapErr, ensure, eyre};
use fixtures::contracts::{Artifact, Ping, Pong};
use fixtures::wallet::{Call, Wallet};
use primitives::{Epoch, Height, Machine, Millis, NetworkId, ShardId, Slot, Time};
use proof::{LeafKind, Receipt, SecretKey, Signer, ValidatorSet, domain_of};
use shard::{
    Advances, Answer, Checks, GenesisAccount, GenesisAccounts, Input, LeafPlace, Reply, Shard, ShardConfig, Ticket,
    queries,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;
use store::{Durability, Identity, Reader, Store};
use tempfile::TempDir;

/// What the row is called.
pub(crate) const NAME: &str = "inside::exchange/messages there and back, two machines and their stores, one thread";

/// The network.
pub(crate) const NETWORK: u64 = 31_337;

/// Messages of one transaction.
pub(crate) const MESSAGES_PER_TRANSACTION_COUNT: u64 = 50;

/// Senders, each with a transaction in each round: so many messages are about what a network takes in between two advances.
const SENDERS_COUNT: u32 = 8;

/// Rounds, each with all phases.
const ROUNDS_COUNT: u64 = 200;

/// Parts in which the rounds are told.
pub(crate) const PARTS_COUNT: u64 = 4;

/// As many receipts as a relay hands over in one call.
pub(crate) const RECEIPTS_PER_CALL_COUNT: usize = 256;

/// More blocks than one round makes.
const BLOCKS_PER_ADVANCE_COUNT: usize = 64;

/// Slots back whose state is kept.
const SLOTS_KEPT: u64 = 1024;

/// The first slot.
const FIRST_SLOT: u64 = 4_000;

/// CPU of this thread for each message, by what was done; and of RocksDB's threads.
pub(crate) type Costs = BTreeMap<&'static str, Duration>;

/// What an exchange took, of one message, in each of its parts.
pub(crate) fn run() -> Result<Vec<Costs>> {
    let mut exchange = Exchange::begin()?;
    let rounds_count = ROUNDS_COUNT / PARTS_COUNT;
    let messages_count = rounds_count * u64::from(SENDERS_COUNT) * MESSAGES_PER_TRANSACTION_COUNT;
    let mut parts = Vec::new();
    for _ in 0..PARTS_COUNT {
        let (process, thread) = (cpu(std::process::id())?.0, on_cpu()?);
        exchange.costs.clear();
        for _ in 0..rounds_count {
            exchange.round()?;
        }
        let process = Duration::from_secs_f64(cpu(std::process::id())?.0 - process);
        exchange.costs.insert("other threads: RocksDB", process.saturating_sub(on_cpu()?.saturating_sub(thread)));
        let each = exchange.costs.iter().map(|(phase, cost)| (*phase, *cost / messages_count as u32));
        parts.push(each.collect());
    }
    Ok(parts)
}

/// How long this thread has been on a core.
pub(crate) fn on_cpu() -> Result<Duration> {
    let path = "/proc/thread-self/schedstat";
    let stat = fs::read_to_string(path).wrap_err(path)?;
    let nanos = stat.split_whitespace().next().ok_or_else(|| eyre!("{path} is empty"))?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

/// One shard: its machine, its store, and what checks what it is handed.
struct End {
    shard: Shard,
    checks: Checks,
    store: Store,
    reader: Reader,
    advances: Advances,
    /// Where the other one reads on in its outbox.
    read_to: LeafPlace,
    _dir: TempDir,
}

impl End {
    fn open(me: u32, placement: &Placement, genesis: &GenesisAccounts) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let identity =
            Identity { kind: "bench".to_owned(), network: NetworkId(NETWORK), name: format!("{me}"), key: None };
        let settings = store::Settings { durability: Durability::Synced, ..store::Settings::default() };
        let mut store = Store::open(dir.path(), &shard::SPACES, &identity, settings)?;
        let config = config(me, placement)?;
        let checks = Checks::of(&config);
        store.commit(&Shard::genesis(&config, genesis)?)?;
        let reader = store.reader();
        let shard = Shard::open(config, &reader)?;
        let read_to = LeafPlace { height: Height(0), index: 0 };
        Ok(Self { shard, checks, store, reader, advances: Advances::default(), read_to, _dir: dir })
    }
}

struct Exchange {
    source: End,
    destination: End,
    senders: Vec<Sender>,
    slot: u64,
    costs: Costs,
}

struct Sender {
    wallet: Wallet,
    call: Call,
}

/// Does `work` and adds its CPU to what `phase` took.
pub(crate) fn timed<T>(costs: &mut Costs, phase: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = on_cpu()?;
    let done = work()?;
    *costs.entry(phase).or_default() += on_cpu()?.saturating_sub(before);
    Ok(done)
}

impl Exchange {
    fn begin() -> Result<Self> {
        let wallets = (0..SENDERS_COUNT).map(|number| Wallet::development(NETWORK, number));
        let wallets = wallets.collect::<Result<Vec<_>>>()?;
        let (mut pinned, mut genesis) = (BTreeMap::new(), BTreeMap::new());
        let code = Data(Artifact::MAILBOX.deployed_code()?);
        for shard in [ShardId(0), ShardId(1)] {
            genesis.insert(
                mailbox_address(shard),
                GenesisAccount { nonce: 1, code: code.clone(), ..GenesisAccount::default() },
            );
        }
        for wallet in &wallets {
            let address = wallet.address();
            pinned.extend([(address, ShardId(0)), (address.create(0), ShardId(0))]);
            let balance = U256::from(10).pow(U256::from(24));
            genesis.insert(address, GenesisAccount { balance, ..GenesisAccount::default() });
        }
        // Who deploys the recipients lives where they do.
        let mut deployer = Wallet::development(NETWORK, SENDERS_COUNT)?;
        let balance = U256::from(10).pow(U256::from(24));
        genesis.insert(deployer.address(), GenesisAccount { balance, ..GenesisAccount::default() });
        pinned.insert(deployer.address(), ShardId(1));
        let recipients: Vec<Address> =
            (0..u64::from(SENDERS_COUNT)).map(|nonce| deployer.address().create(nonce)).collect();
        pinned.extend(recipients.iter().map(|recipient| (*recipient, ShardId(1))));
        let placement = Placement::new(1, 2, pinned)?;
        let (source, destination) = (End::open(0, &placement, &genesis)?, End::open(1, &placement, &genesis)?);
        let senders = wallets.into_iter().zip(&recipients).map(|(wallet, recipient)| Sender {
            call: Call::to(
                wallet.address().create(0),
                Ping::sendManyCall {
                    destination: domain_of(NetworkId(NETWORK), ShardId(1)),
                    recipient: recipient.into_word(),
                    count: U256::from(MESSAGES_PER_TRANSACTION_COUNT),
                    gasLimit: 300_000,
                    deadlineMs: u64::MAX,
                }
                .abi_encode(),
            )
            .with_gas_limit(16_000_000),
            wallet,
        });
        let senders = senders.collect();
        let mut exchange = Self { source, destination, senders, slot: FIRST_SLOT, costs: Costs::new() };
        let arguments = Pong::constructorCall { mailbox: mailbox_address(ShardId(1)) }.abi_encode();
        let recipients = recipients.iter().map(|_| deployer.sign(&Call::create(Artifact::PONG.init_code(&arguments)?)));
        let recipients = recipients.collect::<Result<Vec<_>>>()?;
        exchange.destination.execute(exchange.slot, recipients, &mut exchange.costs)?;
        let arguments = Ping::constructorCall { mailbox: mailbox_address(ShardId(0)) }.abi_encode();
        let create = Call::create(Artifact::PING.init_code(&arguments)?);
        let signed =
            exchange.senders.iter_mut().map(|sender| sender.wallet.sign(&create)).collect::<Result<Vec<_>>>()?;
        exchange.source.execute(exchange.slot, signed, &mut exchange.costs)?;
        exchange.slot += 1;
        Ok(exchange)
    }

    /// A transaction of each sender, and all that follows from it.
    fn round(&mut self) -> Result<()> {
        let Self { source, destination, senders, costs, slot } = self;
        let signed = senders.iter_mut().map(|sender| sender.wallet.sign(&sender.call)).collect::<Result<Vec<_>>>()?;
        source.execute(*slot, signed, costs)?;
        let sent = source.hand_over(destination, *slot, LeafKind::Message, costs)?;
        let told = destination.hand_over(source, *slot, LeafKind::Delivery, costs)?;
        let expected = u64::from(SENDERS_COUNT) * MESSAGES_PER_TRANSACTION_COUNT;
        ensure!((sent, told) == (expected, expected), "{sent} messages arrived and {told} came back of {expected}");
        source.advance(*slot, ("state tree: source", "state tree: source, its rows"), costs)?;
        destination.advance(*slot, ("state tree: destination", "state tree: destination, its rows"), costs)?;
        *slot += 1;
        Ok(())
    }
}

impl End {
    /// Transactions in one block.
    fn execute(&mut self, slot: u64, signed: Vec<Bytes>, costs: &mut Costs) -> Result<()> {
        let inputs = timed(costs, "sent: checked", || {
            let inputs = (0..).zip(signed).map(|(ticket, bytes)| {
                let signed = TransactionKind::Signed(SignedTransaction(Data(bytes)));
                let payload = self.checks.payload(Payload::bundle(Environment::Slot(Slot(slot)), vec![signed]))?;
                Ok(Input::Local { ticket: Ticket(ticket), payload: Box::new(payload) })
            });
            inputs.collect::<Result<Vec<_>>>()
        })?;
        for reply in self.step(slot, inputs, ("sent: step", "sent: batch"), costs)? {
            match reply.answer {
                Answer::Executed { outcomes } if outcomes[0].outcome.status == evm::Status::Success => {}
                other => return Err(eyre!("a transaction came to {other:?}")),
            }
        }
        Ok(())
    }

    fn step(
        &mut self,
        slot: u64,
        inputs: Vec<Input>,
        (stepped, written): (&'static str, &'static str),
        costs: &mut Costs,
    ) -> Result<Vec<Reply>> {
        let output = timed(costs, stepped, || Ok(self.shard.step(Time(slot * 250), inputs, &self.reader)))?;
        timed(costs, written, || Ok(self.store.commit(&output.writes)?))?;
        Ok(output.replies)
    }

    /// Carries what this one says to the other; how many leaves there were.
    fn hand_over(&mut self, to: &mut Self, slot: u64, kind: LeafKind, costs: &mut Costs) -> Result<u64> {
        let (read, checked, steps) = if kind == LeafKind::Message {
            ("message: page, as bytes", "message: checked", ("message: step", "message: batch"))
        } else {
            ("delivery: page, as bytes", "delivery: checked", ("delivery: step", "delivery: batch"))
        };
        let (mut count, kinds) = (0, BTreeSet::from([kind]));
        loop {
            let (bytes, next) = timed(costs, read, || {
                let page =
                    queries::open_outbox_page(&self.reader.snapshot(), self.read_to, RECEIPTS_PER_CALL_COUNT, &kinds);
                Ok((page.leaves.iter().map(|(_, receipt)| receipt.to_bytes()).collect::<Vec<_>>(), page.next))
            })?;
            if bytes.is_empty() && self.read_to == next {
                return Ok(count);
            }
            self.read_to = next;
            let inputs = timed(costs, checked, || {
                let inputs = (0..).zip(&bytes).map(|(ticket, bytes)| {
                    let (ticket, fact) = (Ticket(ticket), Box::new(to.checks.fact(Receipt::from_bytes(bytes)?)?));
                    Ok(match kind {
                        LeafKind::Message => Input::Deliver { ticket, fact },
                        _ => Input::Acknowledge { ticket, fact },
                    })
                });
                inputs.collect::<Result<Vec<_>>>()
            })?;
            for reply in to.step(slot, inputs, steps, costs)? {
                match reply.answer {
                    Answer::Delivered { delivery, .. } if delivery.status == proof::DeliveryStatus::Delivered => {
                        count += 1;
                    }
                    Answer::Acknowledged { .. } => count += 1,
                    other => return Err(eyre!("a receipt came to {other:?}")),
                }
            }
        }
    }

    fn advance(
        &mut self,
        slot: u64,
        (computed, stepped): (&'static str, &'static str),
        costs: &mut Costs,
    ) -> Result<()> {
        while let Some(advance) = timed(costs, computed, || {
            Ok(self.advances.next(&self.reader.snapshot(), BLOCKS_PER_ADVANCE_COUNT, SLOTS_KEPT)?)
        })? {
            self.step(slot, vec![Input::StateRoots(advance)], (stepped, stepped), costs)?;
        }
        Ok(())
    }
}

fn key(shard: u32) -> Result<SecretKey> {
    Ok(SecretKey::from_bytes(&[shard as u8 + 1; 32])?)
}

/// Of the `me`-th of two shards.
pub(crate) fn config(me: u32, placement: &Placement) -> Result<ShardConfig> {
    let params = NetworkParams {
        network: NetworkId(NETWORK),
        genesis: Time(0),
        slot_length: Millis(250),
        base_fee: 1_000_000_000,
        gas_limit: 60_000_000,
        beneficiary: Address::repeat_byte(0xfe),
        spec: Spec::default(),
        environments: Environments::Slots,
        takes_unprotected: false,
    };
    let set = |shard: u32| Ok((ShardId(shard), ValidatorSet::new(Epoch(1), vec![key(shard)?.public()])?));
    let validators = (0..2).map(set).collect::<Result<BTreeMap<_, _>>>()?;
    let signer = Signer::new(key(me)?, &validators[&ShardId(me)])?;
    Ok(ShardConfig::new(params, ShardId(me), placement.clone(), validators, signer))
}
