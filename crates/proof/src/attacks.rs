//! One test for each published attack on trees, signatures, certificates and receipts.

use crate::{
    Certificate, CertificateError, Delivery, DeliveryStatus, Fact, Header, HeaderError, Leaf, LeafKind, Message,
    MessageError, Outbox, PathError, Place, PublicKey, Receipt, ReceiptError, ReceiptVerifier, SecretKey, Signature,
    Signer, Tree, TreeKind, ValidatorSet, domain_of, merkle,
    sample::{self, Chain, NETWORK, SHARD},
    verify_path,
};
use primitives::{DecodeError, Digest, Epoch, Height, NetworkId, ShardId, Verified, Verifier};

const ZERO: Digest = Digest::new([0; 32]);

fn place() -> Place {
    Place { kind: TreeKind::Outbox, network: NETWORK, shard: SHARD, height: Height(3) }
}

fn check(receipt: Receipt) -> Result<Fact, ReceiptError> {
    sample::verifier().verify(receipt)
}

/// A receipt of `header`'s block, certified anew after the header was changed.
fn resigned(receipt: Receipt, header: Header) -> Receipt {
    let signers = sample::signers();
    let mut certificate = sample::certificate(&sample::header(3), &[0, 1, 3]);
    certificate.header = header.digest();
    // The signers would refuse such a header; an attacker holding their keys would not.
    let parts = [0, 1, 3].map(|place| (place, signers[place].certify(&header)));
    if parts.iter().all(|(_, part)| part.is_ok()) {
        certificate = sample::certificate(&header, &[0, 1, 3]);
    }
    Receipt { header, certificate, ..receipt }
}

#[test]
fn a_sound_receipt_is_believed() {
    let fact = check(Chain::new().receipt(3, 2)).unwrap();
    assert_eq!((fact.shard, fact.epoch, fact.height, fact.index), (SHARD, Epoch(1), Height(3), 2));
    assert_eq!(fact.header_digest, sample::header(3).digest());
    assert_eq!(Message::from_fact(&fact), Ok(sample::message()));
}

#[test]
fn a_sound_receipt_is_believed_through_any_later_certificate() {
    let chain = Chain::new();
    for later in 4..=sample::HEIGHT_MAX {
        let through = check(chain.receipt_through(3, 1, later)).unwrap();
        assert_eq!(through.seal, chain.certified(later).into());
        let own = check(chain.receipt(3, 1)).unwrap();
        assert_eq!(Fact { seal: own.seal.clone(), ..through }, own, "but for what proves it, it is the same fact");
    }
}

// Trees.

#[test]
fn a_zero_root_proves_nothing() {
    // Nomad, 2022: an unset root stood for "proven".
    let path = verify_path(&place(), &ZERO, 1, 0, b"anything", &[]);
    assert_eq!(path, Err(PathError::Root));
    let chain = Chain::new();
    let header = Header { outbox_root: ZERO, ..chain.header(3) };
    let zero = ReceiptError::Header(HeaderError::Zero { field: "outbox root" });
    assert_eq!(check(resigned(chain.receipt(3, 0), header)), Err(zero));
}

#[test]
fn a_node_with_both_sides_filled_is_refused() {
    // BNB bridge, 2022: a proof node carried a left and a right, of which one was hashed and one believed.
    let tree = Tree::new([b"a", b"b"]);
    let root = tree.root(&place());
    let sibling = tree.prove(0).unwrap()[0];
    let forged = merkle::leaf_digest(0, b"forged");
    let both = verify_path(&place(), &root, 2, 0, b"forged", &[sibling, forged]);
    assert_eq!(both, Err(PathError::Length { actual: 2, expected: 1 }));
    assert_eq!(verify_path(&place(), &root, 2, 0, b"forged", &[sibling]), Err(PathError::Root));
}

