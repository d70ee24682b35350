//! Messages between contracts: whoever carries them, however often, each runs once; and none stands in another's way.

use crate::cluster::{Cluster, CrashPoint, committed, until};
use crate::stage::{Letter, PATIENT, PROMPT, Stage, value};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use evm::{StateKey, Status};
use eyre::{Result, bail, ensure, eyre};
use fixtures::contracts::Ping;
use primitives::{Height, Millis, ShardId};
use proof::{LeafKind, Message, MessageId, Receipt};
use shard::{LeafPlace, Novelty};
use world::{Done, Party, Request, Response};

const SOURCE: ShardId = ShardId(0);
const DESTINATION: ShardId = ShardId(2);

/// The one relay.
const RELAY: Party = Party::Relay(0);

/// How `Ping` writes down an end.
const DELIVERED: u64 = 2;
const FAILED: u64 = 3;

/// How many messages stand behind the poison.
const BEHIND_COUNT: u8 = 5;

/// Enough gas for `Pong`.
const GAS: u64 = 400_000;

/// A letter to `Pong` that arrives if anything does.
fn letter<C: Cluster>(cluster: &C, stage: &Stage, body: &[u8]) -> Letter {
    Letter {
        destination: DESTINATION,
        recipient: stage.contracts.pong,
        body: Bytes::copy_from_slice(body),
        gas: GAS,
        deadline: cluster.now().after(Millis(600_000)),
        value: U256::ZERO,
    }
}

/// Sends it for alice; the message's id.
fn send<C: Cluster>(cluster: &mut C, stage: &mut Stage, letter: &Letter) -> Result<B256> {
    let signed = stage.people.alice.sign(&stage.contracts.send(letter))?;
    let sent = cluster.submit(0, &[signed])?;
    let done = committed(cluster, sent, PROMPT)?;
    ensure!(done.outcomes[0].status == Status::Success, "it was not sent: {:?}", done.outcomes[0].status);
    Ok(Ping::sendCall::abi_decode_returns(&done.outcomes[0].output)?)
}

/// Waits until the sender knows how its message ended, which must be so.
fn told<C: Cluster>(cluster: &mut C, stage: &Stage, message: B256, expected: u64) -> Result<()> {
    let key = stage.told(message);
    let end = until(cluster, "word of a message's end", PATIENT, |cluster| match cluster.look(key)?.value {
        coordinator::StateValue::Slot(end) if end > U256::ONE => Some(end),
        _ => None,
    })?;
    ensure!(end == U256::from(expected), "its sender was told {end} and not {expected}");
    Ok(())
}

/// The receipt of a message's leaf, or of its delivery, from the outbox of a shard.
fn receipt<C: Cluster>(cluster: &mut C, shard: ShardId, kind: LeafKind, message: B256) -> Result<Receipt> {
    let is_about = |receipt: &Receipt| {
        let about = match kind {
            LeafKind::Message => Message::from_bytes(&receipt.leaf.body).map(|message| message.id()),
            _ => proof::Delivery::from_bytes(&receipt.leaf.body).map(|delivery| delivery.message),
        };
        about == Ok(MessageId(message))
    };
    leaf(cluster, shard, kind, is_about)?.ok_or_else(|| eyre!("shard {shard} has no {kind:?} leaf about {message}"))
}

/// The first leaf of this kind in the outbox of a shard that is the one looked for.
fn leaf<C: Cluster>(
    cluster: &mut C,
    shard: ShardId,
    kind: LeafKind,
    is_it: impl Fn(&Receipt) -> bool,
) -> Result<Option<Receipt>> {
    let mut from = LeafPlace { height: Height(1), index: 0 };
    loop {
        let Response::Page { receipts, next, .. } = cluster.call(shard, Request::Outbox { from, count_max: 256 })
        else {
            bail!("shard {shard} does not show its outbox")
        };
        let found = receipts.into_iter().find(|receipt| receipt.leaf.kind == kind && is_it(receipt));
        if found.is_some() || next == from {
            return Ok(found);
        }
        from = next;
    }
}

