//! Real values to start from: shards that say things in certified blocks, signed transactions, parameters.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use commit::{Descriptor, Verdict, Vote, VoteProof};
use evm::{Environment, Environments, NetworkParams, Payload, SignedTransaction, Spec, TransactionKind};
use primitives::{Digest, Domain, Epoch, Height, Millis, NetworkId, ShardId, Time, Verified, Verifier};
use proof::{
    Ancestry, Certificate, HEADER_VERSION, Header, History, Leaf, LeafKind, Message, NodeId, Outbox, Receipt,
    ReceiptVerifier, SecretKey, Signer, ValidatorSet, domain_of,
};
use std::collections::BTreeMap;
use std::convert::Infallible;

pub(crate) const NETWORK: NetworkId = NetworkId(1337);
pub(crate) const START: Time = Time(1_700_000_000_000);
pub(crate) const ETHER: U256 = U256::from_limbs([1_000_000_000_000_000_000, 0, 0, 0]);

/// Makes a fact of anything: for targets about what follows from facts.
struct Gullible;

impl<T> Verifier<T> for Gullible {
    type Fact = T;
    type Error = Infallible;

    fn verify(&self, claim: T) -> Result<T, Infallible> {
        Ok(claim)
    }
}

/// `claim` as a fact.
pub(crate) fn believed<T>(claim: T) -> Verified<T> {
    match Verified::by(&Gullible, claim) {
        Ok(fact) => fact,
        Err(never) => match never {},
    }
}

pub(crate) fn digest(name: &str) -> Digest {
    Domain::new("dovetail fuzz").hash(name.as_bytes())
}

/// The secret keys of a shard's validators, in the order of their public keys.
pub(crate) fn secrets(shard: ShardId, count: u8) -> Vec<SecretKey> {
    let secret = |place| SecretKey::from_bytes(&[shard.0 as u8 * 16 + place; 32]).expect("not zero");
    let mut secrets: Vec<_> = (1..=count).map(secret).collect();
    secrets.sort_by_key(SecretKey::public);
    secrets
}

pub(crate) fn set(shard: ShardId, count: u8) -> ValidatorSet {
    let keys = secrets(shard, count).iter().map(SecretKey::public).collect();
    ValidatorSet::new(Epoch(1), keys).expect("distinct keys")
}

/// A shard that says things in certified blocks.
pub(crate) struct Speaker {
    pub(crate) id: ShardId,
    pub(crate) set: ValidatorSet,
    signers: Vec<Signer>,
    history: History,
    nodes: BTreeMap<NodeId, Digest>,
    parent: Digest,
    pub(crate) blocks: Vec<(Header, Certificate, Outbox)>,
}

impl Speaker {
    /// Shard `id` with `validators` validators, before its first block.
    pub(crate) fn new(id: u32, validators: u8) -> Self {
        let id = ShardId(id);
        let set = set(id, validators);
        let signer = |secret| Signer::new(secret, &set).expect("a member");
        Self {
            id,
            signers: secrets(id, validators).into_iter().map(signer).collect(),
            set,
            history: History::new(NETWORK, id),
            nodes: BTreeMap::new(),
            parent: Header::genesis_parent(NETWORK, id),
            blocks: Vec::new(),
        }
    }

    /// Makes a block that says `leaves`.
    pub(crate) fn say(&mut self, leaves: Vec<Leaf>) -> Height {
        let (header, outbox) = self.draft(leaves, "log");
        let certificate = self.certificate(&header);
        self.parent = header.digest();
        let appended = self.history.append(&self.parent);
        self.nodes.extend(appended.iter().map(|appended| (appended.node, appended.digest)));
        let height = header.height;
        self.blocks.push((header, certificate, outbox));
        height
    }

    /// The header of the next block, with this for a log.
    pub(crate) fn draft(&self, leaves: Vec<Leaf>, log: &str) -> (Header, Outbox) {
        let height = Height(self.blocks.len() as u64 + 1);
        let outbox = Outbox::new(NETWORK, self.id, height, leaves).expect("few leaves");
        let header = Header {
            version: HEADER_VERSION,
            network: NETWORK,
            shard: self.id,
            epoch: Epoch(1),
            height,
            parent: self.parent,
            time: START.after(Millis(height.0)),
            settled_through: Time(0),
            ended_before: 0,
            log_root: digest(log),
            outcome_root: digest("outcomes"),
            outbox_root: outbox.root(),
            outbox_count: outbox.count(),
            history_root: self.history.root(),
            state_root: digest("state"),
            state_height: height,
        };
        (header, outbox)
    }

    /// A quorum's signatures, and no more than that.
    pub(crate) fn certificate(&self, header: &Header) -> Certificate {
        let parts = self.signers[..self.set.quorum()].iter().map(|signer| signer.certify(header).expect("sound"));
        parts.reduce(|a, b| a.merge(&b).expect("of one header")).expect("a quorum is not empty")
    }

    pub(crate) fn receipt(&self, height: Height, index: u32) -> Receipt {
        let (header, certificate, outbox) = &self.blocks[height.0 as usize - 1];
        outbox.receipt(index, header, certificate).expect("a leaf that is there")
    }

