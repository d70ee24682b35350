//! What holds the model to the code.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "parts are used only with the feature `twins`")]

pub mod coordinator;
pub mod participant;
pub mod walk;