/// Hands a receipt to a shard; whether it was new there.
fn deliver<C: Cluster>(cluster: &mut C, shard: ShardId, receipts: Vec<Receipt>) -> Result<Vec<Novelty>> {
    let Response::Done(items) = cluster.call(shard, Request::Deliver(receipts)) else {
        bail!("shard {shard} does not answer")
    };
    let novelty = |item| match item {
        Ok(Done::Delivered { novelty, .. }) => Ok(novelty),
        Ok(other) => Err(eyre!("shard {shard} answered a receipt with {other:?}")),
        Err(world::Rejection { text, .. }) => Err(eyre!("shard {shard} refused a receipt: {text}")),
    };
    items.into_iter().map(novelty).collect()
}

/// A stranger carries a message again and again, before the relay and after it, past a restart: it runs once, and so does
/// the word of its delivery.
pub fn a_redelivered_message_runs_once<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    for shard in [SOURCE, DESTINATION] {
        cluster.cut(RELAY, shard)?;
    }
    let letter = letter(cluster, stage, b"once");
    let (message, count) = (send(cluster, stage, &letter)?, stage.received(&letter.body));
    let way_out = receipt(cluster, SOURCE, LeafKind::Message, message)?;
    let first = deliver(cluster, DESTINATION, vec![way_out.clone(), way_out.clone()])?;
    ensure!(first == [Novelty::New, Novelty::Already], "twice in one call it was {first:?}");
    cluster.kill(Party::Shard(DESTINATION))?;
    cluster.restart(Party::Shard(DESTINATION))?;
    let later = deliver(cluster, DESTINATION, vec![way_out.clone()])?;
    ensure!(later == [Novelty::Already], "after a restart it was {later:?}");
    let astray = deliver(cluster, ShardId(1), vec![way_out.clone()]);
    ensure!(astray.is_err(), "shard 1 took a message for shard 2: {astray:?}");

    let way_back = receipt(cluster, DESTINATION, LeafKind::Delivery, message)?;
    let word = deliver(cluster, SOURCE, vec![way_back.clone(), way_back.clone()])?;
    ensure!(word == [Novelty::New, Novelty::Already], "the word of its delivery was {word:?}");
    cluster.heal()?;
    // The relay comes last; a second message shows that it has passed the first.
    let second = self::letter(cluster, stage, b"after it");
    let after = send(cluster, stage, &second)?;
    told(cluster, stage, after, DELIVERED)?;
    for (shard, receipt) in [(DESTINATION, way_out), (SOURCE, way_back)] {
        let again = deliver(cluster, shard, vec![receipt])?;
        ensure!(again == [Novelty::Already], "after the relay it was {again:?} to shard {shard}");
    }
    told(cluster, stage, message, DELIVERED)?;
    let ran = value(cluster, count)?;
    ensure!(ran == U256::ONE, "the message ran {ran} times");
    Ok(())
}

/// A body, a recipient, and the gas for it.
type Poison = (&'static [u8], fn(&Stage) -> Address, u64);

/// Messages that revert, that run out of gas, that nobody is there for: they fail and give their value back, and those
/// behind them arrive.
pub fn a_poison_message_blocks_nobody<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    let wei = U256::from(4_321);
    let mut poison = Vec::new();
    let reverting = |stage: &Stage| stage.contracts.counters[2];
    let pong = |stage: &Stage| stage.contracts.pong;
    let cases: [Poison; 3] =
        [(b"reverts", reverting, GAS), (b"runs out of gas", pong, 30_000), (b"reverts again", reverting, GAS)];
    for (body, recipient, gas) in cases {
        let letter = Letter { recipient: recipient(stage), gas, value: wei, ..letter(cluster, stage, body) };
        poison.push(send(cluster, stage, &letter)?);
    }
    let mut behind = Vec::new();
    for number in 0..BEHIND_COUNT {
        let letter = letter(cluster, stage, &[number]);
        behind.push((send(cluster, stage, &letter)?, stage.received(&letter.body)));
    }
    for (message, count) in behind {
        told(cluster, stage, message, DELIVERED)?;
        let ran = value(cluster, count)?;
        ensure!(ran == U256::ONE, "a message behind the poison ran {ran} times");
    }
    for message in poison {
        told(cluster, stage, message, FAILED)?;
        let refund = value(cluster, stage.refund(message))?;
        ensure!(refund == wei, "a failed message gave {refund} wei back, not {wei}");
    }
    Ok(())
}

