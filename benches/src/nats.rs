//! The baseline of messages: NATS `JetStream` that syncs each message, with one publisher and one consumer who says that it is done.
//!
//! ```text
//!   publisher ── PUB ──> stream, synced ── taken ──> publisher
//!                          └── MSG ──> consumer ── +ACK ──> server ── "heard" ──> consumer: the message counts
//! ```
//!
//! As durable as a shard's outbox and inbox (`sync_interval: always`), and acknowledged end to end with as many messages under way. Not
//! as much work: one server, no handler runs, nothing is proven, and a message may be delivered twice. The client writes and reads
//! many messages at a time. Skipped where no `nats-server` is found.
//! Source: the NATS client protocol and `JetStream` wire API, docs.nats.io.

use crate::load::{Load, Windows, histogram};
use crate::meter::{Usage, cpu, cpu_with_children};
use crate::settings::Settings;
use eyre::{Result, WrapErr, ensure, eyre};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Semaphore;

/// What the row is called.
pub(crate) const NAME: &str = "baseline::nats/JetStream, sync always, publish to acknowledgement";

/// Messages under way at once, as many as in the row of messages.
const UNDER_WAY_COUNT: usize = 200;

/// Messages written at once.
const BURST_COUNT_MAX: usize = 64;

/// A message's length: a number, and what a small call has.
const MESSAGE_BYTES: usize = 100;

/// Why it is not run.
const MISSING: &str = "no nats-server on the path, nor named as DOVETAIL_NATS";

/// How long the server may take to listen.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// What is read at a time.
const READ_BYTES: usize = 64 << 10;

/// Where the server is: what `DOVETAIL_NATS` names, or what is on the path.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("DOVETAIL_NATS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|folder| folder.join("nats-server"));
    named.into_iter().chain(installed).find(|program| program.is_file())
}

/// Runs it for as long as `settings` say; none, with the reason, where it cannot be run.
pub(crate) async fn run(settings: &Settings) -> Result<Result<Load, String>> {
    let Some(program) = program() else { return Ok(Err(MISSING.to_owned())) };
    let dir = tempfile::tempdir()?;
    let server = Server::start(&program, dir.path())?;
    let mut publisher = server.publisher().await?;
    publisher.consume().await?;
    let consumer = server.consumer().await?;
    Ok(Ok(measured(&server, publisher, consumer, settings).await?))
}

/// How long a consumer takes for all of `count` messages that were stored before it came; none, with the reason, where
/// it cannot be run.
pub(crate) async fn backlog(count: u64) -> Result<Result<Duration, String>> {
    let Some(program) = program() else { return Ok(Err(MISSING.to_owned())) };
    let dir = tempfile::tempdir()?;
    let server = Server::start(&program, dir.path())?;
    let mut publisher = server.publisher().await?;
    let mut stored = 0;
    while stored < count {
        let mut burst = String::new();
        let until = count.min(stored + BURST_COUNT_MAX as u64);
        for number in stored..until {
            write!(burst, "PUB bench pub.{number} {MESSAGE_BYTES}\r\n{number:0>MESSAGE_BYTES$}\r\n")?;
        }
        publisher.send(&burst).await?;
        while stored < until {
            for message in publisher.reader.messages().await? {
                message.checked()?;
                stored += 1;
            }
        }
    }
    let mut consumer = server.consumer().await?;
    let begun = Instant::now();
    publisher.consume().await?;
    let mut heard = 0;
    while heard < count {
        let mut acknowledged = String::new();
        for message in consumer.reader.messages().await? {
            if message.subject.starts_with("heard.") {
                heard += 1;
            } else {
                let number: u64 = std::str::from_utf8(&message.body)?.parse()?;
                write!(acknowledged, "PUB {} heard.{number} 4\r\n+ACK\r\n", message.reply)?;
            }
        }
        consumer.send(&acknowledged).await?;
    }
    Ok(Ok(begun.elapsed()))
}

/// What the publisher and the consumer share.
#[derive(Debug)]
struct Shared {
    room: Semaphore,
    /// When each message under way was published.
    begun: Mutex<BTreeMap<u64, Instant>>,
    until: Instant,
}

