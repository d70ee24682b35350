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
        02000700000000000000010000000100000000000000010000000000000005306f4347cf1adbdb84dc6c17d3292003182a0b\
        04921073d2d9d4481c9d01d6e8030000000000000100000000000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
        aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb3a10a4f047706c54\
        bdf146fb58f83bd8a506142b154081ef9faf541f9fd8778b010000006e14ab0acdf8e685d6b1961a2554aaf4aa814a346adb\
        20f4c43a9c6c0373ad8acccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc0100000000000000"
    );
    assert_eq!(
        sample::header(1).digest().to_string(),
        "0x4137e8395e9b02d9060af4c7f9f78f965b94007fc79ef88d7c438a49731ea693"
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
        "0x00d5077d3ea9590b1e7de3c3b25bf035a311ff03ddc5b89eac3a06a4a0a3ee4d"
    );
}

#[test]
fn the_bytes_of_a_certificate_are_frozen() {
    let header = sample::header(1);
    let bytes = encode(&sample::certificate(&header, &[0]));
    assert_eq!(
        hex::encode(bytes),
        "\
        0101000000000000004137e8395e9b02d9060af4c7f9f78f965b94007fc79ef88d7c438a49731ea693010000000101000000\
        3e21188cfcdd7a2f97410d25e618e3160850a92b6be7098f14da184cbf2a1a71eb116d46e7a24ae5094e0656530b92de62f8\
        3d97855dc4cdaf63d71ef62b4f0f"
    );
}

#[test]
fn the_bytes_of_a_receipt_are_frozen() {
    let chain = Chain::new();
    assert_eq!(
        digest_of(&chain.receipt(5, 4).to_bytes()),
        "671 bytes, 0x2c364250270feff40da4dc3902b25a756eb4f85c936acdebfb1527f313b76751"
    );
    assert_eq!(
        digest_of(&chain.receipt_through(5, 4, 12).to_bytes()),
        "1053 bytes, 0x164c29dcbb994a18c554cd4bfd261fbf6fb44431cbb7326f0dc35693a10d10a5"
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
        8c6a8bfdec0795915c672f93b3f09169357c161d339a4eafa6a3624b02000700000000000000010000000100000000000000\
        05000000000000004c45aa111b1c62deb225ad6c936e489ea4fe5ea1faea989b173935a97716747c88130000000000000100\
        000000000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbb\
        bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbe1c094b6d837c32ce5551e1ad93faf26e5b6d45386fb40e42374bd5a23cb\
        60b305000000a4ce3a1545172b170563b15d8c738723d3c1e4335bcbed3003dba96fdc39017acccccccccccccccccccccccc\
        cccccccccccccccccccccccccccccccccccccccc05000000000000000101000000000000006c713e9324954873067d2718e5\
        e9b1224d31f739225b75dc7a6a989bb0b9a1f5010000000b030000001af00d47d330c83f3b686515b0eb6bd7f22f51aab01a\
        6bb9e259943804fc285110641e3ce76bd904f1bc55bb2286d4ef1f75dc3648ff4880b4a1480bf03470040010424cde88cc87\
        8d11cf0e1542c8f0a741d71ad80e37b50172178d009fd9255b9655d6b802ce325410074150a1d8f5fb8305420213c88a90c0\
        fcdc56a28c088157680a5a770566915d1f6ded1b64fd777ca9b1634a5495bb5cb568effebfd075ea05f2c6016d1b8b9fb5d7\
        1301f9d21443a9880b31d7c612c18825e71b350900";
