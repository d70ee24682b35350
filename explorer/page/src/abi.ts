// What call data, logs and reverts say, where an ABI is known: a few of everybody's, and those that the reader loads.
//
// Promise: bytes from strangers end in a value or in nothing, never in an exception or an endless list: at most VALUES_COUNT_MAX
// values, DEPTH_MAX deep.
import { keccak_256 } from "@noble/hashes/sha3.js";
import { bytesOf, tame } from "./words";

export interface Parameter {
  name?: string;
  type: string;
  indexed?: boolean;
  components?: Parameter[];
}

export interface Entry {
  type: string;
  name?: string;
  inputs?: Parameter[];
  anonymous?: boolean;
}

export interface Decoded {
  name: string;
  values: { name: string; type: string; value: string }[];
}

const VALUES_COUNT_MAX = 64;
const DEPTH_MAX = 6;
const STORED = "dovetail.abi.";
const ABI_BYTES_MAX = 512 * 1024;

const entry = (type: string, name: string, ...inputs: [string, string, boolean?][]): Entry => ({
  type,
  name,
  inputs: inputs.map(([type, name, indexed]) => ({ type, name, indexed: indexed ?? false })),
});

const EVERYBODYS: Entry[] = [
  entry("event", "Transfer", ["address", "from", true], ["address", "to", true], ["uint256", "value"]),
  entry("event", "Approval", ["address", "owner", true], ["address", "spender", true], ["uint256", "value"]),
  entry(
    "event",
    "Dispatch",
    ["bytes32", "id", true],
    ["bytes", "message"],
    ["uint64", "gasLimit"],
    ["uint64", "deadlineMs"],
    ["uint256", "value"],
  ),
  entry("error", "Error", ["string", "reason"]),
  entry("error", "Panic", ["uint256", "code"]),
  entry("function", "transfer", ["address", "to"], ["uint256", "value"]),
  entry("function", "approve", ["address", "spender"], ["uint256", "value"]),
  entry("function", "transferFrom", ["address", "from"], ["address", "to"], ["uint256", "value"]),
];

function canonical({ type, components }: Parameter): string {
  return type.startsWith("tuple") ? `(${(components ?? []).map(canonical).join(",")})${type.slice(5)}` : type;
}

const digest = ({ name, inputs }: Entry) => {
  const signature = `${name}(${(inputs ?? []).map(canonical).join(",")})`;
  return Array.from(keccak_256(new TextEncoder().encode(signature)), (byte) => byte.toString(16).padStart(2, "0")).join("");
};

/** The ABI that the reader loaded for an address. */
export function kept(address: string | undefined): Entry[] {
  if (!address) return [];
  try {
    return JSON.parse(localStorage.getItem(STORED + address.toLowerCase()) ?? "[]") as Entry[];
  } catch {
    return [];
  }
}

/** Keeps the ABI in `text` (a list, or an artifact or Sourcify metadata with one) on this machine; says why not, if not. */
export function keep(address: string, text: string): string | null {
  if (text.length > ABI_BYTES_MAX) return "It is longer than 512 KiB.";
  try {
    const json = JSON.parse(text) as { abi?: unknown; output?: { abi?: unknown } };
    keepLayout(address, json);
    const abi = Array.isArray(json) ? json : (json.abi ?? json.output?.abi);
    if (!Array.isArray(abi)) return "It is no ABI: a JSON list, or an object with a field `abi`, is.";
    const entries = abi.filter((entry): entry is Entry => typeof entry?.type === "string" && typeof entry?.name === "string");
    localStorage.setItem(STORED + address.toLowerCase(), JSON.stringify(entries));
    return null;
  } catch {
    return "It is not JSON.";
  }
}

/** Where a contract keeps a variable, as solc's storageLayout says it. */
export interface Variable {
  label: string;
  slot: string;
  offset: number;
  type: string;
}

const LAYOUT = "dovetail.layout.";

/** The layout that the reader loaded for an address. */
export function layout(address: string): Variable[] {
  try {
    return JSON.parse(localStorage.getItem(LAYOUT + address.toLowerCase()) ?? "[]") as Variable[];
  } catch {
    return [];
  }
}

/** Keeps the storage layout in `text`, if there is one. */
function keepLayout(address: string, json: unknown): void {
  const storage = (json as { storageLayout?: { storage?: unknown } } | null)?.storageLayout?.storage;
  if (!Array.isArray(storage)) return;
  const known = storage.filter(
    (entry): entry is Variable =>
      typeof entry?.label === "string" &&
      /^\d{1,78}$/.test(entry?.slot) &&
      Number.isInteger(entry?.offset) &&
      typeof entry?.type === "string",
  );
  const variables = known.slice(0, VALUES_COUNT_MAX).map(({ label, slot, offset, type }) => ({ label, slot, offset, type }));
  localStorage.setItem(LAYOUT + address.toLowerCase(), JSON.stringify(variables));
}

/** What a variable is, out of its slot's 32 bytes; what has a place of its own is told as bytes. */
export function variable({ offset, type }: Variable, word: string): string {
  const digits = word.slice(2).padStart(64, "0");
  const part = (bytes: number) => digits.slice(64 - 2 * (offset + bytes), 64 - 2 * offset);
  const number = /^t_u?int(\d+)$/.exec(type);
  if (number) {
    const bits = Number(number[1]);
    const value = BigInt(`0x${part(bits / 8)}`);
    return (type.startsWith("t_int") ? BigInt.asIntN(bits, value) : value).toString();
  }
  if (type === "t_bool") return part(1) === "00" ? "false" : "true";
  if (type === "t_address" || type.startsWith("t_contract")) return `0x${part(20)}`;
  return word;
}

