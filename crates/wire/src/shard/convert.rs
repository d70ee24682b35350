//! Between protobuf and the shard's types.

use super::{
    CertifiedBlock, Cheat, Delivered, HotKey, LockCounts, LogPage, Mark, MessageLife, Novelty, OutboxLeaf, OutboxPage,
    OutcomeCursor, OutcomePage, OutcomePlace, ShardStatus, StateProof, StateProofs, StateRead, Terms, ToldBlock,
    ToldOutcome, ToldPage,
};
use crate::convert::{ConvertError, bytes_of, canonical, certificate, digest, encoded, header, public_key, required};
use crate::limits::{CHEAT_BYTES_MAX, MESSAGE_BYTES_MAX, PAYLOAD_BYTES_MAX, PREPARED_BYTES_MAX, RECEIPT_BYTES_MAX};
use crate::proto::v1;
use crate::rejection::{Rejection, cut};
use crate::state::{LeafPlace, OutcomeRecord, ReadValue, code};
use evm::{Environments, Payload, StateKey};
use primitives::{Epoch, Height, NetworkId, ShardId, Slot, Time};
use proof::{DeliveryStatus, FOREIGN_RECEIPT_BYTES_MAX, ForeignReceipt, LeafKind, Message, Receipt, ValidatorSet};

/// A receipt, unchecked.
pub(crate) fn receipt(field: &'static str, bytes: &[u8]) -> Result<Receipt, ConvertError> {
    canonical(field, bytes, RECEIPT_BYTES_MAX)
}

/// A foreign receipt, unchecked.
pub(crate) fn foreign_receipt(field: &'static str, bytes: &[u8]) -> Result<ForeignReceipt, ConvertError> {
    canonical(field, bytes, FOREIGN_RECEIPT_BYTES_MAX)
}

/// A payload, unchecked.
pub(crate) fn payload(field: &'static str, bytes: &[u8]) -> Result<Payload, ConvertError> {
    canonical(field, bytes, PAYLOAD_BYTES_MAX)
}

/// A cheat, which no check is needed for: it claims nothing.
pub(crate) fn cheat(field: &'static str, bytes: &[u8]) -> Result<Cheat, ConvertError> {
    canonical(field, bytes, CHEAT_BYTES_MAX)
}

/// The validators of an epoch.
pub(crate) fn validators(epoch: u64, keys: &[prost::bytes::Bytes]) -> Result<ValidatorSet, ConvertError> {
    let keys = keys.iter().map(|key| public_key("validators", key)).collect::<Result<_, _>>()?;
    ValidatorSet::new(Epoch(epoch), keys)
        .map_err(|error| ConvertError::Invalid { field: "validators", reason: error.to_string() })
}

/// The keys of validators in their order.
pub(crate) fn validator_bytes(set: &ValidatorSet) -> Vec<prost::bytes::Bytes> {
    set.keys().iter().map(|key| bytes_of(key.as_bytes())).collect()
}

impl From<LeafKind> for v1::LeafKind {
    fn from(kind: LeafKind) -> Self {
        match kind {
            LeafKind::Vote => Self::Vote,
            LeafKind::Message => Self::Message,
            LeafKind::Delivery => Self::Delivery,
            LeafKind::Outcome => Self::Outcome,
        }
    }
}

/// The kind with this number.
pub(crate) fn leaf_kind(field: &'static str, value: i32) -> Result<LeafKind, ConvertError> {
    match v1::LeafKind::try_from(value) {
        Ok(v1::LeafKind::Vote) => Ok(LeafKind::Vote),
        Ok(v1::LeafKind::Message) => Ok(LeafKind::Message),
        Ok(v1::LeafKind::Delivery) => Ok(LeafKind::Delivery),
        Ok(v1::LeafKind::Outcome) => Ok(LeafKind::Outcome),
        Ok(v1::LeafKind::Unspecified) | Err(_) => Err(ConvertError::Unknown { field, value: value.into() }),
    }
}

