//! As much of the tree as is known, and what one version changes in it: one walk over it, in the order of the keys' hashes.
//!
//! ```text
//!   rows of a store ---read where the walk comes by---> Inner ---changes---> rows to write, rows that are stale
//!                                                         `---> the upper levels, with their hashes, for the next version
//! ```
//!
//! Promise: root and rows are those that crate `jmt` makes of the same changes, which goes on reading them for proofs; held by
//! `a_version_has_the_root_and_the_rows_that_the_crate_makes`. A node is read, hashed and written once for all that changes below it.
//! Knows nothing of values but their hashes.

use super::{StateTreeError, TREE_KEY};
use crate::spaces::TREE_NODES;
use crate::staged::get_value;
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Read, encode};

/// A hash under the tree's key.
pub(super) type Hash = [u8; 32];

/// The height that a version has.
pub(super) type Version = u64;

/// What the crate hashes before a leaf's key and value, and before an inner node's halves; and what stands for nothing.
const LEAF: &[u8; 13] = b"JMT::LeafNode";
const INNER: &[u8; 16] = b"JMT::IntrnalNode";
const NOTHING: Hash = *b"SPARSE_MERKLE_PLACEHOLDER_HASH__";

/// How many children an inner node may have: one for each four bits of a key's hash.
const CHILDREN_COUNT: usize = 16;

/// How many levels below the root stay in memory from one version to the next.
const KNOWN_LEVELS_COUNT: usize = 3;

pub(super) fn hash(bytes: &[u8]) -> Hash {
    *blake3::keyed_hash(&TREE_KEY, bytes).as_bytes()
}

fn hash_of(domain: &[u8], one: &Hash, other: &Hash) -> Hash {
    let (mut bytes, length) = ([0; 2 * 32 + INNER.len()], domain.len() + 2 * 32);
    bytes[..domain.len()].copy_from_slice(domain);
    bytes[domain.len()..domain.len() + 32].copy_from_slice(one);
    bytes[domain.len() + 32..length].copy_from_slice(other);
    hash(&bytes[..length])
}

/// A key and its value, as their hashes.
#[derive(Debug, Clone, Copy, BorshSerialize, BorshDeserialize)]
pub(super) struct Leaf {
    pub(super) key: Hash,
    value: Hash,
}

/// A node as it is stored.
#[allow(clippy::large_enum_variant, reason = "one at a time, on its way from or to its bytes")]
#[derive(Debug, BorshSerialize, BorshDeserialize)]
enum Row {
    Nothing,
    Inner { children: [Option<ChildRow>; CHILDREN_COUNT], children_count: u64, leaves_count: u64 },
    Leaf(Leaf),
}

#[derive(Debug, BorshSerialize, BorshDeserialize)]
struct ChildRow {
    hash: Hash,
    version: Version,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, BorshSerialize, BorshDeserialize)]
enum Kind {
    Leaf,
    Inner { leaves_count: u64 },
}

/// What stands at one of a node's places.
#[derive(Debug)]
struct Child {
    hash: Hash,
    /// That of its row.
    version: Version,
    kind: Kind,
    /// As much as is known of it.
    known: Known,
}

#[derive(Debug)]
enum Known {
    Nothing,
    Leaf(Leaf),
    Inner(Box<Inner>),
}

impl Child {
    fn leaf(leaf: Leaf, version: Version) -> Self {
        Self { hash: hash_of(LEAF, &leaf.key, &leaf.value), version, kind: Kind::Leaf, known: Known::Leaf(leaf) }
    }

    fn inner(mut inner: Box<Inner>, version: Version) -> Self {
        let kind = Kind::Inner { leaves_count: inner.leaves_count() };
        Self { hash: inner.hash(), version, kind, known: Known::Inner(inner) }
    }

    fn leaves_count(&self) -> u64 {
        match self.kind {
            Kind::Leaf => 1,
            Kind::Inner { leaves_count } => leaves_count,
        }
    }

    fn row(&self) -> ChildRow {
        ChildRow { hash: self.hash, version: self.version, kind: self.kind }
    }
}

impl From<ChildRow> for Child {
    fn from(ChildRow { hash, version, kind }: ChildRow) -> Self {
        Self { hash, version, kind, known: Known::Nothing }
    }
}

