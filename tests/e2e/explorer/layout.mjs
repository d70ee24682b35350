// How a page is laid out, without what depends on a machine's fonts or on what happened: the picture of a page that can be compared.
//
// Of each landmark, in the order of the page: what it is, its words where they are fixed, where it begins and how wide it is, its colours.
// Heights, lines and widths that follow a text are not in it, and neither is anything in a list or a table's rows.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';

const KEPT = new URL('./layout.json', import.meta.url);
/** By how many pixels a place or a width may differ: scrollbars and rounding. */
const TOLERANCE_PX = 3;

/** Runs in the page. */
function boxes() {
  const landmarks = 'header, nav, main, h1, h2, h3, table, thead th, svg, form, input, textarea, button, details, .note, .two > div, .chart, .progress, .live, footer';
  const told = [];
  for (const element of document.querySelectorAll(landmarks)) {
    const box = element.getBoundingClientRect();
    // What is open or hot at the moment has a table now and then.
    const isOfTheMoment = element.closest('[aria-label^="Undecided attempts"], [aria-label="Hottest keys"]');
    if (box.width === 0 || isOfTheMoment || element.closest('tbody, .log, .calls')) continue;
    const name = element.tagName.toLowerCase();
    const style = getComputedStyle(element);
    const isWide = ['header', 'main', 'table', 'svg', 'form', 'textarea', 'details', 'h1', 'h2'].includes(name) || element.matches('.note, .two > div, .chart');
    const hasFixedWords = ['h1', 'h2', 'h3', 'th', 'button'].includes(name) && !/0x|\d/.test(element.textContent);
    told.push({
      what: [name, ...element.classList].join('.'),
      words: hasFixedWords ? element.textContent.trim() : undefined,
      x: name === 'th' || name === 'button' || name === 'input' ? undefined : Math.round(box.x),
      width: isWide ? Math.round(box.width) : undefined,
      colours: `${style.color} on ${style.backgroundColor}`,
    });
  }
  return told;
}

const isNear = (a, b) => a === b || Math.abs(a - b) <= TOLERANCE_PX;
const described = ({ what, words, x, width, colours }) => `${what} ${words ?? ''} at ${x}, ${width} wide, ${colours}`;

/** Layouts of pages beside those that are kept; EXPLORER_LAYOUT=write keeps them anew. */
export function layouts() {
  const kept = JSON.parse(readFileSync(KEPT, 'utf8'));
  const isWriting = process.env.EXPLORER_LAYOUT === 'write';
  return {
    /** Fails if `page` is laid out otherwise than the page `name` that is kept. */
    async compare(page, name) {
      const now = JSON.parse(JSON.stringify(await page.evaluate(boxes)));
      if (isWriting) {
        kept[name] = now;
        writeFileSync(KEPT, `${JSON.stringify(kept, null, 1)}\n`);
        return;
      }
      assert.ok(kept[name], `no layout of ${name} is kept: EXPLORER_LAYOUT=write`);
      const differs = (a, b) => a.what !== b.what || a.words !== b.words || a.colours !== b.colours || !isNear(a.x, b.x) || !isNear(a.width, b.width);
      now.forEach((box, at) => {
        const was = kept[name][at];
        assert.ok(was && !differs(box, was), `${name}, landmark ${at}: ${described(box)}; it was ${was ? described(was) : 'not there'}`);
      });
      assert.equal(now.length, kept[name].length, `${name}: landmarks are missing after ${described(now.at(-1))}`);
    },
  };
}
