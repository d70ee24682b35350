// OpenZeppelin's contracts, deployed and used by hardhat itself (its runner, its matchers, Ignition), on the network under test and
// on a single EVM (anvil): the same tests pass on both, and every transaction has the same status, gas, contract and logs.
//
// Both run from the same fresh keys, so addresses are the same. Fixtures are deployed anew: a network has no snapshots.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseEther } from 'viem';
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts';
import { ANVIL_KEY, startAnvil } from '../../contracts/test/anvil.mjs';
import { PAYERS, openChain } from './chain.mjs';
import { HARDFORK, network } from './network.mjs';

const PROJECT = fileURLToPath(new URL('hardhat', import.meta.url));
const KEYS_COUNT = 32;
const BUDGET = parseEther('2');
/** Blocks by the clock and for each transaction: what waits for a block is not held up. */
const ANVIL_ARGS = ['--hardfork', HARDFORK, '--block-time', '0.25', '--mixed-mining'];
// hardhat is for another Node.js than the oldest that these tests run on.
const NODE = createRequire(import.meta.url).resolve('node/bin/node');

/** Runs hardhat; fails with what it wrote unless it ended well. */
function hardhat(args, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(NODE, [join(PROJECT, 'node_modules/hardhat/dist/src/cli.js'), ...args], {
      cwd: PROJECT,
      env: { ...process.env, HARDHAT_DISABLE_TELEMETRY_PROMPT: 'true', CI: 'true', ...env },
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk));
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve(said) : reject(new Error(`hardhat ended with ${code}\n${said}`))));
  });
}

/** Gives all of `keys` something to spend, at once. */
async function fund(chain, keys) {
  const { bank, reader } = chain;
  const first = await reader.getTransactionCount({ address: bank.account.address, blockTag: 'pending' });
  const sent = keys.map((key, index) =>
    bank.sendTransaction({ to: privateKeyToAddress(key), value: BUDGET, gas: 60_000n, nonce: first + index }),
  );
  await Promise.all((await Promise.all(sent)).map((hash) => chain.outcome(hash)));
}

/** What hardhat's tests saw on `chain`, in an order that does not depend on who was first. */
async function play(chain, keys, record) {
  await fund(chain, keys);
  await hardhat(['test', 'mocha', '--no-compile', '--network', 'under'], {
    E2E_RPC: chain.rpc,
    E2E_KEYS: JSON.stringify(keys),
    E2E_RECORD: record,
    E2E_IGNITION: `${record}.ignition`,
  });
  return readFileSync(record, 'utf8').trim().split('\n').sort();
}

describe('hardhat', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dovetail-hardhat-'));
  const keys = Array.from({ length: KEYS_COUNT }, generatePrivateKey);
  let under, baseline, chains;
  before(async () => {
    under = await network();
    baseline = await startAnvil({ from: import.meta.url, args: ANVIL_ARGS });
    chains = [
      await openChain(under.rpc, under.accounts[PAYERS.hardhat % under.accounts.length].private_key),
      await openChain(baseline.rpc, ANVIL_KEY),
    ];
    await hardhat(['build', '--quiet']);
  });
  after(async () => {
    rmSync(folder, { recursive: true });
    await baseline?.stop();
    await under?.stop();
  });

  it("passes its tests of OpenZeppelin's contracts, and nothing is otherwise than on a single EVM", async (test) => {
    const [here, there] = await Promise.all(chains.map((chain, index) => play(chain, keys, join(folder, `${index}.jsonl`))));
    test.diagnostic(`${here.length} steps compared`);
    assert.deepEqual(here, there);
  });
});