/// A node with children: the lowest level of four of a binary tree.
#[derive(Debug, Default)]
struct Inner {
    children: [Option<Child>; CHILDREN_COUNT],
    /// Hashes of the levels above the children: the whole at 1, the halves of number n at 2n and 2n + 1.
    halves: [Hash; CHILDREN_COUNT],
    /// Which of them are known: a bit each.
    halved: u16,
}

impl Inner {
    /// Sets what stands at a place.
    fn set(&mut self, place: usize, child: Option<Child>) {
        self.children[place] = child;
        (1..=4).for_each(|level| self.halved &= !(1 << ((CHILDREN_COUNT + place) >> level)));
    }

    fn leaves_count(&self) -> u64 {
        self.children.iter().flatten().map(Child::leaves_count).sum()
    }

    fn hash(&mut self) -> Hash {
        let places = |is: fn(&Child) -> bool| {
            let bits = self.children.iter().enumerate().filter(|(_, child)| child.as_ref().is_some_and(is));
            bits.fold(0_u16, |all, (place, _)| all | 1 << place)
        };
        let (taken, leaves) = (places(|_| true), places(|child| matches!(child.kind, Kind::Leaf)));
        self.half(1, taken, leaves)
    }

    /// The hash of half number `number`: nothing and a single leaf are hashed no further.
    fn half(&mut self, number: usize, taken: u16, leaves: u16) -> Hash {
        let level = number.ilog2();
        let width = CHILDREN_COUNT >> level;
        let first = (number - (1 << level)) * width;
        let of_half = taken & (((1_u32 << width) - 1) as u16) << first;
        let is_single = of_half.is_power_of_two() && (width == 1 || of_half & leaves != 0);
        if of_half == 0 {
            return NOTHING;
        }
        if is_single {
            let child = self.children[of_half.trailing_zeros() as usize].as_ref();
            return child.map_or(NOTHING, |child| child.hash);
        }
        if self.halved & 1 << number == 0 {
            let (left, right) = (self.half(2 * number, taken, leaves), self.half(2 * number + 1, taken, leaves));
            self.halves[number] = hash_of(INNER, &left, &right);
            self.halved |= 1 << number;
        }
        self.halves[number]
    }

    fn row(&self) -> Row {
        Row::Inner {
            children: self.children.each_ref().map(|child| child.as_ref().map(Child::row)),
            children_count: self.children.iter().flatten().count() as u64,
            leaves_count: self.leaves_count(),
        }
    }

    fn of(children: [Option<ChildRow>; CHILDREN_COUNT]) -> Box<Self> {
        Box::new(Self { children: children.map(|child| child.map(Child::from)), ..Self::default() })
    }

    /// The place of the only child, if that is a leaf.
    fn only_leaf(&self) -> Option<usize> {
        let mut taken = self.children.iter().enumerate().filter_map(|(place, child)| Some((place, child.as_ref()?)));
        match (taken.next(), taken.next()) {
            (Some((place, Child { kind: Kind::Leaf, .. })), None) => Some(place),
            _ => None,
        }
    }

    fn is_empty(&self) -> bool {
        self.children.iter().all(Option::is_none)
    }
}

/// A new value of a key, by their hashes, or that it goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    pub(super) key: Hash,
    pub(super) value: Option<Hash>,
    /// Its place among those that the caller has.
    pub(super) index: usize,
}

/// The upper levels of a version.
#[derive(Debug)]
pub(super) struct Trie(Option<Child>);

/// What a version does to the tree.
#[derive(Debug)]
pub(super) struct Growth {
    /// The root's hash.
    pub(super) root: Hash,
    /// Rows to write.
    pub(super) rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// Keys of those that it does without.
    pub(super) stale: Vec<Vec<u8>>,
    /// Of each of the caller's keys, if it had a value, the version of its leaf's row: that of its value, or a later one.
    pub(super) found: Vec<Option<Version>>,
    /// The upper levels after it.
    pub(super) trie: Trie,
}

impl Trie {
    /// The version `from` of a store, or a tree without one.
    pub(super) fn read(read: &impl Read, from: Option<Version>) -> Result<Self, StateTreeError> {
        let Some(version) = from else { return Ok(Self(None)) };
        Ok(Self(match row(read, version, &[])? {
            Row::Nothing => None,
            Row::Leaf(leaf) => Some(Child::leaf(leaf, version)),
            Row::Inner { children, .. } => Some(Child::inner(Inner::of(children), version)),
        }))
    }

