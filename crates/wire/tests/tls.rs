//! Certificates between a server and its clients: who is let in, what both sides are told, and what a renewal loses, which is nothing.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use dovetail_wire as wire;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;
use wire::client::{ClientSettings, Connection, Deadlines};
use wire::participant::Answers;
use wire::quota::Quota;
use wire::relay::{DeadLetter, RelayApi, RelayClient, Route, RouteKey, Taken, Trace};
use wire::roles::{Role, TABLE};
use wire::server::{Access, Listener, ServerBuilder, ServerSettings};
use wire::tls::{Roles, Tls, TlsError, TlsFiles};
use wire::{Reason, Rejection};

const NETWORK: u64 = 7;
const HOUR: Duration = Duration::from_hours(1);

/// An authority in a folder of its own.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

fn valid(mut parameters: CertificateParams, from: SystemTime, until: SystemTime) -> CertificateParams {
    parameters.not_before = from.into();
    parameters.not_after = until.into();
    parameters
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec![]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(folder.path().join("authority.pem"), parameters.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: Issuer::new(parameters, key) }
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// Where a certificate of this authority is, or will be.
    fn files(&self, name: &str) -> TlsFiles {
        let file = |what: &str| self.folder.path().join(format!("{name}.{what}"));
        TlsFiles { certificate: file("pem"), key: file("key"), authority: self.authority() }
    }

    /// Writes a certificate with the URI `uri`, for 127.0.0.1, valid between two times.
    fn write(&self, name: &str, uri: &str, from: SystemTime, until: SystemTime) -> TlsFiles {
        let (files, key) = (self.files(name), KeyPair::generate().unwrap());
        let mut parameters = valid(CertificateParams::new(vec![]).unwrap(), from, until);
        parameters.subject_alt_names =
            vec![SanType::URI(uri.try_into().unwrap()), SanType::IpAddress([127, 0, 0, 1].into())];
        fs::write(&files.certificate, parameters.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    fn issue(&self, name: &str, uri: &str) -> TlsFiles {
        let now = SystemTime::now();
        self.write(name, uri, now - HOUR, now + HOUR)
    }

    fn tls(&self, role: Role) -> Tls {
        Tls::open(self.issue(role.as_str(), &Roles::uri(NETWORK, role, "0"))).unwrap()
    }
}

/// Counts what it is asked.
#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl RelayApi for Counting {
    async fn submit_receipts(&self, _: Vec<proof::Receipt>) -> Result<Answers<Taken>, Rejection> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(vec![])
    }

    async fn trace(&self, _: proof::MessageId) -> Result<Trace, Rejection> {
        Err(Rejection::new(Reason::NotFound, "nothing is known of it"))
    }

    async fn routes(&self) -> Result<Vec<Route>, Rejection> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(vec![])
    }

    async fn dead_letters(&self, _: Option<proof::MessageId>, _: usize) -> Result<Vec<DeadLetter>, Rejection> {
        Ok(vec![])
    }

    async fn retry_dead_letter(&self, _: proof::MessageId) -> Result<(), Rejection> {
        Ok(())
    }

    async fn pause(&self, _: RouteKey) -> Result<(), Rejection> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn resume(&self, _: RouteKey) -> Result<(), Rejection> {
        Ok(())
    }
}

struct Server {
    address: SocketAddr,
    api: Arc<Counting>,
    _stop: oneshot::Sender<()>,
}

async fn serve(tls: Tls, roles: Roles) -> Server {
    serve_with(tls, Access::default().with_roles(roles)).await
}

async fn serve_with(tls: Tls, access: Access) -> Server {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (address, api) = (listener.address(), Arc::new(Counting::default()));
    let settings = ServerSettings { tls: Some(tls), access };
    let server = ServerBuilder::new(settings).unwrap().relay(Arc::clone(&api));
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        server.serve(listener, stopped).await.unwrap();
    });
    Server { address, api, _stop: stop }
}

fn roles() -> Roles {
    Roles::new(NETWORK, [("bound.example".to_owned(), Role::Observer)].into())
}

fn client(server: &Server, tls: &Tls) -> RelayClient {
    let endpoint = format!("https://{}", server.address);
    let settings = ClientSettings { tls: Some(tls.clone()), ..ClientSettings::plain(endpoint) };
    let deadlines = Deadlines { read: Duration::from_secs(5), write: Duration::from_secs(5) };
    RelayClient::new(Connection::open(&settings).unwrap().with_deadlines(deadlines))
}

const ROUTE: RouteKey = RouteKey { source: 0, destination: 1 };

