//! Real transactions, each with the state it meets: of state tests, and of mainnet blocks.

use crate::layout::Layout;
use crate::mutation::network::NOW;
use crate::mutation::scene::{Scene, part};
use crate::mutation::tally::Origin;
use crate::state_tests::case::{self, Case};
use crate::state_tests::runner::Settings;
use crate::state_tests::source::TestFile;
use crate::state_tests::{file, fork, subtest};
use alloy_primitives::{Address, keccak256};
use evm::mainnet::MainnetBlock;
use evm::{
    Environment, Environments, NetworkParams, Payload, PayloadVerifier, Placement, State, TransactionKind, execute,
};
use primitives::Verified;
use std::collections::{BTreeMap, BTreeSet};

/// The fewest shards of a scene; and how many different counts there are.
const SHARDS: (u32, u64) = (2, 4);

/// Of how many state tests one runs on a network of slots, whose participants check the environment.
const SLOT_EVERY: u64 = 2;

/// Places every scene.
const SEED: u64 = 3;

/// A number that depends on nothing but a name.
pub fn draw(name: &str) -> u64 {
    let hash = keccak256(name);
    hash[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The scenes of a file of state tests, each given to `play`.
pub fn of_file(
    file: &TestFile,
    settings: &Settings,
    play: &mut dyn FnMut(Scene, Origin),
) -> Result<(), file::FileError> {
    for (test, content) in &file::parse(&file.bytes)? {
        let wanted: Vec<_> =
            subtest::names(&file.name, test, content).filter(|(name, _)| settings.wants(name)).collect();
        if wanted.is_empty() {
            continue;
        }
        let scene = case::Scene::new(content);
        for (name, post) in wanted {
            let Some(spec) = fork::spec(&name.fork) else { continue };
            let case = Case { scene: &scene, fork: &name.fork, spec, post };
            if let Some((scene, origin)) = of_case(&case, name.to_string()) {
                play(scene, origin);
            }
        }
    }
    Ok(())
}

fn of_case(case: &Case<'_>, name: String) -> Option<(Scene, Origin)> {
    let draw = draw(&name);
    let bytes = case.bytes().ok()?.bytes;
    let shards = SHARDS.0 + (draw % SHARDS.1) as u32;
    let placement = Layout::Seeded { shards, seed: SEED }.placement(&name, &case.addresses()).ok()?;
    let (mut params, mut payload, mut origin) = (case.params(), case.payload(&bytes), Origin::StateTest);
    if (draw / SHARDS.1).is_multiple_of(SLOT_EVERY) {
        params.environments = Environments::Slots;
        payload.environment = Environment::Slot(params.slot_at(NOW));
        origin = Origin::StateTestInSlot;
    }
    Some((Scene::new(name, params, placement, case.scene.before.clone(), payload), origin))
}

/// The scenes of a block, up to `count` of them, each given to `play`.
///
/// The block is run in order on one state; a transaction's scene has every account that it reads, as it then is.
pub fn of_block(block: &MainnetBlock, count: Option<usize>, play: &mut dyn FnMut(Scene, Origin)) -> Result<(), String> {
    let params = block.params();
    let whole = Placement::new(1, 1, BTreeMap::new()).map_err(|error| error.to_string())?;
    let mut state = block.pre_state().clone();
    let chosen = chosen(block, count);
    for (index, payload) in block.payloads().into_iter().enumerate() {
        let recovered = Verified::by(&PayloadVerifier::new(params.clone()), payload.clone());
        let recovered = recovered.map_err(|error| format!("payload {index}: {error}"))?;
        let executed = execute(&params, &whole, &recovered, &state);
        let executed = executed.map_err(|error| format!("payload {index}: {error}"))?;
        if chosen.contains(&index) && matches!(payload.transactions[..], [TransactionKind::Signed(_)]) {
            let name = format!("payload {index} of block {}", block.number());
            let read: BTreeSet<Address> = executed.witness.accounts.keys().copied().collect();
            let meets = part(&state.clone().settled(), read.iter());
            play(of_payload(name, params.clone(), payload, meets, &read)?, Origin::Block);
        }
        state.apply(&executed.effects.changes).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Which payloads of a block are lied about: spread evenly over it.
fn chosen(block: &MainnetBlock, count: Option<usize>) -> BTreeSet<usize> {
    let payloads = block.payloads();
    let is_signed = |(index, payload): (usize, &Payload)| {
        matches!(payload.transactions[..], [TransactionKind::Signed(_)]).then_some(index)
    };
    let signed: Vec<usize> = payloads.iter().enumerate().filter_map(is_signed).collect();
    let step = count.map_or(1, |count| signed.len().div_ceil(count.max(1))).max(1);
    signed.into_iter().step_by(step).collect()
}

fn of_payload(
    name: String,
    params: NetworkParams,
    payload: Payload,
    state: State,
    accounts: &BTreeSet<Address>,
) -> Result<Scene, String> {
    let shards = SHARDS.0 + (draw(&name) % SHARDS.1) as u32;
    let layout = Layout::Seeded { shards, seed: SEED };
    let placement = layout.placement(&name, accounts).map_err(|error| error.to_string())?;
    Ok(Scene::new(name, params, placement, state, payload))
}
