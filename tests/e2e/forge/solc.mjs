#!/usr/bin/env node
// solc as a program, for forge: the compiler of the npm package, which is JavaScript.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const solc = createRequire(new URL('../hardhat/package.json', import.meta.url))('solc');

if (process.argv.includes('--version')) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
} else if (process.argv.includes('--standard-json')) {
  process.stdout.write(solc.compile(readFileSync(0, 'utf8')));
} else {
  console.error(`not known here: ${process.argv.slice(2).join(' ')}`);
  process.exitCode = 1;
}