/// A user of shard 1 sends value through shard 0's mailbox to a contract of shard 2 that refuses it. Its home is dead when the source
/// hears so, and the source dies before the refund is home: it comes, and once.
pub fn a_refund_follows_its_sender_to_another_shard<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    let (home, wei) = (ShardId(1), U256::from(4_321));
    let sender = StateKey::Account(stage.people.bob.address());
    let (mailbox, mailbox_at) = (evm::mailbox_address(SOURCE), StateKey::Account(evm::mailbox_address(SOURCE)));
    let letter =
        Letter { recipient: stage.contracts.counters[2], value: wei, ..letter(cluster, stage, b"to one who reverts") };
    cluster.cut(RELAY, DESTINATION)?;
    let signed = stage.people.bob.sign(&stage.contracts.dispatch(SOURCE, &letter))?;
    let sent = cluster.submit(0, &[signed])?;
    let done = committed(cluster, sent, PROMPT)?;
    ensure!(done.outcomes[0].status == Status::Success, "it was not sent: {:?}", done.outcomes[0].status);
    let [before, held] = stage.numbers(cluster, [sender, mailbox_at])?;
    ensure!(held == wei, "the mailbox holds {held} wei");

    cluster.kill(Party::Shard(home))?;
    cluster.heal()?;
    let is_refund = |receipt: &Receipt| {
        Message::from_bytes(&receipt.leaf.body).is_ok_and(|message| message.sender == mailbox.into_word())
    };
    let back = until(cluster, "the refund in its source's outbox", PATIENT, |cluster| {
        leaf(cluster, SOURCE, LeafKind::Message, is_refund).ok().flatten()
    })?;
    ensure!(value(cluster, mailbox_at)? == wei, "what goes back is held until it is there");
    cluster.kill(Party::Shard(SOURCE))?;
    cluster.restart(Party::Shard(SOURCE))?;
    cluster.restart(Party::Shard(home))?;
    until(cluster, "the refund", PATIENT, |cluster| (value(cluster, sender).ok()? == before + wei).then_some(()))?;
    until(cluster, "word of the refund", PATIENT, |cluster| value(cluster, mailbox_at).ok()?.is_zero().then_some(()))?;

    let again = deliver(cluster, home, vec![back])?;
    ensure!(again == [Novelty::Already], "carried once more it was {again:?}");
    let now = value(cluster, sender)?;
    ensure!(now == before + wei, "the sender has {now} wei, and had {before}");
    Ok(())
}

/// The relay dies before and after the things it writes; what it carried arrives, once.
pub fn a_relay_that_dies_loses_no_message<C: Cluster>(cluster: &mut C, stage: &mut Stage) -> Result<()> {
    for step in 1..=3 {
        for point in [CrashPoint::BeforeWrite(step), CrashPoint::AfterWrite(step)] {
            cluster.kill(RELAY)?;
            cluster.restart_to_die(RELAY, point)?;
            let letter = letter(cluster, stage, point.to_string().as_bytes());
            let message = send(cluster, stage, &letter)?;
            let died = until(cluster, "death of the relay", PATIENT, |cluster| (!cluster.is_up(RELAY)).then_some(()));
            died.map_err(|error| eyre!("{point}: {error}"))?;
            cluster.restart(RELAY)?;
            told(cluster, stage, message, DELIVERED)?;
            let ran = value(cluster, stage.received(&letter.body))?;
            ensure!(ran == U256::ONE, "{point}: the message ran {ran} times");
        }
    }
    Ok(())
}
