//! A relay's machine: accept a receipt once, carry it, acknowledge, retry, park.
//!
//! ```text
//!   outbox of S --page--> out lane S>D --Deliver------> inbox of D
//!                             |  * accepted, sent          |
//!                             |                            | delivery leaf: in D's outbox, or with D's answer
//!   inbox of S <--Acknowledge-- back lane D>S <--page------'
//!        |                          * delivered, sent
//!        '--> * acknowledged: the message's life is over              * = in the batch synced before the arrow after it
//! ```
//!
//! Promise (I14, I19): every message leaf between known shards is carried until its delivery is proven and acknowledged,
//! or, refused for good, parked as a dead letter that is kept until an operator revives it; who is busy or holds a lock
//! ends no life, however long. Nothing is skipped, because a lane's cursor passes a leaf only in the batch that accepts it;
//! nothing grows without a named bound, because a lane that is full stops its cursor and no other lane's. A relay is not
//! trusted: what it forges is refused, what it repeats is answered "already", and any number of relays carry side by side.
//! What was said before it came back, or what another may have carried, is looked up before it is handed in.
//! Knows nothing of EVM, gRPC, disks or clocks. Its host fetches, checks receipts with a `ReceiptVerifier`, and delivers.
//!
//! Map: `relay` is the machine; `intake` takes leaves in, `carry` sends and settles, `source` plans fetches, `peer` knows
//! who can be reached, `lane` queues, `share` says whose turn it is, `doubt` looks up what others may have carried; `record` is a message's life; `draft` is one step's reads and writes; `reads` serves
//! operators from a snapshot.

mod backoff;
mod carry;
mod command;
mod doubt;
mod draft;
mod input;
mod intake;
mod lane;
mod peer;
mod reads;
mod record;
mod relay;
mod settings;
mod share;
mod source;

pub use command::{Command, CommandError};
pub use input::{
    Answer, BatchId, Carried, Input, Parcel, Refusal, Reply, Send, Submission, SubmitError, Taken, Ticket,
};
pub use lane::{Cursor, Route};
pub use reads::{RouteStatus, Trace, dead_letter, dead_letters, routes, trace};
pub use record::{DETAIL_BYTES_MAX, DeadLetter, EVENTS_COUNT_MAX, Event, Leg, Life, Stage};
pub use relay::{OpenError, Relay};
pub use settings::{Settings, spaces};
pub use share::{RELAYS_COUNT_MAX, Share, ShareError};
