//! The wall clock, made to never go back and, beside others, not to run away from them.
//!
//! ```text
//!   system's clock --> at most CLOCK_AHEAD_MAX ahead of the newest of the others' --> moved, in a devnet with cheats --> never back
//!       --> the machine
//! ```

use crate::TimeOffset;
use primitives::{Ceiling, Millis, ShardId, Time};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Between two looks whether anybody was heard.
const SETTLED_PAUSE: Duration = Duration::from_millis(10);

/// The time that steps get. When the system's clock jumps back, this one stands still until it has caught up; when it is
/// ahead of all others', this one goes on as they do.
#[derive(Debug, Clone)]
pub struct Clock {
    earliest: Time,
    latest: Time,
    others: OtherClocks,
    offset: TimeOffset,
}

impl Clock {
    /// A clock that starts no earlier than `earliest`, the last time the machine saw before it was stopped, and that
    /// nobody else's holds.
    pub fn starting_at(earliest: Time) -> Self {
        Self { earliest, latest: earliest, others: OtherClocks::none(), offset: TimeOffset::none() }
    }

    /// The same, held by what is heard of others' clocks.
    #[must_use]
    pub fn beside(self, others: OtherClocks) -> Self {
        Self { others, ..self }
    }

    /// The same, moved on by `offset`.
    #[must_use]
    pub fn moved_by(self, offset: TimeOffset) -> Self {
        Self { offset, ..self }
    }

    /// The time now.
    pub fn now(&mut self) -> Time {
        let offset = self.offset.get();
        let earliest = Time(self.earliest.0.saturating_sub(offset.0));
        self.advance(self.others.cap(wall(), earliest).after(offset))
    }

    fn advance(&mut self, to: Time) -> Time {
        self.latest = self.latest.max(to);
        self.latest
    }
}

/// What others' clocks were heard to show: shared by who hears it and by the clock that it holds.
#[derive(Debug, Clone)]
pub struct OtherClocks {
    state: Arc<Mutex<State>>,
    since: Instant,
}

#[derive(Debug)]
struct State {
    ceiling: Ceiling,
    is_held: bool,
}

impl OtherClocks {
    /// There are no others.
    pub fn none() -> Self {
        Self::with(Ceiling::alone())
    }

    /// There are some, of which none was heard yet.
    pub fn unheard() -> Self {
        Self::with(Ceiling::beside_others())
    }

    fn with(ceiling: Ceiling) -> Self {
        Self { state: Arc::new(Mutex::new(State { ceiling, is_held: false })), since: Instant::now() }
    }

    /// The clock of shard `from`, which was asked at `asked`, shows `said`. The log says when this process's own clock begins to be
    /// held, and when it is right again.
    pub fn hear(&self, from: ShardId, said: Time, asked: Millis) {
        let (own, steady) = (wall(), self.steady());
        let mut state = self.state();
        state.ceiling.hear(from, said, asked);
        let held = own.since(state.ceiling.cap(own, own, steady));
        let is_held = held > Millis(0);
        if is_held && !state.is_held {
            tracing::error!(
                ahead_ms = held.0,
                "this host's clock is ahead of every other shard's: this process's time goes on as theirs does. Set the clock"
            );
        } else if !is_held && state.is_held {
            tracing::info!("this host's clock is no longer ahead of every other shard's");
        }
        state.is_held = is_held;
    }

    /// Whether anybody was heard.
    pub fn has_heard(&self) -> bool {
        self.state().ceiling.has_heard()
    }

    /// Waits until the time of the clock that these hold is the present: until somebody was heard, two seconds at most.
    pub async fn settled(&self) {
        while !self.state().ceiling.is_settled(self.steady()) {
            tokio::time::sleep(SETTLED_PAUSE).await;
        }
    }

    fn cap(&self, own: Time, earliest: Time) -> Time {
        self.state().ceiling.cap(own, earliest, self.steady())
    }

    /// How long this has been there, whatever the system's clock was set to meanwhile: to say when somebody was asked.
    pub fn steady(&self) -> Millis {
        Millis(u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// What is behind the lock is whole after every operation.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the system's clock shows. A clock before 1970 is at zero.
pub fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::CLOCK_AHEAD_MAX;

    #[test]
    fn a_clock_set_back_stands_still() {
        let mut clock = Clock::starting_at(Time(50));
        assert_eq!(clock.advance(Time(40)), Time(50));
        assert_eq!(clock.advance(Time(60)), Time(60));
        assert_eq!(clock.advance(Time(59)), Time(60));
    }

    #[test]
    fn a_clock_an_hour_ahead_of_the_others_goes_on_as_they_do() {
        let others = OtherClocks::unheard();
        let an_hour_ago = Time(wall().0 - 3_600_000);
        let mut clock = Clock::starting_at(an_hour_ago).beside(others.clone());
        assert!(clock.now().since(an_hour_ago) < Millis(60_000), "nobody was heard yet");
        others.hear(ShardId(1), an_hour_ago, others.steady());
        let ahead = clock.now().since(an_hour_ago);
        assert!(ahead >= CLOCK_AHEAD_MAX && ahead < Millis(60_000), "{ahead} ahead");
        others.hear(ShardId(1), wall(), others.steady());
        assert!(wall().since(clock.now()) < Millis(60_000), "whoever is right holds nobody");
    }
}
