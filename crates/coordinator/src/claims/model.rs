//! The rule of the queues as it reads, against what is kept of it: after any events the same claims are held, whoever the rule
//! lets through was told, and nobody else.

use super::{Claim, Claims, Turn, Usage, Uses};
use alloy_primitives::Address;
use evm::StateKey;
use std::collections::{BTreeMap, BTreeSet};

const TURNS_COUNT: u64 = 12;
const KEYS_COUNT: u64 = 4;

/// Who holds and who waits for what: nothing else is needed to say whose turn it is.
#[derive(Default)]
struct Rule {
    holding: BTreeMap<Turn, Uses>,
    waiting: BTreeMap<Turn, Uses>,
}

impl Rule {
    /// Whether no other holder and no earlier waiter does not go with `turn`.
    fn admits(&self, turn: Turn, uses: &Uses) -> bool {
        let holders = self.holding.iter().filter(|(holder, _)| **holder != turn);
        let earlier = self.waiting.range(..turn);
        holders.chain(earlier).all(|(_, other)| go_together(other, uses))
    }

    fn claim(&mut self, turn: Turn, uses: &Uses) -> bool {
        self.release(turn);
        let is_held = self.admits(turn, uses);
        let side = if is_held { &mut self.holding } else { &mut self.waiting };
        side.insert(turn, uses.clone());
        is_held
    }

    fn release(&mut self, turn: Turn) {
        self.holding.remove(&turn);
        self.waiting.remove(&turn);
    }

    fn release_part(&mut self, turn: Turn, key: StateKey) {
        if let Some(uses) = self.holding.get_mut(&turn) {
            uses.remove(&key);
        }
    }
}

fn go_together(one: &Uses, other: &Uses) -> bool {
    one.iter().all(|(key, usage)| other.get(key).is_none_or(|other| other.goes_with(*usage)))
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

    fn uses(&mut self) -> Uses {
        let count = 1 + self.below(KEYS_COUNT);
        (0..count).map(|_| (key(self.below(KEYS_COUNT)), Usage::ALL[self.below(6) as usize])).collect()
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
                    let uses = dice.uses();
                    let (claim, told) = claims.claim(turn, &uses);
                    assert_eq!(rule.claim(turn, &uses), claim == Claim::Held, "seed {seed}");
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
