// Reads what `E2E_FORK_ASKS` names from hardhat's own network, forked from the one in `E2E_FORK`, and writes it as one line of JSON.
// forking.test.mjs runs it.

import { network } from 'hardhat';

const { user, payee, counter, data } = JSON.parse(process.env.E2E_FORK_ASKS);
const { provider } = await network.connect({ network: 'forked' });
const ask = (method, ...params) => provider.request({ method, params });
console.log(
  JSON.stringify({
    chainId: await ask('eth_chainId'),
    balance: await ask('eth_getBalance', user, 'latest'),
    paid: await ask('eth_getBalance', payee, 'latest'),
    nonce: await ask('eth_getTransactionCount', user, 'latest'),
    code: await ask('eth_getCode', counter, 'latest'),
    slot: await ask('eth_getStorageAt', counter, '0x0', 'latest'),
    count: await ask('eth_call', { to: counter, data }, 'latest'),
  }),
);
