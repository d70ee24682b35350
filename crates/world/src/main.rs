//! Runs networks under seeds, and says what did not hold.
//!
//! ```text
//!   world run --seeds 0..10000 [--threads 2]     a mix of work under faults, seed by seed
//!   world run --seed 7 --trace                   one of them, told as a story
//!   world twice --seeds 0..100                   each seed twice: the same digest
//!   world crashes                                each script with every crash there is
//! ```

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
