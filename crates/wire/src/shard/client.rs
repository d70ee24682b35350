//! The calling side of `ShardService`.

use super::convert::{delivered, receipt, state_read, submitted};
use super::{
    CertifiedBlock, Cheat, Delivered, LockCounts, LogPage, MessageLife, OldLeaves, OutboxPage, OutcomePage,
    OutcomePlace, OutcomeQuery, ShardStatus, StateProofs, StateRead,
};
use crate::batch::{runs, same_count};
use crate::client::{Connection, Repeat, Transport, call};
use crate::convert::{bytes_of, canonical, encoded, number_bytes, required};
use crate::limits::{
    BATCH_BYTES_TARGET, PREPARED_BYTES_MAX, RECEIPTS_COUNT_MAX, SHARD_MESSAGE_BYTES_MAX, TRANSACTIONS_COUNT_MAX,
};
use crate::participant::Answers;
use crate::proto::v1;
use crate::proto::v1::shard_service_client::ShardServiceClient;
use crate::rejection::Rejection;
use crate::state::{LeafPlace, OutcomeRecord};
use alloy_primitives::{Address, B256, U256};
use evm::{Payload, StateKey, SystemTransaction};
use futures_util::stream::{Stream, StreamExt};
use primitives::{Height, ShardId, Slot};
use proof::{ForeignReceipt, LeafKind, MessageId, Receipt};
use prost::bytes::Bytes;
use std::collections::BTreeSet;
use tonic::Request;

/// Calls one shard.
///
/// Reads are idempotent and tried again while the shard is unavailable. What it answers is checked for form, not believed.
#[derive(Debug, Clone)]
pub struct ShardClient {
    connection: Connection,
    grpc: ShardServiceClient<Transport>,
}

