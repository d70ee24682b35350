//! Wire formats, frozen: a change of any of these bytes is a change of protocol, and needs a new version.

use crate::{
    Delivery, DeliveryStatus, History, Message, Outbox, ReceiptVerifier, domain_of,
    sample::{self, Chain, NETWORK, SHARD},
};
use alloy_primitives::{B256, U256, hex};
use primitives::{Domain, Height, ShardId, Time, Verifier, encode};

/// Long encodings are frozen by their length and digest.
fn digest_of(bytes: &[u8]) -> String {
    format!("{} bytes, {}", bytes.len(), Domain::new("golden").hash(bytes))
}

#[test]
fn the_bytes_of_a_header_are_frozen() {
    assert_eq!(
        hex::encode(encode(&sample::header(1))),
        "\
        01000700000000000000010000000100000000000000010000000000000005306f4347cf1adbdb84dc6c17d3292003182a0b\
        04921073d2d9d4481c9d01d6e803000000000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
        aaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb3a10a4f047706c54bdf146fb58f83bd8\
        a506142b154081ef9faf541f9fd8778b010000006e14ab0acdf8e685d6b1961a2554aaf4aa814a346adb20f4c43a9c6c0373\
        ad8acccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc0100000000000000"
    );
    assert_eq!(
        sample::header(1).digest().to_string(),
        "0x2021ba1012f7ad722508ce4e1c15813ae9ae945a78e8f3c4eced363b0df60564"
    );
}

#[test]
fn the_roots_are_frozen() {
    let empty = Outbox::new(NETWORK, SHARD, Height(1), vec![]).unwrap();
    assert_eq!(empty.root().to_string(), "0x354c22d98c43c85017a86870220d0c8a43fc2dbf2e4ccd08cd88f54b88b09e23");
    assert_eq!(
        sample::outbox(5).root().to_string(),
        "0xe1c094b6d837c32ce5551e1ad93faf26e5b6d45386fb40e42374bd5a23cb60b3"
    );
    assert_eq!(
        History::new(NETWORK, SHARD).root().to_string(),
        "0x6e14ab0acdf8e685d6b1961a2554aaf4aa814a346adb20f4c43a9c6c0373ad8a"
    );
    assert_eq!(
        sample::header(20).history_root.to_string(),
        "0xab055a850b3ae1e840419c037c8a39e59440f88d5f281492c310ecb01ef3d1a9"
    );
}

#[test]
fn the_bytes_of_a_certificate_are_frozen() {
    let header = sample::header(1);
    let bytes = encode(&sample::certificate(&header, &[0]));
    assert_eq!(
        hex::encode(bytes),
        "\
        0101000000000000002021ba1012f7ad722508ce4e1c15813ae9ae945a78e8f3c4eced363b0df60564010000000101000000\
        5f8f02a6926c02ec134f0f5810fb9e387efa52cd6f1b77ef39d96704d46871274afcdcfa5be6f5c8fc2c0166b0655f371a33\
        0237f30d6710d1f8d63da8824b0d"
    );
}

#[test]
fn the_bytes_of_a_receipt_are_frozen() {
    let chain = Chain::new();
    assert_eq!(
        digest_of(&chain.receipt(5, 4).to_bytes()),
        "663 bytes, 0x137478e52777fa185f69a2dc1b9f992fec811c5981876b4b7bc6e08b9fe21e74"
    );
    assert_eq!(
        digest_of(&chain.receipt_through(5, 4, 12).to_bytes()),
        "1037 bytes, 0xc0ef6ea246a5037a23c4c6720616e2d2649151380572ebaf805296af968b011f"
    );
}

#[test]
fn the_bytes_of_a_message_are_frozen() {
    let message = sample::message();
    assert_eq!(
        hex::encode(message.to_bytes()),
        "\
        05000000010007d00000000000000000000000001111111111111111111111111111111111111111020007d0000000000000\
        00000000000022222222222222222222222222222222222222220500000068656c6c6fa0860100000000000068e5cf8b0100\
        000900000000000000000000000000000000000000000000000000000000000000"
    );
    assert_eq!(
        hex::encode(message.packed()),
        "\
        0300000005d00700010000000000000000000000001111111111111111111111111111111111111111d00700020000000000\
        00000000000000222222222222222222222222222222222222222268656c6c6f"
    );
    assert_eq!(message.id().to_string(), "0x4c302b4617050affc6d663ac25c6e49596b0cfa89f5341ff6a929188fb46faf6");
}

#[test]
fn the_bytes_of_a_delivery_are_frozen() {
    let delivery = Delivery::of(&sample::message(), DeliveryStatus::Failed, b"why", 21_000);
    assert_eq!(
        hex::encode(delivery.to_bytes()),
        "\
        4c302b4617050affc6d663ac25c6e49596b0cfa89f5341ff6a929188fb46faf6010007d00000000000000000000000001111\
        111111111111111111111111111111111111020007d002030000007768790852000000000000"
    );
}

