//! A Merkle Patricia trie of which only some nodes are known: enough to change what they lead to, and to say the root.
//!
//! ```text
//!   root ── nodes by hash ──> leaf, leaf, [hash of a subtree nobody showed], leaf, ...      in the order of their paths
//!                                 set, remove                                └── builder ──> root
//! ```
//!
//! Promise: a root that comes out is that of the whole trie with exactly these changes, or it is an error: what would
//! need a node that is not here is refused, never guessed.
//!
//! Source: Ethereum yellow paper, appendix D; the hashing is `alloy_trie`'s.

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::nodes::{RlpNode, TrieNode};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles};
use std::collections::BTreeMap;

/// Nibbles in the path of a leaf: every key is a hash.
const PATH_NIBBLES_COUNT: usize = 64;

/// Why a partial trie says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrieError {
    /// A node that is no node.
    #[error("malformed trie node at {path:?}: {reason}")]
    Node {
        /// Where.
        path: Nibbles,
        /// What is wrong.
        reason: alloy_rlp::Error,
    },
    /// A path that is too long, or too short for a leaf.
    #[error("the trie node at {path:?} leads to a path of another length than {PATH_NIBBLES_COUNT} nibbles")]
    Length {
        /// Where.
        path: Nibbles,
    },
    /// The root itself is not among the nodes.
    #[error("no node has the root {root}")]
    NoRoot {
        /// Which.
        root: B256,
    },
    /// A key whose path ends in a part that was not shown.
    #[error("the trie under {path:?} is not among the nodes, and {key} is in it")]
    Hidden {
        /// Where what is known ends.
        path: Nibbles,
        /// Which key.
        key: B256,
    },
    /// A branch lost all children but one that was not shown, so nobody can tell what becomes of it.
    #[error("only the node at {path:?} is left of a branch, and it is not among the nodes")]
    Alone {
        /// Where that node is.
        path: Nibbles,
    },
}

/// What is known at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    /// A leaf's value.
    Leaf(Vec<u8>),
    /// The hash of a node that was not shown.
    Hidden { hash: B256, kind: Kind },
}

/// What a hidden node can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A branch: it hangs on an extension.
    Branch,
    /// Anything.
    Any,
}

/// Nodes by their keccak256.
#[derive(Debug, Clone, Default)]
pub(super) struct Nodes(BTreeMap<B256, Bytes>);

impl Nodes {
    pub(super) fn new(nodes: Vec<Bytes>) -> Self {
        Self(nodes.into_iter().map(|node| (keccak256(&node), node)).collect())
    }
}

/// A trie as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartialTrie {
    /// By path, none a prefix of another.
    entries: BTreeMap<Nibbles, Entry>,
}

impl PartialTrie {
    /// The trie without anything in it, wholly known.
    pub(super) fn empty() -> Self {
        Self { entries: BTreeMap::new() }
    }

    /// All that `nodes` show of the trie with this root.
    pub(super) fn new(root: B256, nodes: &Nodes) -> Result<Self, TrieError> {
        let mut trie = Self::empty();
        if root == EMPTY_ROOT_HASH {
            return Ok(trie);
        }
        let rlp = nodes.0.get(&root).ok_or(TrieError::NoRoot { root })?;
        trie.reveal(Nibbles::default(), rlp, nodes)?;
        Ok(trie)
    }

    /// The value under `key`; none where there is none.
    pub(super) fn get(&self, key: B256) -> Result<Option<&[u8]>, TrieError> {
        let path = self.path(key)?;
        Ok(match self.entries.get(&path) {
            Some(Entry::Leaf(value)) => Some(value),
            _ => None,
        })
    }

    /// Sets the value under `key`, or removes it.
    pub(super) fn set(&mut self, key: B256, value: Option<Vec<u8>>) -> Result<(), TrieError> {
        let path = self.path(key)?;
        match value {
            Some(value) => self.entries.insert(path, Entry::Leaf(value)),
            None => self.entries.remove(&path),
        };
        Ok(())
    }

    /// The root of the whole trie.
    pub(super) fn root(&self) -> Result<B256, TrieError> {
        let mut builder = HashBuilder::default();
        for (path, entry) in &self.entries {
            match entry {
                Entry::Leaf(value) => builder.add_leaf(*path, value),
                Entry::Hidden { hash, kind } => {
                    if *kind == Kind::Any && !self.has_sibling(path) {
                        return Err(TrieError::Alone { path: *path });
                    }
                    builder.add_branch(*path, *hash, false);
                }
            }
        }
        Ok(builder.root())
    }

    /// The path of `key`, if what is known reaches to its end.
    fn path(&self, key: B256) -> Result<Nibbles, TrieError> {
        let path = Nibbles::unpack(key);
        // No path is a prefix of another, so nothing is between a path and what goes on from it.
        match self.entries.range(..path).next_back() {
            Some((hidden, _)) if path.starts_with(hidden) => Err(TrieError::Hidden { path: *hidden, key }),
            _ => Ok(path),
        }
    }

    /// Whether the branch above `path` has another child.
    fn has_sibling(&self, path: &Nibbles) -> bool {
        let parent = path.slice(..path.len().saturating_sub(1));
        let before = self.entries.range(..*path).next_back();
        let after = self.entries.range(*path..).nth(1);
        [before, after].into_iter().flatten().any(|(other, _)| other.starts_with(&parent))
    }

