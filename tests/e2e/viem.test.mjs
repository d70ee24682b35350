// viem, unmodified, on the network as one chain: what a wallet or an application does, and what it is told when it errs.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  BaseError,
  ContractFunctionRevertedError,
  FeeCapTooLowError,
  InsufficientFundsError,
  IntrinsicGasTooLowError,
  NonceTooHighError,
  NonceTooLowError,
  concat,
  createPublicClient,
  decodeErrorResult,
  encodeFunctionData,
  getAddress,
  getContractAddress,
  keccak256,
  parseEther,
  parseEventLogs,
  parseSignature,
  toHex,
  toRlp,
  webSocket,
  zeroHash,
} from 'viem';
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts';
import { PAYERS, POLL_MS, artifact, isBaseline, openChain, post, rawCall } from './chain.mjs';
import { network } from './network.mjs';

const NOBODY = getAddress('0x00000000000000000000000000000000000e15e1');

let under, chain;

before(async () => {
  under = await network();
  chain = await openChain(under.rpc, under.accounts[PAYERS.viem % under.accounts.length].private_key);
});
after(() => under.stop());

/** Fails unless `promise` rejects with an error that viem itself takes for an `ErrorType`. */
async function refusedAs(promise, ErrorType) {
  const error = await promise.then(() => assert.fail(`accepted, where ${ErrorType.name} was due`), (reason) => reason);
  const found = error instanceof BaseError && error.walk((cause) => cause instanceof ErrorType);
  assert.ok(found, `${ErrorType.name} was due, not: ${error.details ?? error.message}`);
  return found;
}

/** Fails unless the raw response is an error whose text matches. */
function isRefusal({ error, result }, text, code) {
  assert.equal(result, undefined, 'accepted, where an error was due');
  assert.match(error.message, text);
  if (code !== undefined) assert.equal(error.code, code);
}

