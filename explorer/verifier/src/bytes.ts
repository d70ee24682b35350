/**
 * Canonical bytes (borsh): little-endian numbers, lengths of 32 bits before lists, one byte before an option or an enum.
 *
 * Promise: nothing is allocated for a length that the bytes cannot have, and bytes that are left over are refused, so that one
 * value has one encoding.
 */
import { Refused } from "./refused.js";

const refused = (words: string) => new Refused("decode", words);

/** Reads canonical bytes from front to end. */
export class Reader {
  #at = 0;
  readonly #view: DataView;

  constructor(private readonly bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The next `count` bytes. */
  take(count: number): Uint8Array {
    if (count > this.bytes.length - this.#at) throw refused(`${count} bytes are due where ${this.bytes.length - this.#at} are left`);
    this.#at += count;
    return this.bytes.slice(this.#at - count, this.#at);
  }

  u8(): number {
    return this.take(1)[0]!;
  }

  u16(): number {
    this.take(2);
    return this.#view.getUint16(this.#at - 2, true);
  }

  u32(): number {
    this.take(4);
    return this.#view.getUint32(this.#at - 4, true);
  }

  u64(): bigint {
    this.take(8);
    return this.#view.getBigUint64(this.#at - 8, true);
  }

  /** A number of 32 bytes, the lowest first. */
  u256(): bigint {
    return this.take(32).reduceRight((number, byte) => (number << 8n) | BigInt(byte), 0n);
  }

  digest(): Uint8Array {
    return this.take(32);
  }

  /** A list of bytes behind its length. */
  list(): Uint8Array {
    return this.take(this.u32());
  }

  /** A list of values that each have `bytes` bytes. */
  many<T>(bytes: number, one: () => T): T[] {
    const count = this.u32();
    if (count * bytes > this.bytes.length - this.#at) throw refused(`${count} entries do not fit into what is left`);
    return Array.from({ length: count }, one);
  }

  /** Text in UTF-8, of which there is no other reading. */
  text(): string {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.list());
    } catch (error) {
      if (error instanceof Refused) throw error;
      throw refused("text that is not UTF-8");
    }
  }

  option<T>(one: () => T): T | null {
    return this.tag(2) === 0 ? null : one();
  }

  /** Which of `count` kinds follows, from 0. */
  tag(count: number): number {
    const tag = this.u8();
    if (tag >= count) throw refused(`kind ${tag} where there are ${count}`);
    return tag;
  }

  /** Refuses what is left over. */
  end(): void {
    if (this.#at !== this.bytes.length) throw refused(`${this.bytes.length - this.#at} bytes are left over`);
  }
}

/** All of `bytes` as one value. */
export function whole<T>(bytes: Uint8Array, most: number, one: (reader: Reader) => T): T {
  if (bytes.length > most) throw refused(`${bytes.length} bytes where at most ${most} are allowed`);
  const reader = new Reader(bytes);
  const value = one(reader);
  reader.end();
  return value;
}

/** Bytes after one another. */
export function joined(...parts: Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export const u8 = (number: number) => Uint8Array.of(number);

export function u16(number: number): Uint8Array {
  const bytes = new Uint8Array(2);
  new DataView(bytes.buffer).setUint16(0, number, true);
  return bytes;
}

export function u32(number: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, number, true);
  return bytes;
}

export function u64(number: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, number, true);
  return bytes;
}

/** A number in 32 bytes, the lowest first. */
export function u256(number: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, at) => Number((number >> BigInt(8 * at)) & 255n));
}

/** A number in `length` bytes, the highest first. */
export function bigEndian(number: bigint, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => Number((number >> BigInt(8 * (length - 1 - at))) & 255n));
}

export const equal = (a: Uint8Array, b: Uint8Array) => a.length === b.length && a.every((byte, at) => byte === b[at]);

export const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0);

/** `0x` and two digits a byte. */
export function hex(bytes: Uint8Array): string {
  return `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** The bytes that `text` writes, with or without `0x`. */
export function unhex(text: string): Uint8Array {
  const digits = text.startsWith("0x") ? text.slice(2) : text;
  if (digits.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(digits)) throw refused("hex digits come in pairs of 0-9 and a-f");
  return Uint8Array.from({ length: digits.length / 2 }, (_, at) => Number.parseInt(digits.slice(2 * at, 2 * at + 2), 16));
}