async fn measured(server: &Server, publisher: Connection, consumer: Connection, settings: &Settings) -> Result<Load> {
    let warm = Instant::now() + settings.warm;
    let until = warm + settings.duration;
    let windows = Arc::new(Windows::new(warm, settings.duration));
    let shared = Arc::new(Shared { room: Semaphore::new(UNDER_WAY_COUNT), begun: Mutex::default(), until });
    let sending = tokio::spawn(publish(publisher, Arc::clone(&shared)));
    let hearing = tokio::spawn(consume(consumer, shared, Arc::clone(&windows)));
    tokio::time::sleep_until(warm.into()).await;
    let before = (server.cpu()?, cpu(std::process::id())?.0);
    tokio::time::sleep_until(until.into()).await;
    let usage =
        Usage { beside: server.cpu()? - before.0, clients: cpu(std::process::id())?.0 - before.1, ..Usage::default() };
    sending.await??;
    let latency = hearing.await??;
    let (name, elapsed, counts) = (format!("{NAME} under way={UNDER_WAY_COUNT}"), settings.duration, windows.counts());
    Ok(Load { name, latency, elapsed, windows: counts, usage, refused: 0, disk: None })
}

/// Publishes as long as there is room, and looks at each answer.
async fn publish(connection: Connection, shared: Arc<Shared>) -> Result<()> {
    let Connection { mut reader, mut writer, .. } = connection;
    let until = shared.until;
    let answers = tokio::spawn(async move {
        while Instant::now() < until {
            let heard = tokio::time::timeout_at(until.into(), reader.messages()).await;
            for message in heard.unwrap_or_else(|_| Ok(Vec::new()))? {
                message.checked()?;
            }
        }
        Ok::<_, eyre::Report>(())
    });
    let mut next = 0_u64;
    while Instant::now() < until {
        let Ok(first) = tokio::time::timeout_at(until.into(), shared.room.acquire()).await else { break };
        first?.forget();
        let mut count = 1;
        while count < BURST_COUNT_MAX
            && let Ok(more) = shared.room.try_acquire()
        {
            more.forget();
            count += 1;
        }
        let mut burst = String::new();
        for number in next..next + count as u64 {
            shared.begun.lock().unwrap_or_else(PoisonError::into_inner).insert(number, Instant::now());
            write!(burst, "PUB bench pub.{number} {MESSAGE_BYTES}\r\n{number:0>MESSAGE_BYTES$}\r\n")?;
        }
        next += count as u64;
        writer.write_all(burst.as_bytes()).await?;
    }
    answers.await?
}

/// Acknowledges what is delivered, and counts what the server has heard to be acknowledged.
async fn consume(
    connection: Connection,
    shared: Arc<Shared>,
    windows: Arc<Windows>,
) -> Result<hdrhistogram::Histogram<u64>> {
    let Connection { mut reader, mut writer, .. } = connection;
    let mut latency = histogram()?;
    while Instant::now() < shared.until {
        let Ok(messages) = tokio::time::timeout_at(shared.until.into(), reader.messages()).await else { break };
        let mut acknowledged = String::new();
        for message in messages? {
            if let Some(number) = message.subject.strip_prefix("heard.") {
                let begun = shared.begun.lock().unwrap_or_else(PoisonError::into_inner).remove(&number.parse()?);
                let begun = begun.ok_or_else(|| eyre!("message {number} was acknowledged twice"))?;
                shared.room.add_permits(1);
                if windows.note(1) {
                    latency.record(u64::try_from(begun.elapsed().as_micros())?)?;
                }
            } else {
                let number: u64 = std::str::from_utf8(&message.body)?.parse()?;
                write!(acknowledged, "PUB {} heard.{number} 4\r\n+ACK\r\n", message.reply)?;
            }
        }
        writer.write_all(acknowledged.as_bytes()).await?;
    }
    Ok(latency)
}

/// One message as it came.
#[derive(Debug)]
struct Message {
    subject: String,
    reply: String,
    body: Vec<u8>,
}

impl Message {
    /// An answer of `JetStream` that is no error.
    fn checked(&self) -> Result<()> {
        let text = String::from_utf8_lossy(&self.body);
        ensure!(!text.contains("\"error\""), "JetStream answered {text}");
        Ok(())
    }
}

/// A connection to the server.
#[derive(Debug)]
struct Connection {
    reader: Frames,
    writer: OwnedWriteHalf,
}

impl Connection {
    async fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.writer.write_all(text.as_bytes()).await?)
    }

    /// Has what is stored delivered to whoever listens.
    async fn consume(&mut self) -> Result<()> {
        let consumer = r#"{"stream_name":"bench","config":{"durable_name":"worker","ack_policy":"explicit","max_ack_pending":1000,"deliver_subject":"deliver"}}"#;
        self.ask("$JS.API.CONSUMER.DURABLE.CREATE.bench.worker", "pub.consumer", consumer).await
    }

    /// Asks `JetStream` for something, and waits for its answer.
    async fn ask(&mut self, subject: &str, reply: &str, body: &str) -> Result<()> {
        self.send(&format!("PUB {subject} {reply} {}\r\n{body}\r\n", body.len())).await?;
        loop {
            for message in self.reader.messages().await? {
                message.checked()?;
                if message.subject == reply {
                    return Ok(());
                }
            }
        }
    }
}

