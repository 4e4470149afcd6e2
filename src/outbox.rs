//! What is on disk: queued deliveries, held events, dead letters, memory, seen ids.
//!
//! # Design
//!
//! One `SQLite` database (WAL, `synchronous=FULL`) and one writer thread. Everything that changes it is a command to the writer,
//! which takes all commands that wait, carries them out in one transaction, commits, and only then answers them: a group commit,
//! whose size follows the load and the device. Readers are short and see what is committed.
//!
//! Invariants, each kept by the transaction that would break it:
//!
//! 1. An event's id is in `said` exactly when the event was queued for its sinks, had none, or is held. That of a held one names its
//!    place there: it was said as soon as that place isn't in `held` any more.
//! 2. A row in `deliveries` has its event in `events`; an event without deliveries is deleted with its last one, or kept as long as
//!    the settings say.
//! 3. A held event is in `held` and in `events`, and its owner's memory has what its release remembers. Its release is one transaction:
//!    out of `held` and into `deliveries`, nothing else.
//! 4. Memory is that of the last notification of its owner that was committed, and of what was released since.
//!
//! Crash points: before a commit nothing happened, and nobody was told that it had. After it, before the answer: the sender tries
//! again and the ids are known. After a sink took an event, before that was settled: it's sent again with the same id. There are no
//! others, because nothing is acknowledged that isn't committed.
//!
//! A commit that fails because the disk is full answers [`OutboxError::Full`], frees the ballast so that deliveries can settle, and goes
//! on. One that fails otherwise can't be trusted to be undone (a failed `fsync` may have dropped the pages): the store is
//! [failed](Outbox::failed), answers nothing but errors, and the process ends.
//!
//! From commit to sink, events go through a bounded window in memory; what doesn't fit is read from disk later.

mod admin;
mod ballast;
mod check;
mod checkpoint;
mod codec;
mod command;
mod error;
mod migrate;
mod read;
mod recall;
mod releases;
mod room;
mod salvage;
mod schema;
mod sqlite;
mod store;
mod transaction;
mod window;
mod writer;

pub use admin::{DeadLetter, DeadLetterKind, Waiting};
pub use command::{Settled, Settlement};
pub use releases::Basis;
pub use window::Window;

use crate::cdevents::SpecVersion;
use crate::observe::Observe;
use crate::translate::{Owner, Past};
use command::{Command, Order, Outcome};
pub use error::OutboxError;
use error::StoreError;
use jiff::Timestamp;
use read::Readers;
use releases::Releases;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// How the store is kept.
#[derive(Debug, Clone, Copy)]
pub struct OutboxOptions {
    /// Bytes that it may reach; from 80 % on, commits of notifications are refused.
    pub quota: u64,
    /// How long ids of said events are known.
    pub seen_for: Duration,
    /// How long events that every sink has taken are kept.
    pub delivered_for: Duration,
}

/// The store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    readers: Readers,
    windows: window::Windows,
    releases: Releases,
    failed: watch::Receiver<bool>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
    check: Mutex<Option<check::Check>>,
    /// Kept open as long as the store is: the lock goes with it.
    _lock: std::fs::File,
}

/// What came of a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Events that were queued now; those that were said before don't count.
    pub events: usize,
    /// Events that are held.
    pub held: usize,
    /// Under which id the notification is kept.
    pub dead_letter: Option<String>,
}

impl Outbox {
    /// Opens the store in `directory`, which is made if it isn't there.
    ///
    /// # Errors
    ///
    /// [`OutboxError`] when it's in use, can't be opened, or is of a newer version.
    pub fn open(directory: &Path, options: OutboxOptions, observe: Observe) -> Result<Self, OutboxError> {
        Self::start(schema::open(directory, options)?, directory, observe)
    }

