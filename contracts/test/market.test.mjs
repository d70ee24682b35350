// Token, Pair and Router against an independent computation in whole numbers.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { getAddress, parseEventLogs } from 'viem';
import { compileTest, startChain } from './chain.mjs';

const FOREVER = 2n ** 256n - 1n;
const ELSEWHERE = getAddress('0x00000000000000000000000000000000000e15e1');
const UNIT = 10n ** 18n;

/** What `input` buys from these reserves with 0.3 % kept: the largest output that keeps (x + 0.997 in)(y - out) >= xy. */
function bought(input, x, y) {
  let [low, high] = [0n, y];
  while (low < high) {
    const out = (low + high + 1n) / 2n;
    if ((x * 1000n + input * 997n) * (y - out) >= x * y * 1000n) low = out;
    else high = out - 1n;
  }
  return low;
}

describe('the market', () => {
  let chain, gold, salt, pair, router, me, snapshot;
  const balance = (token, holder) => chain.read(token, 'balanceOf', [holder]);
  const reserves = async () => [await chain.read(pair, 'reserve0'), await chain.read(pair, 'reserve1')];
  const swap = (input, outputMin, more = {}) => [
    router,
    'swapExactTokensForTokens',
    [input, outputMin, more.token ?? gold.address, pair.address, more.to ?? me, more.deadline ?? FOREVER],
  ];

  before(async () => {
    chain = await startChain();
    me = chain.account.address;
    gold = await chain.deploy('Token', ['Gold', 'GLD']);
    salt = await chain.deploy('Token', ['Salt', 'SLT']);
    pair = await chain.deploy('Pair', [gold.address, salt.address]);
    router = await chain.deploy('Router');
    for (const token of [gold, salt]) {
      await chain.send(token, 'mint', [me, 10_000n * UNIT]);
      await chain.send(token, 'approve', [router.address, FOREVER]);
    }
    await chain.send(router, 'addLiquidity', [pair.address, 1000n * UNIT, 4000n * UNIT, me, FOREVER]);
    snapshot = await chain.tester.snapshot();
  });
  beforeEach(async () => {
    await chain.tester.revert({ id: snapshot });
    snapshot = await chain.tester.snapshot();
  });
  after(() => chain.stop());

  it('gives the first provider the square root of both payments, less what stays locked', async () => {
    assert.equal(await chain.read(pair, 'sharesOf', [me]), 2000n * UNIT - 1000n);
    assert.equal(await chain.read(pair, 'totalShares'), 2000n * UNIT);
    assert.deepEqual(await reserves(), [1000n * UNIT, 4000n * UNIT]);
  });

  it('swaps for exactly what the product rule leaves, in both directions', async () => {
    for (const [token, place, input] of [[gold, 0, 7n * UNIT + 3n], [salt, 1, 123_456_789n], [salt, 1, 900n * UNIT]]) {
      const [x, y] = place === 0 ? await reserves() : (await reserves()).reverse();
      const wanted = bought(input, x, y);
      const other = token === gold ? salt : gold;
      const held = await balance(other, me);
      assert.deepEqual(await chain.call(...swap(input, wanted, { token: token.address })), { result: wanted });
      const receipt = await chain.send(...swap(input, wanted, { token: token.address }));
      assert.equal(receipt.status, 'success');
      assert.equal((await balance(other, me)) - held, wanted);
    }
  });

  it('tells of a swap in two transfers and one swap event', async () => {
    const input = 10n * UNIT;
    const output = bought(input, 1000n * UNIT, 4000n * UNIT);
    const { logs } = await chain.send(...swap(input, 0n, { to: ELSEWHERE }));
    const told = parseEventLogs({ abi: [...pair.abi, ...gold.abi], logs }).map(({ eventName, args }) => [eventName, args]);
    assert.deepEqual(told, [
      ['Transfer', { from: me, to: pair.address, amount: input }],
      ['Transfer', { from: pair.address, to: ELSEWHERE, amount: output }],
      ['Swap', { sender: router.address, to: ELSEWHERE, in0: input, in1: 0n, out0: 0n, out1: output }],
    ]);
  });

  it('reverts with InsufficientOutput and moves nothing when the price is too low', async () => {
    const output = bought(UNIT, 1000n * UNIT, 4000n * UNIT);
    assert.deepEqual(await chain.call(...swap(UNIT, output + 1n)), {
      error: 'InsufficientOutput',
      args: [output, output + 1n],
    });
    const held = await balance(gold, me);
    const receipt = await chain.send(...swap(UNIT, output + 1n));
    assert.equal(receipt.status, 'reverted');
    assert.equal(receipt.logs.length, 0);
    assert.equal(await balance(gold, me), held);
    assert.deepEqual(await reserves(), [1000n * UNIT, 4000n * UNIT]);
  });

  it('refuses a passed deadline, a foreign token and a missing allowance, each by name', async () => {
    const { timestamp } = await chain.reader.getBlock();
    assert.equal((await chain.call(...swap(UNIT, 0n, { deadline: timestamp - 1n }))).error, 'DeadlinePassed');
    assert.equal((await chain.call(...swap(UNIT, 0n, { token: router.address }))).error, 'NotInPair');
    await chain.send(gold, 'approve', [router.address, 0n]);
    // The error is the token's, so the router's ABI does not name it.
    const [target, functionName, args] = swap(UNIT, 0n);
    const named = { ...target, abi: [...target.abi, ...gold.abi.filter(({ type }) => type === 'error')] };
    assert.deepEqual(await chain.call(named, functionName, args), {
      error: 'InsufficientAllowance',
      args: [me, router.address, 0n, UNIT],
    });
  });

  it('refuses to pay out one unit more than the product rule allows', async () => {
    const output = bought(UNIT, 1000n * UNIT, 4000n * UNIT);
    await chain.send(gold, 'transfer', [pair.address, UNIT]);
    assert.equal((await chain.call(pair, 'swap', [0n, output + 1n, me])).error, 'InsufficientInput');
    assert.equal((await chain.call(pair, 'swap', [0n, output, me])).error, undefined);
    assert.equal((await chain.call(pair, 'swap', [0n, 4000n * UNIT, me])).error, 'InsufficientReserves');
  });

  it('pays liquidity back by share, and never more', async () => {
    await chain.send(...swap(100n * UNIT, 0n));
    const [x, y] = await reserves();
    const shares = await chain.read(pair, 'sharesOf', [me]);
    const total = await chain.read(pair, 'totalShares');
    const paid = [(x * shares) / total, (y * shares) / total];
    assert.deepEqual(await chain.call(pair, 'burn', [shares, me]), { result: paid });
    assert.equal((await chain.call(pair, 'burn', [shares + 1n, me])).error, 'InsufficientShares');
    await chain.send(pair, 'burn', [shares, me]);
    assert.deepEqual(await reserves(), [x - paid[0], y - paid[1]]);
    assert.equal(await chain.read(pair, 'totalShares'), 1000n);
  });

  it('gives a later provider shares by the smaller of both payments', async () => {
    await chain.send(router, 'addLiquidity', [pair.address, 10n * UNIT, 4000n * UNIT, ELSEWHERE, FOREVER]);
    assert.equal(await chain.read(pair, 'sharesOf', [ELSEWHERE]), 20n * UNIT);
  });

  it('lets only the owner mint and nobody overdraw', async () => {
    const stranger = { account: ELSEWHERE };
    assert.equal((await chain.call(gold, 'mint', [me, 1n], stranger)).error, 'NotOwner');
    assert.equal((await chain.call(gold, 'transfer', [me, 1n], stranger)).error, 'InsufficientBalance');
    assert.equal((await chain.call(gold, 'transferFrom', [me, ELSEWHERE, 1n], stranger)).error, 'InsufficientAllowance');
    assert.equal((await chain.call(gold, 'mint', [me, FOREVER])).error, 'Panic', 'the supply does not wrap');
  });

  it('refuses a token that calls back in while the pair runs', async () => {
    const bad = await chain.deploy('ReentrantToken', [], compileTest('ReentrantToken'));
    const lure = await chain.deploy('Pair', [bad.address, salt.address]);
    await chain.send(bad, 'aim', [lure.address]);
    await chain.send(salt, 'transfer', [lure.address, 5000n]);
    await chain.send(lure, 'mint', [me]);
    for (const move of [0, 1, 2]) {
      await chain.send(bad, 'choose', [move]);
      assert.equal((await chain.call(lure, 'swap', [100n, 0n, me])).error, 'Locked', `move ${move}`);
    }
  });
});
