//! Every mutation of one honest prepare.
//!
//! Each changes one thing. *Alone*, it contradicts the rest of the prepare; *consistently*, the coordinator has run the
//! transaction again in a world where the change is true, so that witness, effects, participants and digest all follow from
//! it, and only somebody who knows better can object.

use crate::mutation::claim::{Claim, HomeVotes, Honest};
use crate::mutation::kind::{Binding, Effect, Kind, Members, Told, Transaction};
use crate::mutation::network::NOW;
use crate::mutation::scene::Scene;
use crate::mutation::{environment, fixed, witness};
use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, Signed, TxEip4844};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Signature, U256};
use commit::Descriptor;
use commit::participant::DEADLINE_AHEAD_MAX;
use evm::{Effects, Executed, Log, Payload, Prepared, SignedTransaction, State, Status, TransactionKind, Witness};
use primitives::{Digest, Epoch, Millis, NetworkId, ShardId, Time};

/// A prepare with one thing changed.
#[derive(Debug, Clone)]
pub struct Mutated {
    /// What.
    pub kind: Kind,
    /// Whether the rest was made to fit.
    pub told: Told,
    /// As it is sent.
    pub claim: Claim,
}

impl Mutated {
    pub(crate) fn new(kind: Kind, told: Told, claim: Claim) -> Self {
        Self { kind, told, claim }
    }
}

/// A coordinator that lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Teller<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) honest: &'a Honest,
    /// Which of many things of one kind is changed.
    pub(crate) draw: usize,
}

/// All mutations of what a coordinator would send in `scene`; `draw` says which of many keys are lied about.
pub fn all(scene: &Scene, honest: &Honest, draw: usize) -> Vec<Mutated> {
    let teller = Teller { scene, honest, draw };
    let mut all = witness::mutations(&teller);
    all.extend(fixed::mutations(&teller));
    all.extend(environment::mutations(&teller));
    all.extend(teller.effects());
    all.extend(teller.members());
    all.extend(teller.transactions());
    all.extend(teller.bindings());
    all.extend(teller.home_votes());
    all
}

