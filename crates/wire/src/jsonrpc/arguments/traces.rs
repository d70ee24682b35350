//! Which traces are looked for: Parity's filter, with ends as numbers or tags, and counts as numbers or quantities.

use super::{Argument, Count, Height, Json, Misfit, field, object};
use alloy_rpc_types_eth::BlockNumberOrTag;
use alloy_rpc_types_trace::filter::TraceFilter;
use serde_json::Value;

/// What `trace_filter` is asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TraceQuery {
    /// The first block.
    pub(crate) from: Option<BlockNumberOrTag>,
    /// The last block.
    pub(crate) to: Option<BlockNumberOrTag>,
    /// How many of what is found are passed over.
    pub(crate) after: usize,
    /// How many are told.
    pub(crate) count: usize,
    /// By whom and to whom, without its ends.
    pub(crate) filter: TraceFilter,
}

impl Argument for TraceQuery {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let mut fields = object(value)?.clone();
        let end = |name| field::<Option<Height>>(&fields, name).map(|end| end.map(|Height(tag)| tag));
        let count = |name| {
            let count = field::<Option<Count>>(&fields, name)?;
            Ok::<_, Misfit>(count.map(|Count(count)| usize::try_from(count).unwrap_or(usize::MAX)))
        };
        let (from, to) = (end("fromBlock")?, end("toBlock")?);
        let (after, count) = (count("after")?.unwrap_or(0), count("count")?.unwrap_or(usize::MAX));
        for read in ["fromBlock", "toBlock", "after", "count"] {
            fields.remove(read);
        }
        let Json(filter) = Json::read(&Value::Object(fields))?;
        Ok(Self { from, to, after, count, filter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ends_are_numbers_or_tags_and_counts_either_kind_of_number() {
        let query = TraceQuery::read(&json!({"fromBlock": "0x10", "toBlock": "latest", "after": 1, "count": "0x5"}));
        let query = query.unwrap();
        assert_eq!((query.from, query.to), (Some(BlockNumberOrTag::Number(16)), Some(BlockNumberOrTag::Latest)));
        assert_eq!((query.after, query.count), (1, 5));
        let query = TraceQuery::read(&json!({"fromBlock": "earliest", "toBlock": null})).unwrap();
        assert_eq!((query.from, query.to, query.count), (Some(BlockNumberOrTag::Earliest), None, usize::MAX));
        for wrong in [json!({"fromBlock": "Latest"}), json!({"toBlock": true}), json!({"count": "5"}), json!([])] {
            assert!(TraceQuery::read(&wrong).is_err(), "{wrong}");
        }
        assert!(TraceQuery::read(&json!({"fromAddres": []})).is_err(), "a field that is misspelt");
    }
}