impl From<Option<DeliveryStatus>> for v1::DeliveryStatus {
    fn from(status: Option<DeliveryStatus>) -> Self {
        match status {
            None => Self::Unspecified,
            Some(DeliveryStatus::Delivered) => Self::Delivered,
            Some(DeliveryStatus::Failed) => Self::Failed,
            Some(DeliveryStatus::Expired) => Self::Expired,
        }
    }
}

fn delivery_status(value: i32) -> Result<Option<DeliveryStatus>, ConvertError> {
    match v1::DeliveryStatus::try_from(value) {
        Ok(v1::DeliveryStatus::Unspecified) => Ok(None),
        Ok(v1::DeliveryStatus::Delivered) => Ok(Some(DeliveryStatus::Delivered)),
        Ok(v1::DeliveryStatus::Failed) => Ok(Some(DeliveryStatus::Failed)),
        Ok(v1::DeliveryStatus::Expired) => Ok(Some(DeliveryStatus::Expired)),
        Err(_) => Err(ConvertError::Unknown { field: "status", value: value.into() }),
    }
}

impl From<ShardStatus> for v1::GetStatusResponse {
    fn from(status: ShardStatus) -> Self {
        Self {
            network: status.network.0,
            shard: status.shard.0,
            epoch: status.validators.epoch().0,
            validators: validator_bytes(&status.validators),
            head_height: status.head.0,
            head_time_ms: status.head_time.0,
            attested_time_ms: status.attested.0,
            open_slot: status.open.0,
            history_slot: status.history.0,
            clock_ms: status.clock.map_or(0, |clock| clock.0),
            head_header: status.header.as_ref().map(encoded).unwrap_or_default(),
            placement_version: status.placement_version,
            replay: status.environments == Environments::Replay,
            terms_digest: bytes_of(status.terms.digest.as_bytes()),
            terms: cut(status.terms.text),
        }
    }
}

impl TryFrom<v1::GetStatusResponse> for ShardStatus {
    type Error = ConvertError;

    fn try_from(status: v1::GetStatusResponse) -> Result<Self, ConvertError> {
        let bytes = &status.head_header;
        Ok(Self {
            network: NetworkId(status.network),
            shard: ShardId(status.shard),
            validators: validators(status.epoch, &status.validators)?,
            head: Height(status.head_height),
            head_time: Time(status.head_time_ms),
            attested: Time(status.attested_time_ms),
            open: Slot(status.open_slot),
            history: Slot(status.history_slot),
            clock: (status.clock_ms > 0).then_some(Time(status.clock_ms)),
            header: if bytes.is_empty() { None } else { Some(header("head_header", bytes)?) },
            placement_version: status.placement_version,
            environments: if status.replay { Environments::Replay } else { Environments::Slots },
            terms: Terms { digest: digest("terms_digest", &status.terms_digest)?, text: status.terms },
        })
    }
}

impl From<Result<Vec<OutcomeRecord>, Rejection>> for v1::SubmitLocalResult {
    fn from(result: Result<Vec<OutcomeRecord>, Rejection>) -> Self {
        use v1::submit_local_result::Result as Of;
        let result = match result {
            Ok(outcomes) => {
                Of::Executed(v1::LocalOutcomes { outcomes: outcomes.into_iter().map(Into::into).collect() })
            }
            Err(rejection) => Of::Rejection(rejection.into()),
        };
        Self { result: Some(result) }
    }
}

/// What became of a payload, as a shard says.
pub(super) fn submitted(result: v1::SubmitLocalResult) -> Result<Vec<OutcomeRecord>, Rejection> {
    use v1::submit_local_result::Result as Of;
    match required("result", result.result)? {
        Of::Executed(executed) => Ok(outcomes(executed.outcomes)?),
        Of::Rejection(rejection) => Err(rejection.into()),
    }
}

