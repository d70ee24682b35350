//! Addresses: what is there, on which shard, what it did, and with whom across shards.

use super::Explorer;
use super::answer::Problem;
use super::query::Query;
use super::records::{LOGS_TOLD_COUNT_MAX, line};
use alloy_primitives::{Address, keccak256};
use primitives::Slot;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use wire::jsonrpc::{Chain, Moment, Order, parties};
use wire::state::OutcomeRecord;

/// Most neighbours that are told.
const NEIGHBOURS_COUNT_MAX: usize = 24;

/// Most bytes of code that are told; `eth_getCode` has all of it.
const CODE_TOLD_BYTES_MAX: usize = 8 << 10;

/// Most storage slots that one question may name.
const SLOTS_COUNT_MAX: usize = 16;

impl Explorer {
    /// An address and a page of its transactions, the newest first, from block `before` back.
    pub(super) async fn address(&self, address: Address, query: &Query) -> Result<Value, Problem> {
        let node = &*self.node;
        let (head, oldest) = (Chain::head(node).await?, Chain::oldest(node));
        let last = query.number("before")?.map_or(head, |before: u64| Slot(before.saturating_sub(1)).min(head));
        let count = query.count()?;
        let (account, creation, storage, slots) = tokio::join!(
            Chain::account(node, address, Moment::Newest),
            Chain::creation(node, address),
            self.storage(address, query),
            Chain::involving(node, address, (oldest, last), Order::Descending, count),
        );
        let slots = slots?;
        let (mut page, mut neighbours) = (Vec::new(), Neighbours::default());
        let mut next = None;
        for slot in &slots {
            let block = Chain::block(node, *slot).await?;
            let its = block.outcomes.iter().filter(|record| involves(record, address));
            for record in its {
                neighbours.add(record, address);
                page.push(line(record));
            }
            if page.len() >= count {
                next = Some(slot.0);
                break;
            }
        }
        let next = next.or_else(|| if slots.len() >= count { slots.last().map(|slot| slot.0) } else { None });
        Ok(json!({
            "address": address,
            "shard": self.shard_of(address),
            "mailboxOf": node.network.placement.mailbox_shard(address).map(|shard| shard.0),
            "account": match account {
                Ok(view) => json!({
                    "balance": view.balance.to_string(),
                    "nonce": view.nonce,
                    "codeBytes": view.code.len(),
                    "codeHash": if view.code.is_empty() { Value::Null } else { json!(keccak256(&view.code[..])) },
                    "code": alloy_primitives::hex::encode_prefixed(&view.code[..view.code.len().min(CODE_TOLD_BYTES_MAX)]),
                }),
                // Its shard does not answer: its history is told all the same.
                Err(rejection) => json!({ "unread": rejection.message }),
            },
            "creation": creation.ok().flatten(),
            "storage": storage?,
            "page": page,
            "next": next,
            "oldest": oldest.0,
            "neighbours": neighbours.told(self),
            "silent": self.silent_shards(),
        }))
    }

    /// The storage slots that `slots` names, numbers or words joined by commas.
    async fn storage(&self, address: Address, query: &Query) -> Result<Vec<Value>, Problem> {
        let mut told = Vec::new();
        for slot in query.slots(SLOTS_COUNT_MAX)? {
            let value = Chain::storage(&*self.node, address, slot, Moment::Newest).await?;
            told.push(json!({ "slot": format!("{slot:#x}"), "value": format!("{value:#066x}") }));
        }
        Ok(told)
    }
}

fn involves(record: &OutcomeRecord, address: Address) -> bool {
    parties(record).contains(&address) || record.outcome.logs.iter().any(|log| log.address == address)
}

/// Who took part in the same transactions, and how often.
#[derive(Debug, Default)]
struct Neighbours(BTreeMap<Address, u64>);

impl Neighbours {
    fn add(&mut self, record: &OutcomeRecord, address: Address) {
        let mut others = parties(record);
        others.extend(record.outcome.logs.iter().take(LOGS_TOLD_COUNT_MAX).map(|log| log.address));
        for other in others.into_iter().filter(|other| *other != address) {
            *self.0.entry(other).or_default() += 1;
        }
    }

    /// The most frequent, each with its shard.
    fn told(self, explorer: &Explorer) -> Vec<Value> {
        let mut counts: Vec<_> = self.0.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let told = counts.into_iter().take(NEIGHBOURS_COUNT_MAX);
        told.map(|(address, count)| json!({ "address": address, "shard": explorer.shard_of(address), "count": count }))
            .collect()
    }
}
