//! How a case is drawn.

use super::case::{
    AUTHORITIES_COUNT, Authorization, CONTRACTS_COUNT_MAX, Case, Coinbase, Contract, Destination, Kind, PLACED_COUNT,
    SENDERS_COUNT, STRANGERS_COUNT, Target, Transaction,
};
use super::program::{Ask, CallGas, CallKind, Deploys, End, Init, Op};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use revm::primitives::hardfork::SpecId;

const SLOTS_COUNT: u8 = 4;

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        8 => (0..CONTRACTS_COUNT_MAX as u8).prop_map(Target::Contract),
        2 => (0..AUTHORITIES_COUNT as u8).prop_map(Target::Authority),
        1 => (0..STRANGERS_COUNT).prop_map(Target::Stranger),
        2 => Just(Target::Own),
        3 => Just(Target::Caller),
        1 => Just(Target::Origin),
        2 => Just(Target::Coinbase),
        3 => Just(Target::Created),
        // Those that take any input: what is asked of them fails or answers, and costs gas.
        1 => select(vec![1_u8, 2, 3, 4, 5, 6, 7, 9, 11]).prop_map(Target::Precompile),
    ]
}

fn slot() -> impl Strategy<Value = u8> {
    0..SLOTS_COUNT
}

fn ask() -> impl Strategy<Value = Op> {
    select(vec![
        Ask::Timestamp,
        Ask::Number,
        Ask::Randomness,
        Ask::GasLimit,
        Ask::ChainId,
        Ask::BlockHash,
        Ask::GasPrice,
        Ask::CallValue,
        Ask::GasLeft,
    ])
    .prop_map(Op::Ask)
}

fn state() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (slot(), 0..3_u8).prop_map(|(slot, value)| Op::Store { slot, value }),
        2 => slot().prop_map(|slot| Op::StoreSeen { slot }),
        2 => slot().prop_map(|slot| Op::Load { slot }),
        1 => (slot(), 0..3_u8).prop_map(|(slot, value)| Op::StoreTransient { slot, value }),
        1 => slot().prop_map(|slot| Op::LoadTransient { slot }),
        1 => (0..5_u8).prop_map(|topics| Op::Log { topics }),
    ]
}

fn query() -> impl Strategy<Value = Op> {
    prop_oneof![
        target().prop_map(Op::Balance),
        Just(Op::OwnBalance),
        target().prop_map(Op::CodeHash),
        target().prop_map(Op::CodeSize),
        target().prop_map(Op::CodeCopy),
        ask(),
        (0..200_u16).prop_map(|rounds| Op::Burn { rounds }),
    ]
}

fn call() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![
        5 => Just(CallKind::Call),
        1 => Just(CallKind::CallCode),
        2 => Just(CallKind::Delegate),
        1 => Just(CallKind::Static),
    ];
    let gas = prop_oneof![
        4 => Just(CallGas::All),
        1 => Just(CallGas::Half),
        2 => (0..60_000_u16).prop_map(CallGas::Fixed),
    ];
    let value = prop_oneof![3 => Just(0_u8), 1 => 1..20_u8];
    (kind, target(), value, gas).prop_map(|(kind, target, value, gas)| Op::Call { kind, target, value, gas })
}

fn create() -> impl Strategy<Value = Op> {
    let value = prop_oneof![3 => Just(0_u8), 1 => 1..10_u8];
    (0..3_u8, value, proptest::option::of(0..2_u8)).prop_map(|(init, value, salt)| Op::Create { init, value, salt })
}

fn end() -> impl Strategy<Value = Op> {
    let end = prop_oneof![
        2 => Just(End::Return),
        1 => Just(End::Stop),
        3 => Just(End::Revert),
        1 => Just(End::Invalid),
        3 => target().prop_map(End::Destroy),
    ];
    let depth = prop_oneof![1 => Just(None), 3 => (0..4_u8).prop_map(Some)];
    (depth, end).prop_map(|(depth, end)| Op::End { depth, end })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![6 => state(), 3 => query(), 7 => call(), 2 => create(), 2 => end()]
}

