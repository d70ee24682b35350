//! Which routes an operator has stopped, shown where operators look: a line of `/readyz`, a gauge, and the log at a start.

use host::{Health, Instruments};
use primitives::Read;
use relay::Route;

/// Where it is shown.
#[derive(Debug, Clone)]
pub(crate) struct Pauses {
    health: Health,
    instruments: Instruments,
}

impl Pauses {
    /// Shows what the store of a relay that starts says.
    pub(crate) fn open(read: &impl Read, health: Health, instruments: Instruments) -> Self {
        let pauses = Self { health, instruments };
        for status in relay::routes(read).into_iter().filter(|status| status.paused) {
            let Route { source, destination } = status.route;
            tracing::warn!(%source, %destination, queued = status.queued_count, "a route is still paused, as an operator left it");
            pauses.paused(status.route);
        }
        pauses
    }

    /// An operator has stopped `route`.
    pub(crate) fn paused(&self, route: Route) {
        self.instruments.route_paused(route.source, route.destination, true);
        self.health.remark(name(route), Some("was paused by an operator"));
    }

    /// It carries again.
    pub(crate) fn resumed(&self, route: Route) {
        self.instruments.route_paused(route.source, route.destination, false);
        self.health.remark(name(route), None);
    }
}

fn name(route: Route) -> String {
    format!("the route from shard {} to shard {}", route.source, route.destination)
}
