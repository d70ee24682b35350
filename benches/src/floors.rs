//! What the machine can do at all, taken in the same run.

use alloy_consensus::TxEnvelope;
use alloy_consensus::transaction::SignerRecoverable;
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolConstructor};
use eyre::{Result, eyre};
use fixtures::contracts::{Artifact, Token};
use fixtures::wallet::{Call, Wallet};
use futures_util::FutureExt;
use primitives::{Domain, NetworkId, Space, Write};
use proof::SecretKey;
use revm::context::TxEnv;
use revm::database::{CacheDB, EmptyDB};
use revm::primitives::TxKind;
use revm::{Context, ExecuteCommitEvm, MainBuilder, MainContext};
use std::future::ready;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Durability, Identity, Store};
use wire::client::{ClientSettings, Connection};
use wire::traces::{self, Side, during};

/// Holders of the token, and who transfers in turn.
const HOLDERS_COUNT: u64 = 1000;

/// ERC-20 transfers per second on plain revm: one thread, state in memory, no signatures.
pub(crate) fn plain_erc20(duration: Duration) -> Result<f64> {
    let mut evm = Context::mainnet().with_db(CacheDB::<EmptyDB>::default()).build_mainnet();
    let owner = Address::repeat_byte(0xaa);
    let mut nonce = 0;
    let mut send = |evm: &mut _, kind, data: Vec<u8>| transact(evm, owner, &mut nonce, kind, data);
    let arguments = Token::constructorCall { name: "Gold".into(), symbol: "GLD".into() }.abi_encode();
    send(&mut evm, TxKind::Create, Artifact::TOKEN.init_code(&arguments)?.to_vec())?;
    let token = TxKind::Call(owner.create(0));
    let amount = U256::from(1_000_000_000_u64);
    for holder in 0..HOLDERS_COUNT {
        send(&mut evm, token, Token::mintCall { to: holder_at(holder), amount }.abi_encode())?;
    }
    let mut nonces = vec![0; HOLDERS_COUNT as usize];
    rate(duration, |done| {
        let from = done % HOLDERS_COUNT;
        let transfer = Token::transferCall { to: holder_at(from + 1), amount: U256::ONE };
        transact(&mut evm, holder_at(from), &mut nonces[from as usize], token, transfer.abi_encode())
    })
}

fn holder_at(number: u64) -> Address {
    Address::from_slice(&keccak256(number.to_be_bytes())[..20])
}

fn transact<E>(evm: &mut E, caller: Address, nonce: &mut u64, kind: TxKind, data: Vec<u8>) -> Result<()>
where
    E: ExecuteCommitEvm<Tx = TxEnv, ExecutionResult = revm::context::result::ExecutionResult>,
    E::Error: std::fmt::Debug,
{
    let data = Bytes::from(data);
    let tx = TxEnv { caller, kind, data, nonce: *nonce, gas_limit: 3_000_000, ..TxEnv::default() };
    let result = evm.transact_commit(tx).map_err(|error| eyre!("plain revm: {error:?}"))?;
    *nonce += 1;
    if result.is_success() { Ok(()) } else { Err(eyre!("plain revm: {result:?}")) }
}

/// How often a second `work` is done: it is given how often it was before.
fn rate(duration: Duration, mut work: impl FnMut(u64) -> Result<()>) -> Result<f64> {
    let (begun, mut done) = (Instant::now(), 0_u64);
    while begun.elapsed() < duration {
        work(done)?;
        done += 1;
    }
    Ok(done as f64 / begun.elapsed().as_secs_f64())
}

/// Transfers signed a second, as clients do it: hashing and encoding included.
pub(crate) fn signatures(duration: Duration) -> Result<f64> {
    let mut wallet = Wallet::development(1, 0)?;
    let call = Call::to(holder_at(0), []);
    rate(duration, |_| wallet.sign(&call).map(drop))
}

/// Senders of transfers recovered a second, as a coordinator and each participant do it.
pub(crate) fn recoveries(duration: Duration) -> Result<f64> {
    let signed = Wallet::development(1, 0)?.sign(&Call::to(holder_at(0), []))?;
    let transaction = TxEnvelope::decode_2718_exact(&signed)?;
    rate(duration, |_| Ok(transaction.recover_signer().map(drop)?))
}

/// Times a second that a node finds that it does not trace what it does.
pub(crate) fn untraced(duration: Duration) -> Result<f64> {
    rate(duration, |_| during("work", ready(())).now_or_never().ok_or_else(|| eyre!("it waited")))
}

/// Spans told a second, with a call's worth of context each; the collector is away, so most are lost, which costs no less.
pub(crate) fn traced(duration: Duration) -> Result<f64> {
    let nowhere = Connection::open(&ClientSettings::plain("http://127.0.0.1:1"))?;
    let (tracer, _exporter) = traces::start(1.0, ("bench", "0"), &nowhere, |_| (), Arc::new(|_, _| ()));
    let above = [traces::Context::of(&B256::repeat_byte(7))];
    rate(duration, |_| {
        let work = tracer.follow(Side::Within, "work", &above, ready(()));
        work.now_or_never().ok_or_else(|| eyre!("it waited"))
    })
}

/// Small hashes a second: two digests, as in a tree.
pub(crate) fn hashes(duration: Duration) -> Result<f64> {
    let (domain, mut digest) = (Domain::new("dovetail bench"), [7; 64]);
    rate(duration, |_| {
        let hash = domain.hash(&digest);
        digest[..32].copy_from_slice(hash.as_bytes());
        Ok(())
    })
}

/// Times a second that 4 KiB appended to a file are on the disk.
pub(crate) fn syncs(duration: Duration) -> Result<f64> {
    let mut file = tempfile::tempfile()?;
    rate(duration, |_| {
        file.write_all(&[7; 4096])?;
        Ok(file.sync_data()?)
    })
}

/// Signature checks per second: the rule that every certificate is checked by.
pub(crate) fn signature_checks(duration: Duration) -> Result<f64> {
    let key = SecretKey::from_bytes(&[7; 32])?;
    let digest = Domain::new("dovetail bench").hash(b"header");
    let (public, signature) = (key.public(), key.sign(&digest));
    rate(duration, |_| Ok(public.verify(&digest, &signature)?))
}

/// Synced batches of one small write per second, one at a time.
pub(crate) fn synced_batches(duration: Duration) -> Result<f64> {
    const SPACE: Space = Space("bench");
    let folder = tempfile::tempdir()?;
    let identity = Identity { kind: "bench".into(), network: NetworkId(1), name: "bench".into(), key: None };
    let settings = store::Settings { durability: Durability::Synced, ..store::Settings::default() };
    let mut store = Store::open(folder.path(), &[SPACE], &identity, settings)?;
    rate(duration, |done| {
        store.commit(&[Write::put(SPACE, done.to_be_bytes(), B256::ZERO.to_vec())])?;
        Ok(())
    })
}
