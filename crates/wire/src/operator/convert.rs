//! Between protobuf and what an operator sees.

use super::{Letter, Way};
use crate::convert::{ConvertError, bytes_of, hash};
use crate::hops::{Hop, Sight, Standing, Step};
use crate::limits::HOPS_COUNT_MAX;
use crate::proto::v1;
use crate::rejection::cut;
use alloy_primitives::B256;
use primitives::Millis;

impl From<Way> for v1::Way {
    fn from(way: Way) -> Self {
        Self {
            name: cut(way.name),
            ends: cut(way.ends),
            paused: way.paused.is_some(),
            paused_for: cut(way.paused.unwrap_or_default()),
            waiting_count: way.waiting_count,
            oldest_ms: way.oldest.0,
            done_count: way.done_count,
            moved_ms: way.moved.map(|moved| moved.0),
            letters_count: way.letters_count,
            trouble: cut(way.trouble),
        }
    }
}

impl From<v1::Way> for Way {
    fn from(way: v1::Way) -> Self {
        Self {
            name: way.name,
            ends: way.ends,
            paused: way.paused.then_some(way.paused_for),
            waiting_count: way.waiting_count,
            oldest: Millis(way.oldest_ms),
            done_count: way.done_count,
            moved: way.moved_ms.map(Millis),
            letters_count: way.letters_count,
            trouble: way.trouble,
        }
    }
}

impl From<Letter> for v1::Letter {
    fn from(letter: Letter) -> Self {
        let Letter { id, way, tries_count, why, message, proof } = letter;
        Self {
            id: bytes_of(id.as_slice()),
            way: cut(way),
            tries_count,
            why: cut(why),
            message: message.into(),
            proof: proof.into(),
        }
    }
}

impl TryFrom<v1::Letter> for Letter {
    type Error = ConvertError;

    fn try_from(letter: v1::Letter) -> Result<Self, ConvertError> {
        let v1::Letter { id, way, tries_count, why, message, proof } = letter;
        Ok(Self { id: hash("id", &id)?, way, tries_count, why, message: message.to_vec(), proof: proof.to_vec() })
    }
}

impl From<Sight> for v1::ExplainMessageResponse {
    fn from(sight: Sight) -> Self {
        Self {
            why: cut(sight.why.unwrap_or_default()),
            chain_id: sight.chain_id,
            hops: sight.hops.into_iter().take(HOPS_COUNT_MAX).map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::ExplainMessageResponse> for Sight {
    type Error = ConvertError;

    fn try_from(told: v1::ExplainMessageResponse) -> Result<Self, ConvertError> {
        Ok(Self {
            chain_id: told.chain_id,
            hops: told.hops.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            why: Some(told.why).filter(|why| !why.is_empty()),
        })
    }
}

impl From<Hop> for v1::ForeignHop {
    fn from(hop: Hop) -> Self {
        let step = match hop.step {
            Step::Dispatched => v1::HopStep::Dispatched,
            Step::Processed => v1::HopStep::Processed,
            Step::Answered => v1::HopStep::Answered,
        };
        let state = match hop.state {
            Standing::UnderWay => v1::HopState::UnderWay,
            Standing::Mined => v1::HopState::Mined,
            Standing::Reverted => v1::HopState::Reverted,
            Standing::Final => v1::HopState::Final,
        };
        let bytes = |hash: Option<B256>| hash.map(|hash| bytes_of(hash.as_slice())).unwrap_or_default();
        Self {
            step: step.into(),
            state: state.into(),
            transaction: bytes(hop.transaction),
            block: hop.block,
            block_hash: bytes(hop.block_hash),
        }
    }
}

impl TryFrom<v1::ForeignHop> for Hop {
    type Error = ConvertError;

    fn try_from(hop: v1::ForeignHop) -> Result<Self, ConvertError> {
        let unknown = |field, value: i32| ConvertError::Unknown { field, value: value.into() };
        let step = match v1::HopStep::try_from(hop.step) {
            Ok(v1::HopStep::Dispatched) => Step::Dispatched,
            Ok(v1::HopStep::Processed) => Step::Processed,
            Ok(v1::HopStep::Answered) => Step::Answered,
            Ok(v1::HopStep::Unspecified) | Err(_) => return Err(unknown("step", hop.step)),
        };
        let state = match v1::HopState::try_from(hop.state) {
            Ok(v1::HopState::UnderWay) => Standing::UnderWay,
            Ok(v1::HopState::Mined) => Standing::Mined,
            Ok(v1::HopState::Reverted) => Standing::Reverted,
            Ok(v1::HopState::Final) => Standing::Final,
            Ok(v1::HopState::Unspecified) | Err(_) => return Err(unknown("state", hop.state)),
        };
        let optional = |field, bytes: &[u8]| (!bytes.is_empty()).then(|| hash(field, bytes)).transpose();
        Ok(Self {
            step,
            state,
            transaction: optional("transaction", &hop.transaction)?,
            block: hop.block,
            block_hash: optional("block_hash", &hop.block_hash)?,
        })
    }
}
