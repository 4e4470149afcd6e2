//! What is known of the past: the ids that were said, and an owner's row, with what it remembers, and what it will remember of
//! events that are held.
//!
//! A release writes no owner's row. Whoever finds in one a promise whose event isn't held any more knows that it was released, and
//! what it promised counts; whoever writes the row next puts that among the rest. So the release of a hundred thousand events of a
//! hundred thousand owners goes over rows that lie side by side, and not over pages all over the database.

use super::codec::memory_sum;
use crate::translate::Owner;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

type Sql<T> = rusqlite::Result<T>;

/// An owner's row.
#[derive(Debug, Default)]
pub(super) struct Recall {
    /// What it remembers, as JSON; empty for nothing.
    json: String,
    /// What is held of it, in the order in which it came.
    promises: Vec<Promise>,
}

/// What the release of a held event remembers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Promise {
    /// The event's place.
    pub(super) seq: i64,
    /// By which it can be dropped.
    pub(super) name: String,
    /// When it's due, in milliseconds since 1970.
    pub(super) until: i64,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) remember: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) forget: Vec<String>,
}

impl Recall {
    /// As it's written; none where that isn't what was written.
    pub(super) fn read(db: &Connection, owner: &Owner) -> Sql<Option<Self>> {
        let mut statement = db.prepare_cached("SELECT json, held, crc FROM memory WHERE mapping = ?1 AND key = ?2")?;
        let row = |row: &Row<'_>| Self::of(owner, row.get(0)?, &row.get::<_, String>(1)?, row.get(2)?);
        Ok(statement
            .query_row(params![owner.mapping, owner.key], row)
            .optional()?
            .unwrap_or_else(|| Some(Self::default())))
    }

    /// Of the columns of a row.
    pub(super) fn of(owner: &Owner, json: String, promises: &str, crc: i64) -> Sql<Option<Self>> {
        if memory_sum(owner, &json, promises) != crc {
            return Ok(None);
        }
        let promises = if promises.is_empty() { Some(Vec::new()) } else { serde_json::from_str(promises).ok() };
        Ok(promises.map(|promises| Self { json, promises }))
    }

    /// Puts what was released among what is remembered. `db` has to show one moment, with the row as it was read.
    pub(super) fn settle(&mut self, db: &Connection) -> Sql<()> {
        if self.promises.is_empty() {
            return Ok(());
        }
        let (mut held, mut kept) = (Vec::new(), Vec::new());
        for promise in std::mem::take(&mut self.promises) {
            if is_held(db, promise.seq)? { held.push(promise) } else { kept.push(promise) }
        }
        self.promises = held;
        if kept.is_empty() {
            return Ok(());
        }
        // In the order of their release.
        kept.sort_by_key(|promise| (promise.until, promise.seq));
        let mut memory = self.memory();
        for Promise { remember, forget, .. } in kept {
            forget.iter().for_each(|name| drop(memory.shift_remove(name)));
            memory.extend(remember);
        }
        self.remember(&memory);
        Ok(())
    }

    /// What is remembered, when what was released is among it.
    pub(super) fn memory(&self) -> Map<String, Value> {
        serde_json::from_str(&self.json).unwrap_or_default()
    }

    pub(super) fn remember(&mut self, memory: &Map<String, Value>) {
        self.json = if memory.is_empty() { String::new() } else { serde_json::to_string(memory).unwrap_or_default() };
    }

    pub(super) fn promises(&self) -> &[Promise] {
        &self.promises
    }

    pub(super) fn promise(&mut self, promise: Promise) {
        self.promises.push(promise);
    }

    /// What is no longer promised, if it was.
    pub(super) fn take_back(&mut self, seq: i64) -> bool {
        let before = self.promises.len();
        self.promises.retain(|promise| promise.seq != seq);
        self.promises.len() < before
    }

    /// Writes the row, or takes it away where nothing is in it.
    pub(super) fn write(&self, db: &Connection, owner: &Owner) -> Sql<()> {
        if self.json.is_empty() && self.promises.is_empty() {
            let mut statement = db.prepare_cached("DELETE FROM memory WHERE mapping = ?1 AND key = ?2")?;
            return statement.execute(params![owner.mapping, owner.key]).map(drop);
        }
        let promises = match self.promises.as_slice() {
            [] => String::new(),
            promises => serde_json::to_string(promises).unwrap_or_default(),
        };
        let mut statement = db.prepare_cached(
            "INSERT OR REPLACE INTO memory (mapping, key, json, held, crc) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        let crc = memory_sum(owner, &self.json, &promises);
        statement.execute(params![owner.mapping, owner.key, self.json, promises, crc]).map(drop)
    }
}

/// Whether the event of that place is held still.
fn is_held(db: &Connection, seq: i64) -> Sql<bool> {
    db.prepare_cached("SELECT 1 FROM held WHERE seq = ?1")?.exists([seq])
}

/// Whether an event was said: its id is known, and not that of one that is held.
pub(super) fn said(db: &Connection, id: &str) -> Sql<bool> {
    let sql = "SELECT 1 FROM said s WHERE s.id = ?1 AND NOT EXISTS (SELECT 1 FROM held h WHERE h.seq = s.held)";
    db.prepare_cached(sql)?.exists([id])
}
