//! What makes a route's settings unsafe: said by `dovetail lint`, and refused at the start by the same rules.
//!
//! What the network file says of a route is checked when it is read (`proof::Route`): two attestors at least, more than half of them, no
//! zero name.

use crate::settings::{AttestorSettings, CarrierSettings};
use axum::http::Uri;
use chains::chain::Finality;
use proof::Route;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// How long a foreign block takes at most, as far as a window is compared with a finality policy, in milliseconds.
const BLOCK_MS_MAX: u64 = 15_000;

/// How far behind its newest block a chain's `finalized` tag is, as far as a window is compared with it: three epochs of Ethereum.
const FINALIZED_BLOCKS_COUNT: u64 = 96;

/// Every fault of an attestor's settings, a sentence each.
pub fn attestor(settings: &AttestorSettings, route: &Route) -> Vec<String> {
    let mut faults = Vec::new();
    let (endpoints, agree) = (settings.endpoints.len(), settings.agree);
    if agree < 2 {
        faults.push(format!("`agree` is {agree}: one endpoint's word is one lie (at least 2)"));
    }
    if agree * 2 <= endpoints || agree > endpoints {
        faults.push(format!("`agree` is {agree} of {endpoints} endpoints: more than half, and no more than there are"));
    }
    let mut providers = BTreeSet::new();
    for url in &settings.endpoints {
        let provider = provider(url);
        if !providers.insert(provider.clone()) {
            faults.push(format!("two endpoints are of one provider, {provider}: they are one word"));
        }
    }
    let blocks = match settings.finality {
        Finality::Instant => 0,
        Finality::Depth { blocks } => blocks,
        Finality::Finalized => FINALIZED_BLOCKS_COUNT,
    };
    faults.extend(operator(settings.operator_listen, settings.tls.is_some() || settings.insecure));
    let (window, needed) = (route.terms().window.0, blocks.saturating_mul(BLOCK_MS_MAX));
    if window <= needed {
        faults.push(format!("the route's window of {window} ms is over before a block is final ({needed} ms)"));
    }
    faults
}

/// Every fault of a carrier's settings, a sentence each.
pub fn carrier(settings: &CarrierSettings, route: &Route) -> Vec<String> {
    let mut faults = Vec::new();
    let (validators, threshold) = (settings.validators.len(), settings.validators_threshold);
    if validators < 2 {
        faults.push(format!("{validators} validators: one key is one theft (at least 2)"));
    }
    if threshold * 2 <= validators || threshold > validators {
        faults.push(format!("{threshold} of {validators} validators: more than half, and no more than there are"));
    }
    let distinct: BTreeSet<_> = settings.validators.iter().collect();
    if distinct.len() < validators {
        faults.push("a validator appears twice".to_owned());
    }
    if settings.validators.iter().any(|validator| validator.is_zero()) {
        faults.push("the zero address is no validator".to_owned());
    }
    let needed = route.terms().threshold;
    if settings.attestors.len() < needed {
        faults.push(format!("{} attestors are read where {needed} have to say the same", settings.attestors.len()));
    }
    let mut hosts = BTreeSet::new();
    for url in &settings.attestors {
        let host = host(url);
        if !is_here(&host) && !hosts.insert(host.clone()) {
            faults.push(format!("two attestors are on one host, {host}: whoever has it has both their keys"));
        }
    }
    faults.extend(operator(settings.operator_listen, settings.tls.is_some() || settings.insecure));
    if settings.fee_gwei_max == 0 {
        faults.push("`fee_gwei_max` is 0: nothing would ever be delivered".to_owned());
    }
    faults
}

/// In plain text whoever reads along knows how to pause the route.
fn operator(listen: Option<SocketAddr>, is_guarded: bool) -> Option<String> {
    let address = listen.filter(|address| !is_guarded && !address.ip().is_loopback())?;
    Some(format!("`operator_listen` is {address}, in plain text: a loopback address, or certificates under `tls`"))
}

/// The host of a URL.
fn host(url: &str) -> String {
    let host = url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_ascii_lowercase));
    host.unwrap_or_else(|| url.to_owned())
}

