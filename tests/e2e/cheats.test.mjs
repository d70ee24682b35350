// What test suites ask of a node beside its methods: viem's test client, and what hardhat's network helpers send, on a devnet with
// cheats and on anvil. One script on both comes to the same; numbers of blocks are not compared, which here go on with the clock.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createTestClient, encodeFunctionData, http, pad, parseEther, serializeTransaction, toHex, zeroAddress } from 'viem';
import { privateKeyToAddress } from 'viem/accounts';
import { ANVIL_KEY, startAnvil } from '../../contracts/test/anvil.mjs';
import { artifact, openChain, rawCall } from './chain.mjs';
import { HARDFORK, startDevnet } from './network.mjs';

/** Two accounts that both sides are made to fund. */
const [ALICE, BOB] = [ANVIL_KEY, '0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d'];
const [alice, bob] = [ALICE, BOB].map((key) => privateKeyToAddress(key));
/** Writes TIMESTAMP into its first slot. */
const CLOCK = '0x425f5500';
const somewhere = (number) => `0x${number.toString(16).padStart(40, '1')}`;
const DAY = 86_400n;

/** What `@nomicfoundation/hardhat-network-helpers` sends, by its own names. */
function helpersOf(chain) {
  const request = async (method, ...params) => {
    const { result, error } = await rawCall(chain.rpc, method, params);
    if (error) throw new Error(`${method}: ${error.message}`);
    return result;
  };
  const latest = async () => BigInt((await request('eth_getBlockByNumber', 'latest', false)).timestamp);
  const mine = (blocks = 1n, interval = 1n) => request('hardhat_mine', toHex(blocks), toHex(interval));
  const increaseTo = async (time) => {
    await request('evm_setNextBlockTimestamp', toHex(time));
    await mine();
  };
  const fixtures = new Map();
  /** Deploys once, and goes back to that afterwards. */
  const loadFixture = async (fixture) => {
    const known = fixtures.get(fixture);
    if (known) {
      assert.equal(await request('evm_revert', known.snapshot), true);
      known.snapshot = await request('evm_snapshot');
      return known.data;
    }
    const data = await fixture();
    fixtures.set(fixture, { data, snapshot: await request('evm_snapshot') });
    return data;
  };
  return {
    request, mine, loadFixture,
    time: { latest, increaseTo, increase: async (seconds) => increaseTo((await latest()) + seconds) },
  };
}

/** One side: the chain with clients and helpers. */
async function open(rpc) {
  const chain = await openChain(rpc, ALICE);
  const test = createTestClient({ mode: 'anvil', chain: chain.reader.chain, transport: http(rpc, { retryCount: 0 }) });
  for (const address of [alice, bob]) await test.setBalance({ address, value: parseEther('1000') });
  return { ...chain, test, ...helpersOf(chain), other: chain.walletOf(BOB) };
}

let under, baseline, sides;

before(async () => {
  under = await startDevnet(process.env.DOVETAIL_BIN, ['--cheats']);
  baseline = await startAnvil({ from: import.meta.url, args: ['--hardfork', HARDFORK] });
  sides = [await open(under.rpc), await open(baseline.rpc)];
});
after(async () => {
  await baseline?.stop();
  await under?.stop();
});

/** Plays `script` on both sides; what it gives is the same. */
async function same(script) {
  const [here, there] = [await script(sides[0]), await script(sides[1])];
  assert.deepEqual(here, there);
  return here;
}

/** The message and code of what `call` is refused with. */
async function refusal(call) {
  return call.then(() => 'not refused', (error) => error.message.split('\n')[0]);
}

const options = process.env.DOVETAIL_BIN ? {} : { skip: 'a devnet with cheats is started by DOVETAIL_BIN' };

