//! Messages between contracts of two shards, their value, and relays that repeat themselves.

use super::world::{ETHER, NETWORK, S0, S1, World, artifact, user};
use crate::spaces::CONSUMED;
use crate::{AcknowledgeRefusal, Answer, Busy, DeliverRefusal, HandlerEnd, Input, LocalRefusal, Novelty, queries};
use alloy_primitives::{Address, B256, TxKind, U256, keccak256};
use commit::{Refusal, Verdict};
use evm::SystemTransaction;
use primitives::{ShardId, Slot, Time, Verified};
use proof::{DeliveryStatus, Fact, LeafKind, MessageId, domain_of};

/// A network with a Ping on shard 0 and a Pong on shard 1, deployed by ordinary transactions.
pub(super) struct Post {
    pub(super) world: World,
    pub(super) ping: Address,
    pub(super) pong: Address,
}

fn selector(signature: &str) -> Vec<u8> {
    keccak256(signature)[..4].to_vec()
}

fn word(value: u64) -> [u8; 32] {
    U256::from(value).to_be_bytes::<32>()
}

pub(super) fn post() -> Post {
    let (sender, receiver) = (user(1).address().create(0), user(2).address().create(0));
    let on = |seed, shard| (user(seed).address(), shard);
    post_in(World::new(2, [on(1, S0), on(2, S1), on(3, S0), on(4, S1), on(5, S1), (sender, S0), (receiver, S1)]))
}

/// The same in this network, where user 1 and the Ping are on shard 0, user 2 and the Pong on shard 1.
pub(super) fn post_in(mut world: World) -> Post {
    let (sender, receiver) = (user(1).address().create(0), user(2).address().create(0));
    for (seed, shard, name) in [(1, S0, "Ping"), (2, S1, "Pong")] {
        let code = [artifact(name, "bytecode"), evm::mailbox_address(shard).into_word().to_vec()].concat();
        let payload = world.payload(&[world.sign(&user(seed), TxKind::Create, U256::ZERO, code)]);
        let outcomes = world.local(shard, &payload);
        assert_eq!(outcomes[0].outcome.status, evm::Status::Success);
    }
    Post { world, ping: sender, pong: receiver }
}

impl Post {
    /// Ping sends `body` to `to` on shard 1 with value; the message leaf as a fact.
    pub(super) fn send(&mut self, to: Address, value: U256, deadline: Time) -> Verified<Fact> {
        self.send_to_domain(domain_of(NETWORK, S1), to, value, deadline)
    }

    /// The same to a contract of this domain.
    pub(super) fn send_to_domain(&mut self, domain: u32, to: Address, value: U256, deadline: Time) -> Verified<Fact> {
        let sent = self.world.facts(S0, LeafKind::Message).len();
        self.dispatch(domain, to, (value, b"hello"), deadline);
        let mut facts = self.world.facts(S0, LeafKind::Message);
        assert_eq!(facts.len(), sent + 1);
        facts.remove(sent)
    }

    /// Ping sends this value and body to a contract of this domain.
    pub(super) fn dispatch(&mut self, domain: u32, to: Address, (value, body): (U256, &[u8]), deadline: Time) {
        let mut call = selector("send(uint32,bytes32,bytes,uint64,uint64)");
        call.extend(word(u64::from(domain)));
        call.extend(to.into_word());
        call.extend(word(5 * 32_u64));
        call.extend(word(500_000_u64));
        call.extend(word(deadline.0));
        call.extend(word(body.len() as u64));
        call.extend(body);
        call.extend(vec![0; body.len().next_multiple_of(32) - body.len()]);
        let bytes = self.world.sign(&user(1), TxKind::Call(self.ping), value, call);
        let payload = self.world.payload(&[bytes]);
        let outcomes = self.world.local(S0, &payload);
        assert_eq!(outcomes[0].outcome.status, evm::Status::Success, "{:?}", outcomes[0].outcome);
    }

    fn refuse_all(&mut self) {
        let call = [selector("setRefusing(bool)"), word(1_u64).to_vec()].concat();
        let payload = self.world.payload(&[self.world.sign(&user(2), TxKind::Call(self.pong), U256::ZERO, call)]);
        self.world.local(S1, &payload);
    }

    fn received_count(&self) -> U256 {
        self.world.slot(self.pong, 0)
    }

    pub(super) fn soon(&self) -> Time {
        Time(self.world.now.0 + 60_000)
    }
}

