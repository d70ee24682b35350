// The mailbox's bytes against an independent writing of the message, and the demo contracts around it.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { encodeAbiParameters, keccak256, numberToHex, pad, parseEventLogs, toHex } from 'viem';
import { startChain } from './chain.mjs';

const SHARD = 2;
const MAILBOX = `0x${'0'.repeat(28)}d07e${SHARD.toString(16).padStart(8, '0')}`;
const STRANGER = '0x00000000000000000000000000000000000e15e1';
const BODY_BYTES_MAX = 16 * 1024;
const GAS_LIMIT = 200_000n;
const FAR = 2n ** 63n;

const domainOf = (network, shard) => (0xd0000000 | ((network % 4096) << 16) | shard) >>> 0;

/** Field by field, at the offsets of Hyperlane's message library. */
function messageBytes({ nonce, origin, sender, destination, recipient, body }) {
  const bytes = Buffer.alloc(77 + body.length);
  bytes.writeUInt8(3, 0);
  bytes.writeUInt32BE(nonce, 1);
  bytes.writeUInt32BE(origin, 5);
  Buffer.from(sender.slice(2), 'hex').copy(bytes, 9 + 12);
  bytes.writeUInt32BE(destination, 41);
  Buffer.from(recipient.slice(2), 'hex').copy(bytes, 45);
  body.copy(bytes, 77);
  return bytes;
}

function messageId(bytes, gasLimit, deadlineMs, value) {
  const tail = Buffer.alloc(48);
  tail.writeBigUInt64BE(gasLimit, 0);
  tail.writeBigUInt64BE(deadlineMs, 8);
  Buffer.from(value.toString(16).padStart(64, '0'), 'hex').copy(tail, 16);
  return keccak256(Buffer.concat([bytes, tail]));
}

