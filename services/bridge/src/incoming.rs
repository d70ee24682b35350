//! The way in: attestors' words on foreign blocks, brought to the shards that they speak to.
//!
//! ```text
//!   attestors --words--> by block: k of n signed the same --> a receipt for each leaf --> its shard's inbox
//!                            leaf by leaf: consumed, or told how its message ended; or refused for good --> a letter
//! ```
//!
//! Promise: what one attestor invents holds up nothing but itself, what one leaf meets holds up no other, and words that contradict
//! each other are kept in `data/evidence`, signed as they are. Paused, it brings no message and still tells shards how theirs ended.

use crate::attestors::Attestors;
use crate::cursor::Cursor;
use crate::desk::{Ask, Standing};
use crate::letters::{Direction, Letter, Letters};
use crate::progress::Progress;
use crate::spoken::Spoken;
use crate::tries::{PAUSE_SHORT_MAX, Tries};
use crate::words::{InboundWord, WORDS_PER_ANSWER_COUNT_MAX};
use alloy_primitives::B256;
use host::network::Network;
use primitives::{Digest, ShardId, Verifier};
use proof::{Admission, Attestation, ForeignBlock, ForeignReceipt, ForeignVerifier, Route, Signature, shard_of};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;
use wire::hops::Sight;
use wire::shard::ShardClient;
use wire::{Reason, Rejection};

/// Blocks that nobody but one attestor has spoken of yet, at most: no more of its words are taken until others follow.
const ALONE_COUNT_MAX: usize = 1_024;

/// Blocks that are brought and still remembered, so that a slow attestor's word on one is not a new one; the oldest are forgotten
/// first, and would be answered with *already*.
const BROUGHT_COUNT_MAX: usize = 65_536;

/// How many pages of words are heard from one attestor before the others have their turn.
const PAGES_COUNT_MAX: usize = 16;

/// A foreign block that is not brought in yet.
#[derive(Debug)]
struct Arriving {
    block: ForeignBlock,
    leaves: Vec<Vec<u8>>,
    signatures: BTreeMap<u16, Signature>,
    /// Which attestors, by number, it was heard from.
    heard_from: BTreeSet<usize>,
    since: Instant,
    /// Which leaves have come to their end.
    settled: BTreeSet<u32>,
    tries: Tries,
    /// What its shard said last.
    said: Option<String>,
}

/// One half of a carrier.
#[derive(Debug)]
pub(crate) struct Incoming {
    network: Network,
    route: Route,
    verifier: ForeignVerifier,
    shards: BTreeMap<ShardId, ShardClient>,
    attestors: Attestors,
    evidence: PathBuf,
    cursor: Cursor,
    letters: Letters,
    /// The last block number that each attestor was heard up to.
    heard: BTreeMap<usize, u64>,
    /// Attestors that gave no answer.
    silent: BTreeMap<usize, Tries>,
    arriving: BTreeMap<(u64, Digest), Arriving>,
    brought: BTreeSet<(u64, Digest)>,
    spoken: Spoken,
    progress: Progress,
}

impl Incoming {
    /// The half with its files in `data`.
    pub(crate) fn open(
        network: Network,
        route: Route,
        shards: BTreeMap<ShardId, ShardClient>,
        attestors: Attestors,
        data: &Path,
    ) -> std::io::Result<Self> {
        let cursor = Cursor::open(&data.join("cursor-in.json"))?;
        let heard = |number| cursor.block(attestors.url(number)).map(|block| (number, block));
        Ok(Self {
            heard: (0..attestors.count()).filter_map(heard).collect(),
            verifier: network.foreign_verifier(),
            network,
            route,
            shards,
            attestors,
            evidence: data.join("evidence"),
            letters: Letters::open(&data.join("dead-letters/in"))?,
            cursor,
            silent: BTreeMap::new(),
            arriving: BTreeMap::new(),
            brought: BTreeSet::new(),
            spoken: Spoken::default(),
            progress: Progress::default(),
        })
    }

    /// Hears every attestor and brings what enough of them say; messages only if it is not `paused`.
    pub(crate) async fn round(&mut self, is_paused: bool) {
        for number in 0..self.attestors.count() {
            self.hear(number).await;
        }
        self.bring(is_paused).await;
        self.forget_brought();
        self.move_cursor();
    }

