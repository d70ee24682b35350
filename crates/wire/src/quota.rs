//! How many calls each may make: a bucket of tokens for whoever calls, filled at a steady rate.
//!
//! ```text
//!   call --> the caller's bucket --> a token: it goes on
//!                                --> none:    refused in words, with how long it takes until there is one
//! ```
//!
//! Promise: what one caller asks for takes nothing from another's share, and a bucket costs a bounded number of bytes: beyond
//! [`BUCKETS_COUNT_MAX`] callers those whose buckets are full are forgotten, which changes nothing for them, and if there are still too many,
//! newcomers share one bucket. Without a quota nothing is counted.
//!
//! A bucket is one number, the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371), so nothing runs
//! beside it. Knows no clock: time is told.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Callers whose buckets are kept.
pub const BUCKETS_COUNT_MAX: usize = 16_384;

/// Between two looks for full buckets, each over all of them.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How many calls one caller may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// So many calls a second, for ever.
    pub per_second: NonZeroU32,
    /// So many at once, after a rest.
    pub burst: NonZeroU32,
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} calls a second with bursts of {}", self.per_second, self.burst)
    }
}

impl Quota {
    /// How long it takes until there is another token.
    fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_second.get()
    }

    /// How long an empty bucket takes to be full.
    fn whole(self) -> Duration {
        self.interval().saturating_mul(self.burst.get())
    }
}

/// A caller's bucket is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("you are over your quota of {quota}: try again in {} ms", .wait.as_millis().max(1))]
pub struct OverQuota {
    /// What is allowed.
    pub quota: Quota,
    /// When there will be a token.
    pub wait: Duration,
}

/// The buckets of all callers of one port. Clones share them.
#[derive(Debug)]
pub struct Buckets<K>(Arc<Mutex<State<K>>>);

#[derive(Debug)]
struct State<K> {
    quota: Option<Quota>,
    /// When each bucket will be full; one that is full already is as good as not there.
    full_at: BTreeMap<K, Instant>,
    /// The one of all who came when there was no place.
    others_full_at: Option<Instant>,
    /// When full buckets may be looked for again.
    sweep_at: Option<Instant>,
}

impl<K> State<K> {
    fn new(quota: Option<Quota>) -> Self {
        Self { quota, full_at: BTreeMap::new(), others_full_at: None, sweep_at: None }
    }
}

impl<K> Clone for Buckets<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Ord + Clone> Default for Buckets<K> {
    fn default() -> Self {
        Self::new(None)
    }
}

impl<K: Ord + Clone> Buckets<K> {
    /// Full ones by `quota`; none, and nothing is counted.
    pub fn new(quota: Option<Quota>) -> Self {
        Self(Arc::new(Mutex::new(State::new(quota))))
    }

    /// Another quota from the next call on, with buckets that are full: for all clones.
    pub fn set(&self, quota: Option<Quota>) {
        let mut state = self.state();
        if state.quota != quota {
            *state = State::new(quota);
        }
    }

    /// Takes a token out of the bucket of `caller`.
    ///
    /// # Errors
    /// [`OverQuota`] if it is empty.
    pub fn take(&self, caller: &K) -> Result<(), OverQuota> {
        self.take_at(caller, Instant::now())
    }

    /// The same, but only looks.
    ///
    /// # Errors
    /// [`OverQuota`] if there is none to take.
    pub fn look(&self, caller: &K) -> Result<(), OverQuota> {
        let (state, now) = (self.state(), Instant::now());
        let Some(quota) = state.quota else { return Ok(()) };
        next(quota, state.full_at.get(caller).copied(), now).map(drop)
    }

    fn take_at(&self, caller: &K, now: Instant) -> Result<(), OverQuota> {
        let mut state = self.state();
        let Some(quota) = state.quota else { return Ok(()) };
        if !state.full_at.contains_key(caller) && !state.has_place(now) {
            state.others_full_at = Some(next(quota, state.others_full_at, now)?);
            return Ok(());
        }
        let full_at = next(quota, state.full_at.get(caller).copied(), now)?;
        state.full_at.insert(caller.clone(), full_at);
        Ok(())
    }