fn delivered(answer: &Answer) -> (DeliveryStatus, Novelty) {
    match answer {
        Answer::Delivered { delivery, novelty, .. } => (delivery.status, *novelty),
        other => panic!("not delivered: {other:?}"),
    }
}

pub(super) fn id_of(fact: &Fact) -> MessageId {
    proof::Message::from_fact(fact).unwrap().id()
}

#[test]
fn a_message_runs_once_however_often_it_is_delivered() {
    let mut post = post();
    let deadline = post.soon();
    let fact = post.send(post.pong, U256::ZERO, deadline);
    let first = post.world.deliver(S1, &fact);
    assert_eq!(delivered(&first), (DeliveryStatus::Delivered, Novelty::New));
    post.world.restart(S1);
    let again = post.world.deliver(S1, &fact);
    assert_eq!(delivered(&again), (DeliveryStatus::Delivered, Novelty::Already));
    let receipts = |answer: &Answer| match answer {
        Answer::Delivered { receipt, .. } => receipt.clone(),
        _ => panic!(),
    };
    assert_eq!(receipts(&first), receipts(&again));
    assert_eq!(post.received_count(), U256::from(1));
}

#[test]
fn what_a_delivery_and_an_acknowledgement_called_is_found_by_their_ids() {
    let mut post = post();
    let deadline = post.soon();
    for _ in 0..3 {
        let fact = post.send(post.pong, ETHER, deadline);
        let answer = post.world.deliver(S1, &fact);
        let delivery = post.world.delivery_fact(&answer);
        post.world.acknowledge(S0, &delivery);
    }
    for (shard, target, function) in
        [(S1, post.pong, "handle(uint32,bytes32,bytes)"), (S0, post.ping, "handleDelivery(bytes32,uint8)")]
    {
        let store = post.world.store(shard);
        let page = queries::outcomes(store, queries::OutcomeCursor::at(Slot(0)), Slot(u64::MAX), 1_000).unwrap();
        let own: Vec<_> = page.outcomes.iter().filter(|record| record.bytes.is_empty()).collect();
        assert_eq!(own.len(), 3);
        for record in own {
            match queries::own_call(store, record.transaction) {
                Some(SystemTransaction::Call { caller, target: called, input, .. }) => {
                    assert_eq!((caller, called), (evm::mailbox_address(shard), target));
                    assert_eq!(input[..4], selector(function));
                }
                other => panic!("{other:?}"),
            }
        }
        let signed = page.outcomes.iter().find(|record| !record.bytes.is_empty()).unwrap();
        assert_eq!(queries::own_call(store, signed.transaction), None);
        assert_eq!(queries::own_call(store, B256::repeat_byte(9)), None);
    }
}

#[test]
fn a_message_delivered_twice_in_one_batch_runs_once() {
    let mut post = post();
    let deadline = post.soon();
    let fact = post.send(post.pong, U256::ZERO, deadline);
    let deliver = |ticket| Input::Deliver { ticket: crate::Ticket(ticket), fact: Box::new(fact.clone()) };
    let answers = post.world.step(S1, vec![deliver(1), deliver(2)]).unwrap();
    assert_eq!(delivered(&answers[0]), (DeliveryStatus::Delivered, Novelty::New));
    assert_eq!(delivered(&answers[1]), (DeliveryStatus::Delivered, Novelty::Already));
    assert_eq!(post.received_count(), U256::from(1));
}

#[test]
fn value_travels_with_a_message_and_is_conserved() {
    let mut post = post();
    let supply = post.world.supply();
    let deadline = post.soon();
    let fact = post.send(post.pong, ETHER, deadline);
    assert_eq!(post.world.balance(evm::mailbox_address(S0)), ETHER, "held by the mailbox");
    let answer = post.world.deliver(S1, &fact);
    assert_eq!(post.world.balance(post.pong), ETHER);
    assert_eq!(post.world.supply(), supply + ETHER, "minted there, not yet burnt here");
    let delivery = post.world.delivery_fact(&answer);
    let acknowledged = post.world.acknowledge(S0, &delivery);
    assert!(matches!(acknowledged, Answer::Acknowledged { novelty: Novelty::New, .. }), "{acknowledged:?}");
    assert_eq!(post.world.balance(evm::mailbox_address(S0)), U256::ZERO);
    assert_eq!(post.world.supply(), supply);
}

