//! An attestor: looks for itself, at the foreign chain and at the shards, and signs what it saw.
//!
//! ```text
//!   foreign chain: next final block, linked by hash to the last --> its messages for shards, and which of theirs it processed
//!                                                                   --> word, ed25519
//!   shard's outbox: leaves with receipts, checked --> messages for the foreign chain --> checkpoint, secp256k1
//! ```
//!
//! Promise (R14's like): one word for one block number, whatever happens between; endpoints that disagree, and a reorganisation of what was
//! final, stop what comes in for good, with evidence in `data/evidence` that an operator has to take away.
//! Knows nothing of carriers and of other attestors.

use crate::words::{Entry, InboundWord, Journal, OutboundWord, Words};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use chains::chain::{Chain, ChainError, Head, MailboxEvents, ProcessedMessage};
use chains::evidence::Disagreement;
use chains::hyperlane::{Checkpoint, IncrementalTree};
use host::network::Network;
use primitives::{Digest, Height, ShardId, Time, Verified};
use proof::{
    Attestation, Delivery, Fact, ForeignBlock, LeafKind, Message, Processed, ReceiptVerifier, SecretKey, domain_of,
    shard_of,
};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wire::Rejection;
use wire::shard::{OldLeaves, ShardClient};
use wire::state::LeafPlace;

/// How many foreign blocks one look goes on by.
const BLOCKS_PER_LOOK_COUNT_MAX: u64 = 200;

/// How many leaves are read at once.
const LEAVES_COUNT: u32 = 256;

