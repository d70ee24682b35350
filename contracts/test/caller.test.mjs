// Calls between contracts: in turn, into a revert, and back in.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { decodeErrorResult } from 'viem';
import { startChain } from './chain.mjs';

describe('a caller', () => {
  let chain, first, second, counters;

  before(async () => {
    chain = await startChain();
    [first, second] = [await chain.deploy('Caller'), await chain.deploy('Caller')];
    counters = [await chain.deploy('Counter'), await chain.deploy('Counter')];
  });
  after(() => chain.stop());

  it('raises every counter in one transaction', async () => {
    const addresses = counters.map(({ address }) => address);
    assert.deepEqual(await chain.call(first, 'incrementAll', [addresses]), { result: 2n });
    await chain.send(first, 'incrementAll', [addresses]);
    for (const counter of counters) assert.equal(await chain.read(counter, 'count'), 1n);
  });

  it('survives a revert that undoes only the inner call', async () => {
    const args = counters.map(({ address }) => address);
    const { result } = await chain.call(first, 'survive', args);
    const { errorName, args: told } = decodeErrorResult({ abi: counters[1].abi, data: result });
    assert.deepEqual([errorName, told], ['Failed', [2n]]);
    await chain.send(first, 'survive', args);
    assert.equal(await chain.read(counters[0], 'count'), 2n);
    assert.equal(await chain.read(counters[1], 'count'), 1n);
  });

  it('sees in its outer frame what its inner frame wrote', async () => {
    // first(1) -> second(1) -> first(2) -> second(2) -> first(3): going out, each sees the last count of its contract.
    assert.deepEqual(await chain.call(first, 'bounce', [second.address, 4n]), { result: 32323n });
    await chain.send(first, 'bounce', [second.address, 4n]);
    assert.equal(await chain.read(first, 'visits'), 3n);
    assert.equal(await chain.read(second, 'visits'), 2n);
  });
});