#[test]
fn an_acknowledgement_is_taken_once() {
    let mut post = post();
    let deadline = post.soon();
    let fact = post.send(post.pong, ETHER, deadline);
    let answer = post.world.deliver(S1, &fact);
    let delivery = post.world.delivery_fact(&answer);
    post.world.acknowledge(S0, &delivery);
    post.world.restart(S0);
    let batches = post.world.batches;
    let again = post.world.acknowledge(S0, &delivery);
    assert!(matches!(again, Answer::Acknowledged { novelty: Novelty::Already, .. }), "{again:?}");
    assert_eq!(post.world.batches, batches);
    let life = queries::message(post.world.store(S0), id_of(&fact));
    assert_eq!(life.sent.unwrap().end.unwrap().handler, HandlerEnd::Ran);
    assert_eq!(post.world.slot(post.ping, 3), U256::from(1), "deliveredCount");
}

#[test]
fn a_poisonous_recipient_fails_alone_and_its_sender_is_refunded() {
    let mut post = post();
    post.refuse_all();
    let supply = post.world.supply();
    let deadline = post.soon();
    let poison = post.send(post.pong, ETHER, deadline);
    let plain = post.send(user(2).address(), ETHER, deadline);
    let answer = post.world.deliver(S1, &poison);
    assert_eq!(delivered(&answer), (DeliveryStatus::Failed, Novelty::New));
    assert_eq!(post.world.balance(post.pong), U256::ZERO);
    let next = post.world.deliver(S1, &plain);
    assert_eq!(delivered(&next), (DeliveryStatus::Delivered, Novelty::New));
    for answer in [answer, next] {
        let delivery = post.world.delivery_fact(&answer);
        post.world.acknowledge(S0, &delivery);
    }
    assert_eq!(post.world.balance(post.ping), ETHER, "given back with the call");
    assert_eq!(post.world.slot(post.ping, 4), U256::from(1), "failedCount");
    assert_eq!(post.world.supply(), supply);
}

#[test]
fn an_expired_message_is_refused_and_refunded() {
    let mut post = post();
    let deadline = Time(post.world.now.0 + 5_000);
    let fact = post.send(post.pong, ETHER, deadline);
    post.world.wait(5_001);
    let answer = post.world.deliver(S1, &fact);
    assert_eq!(delivered(&answer), (DeliveryStatus::Expired, Novelty::New));
    assert_eq!(post.received_count(), U256::ZERO);
    let delivery = post.world.delivery_fact(&answer);
    post.world.acknowledge(S0, &delivery);
    assert_eq!(post.world.balance(post.ping), ETHER);
    assert_eq!(post.world.slot(post.ping, 5), U256::from(1), "expiredCount");
}

#[test]
fn a_refund_reaches_a_sender_whose_handler_fails() {
    // A user is the sender, so there is no handler at all; the value comes back nevertheless.
    let mut post = post();
    post.refuse_all();
    let before = post.world.balance(user(3).address());
    let mut call = selector("dispatch(uint32,bytes32,bytes,uint64,uint64)");
    call.extend(word(u64::from(domain_of(NETWORK, S1))));
    call.extend(post.pong.into_word());
    call.extend(word(5 * 32_u64));
    call.extend(word(500_000_u64));
    call.extend(word(post.soon().0));
    call.extend(word(0_u64));
    let bytes = post.world.sign(&user(3), TxKind::Call(evm::mailbox_address(S0)), ETHER, call);
    let payload = post.world.payload(&[bytes]);
    let gas = post.world.local(S0, &payload)[0].outcome.gas_used;
    let fact = post.world.facts(S0, LeafKind::Message).remove(0);
    let answer = post.world.deliver(S1, &fact);
    let delivery = post.world.delivery_fact(&answer);
    post.world.acknowledge(S0, &delivery);
    assert_eq!(post.world.balance(user(3).address()), before - U256::from(gas * 10));
    let life = queries::message(post.world.store(S0), id_of(&fact));
    assert_eq!(life.sent.unwrap().end.unwrap().handler, HandlerEnd::NoCode);
}

/// A contract that sends on whatever it is called with, but reverts when the mailbox of its shard calls it.
fn grudge(mailbox: Address) -> Vec<u8> {
    let mut code = vec![0x73];
    code.extend(mailbox);
    code.extend([0x33, 0x14, 0x60, 0x42, 0x57]); // caller == mailbox: jump to 0x42
    code.extend([0x36, 0x60, 0, 0x60, 0, 0x37]); // the call data to memory
    code.extend([0x60, 0, 0x60, 0, 0x36, 0x60, 0, 0x34, 0x73]); // call(gas, mailbox, value, 0, size, 0, 0)
    code.extend(mailbox);
    code.extend([0x5a, 0xf1, 0x50, 0x00]);
    code.resize(0x42, 0x00);
    code.extend([0x5b, 0x60, 0, 0x60, 0, 0xfd]);
    code
}

