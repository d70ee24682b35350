//! Blocks by hash: a hash says nothing of its number, so it is looked up.

use super::sample::{at, index, open, params, record};
use primitives::{ShardId, Slot};

#[test]
fn a_block_that_shows_anything_is_found_by_its_hash_and_after_a_restart() {
    let (dir, index) = index();
    index.add(ShardId(0), &[record(1, 12, 1), record(2, 12, 2), record(3, 900_000, 1)], at(900_001)).unwrap();
    index.add(ShardId(1), &[record(4, 12, 3), record(5, 13, 1)], at(900_001)).unwrap();
    drop(index);
    let index = open(&dir);
    for slot in [12, 13, 900_000] {
        assert_eq!(index.shown_as(params().block_hash(slot)).unwrap(), Some(Slot(slot)));
    }
    assert_eq!(index.shown_as(params().block_hash(14)).unwrap(), None, "nothing is shown in it");
}
