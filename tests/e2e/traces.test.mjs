// What runs code for a reader, on two chains, a single EVM (anvil) and the network under test: traces of transactions and calls,
// access lists, overrides and simulated blocks come to the same.
//
// Both chains run one script from one fresh key, so addresses, calldata and hence gas are the same.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { encodeFunctionData, getContractAddress, pad, parseEther, parseGwei, toHex } from 'viem';
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts';
import { ANVIL_KEY, startAnvil } from '../../contracts/test/anvil.mjs';
import { PAYERS, artifact, openChain, rawCall } from './chain.mjs';
import { HARDFORK, network } from './network.mjs';

const KEY = generatePrivateKey();
const USER = privateKeyToAddress(KEY);
const GAS_PRICE = parseGwei('20');
const GAS = 2_000_000n;
const RICH = '0x00000000000000000000000000000000000f00d5';

const [token, caller, first, second] = [0n, 1n, 2n, 3n].map((nonce) => getContractAddress({ from: USER, nonce }));
const STEPS = [
  ['deploy', 'Token', ['Gold', 'GLD']],
  ['deploy', 'Caller', []],
  ['deploy', 'Counter', []],
  ['deploy', 'Counter', []],
  ['call', 'Token', token, 'mint', [USER, 1000n]],
  ['call', 'Token', token, 'transfer', [caller, 5n]],
  ['call', 'Token', token, 'transferFrom', [caller, USER, 5n]],
  ['call', 'Caller', caller, 'incrementAll', [[first, second, first]]],
  ['call', 'Caller', caller, 'survive', [first, second]],
];

/** Runs the script; gives the receipts. */
async function play(chain) {
  const wallet = await chain.user(parseEther('5'), KEY);
  const receipts = [];
  for (const [nonce, [kind, name, ...rest]] of STEPS.entries()) {
    const { abi, bytecode } = artifact(name);
    const more = { nonce, gas: GAS, gasPrice: GAS_PRICE, type: 'legacy' };
    const hash =
      kind === 'deploy'
        ? await wallet.deployContract({ abi, bytecode, args: rest[0], ...more })
        : await wallet.writeContract({ abi, address: rest[0], functionName: rest[1], args: rest[2], ...more });
    receipts.push(await chain.outcome(hash));
  }
  return receipts;
}

async function result(chain, method, ...params) {
  const { result, error } = await rawCall(chain.rpc, method, params);
  assert.equal(error, undefined, `${method}: ${error?.message}`);
  return result;
}

let under, baseline, chains, receipts;

before(async () => {
  under = await network();
  baseline = await startAnvil({ from: import.meta.url, args: ['--hardfork', HARDFORK, '--steps-tracing'] });
  chains = [
    await openChain(under.rpc, under.accounts[PAYERS.traces % under.accounts.length].private_key),
    await openChain(baseline.rpc, ANVIL_KEY),
  ];
  receipts = await Promise.all(chains.map(play));
});
after(async () => {
  await baseline?.stop();
  await under?.stop();
});

/** What both chains say, which must be the same. */
async function same(ask) {
  const [here, there] = await Promise.all(chains.map((chain, index) => ask(chain, receipts[index])));
  assert.deepEqual(here, there);
  return here;
}

/** Without the gas of the whole: the transaction's limit here, as in geth; anvil tells what is left of it for the first frame. */
const within = ({ gas, ...frame }) => frame;
const data = (name, functionName, args) => encodeFunctionData({ abi: artifact(name).abi, functionName, args });
const transfer = { from: USER, to: token, data: data('Token', 'transfer', [second, 3n]) };
const increment = { from: USER, to: caller, data: data('Caller', 'incrementAll', [[first, second]]) };

