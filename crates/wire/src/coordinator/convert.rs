//! Between protobuf and the coordinator's types.

use super::{LifeEvent, LifeStage, Network, ShardInfo, Submission};
use crate::convert::{ConvertError, bytes_of, canonical, encoded, optional_attempt, optional_attempt_bytes, required};
use crate::limits::{OUTCOME_BYTES_MAX, PARAMETERS_BYTES_MAX, PLACEMENT_BYTES_MAX};
use crate::proto::v1;
use crate::rejection::cut;
use crate::shard::convert::{validator_bytes, validators};
use evm::{Environments, NetworkParams, Outcome, Status};
use primitives::{ShardId, Time};

impl From<LifeStage> for v1::LifeStage {
    fn from(stage: LifeStage) -> Self {
        match stage {
            LifeStage::Accepted => Self::Accepted,
            LifeStage::Executed => Self::Executed,
            LifeStage::Queued => Self::Queued,
            LifeStage::SentLocally => Self::SentLocally,
            LifeStage::Preparing => Self::Preparing,
            LifeStage::Voted => Self::Voted,
            LifeStage::Decided => Self::Decided,
            LifeStage::Committed => Self::Committed,
            LifeStage::Refused => Self::Refused,
        }
    }
}

fn life_stage(value: i32) -> Result<LifeStage, ConvertError> {
    match v1::LifeStage::try_from(value) {
        Ok(v1::LifeStage::Accepted) => Ok(LifeStage::Accepted),
        Ok(v1::LifeStage::Executed) => Ok(LifeStage::Executed),
        Ok(v1::LifeStage::Queued) => Ok(LifeStage::Queued),
        Ok(v1::LifeStage::SentLocally) => Ok(LifeStage::SentLocally),
        Ok(v1::LifeStage::Preparing) => Ok(LifeStage::Preparing),
        Ok(v1::LifeStage::Voted) => Ok(LifeStage::Voted),
        Ok(v1::LifeStage::Decided) => Ok(LifeStage::Decided),
        Ok(v1::LifeStage::Committed) => Ok(LifeStage::Committed),
        Ok(v1::LifeStage::Refused) => Ok(LifeStage::Refused),
        Ok(v1::LifeStage::Unspecified) | Err(_) => Err(ConvertError::Unknown { field: "stage", value: value.into() }),
    }
}

impl From<LifeEvent> for v1::LifeEvent {
    fn from(event: LifeEvent) -> Self {
        Self {
            number: event.number,
            time_ms: event.time.0,
            stage: v1::LifeStage::from(event.stage).into(),
            attempt: optional_attempt_bytes(event.attempt),
            shard: event.shard.map(|shard| shard.0),
            detail: cut(event.detail),
        }
    }
}

impl TryFrom<v1::LifeEvent> for LifeEvent {
    type Error = ConvertError;

    fn try_from(event: v1::LifeEvent) -> Result<Self, ConvertError> {
        Ok(Self {
            number: event.number,
            time: Time(event.time_ms),
            stage: life_stage(event.stage)?,
            attempt: optional_attempt("attempt", &event.attempt)?,
            shard: event.shard.map(ShardId),
            detail: event.detail,
        })
    }
}

impl From<Outcome> for v1::TransactionOutcome {
    fn from(outcome: Outcome) -> Self {
        Self {
            transaction_hash: outcome.transaction.map(|hash| bytes_of(hash.as_slice())).unwrap_or_default(),
            succeeded: outcome.status == Status::Success,
            gas_used: outcome.gas_used,
            outcome: encoded(&outcome),
        }
    }
}

/// What a transaction did: its canonical outcome, which must say what the fields beside it say.
fn outcome(given: &v1::TransactionOutcome) -> Result<Outcome, ConvertError> {
    let outcome: Outcome = canonical("outcome", &given.outcome, OUTCOME_BYTES_MAX)?;
    if v1::TransactionOutcome::from(outcome.clone()) == *given {
        return Ok(outcome);
    }
    let reason = "it contradicts the fields beside it".to_owned();
    Err(ConvertError::Invalid { field: "outcome", reason })
}

impl From<Submission> for v1::GetTransactionResponse {
    fn from(submission: Submission) -> Self {
        Self {
            last: Some(submission.last.into()),
            participants: submission.participants.iter().map(|shard| shard.0).collect(),
            outcomes: submission.outcomes.into_iter().map(Into::into).collect(),
            rejection: submission.rejection.map(Into::into),
            decision: submission.decision.map(Into::into),
        }
    }
}

impl TryFrom<v1::GetTransactionResponse> for Submission {
    type Error = ConvertError;

    fn try_from(submission: v1::GetTransactionResponse) -> Result<Self, ConvertError> {
        Ok(Self {
            last: required("last", submission.last)?.try_into()?,
            participants: submission.participants.into_iter().map(ShardId).collect(),
            outcomes: submission.outcomes.iter().map(outcome).collect::<Result<_, _>>()?,
            rejection: submission.rejection.map(Into::into),
            decision: submission.decision.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<ShardInfo> for v1::ShardInfo {
    fn from(info: ShardInfo) -> Self {
        Self {
            shard: info.shard.0,
            epoch: info.validators.epoch().0,
            validators: validator_bytes(&info.validators),
            endpoint: cut(info.endpoint),
        }
    }
}

impl TryFrom<v1::ShardInfo> for ShardInfo {
    type Error = ConvertError;

    fn try_from(info: v1::ShardInfo) -> Result<Self, ConvertError> {
        Ok(Self {
            shard: ShardId(info.shard),
            validators: validators(info.epoch, &info.validators)?,
            endpoint: info.endpoint,
        })
    }
}

impl From<Network> for v1::GetNetworkResponse {
    fn from(network: Network) -> Self {
        Self {
            network: network.params.network.0,
            shards: network.shards.into_iter().map(Into::into).collect(),
            placement: encoded(&network.placement),
            parameters: encoded(&network.params),
            replay: network.params.environments == Environments::Replay,
        }
    }
}

impl TryFrom<v1::GetNetworkResponse> for Network {
    type Error = ConvertError;

    fn try_from(network: v1::GetNetworkResponse) -> Result<Self, ConvertError> {
        let params: NetworkParams = canonical("parameters", &network.parameters, PARAMETERS_BYTES_MAX)?;
        if params.network.0 != network.network {
            let reason = format!("of network {}, in an answer of network {}", params.network, network.network);
            return Err(ConvertError::Invalid { field: "parameters", reason });
        }
        Ok(Self {
            params,
            placement: canonical("placement", &network.placement, PLACEMENT_BYTES_MAX)?,
            shards: network.shards.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}