#[test]
fn a_sender_whose_handler_reverts_gets_its_value_nevertheless() {
    let sender = Address::repeat_byte(0x96);
    let nobody = Address::repeat_byte(0x97);
    let mut accounts: crate::GenesisAccounts = [
        (user(1).address(), crate::GenesisAccount { balance: ETHER * U256::from(9), ..Default::default() }),
        (sender, crate::GenesisAccount { code: grudge(evm::mailbox_address(S0)).into(), ..Default::default() }),
    ]
    .into();
    for shard in [S0, S1] {
        let code = super::world::mailbox_code().into();
        accounts.insert(evm::mailbox_address(shard), crate::GenesisAccount { code, ..Default::default() });
    }
    // The recipient is not on the shard that the message goes to, so it fails.
    let pinned = [(user(1).address(), S0), (sender, S0), (nobody, S0)];
    let mut world = World::with_accounts(2, pinned, &accounts);
    let supply = world.supply();
    let mut call = selector("dispatch(uint32,bytes32,bytes,uint64,uint64)");
    call.extend(word(u64::from(domain_of(NETWORK, S1))));
    call.extend(nobody.into_word());
    for value in [5 * 32, 100_000, world.now.0 + 60_000, 0] {
        call.extend(word(value));
    }
    let payload = world.payload(&[world.sign(&user(1), TxKind::Call(sender), ETHER, call)]);
    world.local(S0, &payload);
    let fact = world.facts(S0, LeafKind::Message).remove(0);
    let answer = world.deliver(S1, &fact);
    assert_eq!(delivered(&answer), (DeliveryStatus::Failed, Novelty::New));
    let delivery = world.delivery_fact(&answer);
    world.acknowledge(S0, &delivery);
    let life = queries::message(world.store(S0), id_of(&fact));
    assert_eq!(life.sent.unwrap().end.unwrap().handler, HandlerEnd::Failed);
    assert_eq!(world.balance(sender), ETHER);
    assert_eq!(world.supply(), supply);
}

/// The call of a mailbox's `dispatch` to `to` on shard 1.
fn dispatch_to(to: Address, deadline: Time) -> Vec<u8> {
    let mut call = selector("dispatch(uint32,bytes32,bytes,uint64,uint64)");
    call.extend(word(u64::from(domain_of(NETWORK, S1))));
    call.extend(to.into_word());
    for value in [5 * 32, 500_000, deadline.0, 0] {
        call.extend(word(value));
    }
    call
}

/// A user of shard 1 sends an ether through shard 0's mailbox to shard 1's contract.
fn send_from_elsewhere(post: &mut Post) {
    let call = dispatch_to(post.pong, post.soon());
    let payload = post.world.payload(&[post.world.sign(&user(4), TxKind::Call(evm::mailbox_address(S0)), ETHER, call)]);
    post.world.commit(&payload);
}

/// The messages that shard 0 has sent by now, and what became of the last when shard 1 was told.
fn last_of(world: &mut World, deliver_to: ShardId) -> (Verified<Fact>, Answer) {
    let fact = world.facts(S0, LeafKind::Message).pop().unwrap();
    let answer = world.deliver(deliver_to, &fact);
    (fact, answer)
}

#[test]
fn a_refund_follows_its_sender_to_another_shard() {
    let mut post = post();
    post.refuse_all();
    let (sender, supply) = (user(4).address(), post.world.supply());
    send_from_elsewhere(&mut post);
    let (sent, answer) = last_of(&mut post.world, S1);
    assert_eq!(delivered(&answer), (DeliveryStatus::Failed, Novelty::New));
    let before = post.world.balance(sender);
    let failed = post.world.delivery_fact(&answer);
    post.world.acknowledge(S0, &failed);
    let totals = queries::value_totals(post.world.store(S0));
    assert_eq!((totals.in_flight, totals.burnt), (ETHER, U256::ZERO), "held for the next message");
    assert_eq!(post.world.balance(evm::mailbox_address(S0)), ETHER);
    assert_eq!(post.world.supply(), supply);

    let life = queries::message(post.world.store(S0), id_of(&sent));
    let (back, answer) = last_of(&mut post.world, S1);
    assert_eq!(life.sent.unwrap().end.unwrap().handler, HandlerEnd::Returned(id_of(&back)));
    assert_eq!(delivered(&answer), (DeliveryStatus::Delivered, Novelty::New));
    assert_eq!(post.world.balance(sender), before + ETHER);
    assert_eq!(post.world.supply(), supply + ETHER, "minted there, not yet burnt here");
    let again = post.world.deliver(S1, &back);
    assert_eq!(delivered(&again), (DeliveryStatus::Delivered, Novelty::Already));
    let came = post.world.delivery_fact(&answer);
    for novelty in [Novelty::New, Novelty::Already] {
        let Answer::Acknowledged { novelty: is, .. } = post.world.acknowledge(S0, &came) else { panic!() };
        assert_eq!(is, novelty);
        let twice = post.world.acknowledge(S0, &failed);
        assert!(matches!(twice, Answer::Acknowledged { novelty: Novelty::Already, .. }), "{twice:?}");
    }
    assert_eq!(post.world.balance(sender), before + ETHER);
    assert_eq!(post.world.supply(), supply);
    let totals = queries::value_totals(post.world.store(S0));
    assert_eq!((totals.in_flight, totals.burnt), (U256::ZERO, ETHER));
    assert_eq!(post.world.facts(S0, LeafKind::Message).len(), 2, "a return is not returned");
}