/// Whether it is this very machine, where a whole network is tried out.
fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Who runs an endpoint, as far as its URL says: the last two labels of its host, or host and port where that is an address.
fn provider(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    let host = authority.split(':').next().unwrap_or_default();
    if host == "localhost" || host.chars().all(|char| char.is_ascii_digit() || char == '.') {
        return authority;
    }
    let labels: Vec<&str> = host.rsplit('.').take(2).collect();
    labels.into_iter().rev().collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Address;
    use chains::hyperlane::IsmKind;
    use primitives::Millis;
    use proof::{RouteTerms, SecretKey};

    fn route() -> Route {
        let key = |seed| SecretKey::from_bytes(&[seed; 32]).unwrap().public();
        let terms = RouteTerms {
            domain: 1,
            chain_id: 1,
            mailbox: Address::repeat_byte(1),
            gas_limit: 1,
            window: Millis(3_600_000),
            attestors: vec![key(1), key(2), key(3)],
            threshold: 2,
        };
        Route::new(terms).unwrap()
    }

    fn attesting() -> AttestorSettings {
        AttestorSettings {
            network: "n".into(),
            domain: 1,
            listen: "127.0.0.1:1".parse().unwrap(),
            metrics_listen: "127.0.0.1:2".parse().unwrap(),
            data: "d".into(),
            key: "k".into(),
            checkpoint_key: "c".into(),
            endpoints: ["https://a.one.io/key", "https://two.io", "https://three.io"].map(Into::into).to_vec(),
            agree: 2,
            operator_listen: None,
            from_block: 0,
            finality: Finality::Depth { blocks: 12 },
            tls: None,
            insecure: false,
        }
    }

    fn carrying() -> CarrierSettings {
        CarrierSettings {
            network: "n".into(),
            domain: 1,
            metrics_listen: "127.0.0.1:2".parse().unwrap(),
            data: "d".into(),
            attestors: vec!["http://a".into(), "http://b".into()],
            validators: [1, 2, 3].map(Address::repeat_byte).to_vec(),
            validators_threshold: 2,
            endpoint: "http://c".into(),
            key: "k".into(),
            fee_gwei_max: 100,
            patience_s: 30,
            ism: IsmKind::default(),
            listen: None,
            operator_listen: None,
            tls: None,
            insecure: false,
        }
    }

    #[test]
    fn safe_settings_have_no_fault() {
        assert_eq!(attestor(&attesting(), &route()), [""; 0]);
        assert_eq!(carrier(&carrying(), &route()), [""; 0]);
    }

    #[test]
    fn each_unsafe_setting_of_an_attestor_is_named() {
        let one = attesting().endpoints[..1].to_vec();
        let same = ["https://a.one.io/key", "https://b.one.io", "https://three.io"].map(Into::into).to_vec();
        let faults = [
            (AttestorSettings { endpoints: one, agree: 1, ..attesting() }, "one endpoint"),
            (AttestorSettings { agree: 0, ..attesting() }, "one endpoint"),
            (AttestorSettings { agree: 4, ..attesting() }, "no more than there are"),
            (AttestorSettings { endpoints: same, ..attesting() }, "one provider, one.io"),
            (AttestorSettings { finality: Finality::Depth { blocks: 240 }, ..attesting() }, "is over before"),
        ];
        for (settings, said) in faults {
            let found = attestor(&settings, &route());
            assert!(found.iter().any(|fault| fault.contains(said)), "{said}: {found:?}");
        }
    }

    #[test]
    fn ronin_2022_harmony_orbit_two_attestors_on_one_host_are_refused() {
        let with = |attestors: [&str; 3]| {
            let attestors = attestors.map(Into::into).to_vec();
            carrier(&CarrierSettings { attestors, ..carrying() }, &route())
        };
        for one in ["http://10.0.0.1:7500", "http://user@10.0.0.1:7500/", "https://10.0.0.1"] {
            let faults = with(["http://10.0.0.1:7400", "http://10.0.0.2:7400", one]);
            assert!(faults.iter().any(|fault| fault.contains("on one host, 10.0.0.1")), "{one}: {faults:?}");
        }
        let faults = with(["http://a.example:7400", "http://A.example:7401", "http://b.example:7400"]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(with(["http://10.0.0.1:7400", "http://10.0.0.2:7400", "http://[2001:db8::1]:7400"]), [""; 0]);
        assert_eq!(with(["http://10.0.0.1", "http://[2001:db8::1]", "http://[2001:db8::2]"]), [""; 0]);
        assert_eq!(
            with(["http://127.0.0.1:1", "http://127.0.0.1:2", "http://[::1]:3"]),
            [""; 0],
            "a network tried out"
        );
    }

    #[test]
    fn each_unsafe_setting_of_a_carrier_is_named() {
        let twice = [1, 1, 2].map(Address::repeat_byte).to_vec();
        let zero = [0, 1, 2].map(Address::repeat_byte).to_vec();
        let faults = [
            (CarrierSettings { validators: twice[..1].to_vec(), validators_threshold: 1, ..carrying() }, "one key"),
            (CarrierSettings { validators_threshold: 1, ..carrying() }, "more than half"),
            (CarrierSettings { validators_threshold: 4, ..carrying() }, "no more than there are"),
            (CarrierSettings { validators: twice, ..carrying() }, "appears twice"),
            (CarrierSettings { validators: zero, ..carrying() }, "the zero address"),
            (CarrierSettings { attestors: vec!["http://a".into()], ..carrying() }, "1 attestors are read"),
            (CarrierSettings { fee_gwei_max: 0, ..carrying() }, "nothing would ever"),
            (CarrierSettings { operator_listen: Some("0.0.0.0:7412".parse().unwrap()), ..carrying() }, "loopback"),
        ];
        for (settings, said) in faults {
            let found = carrier(&settings, &route());
            assert!(found.iter().any(|fault| fault.contains(said)), "{said}: {found:?}");
        }
    }
}
