//! Which transactions of a sender are here, and which of them came before their sender's earlier ones.

use crate::claims::Turn;
use crate::settings::NONCE_WAITS_PER_SENDER_COUNT_MAX;
use alloy_primitives::Address;
use std::collections::{BTreeMap, BTreeSet};

/// Who waits for which nonce, by sender, and who is here at all.
#[derive(Debug, Default)]
pub(crate) struct Senders {
    here: BTreeSet<(Address, u64, Turn)>,
    waiting: BTreeMap<Address, BTreeSet<(u64, Turn)>>,
}

/// The sender has [`NONCE_WAITS_PER_SENDER_COUNT_MAX`] waiting already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Senders {
    /// `turn` is here with a transaction of `sender`.
    pub(crate) fn arrive(&mut self, (sender, nonce): (Address, u64), turn: Turn) {
        self.here.insert((sender, nonce, turn));
    }

    /// `turn` has ended.
    pub(crate) fn depart(&mut self, (sender, nonce): (Address, u64), turn: Turn) {
        self.here.remove(&(sender, nonce, turn));
    }

    /// Whether anybody here has that nonce of `sender`.
    pub(crate) fn has(&self, sender: Address, nonce: u64) -> bool {
        self.here.range((sender, nonce, Turn(0))..=(sender, nonce, Turn(u64::MAX))).next().is_some()
    }

    /// All that are here with that nonce of `sender`.
    pub(crate) fn with(&self, sender: Address, nonce: u64) -> Vec<Turn> {
        let here = self.here.range((sender, nonce, Turn(0))..=(sender, nonce, Turn(u64::MAX)));
        here.map(|(_, _, turn)| *turn).collect()
    }

    /// Those that are here with the first nonce of `sender` from `nonce` on.
    pub(crate) fn first_from(&self, sender: Address, nonce: u64) -> Vec<Turn> {
        let mut later = self.here.range((sender, nonce, Turn(0))..=(sender, u64::MAX, Turn(u64::MAX)));
        later.next().map_or_else(Vec::new, |(_, first, _)| self.with(sender, *first))
    }

    /// Has `turn` wait until its sender's next nonce is `nonce`.
    pub(crate) fn wait(&mut self, sender: Address, nonce: u64, turn: Turn) -> Result<(), TooMany> {
        let waiting = self.waiting.entry(sender).or_default();
        if waiting.len() >= NONCE_WAITS_PER_SENDER_COUNT_MAX {
            return Err(TooMany);
        }
        waiting.insert((nonce, turn));
        Ok(())
    }

    /// Has `turn` wait no more.
    pub(crate) fn leave(&mut self, sender: Address, nonce: u64, turn: Turn) {
        if let Some(waiting) = self.waiting.get_mut(&sender) {
            waiting.remove(&(nonce, turn));
            if waiting.is_empty() {
                self.waiting.remove(&sender);
            }
        }
    }

    /// Those of `sender` whose turn it is when its next nonce is `next`: at it, and past it to be told so. Where the next is
    /// not here, the first after it too: it is the one that looks for the next from now on.
    pub(crate) fn due(&self, sender: Address, next: u64) -> Vec<Turn> {
        let first = self.first_from(sender, next);
        let waiting = self.waiting.get(&sender).into_iter().flatten();
        let is_due = |(nonce, turn): &&(u64, Turn)| *nonce <= next || first.contains(turn);
        waiting.take_while(is_due).map(|(_, turn)| *turn).collect()
    }

    /// Whether nobody is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.here.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_served_in_the_order_of_nonces() {
        let (mut senders, sender) = (Senders::default(), Address::repeat_byte(1));
        for (nonce, turn) in [(7, 1), (5, 2), (6, 3)] {
            assert_eq!(senders.wait(sender, nonce, Turn(turn)), Ok(()));
        }
        assert_eq!(senders.due(sender, 4), []);
        assert_eq!(senders.due(sender, 5), [Turn(2)]);
        senders.leave(sender, 5, Turn(2));
        assert_eq!(senders.due(sender, 7), [Turn(3), Turn(1)]);
        assert_eq!(senders.due(Address::repeat_byte(2), 9), []);
    }

    #[test]
    fn where_the_next_nonce_is_elsewhere_the_first_after_it_is_due_and_no_other() {
        let (mut senders, sender) = (Senders::default(), Address::repeat_byte(1));
        for (nonce, turn) in [(5, 1), (7, 2), (9, 3)] {
            senders.arrive((sender, nonce), Turn(turn));
            assert_eq!(senders.wait(sender, nonce, Turn(turn)), Ok(()));
        }
        assert_eq!(senders.due(sender, 4), [Turn(1)]);
        assert_eq!(senders.due(sender, 5), [Turn(1)]);
        senders.leave(sender, 5, Turn(1));
        assert_eq!(senders.due(sender, 4), [], "the first is here, and looks already");
        senders.depart((sender, 5), Turn(1));
        assert_eq!(senders.due(sender, 6), [Turn(2)]);
        assert_eq!(senders.first_from(sender, 8), [Turn(3)]);
        assert_eq!(senders.first_from(sender, 10), []);
    }

    #[test]
    fn a_nonce_is_here_until_all_that_have_it_departed() {
        let (mut senders, sender) = (Senders::default(), Address::repeat_byte(1));
        senders.arrive((sender, 5), Turn(1));
        senders.arrive((sender, 5), Turn(2));
        senders.depart((sender, 5), Turn(1));
        assert!(senders.has(sender, 5) && !senders.has(sender, 4) && !senders.has(sender, 6));
        senders.depart((sender, 5), Turn(2));
        assert!(!senders.has(sender, 5) && senders.is_empty());
    }

    #[test]
    fn the_waiters_of_one_sender_are_bounded() {
        let (mut senders, sender) = (Senders::default(), Address::repeat_byte(1));
        for nonce in 0..NONCE_WAITS_PER_SENDER_COUNT_MAX as u64 {
            assert_eq!(senders.wait(sender, nonce, Turn(nonce)), Ok(()));
        }
        assert_eq!(senders.wait(sender, 1_000, Turn(1_000)), Err(TooMany));
        assert_eq!(senders.wait(Address::repeat_byte(2), 1, Turn(1_001)), Ok(()));
    }
}
