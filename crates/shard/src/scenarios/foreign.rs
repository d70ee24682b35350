//! Messages of a foreign chain: taken once, whatever becomes of their route's terms, and ended like any other (I21).

use super::world::{NETWORK, S0, S1, World, artifact, user};
use crate::{Answer, DeliverRefusal, Novelty, queries};
use alloy_primitives::{Address, B256, TxKind, U256};
use primitives::{Millis, Time, Verified};
use proof::{
    Admission, Attestation, Delivery, DeliveryStatus, ForeignBlock, ForeignReceipt, ForeignVerifier, LeafKind, Message,
    Route, RouteTerms, SecretKey, domain_of,
};

const DOMAIN: u32 = 31_337;

/// A network with a Pong on shard 1.
struct Port {
    world: World,
    pong: Address,
}

fn keys() -> [SecretKey; 3] {
    [11, 12, 13].map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap())
}

fn route(gas_limit: u64) -> Route {
    let terms = RouteTerms {
        domain: DOMAIN,
        chain_id: 31_337,
        mailbox: Address::repeat_byte(0x11),
        gas_limit,
        window: Millis(60_000),
        attestors: keys().iter().map(SecretKey::public).collect(),
        threshold: 2,
    };
    Route::new(terms).unwrap()
}

fn port() -> Port {
    let receiver = user(2).address().create(0);
    let mut world = World::new(2, [(user(2).address(), S1), (receiver, S1)]);
    let code = [artifact("Pong", "bytecode"), evm::mailbox_address(S1).into_word().to_vec()].concat();
    let payload = world.payload(&[world.sign(&user(2), TxKind::Create, U256::ZERO, code)]);
    assert_eq!(world.local(S1, &payload)[0].outcome.status, evm::Status::Success);
    Port { world, pong: receiver }
}

impl Port {
    fn message(&self, nonce: u32) -> Message {
        Message {
            nonce,
            origin: DOMAIN,
            sender: Address::repeat_byte(0xaa).into_word(),
            destination: domain_of(NETWORK, S1),
            recipient: self.pong.into_word(),
            body: vec![nonce as u8],
            gas_limit: 0,
            deadline: Time(0),
            value: U256::ZERO,
        }
    }

    /// What a quorum says of `message`, sent at `time`, under a route with this gas limit.
    fn admission(message: &Message, time: Time, gas_limit: u64) -> Verified<Admission> {
        let route = route(gas_limit);
        let packed = message.packed();
        let head = (9, B256::repeat_byte(9), time);
        let (block, tree) = ForeignBlock::new(route.digest(NETWORK, None), DOMAIN, head, std::slice::from_ref(&packed));
        let mut signatures: Vec<_> = keys()[..2]
            .iter()
            .map(|key| {
                let word = Attestation::sign(block.clone(), key);
                (route.place_of(&word.attestor).unwrap() as u16, word.signature)
            })
            .collect();
        signatures.sort_by_key(|(place, _)| *place);
        let receipt = ForeignReceipt { message: packed, index: 0, path: tree.prove(0).unwrap(), block, signatures };
        Verified::by(&ForeignVerifier::new(NETWORK, None, &[route]), receipt).unwrap()
    }

    fn admit(&mut self, admission: &Verified<Admission>) -> Answer {
        self.world.ask(S1, |ticket| crate::Input::Admit { ticket, admission: Box::new(admission.clone()) })
    }

    fn received_count(&self) -> U256 {
        self.world.slot(self.pong, 0)
    }
}

fn delivered(answer: &Answer) -> (DeliveryStatus, Novelty) {
    match answer {
        Answer::Delivered { delivery, novelty, .. } => (delivery.status, *novelty),
        other => panic!("not delivered: {other:?}"),
    }
}

#[test]
fn a_foreign_message_runs_once_and_says_so_in_a_leaf() {
    let mut port = port();
    let message = port.message(0);
    let admission = Port::admission(&message, port.world.now, 300_000);
    assert_eq!(delivered(&port.admit(&admission)), (DeliveryStatus::Delivered, Novelty::New));
    port.world.restart(S1);
    assert_eq!(delivered(&port.admit(&admission)), (DeliveryStatus::Delivered, Novelty::Already));
    assert_eq!(port.received_count(), U256::from(1));
    let [fact] = &port.world.facts(S1, LeafKind::Delivery)[..] else { panic!("one delivery") };
    let delivery = Delivery::from_fact(fact).unwrap();
    assert_eq!((delivery.message, delivery.origin, delivery.sender), (admission.id, DOMAIN, message.sender));
    let life = queries::message(port.world.store(S1), admission.id);
    assert_eq!(life.consumed.unwrap().delivery, delivery);
}

#[test]
fn a_foreign_message_attested_again_under_other_terms_is_still_one() {
    let mut port = port();
    let message = port.message(0);
    let first = Port::admission(&message, port.world.now, 300_000);
    let second = Port::admission(&message, Time(port.world.now.0 + 1), 400_000);
    assert_ne!(first.message.id(), second.message.id());
    assert_eq!(delivered(&port.admit(&first)), (DeliveryStatus::Delivered, Novelty::New));
    assert_eq!(delivered(&port.admit(&second)), (DeliveryStatus::Delivered, Novelty::Already));
    assert_eq!(port.received_count(), U256::from(1));
}

#[test]
fn a_foreign_message_for_another_shard_is_refused() {
    let mut port = port();
    let message = Message { destination: domain_of(NETWORK, S0), ..port.message(0) };
    let answer = port.admit(&Port::admission(&message, port.world.now, 300_000));
    assert!(matches!(answer, Answer::DeliverRefused(DeliverRefusal::WrongDestination { .. })), "{answer:?}");
}

#[test]
fn a_foreign_message_past_its_window_expires_in_a_leaf() {
    let mut port = port();
    let message = port.message(0);
    let admission = Port::admission(&message, port.world.now, 300_000);
    port.world.wait(60_001);
    assert_eq!(delivered(&port.admit(&admission)), (DeliveryStatus::Expired, Novelty::New));
    assert_eq!(port.received_count(), U256::ZERO);
    assert_eq!(port.world.facts(S1, LeafKind::Delivery).len(), 1);
}

#[test]
fn a_foreign_message_that_fails_stands_in_nobodys_way() {
    let mut port = port();
    let poison = Message { recipient: B256::repeat_byte(0x11), ..port.message(0) };
    let (poison, plain) =
        (Port::admission(&poison, port.world.now, 300_000), Port::admission(&port.message(1), port.world.now, 300_000));
    assert_eq!(delivered(&port.admit(&poison)), (DeliveryStatus::Failed, Novelty::New));
    assert_eq!(delivered(&port.admit(&plain)), (DeliveryStatus::Delivered, Novelty::New));
    assert_eq!(port.received_count(), U256::from(1));
}
