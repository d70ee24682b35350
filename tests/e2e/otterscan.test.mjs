// What the explorer Otterscan asks a node (ots_*), beside anvil: what happened inside a transaction, an address's pages, a block in
// brief, who created a contract.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { encodeDeployData, getContractAddress, parseEther } from 'viem';
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts';
import { ANVIL_KEY, startAnvil } from '../../contracts/test/anvil.mjs';
import { PAYERS, artifact, openChain, rawCall } from './chain.mjs';
import { HARDFORK, network } from './network.mjs';

const KEY = generatePrivateKey();
const USER = privateKeyToAddress(KEY);
const GAS = 2_000_000n;
/** CREATE2 through a contract that does nothing else; one of the usual contracts, and anvil has it too. */
const DEPLOYER = '0x4e59b44847b379578588920cA78FbF26c0B4956C';
const [token, caller, counter] = [0n, 1n, 2n].map((nonce) => getContractAddress({ from: USER, nonce }));
const { bytecode } = artifact('Counter');
const SALT = `0x${'00'.repeat(31)}07`;
const MADE = getContractAddress({ bytecode, from: DEPLOYER, opcode: 'CREATE2', salt: SALT });

/** Runs the script; gives the receipts. */
async function play(chain) {
  const wallet = await chain.user(parseEther('5'), KEY);
  const send = async (nonce, more) => chain.outcome(await wallet.sendTransaction({ nonce, gas: GAS, ...more }));
  const call = async (nonce, name, address, functionName, args) =>
    chain.outcome(await wallet.writeContract({ abi: artifact(name).abi, address, functionName, args, nonce, gas: GAS }));
  const deploy = (nonce, name, args) => send(nonce, { data: encodeDeployData({ ...artifact(name), args }) });
  return [
    await deploy(0, 'Token', ['Gold', 'GLD']),
    await deploy(1, 'Caller', []),
    await deploy(2, 'Counter', []),
    await call(3, 'Token', token, 'mint', [USER, 10n]),
    await call(4, 'Caller', caller, 'incrementAll', [[counter, counter]]),
    await call(5, 'Token', token, 'transfer', [caller, 11n]),
    await send(6, { to: DEPLOYER, data: SALT + bytecode.slice(2) }),
  ];
}

let under, baseline, chains, receipts;

before(async () => {
  under = await network();
  baseline = await startAnvil({ from: import.meta.url, args: ['--hardfork', HARDFORK, '--steps-tracing'] });
  chains = [
    await openChain(under.rpc, under.accounts[PAYERS.otterscan % under.accounts.length].private_key),
    await openChain(baseline.rpc, ANVIL_KEY),
  ];
  receipts = await Promise.all(chains.map(play));
});
after(async () => {
  await baseline?.stop();
  await under?.stop();
});

async function result(chain, method, ...params) {
  const { result, error } = await rawCall(chain.rpc, method, params);
  assert.equal(error, undefined, `${method}: ${error?.message}`);
  return result;
}

/** What both chains say, as `see` sees it, which must be the same. */
async function same(ask, see = (told) => told) {
  const [here, there] = (await Promise.all(chains.map((chain, index) => ask(chain, receipts[index])))).map(see);
  assert.deepEqual(here, there);
  return here;
}

describe('Otterscan', () => {
  it('speaks the level that it needs', async () => {
    assert.equal(await same((chain) => result(chain, 'ots_getApiLevel')), 8);
    assert.equal(await same((chain) => result(chain, 'ots_hasCode', token, 'latest')), true);
    assert.equal(await same((chain) => result(chain, 'ots_hasCode', USER, 'latest')), false);
  });

  it('sees into a transaction', async () => {
    // anvil leaves creations out.
    const calls = (entries) => entries.filter(({ type }) => !type.startsWith('CREATE'));
    const lower = (entries) =>
      calls(entries).map(({ type, depth, from, to, input, output }) => ({ type, depth, from, to, input, output }));
    for (const step of [3, 4, 6]) await same((chain, sent) => result(chain, 'ots_traceTransaction', sent[step].transactionHash), lower);
    const entries = await result(chains[0], 'ots_traceTransaction', receipts[0][6].transactionHash);
    assert.deepEqual(entries.map(({ type, depth }) => [type, depth]), [['CALL', 0], ['CREATE2', 1]]);
    const [made] = await result(chains[0], 'ots_getInternalOperations', receipts[0][6].transactionHash);
    assert.deepEqual(made, { type: 3, from: DEPLOYER.toLowerCase(), to: MADE.toLowerCase(), value: '0x0' });
  });

  it('is told why a transaction failed', async () => {
    const failed = await same((chain, sent) => result(chain, 'ots_getTransactionError', sent[5].transactionHash));
    assert.ok(failed.length > 10);
    assert.equal(await result(chains[0], 'ots_getTransactionError', receipts[0][3].transactionHash), '0x');
  });

  it('turns the pages of an address', async () => {
    // Of the network; anvil counts pages of its own kind.
    const [chain, sent] = [chains[0], receipts[0].map((receipt) => receipt.transactionHash).reverse()];
    const all = await result(chain, 'ots_searchTransactionsBefore', USER, 0, 25);
    assert.deepEqual(all.txs.slice(0, 7).map(({ hash }) => hash), sent);
    const pages = [];
    for (let before = 0; ; ) {
      const page = await result(chain, 'ots_searchTransactionsBefore', USER, before, 2);
      assert.equal(page.firstPage, before === 0);
      pages.push(...page.txs);
      if (page.lastPage) break;
      before = Number(page.txs.at(-1).blockNumber);
    }
    assert.deepEqual(pages, all.txs);
    const after = await result(chain, 'ots_searchTransactionsAfter', USER, Number(receipts[0][2].blockNumber), 25);
    assert.deepEqual(after.txs, all.txs.slice(0, 4));
    // Called by another contract, and seen by its own log only.
    const seen = await result(chain, 'ots_searchTransactionsBefore', counter, 0, 25);
    assert.ok(seen.txs.some(({ hash }) => hash === sent[4]));
  });

  it('finds a transaction by nonce and the creator of a contract', async () => {
    await same((chain) => result(chain, 'ots_getTransactionBySenderAndNonce', USER, 3), (hash) => typeof hash);
    assert.equal(await result(chains[0], 'ots_getTransactionBySenderAndNonce', USER, 3), receipts[0][3].transactionHash);
    assert.equal(await result(chains[0], 'ots_getTransactionBySenderAndNonce', USER, 99), null);
    const creator = async (index, address) => result(chains[index], 'ots_getContractCreator', address);
    for (const [address, step, from] of [[token, 0, USER], [MADE, 6, DEPLOYER]]) {
      const told = { hash: receipts[0][step].transactionHash, creator: from.toLowerCase() };
      assert.deepEqual(await creator(0, address), told);
    }
    assert.equal(await creator(0, USER), null);
    assert.equal(await creator(0, DEPLOYER), null);
  });

  it('shows a block in brief', async () => {
    const { blockNumber } = receipts[0][4];
    const details = await result(chains[0], 'ots_getBlockDetails', Number(blockNumber));
    const page = await result(chains[0], 'ots_getBlockTransactions', Number(blockNumber), 0, 25);
    assert.equal(Number(details.block.transactionCount), page.fullblock.transactions.length);
    assert.ok(page.fullblock.transactions.every(({ input }) => input.length <= 10));
    assert.ok(BigInt(details.totalFees) > 0n);
    assert.deepEqual(await result(chains[0], 'ots_getBlockDetailsByHash', receipts[0][4].blockHash), details);
  });
});