    /// What is behind the lock is whole after every operation.
    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord> State<K> {
    fn has_place(&mut self, now: Instant) -> bool {
        if self.full_at.len() >= BUCKETS_COUNT_MAX && self.sweep_at.is_none_or(|at| at <= now) {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.sweep_at = Some(now + SWEEP_INTERVAL);
        }
        self.full_at.len() < BUCKETS_COUNT_MAX
    }
}

/// When a bucket is full again after another token was taken.
fn next(quota: Quota, full_at: Option<Instant>, now: Instant) -> Result<Instant, OverQuota> {
    let after = full_at.unwrap_or(now).max(now) + quota.interval();
    let wait = after.duration_since(now).saturating_sub(quota.whole());
    if wait.is_zero() { Ok(after) } else { Err(OverQuota { quota, wait }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(per_second: u32, burst: u32) -> Quota {
        Quota { per_second: per_second.try_into().unwrap(), burst: burst.try_into().unwrap() }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// How many of so many calls go through.
    fn taken<K: Ord + Clone>(buckets: &Buckets<K>, caller: &K, calls: usize, now: Instant) -> usize {
        (0..calls).filter(|_| buckets.take_at(caller, now).is_ok()).count()
    }

    #[test]
    fn a_burst_goes_through_and_then_the_rate() {
        let (buckets, start) = (Buckets::new(Some(quota(10, 5))), Instant::now());
        assert_eq!(taken(&buckets, &1, 100, start), 5);
        let refusal = buckets.take_at(&1, start).unwrap_err();
        assert_eq!(refusal.wait, ms(100));
        assert!(refusal.to_string().contains("10 calls a second with bursts of 5: try again in 100 ms"), "{refusal}");
        assert_eq!(taken(&buckets, &1, 100, start + ms(99)), 0);
        assert_eq!(taken(&buckets, &1, 100, start + ms(100)), 1);
        assert_eq!(taken(&buckets, &1, 100, start + ms(1_100)), 5, "a rest fills it, and no more");
        let in_a_second: usize = (0..1_000).map(|at| taken(&buckets, &1, 3, start + ms(1_200 + at))).sum();
        assert!((10..=11).contains(&in_a_second), "{in_a_second}");
    }

    #[test]
    fn who_is_over_its_quota_takes_nothing_from_others() {
        let (buckets, start) = (Buckets::new(Some(quota(1, 2))), Instant::now());
        assert_eq!(taken(&buckets, &1, 1_000, start), 2);
        assert_eq!(taken(&buckets, &2, 1_000, start), 2);
    }

    #[test]
    fn without_a_quota_everything_goes_through() {
        let buckets = Buckets::default();
        assert_eq!(taken(&buckets, &1, 1_000, Instant::now()), 1_000);
        buckets.set(Some(quota(1, 1)));
        assert_eq!(taken(&buckets.clone(), &1, 1_000, Instant::now()), 1);
        buckets.set(None);
        assert_eq!(taken(&buckets, &1, 1_000, Instant::now()), 1_000);
    }

    #[test]
    fn many_callers_cost_no_more_than_is_allowed_and_lock_nobody_out() {
        let (buckets, start) = (Buckets::new(Some(quota(1, 2))), Instant::now());
        for caller in 0..BUCKETS_COUNT_MAX {
            assert_eq!(taken(&buckets, &caller, 1, start), 1);
        }
        assert_eq!(taken(&buckets, &usize::MAX, 5, start), 2, "newcomers share one");
        assert_eq!(taken(&buckets, &(usize::MAX - 1), 5, start), 0);
        assert_eq!(taken(&buckets, &7, 5, start), 1, "who has a bucket keeps it");
        assert_eq!(buckets.state().full_at.len(), BUCKETS_COUNT_MAX);
        let later = start + Duration::from_secs(10);
        assert_eq!(taken(&buckets, &usize::MAX, 5, later), 2, "full ones were forgotten");
        assert_eq!(buckets.state().full_at.len(), 1);
    }

    #[test]
    fn looking_takes_nothing() {
        let buckets = Buckets::new(Some(quota(1, 1)));
        assert_eq!(buckets.look(&1), Ok(()));
        assert_eq!(buckets.look(&1), Ok(()));
        assert_eq!(buckets.take(&1), Ok(()));
        assert!(buckets.look(&1).is_err());
    }
}
