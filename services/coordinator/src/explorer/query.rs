//! What stands in a path and after its question mark, and is bounded before it is used.

use super::PAGE_COUNT_MAX;
use super::answer::Problem;
use alloy_primitives::{Address, B256, U256};
use std::collections::BTreeMap;
use std::str::FromStr;

/// The parameters of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    /// Those in `text`, `name=value` joined by `&`, percent-encoded. Of two of one name the last counts.
    pub(super) fn of(text: &str) -> Self {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(name), decoded(value))
        };
        Self(text.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    /// The parameter of this name.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The number of this name.
    ///
    /// # Errors
    /// If it is something else.
    pub(super) fn number<N: FromStr>(&self, name: &str) -> Result<Option<N>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Problem::malformed(format!("{name} is {text:?}, which is no number")))
    }

    /// How many entries a page is to have: 1 to [`PAGE_COUNT_MAX`].
    ///
    /// # Errors
    /// If it is none, for which there is no page.
    pub(super) fn count(&self) -> Result<usize, Problem> {
        match self.number::<usize>("count")?.unwrap_or(25) {
            0 => Err(Problem::malformed(format!("count is 0: a page has 1 to {PAGE_COUNT_MAX} entries"))),
            count => Ok(count.min(PAGE_COUNT_MAX)),
        }
    }

    /// The storage slots that `slots` names, numbers or words joined by commas.
    ///
    /// # Errors
    /// If one is none, or there are more than `most`: none is left out silently.
    pub(super) fn slots(&self, most: usize) -> Result<Vec<U256>, Problem> {
        let named = self.text("slots").unwrap_or_default().split(',').filter(|text| !text.is_empty());
        let named: Vec<&str> = named.take(most.saturating_add(1)).collect();
        if named.len() > most {
            return Err(Problem::malformed(format!("at most {most} slots may be named at once")));
        }
        let slot = |text: &str| text.parse().map_err(|_| Problem::malformed(format!("{text:?} is no storage slot")));
        named.into_iter().map(slot).collect()
    }
}

/// The hash or id that `text` writes, which is never zero.
pub(super) fn word(text: &str) -> Result<B256, Problem> {
    let word: Option<B256> = text.parse().ok();
    let word = word.filter(|word| !word.is_zero());
    word.ok_or_else(|| Problem::malformed(format!("{text:?} is not 0x and 64 hex digits that are not all zero")))
}

/// What a text that is no hash calls a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockName {
    /// By its number.
    Number(u64),
    /// The newest, which is final here.
    Newest,
    /// The oldest that is kept.
    Oldest,
}

/// The block that `text` names: `242`, `1,234`, `#242`, `0xf2`, or a tag of the methods.
pub(super) fn block_name(text: &str) -> Option<BlockName> {
    match text.to_ascii_lowercase().as_str() {
        "latest" | "safe" | "finalized" => return Some(BlockName::Newest),
        "earliest" => return Some(BlockName::Oldest),
        _ => {}
    }
    let text = text.strip_prefix('#').unwrap_or(text);
    // `from_str_radix` takes a sign too.
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let number = match digits {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => u64::from_str_radix(digits, 16),
        Some(_) => return None,
        None if text.starts_with('+') => return None,
        None => text.replace([',', '_'], "").parse(),
    };
    number.ok().map(BlockName::Number)
}

/// The address that `text` writes, in any case.
pub(super) fn address(text: &str) -> Result<Address, Problem> {
    text.parse().map_err(|_| Problem::malformed(format!("{text:?} is not 0x and 40 hex digits")))
}

/// Percent-encoding undone; what is none is left as it is, and what is no text is replaced.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [byte, after @ ..] = rest {
        let escaped = if *byte == b'%' { after.get(..2).and_then(hex_byte) } else { None };
        match escaped {
            Some(escaped) => bytes.push(escaped),
            None if *byte == b'+' => bytes.push(b' '),
            None => bytes.push(*byte),
        }
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0_u8, |byte, digit| Some(byte << 4 | u8::try_from((*digit as char).to_digit(16)?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_the_broken_left_as_they_are() {
        let query = Query::of("q=0x1%20%3Cb%3E&count=7&x=%zz&&y&e=%e");
        assert_eq!(query.text("q"), Some("0x1 <b>"));
        assert_eq!((query.text("x"), query.text("y"), query.text("e")), (Some("%zz"), Some(""), Some("%e")));
        assert_eq!(query.count(), Ok(7));
    }

    #[test]
    fn a_block_is_named_by_its_number_in_any_way_or_by_a_tag() {
        for text in ["242", "#242", "0xf2", "0XF2", "#0xf2", "2_42", "2,42"] {
            assert_eq!(block_name(text), Some(BlockName::Number(242)), "{text}");
        }
        for text in ["latest", "Finalized", "safe"] {
            assert_eq!(block_name(text), Some(BlockName::Newest), "{text}");
        }
        assert_eq!(block_name("earliest"), Some(BlockName::Oldest));
        for text in ["", "#", "0x", "f2", "-1", "+1", "0x+1", "0xfffffffffffffffff", "pending", "##1"] {
            assert_eq!(block_name(text), None, "{text}");
        }
    }

    #[test]
    fn a_page_is_bounded_whatever_is_asked_for() {
        assert_eq!(Query::of("count=100000").count(), Ok(PAGE_COUNT_MAX));
        assert!(Query::of("count=0").count().is_err() && Query::of("count=-1").count().is_err());
    }

    #[test]
    fn slots_beyond_the_limit_are_refused_by_its_name() {
        assert_eq!(Query::of("slots=0,0x1").slots(2), Ok(vec![U256::ZERO, U256::from(1)]));
        assert_eq!(Query::of("").slots(2), Ok(Vec::new()));
        let error = Query::of("slots=0,1,2").slots(2).unwrap_err().to_string();
        assert!(error.contains("at most 2 slots"), "{error}");
        assert!(Query::of("slots=x").slots(2).is_err());
    }
}