    fn reveal(&mut self, path: Nibbles, rlp: &[u8], nodes: &Nodes) -> Result<(), TrieError> {
        let malformed = |reason| TrieError::Node { path, reason };
        match alloy_rlp::decode_exact::<TrieNode>(rlp).map_err(malformed)? {
            TrieNode::EmptyRoot => {}
            TrieNode::Leaf(leaf) => {
                let whole = joined(path, &leaf.key)?;
                if whole.len() != PATH_NIBBLES_COUNT {
                    return Err(TrieError::Length { path });
                }
                self.entries.insert(whole, Entry::Leaf(leaf.value));
            }
            TrieNode::Extension(extension) => {
                if extension.key.is_empty() {
                    return Err(TrieError::Length { path });
                }
                self.child(joined(path, &extension.key)?, &extension.child, Kind::Branch, nodes)?;
            }
            TrieNode::Branch(branch) => {
                let mut children = branch.stack.iter();
                for nibble in (0..16).filter(|nibble| branch.state_mask.is_bit_set(*nibble)) {
                    let Some(child) = children.next() else { break };
                    self.child(joined(path, &Nibbles::from_nibbles([nibble]))?, child, Kind::Any, nodes)?;
                }
            }
        }
        Ok(())
    }

    fn child(&mut self, path: Nibbles, child: &RlpNode, kind: Kind, nodes: &Nodes) -> Result<(), TrieError> {
        let Some(hash) = child.as_hash() else { return self.reveal(path, child, nodes) };
        if let Some(rlp) = nodes.0.get(&hash) {
            return self.reveal(path, rlp, nodes);
        }
        self.entries.insert(path, Entry::Hidden { hash, kind });
        Ok(())
    }
}

fn joined(path: Nibbles, more: &Nibbles) -> Result<Nibbles, TrieError> {
    if path.len() + more.len() > PATH_NIBBLES_COUNT { Err(TrieError::Length { path }) } else { Ok(path.join(more)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_trie::proof::ProofRetainer;

    type Values = BTreeMap<B256, Vec<u8>>;

    fn value(number: u8) -> Vec<u8> {
        vec![number; 40]
    }

    /// Keys as they come, so that some share a long beginning.
    fn values(count: u8) -> Values {
        let far = (0..count).map(|number| (keccak256([number]), value(number)));
        let near = (0..4).map(|number| (B256::with_last_byte(number), value(100 + number)));
        far.chain(near).collect()
    }

    fn root(values: &Values) -> B256 {
        let mut builder = HashBuilder::default();
        for (key, value) in values {
            builder.add_leaf(Nibbles::unpack(key), value);
        }
        builder.root()
    }

    /// The nodes on the way to `keys`.
    fn proof(values: &Values, keys: &[B256]) -> Nodes {
        let targets: Vec<Nibbles> = keys.iter().map(Nibbles::unpack).collect();
        let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(targets));
        for (key, value) in values {
            builder.add_leaf(Nibbles::unpack(key), value);
        }
        builder.root();
        Nodes::new(builder.take_proof_nodes().into_inner().into_values().collect())
    }

    #[test]
    fn a_part_of_a_trie_has_the_root_of_the_whole() {
        let values = values(100);
        for keys in [vec![], vec![keccak256([7])], vec![keccak256([1]), keccak256([200]), B256::with_last_byte(2)]] {
            let trie = PartialTrie::new(root(&values), &proof(&values, &keys)).expect("a root node");
            assert_eq!(trie.root(), Ok(root(&values)));
            for key in keys {
                assert_eq!(trie.get(key), Ok(values.get(&key).map(Vec::as_slice)));
            }
        }
    }

    #[test]
    fn a_change_in_a_part_gives_the_root_of_the_changed_whole() {
        let before = values(100);
        let (old, new) = (keccak256([7]), keccak256([200]));
        let mut trie = PartialTrie::new(root(&before), &proof(&before, &[old, new])).expect("a root node");
        let mut after = before.clone();
        for (key, value) in [(old, Some(value(1))), (new, Some(value(2))), (old, None)] {
            trie.set(key, value.clone()).expect("it was shown");
            match value {
                Some(value) => after.insert(key, value),
                None => after.remove(&key),
            };
            assert_eq!(trie.root(), Ok(root(&after)));
        }
    }

    #[test]
    fn a_key_in_a_part_that_was_not_shown_is_refused() {
        let values = values(100);
        let mut trie = PartialTrie::new(root(&values), &proof(&values, &[keccak256([7])])).expect("a root node");
        let hidden = keccak256([8]);
        assert!(matches!(trie.get(hidden), Err(TrieError::Hidden { key, .. }) if key == hidden));
        assert!(matches!(trie.set(hidden, None), Err(TrieError::Hidden { .. })));
    }

    #[test]
    fn a_branch_of_which_only_a_hidden_child_is_left_has_no_root() {
        let (one, other) = (B256::with_last_byte(1), B256::with_last_byte(2));
        let values = Values::from([(one, value(1)), (other, value(2))]);
        let mut trie = PartialTrie::new(root(&values), &proof(&values, &[one])).expect("a root node");
        trie.set(one, None).expect("it was shown");
        assert!(matches!(trie.root(), Err(TrieError::Alone { .. })));
    }

    #[test]
    fn nodes_without_the_root_or_with_bad_bytes_are_refused() {
        let values = values(9);
        let nothing = Nodes::default();
        assert!(matches!(PartialTrie::new(root(&values), &nothing), Err(TrieError::NoRoot { .. })));
        for bytes in [&b"\xc1\x80"[..], b"\x83abc", b"", b"\xc2\x20\x01"] {
            let nodes = Nodes::new(vec![Bytes::from_static(bytes)]);
            assert!(PartialTrie::new(keccak256(bytes), &nodes).is_err(), "{bytes:?}");
        }
    }
}
