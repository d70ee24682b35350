//! Which routes an operator has stopped, shown where operators look: a line of `/readyz`, a gauge, and the log at a start.

use host::{Health, Instruments};
use primitives::Read;
use relay::Route;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Where it is shown.
#[derive(Debug, Clone)]
pub(crate) struct Pauses {
    health: Health,
    instruments: Instruments,
    /// In the operator's words, which the store does not keep.
    reasons: Arc<Mutex<BTreeMap<Route, String>>>,
}

impl Pauses {
    /// Shows what the store of a relay that starts says.
    pub(crate) fn open(read: &impl Read, health: Health, instruments: Instruments) -> Self {
        let pauses = Self { health, instruments, reasons: Arc::default() };
        for status in relay::routes(read).into_iter().filter(|status| status.paused) {
            let Route { source, destination } = status.route;
            tracing::warn!(%source, %destination, queued = status.queued_count, "a route is still paused, as an operator left it");
            pauses.paused(status.route, "before this process started".to_owned());
        }
        pauses
    }

    /// An operator has stopped `route`.
    pub(crate) fn paused(&self, route: Route, reason: String) {
        self.instruments.route_paused(route.source, route.destination, true);
        let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        self.health.remark(name(route), Some(format!("was paused by an operator{why}").as_str()));
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).insert(route, reason);
    }

    /// Why routes are paused.
    pub(crate) fn reasons(&self) -> BTreeMap<Route, String> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It carries again.
    pub(crate) fn resumed(&self, route: Route) {
        self.instruments.route_paused(route.source, route.destination, false);
        self.health.remark(name(route), None);
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).remove(&route);
    }
}

fn name(route: Route) -> String {
    format!("the route from shard {} to shard {}", route.source, route.destination)
}
