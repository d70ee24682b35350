//! The nodes of bridges that this node was told of: which transactions on the foreign chain they know of a message.
//!
//! ```text
//!   each node, at once: GET /hops/{Hyperlane's id} --bounded in bytes and time--> hops, why it waits
//!                                    hops that several tell are one, with who tells it
//! ```
//!
//! Promise: nothing that comes back is believed, and none of it costs more than [`ANSWER_BYTES_MAX`] or [`ANSWER_TIMEOUT`]; a node that is
//! silent is named and holds up nothing else. Many readers of one message cost as much as one.
//! Knows nothing of bridges but that answer: an attestor's and a carrier's are the same.

use alloy_primitives::B256;
use futures_util::future::join_all;
use reqwest::{Client, Response, Url, redirect};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use wire::hops::{Hop, Sight, Standing, Step};

/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// How long a node may take, its last byte included.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Most transactions that one node may tell of a message.
const HOPS_COUNT_MAX: usize = 16;

/// How much of a node's words is repeated.
const WORDS_CHARS_MAX: usize = 300;

/// For how long an answer is told again.
const KEPT: Duration = Duration::from_millis(900);

/// The same where a node is silent: who looks again is not kept waiting for it each time.
const KEPT_SILENT: Duration = Duration::from_secs(5);

/// Of how many messages answers are kept.
const KEPT_COUNT_MAX: usize = 64;

/// One transaction there, and the numbers of those who tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) hop: Hop,
    pub(super) by: BTreeSet<usize>,
}

/// What one node says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// Why it gave no answer.
    pub(super) silent: Option<String>,
    /// Why the message waits, in its words.
    pub(super) why: Option<String>,
}

/// What all of them say of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Heard {
    pub(super) words: Vec<Word>,
    pub(super) hops: Vec<Told>,
}

/// All of them, by their number in the settings.
#[derive(Debug, Default)]
pub(super) struct Bridges {
    nodes: Vec<Url>,
    http: Client,
    kept: Mutex<BTreeMap<B256, Kept>>,
}

/// What was heard of one message, and when. Held while it is asked for: who comes meanwhile waits for that answer.
type Kept = Arc<tokio::sync::Mutex<Option<(Instant, Arc<Heard>)>>>;

/// Not the address of a node of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the address of a bridge's node is http:// or https:// and a host: {0}")]
pub struct NotABridge(String);

impl Bridges {
    /// Those that listen at these addresses; nothing is sent yet.
    ///
    /// # Errors
    /// [`NotABridge`] for an address that is none.
    pub(super) fn at(addresses: &[String]) -> Result<Self, NotABridge> {
        let nodes = addresses.iter().map(|address| url(address)).collect::<Result<_, _>>()?;
        // A redirect would be another's answer than of who was named.
        let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().timeout(ANSWER_TIMEOUT);
        let http = client.build().map_err(|error| NotABridge(error.to_string()))?;
        Ok(Self { nodes, http, kept: Mutex::default() })
    }

    /// Whether these addresses are some.
    ///
    /// # Errors
    /// As [`Bridges::at`].
    pub(super) fn check(addresses: &[String]) -> Result<(), NotABridge> {
        addresses.iter().try_for_each(|address| url(address).map(drop))
    }

    /// What they say of the message with this id of Hyperlane's, which goes over chain `chain_id`.
    pub(super) async fn hear(&self, id: B256, chain_id: u64) -> Arc<Heard> {
        let kept = self.kept(id);
        let mut kept = kept.lock().await;
        if let Some((at, heard)) = &*kept {
            let is_silent = heard.words.iter().any(|word| word.silent.is_some());
            if at.elapsed() < if is_silent { KEPT_SILENT } else { KEPT } {
                return Arc::clone(heard);
            }
        }
        let answers = join_all(self.nodes.iter().map(|node| self.ask(node, id))).await;
        let heard = Arc::new(Heard::of(answers, chain_id));
        *kept = Some((Instant::now(), Arc::clone(&heard)));
        heard
    }

    /// The place of what is heard of this message; one that nobody else finds if there are too many.
    fn kept(&self, id: B256) -> Kept {
        // Each change leaves a whole table behind.
        let mut places = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= KEPT_COUNT_MAX {
            places.retain(|_, kept| {
                let is_fresh = |(at, _): &(Instant, _)| at.elapsed() < KEPT_SILENT;
                // One that is locked is being asked for.
                kept.try_lock().map_or(true, |kept| kept.as_ref().is_some_and(is_fresh))
            });
        }
        let is_full = places.len() >= KEPT_COUNT_MAX;
        if is_full { places.get(&id).cloned().unwrap_or_default() } else { Kept::clone(places.entry(id).or_default()) }
    }

