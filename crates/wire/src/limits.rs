//! Every bound on what enters or leaves as bytes, in one place.
//!
//! `proto/` names these constants in its comments; [`crate::bounds`] applies the field bounds to the bytes of a message
//! before anything is decoded; [`crate::server`] and [`crate::client`] apply the rest.

use std::time::Duration;

// Sizes of single values.

/// Bytes of a text for people or of a name.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Bytes of a digest, id, hash, slot number or amount: exactly so many.
pub const WORD_BYTES: usize = 32;
/// Bytes of an address: exactly so many.
pub const ADDRESS_BYTES: usize = 20;
/// Bytes of a signed transaction, without blobs.
pub const TRANSACTION_BYTES_MAX: usize = evm::TRANSACTION_BYTES_MAX;
/// Bytes of a payload: environment and transactions.
pub const PAYLOAD_BYTES_MAX: usize = evm::PAYLOAD_BYTES_MAX;
/// Bytes of what an attempt's payload digest binds: payload, witness and digest of the effects.
pub const PREPARED_BYTES_MAX: usize = commit::PAYLOAD_BYTES_MAX;
/// Bytes of an attempt's descriptor: 64 participants of 12 bytes, as many homes of 4, and the fixed fields.
pub const DESCRIPTOR_BYTES_MAX: usize = 2 << 10;
/// Bytes of a receipt: leaf, path, header and a large set's certificate.
pub const RECEIPT_BYTES_MAX: usize = proof::RECEIPT_BYTES_MAX;
/// Most bytes of a foreign chain's message with what makes it believable.
pub const FOREIGN_RECEIPT_BYTES_MAX: usize = proof::FOREIGN_RECEIPT_BYTES_MAX;
/// Bytes of what makes a letter believed where it goes: a receipt of either kind.
pub const LETTER_PROOF_BYTES_MAX: usize =
    if RECEIPT_BYTES_MAX > FOREIGN_RECEIPT_BYTES_MAX { RECEIPT_BYTES_MAX } else { FOREIGN_RECEIPT_BYTES_MAX };
/// Bytes of a block header.
pub const HEADER_BYTES_MAX: usize = 1 << 10;
/// Bytes of a certificate: signatures of [`VALIDATORS_COUNT_MAX`] and what they sign.
pub const CERTIFICATE_BYTES_MAX: usize = 20 << 10;
/// Bytes of a message between contracts with its fields.
pub const MESSAGE_BYTES_MAX: usize = proof::MESSAGE_BODY_BYTES_MAX + 256;
/// Bytes of one contract's code.
pub const CODE_BYTES_MAX: usize = 256 << 10;
/// Bytes of what sets state on a network with cheats.
pub const CHEAT_BYTES_MAX: usize = shard::CHEAT_BYTES_MAX;
/// Bytes of an outcome: output and logs of a transaction.
pub const OUTCOME_BYTES_MAX: usize = 4 << 20;
/// Bytes of a value as the state tree stores it.
pub const STATE_VALUE_BYTES_MAX: usize = 256;
/// Bytes of a state proof: 256 levels of 32 bytes and the leaf.
pub const STATE_PROOF_BYTES_MAX: usize = 16 << 10;
/// Bytes of a placement with its pinned addresses.
pub const PLACEMENT_BYTES_MAX: usize = 4 << 20;
/// Bytes of the network's parameters.
pub const PARAMETERS_BYTES_MAX: usize = 4 << 10;

// Counts of repeated fields.

