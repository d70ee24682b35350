//! Scenarios: what a network has to hold through, written once and run on a World and on real processes alike.
//!
//! Each is a function over any [`Cluster`]; its name is the sentence it holds. [`for_each_scenario`] is the one list of them, so that
//! none is run on one kind of network only. After each the network is audited: everything ended, value conserved, and the
//! stores equal to one plain EVM.

mod attempts;
mod coordinators;
mod execution;
mod messages;
mod partitions;
mod replays;
mod transfers;

pub use attempts::{
    a_decision_before_the_prepare_is_harmless, a_lying_coordinator_cannot_split_an_attempt,
    a_prepare_after_the_abort_is_refused, a_shard_that_dies_after_its_vote_keeps_it,
};
pub use coordinators::{
    a_coordinator_dies_at_each_step_and_nobody_waits_for_it, two_coordinators_race_one_transaction,
};
pub use execution::{a_bundle_commits_whole_or_not_at_all, reentrancy_across_shards_equals_one_evm};
pub use messages::{
    a_poison_message_blocks_nobody, a_redelivered_message_runs_once, a_refund_follows_its_sender_to_another_shard,
    a_relay_that_dies_loses_no_message,
};
pub use partitions::{
    a_partition_strands_attempts_until_it_heals, a_paused_shard_delays_and_decides_nothing,
    answers_that_are_lost_decide_nothing,
};
pub use replays::replaying_run_k_into_run_k_plus_1_changes_nothing;
pub use transfers::{
    a_cross_shard_credit_survives_a_later_local_credit, a_cross_shard_transfer_commits_everywhere,
    a_payer_cannot_spend_one_balance_twice, two_symmetric_transactions_one_commits_promptly,
};

use crate::cluster::Cluster;
use crate::stage::Stage;
use eyre::{Result, WrapErr};

/// The one list of scenarios: calls a macro with their names.
#[macro_export]
macro_rules! for_each_scenario {
    ($do:ident) => {
        $do! {
            a_cross_shard_transfer_commits_everywhere,
            two_symmetric_transactions_one_commits_promptly,
            a_payer_cannot_spend_one_balance_twice,
            a_cross_shard_credit_survives_a_later_local_credit,
            a_coordinator_dies_at_each_step_and_nobody_waits_for_it,
            two_coordinators_race_one_transaction,
            a_prepare_after_the_abort_is_refused,
            a_decision_before_the_prepare_is_harmless,
            a_lying_coordinator_cannot_split_an_attempt,
            a_shard_that_dies_after_its_vote_keeps_it,
            a_partition_strands_attempts_until_it_heals,
            a_paused_shard_delays_and_decides_nothing,
            answers_that_are_lost_decide_nothing,
            a_redelivered_message_runs_once,
            a_poison_message_blocks_nobody,
            a_refund_follows_its_sender_to_another_shard,
            a_relay_that_dies_loses_no_message,
            replaying_run_k_into_run_k_plus_1_changes_nothing,
            reentrancy_across_shards_equals_one_evm,
            a_bundle_commits_whole_or_not_at_all,
        }
    };
}

/// Sets the stage, plays a scenario, and audits what is left.
///
/// # Errors
/// What did not hold.
pub fn play<C: Cluster>(mut cluster: C, scenario: impl FnOnce(&mut C, &mut Stage) -> Result<()>) -> Result<()> {
    let mut stage = Stage::set(&mut cluster).wrap_err("the stage")?;
    scenario(&mut cluster, &mut stage)?;
    let report = cluster.audit().wrap_err("the audit after it")?;
    println!("{report}");
    Ok(())
}
