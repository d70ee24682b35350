//! The calling side of `OperatorService`.

use super::{Letter, Way};
use crate::client::{Connection, Deadlines, Repeat, Transport, call};
use crate::convert::{bytes_of, required};
use crate::hops::Sight;
use crate::limits::{DEAD_LETTERS_COUNT_MAX, OPERATOR_MESSAGE_BYTES_MAX, OPERATOR_TIMEOUT};
use crate::proto::v1;
use crate::proto::v1::operator_service_client::OperatorServiceClient;
use crate::rejection::Rejection;
use alloy_primitives::B256;

/// Calls one node on its operator's behalf.
#[derive(Debug, Clone)]
pub struct OperatorClient {
    connection: Connection,
    grpc: OperatorServiceClient<Transport>,
}

impl OperatorClient {
    /// Calls through `connection`. A node may answer only after its next round, so it is waited for.
    pub fn new(connection: &Connection) -> Self {
        let patient = Deadlines { read: OPERATOR_TIMEOUT, write: OPERATOR_TIMEOUT };
        let connection = connection.with_deadlines(patient);
        let grpc = OperatorServiceClient::new(connection.transport())
            .max_decoding_message_size(OPERATOR_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(OPERATOR_MESSAGE_BYTES_MAX);
        Self { connection, grpc }
    }

    /// Every way.
    pub async fn ways(&self) -> Result<Vec<Way>, Rejection> {
        let response = self.connection.read(v1::ListWaysRequest {}, call!(self, list_ways)).await?;
        Ok(response.ways.into_iter().map(Into::into).collect())
    }

    /// All letters, page after page.
    pub async fn letters(&self) -> Result<Vec<Letter>, Rejection> {
        let mut letters: Vec<Letter> = Vec::new();
        loop {
            let after = letters.last().map(|letter| bytes_of(letter.id.as_slice())).unwrap_or_default();
            let request = v1::ListLettersRequest { after, count_max: 0 };
            let page = self.connection.read(request, call!(self, list_letters)).await?.letters;
            let is_last = page.len() < DEAD_LETTERS_COUNT_MAX;
            letters.extend(page.into_iter().map(TryInto::try_into).collect::<Result<Vec<_>, _>>()?);
            if is_last {
                return Ok(letters);
            }
        }
    }

    /// One with its bytes.
    pub async fn letter(&self, id: B256) -> Result<Letter, Rejection> {
        let request = v1::GetLetterRequest { id: bytes_of(id.as_slice()) };
        let response = self.connection.read(request, call!(self, get_letter)).await?;
        Ok(required("letter", response.letter)?.try_into()?)
    }

    /// Tries one again.
    pub async fn retry(&self, id: B256, gas_min: u64) -> Result<(), Rejection> {
        let request = v1::RetryLetterRequest { id: bytes_of(id.as_slice()), gas_min };
        self.connection.write(Repeat::Once, request, call!(self, retry_letter)).await.map(drop)
    }

    /// Has one given back.
    pub async fn refund(&self, id: B256) -> Result<(), Rejection> {
        let request = v1::RefundLetterRequest { id: bytes_of(id.as_slice()) };
        self.connection.write(Repeat::Once, request, call!(self, refund_letter)).await.map(drop)
    }

    /// Gives one up.
    pub async fn drop_letter(&self, id: B256, reason: String) -> Result<(), Rejection> {
        let request = v1::DropLetterRequest { id: bytes_of(id.as_slice()), reason };
        self.connection.write(Repeat::Once, request, call!(self, drop_letter)).await.map(drop)
    }

    /// Brings nothing new on a way.
    pub async fn pause(&self, way: String, reason: String) -> Result<(), Rejection> {
        let request = v1::PauseWayRequest { way, reason };
        self.connection.write(Repeat::Idempotent, request, call!(self, pause_way)).await.map(drop)
    }

    /// Brings on it again.
    pub async fn resume(&self, way: String) -> Result<(), Rejection> {
        let request = v1::ResumeWayRequest { way };
        self.connection.write(Repeat::Idempotent, request, call!(self, resume_way)).await.map(drop)
    }

    /// Has blocks looked at again, both ends included.
    pub async fn rescan(&self, way: String, from: u64, to: u64) -> Result<(), Rejection> {
        let request = v1::RescanBlocksRequest { way, from, to };
        self.connection.write(Repeat::Idempotent, request, call!(self, rescan_blocks)).await.map(drop)
    }

    /// What the node knows of a message.
    pub async fn explain(&self, id: B256) -> Result<Sight, Rejection> {
        let request = v1::ExplainMessageRequest { id: bytes_of(id.as_slice()) };
        Ok(self.connection.read(request, call!(self, explain_message)).await?.try_into()?)
    }
}
