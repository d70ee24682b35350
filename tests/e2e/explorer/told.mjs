// A node that always tells the same: its answers, kept while a devnet gave them, with the page as the program embeds it.

import { readFileSync, writeFileSync } from 'node:fs';

const KEPT = new URL('./told.json', import.meta.url);
const ASSETS = new URL('../../../services/coordinator/assets/', import.meta.url);
const ORIGIN = 'http://explorer.test';
const KINDS = { css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml', html: 'text/html; charset=utf-8' };

/** Keeps what `page` is told from now on; `stop` gives it, with the address and the time. */
export function listen(page) {
  const answers = {};
  const hear = async (response) => {
    const url = new URL(response.url());
    const path = url.pathname + url.search;
    // What is live has no end, and proofs are bytes.
    if (!path.startsWith('/explorer/api/') || !/json/.test(response.headers()['content-type'])) return;
    const body = await response.text().catch(() => null);
    if (body !== null) answers[path] = { status: response.status(), body: JSON.parse(body) };
  };
  page.on('response', hear);
  return {
    stop: () => {
      page.removeListener('response', hear);
      const { pathname, search } = new URL(page.url());
      return { at: pathname + search, now: Date.now(), answers };
    },
  };
}

/** Writes down what `pages`, by name, were told. */
export function keep(pages) {
  writeFileSync(KEPT, `${JSON.stringify(pages)}\n`);
}

/** What is kept, by name. */
export const told = () => JSON.parse(readFileSync(KEPT, 'utf8'));

const asset = (name) => ({ body: readFileSync(new URL(name, ASSETS)), contentType: KINDS[name.split('.').at(-1)] });

/** Shows the page that was told `kept` in `page`, at the time at which it was. */
export async function show(page, { at, now, answers }) {
  await page.clock.setFixedTime(now);
  await page.route('**/*', (route) => {
    const url = new URL(route.request().url());
    const path = url.pathname + url.search;
    const name = /^\/explorer\/assets\/([a-z.]+)$/.exec(path)?.[1];
    if (name) return route.fulfill(asset(name));
    // Blocks that come are not of one moment.
    if (path.endsWith('/events')) return route.fulfill({ contentType: 'text/event-stream', body: 'retry: 3600000\n\n' });
    if (answers[path]) return route.fulfill({ status: answers[path].status, json: answers[path].body });
    return path.startsWith('/explorer/api/') ? route.fulfill({ status: 404, json: { title: 'not kept', detail: path } }) : route.fulfill(asset('index.html'));
  });
  await page.goto(ORIGIN + at);
  await page.locator('h1').waitFor();
  await page.locator('.awaited').first().waitFor({ state: 'detached' });
}
