//! The dovetail command line.

fn main() {}
