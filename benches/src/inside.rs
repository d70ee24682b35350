//! Networks within this process, on one thread: what the machines themselves cost, without gRPC, RocksDB and the kernel.
//!
//! ```text
//!   ring      users on every shard pay somebody on the next; as many users for each of 2, 4, … 64 shards
//!   mainnet   blocks of Ethereum over four shards, beside one plain EVM
//! ```
//!
//! The machines are those that serve, carried by [`world::World`] without faults.

use crate::meter::cpu;
use alloy_primitives::{Address, U256};
use conformance::layout::Layout;
use conformance::replay::runner::{self, Tally};
use evm::{
    Data, Environment, Environments, NetworkParams, Payload, Placement, SignedTransaction, Spec, TransactionKind,
};
use eyre::{Result, ensure, eyre};
use fixtures::wallet::{Call, Wallet};
use primitives::{Millis, NetworkId, ShardId, Slot, Time};
use shard::{GenesisAccount, GenesisAccounts};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use world::{Plan, Roots, World};

/// What the row of rings is called.
pub(crate) const RING_NAME: &str = "inside::ring/payments to the next shard, in process";

/// What the row of blocks is called.
pub(crate) const MAINNET_NAME: &str = "inside::mainnet/blocks over 4 shards, in process";

/// How many shards there are in turn.
pub(crate) const RING_SHARDS: [u32; 6] = [2, 4, 8, 16, 32, 64];

/// Users on each shard.
const RING_USERS_PER_SHARD_COUNT: u32 = 16;

/// Payments of each user, of which the first is not counted: values are fetched for it.
const RING_PAYMENTS_COUNT: usize = 12;

/// How long a network may take for a payment of each user, in its own time.
const PATIENCE: Millis = Millis(60_000);

/// Blocks of ten forks: Frontier, the DAO fork, Tangerine Whistle, Byzantium, Istanbul, Berlin, London, the merge, Cancun, Osaka.
const BLOCKS: [u64; 10] =
    [46_147, 1_920_000, 2_463_000, 5_891_667, 9_069_000, 12_244_000, 13_217_637, 15_537_394, 19_933_122, 25_229_957];

/// CPU seconds of one payment between neighbours of a ring of so many shards.
pub(crate) fn ring(shards: u32) -> Result<f64> {
    let network = 31_337;
    let mut wallets = (0..shards * RING_USERS_PER_SHARD_COUNT)
        .map(|number| Wallet::development(network, number))
        .collect::<Result<Vec<_>>>()?;
    let mut world = World::start(Plan { roots: Roots::Advanced, ..ring_plan(shards, &wallets)? })?;
    let payees: Vec<Address> = (0..wallets.len()).map(payee).collect();
    pay(&mut world, &mut wallets, &payees)?;
    let before = cpu(std::process::id())?.0;
    let mut signing = 0.0;
    for _ in 1..RING_PAYMENTS_COUNT {
        signing += pay(&mut world, &mut wallets, &payees)?;
    }
    let spent = cpu(std::process::id())?.0 - before - signing;
    Ok(spent / ((RING_PAYMENTS_COUNT - 1) * wallets.len()) as f64)
}

/// Whom the user with this number pays.
fn payee(number: usize) -> Address {
    let mut address = [0xee; 20];
    address[12..].copy_from_slice(&(number as u64).to_be_bytes());
    Address::new(address)
}

fn ring_plan(shards: u32, wallets: &[Wallet]) -> Result<Plan> {
    let params = NetworkParams {
        network: NetworkId(31_337),
        genesis: Time(0),
        slot_length: Millis(250),
        base_fee: 1_000_000_000,
        gas_limit: 30_000_000,
        beneficiary: Address::repeat_byte(0xfe),
        spec: Spec::default(),
        environments: Environments::Slots,
        takes_unprotected: false,
    };
    let (mut pinned, mut genesis) = (BTreeMap::new(), GenesisAccounts::new());
    for (number, wallet) in wallets.iter().enumerate() {
        let shard = number as u32 % shards;
        pinned.insert(wallet.address(), ShardId(shard));
        pinned.insert(payee(number), ShardId((shard + 1) % shards));
        let balance = U256::from(10).pow(U256::from(24));
        genesis.insert(wallet.address(), GenesisAccount { balance, ..GenesisAccount::default() });
    }
    Ok(Plan::new(params, Placement::new(1, shards, pinned)?, genesis))
}

/// One payment of each user, all at once; the CPU seconds that signing took.
fn pay(world: &mut World, wallets: &mut [Wallet], payees: &[Address]) -> Result<f64> {
    let before = cpu(std::process::id())?.0;
    let signed = wallets
        .iter_mut()
        .zip(payees)
        .map(|(wallet, payee)| wallet.sign(&Call::to(*payee, []).with_value(U256::ONE).with_gas_limit(21_000)));
    let signed = signed.collect::<Result<Vec<_>>>()?;
    let signing = cpu(std::process::id())?.0 - before;
    let payload = |bytes| {
        let signed = TransactionKind::Signed(SignedTransaction(Data(bytes)));
        Payload::bundle(Environment::Slot(Slot(0)), vec![signed])
    };
    let tickets = signed.into_iter().map(|bytes| Ok(world.submit(0, payload(bytes))?)).collect::<Result<Vec<_>>>()?;
    let mut ended = 0;
    let have_ended = world.run_until(world.now().after(PATIENCE), |world| {
        while tickets.get(ended).is_some_and(|ticket| world.end(*ticket).is_some()) {
            ended += 1;
        }
        ended == tickets.len()
    });
    ensure!(have_ended, "{} of {} payments ended", ended, tickets.len());
    match tickets.iter().find_map(|ticket| world.end(*ticket).and_then(|end| end.as_ref().err())) {
        Some(refusal) => Err(eyre!("a payment was refused: {refusal}")),
        None => Ok(signing),
    }
}

/// What mainnet's blocks came to.
#[derive(Debug)]
pub(crate) struct Mainnet {
    pub(crate) blocks: usize,
    pub(crate) transactions: usize,
    /// On average, of a transaction.
    pub(crate) participants: f64,
    /// Over shards, and on one plain EVM that is given the senders.
    pub(crate) sharded: Duration,
    pub(crate) plain: Duration,
}

/// Replays the blocks with one transaction in flight, on one thread; none, with the reason, where they are not.
pub(crate) fn mainnet() -> Result<Result<Mainnet, String>> {
    let data = std::env::var_os("DOVETAIL_DATA").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    let folder = data.join("mainnet-blocks");
    if !folder.is_dir() {
        return Ok(Err(format!("no {}: set DOVETAIL_DATA to the folder that has it", folder.display())));
    }
    let files: Vec<PathBuf> = BLOCKS.iter().map(|number| folder.join(format!("{number}.json.zst"))).collect();
    let settings = runner::Settings { layouts: vec![Layout::Hash { shards: 4 }], in_flight: 1, threads: 1 };
    let tally = runner::inside(&files, &settings);
    ensure!(tally.failed() == 0, "{} blocks were not reproduced", tally.failed());
    let counts = Tally::counts(&tally.runs(0, |_| true));
    let plain = tally.blocks.iter().filter_map(|report| Some(report.block.as_ref().ok()?.plain)).sum();
    Ok(Ok(Mainnet {
        blocks: tally.blocks.len(),
        transactions: counts.transactions,
        participants: counts.participants_mean(),
        sharded: counts.elapsed,
        plain,
    }))
}
