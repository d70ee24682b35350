/**
 * State proofs: a value, or that there is none, under the state root of a certified header.
 *
 * The tree is a Jellyfish Merkle tree (the `jmt` crate) over blake3 under a key of its own.
 */
import { type Reader, equal, isZero, joined, u256, u8, unhex, whole } from "./bytes.js";
import { readCertificate } from "./certificate.js";
import { STATE_TREE } from "./domains.js";
import { HEADER_BYTES, readHeader } from "./header.js";
import type { Verifier } from "./receipt.js";
import { Refused } from "./refused.js";

const PROOF_BYTES_MAX = 32 * 1024;
const CERTIFICATE_BYTES_MAX = 32 * 1024;
const SIBLINGS_COUNT_MAX = 256;

const text = new TextEncoder();
const LEAF_MARK = text.encode("JMT::LeafNode");
const NODE_MARK = text.encode("JMT::IntrnalNode");
const NOTHING = text.encode("SPARSE_MERKLE_PLACEHOLDER_HASH__");

/** The answer of `/explorer/api/v1/proofs/{address}`; bytes in hex. */
export interface StateProofs {
  readonly address: string;
  readonly slots: readonly string[];
  readonly header: string;
  readonly certificate: string;
  readonly proofs: readonly { readonly value: string; readonly proof: string }[];
}

/** What the proofs amount to. */
export interface ProvenState {
  readonly shard: number;
  /** The block after which it holds. */
  readonly height: bigint;
  readonly time: bigint;
  /** Null where there is no account. */
  readonly account: { readonly nonce: bigint; readonly balance: bigint; readonly codeHash: Uint8Array } | null;
  readonly slots: readonly { readonly slot: bigint; readonly value: bigint }[];
}

interface Leaf {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Checks all of `claim` for `verifier`'s network. Throws {@link Refused}. */
export function provenState(verifier: Verifier, claim: StateProofs): ProvenState {
  const header = whole(unhex(claim.header), HEADER_BYTES, readHeader);
  verifier.certified(header, whole(unhex(claim.certificate), CERTIFICATE_BYTES_MAX, readCertificate));
  const address = unhex(claim.address);
  if (address.length !== 20) throw new Refused("state", "an address has 20 bytes");
  if (claim.proofs.length !== claim.slots.length + 1) throw new Refused("state", "one proof is due for the account and one for each slot");
  const value = (at: number, key: Uint8Array) => {
    const { value, proof } = claim.proofs[at]!;
    const bytes = unhex(value);
    checkPath(header.stateRoot, key, bytes.length === 0 ? null : bytes, unhex(proof));
    return bytes;
  };
  const account = value(0, joined(u8(0), address));
  const slots = claim.slots.map((name, at) => {
    const slot = BigInt(name);
    const bytes = value(at + 1, joined(u8(1), address, u256(slot)));
    return { slot, value: bytes.length === 0 ? 0n : whole(bytes, 32, readSlot) };
  });
  return {
    shard: header.shard,
    height: header.stateHeight,
    time: header.time,
    account: account.length === 0 ? null : whole(account, 72, readAccount),
    slots,
  };
}

/** A slot's value is stored the highest byte first. */
const readSlot = (reader: Reader) => reader.take(32).reduce((number, byte) => (number << 8n) | BigInt(byte), 0n);

function readAccount(reader: Reader) {
  return { nonce: reader.u64(), balance: reader.u256(), codeHash: reader.take(32) };
}

/** Refuses a path that does not show `value` (null for none) of `key` under `root`. */
function checkPath(root: Uint8Array, key: Uint8Array, value: Uint8Array | null, bytes: Uint8Array): void {
  const refused = (words: string) => new Refused("state", `the state proof does not hold: ${words}`);
  const inner = whole(bytes, PROOF_BYTES_MAX, (reader) => reader.list());
  const { leaf, siblings } = whole(inner, PROOF_BYTES_MAX, readPath);
  const place = STATE_TREE(key);
  if (siblings.length > SIBLINGS_COUNT_MAX) throw refused(`${siblings.length} siblings`);
  if (value) {
    if (!leaf) throw refused("it shows that there is nothing, where a value is claimed");
    if (!equal(leaf.key, place)) throw refused("it is of another key");
    if (!equal(leaf.value, STATE_TREE(value))) throw refused("it is of another value");
  } else if (leaf) {
    if (equal(leaf.key, place)) throw refused("it shows a value, where none is claimed");
    if (commonBits(leaf.key, place) < siblings.length) throw refused("the key would be elsewhere");
  }
  const top = siblings.reduce(
    (digest, sibling, at) => {
      const bit = bitOf(place, siblings.length - 1 - at);
      return bit ? node(sibling, digest) : node(digest, sibling);
    },
    leaf ? leafDigest(leaf) : NOTHING,
  );
  if (isZero(root) || !equal(top, root)) throw refused("it ends in another root");
}

function readPath(reader: Reader): { leaf: Leaf | null; siblings: Uint8Array[] } {
  const readLeaf = () => ({ key: reader.take(32), value: reader.take(32) });
  return { leaf: reader.option(readLeaf), siblings: reader.many(1, () => readSibling(reader, readLeaf)) };
}

function readSibling(reader: Reader, readLeaf: () => Leaf): Uint8Array {
  switch (reader.tag(3)) {
    case 0:
      return NOTHING;
    case 1:
      return node(reader.take(32), reader.take(32));
    default:
      return leafDigest(readLeaf());
  }
}

const leafDigest = ({ key, value }: Leaf) => STATE_TREE(joined(LEAF_MARK, key, value));

const node = (left: Uint8Array, right: Uint8Array) => STATE_TREE(joined(NODE_MARK, left, right));

/** A key's bit, from the top of the tree down. */
const bitOf = (key: Uint8Array, at: number) => (key[at >> 3]! >> (7 - (at & 7))) & 1;

function commonBits(a: Uint8Array, b: Uint8Array): number {
  let count = 0;
  while (count < 256 && bitOf(a, count) === bitOf(b, count)) count++;
  return count;
}
