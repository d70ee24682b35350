//! Messages of a foreign chain: taken once, whatever becomes of their route's terms, and ended like any other (I21). And how a message
//! that left ended there.

use super::messages::{Post, post_in};
use super::world::{ETHER, NETWORK, S0, S1, World, artifact, user};
use crate::{
    AcknowledgeRefusal, Answer, Busy, DeliverRefusal, GenesisAccount, HandlerEnd, Input, Novelty, Ticket, queries,
};
use alloy_primitives::{Address, B256, TxKind, U256};
use commit::VoteProof;
use primitives::{Millis, Time, Verified};
use proof::{
    Admission, Attestation, Delivery, DeliveryStatus, Fact, ForeignBlock, ForeignReceipt, ForeignVerifier, LeafKind,
    Message, MessageId, Processed, Route, RouteTerms, SecretKey, domain_of,
};

const DOMAIN: u32 = 31_337;

/// What two of these attestors say in a leaf of a block of this time.
fn said(route: &Route, keys: &[SecretKey], leaf: Vec<u8>, time: Time) -> ForeignReceipt {
    let head = (9, B256::repeat_byte(9), time);
    let domain = route.terms().domain;
    let (block, tree) = ForeignBlock::new(route.digest(NETWORK, None), domain, head, std::slice::from_ref(&leaf));
    let mut signatures: Vec<_> = keys[..2]
        .iter()
        .map(|key| {
            let word = Attestation::sign(block.clone(), key);
            (route.place_of(&word.attestor).unwrap() as u16, word.signature)
        })
        .collect();
    signatures.sort_by_key(|(place, _)| *place);
    ForeignReceipt { leaf, index: 0, path: tree.prove(0).unwrap(), block, signatures }
}

/// What a quorum of the route's attestors says in it.
fn vouched(route: &Route, leaf: Vec<u8>, time: Time) -> Verified<Admission> {
    let receipt = said(route, &keys(), leaf, time);
    Verified::by(&ForeignVerifier::new(NETWORK, None, std::slice::from_ref(route)), receipt).unwrap()
}

/// A network with a Pong on shard 1.
struct Port {
    world: World,
    pong: Address,
}

fn keys() -> [SecretKey; 3] {
    [11, 12, 13].map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap())
}

fn route(gas_limit: u64) -> Route {
    route_to(DOMAIN, gas_limit)
}

fn route_to(domain: u32, gas_limit: u64) -> Route {
    let terms = RouteTerms {
        domain,
        chain_id: 31_337,
        mailbox: Address::repeat_byte(0x11),
        gas_limit,
        window: Millis(60_000),
        attestors: keys().iter().map(SecretKey::public).collect(),
        threshold: 2,
    };
    Route::new(terms).unwrap()
}

/// The system contracts of block hashes and of beacon roots.
fn systems() -> [(Address, Vec<u8>); 2] {
    [
        (evm::HISTORY_ADDRESS, alloy_eips::eip2935::HISTORY_STORAGE_CODE.to_vec()),
        (alloy_eips::eip4788::BEACON_ROOTS_ADDRESS, alloy_eips::eip4788::BEACON_ROOTS_CODE.to_vec()),
    ]
}

fn port() -> Port {
    let receiver = user(2).address().create(0);
    let mut accounts = World::accounts(2);
    for (address, code) in systems() {
        accounts.insert(address, GenesisAccount { code: code.into(), ..GenesisAccount::default() });
    }
    let pinned = [(user(1).address(), S0), (user(2).address(), S1), (receiver, S1)];
    let of_shard_1 = systems().map(|(address, _)| (address, S1));
    let mut world = World::with_accounts(2, pinned.into_iter().chain(of_shard_1), &accounts);
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
        vouched(&route(gas_limit), message.packed(), time)
    }

    fn admit(&mut self, admission: &Verified<Admission>) -> Answer {
        self.world.ask(S1, |ticket| Input::Admit { ticket, admission: Box::new(admission.clone()) })
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
    let id = MessageId(message.v3_id());
    assert_eq!((delivery.message, delivery.origin, delivery.sender), (id, DOMAIN, message.sender));
    let life = queries::message(port.world.store(S1), id);
    assert_eq!(life.consumed.unwrap().delivery, delivery);
}