/// Outcomes as a peer gave them.
pub(crate) fn outcomes(records: Vec<v1::OutcomeRecord>) -> Result<Vec<OutcomeRecord>, ConvertError> {
    records.into_iter().map(TryInto::try_into).collect()
}

impl From<StateRead> for v1::ReadStateResponse {
    fn from(read: StateRead) -> Self {
        let code = |(hash, code): (alloy_primitives::B256, evm::Data)| v1::Code {
            hash: bytes_of(hash.as_slice()),
            code: code.0.into(),
        };
        Self {
            height: read.height.0,
            time_ms: read.time.0,
            values: read.values.into_iter().map(Into::into).collect(),
            codes: read.codes.into_iter().map(code).collect(),
        }
    }
}

/// What a shard answered to a read of `keys`.
pub(super) fn state_read(keys: &[StateKey], read: v1::ReadStateResponse) -> Result<StateRead, Rejection> {
    crate::batch::same_count(keys.len(), read.values.len())?;
    let values = keys.iter().zip(read.values).map(|(key, value)| ReadValue::of(key, value));
    Ok(StateRead {
        height: Height(read.height),
        time: Time(read.time_ms),
        values: values.collect::<Result<_, _>>()?,
        codes: read.codes.into_iter().map(code).collect::<Result<_, _>>()?,
    })
}

impl From<StateProofs> for v1::ProveStateResponse {
    fn from(proofs: StateProofs) -> Self {
        let proof = |StateProof { value, proof }| v1::StateProof { value: value.into(), proof: proof.into() };
        Self {
            header: encoded(&proofs.header),
            certificate: encoded(&proofs.certificate),
            proofs: proofs.proofs.into_iter().map(proof).collect(),
        }
    }
}

impl TryFrom<v1::ProveStateResponse> for StateProofs {
    type Error = ConvertError;

    fn try_from(proofs: v1::ProveStateResponse) -> Result<Self, ConvertError> {
        let proof = |proof: v1::StateProof| StateProof { value: proof.value.into(), proof: proof.proof.into() };
        Ok(Self {
            header: header("header", &proofs.header)?,
            certificate: certificate("certificate", &proofs.certificate)?,
            proofs: proofs.proofs.into_iter().map(proof).collect(),
        })
    }
}

impl From<OutcomeCursor> for v1::OutcomeCursor {
    fn from(cursor: OutcomeCursor) -> Self {
        Self { shown_slot: cursor.shown.0, height: cursor.height.0, index: cursor.index }
    }
}

impl From<v1::OutcomeCursor> for OutcomeCursor {
    fn from(cursor: v1::OutcomeCursor) -> Self {
        Self { shown: Slot(cursor.shown_slot), height: Height(cursor.height), index: cursor.index }
    }
}

impl From<OutcomePage> for v1::ListOutcomesResponse {
    fn from(page: OutcomePage) -> Self {
        Self {
            outcomes: page.outcomes.into_iter().map(Into::into).collect(),
            next: page.next.map(Into::into),
            open_slot: page.open.0,
        }
    }
}

impl TryFrom<v1::ListOutcomesResponse> for OutcomePage {
    type Error = ConvertError;

    fn try_from(page: v1::ListOutcomesResponse) -> Result<Self, ConvertError> {
        Ok(Self { outcomes: outcomes(page.outcomes)?, next: page.next.map(Into::into), open: Slot(page.open_slot) })
    }
}

impl From<OutcomePlace> for v1::OutcomePlace {
    fn from(place: OutcomePlace) -> Self {
        Self { height: place.height.0, index: place.index }
    }
}

impl From<v1::OutcomePlace> for OutcomePlace {
    fn from(place: v1::OutcomePlace) -> Self {
        Self { height: Height(place.height), index: place.index }
    }
}

