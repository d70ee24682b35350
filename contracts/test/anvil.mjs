// An anvil of one's own: a single EVM to compare with, on a free port of the loopback.

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const ARCHITECTURES = { x64: 'amd64', arm64: 'arm64' };
const START_MS_MAX = 20_000;

/** The first key of the mnemonic that anvil and hardhat fund by default: public, worth nothing. */
export const ANVIL_KEY = '0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80';

/** The path of a Foundry tool's real binary, from the packages installed beside the module at `from`. */
export function foundryBinary(tool, from) {
  const platform = `${process.platform}-${ARCHITECTURES[process.arch]}`;
  return createRequire(from).resolve(`@foundry-rs/${tool}-${platform}/bin/${tool}`);
}

/** Starts anvil with `args`; gives its endpoint and `stop()`. Nothing is left behind when this process ends. */
export async function startAnvil({ from, args = [] }) {
  const child = spawn(foundryBinary('anvil', from), ['--host', '127.0.0.1', '--port', '0', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const rpc = await listening(child);
  child.stdout.resume();
  const stop = () =>
    new Promise((resolve) => {
      process.removeListener('exit', kill);
      child.once('exit', resolve);
      child.kill('SIGTERM');
    });
  return { rpc, stop };
}

function listening(child) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`anvil did not listen within ${START_MS_MAX} ms`));
    }, START_MS_MAX);
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`anvil ended with ${code} before it listened`)));
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      const address = /^Listening on (\S+)$/.exec(line)?.[1];
      if (!address) return;
      clearTimeout(timer);
      child.removeAllListeners('exit');
      lines.close();
      resolve(`http://${address}`);
    });
  });
}