#[test]
fn a_foreign_message_attested_again_under_other_terms_is_still_one() {
    let mut port = port();
    let message = port.message(0);
    let first = Port::admission(&message, port.world.now, 300_000);
    let second = Port::admission(&message, Time(port.world.now.0 + 1), 400_000);
    assert_ne!(*first, *second);
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

#[test]
fn a_foreign_message_that_met_a_lock_runs_in_the_step_that_frees_it() {
    let mut port = port();
    let to_user = Message { recipient: user(2).address().into_word(), ..port.message(0) };
    let admission = Port::admission(&to_user, port.world.now, 300_000);
    let paying = port.world.transfer_beside(&user(2), &user(1), user(2).address(), ETHER);
    let mut prepare = port.world.attempt(&paying, 1);
    let votes = port.world.prepare_all(&mut prepare);
    let answer = port.admit(&admission);
    assert!(matches!(answer, Answer::DeliverRefused(DeliverRefusal::Busy(Busy::Locked { .. }))), "{answer:?}");
    port.world.decide(S1, &prepare.descriptor, &votes);
    assert_eq!(port.world.facts(S1, LeafKind::Delivery).len(), 1, "nobody had to bring it again");
    assert_eq!(delivered(&port.admit(&admission)), (DeliveryStatus::Delivered, Novelty::Already));
}

/// A Ping on shard 0 that has sent to the foreign chain, and what left.
fn sent() -> (Post, Message) {
    let (sender, receiver) = (user(1).address().create(0), user(2).address().create(0));
    let on = |seed, shard| (user(seed).address(), shard);
    let pinned = [on(1, S0), on(2, S1), on(3, S0), on(4, S1), (sender, S0), (receiver, S1)];
    let world = World::new(2, pinned).with_routes(vec![route(300_000), route_to(DOMAIN + 1, 300_000)]);
    let mut post = post_in(world);
    let deadline = Time(post.world.now.0 + 60_000);
    let fact = post.send_to_domain(DOMAIN, Address::repeat_byte(0xaa), U256::ZERO, deadline);
    let message = Message::from_fact(&fact).unwrap();
    (post, message)
}

fn processed(domain: u32, message: &Message) -> Processed {
    Processed { domain, origin: message.origin, id: message.v3_id() }
}

fn end(post: &mut Post, route: &Route, processed: Processed) -> Answer {
    let admission = vouched(route, processed.to_bytes(), post.world.now);
    post.world.ask(S0, |ticket| Input::Admit { ticket, admission: Box::new(admission.clone()) })
}

#[test]
fn a_message_that_left_ends_as_delivered_once_its_chains_attestors_say_so() {
    let (mut post, message) = sent();
    let open = queries::message(post.world.store(S0), MessageId(message.v3_id()));
    assert_eq!(open.sent.as_ref().map(|sent| (&sent.message, sent.end.is_none())), Some((&message, true)));
    let answer = end(&mut post, &route(300_000), processed(DOMAIN, &message));
    assert!(matches!(answer, Answer::Acknowledged { novelty: Novelty::New, .. }), "{answer:?}");
    assert_eq!(post.world.slot(post.ping, 3), U256::from(1), "its sender was told");
    post.world.restart(S0);
    let again = end(&mut post, &route(300_000), processed(DOMAIN, &message));
    assert!(matches!(again, Answer::Acknowledged { novelty: Novelty::Already, .. }), "{again:?}");
    assert_eq!(post.world.slot(post.ping, 3), U256::from(1), "once");
    let life = queries::message(post.world.store(S0), message.id());
    let told = life.sent.unwrap().end.unwrap();
    assert_eq!((told.handler, told.delivery.status), (HandlerEnd::Ran, DeliveryStatus::Delivered));
    assert_eq!(told.delivery.destination, DOMAIN);
}

#[test]
fn a_message_that_left_has_no_end_by_a_clock() {
    let (mut post, message) = sent();
    post.world.wait(3_600_000);
    post.world.step(S0, vec![crate::Input::Tick]);
    assert!(queries::message(post.world.store(S0), message.id()).sent.unwrap().end.is_none());
    let answer = end(&mut post, &route(300_000), processed(DOMAIN, &message));
    assert!(matches!(answer, Answer::Acknowledged { novelty: Novelty::New, .. }), "late is not refunded: {answer:?}");
}

#[test]
fn the_end_of_a_message_that_never_left_is_refused() {
    let (mut post, message) = sent();
    let stranger = Processed { id: B256::repeat_byte(5), ..processed(DOMAIN, &message) };
    let answer = end(&mut post, &route(300_000), stranger);
    let refused = AcknowledgeRefusal::UnknownMessage { message: MessageId(stranger.id) };
    assert_eq!(answer, Answer::AcknowledgeRefused(refused));
}

#[test]
fn another_chain_does_not_say_how_a_message_ended() {
    let (mut post, message) = sent();
    let answer = end(&mut post, &route_to(DOMAIN + 1, 300_000), processed(DOMAIN + 1, &message));
    let refused = AcknowledgeRefusal::WrongDestination { expected: DOMAIN, actual: DOMAIN + 1 };
    assert_eq!(answer, Answer::AcknowledgeRefused(refused));
    assert!(queries::message(post.world.store(S0), message.id()).sent.unwrap().end.is_none());
}

#[test]
fn an_end_that_met_a_lock_is_told_in_the_step_that_frees_it() {
    let (mut post, message) = sent();
    // User 2 of shard 1 has read what the handler writes, and that is undecided.
    let call = alloy_primitives::keccak256("deliveredCount()")[..4].to_vec();
    let reading = post.world.sign(&user(2), TxKind::Call(post.ping), U256::ZERO, call);
    let reading = post.world.beside_home_of(&user(3), reading);
    let mut prepare = post.world.attempt(&reading, 1);
    let votes = post.world.prepare_all(&mut prepare);
    let answer = end(&mut post, &route(300_000), processed(DOMAIN, &message));
    assert!(matches!(answer, Answer::AcknowledgeRefused(AcknowledgeRefusal::Busy(Busy::Locked { .. }))), "{answer:?}");
    post.world.decide(S0, &prepare.descriptor, &votes);
    assert_eq!(post.world.slot(post.ping, 3), U256::from(1), "nobody had to bring it again");
}

#[test]
fn poly_a_message_to_the_mailbox_or_to_no_contract_of_this_shard_changes_nothing() {
    let mut port = port();
    let before = port.world.supply();
    let precompiles = [1, 2, 4, 0x0a, 0x11].map(Address::with_last_byte);
    let systems = systems().map(|(address, _)| address);
    let others = [evm::mailbox_address(S1), evm::mailbox_address(S0), user(1).address()];
    let mut nonce = 0;
    let mut status = |port: &mut Port, recipient: &Address| {
        let message = Message { recipient: recipient.into_word(), ..port.message(nonce) };
        nonce += 1;
        let (status, novelty) = delivered(&port.admit(&Port::admission(&message, port.world.now, 300_000)));
        assert_eq!(novelty, Novelty::New, "{recipient}");
        status
    };
    for recipient in systems.iter().chain(&others) {
        assert_eq!(status(&mut port, recipient), DeliveryStatus::Failed, "{recipient}");
    }
    // A call to a precompile may succeed, as anybody's: there is nothing in it to change.
    let ends = precompiles.map(|precompile| status(&mut port, &precompile));
    assert!(ends.contains(&DeliveryStatus::Delivered), "one of them is on this shard: {ends:?}");
    assert_eq!(port.world.supply(), before);
    assert!(port.world.facts(S1, LeafKind::Message).is_empty(), "nobody speaks in the mailbox's name");
}

/// By what a shard believes an input; one of a new kind does not compile before it is named here.
fn believed_by(input: &Input) -> &'static str {
    let receipt = |_: &Verified<Fact>| "a certified receipt";
    let quorum = |_: &Verified<Admission>| "a quorum of attestors";
    let votes = |_: &[Verified<VoteProof>]| "certified votes";
    match input {
        Input::Deliver { fact, .. } | Input::Acknowledge { fact, .. } => receipt(fact),
        Input::Admit { admission, .. } => quorum(admission),
        Input::Votes(proofs) => votes(proofs),
        Input::Local { .. } | Input::Prepare { .. } | Input::AbortRequest { .. } | Input::Decision { .. } => {
            "transactions and attempts, which bring no message"
        }
        Input::Sighting { .. } | Input::Recall { .. } | Input::CountLocks { .. } => "questions, which write no state",
        Input::StateRoots(_) | Input::Forget { .. } | Input::Attest { .. } | Input::Tick => "the shard itself",
        Input::Base { .. } | Input::Cheat { .. } => "networks for development alone",
    }
}

