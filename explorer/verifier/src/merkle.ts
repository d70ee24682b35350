/**
 * A binary Merkle tree whose proofs have no freedom.
 *
 *   root = ROOT(kind, network, shard, height, count, top); a node is NODE(left, right), a leaf LEAF(index, bytes);
 *   a last node without a partner rises as it is
 *
 * The shape follows from the count, the sides from the index, so a path is siblings of exactly one number.
 */
import { equal, joined, u32, u64, u8 } from "./bytes.js";
import { LEAF, NODE, ROOT } from "./domains.js";

/** What a tree is of. */
export const TreeKind = { outbox: 1, history: 4 } as const;

/** Whose tree it is. */
export interface Place {
  readonly kind: number;
  readonly network: bigint;
  readonly shard: number;
  readonly height: bigint;
}

type Step = "left" | "right" | "rise";

const LEAVES_COUNT_MAX = 1n << 62n;

function steps(index: bigint, count: bigint): Step[] {
  const found: Step[] = [];
  for (let width = count; width > 1n; width = (width + 1n) / 2n, index /= 2n) {
    found.push(index % 2n === 1n ? "right" : index + 1n === width ? "rise" : "left");
  }
  return found;
}

/** Why `leaf` is not entry `index` of the tree at `place` with `count` leaves and this root; null if it is. */
export function pathFault(
  place: Place,
  root: Uint8Array,
  count: bigint,
  index: bigint,
  leaf: Uint8Array,
  siblings: readonly Uint8Array[],
): string | null {
  if (count > LEAVES_COUNT_MAX) return `a tree of ${count} leaves is too large`;
  if (index >= count) return `leaf ${index} of a tree with ${count} leaves`;
  const way = steps(index, count);
  const due = way.filter((step) => step !== "rise").length;
  if (siblings.length !== due) return `a path of ${siblings.length} siblings where ${due} are due`;
  let at = 0;
  const top = way.reduce(
    (digest, step) => {
      if (step === "rise") return digest;
      const sibling = siblings[at++]!;
      return step === "left" ? NODE(joined(digest, sibling)) : NODE(joined(sibling, digest));
    },
    LEAF(joined(u64(index), leaf)),
  );
  const { kind, network, shard, height } = place;
  const actual = ROOT(joined(u8(kind), u64(network), u32(shard), u64(height), u64(count), top));
  return equal(actual, root) ? null : "the path ends in another root";
}