describe('the chain', () => {
  it('says which chain it is, in both of its ids', async () => {
    assert.equal(await chain.reader.getChainId(), chain.id);
    assert.equal((await rawCall(chain.rpc, 'net_version')).result, `${chain.id}`);
    assert.match((await rawCall(chain.rpc, 'web3_clientVersion')).result, /\S/);
    assert.equal((await rawCall(chain.rpc, 'eth_syncing')).result, false);
    assert.ok(Array.isArray((await rawCall(chain.rpc, 'eth_accounts')).result));
  });

  it('keeps money: what the sender loses is the value and the fee, to the wei', async () => {
    const user = await chain.user();
    const to = privateKeyToAccount(generatePrivateKey()).address;
    assert.equal(await chain.reader.getBalance({ address: to }), 0n);
    const held = await chain.reader.getBalance({ address: user.account.address });
    const receipt = await chain.outcome(await user.sendTransaction({ to, value: 12345n }));
    assert.equal(receipt.gasUsed, 21000n);
    assert.equal(await chain.reader.getBalance({ address: to }), 12345n);
    const fee = receipt.gasUsed * receipt.effectiveGasPrice;
    assert.equal(await chain.reader.getBalance({ address: user.account.address }), held - 12345n - fee);
    assert.equal(await chain.reader.getTransactionCount({ address: user.account.address }), 1);
  });

  it('has blocks that are the same by number and by hash, each naming the one before', async () => {
    const user = await chain.user();
    const { blockNumber, blockHash } = await chain.deploy(user, 'Counter').then(({ receipt }) => receipt);
    const block = await chain.reader.getBlock({ blockNumber });
    assert.equal(block.hash, blockHash);
    assert.deepEqual(await chain.reader.getBlock({ blockHash }), block);
    const parent = await chain.reader.getBlock({ blockNumber: blockNumber - 1n });
    assert.equal(block.parentHash, parent.hash);
    assert.ok(block.timestamp >= parent.timestamp);
    assert.ok(block.gasUsed > 0n && block.gasUsed <= block.gasLimit);
    assert.ok((await chain.reader.getBlockNumber()) >= blockNumber);
  });

  it('answers every block tag, and refuses or finds nothing for blocks it does not have', async () => {
    for (const blockTag of ['latest', 'safe', 'finalized', 'pending', 'earliest']) {
      assert.equal(typeof (await chain.reader.getBlock({ blockTag })).gasLimit, 'bigint', blockTag);
    }
    assert.equal((await rawCall(chain.rpc, 'eth_getBlockByHash', [zeroHash, false])).result, null);
    const future = toHex((await chain.reader.getBlockNumber()) + 1_000_000n);
    assert.equal((await rawCall(chain.rpc, 'eth_getBlockByNumber', [future, false])).result, null);
    assert.equal((await rawCall(chain.rpc, 'eth_getTransactionReceipt', [zeroHash])).result, null);
    assert.equal((await rawCall(chain.rpc, 'eth_getTransactionByHash', [zeroHash])).result, null);
  });

  it('lists a transaction in its block, whole and by hash, with its receipt', async () => {
    const user = await chain.user();
    const { receipt } = await chain.deploy(user, 'Counter');
    const { blockNumber, transactionHash } = receipt;
    const brief = await chain.reader.getBlock({ blockNumber });
    assert.ok(brief.transactions.includes(transactionHash));
    const whole = await chain.reader.getBlock({ blockNumber, includeTransactions: true });
    const listed = whole.transactions.find(({ hash }) => hash === transactionHash);
    const transaction = await chain.reader.getTransaction({ hash: transactionHash });
    assert.deepEqual(listed, transaction);
    assert.equal(transaction.from, user.account.address.toLowerCase());
    assert.equal(transaction.transactionIndex, receipt.transactionIndex);
    assert.equal(transaction.blockHash, receipt.blockHash);
    const { result } = await rawCall(chain.rpc, 'eth_getBlockReceipts', [toHex(blockNumber)]);
    assert.deepEqual(result.map((one) => one.transactionHash), brief.transactions);
    const raw = (await rawCall(chain.rpc, 'eth_getTransactionReceipt', [transactionHash])).result;
    assert.deepEqual(result.find((one) => one.transactionHash === transactionHash), raw);
  });

  it('tells its fees: a history of the asked length, a price that is enough', async () => {
    const history = await chain.reader.getFeeHistory({ blockCount: 4, rewardPercentiles: [10, 50] });
    const count = history.gasUsedRatio.length;
    assert.ok(count >= 1 && count <= 4);
    assert.equal(history.baseFeePerGas.length, count + 1);
    assert.ok(history.reward.every((rewards) => rewards.length === 2));
    const price = await chain.reader.getGasPrice();
    assert.ok(price >= history.baseFeePerGas.at(-1));
    const { maxFeePerGas, maxPriorityFeePerGas } = await chain.reader.estimateFeesPerGas();
    assert.ok(maxFeePerGas >= maxPriorityFeePerGas && maxFeePerGas >= history.baseFeePerGas.at(-1));
  });

  it('takes every type of transaction and names it in the receipt', async () => {
    const user = await chain.user();
    const counter = await chain.deploy(user, 'Counter');
    const gasPrice = (await chain.reader.getGasPrice()) * 2n;
    const accessList = [{ address: counter.address, storageKeys: [zeroHash] }];
    for (const [type, fields] of [
      ['legacy', { gasPrice }],
      ['eip2930', { gasPrice, accessList }],
      ['eip1559', { maxFeePerGas: gasPrice, maxPriorityFeePerGas: 1n, accessList }],
    ]) {
      const receipt = await chain.send(user, counter, 'increment', [1n], { type, ...fields });
      assert.equal(receipt.type, type);
      assert.equal((await chain.reader.getTransaction({ hash: receipt.transactionHash })).type, type);
    }
    assert.equal(await chain.read(counter, 'count'), 3n);
  });

  it('charges for the blobs that a transaction names', { skip: skipOnBaseline('anvil wants the blobs themselves') }, async () => {
    const user = await chain.user();
    const { address } = user.account;
    const [held, maxFeePerGas] = [await chain.reader.getBalance({ address }), (await chain.reader.getGasPrice()) * 2n];
    const serializedTransaction = await user.account.signTransaction({
      ...{ type: 'eip4844', chainId: chain.id, nonce: 0, to: NOBODY, gas: 21000n, maxFeePerGas, maxPriorityFeePerGas: 0n },
      ...{ maxFeePerBlobGas: 10n, blobVersionedHashes: [concat(['0x01', `0x${'11'.repeat(31)}`])], sidecars: false },
    });
    const receipt = await chain.outcome(await user.sendRawTransaction({ serializedTransaction }));
    assert.deepEqual([receipt.type, receipt.blobGasUsed], ['eip4844', 131072n]);
    assert.equal(receipt.blobGasPrice, await chain.reader.getBlobBaseFee());
    const fee = receipt.gasUsed * receipt.effectiveGasPrice + receipt.blobGasUsed * receipt.blobGasPrice;
    assert.equal(await chain.reader.getBalance({ address }), held - fee);
  });

  it('lets an account borrow code by an authorization (EIP-7702)', async () => {
    const [user, sponsor] = [await chain.user(0n), await chain.user()];
    const counter = await chain.deploy(sponsor, 'Counter');
    const authorization = await user.signAuthorization({ contractAddress: counter.address });
    const data = encodeFunctionData({ abi: counter.abi, functionName: 'increment', args: [5n] });
    const hash = await sponsor.sendTransaction({ authorizationList: [authorization], to: user.account.address, data });
    const receipt = await chain.outcome(hash);
    assert.deepEqual([receipt.status, receipt.type], ['success', 'eip7702']);
    const code = await chain.reader.getCode({ address: user.account.address });
    assert.equal(code, `0xef0100${counter.address.slice(2).toLowerCase()}`);
    assert.equal(await chain.read({ ...counter, address: user.account.address }, 'count'), 5n);
    assert.equal(await chain.read(counter, 'count'), 0n);
  });
});

