//! What operators see and do: dead letters, what waits, what is held.

use super::codec::dead_sum;
use super::command::{Order, Outcome};
use super::read::time;
use super::transaction::Undelivered;
use super::{Outbox, OutboxError, RawDeadLetter};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashSet;

/// Something that couldn't be translated or delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Its id.
    pub id: String,
    /// What it is.
    pub kind: DeadLetterKind,
    /// When it became one.
    pub at: Timestamp,
    /// The source that it came through, or the sink that it was for.
    pub place: String,
    /// Why, for a person.
    pub reason: String,
    /// Attempts that were made.
    pub attempts: u32,
    /// The event's type and subject, of a delivery.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub event: Option<String>,
    /// The notification as it came, or the event as it was to be sent; only when one is shown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub body: Option<Value>,
}

/// What a dead letter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeadLetterKind {
    /// A notification that couldn't be read or translated.
    Notification,
    /// An event that a sink won't take.
    Delivery,
}

/// An event that waits for a sink, or is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// The event's id.
    pub id: String,
    /// The event's type and subject.
    pub event: String,
    /// The sink; absent while it's held.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sink: Option<String>,
    /// When it was accepted; absent while it's held.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Timestamp>,
    /// Attempts that were made.
    pub attempts: u32,
    /// When it will be tried next, if it must wait.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<Timestamp>,
    /// Until when it's held.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub held_until: Option<Timestamp>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

impl Outbox {
    /// Every dead letter, oldest first, without bodies.
    ///
    /// # Errors
    ///
    /// When the store can't be read.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>, OutboxError> {
        self.read(|db| {
            let mut statement =
                db.prepare_cached("SELECT id, kind, at, place, reason, attempts, request FROM dead ORDER BY id")?;
            statement.query_map([], dead_letter)?.collect()
        })
    }

    /// One dead letter, with its body.
    ///
    /// # Errors
    ///
    /// [`OutboxError::NoSuchDeadLetter`], or when the store can't be read.
    pub fn dead_letter(&self, id: &str) -> Result<DeadLetter, OutboxError> {
        let found = self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT id, kind, at, place, reason, attempts, request, body FROM dead WHERE id = ?1",
            )?;
            let row = |row: &Row<'_>| {
                let body: Vec<u8> = row.get(7)?;
                let shown = serde_json::from_slice(&body)
                    .unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into());
                Ok(DeadLetter { body: Some(shown), ..dead_letter(row)? })
            };
            statement.query_row([id], row).optional()
        })?;
        found.ok_or_else(|| OutboxError::NoSuchDeadLetter(id.to_owned()))
    }

    /// A dead notification as it came, to be run again.
    ///
    /// # Errors
    ///
    /// [`OutboxError::NoSuchDeadLetter`], or when the store can't be read.
    pub fn dead_notification(&self, id: &str) -> Result<RawDeadLetter, OutboxError> {
        let found = self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT place, body, request, reason, at, crc FROM dead WHERE id = ?1 AND kind = 'notification'",
            )?;
            let row = |row: &Row<'_>| {
                let (source, body, request): (String, Vec<u8>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let sound = dead_sum(&source, &request, &body) == row.get::<_, i64>(5)?;
                let request = serde_json::from_str(&request).unwrap_or_default();
                let (reason, received_at) = (row.get(3)?, time(row.get(4)?));
                Ok((RawDeadLetter { source, body, request, reason, received_at }, sound))
            };
            statement.query_row([id], row).optional()
        })?;
        match found {
            Some((dead, true)) => Ok(dead),
            Some((_, false)) => Err(OutboxError::DamagedDeadLetter(id.to_owned())),
            None => Err(OutboxError::NoSuchDeadLetter(id.to_owned())),
        }
    }

    /// Queues undeliverable events again, under their ids. Either all or none.
    ///
    /// # Errors
    ///
    /// [`OutboxError`]
    pub async fn replay(&self, ids: Vec<String>) -> Result<usize, OutboxError> {
        self.count(Order::Replay(once(ids))).await
    }

    /// Forgets dead letters. Either all or none.
    ///
    /// # Errors
    ///
    /// [`OutboxError`]
    pub async fn purge(&self, ids: Vec<String>) -> Result<usize, OutboxError> {
        self.count(Order::Purge(once(ids))).await
    }

    async fn count(&self, order: Order) -> Result<usize, OutboxError> {
        match self.ask(order).await? {
            Outcome::Count(count) => Ok(count),
            Outcome::NoSuchDeadLetter(id) => Err(OutboxError::NoSuchDeadLetter(id)),
            Outcome::DamagedDeadLetter(id) => Err(OutboxError::DamagedDeadLetter(id)),
            Outcome::Committed(_) | Outcome::Overtaken => Err(OutboxError::Closed),
        }
    }

    /// What waits for `sink`, or for any, oldest first, and what is held; at most `most` of each.
    ///
    /// # Errors
    ///
    /// When the store can't be read.
    pub fn waiting(&self, sink: Option<&str>, most: usize) -> Result<Vec<Waiting>, OutboxError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.read(|db| {
            let mut found = queued(db, sink, most)?;
            if sink.is_none() {
                found.extend(held(db, most)?);
            }
            Ok(found)
        })
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, OutboxError> {
        self.0.readers.with(read).map_err(|error| {
            let reason = error.to_string();
            self.broken_if_damaged(error);
            OutboxError::Open { directory: self.0.directory.clone(), reason }
        })
    }
}