impl Teller<'_> {
    /// The claim that follows when `payload` is run on `state`; if it does not run there, `fallback` is said to be what it
    /// read, and the effects are those of the honest run.
    pub(crate) fn run_again(&self, payload: Payload, state: &State, fallback: Witness) -> Claim {
        let Some(executed) = self.scene.run(&payload, state, &self.honest.prepared.witness.fixed) else {
            let descriptor = self.bind(&payload, &fallback);
            return self
                .honest
                .claim_of(descriptor, &Prepared { payload, witness: fallback, ..self.honest.prepared.clone() });
        };
        self.following(payload, executed)
    }

    /// The claim that follows from a run of `payload`.
    pub(crate) fn following(&self, payload: Payload, executed: Executed) -> Claim {
        let descriptor = Descriptor {
            payload: executed.digest(),
            participants: executed.participants.iter().map(|shard| (*shard, Epoch(1))).collect(),
            homes: executed.homes.clone(),
            ..self.honest.descriptor.clone()
        };
        let mut proofs = self.honest.prepared.proofs.clone();
        proofs.retain(|address, _| executed.witness.fixed.contains_key(address));
        self.honest.claim_of(descriptor, &Prepared { payload, witness: executed.witness, proofs })
    }

    /// The honest descriptor with the digest of this payload and witness, under the honest effects.
    pub(crate) fn bind(&self, payload: &Payload, witness: &Witness) -> Descriptor {
        let digest = payload.bind(witness.digest(), self.honest.executed.effects.digest());
        Descriptor { payload: digest, ..self.honest.descriptor.clone() }
    }

    /// The honest prepare under another descriptor.
    fn under(&self, kind: Kind, change: impl FnOnce(&mut Descriptor)) -> Mutated {
        let mut descriptor = self.honest.descriptor.clone();
        change(&mut descriptor);
        Mutated::new(kind, Told::Alone, self.honest.claim_of(descriptor, &self.honest.prepared))
    }

    fn effects(&self) -> Vec<Mutated> {
        let all =
            [Effect::Account, Effect::Slot, Effect::Credit, Effect::Gas, Effect::Status, Effect::Output, Effect::Log];
        let changed = all.into_iter().filter_map(|effect| {
            let mut effects = self.honest.executed.effects.clone();
            change(&mut effects, effect)?;
            let Prepared { payload, witness, .. } = &self.honest.prepared;
            let digest = payload.bind(witness.digest(), effects.digest());
            Some(self.under(Kind::Effect(effect), |descriptor| descriptor.payload = digest))
        });
        changed.collect()
    }

    fn members(&self) -> Vec<Mutated> {
        let under = |members, change: &dyn Fn(&mut Descriptor)| self.under(Kind::Members(members), change);
        let named = &self.honest.descriptor.participants;
        let homes = &self.honest.descriptor.homes;
        let draw = self.draw;
        let mut all = vec![
            under(Members::ParticipantUnknown, &|descriptor| {
                descriptor.participants.insert(ShardId(self.scene.placement.shards_count()), Epoch(1));
            }),
            under(Members::Epoch, &|descriptor| {
                let count = descriptor.participants.len().max(1);
                descriptor.participants.values_mut().nth(draw % count).into_iter().for_each(|epoch| *epoch = Epoch(2));
            }),
            under(Members::HomesEmpty, &|descriptor| descriptor.homes.clear()),
        ];
        // Not a home: without it the attempt would be no attempt at all.
        let others: Vec<ShardId> = named.keys().copied().filter(|shard| !homes.contains(shard)).collect();
        if let Some(other) = others.get(draw % others.len().max(1)).copied() {
            all.push(under(Members::ParticipantRemoved, &|descriptor| {
                descriptor.participants.remove(&other);
            }));
            all.push(under(Members::HomeAdded, &|descriptor| {
                descriptor.homes.insert(other);
            }));
            all.push(under(Members::HomeReplaced, &|descriptor| descriptor.homes = [other].into()));
        }
        if let Some(idle) = self.scene.placement.shards().find(|shard| !named.contains_key(shard)) {
            all.push(under(Members::ParticipantAdded, &|descriptor| {
                descriptor.participants.insert(idle, Epoch(1));
            }));
        }
        all
    }

    fn transactions(&self) -> Vec<Mutated> {
        let honest = &self.honest.prepared;
        let Some(TransactionKind::Signed(signed)) = honest.payload.transactions.first() else { return Vec::new() };
        let Ok(envelope) = EthereumTxEnvelope::<TxEip4844>::decode_2718_exact(&signed.0) else { return Vec::new() };
        let mut mutated = Vec::new();
        for part in [Transaction::Signature, Transaction::Nonce, Transaction::Value, Transaction::Repeated] {
            let mut payload = honest.payload.clone();
            if part == Transaction::Repeated {
                payload.transactions.extend(honest.payload.transactions.clone());
            } else {
                let bytes = rewritten(&envelope, part).encoded_2718();
                payload.transactions[0] = TransactionKind::Signed(SignedTransaction(bytes.into()));
            }
            let prepared = Prepared { payload: payload.clone(), ..honest.clone() };
            let alone = self.honest.claim_of(self.honest.descriptor.clone(), &prepared);
            let again = self.run_again(payload, &self.scene.state, honest.witness.clone());
            mutated.push(Mutated::new(Kind::Transaction(part), Told::Alone, alone));
            mutated.push(Mutated::new(Kind::Transaction(part), Told::Consistently, again));
        }
        mutated
    }

    fn bindings(&self) -> Vec<Mutated> {
        let under = |binding, change: &dyn Fn(&mut Descriptor)| self.under(Kind::Binding(binding), change);
        let mut longer = self.honest.claim();
        longer.bytes.push(0);
        vec![
            Mutated::new(Kind::Binding(Binding::Encoding), Told::Alone, longer),
            under(Binding::Digest, &|descriptor| {
                let mut bytes = *descriptor.payload.as_bytes();
                bytes[0] ^= 1;
                descriptor.payload = Digest::new(bytes);
            }),
            under(Binding::Number, &|descriptor| descriptor.number += 1),
            under(Binding::NumberZero, &|descriptor| descriptor.number = 0),
            under(Binding::DeadlinePassed, &|descriptor| descriptor.deadline = NOW),
            under(Binding::DeadlineFar, &|descriptor| {
                descriptor.deadline = Time(NOW.after(DEADLINE_AHEAD_MAX).0 + 1);
            }),
            under(Binding::Deadline, &|descriptor| descriptor.deadline = descriptor.deadline.after(Millis(1))),
            under(Binding::Network, &|descriptor| descriptor.network = NetworkId(descriptor.network.0 ^ 1 | 2)),
        ]
    }

    /// Only where somebody needs the homes' votes.
    fn home_votes(&self) -> Vec<Mutated> {
        let descriptor = &self.honest.descriptor;
        if descriptor.participants.keys().all(|shard| descriptor.homes.contains(shard)) {
            return Vec::new();
        }
        let votes = [HomeVotes::Withheld, HomeVotes::OfAnotherAttempt, HomeVotes::Borrowed, HomeVotes::Forged];
        let claim = |homes| Claim { homes, ..self.honest.claim() };
        votes.into_iter().map(|homes| Mutated::new(Kind::HomeVotes(homes), Told::Alone, claim(homes))).collect()
    }
}

