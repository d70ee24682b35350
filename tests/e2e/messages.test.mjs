// Messages from a contract on one shard to a contract on another, as an application sees them: through JSON-RPC alone.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { encodeAbiParameters, getContractAddress, keccak256, pad, parseEther, parseEventLogs, toHex } from 'viem';
import { PAYERS, POLL_MS, artifact, isBaseline, openChain } from './chain.mjs';
import { network } from './network.mjs';

const GAS_LIMIT = 300_000n;
const DEADLINE_MS = 60_000n;
const END_MS_MAX = 20_000;
const STATES = { unknown: 0, waiting: 1, delivered: 2, failed: 3, expired: 4 };

/** The shard of an address that nobody pinned. */
function shardOf(address, shardsCount) {
  return Number(BigInt(keccak256(address).slice(0, 18)) % BigInt(shardsCount));
}

describe('a message', { skip: isBaseline() && 'one EVM has no mailbox' }, () => {
  let under, chain, ping, pong;

  /** Deploys `name` with the mailbox of the shard it will live on, which is any but `shard`. */
  const deployElsewhere = async (name, shard) => {
    for (;;) {
      const user = await chain.user(parseEther('1'));
      const address = getContractAddress({ from: user.account.address, nonce: 0n });
      const home = shardOf(address, under.mailboxes.length);
      if (home === shard) continue;
      return { ...(await chain.deploy(user, name, [under.mailboxes[home]])), user, shard: home };
    }
  };
  const mailboxAt = (shard) => ({ abi: artifact('Mailbox').abi, address: under.mailboxes[shard] });
  const domain = (shard) => chain.read(mailboxAt(shard), 'localDomain');
  const deadline = async () => (await chain.reader.getBlock()).timestamp * 1000n + DEADLINE_MS;
  /** Sends `body` from ping to `to`; gives the message's id. */
  const send = async (to, body, value = 0n) => {
    const args = [await domain(pong.shard), pad(to), body, GAS_LIMIT, await deadline()];
    const { logs } = await chain.send(ping.user, ping, 'send', args, { value });
    return parseEventLogs({ abi: ping.abi, logs, eventName: 'Sent' })[0].args.id;
  };
  /** Waits until `look` gives `wanted`; tells the last look if it never does. */
  const becomes = async (wanted, look) => {
    const end = Date.now() + END_MS_MAX;
    let seen;
    do {
      seen = await look();
      if (seen === wanted) return;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    } while (Date.now() < end);
    assert.equal(seen, wanted, `still so after ${END_MS_MAX} ms`);
  };
  const ends = (id, state) => becomes(state, () => chain.read(ping, 'stateOf', [id]));

  before(async () => {
    under = await network();
    chain = await openChain(under.rpc, under.accounts[PAYERS.messages % under.accounts.length].private_key);
    ping = await deployElsewhere('Ping', undefined);
    pong = await deployElsewhere('Pong', ping.shard);
  });
  after(() => under?.stop());

  it('has a mailbox on every shard, each of a domain of its own', async () => {
    const domains = await Promise.all(under.mailboxes.map((_, shard) => domain(shard)));
    const wanted = domains.map((_, shard) => (0xd0000000 | ((chain.id % 4096) << 16) | shard) >>> 0);
    assert.deepEqual(domains, wanted);
  });

  it('arrives once with its value, and its sender is told', async () => {
    const body = toHex('hello across');
    const id = await send(pong.address, body, 777n);
    await ends(id, STATES.delivered);
    const sender = pad(ping.address).toLowerCase();
    const origin = await domain(ping.shard);
    const came = await chain.read(pong, 'received', [0n]);
    assert.deepEqual(came, [origin, sender, 777n, body]);
    assert.equal(await chain.read(pong, 'receivedCount'), 1n);
    assert.equal(await chain.reader.getBalance({ address: pong.address }), 777n);
    assert.equal(await chain.reader.getBalance({ address: under.mailboxes[ping.shard] }), 0n, 'the held value is burnt');
    assert.equal(await chain.read(ping, 'refundOf', [id]), 0n);
  });

  it('to a recipient that reverts is failed and refunded, and holds up none behind it', async () => {
    await chain.send(pong.user, pong, 'setRefusing', [true]);
    const failed = await send(pong.address, '0x01', 500n);
    await ends(failed, STATES.failed);
    assert.equal(await chain.read(ping, 'refundOf', [failed]), 500n);
    assert.equal(await chain.reader.getBalance({ address: ping.address }), 500n);
    await chain.send(pong.user, pong, 'setRefusing', [false]);
    await ends(await send(pong.address, '0x02'), STATES.delivered);
  });

  it('of a user brings its value back to whatever shard the user lives on', async () => {
    const user = await chain.user(parseEther('1'));
    const home = shardOf(user.account.address, under.mailboxes.length);
    const mailbox = mailboxAt((home + 1) % under.mailboxes.length);
    await chain.send(pong.user, pong, 'setRefusing', [true]);
    const args = [await domain(pong.shard), pad(pong.address), '0x03', GAS_LIMIT, await deadline()];
    const sent = await chain.send(user, mailbox, 'dispatch', args, { value: 500n });
    // There and back may be within one block: what is missing in the end is the fee alone.
    const fee = sent.gasUsed * sent.effectiveGasPrice;
    await becomes(parseEther('1') - fee, () => chain.reader.getBalance({ address: user.account.address }));
    await becomes(0n, () => chain.reader.getBalance({ address: mailbox.address }));
    await chain.send(pong.user, pong, 'setRefusing', [false]);
    const logs = await chain.reader.getLogs({ address: mailbox.address, fromBlock: sent.blockNumber });
    // A message of the mailbox itself: after version, nonce and origin come sender, destination, recipient, and whose end it is.
    const [sender, recipient] = [mailbox.address, user.account.address].map((it) => pad(it).slice(2).toLowerCase());
    const dispatched = parseEventLogs({ abi: mailbox.abi, logs, eventName: 'Dispatch' });
    const back = dispatched.find(({ args }) => args.message.slice(20, 84) === sender && args.message.slice(92, 156) === recipient);
    assert.equal(back.args.message.slice(156, 220), sent.logs[0].topics[1].slice(2));
    assert.equal(back.args.value, 500n);
  });

  it('over a channel is taken in the order of sending, and sent again by anyone when it failed', async () => {
    const one = await deployElsewhere('Line', undefined);
    const other = await deployElsewhere('Line', one.shard);
    const [first, second] = [toHex('first'), toHex('second')];
    await chain.send(other.user, other, 'refuse', [first]);
    const ids = [];
    for (const content of [first, second]) {
      const args = [await domain(other.shard), pad(other.address), content, GAS_LIMIT, await deadline()];
      const { logs } = await chain.send(one.user, one, 'say', args, { value: 300n });
      ids.push(parseEventLogs({ abi: one.abi, logs, eventName: 'Sent' })[0].args.id);
    }
    const UNDER_WAY = { number: 2, hasFailed: 3 };
    await becomes(true, async () => (await chain.read(one, 'underWay', [ids[0]]))[UNDER_WAY.hasFailed]);
    // What was delivered is under way no more, and waits there for the first.
    await becomes(0n, async () => (await chain.read(one, 'underWay', [ids[1]]))[UNDER_WAY.number]);
    assert.equal(await chain.read(other, 'count'), 0n);
    await chain.send(other.user, other, 'refuse', ['0x']);
    await chain.send(pong.user, one, 'resend', [ids[0], first, 2n * GAS_LIMIT, await deadline()]);
    await becomes(2n, () => chain.read(other, 'count'));
    assert.deepEqual(await Promise.all([0n, 1n].map((index) => chain.read(other, 'taken', [index]))), [first, second]);
    assert.equal(await chain.reader.getBalance({ address: other.address }), 600n);
  });

  it('of many in one transaction arrives exactly once like every other', async () => {
    const count = 20n;
    const told = await chain.read(ping, 'deliveredCount');
    const args = [await domain(pong.shard), pad(pong.address), count, GAS_LIMIT, await deadline()];
    await chain.send(ping.user, ping, 'sendMany', args);
    await becomes(told + count, () => chain.read(ping, 'deliveredCount'));
    const [origin, sender] = [await domain(ping.shard), pad(ping.address)];
    for (let i = 0n; i < count; i += 1n) {
      const body = encodeAbiParameters([{ type: 'uint256' }], [i]);
      const key = await chain.read(pong, 'keyOf', [origin, sender, body]);
      assert.equal(await chain.read(pong, 'countOf', [key]), 1n, `message ${i}`);
    }
  });
});
