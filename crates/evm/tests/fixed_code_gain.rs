//! What it is worth that code which never changes makes no participant: counted on every real block.

#[path = "fixture/blocks.rs"]
mod blocks;
#[path = "fixture/shards.rs"]
mod shards;

use blocks::{block, files};
use dovetail_evm as evm;
use evm::mainnet::MainnetBlock;
use evm::{Executed, Lookup, PayloadVerifier, Placement, Spec, WithProofs, execute};
use primitives::Verified;
use shards::Shards;
use std::collections::BTreeMap;
use std::fmt;

/// Signed transactions, those of more than one participant, and participants.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    transactions: usize,
    crossing: usize,
    participants: usize,
}

impl Counts {
    fn add(&mut self, executed: &Executed) {
        let participants = executed.participants.len();
        self.transactions += 1;
        self.crossing += usize::from(participants > 1);
        self.participants += participants;
    }
}

impl fmt::Display for Counts {
    #[allow(clippy::cast_precision_loss, reason = "counts for people to read")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = |count: usize| count as f64 / self.transactions.max(1) as f64;
        write!(f, "{:.3} participants each, {:.2} % cross shards", per(self.participants), 100.0 * per(self.crossing))
    }
}

/// The participants of a block's transactions with no code proven, and with every code proven.
fn count(block: &MainnetBlock, placement: &Placement, (before, after): (&mut Counts, &mut Counts)) {
    let params = block.params();
    let mut shards = Shards::new(placement.clone(), block.pre_state());
    for payload in block.payloads() {
        let payload = Verified::by(&PayloadVerifier::new(params.clone()), payload).expect("a mainnet payload");
        // Where no owner has proven a code, every account that was read makes a participant.
        let no_proofs = WithProofs { view: &shards, proofs: |_| Lookup::Known(None) };
        let unproven = execute(&params, placement, &payload, &no_proofs).expect("mainnet included it");
        let proven = execute(&params, placement, &payload, &shards).expect("mainnet included it");
        shards.commit(&proven);
        assert_eq!(proven.effects, unproven.effects, "block {}", block.number());
        assert!(proven.participants.is_subset(&unproven.participants), "block {}", block.number());
        if proven.effects.outcomes[0].transaction.is_some() {
            before.add(&unproven);
            after.add(&proven);
        }
    }
}

fn gain(shards_count: u32, blocks: &[MainnetBlock]) {
    let placement = Placement::new(1, shards_count, BTreeMap::new()).expect("a placement");
    let (mut before, mut after) = <(Counts, Counts)>::default();
    for block in blocks {
        count(block, &placement, (&mut before, &mut after));
    }
    println!("{shards_count} shards, {} transactions: {before}; with every code proven {after}", before.transactions);
    assert!(after.participants * 100 < before.participants * 99, "at least one participant in a hundred is saved");
}

#[test]
fn code_that_never_changes_makes_fewer_participants_from_cancun_on_and_none_before() {
    let Some(files) = files() else {
        println!("skipped: no mainnet-blocks folder; set DOVETAIL_DATA to the folder that has it");
        return;
    };
    let cancun: Spec = "cancun".parse().expect("a fork");
    let blocks: Vec<MainnetBlock> = files.iter().map(|path| block(path)).collect();
    let (later, earlier): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|block| block.spec() >= cancun);
    println!("{} blocks from Cancun on, {} before", later.len(), earlier.len());
    let placement = Placement::new(1, 4, BTreeMap::new()).expect("a placement");
    for block in &earlier {
        let (mut before, mut after) = <(Counts, Counts)>::default();
        count(block, &placement, (&mut before, &mut after));
        assert_eq!(after, before, "block {}: code may still go", block.number());
    }
    for shards_count in [2, 4, 8, 16] {
        gain(shards_count, &later);
    }
}
