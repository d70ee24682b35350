//! The baseline of atomic commit: the same transfer over two servers of `PostgreSQL`, by `PREPARE TRANSACTION` and a decision row.
//!
//! ```text
//!   pgbench client ── server a: BEGIN, debit, PREPARE ── dblink: server b: BEGIN, credit, PREPARE
//!                  ── server a: insert the decision    ── COMMIT PREPARED on a, on b
//! ```
//!
//! As durable as a network of two shards: `fsync` and `synchronous_commit` are on. Not as much work: nothing is signed, executed by an
//! EVM or proven, and the client coordinates. Skipped where Debian's `postgresql` is not installed.

use crate::load::{Load, Windows, histogram};
use crate::meter::{Usage, cpu_with_children};
use crate::settings::Settings;
use eyre::{Result, WrapErr, eyre};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What the row is called.
pub(crate) const NAME: &str = "baseline::postgresql/two servers, PREPARE TRANSACTION";

/// Where Debian keeps the servers of each version.
const INSTALLED: &str = "/usr/lib/postgresql";

/// The account that servers run under where this process is root's: the servers refuse root.
const ACCOUNT: &str = "postgres";

/// One server, stopped when it is dropped.
#[derive(Debug)]
struct Server {
    binaries: PathBuf,
    data: PathBuf,
    port: u16,
}

/// Runs it for as long as `settings` say; none, with the reason, where it cannot be run.
pub(crate) fn run(settings: &Settings) -> Result<Result<Load, String>> {
    let Some(binaries) = binaries() else { return Ok(Err(format!("no server in {INSTALLED}"))) };
    let dir = tempfile::tempdir()?;
    own(dir.path())?;
    let first = Server::start(&binaries, dir.path(), "a", settings.users)?;
    let second = Server::start(&binaries, dir.path(), "b", settings.users)?;
    first.query("CREATE EXTENSION dblink; CREATE TABLE decisions (id text PRIMARY KEY)")?;
    for server in [&first, &second] {
        server.query(&format!(
            "CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL); \
             INSERT INTO accounts SELECT n, 1000000 FROM generate_series(0, {}) n",
            settings.users
        ))?;
    }
    let script = dir.path().join("transfer.sql");
    fs::write(&script, transfer(second.port))?;
    first.bench(&script, settings.users, settings.warm)?;
    let before = cpu_of(&[&first, &second])?;
    let log = first.bench(&script, settings.users, settings.duration)?;
    let spent = cpu_of(&[&first, &second])? - before;
    Ok(Ok(load(&log, settings, spent)?))
}

/// One transfer from a client's account on the first server to its account on the second.
fn transfer(second: u16) -> String {
    let id = "t:client_id-:n";
    format!(
        "\\set n random(1, 1000000000000)\n\
         SELECT CASE WHEN 'b' = ANY (COALESCE(dblink_get_connections(), '{{}}')) THEN 'OK' \
         ELSE dblink_connect('b', 'host=127.0.0.1 port={second} user={ACCOUNT} dbname=postgres') END \\; \
         BEGIN \\; UPDATE accounts SET balance = balance - 1 WHERE id = :client_id \\; PREPARE TRANSACTION '{id}';\n\
         SELECT dblink_exec('b', 'BEGIN; UPDATE accounts SET balance = balance + 1 WHERE id = :client_id; \
         PREPARE TRANSACTION ''{id}''');\n\
         INSERT INTO decisions VALUES ('{id}');\n\
         COMMIT PREPARED '{id}';\n\
         SELECT dblink_exec('b', 'COMMIT PREPARED ''{id}''');\n"
    )
}

/// What pgbench wrote of each transaction: client, number, microseconds, script, second, microsecond.
fn load(log: &str, settings: &Settings, cpu: f64) -> Result<Load> {
    let mut latency = histogram()?;
    let mut ends = Vec::new();
    for line in log.lines() {
        let fields: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [_, _, micros, _, second, micro, ..] = fields[..] else { return Err(eyre!("pgbench wrote {line:?}")) };
        latency.record(micros.max(1))?;
        ends.push(Duration::from_secs(second) + Duration::from_micros(micro));
    }
    let begun = ends.iter().min().copied().unwrap_or_default();
    let windows = Windows::of(ends.into_iter().map(|end| end.saturating_sub(begun)), settings.duration);
    let usage = Usage { beside: cpu, ..Usage::default() };
    let name = format!("{NAME} users={}", settings.users);
    Ok(Load { name, latency, elapsed: settings.duration, windows, usage, refused: 0, disk: None })
}

