//! The gRPC side of a [`NodeApi`].

use super::{BackedUp, NodeApi};
use crate::proto::v1;
use crate::proto::v1::node_service_server::NodeService;
use crate::rejection::cut;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Serves a [`NodeApi`].
#[derive(Debug)]
pub struct NodeServer<A> {
    api: Arc<A>,
}

impl<A: NodeApi> NodeServer<A> {
    /// Serves `api`.
    pub fn new(api: Arc<A>) -> Self {
        Self { api }
    }
}

#[tonic::async_trait]
impl<A: NodeApi> NodeService for NodeServer<A> {
    async fn get_node(&self, _: Request<v1::GetNodeRequest>) -> Result<Response<v1::GetNodeResponse>, Status> {
        Ok(Response::new(self.api.state().await?.into()))
    }

    async fn backup(&self, request: Request<v1::BackupRequest>) -> Result<Response<v1::BackupResponse>, Status> {
        let BackedUp { path, batches, bytes } = self.api.back_up(request.into_inner().name).await?;
        Ok(Response::new(v1::BackupResponse { path: cut(path), batches, bytes }))
    }
}
