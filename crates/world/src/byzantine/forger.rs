//! Votes and messages that nobody should believe: under keys that say nothing here, or changed on their way.

use crate::call::{DecisionClaim, Request};
use crate::world::World;
use commit::{Descriptor, Refusal, Verdict, Vote, VoteProof};
use primitives::{Digest, Epoch, Height, NetworkId, ShardId, Time};
use proof::{HEADER_VERSION, Header, Leaf, LeafKind, Outbox, Receipt, SecretKey, Signer, ValidatorSet};

/// Somebody who holds a key, and makes blocks in a shard's name.
#[derive(Debug)]
pub struct Forger {
    network: NetworkId,
    shard: ShardId,
    signer: Signer,
    height: Height,
}

impl Forger {
    /// In the name of `shard`, with the key of `seed`; none if that is no key.
    pub fn new(network: NetworkId, shard: ShardId, seed: &[u8; 32]) -> Option<Self> {
        let key = SecretKey::from_bytes(seed).ok()?;
        Self::with_key(network, shard, key)
    }

    /// In the name of `shard`, with `key`: with the shard's own, an equivocation.
    pub fn with_key(network: NetworkId, shard: ShardId, key: SecretKey) -> Option<Self> {
        let set = ValidatorSet::new(Epoch(1), vec![key.public()]).ok()?;
        Some(Self { network, shard, signer: Signer::new(key, &set).ok()?, height: Height(1) })
    }

    /// The receipt of a leaf that the shard never said, certified with the forger's key.
    pub fn receipt(&mut self, leaf: Leaf, time: Time) -> Option<Receipt> {
        let outbox = Outbox::new(self.network, self.shard, self.height, vec![leaf]).ok()?;
        let digest = |byte| Digest::new([byte; 32]);
        let header = Header {
            version: HEADER_VERSION,
            network: self.network,
            shard: self.shard,
            epoch: Epoch(1),
            height: self.height,
            parent: digest(1),
            time,
            settled_through: Time(0),
            ended_before: 0,
            log_root: digest(2),
            outcome_root: digest(3),
            outbox_root: outbox.root(),
            outbox_count: outbox.count(),
            history_root: digest(4),
            state_root: digest(5),
            state_height: Height(0),
        };
        self.height = self.height.next();
        let certificate = self.signer.certify(&header).ok()?;
        outbox.receipt(0, &header, &certificate).ok()
    }

    /// A vote of another shard, in this one's outbox.
    pub fn foreign_vote(
        &mut self,
        descriptor: &Descriptor,
        of: ShardId,
        verdict: Verdict,
        time: Time,
    ) -> Option<VoteProof> {
        let vote = Vote { attempt: descriptor.id(), shard: of, epoch: Epoch(1), verdict };
        let leaf = Leaf { kind: LeafKind::Vote, body: primitives::encode(&vote) };
        let evidence = self.receipt(leaf, time)?.to_bytes();
        Some(VoteProof { vote, evidence })
    }

    /// A vote that the shard never cast.
    pub fn vote(&mut self, descriptor: &Descriptor, verdict: Verdict, time: Time) -> Option<VoteProof> {
        self.foreign_vote(descriptor, self.shard, verdict, time)
    }
}

/// One forged vote: by whoever holds the key of `seed`, in the name of `shard`.
pub fn forged_vote(descriptor: &Descriptor, shard: ShardId, verdict: Verdict, seed: &[u8; 32]) -> Option<VoteProof> {
    Forger::new(descriptor.network, shard, seed)?.vote(descriptor, verdict, Time(1))
}

