//! What is told of blocks, by shards that answer, are silent, and come back.

use super::*;
use crate::index::sample::{at, index, record};
use alloy_primitives::B256;
use tempfile::TempDir;

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);

/// Both shards have closed everything before block 10.
fn blocks() -> (TempDir, Blocks) {
    let (dir, index) = index();
    let blocks = Blocks::new(index, [A, B].into_iter());
    for shard in [A, B] {
        close(&blocks, shard, 10);
        blocks.caught_up(shard);
    }
    (dir, blocks)
}

fn close(blocks: &Blocks, shard: ShardId, open: u64) {
    blocks.keep(shard, Vec::new(), at(open)).unwrap();
}

fn ids(blocks: &Blocks, slot: u64) -> Vec<B256> {
    blocks.block(Slot(slot)).unwrap().outcomes.iter().map(|record| record.transaction).collect()
}

fn id(id: u8) -> B256 {
    B256::repeat_byte(id)
}

#[test]
fn the_head_is_what_all_have_closed_and_never_goes_back() {
    let (_dir, blocks) = blocks();
    let head = blocks.head();
    blocks.advance([A, B].into_iter());
    assert_eq!(*head.borrow(), Some(Slot(9)));
    close(&blocks, A, 20);
    blocks.advance([A, B].into_iter());
    assert_eq!(*head.borrow(), Some(Slot(9)), "one of them has not closed more");
    blocks.advance([A].into_iter());
    assert_eq!(*head.borrow(), Some(Slot(19)), "the other is silent and left out");
    close(&blocks, B, 12);
    blocks.advance([A, B].into_iter());
    assert_eq!(*head.borrow(), Some(Slot(19)), "it is back, and behind");
}

#[test]
fn a_shard_that_may_still_answer_holds_the_head() {
    let (_dir, index) = index();
    let blocks = Blocks::new(index, [A, B].into_iter());
    close(&blocks, A, 20);
    blocks.caught_up(A);
    close(&blocks, B, 15);
    blocks.advance([A, B].into_iter());
    assert_eq!(*blocks.head().borrow(), None, "of the other there is more to fetch");
}

#[test]
fn a_block_told_without_a_shard_says_so_and_is_completed_when_the_shard_is_back() {
    let (_dir, blocks) = blocks();
    blocks.keep(A, vec![record(1, 12, 300), record(2, 12, 500)], at(20)).unwrap();
    let told = blocks.block(Slot(12)).unwrap();
    assert_eq!((ids(&blocks, 12), told.silent.clone()), (vec![id(1), id(2)], vec![B]));
    blocks.keep(B, vec![record(3, 12, 400)], at(20)).unwrap();
    assert_eq!(ids(&blocks, 12), [id(1), id(3), id(2)], "each has the place that it has everywhere");
    assert_eq!(blocks.block(Slot(12)).unwrap().silent, []);
}

#[test]
fn what_is_brought_twice_is_kept_once() {
    let (_dir, blocks) = blocks();
    for _ in 0..2 {
        blocks.keep(A, vec![record(1, 12, 300)], at(12)).unwrap();
    }
    assert_eq!(ids(&blocks, 12), [id(1)]);
}

#[test]
fn the_oldest_blocks_are_forgotten_when_there_are_too_many_bytes() {
    let size = record(1, 10, 1).bytes_count();
    let mut kept = Kept::new([(A, Slot(10)), (B, Slot(8))].into(), None, 2 * size);
    assert_eq!(kept.first, Slot(10), "what one shard showed before it is in the index");
    for id in 1..=4 {
        kept.keep(A, record(id, 10 + u64::from(id), 1));
        kept.forget();
    }
    assert_eq!((kept.first, kept.bytes, kept.blocks.len()), (Slot(13), 2 * size, 2));
    assert!(kept.block(Slot(12)).0.is_none() && kept.block(Slot(13)).0.is_some());
    kept.keep(B, record(9, 12, 1));
    assert_eq!(kept.bytes, 2 * size, "what is forgotten does not come back");
}

#[test]
fn what_a_block_showed_before_it_was_closed_is_told_by_a_process_that_starts_again_meanwhile() {
    let (dir, blocks) = blocks();
    blocks.keep(A, vec![record(1, 12, 300)], at(11)).unwrap();
    drop(blocks);
    let blocks = Blocks::new(crate::index::sample::open(&dir), [A, B].into_iter());
    blocks.keep(A, vec![record(2, 12, 500), record(3, 13, 900)], at(20)).unwrap();
    blocks.keep(B, vec![record(4, 12, 400)], at(20)).unwrap();
    assert_eq!(ids(&blocks, 12), [id(1), id(4), id(2)]);
    assert_eq!(ids(&blocks, 13), [id(3)]);
}

#[test]
fn a_process_that_starts_again_tells_the_same_blocks_and_fetches_only_what_is_new() {
    let (dir, blocks) = blocks();
    blocks.keep(A, vec![record(1, 12, 300), record(2, 14, 900)], at(20)).unwrap();
    blocks.keep(B, vec![record(3, 12, 400)], at(15)).unwrap();
    let told: Vec<_> = (0..20).map(|slot| blocks.block(Slot(slot)).unwrap()).collect();
    drop(blocks);
    let blocks = Blocks::new(crate::index::sample::open(&dir), [A, B].into_iter());
    assert_eq!((blocks.index().place(A).open, blocks.index().place(B).open), (Slot(20), Slot(15)));
    assert_eq!(*blocks.head().borrow(), None, "until the shards have said what they closed meanwhile");
    let again: Vec<_> = (0..20).map(|slot| blocks.block(Slot(slot)).unwrap()).collect();
    assert_eq!(again, told);
    blocks.keep(B, vec![record(4, 14, 800)], at(20)).unwrap();
    assert_eq!(ids(&blocks, 14), [id(4), id(2)], "between what was there before");
}

#[test]
fn blocks_after_a_slot_that_was_gone_back_to_are_empty_and_may_fill_again() {
    let (_dir, blocks) = blocks();
    blocks.keep(A, vec![record(1, 10, 1), record(2, 11, 1)], at(12)).unwrap();
    blocks.forget_after(Slot(10)).unwrap();
    assert_eq!((ids(&blocks, 10), ids(&blocks, 11)), (vec![id(1)], Vec::new()));
    blocks.keep(A, vec![record(2, 12, 2)], at(13)).unwrap();
    assert_eq!((ids(&blocks, 11), ids(&blocks, 12)), (Vec::new(), vec![id(2)]));
}
