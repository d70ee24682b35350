// What Ponder follows: the transfers of some tokens, on the endpoint that the environment names. ponder.test.mjs runs it.

import { createConfig } from 'ponder';
import { erc20Abi, type Address } from 'viem';

const { E2E_RPC, E2E_CHAIN_ID, E2E_TOKENS, E2E_FIRST_BLOCK, E2E_DATABASE } = process.env;

export default createConfig({
  database: { kind: 'pglite', directory: E2E_DATABASE! },
  chains: { under: { id: Number(E2E_CHAIN_ID), rpc: E2E_RPC!, pollingInterval: 250, disableCache: true } },
  contracts: {
    Token: {
      chain: 'under',
      abi: erc20Abi,
      address: JSON.parse(E2E_TOKENS!) as Address[],
      startBlock: Number(E2E_FIRST_BLOCK),
    },
  },
});
