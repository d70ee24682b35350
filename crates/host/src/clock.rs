//! The wall clock, made to never go back.

use primitives::Time;
use std::time::{SystemTime, UNIX_EPOCH};

/// The time that steps get. When the system's clock jumps back, this one stands still until it has caught up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    latest: Time,
}

impl Clock {
    /// A clock that starts no earlier than `earliest`: the last time the machine saw before it was stopped.
    pub fn starting_at(earliest: Time) -> Self {
        Self { latest: earliest }
    }

    /// The time now.
    pub fn now(&mut self) -> Time {
        self.advance(wall())
    }

    fn advance(&mut self, to: Time) -> Time {
        self.latest = self.latest.max(to);
        self.latest
    }
}

/// What the system says. A clock before 1970 is at zero.
fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_stands_still() {
        let mut clock = Clock::starting_at(Time(50));
        assert_eq!(clock.advance(Time(40)), Time(50));
        assert_eq!(clock.advance(Time(60)), Time(60));
        assert_eq!(clock.advance(Time(59)), Time(60));
    }
}