#[test]
fn a_leaf_never_passes_for_a_node() {
    // Second preimage: a leaf whose bytes are two digests, in a tree one level flatter.
    let tree = Tree::new([b"a", b"b", b"c", b"d"]);
    let left = [merkle::leaf_digest(0, b"a"), merkle::leaf_digest(1, b"b")];
    let right = merkle::node_digest(&merkle::leaf_digest(2, b"c"), &merkle::leaf_digest(3, b"d"));
    let preimage: Vec<u8> = left.iter().flat_map(|digest| *digest.as_bytes()).collect();
    let root = tree.root(&place());
    assert_eq!(verify_path(&place(), &root, 2, 0, &preimage, &[right]), Err(PathError::Root));
    let flat = Tree::new([preimage.as_slice(), b"x"]);
    assert_ne!(merkle::leaf_digest(0, &preimage), merkle::node_digest(&left[0], &left[1]));
    assert_ne!(flat.root(&place()), root);
}

#[test]
fn a_node_never_passes_for_a_root() {
    let tree = Tree::new([b"a"]);
    let leaf = merkle::leaf_digest(0, b"a");
    assert_ne!(tree.root(&place()), leaf);
    assert_eq!(verify_path(&place(), &leaf, 1, 0, b"a", &[]), Err(PathError::Root));
}

#[test]
fn a_duplicated_last_leaf_makes_another_root() {
    // CVE-2012-2459: an odd level doubled its last node, so that two lists of leaves had one root.
    let three = Tree::new([b"a", b"b", b"c"]);
    let four = Tree::new([b"a", b"b", b"c", b"c"]);
    assert_ne!(three.root(&place()), four.root(&place()));
    let path = four.prove(3).unwrap();
    let beyond = verify_path(&place(), &three.root(&place()), 3, 3, b"c", &path);
    assert_eq!(beyond, Err(PathError::Index { index: 3, count: 3 }));
}

#[test]
fn an_index_beyond_the_count_is_refused() {
    // Hyperbridge, 2026: an index past the end took the proof down a branch that hashed nothing.
    let tree = Tree::new([b"a", b"b", b"c"]);
    let root = tree.root(&place());
    for index in [3, 4, 7, u64::from(u32::MAX), u64::MAX] {
        for path in [vec![], tree.prove(2).unwrap(), vec![root]] {
            let result = verify_path(&place(), &root, 3, index, b"c", &path);
            assert_eq!(result, Err(PathError::Index { index, count: 3 }));
        }
    }
    let chain = Chain::new();
    let beyond = Receipt { index: 3, ..chain.receipt(3, 2) };
    assert_eq!(check(beyond), Err(ReceiptError::Path(PathError::Index { index: 3, count: 3 })));
}

#[test]
fn a_path_with_unconsumed_nodes_is_refused() {
    let chain = Chain::new();
    let mut receipt = chain.receipt(3, 2);
    receipt.path.push(ZERO);
    assert_eq!(check(receipt), Err(ReceiptError::Path(PathError::Length { actual: 2, expected: 1 })));
}

#[test]
fn a_path_of_the_wrong_depth_is_refused() {
    let chain = Chain::new();
    let mut receipt = chain.receipt(3, 0);
    receipt.path.pop();
    assert_eq!(check(receipt), Err(ReceiptError::Path(PathError::Length { actual: 1, expected: 2 })));
}

#[test]
fn swapped_sides_are_refused() {
    let tree = Tree::new([b"a", b"b"]);
    let root = tree.root(&place());
    let (a, b) = (merkle::leaf_digest(0, b"a"), merkle::leaf_digest(1, b"b"));
    assert_eq!(verify_path(&place(), &root, 2, 1, b"a", &[b]), Err(PathError::Root));
    assert_eq!(verify_path(&place(), &root, 2, 0, b"b", &[a]), Err(PathError::Root));
}

#[test]
fn equal_leaves_at_two_indices_have_two_proofs() {
    let tree = Tree::new([b"a", b"a"]);
    let root = tree.root(&place());
    let path = tree.prove(0).unwrap();
    assert_eq!(verify_path(&place(), &root, 2, 0, b"a", &path), Ok(()));
    assert_eq!(verify_path(&place(), &root, 2, 1, b"a", &path), Err(PathError::Root));
}

