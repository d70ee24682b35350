//! The calling side of `NodeService`.

use super::{BackedUp, NodeState};
use crate::client::{Connection, Deadlines, Repeat, Transport, call};
use crate::limits::BACKUP_TIMEOUT;
use crate::proto::v1;
use crate::proto::v1::node_service_client::NodeServiceClient;
use crate::rejection::Rejection;

/// Calls one node about itself.
#[derive(Debug, Clone)]
pub struct NodeClient {
    connection: Connection,
    grpc: NodeServiceClient<Transport>,
}

impl NodeClient {
    /// Calls through `connection`.
    pub fn new(connection: Connection) -> Self {
        let grpc = NodeServiceClient::new(connection.transport());
        Self { connection, grpc }
    }

    /// How it is.
    pub async fn state(&self) -> Result<NodeState, Rejection> {
        Ok(self.connection.read(v1::GetNodeRequest {}, call!(self, get_node)).await?.try_into()?)
    }

    /// Has it copy its store, which may take a while.
    pub async fn back_up(&self, name: String) -> Result<BackedUp, Rejection> {
        let patient = self.connection.with_deadlines(Deadlines { write: BACKUP_TIMEOUT, ..Deadlines::default() });
        let request = v1::BackupRequest { name };
        let v1::BackupResponse { path, batches, bytes } =
            patient.write(Repeat::Once, request, call!(self, backup)).await?;
        Ok(BackedUp { path, batches, bytes })
    }
}
