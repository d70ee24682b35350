// How soon each page of an explorer shows anything, and how soon all that it asks for: five fresh browsers' looks at each.
//
//   node explorer/paint.mjs http://127.0.0.1:8545/explorer/
//
// Looks at the fullest of the newest blocks, its first transaction and that one's sender.

import { chromium } from 'playwright-core';

const LOOKS_COUNT = 5;
const WAIT_MS_MAX = 30_000;

const base = process.argv[2];
if (!base) throw new Error('name the address of an explorer, such as http://127.0.0.1:8545/explorer/');
const api = async (path) => (await fetch(new URL(`api/v1/${path}`, base))).json();
const { blocks } = await api('blocks?count=100');
const { number } = blocks.sort((a, b) => b.transactions - a.transactions)[0];
const [{ hash, from }] = (await api(`blocks/${number}?count=1`)).page;

const PAGES = [
  ['the network now', '', '.charts'],
  ['blocks', 'blocks', 'tbody tr'],
  ['a block', `block/${number}`, 'tbody tr'],
  ['a transaction', `tx/${hash}`, '.lanes svg'],
  ['an address', `address/${from}`, 'tbody tr'],
];

const median = (times) => Math.round(times.sort((a, b) => a - b)[Math.floor(times.length / 2)]);
const browser = await chromium.launch({ executablePath: process.env.DOVETAIL_CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
console.log(`block ${number} has ${blocks[0].transactions} transactions; medians of ${LOOKS_COUNT}`);
for (const [name, path, whole] of PAGES) {
  const [first, all] = [[], []];
  for (let look = 0; look < LOOKS_COUNT; look++) {
    const context = await browser.newContext();
    const page = await context.newPage();
    const begun = performance.now();
    await page.goto(new URL(path, base).href);
    await page.locator(whole).first().waitFor({ timeout: WAIT_MS_MAX });
    all.push(performance.now() - begun);
    first.push(await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"));
    await context.close();
  }
  console.log(`${name}: first paint after ${median(first)} ms (at most ${Math.round(Math.max(...first))}), whole after ${median(all)} ms`);
}
await browser.close();
