//! The calling side of `RelayService`.

use super::convert::taken;
use super::{DeadLetter, Route, RouteKey, Taken, Trace};
use crate::batch::{runs, same_count};
use crate::client::{Connection, Repeat, Transport, call};
use crate::convert::{bytes_of, encoded};
use crate::limits::{BATCH_BYTES_TARGET, RECEIPTS_COUNT_MAX, RELAY_MESSAGE_BYTES_MAX};
use crate::participant::Answers;
use crate::proto::v1;
use crate::proto::v1::relay_service_client::RelayServiceClient;
use crate::rejection::Rejection;
use proof::{MessageId, Receipt};
use prost::bytes::Bytes;

/// Calls one relay. Every call is idempotent.
#[derive(Debug, Clone)]
pub struct RelayClient {
    connection: Connection,
    grpc: RelayServiceClient<Transport>,
}

impl RelayClient {
    /// Calls through `connection`.
    pub fn new(connection: Connection) -> Self {
        let grpc = RelayServiceClient::new(connection.transport())
            .max_decoding_message_size(RELAY_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(RELAY_MESSAGE_BYTES_MAX);
        Self { connection, grpc }
    }

    /// Hands receipts in.
    pub async fn submit_receipts(&self, receipts: &[Receipt]) -> Result<Answers<Taken>, Rejection> {
        let receipts: Vec<Bytes> = receipts.iter().map(encoded).collect();
        let mut results = Vec::with_capacity(receipts.len());
        for receipts in runs(receipts, RECEIPTS_COUNT_MAX, BATCH_BYTES_TARGET, Bytes::len) {
            let asked = receipts.len();
            let request = v1::SubmitReceiptsRequest { receipts };
            let response = self.connection.write(Repeat::Idempotent, request, call!(self, submit_receipts)).await?;
            same_count(asked, response.results.len())?;
            results.extend(response.results.into_iter().map(taken));
        }
        Ok(results)
    }

    /// The life of a message.
    pub async fn trace(&self, id: MessageId) -> Result<Trace, Rejection> {
        let request = v1::TraceMessageRequest { id: bytes_of(id.0.as_slice()) };
        Ok(self.connection.read(request, call!(self, trace_message)).await?.try_into()?)
    }

    /// All routes.
    pub async fn routes(&self) -> Result<Vec<Route>, Rejection> {
        let response = self.connection.read(v1::ListRoutesRequest {}, call!(self, list_routes)).await?;
        Ok(response.routes.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?)
    }

    /// A page of dead letters: pass the last id of the page before.
    pub async fn dead_letters(&self, after: Option<MessageId>) -> Result<Vec<DeadLetter>, Rejection> {
        let after = after.map(|id| bytes_of(id.0.as_slice())).unwrap_or_default();
        let request = v1::ListDeadLettersRequest { after, count_max: 0 };
        let response = self.connection.read(request, call!(self, list_dead_letters)).await?;
        Ok(response.dead_letters.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?)
    }

    /// Puts a dead letter back.
    pub async fn retry_dead_letter(&self, id: MessageId) -> Result<(), Rejection> {
        let request = v1::RetryDeadLetterRequest { message_id: bytes_of(id.0.as_slice()) };
        self.connection.write(Repeat::Idempotent, request, call!(self, retry_dead_letter)).await?;
        Ok(())
    }

    /// Stops a route.
    pub async fn pause(&self, route: RouteKey) -> Result<(), Rejection> {
        let request = v1::PauseRouteRequest { source: route.source, destination: route.destination };
        self.connection.write(Repeat::Idempotent, request, call!(self, pause_route)).await?;
        Ok(())
    }

    /// Lets a route carry again.
    pub async fn resume(&self, route: RouteKey) -> Result<(), Rejection> {
        let request = v1::ResumeRouteRequest { source: route.source, destination: route.destination };
        self.connection.write(Repeat::Idempotent, request, call!(self, resume_route)).await?;
        Ok(())
    }
}