#[test]
fn crosscurve_lifi_every_path_of_a_message_into_a_shard_passes_the_one_verifier() {
    let mut port = port();
    let message = port.message(0);
    let admission = Box::new(Port::admission(&message, port.world.now, 300_000));
    let ticket = Ticket(0);
    assert_eq!(believed_by(&Input::Admit { ticket, admission: admission.clone() }), "a quorum of attestors");
    // The same message under a thief's route and all of his signatures makes no such thing, so there is nothing to hand in.
    let thiefs = [21, 22, 23].map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap());
    let attestors = thiefs.iter().map(SecretKey::public).collect();
    let his = Route::new(RouteTerms { attestors, ..route(300_000).terms().clone() }).unwrap();
    let forged = said(&his, &thiefs, message.packed(), port.world.now);
    assert!(Verified::<Admission>::by(&ForeignVerifier::new(NETWORK, None, &[route(300_000)]), forged).is_err());
    assert_eq!(delivered(&port.admit(&admission)), (DeliveryStatus::Delivered, Novelty::New));
    let [fact] = &port.world.facts(S1, LeafKind::Delivery)[..] else { panic!("one delivery") };
    let fact = Box::new(fact.clone());
    assert_eq!(believed_by(&Input::Deliver { ticket, fact: fact.clone() }), "a certified receipt");
    assert_eq!(believed_by(&Input::Acknowledge { ticket, fact }), "a certified receipt");
    assert_eq!(believed_by(&Input::Votes(Vec::new())), "certified votes");
}