#[test]
fn a_message_of_a_sender_elsewhere_that_arrives_returns_nothing() {
    let mut post = post();
    let supply = post.world.supply();
    send_from_elsewhere(&mut post);
    let (sent, answer) = last_of(&mut post.world, S1);
    assert_eq!(delivered(&answer), (DeliveryStatus::Delivered, Novelty::New));
    let came = post.world.delivery_fact(&answer);
    post.world.acknowledge(S0, &came);
    let life = queries::message(post.world.store(S0), id_of(&sent));
    assert_eq!(life.sent.unwrap().end.unwrap().handler, HandlerEnd::Elsewhere);
    assert_eq!((post.world.balance(post.pong), post.world.supply()), (ETHER, supply));
    assert_eq!(post.world.facts(S0, LeafKind::Message).len(), 1);
}

/// A contract of shard 1 that sends on through shard 0's mailbox whatever it is called with, and whose own mailbox tells it how that
/// ended: it takes what comes with that, and keeps it in its first slot, or reverts.
fn traveller(takes: bool) -> Vec<u8> {
    let mut code = vec![0x73];
    code.extend(evm::mailbox_address(S1));
    code.extend([0x33, 0x14, 0x60, 0x42, 0x57]); // caller == own mailbox: jump to 0x42
    code.extend([0x36, 0x60, 0, 0x60, 0, 0x37]); // the call data to memory
    code.extend([0x60, 0, 0x60, 0, 0x36, 0x60, 0, 0x34, 0x73]); // call(gas, mailbox, value, 0, size, 0, 0)
    code.extend(evm::mailbox_address(S0));
    code.extend([0x5a, 0xf1, 0x50, 0x00]);
    code.resize(0x42, 0x00);
    let end: &[u8] =
        if takes { &[0x34, 0x60, 0, 0x55, 0x60, 0x24, 0x35, 0x60, 1, 0x55] } else { &[0x60, 0, 0x60, 0, 0xfd] };
    code.push(0x5b);
    code.extend(end); // slot 0: the value; slot 1: the status
    code
}

#[test]
fn a_contract_elsewhere_is_told_with_its_refund_or_gets_it_nevertheless() {
    for takes in [true, false] {
        let sender = Address::repeat_byte(0x96);
        let mailbox = crate::GenesisAccount { code: super::world::mailbox_code().into(), ..Default::default() };
        let accounts: crate::GenesisAccounts = [
            (user(1).address(), crate::GenesisAccount { balance: ETHER * U256::from(9), ..Default::default() }),
            (sender, crate::GenesisAccount { code: traveller(takes).into(), ..Default::default() }),
            (evm::mailbox_address(S0), mailbox.clone()),
            (evm::mailbox_address(S1), mailbox),
        ]
        .into();
        let mut world = World::with_accounts(2, [(user(1).address(), S0), (sender, S1)], &accounts);
        let supply = world.supply();
        // The recipient is not on the shard that the message goes to, so it fails.
        let call = dispatch_to(user(1).address(), Time(world.now.0 + 60_000));
        let payload = world.payload(&[world.sign(&user(1), TxKind::Call(sender), ETHER, call)]);
        world.commit(&payload);
        let (_, answer) = last_of(&mut world, S1);
        assert_eq!(delivered(&answer), (DeliveryStatus::Failed, Novelty::New));
        let failed = world.delivery_fact(&answer);
        world.acknowledge(S0, &failed);
        let (_, answer) = last_of(&mut world, S1);
        assert_eq!(delivered(&answer), (DeliveryStatus::Delivered, Novelty::New), "takes: {takes}");
        let came = world.delivery_fact(&answer);
        world.acknowledge(S0, &came);
        assert_eq!((world.balance(sender), world.supply()), (ETHER, supply));
        let told = (world.slot(sender, 0), world.slot(sender, 1));
        let expected = if takes { (ETHER, U256::from(DeliveryStatus::Failed as u8)) } else { Default::default() };
        assert_eq!(told, expected);
    }
}

