// The network under test, however it came up.
//
//   DOVETAIL_NETWORK   what `dovetail devnet --json` printed; run.mjs sets it for its suites
//   DOVETAIL_RPC       a running JSON-RPC endpoint, with DOVETAIL_KEY for a funded account (default: anvil's first)
//   DOVETAIL_BIN       the dovetail binary: the suite starts a network of its own and ends it
//
// Promise: `stop()` ends what this process started and nothing else.

import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { mnemonicToAccount, privateKeyToAddress } from 'viem/accounts';
import { toHex } from 'viem';
import { ANVIL_KEY, startAnvil } from '../../contracts/test/anvil.mjs';

const SHARDS_COUNT = 4;
/** One for each suite, and some more. */
const ACCOUNTS_COUNT = 16;
const START_MS_MAX = 60_000;
const STOP_MS_MAX = 15_000;

/** The fork that anvil runs when it is compared with dovetail or stands in for it. */
export const HARDFORK = process.env.DOVETAIL_HARDFORK ?? 'osaka';

/** Starts `binary devnet` with these flags besides; gives what it printed, and `stop()`, which fails unless SIGTERM ends it in order. */
export async function startDevnet(binary, flags = []) {
  const args = ['devnet', '--shards', `${SHARDS_COUNT}`, '--accounts', `${ACCOUNTS_COUNT}`, '--json', ...flags];
  const child = spawn(binary, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
  const terminate = () => child.kill('SIGTERM');
  process.once('exit', terminate);
  const network = JSON.parse(await firstLine(child, ended));
  const stop = async () => {
    process.removeListener('exit', terminate);
    terminate();
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
    const { code, signal } = await ended;
    clearTimeout(timer);
    if (code !== 0) throw new Error(`devnet ended with ${signal ?? code} instead of draining on SIGTERM`);
  };
  return { ...network, stop };
}

/** A port of the loopback that nobody listens on now. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function firstLine(child, ended) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`devnet was not ready within ${START_MS_MAX} ms`)), START_MS_MAX);
    child.once('error', reject);
    ended.then(({ code }) => reject(new Error(`devnet ended with ${code} before it was ready`)));
    const lines = createInterface({ input: child.stdout });
    lines.once('line', (line) => {
      clearTimeout(timer);
      lines.close();
      child.stdout.resume();
      resolve(line);
    });
  });
}

/** An anvil in dovetail's place, to try the suites themselves. */
export async function startBaseline() {
  const { rpc, stop } = await startAnvil({ from: import.meta.url, args: ['--hardfork', HARDFORK, '--accounts', `${ACCOUNTS_COUNT}`] });
  const accounts = Array.from({ length: ACCOUNTS_COUNT }, (_, addressIndex) => {
    const account = mnemonicToAccount('test test test test test test test test test test test junk', { addressIndex });
    return { address: account.address, private_key: toHex(account.getHdKey().privateKey) };
  });
  return { rpc, accounts, baseline: true, stop };
}

/** The network that the environment names. */
export async function network() {
  const { DOVETAIL_NETWORK, DOVETAIL_RPC, DOVETAIL_KEY, DOVETAIL_BIN } = process.env;
  if (DOVETAIL_NETWORK) return { ...JSON.parse(DOVETAIL_NETWORK), stop: async () => {} };
  if (DOVETAIL_RPC) {
    const private_key = DOVETAIL_KEY ?? ANVIL_KEY;
    const accounts = [{ address: privateKeyToAddress(private_key), private_key }];
    return { rpc: DOVETAIL_RPC, accounts, stop: async () => {} };
  }
  if (DOVETAIL_BIN) return startDevnet(DOVETAIL_BIN);
  throw new Error('no network to test: set DOVETAIL_BIN to the dovetail binary, or DOVETAIL_RPC to a running endpoint');
}
