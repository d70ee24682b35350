// One script of transactions on two chains, a single EVM (anvil) and the network under test: nobody can tell them apart (I16).
//
// Both chains run it from one fresh key, so addresses, calldata and hence gas are the same; a legacy gas price makes the fees
// the same too. Where the network places the contracts is up to its placement rule.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { decodeFunctionResult, encodeFunctionData, getContractAddress, parseEther, parseGwei, toHex } from 'viem';
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts';
import { ANVIL_KEY, startAnvil } from '../../contracts/test/anvil.mjs';
import { PAYERS, artifact, openChain } from './chain.mjs';
import { HARDFORK, network } from './network.mjs';

const UNIT = 10n ** 18n;
const FOREVER = 2n ** 256n - 1n;
const GAS_MAX = 3_000_000n;
const GAS_PRICE = parseGwei('20');
const BUDGET = parseEther('10');
const SLOTS_COUNT = 12;

const KEY = process.env.DOVETAIL_PARITY_KEY ?? generatePrivateKey();
const USER = privateKeyToAddress(KEY);

/** The scenario: what to deploy and call, in order. Contracts are named by their place among the deployments. */
const DEPLOYED = ['gold', 'salt', 'pair', 'router', 'first', 'second', 'counterA', 'counterB', 'counterC', 'counterD'];
const at = Object.fromEntries(DEPLOYED.map((name, nonce) => [name, getContractAddress({ from: USER, nonce: BigInt(nonce) })]));
const COUNTERS = [at.counterA, at.counterB, at.counterC, at.counterD];

const STEPS = [
  ['deploy', 'Token', ['Gold', 'GLD']],
  ['deploy', 'Token', ['Salt', 'SLT']],
  ['deploy', 'Pair', [at.gold, at.salt]],
  ['deploy', 'Router', []],
  ['deploy', 'Caller', []],
  ['deploy', 'Caller', []],
  ...COUNTERS.map(() => ['deploy', 'Counter', []]),
  ['call', 'Token', at.gold, 'mint', [USER, 10_000n * UNIT]],
  ['call', 'Token', at.salt, 'mint', [USER, 10_000n * UNIT]],
  ['call', 'Token', at.gold, 'approve', [at.router, FOREVER]],
  ['call', 'Token', at.salt, 'approve', [at.router, 7_000n * UNIT]],
  ['call', 'Router', at.router, 'addLiquidity', [at.pair, 1000n * UNIT, 4000n * UNIT, USER, FOREVER]],
  ['call', 'Router', at.router, 'swapExactTokensForTokens', [7n * UNIT, 1n, at.gold, at.pair, USER, FOREVER]],
  ['call', 'Router', at.router, 'swapExactTokensForTokens', [9n * UNIT, 1n, at.salt, at.pair, USER, FOREVER]],
  ['revert', 'Router', at.router, 'swapExactTokensForTokens', [UNIT, 5n * UNIT, at.gold, at.pair, USER, FOREVER]],
  ['revert', 'Router', at.router, 'swapExactTokensForTokens', [9000n * UNIT, 1n, at.salt, at.pair, USER, FOREVER]],
  ['revert', 'Router', at.router, 'swapExactTokensForTokens', [UNIT, 1n, at.router, at.pair, USER, FOREVER]],
  ['call', 'Router', at.router, 'addLiquidity', [at.pair, 10n * UNIT, 40n * UNIT, at.first, FOREVER]],
  ['call', 'Pair', at.pair, 'burn', [500n * UNIT, USER]],
  ['call', 'Token', at.gold, 'transfer', [at.second, 5n]],
  ['revert', 'Token', at.gold, 'transferFrom', [at.second, USER, 5n]],
  ['call', 'Caller', at.first, 'incrementAll', [COUNTERS]],
  ['call', 'Caller', at.first, 'incrementAll', [[...COUNTERS, ...COUNTERS]]],
  ['call', 'Caller', at.second, 'survive', [at.counterA, at.counterB]],
  ['call', 'Caller', at.first, 'bounce', [at.second, 5n]],
  ['call', 'Token', at.salt, 'approve', [at.router, 0n]],
];