describe('a contract', () => {
  let user, counter;

  before(async () => {
    user = await chain.user();
    counter = await chain.deploy(user, 'Counter');
  });

  it('is deployed where its deployer and nonce say, with the code that was compiled', async () => {
    const { receipt, address } = counter;
    assert.equal(address, getContractAddress({ from: user.account.address, nonce: 0n }));
    assert.equal(await chain.reader.getCode({ address }), artifact('Counter').deployedBytecode);
    assert.deepEqual([receipt.to, receipt.status], [null, 'success']);
    assert.ok(receipt.cumulativeGasUsed >= receipt.gasUsed);
    assert.equal(await chain.reader.getTransactionCount({ address }), 1);
  });

  it('is estimated closely enough that the estimate is enough and not wasteful', async () => {
    const call = { ...counter, functionName: 'increment', args: [1n], account: user.account };
    const gas = await chain.reader.estimateContractGas(call);
    const receipt = await chain.send(user, counter, 'increment', [1n], { gas });
    assert.equal(receipt.status, 'success');
    assert.ok(gas >= receipt.gasUsed && gas <= (receipt.gasUsed * 3n) / 2n, `${gas} for ${receipt.gasUsed}`);
  });

  it('is simulated, written and read: the reader sees the write as soon as there is a receipt', async () => {
    for (let round = 0; round < 3; round += 1) {
      const count = await chain.read(counter, 'count');
      const { request, result } = await chain.reader.simulateContract({
        ...counter,
        functionName: 'increment',
        args: [7n],
        account: user.account,
      });
      assert.equal(result, count + 7n);
      assert.equal(await chain.read(counter, 'count'), count, 'a simulation writes nothing');
      await chain.outcome(await user.writeContract(request));
      assert.equal(await chain.read(counter, 'count'), count + 7n);
      const slot = await chain.reader.getStorageAt({ address: counter.address, slot: toHex(0) });
      assert.equal(BigInt(slot), count + 7n);
    }
  });

  it('tells its events in the receipt, by range, by block hash, by argument and by filter', async () => {
    const filter = await chain.reader.createContractEventFilter({ ...counter, eventName: 'Incremented' });
    const receipt = await chain.send(user, counter, 'increment', [1n]);
    const [told] = parseEventLogs({ abi: counter.abi, logs: receipt.logs });
    assert.deepEqual([told.eventName, told.args.by], ['Incremented', user.account.address]);

    const changes = await chain.reader.getFilterChanges({ filter });
    assert.deepEqual(changes.map((log) => log.args), [told.args]);
    assert.deepEqual(await chain.reader.getFilterChanges({ filter }), [], 'a change is told once');
    assert.equal(await chain.reader.uninstallFilter({ filter }), true);
    isRefusal(await rawCall(chain.rpc, 'eth_getFilterChanges', [filter.id]), /filter/i);

    const block = { fromBlock: receipt.blockNumber, toBlock: receipt.blockNumber };
    const events = (more) => chain.reader.getContractEvents({ ...counter, eventName: 'Incremented', ...more });
    const place = ({ blockHash, logIndex, transactionHash }) => [blockHash, logIndex, transactionHash];
    for (const query of [block, { blockHash: receipt.blockHash }, { ...block, args: { by: user.account.address } }]) {
      const logs = await events(query);
      assert.deepEqual(logs.map((log) => log.args), [told.args]);
      assert.deepEqual(place(logs[0]), place(receipt.logs[0]));
    }
    assert.deepEqual(await events({ ...block, args: { by: NOBODY } }), []);
    assert.deepEqual(await chain.reader.getLogs({ ...block, address: NOBODY }), []);
  });

  it('tells its events and the new blocks to a subscriber over WebSocket', { timeout: 20_000 }, async () => {
    const url = chain.rpc.replace(/^http/, 'ws');
    const reader = createPublicClient({ transport: webSocket(url, { keepAlive: false, reconnect: false }) });
    const socket = await reader.transport.getRpcClient();
    const { promise: failed, reject } = withRejection();
    const heard = { blocks: [], logs: [] };
    const unwatch = [
      reader.watchBlocks({ onBlock: ({ number }) => heard.blocks.push(number), onError: reject }),
      reader.watchContractEvent({ ...counter, onLogs: (logs) => heard.logs.push(...logs), onError: reject }),
    ];
    try {
      await reader.getChainId();
      const receipt = await chain.send(user, counter, 'increment', [1n]);
      await Promise.race([failed, until(() => heard.logs.length > 0 && heard.blocks.length > 0)]);
      assert.deepEqual(heard.logs.map((log) => log.transactionHash), [receipt.transactionHash]);
    } finally {
      unwatch.forEach((end) => end());
      socket.close();
    }
  });

  it('tells the events of many blocks in order', async () => {
    const fresh = await chain.deploy(user, 'Counter');
    for (let i = 0; i < 3; i += 1) await chain.send(user, fresh, 'increment', [1n]);
    const { blockNumber: fromBlock } = fresh.receipt;
    const logs = await chain.reader.getContractEvents({ ...fresh, fromBlock, toBlock: 'latest' });
    assert.deepEqual(logs.map((log) => log.args.count), [1n, 2n, 3n]);
  });

  it('says why a call reverts: custom errors by name, panics by code, the raw data beside', async () => {
    const token = await chain.deploy(user, 'Token', ['Gold', 'GLD']);
    const simulate = (functionName, args) =>
      chain.reader.simulateContract({ ...token, functionName, args, account: user.account });
    const named = await refusedAs(simulate('transfer', [NOBODY, 5n]), ContractFunctionRevertedError);
    assert.deepEqual([named.data.errorName, named.data.args], ['InsufficientBalance', [user.account.address, 0n, 5n]]);
    await chain.send(user, token, 'mint', [NOBODY, 1n]);
    const panic = await refusedAs(simulate('mint', [NOBODY, 2n ** 256n - 1n]), ContractFunctionRevertedError);
    assert.deepEqual([panic.data.errorName, panic.data.args], ['Panic', [0x11n]]);

    const data = encodeFunctionData({ abi: token.abi, functionName: 'transfer', args: [NOBODY, 5n] });
    const call = { from: user.account.address, to: token.address, data };
    for (const method of ['eth_call', 'eth_estimateGas']) {
      const { error } = await rawCall(chain.rpc, method, [call, 'latest']);
      assert.equal(error.code, 3);
      assert.match(error.message, /execution reverted/);
      assert.equal(decodeErrorResult({ abi: token.abi, data: error.data }).errorName, 'InsufficientBalance');
    }
  });

  it('that reverts spends nonce and gas and does nothing else', async () => {
    const { address } = user.account;
    const [held, nonce] = [await chain.reader.getBalance({ address }), await chain.reader.getTransactionCount({ address })];
    const count = await chain.read(counter, 'count');
    const receipt = await chain.send(user, counter, 'fail', [1n], { gas: 100_000n });
    assert.deepEqual([receipt.status, receipt.logs], ['reverted', []]);
    assert.ok(receipt.gasUsed > 21000n && receipt.gasUsed < 100_000n);
    assert.equal(await chain.reader.getTransactionCount({ address }), nonce + 1);
    assert.equal(await chain.reader.getBalance({ address }), held - receipt.gasUsed * receipt.effectiveGasPrice);
    assert.equal(await chain.read(counter, 'count'), count);
  });

  it('calls four others in one transaction, wherever they live, and back into itself', async () => {
    const [first, second] = [await chain.deploy(user, 'Caller'), await chain.deploy(user, 'Caller')];
    const counters = [];
    for (let i = 0; i < 4; i += 1) counters.push(await chain.deploy(user, 'Counter'));
    const addresses = counters.map(({ address }) => address);
    assert.equal((await chain.send(user, first, 'incrementAll', [addresses])).logs.length, 4);
    assert.deepEqual(await Promise.all(counters.map((one) => chain.read(one, 'count'))), [1n, 1n, 1n, 1n]);
    const bounce = { ...first, functionName: 'bounce', args: [second.address, 4n], account: user.account };
    assert.equal((await chain.reader.simulateContract(bounce)).result, 32323n);
    await chain.send(user, first, 'bounce', [second.address, 4n]);
    assert.deepEqual([await chain.read(first, 'visits'), await chain.read(second, 'visits')], [3n, 2n]);
  });

  it('has no proof against a trie that there is not', { skip: skipOnBaseline('anvil has one trie') }, async () => {
    const question = chain.reader.getProof({ address: counter.address, storageKeys: [zeroHash] });
    await assert.rejects(question, /sparse Merkle trees/);
  });
});

