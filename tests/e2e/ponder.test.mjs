// A real indexer (Ponder, with its own embedded database) over the network: the transfers of tokens that live on different shards,
// of before it began and while it runs, with a handler that reads a contract at each event's block. What it comes to is the chain's.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PAYERS, openChain } from './chain.mjs';
import { freePort, network } from './network.mjs';

const PROJECT = fileURLToPath(new URL('ponder', import.meta.url));
const TOKENS_COUNT = 3;
const RECEIVERS_COUNT = 3;
const READY_MS_MAX = 45_000;
const POLL_MS = 200;

/** Starts Ponder on `chain`; gives `ask(query)` and `stop()`. */
async function startPonder(chain, tokens, firstBlock) {
  const folder = mkdtempSync(join(tmpdir(), 'dovetail-ponder-'));
  const port = await freePort();
  const args = ['start', '--schema', 'transfers', '--port', `${port}`, '--hostname', '127.0.0.1'];
  const child = spawn(process.execPath, [join(PROJECT, 'node_modules/ponder/dist/esm/bin/ponder.js'), ...args], {
    cwd: PROJECT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      PONDER_TELEMETRY_DISABLED: 'true',
      E2E_RPC: chain.rpc,
      E2E_CHAIN_ID: `${chain.id}`,
      E2E_TOKENS: JSON.stringify(tokens.map(({ address }) => address)),
      E2E_FIRST_BLOCK: `${firstBlock}`,
      E2E_DATABASE: folder,
    },
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    process.removeListener('exit', kill);
    child.kill('SIGTERM');
    const timer = setTimeout(kill, 5_000);
    await ended;
    clearTimeout(timer);
    rmSync(folder, { recursive: true, force: true });
  };
  const ask = async (query) => {
    const response = await fetch(`http://127.0.0.1:${port}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query }),
    });
    const { data, errors } = await response.json();
    assert.equal(errors, undefined, JSON.stringify(errors));
    return data;
  };
  /** All that it has indexed, once these are `count` transfers. */
  const indexed = async (count) => {
    for (const end = Date.now() + READY_MS_MAX; Date.now() < end && child.exitCode === null; ) {
      const found = await ask(
        '{ transfers(limit: 1000) { items { token to value block balance } } holdings(limit: 1000) { items { token holder value } } }',
      ).catch(() => null);
      if (found?.transfers.items.length >= count) return found;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    throw new Error(`Ponder did not index ${count} transfers\n${said}`);
  };
  return { indexed, stop };
}

describe('Ponder', () => {
  let under, chain, ponder;
  before(async () => {
    under = await network();
    chain = await openChain(under.rpc, under.accounts[PAYERS.ponder % under.accounts.length].private_key);
  });
  after(async () => {
    await ponder?.stop();
    await under?.stop();
  });

  it("comes to the chain's own totals, of the past and of what goes on", async (test) => {
    const owners = [];
    for (let index = 0; index < TOKENS_COUNT; index += 1) owners.push(await chain.user());
    const tokens = await Promise.all(owners.map((owner, index) => chain.deploy(owner, 'Token', [`Token ${index}`, `T${index}`])));
    const receivers = Array.from({ length: RECEIVERS_COUNT }, (_, index) => owners[index % TOKENS_COUNT].account.address);
    /** Mints and passes on, in all tokens side by side. */
    const play = (amount) =>
      Promise.all(
        tokens.map(async (token, index) => {
          await chain.send(owners[index], token, 'mint', [owners[index].account.address, amount * 10n]);
          for (const to of receivers) await chain.send(owners[index], token, 'transfer', [to, amount]);
        }),
      );
    const perPlay = TOKENS_COUNT * (1 + RECEIVERS_COUNT);

    await play(5n);
    const firstBlock = tokens.reduce((least, { receipt }) => (receipt.blockNumber < least ? receipt.blockNumber : least), 2n ** 63n);
    ponder = await startPonder(chain, tokens, firstBlock);
    await ponder.indexed(perPlay);
    await play(7n);
    const { transfers, holdings } = await ponder.indexed(2 * perPlay);

    assert.equal(transfers.items.length, 2 * perPlay);
    const of = (address) => tokens.find((token) => token.address.toLowerCase() === address);
    const balanceOf = (address, who, blockNumber) =>
      chain.reader.readContract({ ...of(address), functionName: 'balanceOf', args: [who], blockNumber });
    for (const { token, to, block, balance } of transfers.items) {
      assert.equal(BigInt(balance), await balanceOf(token, to, BigInt(block)), `at block ${block}`);
    }
    for (const { token, holder, value } of holdings.items) {
      if (BigInt(holder) !== 0n) assert.equal(BigInt(value), await balanceOf(token, holder), `${holder} of ${token}`);
    }
    const supplies = await Promise.all(tokens.map((token) => chain.read(token, 'totalSupply')));
    assert.deepEqual(supplies, tokens.map(() => 120n));
    const logs = await chain.reader.getLogs({ address: tokens.map(({ address }) => address), fromBlock: firstBlock });
    assert.equal(logs.length, transfers.items.length);
    test.diagnostic(`${transfers.items.length} transfers of ${tokens.length} tokens, ${holdings.items.length} holdings`);
  });
});
