//! A process ends when it is asked to, whatever has become of its log, its clients and its parent.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use cluster::{Cluster, Node, Plan};
use dovetail_tests::testnet::program;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long anything here may take on a busy machine; what hangs, hangs for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// A network's files, of which a test starts the one node it looks at: a shard, which needs no other to be ready.
struct Stage {
    cluster: Cluster,
    _dir: tempfile::TempDir,
}

const NODE: Node = Node::Executor(0);

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan { relays: 0, program: program().unwrap(), ..Plan::new(1).unwrap() };
        Self { cluster: Cluster::lay_out(plan, dir.path()).unwrap(), _dir: dir }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(program().unwrap());
        command.arg("executor").arg("--config").arg(self.cluster.settings_path(NODE)).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn metrics(&self) -> SocketAddr {
        let url = self.cluster.metrics(NODE);
        url.trim_start_matches("http://").trim_end_matches("/metrics").parse().unwrap()
    }

    fn wait_ready(&self) {
        eventually("the node is ready", || get(self.metrics(), "/readyz").is_some_and(|text| text.contains(" 200 ")));
    }
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn terminate(child: &Child) {
    assert!(Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap().success());
}

fn end_of(mut child: Child) -> ExitStatus {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > until {
            child.kill().unwrap();
            panic!("the process was still running after {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_node_whose_log_has_no_reader_drains_when_asked() {
    let stage = Stage::new();
    let mut child = stage.command().stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    stage.wait_ready();
    terminate(&child);
    assert!(end_of(child).success());
}

#[test]
fn a_node_whose_logs_disk_is_full_drains_when_asked() {
    let stage = Stage::new();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let child = stage.command().stderr(full).spawn().unwrap();
    stage.wait_ready();
    let metrics = get(stage.metrics(), "/metrics").unwrap();
    assert!(!metrics.contains("dovetail_log_lines_lost_total 0\n"), "lost lines are not counted: {metrics}");
    terminate(&child);
    assert!(end_of(child).success());
}

#[test]
fn a_node_whose_logs_reader_stands_still_serves_and_drains_when_asked() {
    let stage = Stage::new();
    let child = stage.command().stderr(Stdio::piped()).env("DOVETAIL_LOG", "trace").spawn().unwrap();
    stage.wait_ready();
    // Each answer logs at this level, so that the pipe is full soon.
    for _ in 0..200 {
        assert!(get(stage.metrics(), "/readyz").is_some());
    }
    terminate(&child);
    assert!(end_of(child).success());
}

#[test]
fn a_variable_that_is_not_text_harms_only_where_it_is_meant() {
    let stage = Stage::new();
    let noise = OsStr::from_bytes(b"\xff\xfe");
    let child = stage.command().env("NOISE", noise).env(noise, "noise").spawn().unwrap();
    stage.wait_ready();
    terminate(&child);
    assert!(end_of(child).success());
    for variable in ["DOVETAIL_EXECUTOR_DATA", "DOVETAIL_LOG", "DOVETAIL_LOG_FORMAT", "DOVETAIL_KEY", "DOVETAIL_CRASH"]
    {
        let output = stage.command().env(variable, noise).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(variable), "{variable}: {said}");
        assert!(!said.contains("panicked"), "{variable}: {said}");
    }
}

#[test]
fn a_node_ends_in_order_with_the_parent_that_started_it() {
    let stage = Stage::new();
    let mut child = stage.command().stdin(Stdio::piped()).env("DOVETAIL_PARENT", "stdin").spawn().unwrap();
    stage.wait_ready();
    drop(child.stdin.take());
    assert!(end_of(child).success());
}

#[test]
fn the_nodes_of_a_killed_devnet_end_and_free_their_ports() {
    let dir = tempfile::tempdir().unwrap();
    let mut devnet = Command::new(program().unwrap());
    devnet.args(["devnet", "--shards", "2", "--relays", "1", "--json", "--dir"]).arg(dir.path());
    let mut devnet = devnet.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut told = std::io::BufReader::new(devnet.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut told, &mut line).unwrap();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = |url: &serde_json::Value| url.as_str().unwrap().trim_start_matches("http://").parse().unwrap();
    let shards = told["shards"].as_array().unwrap().iter().map(|shard| &shard["grpc"]);
    let urls = [&told["rpc"], &told["coordinator_grpc"], &told["relays"][0]].into_iter().chain(shards);
    let ports: Vec<SocketAddr> = urls.map(address).collect();
    assert!(ports.iter().all(|port| TcpStream::connect(port).is_ok()), "all nodes serve");
    devnet.kill().unwrap();
    devnet.wait().unwrap();
    for port in ports {
        eventually("the node has ended", || TcpStream::connect(port).is_err());
    }
}

#[test]
fn a_node_may_open_as_many_files_as_the_system_lets_it() {
    let stage = Stage::new();
    let mut limited = Command::new("sh");
    let run = "ulimit -S -n 256 && exec \"$0\" \"$@\"";
    limited
        .arg("-c")
        .arg(run)
        .arg(program().unwrap())
        .args(["executor", "--config"])
        .arg(stage.cluster.settings_path(NODE));
    let child = limited.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    stage.wait_ready();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let files: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().collect();
    assert_eq!(files[3], files[4], "the soft limit is the hard one: {files:?}");
    terminate(&child);
    assert!(end_of(child).success());
}

#[test]
fn half_open_connections_on_the_metrics_port_are_bounded_and_lock_nobody_out() {
    let stage = Stage::new();
    let child = stage.command().spawn().unwrap();
    stage.wait_ready();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap().count();
    let before = open();
    let _held: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(stage.metrics()).unwrap()).collect();
    stage.wait_ready();
    assert!(open() < before + 100, "{before} files were open, now {}", open());
    terminate(&child);
    assert!(end_of(child).success());
}