#[test]
fn a_refund_outlasts_every_lock_and_every_deadline() {
    let mut post = post();
    post.refuse_all();
    let (sender, supply) = (user(4).address(), post.world.supply());
    send_from_elsewhere(&mut post);
    let (_, answer) = last_of(&mut post.world, S1);
    let failed = post.world.delivery_fact(&answer);
    post.world.acknowledge(S0, &failed);
    // An undecided attempt holds the sender's account; an hour later the refund waits for it still.
    let payload = post.world.transfer_beside(&user(4), &user(1), sender, ETHER);
    let mut prepare = post.world.attempt(&payload, 1);
    let votes = post.world.prepare_all(&mut prepare);
    post.world.wait(3_600_000);
    let before = post.world.balance(sender);
    let (back, answer) = last_of(&mut post.world, S1);
    assert!(matches!(answer, Answer::DeliverRefused(DeliverRefusal::Busy(Busy::Locked { .. }))), "{answer:?}");
    for shard in [S0, S1] {
        post.world.decide(shard, &prepare.descriptor, &votes);
    }
    let answer = post.world.deliver(S1, &back);
    let Answer::Delivered { delivery, .. } = &answer else { panic!("{answer:?}") };
    assert_eq!(delivery.status, DeliveryStatus::Delivered);
    let fee = U256::from(21_000 * 10); // Of its own transaction in that attempt.
    assert_eq!(post.world.balance(sender), before + ETHER + ETHER - fee);
    let came = post.world.delivery_fact(&answer);
    post.world.acknowledge(S0, &came);
    assert_eq!(post.world.supply(), supply);
}