    /// How it stands.
    pub(crate) fn standing(&self) -> Standing {
        let needed = self.route.terms().threshold;
        let ready = || self.arriving.values().filter(|block| block.signatures.len() >= needed);
        let waiting = ready().map(|block| block.leaves.len() - block.settled.len()).sum();
        let oldest = ready().map(|block| block.since).min();
        let trouble = ready().filter(|block| block.tries.count() > 0).find_map(|block| block.said.clone());
        Standing { trouble, ..self.progress.standing(waiting, oldest, self.letters.count()) }
    }

    async fn hear(&mut self, number: usize) {
        if self.silent.get(&number).is_some_and(|tries| !tries.is_due(Instant::now())) {
            return;
        }
        for _ in 0..PAGES_COUNT_MAX {
            let after = self.heard.get(&number).map(|after| format!("?after={after}")).unwrap_or_default();
            let Some(words) = self.attestors.hear::<Vec<InboundWord>>(number, &format!("inbound{after}")).await else {
                return self
                    .silent
                    .entry(number)
                    .or_insert_with(|| Tries::with_pauses(PAUSE_SHORT_MAX))
                    .pause(Instant::now());
            };
            self.silent.remove(&number);
            let is_last = words.len() < WORDS_PER_ANSWER_COUNT_MAX;
            for word in words {
                if !self.note(number, &word) {
                    return; // It is asked for again.
                }
                self.heard.insert(number, word.number);
            }
            if is_last {
                return;
            }
        }
    }

    /// Takes one word in, if it is one of the route's attestors' over the leaves that come with it. Says whether there was room.
    fn note(&mut self, number: usize, word: &InboundWord) -> bool {
        let Some(attestation) = word.attestation().filter(Attestation::is_signed) else { return true };
        let Some(place) = self.route.place_of(&attestation.attestor).map(|place| place as u16) else { return true };
        let block = attestation.block.clone();
        let leaves: Vec<Vec<u8>> = word.leaves.iter().map(|leaf| leaf.to_vec()).collect();
        let head = (block.number, block.hash, block.time);
        let (own, _) = ForeignBlock::new(block.route, self.route.terms().domain, head, &leaves);
        if own != block {
            return true;
        }
        let key = (block.number, block.signed_digest());
        // Whoever was slow speaks of what others' words have brought long ago.
        let is_passed = self.cursor.passed_block_count(block.number) >= self.route.terms().threshold;
        let is_brought = is_passed || self.brought.contains(&key);
        if !is_brought && !self.arriving.contains_key(&key) && self.alone(place) >= ALONE_COUNT_MAX {
            return false;
        }
        self.watch(&attestation);
        if !is_brought {
            let arriving = self.arriving.entry(key).or_insert_with(|| Arriving::new(block, leaves));
            arriving.signatures.insert(place, attestation.signature);
            arriving.heard_from.insert(number);
        }
        true
    }

    /// How many blocks nobody but the attestor at `place` has spoken of.
    fn alone(&self, place: u16) -> usize {
        self.arriving.values().filter(|block| block.signatures.keys().eq([&place])).count()
    }

    /// Keeps what contradicts an earlier word on the same block, of the same attestor or of another.
    fn watch(&mut self, word: &Attestation) {
        let number = word.block.number;
        if let Some(earlier) = self.spoken.note(word) {
            tracing::error!(number, "attestors contradict each other: see the folder of evidence");
            let name = self.evidence.join(format!("attestations-{number}.bin"));
            let bytes = primitives::encode(&(&earlier, word));
            let kept = std::fs::create_dir_all(&self.evidence).and_then(|()| std::fs::write(name, bytes));
            if let Err(error) = kept {
                tracing::error!(%error, "evidence cannot be kept");
            }
        }
    }

    async fn bring(&mut self, is_paused: bool) {
        let (needed, now) = (self.route.terms().threshold, Instant::now());
        let is_ready = |block: &Arriving| block.signatures.len() >= needed && block.tries.is_due(now);
        let ready: Vec<_> = self.arriving.iter().filter(|(_, block)| is_ready(block)).map(|(key, _)| *key).collect();
        for key in ready {
            let Some(receipts) = self.arriving.get(&key).map(Arriving::receipts) else { continue };
            let settled = self.hand_in(receipts, is_paused).await;
            let Some(block) = self.arriving.get_mut(&key) else { continue };
            match settled {
                Ok(settled) => block.settled.extend(settled),
                Err((settled, said)) => {
                    block.settled.extend(settled);
                    block.said = Some(said);
                    block.tries.refused(Instant::now());
                }
            }
            if block.settled.len() == block.leaves.len() {
                self.arriving.remove(&key);
                self.brought.insert(key);
            }
        }
    }

