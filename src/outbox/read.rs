//! Short reads beside the writer.

use super::codec::{delivery_sum, event_sum, unpack};
use super::recall::{Recall, said};
use super::{OutboxError, Queued};
use crate::cdevents::SpecVersion;
use crate::translate::Owner;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OpenFlags, Row, params};
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const CONNECTIONS: usize = 4;
/// How long a read waits for the database.
const BUSY: Duration = Duration::from_secs(1);
/// No attempt is put off for longer than that: what says so is damaged.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A few connections that only read.
#[derive(Debug)]
pub(super) struct Readers {
    connections: Vec<Mutex<Connection>>,
    next: AtomicUsize,
}

/// A delivery as it was read: good, or of a row that isn't what was written.
pub(super) enum Found {
    Good(Queued),
    Damaged { seq: i64 },
}

/// Deliveries that were read, and whether they're all.
pub(super) struct Batch {
    pub(super) rows: Vec<Found>,
    pub(super) all: bool,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, OutboxError> {
        let open = || {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.pragma_update(None, "cache_size", -512)?;
            connection.busy_timeout(BUSY)?;
            Ok(Mutex::new(connection))
        };
        let connections: rusqlite::Result<Vec<_>> = (0..CONNECTIONS).map(|_| open()).collect();
        let connections =
            connections.map_err(|e| OutboxError::Open { directory: path.to_owned(), reason: e.to_string() })?;
        Ok(Self { connections, next: AtomicUsize::new(0) })
    }

    pub(super) fn with<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        read(&self.any())
    }

    /// A free connection, or the next in turn.
    fn any(&self) -> MutexGuard<'_, Connection> {
        let free = self.connections.iter().find_map(|connection| connection.try_lock().ok());
        free.unwrap_or_else(|| {
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
            self.connections[turn].lock().unwrap_or_else(PoisonError::into_inner)
        })
    }

    /// What an owner remembers. A row that isn't what was written counts as no memory, and is told.
    pub(super) fn memory(&self, owner: &Owner) -> rusqlite::Result<Map<String, Value>> {
        let recall = self.with(|connection| {
            let recall = Recall::read(connection, owner)?;
            if recall.as_ref().is_none_or(|recall| recall.promises().is_empty()) {
                return Ok(recall);
            }
            // Again, and what is held of the same moment.
            let transaction = connection.unchecked_transaction()?;
            let mut recall = Recall::read(&transaction, owner)?;
            if let Some(recall) = &mut recall {
                recall.settle(&transaction)?;
            }
            Ok(recall)
        })?;
        let Some(recall) = recall else {
            tracing::error!(mapping = owner.mapping, "a row of memory is damaged and counts as empty");
            return Ok(Map::new());
        };
        Ok(recall.memory())
    }

    pub(super) fn said(&self, id: &str) -> rusqlite::Result<bool> {
        self.with(|connection| said(connection, id))
    }

    /// Deliveries of a sink behind `after`, in order: up to `most`, with documents of about `bytes` together.
    pub(super) fn queued(&self, sink: &str, after: i64, most: usize, bytes: usize) -> rusqlite::Result<Batch> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT d.seq, d.version, d.attempts, d.next, d.crc, e.id, e.kind, e.subject, e.key, e.at, e.documents, e.crc, d.event \
                 FROM deliveries d LEFT JOIN events e ON e.seq = coalesce(d.event, d.seq) WHERE d.sink = ?1 AND d.seq > ?2 ORDER BY d.seq",
            )?;
            let mut rows = statement.query(params![sink, after])?;
            let (mut found, mut left) = (Vec::new(), bytes);
            let longest = Timestamp::now().saturating_add(LONGEST_WAIT).unwrap_or(Timestamp::MAX);
            while let Some(row) = rows.next()? {
                if found.len() == most || (left == 0 && !found.is_empty()) {
                    return Ok(Batch { rows: found, all: false });
                }
                let seq = row.get(0)?;
                // A column of another type than was written is damage, too.
                let Ok(Some(mut queued)) = sound(row, sink, seq) else {
                    found.push(Found::Damaged { seq });
                    continue;
                };
                queued.next = queued.next.min(longest);
                left = left.saturating_sub(queued.document.len());
                found.push(Found::Good(queued));
            }
            Ok(Batch { rows: found, all: true })
        })
    }
}

/// A delivery, if its rows are what was written.
fn sound(row: &Row<'_>, sink: &str, seq: i64) -> rusqlite::Result<Option<Queued>> {
    let text = |column| row.get::<_, String>(column);
    let (version, documents, at) = (text(1)?, text(10)?, row.get(9)?);
    let (id, key) = (text(5)?, text(8)?);
    let event: Option<i64> = row.get(12)?;
    let written = delivery_sum(sink, seq, &version, event) == row.get::<_, i64>(4)?
        && event_sum(event.unwrap_or(seq), &id, &text(6)?, &text(7)?, &key, at, &documents) == row.get::<_, i64>(11)?;
    let document = version.parse::<SpecVersion>().ok().and_then(|version| unpack(&documents, version));
    let (true, Some(document)) = (written, document) else { return Ok(None) };
    let (attempts, next) = (row.get(2)?, time(row.get(3)?));
    let (id, key, document, since) = (id.into(), key.into(), document.into(), time(at));
    Ok(Some(Queued { seq, id, key, document, since, attempts, next }))
}

pub(super) fn time(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}
