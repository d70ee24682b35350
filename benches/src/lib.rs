//! In-process and real-process benches, each with its baseline in the same run.
