//! What is looked at in a body before the methods' library has it: ids that it cannot give back as they came (numbers below
//! zero, fractions, truth values) are replaced, and put back in the answer; JSON that is no request is told from no JSON.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The ids that were replaced, by the text that stands for each.
#[derive(Debug, Default)]
pub(super) struct Ids(BTreeMap<String, Box<RawValue>>);

/// What stands for an id begins so: no client has a reason to.
const MARK: &str = "\u{1}id ";

/// A request, or an answer, as its fields.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// What makes a request one.
#[derive(Debug, Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
}

impl Named<'_> {
    fn is_request(&self) -> bool {
        let is_id = self.id.is_none_or(|id| !is_structure(id));
        is_id && self.method.is_some_and(|method| method.get().starts_with('"'))
    }
}

/// What a body is.
#[derive(Debug)]
pub(super) enum Body {
    /// To be answered as it is; also what is no JSON at all, and a batch with anything in it.
    Plain,
    /// The same with ids that can be given back, and what they stand for.
    Replaced(Vec<u8>, Ids),
    /// JSON, and neither a request nor a batch, without an id to answer it by.
    NoRequest,
}

/// Whether an id is an object or a list, and so none.
fn is_structure(id: &RawValue) -> bool {
    id.get().starts_with(['{', '['])
}

/// Whether an id is given back as it came anyway, or is none: an object or a list.
fn is_plain(id: &RawValue) -> bool {
    match id.get().as_bytes() {
        [b'"' | b'n' | b'{' | b'[', ..] => true,
        _ => id.get().parse::<u64>().is_ok(),
    }
}

/// Looks at a body before it is answered.
pub(super) fn look(body: &[u8]) -> Body {
    if is_batch(body) {
        let has_odd = serde_json::from_slice::<Vec<Named<'_>>>(body).is_ok_and(|batch| batch.iter().any(is_odd));
        return if has_odd {
            replaced(body).map_or(Body::Plain, |(body, ids)| Body::Replaced(body, ids))
        } else {
            Body::Plain
        };
    }
    match serde_json::from_slice::<Named<'_>>(body) {
        Ok(Named { id: Some(id), .. }) if is_plain(id) && !is_structure(id) => Body::Plain,
        Ok(named) if !named.is_request() => Body::NoRequest,
        Ok(named) if is_odd(&named) => replaced(body).map_or(Body::Plain, |(body, ids)| Body::Replaced(body, ids)),
        Err(_) if serde_json::from_slice::<IgnoredAny>(body).is_ok() => Body::NoRequest,
        Ok(_) | Err(_) => Body::Plain,
    }
}

fn is_batch(body: &[u8]) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

fn is_odd(named: &Named<'_>) -> bool {
    named.id.is_some_and(|id| !is_plain(id))
}

/// The same requests with texts for their odd ids.
fn replaced(body: &[u8]) -> Option<(Vec<u8>, Ids)> {
    let mut ids = Ids::default();
    let replaced = if is_batch(body) {
        let requests: Vec<Fields<'_>> = serde_json::from_slice(body).ok()?;
        let requests: Option<Vec<_>> = requests.into_iter().map(|request| ids.take(request)).collect();
        serde_json::to_vec(&requests?).ok()?
    } else {
        serde_json::to_vec(&ids.take(serde_json::from_slice(body).ok()?)?).ok()?
    };
    Some((replaced, ids))
}

impl Ids {
    /// A request with a text for its id, if that is odd.
    fn take(&mut self, request: Fields<'_>) -> Option<BTreeMap<String, Box<RawValue>>> {
        let mut request: BTreeMap<String, Box<RawValue>> =
            request.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        if let Some(id) = request.get_mut("id").filter(|id| !is_plain(id)) {
            let text = format!("{MARK}{}", self.0.len());
            let mark = serde_json::value::to_raw_value(&text).ok()?;
            self.0.insert(text, std::mem::replace(id, mark));
        }
        Some(request)
    }

    /// An answer with the ids that its request came with; none if it is no answer.
    pub(super) fn put_back(&self, body: &[u8]) -> Option<Vec<u8>> {
        if is_batch(body) {
            let answers: Vec<Fields<'_>> = serde_json::from_slice(body).ok()?;
            let answers: Vec<_> = answers.into_iter().map(|answer| self.put_back_in(answer)).collect();
            return serde_json::to_vec(&answers).ok();
        }
        serde_json::to_vec(&self.put_back_in(serde_json::from_slice(body).ok()?)).ok()
    }

    fn put_back_in<'a>(&'a self, mut answer: Fields<'a>) -> Fields<'a> {
        if let Some(id) = answer.get_mut("id")
            && let Ok(text) = serde_json::from_str::<String>(id.get())
            && let Some(taken) = self.0.get(&text)
        {
            *id = taken;
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given_back(request: &str) -> String {
        let Body::Replaced(body, ids) = look(request.as_bytes()) else { panic!("{request} was not looked at") };
        String::from_utf8(ids.put_back(&body).unwrap()).unwrap()
    }

    #[test]
    fn an_odd_id_comes_back_as_it_came() {
        for id in ["-1", "1.50", "1e3", "true", "18446744073709551616"] {
            let request = format!(r#"{{"id":{id},"method":"m"}}"#);
            assert_eq!(given_back(&request), request);
        }
        let batch = r#"[{"id":-1,"method":"m"},{"id":2,"method":"m"},{"id":false,"method":"m"},{"method":"m"}]"#;
        assert_eq!(given_back(batch), batch);
    }

    #[test]
    fn plain_ids_and_what_is_no_json_stay_as_they_are() {
        let calls =
            [r#"{"id":1,"method":"m"}"#, r#"{"id":"-1","method":"m"}"#, r#"{"method":"m"}"#, "[]", "[1]", "?", ""];
        for body in calls {
            assert!(matches!(look(body.as_bytes()), Body::Plain), "{body}");
        }
    }

    #[test]
    fn json_that_is_no_request_is_known_as_that() {
        for body in ["1", "null", "\"x\"", "{}", r#"{"id":-1}"#, r#"{"id":{},"method":"m"}"#, r#"{"method":2}"#] {
            assert!(matches!(look(body.as_bytes()), Body::NoRequest), "{body}");
        }
    }
}
