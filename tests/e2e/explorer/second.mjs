// A second node on a running devnet, which decided nothing that went before it, and a relay whose network file is wrong.

import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { freePort } from '../network.mjs';

const START_MS_MAX = 30_000;

/** A process of the program with these settings, ended by `stop()`. */
function start(verb, folder, settings) {
  mkdirSync(folder, { recursive: true });
  const file = `${folder}.toml`;
  writeFileSync(file, Object.entries({ ...settings, data: folder }).map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`).join(''));
  const child = spawn(process.env.DOVETAIL_BIN, [verb, '--config', file], { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const terminate = () => child.kill('SIGTERM');
  process.once('exit', terminate);
  return {
    stop: async () => {
      process.removeListener('exit', terminate);
      terminate();
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(timer);
    },
  };
}

async function until(isSo, what) {
  const end = Date.now() + START_MS_MAX;
  while (!(await isSo().catch(() => false))) {
    if (Date.now() > end) throw new Error(`not within ${START_MS_MAX} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/**
 * A node beside those of `under` that knows their relays and one more: its network file has the endpoint of shard `wrong` at shard
 * `right`'s, so what it brings for `wrong` is refused for good.
 */
export async function startSecond(under, wrong, right) {
  const folder = dirname(under.network_file);
  const text = readFileSync(under.network_file, 'utf8');
  const misrouted = `${folder}/network-misrouted.toml`;
  writeFileSync(misrouted, text.replace(under.shards[wrong].grpc, under.shards[right].grpc));
  const [relay, metrics, grpc, rpc, itsMetrics] = await Promise.all(Array.from({ length: 5 }, freePort));
  const at = (port) => `127.0.0.1:${port}`;
  const processes = [
    start('relay', `${folder}/relay-misrouted`, { network: misrouted, listen: at(relay), metrics_listen: at(metrics) }),
    start('coordinator', `${folder}/coordinator-second`, {
      network: under.network_file,
      listen: at(grpc),
      rpc_listen: at(rpc),
      metrics_listen: at(itsMetrics),
      relays: [...under.relays, `http://${at(relay)}`],
    }),
  ];
  const explorer = `http://${at(rpc)}/explorer/`;
  await until(async () => (await fetch(new URL('api/v1/now', explorer))).ok, 'the second node answers');
  return { explorer, relay: under.relays.length, stop: () => Promise.all(processes.map(({ stop }) => stop())) };
}
