//! Every scenario on a World: one thread, virtual time. The same list runs on real processes in `scenarios_on_processes.rs`.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use dovetail_tests::scenarios::{self, play};
use dovetail_tests::simulated::Simulated;
use dovetail_tests::stage::Ground;

macro_rules! on_a_world {
    ($($scenario:ident),* $(,)?) => {$(
        #[test]
        fn $scenario() {
            let world = Simulated::start(&Ground::new().unwrap()).unwrap();
            play(world, scenarios::$scenario).unwrap();
        }
    )*};
}

dovetail_tests::for_each_scenario!(on_a_world);
