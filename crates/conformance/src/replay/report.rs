//! What was counted, as a closing summary and as a section of the document.

use crate::document::{Section, Table};
use crate::layout::{Layout, SHARDS_COUNT_MAX};
use crate::replay::counts::{BlockRun, per_second};
use crate::replay::runner::{BlockFacts, Tally};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The section of the document: one for blocks in order, one for several transactions in flight, one over processes.
pub fn section(tally: &Tally, command: &str) -> Section {
    let (name, title) = match (tally.processes, tally.in_flight) {
        (true, _) => ("mainnet blocks over processes", "Mainnet blocks over processes"),
        (false, 1) => ("mainnet blocks", "Mainnet blocks"),
        (false, _) => ("mainnet blocks in flight", "Mainnet blocks, several transactions in flight"),
    };
    let body = [format!("## {title}\n"), introduction(tally, command), layouts(tally), forks(tally), failures(tally)];
    Section { name, body: body.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n") }
}

/// The last lines of the command.
pub fn summary(tally: &Tally) -> String {
    if tally.layouts.len() < 2 && tally.blocks.len() < 2 {
        return String::new();
    }
    format!("\n{}\n{}", layouts(tally), plain_speed(tally))
}

/// The command as somebody else would type it.
pub fn command(paths: &[PathBuf]) -> String {
    let shown = std::env::args().skip(1).map(|argument| {
        let path = paths.iter().find(|path| path.as_os_str() == argument.as_str());
        path.and_then(|path| path.file_name()).map_or(argument, |name| name.to_string_lossy().into_owned())
    });
    ["dovetail".to_owned()].into_iter().chain(shown).collect::<Vec<_>>().join(" ")
}

fn introduction(tally: &Tally, command: &str) -> String {
    let (blocks, failed) = (tally.blocks.len(), tally.failed());
    let transactions: usize = facts(tally).map(|block| block.transactions).sum();
    let result = match failed {
        0 => "Every block is reproduced at every placement.".to_owned(),
        failed => format!("**{failed} blocks are not reproduced.**"),
    };
    let how = if tally.processes {
        "Every shard is a process with its own RocksDB, reached over gRPC; afterwards the oracle runs what the stores\n\
         logged on one plain EVM and compares states and outcomes.\n"
    } else {
        "The state machines that serve, in one process per network, without faults.\n"
    };
    let order = match tally.in_flight {
        1 => "Transactions go one after the other, in block order.\n".to_owned(),
        most => format!(
            "Up to {most} transactions of a block are in flight at once: each is submitted as soon as those before it that\n\
             it conflicts with, by the locks of a run on one shard, have committed. The result is that of block order.\n"
        ),
    };
    let crowded = if tally.layouts.contains(&Layout::OwnShard) {
        format!(
            "One per account: as many shards as the block has accounts, up to {SHARDS_COUNT_MAX}, the most that one attempt may\n\
             touch; beyond that accounts share them evenly.\n"
        )
    } else {
        String::new()
    };
    format!(
        "{blocks} blocks, {transactions} signed transactions. {result}\n\n\
         A block is reproduced if its gas, logs bloom, receipts root (from Byzantium on), requests hash (from Prague on) and\n\
         state root (where the file carries the trie nodes for it) are those of the header, the digest of the changed state\n\
         is that of the file, and every outcome and every value of the state are those of one plain EVM. What a block does\n\
         besides its transactions (system calls, withdrawals, rewards, the DAO fork) runs over the shards too and is not\n\
         counted here. A transaction that reads the beneficiary's balance, as a mining pool's payouts do, has every shard as a\n\
         participant: fees are kept in fragments on all of them (docs/decisions/0003-fee-fragments.md).\n{how}{order}{crowded}\n\
         Written by `{command}`\nin {}, blocks spread over {} threads. {}",
        minutes(tally.elapsed),
        tally.threads,
        plain_speed(tally),
    )
}

/// One plain EVM, in the same run.
fn plain_speed(tally: &Tally) -> String {
    let transactions: usize = facts(tally).map(|block| block.transactions).sum();
    let elapsed: Duration = facts(tally).map(|block| block.plain).sum();
    let network = if tally.processes {
        "One transaction after the other waits for every synced write of its attempt."
    } else {
        "The network's figures are for one thread that does every shard's work,\nsignatures, votes and Merkle trees included."
    };
    format!(
        "One plain EVM, senders known before, did {:.0} transactions/s on one thread in the same run. {network}\n",
        per_second(transactions, elapsed)
    )
}

fn facts(tally: &Tally) -> impl Iterator<Item = &BlockFacts> {
    tally.blocks.iter().filter_map(|report| report.block.as_ref().ok())
}

fn layouts(tally: &Tally) -> String {
    let in_flight = tally.in_flight > 1 && !tally.processes;
    let more = if in_flight { vec!["attempts in flight, most", "mean"] } else { Vec::new() };
    let columns = [
        "shards",
        "blocks",
        "state roots",
        "transactions",
        "cross shards",
        "participants, mean",
        "most",
        "with a proven code",
        "retries",
    ];
    let mut table = Table::new(columns.into_iter().chain(more).chain(["transactions/s"]));
    for (index, layout) in tally.layouts.iter().enumerate() {
        let runs = tally.runs(index, |_| true);
        let counts = Tally::counts(&runs);
        let rooted = runs.iter().filter(|run| run.reproduced.state_root).count();
        let mut row = vec![
            layout.to_string(),
            format!("{} of {}", runs.len(), tally.blocks.len()),
            rooted.to_string(),
            counts.transactions.to_string(),
            format!("{:.1} %", counts.crossed_percent()),
            format!("{:.2}", counts.participants_mean()),
            counts.participants_most.to_string(),
            if tally.processes { "not told".to_owned() } else { counts.proven.to_string() },
            counts.retried.to_string(),
        ];
        if in_flight {
            row.extend([counts.flight.most.to_string(), format!("{:.2}", counts.flight.mean())]);
        }
        row.push(format!("{:.0}", counts.speed()));
        table.row(row);
    }
    table.to_string()
}

/// By fork, mean participants at each layout; a seed's are those of a hash, where that is shown already.
fn forks(tally: &Tally) -> String {
    let is_seeded = |layout: &Layout| matches!(layout, Layout::Seeded { .. });
    let has_hashes = tally.layouts.iter().any(|layout| matches!(layout, Layout::Hash { .. }));
    let shown: Vec<usize> =
        (0..tally.layouts.len()).filter(|index| !has_hashes || !is_seeded(&tally.layouts[*index])).collect();
    let mut forks: BTreeMap<(u8, &str), (usize, usize)> = BTreeMap::new();
    for block in facts(tally) {
        let (blocks, transactions) = forks.entry((block.fork_order, &block.fork)).or_default();
        (*blocks, *transactions) = (*blocks + 1, *transactions + block.transactions);
    }
    let columns = ["fork", "blocks", "transactions"].map(str::to_owned).into_iter();
    let mut table = Table::new(columns.chain(shown.iter().map(|index| tally.layouts[*index].to_string())));
    for ((_, fork), (blocks, transactions)) in forks {
        let cell = |layout| participants(&tally.runs(layout, |block| block.fork == fork), blocks);
        let row = [fork.to_owned(), blocks.to_string(), transactions.to_string()];
        table.row(row.into_iter().chain(shown.iter().copied().map(cell)));
    }
    format!("Participants of a signed transaction by fork, on average, and the share that crosses shards:\n\n{table}")
}

fn participants(runs: &[&BlockRun], blocks: usize) -> String {
    let counts = Tally::counts(runs);
    let missing = if runs.len() < blocks { format!(", {} blocks missing", blocks - runs.len()) } else { String::new() };
    match counts.transactions {
        0 => format!("–{missing}"),
        _ => format!("{:.2}, {:.0} %{missing}", counts.participants_mean(), counts.crossed_percent()),
    }
}

fn failures(tally: &Tally) -> String {
    let mut lines = Vec::new();
    for report in &tally.blocks {
        let name = report.path.file_name().unwrap_or_default().to_string_lossy();
        lines.extend(report.block.as_ref().err().map(|error| format!("- `{name}`: {error}\n")));
        for (layout, run) in tally.layouts.iter().zip(&report.runs) {
            let first = run.as_ref().err().and_then(|error| error.lines().next());
            lines.extend(first.map(|first| format!("- `{name}` over shards {layout}: {first}\n")));
        }
    }
    if lines.is_empty() { String::new() } else { format!("Not reproduced:\n\n{}", lines.concat()) }
}

fn minutes(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min {} s", seconds / 60, seconds % 60) }
}
