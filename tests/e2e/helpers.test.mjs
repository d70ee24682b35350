// hardhat's network helpers over OpenZeppelin's contracts, as suites use them: the same files pass on a devnet of four shards with
// `--cheats` and on anvil.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startAnvil } from '../../contracts/test/anvil.mjs';
import { HARDFORK, startDevnet } from './network.mjs';

const PROJECT = fileURLToPath(new URL('hardhat', import.meta.url));
const SUITE_MS_MAX = 240_000;
// hardhat is for another Node.js than the oldest that these tests run on.
const NODE = createRequire(import.meta.url).resolve('node/bin/node');

/** Runs the suite by hardhat against `rpc`; gives how many tests passed and failed, and what it said. */
function suite(rpc) {
  return new Promise((resolve, reject) => {
    const args = ['test', 'mocha', '--no-compile', '--network', 'under', 'cheats/helpers.js'];
    const child = spawn(NODE, [join(PROJECT, 'node_modules/hardhat/dist/src/cli.js'), ...args], {
      cwd: PROJECT,
      env: { ...process.env, HARDHAT_DISABLE_TELEMETRY_PROMPT: 'true', CI: 'true', E2E_RPC: rpc, E2E_KEYS: '' },
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), SUITE_MS_MAX);
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk));
    child.once('error', reject);
    child.once('exit', (code) => {
      clearTimeout(timer);
      resolve({ passing: Number(/(\d+) passing/.exec(said)?.[1] ?? 0), ended: code, said });
    });
  });
}

function build() {
  return new Promise((resolve, reject) => {
    const child = spawn(NODE, [join(PROJECT, 'node_modules/hardhat/dist/src/cli.js'), 'build', '--quiet'], {
      cwd: PROJECT, stdio: 'inherit', env: { ...process.env, HARDHAT_DISABLE_TELEMETRY_PROMPT: 'true', CI: 'true' },
    });
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`hardhat build ended with ${code}`))));
  });
}

const options = process.env.DOVETAIL_BIN ? {} : { skip: 'a devnet with cheats is started by DOVETAIL_BIN' };

describe("hardhat's network helpers", options, () => {
  let under, baseline;
  before(async () => {
    under = await startDevnet(process.env.DOVETAIL_BIN, ['--cheats']);
    baseline = await startAnvil({ from: import.meta.url, args: ['--hardfork', HARDFORK] });
    await build();
  });
  after(async () => {
    await baseline?.stop();
    await under?.stop();
  });

  it('pass their suite on the network and on a single EVM', async (test) => {
    const [here, there] = await Promise.all([suite(under.rpc), suite(baseline.rpc)]);
    assert.equal(there.ended, 0, `on anvil: ${there.said}`);
    assert.equal(here.ended, 0, `on the network: ${here.said}`);
    assert.equal(here.passing, there.passing);
    test.diagnostic(`${here.passing} tests passed on both`);
  });
});
