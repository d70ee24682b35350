//! How a submission uses a key while it is on its way, and which uses go with each other.
//!
//! ```text
//!             locked: as its participants lock it         logged: in the order of its shard's log
//!   locked    as their lock modes go                      as their lock modes go
//!   logged    as their lock modes go                      in any modes
//! ```
//!
//! A transaction of one shard holds no lock there: the shard executes it on its own state as of then. Several that are handed
//! over together are executed one after the other within one step, so they need not wait for each other here.

use evm::LockMode;

/// A key's use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Usage {
    /// From an attempt's prepare to its decision, or by whoever must not be overtaken nor followed.
    Locked(LockMode),
    /// Within one step of the one shard it concerns.
    Logged(LockMode),
}

impl Usage {
    pub(super) const ALL: [Self; 6] = [
        Self::Locked(LockMode::Shared),
        Self::Locked(LockMode::Credit),
        Self::Locked(LockMode::Exclusive),
        Self::Logged(LockMode::Shared),
        Self::Logged(LockMode::Credit),
        Self::Logged(LockMode::Exclusive),
    ];

    pub(super) fn mode(self) -> LockMode {
        match self {
            Self::Locked(mode) | Self::Logged(mode) => mode,
        }
    }

    /// Whether two submissions may use one key like this at once.
    pub(super) fn goes_with(self, other: Self) -> bool {
        let both_logged = matches!((self, other), (Self::Logged(_), Self::Logged(_)));
        both_logged || self.mode().is_compatible(other.mode())
    }
}
