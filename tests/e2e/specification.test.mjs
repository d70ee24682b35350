// Ethereum's specification of JSON-RPC, method by method: results have its shape, and inputs that it forbids are refused.
// What is otherwise is listed here with the reason, and an entry that is no longer needed fails.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { encodeFunctionData, numberToHex, toHex, zeroHash } from 'viem';
import { PAYERS, isBaseline, openChain, rawCall } from './chain.mjs';
import { network } from './network.mjs';
import { isPresent, misspelt, readMethods } from './specification.mjs';

const INVALID_PARAMS_CODE = -32602;
const METHOD_NOT_FOUND_CODE = -32601;

/** Methods of the specification that are not served, and why. */
const ABSENT = {
  eth_sendTransaction: 'a node holds no keys',
  eth_sign: 'a node holds no keys',
  eth_signTransaction: 'a node holds no keys',
  eth_getProof: "shards commit to state by sparse Merkle trees, not by Ethereum's trie",
  eth_getBlockAccessList: 'it is of a fork that no network here has (EIP-7928)',
  debug_getRawBlockAccessList: 'it is of a fork that no network here has (EIP-7928)',
  debug_getRawHeader: "a block's hash is not that of a header",
  debug_getRawBlock: "a block's hash is not that of a header",
};

/** Inputs that the specification forbids and that are accepted, and why: `method`, then the parameter and how it is written. */
const LENIENT = { 'eth_feeHistory blockCount a number': 'geth takes one, and there are clients that send one' };

let under, chain, methods;

before(async () => {
  if (!isPresent) return;
  methods = readMethods();
  under = await network();
  chain = await openChain(under.rpc, under.accounts[PAYERS.specification % under.accounts.length].private_key);
});
after(() => under?.stop());

/** Parameters that every method can be asked with on the running chain. */
async function questions() {
  const wallet = await chain.user();
  const token = await chain.deploy(wallet, 'Token', ['Gold', 'GLD']);
  const installed = (method, params) => rawCall(chain.rpc, method, params).then(({ result }) => result);
  const filterId = await installed('eth_newFilter', [{ address: token.address, fromBlock: numberToHex(token.receipt.blockNumber) }]);
  const receipt = await chain.send(wallet, token, 'mint', [wallet.account.address, 1n]);
  const block = numberToHex(receipt.blockNumber);
  const hash = receipt.transactionHash;
  const from = wallet.account.address.toLowerCase();
  const to = token.address.toLowerCase();
  const call = { from, to, input: encodeFunctionData({ ...token, functionName: 'totalSupply' }), value: '0x0', gas: '0x186a0' };
  const filter = { fromBlock: block, toBlock: block, address: to, topics: [receipt.logs[0].topics[0]] };
  const word = toHex(1, { size: 32 });
  const simulation = {
    blockStateCalls: [
      {
        blockOverrides: {
          time: '0x7fffffff',
          gasLimit: '0x1c9c380',
          feeRecipient: to,
          prevRandao: '0x7',
          baseFeePerGas: '0x0',
          blobBaseFee: '0x1',
        },
        stateOverrides: { [from]: { balance: '0x5', nonce: '0x1', code: '0x00', stateDiff: { [word]: word } } },
        calls: [call],
      },
    ],
    traceTransfers: true,
    validation: false,
    returnFullTransactions: true,
  };
  const raw = await wallet.signTransaction(
    await wallet.prepareTransactionRequest({ to: from, value: 1n, nonce: 1_000_000, gas: 21_000n }),
  );
  return [
    ['eth_accounts', []],
    ['eth_baseFee', []],
    ['eth_blobBaseFee', []],
    ['eth_blockNumber', []],
    ['eth_call', [call, 'latest']],
    ['eth_call', [call, block]],
    ['eth_call', [call, { blockHash: receipt.blockHash }]],
    ['eth_capabilities', []],
    ['eth_chainId', []],
    ['eth_coinbase', []],
    ['eth_config', []],
    ['eth_createAccessList', [call, 'latest']],
    ['eth_estimateGas', [{ from, to: from, value: '0x1' }, 'latest']],
    ['eth_feeHistory', ['0x4', 'latest', [25, 75]]],
    ['eth_fillTransaction', [{ from, to: from, value: '0x1' }]],
    ['eth_gasPrice', []],
    ['eth_getBalance', [from, 'latest']],
    ['eth_getBalance', [from, block]],
    ['eth_getBlockAccessList', [block]],
    ['eth_getBlockByHash', [receipt.blockHash, true]],
    ['eth_getBlockByHash', [zeroHash, false]],
    ['eth_getBlockByNumber', [block, true]],
    ['eth_getBlockByNumber', [block, false]],
    ['eth_getBlockByNumber', ['earliest', false]],
    ['eth_getBlockByNumber', ['0xffffffff', false]],
    ['eth_getBlockReceipts', [block]],
    ['eth_getBlockReceipts', [receipt.blockHash]],
    ['eth_getBlockTransactionCountByHash', [receipt.blockHash]],
    ['eth_getBlockTransactionCountByNumber', [block]],
    ['eth_getCode', [to, 'latest']],
    ['eth_getFilterChanges', [filterId]],
    ['eth_getFilterLogs', [filterId]],
    ['eth_getLogs', [filter]],
    ['eth_getLogs', [{ blockHash: receipt.blockHash, address: [to] }]],
    ['eth_getProof', [to, ['0x0'], 'latest']],
    ['eth_getStorageAt', [to, toHex(0, { size: 32 }), 'latest']],
    ['eth_getStorageValues', [{ [to]: [toHex(0, { size: 32 })] }, 'latest']],
    ['eth_getTransactionByBlockHashAndIndex', [receipt.blockHash, '0x0']],
    ['eth_getTransactionByBlockNumberAndIndex', [block, '0x0']],
    ['eth_getTransactionByHash', [hash]],
    ['eth_getTransactionByHash', [zeroHash]],
    ['eth_getTransactionCount', [from, 'latest']],
    ['eth_getTransactionCount', [from, 'pending']],
    ['eth_getTransactionReceipt', [hash]],
    ['eth_getTransactionReceipt', [zeroHash]],
    ['eth_maxPriorityFeePerGas', []],
    ['eth_newBlockFilter', []],
    ['eth_newFilter', [filter]],
    ['eth_newPendingTransactionFilter', []],
    ['eth_sendRawTransaction', [raw]],
    ['eth_simulateV1', [{ blockStateCalls: [{ calls: [call] }] }, 'latest']],
    ['eth_simulateV1', [simulation, 'latest']],
    ['eth_syncing', []],
    ['eth_uninstallFilter', [await installed('eth_newBlockFilter', [])]],
    ['net_version', []],
    ['debug_getBadBlocks', []],
    ['debug_getRawBlock', [block]],
    ['debug_getRawBlockAccessList', [block]],
    ['debug_getRawHeader', [block]],
    ['debug_getRawReceipts', [block]],
    ['debug_getRawTransaction', [hash]],
    ['debug_traceBlockByHash', [receipt.blockHash, {}]],
    ['debug_traceBlockByNumber', [block, {}]],
    ['debug_traceTransaction', [hash, {}]],
    ['txpool_content', []],
    ['txpool_contentFrom', [from]],
    ['txpool_status', []],
  ];
}