describe('many at once', () => {
  it('deploys from eight users side by side, each to an address of its own', async () => {
    const users = [];
    for (let i = 0; i < 8; i += 1) users.push(await chain.user(parseEther('1')));
    const deployed = await Promise.all(users.map((user) => chain.deploy(user, 'Counter')));
    assert.equal(new Set(deployed.map(({ address }) => address)).size, users.length);
    const counts = await Promise.all(deployed.map((counter) => chain.read(counter, 'count')));
    assert.ok(counts.every((count) => count === 0n));
  });

  it('loses no write of eight users to one contract', async () => {
    const users = [];
    for (let i = 0; i < 8; i += 1) users.push(await chain.user(parseEther('1')));
    const counter = await chain.deploy(users[0], 'Counter');
    const receipts = await Promise.all(users.map((user) => chain.send(user, counter, 'increment', [1n])));
    assert.ok(receipts.every(({ status }) => status === 'success'));
    assert.equal(await chain.read(counter, 'count'), 8n);
    const counts = receipts.map(({ logs }) => parseEventLogs({ abi: counter.abi, logs })[0].args.count);
    assert.deepEqual(counts.sort(), [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]);
  });

  it('lets a user send the next transaction before the last is mined', async () => {
    const user = await chain.user();
    const hashes = [];
    for (let nonce = 0; nonce < 4; nonce += 1) {
      hashes.push(await user.sendTransaction({ to: NOBODY, value: 1n, nonce, gas: 21000n }));
    }
    const receipts = await Promise.all(hashes.map(chain.outcome));
    assert.ok(receipts.every(({ status }) => status === 'success'));
    assert.equal(await chain.reader.getTransactionCount({ address: user.account.address }), 4);
  });

  it('answers a batch in one response', async () => {
    const batch = ['eth_chainId', 'eth_blockNumber', 'eth_nothing'].map((method, id) => ({ jsonrpc: '2.0', id, method, params: [] }));
    const answers = await post(chain.rpc, JSON.stringify(batch));
    const byId = new Map(answers.map((answer) => [answer.id, answer]));
    assert.equal(Number(byId.get(0).result), chain.id);
    assert.match(byId.get(1).result, /^0x/);
    assert.equal(byId.get(2).error.code, -32601);
  });
});

