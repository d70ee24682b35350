//! The rule of the queues as it reads, against what is kept of it: after any events the same claims are held, whoever the rule
//! lets through was told, and nobody else.

use super::{Claim, Claims, Locks, Turn};
use alloy_primitives::Address;
use evm::{LockMode, StateKey};
use std::collections::{BTreeMap, BTreeSet};

const TURNS_COUNT: u64 = 12;
const KEYS_COUNT: u64 = 4;
const MODES: [LockMode; 3] = [LockMode::Shared, LockMode::Credit, LockMode::Exclusive];

/// Who holds and who waits for what: nothing else is needed to say whose turn it is.
#[derive(Default)]
struct Rule {
    holding: BTreeMap<Turn, Locks>,
    waiting: BTreeMap<Turn, Locks>,
}

impl Rule {
    /// Whether no other holder and no earlier waiter conflicts with `turn`.
    fn admits(&self, turn: Turn, locks: &Locks) -> bool {
        let holders = self.holding.iter().filter(|(holder, _)| **holder != turn);
        let earlier = self.waiting.range(..turn);
        holders.chain(earlier).all(|(_, other)| are_compatible(other, locks))
    }

    fn claim(&mut self, turn: Turn, locks: &Locks) -> bool {
        self.release(turn);
        let is_held = self.admits(turn, locks);
        let side = if is_held { &mut self.holding } else { &mut self.waiting };
        side.insert(turn, locks.clone());
        is_held
    }

    fn release(&mut self, turn: Turn) {
        self.holding.remove(&turn);
        self.waiting.remove(&turn);
    }

    fn release_part(&mut self, turn: Turn, key: StateKey) {
        if let Some(locks) = self.holding.get_mut(&turn) {
            locks.remove(&key);
        }
    }
}

fn are_compatible(one: &Locks, other: &Locks) -> bool {
    one.iter().all(|(key, mode)| other.get(key).is_none_or(|other| other.is_compatible(*mode)))
}

fn key(number: u64) -> StateKey {
    StateKey::Account(Address::repeat_byte(number as u8))
}

/// A stream of numbers that depends on its seed alone (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        crate::attempts::jitter(self.0, 0) % bound
    }

    fn locks(&mut self) -> Locks {
        let count = 1 + self.below(KEYS_COUNT);
        (0..count).map(|_| (key(self.below(KEYS_COUNT)), MODES[self.below(3) as usize])).collect()
    }
}

#[test]
fn whoever_the_rule_lets_through_is_told_once_and_nobody_else() {
    for seed in 0..300 {
        let (mut dice, mut claims, mut rule) = (Dice(seed), Claims::default(), Rule::default());
        // Those that wait and were told nothing since they claimed.
        let mut untold = BTreeSet::new();
        for _ in 0..200 {
            let turn = Turn(dice.below(TURNS_COUNT));
            let told = match dice.below(4) {
                0 => {
                    rule.release(turn);
                    untold.remove(&turn);
                    claims.release(turn)
                }
                1 => {
                    let key = key(dice.below(KEYS_COUNT));
                    rule.release_part(turn, key);
                    claims.release_part(turn, |other| other == key)
                }
                _ => {
                    let locks = dice.locks();
                    let (claim, told) = claims.claim(turn, &locks);
                    assert_eq!(rule.claim(turn, &locks), claim == Claim::Held, "seed {seed}");
                    if claim == Claim::Held {
                        untold.remove(&turn)
                    } else {
                        untold.insert(turn)
                    };
                    told
                }
            };
            for turn in told {
                assert!(untold.remove(&turn), "seed {seed}: {turn:?} was told twice");
                assert!(rule.admits(turn, &rule.waiting[&turn]), "seed {seed}: {turn:?} was told too soon");
            }
            for turn in &untold {
                assert!(!rule.admits(*turn, &rule.waiting[turn]), "seed {seed}: {turn:?} was not told");
            }
            #[cfg(debug_assertions)]
            claims.assert_valid();
        }
    }
}
