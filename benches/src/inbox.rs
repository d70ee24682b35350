//! Receipts from one shard's outbox to another's inbox: both machines alone, on one thread, the receiver on a synced store.
//!
//! ```text
//!   outbox page ──> receipts as bytes ──> checked as a relay does ──> checked as the shard does ──> step: consumed, a leaf each ──> synced
//! ```
//!
//! No handler runs: the recipients have no code. What is left out is gRPC and the roots of the state tree, which run beside a shard's steps.

use crate::exchange::{Costs, MESSAGES_PER_TRANSACTION_COUNT, NETWORK, RECEIPTS_PER_CALL_COUNT, config, on_cpu, timed};
use crate::meter::cpu;
use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, SolConstructor};
use evm::{Data, Environment, Payload, Placement, SignedTransaction, TransactionKind, mailbox_address};
use eyre::{Result, ensure, eyre};
use fixtures::contracts::{Artifact, Ping};
use fixtures::wallet::{Call, Wallet};
use primitives::{Height, Machine, Memory, NetworkId, ShardId, Slot, Time};
use proof::{DeliveryStatus, LeafKind, Receipt, domain_of};
use shard::{Answer, Checks, GenesisAccount, GenesisAccounts, Input, LeafPlace, Shard, Ticket, queries};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use store::{Durability, Identity, Store};

/// What the row is called.
pub(crate) const NAME: &str = "inside::inbox/receipts without handlers, a second and core";

/// Transactions of one block of the sender's shard.
const TRANSACTIONS_PER_BLOCK_COUNT: usize = 8;

/// Blocks of the sender's shard, beside the one that deploys.
const BLOCKS_COUNT: usize = 100;

/// What taking receipts in took.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// How many there were.
    pub(crate) receipts: u64,
    /// CPU of the thread by what was done, and of RocksDB's threads: all receipts together.
    pub(crate) costs: Costs,
    /// By the clock, with the waits for the disk.
    pub(crate) elapsed: Duration,
}

impl Inbox {
    /// Receipts a second of one core's time.
    pub(crate) fn per_second(&self) -> f64 {
        self.receipts as f64 / self.costs.values().sum::<Duration>().as_secs_f64()
    }
}

/// Sends messages on shard 0 and takes them in on shard 1.
pub(crate) fn run() -> Result<Inbox> {
    let mut wallet = Wallet::development(NETWORK, 0)?;
    let placement = Placement::new(
        1,
        2,
        [(wallet.address(), ShardId(0)), (wallet.address().create(0), ShardId(0)), (recipient(), ShardId(1))].into(),
    )?;
    let genesis = genesis(&wallet)?;
    let (config, mut source) = (config(0, &placement)?, Memory::new());
    let checks = Checks::of(&config);
    source.commit(&Shard::genesis(&config, &genesis)?);
    send(&mut Shard::open(config, &source)?, &checks, &mut source, &mut wallet)?;
    take_in(&source, &placement, &genesis)
}

fn recipient() -> Address {
    Address::repeat_byte(0x77)
}

fn genesis(wallet: &Wallet) -> Result<GenesisAccounts> {
    let code = Data(Artifact::MAILBOX.deployed_code()?);
    let mailbox = |shard| {
        let account = GenesisAccount { nonce: 1, code: code.clone(), ..GenesisAccount::default() };
        (mailbox_address(ShardId(shard)), account)
    };
    let balance = U256::from(10).pow(U256::from(24));
    let rich = (wallet.address(), GenesisAccount { balance, ..GenesisAccount::default() });
    Ok([mailbox(0), mailbox(1), rich].into())
}