describe('bad input', () => {
  let user, sane;

  /** The raw bytes of a transfer of the user, sane but for `fields`. */
  // The account's own signing: the wallet's would put the right chain id in.
  const signed = (fields) => user.account.signTransaction({ ...sane, ...fields });
  /** Submits what viem refuses to build: the fields as they are, with a signature changed by `change`. */
  const submitByHand = async (fields, change = (signature) => signature) => {
    const { chainId, nonce, maxPriorityFeePerGas, maxFeePerGas, gas, to, value } = { ...sane, ...fields };
    const integer = (number) => (BigInt(number) === 0n ? '0x' : toHex(BigInt(number)));
    const payload = [...[chainId, nonce, maxPriorityFeePerGas, maxFeePerGas, gas].map(integer), to, integer(value), '0x', []];
    const bytes = (items) => concat(['0x02', toRlp(items)]);
    const { r, s, yParity } = change(parseSignature(await user.account.sign({ hash: keccak256(bytes(payload)) })));
    const raw = bytes([...payload, integer(yParity), integer(r), integer(s)]);
    return rawCall(chain.rpc, 'eth_sendRawTransaction', [raw]);
  };
  const submit = async (fields) => rawCall(chain.rpc, 'eth_sendRawTransaction', [await signed(fields)]);

  before(async () => {
    user = await chain.user();
    const maxFeePerGas = (await chain.reader.getGasPrice()) * 2n;
    sane = { type: 'eip1559', chainId: chain.id, to: NOBODY, value: 1n, nonce: 0, gas: 21000n, maxFeePerGas };
    sane.maxPriorityFeePerGas = 0n;
    await chain.outcome(await user.sendRawTransaction({ serializedTransaction: await signed({}) }));
    sane.nonce = 1;
  });

  it('of an unknown method is answered with -32601', async () => {
    for (const method of ['eth_nothing', 'dovetail_nothing', 'EthCall', '']) {
      assert.equal((await rawCall(chain.rpc, method)).error.code, -32601, method);
    }
  });

  it('that is no JSON or no request is answered with -32700 or -32600', { skip: skipOnBaseline('anvil has one code for both') }, async () => {
    assert.equal((await post(chain.rpc, '{"jsonrpc":')).error.code, -32700);
    assert.equal((await post(chain.rpc, '{"id":1,"foo":1}')).error.code, -32600);
  });

  it('in parameters is answered with -32602', async () => {
    for (const [method, params] of [
      ['eth_getBalance', []],
      ['eth_getBalance', ['0x1234', 'latest']],
      ['eth_getBlockByNumber', ['newest', false]],
      ['eth_getTransactionReceipt', ['0x12']],
    ]) {
      assert.equal((await rawCall(chain.rpc, method, params)).error?.code, -32602, `${method}(${params})`);
    }
  });

  it('for another chain is refused by name', { skip: skipOnBaseline('anvil takes it') }, async () => {
    isRefusal(await submit({ chainId: chain.id + 1 }), /chain ?id/i);
  });

  it('with a nonce that was used is a NonceTooLowError, the same bytes again included', async () => {
    await refusedAs(user.sendTransaction({ ...sane, nonce: 0, value: 2n }), NonceTooLowError);
    isRefusal(await submit({ nonce: 0 }), /nonce too low|already (known|imported)/i);
  });

  it('with a nonce far ahead is a NonceTooHighError', { skip: skipOnBaseline('anvil waits for the gap to fill') }, async () => {
    await refusedAs(user.sendTransaction({ ...sane, nonce: 100_000 }), NonceTooHighError);
  });

  it('with more value than funds is an InsufficientFundsError', async () => {
    await refusedAs(user.sendTransaction({ ...sane, value: parseEther('1000000') }), InsufficientFundsError);
    const pauper = chain.walletOf(generatePrivateKey());
    await refusedAs(pauper.sendTransaction({ ...sane, nonce: 0 }), InsufficientFundsError);
  });

  it('with funds for the value but not for the fee is an InsufficientFundsError', async () => {
    const poor = await chain.user(10_000n);
    await refusedAs(poor.sendTransaction({ ...sane, nonce: 0, value: 10_000n }), InsufficientFundsError);
  });

  it('with too little gas for its bytes is an IntrinsicGasTooLowError', async () => {
    await refusedAs(user.sendTransaction({ ...sane, gas: 20_999n }), IntrinsicGasTooLowError);
  });

  it('with more gas than a block has is refused', async () => {
    const { gasLimit } = await chain.reader.getBlock();
    isRefusal(await submit({ gas: gasLimit + 1n }), /gas/i);
  });

  it('with a fee under the base fee is a FeeCapTooLowError', async () => {
    await refusedAs(user.sendTransaction({ ...sane, maxFeePerGas: 1n }), FeeCapTooLowError);
  });

  it('with a tip above the fee cap is refused', async () => {
    isRefusal(await submitByHand({ maxPriorityFeePerGas: sane.maxFeePerGas + 1n }), /priority|tip/i);
  });

  it('with the other signature of the same hash (high s, EIP-2) is refused', { skip: skipOnBaseline('anvil takes it') }, async () => {
    assert.ok((await submitByHand({}, highSignature)).error, 'a malleable signature was accepted');
  });

  it('with code over the size limit (EIP-3860) is refused', async () => {
    isRefusal(await submit({ to: undefined, value: 0n, data: `0x${'00'.repeat(49_153)}`, gas: 10_000_000n }), /code/i);
  });

  it('in bytes that are no transaction is refused', async () => {
    const raw = await signed({});
    const long = `0x02${'00'.repeat(200_000)}`;
    const flipped = raw.slice(0, -2) + (raw.endsWith('00') ? '01' : '00');
    for (const [what, bytes] of [
      ['nothing', '0x'],
      ['noise', '0xdeadbeef'],
      ['a cut one', raw.slice(0, -2)],
      ['an unknown type', `0x7e${raw.slice(4)}`],
      ['a bare blob transaction type', '0x03c0'],
      ['an oversized one', long],
      ['no hex', '0xzz'],
    ]) {
      const { error, result } = await rawCall(chain.rpc, 'eth_sendRawTransaction', [bytes]);
      assert.ok(error && !result, `${what} was accepted`);
      assert.match(error.message, /\S/, what);
    }
    // A changed signature recovers to somebody else, who has no funds.
    const { error } = await rawCall(chain.rpc, 'eth_sendRawTransaction', [flipped]);
    assert.ok(error, 'a changed signature was accepted');
  });

  it('in bytes with one too many is refused', { skip: skipOnBaseline('anvil ignores what follows') }, async () => {
    const { error } = await rawCall(chain.rpc, 'eth_sendRawTransaction', [`${await signed({})}00`]);
    assert.ok(error, 'a byte too many was accepted');
  });

  it('in a call gets an error, not an answer', async () => {
    const counter = await chain.deploy(await chain.user(), 'Counter');
    await refusedAs(
      chain.reader.simulateContract({ ...counter, functionName: 'fail', args: [1n] }),
      ContractFunctionRevertedError,
    );
    const call = { from: NOBODY, to: counter.address, value: toHex(parseEther('1')) };
    assert.ok((await rawCall(chain.rpc, 'eth_call', [call, 'latest'])).error, 'a value nobody has');
    const short = { to: counter.address, data: '0xd09de08a', gas: '0x10' };
    assert.ok((await rawCall(chain.rpc, 'eth_call', [short, 'latest'])).error, 'gas below the intrinsic');
  });

  it('loses nothing: after all of it the user is where it was and goes on', async () => {
    const { address } = user.account;
    assert.equal(await chain.reader.getTransactionCount({ address, blockTag: 'pending' }), 1);
    const receipt = await chain.outcome(await user.sendTransaction(sane));
    assert.equal(receipt.status, 'success');
  });
});

/** A promise that only ever rejects, and what rejects it. */
function withRejection() {
  let reject;
  const promise = new Promise((_, refuse) => {
    reject = refuse;
  });
  promise.catch(() => {});
  return { promise, reject };
}

/** Waits for `condition` to hold; the test's own time limit ends it otherwise. */
async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
}

/** The signature with the same meaning that EIP-2 forbids. */
function highSignature({ r, s, yParity }) {
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
  return { r, s: toHex(order - BigInt(s)), yParity: 1 - yParity };
}

function skipOnBaseline(reason) {
  return isBaseline() && reason;
}
