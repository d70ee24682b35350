//! What time it is for contracts where time is moved: the slots of a network with cheats, and the TIMESTAMP of each.
//!
//! ```text
//!   slots:    ... 7   8 | 9  10  11 | 12 ...
//!   legs:   as slots do | 500, +0   | 900, +1000          a leg holds from its slot to the next leg
//! ```
//!
//! Slots go on with the shards' clocks whatever is written here: locks, deadlines and the order of payloads are theirs. Whoever
//! submits a payload names its TIMESTAMP beside its slot ([`Environment::Travelled`]), so shards need no copy of this.
//!
//! Promise: the time of a slot is a function of the legs alone; a slot before the first leg has the time that slots have.
//! Knows nothing of clocks, and of who moves the time.

use crate::{BlockEnvironment, Environment, NetworkParams};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Millis, Slot, Time};
use std::sync::Arc;

/// The time of slots from one on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Leg {
    /// The first slot of it.
    pub slot: Slot,
    /// The time of that slot.
    pub begin: Time,
    /// How much later each slot is than the one before it.
    pub step: Millis,
}

/// The legs of a network's time, in the order of their slots. A copy costs nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Travels(Arc<Vec<Leg>>);

impl Travels {
    /// These legs; those that are out of order are left out.
    pub fn new(legs: Vec<Leg>) -> Self {
        let mut travels = Self::default();
        for leg in legs {
            travels.set(leg);
        }
        travels
    }

    /// All legs, in order.
    pub fn legs(&self) -> &[Leg] {
        &self.0
    }

    /// From its slot on `leg` holds, and none that was there before.
    pub fn set(&mut self, leg: Leg) {
        let legs = Arc::make_mut(&mut self.0);
        legs.truncate(legs.partition_point(|known| known.slot < leg.slot));
        legs.push(leg);
    }

    /// What time it is in `slot`.
    pub fn time_of(&self, params: &NetworkParams, slot: Slot) -> Time {
        match self.leg(slot) {
            Some(leg) => leg.begin.after(Millis((slot.0 - leg.slot.0).saturating_mul(leg.step.0))),
            None => params.start_of(slot),
        }
    }

    /// Where in time a payload of `slot` runs.
    pub fn environment(&self, params: &NetworkParams, slot: Slot) -> Environment {
        match self.leg(slot) {
            Some(_) => Environment::Travelled { slot, timestamp: self.time_of(params, slot).seconds() },
            None => Environment::Slot(slot),
        }
    }

    /// The block that `slot` stands for.
    pub fn block_of(&self, params: &NetworkParams, slot: Slot) -> BlockEnvironment {
        BlockEnvironment { timestamp: self.time_of(params, slot).seconds(), ..params.block_of(slot) }
    }

    /// The leg that `slot` is of; none before the first.
    fn leg(&self, slot: Slot) -> Option<&Leg> {
        self.0.partition_point(|leg| leg.slot <= slot).checked_sub(1).and_then(|index| self.0.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::tests::params;

    fn leg(slot: u64, begin: u64, step: u64) -> Leg {
        Leg { slot: Slot(slot), begin: Time(begin), step: Millis(step) }
    }

    #[test]
    fn a_slot_has_the_time_of_its_leg_and_before_the_first_that_of_its_number() {
        let travels = Travels::new(vec![leg(9, 500_000, 0), leg(12, 900_000, 1_000)]);
        let seconds = |slot| travels.block_of(&params(), Slot(slot)).timestamp;
        assert_eq!([8, 9, 11, 12, 14].map(seconds), [4, 500, 500, 900, 902]);
        assert_eq!(travels.environment(&params(), Slot(8)), Environment::Slot(Slot(8)));
        let travelled = Environment::Travelled { slot: Slot(14), timestamp: 902 };
        assert_eq!(travels.environment(&params(), Slot(14)), travelled);
    }

    #[test]
    fn a_leg_ends_those_that_began_later_and_time_may_go_back_with_it() {
        let mut travels = Travels::new(vec![leg(9, 500_000, 0), leg(12, 900_000, 0)]);
        travels.set(leg(10, 501_000, 0));
        assert_eq!(travels.legs(), [leg(9, 500_000, 0), leg(10, 501_000, 0)]);
        assert_eq!(travels.time_of(&params(), Slot(13)), Time(501_000));
    }

    #[test]
    fn a_copy_keeps_what_was_so_when_it_was_made() {
        let mut travels = Travels::new(vec![leg(9, 500_000, 0)]);
        let before = travels.clone();
        travels.set(leg(9, 700_000, 0));
        assert_eq!(before.time_of(&params(), Slot(9)), Time(500_000));
    }
}
