// Foundry's forge: a script that broadcasts, on the network under test and on a single EVM (anvil), with the same status, gas,
// contracts and logs; tests and fuzzing on a fork of the network, at a block gone by; and what it created, verified by its code.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseAbi, parseEther } from 'viem';
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts';
import { ANVIL_KEY, foundryBinary, startAnvil } from '../../contracts/test/anvil.mjs';
import { PAYERS, openChain } from './chain.mjs';
import { HARDFORK, network } from './network.mjs';

const PROJECT = fileURLToPath(new URL('forge', import.meta.url));
const FORGE_MS_MAX = 120_000;
const LEDGER = parseAbi(['function points(address) view returns (uint256)', 'function begun() view returns (uint256)']);
const BOB = '0x0000000000000000000000000000000000000b0b';

/** Runs forge with a home and folders of its own; fails with what it wrote unless it ended well. */
function forge(folder, args, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(foundryBinary('forge', import.meta.url), args, {
      cwd: PROJECT,
      env: {
        ...process.env, HOME: folder, FOUNDRY_OUT: join(folder, 'out'), FOUNDRY_CACHE_PATH: join(folder, 'cache'),
        FOUNDRY_BROADCAST: join(folder, 'broadcast'), ...env,
      },
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), FORGE_MS_MAX);
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk));
    child.once('error', reject);
    child.once('exit', (code) => {
      clearTimeout(timer);
      if (code === 0) resolve(said);
      else reject(new Error(`forge ${args[0]} ended with ${code}\n${said}`));
    });
  });
}

/** What forge's script did on `chain`, as everybody must see it; `key` is its sender's. */
async function deploy(chain, key, folder) {
  const { bank, outcome } = chain;
  await outcome(await bank.sendTransaction({ to: privateKeyToAddress(key), value: parseEther('1') }));
  await forge(folder, ['script', 'script/Deploy.s.sol', '--rpc-url', chain.rpc, '--private-key', key, '--broadcast', '--slow']);
  const run = JSON.parse(readFileSync(join(folder, 'broadcast', 'Deploy.s.sol', `${chain.id}`, 'run-latest.json'), 'utf8'));
  return run.receipts;
}

describe('forge', () => {
  const folders = [0, 1].map(() => mkdtempSync(join(tmpdir(), 'dovetail-forge-')));
  const key = generatePrivateKey();
  const owner = privateKeyToAddress(key);
  let under, baseline, chain, receipts;
  before(async () => {
    under = await network();
    baseline = await startAnvil({ from: import.meta.url, args: ['--hardfork', HARDFORK] });
    chain = await openChain(under.rpc, under.accounts[PAYERS.forge % under.accounts.length].private_key);
  });
  after(async () => {
    for (const folder of folders) rmSync(folder, { recursive: true });
    await baseline?.stop();
    await under?.stop();
  });

  it('broadcasts a script, and each transaction is what it is on a single EVM', async () => {
    const other = await openChain(baseline.rpc, ANVIL_KEY);
    receipts = await deploy(chain, key, folders[0]);
    const there = await deploy(other, key, folders[1]);
    const told = ({ status, gasUsed, contractAddress, to, logs }) => ({
      status, gasUsed, contractAddress, to, logs: logs.map(({ address, topics, data }) => ({ address, topics, data })),
    });
    assert.deepEqual(receipts.map(told), there.map(told));
    assert.equal(receipts.length, 7);
    assert.ok(receipts.every(({ status }) => status === '0x1'));
  });

  it('tests and fuzzes on a fork at blocks gone by', async () => {
    const [deployed, given] = receipts;
    const ledger = { address: deployed.contractAddress, abi: LEDGER };
    const [begun, number] = [BigInt(deployed.blockNumber), BigInt(given.blockNumber)];
    assert.equal(await chain.reader.readContract({ ...ledger, functionName: 'points', args: [BOB] }), 7n);
    const block = await chain.reader.getBlock({ blockNumber: number });
    const said = await forge(folders[0], ['test', '--no-storage-caching', '-vv'], {
      E2E_RPC: chain.rpc, E2E_LEDGER: ledger.address, E2E_OWNER: owner, E2E_CHAIN: `${chain.id}`,
      E2E_BEGUN: `${begun}`, E2E_BEFORE: `${number - 1n}`, E2E_AFTER: `${number}`, E2E_TIME: `${block.timestamp}`,
      E2E_BALANCE: `${await chain.reader.getBalance({ address: owner, blockNumber: number })}`,
    });
    assert.match(said, /4 tests passed, 0 failed/);
  });

  it('creates a contract, whose code it then finds', async () => {
    const args = ['create', 'src/Ledger.sol:Ledger', '--rpc-url', chain.rpc, '--private-key', key, '--broadcast', '--json'];
    const said = await forge(folders[0], [...args, '--constructor-args', '5']);
    const [, deployedTo] = /"deployedTo":\s*"(0x[0-9a-fA-F]{40})"/.exec(said) ?? assert.fail(said);
    const points = { address: deployedTo, abi: LEDGER, functionName: 'points', args: [owner] };
    assert.equal(await chain.reader.readContract(points), 5n);
  });
});