    fn start(opened: schema::Opened, directory: &Path, observe: Observe) -> Result<Self, OutboxError> {
        let readers = Readers::open(&opened.path)?;
        let (windows, releases) = (window::Windows::default(), Releases::default());
        let (commands, received) = mpsc::channel();
        let (tell_failed, failed) = watch::channel(false);
        let writer = writer::Writer {
            store: opened.store,
            windows: windows.clone(),
            releases: releases.clone(),
            room: opened.room,
            failed: tell_failed,
            observe,
        };
        let failure =
            |reason: std::io::Error| OutboxError::Open { directory: directory.to_owned(), reason: reason.to_string() };
        let thread =
            std::thread::Builder::new().name("outbox".into()).spawn(move || writer.run(&received)).map_err(failure)?;
        let outbox = Self(Arc::new(Inner {
            directory: directory.to_owned(),
            commands: Mutex::new(Some(commands)),
            readers,
            windows,
            releases,
            failed,
            writer: Mutex::new(Some(thread)),
            check: Mutex::new(None),
            _lock: opened.lock,
        }));
        outbox.check(&opened.path, opened.logged);
        Ok(outbox)
    }

    /// Looks the database through beside the work; it mustn't keep a store open that nobody uses any more.
    fn check(&self, path: &Path, logged: Arc<AtomicU32>) {
        let store = Arc::downgrade(&self.0);
        let damaged = move |found| {
            if let Some(inner) = store.upgrade() {
                Self(inner).broken(StoreError::Damaged(found));
            }
        };
        match check::Check::start(path, logged, damaged) {
            Ok(check) => *self.0.check.lock().unwrap_or_else(PoisonError::into_inner) = Some(check),
            Err(error) => tracing::warn!(%error, "the database isn't checked"),
        }
    }

    /// The directory that it lies in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// Commits what one notification leads to; returns when it's synced.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Full`], [`OutboxError::Failed`], [`OutboxError::Closed`]; nothing of it is committed then.
    pub async fn commit(&self, accepted: Accepted) -> Result<Receipt, OutboxError> {
        self.keep(accepted, None).await
    }

    /// What a translation for these owners will be based on: to be asked for before it looks at their memory.
    #[must_use]
    pub fn basis(&self, owners: &[Owner]) -> Basis {
        self.0.releases.basis(owners)
    }

    /// Commits a translation, unless something of its owners was released since `basis`.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit), and [`OutboxError::Overtaken`]: translate again then.
    pub async fn commit_on(&self, basis: Basis, accepted: Accepted) -> Result<Receipt, OutboxError> {
        self.keep(accepted, Some(basis)).await
    }

    async fn keep(&self, accepted: Accepted, basis: Option<Basis>) -> Result<Receipt, OutboxError> {
        match self.ask(Order::Commit { accepted: Box::new(accepted), basis }).await? {
            Outcome::Committed(receipt) => Ok(receipt),
            Outcome::Overtaken => Err(OutboxError::Overtaken),
            Outcome::Count(_) | Outcome::NoSuchDeadLetter(_) | Outcome::DamagedDeadLetter(_) => {
                Err(OutboxError::Closed)
            }
        }
    }

    /// Settles attempts. Returns when they're handed to the writer, not when they're synced: what is lost in a crash is sent
    /// again.
    pub fn settle(&self, settlement: Settlement) {
        self.send(Command::Settle(settlement));
    }

    /// The events that wait for a sink, oldest first, as they come in.
    #[must_use]
    pub fn window(&self, sink: &str) -> Window {
        self.0.windows.open(sink, self.clone())
    }

    /// Resolves when the store can't be trusted any more.
    pub async fn failed(&self) {
        let mut failed = self.0.failed.clone();
        if failed.wait_for(|failed| *failed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Carries out what was asked for, and closes the database.
    pub async fn close(&self) {
        drop(self.0.commands.lock().unwrap_or_else(PoisonError::into_inner).take());
        let check = self.0.check.lock().unwrap_or_else(PoisonError::into_inner).take();
        let writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let end = move || {
            if let Some(check) = check {
                check.stop();
            }
            writer.map(std::thread::JoinHandle::join)
        };
        drop(tokio::task::spawn_blocking(end).await);
    }

    fn send(&self, command: Command) {
        let commands = self.0.commands.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(commands) = commands.as_ref() {
            // The writer outlives every sender but a failed store, where nothing is to be done any more.
            drop(commands.send(command));
        }
    }

    async fn ask(&self, order: Order) -> Result<Outcome, OutboxError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Ask(order, reply));
        answer.await.unwrap_or(Err(OutboxError::Closed))
    }

