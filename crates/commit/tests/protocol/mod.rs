//! The commit protocol as its text states it, for an exhaustive search.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses its part")]

pub mod coordinator;
pub mod rules;
pub mod state;
pub mod system;
