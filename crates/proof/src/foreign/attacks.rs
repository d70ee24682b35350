//! Attacks on the way in from a foreign chain, one a test.

use super::*;
use crate::{RouteError, RouteTerms, domain_of};
use alloy_primitives::Address;
use primitives::Millis;

pub(super) const NETWORK: NetworkId = NetworkId(7);
pub(super) const DOMAIN: u32 = 31_337;

pub(super) fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32]).unwrap()
}

pub(super) fn terms() -> RouteTerms {
    RouteTerms {
        domain: DOMAIN,
        chain_id: 31_337,
        mailbox: Address::repeat_byte(0x11),
        gas_limit: 100_000,
        window: Millis(60_000),
        attestors: [1, 2, 3].map(|seed| key(seed).public()).to_vec(),
        threshold: 2,
    }
}

pub(super) fn genesis() -> Digest {
    Digest::new([9; 32])
}

pub(super) fn route() -> Route {
    Route::new(terms()).unwrap()
}

pub(super) fn verifier() -> ForeignVerifier {
    ForeignVerifier::new(NETWORK, Some(&genesis()), &[route()])
}

pub(super) fn message(nonce: u32) -> Message {
    Message {
        nonce,
        origin: DOMAIN,
        sender: Address::repeat_byte(0xaa).into_word(),
        destination: domain_of(NETWORK, ShardId(1)),
        recipient: Address::repeat_byte(0xbb).into_word(),
        body: format!("message {nonce}").into_bytes(),
        gas_limit: 0,
        deadline: Time(0),
        value: U256::ZERO,
    }
}

/// The second of three messages, signed by the attestors with these seeds.
pub(super) fn receipt_under(digest: Digest, messages: &[Message], signers: &[u8]) -> ForeignReceipt {
    let packed: Vec<Vec<u8>> = messages.iter().map(Message::packed).collect();
    let head = (5, B256::repeat_byte(5), Time(1_000));
    let (block, tree) = ForeignBlock::new(digest, DOMAIN, head, &packed);
    let sign = |seed: &u8| {
        let word = Attestation::sign(block.clone(), &key(*seed));
        (route().place_of(&word.attestor).unwrap_or(9) as u16, word.signature)
    };
    let mut signatures: Vec<_> = signers.iter().map(sign).collect();
    signatures.sort_by_key(|(place, _)| *place);
    ForeignReceipt { leaf: packed[1].clone(), index: 1, path: tree.prove(1).unwrap(), block, signatures }
}

pub(super) fn receipt(signers: &[u8]) -> ForeignReceipt {
    let digest = route().digest(NETWORK, Some(&genesis()));
    receipt_under(digest, &[message(0), message(1), message(2)], signers)
}

#[test]
fn a_quorums_message_is_believed_on_the_routes_terms() {
    let admission = verifier().verify(receipt(&[1, 3])).unwrap();
    let Admission::Message { message: admitted, id } = admission else { panic!("{admission:?}") };
    assert_eq!(id.0, message(1).v3_id());
    assert_eq!((admitted.gas_limit, admitted.deadline), (100_000, Time(61_000)));
    assert_eq!(admitted.value, U256::ZERO);
    assert!(verifier().verify(receipt(&[1, 2, 3])).is_ok());
}

#[test]
fn one_signature_short_is_refused() {
    assert_eq!(verifier().verify(receipt(&[2])), Err(ForeignError::Quorum { actual: 1, needed: 2 }));
    assert_eq!(verifier().verify(receipt(&[])), Err(ForeignError::Quorum { actual: 0, needed: 2 }));
}

#[test]
fn one_attestor_does_not_count_twice() {
    let mut twice = receipt(&[1]);
    twice.signatures.push(twice.signatures[0]);
    assert!(matches!(verifier().verify(twice), Err(ForeignError::Signer { .. })));
}

#[test]
fn a_strangers_signature_in_an_attestors_place_is_refused() {
    let mut forged = receipt(&[1, 2]);
    forged.signatures[1].1 = key(66).sign(&forged.block.signed_digest());
    assert!(matches!(verifier().verify(forged), Err(ForeignError::Signature { .. })));
    let mut beyond = receipt(&[1, 2]);
    beyond.signatures[1].0 = 3;
    assert!(matches!(verifier().verify(beyond), Err(ForeignError::Signer { place: 3, attestors: 3 })));
}

