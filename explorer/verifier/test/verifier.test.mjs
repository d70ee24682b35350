// Holds the verifier to what the Rust one says: of its golden vectors, and of each of thousands of mutants.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { Refused, Verifier, about, readReceipt, headerDigest, hex, statement, unhex } from "../dist/index.js";

const vectors = JSON.parse(readFileSync(new URL("vectors.json", import.meta.url), "utf8"));
const receipts = vectors.receipts.map(unhex);
const verifier = new Verifier(BigInt(vectors.network), [vectors.keys]);
const LETTERS = { decode: "d", header: "h", network: "n", validators: "v", body: "b", path: "p", ancestry: "a", certificate: "c" };

function said(bytes, by = verifier) {
  try {
    by.receipt(bytes);
    return "y";
  } catch (error) {
    if (error instanceof Refused) return LETTERS[error.code];
    throw error;
  }
}

function flipped(bytes, bit) {
  const changed = bytes.slice();
  changed[bit >> 3] ^= 1 << (bit & 7);
  return changed;
}

/** As `crates/proof/src/mutants.rs` makes them. */
function chanceOf(seed) {
  let state = BigInt(seed);
  const mask = (1n << 64n) - 1n;
  const next = () => {
    state = (state + 0x9e3779b97f4a7c15n) & mask;
    let word = state;
    word = ((word ^ (word >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
    word = ((word ^ (word >> 27n)) * 0x94d049bb133111ebn) & mask;
    return word ^ (word >> 31n);
  };
  return (count) => Number(next() % BigInt(count));
}

function mutant(number) {
  const below = chanceOf(number);
  let bytes = receipts[below(receipts.length)].slice();
  switch (below(7)) {
    case 0:
      return flipped(bytes, below(bytes.length * 8));
    case 1: {
      const [start, count] = [below(bytes.length), 1 + below(64)];
      for (let at = start; at < Math.min(bytes.length, start + count); at++) bytes[at] = below(256);
      return bytes;
    }
    case 2:
      return bytes.slice(0, below(bytes.length));
    case 3: {
      const more = below(40);
      return Uint8Array.from([...bytes, ...Array.from({ length: more + 1 }, () => below(256))]);
    }
    case 4: {
      const [one, other] = [below(bytes.length - 32), below(bytes.length - 32)];
      const [first, second] = [bytes.slice(one, one + 32), bytes.slice(other, other + 32)];
      bytes.set(first, other);
      bytes.set(second, one);
      return bytes;
    }
    case 5: {
      const at = below(bytes.length - 4);
      new DataView(bytes.buffer).setUint32(at, below(300), true);
      return bytes;
    }
    default: {
      const other = receipts[below(receipts.length)];
      const start = below(Math.min(bytes.length, other.length));
      return Uint8Array.from([...bytes.slice(0, start), ...other.slice(start)]);
    }
  }
}

test("sound receipts are believed and the others refused, as the Rust verifier does", () => {
  assert.equal(receipts.map((bytes) => said(bytes)).join(""), vectors.said);
});

test("a receipt of a network's life is believed by those who know what it began with, and by nobody else", () => {
  const bound = new Verifier(BigInt(vectors.network), [vectors.boundKeys]);
  assert.equal(said(receipts.at(-1), bound), "y");
  assert.equal(said(receipts[0], bound), "c");
});

test("every changed bit of a receipt turns it red, for the reason that the Rust verifier has", () => {
  let at = 0;
  for (const bytes of receipts.slice(0, 2)) {
    for (let bit = 0; bit < bytes.length * 8; bit++, at++) {
      const letter = said(flipped(bytes, bit));
      if (letter !== vectors.bits[at]) assert.fail(`bit ${bit}: ${letter} where the Rust verifier says ${vectors.bits[at]}`);
    }
  }
  assert.equal(at, vectors.bits.length);
  assert.ok(!vectors.bits.includes("y"));
});

test("of each of thousands of mutants both verifiers say the same", () => {
  for (let number = 0; number < vectors.mutants.length; number++) {
    const letter = said(mutant(number));
    if (letter !== vectors.mutants[number]) {
      assert.fail(`mutant ${number}: ${letter} where the Rust verifier says ${vectors.mutants[number]}`);
    }
  }
  assert.ok(vectors.mutants.length >= 8192);
});

test("a header has its golden digest", () => {
  assert.equal(hex(headerDigest(readReceipt(receipts[2]).header)), vectors.header.digest);
});

test("a message leaf says its message, under its golden id", () => {
  const message = statement(verifier.receipt(receipts[0]));
  assert.equal(message.kind, "message");
  assert.equal(about(message), vectors.message.id);
  assert.equal(new TextDecoder().decode(message.body), "hello");
  assert.equal(message.value, 9n);
});

test("a certified leaf that is none of its kind is refused", () => {
  const fact = verifier.receipt(receipts[3]);
  assert.equal(fact.leaf.kind, "vote");
  assert.throws(
    () => statement(fact),
    (error) => error instanceof Refused && error.code === "leaf",
  );
});

test("a receipt kept in the repository's golden test is believed", (context) => {
  const path = new URL("../../../crates/proof/src/golden.rs", import.meta.url);
  if (!existsSync(path)) return context.skip("no repository around this package");
  const text = readFileSync(path, "utf8").split("KEPT_RECEIPT: &str = ")[1].split(";")[0];
  const kept = unhex(text.replace(/[^0-9a-f]/g, ""));
  assert.equal(said(kept), "y");
});

test("what is longer than a receipt may be is refused before it is read", () => {
  assert.equal(said(new Uint8Array(96 * 1024 + 1)), "d");
});

test("weak and repeated keys are no validators", () => {
  const one = `01${"00".repeat(31)}`;
  const keys = (validators) => ({ ...vectors.keys, validators });
  for (const validators of [[one], ["00".repeat(32)], [], [vectors.keys.validators[0], vectors.keys.validators[0]]]) {
    assert.throws(() => new Verifier(7n, [keys(validators)]), Refused);
  }
});
