//! I9 and I16 on what nobody wrote: generated contracts that call, create and destroy each other across shards, and run out
//! of gas at every depth, leave the outcomes and the state of one plain revm.
//!
//!   case ──> plain revm over revm's own database ──────────────────────> gas, logs, output, state ─┐
//!     └────> shards: fetch, execute, replay under the witness, slices ─> gas, logs, output, state ─┴─ equal
//!
//! `DOVETAIL_PROPTEST_CASES` sets how many cases run, `DOVETAIL_PROPTEST_SEED` draws others. A failure shrinks to a listing of
//! its programs, accounts and transactions.

#[path = "generated/assembler.rs"]
mod assembler;
#[path = "generated/case.rs"]
mod case;
#[path = "generated/draw.rs"]
mod draw;
#[path = "generated/plain.rs"]
mod plain;
#[path = "generated/program.rs"]
mod program;
#[path = "generated/sharded.rs"]
mod sharded;
#[path = "fixture/shards.rs"]
mod shards;
#[path = "generated/signed.rs"]
mod signed;
#[path = "generated/trace.rs"]
mod trace;

use alloy_primitives::U256;
use case::{AUTHORITIES_COUNT, Case, Contract, SENDERS_COUNT, authority, contract};
use draw::any_case;
use plain::{Holding, Holdings, Plain, Refused};
use primitives::ShardId;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use revm::primitives::hardfork::SpecId;
use sharded::Sharded;
use signed::{Filled, fill};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use trace::{Class, Trace};

/// How many cases run unless told otherwise.
const CASES_COUNT: u32 = 3_000;

/// The most nested frames whose start a gas limit is put at.
const FRAMES_SWEPT_MAX: usize = 5;

/// What the cases reached.
#[derive(Debug, Default)]
struct Tally {
    cases: BTreeMap<Class, usize>,
    forks: BTreeMap<SpecId, usize>,
    payloads: usize,
    swept: usize,
    participants: BTreeMap<usize, usize>,
}

fn genesis(case: &Case) -> Holdings {
    let contracts = case.contracts.iter().enumerate().map(|(index, Contract { balance, slots, .. })| {
        let words = slots.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value)));
        let code = case.code(index).into();
        (contract(index), Holding { nonce: 1, balance: U256::from(*balance), code, slots: words.collect() })
    });
    let ether = U256::from(10).pow(U256::from(21));
    let senders = (0..AUTHORITIES_COUNT.min(SENDERS_COUNT) as u8)
        .map(|index| (authority(index), Holding { balance: ether, ..Holding::default() }));
    contracts.chain(senders).collect()
}

/// Both sides of one case.
struct Twins<'a> {
    plain: Plain,
    sharded: Sharded,
    trace: Trace<'a>,
}

impl Twins<'_> {
    /// Runs a payload on both and requires that nobody could tell them apart.
    fn run(&mut self, payload: &[Filled]) -> Result<(), String> {
        self.trace.listed = payload.iter().flat_map(Filled::listed).collect();
        let envs: Vec<_> = payload.iter().map(Filled::env).collect();
        let expected = self.plain.run(&envs, &mut self.trace);
        let actual = self.sharded.run(payload.iter().map(Filled::bytes).collect())?;
        if actual != expected {
            return Err(format!("the outcome is\n{actual:#?}\nand on one EVM\n{expected:#?}"));
        }
        let classes = &mut self.trace.classes;
        match &expected {
            Err(Refused::Invalid) => _ = classes.insert(Class::Refused),
            Err(Refused::Bundle) => _ = classes.insert(Class::BundleRefused),
            Ok(all) => classes.extend(all.iter().map(|seen| match seen.status {
                "success" => Class::Succeeded,
                "reverted" => Class::Reverted,
                _ => Class::Halted,
            })),
        }
        classes.extend((expected.is_ok() && payload.len() > 1).then_some(Class::BundleDone));
        classes.extend((expected.is_ok() && self.sharded.participants > 1).then_some(Class::CrossShard));
        self.compare_state()
    }

    fn compare_state(&self) -> Result<(), String> {
        let (expected, actual) = (self.plain.holdings(), self.sharded.holdings()?);
        let addresses: BTreeSet<_> = expected.keys().chain(actual.keys()).collect();
        let differs = addresses.into_iter().find(|address| expected.get(*address) != actual.get(*address));
        differs.map_or(Ok(()), |address| {
            let (expected, actual) = (expected.get(address), actual.get(address));
            Err(format!("{address} is\n{actual:#?}\nand on one EVM\n{expected:#?}"))
        })
    }

    /// The gas limits at which something else may happen: what the transaction costs before it runs, where its frames
    /// begin, and what it uses, each by the unit.
    fn ladder(&self, transaction: &Filled) -> BTreeSet<u64> {
        let (mut plain, mut trace) = (self.plain.clone(), self.trace.clone());
        if plain.run(&[transaction.env()], &mut trace).is_err() {
            return BTreeSet::new();
        }
        let (spent, used) = trace.spent;
        let step = trace.entries.len().div_ceil(FRAMES_SWEPT_MAX).max(1);
        let frames = trace.entries.iter().step_by(step).flat_map(|entry| [entry - 1, *entry, entry + 3, entry + 2_500]);
        let parts = (1..4).map(|part| spent * part / 4);
        frames.chain(parts).chain([spent, spent - 1, spent + spent / 63, used, used - 1]).collect()
    }

    /// Runs a transaction on copies of both with every gas limit of its ladder.
    fn sweep(&mut self, transaction: &Filled) -> Result<usize, String> {
        let ladder = self.ladder(transaction);
        for gas in &ladder {
            let (plain, sharded, trace) = (self.plain.clone(), self.sharded.clone(), self.trace.clone());
            let mut copy = Twins { plain, sharded, trace };
            let outcome = copy.run(&[transaction.with_gas(*gas)]);
            outcome.map_err(|error| format!("with gas limit {gas}: {error}"))?;
            self.trace.classes = copy.trace.classes;
        }
        Ok(ladder.len())
    }
}