#[test]
fn a_message_of_a_domain_without_a_route_is_refused() {
    let digest = route().digest(NETWORK, Some(&genesis()));
    let other = Message { origin: DOMAIN + 1, ..message(1) };
    let refused = verifier().verify(receipt_under(digest, &[message(0), other], &[1, 2]));
    assert_eq!(refused, Err(ForeignError::UnknownRoute { domain: DOMAIN + 1 }));
}

#[test]
fn a_quorum_cannot_speak_for_a_shard() {
    let digest = route().digest(NETWORK, Some(&genesis()));
    let domain = domain_of(NETWORK, ShardId(0));
    let other = Message { origin: domain, ..message(1) };
    let refused = verifier().verify(receipt_under(digest, &[message(0), other], &[1, 2, 3]));
    assert_eq!(refused, Err(ForeignError::UnknownRoute { domain }));
    assert_eq!(Route::new(RouteTerms { domain, ..terms() }), Err(RouteError::OwnDomain { domain }));
}

#[test]
fn an_index_beyond_the_count_is_refused() {
    for index in [3, 4, u32::MAX] {
        let beyond = ForeignReceipt { index, ..receipt(&[1, 2]) };
        assert!(matches!(verifier().verify(beyond), Err(ForeignError::Path(PathError::Index { .. }))), "{index}");
    }
    let mut grown = receipt(&[1, 2]);
    grown.block.count = FOREIGN_MESSAGES_COUNT_MAX + 1;
    assert!(matches!(verifier().verify(grown), Err(ForeignError::TooMany { .. })));
}

#[test]
fn a_signature_for_another_life_network_or_terms_is_refused() {
    let messages = [message(0), message(1)];
    let other_terms = Route::new(RouteTerms { gas_limit: 1_000_000, ..terms() }).unwrap();
    let others = [
        route().digest(NETWORK, None),
        route().digest(NetworkId(8), Some(&genesis())),
        route().digest(NETWORK, Some(&Digest::new([8; 32]))),
        other_terms.digest(NETWORK, Some(&genesis())),
    ];
    for digest in others {
        let refused = verifier().verify(receipt_under(digest, &messages, &[1, 2, 3]));
        assert!(matches!(refused, Err(ForeignError::OtherRoute { .. })), "{digest}");
    }
}

#[test]
fn every_term_is_in_the_routes_digest() {
    let base = route().digest(NETWORK, Some(&genesis()));
    let others = [
        RouteTerms { domain: DOMAIN + 1, ..terms() },
        RouteTerms { chain_id: 1, ..terms() },
        RouteTerms { mailbox: Address::repeat_byte(0x12), ..terms() },
        RouteTerms { gas_limit: 1, ..terms() },
        RouteTerms { window: Millis(1), ..terms() },
        RouteTerms { attestors: [1, 2, 4].map(|seed| key(seed).public()).to_vec(), ..terms() },
        RouteTerms { threshold: 3, ..terms() },
    ];
    for other in others {
        assert_ne!(Route::new(other.clone()).unwrap().digest(NETWORK, Some(&genesis())), base, "{other:?}");
    }
}

