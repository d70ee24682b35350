//! Hyperlane's bytes for what leaves the network: the tree of a shard's messages, checkpoints over it, and an ISM's metadata.
//!
//! ```text
//!   message id --> leaf of a keccak tree of depth 32 --> root, index --> checkpoint --> EIP-191 --> secp256k1, low s
//!   message id:  hook(32) | root(32) | index(4) | signatures
//!   Merkle root: hook(32) | leaf index(4) | id(32) | path(32 x 32) | signed index(4) | signatures
//!   signatures   in the ISM's order of validators, r | s | v, 65 bytes each
//! ```
//!
//! Promise: what an unmodified `StaticMessageIdMultisigIsm` and `StaticMerkleRootMultisigIsm` of `@hyperlane-xyz/core` 12.1 accept, which
//! the tests on anvil show.
//! Source: hyperlane-monorepo, `solidity/contracts/libs/Merkle.sol`, `CheckpointLib.sol`, `MessageIdMultisigIsmMetadata.sol` and
//! `MerkleRootMultisigIsmMetadata.sol`.

use alloy_primitives::{Address, B256, Signature, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use serde::{Deserialize, Serialize};

/// How deep the tree is.
const TREE_DEPTH: usize = 32;

/// Bytes of a signature: r, s, v.
const SIGNATURE_BYTES: usize = 65;

/// The incremental tree: one digest a level, and how many leaves there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IncrementalTree {
    branch: [B256; TREE_DEPTH],
    count: u32,
}

impl IncrementalTree {
    /// How many leaves it has.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Appends a leaf; none where the tree is full.
    pub fn insert(&mut self, leaf: B256) -> Option<u32> {
        let index = self.count;
        self.count = index.checked_add(1)?;
        let (mut node, mut size) = (leaf, self.count);
        for level in &mut self.branch {
            if size & 1 == 1 {
                *level = node;
                return Some(index);
            }
            node = pair(*level, node);
            size /= 2;
        }
        None
    }

    /// The left siblings of the newest leaf, from leaf to top: with zeros on the right they are its path.
    pub fn left_siblings(&self) -> Vec<B256> {
        let index = self.count.saturating_sub(1);
        let is_right = |(level, _): &(usize, &B256)| index >> level & 1 == 1;
        self.branch.iter().enumerate().filter(is_right).map(|(_, sibling)| *sibling).collect()
    }

    /// The root over all leaves, the missing ones zero.
    pub fn root(&self) -> B256 {
        let (mut node, mut zero) = (B256::ZERO, B256::ZERO);
        for (level, branch) in self.branch.iter().enumerate() {
            node = if self.count >> level & 1 == 1 { pair(*branch, node) } else { pair(node, zero) };
            zero = pair(zero, zero);
        }
        node
    }
}

/// The path of the newest leaf of a tree, at `index`, from its left siblings; none if there are not as many as it has.
fn newest_path(index: u32, left: &[B256]) -> Option<[B256; TREE_DEPTH]> {
    let (mut left, mut zero, mut path) = (left.iter(), B256::ZERO, [B256::ZERO; TREE_DEPTH]);
    for (level, sibling) in path.iter_mut().enumerate() {
        *sibling = if index >> level & 1 == 1 { *left.next()? } else { zero };
        zero = pair(zero, zero);
    }
    left.next().is_none().then_some(path)
}

/// Which ISM it is that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IsmKind {
    /// `StaticMessageIdMultisigIsm`: the cheaper one.
    #[default]
    MessageId,
    /// `StaticMerkleRootMultisigIsm`.
    MerkleRoot,
}

fn pair(left: B256, right: B256) -> B256 {
    keccak256([left.0, right.0].concat())
}

/// What validators sign for one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The domain that the message comes from.
    pub origin: u32,
    /// What stands for the tree there; a shard's mailbox.
    pub hook: B256,
    /// The tree's root after the message.
    pub root: B256,
    /// The message's place in it.
    pub index: u32,
    /// The message's id.
    pub id: B256,
}