    /// Hands these in, all of a shard at once; the places of those that came to their end, and what was said of another.
    async fn hand_in(
        &mut self,
        receipts: Vec<ForeignReceipt>,
        is_paused: bool,
    ) -> Result<Vec<u32>, (Vec<u32>, String)> {
        let (mut settled, mut said) = (Vec::new(), None);
        let mut batches: BTreeMap<ShardId, Vec<(ForeignReceipt, Admission)>> = BTreeMap::new();
        for receipt in receipts {
            match self.verifier.verify(receipt.clone()) {
                Ok(Admission::Message { .. }) if is_paused => said = Some("the way in is paused".to_owned()),
                Ok(admission) => {
                    let shard = shard_of(self.network.params.network, admission.destination());
                    // An attestor signs nothing for a domain that is no shard's, so there is nobody to bring it to.
                    match shard.filter(|shard| self.shards.contains_key(shard)) {
                        Some(shard) => batches.entry(shard).or_default().push((receipt, admission)),
                        None => settled.push(receipt.index),
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "a foreign leaf is not believed here, so no shard would");
                    settled.push(receipt.index);
                }
            }
        }
        for (shard, batch) in batches {
            let Some(client) = self.shards.get(&shard).cloned() else { continue };
            let receipts: Vec<_> = batch.iter().map(|(receipt, _)| receipt.clone()).collect();
            match client.admit(&receipts).await {
                Ok(answers) => {
                    for ((receipt, admission), answer) in batch.into_iter().zip(answers) {
                        match self.take_answer(shard, &receipt, &admission, answer.map(|delivered| delivered.height.0))
                        {
                            Ok(()) => settled.push(receipt.index),
                            Err(why) => said = Some(why),
                        }
                    }
                }
                Err(rejection) => said = Some(format!("shard {shard}: {rejection}")),
            }
        }
        said.map_or(Ok(settled.clone()), |said| Err((settled, said)))
    }

    /// Whether one came to its end: taken, or refused for good and put aside.
    fn take_answer(
        &mut self,
        shard: ShardId,
        receipt: &ForeignReceipt,
        admission: &Admission,
        answer: Result<u64, Rejection>,
    ) -> Result<(), String> {
        let message = admission.v3_id();
        let rejection = match answer {
            Ok(height) => {
                tracing::info!(%message, height, "a shard took what a foreign chain says");
                self.progress.done();
                // One that was put aside and is taken after all is a letter no longer.
                return self.letters.take(message).map(drop).map_err(|error| format!("a letter cannot go: {error}"));
            }
            Err(rejection) => rejection,
        };
        if is_past(admission, &rejection) {
            return Ok(());
        }
        if !is_for_good(&rejection) {
            tracing::info!(%message, %rejection, "a shard does not take yet what a foreign chain says");
            return Err(format!("shard {shard}: {rejection}"));
        }
        tracing::error!(%message, %rejection, "a shard refuses for good what a foreign chain says: it was put aside");
        let letter = Letter {
            id: message,
            direction: Direction::In,
            shard: shard.0,
            index: receipt.index,
            message: receipt.leaf.clone().into(),
            proof: receipt.to_bytes().into(),
            why: rejection.to_string(),
            tries: 1,
        };
        match self.letters.keep(letter) {
            Ok(true) => Ok(()),
            Ok(false) => Err("there are too many letters already".to_owned()),
            Err(error) => Err(format!("a letter cannot be kept: {error}")),
        }
    }

    fn forget_brought(&mut self) {
        while self.brought.len() > BROUGHT_COUNT_MAX {
            self.brought.pop_first();
        }
    }

    /// Each attestor's place goes up to what was heard from it, or to before the first of it that is not brought.
    fn move_cursor(&mut self) {
        for (number, heard) in &self.heard {
            let open = self.arriving.values().filter(|block| block.heard_from.contains(number));
            let first = open.map(|block| block.block.number.saturating_sub(1)).min();
            self.cursor.set_block(self.attestors.url(*number), first.unwrap_or(*heard).min(*heard));
        }
        if let Err(error) = self.cursor.save() {
            tracing::error!(%error, "the cursor cannot be kept: a restart asks again");
        }
    }

