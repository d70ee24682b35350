//! The gRPC side of a [`CoordinatorApi`].

use super::{CoordinatorApi, SubmissionId};
use crate::convert::{ConvertError, bytes_of, hash};
use crate::limits::WATCHERS_COUNT_MAX;
use crate::proto::v1;
use crate::proto::v1::coordinator_service_server::CoordinatorService;
use crate::rejection::{Reason, Rejection};
use crate::shard::convert::payload;
use crate::stream::{Drain, Items, Pulled, admit, pulled};
use evm::Data;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

/// Serves a [`CoordinatorApi`].
#[derive(Debug)]
pub struct CoordinatorServer<A> {
    api: Arc<A>,
    drain: Drain,
    watchers: Arc<Semaphore>,
}

impl<A: CoordinatorApi> CoordinatorServer<A> {
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
impl<A: CoordinatorApi> CoordinatorService for CoordinatorServer<A> {
    type WatchTransactionStream = Items<v1::WatchTransactionResponse>;

    async fn submit_transaction(
        &self,
        request: Request<v1::SubmitTransactionRequest>,
    ) -> Result<Response<v1::SubmitTransactionResponse>, Status> {
        let transaction = Data(request.into_inner().transaction.into());
        let id = self.api.submit_transaction(transaction).await?;
        // Most have ended when they are answered: whoever waits for that need not ask again.
        let known = self.api.submission(id).await.ok().filter(|known| known.last.stage.is_final());
        let ended = known.map(v1::GetTransactionResponse::from);
        Ok(Response::new(v1::SubmitTransactionResponse { id: bytes_of(id.as_slice()), ended }))
    }

    async fn submit_bundle(
        &self,
        request: Request<v1::SubmitBundleRequest>,
    ) -> Result<Response<v1::SubmitBundleResponse>, Status> {
        let transactions = request.into_inner().transactions;
        if transactions.is_empty() {
            return Err(Rejection::new(Reason::InvalidArgument, "a bundle has at least one transaction").into());
        }
        let transactions = transactions.into_iter().map(|bytes| Data(bytes.into())).collect();
        let accepted = self.api.submit_bundle(transactions).await?;
        Ok(Response::new(v1::SubmitBundleResponse {
            id: bytes_of(accepted.id.as_slice()),
            transaction_hashes: accepted.transactions.iter().map(|hash| bytes_of(hash.as_slice())).collect(),
        }))
    }

    async fn submit_payload(
        &self,
        request: Request<v1::SubmitPayloadRequest>,
    ) -> Result<Response<v1::SubmitPayloadResponse>, Status> {
        let payload = payload("payload", &request.into_inner().payload).map_err(refused)?;
        let id = self.api.submit_payload(payload).await?;
        Ok(Response::new(v1::SubmitPayloadResponse { id: bytes_of(id.as_slice()) }))
    }

    async fn watch_transaction(
        &self,
        request: Request<v1::WatchTransactionRequest>,
    ) -> Result<Response<Self::WatchTransactionStream>, Status> {
        let request = request.into_inner();
        let id = hash("id", &request.id).map_err(refused)?;
        // An unknown submission is refused at once, not from within the stream.
        self.api.submission(id).await?;
        let permit = admit(&self.watchers)?;
        let api = Arc::clone(&self.api);
        let pull = move |after| pull_events(Arc::clone(&api), id, after);
        Ok(Response::new(pulled(request.after, permit, self.drain.clone(), pull)))
    }

    async fn get_transaction(
        &self,
        request: Request<v1::GetTransactionRequest>,
    ) -> Result<Response<v1::GetTransactionResponse>, Status> {
        let id = hash("id", &request.into_inner().id).map_err(refused)?;
        Ok(Response::new(self.api.submission(id).await?.into()))
    }

    async fn get_network(&self, _: Request<v1::GetNetworkRequest>) -> Result<Response<v1::GetNetworkResponse>, Status> {
        Ok(Response::new(self.api.network().await?.into()))
    }
}

/// The events after `after`, once there is one; the final event is the last.
async fn pull_events<A: CoordinatorApi>(
    api: Arc<A>,
    id: SubmissionId,
    after: u32,
) -> Result<Pulled<u32, v1::WatchTransactionResponse>, Rejection> {
    let events = api.wait_events(id, after).await?;
    let (next, is_final) = events.last().map_or((after, false), |event| (event.number, event.stage.is_final()));
    let items = events.into_iter().map(|event| v1::WatchTransactionResponse { event: Some(event.into()) }).collect();
    Ok(if is_final { Pulled::Last(items) } else { Pulled::Items(items, next) })
}