impl From<ToldBlock> for v1::ToldBlock {
    fn from(block: ToldBlock) -> Self {
        let outcome = |ToldOutcome { record, own }| v1::ToldOutcome {
            record: Some(OutcomeRecord::into(record)),
            own: own.as_deref().map(encoded).unwrap_or_default(),
        };
        Self { header: encoded(&block.header), outcomes: block.outcomes.into_iter().map(outcome).collect() }
    }
}

impl TryFrom<v1::ToldBlock> for ToldBlock {
    type Error = ConvertError;

    fn try_from(block: v1::ToldBlock) -> Result<Self, ConvertError> {
        let outcome = |outcome: v1::ToldOutcome| {
            let own = Some(&outcome.own).filter(|own| !own.is_empty());
            let own = own.map(|own| canonical("own", own, PREPARED_BYTES_MAX)).transpose()?.map(Box::new);
            Ok::<_, ConvertError>(ToldOutcome { record: required("record", outcome.record)?.try_into()?, own })
        };
        let outcomes = block.outcomes.into_iter().map(outcome).collect::<Result<_, _>>()?;
        Ok(Self { header: header("header", &block.header)?, outcomes })
    }
}

impl From<LogPage> for v1::TellLogResponse {
    fn from(LogPage { told, open }: LogPage) -> Self {
        Self {
            blocks: told.blocks.into_iter().map(Into::into).collect(),
            certificate: told.certificate.as_ref().map(encoded).unwrap_or_default(),
            next: told.next.map(Into::into),
            head_height: told.head.0,
            open_slot: open.0,
        }
    }
}

impl TryFrom<v1::TellLogResponse> for LogPage {
    type Error = ConvertError;

    fn try_from(page: v1::TellLogResponse) -> Result<Self, ConvertError> {
        let certified = Some(&page.certificate).filter(|bytes| !bytes.is_empty());
        let certificate = certified.map(|bytes| certificate("certificate", bytes)).transpose()?;
        let blocks = page.blocks.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        let told = ToldPage { blocks, certificate, next: page.next.map(Into::into), head: Height(page.head_height) };
        Ok(Self { told, open: Slot(page.open_slot) })
    }
}

impl From<CertifiedBlock> for v1::Block {
    fn from(block: CertifiedBlock) -> Self {
        Self { header: encoded(&block.header), certificate: encoded(&block.certificate) }
    }
}

impl TryFrom<v1::Block> for CertifiedBlock {
    type Error = ConvertError;

    fn try_from(block: v1::Block) -> Result<Self, ConvertError> {
        Ok(Self {
            header: header("header", &block.header)?,
            certificate: certificate("certificate", &block.certificate)?,
        })
    }
}

impl From<OutboxPage> for v1::GetOutboxResponse {
    fn from(page: OutboxPage) -> Self {
        let leaf = |OutboxLeaf { place, receipt }| v1::OutboxLeaf {
            position: Some(LeafPlace::into(place)),
            receipt: encoded(&receipt),
        };
        Self {
            leaves: page.leaves.into_iter().map(leaf).collect(),
            next: Some(page.next.into()),
            head_height: page.head.0,
        }
    }
}

impl TryFrom<v1::GetOutboxResponse> for OutboxPage {
    type Error = ConvertError;

    fn try_from(page: v1::GetOutboxResponse) -> Result<Self, ConvertError> {
        let leaf = |leaf: v1::OutboxLeaf| {
            let place = required("position", leaf.position)?.into();
            Ok::<_, ConvertError>(OutboxLeaf { place, receipt: receipt("receipt", &leaf.receipt)? })
        };
        Ok(Self {
            leaves: page.leaves.into_iter().map(leaf).collect::<Result<_, _>>()?,
            next: required("next", page.next)?.into(),
            head: Height(page.head_height),
        })
    }
}

