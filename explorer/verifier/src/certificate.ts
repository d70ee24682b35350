/** A quorum of signatures over one header. */
import { type Reader, equal, hex, joined, u32, u64, unhex } from "./bytes.js";
import { CERTIFICATE } from "./domains.js";
import { type Header, headerDigest } from "./header.js";
import { Refused } from "./refused.js";
import { PublicKey } from "./signatures.js";

const VALIDATORS_COUNT_MAX = 256;

/** Signatures of one set's members over one header. */
export interface Certificate {
  readonly epoch: bigint;
  readonly header: Uint8Array;
  /** One bit for each validator, the lowest first. */
  readonly signers: Uint8Array;
  readonly signatures: readonly Uint8Array[];
}

export function readCertificate(reader: Reader): Certificate {
  const scheme = reader.u8();
  if (scheme !== 1) throw new Refused("decode", `signature scheme ${scheme} where 1 is known`);
  return {
    epoch: reader.u64(),
    header: reader.digest(),
    signers: reader.list(),
    signatures: reader.many(64, () => reader.take(64)),
  };
}

/** Who signs for a shard in an epoch, as a network file or `/explorer/api/v1/network` has it. */
export interface ShardKeys {
  readonly shard: number;
  readonly epoch: number | bigint;
  /** 32 bytes each, in hex. */
  readonly validators: readonly string[];
  /** The digest of what the network began with; null for a set that is bound to no network's beginning. */
  readonly genesis: string | null;
}

/** The validators of one shard in one epoch. */
export class ValidatorSet {
  readonly epoch: bigint;
  readonly #keys: readonly PublicKey[];
  readonly #genesis: Uint8Array | null;

  constructor(keys: ShardKeys) {
    const refused = (words: string) => new Refused("validators", words);
    this.epoch = BigInt(keys.epoch);
    if (this.epoch === 0n) throw refused("epoch 0 is never valid");
    const distinct = [...new Set(keys.validators.map((key) => hex(unhex(key))))].sort();
    if (distinct.length !== keys.validators.length) throw refused("a validator appears twice");
    if (distinct.length === 0 || distinct.length > VALIDATORS_COUNT_MAX) throw refused(`${distinct.length} validators`);
    this.#keys = distinct.map((key) => new PublicKey(unhex(key)));
    this.#genesis = keys.genesis === null ? null : unhex(keys.genesis);
  }

  /** How many signers are strictly more than two thirds. */
  get quorum(): number {
    return Math.floor((this.#keys.length * 2) / 3) + 1;
  }

  /** Refuses a certificate that is not a quorum of this set over `header`; the cheap checks come first. */
  check(certificate: Certificate, header: Header): void {
    const refused = (words: string) => new Refused("certificate", words);
    if (certificate.epoch !== this.epoch || header.epoch !== this.epoch) {
      throw refused(`a certificate of epoch ${certificate.epoch} for a header of epoch ${header.epoch}, checked against ${this.epoch}`);
    }
    const digest = headerDigest(header);
    if (!equal(certificate.header, digest))
      throw refused(`the certificate is for header ${hex(certificate.header)}, not for ${hex(digest)}`);
    const places = this.#places(certificate.signers);
    if (certificate.signatures.length !== places.length)
      throw refused(`${certificate.signatures.length} signatures of ${places.length} signers`);
    if (places.length < this.quorum) throw refused(`${places.length} signers where the quorum is ${this.quorum}`);
    const signed = this.#signed(header, digest);
    places.forEach((place, at) => {
      if (!this.#keys[place]!.verify(signed, certificate.signatures[at]!))
        throw refused(`the signature of validator ${place} does not verify`);
    });
  }

  #places(bitmap: Uint8Array): number[] {
    const refused = (words: string) => new Refused("certificate", words);
    const members = this.#keys.length;
    const due = Math.ceil(members / 8);
    if (bitmap.length !== due) throw refused(`a bitmap of ${bitmap.length} bytes where ${due} are due`);
    const places = Array.from({ length: due * 8 }, (_, place) => place).filter((place) => (bitmap[place >> 3]! >> (place & 7)) & 1);
    if ((places.at(-1) ?? 0) >= members) throw refused(`the bitmap names a signer beyond the ${members} validators`);
    return places;
  }

  #signed(header: Header, digest: Uint8Array): Uint8Array {
    const named = joined(u64(header.network), u32(header.shard), u64(header.epoch), digest);
    return CERTIFICATE(this.#genesis ? joined(named, this.#genesis) : named);
  }
}
