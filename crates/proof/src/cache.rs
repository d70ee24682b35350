//! Certificates already checked, so that many receipts of one block cost one signature check.
//!
//! Remembers exact bytes: a certificate that differs in one bit from a checked one is checked by itself, and refused.

use primitives::Digest;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A bounded set of digests; the oldest goes first.
#[derive(Debug)]
pub(crate) struct Checked {
    count_max: usize,
    digests: Mutex<(BTreeSet<Digest>, VecDeque<Digest>)>,
}

impl Checked {
    pub(crate) fn new(count_max: usize) -> Self {
        Self { count_max, digests: Mutex::default() }
    }

    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.lock().0.contains(digest)
    }

    pub(crate) fn insert(&self, digest: Digest) {
        let mut guard = self.lock();
        let (set, order) = &mut *guard;
        if !set.insert(digest) {
            return;
        }
        order.push_back(digest);
        if order.len() > self.count_max
            && let Some(oldest) = order.pop_front()
        {
            set.remove(&oldest);
        }
    }

    /// Both halves change together under the lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, (BTreeSet<Digest>, VecDeque<Digest>)> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_at_the_bound() {
        let checked = Checked::new(2);
        let [a, b, c] = [1, 2, 3].map(|byte| Digest::new([byte; 32]));
        for digest in [a, b, a, c] {
            checked.insert(digest);
        }
        assert!(!checked.contains(&a) && checked.contains(&b) && checked.contains(&c));
    }
}
