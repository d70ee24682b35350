// Takes the creation code of Hyperlane's contracts out of the npm package's own factories.
//
//   npm pack @hyperlane-xyz/core@12.1.0 && tar xzf hyperlane-xyz-core-12.1.0.tgz
//   node extract.mjs package           writes the .hex files
//   node extract.mjs package --check   fails unless the files here are what the package has
//
// Promise: not a byte is changed; constructor arguments are appended by whoever deploys.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const CONTRACTS = {
  mailbox: 'Mailbox',
  'merkle-tree-hook': 'hooks/MerkleTreeHook',
  'pausable-hook': 'hooks/PausableHook',
  'message-id-multisig-ism-factory': 'isms/multisig/StaticMultisigIsm.sol/StaticMessageIdMultisigIsmFactory',
  'merkle-root-multisig-ism-factory': 'isms/multisig/StaticMultisigIsm.sol/StaticMerkleRootMultisigIsmFactory',
};

const [folder, check] = process.argv.slice(2);
for (const [name, path] of Object.entries(CONTRACTS)) {
  const source = readFileSync(join(folder, 'dist/typechain/factories/contracts', `${path}__factory.js`), 'utf8');
  const code = /const _bytecode = "0x([0-9a-f]+)"/.exec(source)?.[1];
  if (!code) throw new Error(`${path} has no creation code`);
  const file = join(HERE, `${name}.hex`);
  if (!check) writeFileSync(file, `${code}\n`);
  else if (readFileSync(file, 'utf8') !== `${code}\n`) throw new Error(`${name}.hex is not what the package has`);
}