describe('cheats', options, () => {
  it('are said to be there', async () => {
    assert.equal(under.cheats, true);
    assert.match(await sides[0].request('web3_clientVersion'), /^anvil/);
    assert.equal((await sides[0].request('hardhat_metadata')).chainId, under.chain_id);
    assert.equal((await sides[0].request('anvil_nodeInfo')).environment.chainId, under.chain_id);
  });

  it('have a receipt when sending has answered', async () => {
    const pay = ({ bank }) => bank.sendTransaction({ to: somewhere(1), value: 7n });
    const seen = async ({ reader }, { status, gasUsed }) => [status, gasUsed, await reader.getBalance({ address: somewhere(1) })];
    const [here, there] = sides;
    // anvil may answer a moment before it mines.
    const [ours, theirs] = [await here.reader.getTransactionReceipt({ hash: await pay(here) }), await there.outcome(await pay(there))];
    assert.deepEqual(await seen(here, ours), await seen(there, theirs));
  });

  it('take time on by as much as is asked, for blocks and for contracts', async () => {
    const seen = await same(async ({ test, bank, reader, outcome, time }) => {
      const clock = somewhere(2);
      await test.setCode({ address: clock, bytecode: CLOCK });
      const told = async () => {
        const receipt = await outcome(await bank.sendTransaction({ to: clock, gas: 100_000n }));
        const { timestamp } = await reader.getBlock({ blockNumber: receipt.blockNumber });
        const stored = BigInt(await reader.getStorageAt({ address: clock, slot: '0x0' }));
        return [timestamp, stored - timestamp];
      };
      const begin = await time.latest();
      await time.increase(3_600n);
      const increased = (await time.latest()) - begin;
      const target = (await time.latest()) + 30n * DAY;
      await test.setNextBlockTimestamp({ timestamp: target });
      const [at, wrong] = await told();
      await time.increaseTo(target + DAY);
      const next = await told();
      const backwards = await refusal(test.setNextBlockTimestamp({ timestamp: target }));
      await test.increaseTime({ seconds: 1_000 });
      await test.mine({ blocks: 1 });
      const more = (await time.latest()) - next[0];
      return [increased, at - target, wrong, next[0] >= target + DAY && next[0] < target + DAY + 10n, next[1],
        backwards !== 'not refused', more >= 1_000n && more < 1_010n];
    });
    assert.deepEqual(seen, [3_600n, 0n, 0n, true, 0n, true, true]);
  });

  it('make many blocks with times apart as they are told', async () => {
    await same(async ({ mine, reader, time }) => {
      const [number, begin] = [await reader.getBlockNumber(), await time.latest()];
      await mine(1_000n, 60n);
      const [blocks, seconds] = [(await reader.getBlockNumber()) - number, (await time.latest()) - begin];
      return [blocks >= 1_000n, blocks < 1_100n, seconds >= 999n * 60n, seconds < 1_001n * 60n];
    });
  });

  it('set what accounts have', async () => {
    await same(async ({ test, reader, outcome, bank }) => {
      const address = somewhere(3);
      await test.setBalance({ address, value: parseEther('5') });
      await test.setNonce({ address, nonce: 9 });
      await test.setCode({ address, bytecode: CLOCK });
      await test.setStorageAt({ address, index: 4, value: toHex(77, { size: 32 }) });
      const state = [
        await reader.getBalance({ address }), await reader.getTransactionCount({ address }),
        await reader.getCode({ address }), await reader.getStorageAt({ address, slot: '0x4' }),
      ];
      const receipt = await outcome(await bank.sendTransaction({ to: address, gas: 100_000n }));
      await test.setCode({ address, bytecode: '0x' });
      const plain = await outcome(await bank.sendTransaction({ to: address, gas: 100_000n }));
      return [...state, receipt.gasUsed, plain.gasUsed, await reader.getBalance({ address })];
    });
  });

  it('send from accounts that nobody has the key of, contracts among them', async () => {
    await same(async (side) => {
      const { test, reader, outcome, deploy, bank, request } = side;
      const token = await deploy(bank, 'Token', ['Gold', 'GLD']);
      const whale = token.address;
      const mint = encodeFunctionData({ abi: token.abi, functionName: 'mint', args: [whale, 10n] });
      await outcome(await bank.sendTransaction({ to: token.address, data: mint }));
      const transfer = { from: whale, to: token.address, data: encodeFunctionData({ abi: token.abi, functionName: 'transfer', args: [alice, 4n] }) };
      const before = await refusal(request('eth_sendTransaction', transfer));
      await test.setBalance({ address: whale, value: parseEther('1') });
      await test.impersonateAccount({ address: whale });
      const receipt = await outcome(await request('eth_sendTransaction', transfer));
      const sent = await reader.getTransaction({ hash: receipt.transactionHash });
      await test.stopImpersonatingAccount({ address: whale });
      const after = await refusal(request('eth_sendTransaction', transfer));
      await request('anvil_autoImpersonateAccount', true);
      const poor = await refusal(request('eth_sendTransaction', { from: somewhere(0x404), to: zeroAddress, value: '0x1', gas: '0x5208' }));
      await request('anvil_autoImpersonateAccount', false);
      const balances = [await side.read(token, 'balanceOf', [alice]), await side.read(token, 'balanceOf', [whale])];
      const first = (await request('eth_accounts'))[0];
      const own = await outcome(await request('eth_sendTransaction', { from: first, to: somewhere(5), value: '0x3' }));
      return [receipt.status, receipt.gasUsed, receipt.from === whale.toLowerCase() || receipt.from === whale, sent.from.toLowerCase() === whale.toLowerCase(),
        balances, [before, after, poor].map((text) => text !== 'not refused'), own.status, own.from.toLowerCase() === first.toLowerCase()];
    });
  });

  it('go back to a snapshot once, with receipts, nonces and time', async () => {
    await same(async ({ test, bank, reader, outcome, request, time }) => {
      const address = somewhere(6);
      const pay = () => bank.sendTransaction({ to: address, value: 5n, gas: 21_000n, maxFeePerGas: 3_000_000_000n, maxPriorityFeePerGas: 0n });
      const nonce = await reader.getTransactionCount({ address: alice });
      const [id, begin] = [await test.snapshot(), await time.latest()];
      const first = await outcome(await pay());
      await time.increase(365n * DAY);
      const spent = await reader.getBalance({ address });
      await test.revert({ id });
      const back = [
        await reader.getBalance({ address }), (await reader.getTransactionCount({ address: alice })) - nonce,
        await request('eth_getTransactionReceipt', first.transactionHash), (await time.latest()) - begin < 10n,
        await request('evm_revert', id),
      ];
      const again = await outcome(await pay());
      return [spent, ...back, again.transactionHash === first.transactionHash, again.status, await reader.getBalance({ address })];
    });
  });

  it('load a fixture for each test, as hardhat does', async () => {
    await same(async (side) => {
      const { bank, other, deploy, send, read, loadFixture, time } = side;
      const fixture = async () => {
        const token = await deploy(bank, 'Token', ['Gold', 'GLD']);
        await send(bank, token, 'mint', [alice, 100n]);
        return { token, unlock: (await time.latest()) + 365n * DAY };
      };
      const seen = [];
      for (const amount of [30n, 30n, 7n]) {
        const { token, unlock } = await loadFixture(fixture);
        seen.push((await time.latest()) < unlock);
        const receipt = await send(bank, token, 'transfer', [bob, amount]);
        await send(other, token, 'transfer', [alice, 1n]);
        await time.increaseTo(unlock);
        seen.push(receipt.status, receipt.gasUsed, receipt.logs.length, await read(token, 'balanceOf', [bob]), (await time.latest()) === unlock);
      }
      return seen;
    });
  });

  it('leave events of what was gone back from nowhere', async () => {
    await same(async ({ test, bank, deploy, send, reader }) => {
      const token = await deploy(bank, 'Token', ['Gold', 'GLD']);
      const id = await test.snapshot();
      await send(bank, token, 'mint', [alice, 100n]);
      const logs = () => reader.getLogs({ address: token.address, fromBlock: token.receipt.blockNumber });
      const before = (await logs()).length;
      await test.revert({ id });
      return [before, (await logs()).length];
    });
  });

  it('send at once from many, and each has its receipt', async () => {
    await same(async ({ bank, other, outcome, reader }) => {
      const nonces = await Promise.all([alice, bob].map((address) => reader.getTransactionCount({ address })));
      const sent = [bank, other].flatMap((wallet, of) =>
        Array.from({ length: 8 }, (_, index) => wallet.sendTransaction({ to: somewhere(7), value: 1n, gas: 21_000n, nonce: nonces[of] + index })),
      );
      const receipts = await Promise.all((await Promise.all(sent)).map(outcome));
      return [receipts.map(({ status }) => status), await reader.getBalance({ address: somewhere(7) })];
    });
  });

  it('say why where they make no sense', async () => {
    for (const method of ['evm_setIntervalMining', 'hardhat_setCoinbase', 'anvil_dumpState', 'eth_sign']) {
      const { error } = await rawCall(sides[0].rpc, method, ['0x1']);
      assert.equal(error.code, -32004, method);
      assert.ok(error.message.length > 20, error.message);
    }
  });

  it('go back to the beginning', async () => {
    await same(async ({ test, reader, request }) => {
      const deployed = somewhere(3);
      await request('anvil_reset');
      return [await reader.getBalance({ address: deployed }), await reader.getTransactionCount({ address: alice }), await test.getAutomine()];
    });
  });
});

describe('without cheats', options, () => {
  it('none of the methods is there, and no shard takes what they do', async () => {
    const plain = await startDevnet(process.env.DOVETAIL_BIN);
    try {
      assert.equal(plain.cheats, false);
      for (const method of ['evm_mine', 'evm_snapshot', 'anvil_setBalance', 'hardhat_impersonateAccount', 'eth_sendTransaction', 'hardhat_metadata']) {
        const { error } = await rawCall(plain.rpc, method, []);
        assert.equal(error.code, -32601, method);
        assert.match(error.message, /not found|not available/, method);
      }
      const transfer = { chainId: plain.chain_id, type: 'eip1559', nonce: 0, gas: 21_000n, maxFeePerGas: 2_000_000_000n, to: somewhere(1), value: 1n };
      const named = serializeTransaction(transfer, { r: pad(alice), s: `0x${'ff'.repeat(32)}`, yParity: 0 });
      const { error } = await rawCall(plain.rpc, 'eth_sendRawTransaction', [named]);
      assert.match(error.message, /^invalid sender/);
    } finally {
      await plain.stop();
    }
  });
});
