// cast, unmodified: what an operator types.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { getAddress, keccak256, pad, toHex } from 'viem';
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts';
import { foundryBinary } from '../../contracts/test/anvil.mjs';
import { PAYERS, artifact, openChain } from './chain.mjs';
import { network } from './network.mjs';

const CAST = foundryBinary('cast', import.meta.url);
const CALL_MS_MAX = 30_000;
const KEY = generatePrivateKey();
const ADDRESS = privateKeyToAddress(KEY);

describe('cast', () => {
  let under, chain, counter;

  /** What `cast` prints, without the end of the line. */
  const cast = async (command, ...args) => {
    const env = { PATH: process.env.PATH, HOME: process.env.HOME, NO_COLOR: '1' };
    const all = [command, '--rpc-url', under.rpc, ...args];
    const { stdout } = await promisify(execFile)(CAST, all, { env, timeout: CALL_MS_MAX });
    return stdout.trim();
  };
  const send = async (...args) => JSON.parse(await cast('send', '--private-key', KEY, '--json', ...args));
  /** What `cast` says on standard error when it fails. */
  const refusal = (...args) => cast(...args).then(() => assert.fail(`cast ${args[0]} succeeded`), ({ stderr }) => stderr);

  before(async () => {
    under = await network();
    chain = await openChain(under.rpc, under.accounts[PAYERS.cast % under.accounts.length].private_key);
    await chain.user(undefined, KEY);
    const receipt = await send('--create', artifact('Counter').bytecode);
    counter = getAddress(receipt.contractAddress);
    assert.equal(BigInt(receipt.status), 1n);
  });
  after(() => under.stop());

  it('reads chain id, client, block number and gas price', async () => {
    assert.equal(await cast('chain-id'), `${chain.id}`);
    assert.match(await cast('client'), /\S/);
    assert.ok(BigInt(await cast('block-number')) > 0n);
    assert.ok(BigInt(await cast('gas-price')) > 0n);
  });

  it('reads balance, nonce, code and storage', async () => {
    assert.equal(BigInt(await cast('balance', ADDRESS)), await chain.reader.getBalance({ address: ADDRESS }));
    assert.ok(BigInt(await cast('nonce', ADDRESS)) >= 1n);
    assert.equal(await cast('code', counter), artifact('Counter').deployedBytecode);
    assert.equal(BigInt(await cast('storage', counter, '0')), await chain.read({ ...artifact('Counter'), address: counter }, 'count'));
  });

  it('estimates, calls, sends, and reads what it sent', async () => {
    const increment = [counter, 'increment(uint256)(uint256)', '3', '--from', ADDRESS];
    const count = BigInt(await cast('call', counter, 'count()(uint256)'));
    assert.equal(BigInt(await cast('call', ...increment)), count + 3n);
    assert.ok(BigInt(await cast('estimate', ...increment)) > 21000n);
    const receipt = await send(counter, 'increment(uint256)', '3');
    assert.equal(BigInt(receipt.status), 1n);
    assert.equal(BigInt(await cast('call', counter, 'count()(uint256)')), count + 3n);
  });

  it('shows a receipt, a transaction and a block that agree', async () => {
    const { transactionHash } = await send(counter, 'increment(uint256)', '1');
    const receipt = JSON.parse(await cast('receipt', '--json', transactionHash));
    const transaction = JSON.parse(await cast('tx', '--json', transactionHash));
    assert.deepEqual([receipt.blockHash, receipt.from], [transaction.blockHash, transaction.from]);
    const block = JSON.parse(await cast('block', '--json', receipt.blockHash));
    assert.deepEqual([block.hash, block.number], [receipt.blockHash, receipt.blockNumber]);
    assert.ok(block.transactions.includes(transactionHash));
    assert.equal(BigInt(await cast('block', 'latest', '--field', 'number')) >= BigInt(block.number), true);
  });

  it('finds logs by event and address', async () => {
    const { transactionHash, blockNumber } = await send(counter, 'increment(uint256)', '1');
    const range = ['--from-block', `${BigInt(blockNumber)}`, '--to-block', 'latest'];
    const event = 'Incremented(address indexed,uint256)';
    const logs = JSON.parse(await cast('logs', '--json', ...range, '--address', counter, event));
    assert.deepEqual(logs.map((log) => log.transactionHash), [transactionHash]);
    assert.deepEqual(logs[0].topics, [keccak256(toHex('Incremented(address,uint256)')), pad(ADDRESS).toLowerCase()]);
  });

  it('sends value, and publishes a transaction that it made before', async () => {
    const fresh = privateKeyToAddress(generatePrivateKey());
    await send(fresh, '--value', '5');
    const raw = await cast('mktx', '--private-key', KEY, fresh, '--value', '6');
    const { status } = JSON.parse(await cast('publish', '--json', raw));
    assert.equal(BigInt(status), 1n);
    assert.equal(await cast('balance', fresh), '11');
  });

  it('says why a call fails', async () => {
    assert.match(await refusal('call', counter, 'fail(uint256)', '1'), /execution reverted/);
    assert.match(await refusal('estimate', counter, 'fail(uint256)', '1'), /execution reverted/);
    assert.match(await refusal('rpc', 'eth_nothing'), /-32601/);
    const broke = ['send', '--private-key', generatePrivateKey(), '--gas-limit', '21000', counter, '--value', '1'];
    assert.match(await refusal(...broke), /insufficient funds/i);
  });
});