#[test]
fn the_bytes_of_a_validator_set_are_frozen() {
    assert_eq!(
        digest_of(&encode(&sample::set())),
        "141 bytes, 0xb96a54cf5afb4edd7df642da47181c1e5811c122fabfe8e893facc0f850c2898"
    );
}

/// The vector of Hyperlane's `message.json`.
#[test]
fn hyperlanes_message_vector_has_its_id() {
    let message = Message {
        nonce: 0,
        origin: 1000,
        sender: B256::left_padding_from(&[0x11; 20]),
        destination: 2000,
        recipient: B256::left_padding_from(&[0x22; 20]),
        body: vec![0x12, 0x34],
        gas_limit: 1,
        deadline: Time(2),
        value: U256::from(3),
    };
    let v3_id = hex!("f8a66f8aadee751d842616fee0ed14a3ad6da1e13564920364ee0ad35a02703f");
    assert_eq!(message.v3_id(), B256::new(v3_id));
    assert_ne!(message.id().0, message.v3_id());
}

/// The same from the file, every vector of it; a clone without the shared data has the one above.
#[test]
fn every_vector_of_hyperlanes_message_file_has_its_id() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/hyperlane-vectors/message.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("no vectors beside this clone: skipped");
        return;
    };
    let vectors: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(!vectors.is_empty());
    for vector in vectors {
        let number = |field: &str| u32::try_from(vector[field].as_u64().unwrap()).unwrap();
        let word = |field: &str| vector[field].as_str().unwrap().parse::<B256>().unwrap();
        let bytes = vector["body"].as_array().unwrap();
        assert_eq!(number("version"), u32::from(crate::MESSAGE_VERSION));
        let message = Message {
            nonce: number("nonce"),
            origin: number("origin"),
            sender: word("sender"),
            destination: number("destination"),
            recipient: word("recipient"),
            body: bytes.iter().map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap()).collect(),
            gas_limit: 0,
            deadline: Time(0),
            value: U256::ZERO,
        };
        assert_eq!(message.v3_id(), word("id"));
        assert_eq!(Message::from_packed(&message.packed(), 0, Time(0), U256::ZERO), Ok(message));
    }
}

/// Domains are part of every id.
#[test]
fn the_domains_are_frozen() {
    assert_eq!(domain_of(NETWORK, SHARD), 0xD007_0001);
    assert_eq!(domain_of(NETWORK, ShardId(0xFFFF)), 0xD007_FFFF);
}

/// A receipt that was made and kept before today's code still verifies.
#[test]
fn a_kept_receipt_still_verifies() {
    let kept = hex::decode(KEPT_RECEIPT).unwrap();
    assert!(ReceiptVerifier::with(NETWORK, [(SHARD, sample::set())]).verify(kept.as_slice()).is_ok());
}

const KEPT_RECEIPT: &str = "\
        028500000005000000010007d00000000000000000000000001111111111111111111111111111111111111111020007d000\
        000000000000000000000022222222222222222222222222222222222222220500000068656c6c6fa0860100000000000068\
        e5cf8b01000009000000000000000000000000000000000000000000000000000000000000000400000001000000ea2cb45d\
        8c6a8bfdec0795915c672f93b3f09169357c161d339a4eafa6a3624b01000700000000000000010000000100000000000000\
        05000000000000002fdaa3b15930726a6c93d6182d015deb4661f8432b796caadc3fe29e65a4985d8813000000000000aaaa\
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\
        bbbbbbbbbbbbbbbbbbbbbbbbe1c094b6d837c32ce5551e1ad93faf26e5b6d45386fb40e42374bd5a23cb60b305000000a00b\
        789af53513efbc5fbb686fda7f24424084041120b2bab67894411b31f1bfcccccccccccccccccccccccccccccccccccccccc\
        cccccccccccccccccccccccc050000000000000001010000000000000028bc1bf801453ff6f8930715776e63c7030e408f44\
        cdca4975c665d89a9b0ce1010000000b030000000a47390a6d0aa1f39aa89c9c3b2c5e68853e4d2acb22eb7b495ceef2aba7\
        6bd869c9b82c0c1e82a2c89ba3e43479a1c65dd2ee844364ca292928106af916160d8510e8b0c647131f2acd433a4457ff36\
        333f72441743be550de2d855b28279cbfb0ef4f62b18675a2bfaaf93e094ff52d7efd8f3b5d7e8f3859904b1f415f705eaad\
        e8ada40e89bc4049cf35e0d82a4cbc5fba4caa72b48752ba152d971863eb979d5445e8a07124c356b0a1365bc969df92e32f\
        1ce113032d94a9bad934620e00";
