// A channel's two ends on one chain, with whoever plays the mailbox between them: in whatever order messages come.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { encodeAbiParameters, pad, parseEventLogs, toHex } from 'viem';
import { startChain } from './chain.mjs';

const [HERE, THERE] = [2, 3].map((shard) => ({
  mailbox: `0x${'0'.repeat(28)}d07e${shard.toString(16).padStart(8, '0')}`,
  domain: (0xd0000000 | ((31337 % 4096) << 16) | shard) >>> 0,
}));
const STATUS = { delivered: 1, failed: 2, expired: 3 };
const GAS_LIMIT = 400_000n;
const FAR = 2n ** 63n;

describe('a channel', () => {
  let chain, one, other;

  before(async () => {
    chain = await startChain();
    for (const { mailbox } of [HERE, THERE]) {
      await chain.predeploy('Mailbox', mailbox);
      await chain.tester.impersonateAccount({ address: mailbox });
      await chain.tester.setBalance({ address: mailbox, value: 10n ** 19n });
    }
  });
  after(() => chain.stop());
  beforeEach(async () => {
    one = await chain.deploy('Line', [HERE.mailbox]);
    other = await chain.deploy('Line', [THERE.mailbox]);
  });

  const as = ({ mailbox }, contract, functionName, args, more = {}) =>
    chain.send(contract, functionName, args, { account: mailbox, maxFeePerGas: undefined, ...more });
  const events = (contract, { logs }, eventName) => parseEventLogs({ abi: contract.abi, logs, eventName }).map(({ args }) => args);
  const content = (number) => toHex(`number ${number}`);
  const say = async (number, value = 0n) => {
    const args = [THERE.domain, pad(other.address), content(number), GAS_LIMIT, FAR];
    return events(one, await chain.send(one, 'say', args, { value }), 'Sent')[0].id;
  };
  const body = (number) => encodeAbiParameters([{ type: 'uint64' }, { type: 'bytes' }], [BigInt(number), content(number)]);
  /** Brings number `number` to the other end; whether it was delivered. */
  const bring = async (number, more = {}) => {
    const { status } = await as(THERE, other, 'handle', [HERE.domain, pad(one.address), body(number)], more);
    return status === 'success';
  };
  const ended = (id, status, value = 0n) => as(HERE, one, 'handleDelivery', [id, status], { value });
  const taken = async () => {
    const count = Number(await chain.read(other, 'count'));
    return Promise.all([...Array(count).keys()].map((index) => chain.read(other, 'taken', [BigInt(index)])));
  };
  const upTo = (count) => [...Array(count).keys()].map(content);

  it('numbers what it sends, each lane for itself', async () => {
    await say(0);
    await say(1);
    const args = [HERE.domain, pad(other.address), '0x', GAS_LIMIT, FAR];
    const [{ number }] = events(one, await chain.send(one, 'say', args), 'Sent');
    assert.equal(number, 0n);
    assert.equal(await chain.read(one, 'sentCount', [await chain.read(one, 'laneOf', [THERE.domain, pad(other.address)])]), 2n);
  });

  it('takes in order what comes in any, each once, with its value', async () => {
    for (const number of [3, 1, 4, 2]) assert.ok(await bring(number, { value: BigInt(number) }));
    assert.deepEqual(await taken(), []);
    assert.ok(await bring(0));
    assert.deepEqual(await taken(), upTo(5));
    const values = await Promise.all([0, 1, 2, 3, 4].map((index) => chain.read(other, 'values', [BigInt(index)])));
    assert.deepEqual(values, [0n, 1n, 2n, 3n, 4n]);
    for (const number of [0, 4]) assert.ok(!(await bring(number)), `${number} a second time`);
    assert.ok(await bring(6));
    assert.ok(!(await bring(6)), 'what waits already');
    assert.deepEqual(await taken(), upTo(5));
  });

  it('stops at what cannot be taken, which anyone sends again with its value', async () => {
    await chain.send(other, 'refuse', [content(0)]);
    const first = await say(0, 700n);
    const second = await say(1);
    assert.ok(!(await bring(0, { value: 700n })));
    assert.ok(await bring(1));
    assert.deepEqual(await taken(), []);
    const again = [first, content(0), 2n * GAS_LIMIT, FAR];
    assert.equal((await chain.call(one, 'resend', again)).error, 'NotFailed');
    await ended(first, STATUS.failed, 700n);
    await ended(second, STATUS.delivered);
    assert.equal((await chain.call(one, 'resend', [first, content(1), GAS_LIMIT, FAR])).error, 'OtherContent');
    const [{ id, number, before }] = events(one, await chain.send(one, 'resend', again), 'Sent');
    assert.deepEqual([number, before], [0n, first]);
    assert.equal((await chain.call(one, 'resend', again)).error, 'NotFailed');
    assert.equal(await chain.reader.getBalance({ address: one.address }), 0n);
    await chain.send(other, 'refuse', ['0x']);
    assert.ok(await bring(0, { value: 700n }));
    assert.deepEqual(await taken(), upTo(2));
    await ended(id, STATUS.delivered);
    assert.equal((await chain.call(one, 'resend', [id, content(0), GAS_LIMIT, FAR])).error, 'NotFailed');
  });

  it('delivers what fills a gap although one behind it cannot be taken, which anyone has taken later', async () => {
    await chain.send(other, 'refuse', [content(1)]);
    assert.ok((await bring(1)) && (await bring(2)) && (await bring(0)));
    assert.deepEqual(await taken(), upTo(1));
    const next = [HERE.domain, pad(one.address)];
    assert.equal((await chain.call(other, 'advance', next)).error, 'Refused');
    await chain.send(other, 'refuse', ['0x']);
    await chain.send(other, 'advance', next);
    await chain.send(other, 'advance', next);
    assert.deepEqual(await taken(), upTo(3));
    assert.equal((await chain.call(other, 'advance', next)).error, 'NotThere');
  });

  it('takes with little gas what it can, and delivers', async () => {
    for (let number = 1; number <= 12; number += 1) assert.ok(await bring(number));
    assert.ok(await bring(0, { gas: 400_000n }));
    const some = (await taken()).length;
    assert.ok(some > 1 && some < 13, `${some} were taken`);
    while ((await taken()).length < 13) await chain.send(other, 'advance', [HERE.domain, pad(one.address)]);
    assert.deepEqual(await taken(), upTo(13));
  });

  it('keeps no more than its bound, and hears nobody but its mailbox', async () => {
    const far = await chain.read(other, 'WAITING_COUNT_MAX');
    assert.ok(await bring(Number(far)));
    assert.ok(!(await bring(Number(far) + 1)));
    const args = [HERE.domain, pad(one.address), body(0)];
    assert.equal((await chain.call(other, 'handle', args)).error, 'NotMailbox');
    assert.equal((await chain.call(one, 'handleDelivery', [pad('0x01'), STATUS.failed])).error, 'NotMailbox');
    assert.equal((await chain.call(other, 'takeWaiting', args.slice(0, 2))).error, 'Entered');
    const { status } = await ended(pad('0x01'), STATUS.failed);
    assert.equal(status, 'reverted');
  });
});
