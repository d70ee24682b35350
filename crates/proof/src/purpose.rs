//! Every purpose this crate hashes for, each under a key of its own, so that no digest of one is a digest of another.
//!
//! Keys are derived once per process: a keyed hash of up to 64 bytes then costs one compression, as a plain one does.

use primitives::Domain;
use std::sync::LazyLock;

macro_rules! purpose {
    ($(#[$doc:meta])* $name:ident = $context:literal) => {
        $(#[$doc])*
        pub(crate) static $name: LazyLock<Domain> = LazyLock::new(|| Domain::new($context));
    };
}

purpose! {
    /// A leaf of any tree: its index, then its bytes.
    LEAF = "dovetail v1 merkle leaf"
}
purpose! {
    /// An inner node of any tree: left digest, then right digest.
    NODE = "dovetail v1 merkle node"
}
purpose! {
    /// A root of any tree: kind, network, shard, height, leaf count, top digest.
    ROOT = "dovetail v1 merkle root"
}
purpose! {
    /// A block header.
    HEADER = "dovetail v1 header"
}
purpose! {
    /// The parent of a shard's first block.
    GENESIS = "dovetail v1 genesis"
}
purpose! {
    /// What a validator signs for a header.
    CERTIFICATE = "dovetail v1 certificate"
}
purpose! {
    /// What a validator signs to show that it holds its key.
    POSSESSION = "dovetail v1 key possession"
}
purpose! {
    /// What names two headers of one height.
    EVIDENCE = "dovetail v1 equivocation"
}
purpose! {
    /// The key under which a checked certificate is remembered in memory; never leaves the process.
    CHECKED = "dovetail v1 checked certificate"
}
purpose! {
    /// A route from a foreign chain, with all its terms.
    ROUTE = "dovetail v1 foreign route"
}
purpose! {
    /// What an attestor signs for a foreign block.
    FOREIGN_BLOCK = "dovetail v1 foreign block"
}
