//! Lines of the log that strangers cause: one a second at most, with how many were left out.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(1);

/// Says when a line may be written.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    left_out: u64,
}

impl Complaints {
    /// Does `tell` with the number of lines that were left out since the last one, unless that was just now.
    pub(super) fn tell(&self, tell: impl FnOnce(u64)) {
        if let Some(left_out) = self.due(Instant::now()) {
            tell(left_out);
        }
    }

    fn due(&self, now: Instant) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            told.left_out += 1;
            return None;
        }
        told.last = Some(now);
        Some(std::mem::take(&mut told.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_cannot_fill_the_log() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        assert_eq!(complaints.due(start), Some(0));
        assert_eq!((1..=3).filter_map(|ms| complaints.due(start + Duration::from_millis(ms))).count(), 0);
        assert_eq!(complaints.due(start + INTERVAL), Some(3));
        assert_eq!(complaints.due(start + 2 * INTERVAL), Some(0));
    }
}