    /// Does what an operator asks.
    pub(crate) async fn obey(&mut self, ask: &Ask) -> serde_json::Value {
        match ask {
            Ask::Letters => serde_json::json!(self.letters.all().collect::<Vec<_>>()),
            Ask::Letter(id) => serde_json::json!(self.letters.get(*id)),
            Ask::Retry { id, .. } => self.retry(*id).await,
            Ask::Drop { id, reason } => match self.letters.drop_one(*id, reason) {
                Ok(letter) => serde_json::json!(letter),
                Err(error) => serde_json::json!({ "error": error.to_string() }),
            },
            Ask::Rescan { way: Direction::Out, .. } => serde_json::Value::Null,
            Ask::Rescan { from, .. } => {
                for heard in self.heard.values_mut() {
                    *heard = (*heard).min(from.saturating_sub(1));
                }
                self.brought.retain(|(number, _)| number < from);
                self.cursor.go_back(*from);
                serde_json::json!({ "rescans": from })
            }
            Ask::Why(id) => serde_json::json!(self.why(*id)),
            // Attestors know what was sent there.
            Ask::Hops(id) => serde_json::json!(Sight { why: self.why(*id), ..Sight::default() }),
        }
    }

    async fn retry(&mut self, id: B256) -> serde_json::Value {
        let Some(letter) = self.letters.get(id).cloned() else { return serde_json::Value::Null };
        let Ok(receipt) = ForeignReceipt::from_bytes(&letter.proof) else {
            return serde_json::json!({ "error": "the letter's proof is no receipt" });
        };
        match self.hand_in(vec![receipt], false).await {
            Ok(_) if self.letters.get(id) == Some(&letter) => {
                serde_json::json!({ "error": format!("it is refused again: {}", letter.why) })
            }
            Ok(_) => serde_json::json!({ "retried": id }),
            Err((_, said)) => serde_json::json!({ "error": said }),
        }
    }

    /// Where a message is on its way in, in words.
    fn why(&self, id: B256) -> Option<String> {
        if let Some(letter) = self.letters.get(id) {
            return Some(format!("shard {} refuses it for good: {}", letter.shard, letter.why));
        }
        let needed = self.route.terms().threshold;
        let is_it = |leaf: &Vec<u8>| alloy_primitives::keccak256(leaf) == id;
        let block = self.arriving.values().find(|block| block.leaves.iter().any(is_it))?;
        let (signed, number) = (block.signatures.len(), block.block.number);
        if signed < needed {
            return Some(format!(
                "it is in block {number} there, which {signed} attestors signed and {needed} have to"
            ));
        }
        let said = block.said.as_deref().unwrap_or("it is handed in with the next round");
        Some(format!(
            "it is in block {number} there, signed by {signed}, and was handed in in vain {} times: {said}",
            block.tries.count()
        ))
    }
}

impl Arriving {
    fn new(block: ForeignBlock, leaves: Vec<Vec<u8>>) -> Self {
        Self {
            block,
            leaves,
            signatures: BTreeMap::new(),
            heard_from: BTreeSet::new(),
            since: Instant::now(),
            settled: BTreeSet::new(),
            tries: Tries::with_pauses(PAUSE_SHORT_MAX),
            said: None,
        }
    }

    /// A receipt for each leaf that has not come to its end.
    fn receipts(&self) -> Vec<ForeignReceipt> {
        let tree = proof::Tree::new(&self.leaves);
        let signatures: Vec<_> = self.signatures.iter().map(|(place, signature)| (*place, *signature)).collect();
        let receipt = |(index, leaf): (u32, &Vec<u8>)| {
            let path = tree.prove(u64::from(index)).ok().filter(|_| !self.settled.contains(&index))?;
            let (block, signatures) = (self.block.clone(), signatures.clone());
            Some(ForeignReceipt { leaf: leaf.clone(), index, path, block, signatures })
        };
        (0..).zip(&self.leaves).filter_map(receipt).collect()
    }
}

/// Whether its shard has nothing to learn from it. What a shard's mailbox says of itself is in no list of what was sent; a contract's
/// message is in its shard's store before anybody can have processed it, and stays there until its end is known.
fn is_past(admission: &Admission, rejection: &Rejection) -> bool {
    match rejection.reason {
        Reason::Settled => true,
        Reason::NotFound => matches!(admission, Admission::Processed(_)),
        _ => false,
    }
}