    /// Makes version `version` of this, which is the one before it in the store: `changes` are in the order of keys, each once.
    ///
    /// # Errors
    /// [`StateTreeError::Corrupt`].
    pub(super) fn grow(
        self,
        read: &impl Read,
        from: Option<Version>,
        version: Version,
        changes: &[Change],
    ) -> Result<Growth, StateTreeError> {
        let found = vec![None; changes.len()];
        let mut walk = Walk { read, version, path: Vec::new(), rows: Vec::new(), stale: Vec::new(), found };
        let (mut root, is_changed) = if changes.is_empty() { (self.0, false) } else { walk.change(self.0, changes)? };
        // Each version has a root of its own, also if that is a copy.
        walk.stale.extend(from.map(|from| row_key(from, &[])));
        match root.as_mut() {
            None => walk.write(&[], &Row::Nothing),
            Some(child) => {
                child.version = version;
                match &child.known {
                    Known::Leaf(leaf) => walk.write(&[], &Row::Leaf(*leaf)),
                    Known::Inner(inner) if !is_changed => walk.write(&[], &inner.row()),
                    Known::Inner(_) | Known::Nothing => {}
                }
            }
        }
        let Walk { rows, stale, found, .. } = walk;
        let hash = root.as_ref().map_or(NOTHING, |child| child.hash);
        Ok(Growth { root: hash, rows, stale, found, trie: Self(root) })
    }
}

/// One version in the making.
struct Walk<'a, R> {
    read: &'a R,
    version: Version,
    /// Where the walk stands: the steps from the root.
    path: Vec<u8>,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    stale: Vec<Vec<u8>>,
    found: Vec<Option<Version>>,
}