#[test]
fn a_proof_for_another_leaf_is_refused() {
    let chain = Chain::new();
    let other = Receipt { leaf: chain.receipt(3, 1).leaf, ..chain.receipt(3, 0) };
    assert_eq!(check(other), Err(ReceiptError::Path(PathError::Root)));
}

#[test]
fn a_leaf_of_another_kind_is_refused() {
    let mut receipt = Chain::new().receipt(3, 0);
    receipt.leaf.kind = LeafKind::Outcome;
    assert_eq!(check(receipt), Err(ReceiptError::Path(PathError::Root)));
}

#[test]
fn a_leaf_of_another_block_is_refused() {
    let chain = Chain::new();
    let (header, certificate) = chain.certified(4);
    let moved = Receipt { header, certificate, ..chain.receipt(3, 2) };
    assert!(matches!(check(moved), Err(ReceiptError::Path(_))));
}

#[test]
fn a_root_of_another_tree_of_the_header_is_refused() {
    // A leaf of the history tree, presented as an outbox leaf of a header whose outbox root is that history root.
    let chain = Chain::new();
    let parent = chain.header(1).digest();
    let header = Header { outbox_root: chain.header(2).history_root, outbox_count: 1, ..chain.header(2) };
    let leaf = Leaf { kind: LeafKind::Vote, body: parent.as_bytes().to_vec() };
    let receipt = Receipt { leaf, index: 0, path: vec![], ..chain.receipt(2, 0) };
    assert_eq!(check(resigned(receipt, header)), Err(ReceiptError::Path(PathError::Root)));
}

// Signatures and certificates.

#[test]
fn a_duplicated_signer_is_refused() {
    let header = sample::header(3);
    let two = sample::certificate(&header, &[0, 1]);
    // One signature under two bits: the second bit is another validator's.
    let mut copied = sample::certificate(&header, &[0, 1, 2]);
    copied.signatures[2] = copied.signatures[1];
    assert!(matches!(copied.verify(&header, &sample::set()), Err(CertificateError::Signature { .. })));
    // Three signatures under two bits.
    let mut extra = two.clone();
    extra.signatures.push(extra.signatures[1]);
    let count = CertificateError::Count { signatures: 3, signers: 2 };
    assert_eq!(extra.verify(&header, &sample::set()), Err(count));
    // Merging a certificate with itself adds no voice.
    let twice = two.merge(&two).unwrap();
    let under = CertificateError::UnderQuorum { actual: 2, quorum: 3 };
    assert_eq!(twice.verify(&header, &sample::set()), Err(under));
}

#[test]
fn a_certificate_under_quorum_is_refused() {
    let header = sample::header(3);
    for places in [vec![2], vec![0, 3]] {
        let result = sample::certificate(&header, &places).verify(&header, &sample::set());
        assert_eq!(result, Err(CertificateError::UnderQuorum { actual: places.len(), quorum: 3 }));
    }
}

#[test]
fn a_certificate_without_signatures_is_refused() {
    let header = sample::header(3);
    let empty = Certificate { signers: vec![0], signatures: vec![], ..sample::certificate(&header, &[0]) };
    let under = CertificateError::UnderQuorum { actual: 0, quorum: 3 };
    assert_eq!(empty.verify(&header, &sample::set()), Err(under));
}

#[test]
fn trailing_bits_in_the_bitmap_are_refused() {
    let header = sample::header(3);
    let mut certificate = sample::certificate(&header, &[0, 1, 2]);
    certificate.signers[0] |= 1 << 4;
    certificate.signatures.push(certificate.signatures[0]);
    let unknown = CertificateError::UnknownSigner { members: 4 };
    assert_eq!(certificate.verify(&header, &sample::set()), Err(unknown));
}

