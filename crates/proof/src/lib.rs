//! Merkle trees, headers, certificates and receipts: how a fact about one shard is believed on another.
//!
//! ```text
//!   leaf -- path --> outbox root -- in --> header -- digest --> certificate <-- signed by -- validators of the epoch
//!                                             |
//!                                             +-- history path --> a later header, when only that one is certified
//! ```
//!
//! Promise: there is one way to cross a shard boundary, a [`Receipt`] through a [`ReceiptVerifier`], and
//! changing any bit of a receipt makes it fail.
//! Knows nothing of EVM, gRPC, disks or clocks, and nothing of what a leaf's body means, but for the two kinds that a
//! relay carries: [`Message`] and [`Delivery`].

mod cache;
mod certificate;
mod certified;
mod delivery;
mod equivocation;
mod foreign;
mod header;
mod history;
mod keys;
mod leaf;
mod merkle;
mod message;
mod outbox;
mod processed;
mod purpose;
mod receipt;
mod route;
mod sightings;
mod validators;
mod verifier;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod mutants;
#[cfg(test)]
mod random;
#[cfg(test)]
mod sample;

pub use certificate::{Certificate, CertificateError, NotMember, Scheme, Signer};
pub use certified::Certified;
pub use delivery::{DELIVERY_DETAIL_BYTES_MAX, Delivery, DeliveryStatus};
pub use equivocation::{EQUIVOCATION_BYTES_MAX, Equivocated, Equivocation, EquivocationError};
pub use foreign::{
    Admission, Attestation, FOREIGN_MESSAGES_COUNT_MAX, FOREIGN_RECEIPT_BYTES_MAX, ForeignBlock, ForeignError,
    ForeignReceipt, ForeignVerifier,
};
pub use header::{HEADER_VERSION, Header, HeaderError};
pub use history::{Appended, History, HistoryError, NodeId, verify_ancestor};
pub use keys::{KeyError, PossessionProof, PublicKey, SecretKey, Signature, SignatureError};
pub use leaf::{LEAF_BODY_BYTES_MAX, Leaf, LeafKind};
pub use merkle::{LEAVES_COUNT_MAX, PATH_COUNT_MAX, PathError, Place, Tree, TreeKind, verify_path};
pub use message::{
    MESSAGE_BODY_BYTES_MAX, MESSAGE_VERSION, Message, MessageError, MessageId, domain_of, is_own_domain, shard_of,
};
pub use outbox::{OUTBOX_LEAVES_COUNT_MAX, Outbox, OutboxError};
pub use processed::Processed;
pub use receipt::{Ancestry, Fact, RECEIPT_BYTES_MAX, Receipt};
pub use route::{ATTESTORS_COUNT_MAX, Route, RouteError, RouteTerms};
pub use sightings::{SIGHTINGS_PER_SHARD_COUNT_MAX, Sighting, Sightings};
pub use validators::{VALIDATORS_COUNT_MAX, ValidatorSet, ValidatorSetError};
pub use verifier::{HEADERS_CACHED_COUNT_MAX, ReceiptError, ReceiptVerifier};
