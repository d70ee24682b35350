//! A shard with four validators and a short log, for this crate's tests.

use crate::{
    Certificate, HEADER_VERSION, Header, History, Leaf, LeafKind, Message, NodeId, Outbox, Receipt, ReceiptVerifier,
    SecretKey, Signer, ValidatorSet, domain_of,
};
use alloy_primitives::{B256, U256};
use primitives::{Digest, Epoch, Height, NetworkId, ShardId, Time};
use std::collections::BTreeMap;

pub(crate) const NETWORK: NetworkId = NetworkId(7);
pub(crate) const SHARD: ShardId = ShardId(1);
pub(crate) const HEIGHT_MAX: u64 = 20;

pub(crate) fn secrets() -> Vec<SecretKey> {
    let mut secrets: Vec<_> = (1..=4).map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap()).collect();
    secrets.sort_by_key(SecretKey::public);
    secrets
}

pub(crate) fn set() -> ValidatorSet {
    ValidatorSet::new(Epoch(1), secrets().iter().map(SecretKey::public).collect()).unwrap()
}

pub(crate) fn signers() -> Vec<Signer> {
    secrets().into_iter().map(|secret| Signer::new(secret, &set()).unwrap()).collect()
}

pub(crate) fn verifier() -> ReceiptVerifier {
    ReceiptVerifier::with(NETWORK, [(SHARD, set())])
}

/// A certificate over `header` by the signers at `places`.
pub(crate) fn certificate(header: &Header, places: &[usize]) -> Certificate {
    let signers = signers();
    let parts = places.iter().map(|place| signers[*place].certify(header).unwrap());
    parts.reduce(|a, b| a.merge(&b).unwrap()).unwrap()
}

pub(crate) fn message() -> Message {
    Message {
        nonce: 5,
        origin: domain_of(NETWORK, SHARD),
        sender: B256::left_padding_from(&[0x11; 20]),
        destination: domain_of(NETWORK, ShardId(2)),
        recipient: B256::left_padding_from(&[0x22; 20]),
        body: b"hello".to_vec(),
        gas_limit: 100_000,
        deadline: Time(1_700_000_000_000),
        value: U256::from(9),
    }
}

/// What block `height` says: as many leaves as its height.
pub(crate) fn leaves(height: u64) -> Vec<Leaf> {
    let vote = |i: u64| Leaf { kind: LeafKind::Vote, body: format!("vote {height}/{i}").into_bytes() };
    let mut leaves: Vec<_> = (1..height).map(vote).collect();
    leaves.push(Leaf { kind: LeafKind::Message, body: message().to_bytes() });
    leaves
}

pub(crate) fn outbox(height: u64) -> Outbox {
    Outbox::new(NETWORK, SHARD, Height(height), leaves(height)).unwrap()
}

pub(crate) fn header(height: u64) -> Header {
    Chain::new().header(height)
}

/// A log of [`HEIGHT_MAX`] blocks and the nodes of its history.
pub(crate) struct Chain {
    headers: Vec<Header>,
    pub(crate) nodes: BTreeMap<NodeId, Digest>,
}

impl Chain {
    pub(crate) fn new() -> Self {
        let mut history = History::new(NETWORK, SHARD);
        let mut chain = Self { headers: Vec::new(), nodes: BTreeMap::new() };
        let mut parent = Header::genesis_parent(NETWORK, SHARD);
        for height in 1..=HEIGHT_MAX {
            let outbox = outbox(height);
            let header = Header {
                version: HEADER_VERSION,
                network: NETWORK,
                shard: SHARD,
                epoch: Epoch(1),
                height: Height(height),
                parent,
                time: Time(1_000 * height),
                settled_through: Time(1),
                ended_before: 7,
                log_root: Digest::new([0xaa; 32]),
                outcome_root: Digest::new([0xbb; 32]),
                outbox_root: outbox.root(),
                outbox_count: outbox.count(),
                history_root: history.root(),
                state_root: Digest::new([0xcc; 32]),
                state_height: Height(height),
            };
            parent = header.digest();
            chain.nodes.extend(history.append(&parent).iter().map(|appended| (appended.node, appended.digest)));
            chain.headers.push(header);
        }
        chain
    }

    pub(crate) fn header(&self, height: u64) -> Header {
        self.headers[height as usize - 1].clone()
    }

    pub(crate) fn certified(&self, height: u64) -> (Header, Certificate) {
        let header = self.header(height);
        let certificate = certificate(&header, &[0, 1, 3]);
        (header, certificate)
    }

    pub(crate) fn receipt(&self, height: u64, index: u32) -> Receipt {
        let (header, certificate) = self.certified(height);
        outbox(height).receipt(index, &header, &certificate).unwrap()
    }

    /// The same, proven through the certificate of block `later`.
    pub(crate) fn receipt_through(&self, height: u64, index: u32, later: u64) -> Receipt {
        let (header, certificate) = self.certified(later);
        let path = History::prove(Height(height), Height(later), |id| self.nodes.get(&id).copied()).unwrap();
        let receipt = self.receipt(height, index);
        Receipt { certificate, ancestry: Some(crate::Ancestry { header, path }), ..receipt }
    }
}
