/** A receipt: leaf, path, header and certificate. A claim, until a {@link Verifier} has checked it. */
import { type Reader, joined, u32, u8, whole } from "./bytes.js";
import { type Certificate, type ShardKeys, ValidatorSet, readCertificate } from "./certificate.js";
import { type Header, checkHeader, headerDigest, readHeader } from "./header.js";
import { TreeKind, pathFault } from "./merkle.js";
import { Refused } from "./refused.js";

/** Most bytes of a receipt. */
export const RECEIPT_BYTES_MAX = 96 * 1024;

const LEAF_BODY_BYTES_MAX = 64 * 1024;

/** What a leaf says. */
export type LeafKind = "vote" | "message" | "delivery" | "outcome";

const KINDS: readonly (LeafKind | null)[] = [null, "vote", "message", "delivery", "outcome"];

/** One leaf of an outbox. */
export interface Leaf {
  readonly kind: LeafKind;
  readonly body: Uint8Array;
}

/** A receipt, not checked. */
export interface Receipt {
  readonly leaf: Leaf;
  readonly index: number;
  readonly path: readonly Uint8Array[];
  readonly header: Header;
  readonly certificate: Certificate;
  readonly ancestry: { readonly header: Header; readonly path: readonly Uint8Array[] } | null;
}

/** What a checked receipt amounts to: this shard said this, in this block, at this time. */
export interface Fact {
  readonly network: bigint;
  readonly shard: number;
  readonly epoch: bigint;
  readonly height: bigint;
  /** Milliseconds since 1970. */
  readonly time: bigint;
  /** The leaf's place in the block's outbox. */
  readonly index: number;
  readonly leaf: Leaf;
  readonly headerDigest: Uint8Array;
}

function readLeaf(reader: Reader): Leaf {
  const number = reader.u8();
  const kind = KINDS[number];
  if (!kind) throw new Refused("decode", `leaf kind ${number} is unknown`);
  return { kind, body: reader.list() };
}

const leafBytes = ({ kind, body }: Leaf) => joined(u8(KINDS.indexOf(kind)), u32(body.length), body);

/** The receipt with these canonical bytes. */
export function readReceipt(bytes: Uint8Array): Receipt {
  return whole(bytes, RECEIPT_BYTES_MAX, (reader) => {
    const path = () => reader.many(32, () => reader.digest());
    return {
      leaf: readLeaf(reader),
      index: reader.u32(),
      path: path(),
      header: readHeader(reader),
      certificate: readCertificate(reader),
      ancestry: reader.option(() => ({ header: readHeader(reader), path: path() })),
    };
  });
}

/**
 * Checks receipts and certified headers against one network's validators.
 *
 * Network and keys come from whoever makes this, never from a receipt. Cheap checks first: what does not hash right costs no
 * signature check.
 */
export class Verifier {
  readonly #sets = new Map<string, ValidatorSet>();

  constructor(
    private readonly network: bigint,
    shards: readonly ShardKeys[],
  ) {
    for (const keys of shards) {
      const set = new ValidatorSet(keys);
      this.#sets.set(`${keys.shard}/${set.epoch}`, set);
    }
  }

  /** What the receipt in `bytes` proves. Throws {@link Refused}. */
  receipt(bytes: Uint8Array): Fact {
    const { leaf, index, path, header, certificate, ancestry } = readReceipt(bytes);
    checkHeader(header, this.network);
    this.#checkLeaf(leaf, index, path, header);
    if (ancestry) this.#checkAncestry(header, ancestry.header, ancestry.path);
    this.certified(ancestry?.header ?? header, certificate);
    const { network, shard, epoch, height, time } = header;
    return { network, shard, epoch, height, time, index, leaf, headerDigest: headerDigest(header) };
  }

  /** Refuses a header that a quorum of its shard's validators did not sign. */
  certified(header: Header, certificate: Certificate): void {
    checkHeader(header, this.network);
    const set = this.#sets.get(`${header.shard}/${header.epoch}`);
    if (!set) throw new Refused("validators", `no validators are known for shard ${header.shard} in epoch ${header.epoch}`);
    set.check(certificate, header);
  }

  #checkLeaf(leaf: Leaf, index: number, path: readonly Uint8Array[], header: Header): void {
    if (leaf.body.length > LEAF_BODY_BYTES_MAX) throw new Refused("body", `a leaf body of ${leaf.body.length} bytes`);
    const { network, shard, height } = header;
    const place = { kind: TreeKind.outbox, network, shard, height };
    const fault = pathFault(place, header.outboxRoot, BigInt(header.outboxCount), BigInt(index), leafBytes(leaf), path);
    if (fault) throw new Refused("path", `the leaf is not in the outbox: ${fault}`);
  }

  #checkAncestry(earlier: Header, later: Header, path: readonly Uint8Array[]): void {
    checkHeader(later, this.network);
    const { network, shard, height } = later;
    const place = { kind: TreeKind.history, network, shard, height };
    const fault =
      earlier.shard !== shard
        ? "it is of another shard"
        : pathFault(place, later.historyRoot, height - 1n, earlier.height - 1n, headerDigest(earlier), path);
    if (fault) throw new Refused("ancestry", `the header is not in the certified history: ${fault}`);
  }
}
