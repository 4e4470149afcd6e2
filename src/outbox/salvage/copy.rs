//! Row by row from a damaged database into a new one. What isn't what was written stays behind; what is known to have been there
//! becomes a dead letter.

use crate::cdevents::SpecVersion;
use crate::outbox::codec::{delivery_sum, event_sum, held_sum, only_version};
use crate::outbox::recall::Recall;
use crate::outbox::transaction::{Place, Transaction, Undelivered};
use crate::translate::Owner;
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Params, Row, params, params_from_iter};
use std::collections::BTreeSet;

type Sql<T> = rusqlite::Result<T>;

/// No id is longer.
const LONGEST_ID: usize = 1024;
/// Why there's a dead letter of an event that was held, and of one that was queued.
const DAMAGED: &str = "the held event is damaged";
const LOST: &str = "its delivery was lost with a damaged page";

/// What came of it, for a person.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "it's printed")]
pub(super) struct Salvaged {
    memory: Copied,
    said: Copied,
    events: Copied,
    deliveries: Copied,
    held: Copied,
    dead: Copied,
    /// Deliveries that only their index knew.
    queued_again: usize,
    /// Dead letters that were made of what was lost.
    set_aside: usize,
}

/// What came of a table.
#[derive(Debug, Default)]
struct Copied {
    rows: usize,
    /// Rows that aren't what was written.
    unsound: usize,
    /// Some pages can't be read at all.
    unreadable: bool,
}

impl Copied {
    fn is_whole(&self) -> bool {
        self.unsound == 0 && !self.unreadable
    }
}

/// Copies every table.
pub(super) fn all(from: &Connection, to: &mut Connection, now: Timestamp) -> Sql<Salvaged> {
    let transaction = to.transaction()?;
    let mut copy = Copy { from, to: Transaction::of(&transaction, now), done: Salvaged::default() };
    copy.memory()?;
    copy.events()?;
    copy.deliveries()?;
    copy.held()?;
    copy.said()?;
    copy.dead()?;
    copy.set_lost_aside()?;
    let done = copy.done;
    transaction.commit()?;
    Ok(done)
}

struct Copy<'a> {
    from: &'a Connection,
    to: Transaction<'a>,
    done: Salvaged,
}

