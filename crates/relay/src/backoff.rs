//! How long to wait: twice as long each time, with a jitter that is the same on every run.

use primitives::{Domain, Millis};
use std::sync::LazyLock;

static JITTER: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 relay jitter"));

/// The wait after failure `number` (from 1) of what `name` stands for: `min` doubled `number - 1` times, at most `max`,
/// of which the second half is drawn by a hash, so that what failed together does not come back together.
pub(crate) fn wait(min: Millis, max: Millis, name: &[u8], number: u32) -> Millis {
    let doubled = min.0.saturating_mul(1_u64.checked_shl(number.saturating_sub(1)).unwrap_or(u64::MAX));
    let half = doubled.min(max.0).max(1) / 2;
    Millis(half + drawn(name, number) % (half + 1))
}

fn drawn(name: &[u8], number: u32) -> u64 {
    let digest = JITTER.hash_of(&(name, number));
    digest.as_bytes().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Millis = Millis(500);
    const MAX: Millis = Millis(60_000);

    #[test]
    fn a_wait_doubles_up_to_its_bound() {
        for number in 1..200 {
            let full = 500_u64.saturating_mul(1 << (number - 1).min(40)).min(60_000);
            let Millis(wait) = wait(MIN, MAX, b"a", number);
            assert!((full / 2..=full).contains(&wait), "{wait} after {number}");
        }
    }

    #[test]
    fn a_wait_is_the_same_on_every_run_and_differs_between_messages() {
        assert_eq!(wait(MIN, MAX, b"a", 7), wait(MIN, MAX, b"a", 7));
        assert_ne!(wait(MIN, MAX, b"a", 7), wait(MIN, MAX, b"b", 7));
    }
}