#[test]
fn a_receipt_with_any_bit_changed_is_refused() {
    let whole = receipt(&[1, 2]).to_bytes();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let verdict = ForeignReceipt::from_bytes(&bytes).map_err(ForeignError::from);
            assert!(verdict.and_then(|receipt| verifier().verify(receipt)).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn an_unsafe_route_is_never_made() {
    let attestors = |seeds: &[u8]| seeds.iter().map(|seed| key(*seed).public()).collect::<Vec<_>>();
    let refused = |terms: RouteTerms| Route::new(terms).unwrap_err();
    assert_eq!(
        refused(RouteTerms { attestors: attestors(&[1]), threshold: 1, ..terms() }),
        RouteError::Attestors { actual: 1 }
    );
    assert_eq!(
        refused(RouteTerms { attestors: attestors(&[]), threshold: 0, ..terms() }),
        RouteError::Attestors { actual: 0 }
    );
    for threshold in [0, 1, 2, 5] {
        let terms = RouteTerms { attestors: attestors(&[1, 2, 3, 4]), threshold, ..terms() };
        assert_eq!(refused(terms), RouteError::Threshold { threshold, attestors: 4 });
    }
    assert!(matches!(
        refused(RouteTerms { attestors: attestors(&[1, 2, 1]), ..terms() }),
        RouteError::Duplicate { .. }
    ));
    assert_eq!(refused(RouteTerms { domain: 0, ..terms() }), RouteError::Zero { field: "domain" });
    assert_eq!(refused(RouteTerms { chain_id: 0, ..terms() }), RouteError::Zero { field: "chain id" });
    assert_eq!(refused(RouteTerms { mailbox: Address::ZERO, ..terms() }), RouteError::Zero { field: "mailbox" });
    assert_eq!(refused(RouteTerms { gas_limit: 0, ..terms() }), RouteError::Zero { field: "gas limit" });
    assert_eq!(refused(RouteTerms { window: Millis(0), ..terms() }), RouteError::Zero { field: "window" });
}

#[test]
fn two_words_on_one_block_number_contradict_each_other_and_two_on_different_ones_do_not() {
    let digest = route().digest(NETWORK, Some(&genesis()));
    let word = |number, nonce, seed| {
        let head = (number, B256::repeat_byte(5), Time(1_000));
        let (block, _) = ForeignBlock::new(digest, DOMAIN, head, &[message(nonce).packed()]);
        Attestation::sign(block, &key(seed))
    };
    assert!(word(5, 0, 1).contradicts(&word(5, 1, 1)));
    assert!(!word(5, 0, 1).contradicts(&word(5, 0, 1)));
    assert!(!word(5, 0, 1).contradicts(&word(6, 1, 1)));
    assert!(!word(5, 0, 1).contradicts(&word(5, 1, 2)), "two attestors may differ");
    let mut forged = word(5, 1, 1);
    forged.signature = word(5, 0, 1).signature;
    assert!(!word(5, 0, 1).contradicts(&forged), "nobody is accused with a forged word");
}

/// That a message of shard 1 was processed on the chain with this domain, said in a block of the one route.
fn processed(domain: u32, signers: &[u8]) -> ForeignReceipt {
    let leaf = Processed { domain, origin: crate::domain_of(NETWORK, ShardId(1)), id: B256::repeat_byte(3) }.to_bytes();
    let head = (5, B256::repeat_byte(5), Time(1_000));
    let leaves = [message(0).packed(), leaf.clone()];
    let (block, tree) = ForeignBlock::new(route().digest(NETWORK, Some(&genesis())), DOMAIN, head, &leaves);
    let sign = |seed: &u8| {
        let word = Attestation::sign(block.clone(), &key(*seed));
        (route().place_of(&word.attestor).unwrap() as u16, word.signature)
    };
    let mut signatures: Vec<_> = signers.iter().map(sign).collect();
    signatures.sort_by_key(|(place, _)| *place);
    ForeignReceipt { leaf, index: 1, path: tree.prove(1).unwrap(), block, signatures }
}

#[test]
fn a_quorum_says_how_a_message_that_left_ended_and_one_short_does_not() {
    let admission = verifier().verify(processed(DOMAIN, &[1, 2])).unwrap();
    assert_eq!((admission.destination(), admission.v3_id()), (domain_of(NETWORK, ShardId(1)), B256::repeat_byte(3)));
    let short = verifier().verify(processed(DOMAIN, &[3]));
    assert_eq!(short, Err(ForeignError::Quorum { actual: 1, needed: 2 }));
}

#[test]
fn a_route_cannot_say_that_another_chain_processed_something() {
    let refused = verifier().verify(processed(DOMAIN + 1, &[1, 2, 3]));
    assert_eq!(refused, Err(ForeignError::UnknownRoute { domain: DOMAIN + 1 }));
    let second = Route::new(RouteTerms { domain: DOMAIN + 1, ..terms() }).unwrap();
    let both = ForeignVerifier::new(NETWORK, Some(&genesis()), &[route(), second]);
    assert!(matches!(both.verify(processed(DOMAIN + 1, &[1, 2, 3])), Err(ForeignError::OtherRoute { .. })));
}

#[test]
fn an_end_with_any_bit_changed_is_refused() {
    let whole = processed(DOMAIN, &[1, 2]).to_bytes();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let verdict = ForeignReceipt::from_bytes(&bytes).map_err(ForeignError::from);
            assert!(verdict.and_then(|receipt| verifier().verify(receipt)).is_err(), "byte {at}, bit {bit}");
        }
    }
}
