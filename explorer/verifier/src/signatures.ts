/**
 * Ed25519 under one rule, that of `verify_strict`: neither key nor R of small order, all encodings canonical, s below the group's
 * order, and the equation itself, without the cofactor.
 */
import { ed25519 } from "@noble/curves/ed25519.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { isZero, joined } from "./bytes.js";
import { Refused } from "./refused.js";

const { Point } = ed25519;
const ORDER = Point.Fn.ORDER;

type Curve = InstanceType<typeof Point>;

const littleEndian = (bytes: Uint8Array) => bytes.reduceRight((number, byte) => (number << 8n) | BigInt(byte), 0n);

/** A point in its one encoding and not of small order; null for anything else. */
function point(bytes: Uint8Array): Curve | null {
  try {
    const found = Point.fromBytes(bytes);
    return found.isSmallOrder() ? null : found;
  } catch {
    return null;
  }
}

/** A validator's key. */
export class PublicKey {
  readonly #point: Curve;

  /** The key with these 32 bytes. */
  constructor(readonly bytes: Uint8Array) {
    const found = bytes.length === 32 && !isZero(bytes) ? point(bytes) : null;
    if (!found) throw new Refused("validators", "a validator's key is no canonical point, or a weak one");
    this.#point = found;
  }

  /** Whether `signature` is of `digest` by this key. */
  verify(digest: Uint8Array, signature: Uint8Array): boolean {
    const [r, s] = [signature.slice(0, 32), littleEndian(signature.slice(32))];
    const commitment = point(r);
    if (!commitment || s >= ORDER) return false;
    const challenge = littleEndian(sha512(joined(r, this.bytes, digest))) % ORDER;
    const left = s === 0n ? Point.ZERO : Point.BASE.multiplyUnsafe(s);
    const right = commitment.add(challenge === 0n ? Point.ZERO : this.#point.multiplyUnsafe(challenge));
    return left.equals(right);
  }
}
