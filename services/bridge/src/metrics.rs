//! `dovetail_bridge_…`: what moves, not what lives.

use crate::desk::Standing;
use crate::letters::Direction;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    direction: &'static str,
}

/// The instruments of a carrier. Clones set the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    waiting: Family<Label, Gauge>,
    oldest: Family<Label, Gauge>,
    done: Family<Label, Gauge>,
    letters: Family<Label, Gauge>,
    still: Family<Label, Gauge>,
    paused: Family<Label, Gauge>,
}

impl Metrics {
    /// Enters them in `registry`, whose prefix is `dovetail`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let bridge = registry.sub_registry_with_prefix("bridge");
        bridge.register("waiting", "Messages that are ready to be brought and not settled", self.waiting.clone());
        bridge.register("oldest_seconds", "For how long the oldest of them has waited", self.oldest.clone());
        bridge.register("settled", "Messages settled since the start", self.done.clone());
        bridge.register("dead_letters", "Messages that are for a person", self.letters.clone());
        bridge.register("still", "1 while what waits does not move, or something keeps all of it", self.still.clone());
        bridge.register("paused", "1 while an operator has the direction paused", self.paused.clone());
    }

    /// How a direction stands.
    pub(crate) fn set(&self, direction: Direction, standing: &Standing, is_paused: bool) {
        let label = Label { direction: direction.name() };
        let set = |gauge: &Family<Label, Gauge>, value: u64| {
            gauge.get_or_create(&label).set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.waiting, standing.waiting as u64);
        set(&self.oldest, standing.oldest_s);
        set(&self.done, standing.done);
        set(&self.letters, standing.letters as u64);
        set(&self.still, u64::from(standing.complaint().is_some()));
        set(&self.paused, u64::from(is_paused));
    }
}
