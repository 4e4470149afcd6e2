//! What the writer is asked to do, and what comes of it.

use super::error::StoreError;
use super::releases::Basis;
use super::{Accepted, OutboxError, Receipt};
use jiff::Timestamp;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A message to the writer.
#[derive(Debug)]
pub(super) enum Command {
    /// Somebody waits for the answer, which is given after the commit.
    Ask(Order, Reply),
    /// Nobody waits.
    Settle(Settlement),
    /// A reader found that the store can't be trusted.
    Broken(StoreError),
}

/// Where an answer goes.
pub(super) type Reply = oneshot::Sender<Result<Outcome, OutboxError>>;

/// What is asked for.
#[derive(Debug)]
pub(super) enum Order {
    /// Keep what a notification leads to, if nothing of its owners was released since `basis`.
    Commit { accepted: Box<Accepted>, basis: Option<Basis> },
    /// Put undeliverable events back into their sinks' queues, and forget the dead letters.
    Replay(Vec<String>),
    /// Forget dead letters.
    Purge(Vec<String>),
}

impl Order {
    /// Whether it needs room.
    pub(super) fn grows(&self) -> bool {
        match self {
            Self::Commit { .. } | Self::Replay(_) => true,
            Self::Purge(_) => false,
        }
    }
}

/// What an order came to, if its transaction is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed(Receipt),
    /// An event of one of its owners was released meanwhile; nothing was done.
    Overtaken,
    /// So many dead letters. One that isn't there, or isn't what was written, leaves all as they were.
    Count(usize),
    NoSuchDeadLetter(String),
    DamagedDeadLetter(String),
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
