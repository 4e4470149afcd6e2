//! What the writer is asked to do.

use super::{Accepted, OutboxError, Receipt};
use jiff::Timestamp;
use std::sync::Arc;
use tokio::sync::oneshot;

type Reply<T> = oneshot::Sender<Result<T, OutboxError>>;

/// A command to the writer. Those with a reply are answered after the commit.
#[derive(Debug)]
pub(super) enum Command {
    Commit {
        accepted: Box<Accepted>,
        reply: Reply<Receipt>,
    },
    Settle(Settlement),
    /// Puts undeliverable events back into their sinks' queues, and forgets the dead letters.
    Replay {
        ids: Vec<String>,
        reply: Reply<usize>,
    },
    /// Forgets dead letters.
    Purge {
        ids: Vec<String>,
        reply: Reply<usize>,
    },
}

/// How one attempt ended.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The sink.
    pub sink: Arc<str>,
    /// The event's place in the order.
    pub seq: i64,
    /// What is to become of the delivery.
    pub settled: Settled,
}

/// What is to become of a delivery.
#[derive(Debug, Clone)]
pub enum Settled {
    /// The sink took it.
    Delivered,
    /// It's to be tried again.
    Again {
        /// Attempts so far.
        attempts: u32,
        /// Not before.
        next: Timestamp,
        /// What went wrong, for a person.
        error: String,
    },
    /// It's given up.
    Dead {
        /// Attempts so far.
        attempts: u32,
        /// What went wrong, for a person.
        error: String,
    },
}
