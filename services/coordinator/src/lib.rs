//! A coordinator node: configuration and wiring.