/// Why a look was not good.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The foreign chain; try again, unless it is a disagreement.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// What was final is no more. What comes in stops.
    #[error("block {number} was {was} when it was final, and block {} says that it is {is}", number + 1)]
    Reorganised {
        /// Its number.
        number: u64,
        /// Its hash then.
        was: B256,
        /// The parent of the next block now.
        is: B256,
    },
    /// There is evidence that nobody has dealt with: nothing is attested.
    #[error("there is evidence in {}: look at it and take it away before this attestor goes on", .0.display())]
    Stopped(PathBuf),
    /// A shard; try again.
    #[error(transparent)]
    Shard(#[from] Rejection),
    /// The tree is full, or a key does not sign.
    #[error("the checkpoint cannot be signed: {0}")]
    Checkpoint(String),
    /// The disk.
    #[error("the journal: {0}")]
    Journal(#[from] io::Error),
}

/// What it signs with.
#[derive(Debug)]
pub struct Keys {
    /// For what comes in.
    pub attestation: SecretKey,
    /// For what goes out.
    pub checkpoint: PrivateKeySigner,
}

/// One attestor of one route.
#[derive(Debug)]
pub struct Attestor<C> {
    network: Network,
    domain: u32,
    route: Digest,
    chain: C,
    keys: Keys,
    verifier: ReceiptVerifier,
    evidence: PathBuf,
    journal: Journal,
    words: Arc<Mutex<Words>>,
    trees: BTreeMap<u32, IncrementalTree>,
    from_block: u64,
    last: Option<Head>,
    read: BTreeMap<u32, LeafPlace>,
}

impl<C: Chain> Attestor<C> {
    /// The attestor with its journal in `data`; none where the network has no route to `domain`.
    pub fn open(
        network: Network,
        domain: u32,
        chain: C,
        keys: Keys,
        data: &Path,
        from_block: u64,
    ) -> io::Result<Option<Self>> {
        let Some(route) = network.route(domain) else { return Ok(None) };
        let route = route.digest(network.params.network, Some(&network.genesis_digest));
        std::fs::create_dir_all(data)?;
        let (journal, words) = Journal::open(&data.join("journal"))?;
        let mut trees: BTreeMap<u32, IncrementalTree> = BTreeMap::new();
        for (shard, words) in &words.outbound {
            let tree = trees.entry(*shard).or_default();
            for word in words {
                tree.insert(keccak256(&word.message));
            }
        }
        let validators = network.validators.iter().map(|(shard, set)| (*shard, set.clone()));
        let verifier = ReceiptVerifier::with(network.params.network, validators);
        // The last block with a word is looked at again: its word is there and says whether it is still the same.
        let from_block = words.inbound.keys().next_back().copied().unwrap_or(from_block).max(from_block);
        let read = words.next.clone();
        Ok(Some(Self {
            network,
            domain,
            route,
            chain,
            keys,
            verifier,
            evidence: data.join("evidence"),
            journal,
            words: Arc::new(Mutex::new(words)),
            trees,
            from_block,
            last: None,
            read,
        }))
    }

    /// What it has said, for whoever serves it.
    pub(crate) fn words(&self) -> Arc<Mutex<Words>> {
        Arc::clone(&self.words)
    }

    fn said(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&mut self, entry: Entry) -> io::Result<()> {
        self.journal.append(&entry)?;
        self.said().add(entry);
        Ok(())
    }

    /// Goes on over the final blocks of the foreign chain; says how many it looked at.
    pub async fn look_in(&mut self) -> Result<u64, LookError> {
        if std::fs::read_dir(&self.evidence).is_ok_and(|mut files| files.next().is_some()) {
            return Err(LookError::Stopped(self.evidence.clone()));
        }
        let looked = self.follow().await;
        if let Err(LookError::Chain(ChainError::Disagreement(disagreement))) = &looked {
            self.keep_evidence(disagreement)?;
        }
        looked
    }

    async fn follow(&mut self) -> Result<u64, LookError> {
        let end = self.chain.finalized().await?;
        let next = self.last.map_or(self.from_block, |last| last.number + 1);
        let until = end.number.min(next.saturating_add(BLOCKS_PER_LOOK_COUNT_MAX));
        for number in next..=until {
            let block = self.chain.block(number).await?;
            if let Some(last) = self.last.filter(|last| last.hash != block.parent) {
                self.reorganised(number - 1, last.hash, &block)?;
            }
            self.attest(&block).await?;
            self.last = Some(block);
        }
        Ok((until + 1).saturating_sub(next))
    }

    fn reorganised(&self, number: u64, was: B256, block: &Head) -> Result<(), LookError> {
        let record = serde_json::json!({ "reorganised": number, "was": was, "is": block.parent, "in": block.hash });
        self.write_evidence(
            &format!("reorg-{number}.json"),
            &serde_json::to_vec_pretty(&record).map_err(io::Error::from)?,
        )?;
        Err(LookError::Reorganised { number, was, is: block.parent })
    }

    /// Signs what `block` says to shards of this network, if it says anything.
    async fn attest(&mut self, block: &Head) -> Result<(), LookError> {
        let (leaves, transactions) =
            self.leaves(self.chain.events(block).await?).into_iter().unzip::<_, _, Vec<_>, _>();
        if leaves.is_empty() && !self.said().inbound.contains_key(&block.number) {
            return Ok(());
        }
        let (foreign, _) = ForeignBlock::new(self.route, self.domain, (block.number, block.hash, block.time), &leaves);
        let before = self.said().inbound.get(&block.number).and_then(InboundWord::attestation);
        if let Some(before) = before {
            // A second word would be evidence against this very attestor.
            return if before.block == foreign {
                Ok(())
            } else {
                self.reorganised(block.number, before.block.hash, block)
            };
        }
        let attestation = primitives::encode(&Attestation::sign(foreign, &self.keys.attestation)).into();
        let leaves = leaves.into_iter().map(Into::into).collect();
        tracing::info!(block = block.number, "a foreign block was attested");
        Ok(self.say(Entry::Inbound(InboundWord { number: block.number, attestation, leaves, transactions }))?)
    }

    /// The leaves of a block in which the mailbox did this: messages for shards, then the ends of messages from shards; each with its
    /// transaction.
    fn leaves(&self, events: MailboxEvents) -> Vec<(Vec<u8>, B256)> {
        let is_shard = |domain| shard_of(self.network.params.network, domain).is_some();
        let is_ours = |packed: &Vec<u8>| match Message::from_packed(packed, 0, Time(0), U256::ZERO) {
            Ok(message) => message.origin == self.domain && is_shard(message.destination),
            Err(error) => {
                let message = keccak256(packed);
                tracing::warn!(%message, %error, "a message there is none that a shard takes: it is not attested, and its sender hears nothing");
                false
            }
        };
        let end = |ended: ProcessedMessage| {
            let end = Processed { domain: self.domain, origin: ended.origin, id: ended.id };
            is_shard(ended.origin).then(|| end.to_bytes())
        };
        let dispatched = events.dispatched.into_iter().map(|message| Some(message).filter(is_ours));
        // Nothing is left unsigned because nobody says which transaction it was.
        let transactions = events.transactions.into_iter().chain(std::iter::repeat(B256::ZERO));
        let all = dispatched.chain(events.processed.into_iter().map(end)).zip(transactions);
        all.filter_map(|(leaf, transaction)| Some((leaf?, transaction))).collect()
    }

    fn keep_evidence(&self, disagreement: &Disagreement) -> Result<(), LookError> {
        let name = format!("disagreement-{}.json", disagreement.number);
        self.write_evidence(&name, &serde_json::to_vec_pretty(disagreement).map_err(io::Error::from)?)
    }

    fn write_evidence(&self, name: &str, bytes: &[u8]) -> Result<(), LookError> {
        std::fs::create_dir_all(&self.evidence)?;
        Ok(std::fs::write(self.evidence.join(name), bytes)?)
    }

    /// Goes on over one shard's outbox; says how many leaves it read.
    pub async fn look_out(&mut self, shard: ShardId, client: &ShardClient) -> Result<usize, LookError> {
        let from = self.read.get(&shard.0).copied().unwrap_or(LeafPlace { height: Height(0), index: 0 });
        let kinds = [LeafKind::Message, LeafKind::Delivery].into();
        let page = client.outbox(from, LEAVES_COUNT, &kinds, OldLeaves::All).await?;
        let count = page.leaves.len();
        for leaf in page.leaves {
            let next = LeafPlace { height: leaf.place.height, index: leaf.place.index + 1 };
            let Ok(fact) = Verified::by(&self.verifier, leaf.receipt) else {
                tracing::error!(%shard, "a shard's receipt does not verify: its leaf is not signed");
                return Ok(0);
            };
            if let Some(message) = leaving(&fact, self.domain).filter(|_| fact.shard == shard) {
                self.checkpoint(shard, &message, next)?;
            }
        }
        self.read.insert(shard.0, page.next);
        Ok(count)
    }

    fn checkpoint(&mut self, shard: ShardId, message: &Message, next: LeafPlace) -> Result<(), LookError> {
        let message = message.packed();
        let id = keccak256(&message);
        let mut tree = self.trees.get(&shard.0).cloned().unwrap_or_default();
        let index = tree.insert(id).ok_or_else(|| LookError::Checkpoint("the tree is full".to_owned()))?;
        let checkpoint = checkpoint(&self.network, shard, tree.root(), index, id);
        let signature = checkpoint.sign(&self.keys.checkpoint);
        let signature = signature.map_err(|error| LookError::Checkpoint(error.to_string()))?;
        let signature = signature.to_vec().into();
        let siblings = tree.left_siblings();
        let word = OutboundWord { index, root: checkpoint.root, message: message.into(), signature, siblings };
        self.say(Entry::Outbound { shard: shard.0, next: (next.height.0, next.index), word })?;
        self.trees.insert(shard.0, tree);
        Ok(())
    }
}

/// The address that a secp256k1 key has on every EVM chain: what an ISM's validators are.
///
/// # Errors
/// If the bytes are no key.
pub fn address_of(secret: &B256) -> Result<Address, LookError> {
    let signer = PrivateKeySigner::from_bytes(secret);
    signer.map(|signer| signer.address()).map_err(|error| LookError::Checkpoint(error.to_string()))
}

/// What validators sign for a message of `shard`: its mailbox stands for the tree's hook.
pub(crate) fn checkpoint(network: &Network, shard: ShardId, root: B256, index: u32, id: B256) -> Checkpoint {
    let origin = domain_of(network.params.network, shard);
    Checkpoint { origin, hook: evm::mailbox_address(shard).into_word(), root, index, id }
}

/// The message that leaves with a leaf: one that a contract sent there, or the end of one that came from there.
fn leaving(fact: &Fact, domain: u32) -> Option<Message> {
    if fact.leaf.kind == LeafKind::Message {
        return Message::from_fact(fact).ok().filter(|message| message.destination == domain);
    }
    let delivery = Delivery::from_fact(fact).ok().filter(|delivery| delivery.origin == domain)?;
    Some(acknowledgement(&delivery, evm::mailbox_address(fact.shard)))
}

/// How a foreign sender hears of the end of its message: from the shard's mailbox itself, which no contract can speak for.
///
/// The body is the message's id and its status, 32 bytes each.
fn acknowledgement(delivery: &Delivery, mailbox: Address) -> Message {
    let id = delivery.message.0;
    let status = U256::from(delivery.status as u8).to_be_bytes::<32>();
    Message {
        nonce: u32::from_be_bytes([id[0], id[1], id[2], id[3]]),
        origin: delivery.destination,
        sender: mailbox.into_word(),
        destination: delivery.origin,
        recipient: delivery.sender,
        body: [&id[..], &status].concat(),
        gas_limit: 0,
        deadline: Time(0),
        value: U256::ZERO,
    }
}
