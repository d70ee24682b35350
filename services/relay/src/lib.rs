//! A relay node: configuration and wiring.