describe('the mailbox', () => {
  let chain, mailbox, ping, pong, origin;
  const destination = domainOf(31337, 3);
  const recipient = pad(STRANGER);
  const asMailbox = (contract, functionName, args, value = 0n) =>
    chain.send(contract, functionName, args, { account: MAILBOX, value, maxFeePerGas: undefined });

  before(async () => {
    chain = await startChain();
    mailbox = await chain.predeploy('Mailbox', MAILBOX);
    ping = await chain.deploy('Ping', [MAILBOX]);
    pong = await chain.deploy('Pong', [MAILBOX]);
    origin = domainOf(31337, SHARD);
    await chain.tester.impersonateAccount({ address: MAILBOX });
    await chain.tester.setBalance({ address: MAILBOX, value: 10n ** 19n });
  });
  after(() => chain.stop());

  it('takes its domain from its address and the chain id', async () => {
    assert.equal(await chain.read(mailbox, 'localDomain'), origin);
    assert.equal(toHex(origin), '0xda690002');
    const other = await chain.predeploy('Mailbox', `0x${'0'.repeat(28)}d07e0000ffff`);
    assert.equal(await chain.read(other, 'localDomain'), domainOf(31337, 0xffff));
  });

  it('dispatches a message whose bytes and id any reader can recompute', async () => {
    const [body, value, deadline] = [Buffer.from('dovetail'), 1_000_000_007n, FAR + 5n];
    for (const nonce of [0, 1]) {
      assert.equal(await chain.read(mailbox, 'nonce'), nonce);
      const sender = chain.account.address;
      const bytes = messageBytes({ nonce, origin, sender, destination, recipient, body });
      const id = messageId(bytes, GAS_LIMIT, deadline, value);
      const args = [destination, recipient, toHex(body), GAS_LIMIT, deadline];
      assert.deepEqual(await chain.call(mailbox, 'dispatch', args, { value }), { result: id });
      const { logs } = await chain.send(mailbox, 'dispatch', args, { value });
      const [log] = parseEventLogs({ abi: mailbox.abi, logs });
      assert.deepEqual(log.args, { id, message: toHex(bytes), gasLimit: GAS_LIMIT, deadlineMs: deadline, value });
      assert.equal(logs[0].address.toLowerCase(), MAILBOX);
      assert.equal(logs[0].topics[0], keccak256(toHex('Dispatch(bytes32,bytes,uint64,uint64,uint256)')));
    }
  });

  it('refuses a body over its bound, nobody, and a deadline that is not ahead', async () => {
    const dispatch = (body, to, deadline) =>
      chain.call(mailbox, 'dispatch', [destination, to, body, GAS_LIMIT, deadline]);
    const bytes = (length) => `0x${'ab'.repeat(length)}`;
    assert.equal((await dispatch(bytes(BODY_BYTES_MAX), recipient, FAR)).error, undefined);
    assert.deepEqual(await dispatch(bytes(BODY_BYTES_MAX + 1), recipient, FAR), {
      error: 'BodyTooLong',
      args: [BigInt(BODY_BYTES_MAX + 1), BigInt(BODY_BYTES_MAX)],
    });
    assert.equal((await dispatch('0x', pad('0x0'), FAR)).error, 'ZeroRecipient');
    assert.equal((await dispatch('0x', recipient, 1000n)).error, 'DeadlinePassed');
  });

  it('lets only the mailbox speak to a receiver', async () => {
    const id = keccak256('0x');
    for (const [contract, functionName, args] of [
      [ping, 'handle', [origin, recipient, '0x']],
      [ping, 'handleDelivery', [id, 0]],
      [pong, 'handle', [origin, recipient, '0x']],
      [pong, 'handleDelivery', [id, 0]],
    ]) {
      assert.deepEqual(await chain.call(contract, functionName, args), {
        error: 'NotMailbox',
        args: [chain.account.address],
      });
    }
  });

  it('tells ping once how each message ended, with the refund', async () => {
    for (const [status, state, refund] of [[1, 2, 0n], [2, 3, 77n], [3, 4, 78n]]) {
      const args = [destination, recipient, numberToHex(status), GAS_LIMIT, FAR];
      const { logs } = await chain.send(ping, 'send', args, { value: refund });
      const { id } = parseEventLogs({ abi: ping.abi, logs, eventName: 'Sent' })[0].args;
      assert.equal(await chain.read(ping, 'stateOf', [id]), 1);
      assert.equal((await asMailbox(ping, 'handleDelivery', [id, 0], refund)).status, 'reverted');
      assert.equal((await asMailbox(ping, 'handleDelivery', [id, status], refund)).status, 'success');
      assert.equal(await chain.read(ping, 'stateOf', [id]), state);
      assert.equal(await chain.read(ping, 'refundOf', [id]), refund);
      assert.equal((await asMailbox(ping, 'handleDelivery', [id, status], refund)).status, 'reverted');
    }
    const counts = ['sentCount', 'deliveredCount', 'failedCount', 'expiredCount'];
    assert.deepEqual(await Promise.all(counts.map((name) => chain.read(ping, name))), [3n, 1n, 1n, 1n]);
  });

  it('gives each of many messages an id of its own', async () => {
    const { logs } = await chain.send(ping, 'sendMany', [destination, recipient, 20n, GAS_LIMIT, FAR]);
    const sent = parseEventLogs({ abi: [...ping.abi, ...mailbox.abi], logs });
    assert.equal(new Set(sent.filter(({ eventName }) => eventName === 'Sent').map(({ args }) => args.id)).size, 20);
    assert.equal(sent.filter(({ eventName }) => eventName === 'Dispatch').length, 20);
  });

  it('is kept by pong in order, with a count for each message', async () => {
    const sender = pad(ping.address);
    for (const [body, value] of [['0xaa', 1n], ['0xbb', 2n], ['0xaa', 3n]]) {
      assert.equal((await asMailbox(pong, 'handle', [origin, sender, body], value)).status, 'success');
    }
    assert.equal(await chain.read(pong, 'receivedCount'), 3n);
    assert.deepEqual(await chain.read(pong, 'received', [1n]), [origin, sender.toLowerCase(), 2n, '0xbb']);
    const key = keccak256(
      encodeAbiParameters([{ type: 'uint32' }, { type: 'bytes32' }, { type: 'bytes' }], [origin, sender, '0xaa']),
    );
    assert.equal(await chain.read(pong, 'countOf', [key]), 2n);
  });

  it('is refused by pong while pong is told to refuse', async () => {
    await chain.send(pong, 'setRefusing', [true]);
    assert.equal((await asMailbox(pong, 'handle', [origin, recipient, '0xcc'])).status, 'reverted');
    await chain.send(pong, 'setRefusing', [false]);
    assert.equal((await asMailbox(pong, 'handle', [origin, recipient, '0xcc'])).status, 'success');
  });
});
