//! The canonical bytes and digests of this crate, frozen: a change here is a new version of the network.

use dovetail_evm as evm;
use evm::{
    AccountState, Address, BlobEnvironment, BlockEnvironment, Changes, Effects, Environment, FeesKey, Log, Outcome,
    Payload, Spec, Status, SystemTransaction, TransactionKind, U256, Witness,
};
use primitives::{ShardId, Slot};
use std::collections::BTreeMap;

fn payload() -> Payload {
    let block = BlockEnvironment {
        spec: Spec::default(),
        number: 1,
        timestamp: 2,
        beneficiary: Address::repeat_byte(3),
        gas_limit: 4,
        base_fee: 5,
        difficulty: U256::from(6),
        randomness: None,
        blob: Some(BlobEnvironment { excess_gas: 7, update_fraction: 8 }),
        hashes: BTreeMap::from([(0, evm::B256::repeat_byte(9))]),
    };
    Payload::bundle(Environment::Block(block), vec![TransactionKind::System(SystemTransaction::Settle)])
}

fn witness() -> Witness {
    let account = AccountState::with_balance(U256::from(1));
    Witness {
        accounts: [(Address::repeat_byte(1), None), (Address::repeat_byte(2), Some(account))].into(),
        slots: [((Address::repeat_byte(2), U256::from(3)), U256::from(4))].into(),
        fees: [(FeesKey { shard: ShardId(1), beneficiary: Address::repeat_byte(5) }, U256::from(6))].into(),
        fixed: [(Address::repeat_byte(7), evm::B256::repeat_byte(8))].into(),
        codes: [(alloy_primitives::keccak256([0]), vec![0].into())].into(),
    }
}

fn effects() -> Effects {
    let log = Log { address: Address::repeat_byte(1), topics: vec![evm::B256::ZERO], data: vec![7].into() };
    let outcome = Outcome {
        transaction: None,
        kind: 2,
        status: Status::Reverted,
        gas_used: 21_000,
        gas_price: 9,
        output: vec![1, 2].into(),
        logs: vec![log],
        created: None,
    };
    let wiped = [Address::repeat_byte(8)].into();
    Effects { changes: Changes { wiped, ..Changes::default() }, outcomes: vec![outcome] }
}

#[test]
fn digests_stay_what_they_were() {
    let signed = Payload::signed(Environment::Slot(Slot(7)), vec![1, 2, 3]);
    let digests = [signed.digest(), payload().digest(), witness().digest(), effects().digest()];
    let bound = payload().bind(witness().digest(), effects().digest());
    let text: Vec<String> = digests.iter().chain([&bound]).map(ToString::to_string).collect();
    assert_eq!(
        text,
        [
            "0xd383625ab41dbf4ab309439b727a8f48da34d44e0fd73d60d1aa18f86e5d58d2",
            "0xd1568f8dd8a724781c98dd2f45487c70cb9e31860e06f6b9b0b2961f1f18c5e5",
            "0xcbd4ad852cc2499615499a74e5ae2ed52c8e0719ae6710cbae8bbfa0f7d922b2",
            "0xb0c80940b6a1fb821fd2c806918a360437a0dc7cc7fd37ffc04c8ab26d76f0e3",
            "0xc23b00ce42f3e4f7cd216ab1c06ce67d484a5846c74c83c7f3f8c406801aa559",
        ]
    );
}

#[test]
fn bytes_stay_what_they_were() {
    let signed = Payload::signed(Environment::Slot(Slot(7)), vec![1, 2, 3]);
    assert_eq!(
        alloy_primitives::hex::encode(primitives::encode(&signed)),
        "00070000000000000000010000000003000000010203"
    );
}
