//! Who may call, and how often: by certificate and role, by address, by bearer token; each within its quota.

use super::client::Client;
use super::complaints::Complaints;
use super::lanes::UNDER_WAY;
use super::listener::Peer;
use crate::quota::{Buckets, Quota};
use crate::rejection::{Reason, Rejection};
use crate::roles::{self, HEALTH_PATH, Role, Row};
use crate::tls::{Names, Roles, now_s};
use alloy_primitives::{B256, keccak256};
use futures_util::future::{Either, Ready, ready};
use http::{Request, Response};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use tonic::Status;
use tower::{Layer, Service};

/// Whose bucket a call is paid from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Caller {
    /// By certificate: all connections that show this name.
    Named(String),
    /// In plain text: all connections from this address.
    From(Client),
}

/// What is never refused for a quota.
fn is_free(path: &str) -> bool {
    path.starts_with(HEALTH_PATH) || UNDER_WAY.contains(&path)
}

/// Who may call a server. By default everyone who reaches it, and an operator from loopback; with a token, whoever has it.
#[derive(Clone, Default)]
pub struct Access {
    /// keccak256 of the token, so that comparing takes the same time wherever two tokens part.
    token: Option<B256>,
    peers: BTreeSet<IpAddr>,
    roles: Arc<RwLock<Arc<Roles>>>,
    complaints: Arc<Complaints>,
    buckets: Buckets<Caller>,
}

impl Access {
    /// Those who send `authorization: Bearer <token>`.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(keccak256(token));
        self
    }

    /// Those whose connection comes from one of `peers`; of none, everyone.
    #[must_use]
    pub fn with_peers(mut self, peers: impl IntoIterator<Item = IpAddr>) -> Self {
        self.peers.extend(peers);
        self
    }

    /// Gives certificates the roles that `roles` says. Without it no certificate has any.
    #[must_use]
    pub fn with_roles(self, roles: Roles) -> Self {
        self.set_roles(roles);
        self
    }

    /// Gives certificates other roles from the next call on; for all clones.
    pub fn set_roles(&self, roles: Roles) {
        *self.roles.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(roles);
    }

    /// Lets each peer call so often and no more; decisions are counted with the rest and never refused, as what they end holds locks.
    #[must_use]
    pub fn with_quota(self, quota: Option<Quota>) -> Self {
        self.set_quota(quota);
        self
    }

    /// Another quota from the next call on; for all clones.
    pub fn set_quota(&self, quota: Option<Quota>) {
        self.buckets.set(quota);
    }

    fn check_quota<B>(&self, request: &Request<B>) -> Result<(), Rejection> {
        let path = request.uri().path();
        let caller = match of(request) {
            Some(Peer { names: Some(names), .. }) => Caller::Named(names.first().to_owned()),
            Some(peer) => Caller::From(peer.tcp.remote_addr().map_or(Client::LOCAL, Client::from)),
            None => Caller::From(Client::LOCAL),
        };
        match self.buckets.take(&caller) {
            Err(over) if !is_free(path) => Err(Rejection::new(Reason::Busy, over.to_string())),
            _ => Ok(()),
        }
    }

    fn check<B>(&self, request: &Request<B>) -> Result<(), Rejection> {
        self.check_peer(request)?;
        match of(request).and_then(|peer| peer.names.as_deref()) {
            Some(names) => self.check_role(request.uri().path(), names, now_s()).inspect_err(|rejection| {
                self.complaints.tell(|left_out| {
                    tracing::warn!(%rejection, left_out, "a call was refused");
                });
            })?,
            None => self.check_operator(request.uri().path(), peer(request))?,
        }
        self.check_token(request)?;
        self.check_quota(request)
    }

    fn check_role(&self, path: &str, names: &Names, now_s: i64) -> Result<(), Rejection> {
        if names.is_expired(now_s) {
            let text =
                format!("the certificate of {names} expired {}: connect again with a renewed one", names.until());
            return Err(Rejection::new(Reason::Unauthenticated, text));
        }
        if path.starts_with(HEALTH_PATH) {
            return Ok(());
        }
        let roles = Arc::clone(&self.roles.read().unwrap_or_else(PoisonError::into_inner));
        let own = roles.of(names);
        let denied = |text: String| Err(Rejection::new(Reason::PermissionDenied, text));
        match roles::row(path) {
            Some(row) if row.callers.iter().any(|role| own.contains(role)) => Ok(()),
            _ if own.is_empty() => denied(format!("the certificate of {names} has no role here: {}", roles.advice())),
            Some(row) => denied(format!(
                "{names} is {} and may not call {}, which is for {}",
                listed(own.iter().copied()),
                row.method,
                listed(row.callers.iter().copied())
            )),
            None => denied(format!("{path} is for nobody: it has no row in the table of roles")),
        }
    }

    /// Without a token nobody can tell an operator from a stranger but by where the call comes from.
    fn check_operator(&self, path: &str, peer: Option<IpAddr>) -> Result<(), Rejection> {
        let is_free = self.token.is_some() || !roles::row(path).is_some_and(Row::is_operators);
        if is_free || peer.is_some_and(|peer| peer.is_loopback()) {
            return Ok(());
        }
        Err(Rejection::new(Reason::PermissionDenied, "an operator calls from loopback, or shows the server's token"))
    }

    fn check_peer<B>(&self, request: &Request<B>) -> Result<(), Rejection> {
        if self.peers.is_empty() {
            return Ok(());
        }
        match peer(request) {
            Some(peer) if self.peers.contains(&peer) => Ok(()),
            Some(peer) => {
                let rejection = Rejection::new(Reason::PermissionDenied, format!("{peer} may not call this server"));
                Err(rejection.with("peer", peer))
            }
            None => Err(Rejection::new(Reason::PermissionDenied, "the connection has no address")),
        }
    }

    fn check_token<B>(&self, request: &Request<B>) -> Result<(), Rejection> {
        let Some(expected) = self.token.filter(|_| !request.uri().path().starts_with(HEALTH_PATH)) else {
            return Ok(());
        };
        let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        match header.and_then(|value| value.strip_prefix("Bearer ")) {
            Some(token) if keccak256(token) == expected => Ok(()),
            Some(_) => Err(Rejection::new(Reason::Unauthenticated, "the bearer token is not this server's")),
            None => Err(Rejection::new(Reason::Unauthenticated, "this server asks for a bearer token")),
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token, peers, .. } = self;
        f.debug_struct("Access").field("token", &token.is_some()).field("peers", peers).finish_non_exhaustive()
    }
}