/** What a call's data says. */
export function call(address: string | undefined, input: string): Decoded | null {
  return named(address, "function", input);
}

/** What a revert says. */
export function revert(address: string | undefined, output: string): Decoded | null {
  return named(address, "error", output);
}

function named(address: string | undefined, type: string, hex: string): Decoded | null {
  const selector = hex.slice(2, 10);
  if (selector.length < 8) return null;
  const known = [...kept(address), ...EVERYBODYS].find((entry) => entry.type === type && digest(entry).startsWith(selector));
  return known ? decoded(known, bytesOf(hex).slice(4)) : null;
}

/** What a log says. */
export function log(address: string, topics: string[], data: string): Decoded | null {
  const first = topics[0]?.slice(2);
  const fits = (entry: Entry) =>
    entry.type === "event" &&
    !entry.anonymous &&
    digest(entry) === first &&
    (entry.inputs ?? []).filter((input) => input.indexed).length === topics.length - 1;
  const known = [...kept(address), ...EVERYBODYS].find(fits);
  if (!known) return null;
  const inputs = known.inputs ?? [];
  const plain = attempt(() =>
    values(
      inputs.filter((input) => !input.indexed),
      bytesOf(data),
    ),
  );
  if (!plain) return null;
  let topic = 1;
  const all = inputs.map((input) => {
    if (!input.indexed) return { name: input.name ?? "", type: input.type, value: plain.shift() ?? "" };
    const hex = topics[topic++] ?? "0x";
    // Of what is long a topic has the digest.
    const isLong = /^(string|bytes$|tuple)|\[/.test(input.type);
    const value = isLong ? `hash ${hex}` : (attempt(() => values([input], bytesOf(hex)))?.[0] ?? hex);
    return { name: input.name ?? "", type: input.type, value };
  });
  return { name: known.name ?? "", values: all };
}

function decoded(known: Entry, bytes: Uint8Array): Decoded | null {
  const found = attempt(() => values(known.inputs ?? [], bytes));
  if (!found) return null;
  return {
    name: known.name ?? "",
    values: (known.inputs ?? []).map(({ name, type }, at) => ({ name: name ?? "", type, value: found[at] ?? "" })),
  };
}

function attempt<T>(run: () => T): T | null {
  try {
    return run();
  } catch {
    return null;
  }
}

function values(parameters: Parameter[], bytes: Uint8Array): string[] {
  let left = VALUES_COUNT_MAX;

  const word = (at: number) => {
    const found = bytes.slice(at, at + 32);
    if (found.length < 32) throw new Error("short");
    return found.reduce((number, byte) => (number << 8n) | BigInt(byte), 0n);
  };
  const place = (at: number) => {
    const number = word(at);
    if (number > BigInt(bytes.length)) throw new Error("beyond the end");
    return Number(number);
  };
  const isLong = (parameter: Parameter): boolean => {
    if (parameter.type === "string" || parameter.type === "bytes" || parameter.type.endsWith("[]")) return true;
    const fixed = /^(.*)\[\d+\]$/.exec(parameter.type);
    if (fixed) return isLong({ ...parameter, type: fixed[1]! });
    return parameter.type === "tuple" && (parameter.components ?? []).some(isLong);
  };
  const width = (parameter: Parameter): number => {
    if (isLong(parameter)) return 32;
    const fixed = /^(.*)\[(\d+)\]$/.exec(parameter.type);
    if (fixed) return Number(fixed[2]) * width({ ...parameter, type: fixed[1]! });
    return parameter.type === "tuple" ? (parameter.components ?? []).reduce((sum, part) => sum + width(part), 0) : 32;
  };
  const several = (parts: Parameter[], base: number, depth: number): string[] => {
    if (depth > DEPTH_MAX) throw new Error("too deep");
    let at = base;
    return parts.map((part) => {
      if (left-- <= 0) throw new Error("too many");
      const here = at;
      at += width(part);
      return one(part, isLong(part) ? base + place(here) : here, depth);
    });
  };
  const one = (parameter: Parameter, at: number, depth: number): string => {
    const { type } = parameter;
    const list = /^(.*)\[(\d*)\]$/.exec(type);
    if (list) {
      const count = list[2] === "" ? place(at) : Number(list[2]);
      if (count > VALUES_COUNT_MAX) throw new Error("too many");
      const parts = Array.from({ length: count }, () => ({ ...parameter, type: list[1]! }));
      return `[${several(parts, list[2] === "" ? at + 32 : at, depth + 1).join(", ")}]`;
    }
    if (type === "tuple") return `(${several(parameter.components ?? [], at, depth + 1).join(", ")})`;
    if (type === "string" || type === "bytes") {
      const count = place(at);
      const found = bytes.slice(at + 32, at + 32 + count);
      if (found.length < count) throw new Error("short");
      return type === "string" ? `“${tame(new TextDecoder().decode(found))}”` : hexOf(found);
    }
    if (type === "bool") return word(at) === 0n ? "false" : "true";
    if (type === "address") return hexOf(bytes.slice(at + 12, at + 32));
    if (/^bytes\d+$/.test(type)) return hexOf(bytes.slice(at, at + Math.min(32, Number(type.slice(5)))));
    if (type.startsWith("uint")) return word(at).toString();
    if (type.startsWith("int")) return BigInt.asIntN(256, word(at)).toString();
    throw new Error("unknown type");
  };
  return several(parameters, 0, 0);
}

const hexOf = (bytes: Uint8Array) => tame(`0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`, 202);
