//! Messages whose end is not known here yet, by their nonces: what a header says of all of them with one number.
//!
//! ```text
//!   nonces  0 1 2 3 4 5 6 7          sent to shards, ended: . . . x . . x     -->  ended before 3
//! ```
//!
//! Promise (I13, I14): the number never decreases, and is in the batch of the block that took the last end that it speaks of. A mailbox
//! gives its nonces out in order, under a lock, so what is sent later has a higher one; where a cheat sets it back, the
//! number goes back with it, and no message that has not ended is taken for over. A message to a foreign chain does not count: nobody
//! there goes by headers.
//! Knows nothing of who reads it: what its destination may forget is decided there ([`crate::inbox`], [`crate::retention`]).

use crate::spaces::{META, NEXT_NONCE, UNENDED};
use crate::staged::{Staged, get_value};
use primitives::Read;
use std::collections::BTreeSet;

/// Their nonces.
#[derive(Debug, Default)]
pub(crate) struct Unended {
    nonces: BTreeSet<u32>,
    /// The nonce after the highest that was sent.
    next: u32,
}

impl Unended {
    /// As the store left them.
    pub(crate) fn open(read: &impl Read) -> Self {
        let nonce = |(key, _): (Vec<u8>, Vec<u8>)| key.try_into().ok().map(u32::from_be_bytes);
        let nonces = read.scan(UNENDED, &[], &[], usize::MAX).into_iter().filter_map(nonce).collect();
        Self { nonces, next: get_value(read, META, NEXT_NONCE).unwrap_or(0) }
    }

    /// Every message to a shard with a lower nonce has ended.
    pub(crate) fn ended_before(&self) -> u32 {
        self.nonces.first().copied().unwrap_or(self.next)
    }

    /// A message was sent: to a shard, or to a foreign chain.
    pub(crate) fn sent<R: Read>(&mut self, nonce: u32, to_shard: bool, staged: &mut Staged<'_, R>) {
        self.next = self.next.max(nonce.saturating_add(1));
        staged.put_value(META, NEXT_NONCE, &self.next);
        if to_shard {
            self.nonces.insert(nonce);
            staged.put(UNENDED, nonce.to_be_bytes(), Vec::new());
        }
    }

    /// Its end was taken.
    pub(crate) fn ended<R: Read>(&mut self, nonce: u32, staged: &mut Staged<'_, R>) {
        if self.nonces.remove(&nonce) {
            staged.delete(UNENDED, nonce.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::Memory;

    #[test]
    fn all_before_the_lowest_that_has_not_ended_have_ended_after_a_restart_too() {
        let mut store = Memory::new();
        let mut unended = Unended::default();
        let step = |store: &mut Memory, unended: &mut Unended, what: &dyn Fn(&mut Unended, &mut Staged<'_, Memory>)| {
            let writes = {
                let mut staged = Staged::new(store);
                what(unended, &mut staged);
                staged.into_writes()
            };
            store.commit(&writes);
            assert_eq!(Unended::open(store).ended_before(), unended.ended_before());
            unended.ended_before()
        };
        assert_eq!(step(&mut store, &mut unended, &|all, staged| all.sent(0, true, staged)), 0);
        assert_eq!(step(&mut store, &mut unended, &|all, staged| all.sent(1, false, staged)), 0);
        assert_eq!(step(&mut store, &mut unended, &|all, staged| all.sent(2, true, staged)), 0);
        assert_eq!(step(&mut store, &mut unended, &|all, staged| all.ended(2, staged)), 0, "the first has not");
        assert_eq!(step(&mut store, &mut unended, &|all, staged| all.ended(0, staged)), 3);
        assert_eq!(step(&mut store, &mut unended, &|all, staged| all.ended(0, staged)), 3, "once more says nothing");
        assert_eq!(step(&mut store, &mut unended, &|all, staged| all.sent(3, true, staged)), 3);
        assert_eq!(store.count(UNENDED), 1);
        assert_eq!(step(&mut store, &mut unended, &|all, staged| all.sent(1, true, staged)), 1, "a nonce set back");
    }
}
