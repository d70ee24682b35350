// Brings a network up once, runs every suite against it, takes it down again.
//
//   DOVETAIL_BIN=target/debug/dovetail node run.mjs      a devnet of its own
//   DOVETAIL_RPC=http://127.0.0.1:8545 node run.mjs      a running network (no gRPC suite unless DOVETAIL_GRPC is set)
//   node run.mjs --anvil                                 anvil in dovetail's place: tries the suites themselves
//
// DOVETAIL_PYTHON names a Python that has requirements.txt installed (scripts/setup tests provides one).
// Exit status: 0 if every suite passed and the network drained in order.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { network, startBaseline } from './network.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const SUITES_MS_MAX = 900_000;
const SUITES = ['viem', 'ethers', 'cast', 'parity', 'messages', 'traces', 'specification', 'hardhat', 'forking', 'ponder', 'otterscan', 'blockscout', 'cheats', 'explorer', 'pictures', 'forge', 'helpers'].map((suite) => `${suite}.test.mjs`);

/** Whether `command` ended well within its time. */
function run(command, args, env) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: HERE, stdio: 'inherit', env: { ...process.env, ...env }, detached: true });
    // The whole group, so that test files end with their runner.
    const kill = () => process.kill(-child.pid, 'SIGKILL');
    const timer = setTimeout(() => {
      console.error(`${command} ${args.join(' ')} did not end within ${SUITES_MS_MAX} ms`);
      kill();
    }, SUITES_MS_MAX);
    process.once('exit', kill);
    child.once('exit', () => {
      clearTimeout(timer);
      process.removeListener('exit', kill);
    });
    child.once('error', (error) => {
      console.error(`cannot run ${command}: ${error.message}`);
      resolve(false);
    });
    child.once('exit', (code) => resolve(code === 0));
  });
}

async function runSuites({ stop, ...under }) {
  const env = { DOVETAIL_NETWORK: JSON.stringify(under) };
  const passed = [await run(process.execPath, ['--test', ...SUITES], env)];
  if (under.coordinator_grpc) {
    const python = process.env.DOVETAIL_PYTHON ?? 'python3';
    passed.push(await run(python, ['-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'python'], env));
  } else {
    console.log('the gRPC suite did not run: this endpoint has none');
  }
  return passed.every(Boolean);
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
const started = Date.now();
const under = process.argv.includes('--anvil') ? await startBaseline() : await network();
if (process.env.DOVETAIL_GRPC) under.coordinator_grpc ??= process.env.DOVETAIL_GRPC;
const passed = await runSuites(under);
await under.stop();
console.log(`end-to-end suites ${passed ? 'passed' : 'FAILED'} in ${Math.round((Date.now() - started) / 1000)} s`);
process.exit(passed ? 0 : 1);
