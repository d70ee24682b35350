// The explorer as a reader has it: a browser on the page of a node, over a network of its own of which one shard is stopped in the end.
//
// EXPLORER_SHOTS=FOLDER keeps a picture of each page there (docs/explorer.md shows them). Pages are compared as layouts, which no font and
// no number on the page changes (explorer/layout.mjs); EXPLORER_LAYOUT=write keeps them anew, with the answers that pictures.test.mjs draws.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, describe, it } from 'node:test';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { openChain } from './chain.mjs';
import { BROWSER } from './explorer/browser.mjs';
import { layouts } from './explorer/layout.mjs';
import { overlaps } from './explorer/pictures.mjs';
import { startSecond } from './explorer/second.mjs';
import { HOSTILE, HOSTILE_ABI, openStage } from './explorer/stage.mjs';
import { keep, listen } from './explorer/told.mjs';
import { startDevnet } from './network.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SHOTS = process.env.EXPLORER_SHOTS;
const WAIT_MS_MAX = 20_000;
const PHONE = { width: 390, height: 800 };
const STOPPED = 2;
/** Where the second node's relay takes shard STOPPED to be. */
const MISROUTED = 3;
const UNKNOWN = `0x${'0'.repeat(63)}1`;

const skip = !process.env.DOVETAIL_BIN && 'DOVETAIL_BIN names no program' || !BROWSER && 'no chromium on this machine: the explorer is not looked at';

/** The process of this name among those of the network whose file is `network_file`. */
function processOf(network_file, name) {
  const settings = `${dirname(network_file)}/${name}.toml`;
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const commandOf = (pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    } catch {
      return '';
    }
  };
  const pid = pids.find((pid) => commandOf(pid).split('\0').some((word) => word === settings));
  assert.ok(pid, `no process of ${name}`);
  return Number(pid);
}