/// A whole network: a shard and a coordinator.
fn network() -> (Cluster, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { relays: 0, program: program().unwrap(), ..Plan::new(1).unwrap() };
    (Cluster::start(plan, dir.path()).unwrap(), dir)
}

const COORDINATOR: Node = Node::Coordinator(0);

fn rpc(cluster: &Cluster) -> SocketAddr {
    cluster.rpc(0).trim_start_matches("http://").parse().unwrap()
}

/// Sends what is there of a request.
fn half_sent(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

fn post(body: &str) -> String {
    let length = body.len();
    format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}

#[test]
fn half_sent_requests_and_calls_that_hang_do_not_keep_a_coordinator() {
    let (mut cluster, _dir) = network();
    cluster.signal(Node::Executor(0), "STOP").unwrap();
    let ask = r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x00000000000000000000000000000000000000aa","latest"]}"#;
    let whole = post(ask);
    let held = [&whole[..20], &whole[..whole.len() - 9], &whole[..], ""].map(|text| half_sent(rpc(&cluster), text));
    let grpc: SocketAddr = cluster.endpoint(COORDINATOR).trim_start_matches("http://").parse().unwrap();
    let _also = ["", "PRI * HTTP/2.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"].map(|text| half_sent(grpc, text));
    let begun = Instant::now();
    let ended = cluster.terminate(COORDINATOR);
    cluster.signal(Node::Executor(0), "CONT").unwrap();
    ended.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    drop(held);
    cluster.stop().unwrap();
}

#[test]
fn a_network_stops_as_soon_as_the_slowest_of_its_nodes() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { relays: 0, coordinators: 3, program: program().unwrap(), ..Plan::new(2).unwrap() };
    let cluster = Cluster::start(plan, dir.path()).unwrap();
    let whole = post(r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#);
    let held: Vec<TcpStream> = (0..3)
        .map(|number| half_sent(cluster.rpc(number).trim_start_matches("http://").parse().unwrap(), &whole[..20]))
        .collect();
    let begun = Instant::now();
    cluster.stop().unwrap();
    // Each of the three waits some 5 s for the rest of its request.
    assert!(begun.elapsed() < Duration::from_secs(11), "it took {:?}", begun.elapsed());
    drop(held);
}

/// Resident memory of a process, in bytes.
fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_websocket_client_that_asks_and_never_reads_costs_a_bounded_amount_of_memory() {
    let (cluster, _dir) = network();
    let pid = cluster.pid(COORDINATOR).unwrap();
    let before = resident_bytes(pid);
    let mut greedy = half_sent(
        rpc(&cluster),
        "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    );
    greedy.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    // Each is answered with about a megabyte.
    let percentiles = vec!["50"; 100].join(",");
    let ask =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_feeHistory","params":["0x400","latest",[{percentiles}]]}}"#);
    let length = u16::try_from(ask.len()).unwrap().to_be_bytes();
    let frame = [&[0x81, 0xfe, length[0], length[1], 0, 0, 0, 0], ask.as_bytes()].concat();
    let (mut asked, mut most) = (0, 0);
    while asked < 5_000 && greedy.write_all(&frame).is_ok() {
        asked += 1;
        if asked % 50 == 0 {
            most = most.max(resident_bytes(pid));
        }
    }
    std::thread::sleep(Duration::from_secs(2));
    most = most.max(resident_bytes(pid));
    let grown = most.saturating_sub(before) >> 20;
    assert!(grown < 400, "{asked} questions whose answers nobody read cost {grown} MiB");
    let block = half_sent(rpc(&cluster), &post(r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#));
    block.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert!((&block).read(&mut [0; 16]).unwrap() > 0, "others are served");
    cluster.stop().unwrap();
}

#[test]
fn output_that_nobody_reads_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    let keys = |verb: &str| {
        let mut command = Command::new(program().unwrap());
        command.args(["keys", verb]).arg(&key).stderr(Stdio::piped());
        command
    };
    let mut child = keys("generate").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
    assert!(key.exists());
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = keys("show").stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "what was asked for was not written, and nobody was told");
    assert!(said.contains("standard output") && !said.contains("panicked"), "{said}");
    let closed = std::os::unix::net::UnixStream::pair().unwrap().0;
    let status = keys("nonsense").stdout(Stdio::null()).stderr(std::os::fd::OwnedFd::from(closed)).status().unwrap();
    assert_eq!(status.code(), Some(2), "a mistake on the command line is told by the exit code too");
}
