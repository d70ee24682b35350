//! Lies about the block: each field of the environment, one at a time.

use crate::mutation::kind::{Field, Kind, Told};
use crate::mutation::mutations::{Mutated, Teller};
use alloy_primitives::{B256, U256};
use evm::{BlockEnvironment, Environment, Payload, Prepared, Spec};
use primitives::Slot;
use revm::primitives::hardfork::SpecId;
use shard::limits::{SLOT_AHEAD_MAX, SLOT_BEHIND_MAX};

/// The fields of a whole block.
const OF_BLOCKS: [Field; 10] = [
    Field::Spec,
    Field::Number,
    Field::Timestamp,
    Field::Beneficiary,
    Field::GasLimit,
    Field::BaseFee,
    Field::Difficulty,
    Field::Randomness,
    Field::Blob,
    Field::BlockHash,
];

/// Every way to change the environment.
pub(crate) fn mutations(teller: &Teller<'_>) -> Vec<Mutated> {
    let payload = &teller.honest.prepared.payload;
    let changed: Vec<(Field, Environment)> = match &payload.environment {
        Environment::Block(block) => OF_BLOCKS
            .into_iter()
            .filter_map(|field| {
                let mut block = block.clone();
                change(&mut block, field)?;
                Some((field, Environment::Block(block)))
            })
            .collect(),
        Environment::Slot(slot) | Environment::Travelled { slot, .. } => of_slot(teller, *slot),
    };
    changed.into_iter().flat_map(|(field, environment)| both(teller, field, environment)).collect()
}

fn both(teller: &Teller<'_>, field: Field, environment: Environment) -> [Mutated; 2] {
    let honest = teller.honest;
    let payload = Payload { environment, ..honest.prepared.payload.clone() };
    let prepared = Prepared { payload: payload.clone(), ..honest.prepared.clone() };
    let alone = honest.claim_of(honest.descriptor.clone(), &prepared);
    let again = teller.run_again(payload, &teller.scene.state, honest.prepared.witness.clone());
    [Mutated::new(Kind::Field(field), Told::Alone, alone), Mutated::new(Kind::Field(field), Told::Consistently, again)]
}

fn of_slot(teller: &Teller<'_>, slot: Slot) -> Vec<(Field, Environment)> {
    let params = &teller.scene.params;
    let length = params.slot_length.0.max(1);
    let behind = Slot(slot.0.saturating_sub(SLOT_BEHIND_MAX.0 / length + 2));
    let ahead = Slot(slot.0 + SLOT_AHEAD_MAX.0 / length + 2);
    vec![
        (Field::Slot, Environment::Slot(Slot(slot.0.saturating_sub(1)))),
        (Field::SlotBehind, Environment::Slot(behind)),
        (Field::SlotAhead, Environment::Slot(ahead)),
        (Field::WholeBlock, Environment::Block(params.block_of(slot))),
    ]
}

/// Changes one field, if the block has it.
fn change(block: &mut BlockEnvironment, field: Field) -> Option<()> {
    match field {
        Field::Spec => block.spec = other_fork(block.spec),
        Field::Number => block.number += 1,
        Field::Timestamp => block.timestamp += 1,
        Field::Beneficiary => block.beneficiary.0[19] ^= 1,
        Field::GasLimit => block.gas_limit = block.gas_limit.wrapping_add(1),
        Field::BaseFee => block.base_fee += 1,
        Field::Difficulty => block.difficulty = block.difficulty.wrapping_add(U256::from(1)),
        Field::Randomness => block.randomness = block.randomness.map(|random| random ^ B256::with_last_byte(1)),
        Field::Blob => block.blob.as_mut().into_iter().for_each(|blob| blob.excess_gas += 1 << 20),
        Field::BlockHash => block.hashes.values_mut().for_each(|hash| hash.0[0] ^= 1),
        Field::Slot | Field::SlotBehind | Field::SlotAhead | Field::WholeBlock => return None,
    }
    let has = match field {
        Field::Randomness => block.randomness.is_some(),
        Field::Blob => block.blob.is_some(),
        Field::BlockHash => !block.hashes.is_empty(),
        _ => true,
    };
    has.then_some(())
}

/// The neighbouring fork; under it the block may break a rule, which is a way to be caught.
fn other_fork(spec: Spec) -> Spec {
    match spec.id() {
        SpecId::OSAKA => SpecId::PRAGUE.into(),
        SpecId::PRAGUE => SpecId::OSAKA.into(),
        // Before Cancun code may go, which a network of Cancun rests on (EIP-6780).
        SpecId::CANCUN | SpecId::MERGE => SpecId::SHANGHAI.into(),
        SpecId::SHANGHAI => SpecId::MERGE.into(),
        SpecId::LONDON => SpecId::BERLIN.into(),
        SpecId::BERLIN => SpecId::ISTANBUL.into(),
        SpecId::ISTANBUL => SpecId::PETERSBURG.into(),
        SpecId::PETERSBURG => SpecId::BYZANTIUM.into(),
        SpecId::BYZANTIUM => SpecId::SPURIOUS_DRAGON.into(),
        SpecId::SPURIOUS_DRAGON => SpecId::TANGERINE.into(),
        SpecId::HOMESTEAD => SpecId::FRONTIER.into(),
        _ => SpecId::HOMESTEAD.into(),
    }
}
