// ethers 6, unmodified: what a script or an application does with it, with the state of blocks gone by.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ContractFactory, JsonRpcProvider, NonceManager, Wallet, WebSocketProvider, ethers } from 'ethers';
import { PAYERS, POLL_MS, artifact, isBaseline } from './chain.mjs';
import { network } from './network.mjs';

const EVENT_MS_MAX = 10_000;
const BUDGET = ethers.parseEther('10');

let under, provider, bank;

before(async () => {
  under = await network();
  provider = new JsonRpcProvider(under.rpc, undefined, { pollingInterval: POLL_MS, cacheTimeout: -1 });
  const { private_key } = under.accounts[PAYERS.ethers % under.accounts.length];
  bank = new NonceManager(new Wallet(private_key, provider));
});
after(async () => {
  provider?.destroy();
  await under?.stop();
});

/** A new wallet with ether. */
async function user(budget = BUDGET) {
  const wallet = Wallet.createRandom(provider);
  await (await bank.sendTransaction({ to: wallet.address, value: budget })).wait();
  return wallet;
}

/** Contract `name` as `wallet` deploys it. */
async function deploy(wallet, name, args = []) {
  const { abi, bytecode } = artifact(name);
  const contract = await new ContractFactory(abi, bytecode, wallet).deploy(...args);
  return contract.waitForDeployment();
}

/** A token of `owner` who has `amount` of it. */
async function token(owner, amount = 1_000n) {
  const deployed = await deploy(owner, 'Token', ['Gold', 'GLD']);
  await (await deployed.mint(owner.address, amount)).wait();
  return deployed;
}