/// Shards of a network.
pub const SHARDS_COUNT_MAX: usize = evm::SHARDS_COUNT_MAX as usize;
/// Shards of an attempt.
pub const PARTICIPANTS_COUNT_MAX: usize = commit::PARTICIPANTS_COUNT_MAX;
/// Validators of a shard.
pub const VALIDATORS_COUNT_MAX: usize = proof::VALIDATORS_COUNT_MAX;
/// Attempts in one prepare call.
pub const PREPARES_COUNT_MAX: usize = 256;
/// Fresh values beside one vote.
pub const HINT_VALUES_COUNT_MAX: usize = 64;
/// Attempts in one vote query.
pub const QUERIES_COUNT_MAX: usize = 1024;
/// Decisions in one call.
pub const DECISIONS_COUNT_MAX: usize = 256;
/// Attempts in one abort request.
pub const ABORTS_COUNT_MAX: usize = 256;
/// Payloads in one local submission.
pub const TRANSACTIONS_COUNT_MAX: usize = 1024;
/// Transactions of one bundle.
pub const BUNDLE_COUNT_MAX: usize = evm::BUNDLE_COUNT_MAX;
/// Transactions of one payload, bundle or batch.
pub const BATCH_COUNT_MAX: usize = evm::BATCH_COUNT_MAX;
/// State keys in one read.
pub const STATE_KEYS_COUNT_MAX: usize = 4096;
/// Codes in one read.
pub const CODES_COUNT_MAX: usize = 64;
/// Slots in one state proof.
pub const PROOF_SLOTS_COUNT_MAX: usize = 64;
/// Bytes after which a page of outcomes, blocks or leaves ends.
pub const PAGE_BYTES_MAX: usize = ::shard::PAGE_BYTES_MAX;
/// Outcomes in one page.
pub const OUTCOMES_COUNT_MAX: usize = 1024;
/// Hot keys in one answer.
pub const HOT_KEYS_TOLD_COUNT_MAX: usize = ::shard::limits::HOT_KEYS_TOLD_COUNT_MAX;
/// Blocks of a log that are told in one page with their outcomes.
pub const TOLD_BLOCKS_COUNT_MAX: usize = ::shard::TOLD_BLOCKS_COUNT_MAX;
/// Blocks in one page.
pub const BLOCKS_COUNT_MAX: usize = 256;
/// Outbox leaves in one page.
pub const OUTBOX_COUNT_MAX: usize = 256;
/// Bytes of the largest message that a stock gRPC client takes.
const STOCK_MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Bytes of a leaf's place and of the fields of a page's item, about.
const ITEM_BYTES: usize = 64;
const _: () = assert!(PAGE_BYTES_MAX + RECEIPT_BYTES_MAX + OUTBOX_COUNT_MAX * ITEM_BYTES <= STOCK_MESSAGE_BYTES_MAX);
const _: () = assert!(DEAD_LETTERS_COUNT_MAX * (TEXT_BYTES_MAX + ITEM_BYTES) <= STOCK_MESSAGE_BYTES_MAX);
/// Kinds a reader of an outbox may name.
pub const LEAF_KINDS_COUNT_MAX: usize = 8;
/// Receipts handed in by one call.
pub const RECEIPTS_COUNT_MAX: usize = 256;
/// Events of a message's life at a relay.
pub const TRACE_EVENTS_COUNT_MAX: usize = 256;
/// Routes of a relay.
pub const ROUTES_COUNT_MAX: usize = 4096;
/// Transactions on a foreign chain that a node tells of one message.
pub const HOPS_COUNT_MAX: usize = 64;
/// Dead letters in one page.
pub const DEAD_LETTERS_COUNT_MAX: usize = 256;

/// Open attempts that a node tells of.
pub const OPEN_ATTEMPTS_COUNT_MAX: usize = 64;
/// Bytes of what a node complains of.
pub const NODE_TEXT_BYTES_MAX: usize = 16 << 10;
/// Bytes of the name of a copy of a store.
pub const BACKUP_NAME_BYTES_MAX: usize = 64;

// Whole gRPC messages, in both directions.

/// Bytes of a message of `ParticipantService`: a few full payloads, or many small ones.
pub const PARTICIPANT_MESSAGE_BYTES_MAX: usize = 32 << 20;
/// Bytes of a message of `ShardService`.
pub const SHARD_MESSAGE_BYTES_MAX: usize = 32 << 20;
/// Bytes of a message of `CoordinatorService`.
pub const COORDINATOR_MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Bytes of a message of `RelayService`.
pub const RELAY_MESSAGE_BYTES_MAX: usize = 20 << 20;
/// Bytes of a message of `NodeService`.
pub const NODE_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Bytes of a message of `OperatorService`: a page of letters without their bytes, or one with them.
pub const OPERATOR_MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Bytes to which a client or a paging server fills one message of a batch, below every service's bound.
pub const BATCH_BYTES_TARGET: usize = 12 << 20;
/// Levels of messages within messages.
pub const NESTING_DEPTH_MAX: usize = 8;

