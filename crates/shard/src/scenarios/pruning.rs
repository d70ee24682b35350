//! What the state tree costs for each block, and what it keeps, over thousands of blocks.

use super::counting::Counting;
use crate::advance;
use crate::spaces::{self, CHANGES, PAST, PAST_ROWS, TREE_NODES, TREE_ROOTS, TREE_STALE, TREE_VALUES};
use crate::state_tree::{self, BlockChanges, STATE_VERSIONS_KEPT_COUNT, ValueAt};
use alloy_primitives::{Address, U256};
use evm::StateKey;
use primitives::{Height, Memory, Read, Slot, Write, encode};

/// How many keys the blocks change in turn.
const KEYS_COUNT: u64 = 200;
/// Slots back whose state is kept.
const SLOTS_KEPT: u64 = 100;
/// How many keys one block changes; every seventh block changes none.
const CHANGES_PER_BLOCK_COUNT: u64 = 8;
/// Most rows that may be looked at for a block: twelve for each key that it changes (its path in the tree, its value before,
/// what it made stale), and sixteen more.
const ROWS_COUNT_MAX: usize = 12 * 8 + 16;

/// A tree that grows by itself, without a shard around it.
struct Grown {
    store: Memory,
    next: u64,
}

impl Grown {
    fn new() -> Self {
        Self { store: Memory::new(), next: 0 }
    }

    /// Adds blocks and advances over them at once; gives how many rows that looked at.
    fn grow(&mut self, blocks_count: u64) -> usize {
        for height in self.next..self.next + blocks_count {
            self.store.commit(&[Write::put(CHANGES, spaces::height_key(Height(height)), encode(&changes(height)))]);
        }
        self.next += blocks_count;
        let counting = Counting::new(&self.store);
        let advance = advance(&counting, usize::try_from(blocks_count).unwrap(), SLOTS_KEPT).unwrap().unwrap();
        let rows = counting.rows();
        self.store.commit(&advance.writes);
        rows
    }

    fn grow_to(&mut self, height: u64) {
        while self.next <= height {
            self.grow(1);
        }
    }

    fn rows_kept(&self) -> usize {
        [CHANGES, PAST, PAST_ROWS, TREE_NODES, TREE_ROOTS, TREE_STALE, TREE_VALUES]
            .map(|space| self.store.count(space))
            .iter()
            .sum()
    }
}

fn key(number: u64) -> StateKey {
    StateKey::Slot(Address::repeat_byte(7), U256::from(number))
}

/// What a block changes: a few keys, one in three is removed.
fn changes(height: u64) -> BlockChanges {
    if height % 7 == 6 {
        return BlockChanges::new();
    }
    let numbers = (0..CHANGES_PER_BLOCK_COUNT).map(|index| height * 31 + index * 17);
    let change = |number: u64| (!number.is_multiple_of(3)).then(|| encode(&U256::from(height + number)));
    let values = |number| vec![ValueAt { slot: Slot(height), value: change(number) }];
    numbers.map(|number| (encode(&key(number % KEYS_COUNT)), values(number))).collect()
}

#[test]
fn a_block_looks_at_as_many_rows_at_any_height_as_it_changes() {
    let mut grown = Grown::new();
    for height in 0..4 * STATE_VERSIONS_KEPT_COUNT {
        let rows = grown.grow(1);
        assert!(rows <= ROWS_COUNT_MAX, "{rows} rows at height {height}, {ROWS_COUNT_MAX} are enough");
    }
}

/// How many blocks are advanced over at once.
const AT_ONCE_COUNT: u64 = 64;

#[test]
fn many_blocks_at_once_come_to_the_same_root_as_one_by_one() {
    let (mut one_by_one, mut at_once) = (Grown::new(), Grown::new());
    one_by_one.grow(1);
    at_once.grow(1);
    for _ in 0..2 * STATE_VERSIONS_KEPT_COUNT / AT_ONCE_COUNT {
        one_by_one.grow_to(at_once.next + AT_ONCE_COUNT - 1);
        let rows = at_once.grow(AT_ONCE_COUNT);
        let bound = usize::try_from(KEYS_COUNT).unwrap() * 16 + 2 * usize::try_from(AT_ONCE_COUNT).unwrap();
        assert!(rows <= bound, "{rows} rows for {AT_ONCE_COUNT} blocks, {bound} are enough");
        assert_eq!(state_tree::newest_root(&one_by_one.store), state_tree::newest_root(&at_once.store));
    }
}

#[test]
fn versions_of_many_blocks_are_kept_as_long_and_go_without_a_trace() {
    let mut grown = Grown::new();
    grown.grow(1);
    let mut sizes = Vec::new();
    for _ in 0..5 * STATE_VERSIONS_KEPT_COUNT / AT_ONCE_COUNT {
        grown.grow(AT_ONCE_COUNT);
        sizes.push(grown.rows_kept());
    }
    let (newest, kept) = (grown.next - 1, STATE_VERSIONS_KEPT_COUNT);
    for shown in [newest, newest - kept / 2, newest - kept] {
        assert_shows_all(&grown.store, Height(shown));
    }
    let gone = Height(newest - kept - AT_ONCE_COUNT);
    assert_eq!(state_tree::root_at(&grown.store, gone), None);
    let half = sizes.len() / 2;
    let (then, now) = (sizes[half], sizes[sizes.len() - 1]);
    assert!(now <= then * 11 / 10, "{now} rows are kept, {then} at half the height");
    // Of the versions kept each has a root, and the newest is named besides.
    let roots = usize::try_from(kept / AT_ONCE_COUNT).unwrap() + 2;
    assert_eq!(grown.store.count(TREE_ROOTS), roots);
}

#[test]
fn what_is_kept_stays_bounded_and_whole_over_thousands_of_blocks() {
    let mut grown = Grown::new();
    grown.grow_to(STATE_VERSIONS_KEPT_COUNT + 200);
    let bound = grown.rows_kept() * 11 / 10;
    for height in [2_000, 3_000, 4_000, 5_000] {
        grown.grow_to(height);
        assert!(grown.rows_kept() <= bound, "{} rows are kept at height {height}, {bound} at first", grown.rows_kept());
        for shown in [height, height - STATE_VERSIONS_KEPT_COUNT / 2, height - STATE_VERSIONS_KEPT_COUNT] {
            assert_shows_all(&grown.store, Height(shown));
        }
        let gone = Height(height - STATE_VERSIONS_KEPT_COUNT - 1);
        assert_eq!(state_tree::root_at(&grown.store, gone), None);
    }
}

/// Every key's value at `height` is proven, and is the one that the blocks up to it gave it.
fn assert_shows_all(store: &impl Read, height: Height) {
    let root = state_tree::root_at(store, height).unwrap();
    for number in 0..KEYS_COUNT {
        let (value, proof) = state_tree::prove(store, &key(number), height).unwrap();
        assert_eq!(state_tree::verify(root, &key(number), value.as_deref(), &proof), Ok(()));
        assert_eq!(value, last_change(number, height), "key {number} at {height}");
    }
}

fn last_change(number: u64, height: Height) -> Option<Vec<u8>> {
    let wanted = encode(&key(number));
    let of_key = |height| changes(height).into_iter().rev().find(|(key, _)| *key == wanted);
    (0..=height.0).rev().find_map(of_key)?.1.pop()?.value
}
