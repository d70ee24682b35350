// How soon each page of an explorer shows anything, and how soon all that it asks for: five fresh browsers' looks at each. Then how long each
// question of its API takes: what grows with the history is seen when two networks are compared.
//
//   node explorer/paint.mjs http://127.0.0.1:8545/explorer/ [MESSAGE]
//
// Looks at the fullest of the newest blocks, its first transaction and that one's sender; and at the message, if one is named. Fails if a first
// paint takes a second.

import { chromium } from 'playwright-core';

const LOOKS_COUNT = 5;
const QUESTIONS_COUNT = 5;
const WAIT_MS_MAX = 30_000;
const PAINT_MS_MAX = 1_000;

const [, , base, message] = process.argv;
if (!base) throw new Error('name the address of an explorer, such as http://127.0.0.1:8545/explorer/');
const api = async (path) => (await fetch(new URL(`api/v1/${path}`, base))).json();
const { blocks } = await api('blocks?count=100');
const { number } = blocks.sort((a, b) => b.transactions - a.transactions)[0];
const { page: lines } = await api(`blocks/${number}?count=100`);
const { hash, from } = lines[0];
const { attempt } = lines.find(({ attempt }) => attempt) ?? {};
const { oldest } = await api('now');

const PAGES = [
  ['the network now', '', '.charts'],
  ['blocks', 'blocks', 'tbody tr'],
  ['a block', `block/${number}`, 'tbody tr'],
  ['a transaction', `tx/${hash}`, '.lanes svg'],
  ['an address', `address/${from}`, 'tbody tr'],
  ['dead letters', 'messages', 'main p'],
  ...(attempt ? [['an attempt', `attempt/${attempt}`, 'tbody tr']] : []),
  ...(message ? [['a message', `message/${message}`, 'tbody tr']] : []),
];
const QUESTIONS = [
  'network', 'now', 'hour', 'blocks', `blocks?before=${oldest + 1_000}`, `blocks/${number}`, `blocks/${number}?after=1000`, `blocks/${oldest}`,
  `transactions/${hash}`, `transactions/${hash}/trace`, `addresses/${from}`, `proofs/${from}`, `receipts/outcome/${hash}`, `search?q=${hash}`,
  `search?q=${from}`, `search?q=0x${'9'.repeat(64)}`, 'dead-letters', ...(attempt ? [`attempts/${attempt}`] : []), ...(message ? [`messages/${message}`] : []),
];

const median = (times) => Math.round(times.sort((a, b) => a - b)[Math.floor(times.length / 2)]);
const browser = await chromium.launch({ executablePath: process.env.DOVETAIL_CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
let slowest = 0;
console.log(`block ${number} has ${blocks[0].transactions} transactions; medians of ${LOOKS_COUNT}`);
for (const [name, path, whole] of PAGES) {
  const [first, all] = [[], []];
  for (let look = 0; look < LOOKS_COUNT; look++) {
    const context = await browser.newContext();
    const tab = await context.newPage();
    const begun = performance.now();
    await tab.goto(new URL(path, base).href);
    await tab.locator(whole).first().waitFor({ timeout: WAIT_MS_MAX });
    all.push(performance.now() - begun);
    first.push(await tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"));
    await context.close();
  }
  slowest = Math.max(slowest, ...first);
  console.log(`${name}: first paint after ${median(first)} ms (at most ${Math.round(Math.max(...first))}), whole after ${median(all)} ms`);
}
await browser.close();
for (const question of QUESTIONS) {
  const took = [];
  let status;
  for (let turn = 0; turn < QUESTIONS_COUNT; turn++) {
    const begun = performance.now();
    const answer = await fetch(new URL(`api/v1/${question}`, base));
    await answer.arrayBuffer();
    took.push(performance.now() - begun);
    status = answer.status;
  }
  console.log(`${question.replace(/0x[0-9a-fA-F]{40,}/, (id) => `${id.slice(0, 8)}…`)}: ${median(took)} ms (at most ${Math.round(Math.max(...took))}), status ${status}`);
}
if (slowest >= PAINT_MS_MAX) {
  console.error(`a first paint took ${Math.round(slowest)} ms`);
  process.exitCode = 1;
}
