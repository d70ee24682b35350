// anvil and hardhat begin with the network's state at a block gone by: balances, nonces, codes and slots are as they were then, whatever
// has happened since, and calls and transactions go on from there.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createPublicClient, encodeFunctionData, http, parseEther } from 'viem';
import { startAnvil } from '../../contracts/test/anvil.mjs';
import { PAYERS, openChain } from './chain.mjs';
import { HARDFORK, network } from './network.mjs';

const PROJECT = fileURLToPath(new URL('hardhat', import.meta.url));
const NODE = createRequire(import.meta.url).resolve('node/bin/node');
const COUNTED_THEN = 3n;
const PAID_THEN = parseEther('1');
const PAYEE = '0x00000000000000000000000000000000f0f0f0f0';

describe('a fork of the network', () => {
  let under, chain, counter, then, nonce;
  before(async () => {
    under = await network();
    chain = await openChain(under.rpc, under.accounts[PAYERS.forking % under.accounts.length].private_key);
    const user = await chain.user();
    counter = await chain.deploy(user, 'Counter');
    for (let count = 0n; count < COUNTED_THEN; count++) await chain.send(user, counter, 'increment', [1n]);
    const paid = await chain.outcome(await user.sendTransaction({ to: PAYEE, value: PAID_THEN }));
    then = { block: paid.blockNumber, user: user.account.address };
    nonce = await chain.reader.getTransactionCount({ address: then.user, blockNumber: then.block });
    await chain.send(user, counter, 'increment', [1n]);
    await chain.outcome(await user.sendTransaction({ to: PAYEE, value: PAID_THEN }));
  });
  after(() => under?.stop());

  /** What a fork at `then` has to show. */
  const expected = async () => ({
    balance: await chain.reader.getBalance({ address: then.user, blockNumber: then.block }),
    paid: PAID_THEN,
    nonce,
    code: await chain.reader.getCode({ address: counter.address }),
    slot: `0x${COUNTED_THEN.toString(16).padStart(64, '0')}`,
    count: COUNTED_THEN,
  });

  it('by anvil is the state of that block', async () => {
    const block = `${then.block}`;
    const args = ['--hardfork', HARDFORK, '--fork-url', under.rpc, '--fork-block-number', block];
    const anvil = await startAnvil({ from: import.meta.url, args });
    try {
      const reader = createPublicClient({ transport: http(anvil.rpc) });
      assert.equal(await reader.getChainId(), chain.id);
      assert.deepEqual(await shown(reader), await expected());
    } finally {
      await anvil.stop();
    }
  });

  it('by hardhat is the state of that block', async () => {
    const said = await hardhat({
      E2E_FORK: JSON.stringify({ url: under.rpc, blockNumber: Number(then.block), chainId: chain.id }),
      E2E_FORK_ASKS: JSON.stringify({ user: then.user, payee: PAYEE, counter: counter.address, data: countData() }),
    });
    const { chainId, balance, paid, nonce, code, slot, count } = JSON.parse(said.trim().split('\n').at(-1));
    assert.equal(Number(chainId), chain.id);
    const read = { balance: BigInt(balance), paid: BigInt(paid), nonce: Number(nonce), code, slot, count: BigInt(count) };
    assert.deepEqual(read, await expected());
  });

  const countData = () => encodeFunctionData({ abi: counter.abi, functionName: 'count' });

  async function shown(reader) {
    const { data } = await reader.call({ to: counter.address, data: countData() });
    return {
      balance: await reader.getBalance({ address: then.user }),
      paid: await reader.getBalance({ address: PAYEE }),
      nonce: await reader.getTransactionCount({ address: then.user }),
      code: await reader.getCode({ address: counter.address }),
      slot: await reader.getStorageAt({ address: counter.address, slot: '0x0' }),
      count: BigInt(data),
    };
  }
});

/** What hardhat's script writes. */
function hardhat(env) {
  return new Promise((resolve, reject) => {
    const cli = join(PROJECT, 'node_modules/hardhat/dist/src/cli.js');
    const child = spawn(NODE, [cli, 'run', '--no-compile', 'scripts/forked.js'], {
      cwd: PROJECT,
      env: { ...process.env, HARDHAT_DISABLE_TELEMETRY_PROMPT: 'true', CI: 'true', ...env },
    });
    let [said, wrong] = ['', ''];
    child.stdout.on('data', (chunk) => (said += chunk));
    child.stderr.on('data', (chunk) => (wrong += chunk));
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve(said) : reject(new Error(`hardhat ended with ${code}\n${said}${wrong}`))));
  });
}