/// What comes in, cut into messages.
#[derive(Debug)]
struct Frames {
    half: OwnedReadHalf,
    unread: Vec<u8>,
}

impl Frames {
    /// The messages of the next read, some or none.
    async fn messages(&mut self) -> Result<Vec<Message>> {
        self.unread.reserve(READ_BYTES);
        ensure!(self.half.read_buf(&mut self.unread).await? > 0, "the server closed the connection");
        let (mut messages, mut at) = (Vec::new(), 0);
        while let Some((message, length)) = frame(&self.unread[at..])? {
            messages.extend(message);
            at += length;
        }
        self.unread.drain(..at);
        Ok(messages)
    }
}

/// The first whole frame, if it is a message, and its length.
fn frame(bytes: &[u8]) -> Result<Option<(Option<Message>, usize)>> {
    let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let line = std::str::from_utf8(&bytes[..end])?;
    let head = end + 2;
    let Some(parts) = line.strip_prefix("MSG ") else {
        ensure!(!line.starts_with("-ERR"), "the server said {line}");
        return Ok(Some((None, head)));
    };
    let parts: Vec<&str> = parts.split(' ').collect();
    let (subject, reply, length) = match parts[..] {
        [subject, _, length] => (subject, "", length),
        [subject, _, reply, length] => (subject, reply, length),
        _ => return Err(eyre!("the server said {line}")),
    };
    let length: usize = length.parse()?;
    let Some(body) = bytes.get(head..head + length) else { return Ok(None) };
    if bytes.len() < head + length + 2 {
        return Ok(None);
    }
    let message = Message { subject: subject.to_owned(), reply: reply.to_owned(), body: body.to_vec() };
    Ok(Some((Some(message), head + length + 2)))
}

/// A server of its own, which goes when this is dropped.
#[derive(Debug)]
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(program: &Path, dir: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = dir.join("nats.conf");
        let stored = dir.join("store").display().to_string();
        fs::write(
            &config,
            format!("listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {stored:?}, sync_interval: always }}\n"),
        )?;
        let mut command = Command::new(program);
        command.arg("-c").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { child: command.spawn().wrap_err("nats-server does not start")?, port })
    }

    /// A connection, once the server listens.
    async fn connect(&self) -> Result<Connection> {
        let begun = Instant::now();
        let stream = loop {
            match TcpStream::connect(("127.0.0.1", self.port)).await {
                Ok(stream) => break stream,
                Err(error) => ensure!(begun.elapsed() < READY_TIMEOUT, "nats-server does not listen: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        stream.set_nodelay(true)?;
        let (half, writer) = stream.into_split();
        let mut connection = Connection { reader: Frames { half, unread: Vec::new() }, writer };
        connection.send("CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":false}\r\n").await?;
        Ok(connection)
    }

    /// Who publishes, with a stream to publish to.
    async fn publisher(&self) -> Result<Connection> {
        let mut publisher = self.connect().await?;
        publisher.send("SUB pub.* 1\r\n").await?;
        let stream = r#"{"name":"bench","subjects":["bench"],"storage":"file"}"#;
        publisher.ask("$JS.API.STREAM.CREATE.bench", "pub.stream", stream).await?;
        Ok(publisher)
    }

    /// Who listens.
    async fn consumer(&self) -> Result<Connection> {
        let mut consumer = self.connect().await?;
        consumer.send("SUB deliver 1\r\nSUB heard.* 2\r\n").await?;
        Ok(consumer)
    }

    fn cpu(&self) -> Result<f64> {
        cpu_with_children(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its folder goes next: there is nothing to save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_not_whole_yet_waits_for_the_rest() {
        let bytes = b"MSG deliver 1 $JS.ACK.1 3\r\nabc\r\nPONG\r\n";
        for length in 0..32 {
            assert!(frame(&bytes[..length]).unwrap().is_none(), "{length}");
        }
        let (message, length) = frame(bytes).unwrap().unwrap();
        let message = message.unwrap();
        assert_eq!(
            (&*message.subject, &*message.reply, &*message.body, length),
            ("deliver", "$JS.ACK.1", &b"abc"[..], 32)
        );
        assert!(matches!(frame(&bytes[length..]), Ok(Some((None, 6)))));
    }

    #[test]
    fn what_the_server_objects_to_is_an_error() {
        assert!(frame(b"-ERR 'Unknown Protocol Operation'\r\n").is_err());
    }
}