describe('the explorer', { skip }, () => {
  let under, second, chain, stage, browser, page, base, swap, letters;
  const faults = [];
  const asked = [];
  const { compare } = layouts();

  const at = (path) => new URL(path, base).href;
  const api = async (path) => (await fetch(at(`api/v1/${path}`))).json();
  const told = {};
  let heard;
  const go = async (path) => {
    heard?.stop();
    heard = listen(page);
    await page.goto(at(path));
    await page.locator('h1').waitFor();
  };
  const has = (text) => page.getByText(text).first().waitFor({ timeout: WAIT_MS_MAX });
  const shot = async (name) => {
    await compare(page, name);
    told[name] = heard.stop();
    heard = listen(page);
    if (!SHOTS) return;
    mkdirSync(SHOTS, { recursive: true });
    await page.screenshot({ path: `${SHOTS}/${name}.png` });
  };
  /** Everything that axe finds, in light and dark, and on a phone, where nothing may stick out. */
  const isUsable = async (name) => {
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      // The page's own policy lets no script in but its own, so this one is brought by the browser.
      const { violations } = await page.evaluate(`(async () => { ${AXE}; return axe.run(document, { resultTypes: ['violations'] }); })()`);
      const told = violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`);
      assert.deepEqual(told, [], `${name} in ${colorScheme}`);
    }
    await page.emulateMedia({ colorScheme: 'light' });
    assert.deepEqual(await page.evaluate(overlaps), [], `${name}: texts lie over each other`);
    const size = page.viewportSize();
    await page.setViewportSize(PHONE);
    const width = await page.evaluate('document.documentElement.scrollWidth');
    assert.ok(width <= PHONE.width, `${name} is ${width} wide on a phone`);
    assert.deepEqual(await page.evaluate(overlaps), [], `${name} on a phone: texts lie over each other`);
    await page.setViewportSize(size);
  };

  /** A tab on the explorer at `address`; what goes wrong in it is kept, and whom it asks. */
  const open = async (address) => {
    const tab = await browser.newPage({ viewport: { width: 1100, height: 760 } });
    tab.setDefaultTimeout(WAIT_MS_MAX);
    tab.on('pageerror', (error) => faults.push(String(error)));
    tab.on('console', (message) => message.type() === 'error' && /policy|refused to/i.test(message.text()) && faults.push(message.text()));
    tab.on('request', (request) => asked.push([new URL(address).origin, new URL(request.url()).origin]));
    return tab;
  };
  /** Looks at the explorer of the second node. */
  const onSecond = async (look) => {
    const first = [page, base];
    [page, base] = [await open(second.explorer), second.explorer];
    try {
      await look();
    } finally {
      await page.close();
      [page, base] = first;
    }
  };

  before(async () => {
    under = await startDevnet(process.env.DOVETAIL_BIN);
    chain = await openChain(under.rpc, under.accounts[0].private_key);
    stage = await openStage(chain, under);
    swap = await stage.swap();
    letters = await stage.letters(0, STOPPED);
    browser = await chromium.launch({ executablePath: BROWSER, args: ['--no-sandbox'] });
    [page, base] = [await open(under.explorer), under.explorer];
    second = await startSecond(under, STOPPED, MISROUTED);
  }, { timeout: 180_000 });
  after(async () => {
    if (process.env.EXPLORER_LAYOUT === 'write') keep(told);
    await browser?.close();
    await second?.stop();
    await under?.stop();
  });

  it('shows the network now, and blocks as they come', async () => {
    await go('');
    await page.locator('.live li').nth(2).waitFor();
    assert.equal(await page.locator('[aria-label="Shards"] tbody tr').count(), stage.shards);
    await page.locator('.chart').nth(2).waitFor();
    const { shards } = await api('now');
    for (const { locks } of shards) assert.ok(locks.keys >= locks.holders && locks.waiting >= 0 && locks.hottest.length <= 16, JSON.stringify(locks));
    await isUsable('the network now');
    await shot('now');
  });

  it('finds a transaction, an address and a block by one box, from the keyboard', async () => {
    const { transactionHash, blockNumber } = swap.receipt;
    const pair = swap.pair.address;
    const search = async (text, path) => {
      await page.locator('#q').focus();
      await page.locator('#q').fill(text);
      await page.keyboard.press('Enter');
      await page.waitForURL(at(path));
    };
    await search(transactionHash, `tx/${transactionHash}`);
    await search(pair.toLowerCase(), `address/${pair}`);
    await search(`${blockNumber}`, `block/${blockNumber}`);
    await search(`0x${blockNumber.toString(16)}`, `block/${blockNumber}`);
    await search(`#${blockNumber}`, `block/${blockNumber}`);
    const { oldest } = await api('now');
    await search('earliest', `block/${oldest}`);
    for (const tag of ['latest', 'finalized']) {
      const { found: [{ kind, id }] } = await api(`search?q=${tag}`);
      assert.ok(kind === 'block' && id >= Number(blockNumber), `${tag} is ${kind} ${id}`);
      assert.ok((await api(`blocks/${tag}`)).number >= id);
    }
    await search(`${blockNumber}`, `block/${blockNumber}`);
    await has(transactionHash.slice(0, 8));
    await isUsable('a block');
    await shot('block');
    for (let back = 0; back < 5; back++) await page.goBack();
    await page.waitForURL(at(`address/${pair}`));
    await page.locator('#q').fill('nothing at all');
    await page.keyboard.press('Enter');
    await has('Nothing that this network knows');
  });

  it('draws a swap over four shards with the votes that its receipts prove', async () => {
    const { transactionHash } = swap.receipt;
    await go(`tx/${transactionHash}`);
    await page.locator('.point.applied').nth(3).waitFor();
    assert.equal(await page.locator('.point.yes').count(), 4);
    assert.equal(await page.locator('.point.no').count(), 0);
    const { attempts } = await api(`transactions/${transactionHash}`);
    const { votes } = attempts.at(-1);
    assert.deepEqual(votes.map(({ shard, verdict }) => [shard, verdict]), [[0, 'yes'], [1, 'yes'], [2, 'yes'], [3, 'yes']]);
    const drawn = await page.locator('.point.yes text').allTextContents();
    assert.deepEqual(drawn.sort(), votes.map(({ height }) => `yes ${height}`).sort());
    await page.locator('.calls').waitFor();
    assert.ok((await page.locator('.crosses').count()) > 3, 'calls cross shards');
    await has('transferFrom');
    await page.locator('h2').first().evaluate((head) => head.scrollIntoView());
    await shot('transaction');
    for (const button of await page.locator('.check button').all()) await button.click();
    await page.locator('.check .note.good').nth(4).waitFor();
    assert.equal(await page.locator('.check .note.good').count(), 5, 'the outcome and four votes');
    await isUsable('a transaction');
  });

  it('draws what was tried again, and says why; of a refused one why it was', async () => {
    // Made up from the swap: whether two of them meet at a lock is chance.
    const { transactionHash } = swap.receipt;
    const told = await api(`transactions/${transactionHash}`);
    const [attempt] = told.attempts;
    const holder = `conflicts with ${attempt.id}`;
    const first = { ...attempt, id: UNKNOWN, decision: 'abort', applied: [], votes: attempt.votes.map((vote, at) => (at === 1 ? { ...vote, verdict: 'no', reason: holder, cause: 'conflict' } : vote)) };
    const answer = (json) => page.route(`**/api/v1/transactions/${transactionHash}`, (route) => route.fulfill({ json }));
    await answer({ ...told, attempts: [first, attempt] });
    await go(`tx/${transactionHash}`);
    await page.locator('.point.no').waitFor();
    assert.equal(await page.locator('.point.yes').count(), 7);
    await page.locator('.attempts li').nth(1).waitFor();
    assert.ok((await page.locator('.attempts li').first().textContent()).includes(`no: ${holder}`));
    await isUsable('a transaction that was tried twice');
    await page.unroute('**/api/v1/transactions/*');
    const { status, block, time, ...rest } = told;
    await answer({ ...rest, state: 'refused', attempts: [first], refusal: { time, reason: 'its nonce is used' } });
    await go(`tx/${transactionHash}`);
    await has('its nonce is used');
    await isUsable('a refused transaction');
    await page.unrouteAll();
  });

  it('shows an attempt with its votes, each to be checked', async () => {
    const { attempt } = await api(`transactions/${swap.receipt.transactionHash}`);
    await go(`search?q=${attempt}`);
    await page.waitForURL(at(`attempt/${attempt}`));
    await page.locator('tbody tr').nth(3).waitFor();
    for (const button of await page.locator('.check button').all()) await button.click();
    await page.locator('.check .note.good').nth(3).waitFor();
    await isUsable('an attempt');
    await shot('attempt');
  });

  it('follows a message to its end', async () => {
    const { id } = await letters.write('hello across', { value: 777n });
    await go(`search?q=${id}`);
    await page.waitForURL(at(`message/${id}`));
    await has('Its recipient ran');
    assert.equal(await page.locator('.progress .done').count(), 4);
    await has('hello across');
    for (const button of await page.locator('.check button').all()) await button.click();
    await page.locator('.check .note.good').nth(1).waitFor();
    await isUsable('a message');
    await shot('message');
  });

  it('says of a message that was refused why, and where its value is', async () => {
    await letters.refuse(true);
    const { id } = await letters.write('unwanted', { value: 5n });
    await go(`message/${id}`);
    await has('its value went back to its sender');
    await letters.refuse(false);
  });

  it('tells the transactions on a foreign chain, whatever a bridge says', async () => {
    // Made up: the bridge's own test has one, and none that lies.
    const { id } = await letters.write('over a bridge');
    const told = await api(`messages/${id}`);
    const hop = (step, state, number, toldBy) => ({ step, state, transaction: `0x${`${number}`.repeat(64)}`, block: number, blockHash: UNKNOWN, toldBy });
    const foreign = {
      domain: 31337, chainId: 31337, mailbox: swap.pair.address, event: 'ProcessId(bytes32)', topics: [UNKNOWN, id], command: `dovetail bridge why ${id}`,
      hops: [hop('processed', 'reverted', 4, [3]), hop('processed', 'mined', 5, [3]), hop('processed', 'final', 6, [0, 1])],
      nodes: [{ node: 0, silent: null, why: null }, { node: 1, silent: null, why: null }, { node: 2, silent: HOSTILE, why: null }, { node: 3, silent: null, why: HOSTILE }],
    };
    const steps = { dispatched: 'yes', consumed: 'not yet', acknowledged: 'not yet' };
    const waiting = { why: [`bridge node 3 says: ${HOSTILE}`], can: ['wait'] };
    const json = { ...told, foreign, steps, waiting, destination: null, isOver: false, delivered: null, acknowledged: null, status: null };
    await page.route(`**/api/v1/messages/${id}`, (route) => route.fulfill({ json }));
    await go(`message/${id}`);
    const rows = page.locator('[aria-label="Transactions on the foreign chain"] tbody tr');
    await rows.nth(2).waitFor();
    assert.match(await rows.nth(2).textContent(), /delivered there.*final.*0x6{64}.*6.*bridge nodes 0, 1/);
    await has('Not all of the bridge answers.');
    assert.equal(await page.locator('main img, main script, main b[onclick]').count(), 0);
    await isUsable('a message over a bridge');
    await shot('foreign');
    await page.unrouteAll();
    assert.equal(await page.evaluate('globalThis.broken'), undefined);
  });

  it('explains a dead letter, and what its owner can do; it arrives when another relay carries it', { timeout: 90_000 }, async () => {
    // The second node's relay has a network file that is wrong; the others stand still meanwhile.
    const sound = under.relays.map((_, number) => processOf(under.network_file, `relay-${number}`));
    sound.forEach((pid) => process.kill(pid, 'SIGSTOP'));
    try {
      const { id } = await letters.write('nearly lost', { value: 5n });
      await onSecond(async () => {
        await go(`message/${id}`);
        await has(`relay ${second.relay} gave it up`);
        await has('a dead letter');
        await has('WRONG_SHARD');
        await has('dead-letters retry');
        await has('relay 0 does not answer');
        await isUsable('a dead letter');
        await shot('dead-letter');
        sound.forEach((pid) => process.kill(pid, 'SIGCONT'));
        await has('Its recipient ran');
        await go('messages');
        await has('Messages that a relay gave up');
        await page.locator('tbody tr').first().waitFor();
        await has('WRONG_SHARD');
        await isUsable('dead letters');
        await shot('dead-letters');
      });
    } finally {
      sound.forEach((pid) => process.kill(pid, 'SIGCONT'));
    }
  });

  it('shows and proves the votes on what another node decided and its shards have forgotten', { timeout: 120_000 }, async () => {
    const { transactionHash } = swap.receipt;
    const { attempt } = await api(`transactions/${transactionHash}`);
    const isForgotten = async () => {
      const answers = await Promise.all([0, 1, 2, 3].map((shard) => fetch(new URL(`api/v1/receipts/vote/${attempt}?shard=${shard}`, second.explorer))));
      return answers.every(({ status }) => status === 404);
    };
    const until = Date.now() + 60_000;
    while (!(await isForgotten())) {
      assert.ok(Date.now() < until, 'shards forget an attempt that is over');
      // Each shard certifies in its next blocks that it is over there, and the others see those with votes.
      await swap.again();
    }
    await onSecond(async () => {
      await go(`tx/${transactionHash}`);
      await page.locator('.point.yes').nth(3).waitFor();
      assert.equal(await page.locator('.point.yes').count(), 4);
      await page.locator('.check button').nth(4).waitFor();
      for (const button of await page.locator('.check button').all()) await button.click();
      await page.locator('.check .note.good').nth(4).waitFor();
      assert.equal(await page.locator('.check .note.good').count(), 5, 'the outcome and four votes');
    });
  });

  it('refuses a receipt of which one bit is changed', async () => {
    const { transactionHash } = swap.receipt;
    const bytes = new Uint8Array(await (await fetch(at(`api/v1/receipts/outcome/${transactionHash}`))).arrayBuffer());
    await go('proof');
    const check = async (name, bytes) => page.locator('#file').setInputFiles({ name, mimeType: 'application/octet-stream', buffer: Buffer.from(bytes) });
    await check('sound.receipt', bytes);
    await page.locator('.note.good').waitFor();
    await isUsable('a sound receipt');
    for (const bit of [0, 3 * 8 + 1, 40 * 8 + 5, bytes.length * 4, bytes.length * 8 - 1]) {
      const changed = bytes.slice();
      changed[bit >> 3] ^= 1 << (bit & 7);
      await check(`${bit}.receipt`, changed);
      await page.locator('.note.bad').waitFor();
      assert.equal(await page.locator('.note.good').count(), 0, `bit ${bit}`);
      await check('sound.receipt', bytes);
      await page.locator('.note.good').waitFor();
    }
    const changed = bytes.slice();
    changed[50] ^= 1;
    await check('changed.receipt', changed);
    await page.locator('.note.bad').waitFor();
    await isUsable('a refused receipt');
    await shot('proof');
  });

  it('gives receipts that the program verifies too', async () => {
    const { transactionHash } = swap.receipt;
    await go(`tx/${transactionHash}`);
    await page.locator('.check a[download]').first().waitFor();
    const [download] = await Promise.all([page.waitForEvent('download'), page.locator('.check a[download]').first().click()]);
    const verify = ['receipt', 'verify', await download.path(), '--network', under.network_file];
    const { stdout } = await promisify(execFile)(process.env.DOVETAIL_BIN, verify);
    assert.match(stdout, new RegExp(`proven: [^]*outcome of transaction ${transactionHash}`));
  });

  it('turns red when the node gives a tampered receipt, or one of something else', async () => {
    const { transactionHash } = swap.receipt;
    const other = (await api('blocks?count=1')).blocks[0];
    const line = (await api(`blocks/${other.number}`)).page[0];
    const bytes = async (hash) => Buffer.from(await (await fetch(at(`api/v1/receipts/outcome/${hash}`))).arrayBuffer());
    const [own, another] = [await bytes(transactionHash), await bytes(line.hash)];
    own[own.length - 70] ^= 0x10;
    for (const body of [own, another]) {
      await page.route('**/api/v1/receipts/outcome/*', (route) => route.fulfill({ body, contentType: 'application/octet-stream' }));
      await go(`tx/${transactionHash}`);
      await page.locator('.check button').first().click();
      await page.locator('.check .note.bad').first().waitFor();
      await page.unroute('**/api/v1/receipts/outcome/*');
    }
  });

  it('proves an account and its storage against a certified state root', async () => {
    await go(`address/${swap.pair.address}?slots=0,1`);
    const reserve = BigInt(await chain.reader.getStorageAt({ address: swap.pair.address, slot: '0x0' }));
    // What a block changed is certified by those after it, so a shard at rest has its last change uncertified.
    const until = Date.now() + WAIT_MS_MAX;
    let proven;
    do {
      assert.ok(Date.now() < until, proven);
      await letters.write('time goes on');
      await page.locator('.check button').first().click();
      await page.locator('.check .note.good').waitFor();
      proven = await page.locator('.check .note.good').textContent();
    } while (!proven.includes(`slot 0x0 is 0x${reserve.toString(16)}`));
    await page.locator('.graph .node').nth(3).waitFor();
    await isUsable('an address');
    await shot('address');
    const claim = await api(`proofs/${swap.pair.address}?slots=0`);
    const value = claim.proofs[1].value;
    claim.proofs[1].value = `${value.slice(0, -2)}${value.endsWith('00') ? '01' : '00'}`;
    await page.route('**/api/v1/proofs/*', (route) => route.fulfill({ json: claim }));
    await go(`address/${swap.pair.address}`);
    await page.locator('.check button').first().click();
    await page.locator('.check .note.bad').waitFor();
    await page.unroute('**/api/v1/proofs/*');
  });

  it('shows hostile words as words', async () => {
    const { refused, said, speaker } = await stage.hostility();
    await go(`address/${speaker}`);
    await page.locator('#abi').setInputFiles({ name: '"><script>.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(HOSTILE_ABI)) });
    await has('Kept on this machine');
    for (const [{ transactionHash }, status] of [[refused, 'reverted'], [said, 'success']]) {
      await go(`tx/${transactionHash}`);
      await has(status);
      await page.locator('.calls').waitFor();
      await page.getByText('<img src=x onerror=').first().waitFor();
      assert.equal(await page.locator('main img, main script, main b[onclick]').count(), 0);
      assert.ok(!(await page.locator('main').textContent()).includes('\u202e'), 'no letter turns the line around');
      await isUsable(`hostile words, ${status}`);
    }
    const { id } = await letters.write(HOSTILE);
    await go(`message/${id}`);
    await page.getByText('<img src=x onerror=').first().waitFor();
    for (const path of [`tx/${encodeURIComponent(HOSTILE)}`, `search?q=${encodeURIComponent(HOSTILE)}`, `block/${encodeURIComponent('<img src=x onerror=broken=1>')}`, 'address/%E0%A4%A', 'nowhere/%00']) {
      await go(path);
    }
    assert.equal(await page.evaluate('globalThis.broken'), undefined);
  });

  it('lists blocks page by page', async () => {
    await go('blocks');
    await page.locator('tbody tr').nth(10).waitFor();
    await isUsable('blocks');
    await shot('blocks');
    const first = await api('blocks?count=3');
    const second = await api(`blocks?count=3&before=${first.next}`);
    const numbers = [...first.blocks, ...second.blocks].map(({ number }) => number);
    assert.equal(new Set(numbers).size, 6);
    assert.deepEqual(numbers, [...numbers].sort((a, b) => b - a));
  });

  it('is described: every answer is of the shape that openapi.json says', async () => {
    const { paths, components } = await (await fetch(at('api/openapi.json'))).json();
    assert.ok(Object.keys(paths).length >= 15);
    const { default: Ajv } = await import('ajv/dist/2020.js');
    const ajv = new Ajv({ strict: false });
    /** The same description, where nothing may be told that it does not have. */
    const closed = (schema) => {
      if (Array.isArray(schema)) return schema.map(closed);
      if (schema === null || typeof schema !== 'object') return schema;
      if (schema.allOf) {
        const parts = schema.allOf.map((part) => (part.$ref ? components.schemas[part.$ref.split('/').at(-1)] : part));
        return closed({ type: 'object', properties: Object.assign({}, ...parts.map(({ properties }) => properties)) });
      }
      const inner = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)]));
      return inner.properties && typeof inner.properties === 'object' && !inner.additionalProperties && inner.type ? { ...inner, additionalProperties: false } : inner;
    };
    /** What is said to be an object or a list, and not of what. */
    const holes = (schema, path = '') => {
      if (schema === null || typeof schema !== 'object') return [];
      const is = (kind) => [schema.type].flat().includes(kind);
      const isHole = (is('object') && !schema.properties && !schema.additionalProperties) || (is('array') && !schema.items) || Object.keys(schema).length === 0;
      return [...(isHole ? [path] : []), ...Object.entries(schema).flatMap(([name, value]) => (name === 'parameters' ? [] : holes(value, `${path}/${name}`)))];
    };
    assert.deepEqual(holes({ paths, components }), []);
    ajv.addSchema({ $id: 'openapi', components: closed(components) });
    const { transactionHash, blockNumber } = swap.receipt;
    const { attempt } = await api(`transactions/${transactionHash}`);
    const { id } = await letters.write('described');
    const questions = {
      network: 'network', now: 'now', hour: 'hour', 'search?q=1': 'search', 'blocks?count=2': 'blocks', [`blocks/${blockNumber}`]: 'blocks/{name}',
      [`transactions/${transactionHash}`]: 'transactions/{hash}', [`transactions/${transactionHash}/trace`]: 'transactions/{hash}/trace',
      [`attempts/${attempt}`]: 'attempts/{id}', [`messages/${id}`]: 'messages/{id}', 'dead-letters': 'dead-letters',
      [`addresses/${swap.pair.address}`]: 'addresses/{address}', [`proofs/${swap.pair.address}`]: 'proofs/{address}',
    };
    for (const [question, path] of Object.entries(questions)) {
      const { schema } = paths[`/explorer/api/v1/${path}`].get.responses['200'].content['application/json'];
      const text = JSON.stringify(schema).replaceAll('"#/', '"openapi#/');
      const isOf = ajv.compile(closed(JSON.parse(text)));
      assert.ok(isOf(await api(question)), `${question}: ${ajv.errorsText(isOf.errors)}`);
    }
  });

  it('answers what is no question with a problem, and never more than a page', async () => {
    const status = async (path) => (await fetch(at(`api/v1/${path}`))).status;
    assert.equal(await status('transactions/0x12'), 400);
    assert.equal(await status(`transactions/${UNKNOWN}`), 404);
    assert.equal(await status('blocks/999999999'), 404);
    assert.equal(await status('nothing'), 404);
    assert.equal(await status('blocks?count=x'), 400);
    assert.equal(await status(`search?q=${'x'.repeat(5_000)}`), 414);
    assert.equal(await status(`receipts/vote/${UNKNOWN}`), 404);
    assert.equal(await status(`attempts/0x${'0'.repeat(64)}`), 400, 'no id is zero');
    assert.ok((await api('blocks?count=100000')).blocks.length <= 100);
  });

  it('tells blocks to as many readers as there are seats, and the others to come again', async () => {
    const readers = [];
    let told;
    do {
      const aborted = new AbortController();
      told = await fetch(at('api/v1/events'), { signal: aborted.signal });
      readers.push(aborted);
    } while (told.status === 200 && readers.length < 100);
    assert.equal(told.status, 503);
    assert.ok(readers.length > 32, `${readers.length} readers`);
    readers.forEach((aborted) => aborted.abort());
    const again = Date.now() + WAIT_MS_MAX;
    do told = await fetch(at('api/v1/events'));
    while (told.status !== 200 && Date.now() < again);
    assert.equal(told.status, 200, 'seats are free again');
    const reader = told.body.getReader();
    const { value } = await reader.read();
    assert.match(new TextDecoder().decode(value), /^event: block\nid: \d+\ndata: \{"number":\d+,/);
    // It stays open: a node that stops ends it.
  });

  it('tells who comes back the blocks that it missed, and how many are left out', async () => {
    const from = async (id, count) => {
      const aborted = new AbortController();
      const answer = await fetch(at('api/v1/events'), { headers: { 'last-event-id': `${id}` }, signal: aborted.signal });
      const [reader, decoder, events] = [answer.body.getReader(), new TextDecoder(), []];
      for (let text = ''; events.length < count; ) {
        text += decoder.decode((await reader.read()).value, { stream: true });
        const pieces = text.split('\n\n');
        text = pieces.pop();
        for (const piece of pieces.filter((piece) => piece.startsWith('event:'))) {
          const [, name, data] = /^event: (\S+)\n[^]*data: (.*)$/.exec(piece);
          events.push([name, JSON.parse(data)]);
        }
      }
      aborted.abort();
      return events;
    };
    const { head } = await api('now');
    const missed = await from(head - 7, 9);
    assert.deepEqual(missed.map(([name, { number }]) => [name, number]), missed.map((_, at) => ['block', head - 6 + at]));
    const long = await from(1, 34);
    const [[name, left]] = long;
    assert.deepEqual([name, left.from], ['left-out', 2]);
    assert.deepEqual(long.slice(1).map(([, { number }]) => number), long.slice(1).map((_, at) => left.to + 1 + at), 'and none besides');
  });

  it('is complete while one shard is stopped, and says so; a message to it says whom it waits for', { timeout: 120_000 }, async () => {
    const pid = processOf(under.network_file, `executor-${STOPPED}`);
    const finished = await letters.write('over before it stands still');
    await go(`message/${finished.id}`);
    await has('Its recipient ran');
    process.kill(pid, 'SIGSTOP');
    try {
      const until = Date.now() + WAIT_MS_MAX;
      while ((await api('now')).silent.length === 0 && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 500));
      const { id } = await letters.write('for a shard that stands still', { value: 3n });
      await go('');
      await has('Not all shards answer.');
      await has('does not answer');
      await isUsable('the network with a stopped shard');
      await shot('stopped');
      await go(`tx/${swap.receipt.transactionHash}`);
      await has('Not all shards answer.');
      await page.locator('.point.yes').nth(3).waitFor();
      assert.equal(await page.locator('.point.applied').count(), 3, 'the blocks of those that answer; the votes its node keeps');
      await page.locator('.log').nth(2).waitFor();
      await go(`address/${swap.pair.address}`);
      await has('its shard does not answer');
      await page.locator('tbody tr').nth(2).waitFor();
      await go(`message/${id}`);
      await has(`shard ${STOPPED} has to take it and does not answer`);
      await has(`wait for shard ${STOPPED}`);
      await has(`unknown: shard ${STOPPED} is silent`);
      const { isOver, steps } = await api(`messages/${finished.id}`);
      assert.deepEqual([isOver, steps], [true, { dispatched: 'yes', consumed: 'yes', acknowledged: 'yes' }]);
      await shot('waiting');
      process.kill(pid, 'SIGCONT');
      await has('Its recipient ran');
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  });

  it('asked nobody but its own node, broke no rule of its own, and failed nowhere', () => {
    assert.ok(asked.length > 100);
    for (const [own, whom] of asked) assert.equal(whom, own);
    assert.deepEqual(faults, []);
  });
});