/** What anyone can see of an executed step; nothing in it may depend on the chain it ran on. */
async function runStep(chain, wallet, nonce, [kind, name, ...rest]) {
  const { abi, bytecode } = artifact(name);
  const sane = { nonce, gas: GAS_MAX, gasPrice: GAS_PRICE, type: 'legacy' };
  if (kind === 'deploy') {
    const hash = await wallet.deployContract({ abi, bytecode, args: rest[0], ...sane });
    return seen(await chain.outcome(hash));
  }
  const [address, functionName, args] = rest;
  const data = encodeFunctionData({ abi, functionName, args });
  const answer = await callRaw(chain, { from: USER, to: address, data, gas: toHex(GAS_MAX) });
  const hash = await wallet.sendTransaction({ to: address, data, ...sane });
  const result = answer.reverted ? undefined : decodeFunctionResult({ abi, functionName, data: answer.data });
  return { ...seen(await chain.outcome(hash)), answer, result };
}

function seen({ status, gasUsed, logs, contractAddress, effectiveGasPrice, type, to, from, logsBloom }) {
  const told = logs.map(({ address, topics, data }) => ({ address: address.toLowerCase(), topics, data }));
  return { status, gasUsed, logs: told, contractAddress, effectiveGasPrice, type, to, from, logsBloom };
}

async function callRaw({ reader }, call) {
  try {
    return { reverted: false, data: await reader.request({ method: 'eth_call', params: [call, 'latest'] }) };
  } catch (error) {
    const cause = error.walk((inner) => typeof inner.data === 'string' || typeof inner.data?.data === 'string');
    if (!cause) throw error;
    return { reverted: true, data: cause.data?.data ?? cause.data };
  }
}

/** Balances, nonces, code and the first storage slots of everything the scenario touches. */
async function stateOf({ reader }) {
  const state = {};
  for (const address of [USER, ...Object.values(at)]) {
    const [balance, nonce, code, ...slots] = await Promise.all([
      reader.getBalance({ address }),
      reader.getTransactionCount({ address }),
      reader.getCode({ address }),
      ...Array.from({ length: SLOTS_COUNT }, (_, slot) => reader.getStorageAt({ address, slot: toHex(slot) })),
    ]);
    state[address] = { balance, nonce, code, slots: slots.map(BigInt) };
  }
  return state;
}

describe('the network beside one EVM', () => {
  let under, anvil, chains, wallets;
  const both = (work) => Promise.all(chains.map(work));

  before(async () => {
    under = await network();
    const tested = await openChain(under.rpc, under.accounts[PAYERS.parity % under.accounts.length].private_key);
    anvil = await startAnvil({ from: import.meta.url, args: ['--chain-id', `${tested.id}`, '--hardfork', HARDFORK] });
    chains = [await openChain(anvil.rpc, ANVIL_KEY), tested];
    console.log(`DOVETAIL_PARITY_KEY=${KEY}`);
    wallets = await both((chain) => chain.user(BUDGET, KEY));
  });
  after(() => Promise.all([under.stop(), anvil?.stop()]));

  for (const [nonce, step] of STEPS.entries()) {
    const [kind, name, , functionName] = step;
    it(`${nonce}: ${name}.${kind === 'deploy' ? 'constructor' : functionName} has equal gas, status, logs and answer`, async () => {
      const [expected, actual] = await both((chain, i) => runStep(chain, wallets[i], nonce, step));
      assert.equal(expected.status, kind === 'revert' ? 'reverted' : 'success', 'the scenario itself');
      assert.deepEqual(actual, expected);
    });
  }

  it('ends in an equal state: balances, nonces, code and storage', async () => {
    const [expected, actual] = await both(stateOf);
    assert.equal(expected[USER].nonce, STEPS.length, 'the scenario itself');
    assert.deepEqual(actual, expected);
  });

  it('estimates gas that is enough, as one EVM does', async () => {
    const args = [3n * UNIT, 1n, at.gold, at.pair, USER, FOREVER];
    const call = { ...artifact('Router'), address: at.router, functionName: 'swapExactTokensForTokens', args };
    const statuses = await both(async (chain, i) => {
      const gas = await chain.reader.estimateContractGas({ ...call, account: USER });
      return (await chain.send(wallets[i], call, call.functionName, args, { gas })).status;
    });
    assert.deepEqual(statuses, ['success', 'success']);
  });
});
