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
        03000700000000000000010000000100000000000000010000000000000005306f4347cf1adbdb84dc6c17d3292003182a0b\
        04921073d2d9d4481c9d01d6e803000000000000010000000000000007000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
        aaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb3a10a4f0\
        47706c54bdf146fb58f83bd8a506142b154081ef9faf541f9fd8778b010000006e14ab0acdf8e685d6b1961a2554aaf4aa81\
        4a346adb20f4c43a9c6c0373ad8acccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc01000000\
        00000000"
    );
    assert_eq!(
        sample::header(1).digest().to_string(),
        "0x73cc79c25ecc682d2fe71a33fd32364ca97bda4e3ff2b2a36dab64afb5d846ee"
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
        "0x5b763cbc48bdb9bfd6da15322a5da20426c4dea2fc6b91a8c577b5459a707b72"
    );
}

#[test]
fn the_bytes_of_a_certificate_are_frozen() {
    let header = sample::header(1);
    let bytes = encode(&sample::certificate(&header, &[0]));
    assert_eq!(
        hex::encode(bytes),
        "\
        01010000000000000073cc79c25ecc682d2fe71a33fd32364ca97bda4e3ff2b2a36dab64afb5d846ee010000000101000000\
        001e3d12d59a48e13587614865e72979ad5c1dfafa7616abfd17e808959fccf61e4c72f41e31e34bb79f72e53ab95519fdf5\
        1ae9a3923bb469fb6e0fbeadc802"
    );
}

#[test]
fn the_bytes_of_a_receipt_are_frozen() {
    let chain = Chain::new();
    assert_eq!(
        digest_of(&chain.receipt(5, 4).to_bytes()),
        "675 bytes, 0x3f877c9015394b1a8c083d65cfb6e327028a71a009e2488001faddd5b2cc1500"
    );
    assert_eq!(
        digest_of(&chain.receipt_through(5, 4, 12).to_bytes()),
        "1061 bytes, 0x1e1079bf779a22d3ce3adad8bbbc6319fc317f1ec10b31c982894ff690504f87"
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
        8c6a8bfdec0795915c672f93b3f09169357c161d339a4eafa6a3624b03000700000000000000010000000100000000000000\
        0500000000000000f4ca3b2594b3fd8195d76426ba13f27fd98853a722468c2e67bf5414cbc88c8f88130000000000000100\
        00000000000007000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb\
        bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbe1c094b6d837c32ce5551e1ad93faf26e5b6d45386fb40e42374\
        bd5a23cb60b30500000073075d6ffd269d24761d1615094315524182ec0385c163241af4f99eb4bc5964cccccccccccccccc\
        cccccccccccccccccccccccccccccccccccccccccccccccc0500000000000000010100000000000000904cb4b1b0287c58d2\
        99eacd8ffc2ee92a0b904ef1b695f34d4eb909e260c39a010000000b03000000fe5ea81873f1c82d5a4baba4ba57357ae225\
        9247e00a1e9216a8dceac8c187e9ecb865ad21e0a7e28c1160d89533edcac6dbf52b2fede5aaadfa4c0c64bd930b29f0ad57\
        bbd9a48f95d58d2b73c0d0c5bf9fe8785dc67aa930dee8e2b273ce275242f32cc3f4fb3e17771e77c81c512c7145cb855c9d\
        1350b03ad82df97faa05494477e68541477cd88f9867030027a2367c395792b5e7758d6ddefedc42e9c161db0e6a2cd81c4f\
        601676b0c20286d9b097938c0aa9cb29dd0a5df4743e150800";