fn listed(roles: impl Iterator<Item = Role>) -> String {
    roles.map(Role::as_str).collect::<Vec<_>>().join(", ")
}

/// The connection that a call came by.
pub(super) fn of<B>(request: &Request<B>) -> Option<&Peer> {
    request.extensions().get()
}

fn peer<B>(request: &Request<B>) -> Option<IpAddr> {
    of(request)?.tcp.remote_addr().map(|address| address.ip().to_canonical())
}

/// Puts an [`Access`] before a service.
#[derive(Debug, Clone)]
pub(crate) struct AccessLayer {
    access: Access,
}

impl AccessLayer {
    pub(crate) fn new(access: Access) -> Self {
        Self { access }
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, access: self.access.clone() }
    }
}

/// A service behind an [`Access`].
#[derive(Debug, Clone)]
pub(crate) struct Guarded<S> {
    inner: S,
    access: Access,
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<R>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.access.check(&request) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(rejection) => Either::Right(ready(Ok(Status::from(rejection).into_http()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, token: Option<&str>) -> Request<()> {
        let request = Request::builder().uri(path);
        match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")).body(()).unwrap(),
            None => request.body(()).unwrap(),
        }
    }

    #[test]
    fn a_call_without_the_token_is_refused_and_health_is_not() {
        let access = Access::default().with_token("secret");
        let reason = |request| access.check(&request).map_err(|rejection| rejection.reason);
        assert_eq!(reason(request("/dovetail.v1.ShardService/Deliver", Some("secret"))), Ok(()));
        assert_eq!(reason(request("/dovetail.v1.ShardService/Deliver", Some("other"))), Err(Reason::Unauthenticated));
        assert_eq!(reason(request("/dovetail.v1.ShardService/Deliver", None)), Err(Reason::Unauthenticated));
        assert_eq!(reason(request("/grpc.health.v1.Health/Check", None)), Ok(()));
    }

    #[test]
    fn a_stranger_pauses_no_route() {
        let (open, closed) = (Access::default(), Access::default().with_token("secret"));
        let (far, here) = (Some("10.0.0.7".parse().unwrap()), Some("127.0.0.1".parse().unwrap()));
        let orders = crate::roles::TABLE.iter().filter(|row| row.is_operators());
        assert_eq!(orders.clone().count(), 10, "relays', carriers' and every node's");
        for row in orders {
            let path = &format!("/{}/{}", row.service, row.method);
            assert_eq!(open.check_operator(path, far).unwrap_err().reason, Reason::PermissionDenied);
            assert_eq!(open.check_operator(path, None).unwrap_err().reason, Reason::PermissionDenied);
            assert_eq!(open.check_operator(path, here), Ok(()));
            assert_eq!(closed.check_operator(path, far), Ok(()), "its token is asked for");
            assert_eq!(closed.check(&request(path, None)).unwrap_err().reason, Reason::Unauthenticated);
        }
        assert_eq!(open.check_operator("/dovetail.v1.RelayService/ListRoutes", far), Ok(()));
    }

    #[test]
    fn a_stranger_is_refused() {
        let access = Access::default().with_peers(["10.0.0.1".parse().unwrap()]);
        assert_eq!(access.check(&request("/x", None)).unwrap_err().reason, Reason::PermissionDenied);
    }

    #[test]
    fn a_token_is_never_printed() {
        assert!(!format!("{:?}", Access::default().with_token("hunter2")).contains("hunter2"));
    }
}
