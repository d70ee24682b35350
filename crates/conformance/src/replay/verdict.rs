//! Whether a block was reproduced, and what differs first if not.

use crate::replay::subject::PlainRun;
use alloy_primitives::B256;
use evm::mainnet::{MainnetBlock, Mismatch, Reproduced};
use evm::{Outcome, State};
use judge::{Difference, differences, outcome_difference};
use std::fmt;

/// How many differing values an error names.
const DIFFERENCES_COUNT_MAX: usize = 12;

/// A block that came out otherwise than Ethereum has it.
#[derive(Debug, thiserror::Error)]
pub struct BlockMismatch {
    /// What differs from the header or the file; none if only one plain EVM disagrees.
    pub mismatch: Option<Mismatch>,
    /// The first transaction that did something else than on one plain EVM, and what.
    pub outcome: Option<(usize, Option<B256>, String)>,
    /// How many values differ from one plain EVM.
    pub differences_count: usize,
    /// The first of them.
    pub differences: Vec<Difference>,
}

impl fmt::Display for BlockMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.mismatch {
            Some(mismatch) => write!(f, "{mismatch}")?,
            None => f.write_str("header and digest agree, and yet one plain EVM does otherwise")?,
        }
        match &self.outcome {
            Some((index, Some(hash), what)) => write!(f, "\n  first at payload {index}, transaction {hash}: {what}")?,
            Some((index, None, what)) => write!(f, "\n  first at payload {index}, of the protocol's own: {what}")?,
            None => f.write_str("\n  every transaction's outcome is that of one plain EVM")?,
        }
        write!(f, "\n  {} values of the state differ from one plain EVM", self.differences_count)?;
        self.differences.iter().try_for_each(|difference| write!(f, "\n    {difference}"))
    }
}

/// Compares what the shards did with header, file and one plain EVM.
pub(crate) fn check(
    block: &MainnetBlock,
    outcomes: &[Outcome],
    plain: &PlainRun,
    after: &State,
) -> Result<Reproduced, Box<BlockMismatch>> {
    let checked = block.check(outcomes, plain.evm.wiped(), after);
    let differing = outcomes.iter().zip(&plain.outcomes).enumerate().find(|(_, (ours, theirs))| ours != theirs);
    let outcome =
        differing.map(|(index, (ours, theirs))| (index, theirs.transaction, outcome_difference(ours, theirs)));
    let all = differences(after, plain.evm.state());
    match checked {
        Ok(reproduced) if outcome.is_none() && all.is_empty() => Ok(reproduced),
        checked => Err(Box::new(BlockMismatch {
            mismatch: checked.err(),
            outcome,
            differences_count: all.len(),
            differences: all.into_iter().take(DIFFERENCES_COUNT_MAX).collect(),
        })),
    }
}