#[test]
fn a_longer_bitmap_is_refused() {
    let header = sample::header(3);
    let mut certificate = sample::certificate(&header, &[0, 1, 2]);
    certificate.signers.push(0);
    let length = CertificateError::BitmapLength { actual: 2, expected: 1 };
    assert_eq!(certificate.verify(&header, &sample::set()), Err(length));
}

#[test]
fn a_certificate_of_another_epoch_is_refused() {
    let chain = Chain::new();
    let (header, certificate) = chain.certified(3);
    let renamed = Certificate { epoch: Epoch(2), ..certificate.clone() };
    assert!(matches!(renamed.verify(&header, &sample::set()), Err(CertificateError::Epoch { .. })));
    let keys = sample::set().keys().to_vec();
    let next = ValidatorSet::new(Epoch(2), keys).unwrap();
    assert!(matches!(certificate.verify(&header, &next), Err(CertificateError::Epoch { .. })));
    // The same validators, the same block, relabelled throughout: the signatures are of epoch 1.
    let relabelled = Header { epoch: Epoch(2), ..header };
    let forged = Certificate { epoch: Epoch(2), header: relabelled.digest(), ..certificate };
    assert!(matches!(forged.verify(&relabelled, &next), Err(CertificateError::Signature { .. })));
}

#[test]
fn a_receipt_of_an_unknown_epoch_is_refused() {
    let chain = Chain::new();
    let next = ValidatorSet::new(Epoch(2), sample::set().keys().to_vec()).unwrap();
    let verifier = ReceiptVerifier::with(NETWORK, [(SHARD, next)]);
    let unknown = ReceiptError::UnknownValidators { shard: SHARD, epoch: Epoch(1) };
    assert_eq!(verifier.verify(chain.receipt(3, 0)), Err(unknown));
}

#[test]
fn a_receipt_of_another_shard_is_refused() {
    // The same keys validate shard 2; what they signed for shard 1 says nothing there.
    let other = ShardId(2);
    let verifier = ReceiptVerifier::with(NETWORK, [(other, sample::set())]);
    let receipt = Chain::new().receipt(3, 0);
    let unknown = ReceiptError::UnknownValidators { shard: SHARD, epoch: Epoch(1) };
    assert_eq!(verifier.verify(receipt.clone()), Err(unknown));
    let header = Header { shard: other, ..receipt.header.clone() };
    let moved = Receipt { header, ..receipt };
    assert_eq!(verifier.verify(moved), Err(ReceiptError::Path(PathError::Root)));
}

#[test]
fn a_certificate_for_another_shard_is_refused_by_its_signatures() {
    let header = Header { shard: ShardId(2), ..sample::header(3) };
    let mut certificate = sample::certificate(&sample::header(3), &[0, 1, 2]);
    certificate.header = header.digest();
    let result = certificate.verify(&header, &sample::set());
    assert!(matches!(result, Err(CertificateError::Signature { .. })));
}

#[test]
fn a_receipt_of_another_network_is_refused() {
    // Wintermute: what is valid on one network is replayed on its twin with the same keys and shards.
    let twin = ReceiptVerifier::with(NetworkId(8), [(SHARD, sample::set())]);
    let receipt = Chain::new().receipt(3, 0);
    let network = ReceiptError::Network { expected: NetworkId(8), actual: NETWORK };
    assert_eq!(twin.verify(receipt.clone()), Err(network));
    let renamed = Header { network: NetworkId(8), ..receipt.header.clone() };
    assert_eq!(twin.verify(Receipt { header: renamed, ..receipt }), Err(ReceiptError::Path(PathError::Root)));
}

#[test]
fn a_malleable_signature_spoils_a_certificate() {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let header = sample::header(3);
    let mut certificate = sample::certificate(&header, &[0, 1, 2]);
    let mut bytes = *certificate.signatures[1].as_bytes();
    let mut carry = 0;
    for (byte, order) in bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
    certificate.signatures[1] = Signature::new(bytes);
    assert!(matches!(certificate.verify(&header, &sample::set()), Err(CertificateError::Signature { .. })));
}

