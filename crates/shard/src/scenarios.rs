//! Whole journeys over several shards: real signatures, real revm, stores in memory, and a crash wherever one is asked for.

mod blocks;
mod closing;
mod code;
mod commit;
mod counting;
mod crashes;
mod holders;
mod messages;
mod pruning;
mod slots;
mod soak;
mod state;
mod world;
