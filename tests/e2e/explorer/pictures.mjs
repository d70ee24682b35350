// How a page looks, coarsely: the same answers at the same time, drawn by a browser, as a grid of grey cells.
//
// A cell is the mean of 25 by 25 pixels, so what differs from one machine's fonts to another's is small in it, and what is gone, bare of its
// style, or shifted is not.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';

const KEPT = new URL('./pictures.json', import.meta.url);
const CELL_PX = 25;
/** By how much of 255 a cell may differ from its own before it counts. */
const CELL_TOLERANCE = 12;
/** How much of a page may, in parts of a thousand. */
const CELLS_PER_THOUSAND_MAX = 15;

/** Whether pictures are kept anew. */
export const isWriting = process.env.EXPLORER_LAYOUT === 'write';

/** Runs in a page of its own: the means of the cells of a picture, row by row. */
async function grey(picture, cell) {
  const image = await createImageBitmap(await (await fetch(picture)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height).getContext('2d');
  canvas.drawImage(image, 0, 0);
  const { data } = canvas.getImageData(0, 0, image.width, image.height);
  const rows = [];
  for (let top = 0; top + cell <= image.height; top += cell) {
    const row = [];
    for (let left = 0; left + cell <= image.width; left += cell) {
      let sum = 0;
      for (let y = top; y < top + cell; y++) {
        for (let x = left; x < left + cell; x++) {
          const at = 4 * (y * image.width + x);
          sum += 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
        }
      }
      row.push(Math.round(sum / (cell * cell)));
    }
    rows.push(row);
  }
  return rows;
}

/** Runs in the page: texts that lie over each other, with nothing between them to say so. */
export function overlaps() {
  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const element = text.parentElement;
    if (!text.data.trim() || !element.checkVisibility() || element.closest('.unseen, .skip, svg')) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    // What is scrolled out of its place is not seen.
    const frame = element.closest('.scroll')?.getBoundingClientRect();
    for (const { left, right, top, bottom } of range.getClientRects()) {
      const box = { left: Math.max(left, frame?.left ?? left), right: Math.min(right, frame?.right ?? right), top, bottom, words: text.data.trim() };
      if (box.right - box.left > 1 && bottom - top > 1) boxes.push(box);
    }
  }
  boxes.sort((a, b) => a.top - b.top);
  const found = [];
  boxes.forEach((a, at) => {
    for (let next = at + 1; next < boxes.length && boxes[next].top < a.bottom; next++) {
      const b = boxes[next];
      const [wide, high] = [Math.min(a.right, b.right) - Math.max(a.left, b.left), Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
      // Lines of one paragraph touch; those that cannot be read share more than a third.
      if (wide > 3 && high > Math.min(a.bottom - a.top, b.bottom - b.top) / 3) found.push(`${a.words.slice(0, 40)} | ${b.words.slice(0, 40)}`);
    }
  });
  return found;
}

const rowOf = (row) => row.map((mean) => mean.toString(16).padStart(2, '0')).join('');
const cellsOf = (row) => row.match(/../g).map((mean) => Number.parseInt(mean, 16));

/** Pictures beside those that are kept; EXPLORER_LAYOUT=write keeps them anew. `counter` is an empty page that counts for them. */
export function pictures(counter) {
  const kept = JSON.parse(readFileSync(KEPT, 'utf8'));
  return {
    /** Fails if `page` looks otherwise than the page `name` that is kept. */
    async compare(page, name) {
      const shot = await page.screenshot();
      const rows = await counter.evaluate(`(${grey})("data:image/png;base64,${shot.toString('base64')}", ${CELL_PX})`);
      if (isWriting) {
        kept[name] = rows.map(rowOf);
        writeFileSync(KEPT, `${JSON.stringify(kept, null, 1)}\n`);
        return;
      }
      assert.ok(kept[name], `no picture of ${name} is kept: EXPLORER_LAYOUT=write`);
      const was = kept[name].map(cellsOf);
      assert.deepEqual([rows.length, rows[0].length], [was.length, was[0].length], `the size of ${name}`);
      const all = rows.flatMap((row, y) => row.map((mean, x) => Math.abs(mean - was[y][x])));
      const differing = (1_000 * all.filter((difference) => difference > CELL_TOLERANCE).length) / all.length;
      assert.ok(differing <= CELLS_PER_THOUSAND_MAX, `${name} looks otherwise in ${differing.toFixed(1)} of a thousand cells`);
    },
  };
}
