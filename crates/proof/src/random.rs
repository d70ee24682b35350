//! Random trees, histories and bytes.

use crate::{
    Delivery, History, Message, NodeId, Receipt, Tree, TreeKind, ValidatorSet, sample, sample::Chain, verify_path,
};
use primitives::{Digest, Domain, Height, NetworkId, ShardId, Verifier};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn place(height: u64) -> crate::Place {
    crate::Place { kind: TreeKind::History, network: NetworkId(7), shard: ShardId(1), height: Height(height) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_random_leaf_of_a_random_tree_is_proven_and_no_other_is(
        leaves in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..200),
        at in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
    ) {
        let tree = Tree::new(&leaves);
        let (index, other) = (at.index(leaves.len()), other.index(leaves.len()));
        let (count, path) = (leaves.len() as u64, tree.prove(index as u64).unwrap());
        let root = tree.root(&place(5));
        prop_assert!(verify_path(&place(5), &root, count, index as u64, &leaves[index], &path).is_ok());
        let moved = verify_path(&place(5), &root, count, other as u64, &leaves[index], &path);
        prop_assert_eq!(moved.is_ok(), other == index);
    }

    #[test]
    fn a_random_header_is_proven_under_a_random_later_one(later in 2_u64..3_000, at in any::<prop::sample::Index>()) {
        let domain = Domain::new("test");
        let digest = |height: u64| domain.hash(&height.to_le_bytes());
        let mut history = History::new(NetworkId(7), ShardId(1));
        let mut nodes: BTreeMap<NodeId, Digest> = BTreeMap::new();
        let mut root = history.root();
        for height in 1..=later + 10 {
            // The nodes go on growing after the header that carries the root.
            if height == later {
                root = history.root();
            }
            nodes.extend(history.append(&digest(height)).iter().map(|appended| (appended.node, appended.digest)));
        }
        let earlier = at.index(later as usize - 1) as u64 + 1;
        let path = History::prove(Height(earlier), Height(later), |id| nodes.get(&id).copied()).unwrap();
        let leaf = digest(earlier);
        prop_assert!(verify_path(&place(later), &root, later - 1, earlier - 1, leaf.as_bytes(), &path).is_ok());
    }

    #[test]
    fn random_bytes_never_pass_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert!(sample::verifier().verify(bytes.as_slice()).is_err());
        let _ = (Message::from_bytes(&bytes), Delivery::from_bytes(&bytes), borsh::from_slice::<ValidatorSet>(&bytes));
    }

    #[test]
    fn a_receipt_with_a_random_stretch_overwritten_is_refused(
        start in any::<prop::sample::Index>(),
        stretch in prop::collection::vec(any::<u8>(), 1..64),
    ) {
        let sound = Chain::new().receipt_through(5, 2, 9).to_bytes();
        let mut bytes = sound.clone();
        let start = start.index(bytes.len());
        bytes.iter_mut().skip(start).zip(&stretch).for_each(|(byte, new)| *byte = *new);
        prop_assert_eq!(sample::verifier().verify(bytes.as_slice()).is_ok(), bytes == sound);
        if let Ok(receipt) = Receipt::from_bytes(&bytes) {
            prop_assert_eq!(receipt.to_bytes(), bytes, "what decodes encodes to the same bytes");
        }
    }
}
