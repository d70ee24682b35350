// What Blockscout's indexer asks a node, in its two usual variants: as of geth (callTracer) and as of Nethermind (Parity's traces). Each
// answer is read as its parsers read it: a field that they require and do not find, or find as something else, fails here.
//
// Source: Blockscout, apps/ethereum_jsonrpc/lib/ethereum_jsonrpc: block, transaction, receipt, log, geth, geth/call, nethermind/trace,
// trace_replay_block_transactions, trace_block, pending_transaction, contract.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { encodeFunctionData, keccak256, pad, parseEther, toHex } from 'viem';
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts';
import { PAYERS, POLL_MS, artifact, isBaseline, openChain, post } from './chain.mjs';
import { network } from './network.mjs';

const END_MS_MAX = 20_000;
const DEADLINE_MS = 60_000n;
/** What Blockscout sends beside a tracer where nothing is configured. */
const TRACE_TIMEOUT = '5s';
const CALLS = ['call', 'callcode', 'delegatecall', 'staticcall'];
const CREATIONS = ['create', 'create2'];

let under, chain, from, to, delivered;

/** The shard of an address that nobody pinned. */
const shardOf = (address) => Number(BigInt(keccak256(address).slice(0, 18)) % BigInt(under.mailboxes.length));

/** A message with value to an account on another shard; gives the block that shows its delivery, and its place there. */
async function deliver(wallet) {
  const home = shardOf(wallet.account.address);
  let recipient;
  do recipient = privateKeyToAddress(generatePrivateKey());
  while (shardOf(recipient) === home);
  const mailbox = (shard) => ({ abi: artifact('Mailbox').abi, address: under.mailboxes[shard] });
  const [source, destination] = [mailbox(home), mailbox(shardOf(recipient))];
  const { number, timestamp } = await chain.reader.getBlock();
  const deadline = timestamp * 1000n + DEADLINE_MS;
  const args = [await chain.read(destination, 'localDomain'), pad(recipient), '0x01', 100_000n, deadline];
  await chain.send(wallet, source, 'dispatch', args, { value: 5n });
  for (const end = Date.now() + END_MS_MAX, seen = { next: number }; Date.now() < end; ) {
    const head = await chain.reader.getBlockNumber();
    for (; seen.next <= head; seen.next += 1n) {
      const block = await ask('eth_getBlockByNumber', toHex(seen.next), true);
      const index = block.transactions.findIndex(({ type, from: caller }) => type === '0x7e' && caller === destination.address.toLowerCase());
      if (index >= 0) return { number: seen.next, index, recipient };
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return assert.fail(`no delivery within ${END_MS_MAX} ms`);
}

/** Asks for all of `calls`, each `[method, ...params]`, in one batch, as Blockscout does. */
async function batch(calls) {
  const requests = calls.map(([method, ...params], id) => ({ jsonrpc: '2.0', id, method, params }));
  const answers = await post(chain.rpc, JSON.stringify(requests));
  assert.equal(answers.length, calls.length);
  const byId = new Map(answers.map((answer) => [answer.id, answer]));
  return calls.map(([method, ...params], id) => {
    const { error, result } = byId.get(id);
    assert.equal(error, undefined, `${method} ${JSON.stringify(params)}: ${error?.message}`);
    return result;
  });
}

async function ask(method, ...params) {
  return (await batch([[method, ...params]]))[0];
}

const isQuantity = (value) => typeof value === 'string' && /^0x(0|[1-9a-f][0-9a-f]*)$/.test(value);
const isHash = (value) => typeof value === 'string' && /^0x[0-9a-f]{64}$/.test(value);
const isAddress = (value) => typeof value === 'string' && /^0x[0-9a-f]{40}$/i.test(value);
const isData = (value) => typeof value === 'string' && /^0x([0-9a-f]{2})*$/.test(value);

/** Checks that `record` has these fields, each as `is` has it. */
function requires(record, is, names) {
  for (const name of names.split(' ')) assert.ok(is(record[name]), `${name} is ${JSON.stringify(record[name])} in ${JSON.stringify(record).slice(0, 300)}`);
}

function checkTransaction(transaction) {
  requires(transaction, isHash, 'blockHash hash');
  requires(transaction, isAddress, 'from');
  requires(transaction, isQuantity, 'blockNumber gas gasPrice nonce transactionIndex value type r s v');
  requires(transaction, isData, 'input');
  for (const authorization of transaction.authorizationList ?? []) {
    requires(authorization, isQuantity, 'chainId nonce r s yParity');
    requires(authorization, isAddress, 'address');
  }
}

function checkReceipt(receipt) {
  requires(receipt, isHash, 'transactionHash blockHash');
  requires(receipt, isQuantity, 'blockNumber cumulativeGasUsed gasUsed transactionIndex effectiveGasPrice');
  assert.ok(['0x0', '0x1'].includes(receipt.status), receipt.status);
  assert.ok('contractAddress' in receipt);
  for (const log of receipt.logs) {
    requires(log, isHash, 'blockHash transactionHash');
    requires(log, isQuantity, 'blockNumber logIndex transactionIndex');
    assert.ok(isAddress(log.address) && isData(log.data) && log.topics.every(isHash));
  }
}

/** The frames of a callTracer's answer, parents first, read as geth.ex reads them. */
function* frames(call) {
  const type = call.type.toLowerCase();
  assert.ok([...CALLS, ...CREATIONS, 'selfdestruct'].includes(type), type);
  requires(call, isAddress, 'from');
  requires({ value: '0x0', gas: '0x0', gasUsed: '0x0', ...call }, isQuantity, 'value gas gasUsed');
  requires({ input: '0x', output: '0x', ...call }, isData, 'input output');
  if (CALLS.includes(type)) requires(call, isAddress, 'to');
  yield call;
  for (const inner of call.calls ?? []) yield* frames(inner);
}

function checkParityTrace({ type, action, result, error, subtraces, traceAddress }) {
  assert.ok(['call', 'create', 'suicide', 'reward'].includes(type), type);
  assert.ok(Number.isInteger(subtraces) && traceAddress.every(Number.isInteger));
  if (type === 'suicide') {
    requires(action, isAddress, 'address refundAddress');
    return requires(action, isQuantity, 'balance');
  }
  requires(action, isAddress, type === 'call' ? 'from to' : 'from');
  requires(action, isQuantity, 'gas value');
  requires(action, isData, type === 'call' ? 'input' : 'init');
  if (type === 'call') assert.ok(CALLS.includes(action.callType), action.callType);
  if (error !== undefined) return assert.equal(typeof error, 'string');
  requires(result, isQuantity, 'gasUsed');
  if (type === 'create') requires(result, isAddress, 'address');
  return requires(result, isData, type === 'create' ? 'code' : 'output');
}

describe('Blockscout', { skip: isBaseline() && 'its blocks have no deliveries' }, () => {
  let blocks;

  before(async () => {
    under = await network();
    chain = await openChain(under.rpc, under.accounts[PAYERS.blockscout % under.accounts.length].private_key);
    const wallet = await chain.user(parseEther('2'));
    const { blockNumber } = await chain.outcome(await chain.bank.sendTransaction({ to: wallet.account.address, value: 1n }));
    const [token, caller, counter] = [
      await chain.deploy(wallet, 'Token', ['Gold', 'GLD']),
      await chain.deploy(wallet, 'Caller'),
      await chain.deploy(wallet, 'Counter'),
    ];
    await chain.send(wallet, token, 'mint', [wallet.account.address, 9n]);
    await chain.send(wallet, caller, 'incrementAll', [[counter.address, counter.address]]);
    await chain.send(wallet, token, 'transferFrom', [caller.address, wallet.account.address, 5n], { gas: 200_000n });
    delivered = await deliver(wallet);
    [from, to] = [blockNumber, delivered.number];
    const numbers = Array.from({ length: Number(to - from) + 1 }, (_, index) => toHex(from + BigInt(index)));
    blocks = (await batch(numbers.map((number) => ['eth_getBlockByNumber', number, true]))).filter(({ transactions }) => transactions.length);
    assert.ok(blocks.length >= 6);
  });
  after(() => under?.stop());

  it('knows the node and its head', async () => {
    const [version, chainId, number, tagged] = await batch([
      ['web3_clientVersion'], ['eth_chainId'], ['eth_blockNumber'], ['eth_getBlockByNumber', 'latest', false],
    ]);
    assert.ok(version.includes('/') && isQuantity(chainId) && isQuantity(number) && isQuantity(tagged.number));
    for (const tag of ['earliest', 'pending', 'safe', 'finalized']) assert.ok(isQuantity((await ask('eth_getBlockByNumber', tag, false)).number), tag);
  });

  it('reads blocks with their transactions, by number and by hash, and their uncles', async () => {
    for (const block of blocks) {
      requires(block, isHash, 'hash parentHash receiptsRoot stateRoot transactionsRoot sha3Uncles mixHash');
      requires(block, isQuantity, 'difficulty gasLimit gasUsed number size timestamp baseFeePerGas');
      requires(block, isData, 'extraData logsBloom nonce');
      requires(block, isAddress, 'miner');
      assert.deepEqual([block.uncles, block.withdrawals], [[], []]);
      block.transactions.forEach(checkTransaction);
      assert.deepEqual(await ask('eth_getBlockByHash', block.hash, true), block);
      assert.equal(await ask('eth_getUncleByBlockHashAndIndex', block.hash, '0x0'), null);
      assert.equal(BigInt(await ask('eth_getBlockTransactionCountByNumber', block.number)), BigInt(block.transactions.length));
    }
  });

  it('reads receipts and logs by block, by transaction and by range', async () => {
    const byBlock = await batch(blocks.map(({ number }) => ['eth_getBlockReceipts', number]));
    byBlock.flat().forEach(checkReceipt);
    const hashes = blocks.flatMap(({ transactions }) => transactions.map(({ hash }) => hash));
    assert.deepEqual(await batch(hashes.map((hash) => ['eth_getTransactionReceipt', hash])), byBlock.flat());
    const transactions = await batch(hashes.map((hash) => ['eth_getTransactionByHash', hash]));
    assert.deepEqual(transactions, blocks.flatMap((block) => block.transactions));
    const logs = await ask('eth_getLogs', { fromBlock: toHex(from), toBlock: toHex(to) });
    assert.deepEqual(logs, byBlock.flat().flatMap((receipt) => receipt.logs));
  });

  it('reads internal transactions as of geth: the place of each trace is that of its transaction', async () => {
    const tracer = { timeout: TRACE_TIMEOUT, tracer: 'callTracer' };
    const traced = await batch(blocks.map(({ number }) => ['debug_traceBlockByNumber', number, tracer]));
    for (const [index, traces] of traced.entries()) {
      assert.deepEqual(traces.map(({ txHash }) => txHash), blocks[index].transactions.map(({ hash }) => hash));
      for (const { txHash, result } of traces) {
        assert.ok([...frames(result)].length > 0);
        assert.deepEqual(await ask('debug_traceTransaction', txHash, tracer), result);
        const top = { ...tracer, tracerConfig: { onlyTopCall: true } };
        assert.deepEqual((await ask('debug_traceTransaction', txHash, top)).calls, undefined);
      }
    }
    assert.ok(traced.flat().some(({ result }) => [...frames(result)].length === 3), 'two counters were counted up');
  });

  it('reads internal transactions as of Nethermind: the place of each trace is that of its transaction', async () => {
    const replayed = await batch(blocks.map(({ number }) => ['trace_replayBlockTransactions', number, ['trace']]));
    for (const [index, transactions] of replayed.entries()) {
      assert.deepEqual(transactions.map(({ transactionHash }) => transactionHash), blocks[index].transactions.map(({ hash }) => hash));
      for (const { transactionHash, trace } of transactions) {
        trace.forEach(checkParityTrace);
        const { trace: alone } = await ask('trace_replayTransaction', transactionHash, ['trace']);
        assert.deepEqual(alone, trace);
      }
    }
    for (const traces of await batch(blocks.map(({ number }) => ['trace_block', number]))) traces.forEach(checkParityTrace);
  });

  it('sees a delivery as the call that it is', async () => {
    const block = blocks.find(({ number }) => BigInt(number) === delivered.number);
    const { hash } = block.transactions[delivered.index];
    const call = await ask('debug_traceTransaction', hash, { tracer: 'callTracer' });
    assert.equal(call.to, delivered.recipient.toLowerCase());
    assert.equal(BigInt(call.value), 5n);
    assert.ok(call.input.startsWith(encodeFunctionData({ abi: artifact('Pong').abi, functionName: 'handle', args: [0, pad('0x'), '0x'] }).slice(0, 10)));
    const [flat] = await ask('trace_transaction', hash);
    assert.deepEqual([flat.action.from, flat.action.to, flat.transactionPosition], [call.from, call.to, delivered.index]);
  });

  it('reads balances, codes, storage and calls at its blocks, and what is pending', async () => {
    const { number, transactions } = blocks.at(-2);
    const { from: address } = transactions[0];
    const [balance, code, nonce, slot] = await batch([
      ['eth_getBalance', address, number], ['eth_getCode', address, number], ['eth_getTransactionCount', address, number],
      ['eth_getStorageAt', address, '0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc', 'latest'],
    ]);
    assert.ok(isQuantity(balance) && isData(code) && isQuantity(nonce) && isHash(slot));
    const pool = await ask('txpool_content');
    for (const byNonce of Object.values(pool.pending)) Object.values(byNonce).forEach((transaction) => requires(transaction, isHash, 'hash'));
  });
});
