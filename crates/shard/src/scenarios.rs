//! Whole journeys over several shards: real signatures, real revm, stores in memory, and a crash wherever one is asked for.

mod base;
mod blocks;
mod cheats;
mod closing;
mod code;
mod commit;
mod counting;
mod crashes;
mod foreign;
mod holders;
mod messages;
mod pruning;
mod restored;
mod retention;
mod settling;
mod slots;
mod soak;
mod state;
mod told;
mod world;