#[tokio::test]
async fn who_has_the_role_is_let_in_and_who_has_another_is_told_which_it_takes() {
    let authority = Authority::new();
    let server = serve(authority.tls(Role::Relay), roles()).await;
    for role in Role::ALL {
        let client = client(&server, &authority.tls(role));
        assert_eq!(client.routes().await, Ok(vec![]), "{role} may look");
        let pausing = client.pause(ROUTE).await;
        if role == Role::Operator {
            assert_eq!(pausing, Ok(()));
        } else {
            let refusal = pausing.unwrap_err();
            assert_eq!(refusal.reason, Reason::PermissionDenied);
            let words =
                format!("spiffe://dovetail-7/{role}/0 is {role} and may not call PauseRoute, which is for operator");
            assert_eq!(refusal.message, words);
        }
    }
}

/// Every row of the table over a real connection: the call of a method that this server does not have is let through or refused before
/// that is known.
#[tokio::test]
async fn every_row_holds_on_the_wire() {
    let authority = Authority::new();
    let server = serve(authority.tls(Role::Relay), roles()).await;
    for role in Role::ALL {
        let channel = channel(&server, &authority, role).await;
        for row in TABLE.iter().filter(|row| row.service.starts_with("dovetail")) {
            let path = format!("/{}/{}", row.service, row.method).parse().unwrap();
            let mut grpc = tonic::client::Grpc::new(channel.clone());
            grpc.ready().await.unwrap();
            let codec = tonic_prost::ProstCodec::<(), ()>::default();
            let status = grpc.unary(tonic::Request::new(()), path, codec).await.err();
            let is_denied = status.is_some_and(|status| status.code() == tonic::Code::PermissionDenied);
            assert_eq!(is_denied, !row.callers.contains(&role), "{role} calls {}", row.method);
        }
    }
}

/// A channel of tonic's own, for calls that the typed clients never make.
async fn channel(server: &Server, authority: &Authority, role: Role) -> tonic::transport::Channel {
    use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
    let files = authority.issue(role.as_str(), &Roles::uri(NETWORK, role, "0"));
    let read = |path: &Path| fs::read(path).unwrap();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&files.authority)))
        .identity(Identity::from_pem(read(&files.certificate), read(&files.key)));
    let endpoint = Endpoint::from_shared(format!("https://{}", server.address)).unwrap();
    endpoint.tls_config(tls).unwrap().connect().await.unwrap()
}

#[tokio::test]
async fn a_certificate_without_a_role_reads_nothing_and_is_told_how_to_get_one() {
    let authority = Authority::new();
    let server = serve(authority.tls(Role::Relay), roles()).await;
    let foreign = Tls::open(authority.issue("foreign", &Roles::uri(8, Role::Operator, "0"))).unwrap();
    let refusal = client(&server, &foreign).routes().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::PermissionDenied);
    assert!(refusal.message.contains("has no role here") && refusal.message.contains("[roles]"), "{refusal}");
}

/// What a client hears whose certificate is not taken.
async fn refused(server: &Server, tls: &Tls) -> String {
    let refusal = client(server, tls).routes().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::Unavailable, "{refusal}");
    assert_eq!(server.api.0.load(Ordering::Relaxed), 0, "nothing was asked of the service");
    refusal.message
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_on_both_sides() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = serve(authority.tls(Role::Relay), roles()).await;
    // The client trusts its own authority alone, and hangs up itself.
    let words = refused(&server, &other.tls(Role::Operator)).await;
    assert!(words.contains("not signed by the authority"), "{words}");
    // One that trusts both is refused by the server.
    let both = fs::read_to_string(authority.authority()).unwrap() + &fs::read_to_string(other.authority()).unwrap();
    fs::write(other.authority(), both).unwrap();
    let words = refused(&server, &other.tls(Role::Operator)).await;
    assert!(words.contains("the peer refuses our certificate"), "{words}");
}

