//! The gRPC side of a [`RelayApi`].

use super::convert::message_id;
use super::{RelayApi, RouteKey};
use crate::batch;
use crate::convert::{ConvertError, page};
use crate::limits::{DEAD_LETTERS_COUNT_MAX, ROUTES_COUNT_MAX};
use crate::proto::v1;
use crate::proto::v1::relay_service_server::RelayService;
use crate::rejection::Rejection;
use crate::shard::convert::receipt;
use prost::bytes::Bytes;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Serves a [`RelayApi`].
#[derive(Debug)]
pub struct RelayServer<A> {
    api: Arc<A>,
}

impl<A: RelayApi> RelayServer<A> {
    /// Serves `api`.
    pub fn new(api: Arc<A>) -> Self {
        Self { api }
    }
}

/// Why a request's fields are no request: as a status.
fn refused(error: ConvertError) -> Status {
    Rejection::from(error).into()
}

#[tonic::async_trait]
impl<A: RelayApi> RelayService for RelayServer<A> {
    async fn submit_receipts(
        &self,
        request: Request<v1::SubmitReceiptsRequest>,
    ) -> Result<Response<v1::SubmitReceiptsResponse>, Status> {
        let receipts = request.into_inner().receipts;
        let convert = |bytes: Bytes| Ok(receipt("receipts", &bytes)?);
        let results = batch::each(receipts, convert, |receipts| self.api.submit_receipts(receipts)).await?;
        Ok(Response::new(v1::SubmitReceiptsResponse { results: results.into_iter().map(Into::into).collect() }))
    }

    async fn trace_message(
        &self,
        request: Request<v1::TraceMessageRequest>,
    ) -> Result<Response<v1::TraceMessageResponse>, Status> {
        let id = message_id("id", &request.into_inner().id).map_err(refused)?;
        Ok(Response::new(self.api.trace(id).await?.into()))
    }

    async fn list_routes(&self, _: Request<v1::ListRoutesRequest>) -> Result<Response<v1::ListRoutesResponse>, Status> {
        let routes = self.api.routes().await?;
        let routes = routes.into_iter().take(ROUTES_COUNT_MAX).map(Into::into).collect();
        Ok(Response::new(v1::ListRoutesResponse { routes }))
    }

    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        let request = request.into_inner();
        let after =
            if request.after.is_empty() { None } else { Some(message_id("after", &request.after).map_err(refused)?) };
        let count_max = page(request.count_max, DEAD_LETTERS_COUNT_MAX);
        let letters = self.api.dead_letters(after, count_max).await?;
        let dead_letters = letters.into_iter().take(count_max).map(Into::into).collect();
        Ok(Response::new(v1::ListDeadLettersResponse { dead_letters }))
    }

    async fn retry_dead_letter(
        &self,
        request: Request<v1::RetryDeadLetterRequest>,
    ) -> Result<Response<v1::RetryDeadLetterResponse>, Status> {
        let id = message_id("message_id", &request.into_inner().message_id).map_err(refused)?;
        self.api.retry_dead_letter(id).await?;
        Ok(Response::new(v1::RetryDeadLetterResponse {}))
    }

    async fn pause_route(
        &self,
        request: Request<v1::PauseRouteRequest>,
    ) -> Result<Response<v1::PauseRouteResponse>, Status> {
        let v1::PauseRouteRequest { source, destination } = request.into_inner();
        self.api.pause(RouteKey { source, destination }).await?;
        Ok(Response::new(v1::PauseRouteResponse {}))
    }

    async fn resume_route(
        &self,
        request: Request<v1::ResumeRouteRequest>,
    ) -> Result<Response<v1::ResumeRouteResponse>, Status> {
        let v1::ResumeRouteRequest { source, destination } = request.into_inner();
        self.api.resume(RouteKey { source, destination }).await?;
        Ok(Response::new(v1::ResumeRouteResponse {}))
    }
}
