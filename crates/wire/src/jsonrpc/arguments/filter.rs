//! Filters for logs.

use super::{Argument, Misfit, field, object};
use alloy_primitives::{Address, B256};
use alloy_rpc_types_eth::{BlockNumberOrTag, Filter, FilterBlockOption, Topic};
use serde_json::{Map, Value};

/// Positions of topics that a log has.
const TOPICS_COUNT_MAX: usize = 4;

/// One value or a list of them.
struct OneOrMany<T>(Vec<T>);

impl<T: Argument> Argument for OneOrMany<T> {
    fn read(value: &Value) -> Result<Self, Misfit> {
        if value.is_array() { Vec::read(value).map(Self) } else { T::read(value).map(|one| Self(vec![one])) }
    }

    fn absent() -> Option<Self> {
        Some(Self(Vec::new()))
    }
}

/// What a position of topics may be: one, any of some, or, with a null among them or nothing at all, anything.
struct Position(Topic);

impl Argument for Position {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let OneOrMany(topics) = OneOrMany::<Option<B256>>::read(value)?;
        let topics: Option<Vec<B256>> = topics.into_iter().collect();
        Ok(Self(topics.unwrap_or_default().into()))
    }

    fn absent() -> Option<Self> {
        Some(Self(Topic::default()))
    }
}

impl Argument for Filter {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let fields = object(value)?;
        let OneOrMany(address) = field::<OneOrMany<Address>>(fields, "address")?;
        let positions: Vec<Position> = field::<Option<_>>(fields, "topics")?.unwrap_or_default();
        if positions.len() > TOPICS_COUNT_MAX {
            return Err(Misfit::Sense(format!("exceed max topics: a log has {TOPICS_COUNT_MAX} at most")));
        }
        let mut topics: [Topic; TOPICS_COUNT_MAX] = Default::default();
        for (place, Position(topic)) in topics.iter_mut().zip(positions) {
            *place = topic;
        }
        Ok(Self { block_option: blocks(fields)?, address: address.into(), topics })
    }
}

/// The blocks that a filter names.
fn blocks(fields: &Map<String, Value>) -> Result<FilterBlockOption, Misfit> {
    let from_block: Option<BlockNumberOrTag> = field(fields, "fromBlock")?;
    let to_block: Option<BlockNumberOrTag> = field(fields, "toBlock")?;
    match field(fields, "blockHash")? {
        None => Ok(FilterBlockOption::Range { from_block, to_block }),
        Some(hash) if from_block.is_none() && to_block.is_none() => Ok(FilterBlockOption::AtBlockHash(hash)),
        Some(_) => Err(Misfit::Sense(
            "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other".to_owned(),
        )),
    }
}
