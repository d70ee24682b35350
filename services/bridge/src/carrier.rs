//! A carrier: collects attestors' words and brings what enough of them say, in and out.
//!
//! ```text
//!   attestors --words--> by block: k of n signed the same --> receipt --> the shard's inbox
//!                        by index: m of the ISM's validators --> metadata --> the foreign mailbox
//! ```
//!
//! Promise: it can withhold and nothing else: shards and the foreign ISM count the signatures themselves. What one attestor invents
//! holds up nothing but itself; words that contradict each other are kept in `data/evidence`, signed as they are.
//! Memory holds what is not brought yet; it asks again for all words after a restart, and both sides then say that they know.

use crate::attestor::checkpoint;
use crate::spoken::Spoken;
use crate::words::{InboundWord, OutboundWord};
use alloy_primitives::{Address, keccak256};
use chains::submitter::{SubmitError, Submitted, Submitter};
use host::network::Network;
use primitives::{Digest, ShardId, Verifier};
use proof::{Attestation, ForeignBlock, ForeignReceipt, ForeignVerifier, Message, Route, Signature, shard_of};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use wire::Reason;
use wire::shard::ShardClient;

/// How many bytes an attestor's answer may have.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long an attestor may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Blocks that nobody but one attestor has spoken of yet, at most: no more of its words are taken until others follow.
const ALONE_COUNT_MAX: usize = 1_024;

/// A foreign block that is not brought in yet.
#[derive(Debug)]
struct Arriving {
    block: ForeignBlock,
    messages: Vec<Vec<u8>>,
    signatures: BTreeMap<u16, Signature>,
}

/// A message that is not delivered there yet.
#[derive(Debug, Default)]
struct Leaving {
    /// Root and message -> signatures, each once.
    words: BTreeMap<(alloy_primitives::B256, Vec<u8>), BTreeSet<Vec<u8>>>,
}

/// Who validates there.
#[derive(Debug, Clone)]
pub struct Validators {
    /// In the ISM's order.
    pub addresses: Vec<Address>,
    /// How many of them it needs.
    pub threshold: usize,
}

/// Brings one route's messages.
#[derive(Debug)]
pub struct Carrier {
    network: Network,
    route: Route,
    verifier: ForeignVerifier,
    validators: Validators,
    submitter: Submitter,
    shards: BTreeMap<ShardId, ShardClient>,
    attestors: Vec<String>,
    http: reqwest::Client,
    evidence: PathBuf,
    /// The last block number that each attestor was asked up to.
    heard: BTreeMap<usize, u64>,
    /// The next index of each attestor and shard.
    next: BTreeMap<(usize, u32), usize>,
    arriving: BTreeMap<(u64, Digest), Arriving>,
    brought: BTreeSet<Digest>,
    spoken: Spoken,
    leaving: BTreeMap<(u32, u32), Leaving>,
    delivered: BTreeSet<(u32, u32)>,
}

impl Carrier {
    /// A carrier of `route`.
    pub fn new(
        network: Network,
        route: Route,
        validators: Validators,
        submitter: Submitter,
        shards: BTreeMap<ShardId, ShardClient>,
        attestors: Vec<String>,
        evidence: PathBuf,
    ) -> Self {
        Self {
            verifier: network.foreign_verifier(),
            network,
            route,
            validators,
            submitter,
            shards,
            attestors,
            http: reqwest::Client::new(),
            evidence,
            heard: BTreeMap::new(),
            next: BTreeMap::new(),
            arriving: BTreeMap::new(),
            brought: BTreeSet::new(),
            spoken: Spoken::default(),
            leaving: BTreeMap::new(),
            delivered: BTreeSet::new(),
        }
    }

    /// One round: hears every attestor, brings in, brings out.
    pub async fn round(&mut self) {
        for number in 0..self.attestors.len() {
            self.hear_inbound(number).await;
            for shard in self.shards.keys().copied().collect::<Vec<_>>() {
                self.hear_outbound(number, shard).await;
            }
        }
        self.bring_in().await;
        self.bring_out().await;
    }

