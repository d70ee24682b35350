// Compiles src/*.sol to artifacts/*.json, one file for each contract.
//
//   node build.mjs           writes the artifacts
//   node build.mjs --check   fails unless the artifacts on disk are what the sources compile to
//
// Promise: the artifacts are a function of the sources and the pinned compiler alone: no metadata hash, no paths, no times.
// So they are committed, and nothing else in the project needs npm to build.

import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import solc from 'solc';

const SOURCES = fileURLToPath(new URL('src', import.meta.url));
const ARTIFACTS = fileURLToPath(new URL('artifacts', import.meta.url));

const SETTINGS = {
  evmVersion: 'cancun',
  optimizer: { enabled: true, runs: 1000 },
  metadata: { bytecodeHash: 'none', appendCBOR: false },
  outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object', 'evm.deployedBytecode.object'] } },
};

/** The compiler's answer for all sources; exits with its messages if it refuses or warns. */
function compile() {
  const names = readdirSync(SOURCES).filter((name) => name.endsWith('.sol')).sort();
  const sources = Object.fromEntries(names.map((name) => [name, { content: readFileSync(join(SOURCES, name), 'utf8') }]));
  const output = JSON.parse(solc.compile(JSON.stringify({ language: 'Solidity', sources, settings: SETTINGS })));
  if (output.errors?.length) {
    console.error(output.errors.map((error) => error.formattedMessage).join('\n'));
    process.exit(1);
  }
  return output.contracts;
}

/** File name and text of the artifact of each file's main contract, which bears the file's name. */
function artifacts() {
  return Object.entries(compile()).map(([source, contracts]) => {
    const contractName = basename(source, '.sol');
    const { abi, evm } = contracts[contractName];
    const artifact = {
      contractName,
      compiler: solc.version(),
      evmVersion: SETTINGS.evmVersion,
      abi,
      bytecode: `0x${evm.bytecode.object}`,
      deployedBytecode: `0x${evm.deployedBytecode.object}`,
    };
    return [`${contractName}.json`, `${JSON.stringify(artifact, null, 1)}\n`];
  });
}

/** The names of artifacts that are missing, stale or no longer have a source. */
function differences(wanted) {
  const found = new Map(
    readdirSync(ARTIFACTS).map((name) => [name, readFileSync(join(ARTIFACTS, name), 'utf8')]),
  );
  const stale = wanted.filter(([name, text]) => found.get(name) !== text).map(([name]) => name);
  const orphaned = [...found.keys()].filter((name) => !wanted.some(([other]) => other === name));
  return [...stale, ...orphaned];
}

const wanted = artifacts();
if (process.argv.includes('--check')) {
  const names = differences(wanted);
  if (names.length) {
    console.error(`artifacts differ from the sources: ${names.join(', ')}; run \`node contracts/build.mjs\` and commit`);
    process.exit(1);
  }
  console.log(`${wanted.length} artifacts equal a rebuild`);
} else {
  rmSync(ARTIFACTS, { recursive: true, force: true });
  mkdirSync(ARTIFACTS);
  for (const [name, text] of wanted) writeFileSync(join(ARTIFACTS, name), text);
  console.log(`wrote ${wanted.length} artifacts with solc ${solc.version()}`);
}
