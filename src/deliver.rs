//! Delivery: a loop per sink, which costs the others nothing.
//!
//! Owns attempts, their order and their timing. Trusts no sink: answers are read to a limit, redirects never followed, time is
//! bounded. Promises at least once: an attempt is settled only after its answer, and what wasn't settled before a crash is
//! sent again with the same id.
//!
//! What is sent when is decided by `plan`, which has no clock and no I/O: `retry` says when an event is tried again, `breaker`
//! whether its sink is tried at all, `pace` how fast. `sink` carries it out.

mod breaker;
mod dice;
mod http;
mod pace;
mod plan;
mod recent;
mod retry;
mod sink;
mod stdout;

#[cfg(test)]
mod simulation;

pub use http::SinkError;
pub use sink::{Sink, sinks};

use crate::observe::Observe;
use crate::outbox::Outbox;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Delivers to every sink until `stop` says so; then waits for the attempts under way.
pub async fn run(sinks: Vec<Sink>, outbox: Outbox, observe: Observe, stop: watch::Receiver<bool>) {
    let mut loops = JoinSet::new();
    for sink in sinks {
        loops.spawn(sink::run(sink, outbox.clone(), observe.clone(), stop.clone()));
    }
    while let Some(ended) = loops.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a sink's loop ended; its events wait on disk until the next start");
        }
    }
}
