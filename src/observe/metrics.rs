//! Every metric's name, labels and help text.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// Labels of what depends on a source.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct SourceOutcome {
    pub(super) source: String,
    pub(super) outcome: &'static str,
}

/// Labels of an attempt.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct SinkOutcome {
    pub(super) sink: String,
    pub(super) outcome: &'static str,
}

/// Labels of a sink.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Sink {
    pub(super) sink: String,
}

/// Labels of an event.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Type {
    pub(super) r#type: String,
}

/// Labels of anything with a fixed set of outcomes.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Outcome {
    pub(super) outcome: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) registry: Registry,
    pub(super) notifications: Family<SourceOutcome, Counter>,
    pub(super) answer_seconds: Histograms<Outcome>,
    pub(super) events: Family<Type, Counter>,
    pub(super) deliveries: Family<SinkOutcome, Counter>,
    pub(super) delivery_seconds: Histograms<Sink>,
    pub(super) dead_letters: Family<Outcome, Counter>,
    pub(super) failing: Family<Sink, Gauge>,
    pub(super) parked: Family<Sink, Gauge>,
    pub(super) rate_limit: Family<Sink, Gauge<f64, AtomicU64>>,
    pub(super) waiting: Family<Sink, Gauge>,
    pub(super) oldest_seconds: Family<Sink, Gauge>,
    pub(super) held: Gauge,
    pub(super) store_bytes: Gauge,
    pub(super) store_quota_bytes: Gauge,
    pub(super) reloads: Family<Outcome, Counter>,
    pub(super) mapping_stale: Gauge,
}

/// From 0.2 ms to 6.5 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0002, 2.0, 16))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("argocd_cdevents"),
            notifications: Family::default(),
            answer_seconds: Family::new_with_constructor(seconds),
            events: Family::default(),
            deliveries: Family::default(),
            delivery_seconds: Family::new_with_constructor(seconds),
            dead_letters: Family::default(),
            failing: Family::default(),
            parked: Family::default(),
            rate_limit: Family::default(),
            waiting: Family::default(),
            oldest_seconds: Family::default(),
            held: Gauge::default(),
            store_bytes: Gauge::default(),
            store_quota_bytes: Gauge::default(),
            reloads: Family::default(),
            mapping_stale: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("build", "Version of the program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        r.register("notifications", "Notifications answered", self.notifications.clone());
        r.register("answer_seconds", "Time from a request's head to its answer", self.answer_seconds.clone());
        r.register("events", "Events accepted into the store", self.events.clone());
        r.register("deliveries", "Attempts at deliveries", self.deliveries.clone());
        r.register("delivery_seconds", "Time of an attempt", self.delivery_seconds.clone());
        r.register("dead_letters", "Dead letters written", self.dead_letters.clone());
        r.register("sink_failing", "1 while a sink fails and is only probed", self.failing.clone());
        r.register("sink_rate_limit", "Attempts a second a sink is limited to; 0: no limit", self.rate_limit.clone());
        r.register("sink_parked", "1 while a sink refuses everything", self.parked.clone());
        r.register("queue_waiting", "Deliveries that wait for a sink", self.waiting.clone());
        r.register("queue_oldest_seconds", "Age of a sink's oldest waiting delivery", self.oldest_seconds.clone());
        r.register("events_held", "Events held back until they are due", self.held.clone());
        r.register("store_bytes", "Size of the store", self.store_bytes.clone());
        r.register("store_quota_bytes", "Size that the store may reach", self.store_quota_bytes.clone());
        r.register("mapping_reloads", "Attempts to load changed mappings", self.reloads.clone());
        r.register("mapping_stale", "1 while changed mappings are refused", self.mapping_stale.clone());
    }
}
