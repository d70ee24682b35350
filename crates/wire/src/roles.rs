//! Who may call what: one table.
//!
//! ```text
//!   certificate --> names --> roles (by its URI, or bound in the network file) --> the method's row --> let in, or refused in words
//! ```
//!
//! Promise: a method is called by those of its row and by nobody else; one without a row is called by nobody, and the test below
//! finds it in the descriptors before a release does. Nobody without a role makes a shard write, sign or sync anything.
//!
//! Roles guard the ports. What a shard believes is not among them: a coordinator or relay with every right can delay, never corrupt.
//! Over plain text, which is for loopback and for networks that guard themselves, there are no names and so no roles: whoever
//! reaches the port is heard, but what only an operator may call is called from loopback.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a peer is in its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A shard's node: asks others how they voted and what they have seen, and brings them decisions.
    Shard,
    /// Runs transactions: prepares, decides, asks for aborts.
    Coordinator,
    /// Carries receipts, from shard to shard or from a foreign chain.
    Relay,
    /// A person who looks after the network, or what works for one.
    Operator,
    /// Reads, and nothing else.
    Observer,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Shard, Self::Coordinator, Self::Relay, Self::Operator, Self::Observer];

    /// Its word in certificates, settings and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shard => "shard",
            Self::Coordinator => "coordinator",
            Self::Relay => "relay",
            Self::Operator => "operator",
            Self::Observer => "observer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a role is shard, coordinator, relay, operator or observer, not {text:?}")]
pub struct UnknownRole {
    text: String,
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let unknown = || UnknownRole { text: text.to_owned() };
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(unknown)
    }
}

/// One method and who may call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The full name of its service.
    pub service: &'static str,
    /// Its name.
    pub method: &'static str,
    /// Who may call it.
    pub callers: &'static [Role],
}

impl Row {
    /// Whether it is for an operator alone.
    pub fn is_operators(&self) -> bool {
        self.callers == [Role::Operator]
    }

    fn is_at(&self, path: &str) -> bool {
        path.strip_prefix('/').and_then(|path| path.split_once('/')) == Some((self.service, self.method))
    }
}

/// Where health is asked for: anybody may, with whatever certificate of the network's authority.
pub(crate) const HEALTH_PATH: &str = "/grpc.health.v1.Health/";

/// Reads: everybody with a role.
const EVERYBODY: &[Role] = &Role::ALL;
const COORDINATOR: &[Role] = &[Role::Coordinator];
const OPERATOR: &[Role] = &[Role::Operator];
/// Whoever runs transactions or acts for those who do.
const SUBMITTERS: &[Role] = &[Role::Coordinator, Role::Operator];
/// Whoever may bring what ends an attempt (R8), or ask for its end (R4, R5).
const DECIDERS: &[Role] = &[Role::Shard, Role::Coordinator];
/// Whoever carries receipts.
const CARRIERS: &[Role] = &[Role::Relay, Role::Operator];
/// Whoever acts on what shards certify, and so may have seen what a shard has forgotten (R14).
const WITNESSES: &[Role] = &[Role::Shard, Role::Coordinator, Role::Relay, Role::Operator];

macro_rules! rows {
    ($($service:literal: $($method:ident $callers:ident),+;)+) => {
        /// The table: every method of every service.
        pub const TABLE: &[Row] = &[$($(Row { service: $service, method: stringify!($method), callers: $callers },)+)+];
    };
}

rows! {
    "dovetail.v1.ParticipantService":
        Prepare COORDINATOR,
        QueryVotes WITNESSES,
        Decide DECIDERS,
        RequestAbort DECIDERS;
    "dovetail.v1.ShardService":
        GetStatus EVERYBODY,
        SubmitLocal COORDINATOR,
        ReadState EVERYBODY,
        ProveState EVERYBODY,
        GetOutcome EVERYBODY,
        GetOwnCall EVERYBODY,
        GetLocks EVERYBODY,
        ListOutcomes EVERYBODY,
        TellLog EVERYBODY,
        GetBlocks EVERYBODY,
        StreamBlocks EVERYBODY,
        GetOutbox EVERYBODY,
        GetReceipt EVERYBODY,
        GetMessage EVERYBODY,
        Deliver CARRIERS,
        Admit CARRIERS,
        GetSighting EVERYBODY,
        ShowSighting WITNESSES,
        Cheat COORDINATOR;
    "dovetail.v1.CoordinatorService":
        SubmitTransaction SUBMITTERS,
        SubmitBundle SUBMITTERS,
        SubmitPayload SUBMITTERS,
        WatchTransaction EVERYBODY,
        GetTransaction EVERYBODY,
        GetNetwork EVERYBODY;
    "dovetail.v1.RelayService":
        SubmitReceipts CARRIERS,
        TraceMessage EVERYBODY,
        ListRoutes EVERYBODY,
        ListDeadLetters EVERYBODY,
        RetryDeadLetter OPERATOR,
        PauseRoute OPERATOR,
        ResumeRoute OPERATOR;
    "dovetail.v1.NodeService":
        GetNode EVERYBODY,
        Backup OPERATOR;
    "dovetail.v1.OperatorService":
        ListWays EVERYBODY,
        ListLetters EVERYBODY,
        GetLetter EVERYBODY,
        ExplainMessage EVERYBODY,
        RetryLetter OPERATOR,
        RefundLetter OPERATOR,
        DropLetter OPERATOR,
        PauseWay OPERATOR,
        ResumeWay OPERATOR,
        RescanBlocks OPERATOR;
    "grpc.reflection.v1.ServerReflection":
        ServerReflectionInfo EVERYBODY;
    "grpc.reflection.v1alpha.ServerReflection":
        ServerReflectionInfo EVERYBODY;
}