fn cpu_of(servers: &[&Server]) -> Result<f64> {
    servers.iter().map(|server| cpu_with_children(server.pid()?)).sum()
}

/// The folder of the newest version's programs.
fn binaries() -> Option<PathBuf> {
    let versions = fs::read_dir(INSTALLED).ok()?.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    versions.filter(|folder| folder.join("initdb").exists() && folder.join("pgbench").exists()).max()
}

/// Gives a folder to the servers' account, where this process is root's.
fn own(path: &Path) -> Result<()> {
    if is_root() { ran(Command::new("chown").arg(ACCOUNT).arg(path)) } else { Ok(()) }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

impl Server {
    fn start(binaries: &Path, dir: &Path, name: &str, users: u32) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = Self { binaries: binaries.to_owned(), data: dir.join(name), port };
        let data = server.data.display().to_string();
        ran(server.command("initdb").args(["-D", &data, "-A", "trust", "-U", ACCOUNT, "--no-instructions"]))?;
        let room = users + 20;
        let options = format!(
            "-p {port} -k {data} -c listen_addresses=127.0.0.1 -c max_connections={room} -c max_prepared_transactions={room}"
        );
        let log = server.data.join("log").display().to_string();
        ran(server.command("pg_ctl").args(["-D", &data, "-o", &options, "-l", &log, "-w", "start"]))?;
        Ok(server)
    }

    fn query(&self, sql: &str) -> Result<()> {
        let port = self.port.to_string();
        let arguments = ["-h", "127.0.0.1", "-p", &port, "-U", ACCOUNT, "-q", "-v", "ON_ERROR_STOP=1", "-c", sql];
        ran(self.command("psql").args(arguments))
    }

    /// Runs `script` with so many clients for so long; gives what was written of each transaction.
    fn bench(&self, script: &Path, clients: u32, duration: Duration) -> Result<String> {
        let (clients, port, seconds) =
            (clients.to_string(), self.port.to_string(), duration.as_secs().max(1).to_string());
        let prefix = self.data.join("transfers");
        let arguments =
            ["-h", "127.0.0.1", "-p", &port, "-U", ACCOUNT, "-n", "-j", "1", "-c", &clients, "-T", &seconds];
        let mut command = self.command("pgbench");
        ran(command.args(arguments).arg("-l").arg("--log-prefix").arg(&prefix).arg("-f").arg(script).arg("postgres"))?;
        let logs = fs::read_dir(&self.data)?.filter_map(|entry| Some(entry.ok()?.path()));
        let log = logs
            .filter(|path| path.to_string_lossy().starts_with(&*prefix.to_string_lossy()))
            .max_by_key(|path| written(path));
        let log = log.ok_or_else(|| eyre!("pgbench wrote no log"))?;
        let text = fs::read_to_string(&log)?;
        fs::remove_file(log)?;
        Ok(text)
    }

    fn pid(&self) -> Result<u32> {
        let text = fs::read_to_string(self.data.join("postmaster.pid"))?;
        Ok(text.lines().next().unwrap_or_default().trim().parse()?)
    }

    fn command(&self, program: &str) -> Command {
        let path = self.binaries.join(program);
        let mut command = if is_root() { Command::new("runuser") } else { Command::new(&path) };
        if is_root() {
            command.args(["-u", ACCOUNT, "--"]).arg(&path);
        }
        command.current_dir("/");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.data.display().to_string();
        // It is a server in a folder that goes next: there is nothing to save.
        let _ = ran(self.command("pg_ctl").args(["-D", &data, "-m", "immediate", "stop"]));
    }
}

fn written(path: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// Runs a program to its end.
fn ran(command: &mut Command) -> Result<()> {
    let name = format!("{command:?}");
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?.wait_with_output();
    let output = output.wrap_err_with(|| name.clone())?;
    if output.status.success() { Ok(()) } else { Err(eyre!("{name}: {}", String::from_utf8_lossy(&output.stderr))) }
}