impl Checkpoint {
    /// What is signed, before EIP-191.
    pub fn digest(&self) -> B256 {
        let domain = keccak256([&self.origin.to_be_bytes()[..], &self.hook[..], b"HYPERLANE"].concat());
        keccak256([&domain[..], &self.root[..], &self.index.to_be_bytes(), &self.id[..]].concat())
    }

    /// Signs it.
    ///
    /// # Errors
    /// The signer's own.
    pub fn sign(&self, signer: &PrivateKeySigner) -> Result<[u8; SIGNATURE_BYTES], alloy_signer::Error> {
        Ok(signer.sign_message_sync(&self.digest()[..])?.as_bytes())
    }

    /// Who signed it, if the signature is one and has the low s.
    pub fn signer(&self, signature: &[u8]) -> Option<Address> {
        let signature = Signature::try_from(signature).ok().filter(|signature| signature.normalize_s().is_none())?;
        signature.recover_address_from_msg(&self.digest()[..]).ok()
    }

    /// Whether `left` are the left siblings of the message, which is the newest leaf.
    pub fn is_newest_leaf(&self, left: &[B256]) -> bool {
        let Some(path) = newest_path(self.index, left) else { return false };
        let up = |node, (level, sibling): (usize, &B256)| {
            if self.index >> level & 1 == 1 { pair(*sibling, node) } else { pair(node, *sibling) }
        };
        path.iter().enumerate().fold(self.id, up) == self.root
    }

    /// The metadata that a message-id multisig ISM of these validators takes, if enough of them signed.
    ///
    /// `signatures` may be in any order and have others' among them; each validator counts once.
    pub fn metadata(&self, validators: &[Address], threshold: usize, signatures: &[Vec<u8>]) -> Option<Vec<u8>> {
        let mut metadata = [&self.hook[..], &self.root[..], &self.index.to_be_bytes()].concat();
        metadata.extend(self.chosen(validators, threshold, signatures)?);
        Some(metadata)
    }

    /// The same for a Merkle-root multisig ISM; `left` are the message's left siblings.
    pub fn merkle_metadata(
        &self,
        validators: &[Address],
        threshold: usize,
        signatures: &[Vec<u8>],
        left: &[B256],
    ) -> Option<Vec<u8>> {
        let path = newest_path(self.index, left)?;
        // The message is the newest leaf under the root, so its own place and the signed one are the same.
        let mut metadata = [&self.hook[..], &self.index.to_be_bytes(), &self.id[..]].concat();
        metadata.extend(path.iter().flatten());
        metadata.extend(self.index.to_be_bytes());
        metadata.extend(self.chosen(validators, threshold, signatures)?);
        Some(metadata)
    }