impl Copy<'_> {
    fn memory(&mut self) -> Sql<()> {
        self.done.memory = scan(self.from, "memory", "mapping, key, json, held, crc", &["mapping", "key"], |row| {
            let Some((owner, recall)) = memory(row).unwrap_or(None) else { return Ok(false) };
            recall.write(self.to.db, &owner).map(|()| true)
        })?;
        Ok(())
    }

    /// Also those that aren't what was written, so that a dead letter can say what is there; a good one is never replaced by such.
    fn events(&mut self) -> Sql<()> {
        let columns = "seq, id, kind, subject, key, at, documents, crc, settled";
        let put =
            |how: &str| format!("INSERT OR {how} INTO events ({columns}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
        let (good, bad) = (put("REPLACE"), put("IGNORE"));
        self.done.events = scan(self.from, "events", columns, &["seq"], |row| {
            let sound = event(row).unwrap_or(false);
            let values: Vec<Value> = (0..9).map(|column| row.get(column).unwrap_or(Value::Null)).collect();
            if values[..8].contains(&Value::Null) {
                return Ok(false);
            }
            self.to.put(if sound { &good } else { &bad }, params_from_iter(values)).map(|()| sound)
        })?;
        Ok(())
    }

    fn deliveries(&mut self) -> Sql<()> {
        let columns = "sink, seq, version, attempts, next, error, earlier, crc, event";
        let put = format!("INSERT OR IGNORE INTO deliveries ({columns}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
        self.done.deliveries = scan(self.from, "deliveries", columns, &["sink", "seq"], |row| {
            let Some((sink, seq, version, event, crc)) = delivery(row) else { return Ok(false) };
            let number = |column| row.get::<_, u32>(column).unwrap_or_default();
            let (next, error) =
                (row.get::<_, i64>(4).unwrap_or_default(), row.get::<_, Option<String>>(5).ok().flatten());
            let values = params![sink, seq, version, number(3), next, error, number(6), crc, event];
            self.to.put(&put, values).map(|()| true)
        })?;
        if self.done.deliveries.is_whole() { Ok(()) } else { self.deliveries_by_their_index() }
    }

    /// What is in the index and not in the table was lost with a page of the table. Its version is lost, too, so it's queued again
    /// only where the event has just one, for a sink that others are queued for.
    fn deliveries_by_their_index(&mut self) -> Sql<()> {
        let mut found = Vec::new();
        let indexed = "deliveries INDEXED BY deliveries_by_event";
        scan(self.from, indexed, "seq, sink", &["seq", "sink"], |row| {
            if let (Ok(seq), Ok(sink)) = (row.get::<_, i64>(0), row.get::<_, String>(1)) {
                found.push((seq, sink));
            }
            Ok(true)
        })?;
        let sinks: BTreeSet<String> = self.to.texts("SELECT DISTINCT sink FROM deliveries")?.into_iter().collect();
        for (seq, sink) in found {
            if self.to.number("SELECT count(*) FROM deliveries WHERE seq = ?1 AND sink = ?2", params![seq, sink])? > 0 {
                continue;
            }
            let documents: Option<String> = self
                .to
                .db
                .query_row("SELECT documents FROM events WHERE seq = ?1", [seq], |row| row.get(0))
                .optional()?;
            let version = documents.as_deref().and_then(only_version);
            match version.filter(|_| sinks.contains(&sink)) {
                Some(version) => {
                    self.to.insert_delivery(&sink.into(), Place { seq, event: None }, version, 0)?;
                    self.done.queued_again += 1;
                }
                None => self.set_aside(seq, &sink, LOST)?,
            }
        }
        Ok(())
    }

    /// Those that aren't what was written leave their events behind, of which a dead letter is made.
    fn held(&mut self) -> Sql<()> {
        let columns = "seq, id, mapping, key, name, until, json, crc";
        let put = format!("INSERT OR IGNORE INTO held ({columns}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
        self.done.held = scan(self.from, "held", columns, &["seq"], |row| {
            if !held(row).unwrap_or(false) {
                return Ok(false);
            }
            let values: Vec<Value> = (0..8).map(|column| row.get(column).unwrap_or(Value::Null)).collect();
            self.to.put(&put, params_from_iter(values)).map(|()| true)
        })?;
        Ok(())
    }

    /// Ids carry no checksum. What is queued was said, and what is held wasn't.
    fn said(&mut self) -> Sql<()> {
        let put = "INSERT OR IGNORE INTO said (id, at, held) VALUES (?1, ?2, ?3)";
        self.done.said = scan(self.from, "said", "id, at, held", &["id"], |row| {
            let (Ok(id), Ok(at)) = (row.get::<_, String>(0), row.get::<_, i64>(1)) else { return Ok(false) };
            if id.len() > LONGEST_ID {
                return Ok(false);
            }
            self.to.put(put, params![id, at, row.get::<_, Option<i64>>(2).ok().flatten()]).map(|()| true)
        })?;
        self.to.put("INSERT OR IGNORE INTO said (id, at) SELECT id, at FROM events", [])?;
        self.to.put("INSERT OR REPLACE INTO said (id, at, held) SELECT id, until, seq FROM held", [])
    }

    fn dead(&mut self) -> Sql<()> {
        let columns = "id, kind, at, place, reason, attempts, hash, body, request, crc";
        let put = format!("INSERT OR IGNORE INTO dead ({columns}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
        self.done.dead = scan(self.from, "dead", columns, &["id"], |row| {
            // As they are: their checksum tells who wants to run them again.
            let values: Vec<Value> = (0..10).map(|column| row.get(column).unwrap_or(Value::Null)).collect();
            if !readable(&values) {
                return Ok(false);
            }
            self.to.put(&put, params_from_iter(values)).map(|()| true)
        })?;
        Ok(())
    }

    /// Events that wait for nobody: their deliveries are lost, or the rows that held them.
    fn set_lost_aside(&mut self) -> Sql<()> {
        let orphans = "SELECT seq FROM events WHERE settled IS NULL AND seq NOT IN (SELECT coalesce(event, seq) FROM deliveries) \
                       AND seq NOT IN (SELECT seq FROM held) ORDER BY seq";
        let mut lost = self.held_without_event()?;
        for seq in self.to.numbers(orphans)? {
            let held = "SELECT count(*) FROM said WHERE id = (SELECT id FROM events WHERE seq = ?1) AND held = ?1";
            if !self.done.held.is_whole() && self.to.number(held, [seq])? > 0 {
                self.set_aside(seq, "", DAMAGED)?;
                self.to.put("DELETE FROM said WHERE id = (SELECT id FROM events WHERE seq = ?1)", [seq])?;
                lost.push(seq);
            } else {
                self.set_aside(seq, "", LOST)?;
            }
            self.to.put("DELETE FROM events WHERE seq = ?1", [seq])?;
        }
        self.settle_promises(&lost)?;
        let last = self.to.number(
            "SELECT max(coalesce((SELECT max(seq) FROM events), 0), coalesce((SELECT max(seq) FROM deliveries), 0), \
             coalesce((SELECT max(seq) FROM held), 0))",
            [],
        )?;
        self.to.put("DELETE FROM sqlite_sequence WHERE name = 'events'", [])?;
        self.to.put("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?1)", [last])
    }

    /// Rows that hold what is lost: of that only the id is known.
    fn held_without_event(&mut self) -> Sql<Vec<i64>> {
        let found = {
            let sql = "SELECT seq, id, key FROM held WHERE seq NOT IN (SELECT seq FROM events) ORDER BY seq";
            let mut statement = self.to.db.prepare(sql)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect::<Sql<Vec<(i64, String, String)>>>()?
        };
        let mut lost = Vec::new();
        for (seq, event, key) in found {
            self.to.put("DELETE FROM said WHERE id = ?1", [&event])?;
            self.to.put("DELETE FROM held WHERE seq = ?1", [seq])?;
            let (kind, subject, version) = (String::new(), String::new(), SpecVersion::NEWEST);
            self.to.bury_undelivered("", DAMAGED, 0, &Undelivered { event, kind, subject, key, version }, b"")?;
            self.done.set_aside += 1;
            lost.push(seq);
        }
        Ok(lost)
    }

    /// Places may be given again, so nothing names one any more that isn't held.
    fn settle_promises(&mut self, lost: &[i64]) -> Sql<()> {
        self.to.put("UPDATE said SET held = NULL WHERE held NOT IN (SELECT seq FROM held)", [])?;
        let owners = {
            let mut statement = self.to.db.prepare("SELECT mapping, key FROM memory WHERE held <> ''")?;
            let rows = statement.query_map([], |row| Ok(Owner { mapping: row.get(0)?, key: row.get(1)? }))?;
            rows.collect::<Sql<Vec<_>>>()?
        };
        for owner in owners {
            let Some(mut recall) = Recall::read(self.to.db, &owner)? else { continue };
            for seq in lost {
                recall.take_back(*seq);
            }
            recall.settle(self.to.db)?;
            recall.write(self.to.db, &owner)?;
        }
        Ok(())
    }

    fn set_aside(&mut self, seq: i64, sink: &str, reason: &str) -> Sql<()> {
        self.done.set_aside += usize::from(self.to.bury_event(seq, sink, reason)?);
        Ok(())
    }
}

/// Every row that can be read: from the front until a page can't be, and then from the back.
fn scan(
    from: &Connection,
    table: &str,
    columns: &str,
    order: &[&str],
    mut each: impl FnMut(&Row<'_>) -> Sql<bool>,
) -> Sql<Copied> {
    let mut copied = Copied::default();
    for way in ["ASC", "DESC"] {
        let order: Vec<String> = order.iter().map(|column| format!("{column} {way}")).collect();
        let sql = format!("SELECT {columns} FROM {table} ORDER BY {}", order.join(", "));
        copied.unreadable = false;
        let Ok(mut statement) = from.prepare(&sql) else { return Ok(Copied { unreadable: true, ..copied }) };
        let Ok(mut rows) = statement.query([]) else { return Ok(Copied { unreadable: true, ..copied }) };
        loop {
            match rows.next() {
                Ok(Some(row)) if each(row)? => copied.rows += 1,
                Ok(Some(_)) => copied.unsound += 1,
                Ok(None) => return Ok(copied),
                Err(_) => break,
            }
        }
        copied.unreadable = true;
    }
    Ok(copied)
}

fn memory(row: &Row<'_>) -> Sql<Option<(Owner, Recall)>> {
    let owner = Owner { mapping: row.get(0)?, key: row.get(1)? };
    let recall = Recall::of(&owner, row.get(2)?, &row.get::<_, String>(3)?, row.get(4)?)?;
    Ok(recall.map(|recall| (owner, recall)))
}

fn event(row: &Row<'_>) -> Sql<bool> {
    let text = |column| row.get::<_, String>(column);
    let sum = event_sum(row.get(0)?, &text(1)?, &text(2)?, &text(3)?, &text(4)?, row.get(5)?, &text(6)?);
    Ok(sum == row.get::<_, i64>(7)?)
}

/// Sink, place, version, the event's place where that's another, checksum.
fn delivery(row: &Row<'_>) -> Option<(String, i64, String, Option<i64>, i64)> {
    let (sink, seq, version): (String, i64, String) = (row.get(0).ok()?, row.get(1).ok()?, row.get(2).ok()?);
    let (crc, event) = (row.get(7).ok()?, row.get(8).ok()?);
    (delivery_sum(&sink, seq, &version, event) == crc).then_some((sink, seq, version, event, crc))
}

fn held(row: &Row<'_>) -> Sql<bool> {
    let text = |column| row.get::<_, String>(column);
    let owner = Owner { mapping: text(2)?, key: text(3)? };
    let sum = held_sum(row.get(0)?, &text(1)?, &owner, &text(4)?, row.get(5)?, &text(6)?);
    Ok(sum == row.get::<_, i64>(7)?)
}

/// Whether a dead letter's columns are of the types that they're read as.
fn readable(values: &[Value]) -> bool {
    let is_text = |column: usize| matches!(values[column], Value::Text(_));
    let is_number = |column: usize| matches!(values[column], Value::Integer(_));
    [0, 1, 3, 4, 8].into_iter().all(is_text)
        && [2, 5, 9].into_iter().all(is_number)
        && matches!(values[6], Value::Text(_) | Value::Null)
        && matches!(values[7], Value::Blob(_))
}

impl Transaction<'_> {
    fn put(&self, sql: &str, values: impl Params) -> Sql<()> {
        self.db.prepare_cached(sql)?.execute(values).map(drop)
    }

    fn number(&self, sql: &str, values: impl Params) -> Sql<i64> {
        self.db.prepare_cached(sql)?.query_row(values, |row| row.get(0))
    }

    fn numbers(&self, sql: &str) -> Sql<Vec<i64>> {
        self.db.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    }

    fn texts(&self, sql: &str) -> Sql<Vec<String>> {
        self.db.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    }
}