impl World {
    /// Hands in a decision on some attempt that passed: half the time all yes, else one no, under a key that is no
    /// validator's.
    pub(crate) fn hand_in_forged(&mut self) -> bool {
        let descriptors: Vec<(ShardId, Descriptor)> = self
            .recorded
            .iter()
            .filter_map(|(shard, request)| match request {
                Request::Prepare(claims) => claims.first().map(|claim| (*shard, (*claim.descriptor).clone())),
                _ => None,
            })
            .collect();
        let Some((shard, descriptor)) = self.chaos_dice.pick(&descriptors).cloned() else { return false };
        let seed = [0xbd; 32];
        let votes: Vec<VoteProof> = match self.chaos_dice.below(self.forgeries_count()) {
            0 => {
                let yes = |participant: &ShardId| forged_vote(&descriptor, *participant, Verdict::Yes, &seed);
                descriptor.participants.keys().filter_map(yes).collect()
            }
            1 => forged_vote(&descriptor, shard, Verdict::No(Refusal::AbortRequested), &seed).into_iter().collect(),
            // A shard with a good key speaks for another: it certifies two blocks of one height, and nobody may believe it again.
            _ => {
                let speaker = ShardId((shard.0 + 1) % self.shards.len() as u32);
                let forger = Forger::with_key(descriptor.network, speaker, crate::keys::secret(speaker));
                let no = Verdict::No(Refusal::AbortRequested);
                forger.and_then(|mut forger| forger.foreign_vote(&descriptor, shard, no, Time(1))).into_iter().collect()
            }
        };
        let call = self.call_unrecorded(shard, Request::Decide(vec![DecisionClaim { descriptor, votes }]));
        self.forged.insert(call);
        true
    }

    /// How many ways to forge a vote there are. A shard that certifies two blocks is evidence of itself, which ends its part in a
    /// network; only the twin that believes it is run beside it.
    #[cfg_attr(not(feature = "twins"), expect(clippy::unused_self, reason = "only a twin needs the third"))]
    fn forgeries_count(&self) -> u64 {
        #[cfg(feature = "twins")]
        if self.plan.twin == Some(commit::Twin::ForeignVoteAccepted) {
            return 3;
        }
        2
    }

    /// Carries a message, or word of a delivery, that no shard sent as it is: a bit of a genuine receipt changed, or its leaf
    /// certified by who has no say about it. Whether there was one to forge.
    pub(crate) fn carry_forged(&mut self) -> bool {
        let carried = self.recorded.iter().filter_map(|(shard, request)| match request {
            Request::Deliver(receipts) => receipts.first().map(|receipt| (*shard, receipt.clone())),
            _ => None,
        });
        let carried: Vec<(ShardId, Receipt)> = carried.collect();
        let Some((shard, genuine)) = self.chaos_dice.pick(&carried).cloned() else { return false };
        let certifier = self.chaos_dice.below(3);
        let receipt = if certifier == 2 { self.changed(&genuine) } else { self.certified_anew(genuine, certifier) };
        let Some(receipt) = receipt else { return false };
        let call = self.call_unrecorded(shard, Request::Deliver(vec![receipt]));
        self.forged.insert(call);
        true
    }

    /// With one bit changed; none if it is no receipt any more, which no shard's machine would see.
    fn changed(&mut self, receipt: &Receipt) -> Option<Receipt> {
        let mut bytes = receipt.to_bytes();
        let place = self.chaos_dice.below(bytes.len() as u64) as usize;
        bytes[place] ^= 1 << self.chaos_dice.below(8);
        Receipt::from_bytes(&bytes).ok()
    }

    /// Its leaf in a block of who has no say about it: a stranger, or another shard, in the name of the right one.
    fn certified_anew(&self, receipt: Receipt, certifier: u64) -> Option<Receipt> {
        let Header { network, shard, time, .. } = receipt.header;
        let other = ShardId((shard.0 + 1) % self.shards.len() as u32);
        let mut forger = match certifier {
            0 => Forger::new(network, shard, &[0xbd; 32]),
            _ => Forger::with_key(network, shard, crate::keys::secret(other)),
        }?;
        forger.receipt(receipt.leaf, time)
    }
}
