//! Relays that forge, drop, repeat and misdirect: a message still runs once, or is refused and refunded (I13, I14).
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod post;
mod stranger;
mod users;

use alloy_primitives::U256;
use dovetail_world::{Done, Request, World};
use post::{PING_SHARD as SOURCE, PONG_SHARD as TARGET, Post};
use primitives::{Millis, ShardId};
use proof::{LeafKind, Receipt};
use shard::{LeafPlace, Novelty, queries};
use stranger::ask_one;
use users::ETHER;

/// What a bystander has to do with it: nothing.
const BYSTANDER: ShardId = ShardId(2);

fn receipts(world: &World, shard: ShardId, kind: LeafKind) -> Vec<Receipt> {
    let from = LeafPlace { height: primitives::Height(0), index: 0 };
    let page = queries::outbox_page(world.shard(shard).store(), from, 100, &[kind].into()).unwrap();
    page.leaves.into_iter().map(|(_, receipt)| receipt).collect()
}

fn deliver(world: &mut World, shard: ShardId, receipt: &Receipt) -> Option<Novelty> {
    match ask_one(world, shard, Request::Deliver(vec![receipt.clone()])) {
        Ok(Done::Delivered { novelty, .. }) => Some(novelty),
        _ => None,
    }
}

#[test]
fn a_relay_that_changes_any_byte_of_a_message_delivers_nothing() {
    let mut post = Post::start(0);
    let sent = post.send(ETHER, Millis(60_000));
    let bytes = sent.to_bytes();
    let mut decoded = 0;
    for place in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[place] ^= 1 << (place % 8);
        let Ok(receipt) = Receipt::from_bytes(&forged) else { continue };
        decoded += 1;
        assert_eq!(deliver(&mut post.world, TARGET, &receipt), None, "byte {place}");
    }
    assert!(decoded > bytes.len() / 2, "most forgeries are still receipts: {decoded} of {}", bytes.len());
    assert_eq!(post.received(), U256::ZERO);
    assert_eq!(deliver(&mut post.world, TARGET, &sent), Some(Novelty::New));
    assert_eq!(post.received(), U256::ONE);
}

#[test]
fn a_relay_that_repeats_a_message_and_its_delivery_runs_them_once() {
    let mut post = Post::start(0);
    let sent = post.send(ETHER, Millis(60_000));
    let supply = post.supply();
    for round in 0..5 {
        let expected = if round == 0 { Novelty::New } else { Novelty::Already };
        assert_eq!(deliver(&mut post.world, TARGET, &sent), Some(expected));
        let told = receipts(&post.world, TARGET, LeafKind::Delivery);
        assert_eq!(told.len(), 1, "one delivery leaf, however often the message came");
        assert_eq!(deliver(&mut post.world, SOURCE, &told[0]), Some(expected));
    }
    assert_eq!((post.received(), post.supply()), (U256::ONE, supply));
}

#[test]
fn a_relay_that_misdirects_delivers_nothing() {
    let mut post = Post::start(0);
    let sent = post.send(ETHER, Millis(60_000));
    for shard in [SOURCE, BYSTANDER] {
        assert_eq!(deliver(&mut post.world, shard, &sent), None, "a message to shard {shard}");
    }
    deliver(&mut post.world, TARGET, &sent);
    let told = receipts(&post.world, TARGET, LeafKind::Delivery).remove(0);
    for shard in [TARGET, BYSTANDER] {
        assert_eq!(deliver(&mut post.world, shard, &told), None, "a delivery to shard {shard}");
    }
    assert_eq!(deliver(&mut post.world, SOURCE, &told), Some(Novelty::New));
}

#[test]
fn a_message_that_a_relay_held_back_is_refused_and_refunded() {
    let mut post = Post::start(0);
    let before = post.supply();
    let sent = post.send(ETHER, Millis(5_000));
    post.world.run_for(Millis(60_000));
    assert_eq!(deliver(&mut post.world, TARGET, &sent), Some(Novelty::New));
    assert_eq!(post.received(), U256::ZERO, "its deadline is past");
    let told = receipts(&post.world, TARGET, LeafKind::Delivery).remove(0);
    assert_eq!(deliver(&mut post.world, SOURCE, &told), Some(Novelty::New));
    assert_eq!(post.refunded(), ETHER);
    assert_eq!(post.supply(), before);
}

#[test]
fn one_honest_relay_is_enough_beside_one_that_repeats_everything() {
    let mut post = Post::start(1);
    let supply = post.supply();
    for _ in 0..5 {
        let sent = post.send(ETHER, Millis(60_000));
        for _ in 0..3 {
            deliver(&mut post.world, TARGET, &sent);
            for told in receipts(&post.world, TARGET, LeafKind::Delivery) {
                deliver(&mut post.world, SOURCE, &told);
            }
        }
    }
    let limit = post.world.now().after(Millis(120_000));
    assert!(post.world.run_quiet(limit));
    assert_eq!((post.received(), post.supply()), (U256::from(5), supply));
}
