// What all of these tests stand on: a connection, accounts of one's own, and a record of what was done, for hardhat.test.mjs to compare.

import { appendFileSync } from 'node:fs';
import { network } from 'hardhat';

/** Between two looks at something that is due. */
const POLL_MS = 200;
const DUE_MS_MAX = 30_000;
/** Accounts of each file of tests, so that files may run side by side. */
const ACCOUNTS_COUNT = 4;
const FILES = ['access', 'erc20', 'erc721', 'governor', 'ignition', 'proxies', 'vesting', 'vault'];

export const connection = await network.create();
export const { ethers } = connection;

/** The accounts of file `name`. */
export async function accountsOf(name) {
  const first = FILES.indexOf(name) * ACCOUNTS_COUNT;
  return (await ethers.getSigners()).slice(first, first + ACCOUNTS_COUNT);
}

/** Waits for a transaction; gives its receipt, and keeps what everybody must see alike: status, gas, contract and logs. */
export async function done(step, sent) {
  const transaction = await sent;
  let receipt;
  try {
    receipt = await transaction.wait();
  } catch (error) {
    if (!error.receipt) throw error;
    receipt = error.receipt;
  }
  note(step, {
    status: receipt.status,
    gas: receipt.gasUsed,
    contract: receipt.contractAddress,
    logs: receipt.logs.map(({ address, topics }) => ({ address, topics })),
  });
  return receipt;
}

/** Deploys contract `name`; gives it once it is there. */
export async function deployed(name, args, from) {
  const contract = await ethers.deployContract(name, args, from);
  await done(`deploy ${name}`, contract.deploymentTransaction());
  return contract;
}

/**
 * What `who` has more of `token` after block `number` than before it. hardhat's own matcher says the same only where nobody
 * else has a transaction in that block.
 */
export async function moved(token, who, number) {
  const [before, after] = await Promise.all([number - 1, number].map((blockTag) => token.balanceOf(who, { blockTag })));
  return after - before;
}

/** Keeps what was seen. */
export function note(step, seen) {
  const text = JSON.stringify({ step, seen }, (_, value) => (typeof value === 'bigint' ? `${value}` : value));
  if (process.env.E2E_RECORD) appendFileSync(process.env.E2E_RECORD, `${text}\n`);
}

/** Waits until `look` gives what is true. */
export async function until(look) {
  for (const end = Date.now() + DUE_MS_MAX; Date.now() < end; ) {
    if (await look()) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`not so within ${DUE_MS_MAX} ms: ${look}`);
}