    /// The signatures that count, in the validators' order: exactly `threshold` of them.
    fn chosen(&self, validators: &[Address], threshold: usize, signatures: &[Vec<u8>]) -> Option<Vec<u8>> {
        let of = |validator: &Address| signatures.iter().find(|signature| self.signer(signature) == Some(*validator));
        let chosen: Vec<_> = validators.iter().filter_map(of).take(threshold).collect();
        (chosen.len() == threshold).then(|| chosen.into_iter().flatten().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::b256;

    fn signer(byte: u8) -> PrivateKeySigner {
        PrivateKeySigner::from_bytes(&B256::repeat_byte(byte)).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        let word = B256::repeat_byte;
        Checkpoint { origin: 1000, hook: word(0xaa), root: word(0xbb), index: 1, id: word(0xcc) }
    }

    #[test]
    fn the_empty_tree_has_hyperlanes_root() {
        let root = b256!("27ae5ba08d7291c96c8cbddcc148bf48a6d68c7974b94356f53754ef6171d757");
        assert_eq!(IncrementalTree::default().root(), root);
    }

    #[test]
    fn the_order_of_leaves_is_in_the_root() {
        let tree = |leaves: &[u8]| {
            let mut tree = IncrementalTree::default();
            for leaf in leaves {
                assert!(tree.insert(B256::repeat_byte(*leaf)).is_some());
            }
            tree.root()
        };
        assert_ne!(tree(&[1, 2, 3]), tree(&[1, 3, 2]));
        assert_ne!(tree(&[1, 2]), tree(&[1, 2, 0]).max(tree(&[2, 1])));
    }

    #[test]
    fn metadata_has_the_signatures_in_the_validators_order() {
        let (first, second, third) = (signer(1), signer(2), signer(3));
        let validators = [&first, &second, &third].map(PrivateKeySigner::address);
        let signed = [&third, &first].map(|signer| checkpoint().sign(signer).unwrap().to_vec());
        let metadata = checkpoint().metadata(&validators, 2, &signed).unwrap();
        assert_eq!(metadata.len(), 68 + 2 * 65);
        assert_eq!((&metadata[68..133], &metadata[133..]), (&signed[1][..], &signed[0][..]));
    }

    #[test]
    fn one_signature_short_makes_no_metadata_however_often_it_comes() {
        let validators = [signer(1).address(), signer(2).address()];
        let signed = vec![checkpoint().sign(&signer(1)).unwrap().to_vec(); 2];
        assert_eq!(checkpoint().metadata(&validators, 2, &signed), None);
    }

    #[test]
    fn a_signature_for_another_checkpoint_does_not_count() {
        let others = [
            Checkpoint { origin: 1001, ..checkpoint() },
            Checkpoint { hook: B256::ZERO, ..checkpoint() },
            Checkpoint { root: B256::ZERO, ..checkpoint() },
            Checkpoint { index: 2, ..checkpoint() },
            Checkpoint { id: B256::ZERO, ..checkpoint() },
        ];
        for other in others {
            let signature = other.sign(&signer(1)).unwrap();
            assert_ne!(checkpoint().signer(&signature), Some(signer(1).address()), "{other:?}");
        }
    }

    #[test]
    fn every_newest_leaf_has_a_path_to_its_root_and_no_other_leaf_has() {
        let mut tree = IncrementalTree::default();
        for number in 0..70_u8 {
            let leaf = B256::repeat_byte(number + 1);
            let index = tree.insert(leaf).unwrap();
            let own = Checkpoint { root: tree.root(), index, id: leaf, ..checkpoint() };
            let left = tree.left_siblings();
            assert!(own.is_newest_leaf(&left), "{number}");
            assert!(!Checkpoint { id: B256::ZERO, ..own }.is_newest_leaf(&left));
            assert!(!Checkpoint { index: index + 1, ..own }.is_newest_leaf(&left));
            assert!(!own.is_newest_leaf(&[&left[..], &[B256::ZERO]].concat()));
        }
    }

    #[test]
    fn merkle_metadata_has_the_path_and_the_signed_index() {
        let mut tree = IncrementalTree::default();
        for byte in [7, 8, 9] {
            tree.insert(B256::repeat_byte(byte)).unwrap();
        }
        let own = Checkpoint { root: tree.root(), index: 2, id: B256::repeat_byte(9), ..checkpoint() };
        let signed = vec![own.sign(&signer(1)).unwrap().to_vec()];
        let metadata = own.merkle_metadata(&[signer(1).address()], 1, &signed, &tree.left_siblings()).unwrap();
        assert_eq!(metadata.len(), 32 + 4 + 32 + 32 * 32 + 4 + 65);
        assert_eq!(metadata[68 + 32..68 + 64], pair(B256::repeat_byte(7), B256::repeat_byte(8))[..]);
        assert_eq!(own.merkle_metadata(&[signer(1).address()], 1, &signed, &[]), None);
    }

    #[test]
    fn chainswap_a_signature_with_the_high_s_is_nobodys() {
        let signed = checkpoint().sign(&signer(1)).unwrap();
        let low = Signature::try_from(&signed[..]).unwrap();
        let order = alloy_primitives::uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);
        let high = Signature::new(low.r(), order - low.s(), !low.v());
        assert_eq!(checkpoint().signer(&signed), Some(signer(1).address()));
        assert_eq!(checkpoint().signer(&high.as_bytes()), None);
    }
}
