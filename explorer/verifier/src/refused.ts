/**
 * Why something is not believed. The codes are one to one with the variants of the Rust verifier's errors; each mutant of the test
 * vectors has the same code from both.
 */
export type Code = "decode" | "header" | "network" | "validators" | "body" | "path" | "ancestry" | "certificate" | "leaf" | "state";

/** The one error of this package: what was refused, and why in words. */
export class Refused extends Error {
  override readonly name = "Refused";

  constructor(
    readonly code: Code,
    words: string,
  ) {
    super(words);
  }
}
