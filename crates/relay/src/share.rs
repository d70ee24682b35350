//! Which of several relays carries a route: the one that is first in order for it, and after it whoever finds it silent.
//!
//! ```text
//!   first        carries at once
//!   stands by    takes in and waits; silence for rank times `grace` --> looks what the receiver has --> carries --+
//!       ^ |                                                                                                     v
//!       | '-- what has waited `OVERDUE_GRACES` times that, whoever carries: looks, and carries that alone       |
//!       '---- another is seen to carry: the receiver says "already", or a delivery nobody here sent ---- substitute
//! ```
//!
//! Promise: between relays that are alive nearly nothing is handed in twice, and a route whose relay is gone goes on within
//! seconds. That somebody carries says nothing of what he leaves out: of relays that are alive one honest one is enough for
//! every message. It is a courtesy and never a condition of safety: a shard takes a right receipt from anybody, once (I14), so
//! relays that disagree about the order, or about who is alive, cost a repetition and nothing else. No relay hears of
//! another but through what shards certify and answer.
//! Source: Thaler & Ravishankar, "Using name-based mappings to increase hit rates", 1998, for the order.

use crate::lane::Route;
use crate::record::Leg;
use primitives::{Domain, Millis, Time};
use std::sync::LazyLock;

static ORDER: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 relay order"));

/// How many relays may share the routes: each waits its rank times `grace`, so that more would wait for minutes.
pub const RELAYS_COUNT_MAX: u32 = 16;

/// For how many times its patience a relay that stands by leaves a parcel to one that carries others: longer than a backlog lasts that
/// one relay can work off.
pub(crate) const OVERDUE_GRACES: u64 = 15;

/// Which relay this is, of those that share the routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    place: u32,
    count: u32,
}

/// Why it is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// None, or more than the bound.
    #[error("routes are shared by 1 to {RELAYS_COUNT_MAX} relays, not by {actual}")]
    Count {
        /// How many were named.
        actual: u32,
    },
    /// A relay that is not among them.
    #[error("relay {place} is not among {count} relays, which are numbered from 0")]
    Place {
        /// Which.
        place: u32,
        /// Of how many.
        count: u32,
    },
}

impl Share {
    /// The only relay there is.
    pub const ALONE: Self = Self { place: 0, count: 1 };

    /// Relay `place`, from 0, of `count`.
    ///
    /// # Errors
    /// [`ShareError`]: there is no such place.
    pub fn new(place: u32, count: u32) -> Result<Self, ShareError> {
        if !(1..=RELAYS_COUNT_MAX).contains(&count) {
            return Err(ShareError::Count { actual: count });
        }
        if place >= count {
            return Err(ShareError::Place { place, count });
        }
        Ok(Self { place, count })
    }

    /// How many relays are before this one for `route`; 0: it is the first.
    pub fn rank(self, route: Route) -> u32 {
        let weight = |place: u32| ORDER.hash_of(&(route.source, route.destination, place));
        let own = weight(self.place);
        (0..self.count).filter(|place| weight(*place) < own).count() as u32
    }
}

/// How this relay stands to one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stand {
    /// It is first in order and carries.
    First,
    /// It found the lane silent and carries until another does.
    Substitute,
    /// It takes in, and watches.
    StandsBy,
}

/// What it has to do on one lane, which only matters while the machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Duty {
    pub(crate) leg: Leg,
    pub(crate) stand: Stand,
    /// For how long another may be silent before this relay takes its place.
    pub(crate) patience: Millis,
    /// When another was last seen to carry here.
    others: Time,
}

impl Duty {
    pub(crate) fn new(rank: u32, leg: Leg, grace: Millis) -> Self {
        let stand = if rank == 0 { Stand::First } else { Stand::StandsBy };
        Self { leg, stand, patience: Millis(grace.0.saturating_mul(u64::from(rank))), others: Time(0) }
    }

    pub(crate) fn stands_by(&self) -> bool {
        self.stand == Stand::StandsBy
    }

    /// For how long a parcel is left to another that is seen to carry, but not that parcel.
    pub(crate) fn forbearance(&self) -> Millis {
        Millis(self.patience.0.saturating_mul(OVERDUE_GRACES))
    }

    /// Until when another is believed to carry.
    pub(crate) fn believed_until(&self) -> Time {
        self.others.after(self.patience)
    }

    /// Another was seen to carry; says whether this relay carried in its place until now.
    pub(crate) fn others_carry(&mut self, now: Time) -> bool {
        self.others = now;
        self.yield_place()
    }

    /// Carries no more in another's place; says whether it did.
    pub(crate) fn yield_place(&mut self) -> bool {
        let was = self.stand == Stand::Substitute;
        if was {
            self.stand = Stand::StandsBy;
        }
        was
    }

    /// What it handed in was news. Says whether it takes another's place by that: not the place of one that carries all but this.
    pub(crate) fn was_needed(&mut self, now: Time) -> bool {
        let takes = self.stands_by() && now >= self.believed_until();
        if takes {
            self.stand = Stand::Substitute;
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::ShardId;
    use std::collections::BTreeSet;

    fn routes() -> impl Iterator<Item = Route> {
        let shards = || (0..8).map(ShardId);
        shards().flat_map(move |source| shards().map(move |destination| Route { source, destination }))
    }

    #[test]
    fn every_route_has_each_rank_once() {
        for route in routes() {
            let ranks: BTreeSet<_> = (0..5).map(|place| Share::new(place, 5).unwrap().rank(route)).collect();
            assert_eq!(ranks, (0..5).collect(), "{route:?}");
        }
    }

    #[test]
    fn each_relay_is_first_for_its_part_of_the_routes() {
        for place in 0..3 {
            let share = Share::new(place, 3).unwrap();
            let first = routes().filter(|route| share.rank(*route) == 0).count();
            assert!((10..=32).contains(&first), "relay {place} carries {first} of 64 routes");
        }
    }

    #[test]
    fn a_place_that_is_not_there_is_refused() {
        assert_eq!(Share::new(0, 0), Err(ShareError::Count { actual: 0 }));
        assert_eq!(Share::new(0, 17), Err(ShareError::Count { actual: 17 }));
        assert_eq!(Share::new(2, 2), Err(ShareError::Place { place: 2, count: 2 }));
        assert_eq!(Share::new(0, 1), Ok(Share::ALONE));
    }
}
