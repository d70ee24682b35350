//! Short texts that people type: keys, digests, ids, forks, crash points. What parses prints as what parses to the same.

use crate::sample;
use evm::Spec;
use host::CrashPoint;
use primitives::{Digest, ShardId};
use proof::{MessageId, PublicKey, SecretKey, domain_of, shard_of};
use std::fmt::{Debug, Display};
use std::str::FromStr;

/// One text as everything that reads texts.
pub fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    check::<Digest>(text);
    check::<MessageId>(text);
    check::<PublicKey>(text);
    check::<Spec>(text);
    let _ = text.parse::<CrashPoint>();
    if let Ok(key) = SecretKey::from_hex(text) {
        let again = SecretKey::from_hex(&hex::encode(key.to_bytes().as_ref()));
        assert_eq!(again.map(|key| key.public()), Ok(key.public()), "a key survives its text");
        assert!(!format!("{key:?}").contains(text.trim()), "a key is never printed");
    }
    let refusal = commit::Refusal::invalid(1, text);
    let bytes = primitives::encode(&refusal);
    assert_eq!(primitives::decode(&bytes, commit::VOTE_BYTES_MAX), Ok(refusal), "any words fit into a vote");
    domains(data);
}

/// What parses prints to a text that parses to the same.
fn check<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse::<T>().ok(), Some(value));
    }
}

/// A domain is of one shard of one network.
fn domains(data: &[u8]) {
    let Some((bytes, _)) = data.split_first_chunk::<4>() else { return };
    let domain = u32::from_be_bytes(*bytes);
    if let Some(shard) = shard_of(sample::NETWORK, domain) {
        assert_eq!(domain_of(sample::NETWORK, shard), domain);
    }
    let shard = ShardId(domain & 0xffff);
    assert_eq!(shard_of(sample::NETWORK, domain_of(sample::NETWORK, shard)), Some(shard));
}

pub(crate) fn text_seeds() -> Vec<Vec<u8>> {
    let key = sample::secrets(ShardId(1), 1).remove(0);
    let texts = [
        sample::digest("a digest").to_string(),
        key.public().to_string(),
        format!(" 0x{}\n", hex::encode(key.to_bytes().as_ref())),
        "Osaka".to_owned(),
        "before_commit:12".to_owned(),
        "words that are longer than a detail ".repeat(12),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}