fn check(case: &Case, forgetful: Option<ShardId>, tally: &mut Tally) -> Result<(), String> {
    let (placement, genesis) = (case.placement(), genesis(case));
    let (plain, sharded) = (Plain::new(case, &genesis), Sharded::new(case, &genesis, forgetful));
    let mut twins = Twins { plain, sharded, trace: Trace::new(&placement) };
    let swept = usize::from(case.swept) % case.payloads.len();
    for (index, payload) in case.payloads.iter().enumerate() {
        let filled = fill(case, payload, &twins.plain);
        if let (true, [alone]) = (index == swept, &filled[..]) {
            tally.swept += twins.sweep(alone).map_err(|error| format!("payload {index} {error}"))?;
        }
        twins.run(&filled).map_err(|error| format!("payload {index}: {error}"))?;
        tally.payloads += 1;
        *tally.participants.entry(twins.sharded.participants).or_default() += 1;
    }
    *tally.forks.entry(case.fork).or_default() += 1;
    for class in twins.trace.classes {
        *tally.cases.entry(class).or_default() += 1;
    }
    Ok(())
}

fn number(name: &str) -> Option<u32> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

fn runner(cases: u32) -> TestRunner {
    let mut seed = [0x17; 32];
    seed[..4].copy_from_slice(&number("DOVETAIL_PROPTEST_SEED").unwrap_or_default().to_be_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    TestRunner::new_with_rng(config, rng)
}

#[test]
fn generated_contracts_behave_over_shards_as_on_one_evm() {
    let cases = number("DOVETAIL_PROPTEST_CASES").unwrap_or(CASES_COUNT);
    let tally = RefCell::new(Tally::default());
    let outcome =
        runner(cases).run(&any_case(), |case| check(&case, None, &mut tally.borrow_mut()).map_err(TestCaseError::fail));
    let tally = tally.into_inner();
    println!("{cases} cases, {} payloads, {} more gas limits", tally.payloads, tally.swept);
    println!("participants: {:?}", tally.participants);
    println!("forks: {:?}", tally.forks);
    println!("cases that reached a class: {:?}", tally.cases);
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let missed: Vec<Class> = Class::ALL.into_iter().filter(|class| !tally.cases.contains_key(class)).collect();
    assert!(cases < CASES_COUNT || missed.is_empty(), "no case reached {missed:?}");
}

#[test]
fn a_shard_that_forgets_its_part_is_found_out_and_the_case_can_be_read() {
    let outcome = runner(200)
        .run(&any_case(), |case| check(&case, Some(ShardId(1)), &mut Tally::default()).map_err(TestCaseError::fail));
    let Err(TestError::Fail(reason, case)) = outcome else { panic!("nobody saw it") };
    assert!(reason.to_string().contains("and on one EVM"), "{reason}");
    assert_eq!((case.shards_count, case.payloads.len(), case.payloads[0].len()), (2, 1, 1), "{case:?}");
    let listing = format!("{case:?}");
    for part in ["2 shards", "contract 0 0x", "code 0x", "from authority"] {
        assert!(listing.contains(part), "{part} is not in\n{listing}");
    }
}
