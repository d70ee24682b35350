// What every test here needs of a chain: a client on it, and contracts by name.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import solc from 'solc';
import { createPublicClient, createTestClient, createWalletClient, getAddress, http } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { foundry } from 'viem/chains';
import { ANVIL_KEY, startAnvil } from './anvil.mjs';

const CONTRACTS = fileURLToPath(new URL('..', import.meta.url));

/** The artifact of contract `name`. */
export function artifact(name) {
  return JSON.parse(readFileSync(join(CONTRACTS, 'artifacts', `${name}.json`), 'utf8'));
}

/** The artifact of `test/<name>.sol`, a contract that only a test needs; it may import those of src. */
export function compileTest(name) {
  const content = (path) => ({ content: readFileSync(path, 'utf8') });
  const own = Object.fromEntries(
    readdirSync(join(CONTRACTS, 'src')).map((file) => [file, content(join(CONTRACTS, 'src', file))]),
  );
  const input = {
    language: 'Solidity',
    sources: { ...own, [`${name}.sol`]: content(join(CONTRACTS, 'test', `${name}.sol`)) },
    settings: { outputSelection: { [`${name}.sol`]: { [name]: ['abi', 'evm.bytecode.object'] } } },
  };
  const { errors, contracts } = JSON.parse(solc.compile(JSON.stringify(input)));
  if (errors?.length) throw new Error(errors.map((error) => error.formattedMessage).join('\n'));
  const { abi, evm } = contracts[`${name}.sol`][name];
  return { abi, bytecode: `0x${evm.bytecode.object}` };
}

/** An anvil with one funded account and the few verbs that the tests speak. */
export async function startChain() {
  const anvil = await startAnvil({ from: import.meta.url });
  const options = { chain: foundry, transport: http(anvil.rpc), pollingInterval: 20, cacheTime: 0 };
  const account = privateKeyToAccount(ANVIL_KEY);
  const reader = createPublicClient(options);
  const writer = createWalletClient({ ...options, account });
  const tester = createTestClient({ ...options, mode: 'anvil' });

  /** Sends from the account or from `from`, and waits; the outcome may be a revert. */
  const send = async (contract, functionName, args = [], more = {}) => {
    const hash = await writer.writeContract({ ...contract, functionName, args, gas: 5_000_000n, ...more });
    return reader.waitForTransactionReceipt({ hash });
  };
  return {
    account,
    reader,
    tester,
    send,
    stop: anvil.stop,
    deploy: async (name, args = [], { abi, bytecode } = artifact(name)) => {
      const hash = await writer.deployContract({ abi, bytecode, args });
      const { contractAddress } = await reader.waitForTransactionReceipt({ hash });
      return { abi, address: getAddress(contractAddress) };
    },
    /** Puts the code of contract `name` at `address`, as a genesis does. */
    predeploy: async (name, address) => {
      const { abi, deployedBytecode } = artifact(name);
      await tester.setCode({ address, bytecode: deployedBytecode });
      return { abi, address };
    },
    read: (contract, functionName, args = []) => reader.readContract({ ...contract, functionName, args }),
    /** The result of the call, or the name and arguments of the custom error it reverts with. */
    call: async (contract, functionName, args = [], more = {}) => {
      try {
        return { result: (await reader.simulateContract({ ...contract, functionName, args, account, ...more })).result };
      } catch (error) {
        const reverted = error.walk((cause) => cause.data?.errorName);
        if (!reverted) throw error;
        return { error: reverted.data.errorName, args: reverted.data.args };
      }
    },
  };
}