/// The row of the method that is called at `path`, as in `/dovetail.v1.ShardService/Deliver`.
pub fn row(path: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.is_at(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use prost_types::FileDescriptorSet;
    use std::collections::BTreeSet;

    /// Every method that this build can serve, by its path.
    fn served() -> BTreeSet<String> {
        let sets = [crate::proto::DESCRIPTORS, tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET];
        let files = sets.iter().flat_map(|bytes| FileDescriptorSet::decode(*bytes).unwrap().file);
        let methods = files.flat_map(|file| {
            let package = file.package().to_owned();
            file.service.into_iter().flat_map(move |service| {
                let prefix = format!("/{package}.{}/", service.name());
                service.method.into_iter().map(move |method| format!("{prefix}{}", method.name())).collect::<Vec<_>>()
            })
        });
        methods.collect()
    }

    fn callers(service: &str, method: &str) -> &'static [Role] {
        row(&format!("/dovetail.v1.{service}/{method}")).unwrap().callers
    }

    #[test]
    fn every_method_has_one_row_and_every_row_a_method() {
        let served = served();
        assert!(served.len() > 30, "the descriptors were read");
        for path in &served {
            let rows = TABLE.iter().filter(|row| row.is_at(path)).count();
            assert_eq!(rows, 1, "{path} has {rows} rows in the table of who may call what");
        }
        for row in TABLE.iter().filter(|row| !row.service.contains("v1alpha")) {
            let path = format!("/{}/{}", row.service, row.method);
            assert!(served.contains(&path), "{path} has a row and is no method");
            assert!(!row.callers.is_empty(), "{path} is for nobody");
        }
    }

    /// Every row once more, by hand: who changes the table has to say it twice.
    #[test]
    fn every_row_is_as_it_was_decided() {
        let reads = [
            ("NodeService", "GetNode"),
            (
                "ShardService",
                "GetStatus ReadState ProveState GetOutcome GetOwnCall GetLocks ListOutcomes TellLog GetBlocks StreamBlocks",
            ),
            ("ShardService", "GetOutbox GetReceipt GetMessage GetSighting"),
            ("CoordinatorService", "WatchTransaction GetTransaction GetNetwork"),
            ("RelayService", "TraceMessage ListRoutes ListDeadLetters"),
            ("OperatorService", "ListWays ListLetters GetLetter ExplainMessage"),
        ];
        let writes: [(&str, &str, &[Role]); 8] = [
            ("ParticipantService", "Prepare", &[Role::Coordinator]),
            ("ShardService", "SubmitLocal Cheat", &[Role::Coordinator]),
            ("ParticipantService", "Decide RequestAbort", &[Role::Shard, Role::Coordinator]),
            ("ParticipantService", "QueryVotes", &[Role::Shard, Role::Coordinator, Role::Relay, Role::Operator]),
            ("ShardService", "ShowSighting", &[Role::Shard, Role::Coordinator, Role::Relay, Role::Operator]),
            ("ShardService", "Deliver Admit", &[Role::Relay, Role::Operator]),
            ("RelayService", "SubmitReceipts", &[Role::Relay, Role::Operator]),
            (
                "CoordinatorService",
                "SubmitTransaction SubmitBundle SubmitPayload",
                &[Role::Coordinator, Role::Operator],
            ),
        ];
        let operators = [
            ("RelayService", "RetryDeadLetter PauseRoute ResumeRoute"),
            ("OperatorService", "RetryLetter RefundLetter DropLetter PauseWay ResumeWay RescanBlocks"),
            ("NodeService", "Backup"),
        ];
        let mut looked = 2; // reflection
        for (service, methods) in reads {
            for method in methods.split(' ') {
                assert_eq!(callers(service, method), Role::ALL, "{method}");
                looked += 1;
            }
        }
        for (service, methods, expected) in writes {
            for method in methods.split(' ') {
                assert_eq!(callers(service, method), expected, "{method}");
                assert!(!callers(service, method).contains(&Role::Observer), "an observer writes nothing: {method}");
                looked += 1;
            }
        }
        for (service, methods) in operators {
            for method in methods.split(' ') {
                assert_eq!(callers(service, method), [Role::Operator], "{method}");
                looked += 1;
            }
        }
        assert_eq!(looked, TABLE.len(), "a row is in neither list");
    }

    #[test]
    fn a_role_is_read_by_its_word() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().unwrap_err().to_string().contains("\"root\""));
    }

    #[test]
    fn what_is_no_path_of_a_method_has_no_row() {
        for path in
            ["", "/", "/dovetail.v1.ShardService", "dovetail.v1.ShardService/Deliver", "/dovetail.v1.ShardService/"]
        {
            assert_eq!(row(path), None, "{path:?}");
        }
    }
}