#[test]
fn a_recipient_that_calls_beyond_its_shard_fails() {
    let mut post = post();
    let deadline = post.soon();
    // Ping's address as recipient on shard 1 would be on shard 0; a relay of calls on shard 1 that leaves it is `grudge`.
    let caller = Address::repeat_byte(0x98);
    let accounts: crate::GenesisAccounts = [
        (user(1).address(), crate::GenesisAccount { balance: ETHER * U256::from(9), ..Default::default() }),
        (
            evm::mailbox_address(S0),
            crate::GenesisAccount { code: super::world::mailbox_code().into(), ..Default::default() },
        ),
        (caller, crate::GenesisAccount { code: grudge(evm::mailbox_address(S0)).into(), ..Default::default() }),
    ]
    .into();
    post.world = World::with_accounts(2, [(user(1).address(), S0), (caller, S1)], &accounts);
    let mut call = selector("dispatch(uint32,bytes32,bytes,uint64,uint64)");
    call.extend(word(u64::from(domain_of(NETWORK, S1))));
    call.extend(caller.into_word());
    for value in [5 * 32, 100_000, deadline.0, 0] {
        call.extend(word(value));
    }
    let payload = post.world.payload(&[post.world.sign(&user(1), TxKind::Call(evm::mailbox_address(S0)), ETHER, call)]);
    post.world.local(S0, &payload);
    let fact = post.world.facts(S0, LeafKind::Message).remove(0);
    let answer = post.world.deliver(S1, &fact);
    let Answer::Delivered { delivery, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(delivery.status, DeliveryStatus::Failed);
    assert_eq!(delivery.detail, b"the recipient called beyond its shard");
}

#[test]
fn a_message_for_another_shard_is_refused() {
    let mut post = post();
    let deadline = post.soon();
    let fact = post.send(post.pong, U256::ZERO, deadline);
    let answer = post.world.deliver(S0, &fact);
    assert!(matches!(answer, Answer::DeliverRefused(DeliverRefusal::WrongDestination { .. })), "{answer:?}");
}

#[test]
fn a_leaf_of_another_kind_is_no_message_and_no_delivery() {
    let mut post = post();
    let deadline = post.soon();
    let message = post.send(post.pong, U256::ZERO, deadline);
    let outcome = post.world.facts(S0, LeafKind::Outcome).remove(0);
    let answer = post.world.deliver(S1, &outcome);
    assert!(matches!(answer, Answer::DeliverRefused(DeliverRefusal::Message(_))), "{answer:?}");
    let answer = post.world.acknowledge(S0, &message);
    assert!(matches!(answer, Answer::AcknowledgeRefused(AcknowledgeRefusal::Message(_))), "{answer:?}");
}

#[test]
fn the_end_of_a_message_nobody_sent_is_refused() {
    let mut post = post();
    let deadline = post.soon();
    let fact = post.send(post.pong, U256::ZERO, deadline);
    let answer = post.world.deliver(S1, &fact);
    let delivery = post.world.delivery_fact(&answer);
    let refused = post.world.acknowledge(S1, &delivery);
    assert_eq!(refused, Answer::AcknowledgeRefused(AcknowledgeRefusal::UnknownMessage { message: id_of(&fact) }));
}

#[test]
fn a_locked_recipient_makes_the_relay_try_again_and_nothing_else() {
    let mut post = post();
    let deadline = post.soon();
    let fact = post.send(post.pong, U256::ZERO, deadline);
    // An undecided attempt from shard 0 calls Pong, which reverts: Pong's account is only read.
    let payload = post.world.payload(&[post.world.sign(&user(3), TxKind::Call(post.pong), ETHER, Vec::new())]);
    let mut prepare = post.world.attempt(&payload, 1);
    let votes = post.world.prepare_all(&mut prepare);
    let answer = post.world.deliver(S1, &fact);
    assert!(matches!(answer, Answer::Delivered { .. }), "a shared lock on the account is no conflict: {answer:?}");
    for shard in [S0, S1] {
        post.world.decide(shard, &prepare.descriptor, &votes);
    }
    let fact = post.send(user(2).address(), U256::from(5), deadline);
    let paying = post.world.transfer_beside(&user(4), &user(3), user(2).address(), ETHER);
    let mut prepare = post.world.attempt(&paying, 1);
    let votes = post.world.prepare_all(&mut prepare);
    let answer = post.world.deliver(S1, &fact);
    assert!(matches!(answer, Answer::DeliverRefused(DeliverRefusal::Busy(Busy::Locked { .. }))), "{answer:?}");
    assert_eq!(post.world.store(S1).count(CONSUMED), 1);
    for shard in [S0, S1] {
        post.world.decide(shard, &prepare.descriptor, &votes);
    }
    assert_eq!(delivered(&post.world.deliver(S1, &fact)), (DeliveryStatus::Delivered, Novelty::Already));
}

#[test]
fn a_message_that_met_a_lock_runs_in_the_step_that_frees_it() {
    let mut post = post();
    let deadline = post.soon();
    let fact = post.send(user(2).address(), U256::from(5), deadline);
    let paying = post.world.transfer_beside(&user(4), &user(3), user(2).address(), ETHER);
    let mut prepare = post.world.attempt(&paying, 1);
    let votes = post.world.prepare_all(&mut prepare);
    post.world.deliver(S1, &fact);
    let before = post.world.balance(user(2).address());
    post.world.decide(S1, &prepare.descriptor, &votes);
    assert_eq!(post.world.balance(user(2).address()), before + ETHER + U256::from(5));
    assert_eq!(post.world.facts(S1, LeafKind::Delivery).len(), 1, "its delivery is in the outbox for any relay");
}

#[test]
fn an_acknowledgement_that_met_a_lock_settles_in_the_step_that_frees_it() {
    let mut post = post();
    let deadline = post.soon();
    post.refuse_all();
    let fact = post.send(post.pong, ETHER, deadline);
    let answer = post.world.deliver(S1, &fact);
    let delivery = post.world.delivery_fact(&answer);
    // User 2 of shard 1 pays Ping, which is the sender that the value goes back to.
    let paying = post.world.transfer_beside(&user(3), &user(2), post.ping, ETHER);
    let mut prepare = post.world.attempt(&paying, 1);
    let votes = post.world.prepare_all(&mut prepare);
    let refused = post.world.acknowledge(S0, &delivery);
    assert!(matches!(refused, Answer::AcknowledgeRefused(AcknowledgeRefusal::Busy(_))), "{refused:?}");
    post.world.decide(S0, &prepare.descriptor, &votes);
    assert_eq!(post.world.balance(evm::mailbox_address(S0)), U256::ZERO);
}

#[test]
fn a_message_is_not_starved_by_readers_that_follow_each_other_without_a_gap() {
    let mut post = post();
    let deadline = post.soon();
    // Value for Pong needs its account alone; whoever calls Pong and reverts shares it.
    let fact = post.send(post.pong, ETHER, deadline);
    let mut standing = None;
    for round in 0..40 {
        let reader = user(if round % 2 == 0 { 1 } else { 3 });
        let also = user(if round % 2 == 0 { 4 } else { 5 });
        let read = post.world.sign(&reader, TxKind::Call(post.pong), ETHER, Vec::new());
        let mut prepare = post.world.attempt(&post.world.beside_home_of(&also, read), 1);
        let votes = post.world.prepare_all(&mut prepare);
        if let Some((descriptor, votes)) = standing.replace((prepare.descriptor, votes)) {
            for shard in [S0, S1] {
                post.world.decide(shard, &descriptor, &votes);
            }
        }
        let answer = post.world.deliver(S1, &fact);
        if matches!(answer, Answer::Delivered { .. }) {
            assert_eq!(delivered(&answer).0, DeliveryStatus::Delivered);
            assert!((10..14).contains(&round), "after its patience and the lock that stood: round {round}");
            return;
        }
        post.world.wait(200);
    }
    panic!("the message waits for ever");
}

#[test]
fn what_waits_for_a_lock_that_never_goes_lets_others_have_its_keys_in_the_end() {
    let mut post = post();
    let deadline = Time(post.world.now.0 + 10_000_000);
    let fact = post.send(post.pong, ETHER, deadline);
    let reading = |post: &Post, seed| {
        let bytes = post.world.sign(&user(seed), TxKind::Call(post.pong), ETHER, Vec::new());
        post.world.attempt(&post.world.beside_home_of(&user(if seed == 1 { 4 } else { 5 }), bytes), 1)
    };
    let mut stands = reading(&post, 1);
    post.world.prepare_all(&mut stands);
    post.world.deliver(S1, &fact);
    post.world.wait(10_000);
    let mut refused = reading(&post, 3);
    let votes = post.world.prepare_all(&mut refused);
    assert!(votes.iter().any(|vote| vote.vote.verdict == Verdict::No(Refusal::Busy)), "the message goes first");
    post.world.decide(S0, &refused.descriptor, &votes);
    post.world.wait(40_000);
    post.world.deliver(S1, &fact);
    let mut taken = reading(&post, 3);
    let votes = post.world.prepare_all(&mut taken);
    assert!(votes.iter().all(|vote| vote.vote.verdict.is_yes()), "a claim ends by itself");
}

#[test]
fn a_message_to_a_domain_that_is_no_shard_cannot_be_sent() {
    let mut post = post();
    let mut call = selector("dispatch(uint32,bytes32,bytes,uint64,uint64)");
    call.extend(word(1_u64));
    call.extend(post.pong.into_word());
    call.extend(word(5 * 32_u64));
    call.extend(word(500_000_u64));
    call.extend(word(post.soon().0));
    call.extend(word(0_u64));
    let bytes = post.world.sign(&user(3), TxKind::Call(evm::mailbox_address(S0)), U256::ZERO, call);
    let payload = post.world.payload(&[bytes]);
    let answer = post.world.ask(S0, |ticket| Input::Local { ticket, payload: Box::new(payload.clone()) });
    assert!(matches!(answer, Answer::LocalRefused(LocalRefusal::Dispatch(_))), "{answer:?}");
}

#[test]
fn a_message_sent_by_a_cross_shard_transaction_leaves_with_its_commit() {
    let mut post = post();
    // User 2 lives on shard 1 and sends through Ping on shard 0.
    let mut call = selector("send(uint32,bytes32,bytes,uint64,uint64)");
    call.extend(word(u64::from(domain_of(NETWORK, S1))));
    call.extend(post.pong.into_word());
    call.extend(word(5 * 32_u64));
    call.extend(word(500_000_u64));
    call.extend(word(post.soon().0));
    call.extend(word(0_u64));
    let sending = post.world.sign(&user(2), TxKind::Call(post.ping), U256::ZERO, call);
    let payload = post.world.beside_home_of(&user(3), sending);
    let mut prepare = post.world.attempt(&payload, 1);
    let votes = post.world.prepare_all(&mut prepare);
    assert_eq!(post.world.facts(S0, LeafKind::Message).len(), 0, "nothing is said before the decision");
    for shard in [S0, S1] {
        post.world.decide(shard, &prepare.descriptor, &votes);
    }
    let fact = post.world.facts(S0, LeafKind::Message).remove(0);
    assert_eq!(delivered(&post.world.deliver(S1, &fact)), (DeliveryStatus::Delivered, Novelty::New));
}