impl<R: Read> Walk<'_, R> {
    /// Makes `changes`, of which there is one, in what stands here; what stands here then, and whether that is something else.
    fn change(&mut self, standing: Option<Child>, changes: &[Change]) -> Result<(Option<Child>, bool), StateTreeError> {
        match standing {
            None => {
                let leaves = put_by(changes);
                Ok((self.made(&leaves), !leaves.is_empty()))
            }
            Some(child) if matches!(child.kind, Kind::Leaf) => self.change_leaf(child, changes),
            Some(child) => self.change_inner(child, changes),
        }
    }

    fn change_leaf(&mut self, child: Child, changes: &[Change]) -> Result<(Option<Child>, bool), StateTreeError> {
        let leaf = self.leaf(&child)?;
        let is_own = changes.iter().find(|change| change.key == leaf.key);
        let mut leaves = put_by(changes);
        match is_own {
            Some(change) => self.found[change.index] = Some(child.version),
            None if leaves.is_empty() => return Ok((Some(child), false)),
            None => leaves.insert(leaves.partition_point(|other| other.key < leaf.key), leaf),
        }
        self.leave(child.version);
        Ok((self.made(&leaves), true))
    }

    fn change_inner(&mut self, child: Child, changes: &[Change]) -> Result<(Option<Child>, bool), StateTreeError> {
        let Child { hash, version, kind, known } = child;
        let mut inner = match known {
            Known::Inner(inner) => inner,
            Known::Nothing | Known::Leaf(_) => match row(self.read, version, &self.path)? {
                Row::Inner { children, .. } => Inner::of(children),
                Row::Nothing | Row::Leaf(_) => return Err(missing(version, &self.path)),
            },
        };
        let (mut is_changed, level) = (false, self.path.len());
        for group in changes.chunk_by(|one, other| step(&one.key, level) == step(&other.key, level)) {
            let place = step(&group[0].key, level);
            self.path.push(place);
            let (below, is_other) = self.change(inner.children[usize::from(place)].take(), group)?;
            self.path.pop();
            if is_other {
                inner.set(usize::from(place), below);
                is_changed = true;
            } else {
                inner.children[usize::from(place)] = below;
            }
        }
        if !is_changed {
            return Ok((Some(Child { hash, version, kind, known: self.kept(inner) }), false));
        }
        self.leave(version);
        if inner.is_empty() {
            return Ok((None, true));
        }
        match inner.only_leaf() {
            Some(place) => Ok((self.pull_up(&inner, place)?, true)),
            None => Ok((Some(self.sealed(inner)), true)),
        }
    }

    /// The only leaf below here takes this place.
    fn pull_up(&mut self, inner: &Inner, place: usize) -> Result<Option<Child>, StateTreeError> {
        let Some(child) = &inner.children[place] else { return Ok(None) };
        self.path.push(place as u8); // One of sixteen.
        let leaf = self.leaf(child)?;
        if child.version < self.version {
            self.leave(child.version);
        }
        self.path.pop();
        Ok(Some(Child::leaf(leaf, self.version)))
    }

    /// What these make up that stand here together, in the order of keys.
    fn made(&mut self, leaves: &[Leaf]) -> Option<Child> {
        let (first, level) = (leaves.first()?, self.path.len());
        if leaves.len() == 1 {
            return Some(Child::leaf(*first, self.version));
        }
        let mut inner = Box::<Inner>::default();
        for group in leaves.chunk_by(|one, other| step(&one.key, level) == step(&other.key, level)) {
            let place = step(&group[0].key, level);
            self.path.push(place);
            let child = self.made(group);
            self.path.pop();
            inner.set(usize::from(place), child);
        }
        Some(self.sealed(inner))
    }

    /// A node that this version has here, with the leaves that it has made below: until now nobody knew that they stay there.
    fn sealed(&mut self, inner: Box<Inner>) -> Child {
        for (place, child) in (0..).zip(&inner.children) {
            if let Some(Child { version, known: Known::Leaf(leaf), kind: Kind::Leaf, .. }) = child
                && *version == self.version
            {
                self.write(&[place], &Row::Leaf(*leaf));
            }
        }
        self.write(&[], &inner.row());
        let Child { hash, version, kind, known } = Child::inner(inner, self.version);
        let known = match known {
            Known::Inner(inner) => self.kept(inner),
            other => other,
        };
        Child { hash, version, kind, known }
    }

    /// What is remembered of a node here.
    fn kept(&self, inner: Box<Inner>) -> Known {
        if self.path.len() <= KNOWN_LEVELS_COUNT { Known::Inner(inner) } else { Known::Nothing }
    }

    fn leaf(&self, child: &Child) -> Result<Leaf, StateTreeError> {
        match child.known {
            Known::Leaf(leaf) => Ok(leaf),
            Known::Nothing | Known::Inner(_) => match row(self.read, child.version, &self.path)? {
                Row::Leaf(leaf) => Ok(leaf),
                Row::Nothing | Row::Inner { .. } => Err(missing(child.version, &self.path)),
            },
        }
    }

    /// Notes that the row of what stood here is stale. That of a root is so in any case.
    fn leave(&mut self, version: Version) {
        if !self.path.is_empty() {
            self.stale.push(row_key(version, &self.path));
        }
    }

    fn write(&mut self, below: &[u8], row: &Row) {
        let key = [&row_key(self.version, &self.path)[..], below].concat();
        self.rows.push((key, encode(row)));
    }
}

/// The leaves of keys that get a value.
fn put_by(changes: &[Change]) -> Vec<Leaf> {
    changes.iter().filter_map(|change| Some(Leaf { key: change.key, value: change.value? })).collect()
}

/// The step from the node on `level` towards a key.
fn step(key: &Hash, level: usize) -> u8 {
    // A hash has 64 steps; on the last level there is one key alone.
    let byte = key.get(level / 2).copied().unwrap_or_default();
    if level.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f }
}

/// Version, then the steps from the root: all nodes of one version together, its root first.
pub(super) fn row_key(version: Version, path: &[u8]) -> Vec<u8> {
    [&version.to_be_bytes()[..], path].concat()
}

fn row(read: &impl Read, version: Version, path: &[u8]) -> Result<Row, StateTreeError> {
    get_value(read, TREE_NODES, &row_key(version, path)).ok_or_else(|| missing(version, path))
}

fn missing(version: Version, path: &[u8]) -> StateTreeError {
    StateTreeError::Corrupt {
        reason: format!("no node of version {version} at {path:?}, or another than its parent says"),
    }
}
