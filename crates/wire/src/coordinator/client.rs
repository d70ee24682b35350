//! The calling side of `CoordinatorService`.

use super::{BundleAccepted, LifeEvent, Network, Submission, SubmissionId, TransactionAccepted};
use crate::client::{Connection, Repeat, Transport, call};
use crate::convert::{bytes_of, encoded, hash, required};
use crate::limits::COORDINATOR_MESSAGE_BYTES_MAX;
use crate::proto::v1;
use crate::proto::v1::coordinator_service_client::CoordinatorServiceClient;
use crate::rejection::{Reason, Rejection};
use evm::{Data, Payload};
use futures_util::stream::{Stream, StreamExt};
use tonic::Request;

/// Calls one coordinator.
///
/// Submissions are not tried again by themselves: after [`Reason::Unavailable`] or [`Reason::TimedOut`] ask for the
/// submission first, or submit again and take [`Reason::AlreadyKnown`] as success.
#[derive(Debug, Clone)]
pub struct CoordinatorClient {
    connection: Connection,
    grpc: CoordinatorServiceClient<Transport>,
}

impl CoordinatorClient {
    /// Calls through `connection`.
    pub fn new(connection: Connection) -> Self {
        let grpc = CoordinatorServiceClient::new(connection.transport())
            .max_decoding_message_size(COORDINATOR_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(COORDINATOR_MESSAGE_BYTES_MAX);
        Self { connection, grpc }
    }

    /// Submits a signed transaction; says what became of it too, if it has ended by then.
    pub async fn submit_transaction(&self, transaction: Data) -> Result<TransactionAccepted, Rejection> {
        let request = v1::SubmitTransactionRequest { transaction: transaction.0.into() };
        let response = self.connection.write(Repeat::Once, request, call!(self, submit_transaction)).await?;
        let ended = response.ended.map(Submission::try_from).transpose()?;
        Ok(TransactionAccepted { id: hash("id", &response.id)?, ended })
    }

    /// Submits signed transactions to be committed in order, all or none.
    pub async fn submit_bundle(&self, transactions: Vec<Data>) -> Result<BundleAccepted, Rejection> {
        let transactions = transactions.into_iter().map(|bytes| bytes.0.into()).collect();
        let request = v1::SubmitBundleRequest { transactions };
        let response = self.connection.write(Repeat::Once, request, call!(self, submit_bundle)).await?;
        let hashes = response.transaction_hashes.iter().map(|bytes| hash("transaction_hashes", bytes));
        Ok(BundleAccepted { id: hash("id", &response.id)?, transactions: hashes.collect::<Result<_, _>>()? })
    }

    /// Submits a whole payload to a replay network.
    pub async fn submit_payload(&self, payload: &Payload) -> Result<SubmissionId, Rejection> {
        let request = v1::SubmitPayloadRequest { payload: encoded(payload) };
        let response = self.connection.write(Repeat::Once, request, call!(self, submit_payload)).await?;
        Ok(hash("id", &response.id)?)
    }

    /// The life of a submission after event `after`, as it goes on, to its final event. A stream that ends before that
    /// was cut: resume after the last event's number.
    pub async fn watch(
        &self,
        id: SubmissionId,
        after: u32,
    ) -> Result<impl Stream<Item = Result<LifeEvent, Rejection>> + Send + use<>, Rejection> {
        let mut grpc = self.grpc.clone();
        let request = Request::new(v1::WatchTransactionRequest { id: bytes_of(id.as_slice()), after });
        let stream = grpc.watch_transaction(request).await?;
        Ok(stream.into_inner().map(|item| Ok(required("event", item?.event)?.try_into()?)))
    }

    /// Follows a submission to its final event, over as many streams as that takes, and says what became of it.
    pub async fn wait_final(&self, id: SubmissionId) -> Result<Submission, Rejection> {
        let mut after = 0;
        loop {
            let mut events = Box::pin(self.watch(id, after).await?);
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) if event.stage.is_final() => return self.submission(id).await,
                    Ok(event) => after = event.number,
                    Err(rejection) if rejection.reason == Reason::Unavailable => break,
                    Err(rejection) => return Err(rejection),
                }
            }
        }
    }

    /// What is known of a submission.
    pub async fn submission(&self, id: SubmissionId) -> Result<Submission, Rejection> {
        let request = v1::GetTransactionRequest { id: bytes_of(id.as_slice()) };
        Ok(self.connection.read(request, call!(self, get_transaction)).await?.try_into()?)
    }

    /// The network.
    pub async fn network(&self) -> Result<Network, Rejection> {
        Ok(self.connection.read(v1::GetNetworkRequest {}, call!(self, get_network)).await?.try_into()?)
    }
}
