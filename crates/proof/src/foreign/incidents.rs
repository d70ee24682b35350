//! What went wrong on other bridges, as the rule that would have held, one a test; `docs/messaging.md` has them all.

use super::attacks::{DOMAIN, NETWORK, genesis, key, message, receipt, receipt_under, route, terms, verifier};
use super::*;
use crate::{RouteError, RouteTerms};
use alloy_primitives::Address;

/// The order of ed25519's group, which added to S gives the same point in other bytes.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

#[test]
fn nomad_a_root_of_zero_is_no_root_and_a_set_without_signers_is_none() {
    let zero = Digest::new([0; 32]);
    let mut forged = receipt(&[1, 2]);
    forged.block.root = zero;
    assert!(matches!(verifier().verify(forged), Err(ForeignError::Path(_))));
    let mut unsigned = receipt(&[1, 2]);
    unsigned.signatures.clear();
    assert_eq!(verifier().verify(unsigned), Err(ForeignError::Quorum { actual: 0, needed: 2 }));
    let mut nameless = receipt(&[1, 2]);
    nameless.block.route = zero;
    assert!(matches!(verifier().verify(nameless), Err(ForeignError::OtherRoute { .. })));
    assert_eq!(
        Route::new(RouteTerms { mailbox: Address::ZERO, ..terms() }),
        Err(RouteError::Zero { field: "mailbox" })
    );
    assert!(PublicKey::try_from([0; 32]).is_err(), "a key of zeros, under which a forgery verifies");
}

#[test]
fn ronin_2024_a_threshold_of_zero_of_half_or_above_all_is_no_route() {
    for threshold in [0, 1, 4, usize::MAX] {
        let refused = Route::new(RouteTerms { threshold, ..terms() });
        assert_eq!(refused, Err(RouteError::Threshold { threshold, attestors: 3 }), "{threshold}");
    }
}

#[test]
fn wormhole_whoever_brings_a_receipt_brings_no_keys_with_it() {
    // A route of the thief's own, with his own keys, said in full; and signed by all of them.
    let thiefs = RouteTerms { attestors: [21, 22, 23].map(|seed| key(seed).public()).to_vec(), ..terms() };
    let own = Route::new(thiefs).unwrap();
    let digest = own.digest(NETWORK, Some(&genesis()));
    let messages = [message(0), message(1)];
    let refused = verifier().verify(receipt_under(digest, &messages, &[21, 22, 23]));
    assert!(matches!(refused, Err(ForeignError::OtherRoute { .. })));
    let ours = route().digest(NETWORK, Some(&genesis()));
    let refused = verifier().verify(receipt_under(ours, &messages, &[21, 22, 23]));
    assert!(matches!(refused, Err(ForeignError::Signer { .. } | ForeignError::Signature { .. })), "{refused:?}");
}

#[test]
fn kelpdao_one_attestor_is_no_route_however_many_endpoints_it_asks() {
    let alone = RouteTerms { attestors: vec![key(1).public()], threshold: 1, ..terms() };
    assert_eq!(Route::new(alone), Err(RouteError::Attestors { actual: 1 }));
}

#[test]
fn bnb_a_path_with_more_less_or_swapped_nodes_is_refused() {
    let whole = receipt(&[1, 2]);
    let mut more = whole.clone();
    more.path.push(Digest::new([7; 32]));
    let mut less = whole.clone();
    less.path.pop();
    let mut swapped = whole.clone();
    swapped.path.reverse();
    for bent in [more, less, swapped] {
        assert!(matches!(verifier().verify(bent), Err(ForeignError::Path(_))));
    }
}

#[test]
fn hyperbridge_an_index_at_or_beyond_the_count_is_refused() {
    for index in [3, 4, u32::MAX] {
        let beyond = ForeignReceipt { index, ..receipt(&[1, 2]) };
        assert!(matches!(verifier().verify(beyond), Err(ForeignError::Path(PathError::Index { .. }))), "{index}");
    }
}

#[test]
fn chainswap_one_signer_twice_is_one_and_a_bent_signature_is_none() {
    let mut twice = receipt(&[1]);
    twice.signatures.push(twice.signatures[0]);
    assert!(matches!(verifier().verify(twice), Err(ForeignError::Signer { .. })));
    let whole = receipt(&[1, 2]);
    let mut bytes: [u8; 64] = encode(&whole.signatures[0].1).try_into().unwrap();
    let mut carry = 0_u16;
    for (at, order) in ORDER.iter().enumerate() {
        let sum = u16::from(bytes[32 + at]) + u16::from(*order) + carry;
        bytes[32 + at] = sum as u8;
        carry = sum >> 8;
    }
    let mut forged = whole;
    forged.signatures[0].1 = Signature::new(bytes);
    assert!(matches!(verifier().verify(forged), Err(ForeignError::Signature { place: 0 })));
}

#[test]
fn wintermute_a_signature_for_one_chain_domain_or_contract_is_worth_nothing_for_another() {
    let base = route().digest(NETWORK, Some(&genesis()));
    let others = [
        RouteTerms { chain_id: 1, ..terms() },
        RouteTerms { domain: DOMAIN + 1, ..terms() },
        RouteTerms { mailbox: Address::repeat_byte(0x12), ..terms() },
    ];
    for other in others {
        let digest = Route::new(other).unwrap().digest(NETWORK, Some(&genesis()));
        assert_ne!(digest, base);
        let refused = verifier().verify(receipt_under(digest, &[message(0), message(1)], &[1, 2, 3]));
        assert!(matches!(refused, Err(ForeignError::OtherRoute { .. })));
    }
}
