//! Precompiles whose first use in a process could cost more than the next: a shard runs them within its step.

mod fixture;

use dovetail_evm as evm;
use evm::{Address, CallRequest, Status, U256, simulate};
use fixture::World;
use std::time::{Duration, Instant};

/// A point evaluation (EIP-4844) of case `correct_proof_4_4` of Ethereum's consensus tests, with another `y` if told so.
fn point_evaluation(wrong: bool) -> Vec<u8> {
    let versioned_hash = "01e798154708fe7789429634053cbf9f99b619f9f084048927333fce637f549b";
    let z = "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000000";
    let y = "1522a4a7f34e1ea350ae07c29c96c7e79655aa926122e95fe69fcbd932ca49e9";
    let commitment = "8f59a8d2a1a625a17f3fea0fe5eb8c896db3764f3185481bc22f91b4aaffcca25f26936857bc3a7c2539ea8ec3a952b7";
    let proof = "a62ad71d14c5719385c0686f1871430475bf3a00f0aa3f7b8dd99a9abc2160744faf0070725e00b60ad9a026a15b1a8c";
    let y = if wrong { y.replace("1522", "1523") } else { y.to_owned() };
    let input = [versioned_hash, z, &y, commitment, proof].concat();
    alloy_primitives::hex::decode(input).expect("hex")
}

#[test]
fn the_first_point_evaluation_of_a_process_reads_no_table_of_seconds() {
    let world = World::new(2);
    let environment = World::environment();
    for (wrong, status) in [(false, Status::Success), (true, Status::Halted)] {
        let call = CallRequest {
            to: Some(Address::with_last_byte(0x0a)),
            input: point_evaluation(wrong).into(),
            ..CallRequest::default()
        };
        let started = Instant::now();
        let outcome = simulate(&world.params, &world.placement, &environment, &call, &world.state).expect("runs");
        assert_eq!(outcome.status, status);
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
        if status == Status::Success {
            // The number of field elements of a blob, and the modulus that they are below (EIP-4844).
            assert_eq!(U256::from_be_slice(&outcome.output[..32]), U256::from(4096));
        }
    }
}
