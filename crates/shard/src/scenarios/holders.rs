//! What a reader learns of attempts that are not decided yet (I17).

use super::counting::Counting;
use super::world::{ETHER, S0, S1, World, params, user};
use crate::queries::locked_by;
use crate::spaces::HOLDERS;
use evm::{FeesKey, StateKey};
use primitives::AttemptId;

/// Users 1 and 2 on shard 0, users 3 and 4 on shard 1.
fn world() -> World {
    let on = |seed, shard| (user(seed).address(), shard);
    World::new(2, [on(1, S0), on(2, S0), on(3, S1), on(4, S1)])
}

/// What two payments from shard 0 share there: a credit to the beneficiary.
fn shared() -> StateKey {
    StateKey::Fees(FeesKey { shard: S0, beneficiary: params().beneficiary })
}

fn account(seed: u8) -> StateKey {
    StateKey::Account(user(seed).address())
}

#[test]
fn a_key_names_an_attempt_that_may_change_it_until_the_last_has_ended() {
    let mut world = world();
    let payments = [(1, 3), (2, 4)].map(|(from, to)| world.transfer(&user(from), user(to).address(), ETHER));
    let mut attempts = payments.map(|payment| world.attempt(&payment, 1));
    let votes = attempts.each_mut().map(|attempt| world.prepare_all(attempt));
    let [first, second] = attempts.each_ref().map(|attempt| attempt.descriptor.id());
    let holders = |world: &World| -> [Option<AttemptId>; 3] {
        [account(1), account(2), shared()].map(|key| locked_by(world.store(S0), &key))
    };
    let [one, two, both] = holders(&world);
    assert_eq!((one, two), (Some(first), Some(second)));
    assert!(both == Some(first) || both == Some(second), "{both:?}");

    world.decide(S0, &attempts[0].descriptor, &votes[0]);
    assert_eq!(holders(&world), [None, Some(second), Some(second)]);
    world.restart(S0);
    world.decide(S0, &attempts[1].descriptor, &votes[1]);
    assert_eq!(holders(&world), [None; 3]);
    assert_eq!(world.store(S0).count(HOLDERS), 0);
}

#[test]
fn a_reader_finds_a_keys_holder_without_a_walk_over_those_that_left() {
    let mut world = world();
    for _ in 0..3 {
        let payment = world.transfer(&user(1), user(3).address(), ETHER);
        world.commit(&payment);
    }
    let counting = Counting::new(world.store(S0));
    assert_eq!(locked_by(&counting, &account(1)), None);
    assert_eq!((counting.rows(), counting.scans()), (1, 0));
}