impl From<LockCounts> for v1::GetLocksResponse {
    fn from(counts: LockCounts) -> Self {
        let hot = |hot: HotKey| v1::HotKey { key: Some(hot.key.into()), count: hot.count };
        Self {
            keys_count: counts.keys_count as u64,
            holders_count: counts.holders_count as u64,
            waiting_count: counts.waiting_count as u64,
            hottest: counts.hottest.into_iter().map(hot).collect(),
        }
    }
}

impl TryFrom<v1::GetLocksResponse> for LockCounts {
    type Error = ConvertError;

    fn try_from(counts: v1::GetLocksResponse) -> Result<Self, ConvertError> {
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let hot = |hot: v1::HotKey| Ok(HotKey { key: required("key", hot.key)?.try_into()?, count: hot.count });
        Ok(Self {
            keys_count: count(counts.keys_count),
            holders_count: count(counts.holders_count),
            waiting_count: count(counts.waiting_count),
            hottest: counts.hottest.into_iter().map(hot).collect::<Result<_, ConvertError>>()?,
        })
    }
}

impl From<Mark> for v1::MessageMark {
    fn from(mark: Mark) -> Self {
        Self { height: mark.height.0, time_ms: mark.time.0 }
    }
}

impl From<v1::MessageMark> for Mark {
    fn from(mark: v1::MessageMark) -> Self {
        Self { height: Height(mark.height), time: Time(mark.time_ms) }
    }
}

impl From<MessageLife> for v1::GetMessageResponse {
    fn from(life: MessageLife) -> Self {
        Self {
            message: life.message.as_ref().map(encoded).unwrap_or_default(),
            dispatched: life.dispatched.map(Into::into),
            delivered: life.delivered.map(Into::into),
            acknowledged: life.acknowledged.map(Into::into),
            status: v1::DeliveryStatus::from(life.status).into(),
            detail: cut(life.detail),
        }
    }
}

impl TryFrom<v1::GetMessageResponse> for MessageLife {
    type Error = ConvertError;

    fn try_from(life: v1::GetMessageResponse) -> Result<Self, ConvertError> {
        Ok(Self {
            message: optional_message("message", &life.message)?,
            dispatched: life.dispatched.map(Into::into),
            delivered: life.delivered.map(Into::into),
            acknowledged: life.acknowledged.map(Into::into),
            status: delivery_status(life.status)?,
            detail: life.detail,
        })
    }
}

/// A message where empty means none.
pub(crate) fn optional_message(field: &'static str, bytes: &[u8]) -> Result<Option<Message>, ConvertError> {
    if bytes.is_empty() { Ok(None) } else { canonical(field, bytes, MESSAGE_BYTES_MAX).map(Some) }
}

impl From<Result<Delivered, Rejection>> for v1::DeliverResult {
    fn from(result: Result<Delivered, Rejection>) -> Self {
        use v1::deliver_result::Result as Of;
        let result = match result {
            Ok(Delivered { novelty, height, receipt }) => {
                let receipt = receipt.as_ref().map(encoded).unwrap_or_default();
                let accepted = v1::DeliverAccepted { height: height.0, receipt };
                match novelty {
                    Novelty::New => Of::Accepted(accepted),
                    Novelty::Already => Of::Duplicate(accepted),
                }
            }
            Err(rejection) => Of::Rejection(rejection.into()),
        };
        Self { result: Some(result) }
    }
}

/// What became of a receipt, as a shard says.
pub(super) fn delivered(result: v1::DeliverResult) -> Result<Delivered, Rejection> {
    use v1::deliver_result::Result as Of;
    let (novelty, accepted) = match required("result", result.result)? {
        Of::Accepted(accepted) => (Novelty::New, accepted),
        Of::Duplicate(accepted) => (Novelty::Already, accepted),
        Of::Rejection(rejection) => return Err(rejection.into()),
    };
    let bytes = &accepted.receipt;
    let receipt = if bytes.is_empty() { None } else { Some(receipt("receipt", bytes)?) };
    Ok(Delivered { novelty, height: Height(accepted.height), receipt })
}
