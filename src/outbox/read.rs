//! Short reads beside the writer.

use super::codec::{checksum, unpack};
use super::{OutboxError, Queued};
use crate::cdevents::SpecVersion;
use crate::translate::Owner;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const CONNECTIONS: usize = 4;

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

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, OutboxError> {
        let open = || {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.pragma_update(None, "cache_size", -1024)?;
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

    /// A row that isn't what was written counts as no memory, and is told.
    pub(super) fn memory(&self, owner: &Owner) -> Map<String, Value> {
        let found = self.with(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT json, crc FROM memory WHERE mapping = ?1 AND key = ?2")?;
            statement
                .query_row(params![owner.mapping, owner.key], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
                })
                .optional()
        });
        match found {
            Ok(None) => Map::new(),
            Ok(Some((json, crc))) if checksum(&json) == crc => serde_json::from_str(&json).unwrap_or_default(),
            Ok(Some(_)) => {
                tracing::error!(mapping = owner.mapping, "a row of memory is damaged and counts as empty");
                Map::new()
            }
            Err(error) => {
                tracing::error!(%error, "memory can't be read and counts as empty");
                Map::new()
            }
        }
    }

    pub(super) fn said(&self, id: &str) -> bool {
        let found = self.with(|connection| connection.prepare_cached("SELECT 1 FROM said WHERE id = ?1")?.exists([id]));
        // The writer looks again, in the transaction.
        found.unwrap_or(false)
    }

    /// Deliveries of a sink behind `after`, in order.
    pub(super) fn queued(&self, sink: &str, after: i64, most: usize) -> rusqlite::Result<Vec<Found>> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT d.seq, d.version, d.attempts, d.next, e.id, e.kind, e.key, e.at, e.documents, e.crc \
                 FROM deliveries d JOIN events e ON e.seq = d.seq WHERE d.sink = ?1 AND d.seq > ?2 ORDER BY d.seq LIMIT ?3",
            )?;
            let rows = statement.query_map(params![sink, after, i64::try_from(most).unwrap_or(i64::MAX)], found)?;
            rows.collect()
        })
    }
}

fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    let seq = row.get(0)?;
    let read = || -> rusqlite::Result<Option<Queued>> {
        let version: String = row.get(1)?;
        let documents: String = row.get(8)?;
        let sound = checksum(&documents) == row.get::<_, i64>(9)?;
        let document = version.parse::<SpecVersion>().ok().and_then(|version| unpack(&documents, version));
        let (true, Some(document)) = (sound, document) else { return Ok(None) };
        Ok(Some(Queued {
            seq,
            id: row.get(4)?,
            kind: row.get(5)?,
            key: row.get::<_, String>(6)?.into(),
            document: document.into(),
            since: time(row.get(7)?),
            attempts: row.get(2)?,
            next: time(row.get(3)?),
        }))
    };
    // A column of another type than was written is damage, too.
    Ok(match read() {
        Ok(Some(queued)) => Found::Good(queued),
        _ => Found::Damaged { seq },
    })
}

pub(super) fn time(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}
