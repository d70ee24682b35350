//! The gRPC side of an [`OperatorApi`].

use super::OperatorApi;
use crate::convert::{hash, page};
use crate::limits::{DEAD_LETTERS_COUNT_MAX, ROUTES_COUNT_MAX};
use crate::proto::v1;
use crate::proto::v1::operator_service_server::OperatorService;
use crate::rejection::{Reason, Rejection};
use alloy_primitives::B256;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Serves an [`OperatorApi`].
#[derive(Debug)]
pub struct OperatorServer<A> {
    api: Arc<A>,
}

impl<A: OperatorApi> OperatorServer<A> {
    /// Serves `api`.
    pub fn new(api: Arc<A>) -> Self {
        Self { api }
    }
}

fn id(bytes: &[u8]) -> Result<B256, Status> {
    hash("id", bytes).map_err(|error| Rejection::from(error).into())
}

fn invalid(text: &str) -> Status {
    Rejection::new(Reason::InvalidArgument, text).into()
}

#[tonic::async_trait]
impl<A: OperatorApi> OperatorService for OperatorServer<A> {
    async fn list_ways(&self, _: Request<v1::ListWaysRequest>) -> Result<Response<v1::ListWaysResponse>, Status> {
        let ways = self.api.ways().await?.into_iter().take(ROUTES_COUNT_MAX).map(Into::into).collect();
        Ok(Response::new(v1::ListWaysResponse { ways }))
    }

    async fn list_letters(
        &self,
        request: Request<v1::ListLettersRequest>,
    ) -> Result<Response<v1::ListLettersResponse>, Status> {
        let v1::ListLettersRequest { after, count_max } = request.into_inner();
        let after = if after.is_empty() { None } else { Some(id(&after)?) };
        let count_max = page(count_max, DEAD_LETTERS_COUNT_MAX);
        let letters = self.api.letters(after, count_max).await?;
        let letters = letters.into_iter().take(count_max).map(Into::into).collect();
        Ok(Response::new(v1::ListLettersResponse { letters }))
    }

    async fn get_letter(
        &self,
        request: Request<v1::GetLetterRequest>,
    ) -> Result<Response<v1::GetLetterResponse>, Status> {
        let letter = self.api.letter(id(&request.into_inner().id)?).await?;
        Ok(Response::new(v1::GetLetterResponse { letter: Some(letter.into()) }))
    }

    async fn retry_letter(
        &self,
        request: Request<v1::RetryLetterRequest>,
    ) -> Result<Response<v1::RetryLetterResponse>, Status> {
        let request = request.into_inner();
        self.api.retry(id(&request.id)?, request.gas_min).await?;
        Ok(Response::new(v1::RetryLetterResponse {}))
    }

    async fn refund_letter(
        &self,
        request: Request<v1::RefundLetterRequest>,
    ) -> Result<Response<v1::RefundLetterResponse>, Status> {
        self.api.refund(id(&request.into_inner().id)?).await?;
        Ok(Response::new(v1::RefundLetterResponse {}))
    }

    async fn drop_letter(
        &self,
        request: Request<v1::DropLetterRequest>,
    ) -> Result<Response<v1::DropLetterResponse>, Status> {
        let v1::DropLetterRequest { id: letter, reason } = request.into_inner();
        if reason.trim().is_empty() {
            return Err(invalid("a letter is dropped for a reason: say which"));
        }
        self.api.drop_letter(id(&letter)?, reason).await?;
        Ok(Response::new(v1::DropLetterResponse {}))
    }

    async fn pause_way(&self, request: Request<v1::PauseWayRequest>) -> Result<Response<v1::PauseWayResponse>, Status> {
        let v1::PauseWayRequest { way, reason } = request.into_inner();
        self.api.pause(way, reason).await?;
        Ok(Response::new(v1::PauseWayResponse {}))
    }

    async fn resume_way(
        &self,
        request: Request<v1::ResumeWayRequest>,
    ) -> Result<Response<v1::ResumeWayResponse>, Status> {
        self.api.resume(request.into_inner().way).await?;
        Ok(Response::new(v1::ResumeWayResponse {}))
    }

    async fn rescan_blocks(
        &self,
        request: Request<v1::RescanBlocksRequest>,
    ) -> Result<Response<v1::RescanBlocksResponse>, Status> {
        let v1::RescanBlocksRequest { way, from, to } = request.into_inner();
        if from > to {
            return Err(invalid(&format!("block {from}, the first, is after block {to}, the last")));
        }
        self.api.rescan(way, from, to).await?;
        Ok(Response::new(v1::RescanBlocksResponse {}))
    }

    async fn explain_message(
        &self,
        request: Request<v1::ExplainMessageRequest>,
    ) -> Result<Response<v1::ExplainMessageResponse>, Status> {
        let sight = self.api.explain(id(&request.into_inner().id)?).await?;
        Ok(Response::new(sight.into()))
    }
}