describe('a committed transaction', () => {
  for (const [index, step] of STEPS.entries()) {
    it(`is traced as it ran: ${step[1]} ${step[0] === 'deploy' ? 'deployed' : step[3]}`, async () => {
      const tracer = { tracer: 'callTracer', tracerConfig: { withLog: true } };
      const calls = await same(async (chain, all) => within(await result(chain, 'debug_traceTransaction', all[index].transactionHash, tracer)));
      assert.equal(BigInt(calls.gasUsed), receipts[0][index].gasUsed);
      const steps = await same(async (chain, all) => {
        const trace = await result(chain, 'debug_traceTransaction', all[index].transactionHash, {});
        return { ...trace, structLogs: trace.structLogs.map(({ pc, op, gas, gasCost, depth, stack }) => ({ pc, op, gas, gasCost, depth, stack })) };
      });
      assert.equal(steps.gas, Number(receipts[0][index].gasUsed));
      await same(async (chain, all) => {
        const traces = await result(chain, 'trace_transaction', all[index].transactionHash);
        return traces.map(({ action, result: ended, error, subtraces, traceAddress, type }) => ({ action, ended, error, subtraces, traceAddress, type }));
      });
    });
  }

  it('is one of those of its block', async () => {
    const [hash, block] = [receipts[0][7].transactionHash, toHex(receipts[0][7].blockNumber)];
    const all = await result(chains[0], 'debug_traceBlockByNumber', block, { tracer: 'callTracer' });
    const one = await result(chains[0], 'debug_traceTransaction', hash, { tracer: 'callTracer' });
    assert.deepEqual(all.find(({ txHash }) => txHash === hash).result, one);
    const flat = await result(chains[0], 'trace_block', block);
    assert.deepEqual(flat.filter(({ transactionHash }) => transactionHash === hash), await result(chains[0], 'trace_transaction', hash));
    const filtered = await result(chains[0], 'trace_filter', { fromBlock: block, toBlock: block, fromAddress: [USER], toAddress: [caller] });
    assert.ok(filtered.some(({ transactionHash }) => transactionHash === hash));
    const replayed = await result(chains[0], 'trace_replayTransaction', hash, ['trace', 'stateDiff']);
    assert.ok(replayed.stateDiff[first.toLowerCase()].storage, 'the counter changed');
  });
});

describe('a call', () => {
  it('is traced', async () => {
    const call = { ...transfer, gas: toHex(GAS) };
    await same(async (chain) => within(await result(chain, 'debug_traceCall', call, 'latest', { tracer: 'callTracer' })));
  });

  it('has an access list', async () => {
    await same(async (chain) => {
      const { accessList, gasUsed } = await chain.reader.createAccessList({ account: USER, to: increment.to, data: increment.data });
      const sorted = accessList.map(({ address, storageKeys }) => [address.toLowerCase(), [...storageKeys].sort()]).sort();
      return { sorted, gasUsed };
    });
  });

  it('finds accounts and the block as it wants them', async () => {
    const stateOverride = [{ address: RICH, balance: 7n, code: '0x475f5260205ff3' }];
    const balance = await same(async (chain) => (await chain.reader.call({ to: RICH, stateOverride })).data);
    assert.equal(balance, pad('0x7'));
    const number = { [RICH]: { code: '0x435f5260205ff3' } };
    await same((chain) => result(chain, 'eth_call', { to: RICH }, 'latest', number, { number: '0x123456789' }));
  });

  it('is simulated in blocks that never were', async () => {
    await same(async (chain) => {
      const blocks = await chain.reader.simulateBlocks({
        blocks: [
          { stateOverrides: [{ address: RICH, balance: parseEther('1') }], calls: [{ account: RICH, to: second, value: 1n }] },
          { calls: [{ account: USER, to: token, data: transfer.data }, { account: USER, to: increment.to, data: increment.data }] },
        ],
      });
      return blocks.map(({ calls }) => calls.map(({ data: output, gasUsed, status, logs }) => ({ output, gasUsed, status, logs: logs?.length ?? 0 })));
    });
  });
});