/// Each id once, in their order.
fn once(ids: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}

fn dead_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let delivery = row.get::<_, String>(1)? == "delivery";
    let about: Option<Undelivered> = serde_json::from_str(&row.get::<_, String>(6)?).ok();
    Ok(DeadLetter {
        id: row.get(0)?,
        kind: if delivery { DeadLetterKind::Delivery } else { DeadLetterKind::Notification },
        at: time(row.get(2)?),
        place: row.get(3)?,
        reason: row.get(4)?,
        attempts: row.get(5)?,
        event: about.map(|about| format!("{} {}", about.kind, about.subject)),
        body: None,
    })
}

fn queued(db: &Connection, sink: Option<&str>, most: i64) -> rusqlite::Result<Vec<Waiting>> {
    let mut statement = db.prepare_cached(
        "SELECT e.id, e.kind, e.subject, d.sink, e.at, d.attempts + d.earlier, d.next, d.error FROM deliveries d JOIN events e ON e.seq = coalesce(d.event, d.seq) \
         WHERE ?1 IS NULL OR d.sink = ?1 ORDER BY d.seq LIMIT ?2",
    )?;
    let rows = statement.query_map(params![sink, most], |row| {
        let next: i64 = row.get(6)?;
        Ok(Waiting {
            id: row.get(0)?,
            event: format!("{} {}", row.get::<_, String>(1)?, row.get::<_, String>(2)?),
            sink: row.get(3)?,
            since: Some(time(row.get(4)?)),
            attempts: row.get(5)?,
            next: (next > 0).then(|| time(next)),
            held_until: None,
            error: row.get(7)?,
        })
    })?;
    rows.collect()
}

fn held(db: &Connection, most: i64) -> rusqlite::Result<Vec<Waiting>> {
    let mut statement = db.prepare_cached(
        "SELECT h.id, e.kind, h.until, e.subject FROM held h JOIN events e ON e.seq = h.seq ORDER BY h.until, h.seq LIMIT ?1",
    )?;
    let rows = statement.query_map([most], |row| {
        Ok(Waiting {
            id: row.get(0)?,
            event: format!("{} {}", row.get::<_, String>(1)?, row.get::<_, String>(3)?),
            sink: None,
            since: None,
            attempts: 0,
            next: None,
            held_until: Some(time(row.get(2)?)),
            error: None,
        })
    })?;
    rows.collect()
}