#[test]
fn a_small_order_key_never_enters_a_set() {
    // With A of order 8, R = A and s = 0, plain verification accepts one message in eight.
    let text = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
    assert!(text.parse::<PublicKey>().is_err());
}

#[test]
fn a_signature_in_another_role_is_no_certificate() {
    let header = sample::header(3);
    let mut certificate = sample::certificate(&header, &[0, 1, 2]);
    for (secret, signature) in sample::secrets().iter().zip(&mut certificate.signatures) {
        *signature = secret.sign(&header.digest());
    }
    assert!(matches!(certificate.verify(&header, &sample::set()), Err(CertificateError::Signature { .. })));
}

#[test]
fn a_receipt_cannot_bring_its_own_validators() {
    // Wormhole, 2022: the caller chose what the check was made against.
    let stranger = SecretKey::from_bytes(&[99; 32]).unwrap();
    let strangers = ValidatorSet::new(Epoch(1), vec![stranger.public()]).unwrap();
    let signer = Signer::new(stranger, &strangers).unwrap();
    let receipt = Chain::new().receipt(3, 0);
    let certificate = signer.certify(&receipt.header).unwrap();
    assert_eq!(certificate.verify(&receipt.header, &strangers), Ok(()), "the strangers believe themselves");
    let under = CertificateError::UnderQuorum { actual: 1, quorum: 3 };
    assert_eq!(check(Receipt { certificate, ..receipt }), Err(ReceiptError::Certificate(under)));
}

// Receipts.

/// Every receipt with one bit changed must be refused, by a fresh verifier and by one that has seen the original.
fn assert_every_bit_counts(receipt: &Receipt) {
    let warm = sample::verifier();
    assert!(warm.verify(receipt.clone()).is_ok());
    let bytes = receipt.to_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(warm.verify(changed.as_slice()).is_err(), "bit {bit} of {} does not count", bytes.len() * 8);
    }
}

#[test]
fn a_receipt_with_any_bit_changed_is_refused() {
    assert_every_bit_counts(&Chain::new().receipt(5, 2));
}

#[test]
fn a_receipt_through_a_later_block_with_any_bit_changed_is_refused() {
    assert_every_bit_counts(&Chain::new().receipt_through(5, 4, 12));
}

#[test]
fn a_receipt_with_any_byte_cut_or_added_is_refused() {
    let bytes = Chain::new().receipt(5, 2).to_bytes();
    let verifier = sample::verifier();
    for length in 0..bytes.len() {
        assert!(verifier.verify(&bytes[..length]).is_err());
    }
    assert!(verifier.verify([bytes.as_slice(), &[0]].concat().as_slice()).is_err());
}

#[test]
fn an_oversized_receipt_is_refused_before_decoding() {
    let result = Verified::by(&sample::verifier(), vec![0xff; crate::RECEIPT_BYTES_MAX + 1].as_slice());
    assert!(matches!(result, Err(ReceiptError::Decode(DecodeError::TooLong { .. }))));
}

#[test]
fn the_largest_receipt_fits_its_bound() {
    let sound = Chain::new().receipt_through(5, 2, 12);
    let mut largest = sound.clone();
    largest.leaf.body = vec![0; crate::LEAF_BODY_BYTES_MAX];
    largest.path = vec![ZERO; 20];
    largest.certificate.signers = vec![0xff; crate::VALIDATORS_COUNT_MAX / 8];
    largest.certificate.signatures = vec![sound.certificate.signatures[0]; crate::VALIDATORS_COUNT_MAX];
    largest.ancestry = sound.ancestry.map(|ancestry| crate::Ancestry { path: vec![ZERO; 62], ..ancestry });
    assert!(largest.to_bytes().len() <= crate::RECEIPT_BYTES_MAX);
}

#[test]
fn a_history_proof_under_an_uncertified_header_is_refused() {
    let chain = Chain::new();
    let through = chain.receipt_through(3, 0, 9);
    // The certificate is of the earlier header, which does not make the later one believed, nor the other way round.
    let (_, earlier) = chain.certified(3);
    let result = check(Receipt { certificate: earlier, ..through.clone() });
    assert!(matches!(result, Err(ReceiptError::Certificate(CertificateError::Header { .. }))));
    let result = check(Receipt { ancestry: None, ..through });
    assert!(matches!(result, Err(ReceiptError::Certificate(CertificateError::Header { .. }))));
}

