//! Sound receipts, thousands of mutants of them, and what this verifier says of each: the file that the verifier in TypeScript
//! (`explorer/verifier`) is held to, mutant by mutant.
//!
//! Mutants are numbers: number `n` is made from `splitmix64(n)` by the rule below, on both sides. `DOVETAIL_VECTORS=write` writes
//! the file anew; else the test holds it against what is said today.

use crate::{
    Certificate, Delivery, DeliveryStatus, Receipt, ReceiptError, ReceiptVerifier, SecretKey, Signer, ValidatorSet,
    sample::{self, Chain, NETWORK, SHARD},
};
use primitives::{Digest, Verifier, encode};
use serde_json::{Value, json};
use std::path::PathBuf;

/// How many mutants there are, besides one for each bit of the first two receipts.
const MUTANTS_COUNT: u64 = 8_192;

/// A number that looks like chance and is the same everywhere. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", 2014.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// One of `0..count`.
    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }
}

fn mutant(sound: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut chance = SplitMix(number);
    let mut bytes = sound[chance.below(sound.len())].clone();
    match chance.below(7) {
        0 => {
            let bit = chance.below(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        1 => {
            let (start, count) = (chance.below(bytes.len()), 1 + chance.below(64));
            for at in start..bytes.len().min(start + count) {
                bytes[at] = chance.below(256) as u8;
            }
        }
        2 => bytes.truncate(chance.below(bytes.len())),
        3 => (0..=chance.below(40)).for_each(|_| bytes.push(chance.below(256) as u8)),
        4 => {
            let (one, other) = (chance.below(bytes.len() - 32), chance.below(bytes.len() - 32));
            let (first, second) = (bytes[one..one + 32].to_vec(), bytes[other..other + 32].to_vec());
            bytes[other..other + 32].copy_from_slice(&first);
            bytes[one..one + 32].copy_from_slice(&second);
        }
        5 => {
            let at = chance.below(bytes.len() - 4);
            bytes[at..at + 4].copy_from_slice(&(chance.below(300) as u32).to_le_bytes());
        }
        _ => {
            let other = &sound[chance.below(sound.len())];
            let start = chance.below(bytes.len().min(other.len()));
            bytes.truncate(start);
            bytes.extend_from_slice(&other[start..]);
        }
    }
    bytes
}

/// One letter for each answer; the TypeScript verifier has the same.
fn letter(answer: &Result<crate::Fact, ReceiptError>) -> char {
    match answer {
        Ok(_) => 'y',
        Err(ReceiptError::Decode(_)) => 'd',
        Err(ReceiptError::Header(_)) => 'h',
        Err(ReceiptError::Network { .. }) => 'n',
        Err(ReceiptError::UnknownValidators { .. }) => 'v',
        Err(ReceiptError::BodyTooLong { .. }) => 'b',
        Err(ReceiptError::Path(_)) => 'p',
        Err(ReceiptError::Ancestry(_)) => 'a',
        Err(ReceiptError::Certificate(_)) => 'c',
    }
}

fn genesis() -> Digest {
    Digest::new([0x77; 32])
}

/// The same certificate by the same signers, of the life of the network that began with [`genesis`].
fn bound(receipt: Receipt) -> Receipt {
    let set = sample::set().bound_to(genesis());
    let sign = |place: usize| {
        let secret: SecretKey = sample::secrets().swap_remove(place);
        Signer::new(secret, &set).unwrap().certify(receipt.certified()).unwrap()
    };
    let parts: Vec<Certificate> = [0, 1, 3].into_iter().map(sign).collect();
    let certificate = parts.into_iter().reduce(|a, b| a.merge(&b).unwrap()).unwrap();
    Receipt { certificate, ..receipt }
}

/// Receipts that hold, and some that a quorum signed and that do not.
fn receipts() -> Vec<Vec<u8>> {
    let chain = Chain::new();
    let under_quorum = |receipt: Receipt| {
        let certificate = sample::certificate(receipt.certified(), &[1, 2]);
        Receipt { certificate, ..receipt }
    };
    let elsewhere = |receipt: Receipt| Receipt { header: chain.header(6), ..receipt };
    let all = [
        chain.receipt(5, 4),
        chain.receipt_through(5, 4, 12),
        chain.receipt(1, 0),
        chain.receipt(20, 7),
        chain.receipt_through(1, 0, 20),
        under_quorum(chain.receipt(5, 2)),
        elsewhere(chain.receipt(5, 2)),
        bound(chain.receipt(5, 4)),
    ];
    all.iter().map(Receipt::to_bytes).collect()
}

fn keys(set: &ValidatorSet) -> Value {
    json!({
        "shard": SHARD.0,
        "epoch": set.epoch().0,
        "validators": set.keys().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "genesis": set.genesis().map(ToString::to_string),
    })
}

fn vectors() -> Value {
    let sound = receipts();
    let verifier = ReceiptVerifier::with(NETWORK, [(SHARD, sample::set())]);
    let said = |bytes: &[u8]| letter(&verifier.verify(bytes));
    let bits = sound[..2].iter().flat_map(|bytes| {
        (0..bytes.len() * 8).map(|bit| {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            said(&bytes)
        })
    });
    let message = sample::message();
    let delivery = Delivery::of(&message, DeliveryStatus::Failed, b"why", 21_000);
    json!({
        "network": NETWORK.0,
        "keys": keys(&sample::set()),
        "boundKeys": keys(&sample::set().bound_to(genesis())),
        "receipts": sound.iter().map(hex::encode).collect::<Vec<_>>(),
        "said": sound.iter().map(|bytes| said(bytes)).collect::<String>(),
        "bits": bits.collect::<String>(),
        "mutants": (0..MUTANTS_COUNT).map(|number| said(&mutant(&sound, number))).collect::<String>(),
        "header": { "bytes": hex::encode(encode(&sample::header(1))), "digest": sample::header(1).digest().to_string() },
        "message": { "bytes": hex::encode(message.to_bytes()), "id": message.id().to_string() },
        "delivery": { "bytes": hex::encode(delivery.to_bytes()), "message": delivery.message.to_string() },
    })
}

#[test]
fn what_is_said_of_each_mutant_is_what_the_other_verifier_is_held_to() {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../explorer/verifier/test/vectors.json"));
    let vectors = vectors();
    if std::env::var("DOVETAIL_VECTORS").is_ok_and(|what| what == "write") {
        std::fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&vectors).unwrap())).unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert!(kept == vectors, "{} is not what this verifier says: DOVETAIL_VECTORS=write", path.display());
}

#[test]
fn no_bit_of_a_sound_receipt_can_be_changed_and_mutants_meet_every_check() {
    let vectors = vectors();
    let text = |name: &str| vectors[name].as_str().unwrap().to_owned();
    assert!(!text("bits").contains('y'));
    assert_eq!(
        text("said"),
        "yyyyycpc",
        "the last three: under its quorum, another header, another life of the network"
    );
    for letter in "ydhnvpac".chars() {
        assert!((text("mutants") + &text("bits")).contains(letter), "no mutant meets {letter}");
    }
}
