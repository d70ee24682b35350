//! The gRPC side of a [`ParticipantApi`].

use super::{AbortRequest, DecisionClaim, ParticipantApi, Prepare};
use crate::proto::v1;
use crate::proto::v1::participant_service_server::ParticipantService;
use crate::{batch, convert};
use prost::bytes::Bytes;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Serves a [`ParticipantApi`]: converts, refuses what does not convert item by item, passes the rest on.
#[derive(Debug)]
pub struct ParticipantServer<A> {
    api: Arc<A>,
}

impl<A: ParticipantApi> ParticipantServer<A> {
    /// Serves `api`.
    pub fn new(api: Arc<A>) -> Self {
        Self { api }
    }
}

#[tonic::async_trait]
impl<A: ParticipantApi> ParticipantService for ParticipantServer<A> {
    async fn prepare(&self, request: Request<v1::PrepareRequest>) -> Result<Response<v1::PrepareResponse>, Status> {
        let prepares = request.into_inner().prepares;
        let convert = |prepare: v1::Prepare| Ok(Prepare::try_from(prepare)?);
        let answers = batch::each(prepares, convert, |prepares| self.api.prepare(prepares)).await?;
        Ok(Response::new(v1::PrepareResponse { answers: answers.into_iter().map(Into::into).collect() }))
    }

    async fn query_votes(
        &self,
        request: Request<v1::QueryVotesRequest>,
    ) -> Result<Response<v1::QueryVotesResponse>, Status> {
        let attempts = request.into_inner().attempts;
        let convert = |id: Bytes| Ok(convert::attempt("attempts", &id)?);
        let answers = batch::each(attempts, convert, |attempts| self.api.query_votes(attempts)).await?;
        Ok(Response::new(v1::QueryVotesResponse { answers: answers.into_iter().map(Into::into).collect() }))
    }

    async fn decide(&self, request: Request<v1::DecideRequest>) -> Result<Response<v1::DecideResponse>, Status> {
        let decisions = request.into_inner().decisions;
        let convert = |proof: v1::DecisionProof| Ok(DecisionClaim::try_from(proof)?);
        let results = batch::each(decisions, convert, |claims| self.api.decide(claims)).await?;
        Ok(Response::new(v1::DecideResponse { results: results.into_iter().map(Into::into).collect() }))
    }

    async fn request_abort(
        &self,
        request: Request<v1::RequestAbortRequest>,
    ) -> Result<Response<v1::RequestAbortResponse>, Status> {
        let requests = request.into_inner().requests;
        let convert = |request: v1::AbortRequest| Ok(AbortRequest::try_from(request)?);
        let answers = batch::each(requests, convert, |requests| self.api.request_abort(requests)).await?;
        Ok(Response::new(v1::RequestAbortResponse { answers: answers.into_iter().map(Into::into).collect() }))
    }
}
