//! Power loss before and after every write of a journey over two shards: the end is the same, byte for byte (I12).

use super::world::{Crash, ETHER, NETWORK, S0, S1, World, artifact, user};
use alloy_primitives::{TxKind, U256, keccak256};
use primitives::{Memory, ShardId};
use proof::{LeafKind, domain_of};
use std::collections::BTreeMap;

/// Deploys, pays across, sends a message with value, delivers, acknowledges, conflicts, aborts, and lets time finish one.
fn journey(crash: Crash) -> End {
    let (sender, receiver) = (user(1).address().create(0), user(2).address().create(0));
    let on = |seed, shard| (user(seed).address(), shard);
    let mut world = World::new(2, [on(1, S0), on(2, S1), on(3, S0), on(4, S1), (sender, S0), (receiver, S1)]);
    world.crash = crash;
    for (seed, shard, name) in [(1, S0, "Ping"), (2, S1, "Pong")] {
        let code = [artifact(name, "bytecode"), evm::mailbox_address(shard).into_word().to_vec()].concat();
        let payload = world.payload(&[world.sign(&user(seed), TxKind::Create, U256::ZERO, code)]);
        world.local(shard, &payload);
    }
    let across = world.transfer(&user(3), user(4).address(), ETHER);
    world.commit(&across);
    message(&mut world, sender, receiver);
    aborted(&mut world);
    let stores = world.nodes.iter().map(|(shard, node)| (*shard, node.store.clone())).collect();
    let batches_before_waiting = world.batches;
    unfinished(&mut world);
    world.assert_quiet();
    End { stores, batches_before_waiting, batches: world.batches, crashes: world.crashes, state: world.union() }
}

/// How a journey ended.
struct End {
    /// What the shards held before the part that needs time to pass.
    stores: BTreeMap<ShardId, Memory>,
    batches_before_waiting: usize,
    batches: usize,
    crashes: usize,
    /// What they held together in the end: when they learnt of it may differ.
    state: evm::State,
}

fn message(world: &mut World, sender: alloy_primitives::Address, receiver: alloy_primitives::Address) {
    let encoded = |value: u64| U256::from(value).to_be_bytes::<32>();
    let mut call = keccak256("send(uint32,bytes32,bytes,uint64,uint64)")[..4].to_vec();
    call.extend(encoded(u64::from(domain_of(NETWORK, S1))));
    call.extend(receiver.into_word());
    for value in [5 * 32, 500_000, world.now.0 + 60_000, 0] {
        call.extend(encoded(value));
    }
    let payload = world.payload(&[world.sign(&user(1), TxKind::Call(sender), ETHER, call)]);
    world.local(S0, &payload);
    let fact = world.facts(S0, LeafKind::Message).remove(0);
    let answer = world.deliver(S1, &fact);
    let delivery = world.delivery_fact(&answer);
    world.acknowledge(S0, &delivery);
}

/// Two attempts on one account: the second is refused and aborted.
fn aborted(world: &mut World) {
    let mut first = world.attempt(&world.transfer_beside(&user(2), &user(3), user(4).address(), ETHER), 1);
    let mut second = world.attempt(&world.transfer(&user(1), user(4).address(), ETHER), 1);
    let votes = world.prepare_all(&mut first);
    let refused = world.prepare_all(&mut second);
    for shard in [S0, S1] {
        world.decide(shard, &first.descriptor, &votes);
        world.decide(shard, &second.descriptor, &refused);
    }
}

/// An attempt whose coordinator is gone after the votes: the participants ask each other.
fn unfinished(world: &mut World) {
    let mut prepare = world.attempt(&world.transfer_beside(&user(2), &user(3), user(4).address(), ETHER), 1);
    world.prepare_all(&mut prepare);
    for _ in 0..4 {
        world.wait(11_000);
        for shard in [S0, S1] {
            world.step(shard, vec![crate::Input::Tick]);
            world.answer_questions(shard);
        }
    }
}

#[test]
fn a_crash_before_or_after_any_write_changes_nothing_in_the_end() {
    let expected = journey(Crash::Never);
    assert!(expected.batches_before_waiting >= 15 && expected.batches >= expected.batches_before_waiting + 4);
    for batch in 1..=expected.batches {
        for crash in [Crash::Before { batch }, Crash::After { batch }] {
            let actual = journey(crash);
            assert_eq!(actual.crashes, 1, "{crash:?} never fired");
            assert!(actual.state == expected.state, "another state after {crash:?}");
            assert!(actual.stores == expected.stores, "other stores after {crash:?}");
        }
    }
}