fn init_code() -> impl Strategy<Value = Init> {
    let deploys = prop_oneof![
        1 => Just(Deploys::Nothing),
        5 => (0..CONTRACTS_COUNT_MAX as u8).prop_map(Deploys::CodeOf),
        1 => Just(Deploys::Reserved),
    ];
    (vec(op(), 0..4), deploys).prop_map(|(ops, deploys)| Init { ops, deploys })
}

fn one_contract() -> impl Strategy<Value = Contract> {
    let slots = proptest::collection::btree_map(slot(), 1..4_u8, 0..3);
    (vec(op(), 1..8), 0..60_u8, slots).prop_map(|(ops, balance, slots)| Contract { ops, balance, slots })
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let to = prop_oneof![
        12 => (0..CONTRACTS_COUNT_MAX as u8).prop_map(Destination::Contract),
        2 => (0..3_u8).prop_map(Destination::Create),
        2 => (0..AUTHORITIES_COUNT as u8).prop_map(Destination::Authority),
        1 => (0..STRANGERS_COUNT).prop_map(Destination::Stranger),
        2 => Just(Destination::LastCreated),
    ];
    let kind = prop_oneof![
        1 => Just(Kind::Legacy),
        2 => Just(Kind::AccessList),
        2 => Just(Kind::DynamicFee),
        2 => Just(Kind::SetCode),
    ];
    let gas = prop_oneof![3 => Just(1_200_000_u32), 1 => 40_000..400_000_u32];
    let authorization = (0..AUTHORITIES_COUNT as u8, proptest::option::weighted(0.9, 0..CONTRACTS_COUNT_MAX as u8))
        .prop_flat_map(|(authority, target)| {
            let nonce_off = prop_oneof![6 => Just(0_u8), 1 => Just(1)];
            nonce_off.prop_map(move |nonce_off| Authorization { authority, target, nonce_off })
        });
    let lists = (vec((target(), vec(slot(), 0..3)), 0..4), vec(authorization, 1..4));
    let amounts = (prop_oneof![2 => Just(0_u8), 1 => 1..50_u8], 0..5_u8, gas, 0..3_u8);
    (0..SENDERS_COUNT as u8, to, kind, amounts, lists).prop_map(|(sender, to, kind, amounts, lists)| {
        let ((value, depth, gas, tip), (access, authorizations)) = (amounts, lists);
        Transaction { sender, to, kind, value, depth, gas, tip, access, authorizations }
    })
}

fn fork() -> impl Strategy<Value = SpecId> {
    prop_oneof![
        5 => Just(SpecId::OSAKA),
        4 => Just(SpecId::PRAGUE),
        3 => Just(SpecId::CANCUN),
        2 => Just(SpecId::SHANGHAI),
        1 => Just(SpecId::LONDON),
        1 => Just(SpecId::BERLIN),
    ]
}

/// Any case.
pub(crate) fn any_case() -> impl Strategy<Value = Case> {
    let coinbase = prop_oneof![
        4 => Just(Coinbase::Nobody),
        1 => (0..CONTRACTS_COUNT_MAX as u8).prop_map(Coinbase::Contract),
        1 => (0..AUTHORITIES_COUNT as u8).prop_map(Coinbase::Authority),
    ];
    let network = (fork(), 1..=6_u32, vec(0..6_u32, PLACED_COUNT), coinbase);
    let programs = (vec(one_contract(), 3..=CONTRACTS_COUNT_MAX), vec(init_code(), 1..4));
    let payload = prop_oneof![4 => vec(transaction(), 1), 1 => vec(transaction(), 2..4)];
    (network, programs, vec(payload, 1..5), any::<u8>()).prop_map(|(network, programs, payloads, swept)| {
        let ((fork, shards_count, homes, coinbase), (contracts, inits)) = (network, programs);
        Case { fork, shards_count, homes, coinbase, contracts, inits, payloads, swept }
    })
}
