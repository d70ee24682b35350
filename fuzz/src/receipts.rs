//! Receipts and evidence of equivocation: nothing but what was said is believed, whatever is changed.

use crate::choice::Choice;
use crate::sample::{self, Speaker};
use primitives::{Height, ShardId, Verifier};
use proof::{Delivery, DeliveryStatus, Equivocation, Fact, Leaf, LeafKind, Receipt, ReceiptVerifier};
use std::sync::LazyLock;

struct Genuine {
    verifier: ReceiptVerifier,
    receipts: Vec<Vec<u8>>,
    facts: Vec<Fact>,
    equivocations: Vec<Vec<u8>>,
}

static GENUINE: LazyLock<Genuine> = LazyLock::new(Genuine::new);

impl Genuine {
    fn new() -> Self {
        let mut speakers = [Speaker::new(0, 1), Speaker::new(1, 4)];
        for speaker in &mut speakers {
            for height in 1..=6 {
                speaker.say(leaves(speaker.id, height));
            }
        }
        let verifier = sample::verifier(&speakers);
        let receipts: Vec<Receipt> = speakers.iter().flat_map(receipts_of).collect();
        let facts = receipts.iter().map(|receipt| verifier.verify(receipt.clone()).expect("a sound receipt")).collect();
        let equivocations = speakers.iter().map(|speaker| equivocation_of(speaker).to_bytes()).collect();
        Self { verifier, receipts: receipts.iter().map(Receipt::to_bytes).collect(), facts, equivocations }
    }
}

/// What a block says: as many leaves as its height, of each kind in turn.
fn leaves(from: ShardId, height: u32) -> Vec<Leaf> {
    let message = sample::message(from, ShardId(1 - from.0), height);
    let delivery = Delivery::of(&message, DeliveryStatus::Delivered, b"ok", 21_000);
    let of = |kind, body| Leaf { kind, body };
    let all = [
        of(LeafKind::Message, message.to_bytes()),
        of(LeafKind::Delivery, delivery.to_bytes()),
        of(LeafKind::Outcome, vec![height as u8; 40]),
        of(LeafKind::Vote, vec![height as u8; 10]),
    ];
    all.into_iter().cycle().take(height as usize).collect()
}

/// Each leaf of two blocks, and one of them through later blocks.
fn receipts_of(speaker: &Speaker) -> Vec<Receipt> {
    let of = |height: u64| (0..height as u32).map(move |index| speaker.receipt(Height(height), index));
    let through = [4, 5, 6].map(|later| speaker.receipt_through(Height(3), 1, Height(later)));
    of(1).chain(of(5)).chain(through).collect()
}

/// Two blocks of one height.
fn equivocation_of(speaker: &Speaker) -> Equivocation {
    let of = |log| {
        let (header, _) = speaker.draft(Vec::new(), log);
        let certificate = speaker.certificate(&header);
        (header, certificate)
    };
    Equivocation { first: of("one log"), second: of("another log") }
}

/// Bytes that claim to be a receipt: the input as it is, and a genuine receipt changed as the input says.
pub fn receipt(data: &[u8]) {
    check_receipt(data);
    let mut choice = Choice::new(data);
    let base = choice.of(&GENUINE.receipts);
    let edited = choice.edited(base);
    assert!(!check_receipt(&edited) || edited == *base, "a receipt was changed and is still believed");
}

/// Whether the bytes are believed.
fn check_receipt(bytes: &[u8]) -> bool {
    if let Ok(receipt) = Receipt::from_bytes(bytes) {
        assert_eq!(receipt.to_bytes(), bytes, "a receipt has one encoding");
    }
    let Ok(fact) = GENUINE.verifier.verify(bytes) else { return false };
    assert!(GENUINE.facts.contains(&fact), "nobody said {fact:?}");
    true
}

/// Bytes that claim to show two blocks of one height.
pub fn equivocation(data: &[u8]) {
    check_equivocation(data);
    let mut choice = Choice::new(data);
    let base = choice.of(&GENUINE.equivocations);
    let edited = choice.edited(base);
    assert!(!check_equivocation(&edited) || edited == *base, "evidence was changed and still accuses");
}

fn check_equivocation(bytes: &[u8]) -> bool {
    let Ok(claim) = Equivocation::from_bytes(bytes) else { return false };
    assert_eq!(claim.to_bytes(), bytes, "evidence has one encoding");
    let accused: Result<proof::Equivocated, _> = GENUINE.verifier.verify(claim);
    let Ok(accused) = accused else { return false };
    assert!(accused.height == Height(7) && !accused.signers.is_empty(), "{accused:?}");
    true
}

pub(crate) fn receipt_seeds() -> Vec<Vec<u8>> {
    GENUINE.receipts.iter().step_by(3).cloned().collect()
}

pub(crate) fn equivocation_seeds() -> Vec<Vec<u8>> {
    GENUINE.equivocations.clone()
}
