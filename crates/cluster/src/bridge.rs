//! A bridge of real processes between an anvil and a network: attestors, which share no key, and a carrier.

use crate::anvil::{Anvil, CARRIER_KEY, CHAIN_ID, Hyperlane};
use crate::process::Process;
use crate::{Cluster, Ports, Reservation};
use alloy_primitives::{Address, B256};
use bridge_service::{AttestorSettings, CarrierSettings};
use chains::chain::Finality;
use chains::hyperlane::IsmKind;
use eyre::{Result, WrapErr, eyre};
use host::network::RouteEntry;
use proof::SecretKey;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// How many attestors there are.
pub const ATTESTORS_COUNT: u8 = 3;

/// How many of them have to say the same, in either direction.
pub const THRESHOLD: u8 = 2;

/// How much gas a handler gets.
const HANDLER_GAS: u64 = 500_000;

/// For how long a message may be delivered.
const WINDOW_MS: u64 = 3_600_000;

/// The keys of demo and tests: public knowledge.
fn secret(number: u8, purpose: u8) -> Result<SecretKey> {
    Ok(SecretKey::from_bytes(&[number + 1 + purpose * 0x40; 32])?)
}

/// The addresses of the attestors' secp256k1 keys, in the order that an ISM of theirs has.
pub fn validators() -> Result<Vec<Address>> {
    let address = |number| {
        let secret = B256::new(*secret(number, 1)?.to_bytes());
        Ok(bridge_service::attestor::address_of(&secret)?)
    };
    (0..ATTESTORS_COUNT).map(address).collect()
}

/// The route that a network file has for this mailbox.
pub fn route(mailbox: Address) -> Result<RouteEntry> {
    let key = |number| Ok(secret(number, 0)?.public().to_string());
    Ok(RouteEntry {
        domain: CHAIN_ID as u32,
        chain_id: CHAIN_ID,
        mailbox,
        gas_limit: HANDLER_GAS,
        window_ms: WINDOW_MS,
        attestors: (0..ATTESTORS_COUNT).map(key).collect::<Result<_>>()?,
        threshold: usize::from(THRESHOLD),
    })
}

/// Where a bridge's nodes listen: chosen before the network starts, whose coordinators ask them.
#[derive(Debug)]
pub struct Places {
    attestors: Vec<Ports>,
    carrier: SocketAddr,
    carriers_metrics: SocketAddr,
    /// Where the carrier takes orders, and each attestor.
    operator: SocketAddr,
    attestors_operators: Vec<SocketAddr>,
    /// Keeps the ports of whoever was killed.
    _reservation: Reservation,
}

impl Places {
    /// Free ports of the loopback.
    pub fn reserve() -> Result<Self> {
        let mut reservation = Reservation::default();
        Ok(Self {
            attestors: (0..ATTESTORS_COUNT).map(|_| reservation.ports()).collect::<Result<_>>()?,
            carrier: reservation.port()?,
            carriers_metrics: reservation.port()?,
            operator: reservation.port()?,
            attestors_operators: (0..ATTESTORS_COUNT).map(|_| reservation.port()).collect::<Result<_>>()?,
            _reservation: reservation,
        })
    }

    /// Where coordinators ask: the attestors, then the carrier.
    pub fn asked(&self) -> Vec<String> {
        let serving = self.attestors.iter().map(|ports| ports.serving).chain([self.carrier]);
        serving.map(|address| format!("http://{address}")).collect()
    }
}

/// A running bridge.
#[derive(Debug)]
pub struct Bridge {
    dir: PathBuf,
    program: PathBuf,
    attestors: Vec<Option<Process>>,
    carrier: Option<Process>,
    places: Places,
}

