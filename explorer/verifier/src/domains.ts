/** Blake3 under a key for each purpose: no digest of one is a digest of another. */
import { blake3 } from "@noble/hashes/blake3.js";

const text = new TextEncoder();

/** What bytes are hashed for. */
export type Domain = (bytes: Uint8Array) => Uint8Array;

function domain(context: string): Domain {
  const key = blake3(new Uint8Array(), { context: text.encode(context) });
  return (bytes) => blake3(bytes, { key });
}

export const LEAF = domain("dovetail v1 merkle leaf");
export const NODE = domain("dovetail v1 merkle node");
export const ROOT = domain("dovetail v1 merkle root");
export const HEADER = domain("dovetail v1 header");
export const CERTIFICATE = domain("dovetail v1 certificate");
export const STATE_TREE = domain("dovetail v1 state tree");