fn send(shard: &mut Shard, checks: &Checks, store: &mut Memory, wallet: &mut Wallet) -> Result<()> {
    let arguments = Ping::constructorCall { mailbox: mailbox_address(ShardId(0)) }.abi_encode();
    let ping = wallet.address().create(0);
    let call = Ping::sendManyCall {
        destination: domain_of(NetworkId(NETWORK), ShardId(1)),
        recipient: recipient().into_word(),
        count: U256::from(MESSAGES_PER_TRANSACTION_COUNT),
        gasLimit: 100_000,
        deadlineMs: u64::MAX,
    };
    let call = Call::to(ping, call.abi_encode()).with_gas_limit(16_000_000);
    let mut calls = vec![vec![Call::create(Artifact::PING.init_code(&arguments)?)]];
    calls.extend(vec![vec![call; TRANSACTIONS_PER_BLOCK_COUNT]; BLOCKS_COUNT]);
    for (slot, calls) in (4_000..).zip(calls) {
        let inputs = calls.iter().enumerate().map(|(ticket, call)| {
            let signed = TransactionKind::Signed(SignedTransaction(Data(wallet.sign(call)?)));
            let payload = checks.payload(Payload::bundle(Environment::Slot(Slot(slot)), vec![signed]))?;
            Ok(Input::Local { ticket: Ticket(ticket as u64), payload: Box::new(payload) })
        });
        let output = shard.step(Time(slot * 250), inputs.collect::<Result<_>>()?, store);
        store.commit(&output.writes);
        for reply in output.replies {
            match reply.answer {
                Answer::Executed { outcomes } if outcomes[0].outcome.status == evm::Status::Success => {}
                other => return Err(eyre!("a transaction with messages came to {other:?}")),
            }
        }
    }
    Ok(())
}

fn take_in(source: &Memory, placement: &Placement, genesis: &GenesisAccounts) -> Result<Inbox> {
    let dir = tempfile::tempdir()?;
    let identity =
        Identity { kind: "bench".to_owned(), network: NetworkId(NETWORK), name: "inbox".to_owned(), key: None };
    let settings = store::Settings { durability: Durability::Synced, ..store::Settings::default() };
    let mut store = Store::open(dir.path(), &shard::SPACES, &identity, settings)?;
    let config = config(1, placement)?;
    let (relay, checks) = (Checks::of(&config), Checks::of(&config));
    store.commit(&Shard::genesis(&config, genesis)?)?;
    let reader = store.reader();
    let mut shard = Shard::open(config, &reader)?;
    let (mut costs, mut receipts, mut place) = (Costs::new(), 0, LeafPlace { height: Height(0), index: 0 });
    let kinds = BTreeSet::from([LeafKind::Message]);
    let (process, thread, begun) = (cpu(std::process::id())?.0, on_cpu()?, Instant::now());
    for now in (4_000_u64..).map(|slot| Time(slot * 250)) {
        let (bytes, next) = timed(&mut costs, "page, as bytes", || {
            let page = queries::open_outbox_page(source, place, RECEIPTS_PER_CALL_COUNT, &kinds);
            Ok((page.leaves.iter().map(|(_, receipt)| receipt.to_bytes()).collect::<Vec<_>>(), page.next))
        })?;
        if bytes.is_empty() && next == place {
            break;
        }
        place = next;
        timed(&mut costs, "checked by a relay", || {
            bytes.iter().try_for_each(|bytes| Ok(relay.fact(Receipt::from_bytes(bytes)?).map(drop)?))
        })?;
        let inputs = timed(&mut costs, "checked by the shard", || {
            let inputs = (0..).zip(&bytes).map(|(ticket, bytes)| {
                let fact = Box::new(checks.fact(Receipt::from_bytes(bytes)?)?);
                Ok(Input::Deliver { ticket: Ticket(ticket), fact })
            });
            inputs.collect::<Result<Vec<_>>>()
        })?;
        let output = timed(&mut costs, "step", || Ok(shard.step(now, inputs, &reader)))?;
        timed(&mut costs, "batch", || Ok(store.commit(&output.writes)?))?;
        for reply in &output.replies {
            match &reply.answer {
                Answer::Delivered { delivery, .. } if delivery.status == DeliveryStatus::Delivered => receipts += 1,
                other => return Err(eyre!("a receipt came to {other:?}")),
            }
        }
    }
    let elapsed = begun.elapsed();
    let process = Duration::from_secs_f64(cpu(std::process::id())?.0 - process);
    costs.insert("other threads: RocksDB", process.saturating_sub(on_cpu()?.saturating_sub(thread)));
    let sent = MESSAGES_PER_TRANSACTION_COUNT * (TRANSACTIONS_PER_BLOCK_COUNT * BLOCKS_COUNT) as u64;
    ensure!(receipts == sent, "{receipts} of {sent} messages arrived");
    Ok(Inbox { receipts, costs, elapsed })
}
