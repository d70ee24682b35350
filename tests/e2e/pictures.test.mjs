// The explorer's pages as they look, in light and dark and on a phone: each from answers that are kept, so that nothing on them moves.
//
// EXPLORER_LAYOUT=write keeps the pictures anew, and explorer.test.mjs the answers.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { chromium } from 'playwright-core';
import { BROWSER } from './explorer/browser.mjs';
import { isWriting, overlaps, pictures } from './explorer/pictures.mjs';
import { show, told } from './explorer/told.mjs';

const SIZES = { wide: { width: 1100, height: 760 }, phone: { width: 390, height: 800 } };
const LOOKS = [
  { colorScheme: 'light', size: 'wide' },
  { colorScheme: 'dark', size: 'wide' },
  { colorScheme: 'light', size: 'phone' },
];
const skip = !BROWSER && 'no chromium on this machine: the explorer is not looked at';

describe('the look of the explorer', { skip }, () => {
  let browser, compare;
  /** What `look` sees of a page in this scheme and size. */
  const onPage = async (kept, { colorScheme, size }, look) => {
    const page = await browser.newPage({ viewport: SIZES[size], colorScheme });
    try {
      await show(page, kept);
      return await look(page);
    } finally {
      await page.close();
    }
  };

  before(async () => {
    browser = await chromium.launch({ executablePath: BROWSER, args: ['--no-sandbox'] });
    ({ compare } = pictures(await browser.newPage()));
  });
  after(() => browser?.close());

  for (const [name, kept] of Object.entries(told())) {
    for (const look of LOOKS) {
      it(`${name}, ${look.colorScheme}, ${look.size}`, () =>
        onPage(kept, look, async (page) => {
          assert.deepEqual(await page.evaluate(overlaps), []);
          await compare(page, `${name} ${look.colorScheme} ${look.size}`);
        }));
    }
  }

  const BROKEN = {
    blank: 'main { visibility: hidden }',
    'without a style': 'link',
    'of one colour': ':root { --ground: #888; --sheet: #888 }',
    'larger letters': 'body { font-size: 24px }',
    'shifted by a line': 'main { padding-top: 2rem }',
    'without borders and colours of notes': '.note, .mark { background: none; border: 0 }',
  };
  for (const [what, style] of Object.entries(BROKEN)) {
    it(`sees a page that is ${what}`, { skip: isWriting }, () =>
      onPage(told().waiting, { colorScheme: 'light', size: 'wide' }, async (page) => {
        const name = 'waiting light wide';
        await compare(page, name);
        if (style === 'link') await page.evaluate("document.querySelector('link[rel=stylesheet]').remove()");
        else await page.addStyleTag({ content: style });
        await assert.rejects(compare(page, name), /looks otherwise/);
      }));
  }

  it('sees texts that lie over each other', () =>
    onPage(told().transaction, { colorScheme: 'light', size: 'wide' }, async (page) => {
      assert.deepEqual(await page.evaluate(overlaps), []);
      await page.addStyleTag({ content: 'h2 { margin-top: -1.5rem }' });
      assert.notDeepEqual(await page.evaluate(overlaps), []);
    }));
});
