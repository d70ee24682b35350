//! Which network block shows an outcome, and up to which block all is told.
//!
//! ```text
//!  slot n begins      payloads of n are taken       n is closed, if nothing of it is undecided here
//!  ────┼──────────────────────────────────────────────┼───────────────────────────┼─────> this shard's block time
//!   start(n)                                end(n) + SLOT_BEHIND_MAX        end(n) + SLOT_CLOSED_MAX: closed in any case
//! ```
//!
//! A network block *n* shows what ran at slot *n*. An attempt that is still undecided when its slot is closed in any case is
//! shown in a later block: the one that closes when it is decided. Its keys are locked all the while, so nothing that
//! conflicts with it ran at a slot between; but for those of a last agent, which has committed and locks nothing. A home asks it as
//! soon as the slot is taken no more, and so knows in time. Where one of the two is away for longer, what followed on the attempt at its
//! last agent is shown before it.
//!
//! Promise (I20): where an outcome is shown is a function of its record at its home alone, so that all who ask agree; once a
//! slot is closed here, no outcome of this shard is shown in it that was not there before.
//! Knows nothing of heads and of other shards.

use crate::execution::oldest_slot_taken;
use crate::limits::SLOT_CLOSED_MAX;
use evm::{Environments, NetworkParams};
use primitives::{Millis, Slot, Time};

/// The network block that shows what ran with `block.number` = `number` and was decided at `decided`.
///
/// A network that replays another chain's blocks has their numbers inside; it shows by time alone.
pub fn shown_in(params: &NetworkParams, number: u64, decided: Time) -> Slot {
    match params.environments {
        Environments::Slots | Environments::Cheats => {
            Slot(number).max(params.slot_at(before(decided, SLOT_CLOSED_MAX)))
        }
        Environments::Replay => params.slot_at(decided),
    }
}

/// The first slot that is not closed on a shard whose blocks to come have no earlier time than `time`, and whose oldest
/// undecided attempt ran at slot `undecided`.
pub fn first_open(params: &NetworkParams, time: Time, undecided: Option<u64>) -> Slot {
    match params.environments {
        Environments::Slots | Environments::Cheats => {
            let untaken = oldest_slot_taken(params, time);
            let overdue = params.slot_at(before(time, SLOT_CLOSED_MAX));
            overdue.max(untaken.min(undecided.map_or(untaken, Slot)))
        }
        Environments::Replay => params.slot_at(time),
    }
}

fn before(time: Time, length: Millis) -> Time {
    Time(time.0.saturating_sub(length.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SLOT_BEHIND_MAX;
    use alloy_primitives::Address;
    use primitives::NetworkId;

    fn params() -> NetworkParams {
        NetworkParams {
            network: NetworkId(1),
            genesis: Time(1_000_000),
            slot_length: Millis(250),
            base_fee: 0,
            gas_limit: 30_000_000,
            beneficiary: Address::ZERO,
            spec: evm::Spec::default(),
            environments: Environments::Slots,
            takes_unprotected: false,
        }
    }

    /// Every slot and decision time that some record could have, around a closing.
    #[test]
    fn what_is_decided_later_is_never_shown_in_a_closed_slot() {
        let params = params();
        let slot = params.slot_length.0;
        let start = params.start_of(Slot(1_000)).0;
        for time in (start..start + 3 * SLOT_CLOSED_MAX.0).step_by(7) {
            for undecided in [None, Some(990), Some(1_000), Some(1_001), Some(1_010)] {
                let open = first_open(&params, Time(time), undecided);
                for decided in [time, time + 1, time + slot, time + 9 * SLOT_CLOSED_MAX.0] {
                    // What is decided later is undecided now, or is taken later.
                    let taken = oldest_slot_taken(&params, Time(decided)).0;
                    for number in undecided.into_iter().chain([taken]) {
                        let shown = shown_in(&params, number, Time(decided));
                        assert!(
                            shown >= open,
                            "{number} decided at {decided} is shown in {shown}, {open} was open at {time}"
                        );
                        assert!(shown.0 >= number);
                    }
                }
            }
        }
    }

    #[test]
    fn an_outcome_in_time_is_shown_in_its_own_slot() {
        let params = params();
        let start = params.start_of(Slot(1_000));
        assert_eq!(shown_in(&params, 1_000, start), Slot(1_000));
        let last = Time(start.after(SLOT_CLOSED_MAX).0 + params.slot_length.0 - 1);
        assert_eq!(shown_in(&params, 1_000, last), Slot(1_000));
        assert_eq!(shown_in(&params, 1_000, Time(last.0 + 1)), Slot(1_001));
    }

    #[test]
    fn a_slot_is_closed_when_nothing_of_it_is_taken_or_undecided() {
        let params = params();
        let untaken = params.end_of(Slot(1_000)).after(SLOT_BEHIND_MAX);
        assert_eq!(first_open(&params, Time(untaken.0 - 1), None), Slot(1_000));
        assert_eq!(first_open(&params, untaken, None), Slot(1_001));
        assert_eq!(first_open(&params, untaken, Some(1_000)), Slot(1_000));
        let overdue = params.end_of(Slot(1_000)).after(SLOT_CLOSED_MAX);
        assert_eq!(first_open(&params, overdue, Some(1_000)), Slot(1_001), "in any case");
    }

    #[test]
    fn before_the_first_slot_nothing_is_closed() {
        assert_eq!(first_open(&params(), Time(0), None), Slot(0));
    }
}