// Connections.

/// Connections a gRPC server holds at once. When one more comes, the idlest without a call in work makes room.
pub const CONNECTIONS_COUNT_MAX: usize = 1024;
/// Streams, and so calls, one connection may have open at once; more wait at the client.
pub const STREAMS_COUNT_MAX: u32 = 256;
/// What a peer may send on one stream before this process has taken it in. Fixed: a window that follows the connection's speed
/// costs a ping for nearly every call.
pub const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// The same for all streams of a connection together.
pub const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// Calls a server may have in work at once over all connections, decisions apart; more are refused with `RESOURCE_EXHAUSTED`.
pub const CALLS_COUNT_MAX: usize = 4096;
/// Calls with decisions that a server may have in work at once; more wait.
pub const DECISIONS_IN_WORK_COUNT_MAX: usize = 512;
/// Long-lived streams (blocks, lives of transactions) a server serves at once.
pub const WATCHERS_COUNT_MAX: usize = 1024;
/// Traces that one call continues; what is traced beyond them is not followed over that call.
pub const TRACED_ITEMS_COUNT_MAX: usize = 64;
/// Bytes of one request's headers.
pub const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;
/// Streams reset before they were accepted that a connection may have pending (rapid reset). Above all that one connection may
/// have open: a client that gives up everything at once, as one does whose own clients go, is no attacker.
pub const PENDING_RESETS_COUNT_MAX: usize = 2 * STREAMS_COUNT_MAX as usize;
/// Between two keepalive pings, idle or not.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long a ping may go unanswered before the connection is dropped.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections the port for metrics and probes holds at once.
pub const METRICS_CONNECTIONS_COUNT_MAX: usize = 64;
/// How long a connection may be open without a call.
pub const CONNECTION_FIRST_CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection without a call in work may be silent after its last call. WebSocket connections may for ever.
pub const CONNECTION_IDLE_MAX: Duration = Duration::from_mins(10);
/// How long an HTTP/1.1 request's head may take, from the last answer on.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an HTTP/1.1 request's body may take.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of an HTTP/1.1 request's head.
pub const HEADER_BUFFER_BYTES_MAX: usize = 64 << 10;
/// How long a write may wait for a client that does not read.
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of answers that one connection may leave unread before another call of it is taken.
pub const UNREAD_BYTES_MAX: usize = 16 << 20;
/// Bytes of answers that all connections of a listener together may leave unread; beyond it those who leave most are cut off.
pub const UNREAD_BYTES_OF_ALL_MAX: usize = 256 << 20;
/// A client with so many bytes unread is watched: it has to read on.
pub const UNREAD_BYTES_CHECKED_MIN: usize = 64 << 10;
/// What it has to read between two looks, ten seconds apart.
pub const UNREAD_PROGRESS_BYTES_MIN: usize = 16 << 10;
/// How long a new connection may take to say its first byte, and to finish TLS.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client tries to connect.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// After this a connection is asked to go, so that none lives for ever.
pub const CONNECTION_AGE_MAX: Duration = Duration::from_hours(1);
/// After this a long-lived stream ends; its reader resumes from its cursor. Lets a connection asked to go, go.
pub const STREAM_AGE_MAX: Duration = Duration::from_mins(10);
/// How long the server works on a call before it gives up.
pub const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a server waits for calls in work when it drains.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

// Deadlines and retries of clients.

