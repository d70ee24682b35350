//! Wire formats, frozen.