#[tokio::test]
async fn a_certificate_that_signs_itself_is_no_certificate() {
    let authority = Authority::new();
    let files = authority.issue("own", &Roles::uri(NETWORK, Role::Operator, "0"));
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["own.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(&files.certificate, certificate.pem()).unwrap();
    fs::write(&files.key, key.serialize_pem()).unwrap();
    let refusal = Tls::open(files.clone()).unwrap_err();
    assert!(matches!(&refusal, TlsError::Refused { reason, .. } if reason.contains("signed by itself")), "{refusal}");
    // Whoever shows it all the same trusts itself.
    let both = fs::read_to_string(&files.authority).unwrap() + &certificate.pem();
    let server = serve(authority.tls(Role::Relay), roles()).await;
    fs::write(&files.authority, both).unwrap();
    let words = refused(&server, &Tls::open(files).unwrap()).await;
    assert!(words.contains("the peer refuses our certificate"), "{words}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_at_the_start_and_at_the_next_call() {
    let authority = Authority::new();
    let (now, uri) = (SystemTime::now(), Roles::uri(NETWORK, Role::Operator, "0"));
    let expired = authority.write("expired", &uri, now - 2 * HOUR, now - HOUR);
    let refusal = Tls::open(expired).unwrap_err();
    assert!(matches!(&refusal, TlsError::Refused { reason, .. } if reason.contains("has expired")), "{refusal}");
    let server = serve(authority.tls(Role::Relay), roles()).await;
    let soon = Tls::open(authority.write("soon", &uri, now - HOUR, now + Duration::from_secs(2))).unwrap();
    let known = client(&server, &soon);
    assert_eq!(known.routes().await, Ok(vec![]));
    let until = now + Duration::from_millis(3_500);
    tokio::time::sleep(until.duration_since(SystemTime::now()).unwrap_or_default()).await;
    let refusal = known.routes().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::Unauthenticated);
    assert!(refusal.message.contains("expired"), "{refusal}");
    let refusal = client(&server, &soon).routes().await.unwrap_err();
    assert!(refusal.message.contains("it has expired"), "{refusal}");
}

#[tokio::test]
async fn a_server_under_another_name_is_not_called() {
    let authority = Authority::new();
    let server = serve(authority.tls(Role::Relay), roles()).await;
    let settings = ClientSettings {
        tls: Some(authority.tls(Role::Operator)),
        server_name: Some("shard-0.shard".to_owned()),
        ..ClientSettings::plain(format!("https://{}", server.address))
    };
    let refusal = RelayClient::new(Connection::open(&settings).unwrap()).routes().await.unwrap_err();
    assert!(refusal.message.contains("for another name"), "{refusal}");
}

#[tokio::test]
async fn files_that_do_not_hold_together_change_nothing() {
    let authority = Authority::new();
    let tls = authority.tls(Role::Operator);
    let server = serve(authority.tls(Role::Relay), roles()).await;
    let files = tls.files().clone();
    fs::write(&files.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(matches!(tls.prepare(), Err(TlsError::Key { .. })));
    fs::write(&files.certificate, "not a certificate").unwrap();
    assert!(matches!(tls.prepare(), Err(TlsError::Pem { what: "certificate", .. })));
    fs::remove_file(&files.certificate).unwrap();
    assert!(matches!(tls.prepare(), Err(TlsError::File { .. })));
    assert_eq!(client(&server, &tls).routes().await, Ok(vec![]), "what was in use still is");
}

/// Both ends are renewed again and again while calls run; in the end under a new authority. No call is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_renewed_under_load_and_nothing_is_lost() {
    let authority = Authority::new();
    let (serving, calling) = (authority.tls(Role::Relay), authority.tls(Role::Operator));
    let server = serve(serving.clone(), roles()).await;
    let (done, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (client, done, asked) = (client(&server, &calling), Arc::clone(&done), Arc::clone(&asked));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    client.pause(ROUTE).await.unwrap();
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let renew = |tls: &Tls, role: Role| {
        authority.issue(role.as_str(), &Roles::uri(NETWORK, role, "0"));
        tls.apply(tls.prepare().unwrap());
    };
    for _ in 0..5 {
        let before = asked.load(Ordering::Relaxed);
        renew(&serving, Role::Relay);
        renew(&calling, Role::Operator);
        while asked.load(Ordering::Relaxed) < before + 50 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(server.api.0.load(Ordering::Relaxed), asked.load(Ordering::Relaxed), "each call ran once");
}

#[tokio::test]
async fn a_binding_in_the_network_file_gives_a_role_and_takes_it() {
    let authority = Authority::new();
    let access = Access::default().with_roles(roles());
    let server = serve_with(authority.tls(Role::Relay), access.clone()).await;
    let named = Tls::open(authority.issue("named", "https://bound.example")).unwrap();
    let client = client(&server, &named);
    assert_eq!(client.routes().await.unwrap_err().reason, Reason::PermissionDenied);
    access.set_roles(Roles::new(NETWORK, [("https://bound.example".to_owned(), Role::Observer)].into()));
    assert_eq!(client.routes().await, Ok(vec![]));
}

/// One peer calls as fast as it can; another is served as if it were alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_over_its_quota_is_told_so_and_takes_nothing_from_another() {
    let authority = Authority::new();
    let quota = Quota { per_second: 5.try_into().unwrap(), burst: 20.try_into().unwrap() };
    let access = Access::default().with_roles(roles()).with_quota(Some(quota));
    let server = serve_with(authority.tls(Role::Relay), access).await;
    let (greedy, modest) =
        (client(&server, &authority.tls(Role::Observer)), client(&server, &authority.tls(Role::Shard)));
    let greedy = tokio::spawn(async move {
        let mut refusals = Vec::new();
        for _ in 0..300 {
            refusals.extend(greedy.routes().await.err());
        }
        refusals
    });
    for _ in 0..20 {
        assert_eq!(modest.routes().await, Ok(vec![]));
    }
    let refusals = greedy.await.unwrap();
    assert!(refusals.len() > 200, "{} were refused", refusals.len());
    assert!(refusals.iter().all(|refusal| refusal.reason == Reason::Busy), "{refusals:?}");
    assert!(refusals[0].message.contains("over your quota of 5 calls a second with bursts of 20"), "{}", refusals[0]);
}