const skip = isPresent ? false : 'the specification is not in DOVETAIL_DATA/execution-apis';

describe("Ethereum's specification", { skip }, () => {
  let asked;
  before(async () => (asked = await questions()));

  it('has every method asked here, or it is listed as absent', () => {
    const names = new Set([...asked.map(([method]) => method), ...Object.keys(ABSENT)]);
    assert.deepEqual([...methods.keys()].filter((name) => !names.has(name)), []);
  });

  it('is met by every result', async () => {
    const wrong = [];
    for (const [method, params] of asked) {
      const { result, error } = await rawCall(chain.rpc, method, params);
      // A transaction far ahead of its sender's nonce is refused, and that is all it is for.
      if (error && method === 'eth_sendRawTransaction') continue;
      const fault = error ? `${error.code} ${error.message}` : methods.get(method).errors(result);
      if (fault && error?.code !== METHOD_NOT_FOUND_CODE) wrong.push(`${method}(${JSON.stringify(params)}): ${fault}`);
      if (error?.code === METHOD_NOT_FOUND_CODE && !(method in ABSENT) && !isBaseline()) wrong.push(`${method} is absent`);
    }
    assert.deepEqual(wrong, []);
  });

  it('lists no method as absent that is served', async () => {
    for (const method of Object.keys(ABSENT)) {
      const { error } = await rawCall(chain.rpc, method, []);
      if (!isBaseline()) assert.equal(error?.code, METHOD_NOT_FOUND_CODE, `${method} is served now`);
    }
  });

  it('is met by every refusal: what it forbids as a parameter is refused as one', async (test) => {
    const accepted = [];
    const coded = [];
    let tried = 0;
    for (const [method, params] of asked.filter(([method]) => !(method in ABSENT))) {
      const { params: schemas } = methods.get(method);
      for (const [index, value] of params.entries()) {
        for (const [how, wrong] of misspelt(value, schemas[index].name)) {
          if (!schemas[index].errors(wrong)) continue;
          tried += 1;
          const { error } = await rawCall(chain.rpc, method, params.with(index, wrong));
          const name = `${method} ${how}`;
          if (!error && !LENIENT[name]) accepted.push(name);
          if (error && ![INVALID_PARAMS_CODE, METHOD_NOT_FOUND_CODE].includes(error.code)) coded.push(`${name}: ${error.code} ${error.message}`);
        }
      }
      const { error } = await rawCall(chain.rpc, method, [...params, ...schemas.slice(params.length).map(() => null), 'one too many']);
      if (!error && schemas.length >= params.length) accepted.push(`${method} with a parameter too many`);
    }
    test.diagnostic(`${tried} inputs that the specification forbids`);
    if (isBaseline()) return test.diagnostic(`${accepted.length} accepted`);
    assert.deepEqual({ accepted, coded }, { accepted: [], coded: [] });
  });
});