impl ShardClient {
    /// Calls through `connection`.
    pub fn new(connection: Connection) -> Self {
        let grpc = ShardServiceClient::new(connection.transport())
            .max_decoding_message_size(SHARD_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(SHARD_MESSAGE_BYTES_MAX);
        Self { connection, grpc }
    }

    /// Who and where the shard is.
    pub async fn status(&self) -> Result<ShardStatus, Rejection> {
        let status = self.connection.read(v1::GetStatusRequest {}, call!(self, get_status)).await?;
        Ok(status.try_into()?)
    }

    /// Executes payloads of which that shard is the only participant.
    ///
    /// Tried again while it is unavailable: a payload that was executed the first time gives the same outcomes.
    pub async fn submit_local(&self, payloads: &[Payload]) -> Result<Answers<Vec<OutcomeRecord>>, Rejection> {
        let payloads: Vec<Bytes> = payloads.iter().map(encoded).collect();
        let mut results = Vec::with_capacity(payloads.len());
        for payloads in runs(payloads, TRANSACTIONS_COUNT_MAX, BATCH_BYTES_TARGET, Bytes::len) {
            let asked = payloads.len();
            let request = v1::SubmitLocalRequest { payloads };
            let response = self.connection.write(Repeat::Idempotent, request, call!(self, submit_local)).await?;
            same_count(asked, response.results.len())?;
            results.extend(response.results.into_iter().map(submitted));
        }
        Ok(results)
    }

    /// Reads the newest values and codes, at most [`crate::limits::STATE_KEYS_COUNT_MAX`] and
    /// [`crate::limits::CODES_COUNT_MAX`], as of one block.
    pub async fn read_state(&self, keys: &[StateKey], code_hashes: &BTreeSet<B256>) -> Result<StateRead, Rejection> {
        self.read_state_after(keys, code_hashes, None).await
    }

    /// The same after the closed slot `after`, if one is given.
    pub async fn read_state_after(
        &self,
        keys: &[StateKey],
        code_hashes: &BTreeSet<B256>,
        after: Option<Slot>,
    ) -> Result<StateRead, Rejection> {
        let request = v1::ReadStateRequest {
            keys: keys.iter().copied().map(Into::into).collect(),
            code_hashes: code_hashes.iter().map(|hash| bytes_of(hash.as_slice())).collect(),
            after_slot: after.map(|slot| slot.0),
        };
        state_read(keys, self.connection.read(request, call!(self, read_state)).await?)
    }

    /// Proves an account and slots of it.
    pub async fn prove_state(&self, address: Address, slots: &[U256]) -> Result<StateProofs, Rejection> {
        let request = v1::ProveStateRequest {
            address: bytes_of(address.as_slice()),
            slots: slots.iter().copied().map(number_bytes).collect(),
        };
        let proofs: StateProofs = self.connection.read(request, call!(self, prove_state)).await?.try_into()?;
        same_count(slots.len() + 1, proofs.proofs.len())?;
        Ok(proofs)
    }

    /// What a transaction did.
    pub async fn outcome(&self, transaction: B256) -> Result<OutcomeRecord, Rejection> {
        let request = v1::GetOutcomeRequest { transaction_hash: bytes_of(transaction.as_slice()) };
        let response = self.connection.read(request, call!(self, get_outcome)).await?;
        Ok(required("outcome", response.outcome)?.try_into()?)
    }

    /// What a transaction of the protocol itself called.
    pub async fn own_call(&self, transaction: B256) -> Result<SystemTransaction, Rejection> {
        let request = v1::GetOwnCallRequest { transaction_hash: bytes_of(transaction.as_slice()) };
        let response = self.connection.read(request, call!(self, get_own_call)).await?;
        Ok(canonical("call", &response.call, PREPARED_BYTES_MAX)?)
    }

    /// What is locked there now.
    pub async fn locks(&self) -> Result<LockCounts, Rejection> {
        Ok(self.connection.read(v1::GetLocksRequest {}, call!(self, get_locks)).await?.try_into()?)
    }

    /// Outcomes of a range of network blocks.
    pub async fn outcomes(&self, query: OutcomeQuery) -> Result<OutcomePage, Rejection> {
        let request = v1::ListOutcomesRequest {
            from_slot: query.from.0,
            to_slot: query.to.map_or(0, |to| to.0),
            cursor: query.cursor.map(Into::into),
            count_max: u32::try_from(query.count_max).unwrap_or(u32::MAX),
        };
        Ok(self.connection.read(request, call!(self, list_outcomes)).await?.try_into()?)
    }

    /// The log from `from` on, unchecked.
    pub async fn tell_log(&self, from: OutcomePlace) -> Result<LogPage, Rejection> {
        let request = v1::TellLogRequest { from: Some(from.into()) };
        Ok(self.connection.read(request, call!(self, tell_log)).await?.try_into()?)
    }

    /// Up to `count_max` blocks from `from` on.
    pub async fn blocks(&self, from: Height, count_max: u32) -> Result<Vec<CertifiedBlock>, Rejection> {
        let request = v1::GetBlocksRequest { from_height: from.0, count_max };
        let response = self.connection.read(request, call!(self, get_blocks)).await?;
        Ok(response.blocks.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?)
    }

    /// Blocks from `from` on, each new one as it comes. The stream ends now and then: resume after its last block.
    pub async fn stream_blocks(
        &self,
        from: Height,
    ) -> Result<impl Stream<Item = Result<CertifiedBlock, Rejection>> + Send + use<>, Rejection> {
        let mut grpc = self.grpc.clone();
        let stream = grpc.stream_blocks(Request::new(v1::StreamBlocksRequest { from_height: from.0 })).await?;
        Ok(stream.into_inner().map(|item| Ok(required("block", item?.block)?.try_into()?)))
    }

    /// Up to `count_max` leaves from `cursor` on, of these kinds; empty means all.
    pub async fn outbox(
        &self,
        cursor: LeafPlace,
        count_max: u32,
        kinds: &BTreeSet<LeafKind>,
        old: OldLeaves,
    ) -> Result<OutboxPage, Rejection> {
        let kinds = kinds.iter().map(|kind| v1::LeafKind::from(*kind).into()).collect();
        let open = old == OldLeaves::Open;
        let request = v1::GetOutboxRequest { cursor: Some(cursor.into()), count_max, kinds, open };
        Ok(self.connection.read(request, call!(self, get_outbox)).await?.try_into()?)
    }

    /// The receipt of the leaf of `kind` about `id`.
    pub async fn receipt(&self, kind: LeafKind, id: B256) -> Result<Receipt, Rejection> {
        let request = v1::GetReceiptRequest { kind: v1::LeafKind::from(kind).into(), id: bytes_of(id.as_slice()) };
        let response = self.connection.read(request, call!(self, get_receipt)).await?;
        Ok(receipt("receipt", &response.receipt)?)
    }

    /// What the shard knows of a message.
    pub async fn message(&self, id: MessageId) -> Result<MessageLife, Rejection> {
        let request = v1::GetMessageRequest { id: bytes_of(id.0.as_slice()) };
        Ok(self.connection.read(request, call!(self, get_message)).await?.try_into()?)
    }

    /// The newest certified block of `shard` that the called one has seen.
    pub async fn sighting(&self, shard: ShardId) -> Result<Option<CertifiedBlock>, Rejection> {
        let request = v1::GetSightingRequest { shard: shard.0 };
        let response = self.connection.read(request, call!(self, get_sighting)).await?;
        Ok(response.newest.map(TryInto::try_into).transpose()?)
    }

    /// Shows the shard a certified block; answers the height of its own newest.
    pub async fn show_sighting(&self, newest: CertifiedBlock) -> Result<Height, Rejection> {
        let request = v1::ShowSightingRequest { newest: Some(newest.into()) };
        let response = self.connection.read(request, call!(self, show_sighting)).await?;
        Ok(Height(response.head_height))
    }

    /// Sets state, on a network with cheats; answers the slot that it holds from.
    pub async fn cheat(&self, cheat: &Cheat) -> Result<Slot, Rejection> {
        let request = v1::CheatRequest { cheat: encoded(cheat) };
        Ok(Slot(self.connection.write(Repeat::Idempotent, request, call!(self, cheat)).await?.slot))
    }

    /// Hands in receipts of messages or deliveries. Idempotent: each leaf counts once.
    pub async fn deliver(&self, receipts: &[Receipt]) -> Result<Answers<Delivered>, Rejection> {
        self.deliver_encoded(receipts.iter().map(Receipt::to_bytes)).await
    }

    /// The same of receipts in their canonical bytes, for who keeps them so.
    pub async fn deliver_encoded(
        &self,
        receipts: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<Answers<Delivered>, Rejection> {
        let receipts: Vec<Bytes> = receipts.into_iter().map(Bytes::from).collect();
        let mut results = Vec::with_capacity(receipts.len());
        for receipts in runs(receipts, RECEIPTS_COUNT_MAX, BATCH_BYTES_TARGET, Bytes::len) {
            let asked = receipts.len();
            let request = v1::DeliverRequest { receipts };
            let response = self.connection.write(Repeat::Idempotent, request, call!(self, deliver)).await?;
            same_count(asked, response.results.len())?;
            results.extend(response.results.into_iter().map(delivered));
        }
        Ok(results)
    }

    /// Hands in messages of foreign chains. Idempotent: each counts once.
    pub async fn admit(&self, receipts: &[ForeignReceipt]) -> Result<Answers<Delivered>, Rejection> {
        let receipts: Vec<Bytes> = receipts.iter().map(encoded).collect();
        let mut results = Vec::with_capacity(receipts.len());
        for receipts in runs(receipts, RECEIPTS_COUNT_MAX, BATCH_BYTES_TARGET, Bytes::len) {
            let asked = receipts.len();
            let request = v1::AdmitRequest { receipts };
            let response = self.connection.write(Repeat::Idempotent, request, call!(self, admit)).await?;
            same_count(asked, response.results.len())?;
            results.extend(response.results.into_iter().map(delivered));
        }
        Ok(results)
    }
}
