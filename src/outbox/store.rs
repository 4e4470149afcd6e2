//! What the writer needs of a store: batches that happen wholly or not at all.
//!
//! `SQLite` is the one that is used. Its twin in the tests fails, fills up and dies wherever a test wants it to.

use super::Queued;
use super::command::{Order, Outcome, Settlement};
use super::error::StoreError;
use super::releases::Releases;
use crate::observe::QueueDepth;
use crate::translate::Owner;
use jiff::Timestamp;
use std::sync::Arc;

/// Keeps what the writer gives it.
pub(super) trait Store: Send {
    /// Carries `work` out in one transaction: when this returns, all of it is synced, or nothing of it happened.
    fn transact(&mut self, work: &Work<'_>) -> Result<Done, StoreError>;

    /// When the next held event is due.
    fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError>;

    /// Forgets a batch of what is old enough; says whether there may be more.
    fn sweep(&mut self, now: Timestamp) -> Result<bool, StoreError>;

    /// Bytes in use, of those that the quota allows.
    fn used(&mut self) -> Result<u64, StoreError>;

    /// Figures for those who watch.
    fn figures(&mut self, now: Timestamp) -> Result<Figures, StoreError>;

    /// Gives room on the disk back that only makes things faster.
    fn compact(&mut self) -> Result<(), StoreError>;
}

/// One transaction's worth: first what settles, then what is due, then what was asked for, in that order.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) now: Timestamp,
    pub(super) settlements: &'a [Settlement],
    /// Held events to release at most, of those that are due.
    pub(super) release: usize,
    pub(super) orders: &'a [&'a Order],
    pub(super) releases: &'a Releases,
}

/// What a transaction did.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// One per order.
    pub(super) outcomes: Vec<Outcome>,
    /// Deliveries for the sinks' loops.
    pub(super) queued: Vec<(Arc<str>, Queued)>,
    /// Sinks that have something to read from disk, before `queued`.
    pub(super) spilled: Vec<Arc<str>>,
    /// What is held changed.
    pub(super) held: bool,
    /// Whose held events were released.
    pub(super) released: Vec<Owner>,
    /// Bytes in use then.
    pub(super) used: u64,
}

/// Figures for those who watch.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) held: u64,
    pub(super) queues: Vec<(Arc<str>, QueueDepth)>,
}
