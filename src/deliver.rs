//! Delivery: a loop per sink, which costs the others nothing.
//!
//! Owns attempts, their order and their timing. Trusts no sink: answers are read to a limit, redirects never followed, time is
//! bounded. Promises at least once: an attempt is settled only after its answer, and what wasn't settled before a crash is
//! sent again with the same id.

mod breaker;
mod http;
mod retry;
mod sink;
mod stdout;

pub use breaker::Breaker;
pub use retry::{Decision, Outcome, Policy, decide};
pub use sink::{Sink, SinkError, sinks};

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
