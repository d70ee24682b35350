//! Field bounds, checked on the bytes of a protobuf message before anything is decoded.
//!
//!   bytes ---> walk: fields known to the schema, counted and measured ---> prost decodes
//!                 '-> over a bound: refused whole, nothing allocated
//!
//! Promise (I19): every repeated field, byte string and text of `dovetail.v1` has a bound in `FIELDS`; a test reads the
//! descriptors and fails on one without. A field that may appear once is refused when it appears twice, so that no bound
//! is widened by prost merging the two.
//!
//! Knows nothing of what the fields mean.

use crate::limits::{
    ABORTS_COUNT_MAX, ADDRESS_BYTES, BACKUP_NAME_BYTES_MAX, BATCH_COUNT_MAX, BLOCKS_COUNT_MAX, BUNDLE_COUNT_MAX,
    CERTIFICATE_BYTES_MAX, CHEAT_BYTES_MAX, CODE_BYTES_MAX, CODES_COUNT_MAX, DEAD_LETTERS_COUNT_MAX,
    DECISIONS_COUNT_MAX, DESCRIPTOR_BYTES_MAX, FOREIGN_RECEIPT_BYTES_MAX, HEADER_BYTES_MAX, HINT_VALUES_COUNT_MAX,
    HOPS_COUNT_MAX, HOT_KEYS_TOLD_COUNT_MAX, LEAF_KINDS_COUNT_MAX, LETTER_PROOF_BYTES_MAX, MESSAGE_BYTES_MAX,
    NESTING_DEPTH_MAX, NODE_TEXT_BYTES_MAX, OPEN_ATTEMPTS_COUNT_MAX, OUTBOX_COUNT_MAX, OUTCOME_BYTES_MAX,
    OUTCOMES_COUNT_MAX, PARAMETERS_BYTES_MAX, PARTICIPANTS_COUNT_MAX, PAYLOAD_BYTES_MAX, PLACEMENT_BYTES_MAX,
    PREPARED_BYTES_MAX, PREPARES_COUNT_MAX, PROOF_SLOTS_COUNT_MAX, QUERIES_COUNT_MAX, RECEIPT_BYTES_MAX,
    RECEIPTS_COUNT_MAX, ROUTES_COUNT_MAX, SHARDS_COUNT_MAX, STATE_KEYS_COUNT_MAX, STATE_PROOF_BYTES_MAX,
    STATE_VALUE_BYTES_MAX, TEXT_BYTES_MAX, TOLD_BLOCKS_COUNT_MAX, TRACE_EVENTS_COUNT_MAX, TRANSACTION_BYTES_MAX,
    TRANSACTIONS_COUNT_MAX, VALIDATORS_COUNT_MAX, WORD_BYTES,
};
use prost::Name;
use prost::bytes::Buf as _;
use prost::encoding::{WireType, decode_key, decode_varint};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Why the bytes of a message are not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BoundError {
    /// More elements than the field may have.
    #[error("{message}.{field} has more than {max} elements")]
    Count {
        /// The message.
        message: &'static str,
        /// The field.
        field: &'static str,
        /// Its bound.
        max: usize,
    },
    /// A byte string or text longer than the field may be.
    #[error("{message}.{field} has {actual} bytes where at most {max} are allowed")]
    Bytes {
        /// The message.
        message: &'static str,
        /// The field.
        field: &'static str,
        /// Its bound.
        max: usize,
        /// How many came.
        actual: usize,
    },
    /// Messages within messages, deeper than any of ours.
    #[error("messages nest deeper than {NESTING_DEPTH_MAX} levels")]
    Depth,
    /// Not protobuf, or of other types than the schema's.
    #[error("malformed {message}: {reason}")]
    Malformed {
        /// The message.
        message: &'static str,
        /// What the decoder met.
        reason: String,
    },
    /// A message without bounds: a mistake of this build, never of the sender.
    #[error("{message} has no bounds")]
    UnknownMessage {
        /// The message.
        message: &'static str,
    },
}

