//! A run, told so that a person can read it.

use crate::call::Request;
use crate::plan::{START, Story};
use crate::world::World;
use primitives::AttemptId;
use std::fmt::Display;

impl World {
    /// Tells one thing, if anybody listens.
    pub(crate) fn tell(&mut self, who: impl Display, text: impl FnOnce(&Self) -> String) {
        if self.plan.story == Story::Silent {
            return;
        }
        let since = self.now.since(START).0;
        let who = who.to_string();
        let line = format!("{:>5}.{:03} s  {who:<14} {}", since / 1000, since % 1000, text(self));
        if self.plan.story == Story::Printed {
            #[allow(clippy::print_stdout, reason = "it was asked for")]
            {
                println!("{line}");
            }
        } else {
            self.told.push(line);
        }
    }

    /// What was told so far.
    pub fn story(&self) -> &[String] {
        &self.told
    }
}

/// The first four bytes of an attempt's id: enough within one run.
pub(crate) fn short(attempt: AttemptId) -> String {
    alloy_primitives::hex::encode(&attempt.0.as_bytes()[..4])
}

/// What a call asks, in a few words.
pub(crate) fn describe(request: &Request) -> String {
    let join = |ids: Vec<AttemptId>| ids.into_iter().map(short).collect::<Vec<_>>().join(" ");
    match request {
        Request::Read { keys, codes } => format!("reads {} values, {} codes", keys.len(), codes.len()),
        Request::Prove(accounts) => format!("asks for proofs of {} codes", accounts.len()),
        Request::SubmitLocal(payloads) => format!("submits {} payloads", payloads.len()),
        Request::Prepare(claims) => {
            format!("prepares {}", join(claims.iter().map(|claim| claim.descriptor.id()).collect()))
        }
        Request::RequestAbort(claims) => {
            format!("asks to abort {}", join(claims.iter().map(|claim| claim.descriptor.id()).collect()))
        }
        Request::QueryVotes(attempts) => format!("asks for votes on {}", join(attempts.clone())),
        Request::Decide(claims) => {
            format!("decides {}", join(claims.iter().map(|claim| claim.descriptor.id()).collect()))
        }
        Request::Outbox { from, .. } => format!("fetches the outbox from block {} on", from.height),
        Request::Has { messages, .. } => format!("asks whether it has {} messages", messages.len()),
        Request::Sighting(shard) => format!("asks what was seen of shard {shard}"),
        Request::Deliver(receipts) => format!("hands in {} receipts", receipts.len()),
    }
}
