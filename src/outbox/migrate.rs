//! The tables, and how a store of an older version becomes one of the newest.

mod held;

use super::codec::{Sum, dead_sum, delivery_sum, event_sum, memory_sum};
use crate::translate::Owner;
use rusqlite::{Connection, Row, Transaction, params};

type Sql<T> = rusqlite::Result<T>;

/// Each step leads from the version that is its index to the next.
const STEPS: [fn(&Transaction<'_>) -> Sql<()>; 3] = [tables, sums_over_whole_rows, held::in_their_place];

/// The database's name in its directory.
pub(super) const DATABASE: &str = "outbox.sqlite";

/// The newest version.
pub(super) const NEWEST: usize = STEPS.len();

/// Brings the tables to the newest version, or says which newer one they have.
pub(super) fn migrate(connection: &mut Connection) -> Sql<Result<(), i64>> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let Some(at) = usize::try_from(found).ok().filter(|at| *at <= NEWEST) else { return Ok(Err(found)) };
    for (index, step) in STEPS.iter().enumerate().skip(at) {
        let transaction = connection.transaction()?;
        step(&transaction)?;
        transaction.pragma_update(None, "user_version", i64::try_from(index + 1).unwrap_or(i64::MAX))?;
        transaction.commit()?;
    }
    Ok(Ok(()))
}

fn tables(db: &Transaction<'_>) -> Sql<()> {
    db.execute_batch(
        "CREATE TABLE memory (mapping TEXT NOT NULL, key TEXT NOT NULL, json TEXT NOT NULL, crc INTEGER NOT NULL,
  PRIMARY KEY (mapping, key)) WITHOUT ROWID;
CREATE TABLE said (id TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX said_by_time ON said (at);
CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
  key TEXT NOT NULL, at INTEGER NOT NULL, documents TEXT NOT NULL, crc INTEGER NOT NULL, settled INTEGER);
CREATE INDEX events_settled ON events (settled) WHERE settled IS NOT NULL;
CREATE TABLE deliveries (sink TEXT NOT NULL, seq INTEGER NOT NULL, version TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  next INTEGER NOT NULL DEFAULT 0, error TEXT, PRIMARY KEY (sink, seq)) WITHOUT ROWID;
CREATE INDEX deliveries_by_event ON deliveries (seq);
CREATE TABLE held (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, mapping TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL,
  until INTEGER NOT NULL, json TEXT NOT NULL, crc INTEGER NOT NULL);
CREATE UNIQUE INDEX held_by_id ON held (id);
CREATE INDEX held_by_time ON held (until);
CREATE INDEX held_by_owner ON held (mapping, key, name);
CREATE TABLE dead (id TEXT PRIMARY KEY, kind TEXT NOT NULL, at INTEGER NOT NULL, place TEXT NOT NULL, reason TEXT NOT NULL,
  attempts INTEGER NOT NULL, hash TEXT UNIQUE, body BLOB NOT NULL, request TEXT NOT NULL) WITHOUT ROWID;",
    )
}

/// Checksums cover whole rows; a replay's attempts go on.
fn sums_over_whole_rows(db: &Transaction<'_>) -> Sql<()> {
    db.execute_batch(
        "ALTER TABLE deliveries ADD COLUMN earlier INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN crc INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead ADD COLUMN crc INTEGER NOT NULL DEFAULT 0;",
    )?;
    sum_events(db)?;
    sum_deliveries(db)?;
    sum_memory(db)?;
    sum_held(db)?;
    sum_dead(db)
}

fn sum_events(db: &Transaction<'_>) -> Sql<()> {
    let mut update = db.prepare("UPDATE events SET crc = ?2 WHERE seq = ?1")?;
    let mut rows = db.prepare("SELECT seq, id, kind, subject, key, at, documents, crc FROM events")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, documents) = (row.get(0)?, text(row, 6)?);
        let (id, kind, subject, key) = (text(row, 1)?, text(row, 2)?, text(row, 3)?, text(row, 4)?);
        let new = event_sum(seq, &id, &kind, &subject, &key, row.get(5)?, &documents);
        update.execute(params![seq, of_sound(&documents, row.get(7)?, new)])?;
    }
    Ok(())
}

fn sum_deliveries(db: &Transaction<'_>) -> Sql<()> {
    let mut update = db.prepare("UPDATE deliveries SET crc = ?3 WHERE sink = ?1 AND seq = ?2")?;
    let mut rows = db.prepare("SELECT sink, seq, version FROM deliveries")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (sink, seq) = (text(row, 0)?, row.get(1)?);
        update.execute(params![sink, seq, delivery_sum(&sink, seq, &text(row, 2)?, None)])?;
    }
    Ok(())
}

fn sum_memory(db: &Transaction<'_>) -> Sql<()> {
    let mut update = db.prepare("UPDATE memory SET crc = ?3 WHERE mapping = ?1 AND key = ?2")?;
    let mut rows = db.prepare("SELECT mapping, key, json, crc FROM memory")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let owner = Owner { mapping: text(row, 0)?, key: text(row, 1)? };
        let json = text(row, 2)?;
        update.execute(params![
            owner.mapping,
            owner.key,
            of_sound(&json, row.get(3)?, memory_sum(&owner, &json, ""))
        ])?;
    }
    Ok(())
}

fn sum_held(db: &Transaction<'_>) -> Sql<()> {
    let mut update = db.prepare("UPDATE held SET crc = ?2 WHERE seq = ?1")?;
    let mut rows = db.prepare("SELECT seq, id, mapping, key, name, until, json, crc FROM held")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (owner, json) = (Owner { mapping: text(row, 2)?, key: text(row, 3)? }, text(row, 6)?);
        let new = held_sum_of_2(&text(row, 1)?, &owner, &text(row, 4)?, row.get(5)?, &json);
        update.execute(params![row.get::<_, i64>(0)?, of_sound(&json, row.get(7)?, new)])?;
    }
    Ok(())
}

/// The checksum of a held event's row in the second version.
fn held_sum_of_2(id: &str, owner: &Owner, name: &str, until: i64, json: &str) -> i64 {
    let sum = Sum::default().text(id).text(&owner.mapping).text(&owner.key);
    sum.text(name).number(until).text(json).get()
}

fn sum_dead(db: &Transaction<'_>) -> Sql<()> {
    let mut update = db.prepare("UPDATE dead SET crc = ?2 WHERE id = ?1")?;
    let mut rows = db.prepare("SELECT id, place, request, body FROM dead")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let sum = dead_sum(&text(row, 1)?, &text(row, 2)?, &row.get::<_, Vec<u8>>(3)?);
        update.execute(params![text(row, 0)?, sum])?;
    }
    Ok(())
}

/// The tables of the first version, empty.
#[cfg(test)]
pub(super) fn first(db: &Connection) -> Sql<()> {
    let transaction = db.unchecked_transaction()?;
    tables(&transaction)?;
    transaction.commit()
}

fn text(row: &Row<'_>, column: usize) -> Sql<String> {
    row.get(column)
}

/// The new checksum; of a row that wasn't sound before, one that isn't right either.
fn of_sound(text: &str, crc: i64, new: i64) -> i64 {
    if i64::from(crc32c::crc32c(text.as_bytes())) == crc { new } else { -1 }
}