/// One field of a message: its name, most elements, most bytes of each element.
type FieldBound = (&'static str, usize, usize);

/// Bytes of a field whose elements are messages or numbers: bounded by what is in them.
const PARTS: usize = usize::MAX;

/// The bounds of every repeated field, byte string and text, by message.
const FIELDS: &[(&str, &[FieldBound])] = &[
    // types.proto
    ("Rejection", &[("reason", 1, TEXT_BYTES_MAX), ("message", 1, TEXT_BYTES_MAX)]),
    ("StateKey", &[("account", 1, ADDRESS_BYTES)]),
    ("SlotKey", &[("address", 1, ADDRESS_BYTES), ("index", 1, WORD_BYTES)]),
    ("FeesKey", &[("beneficiary", 1, ADDRESS_BYTES)]),
    ("StateValue", &[("slot", 1, WORD_BYTES), ("fees", 1, WORD_BYTES)]),
    ("AccountValue", &[("balance", 1, WORD_BYTES), ("code_hash", 1, WORD_BYTES)]),
    ("Code", &[("hash", 1, WORD_BYTES), ("code", 1, CODE_BYTES_MAX)]),
    (
        "OutcomeRecord",
        &[
            ("transaction_hash", 1, WORD_BYTES),
            ("transaction", 1, TRANSACTION_BYTES_MAX),
            ("sender", 1, ADDRESS_BYTES),
            ("outcome", 1, OUTCOME_BYTES_MAX),
            ("attempt", 1, WORD_BYTES),
            ("participants", PARTICIPANTS_COUNT_MAX, PARTS),
        ],
    ),
    // participant.proto
    ("PrepareRequest", &[("prepares", PREPARES_COUNT_MAX, PARTS)]),
    (
        "Prepare",
        &[
            ("descriptor", 1, DESCRIPTOR_BYTES_MAX),
            ("payload", 1, PREPARED_BYTES_MAX),
            ("home_votes", PARTICIPANTS_COUNT_MAX, RECEIPT_BYTES_MAX),
        ],
    ),
    ("PrepareResponse", &[("answers", PREPARES_COUNT_MAX, PARTS)]),
    ("VoteAnswer", &[("vote", 1, RECEIPT_BYTES_MAX), ("hint", HINT_VALUES_COUNT_MAX, PARTS)]),
    ("QueryVotesRequest", &[("attempts", QUERIES_COUNT_MAX, WORD_BYTES)]),
    ("QueryVotesResponse", &[("answers", QUERIES_COUNT_MAX, PARTS)]),
    ("DecisionProof", &[("descriptor", 1, DESCRIPTOR_BYTES_MAX), ("votes", PARTICIPANTS_COUNT_MAX, RECEIPT_BYTES_MAX)]),
    ("DecideRequest", &[("decisions", DECISIONS_COUNT_MAX, PARTS)]),
    ("DecideResponse", &[("results", DECISIONS_COUNT_MAX, PARTS)]),
    ("RequestAbortRequest", &[("requests", ABORTS_COUNT_MAX, PARTS)]),
    ("AbortRequest", &[("descriptor", 1, DESCRIPTOR_BYTES_MAX), ("waits", 1, RECEIPT_BYTES_MAX)]),
    ("RequestAbortResponse", &[("answers", ABORTS_COUNT_MAX, PARTS)]),
    // shard.proto
    (
        "GetStatusResponse",
        &[
            ("validators", VALIDATORS_COUNT_MAX, WORD_BYTES),
            ("head_header", 1, HEADER_BYTES_MAX),
            ("terms_digest", 1, WORD_BYTES),
            ("terms", 1, TEXT_BYTES_MAX),
        ],
    ),
    ("SubmitLocalRequest", &[("payloads", TRANSACTIONS_COUNT_MAX, PAYLOAD_BYTES_MAX)]),
    ("CheatRequest", &[("cheat", 1, CHEAT_BYTES_MAX)]),
    ("SubmitLocalResponse", &[("results", TRANSACTIONS_COUNT_MAX, PARTS)]),
    ("LocalOutcomes", &[("outcomes", BATCH_COUNT_MAX, PARTS)]),
    ("ReadStateRequest", &[("keys", STATE_KEYS_COUNT_MAX, PARTS), ("code_hashes", CODES_COUNT_MAX, WORD_BYTES)]),
    ("ReadStateResponse", &[("values", STATE_KEYS_COUNT_MAX, PARTS), ("codes", CODES_COUNT_MAX, PARTS)]),
    ("ReadValue", &[("locked_by", 1, WORD_BYTES)]),
    ("ProveStateRequest", &[("address", 1, ADDRESS_BYTES), ("slots", PROOF_SLOTS_COUNT_MAX, WORD_BYTES)]),
    (
        "ProveStateResponse",
        &[
            ("header", 1, HEADER_BYTES_MAX),
            ("certificate", 1, CERTIFICATE_BYTES_MAX),
            ("proofs", PROOF_SLOTS_COUNT_MAX + 1, PARTS),
        ],
    ),
    ("StateProof", &[("value", 1, STATE_VALUE_BYTES_MAX), ("proof", 1, STATE_PROOF_BYTES_MAX)]),
    ("GetOutcomeRequest", &[("transaction_hash", 1, WORD_BYTES)]),
    ("GetOwnCallRequest", &[("transaction_hash", 1, WORD_BYTES)]),
    ("GetOwnCallResponse", &[("call", 1, PREPARED_BYTES_MAX)]),
    ("GetLocksResponse", &[("hottest", HOT_KEYS_TOLD_COUNT_MAX, PARTS)]),
    ("ListOutcomesResponse", &[("outcomes", OUTCOMES_COUNT_MAX, PARTS)]),
    ("TellLogResponse", &[("blocks", TOLD_BLOCKS_COUNT_MAX, PARTS), ("certificate", 1, CERTIFICATE_BYTES_MAX)]),
    ("ToldBlock", &[("header", 1, HEADER_BYTES_MAX), ("outcomes", OUTCOMES_COUNT_MAX, PARTS)]),
    ("ToldOutcome", &[("own", 1, PREPARED_BYTES_MAX)]),
    ("Block", &[("header", 1, HEADER_BYTES_MAX), ("certificate", 1, CERTIFICATE_BYTES_MAX)]),
    ("GetBlocksResponse", &[("blocks", BLOCKS_COUNT_MAX, PARTS)]),
    ("GetOutboxRequest", &[("kinds", LEAF_KINDS_COUNT_MAX, PARTS)]),
    ("GetOutboxResponse", &[("leaves", OUTBOX_COUNT_MAX, PARTS)]),
    ("OutboxLeaf", &[("receipt", 1, RECEIPT_BYTES_MAX)]),
    ("GetReceiptRequest", &[("id", 1, WORD_BYTES)]),
    ("GetReceiptResponse", &[("receipt", 1, RECEIPT_BYTES_MAX)]),
    ("GetMessageRequest", &[("id", 1, WORD_BYTES)]),
    ("GetMessageResponse", &[("message", 1, MESSAGE_BYTES_MAX), ("detail", 1, TEXT_BYTES_MAX)]),
    ("DeliverRequest", &[("receipts", RECEIPTS_COUNT_MAX, RECEIPT_BYTES_MAX)]),
    ("AdmitRequest", &[("receipts", RECEIPTS_COUNT_MAX, FOREIGN_RECEIPT_BYTES_MAX)]),
    ("AdmitResponse", &[("results", RECEIPTS_COUNT_MAX, PARTS)]),
    ("DeliverResponse", &[("results", RECEIPTS_COUNT_MAX, PARTS)]),
    ("DeliverAccepted", &[("receipt", 1, RECEIPT_BYTES_MAX)]),
    // coordinator.proto
    ("SubmitTransactionRequest", &[("transaction", 1, TRANSACTION_BYTES_MAX)]),
    ("SubmitTransactionResponse", &[("id", 1, WORD_BYTES)]),
    ("SubmitBundleRequest", &[("transactions", BUNDLE_COUNT_MAX, TRANSACTION_BYTES_MAX)]),
    ("SubmitBundleResponse", &[("id", 1, WORD_BYTES), ("transaction_hashes", BUNDLE_COUNT_MAX, WORD_BYTES)]),
    ("SubmitPayloadRequest", &[("payload", 1, PAYLOAD_BYTES_MAX)]),
    ("SubmitPayloadResponse", &[("id", 1, WORD_BYTES)]),
    ("WatchTransactionRequest", &[("id", 1, WORD_BYTES)]),
    ("LifeEvent", &[("attempt", 1, WORD_BYTES), ("detail", 1, TEXT_BYTES_MAX)]),
    ("GetTransactionRequest", &[("id", 1, WORD_BYTES)]),
    (
        "GetTransactionResponse",
        &[("participants", PARTICIPANTS_COUNT_MAX, PARTS), ("outcomes", BATCH_COUNT_MAX, PARTS)],
    ),
    ("TransactionOutcome", &[("transaction_hash", 1, WORD_BYTES), ("outcome", 1, OUTCOME_BYTES_MAX)]),
    (
        "GetNetworkResponse",
        &[
            ("shards", SHARDS_COUNT_MAX, PARTS),
            ("placement", 1, PLACEMENT_BYTES_MAX),
            ("parameters", 1, PARAMETERS_BYTES_MAX),
        ],
    ),
    ("ShardInfo", &[("endpoint", 1, TEXT_BYTES_MAX), ("validators", VALIDATORS_COUNT_MAX, WORD_BYTES)]),
    // relay.proto
    ("SubmitReceiptsRequest", &[("receipts", RECEIPTS_COUNT_MAX, RECEIPT_BYTES_MAX)]),
    ("SubmitReceiptsResponse", &[("results", RECEIPTS_COUNT_MAX, PARTS)]),
    ("ReceiptAccepted", &[("message_id", 1, WORD_BYTES)]),
    ("TraceMessageRequest", &[("id", 1, WORD_BYTES)]),
    ("TraceMessageResponse", &[("message", 1, MESSAGE_BYTES_MAX), ("events", TRACE_EVENTS_COUNT_MAX, PARTS)]),
    ("TraceEvent", &[("detail", 1, TEXT_BYTES_MAX)]),
    ("ListRoutesResponse", &[("routes", ROUTES_COUNT_MAX, PARTS)]),
    ("Route", &[("last_error", 1, TEXT_BYTES_MAX)]),
    ("ListDeadLettersRequest", &[("after", 1, WORD_BYTES)]),
    ("ListDeadLettersResponse", &[("dead_letters", DEAD_LETTERS_COUNT_MAX, PARTS)]),
    ("DeadLetter", &[("message_id", 1, WORD_BYTES), ("reason", 1, TEXT_BYTES_MAX)]),
    ("RetryDeadLetterRequest", &[("message_id", 1, WORD_BYTES)]),
    // node.proto
    (
        "GetNodeResponse",
        &[
            ("name", 1, TEXT_BYTES_MAX),
            ("version", 1, TEXT_BYTES_MAX),
            ("remarks", 1, NODE_TEXT_BYTES_MAX),
            ("genesis_digest", 1, WORD_BYTES),
            ("open_attempts", OPEN_ATTEMPTS_COUNT_MAX, PARTS),
        ],
    ),
    ("OpenAttempt", &[("id", 1, WORD_BYTES), ("participants", PARTICIPANTS_COUNT_MAX, PARTS)]),
    ("BackupRequest", &[("name", 1, BACKUP_NAME_BYTES_MAX)]),
    ("BackupResponse", &[("path", 1, TEXT_BYTES_MAX)]),
    // operator.proto
    ("ListWaysResponse", &[("ways", ROUTES_COUNT_MAX, PARTS)]),
    (
        "Way",
        &[
            ("name", 1, TEXT_BYTES_MAX),
            ("ends", 1, TEXT_BYTES_MAX),
            ("paused_for", 1, TEXT_BYTES_MAX),
            ("trouble", 1, TEXT_BYTES_MAX),
        ],
    ),
    ("ListLettersRequest", &[("after", 1, WORD_BYTES)]),
    ("ListLettersResponse", &[("letters", DEAD_LETTERS_COUNT_MAX, PARTS)]),
    (
        "Letter",
        &[
            ("id", 1, WORD_BYTES),
            ("way", 1, TEXT_BYTES_MAX),
            ("why", 1, TEXT_BYTES_MAX),
            ("message", 1, MESSAGE_BYTES_MAX),
            ("proof", 1, LETTER_PROOF_BYTES_MAX),
        ],
    ),
    ("GetLetterRequest", &[("id", 1, WORD_BYTES)]),
    ("RetryLetterRequest", &[("id", 1, WORD_BYTES)]),
    ("RefundLetterRequest", &[("id", 1, WORD_BYTES)]),
    ("DropLetterRequest", &[("id", 1, WORD_BYTES), ("reason", 1, TEXT_BYTES_MAX)]),
    ("PauseWayRequest", &[("way", 1, TEXT_BYTES_MAX), ("reason", 1, TEXT_BYTES_MAX)]),
    ("ResumeWayRequest", &[("way", 1, TEXT_BYTES_MAX)]),
    ("RescanBlocksRequest", &[("way", 1, TEXT_BYTES_MAX)]),
    ("ExplainMessageRequest", &[("id", 1, WORD_BYTES)]),
    ("ExplainMessageResponse", &[("why", 1, TEXT_BYTES_MAX), ("hops", HOPS_COUNT_MAX, PARTS)]),
    ("ForeignHop", &[("transaction", 1, WORD_BYTES), ("block_hash", 1, WORD_BYTES)]),
];

/// What the walk needs of a message's schema.
#[derive(Debug)]
struct Shape {
    name: &'static str,
    fields: BTreeMap<u32, FieldShape>,
}

/// What the walk needs of a field's schema.
#[derive(Debug)]
struct FieldShape {
    name: &'static str,
    kind: Kind,
    count_max: usize,
    bytes_max: usize,
}

/// What a field's elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A number, as itself or packed with others.
    Number,
    /// Bytes or text.
    Bytes,
    /// A message, by its name.
    Message(&'static str),
}

static SHAPES: LazyLock<BTreeMap<&'static str, Shape>> = LazyLock::new(|| schema::shapes(crate::proto::DESCRIPTORS));

/// Checks every bound of message `U` on its encoded `bytes`. One pass, no allocation beside one counter per field.
pub fn check<U: Name>(bytes: &[u8]) -> Result<(), BoundError> {
    let shape = SHAPES.get(U::NAME).ok_or(BoundError::UnknownMessage { message: U::NAME })?;
    walk(shape, bytes, 0)
}

fn walk(shape: &Shape, mut bytes: &[u8], depth: usize) -> Result<(), BoundError> {
    if depth >= NESTING_DEPTH_MAX {
        return Err(BoundError::Depth);
    }
    let malformed = |reason: &dyn ToString| BoundError::Malformed { message: shape.name, reason: reason.to_string() };
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    while bytes.has_remaining() {
        let (number, wire_type) = decode_key(&mut bytes).map_err(|error| malformed(&error))?;
        let content = content(wire_type, &mut bytes).map_err(|error| malformed(&error))?;
        // An unknown field is of a later version: prost skips it, and so do we.
        let Some(field) = shape.fields.get(&number) else { continue };
        let count = counts.entry(number).or_insert(0);
        *count = count.saturating_add(elements(field, wire_type, content));
        if *count > field.count_max {
            return Err(BoundError::Count { message: shape.name, field: field.name, max: field.count_max });
        }
        if field.kind == Kind::Bytes && content.len() > field.bytes_max {
            let (max, actual) = (field.bytes_max, content.len());
            return Err(BoundError::Bytes { message: shape.name, field: field.name, max, actual });
        }
        if let (Kind::Message(name), WireType::LengthDelimited) = (field.kind, wire_type) {
            let nested = SHAPES.get(name).ok_or(BoundError::UnknownMessage { message: name })?;
            walk(nested, content, depth + 1)?;
        }
    }
    Ok(())
}

/// How many elements one occurrence of a field brings: packed numbers bring several.
fn elements(field: &FieldShape, wire_type: WireType, content: &[u8]) -> usize {
    match (field.kind, wire_type) {
        // The last byte of a varint is the one with its high bit clear.
        (Kind::Number, WireType::LengthDelimited) => content.iter().filter(|byte| **byte < 0x80).count(),
        _ => 1,
    }
}

/// Why the bytes are not a sequence of fields.
#[derive(Debug, thiserror::Error)]
enum FieldError {
    #[error(transparent)]
    Prost(#[from] prost::DecodeError),
    #[error("a field of {length} bytes where {remaining} remain")]
    Truncated { length: u64, remaining: usize },
    #[error("groups are not used")]
    Group,
}

/// Takes the content of one field off `bytes`: without its length prefix, empty for a varint.
fn content<'a>(wire_type: WireType, bytes: &mut &'a [u8]) -> Result<&'a [u8], FieldError> {
    let length = match wire_type {
        WireType::Varint => {
            decode_varint(bytes)?;
            0
        }
        WireType::ThirtyTwoBit => 4,
        WireType::SixtyFourBit => 8,
        WireType::LengthDelimited => decode_varint(bytes)?,
        WireType::StartGroup | WireType::EndGroup => return Err(FieldError::Group),
    };
    let truncated = FieldError::Truncated { length, remaining: bytes.len() };
    let (content, rest) =
        usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length)).ok_or(truncated)?;
    *bytes = rest;
    Ok(content)
}

