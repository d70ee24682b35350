// What the explorer is shown: a market on four shards and a swap over it, messages, a revert and logs with hostile text.

import { encodeAbiParameters, encodeErrorResult, getContractAddress, keccak256, pad, parseEther, parseEventLogs, toHex, zeroHash } from 'viem';
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts';
import { artifact } from '../chain.mjs';

const FOREVER = 2n ** 63n;
const UNIT = 10n ** 18n;
const GAS_LIMIT = 300_000n;

/** Text that is markup, a script, a change of direction, a very long line: all that must stay text. */
export const HOSTILE = `<img src=x onerror="globalThis.broken=1"><script>globalThis.broken=1</script>\u202e'"&{{7*7}}javascript:broken ${'A'.repeat(600)}`;

/** An ABI whose names are hostile too. */
export const HOSTILE_ABI = [
  { type: 'event', name: 'Said', inputs: [{ name: '<b onclick=broken>words</b>', type: 'string', indexed: false }] },
  { type: 'function', name: 'transfer', inputs: [] },
];

const SAID = keccak256(toHex('Said(string)'));

/** The shard of an address that nobody pinned. */
export function shardOf(address, shardsCount) {
  return Number(BigInt(keccak256(address).slice(0, 18)) % BigInt(shardsCount));
}

/** Code that copies what is behind it into memory and goes on with `after`, which is `bytes` long. */
function speaking(text, after) {
  const data = text.slice(2);
  const length = (data.length / 2).toString(16).padStart(4, '0');
  const size = 3 + 3 + 2 + 1 + after(length).length / 2;
  const code = `61${length}61${size.toString(16).padStart(4, '0')}600039${after(length)}`;
  const runtime = code + data;
  const bytes = (runtime.length / 2).toString(16).padStart(4, '0');
  return `0x61${bytes}80600a5f395ff3${runtime}`;
}

/** Opens the stage on `chain`, whose network is `under`. */
export async function openStage(chain, under) {
  const shards = under.mailboxes.length;

  /** The wallet of a fresh user on `shard`. */
  const userOn = async (shard) => {
    for (;;) {
      const key = generatePrivateKey();
      if (shardOf(privateKeyToAddress(key), shards) === shard) return chain.user(parseEther('5'), key);
    }
  };
  /** Deploys `name` so that it lives on `shard`. */
  const deployOn = async (shard, name, args) => {
    for (;;) {
      const key = generatePrivateKey();
      const address = getContractAddress({ from: privateKeyToAddress(key), nonce: 0n });
      if (shardOf(address, shards) !== shard) continue;
      const owner = await chain.user(parseEther('2'), key);
      return { ...(await chain.deploy(owner, name, args)), owner };
    }
  };
  /** Deploys bare code from a fresh user. */
  const deployCode = async (data) => {
    const user = await chain.user(parseEther('1'));
    const { contractAddress } = await chain.outcome(await user.sendTransaction({ data, gas: 3_000_000n }));
    return contractAddress;
  };

  /** A swap whose user, router, pair and tokens are on as many shards as there are, up to four. */
  const swap = async () => {
    const on = (number) => number % shards;
    const user = await userOn(on(3));
    const gold = await deployOn(on(0), 'Token', ['Gold', 'GLD']);
    const salt = await deployOn(on(1), 'Token', ['Salt', 'SLT']);
    const pair = await deployOn(on(2), 'Pair', [gold.address, salt.address]);
    const router = await deployOn(on(0), 'Router', []);
    const { address: who } = user.account;
    for (const token of [gold, salt]) {
      await chain.send(token.owner, token, 'mint', [who, 1_000n * UNIT]);
      await chain.send(user, token, 'approve', [router.address, 1_000n * UNIT]);
    }
    await chain.send(user, router, 'addLiquidity', [pair.address, 100n * UNIT, 100n * UNIT, who, FOREVER]);
    const again = () => chain.send(user, router, 'swapExactTokensForTokens', [UNIT / 100n, 1n, gold.address, pair.address, who, FOREVER]);
    const receipt = await chain.send(user, router, 'swapExactTokensForTokens', [UNIT, 1n, gold.address, pair.address, who, FOREVER]);
    return { user, gold, salt, pair, router, receipt, again };
  };

  /** Two contracts that write to each other, on these shards. */
  const letters = async (from, to) => {
    const ping = await deployOn(from, 'Ping', [under.mailboxes[from]]);
    const pong = await deployOn(to, 'Pong', [under.mailboxes[to]]);
    const writer = await userOn(from);
    const owner = await userOn(to);
    const mailbox = { abi: artifact('Mailbox').abi, address: under.mailboxes[to] };
    const domain = await chain.read(mailbox, 'localDomain');
    const write = async (text, { value = 0n, lastsMs = 600_000n } = {}) => {
      const deadline = (await chain.reader.getBlock()).timestamp * 1_000n + lastsMs;
      const receipt = await chain.send(writer, ping, 'send', [domain, pad(pong.address), toHex(text), GAS_LIMIT, deadline], { value });
      const { id } = parseEventLogs({ abi: ping.abi, logs: receipt.logs, eventName: 'Sent' })[0].args;
      return { id, receipt };
    };
    const refuse = (isRefusing) => chain.send(owner, pong, 'setRefusing', [isRefusing]);
    return { ping, pong, write, refuse };
  };

  /** A transaction that reverts with hostile words, and one that logs them. */
  const hostility = async () => {
    const abi = [{ type: 'error', name: 'Error', inputs: [{ name: 'reason', type: 'string' }] }];
    const refusal = encodeErrorResult({ abi, errorName: 'Error', args: [HOSTILE] });
    const words = encodeAbiParameters([{ type: 'string' }], [HOSTILE]);
    const refuser = await deployCode(speaking(refusal, (length) => `61${length}5ffd`));
    const speaker = await deployCode(speaking(words, (length) => `7f${SAID.slice(2)}61${length}5fa100`));
    const user = await chain.user(parseEther('1'));
    const call = async (to) => chain.outcome(await user.sendTransaction({ to, gas: 200_000n, data: zeroHash }));
    return { refuser, speaker, refused: await call(refuser), said: await call(speaker) };
  };

  return { swap, letters, hostility, userOn, deployOn, shards };
}