    /// A reader found that the store can't be trusted: nothing that is sent to the writer from now on is carried out.
    fn broken(&self, error: StoreError) {
        self.send(Command::Broken(error));
    }

    /// The same, if that's what an error means; any other may pass.
    fn broken_if_damaged(&self, error: rusqlite::Error) {
        if let error @ StoreError::Damaged(_) = StoreError::from(error) {
            self.broken(error);
        }
    }
}

impl Past for Outbox {
    fn memory(&self, owner: &Owner) -> Map<String, Value> {
        self.0.readers.memory(owner).unwrap_or_else(|error| {
            // What is translated without it mustn't be committed.
            self.broken(error.into());
            Map::new()
        })
    }

    fn said(&self, event_id: &str) -> bool {
        self.0.readers.said(event_id).unwrap_or_else(|error| {
            // The writer looks again, in the transaction.
            self.broken_if_damaged(error);
            false
        })
    }
}

/// What one notification leads to, routed and ready to be committed in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Accepted {
    /// One per mapping that accepted the notification.
    pub changes: Vec<RoutedChange>,
    /// What couldn't be translated or read, kept with its reason.
    pub dead: Option<RawDeadLetter>,
}

/// A [`Change`](crate::translate::Change) whose events were assembled for the sinks that want them.
#[derive(Debug, Clone)]
pub struct RoutedChange {
    /// Whose memory it is, and whose events these are.
    pub owner: Owner,
    /// The whole memory of the owner from now on, if it changed.
    pub memory: Option<Map<String, Value>>,
    /// Names of held events of this owner to drop, before `outgoing`.
    pub drop: Vec<String>,
    /// The events in order of delivery. One that no sink wants is still here: its id counts as said.
    pub outgoing: Vec<Outgoing>,
}

/// An event as it lies in the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outgoing {
    /// `context.id`.
    pub id: String,
    /// Its type without prefix and version: `service.deployed`, or the whole custom type.
    pub kind: String,
    /// `subject.id`.
    pub subject: String,
    /// The document as each of its sinks' spec versions writes it; one entry per version that some sink wants.
    pub documents: Vec<(SpecVersion, Arc<str>)>,
    /// The sinks that want it, each with the version it asked for.
    pub sinks: Vec<(Arc<str>, SpecVersion)>,
    /// Absent: it's due at once.
    pub hold: Option<HeldUntil>,
}

/// How long an event waits, and what its release remembers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HeldUntil {
    /// Name by which it can be dropped.
    pub name: String,
    /// When it's released.
    pub until: Timestamp,
    /// Memory entries written at release.
    pub remember: Map<String, Value>,
    /// Memory entries removed at release, before `remember`.
    pub forget: Vec<String>,
}

/// A notification that couldn't be read or translated, kept whole.
#[derive(Debug, Clone)]
pub struct RawDeadLetter {
    /// The configured source it came through.
    pub source: String,
    /// The raw body.
    pub body: Vec<u8>,
    /// The request as JSON ([`Request`](crate::notification::Request) without secrets), so that it can be run again.
    pub request: Value,
    /// What went wrong, for a person.
    pub reason: String,
    /// When it was received.
    pub received_at: Timestamp,
}

/// A delivery that waits for its sink.
#[derive(Debug, Clone)]
pub struct Queued {
    /// Its place in the order of events.
    pub seq: i64,
    /// The event's id.
    pub id: Arc<str>,
    /// Events of one key are delivered in order.
    pub key: Arc<str>,
    /// The document in the sink's spec version.
    pub document: Arc<str>,
    /// When it was accepted.
    pub since: Timestamp,
    /// Attempts that were made.
    pub attempts: u32,
    /// Not to be tried before.
    pub next: Timestamp,
}

#[cfg(test)]
mod tests;
