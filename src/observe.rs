//! What the proxy tells of itself: logging set-up, the name of every metric, and health.
//!
//! One function per fact writes its log line and its metric together, so that the two can't drift apart. Labels are
//! bounded: sources, sinks, outcomes and event types, never an application's name. No body and no secret comes here.

mod metrics;

use metrics::{Metrics, Outcome, Sink, SinkOutcome, SourceOutcome, Type};
use prometheus_client::encoding::text::encode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Handle to metrics and health; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Observe(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    metrics: Metrics,
    ready: AtomicBool,
}

/// What a sink's queue looks like now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// Deliveries that wait.
    pub waiting: u64,
    /// Seconds since the oldest was accepted.
    pub oldest_seconds: u64,
}

impl Observe {
    /// From now on the proxy is ready, or no longer so.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Ordering::SeqCst);
    }

    /// Whether mappings are compiled and the store takes commits.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::SeqCst)
    }

    /// A notification was answered; `outcome` is a word of a fixed set (`accepted`, `unauthorized`, …).
    pub fn answered(&self, source: &str, outcome: &'static str, took: Duration) {
        let labels = SourceOutcome { source: source.to_owned(), outcome };
        self.0.metrics.notifications.get_or_create(&labels).inc();
        self.0.metrics.answer_seconds.get_or_create(&Outcome { outcome }).observe(took.as_secs_f64());
        tracing::debug!(source, outcome, took_us = took.as_micros(), "notification answered");
    }

    /// An event was accepted into the store.
    pub fn accepted_event(&self, kind: &str) {
        self.0.metrics.events.get_or_create(&Type { r#type: kind.to_owned() }).inc();
    }

    /// A notification became a dead letter.
    pub fn dead_lettered(&self, source: &str, id: &str, reason: &str) {
        self.0.metrics.dead_letters.get_or_create(&Outcome { outcome: "untranslated" }).inc();
        tracing::warn!(
            source,
            dead_letter = id,
            reason,
            "notification kept as a dead letter: mend the mapping, then `dead-letters replay`"
        );
    }

    /// A sink took an event.
    pub fn delivered(&self, sink: &str, event_id: &str, attempt: u32, took: Duration) {
        self.attempt(sink, "delivered", took);
        tracing::debug!(sink, event_id, attempt, took_ms = took.as_millis(), "event delivered");
    }

    /// An attempt failed and will be made again.
    pub fn will_retry(&self, sink: &str, event_id: &str, attempt: u32, error: &str, wait: Duration, took: Duration) {
        self.attempt(sink, "retried", took);
        tracing::info!(
            sink,
            event_id,
            attempt,
            error,
            wait_ms = wait.as_millis(),
            "delivery failed, will be tried again"
        );
    }

    /// A sink refused an event for good, or its time was up.
    pub fn gave_up(&self, sink: &str, event_id: &str, attempt: u32, error: &str, took: Duration) {
        self.attempt(sink, "dead", took);
        self.0.metrics.dead_letters.get_or_create(&Outcome { outcome: "undelivered" }).inc();
        tracing::warn!(
            sink,
            event_id,
            attempt,
            error,
            "event undeliverable, kept as a dead letter: see `dead-letters list`"
        );
    }

    /// A sink fails, and is only probed until it's there again.
    pub fn sink_failing(&self, sink: &str, error: &str) {
        self.0.metrics.failing.get_or_create(&Sink { sink: sink.to_owned() }).set(1);
        tracing::warn!(sink, error, "sink failing: its events wait on disk, and it's tried with one at a time");
    }

    /// A sink refuses everything until somebody mends it; its events wait.
    pub fn sink_parked(&self, sink: &str, error: &str) {
        self.0.metrics.parked.get_or_create(&Sink { sink: sink.to_owned() }).set(1);
        tracing::error!(sink, error, "sink parked: its events wait on disk; mend its address or credentials");
    }

    /// A sink that failed or was parked takes events again.
    pub fn sink_back(&self, sink: &str) {
        let labels = Sink { sink: sink.to_owned() };
        self.0.metrics.failing.get_or_create(&labels).set(0);
        self.0.metrics.parked.get_or_create(&labels).set(0);
        tracing::info!(sink, "sink takes events again, at a rate that grows");
    }

    /// What a sink is limited to in attempts a second, after an outage or because it said that more is too much.
    pub fn sink_rate(&self, sink: &str, limit: Option<f64>) {
        self.0.metrics.rate_limit.get_or_create(&Sink { sink: sink.to_owned() }).set(limit.unwrap_or(0.0));
    }

    /// What waits for a sink.
    pub fn queue(&self, sink: &str, depth: QueueDepth) {
        let labels = Sink { sink: sink.to_owned() };
        self.0.metrics.waiting.get_or_create(&labels).set(i64::try_from(depth.waiting).unwrap_or(i64::MAX));
        self.0
            .metrics
            .oldest_seconds
            .get_or_create(&labels)
            .set(i64::try_from(depth.oldest_seconds).unwrap_or(i64::MAX));
    }

    /// What the store holds: events held back, and bytes of its quota.
    pub fn store(&self, held: u64, bytes: u64, quota: u64) {
        self.0.metrics.held.set(i64::try_from(held).unwrap_or(i64::MAX));
        self.0.metrics.store_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.0.metrics.store_quota_bytes.set(i64::try_from(quota).unwrap_or(i64::MAX));
    }

    /// A reload of the mappings succeeded or left the last good ones in place.
    pub fn reloaded(&self, faults: Option<&str>) {
        let outcome = if faults.is_none() { "loaded" } else { "refused" };
        self.0.metrics.reloads.get_or_create(&Outcome { outcome }).inc();
        self.0.metrics.mapping_stale.set(i64::from(faults.is_some()));
        match faults {
            None => tracing::info!("mappings loaded again"),
            Some(faults) => tracing::error!(faults, "changed mappings refused, the last good ones stay: run `check`"),
        }
    }

    /// Everything in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.0.metrics.registry).is_err() {
            text.clear();
        }
        text
    }

    fn attempt(&self, sink: &str, outcome: &'static str, took: Duration) {
        let labels = SinkOutcome { sink: sink.to_owned(), outcome };
        self.0.metrics.deliveries.get_or_create(&labels).inc();
        self.0.metrics.delivery_seconds.get_or_create(&Sink { sink: sink.to_owned() }).observe(took.as_secs_f64());
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends log lines to stderr, as `RUST_LOG` filters them (default: `info`).
pub fn log_to_stderr(format: LogFormat) {
    use std::io::IsTerminal;
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let set = match format {
        LogFormat::Text => builder.with_ansi(colour).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // A second set-up, as in tests, leaves the first in place.
    drop(set);
}
