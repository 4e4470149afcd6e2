//! The store in `SQLite`: one connection that writes.

use super::OutboxOptions;
use super::checkpoint::Checkpoints;
use super::error::StoreError;
use super::read::time;
use super::store::{Done, Figures, Store, Work};
use super::transaction::{Tally, Transaction, next_due};
use crate::observe::QueueDepth;
use jiff::Timestamp;
use rusqlite::ffi::{SQLITE_IOERR_SHMMAP, SQLITE_IOERR_SHMSIZE};
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Rows that a sweep deletes at a time.
const BATCH: i64 = 2000;

/// The connection that writes, and what would be slow to count.
#[derive(Debug)]
pub(super) struct Sqlite {
    connection: Connection,
    checkpoints: Checkpoints,
    options: OutboxOptions,
    /// Bytes of a page.
    page: u64,
    seq: i64,
    held: i64,
    waiting: HashMap<Arc<str>, i64>,
}

impl Sqlite {
    pub(super) fn new(mut connection: Connection, options: OutboxOptions) -> rusqlite::Result<Self> {
        let checkpoints = Checkpoints::of(&mut connection)?;
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let page = u64::try_from(number("PRAGMA page_size")?).unwrap_or_default();
        let mut seq = number("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)")?;
        let held = number("SELECT count(*) FROM held")?;
        let mut waiting = HashMap::new();
        {
            let mut statement = connection.prepare("SELECT sink, count(*), max(seq) FROM deliveries GROUP BY sink")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                waiting.insert(row.get::<_, String>(0)?.into(), row.get(1)?);
                seq = seq.max(row.get(2)?);
            }
        }
        Ok(Self { connection, checkpoints, options, page, seq, held, waiting })
    }

    /// How many pages are in the log.
    pub(super) fn logged(&self) -> Arc<AtomicU32> {
        self.checkpoints.logged()
    }

    fn count(&mut self, tally: Tally) {
        self.held += tally.held;
        for (sink, change) in tally.waiting {
            *self.waiting.entry(sink).or_default() += change;
        }
    }

    /// When the oldest delivery to a sink was accepted.
    fn oldest(&self, sink: &str) -> rusqlite::Result<Option<Timestamp>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT e.at FROM deliveries d JOIN events e ON e.seq = coalesce(d.event, d.seq) WHERE d.sink = ?1 ORDER BY d.seq LIMIT 1",
        )?;
        Ok(statement.query_row([sink], |row| row.get(0)).optional()?.map(time))
    }
}

/// Pages that something lies on.
fn pages(db: &Connection) -> rusqlite::Result<u64> {
    let number = |sql: &str| db.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0));
    let pages = number("PRAGMA page_count")?.saturating_sub(number("PRAGMA freelist_count")?);
    Ok(u64::try_from(pages).unwrap_or_default())
}

impl Store for Sqlite {
    fn transact(&mut self, work: &Work<'_>) -> Result<Done, StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut under_way = Transaction {
            delivered_for: self.options.delivered_for,
            seq: self.seq,
            held: self.held,
            ..Transaction::of(&transaction, work.now)
        };
        under_way.carry_out(work)?;
        let Transaction { seq, mut done, tally, .. } = under_way;
        // Looked at while it's open anyway.
        done.used = pages(&transaction)? * self.page;
        transaction.commit()?;
        self.seq = seq;
        self.count(tally);
        match self.checkpoints.look(&self.connection) {
            Ok(()) | Err(StoreError::Full(_)) => Ok(done),
            Err(error) => Err(error),
        }
    }

    fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(next_due(&self.connection)?)
    }

    fn sweep(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let before =
            |kept: Duration| now.as_millisecond().saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
        let said = "DELETE FROM said WHERE id IN (SELECT id FROM said WHERE at < ?1 ORDER BY at LIMIT ?2)";
        let events =
            "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE settled < ?1 ORDER BY settled LIMIT ?2)";
        let mut more = false;
        for (sql, kept) in [(said, self.options.seen_for), (events, self.options.delivered_for)] {
            let gone = self.connection.prepare_cached(sql)?.execute(params![before(kept), BATCH])?;
            more |= i64::try_from(gone).is_ok_and(|gone| gone == BATCH);
        }
        Ok(more)
    }

    fn used(&mut self) -> Result<u64, StoreError> {
        Ok(pages(&self.connection)? * self.page)
    }

    fn figures(&mut self, now: Timestamp) -> Result<Figures, StoreError> {
        let mut queues = Vec::with_capacity(self.waiting.len());
        for (sink, waiting) in &self.waiting {
            let since = self.oldest(sink)?.unwrap_or(now);
            let oldest_seconds = u64::try_from(now.duration_since(since).as_secs()).unwrap_or_default();
            let waiting = u64::try_from(*waiting).unwrap_or_default();
            queues.push((Arc::clone(sink), QueueDepth { waiting, oldest_seconds }));
        }
        Ok(Figures { held: u64::try_from(self.held).unwrap_or_default(), queues })
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        self.checkpoints.truncate(&self.connection)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        match &error {
            rusqlite::Error::SqliteFailure(failure, _) => match (failure.code, failure.extended_code) {
                (ErrorCode::DiskFull, _) | (_, SQLITE_IOERR_SHMSIZE | SQLITE_IOERR_SHMMAP) => Self::Full(text),
                (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => Self::Damaged(text),
                _ => Self::Failed(text),
            },
            // A column that can't be what was written.
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..) => Self::Damaged(text),
            _ => Self::Failed(text),
        }
    }
}
