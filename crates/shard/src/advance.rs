//! What is computed of new blocks beside the commit path: the state tree, and the state after slots gone by.
//!
//! ```text
//!   step n writes CHANGES[n] ----> advance(snapshot) ----> `StateRoots` ----> step m > n: its header's root is of n
//!                                  (the host, any thread)   (roots and writes)
//! ```
//!
//! Promise: a block is advanced over once, in the order of heights, whenever that is; the step pays for nothing but one row.
//! Knows nothing of threads.

use crate::past;
use crate::spaces::{self, CHANGES};
use crate::staged::{Staged, own_value};
use crate::state_tree::{self, StateTreeError};
use primitives::{Digest, Height, Read, Write};

/// What [`advance`] computed, to be fed back as one input: the machine alone writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// The newest root known when this was computed; `None` before genesis has one.
    pub from: Option<Height>,
    /// The root after each block that was advanced over, in order of height.
    pub roots: Vec<(Height, Digest)>,
    /// Changes of the tree and of the past.
    pub writes: Vec<Write>,
}

/// Advances the tree over up to `blocks_count_max` blocks that follow its newest root, and the past with it, which goes back
/// `slots_kept` slots. Some 30 µs for each changed key.
///
/// `None` if there is nothing to do. Run it on a snapshot, one at a time.
///
/// # Errors
/// [`StateTreeError::Corrupt`].
pub fn advance(read: &impl Read, blocks_count_max: usize, slots_kept: u64) -> Result<Option<Advance>, StateTreeError> {
    let from = state_tree::newest_root(read).map(|(height, _)| height);
    let first = from.map_or(Height(0), Height::next);
    let blocks = read.scan(CHANGES, &[], &spaces::height_key(first), blocks_count_max);
    if blocks.is_empty() {
        return Ok(None);
    }
    let mut staged = Staged::new(read);
    let mut roots = Vec::with_capacity(blocks.len());
    for (key, changes) in blocks {
        let height = spaces::height_of(&key);
        let changes = own_value(CHANGES, &changes);
        past::record(&mut staged, height, &changes, slots_kept);
        let root = state_tree::put_block(&mut staged, height, changes)?;
        staged.delete(CHANGES, key);
        state_tree::prune(&mut staged, height);
        roots.push((height, root));
    }
    Ok(Some(Advance { from, roots, writes: staged.into_writes() }))
}
