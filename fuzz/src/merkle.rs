//! Paths in Merkle trees and in a shard's state: a path proves one leaf at one place and nothing else.

use crate::choice::Choice;
use crate::sample;
use alloy_primitives::{Address, U256};
use evm::StateKey;
use primitives::{Digest, Epoch, Height, Memory, ShardId};
use proof::{History, NodeId, Place, Signer, Tree, TreeKind, verify_path};
use shard::state_tree::{self, StateProof};
use shard::{GenesisAccount, GenesisAccounts, Shard, ShardConfig};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Most leaves of a tree here.
const LEAVES_COUNT_MAX: usize = 40;

fn place(choice: &mut Choice<'_>) -> Place {
    let kind = *choice.of(&[TreeKind::Outbox, TreeKind::Log, TreeKind::Outcomes, TreeKind::History]);
    Place { kind, network: sample::NETWORK, shard: ShardId(choice.below(3) as u32), height: Height(choice.number()) }
}

/// A tree, a claim about one of its leaves, and the answer that follows from what the claim changed.
pub fn merkle(data: &[u8]) {
    let mut choice = Choice::new(data);
    let real = place(&mut choice);
    let leaves: Vec<Vec<u8>> = (0..=choice.below(LEAVES_COUNT_MAX)).map(|i| vec![i as u8; choice.below(70)]).collect();
    let tree = Tree::new(&leaves);
    let (count, root) = (leaves.len() as u64, tree.root(&real));
    let index = choice.below(leaves.len()) as u64;
    let path = tree.prove(index).expect("a leaf that is there");

    let claimed_place = if choice.once_in(4) { place(&mut choice) } else { real };
    let claimed_count = if choice.once_in(4) { choice.number() } else { count };
    let claimed_index = if choice.once_in(4) { choice.number() } else { index };
    let claimed_leaf =
        if choice.once_in(4) { choice.edited(&leaves[index as usize]) } else { leaves[index as usize].clone() };
    let claimed_path = if choice.once_in(2) { edited_path(&path, &mut choice) } else { path.clone() };
    let believed =
        verify_path(&claimed_place, &root, claimed_count, claimed_index, &claimed_leaf, &claimed_path).is_ok();
    let is_true = claimed_place == real
        && (claimed_count, claimed_index) == (count, index)
        && claimed_leaf == leaves[index as usize]
        && claimed_path == path;
    assert_eq!(believed, is_true);
    history(&mut choice);
}

fn edited_path(path: &[Digest], choice: &mut Choice<'_>) -> Vec<Digest> {
    let mut path = path.to_vec();
    let at = choice.below(path.len() + 1);
    match (choice.below(5), path.get(at).copied()) {
        (0, _) => path.insert(at, sample::digest("a sibling")),
        (1, Some(_)) => drop(path.remove(at)),
        (2, Some(_)) => path.swap(at, 0),
        (3, Some(digest)) => {
            let mut bytes = *digest.as_bytes();
            bytes[choice.below(32)] ^= 1 << choice.below(8);
            path[at] = Digest::new(bytes);
        }
        _ => {}
    }
    path
}

/// Every earlier header is proven under a later one, and under no other.
fn history(choice: &mut Choice<'_>) {
    let mut history = History::new(sample::NETWORK, ShardId(1));
    let mut nodes: BTreeMap<NodeId, Digest> = BTreeMap::new();
    let later = choice.below(LEAVES_COUNT_MAX) as u64 + 2;
    let header = |height: u64| sample::digest(&height.to_string());
    for height in 1..later {
        nodes.extend(history.append(&header(height)).iter().map(|appended| (appended.node, appended.digest)));
    }
    let (root, earlier) = (history.root(), choice.below(later as usize - 1) as u64 + 1);
    let path = History::prove(Height(earlier), Height(later), |node| nodes.get(&node).copied()).expect("it is earlier");
    let place = Place { kind: TreeKind::History, network: sample::NETWORK, shard: ShardId(1), height: Height(later) };
    let claimed = choice.below(later as usize) as u64 + 1;
    let believed = verify_path(&place, &root, later - 1, earlier - 1, header(claimed).as_bytes(), &path).is_ok();
    assert_eq!(believed, claimed == earlier);
}

/// A shard's first state with the root over it.
struct State {
    root: Digest,
    proofs: Vec<(StateKey, Option<Vec<u8>>, Vec<u8>)>,
}

static STATE: LazyLock<State> = LazyLock::new(|| {
    let account = |seed: u8| {
        let storage = (0..4).map(|slot| (U256::from(slot), U256::from(seed))).collect();
        (Address::repeat_byte(seed), GenesisAccount { balance: sample::ETHER, storage, ..GenesisAccount::default() })
    };
    let accounts: GenesisAccounts = (1..=8).map(account).collect();
    let id = ShardId(0);
    let secret = sample::secrets(id, 1).remove(0);
    let placement = evm::Placement::new(1, 1, BTreeMap::new()).expect("one shard");
    let signer = Signer::new(secret, &sample::set(id, 1)).expect("a member");
    let config = ShardConfig::new(sample::params(), id, placement, [(id, sample::set(id, 1))].into(), signer);
    assert_eq!(config.epoch(), Epoch(1));
    let mut store = Memory::default();
    store.commit(&Shard::genesis(&config, &accounts).expect("a genesis"));
    let (height, root) = state_tree::newest_root(&store).expect("genesis has a root");
    let present = (1..=8).map(|seed| StateKey::Account(Address::repeat_byte(seed)));
    let slots = (0..6).map(|slot| StateKey::Slot(Address::repeat_byte(2), U256::from(slot)));
    let absent = (9..=12).map(|seed| StateKey::Account(Address::repeat_byte(seed)));
    let prove = |key| {
        let (value, proof) = state_tree::prove(&store, &key, height).expect("its own root");
        (key, value, primitives::encode(&proof))
    };
    State { root, proofs: present.chain(slots).chain(absent).map(prove).collect() }
});

/// A proof of a value of the state, changed or for another key or value: only the value that is there is believed.
pub fn state_proof(data: &[u8]) {
    check_state(data, 0, None);
    let mut choice = Choice::new(data);
    let base = choice.below(STATE.proofs.len());
    let proof = if choice.once_in(4) { STATE.proofs[base].2.clone() } else { choice.edited(&STATE.proofs[base].2) };
    let claimed = if choice.once_in(2) { choice.below(STATE.proofs.len()) } else { base };
    let value = match choice.below(3) {
        0 => STATE.proofs[claimed].1.clone(),
        1 => choice.of(&STATE.proofs).1.clone(),
        _ => None,
    };
    check_state(&proof, claimed, value.as_deref());
}

fn check_state(proof: &[u8], claimed: usize, value: Option<&[u8]>) {
    let (key, real, _) = &STATE.proofs[claimed];
    let Ok(decoded) = primitives::decode::<StateProof>(proof, 1 << 16) else { return };
    assert_eq!(primitives::encode(&decoded), proof, "a proof has one encoding");
    if state_tree::verify(STATE.root, key, value, &decoded).is_ok() {
        assert_eq!(value, real.as_deref(), "{key} has another value");
    }
}

pub(crate) fn state_proof_seeds() -> Vec<Vec<u8>> {
    STATE.proofs.iter().step_by(3).map(|(_, _, proof)| proof.clone()).collect()
}