    async fn hear<T: DeserializeOwned>(&self, number: usize, path: &str) -> Option<T> {
        let url = format!("{}/{path}", self.attestors[number].trim_end_matches('/'));
        let asked = async {
            let mut response = self.http.get(url).send().await.ok()?.error_for_status().ok()?;
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await.ok()? {
                if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                    return None;
                }
                bytes.extend_from_slice(&chunk);
            }
            serde_json::from_slice(&bytes).ok()
        };
        let heard = tokio::time::timeout(ANSWER_TIMEOUT, asked).await.ok().flatten();
        if heard.is_none() {
            tracing::debug!(attestor = self.attestors[number], "an attestor gave no answer");
        }
        heard
    }

    async fn hear_inbound(&mut self, number: usize) {
        let after = self.heard.get(&number).map(|after| format!("?after={after}")).unwrap_or_default();
        let Some(words) = self.hear::<Vec<InboundWord>>(number, &format!("inbound{after}")).await else { return };
        for word in words {
            if !self.note(&word) {
                return; // It is asked for again.
            }
            self.heard.insert(number, word.number);
        }
    }

    /// Takes one word in, if it is one of the route's attestors' over the messages that come with it. Says whether there was room.
    fn note(&mut self, word: &InboundWord) -> bool {
        let Some(attestation) = word.attestation().filter(Attestation::is_signed) else { return true };
        let Some(place) = self.route.place_of(&attestation.attestor).map(|place| place as u16) else { return true };
        let block = attestation.block.clone();
        let messages: Vec<Vec<u8>> = word.messages.iter().map(|message| message.to_vec()).collect();
        let head = (block.number, block.hash, block.time);
        let (own, _) = ForeignBlock::new(block.route, self.route.terms().domain, head, &messages);
        if own != block {
            return true;
        }
        let digest = block.signed_digest();
        let key = (block.number, digest);
        let is_new = !self.brought.contains(&digest) && !self.arriving.contains_key(&key);
        if is_new && self.alone(place) >= ALONE_COUNT_MAX {
            return false;
        }
        self.watch(&attestation);
        if !self.brought.contains(&digest) {
            let arriving = Arriving { block, messages, signatures: BTreeMap::new() };
            self.arriving.entry(key).or_insert(arriving).signatures.insert(place, attestation.signature);
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

    async fn hear_outbound(&mut self, number: usize, shard: ShardId) {
        let from = self.next.get(&(number, shard.0)).copied().unwrap_or(0);
        let path = format!("outbound?shard={shard}&from={from}");
        let Some(words) = self.hear::<Vec<OutboundWord>>(number, &path).await else { return };
        self.next.insert((number, shard.0), from + words.len());
        for OutboundWord { index, root, message, signature } in words {
            if !self.delivered.contains(&(shard.0, index)) {
                let leaving = self.leaving.entry((shard.0, index)).or_default();
                leaving.words.entry((root, message.to_vec())).or_default().insert(signature.to_vec());
            }
        }
    }

    async fn bring_in(&mut self) {
        let needed = self.route.terms().threshold;
        let ready: Vec<(u64, Digest)> =
            self.arriving.iter().filter(|(_, block)| block.signatures.len() >= needed).map(|(key, _)| *key).collect();
        for key in ready {
            let Some(receipts) = self.arriving.get(&key).map(receipts) else { continue };
            let mut all = true;
            for receipt in receipts {
                all &= self.admit(receipt).await;
            }
            if all {
                self.arriving.remove(&key);
                self.brought.insert(key.1);
            }
        }
    }

    /// Whether the message is done with: taken, or refused for good.
    async fn admit(&self, receipt: ForeignReceipt) -> bool {
        let admission = match self.verifier.verify(receipt.clone()) {
            Ok(admission) => admission,
            Err(error) => {
                tracing::error!(%error, "a foreign message is not believed here, so no shard would");
                return true;
            }
        };
        let shard = shard_of(self.network.params.network, admission.message.destination);
        let Some(client) = shard.and_then(|shard| self.shards.get(&shard)) else { return true };
        match client.admit(&[receipt]).await.map(|answers| answers.into_iter().next()) {
            Ok(Some(Ok(delivered))) => {
                tracing::info!(message = %admission.id, height = %delivered.height, "a foreign message was consumed");
                true
            }
            Ok(Some(Err(rejection))) | Err(rejection) => {
                tracing::warn!(message = %admission.id, %rejection, "a foreign message was not taken");
                matches!(
                    rejection.reason,
                    Reason::BadReceipt | Reason::WrongShard | Reason::NoRoute | Reason::BadMessage
                )
            }
            Ok(None) => false,
        }
    }

    async fn bring_out(&mut self) {
        for key in self.leaving.keys().copied().collect::<Vec<_>>() {
            let Some((message, metadata)) = self.leaving.get(&key).and_then(|leaving| self.proven(key, leaving)) else {
                continue;
            };
            let id = keccak256(&message);
            match self.submitter.deliver(&message, &metadata).await {
                Ok(ended) => {
                    if let Submitted::Now { transaction, gas_used } = ended {
                        tracing::info!(message = %id, %transaction, gas_used, "a message was delivered there");
                    }
                    self.leaving.remove(&key);
                    self.delivered.insert(key);
                }
                // One that its recipient refuses stays, and stands in nobody's way.
                Err(error @ (SubmitError::Reverts(_) | SubmitError::Reverted(_))) => {
                    tracing::warn!(message = %id, %error, "a message is not taken there; it is tried again");
                }
                Err(error) => {
                    tracing::warn!(message = %id, %error, "nothing is delivered there for now");
                    return;
                }
            }
        }
    }

    /// The message at this place and its metadata, once enough validators have signed one checkpoint of it.
    fn proven(&self, (shard, index): (u32, u32), leaving: &Leaving) -> Option<(Vec<u8>, Vec<u8>)> {
        leaving.words.iter().find_map(|((root, message), signatures)| {
            Message::from_packed(message, 0, primitives::Time(0), alloy_primitives::U256::ZERO).ok()?;
            let checkpoint = checkpoint(&self.network, ShardId(shard), *root, index, keccak256(message));
            let signatures: Vec<Vec<u8>> = signatures.iter().cloned().collect();
            let Validators { addresses, threshold } = &self.validators;
            Some((message.clone(), checkpoint.metadata(addresses, *threshold, &signatures)?))
        })
    }
}

/// A receipt for each message of the block.
fn receipts(arriving: &Arriving) -> Vec<ForeignReceipt> {
    let tree = proof::Tree::new(&arriving.messages);
    let signatures: Vec<_> = arriving.signatures.iter().map(|(place, signature)| (*place, *signature)).collect();
    let receipt = |(index, message): (u32, &Vec<u8>)| {
        let path = tree.prove(u64::from(index)).ok()?;
        let (block, signatures) = (arriving.block.clone(), signatures.clone());
        Some(ForeignReceipt { message: message.clone(), index, path, block, signatures })
    };
    (0..).zip(&arriving.messages).filter_map(receipt).collect()
}
