// An endpoint seen through viem, unmodified: clients, fresh funded users, contracts by name.

import { readFileSync } from 'node:fs';
import { createPublicClient, createWalletClient, defineChain, getAddress, http, parseEther } from 'viem';
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts';

/** Between two looks at something that is due. */
export const POLL_MS = 50;
const RECEIPT_MS_MAX = 20_000;
const BUDGET = parseEther('10');

/** Each suite pays from a devnet account of its own, so that suites may run side by side. */
export const PAYERS = { viem: 0, cast: 1, parity: 2, messages: 3, specification: 4, ethers: 5, traces: 6, hardhat: 7, ponder: 8, otterscan: 9, blockscout: 10, forking: 11, forge: 12 };

/** Whether anvil stands in for the network: what it does otherwise, and what it lacks, is not tested then. */
export function isBaseline() {
  return Boolean(process.env.DOVETAIL_NETWORK && JSON.parse(process.env.DOVETAIL_NETWORK).baseline);
}

/** The artifact of contract `name`. */
export function artifact(name) {
  return JSON.parse(readFileSync(new URL(`../../contracts/artifacts/${name}.json`, import.meta.url), 'utf8'));
}

/** One JSON-RPC call without a library in between: the whole response. */
export async function rawCall(rpc, method, params = []) {
  return post(rpc, JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }));
}

/** Posts `body` as it is; gives the parsed response. */
export async function post(rpc, body) {
  const response = await fetch(rpc, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  return JSON.parse(await response.text());
}

/** The endpoint at `rpc`, with clients and verbs; `payer` is the private key of a funded account. */
export async function openChain(rpc, payer) {
  const id = Number((await rawCall(rpc, 'eth_chainId')).result);
  const chain = defineChain({
    id,
    name: 'network under test',
    nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
    rpcUrls: { default: { http: [rpc] } },
  });
  // One try: a test must see the first answer.
  const options = { chain, transport: http(rpc, { retryCount: 0 }), pollingInterval: POLL_MS, cacheTime: 0 };
  const reader = createPublicClient(options);
  const walletOf = (key) => createWalletClient({ ...options, account: privateKeyToAccount(key) });
  const outcome = (hash) => reader.waitForTransactionReceipt({ hash, timeout: RECEIPT_MS_MAX, retryCount: 0 });
  const bank = walletOf(payer);

  /** The wallet of a key nobody used before, with `budget` wei. */
  const user = async (budget = BUDGET, key = generatePrivateKey()) => {
    const wallet = walletOf(key);
    if (budget > 0n) await outcome(await bank.sendTransaction({ to: wallet.account.address, value: budget }));
    return wallet;
  };
  /** Deploys contract `name` from `wallet`; gives `{ abi, address, receipt }`. */
  const deploy = async (wallet, name, args = [], more = {}) => {
    const { abi, bytecode } = artifact(name);
    const receipt = await outcome(await wallet.deployContract({ abi, bytecode, args, ...more }));
    if (receipt.status !== 'success') throw new Error(`deploying ${name} reverted`);
    return { abi, address: getAddress(receipt.contractAddress), receipt };
  };
  /** Sends a call of `contract` and waits; the outcome may be a revert if `more.gas` is given. */
  const send = async (wallet, contract, functionName, args = [], more = {}) => {
    const { abi, address } = contract;
    return outcome(await wallet.writeContract({ abi, address, functionName, args, ...more }));
  };
  const read = ({ abi, address }, functionName, args = []) => reader.readContract({ abi, address, functionName, args });
  return { rpc, id, reader, bank, walletOf, user, outcome, deploy, send, read };
}