/// Changes one effect, if there is one of its kind.
fn change(effects: &mut Effects, effect: Effect) -> Option<()> {
    let one = U256::from(1);
    let (changes, outcome) = (&mut effects.changes, effects.outcomes.first_mut()?);
    match effect {
        Effect::Account => {
            let account = changes.accounts.values_mut().flatten().next()?;
            account.balance = account.balance.wrapping_add(one);
        }
        Effect::Slot => changes.slots.values_mut().take(1).for_each(|value| *value = value.wrapping_add(one)),
        Effect::Credit => changes.credits.values_mut().take(1).for_each(|wei| *wei = wei.wrapping_add(one)),
        Effect::Gas => outcome.gas_used ^= 1,
        Effect::Status if outcome.status == Status::Success => outcome.status = Status::Reverted,
        Effect::Status => outcome.status = Status::Success,
        Effect::Output => outcome.output = [&outcome.output.0[..], &[1]].concat().into(),
        Effect::Log => match outcome.logs.pop() {
            Some(_) => {}
            None => outcome.logs.push(Log {
                address: alloy_primitives::Address::ZERO,
                topics: Vec::new(),
                data: Vec::new().into(),
            }),
        },
    }
    let exists = match effect {
        Effect::Slot => !changes.slots.is_empty(),
        Effect::Credit => !changes.credits.is_empty(),
        _ => true,
    };
    exists.then_some(())
}

/// The transaction with one field changed under the same signature, or with another signature.
fn rewritten(envelope: &EthereumTxEnvelope<TxEip4844>, part: Transaction) -> EthereumTxEnvelope<TxEip4844> {
    macro_rules! changed {
        ($signed:expr) => {{
            let (mut transaction, mut signature, _) = $signed.clone().into_parts();
            match part {
                Transaction::Nonce => transaction.nonce = transaction.nonce.wrapping_add(1),
                Transaction::Value => transaction.value = transaction.value.wrapping_add(U256::from(1)),
                _ => signature = Signature::new(signature.r() ^ U256::from(1), signature.s(), signature.v()),
            }
            again(transaction, signature).into()
        }};
    }
    match envelope {
        EthereumTxEnvelope::Legacy(signed) => changed!(signed),
        EthereumTxEnvelope::Eip2930(signed) => changed!(signed),
        EthereumTxEnvelope::Eip1559(signed) => changed!(signed),
        EthereumTxEnvelope::Eip4844(signed) => changed!(signed),
        EthereumTxEnvelope::Eip7702(signed) => changed!(signed),
    }
}

fn again<T: SignableTransaction<Signature>>(transaction: T, signature: Signature) -> Signed<T> {
    transaction.into_signed(signature)
}
