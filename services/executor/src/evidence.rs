//! Evidence that a shard certified two blocks of one height: made something to look at.
//!
//! The machine keeps it in its store, and believes that shard no more; here it becomes a file, a line in the log, a count.

use crate::node::Node;
use host::evidence;
use proof::Equivocation;

/// Keeps evidence as a file beside the store, and says so.
pub(crate) fn keep(node: &Node, evidence: &Equivocation) {
    node.instruments.equivocation();
    let (header, id) = (&evidence.first.0, evidence.id());
    if let Err(error) = evidence::keep(&node.evidence, evidence) {
        tracing::error!(folder = %node.evidence.display(), %error, "evidence could not be kept as a file; the store has it");
    }
    tracing::error!(
        shard = %header.shard,
        height = %header.height,
        evidence = %id,
        folder = %node.evidence.display(),
        "a shard certified two blocks of one height: nothing it says is believed until an operator names this evidence in `settled`"
    );
}
