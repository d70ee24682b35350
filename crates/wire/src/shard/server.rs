//! The gRPC side of a [`ShardApi`].

use super::convert::{cheat, foreign_receipt, leaf_kind, payload, receipt};
use super::{OldLeaves, OutcomePlace, OutcomeQuery, ShardApi};
use crate::convert::{ConvertError, address, encoded, hash, number, page, required};
use crate::limits::{BLOCKS_COUNT_MAX, OUTBOX_COUNT_MAX, OUTCOMES_COUNT_MAX, WATCHERS_COUNT_MAX};
use crate::proto::v1;
use crate::proto::v1::shard_service_server::ShardService;
use crate::rejection::Rejection;
use crate::state::LeafPlace;
use crate::stream::{Drain, Items, Pulled, admit, pulled};
use crate::{batch, convert};
use primitives::{Height, ShardId, Slot};
use proof::MessageId;
use prost::bytes::Bytes;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

/// Blocks that a stream pulls at once: what a reader costs in memory.
const STREAM_BLOCKS_COUNT: usize = 16;

/// Serves a [`ShardApi`].
#[derive(Debug)]
pub struct ShardServer<A> {
    api: Arc<A>,
    drain: Drain,
    watchers: Arc<Semaphore>,
}

impl<A: ShardApi> ShardServer<A> {
    /// Serves `api`; its streams end when `drain` begins.
    pub(crate) fn new(api: Arc<A>, drain: Drain) -> Self {
        Self { api, drain, watchers: Arc::new(Semaphore::new(WATCHERS_COUNT_MAX)) }
    }
}

/// Why a request's fields are no request: as a status.
fn refused(error: ConvertError) -> Status {
    Rejection::from(error).into()
}

#[tonic::async_trait]
impl<A: ShardApi> ShardService for ShardServer<A> {
    type StreamBlocksStream = Items<v1::StreamBlocksResponse>;

    async fn get_status(&self, _: Request<v1::GetStatusRequest>) -> Result<Response<v1::GetStatusResponse>, Status> {
        Ok(Response::new(self.api.status().await?.into()))
    }

    async fn submit_local(
        &self,
        request: Request<v1::SubmitLocalRequest>,
    ) -> Result<Response<v1::SubmitLocalResponse>, Status> {
        let convert = |bytes: Bytes| Ok(payload("payloads", &bytes)?);
        let payloads = request.into_inner().payloads;
        let results = batch::each(payloads, convert, |payloads| self.api.submit_local(payloads)).await?;
        Ok(Response::new(v1::SubmitLocalResponse { results: results.into_iter().map(Into::into).collect() }))
    }

    async fn read_state(
        &self,
        request: Request<v1::ReadStateRequest>,
    ) -> Result<Response<v1::ReadStateResponse>, Status> {
        let request = request.into_inner();
        let keys = request.keys.into_iter().map(TryInto::try_into).collect::<Result<_, _>>().map_err(refused)?;
        let hashes = request.code_hashes.iter().map(|bytes| hash("code_hashes", bytes));
        let hashes = hashes.collect::<Result<_, _>>().map_err(refused)?;
        Ok(Response::new(self.api.read_state(keys, hashes, request.after_slot.map(Slot)).await?.into()))
    }

    async fn prove_state(
        &self,
        request: Request<v1::ProveStateRequest>,
    ) -> Result<Response<v1::ProveStateResponse>, Status> {
        let request = request.into_inner();
        let address = address("address", &request.address).map_err(refused)?;
        let slots = request.slots.iter().map(|bytes| number("slots", bytes));
        let slots = slots.collect::<Result<_, _>>().map_err(refused)?;
        Ok(Response::new(self.api.prove_state(address, slots).await?.into()))
    }

    async fn get_outcome(
        &self,
        request: Request<v1::GetOutcomeRequest>,
    ) -> Result<Response<v1::GetOutcomeResponse>, Status> {
        let transaction = hash("transaction_hash", &request.into_inner().transaction_hash).map_err(refused)?;
        let outcome = self.api.outcome(transaction).await?;
        Ok(Response::new(v1::GetOutcomeResponse { outcome: Some(outcome.into()) }))
    }

    async fn get_locks(&self, _: Request<v1::GetLocksRequest>) -> Result<Response<v1::GetLocksResponse>, Status> {
        Ok(Response::new(self.api.locks().await?.into()))
    }

    async fn get_own_call(
        &self,
        request: Request<v1::GetOwnCallRequest>,
    ) -> Result<Response<v1::GetOwnCallResponse>, Status> {
        let transaction = hash("transaction_hash", &request.into_inner().transaction_hash).map_err(refused)?;
        let call = self.api.own_call(transaction).await?;
        Ok(Response::new(v1::GetOwnCallResponse { call: encoded(&call) }))
    }

    async fn list_outcomes(
        &self,
        request: Request<v1::ListOutcomesRequest>,
    ) -> Result<Response<v1::ListOutcomesResponse>, Status> {
        let request = request.into_inner();
        let query = OutcomeQuery {
            from: Slot(request.from_slot),
            to: (request.to_slot > 0).then_some(Slot(request.to_slot)),
            cursor: request.cursor.map(Into::into),
            count_max: page(request.count_max, OUTCOMES_COUNT_MAX),
        };
        Ok(Response::new(self.api.outcomes(query).await?.into()))
    }