/// From descriptors to shapes, once per process.
mod schema {
    use super::{FIELDS, FieldShape, Kind, PARTS, Shape};
    use prost::Message as _;
    use prost_types::field_descriptor_proto::Type;
    use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
    use std::collections::BTreeMap;

    /// The shapes of all messages in `descriptors`. None if those are not descriptors: then every message is refused.
    pub(super) fn shapes(descriptors: &[u8]) -> BTreeMap<&'static str, Shape> {
        let messages = messages(descriptors);
        messages.iter().map(|message| (name(message.name()), shape(message))).collect()
    }

    /// All messages of all files; ours are all at the top level.
    pub(super) fn messages(descriptors: &[u8]) -> Vec<DescriptorProto> {
        let set = FileDescriptorSet::decode(descriptors).unwrap_or_default();
        set.file.into_iter().flat_map(|file| file.message_type).collect()
    }

    fn shape(message: &DescriptorProto) -> Shape {
        let message_name = name(message.name());
        let bounds = FIELDS.iter().find(|(name, _)| *name == message_name).map_or(&[][..], |(_, fields)| fields);
        let fields = message.field.iter().map(|field| {
            let bound = bounds.iter().find(|(name, ..)| *name == field.name());
            (field.number().unsigned_abs(), field_shape(field, bound.map(|(_, count, bytes)| (*count, *bytes))))
        });
        Shape { name: message_name, fields: fields.collect() }
    }

    /// A field without a bound may appear once; its bytes, if it has any, are none.
    fn field_shape(field: &FieldDescriptorProto, bound: Option<(usize, usize)>) -> FieldShape {
        let kind = match field.r#type() {
            Type::Message => Kind::Message(name(field.type_name().rsplit('.').next().unwrap_or_default())),
            Type::Bytes | Type::String => Kind::Bytes,
            _ => Kind::Number,
        };
        let (count_max, bytes_max) = bound.unwrap_or((1, if kind == Kind::Bytes { 0 } else { PARTS }));
        FieldShape { name: name(field.name()), kind, count_max, bytes_max }
    }

    /// Whether a field needs an entry in [`FIELDS`].
    #[cfg(test)]
    pub(super) fn needs_bound(field: &FieldDescriptorProto) -> bool {
        field.label() == prost_types::field_descriptor_proto::Label::Repeated
            || matches!(field.r#type(), Type::Bytes | Type::String)
    }

    /// A name that lives as long as the process: the schema is loaded once.
    fn name(text: &str) -> &'static str {
        String::leak(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::decode;
    use crate::proto::v1;
    use prost::Message as _;
    use prost::bytes::Bytes;

    #[test]
    fn every_repeated_field_byte_string_and_text_has_a_bound() {
        for message in schema::messages(crate::proto::DESCRIPTORS) {
            for field in message.field.iter().filter(|field| schema::needs_bound(field)) {
                let bounds = FIELDS.iter().find(|(name, _)| *name == message.name()).map(|(_, fields)| *fields);
                let bound = bounds.unwrap_or_default().iter().find(|(name, ..)| *name == field.name());
                assert!(bound.is_some(), "{}.{} has no bound", message.name(), field.name());
            }
        }
    }

    #[test]
    fn every_bound_is_of_a_field_that_exists() {
        let messages = schema::messages(crate::proto::DESCRIPTORS);
        for (name, fields) in FIELDS {
            let message = messages.iter().find(|message| message.name() == *name);
            let message = message.unwrap_or_else(|| panic!("no message {name}"));
            for (field, ..) in *fields {
                assert!(message.field.iter().any(|known| known.name() == *field), "no field {name}.{field}");
            }
        }
    }

    #[test]
    fn a_bomb_of_empty_messages_is_refused_before_decoding() {
        // 4 MiB of empty prepares: tag and length zero. prost alone would build 2 million of them.
        let bytes = [0x0a, 0x00].repeat(2 << 20);
        let refused = decode::<v1::PrepareRequest>(&bytes);
        assert_eq!(
            refused,
            Err(BoundError::Count { message: "PrepareRequest", field: "prepares", max: PREPARES_COUNT_MAX })
        );
    }

    #[test]
    fn a_bomb_one_level_down_is_refused() {
        let prepare = v1::Prepare { home_votes: vec![Bytes::new(); PARTICIPANTS_COUNT_MAX + 1], ..Default::default() };
        let bytes = v1::PrepareRequest { prepares: vec![prepare] }.encode_to_vec();
        assert!(matches!(decode::<v1::PrepareRequest>(&bytes), Err(BoundError::Count { field: "home_votes", .. })));
    }

    #[test]
    fn a_bomb_of_packed_numbers_is_refused() {
        let outcome = v1::OutcomeRecord { participants: vec![1; PARTICIPANTS_COUNT_MAX + 1], ..Default::default() };
        let bytes = v1::GetOutcomeResponse { outcome: Some(outcome) }.encode_to_vec();
        assert!(matches!(
            decode::<v1::GetOutcomeResponse>(&bytes),
            Err(BoundError::Count { field: "participants", .. })
        ));
    }

    #[test]
    fn a_full_list_is_taken() {
        let request = v1::QueryVotesRequest { attempts: vec![vec![7; WORD_BYTES].into(); QUERIES_COUNT_MAX] };
        assert_eq!(decode(&request.encode_to_vec()), Ok(request));
    }

    #[test]
    fn a_byte_string_over_its_bound_is_refused() {
        let request = v1::QueryVotesRequest { attempts: vec![vec![7; WORD_BYTES + 1].into()] };
        let refused = decode::<v1::QueryVotesRequest>(&request.encode_to_vec());
        let (message, field) = ("QueryVotesRequest", "attempts");
        assert_eq!(refused, Err(BoundError::Bytes { message, field, max: WORD_BYTES, actual: WORD_BYTES + 1 }));
    }

    #[test]
    fn a_single_field_given_twice_is_refused() {
        let once = v1::GetReceiptRequest { kind: 0, id: vec![1; 32].into() }.encode_to_vec();
        let twice = [once.clone(), once].concat();
        assert!(matches!(decode::<v1::GetReceiptRequest>(&twice), Err(BoundError::Count { field: "id", .. })));
    }

    #[test]
    fn an_unknown_field_is_skipped() {
        let mut bytes = v1::GetReceiptRequest { kind: 1, id: vec![1; 32].into() }.encode_to_vec();
        bytes.extend([0xfa, 0x07, 0x02, 0xaa, 0xbb]); // field 127, two bytes
        assert!(decode::<v1::GetReceiptRequest>(&bytes).is_ok());
    }

    #[test]
    fn bytes_that_end_inside_a_field_are_refused() {
        assert!(matches!(decode::<v1::GetReceiptRequest>(&[0x12, 0x20, 0x01]), Err(BoundError::Malformed { .. })));
        assert!(matches!(decode::<v1::GetReceiptRequest>(&[0x13, 0x14]), Err(BoundError::Malformed { .. })));
    }
}
