//! What is computed of new blocks beside the commit path: the state tree, and the state after slots gone by.
//!
//! ```text
//!   step n writes CHANGES[n] ----> advance(snapshot) ----> `StateRoots` ----> step m > n: its header's root is of n
//!                                  (the host, any thread)   (roots and writes)
//! ```
//!
//! Promise: a block is advanced over once, in the order of heights, whenever that is; the step pays for nothing but one row.
//! What several blocks change is taken over as one version, that of the last of them: no header names a root between.
//! Knows nothing of threads.

use crate::past;
use crate::spaces::{self, CHANGES};
use crate::staged::{Staged, own_value};
use crate::state_tree::{self, BlockChanges, KnownNodes, Next, StateTreeError, ValueAt};
use primitives::{Digest, Height, Read, Write};
use std::collections::BTreeMap;

/// What [`advance`] computed, to be fed back as one input: the machine alone writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// The newest root known when this was computed; `None` before genesis has one.
    pub from: Option<Height>,
    /// The last block that was advanced over, and the root after it.
    pub root: (Height, Digest),
    /// Changes of the tree and of the past.
    pub writes: Vec<Write>,
}

/// Advances over one store, each from where the one before it ended. They read the upper nodes of the tree again and again, so
/// those stay in memory: some 4,400 of 2.6 KB.
#[derive(Debug, Default)]
pub struct Advances {
    known: KnownNodes,
}

impl Advances {
    /// Advances the tree over up to `blocks_count_max` blocks that follow its newest root, and the past with it, which goes back
    /// `slots_kept` slots. Some 30 µs for a changed key by itself, less for each where many change.
    ///
    /// `None` if there is nothing to do. Run it on a snapshot, one at a time.
    ///
    /// # Errors
    /// [`StateTreeError::Corrupt`].
    pub fn next(
        &mut self,
        read: &impl Read,
        blocks_count_max: usize,
        slots_kept: u64,
    ) -> Result<Option<Advance>, StateTreeError> {
        let from = state_tree::newest_root(read).map(|(height, _)| height);
        let first = from.map_or(Height(0), Height::next);
        let blocks = read.scan(CHANGES, &[], &spaces::height_key(first), blocks_count_max);
        let Some(height) = blocks.last().map(|(key, _)| spaces::height_of(key)) else { return Ok(None) };
        let mut staged = Staged::new(read);
        let changes = together(&mut staged, blocks);
        let next = Next::after(&staged, height, changes, std::mem::take(&mut self.known))?;
        past::record(&mut staged, height, &next.changes, &next.before, slots_kept);
        let root;
        (root, self.known) = next.put(&mut staged);
        state_tree::prune(&mut staged, from, height);
        Ok(Some(Advance { from, root: (height, root), writes: staged.into_writes() }))
    }
}

/// One of [`Advances`], with nothing in memory.
///
/// # Errors
/// [`StateTreeError::Corrupt`].
pub fn advance(read: &impl Read, blocks_count_max: usize, slots_kept: u64) -> Result<Option<Advance>, StateTreeError> {
    Advances::default().next(read, blocks_count_max, slots_kept)
}

/// What blocks changed together: of each key its values in the order in which they came.
fn together<R: Read>(staged: &mut Staged<'_, R>, blocks: Vec<(Vec<u8>, Vec<u8>)>) -> BlockChanges {
    let mut all: BTreeMap<Vec<u8>, Vec<ValueAt>> = BTreeMap::new();
    for (block, changes) in blocks {
        for (key, values) in own_value::<BlockChanges>(CHANGES, &changes) {
            all.entry(key).or_default().extend(values);
        }
        staged.delete(CHANGES, block);
    }
    all.into_iter().collect()
}
