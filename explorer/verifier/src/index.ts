export { hex, unhex } from "./bytes.js";
export type { Certificate, ShardKeys } from "./certificate.js";
export { type Header, headerDigest } from "./header.js";
export { type Fact, type Leaf, type LeafKind, RECEIPT_BYTES_MAX, type Receipt, Verifier, readReceipt } from "./receipt.js";
export { type Code, Refused } from "./refused.js";
export { type ProvenState, type StateProofs, provenState } from "./state.js";
export { type Delivery, type Message, type Outcome, type Statement, type Vote, about, domainOf, statement } from "./statement.js";