impl Bridge {
    /// Starts all of it at `places` for a network that has the [`route`], with what it keeps under `dir`; anvil is asked at `endpoints`.
    pub fn start(
        places: Places,
        (cluster, program): (&Cluster, &Path),
        (anvil, endpoints): (&Anvil, &[String]),
        dir: &Path,
    ) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let (carriers_metrics, operator, carriers) = (places.carriers_metrics, places.operator, places.carrier);
        let (attestors, operators) = (places.attestors.clone(), places.attestors_operators.clone());
        let mut bridge =
            Self { dir: dir.to_owned(), program: program.to_owned(), attestors: Vec::new(), carrier: None, places };
        let mut urls = Vec::new();
        for (number, (ports, operator)) in (0..ATTESTORS_COUNT).zip(attestors.into_iter().zip(operators)) {
            let listen = ports.serving;
            urls.push(format!("http://{listen}"));
            let (key, checkpoint_key) = (bridge.key(number, 0)?, bridge.key(number, 1)?);
            let settings = AttestorSettings {
                network: cluster.network_path(),
                domain: CHAIN_ID as u32,
                listen,
                metrics_listen: ports.metrics,
                data: dir.join(format!("attestor-{number}")),
                key,
                checkpoint_key,
                endpoints: endpoints.to_vec(),
                agree: endpoints.len() / 2 + 1,
                from_block: 0,
                operator_listen: Some(operator),
                finality: Finality::Instant,
                tls: None,
                insecure: false,
            };
            std::fs::write(bridge.settings(&format!("attestor-{number}")), toml::to_string(&settings)?)?;
            bridge.attestors.push(None);
            bridge.start_attestor(usize::from(number))?;
        }
        let key = dir.join("carrier.key");
        write_key(&key, &SecretKey::from_hex(CARRIER_KEY)?)?;
        let settings = CarrierSettings {
            network: cluster.network_path(),
            domain: CHAIN_ID as u32,
            metrics_listen: carriers_metrics,
            data: dir.join("carrier"),
            attestors: urls,
            validators: validators()?,
            validators_threshold: usize::from(THRESHOLD),
            ism: IsmKind::MessageId,
            endpoint: anvil.url().to_owned(),
            key,
            fee_gwei_max: 1_000,
            patience_s: 5,
            listen: Some(carriers),
            operator_listen: Some(operator),
            tls: None,
            insecure: false,
        };
        std::fs::write(bridge.settings("carrier"), toml::to_string(&settings)?)?;
        bridge.start_carrier()?;
        Ok(bridge)
    }

    fn settings(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.toml"))
    }

    fn key(&self, number: u8, purpose: u8) -> Result<PathBuf> {
        let path = self.dir.join(format!("attestor-{number}-{purpose}.key"));
        write_key(&path, &secret(number, purpose)?)?;
        Ok(path)
    }

    fn spawn(&self, kind: &str, name: &str) -> Result<Process> {
        let log = self.dir.join(format!("{name}.log"));
        Process::spawn(&self.program, kind, &self.settings(name), std::iter::empty(), &log)
            .wrap_err_with(|| format!("cannot start {name}"))
    }

    /// Starts an attestor, again if it was killed.
    pub fn start_attestor(&mut self, number: usize) -> Result<()> {
        self.attestors[number] = Some(self.spawn("attestor", &format!("attestor-{number}"))?);
        Ok(())
    }

    /// Starts the carrier, again if it was killed.
    pub fn start_carrier(&mut self) -> Result<()> {
        self.carrier = Some(self.spawn("carrier", "carrier")?);
        Ok(())
    }

    /// Kills an attestor with SIGKILL.
    pub fn kill_attestor(&mut self, number: usize) -> Result<()> {
        self.attestors[number].take().ok_or_else(|| eyre!("attestor {number} does not run"))?.kill()
    }

    /// Kills the carrier with SIGKILL.
    pub fn kill_carrier(&mut self) -> Result<()> {
        self.carrier.take().ok_or_else(|| eyre!("the carrier does not run"))?.kill()
    }

    /// Where `dovetail bridge` reaches the carrier.
    pub fn operator(&self) -> String {
        format!("http://{}", self.places.operator)
    }

    /// Where it reaches an attestor.
    pub fn attestors_operator(&self, number: usize) -> String {
        format!("http://{}", self.places.attestors_operators[number])
    }

    /// The end of every log.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for name in ["attestor-0", "attestor-1", "attestor-2", "carrier"] {
            let log = std::fs::read_to_string(self.dir.join(format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let _ = writeln!(text, "--- {name}\n{}", lines[lines.len().saturating_sub(6)..].join("\n"));
        }
        text
    }

    /// Stops all of it with SIGTERM.
    pub fn stop(self) -> Result<()> {
        self.attestors.into_iter().flatten().chain(self.carrier).try_for_each(Process::terminate)
    }
}

/// Hyperlane on `anvil`, with an ISM of this bridge's attestors.
pub async fn deploy(anvil: &Anvil) -> Result<Hyperlane> {
    anvil.deploy_hyperlane(&validators()?, THRESHOLD).await
}

fn write_key(path: &Path, key: &SecretKey) -> Result<()> {
    if path.exists() { Ok(()) } else { Ok(host::keys::write_file(path, key)?) }
}
