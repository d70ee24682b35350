// OpenZeppelin's contracts by hardhat's own tools, on whichever endpoint `E2E_RPC` names. hardhat.test.mjs runs it.
//
// Nothing is downloaded: the compiler is the npm package `solc`.

import { fileURLToPath } from 'node:url';
import { defineConfig } from 'hardhat/config';
import hardhatEthers from '@nomicfoundation/hardhat-ethers';
import chaiMatchers from '@nomicfoundation/hardhat-ethers-chai-matchers';
import ignition from '@nomicfoundation/hardhat-ignition-ethers';
import mocha from '@nomicfoundation/hardhat-mocha';
import networkHelpers from '@nomicfoundation/hardhat-network-helpers';

const TEST_MS_MAX = 40_000;
/** Files at once: their tests wait for the network most of the time. */
const JOBS_COUNT = 3;

/** The network that hardhat's own begins with, where a test asks for that. */
const FORK = process.env.E2E_FORK && JSON.parse(process.env.E2E_FORK);
const FORKED = FORK && {
  networks: {
    forked: {
      type: 'edr-simulated',
      chainType: 'l1',
      chainId: FORK.chainId,
      hardfork: 'osaka',
      forking: { url: FORK.url, blockNumber: FORK.blockNumber },
    },
  },
  // hardhat knows the forks of the chains it knows; this one has had one only.
  chainDescriptors: {
    [FORK.chainId]: { name: 'under test', chainType: 'l1', hardforkHistory: { osaka: { blockNumber: 0 } } },
  },
};

export default defineConfig({
  plugins: [hardhatEthers, chaiMatchers, ignition, mocha, networkHelpers],
  solidity: {
    version: '0.8.37',
    path: fileURLToPath(new URL('node_modules/solc/soljson.js', import.meta.url)),
    npmFilesToBuild: [
      'finance/VestingWallet.sol',
      'governance/TimelockController.sol',
      'proxy/ERC1967/ERC1967Proxy.sol',
      'proxy/transparent/ProxyAdmin.sol',
      'proxy/transparent/TransparentUpgradeableProxy.sol',
    ].map((file) => `@openzeppelin/contracts/${file}`),
    settings: { optimizer: { enabled: true, runs: 200 }, evmVersion: 'osaka' },
  },
  // Where Ignition keeps what it has deployed.
  paths: { ignition: process.env.E2E_IGNITION ?? 'ignition' },
  chainDescriptors: FORKED?.chainDescriptors,
  networks: {
    ...FORKED?.networks,
    under: {
      type: 'http',
      url: process.env.E2E_RPC ?? 'http://127.0.0.1:8545',
      // With none the node is asked for its own.
      accounts: process.env.E2E_KEYS ? JSON.parse(process.env.E2E_KEYS) : 'remote',
    },
  },
  test: { mocha: { timeout: TEST_MS_MAX, parallel: true, jobs: JOBS_COUNT } },
});
