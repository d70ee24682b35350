//! A transaction in place of another with its sender and nonce, for a higher fee.
//!
//! ```text
//! new, same sender and nonce -> a tenth more? no -> the new one is refused
//!                                  | yes
//!                                  v
//!                the other waits, or is to be tried again -> the other ends, replaced, and is told so at once
//!                the other is before shards               -> both go on; whichever commits first has the nonce
//! ```
//!
//! Bundles neither replace nor are replaced: they are more than their nonces.
//! Source: geth, `core/txpool/legacypool/list.go`. There the priority fee has to grow too; here it buys no place, wallets say
//! zero, and a tenth more of zero is enough.

use crate::claims::Turn;
use crate::coordinator::{Coordinator, Draft};
use crate::pending::{Pending, Stage};
use crate::refusal::Refusal;
use evm::RecoveredTransaction;

/// How much more than the one before a transaction has to pay to replace it.
pub(crate) const REPLACEMENT_PERCENT_MIN: u128 = 10;

impl Coordinator {
    /// Ends whatever `pending` replaces.
    ///
    /// # Errors
    /// [`Refusal::Underpriced`] if it pays too little to; nothing has ended then.
    pub(crate) fn replace(&mut self, pending: &Pending, draft: &mut Draft) -> Result<(), Refusal> {
        let Some(new) = single(pending) else { return Ok(()) };
        let of_nonce = self.senders.with(new.sender(), new.nonce());
        let others: Vec<Turn> =
            of_nonce.into_iter().filter(|turn| self.pending.get(turn).and_then(single).is_some()).collect();
        for other in &others {
            if let Some(old) = self.pending.get(other).and_then(single).filter(|old| !outbids(new, old)) {
                return Err(Refusal::Underpriced { transaction: old.hash() });
            }
        }
        for other in others {
            if let Some(Stage::Member(batch)) = self.pending.get(&other).map(|pending| &pending.stage)
                && self.may_leave(*batch)
            {
                self.leave(*batch, other);
                self.enter(other, Stage::Ready, None);
            }
            if self.pending.get(&other).is_some_and(|other| !is_before_shards(other)) {
                self.refuse(other, Refusal::Replaced { by: new.hash() }, draft);
            }
        }
        Ok(())
    }
}

/// The transaction of a submission that is no bundle.
fn single(pending: &Pending) -> Option<&RecoveredTransaction> {
    let mut signed = pending.payload.signed();
    signed.next().filter(|_| signed.next().is_none())
}

/// Whether shards may be about to commit it.
fn is_before_shards(pending: &Pending) -> bool {
    matches!(pending.stage, Stage::Attempt(_) | Stage::Local(_) | Stage::Member(_))
}

/// Whether `new` pays enough more than `old`: more at most, and a tenth more of both its fees.
fn outbids(new: &RecoveredTransaction, old: &RecoveredTransaction) -> bool {
    let fees = |transaction: &RecoveredTransaction| {
        let max = transaction.env().gas_price;
        [max, transaction.env().gas_priority_fee.unwrap_or(max)]
    };
    let [new, old] = [new, old].map(fees);
    let is_enough =
        |(new, old): (u128, u128)| new >= old.saturating_add(old.saturating_mul(REPLACEMENT_PERCENT_MIN) / 100);
    new[0] > old[0] && new.into_iter().zip(old).all(is_enough)
}