#[test]
fn a_header_beside_the_log_is_refused_through_history() {
    // An orphan: never certified, claims the height of a block that is in the history.
    let chain = Chain::new();
    let mut orphan = chain.receipt_through(3, 0, 9);
    let leaf = Leaf { kind: LeafKind::Vote, body: b"forged".to_vec() };
    let outbox = Outbox::new(NETWORK, SHARD, Height(3), vec![leaf.clone()]).unwrap();
    orphan.header = Header { outbox_root: outbox.root(), outbox_count: 1, ..orphan.header };
    (orphan.leaf, orphan.path) = (leaf, vec![]);
    assert_eq!(check(orphan), Err(ReceiptError::Ancestry(PathError::Root)));
}

#[test]
fn a_message_that_speaks_for_another_shard_is_refused() {
    let foreign = Message { origin: domain_of(NETWORK, ShardId(3)), ..sample::message() };
    let body = foreign.to_bytes();
    let fact = Fact { leaf: Leaf { kind: LeafKind::Message, body }, ..check(Chain::new().receipt(3, 2)).unwrap() };
    let expected = MessageError::ForeignDomain { shard: SHARD, domain: foreign.origin };
    assert_eq!(Message::from_fact(&fact), Err(expected));
}

#[test]
fn a_delivery_reported_by_another_shard_is_refused() {
    // The message was for shard 2; shard 1 cannot say that it was refused, and have it refunded.
    let delivery = Delivery::of(&sample::message(), DeliveryStatus::Expired, &[], 0);
    let leaf = Leaf { kind: LeafKind::Delivery, body: delivery.to_bytes() };
    let fact = Fact { leaf, ..check(Chain::new().receipt(3, 2)).unwrap() };
    assert!(matches!(Delivery::from_fact(&fact), Err(MessageError::ForeignDomain { .. })));
    assert_eq!(Delivery::from_fact(&Fact { shard: ShardId(2), ..fact }), Ok(delivery));
}

#[test]
fn a_vote_never_passes_for_a_message() {
    let fact = check(Chain::new().receipt(3, 0)).unwrap();
    let kind = MessageError::Kind { expected: LeafKind::Message, actual: LeafKind::Vote };
    assert_eq!(Message::from_fact(&fact), Err(kind));
}

#[test]
fn a_receipt_of_an_earlier_life_of_the_network_is_refused() {
    // Same chain id, same keys, another genesis: every bit of the old receipt is as its validators signed it.
    let lives = [[1; 32], [2; 32]].map(|genesis| sample::set().bound_to(Digest::new(genesis)));
    let header = sample::header(3);
    let certify = |life: &ValidatorSet| {
        let signers = sample::secrets().into_iter().map(|secret| Signer::new(secret, life).unwrap());
        let parts = signers.map(|signer| signer.certify(&header).unwrap());
        parts.reduce(|a, b| a.merge(&b).unwrap()).unwrap()
    };
    let [earlier, now] = &lives;
    let chain = Chain::new();
    let receipt = |life| Receipt { certificate: certify(life), ..chain.receipt(3, 1) };
    let verifier = |life: &ValidatorSet| ReceiptVerifier::with(NETWORK, [(SHARD, life.clone())]);
    assert_eq!(receipt(earlier).header, header);
    assert!(verifier(earlier).verify(receipt(earlier)).is_ok() && verifier(now).verify(receipt(now)).is_ok());
    let refused = verifier(now).verify(receipt(earlier));
    assert!(matches!(refused, Err(ReceiptError::Certificate(CertificateError::Signature { .. }))), "{refused:?}");
    assert!(sample::verifier().verify(receipt(earlier)).is_err(), "nor by whoever knows of no genesis");
}
