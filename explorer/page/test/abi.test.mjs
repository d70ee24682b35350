// Decoding of calls, logs and reverts: what strangers wrote ends in a value or in nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { keccak_256 } from "@noble/hashes/sha3.js";

const kept = new Map();
globalThis.localStorage = {
  getItem: (key) => kept.get(key) ?? null,
  setItem: (key, value) => kept.set(key, value),
  removeItem: (key) => kept.delete(key),
};
const { call, keep, layout, log, revert, variable } = await import("../dist/test/assets/explorer.js");

const keccak = (text) => Buffer.from(keccak_256(Buffer.from(text))).toString("hex");
const word = (number) => BigInt(number).toString(16).padStart(64, "0");
const ADDRESS = "0x00000000000000000000000000000000000000aa";

test("a transfer is decoded without an ABI", () => {
  const topics = ["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef", `0x${word(1)}`, `0x${word(2)}`];
  const { name, values } = log(ADDRESS, topics, `0x${word(7)}`);
  assert.deepEqual([name, values.map(({ value }) => value)], ["Transfer", [`0x${"0".repeat(39)}1`, `0x${"0".repeat(39)}2`, "7"]]);
});

test("a revert's reason is text with its unseen letters shown", () => {
  const text = Buffer.from("no\u202eway<b>");
  const data = `0x08c379a0${word(32)}${word(text.length)}${text.toString("hex").padEnd(64, "0")}`;
  assert.equal(revert(undefined, data).values[0].value, "“no\\u{202e}way<b>”");
});

test("lists and tuples of an ABI that was loaded are decoded", () => {
  const inputs = [
    {
      name: "pairs",
      type: "tuple[]",
      components: [
        { name: "a", type: "uint256" },
        { name: "b", type: "bool" },
      ],
    },
  ];
  assert.equal(keep(ADDRESS, JSON.stringify({ abi: [{ type: "event", name: "Pairs", inputs }] })), null);
  const topic = `0x${keccak("Pairs((uint256,bool)[])")}`;
  const data = `0x${word(32)}${word(2)}${word(1)}${word(0)}${word(5)}${word(1)}`;
  assert.equal(log(ADDRESS, [topic], data).values[0].value, "[(1, false), (5, true)]");
});

test("bytes that fit nothing are nothing, whatever they are", () => {
  const selector = "0x08c379a0";
  const broken = ["", word(32), word(2n ** 255n), word(32) + word(2n ** 64n), "ff".repeat(31), word(32) + word(5)];
  for (const rest of broken) assert.equal(revert(undefined, selector + rest), null, rest);
  assert.equal(call(ADDRESS, "0x"), null);
  assert.equal(log(ADDRESS, [], "0x"), null);
});

test("what is no ABI is said to be none", () => {
  assert.match(keep(ADDRESS, "{"), /not JSON/);
  assert.match(keep(ADDRESS, '{"a":1}'), /no ABI/);
});

test("variables of a storage layout are read out of their slots", () => {
  const storage = [
    { label: "reserve", slot: "0", offset: 0, type: "t_uint256" },
    { label: "owner", slot: "1", offset: 1, type: "t_address" },
    { label: "isOpen", slot: "1", offset: 0, type: "t_bool" },
    { label: "drift", slot: "2", offset: 0, type: "t_int16" },
    { label: "broken", slot: "x", offset: 0, type: "t_bool" },
  ];
  assert.equal(keep(ADDRESS, JSON.stringify({ abi: [], storageLayout: { storage } })), null);
  const [reserve, owner, isOpen, drift, none] = layout(ADDRESS);
  assert.equal(none, undefined);
  assert.equal(variable(reserve, `0x${word(12)}`), "12");
  const packed = `0x${"0".repeat(22)}${"ab".repeat(20)}01`;
  assert.equal(variable(owner, packed), `0x${"ab".repeat(20)}`);
  assert.equal(variable(isOpen, packed), "true");
  assert.equal(variable(drift, `0x${"0".repeat(60)}fffe`), "-2");
});
