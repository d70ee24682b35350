//! The calling side of `ParticipantService`.

use super::convert::{answer, attempt_bytes, decided};
use super::{AbortRequest, Answers, DecisionClaim, Prepare, VoteAnswer};
use crate::batch::{runs, same_count};
use crate::client::{Connection, Repeat, Transport};
use crate::limits::{
    ABORTS_COUNT_MAX, BATCH_BYTES_TARGET, DECISIONS_COUNT_MAX, PARTICIPANT_MESSAGE_BYTES_MAX, PREPARES_COUNT_MAX,
    QUERIES_COUNT_MAX,
};
use crate::proto::v1;
use crate::proto::v1::participant_service_client::ParticipantServiceClient;
use crate::rejection::Rejection;
use primitives::{AttemptId, Height};
use prost::Message;

/// Calls one participant. Batches of any length are split into messages within the bounds, in order.
///
/// Answers are claims: check votes and decisions with [`crate::facts`]. All calls are idempotent (R2, R7) and tried again
/// while the participant is unavailable.
/// # Errors
/// A [`Rejection`] of the whole call: then nothing is known of any item, and asking again is safe.
#[derive(Debug, Clone)]
pub struct ParticipantClient {
    connection: Connection,
    grpc: ParticipantServiceClient<Transport>,
}

impl ParticipantClient {
    /// Calls through `connection`.
    pub fn new(connection: Connection) -> Self {
        let grpc = ParticipantServiceClient::new(connection.transport())
            .max_decoding_message_size(PARTICIPANT_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(PARTICIPANT_MESSAGE_BYTES_MAX);
        Self { connection, grpc }
    }

    /// Asks for votes; waits until each attempt has one.
    pub async fn prepare(&self, prepares: Vec<Prepare>) -> Result<Answers<VoteAnswer>, Rejection> {
        let prepares: Vec<v1::Prepare> = prepares.into_iter().map(Into::into).collect();
        let mut answers = Vec::with_capacity(prepares.len());
        for prepares in runs(prepares, PREPARES_COUNT_MAX, BATCH_BYTES_TARGET, v1::Prepare::encoded_len) {
            let asked = prepares.len();
            let call = |request| {
                let mut grpc = self.grpc.clone();
                async move { grpc.prepare(request).await }
            };
            let request = v1::PrepareRequest { prepares };
            let response = self.connection.write(Repeat::Idempotent, request, call).await?;
            same_count(asked, response.answers.len())?;
            answers.extend(response.answers.into_iter().map(answer));
        }
        Ok(answers)
    }

    /// Asks which votes and decisions are known.
    pub async fn query_votes(&self, attempts: Vec<AttemptId>) -> Result<Answers<VoteAnswer>, Rejection> {
        let mut answers = Vec::with_capacity(attempts.len());
        for attempts in attempts.chunks(QUERIES_COUNT_MAX) {
            let call = |request| {
                let mut grpc = self.grpc.clone();
                async move { grpc.query_votes(request).await }
            };
            let request = v1::QueryVotesRequest { attempts: attempt_bytes(attempts) };
            let response = self.connection.read(request, call).await?;
            same_count(attempts.len(), response.answers.len())?;
            answers.extend(response.answers.into_iter().map(answer));
        }
        Ok(answers)
    }

    /// Hands over decisions; answers the height at which each is durable there.
    pub async fn decide(&self, decisions: Vec<DecisionClaim>) -> Result<Answers<Height>, Rejection> {
        let decisions: Vec<v1::DecisionProof> = decisions.into_iter().map(Into::into).collect();
        let mut results = Vec::with_capacity(decisions.len());
        for decisions in runs(decisions, DECISIONS_COUNT_MAX, BATCH_BYTES_TARGET, v1::DecisionProof::encoded_len) {
            let asked = decisions.len();
            let call = |request| {
                let mut grpc = self.grpc.clone();
                async move { grpc.decide(request).await }
            };
            let request = v1::DecideRequest { decisions };
            let response = self.connection.write(Repeat::Idempotent, request, call).await?;
            same_count(asked, response.results.len())?;
            results.extend(response.results.into_iter().map(decided));
        }
        Ok(results)
    }

    /// Asks for a no on attempts that have no vote there yet; answers the votes that stand.
    pub async fn request_abort(&self, requests: Vec<AbortRequest>) -> Result<Answers<VoteAnswer>, Rejection> {
        let requests: Vec<v1::AbortRequest> = requests.into_iter().map(Into::into).collect();
        let mut answers = Vec::with_capacity(requests.len());
        for requests in runs(requests, ABORTS_COUNT_MAX, BATCH_BYTES_TARGET, v1::AbortRequest::encoded_len) {
            let asked = requests.len();
            let call = |request| {
                let mut grpc = self.grpc.clone();
                async move { grpc.request_abort(request).await }
            };
            let request = v1::RequestAbortRequest { requests };
            let response = self.connection.write(Repeat::Idempotent, request, call).await?;
            same_count(asked, response.answers.len())?;
            answers.extend(response.answers.into_iter().map(answer));
        }
        Ok(answers)
    }
}