/// Whether the same will be said whenever it is brought.
fn is_for_good(rejection: &Rejection) -> bool {
    matches!(rejection.reason, Reason::BadReceipt | Reason::WrongShard | Reason::NoRoute | Reason::BadMessage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, U256};
    use host::network::Genesis;
    use primitives::Time;
    use proof::{Message, Processed, SecretKey, domain_of};

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_bytes(&[seed; 32]).unwrap()
    }

    /// One shard that nobody answers for, and a route of two attestors.
    fn network() -> Network {
        let text = |seed| key(seed).public().to_string();
        let file = serde_json::json!({
            "network": 77,
            "genesis_ms": 0,
            "slot_ms": 500,
            "base_fee_wei": 7,
            "gas_limit": 30_000_000,
            "beneficiary": Address::ZERO,
            "fork": "osaka",
            "environments": "slots",
            "placement_version": 1,
            "shards": [{ "shard": 0, "endpoint": "http://127.0.0.1:1", "epoch": 1, "validators": [text(7)] }],
            "routes": [{
                "domain": 900,
                "chain_id": 900,
                "mailbox": Address::repeat_byte(0x11),
                "gas_limit": 100_000,
                "window_ms": 3_600_000,
                "attestors": [text(1), text(2)],
                "threshold": 2,
            }],
        });
        Network::new(&serde_json::from_value(file).unwrap(), Genesis::default()).unwrap()
    }

    fn letter(network: &Network, signers: &[u8]) -> Letter {
        let message = Message {
            nonce: 0,
            origin: 900,
            sender: B256::repeat_byte(1),
            destination: domain_of(network.params.network, ShardId(0)),
            recipient: B256::repeat_byte(2),
            body: vec![7; 5],
            gas_limit: 0,
            deadline: Time(0),
            value: U256::ZERO,
        };
        let route = network.route(900).unwrap();
        let digest = route.digest(network.params.network, Some(&network.genesis_digest));
        let (leaf, head) = (message.packed(), (5, B256::repeat_byte(5), Time(1_000)));
        let (block, tree) = ForeignBlock::new(digest, 900, head, std::slice::from_ref(&leaf));
        let sign = |seed: &u8| {
            let word = Attestation::sign(block.clone(), &key(*seed));
            (route.place_of(&word.attestor).unwrap_or(1) as u16, word.signature)
        };
        let mut signatures: Vec<_> = signers.iter().map(sign).collect();
        signatures.sort_by_key(|(place, _)| *place);
        let receipt = ForeignReceipt { leaf: leaf.clone(), index: 0, path: tree.prove(0).unwrap(), block, signatures };
        Letter {
            id: message.v3_id(),
            direction: Direction::In,
            shard: 0,
            index: 0,
            message: leaf.into(),
            proof: receipt.to_bytes().into(),
            why: "it was refused".to_owned(),
            tries: 1,
        }
    }

    #[tokio::test]
    async fn crosscurve_lifi_a_letter_that_an_operator_retries_passes_the_verifier_like_any_other() {
        let (dir, network) = (tempfile::tempdir().unwrap(), network());
        let route = network.route(900).unwrap().clone();
        let nowhere = wire::client::ClientSettings::plain("http://127.0.0.1:1");
        let shard = ShardClient::new(wire::client::Connection::open(&nowhere).unwrap());
        let (shards, nobody) = ([(ShardId(0), shard)].into(), Attestors::new(Vec::new()));
        let mut incoming = Incoming::open(network.clone(), route, shards, nobody, dir.path()).unwrap();
        // Signed by who is no attestor, by too few, or bent where it lay.
        let sound = letter(&network, &[1, 2]);
        let mut bent = sound.clone();
        let mut proof = bent.proof.to_vec();
        proof[20] ^= 1;
        bent.proof = proof.into();
        for forged in [letter(&network, &[1, 9]), letter(&network, &[1]), bent] {
            incoming.letters.keep(forged.clone()).unwrap();
            let said = incoming.obey(&Ask::Retry { id: forged.id, gas: 0 }).await;
            assert!(said["error"].as_str().unwrap().contains("refused again"), "{said}");
            assert_eq!(incoming.letters.get(forged.id), Some(&forged), "it stays, for a person");
        }
        // What is sound goes on to its shard, which here nobody answers for.
        incoming.letters.keep(sound.clone()).unwrap();
        let said = incoming.obey(&Ask::Retry { id: sound.id, gas: 0 }).await;
        assert!(said["error"].as_str().unwrap().starts_with("shard 0: "), "{said}");
    }

    #[test]
    fn an_end_that_its_shard_took_and_forgot_holds_up_no_block() {
        let processed = Admission::Processed(Processed { domain: 31_337, origin: 1, id: B256::repeat_byte(1) });
        for reason in [Reason::Settled, Reason::NotFound] {
            assert!(is_past(&processed, &Rejection::new(reason, "not here any more")), "{reason}");
        }
        assert!(!is_past(&processed, &Rejection::new(Reason::Busy, "a lock")));
    }
}
