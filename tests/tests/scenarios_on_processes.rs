//! Every scenario on real processes: gRPC, RocksDB, `kill -9`, SIGSTOP, connections cut. The same list runs on a World in
//! `scenarios_on_world.rs`; each has a network of its own.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use dovetail_tests::processes::Processes;
use dovetail_tests::scenarios::{self, play};
use dovetail_tests::stage::Ground;

macro_rules! on_processes {
    ($($scenario:ident),* $(,)?) => {$(
        #[test]
        fn $scenario() {
            let processes = Processes::start(&Ground::new().unwrap()).unwrap();
            play(processes, scenarios::$scenario).unwrap();
        }
    )*};
}

dovetail_tests::for_each_scenario!(on_processes);