    async fn ask(&self, node: &Url, id: B256) -> Result<Sight, String> {
        let mut url = node.clone();
        url.set_path(&format!("{}/hops/{id}", node.path().trim_end_matches('/')));
        let response = self.http.get(url).send().await.map_err(|error| silence(&error))?;
        if !response.status().is_success() {
            return Err(format!("it answers with status {}", response.status().as_u16()));
        }
        sight(&bounded(response).await?)
    }
}

fn url(address: &str) -> Result<Url, NotABridge> {
    let url: Option<Url> = address.parse().ok();
    let is_one = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    url.filter(is_one).ok_or_else(|| NotABridge(address.to_owned()))
}

async fn bounded(mut response: Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| silence(&error))? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!("its answer has more than {ANSWER_BYTES_MAX} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Why there was no answer, without the address, which may hold a secret.
fn silence(error: &reqwest::Error) -> String {
    let words = if error.is_timeout() { "no answer in time" } else { "no connection" };
    words.to_owned()
}

fn sight(bytes: &[u8]) -> Result<Sight, String> {
    let sight: Sight = serde_json::from_slice(bytes).map_err(|_| "what it says is no answer".to_owned())?;
    if sight.hops.len() > HOPS_COUNT_MAX {
        return Err(format!("it tells {} transactions of one message", sight.hops.len()));
    }
    let why = sight.why.map(|why| why.chars().take(WORDS_CHARS_MAX).collect());
    Ok(Sight { why, ..sight })
}

impl Heard {
    /// Of these answers, by the nodes' numbers; those of other chains' bridges say nothing.
    fn of(answers: Vec<Result<Sight, String>>, chain_id: u64) -> Self {
        let mut heard = Self::default();
        for (number, answer) in answers.into_iter().enumerate() {
            let (silent, sight) = match answer {
                Ok(sight) => (None, Some(sight).filter(|sight| sight.chain_id == chain_id)),
                Err(silent) => (Some(silent), None),
            };
            let (hops, why) = sight.map_or_else(Default::default, |sight| (sight.hops, sight.why));
            for hop in &hops {
                heard.add(number, hop);
            }
            heard.words.push(Word { silent, why });
        }
        let all = heard.hops.clone();
        let is_in_a_block = |hop: &Hop| {
            all.iter().any(|Told { hop: one, .. }| one.block.is_some() && one.transaction == hop.transaction)
        };
        heard.hops.retain(|told| told.hop.state != Standing::UnderWay || !is_in_a_block(&told.hop));
        heard.hops.sort_by_key(|told| (told.hop.step, told.hop.block.unwrap_or(u64::MAX)));
        heard
    }

    fn add(&mut self, number: usize, hop: &Hop) {
        let place = |hop: &Hop| (hop.step, hop.transaction, hop.block, hop.block_hash);
        match self.hops.iter_mut().find(|known| place(&known.hop) == place(hop)) {
            Some(known) => {
                known.by.insert(number);
                known.hop.state = known.hop.state.max(hop.state);
            }
            None => self.hops.push(Told { hop: hop.clone(), by: [number].into() }),
        }
    }

    /// As JSON: the transactions, and who was asked.
    pub(super) fn told(&self) -> (Value, Value) {
        let hop = |Told { hop, by }: &Told| {
            json!({
                "step": step(hop.step),
                "state": state(hop.state),
                "transaction": hop.transaction,
                "block": hop.block,
                "blockHash": hop.block_hash,
                "toldBy": by,
            })
        };
        let node = |(number, word): (usize, &Word)| json!({ "node": number, "silent": word.silent, "why": word.why });
        let nodes = self.words.iter().enumerate().map(node);
        (self.hops.iter().map(hop).collect(), nodes.collect())
    }
}

fn step(step: Step) -> &'static str {
    match step {
        Step::Dispatched => "dispatched",
        Step::Processed => "processed",
        Step::Answered => "answered",
    }
}