describe('ethers', () => {
  it('finds out which network it is on', async () => {
    const { chainId } = await provider.getNetwork();
    assert.equal(chainId, BigInt(await provider.send('eth_chainId', [])));
  });

  it('sends ether and waits for its receipt, which the block agrees with', async () => {
    const sender = await user();
    const sent = await sender.sendTransaction({ to: bank.signer.address, value: 5n });
    const receipt = await sent.wait();
    assert.equal(receipt.status, 1);
    const block = await provider.getBlock(receipt.blockNumber, true);
    assert.equal(block.hash, receipt.blockHash);
    assert.equal(block.getPrefetchedTransaction(sent.hash).value, 5n);
    assert.equal((await sent.getBlock()).number, receipt.blockNumber);
    assert.equal(await provider.getTransactionCount(sender.address), 1);
    assert.equal(await provider.getTransactionCount(sender.address, 'pending'), 1);
  });

  it('deploys a contract at the address it foretold and calls it', async () => {
    const owner = await user();
    const foretold = ethers.getCreateAddress({ from: owner.address, nonce: 0 });
    const gold = await token(owner, 7n);
    assert.equal(await gold.getAddress(), foretold);
    assert.notEqual(await provider.getCode(foretold), '0x');
    assert.equal(await gold.balanceOf(owner.address), 7n);
  });

  it('reads the state of the block before a receipt, and of its own', async () => {
    const [owner, other] = [await user(), Wallet.createRandom()];
    const gold = await token(owner);
    for (const amount of [1n, 10n, 100n]) {
      const { blockNumber } = await (await gold.transfer(other.address, amount)).wait();
      const [before, then] = await Promise.all(
        [blockNumber - 1, blockNumber].map((blockTag) => gold.balanceOf(other.address, { blockTag })),
      );
      assert.equal(then - before, amount);
    }
  });

  it('reads balances and nonces of a block gone by', async () => {
    const owner = await user();
    const heights = [];
    for (let nonce = 0; nonce < 3; nonce += 1) {
      const { blockNumber } = await (await owner.sendTransaction({ to: bank.signer.address, value: 1n })).wait();
      heights.push(blockNumber);
    }
    for (const [index, blockTag] of heights.entries()) {
      assert.equal(await provider.getTransactionCount(owner.address, blockTag), index + 1);
      assert.ok((await provider.getBalance(owner.address, blockTag)) < (await provider.getBalance(owner.address, blockTag - 1)));
    }
  });

  it('decodes a custom error of a call, of an estimate and of a sent transaction', async () => {
    const owner = await user();
    const gold = await token(owner, 5n);
    const nobody = Wallet.createRandom().address;
    await assert.rejects(gold.transfer.staticCall(nobody, 6n), (error) => error.revert?.name === 'InsufficientBalance');
    // Of an estimate ethers hands the data on as it is.
    const insufficient = ({ code, data }) =>
      code === 'CALL_EXCEPTION' && gold.interface.parseError(data).name === 'InsufficientBalance';
    await assert.rejects(gold.transfer.estimateGas(nobody, 6n), insufficient);
    await assert.rejects(gold.transfer(nobody, 6n), insufficient);
    const sent = await gold.transfer(nobody, 6n, { gasLimit: 100_000n });
    await assert.rejects(sent.wait(), (error) => error.code === 'CALL_EXCEPTION' && error.receipt.status === 0);
  });

  it('tells what cannot be sent by its own error codes', async () => {
    const poor = await user(1n);
    await assert.rejects(poor.sendTransaction({ to: poor.address, value: 2n }), { code: 'INSUFFICIENT_FUNDS' });
    const rich = await user();
    await (await rich.sendTransaction({ to: rich.address })).wait();
    await assert.rejects(rich.sendTransaction({ to: rich.address, nonce: 0, value: 1n }), { code: 'NONCE_EXPIRED' });
  });

  it('finds past events by their indexed fields', async () => {
    const [owner, other] = [await user(), Wallet.createRandom()];
    const gold = await token(owner);
    const receipts = [];
    for (const amount of [3n, 4n]) receipts.push(await (await gold.transfer(other.address, amount)).wait());
    const from = receipts[0].blockNumber;
    const found = await gold.queryFilter(gold.filters.Transfer(owner.address, other.address), from, receipts[1].blockNumber);
    assert.deepEqual(found.map(({ args }) => args.amount), [3n, 4n]);
    assert.deepEqual(await gold.queryFilter(gold.filters.Transfer(other.address), from), []);
  });

  it('hears events over HTTP by polling and over a WebSocket by subscription', async () => {
    const owner = await user();
    const gold = await token(owner);
    const socket = new WebSocketProvider(under.rpc.replace('http', 'ws'));
    try {
      for (const listener of [gold, gold.connect(socket)]) {
        const heard = new Promise((resolve, reject) => {
          const timer = setTimeout(() => reject(new Error(`no event within ${EVENT_MS_MAX} ms`)), EVENT_MS_MAX);
          listener.once('Transfer', (_from, _to, amount) => {
            clearTimeout(timer);
            resolve(amount);
          });
        });
        // The subscription is asked for in the background; a transfer before it would not be heard.
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        await (await gold.transfer(bank.signer.address, 9n)).wait();
        assert.equal(await heard, 9n);
      }
    } finally {
      await gold.removeAllListeners();
      await socket.destroy();
    }
  });

  it('sends many at once from one account, each with its nonce', async () => {
    const sender = new NonceManager(await user());
    const sent = await Promise.all(Array.from({ length: 8 }, () => sender.sendTransaction({ to: bank.signer.address, value: 1n })));
    const receipts = await Promise.all(sent.map((one) => one.wait()));
    assert.ok(receipts.every(({ status }) => status === 1));
    assert.deepEqual(sent.map(({ nonce }) => nonce), [0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('estimates fees that are enough', async () => {
    const { gasPrice, maxFeePerGas, maxPriorityFeePerGas } = await provider.getFeeData();
    assert.ok(gasPrice > 0n && maxFeePerGas >= gasPrice && maxPriorityFeePerGas >= 0n);
  });

  it('calls with the state overridden', { skip: isBaseline() && 'anvil is not what is tested' }, async () => {
    const gold = await token(await user(), 5n);
    const to = await gold.getAddress();
    const data = gold.interface.encodeFunctionData('totalSupply');
    const answer = '0x602a60005260206000f3';
    const result = await provider.send('eth_call', [{ to, data }, 'latest', { [to]: { code: answer } }]);
    assert.equal(BigInt(result), 42n);
  });

  it('reads slots by number', async () => {
    const owner = await user();
    const counter = await deploy(owner, 'Counter');
    assert.equal(ethers.dataLength(await provider.getStorage(await counter.getAddress(), 0)), 32);
  });
});