    async fn tell_log(&self, request: Request<v1::TellLogRequest>) -> Result<Response<v1::TellLogResponse>, Status> {
        let from = request.into_inner().from.map_or(OutcomePlace { height: Height(1), index: 0 }, Into::into);
        Ok(Response::new(self.api.tell_log(from, OUTCOMES_COUNT_MAX).await?.into()))
    }

    async fn get_blocks(
        &self,
        request: Request<v1::GetBlocksRequest>,
    ) -> Result<Response<v1::GetBlocksResponse>, Status> {
        let request = request.into_inner();
        let count_max = page(request.count_max, BLOCKS_COUNT_MAX);
        let blocks = self.api.blocks(Height(request.from_height), count_max).await?;
        Ok(Response::new(v1::GetBlocksResponse { blocks: blocks.into_iter().map(Into::into).collect() }))
    }

    async fn stream_blocks(
        &self,
        request: Request<v1::StreamBlocksRequest>,
    ) -> Result<Response<Self::StreamBlocksStream>, Status> {
        let permit = admit(&self.watchers)?;
        let api = Arc::clone(&self.api);
        let from = Height(request.into_inner().from_height.max(1));
        let pull = move |from| pull_blocks(Arc::clone(&api), from);
        Ok(Response::new(pulled(from, permit, self.drain.clone(), pull)))
    }

    async fn get_outbox(
        &self,
        request: Request<v1::GetOutboxRequest>,
    ) -> Result<Response<v1::GetOutboxResponse>, Status> {
        let request = request.into_inner();
        let cursor = request.cursor.map_or(LeafPlace { height: Height(0), index: 0 }, Into::into);
        let kinds = request.kinds.iter().map(|kind| leaf_kind("kinds", *kind));
        let kinds = kinds.collect::<Result<_, _>>().map_err(refused)?;
        let old = if request.open { OldLeaves::Open } else { OldLeaves::All };
        let page = self.api.outbox(cursor, page(request.count_max, OUTBOX_COUNT_MAX), kinds, old).await?;
        Ok(Response::new(page.into()))
    }

    async fn get_receipt(
        &self,
        request: Request<v1::GetReceiptRequest>,
    ) -> Result<Response<v1::GetReceiptResponse>, Status> {
        let request = request.into_inner();
        let kind = leaf_kind("kind", request.kind).map_err(refused)?;
        let id = hash("id", &request.id).map_err(refused)?;
        let receipt = self.api.receipt(kind, id).await?;
        Ok(Response::new(v1::GetReceiptResponse { receipt: convert::encoded(&receipt) }))
    }

    async fn get_message(
        &self,
        request: Request<v1::GetMessageRequest>,
    ) -> Result<Response<v1::GetMessageResponse>, Status> {
        let id = hash("id", &request.into_inner().id).map_err(refused)?;
        Ok(Response::new(self.api.message(MessageId(id)).await?.into()))
    }

    async fn get_sighting(
        &self,
        request: Request<v1::GetSightingRequest>,
    ) -> Result<Response<v1::GetSightingResponse>, Status> {
        let newest = self.api.sighting(ShardId(request.into_inner().shard)).await?;
        Ok(Response::new(v1::GetSightingResponse { newest: newest.map(Into::into) }))
    }

    async fn show_sighting(
        &self,
        request: Request<v1::ShowSightingRequest>,
    ) -> Result<Response<v1::ShowSightingResponse>, Status> {
        let newest = required("newest", request.into_inner().newest).and_then(TryInto::try_into).map_err(refused)?;
        let head = self.api.show_sighting(newest).await?;
        Ok(Response::new(v1::ShowSightingResponse { head_height: head.0 }))
    }

    async fn cheat(&self, request: Request<v1::CheatRequest>) -> Result<Response<v1::CheatResponse>, Status> {
        let cheat = cheat("cheat", &request.into_inner().cheat).map_err(refused)?;
        let slot = self.api.cheat(cheat).await?;
        Ok(Response::new(v1::CheatResponse { slot: slot.0 }))
    }

    async fn deliver(&self, request: Request<v1::DeliverRequest>) -> Result<Response<v1::DeliverResponse>, Status> {
        let receipts = request.into_inner().receipts;
        let convert = |bytes: Bytes| Ok(receipt("receipts", &bytes)?);
        let results = batch::each(receipts, convert, |receipts| self.api.deliver(receipts)).await?;
        Ok(Response::new(v1::DeliverResponse { results: results.into_iter().map(Into::into).collect() }))
    }

    async fn admit(&self, request: Request<v1::AdmitRequest>) -> Result<Response<v1::AdmitResponse>, Status> {
        let receipts = request.into_inner().receipts;
        let convert = |bytes: Bytes| Ok(foreign_receipt("receipts", &bytes)?);
        let results = batch::each(receipts, convert, |receipts| self.api.admit(receipts)).await?;
        Ok(Response::new(v1::AdmitResponse { results: results.into_iter().map(Into::into).collect() }))
    }
}

/// The blocks from `from` on, once there is one.
async fn pull_blocks<A: ShardApi>(
    api: Arc<A>,
    from: Height,
) -> Result<Pulled<Height, v1::StreamBlocksResponse>, Rejection> {
    api.wait_block(from).await?;
    let blocks = api.blocks(from, STREAM_BLOCKS_COUNT).await?;
    let next = blocks.last().map_or(from, |block| block.header.height.next());
    let items = blocks.into_iter().map(|block| v1::StreamBlocksResponse { block: Some(block.into()) }).collect();
    Ok(Pulled::Items(items, next))
}