/// How long a copy of a store is waited for; it is made to its end all the same.
pub const BACKUP_TIMEOUT: Duration = CALL_TIMEOUT;
/// How long an operator waits for a node that answers after its next round.
pub const OPERATOR_TIMEOUT: Duration = CALL_TIMEOUT;
/// Deadline of a read.
pub const READ_DEADLINE: Duration = Duration::from_secs(5);
/// Deadline of a call that waits for a block, prepares included.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(20);
/// Reads of one connection that may go on without their caller.
pub const READS_LEFT_COUNT_MAX: usize = 128;
/// Tries of an idempotent call that meets an unavailable server, the first included.
pub const TRIES_COUNT_MAX: u32 = 4;
/// Wait after the first try; doubles with each, with jitter.
pub const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// Longest wait between two tries.
pub const BACKOFF_MAX: Duration = Duration::from_secs(1);

// Ethereum JSON-RPC.

/// Bytes of a request, batches included.
pub const JSONRPC_REQUEST_BYTES_MAX: u32 = 5 << 20;
/// Bytes of a response.
pub const JSONRPC_RESPONSE_BYTES_MAX: u32 = 32 << 20;
/// Connections, HTTP and WebSocket.
pub const JSONRPC_CONNECTIONS_COUNT_MAX: u32 = 512;
/// Calls in one batch.
pub const JSONRPC_BATCH_COUNT_MAX: u32 = 1_000;
/// Calls of one batch that are in work at once.
pub const JSONRPC_BATCH_AT_ONCE_COUNT_MAX: usize = 16;
/// Calls that run code, such as `eth_call`, that one client may have in work over all its connections: half of what all
/// clients together may.
pub const JSONRPC_RUNS_PER_CLIENT_COUNT_MAX: usize = 64;
/// Such calls of one client that wait until others of it have ended; more are refused.
pub const JSONRPC_RUNS_WAITING_COUNT_MAX: usize = 256;
/// Subscriptions of one WebSocket connection.
pub const JSONRPC_SUBSCRIPTIONS_COUNT_MAX: u32 = 64;
/// Messages waiting for one slow WebSocket reader before what sends them waits too; [`UNREAD_BYTES_MAX`] bounds their bytes.
pub const JSONRPC_BUFFER_COUNT_MAX: u32 = 256;
/// Calls that one WebSocket connection may have in work; a batch counts as one.
pub const JSONRPC_CALLS_PER_CONNECTION_COUNT_MAX: usize = 64;
/// How long a call or a batch may take.
pub const JSONRPC_CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Reads of many blocks or logs that run at once, on all connections together.
pub const HEAVY_READS_COUNT_MAX: usize = 8;
/// Heavy reads that wait for their turn; more are refused.
pub const HEAVY_READS_WAITING_COUNT_MAX: usize = 256;
/// How long a heavy read waits for its turn.
pub const HEAVY_READ_WAIT_MAX: Duration = Duration::from_secs(10);
/// Bytes of logs that one query may return, as JSON about twice that.
pub const LOGS_BYTES_MAX: usize = 8 << 20;
/// Slots one log query may span.
pub const LOGS_SLOTS_MAX: u64 = 10_000;
/// Logs one query may return.
pub const LOGS_COUNT_MAX: usize = 10_000;
/// Addresses or topics of one filter position.
pub const FILTER_VALUES_COUNT_MAX: usize = 1_000;
/// Filters of all clients installed at once; beyond it the idlest of whoever has most goes.
pub const FILTERS_COUNT_MAX: usize = 8_192;
/// Filters of one client installed at once; beyond it its idlest goes.
pub const FILTERS_PER_CLIENT_COUNT_MAX: usize = 1_024;
/// A filter nobody asked about for so long is removed.
pub const FILTER_IDLE_MAX: Duration = Duration::from_mins(5);
/// Slots one fee history may span.
pub const FEE_HISTORY_SLOTS_MAX: u64 = 1_024;
/// Reward percentiles one fee history may ask for.
pub const FEE_PERCENTILES_COUNT_MAX: usize = 100;
/// Storage keys one state proof may ask for.
pub const PROOF_KEYS_COUNT_MAX: usize = PROOF_SLOTS_COUNT_MAX;