    /// The receipt of a leaf under the certificate of a later block.
    pub(crate) fn receipt_through(&self, height: Height, index: u32, later: Height) -> Receipt {
        let (header, certificate, _) = self.blocks[later.0 as usize - 1].clone();
        let path = History::prove(height, later, |node| self.nodes.get(&node).copied()).expect("an earlier block");
        Receipt { certificate, ancestry: Some(Ancestry { header, path }), ..self.receipt(height, index) }
    }

    /// Says a vote and gives it with its receipt.
    pub(crate) fn vote(&mut self, descriptor: &Descriptor, verdict: Verdict) -> VoteProof {
        let vote = Vote { attempt: descriptor.id(), shard: self.id, epoch: Epoch(1), verdict };
        let body = primitives::encode(&vote);
        let height = self.say(vec![Leaf { kind: LeafKind::Vote, body }]);
        VoteProof { vote, evidence: self.receipt(height, 0).to_bytes() }
    }
}

pub(crate) fn verifier<'a>(speakers: impl IntoIterator<Item = &'a Speaker>) -> ReceiptVerifier {
    ReceiptVerifier::with(NETWORK, speakers.into_iter().map(|speaker| (speaker.id, speaker.set.clone())))
}

pub(crate) fn message(from: ShardId, to: ShardId, nonce: u32) -> Message {
    Message {
        nonce,
        origin: domain_of(NETWORK, from),
        sender: B256::left_padding_from(&[0x11; 20]),
        destination: domain_of(NETWORK, to),
        recipient: B256::left_padding_from(&[0x22; 20]),
        body: b"hello".to_vec(),
        gas_limit: 100_000,
        deadline: START.after(Millis(600_000)),
        value: U256::from(9),
    }
}

/// An attempt over shards 0 to `shards - 1`, with shard 0 as its home.
pub(crate) fn descriptor(shards: u32, number: u32) -> Descriptor {
    Descriptor {
        network: NETWORK,
        participants: (0..shards).map(|shard| (ShardId(shard), Epoch(1))).collect(),
        homes: [ShardId(0)].into(),
        payload: digest("a payload"),
        number,
        deadline: START.after(Millis(10_000)),
    }
}

pub(crate) fn params() -> NetworkParams {
    NetworkParams {
        network: NETWORK,
        genesis: Time(0),
        slot_length: Millis(1_000),
        base_fee: 0,
        gas_limit: 30_000_000,
        beneficiary: Address::repeat_byte(0xfe),
        spec: Spec::default(),
        environments: Environments::Slots,
        takes_unprotected: false,
    }
}

/// A user with a key.
pub(crate) fn user(seed: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(seed)).expect("a key")
}

fn signed<T>(from: &PrivateKeySigner, transaction: T) -> Vec<u8>
where
    T: SignableTransaction<Signature>,
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = from.sign_hash_sync(&transaction.signature_hash()).expect("a key signs");
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()
}

/// A signed transaction of EIP-1559.
pub(crate) fn transaction(
    from: &PrivateKeySigner,
    nonce: u64,
    gas_limit: u64,
    (to, value, input): (TxKind, U256, Vec<u8>),
) -> Vec<u8> {
    let transaction = TxEip1559 {
        chain_id: NETWORK.0,
        nonce,
        gas_limit,
        max_fee_per_gas: 10,
        max_priority_fee_per_gas: 2,
        to,
        value,
        input: Bytes::from(input),
        ..TxEip1559::default()
    };
    signed(from, transaction)
}

/// A signed transaction of each kind that carries no blobs.
pub(crate) fn transactions() -> Vec<Vec<u8>> {
    let (from, to, chain_id) = (user(1), user(2).address(), NETWORK.0);
    let legacy =
        TxLegacy { chain_id: Some(chain_id), gas_price: 10, gas_limit: 21_000, to: to.into(), ..TxLegacy::default() };
    let listed = TxEip2930 { chain_id, gas_price: 10, gas_limit: 30_000, to: to.into(), ..TxEip2930::default() };
    let authorization = Authorization { chain_id: U256::from(chain_id), address: to, nonce: 1 };
    let signature = from.sign_hash_sync(&authorization.signature_hash()).expect("a key signs");
    let authorization_list = vec![authorization.into_signed(signature)];
    let delegating =
        TxEip7702 { chain_id, gas_limit: 90_000, max_fee_per_gas: 10, to, authorization_list, ..TxEip7702::default() };
    vec![
        signed(&from, legacy),
        signed(&from, listed),
        transaction(&from, 0, 21_000, (TxKind::Call(to), U256::from(5), Vec::new())),
        transaction(&from, 1, 90_000, (TxKind::Create, U256::ZERO, vec![0x60, 0, 0x60, 0, 0xf3])),
        signed(&from, delegating),
    ]
}

/// A payload of these signed transactions in the first slot.
pub(crate) fn payload(transactions: impl IntoIterator<Item = Vec<u8>>) -> Payload {
    let kind = |bytes: Vec<u8>| TransactionKind::Signed(SignedTransaction(bytes.into()));
    let environment = Environment::Slot(params().slot_at(START));
    Payload::bundle(environment, transactions.into_iter().map(kind).collect())
}