fn state(state: Standing) -> &'static str {
    match state {
        Standing::UnderWay => "under way",
        Standing::Mined => "mined",
        Standing::Reverted => "reverted",
        Standing::Final => "final",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    const CHAIN: u64 = 31_337;

    fn hop(state: Standing, transaction: u8, block: Option<u64>) -> Hop {
        let transaction = Some(B256::repeat_byte(transaction));
        Hop { step: Step::Processed, state, transaction, block, block_hash: None }
    }

    #[allow(clippy::unnecessary_wraps, reason = "as a node that answers")]
    fn says(hops: &[Hop]) -> Result<Sight, String> {
        Ok(Sight { chain_id: CHAIN, hops: hops.to_vec(), why: None })
    }

    #[test]
    fn what_several_tell_is_one_and_as_sure_as_the_surest_says() {
        let (mined, certain) = (hop(Standing::Mined, 1, Some(5)), hop(Standing::Final, 1, Some(5)));
        let heard = Heard::of(
            vec![says(&[mined]), says(std::slice::from_ref(&certain)), Err("no connection".to_owned())],
            CHAIN,
        );
        assert_eq!(heard.hops, [Told { hop: certain, by: [0, 1].into() }]);
        assert_eq!(heard.words[2].silent.as_deref(), Some("no connection"));
    }

    #[test]
    fn who_contradicts_is_told_beside_the_others() {
        let (one, other) = (hop(Standing::Final, 1, Some(5)), hop(Standing::Final, 2, Some(5)));
        let heard = Heard::of(vec![says(&[one]), says(&[other])], CHAIN);
        assert_eq!(heard.hops.iter().map(|told| told.by.clone()).collect::<Vec<_>>(), [[0].into(), [1].into()]);
    }

    #[test]
    fn a_transaction_in_a_block_is_under_way_no_longer() {
        let (sent, mined) = (hop(Standing::UnderWay, 1, None), hop(Standing::Mined, 1, Some(5)));
        let heard = Heard::of(
            vec![says(std::slice::from_ref(&sent)), says(&[mined]), says(&[hop(Standing::UnderWay, 2, None)])],
            CHAIN,
        );
        assert_eq!(
            heard.hops.iter().map(|told| told.hop.state).collect::<Vec<_>>(),
            [Standing::Mined, Standing::UnderWay]
        );
        assert_eq!(Heard::of(vec![says(&[sent])], CHAIN + 1).hops, [], "another chain's bridge");
    }

    #[test]
    fn an_answer_is_taken_as_it_is_described_and_in_no_other_way() {
        let of = |hops: &str, why: &str| sight(format!(r#"{{"chain_id":1,"hops":[{hops}],"why":{why}}}"#).as_bytes());
        let good = r#"{"step":"answered","state":"under_way","transaction":null,"block":null,"block_hash":null}"#;
        assert_eq!(of(good, "null").unwrap().hops[0].step, Step::Answered);
        let long = of("", &format!("{:?}", "<b>".repeat(1_000))).unwrap();
        assert_eq!(long.why.unwrap().chars().count(), WORDS_CHARS_MAX);
        for bad in [good.replace("answered", "<script>"), good.replace("null,\"block\"", "\"0x12\",\"block\"")] {
            assert!(of(&bad, "null").is_err(), "{bad}");
        }
        let many = vec![good; HOPS_COUNT_MAX + 1].join(",");
        assert!(of(&many, "null").is_err());
    }

    #[test]
    fn an_address_is_a_url_of_the_web() {
        assert!(Bridges::check(&["http://127.0.0.1:7400".to_owned(), "https://attestor.example/a".to_owned()]).is_ok());
        for wrong in ["127.0.0.1:7400", "ftp://host", "http://", "file:///etc/passwd"] {
            assert!(Bridges::check(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }

    /// A server that gives the first who asks `answer`, and whoever comes later nothing.
    fn serve(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1_024]);
            // Whoever reads no more has closed it.
            let _ = stream.write_all(&answer);
        });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn who_says_too_much_or_nothing_is_silent_and_holds_up_nobody() {
        let good = r#"{"chain_id":31337,"hops":[],"why":"it waits"}"#;
        let http = |body: &[u8]| {
            [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
        };
        // One that listens and never answers.
        let still = TcpListener::bind("127.0.0.1:0").unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let addresses = [
            serve(http(good.as_bytes())),
            serve(http(&vec![b' '; ANSWER_BYTES_MAX + 1])),
            format!("http://{}", still.local_addr().unwrap()),
            format!("http://{gone}"),
            serve(
                b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
                    .to_vec(),
            ),
        ];
        let bridges = Bridges::at(&addresses).unwrap();
        let begun = Instant::now();
        let heard = bridges.hear(B256::repeat_byte(1), CHAIN).await;
        assert!(begun.elapsed() < 2 * ANSWER_TIMEOUT);
        assert_eq!(heard.words[0], Word { silent: None, why: Some("it waits".to_owned()) });
        let silences: Vec<_> = heard.words[1..].iter().map(|word| word.silent.clone().unwrap()).collect();
        assert!(silences[0].contains("more than") && silences[1].contains("in time"), "{silences:?}");
        assert!(silences[2].contains("no connection") && silences[3].contains("status 307"), "{silences:?}");
        let again = bridges.hear(B256::repeat_byte(1), CHAIN).await;
        assert!(Arc::ptr_eq(&heard, &again), "who looks again does not wait for the silent");
    }

    #[tokio::test]
    async fn who_asks_while_another_does_waits_for_that_answer() {
        let good = br#"{"chain_id":31337,"hops":[],"why":null}"#;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", good.len());
        let bridges = Bridges::at(&[serve([head.as_bytes(), good].concat())]).unwrap();
        let id = B256::repeat_byte(1);
        let (one, other) = tokio::join!(bridges.hear(id, CHAIN), bridges.hear(id, CHAIN));
        assert_eq!(one.words, [Word { silent: None, why: None }]);
        assert!(Arc::ptr_eq(&one, &other), "the node was asked twice");
    }
}
