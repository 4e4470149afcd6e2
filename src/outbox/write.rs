//! What is done within a transaction. Every function leaves the invariants of the store in place.

use super::codec::{checksum, pack, unpack};
use super::command::{Settled, Settlement};
use super::read::time;
use super::{Accepted, HeldUntil, OutboxError, OutboxOptions, Outgoing, Queued, RawDeadLetter, Receipt, RoutedChange};
use crate::cdevents::SpecVersion;
use crate::observe::QueueDepth;
use crate::translate::Owner;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

type Sql<T> = rusqlite::Result<T>;

/// Rows that a sweep deletes at a time.
const BATCH: usize = 5000;

/// What a transaction did that others must hear of once it's committed.
#[derive(Default)]
pub(super) struct Done {
    pub(super) queued: Vec<(Arc<str>, Queued)>,
    /// What is held changed.
    pub(super) held: bool,
}

/// Figures for those who watch.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) held: u64,
    pub(super) bytes: u64,
    pub(super) queues: Vec<(String, QueueDepth)>,
}

/// A dead delivery's request column: what it takes to queue it again.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Undelivered {
    pub(super) event: String,
    pub(super) kind: String,
    pub(super) subject: String,
    pub(super) key: String,
    pub(super) version: SpecVersion,
}

pub(super) fn commit(db: &Connection, accepted: &Accepted, now: Timestamp, done: &mut Done) -> Sql<Receipt> {
    let mut receipt = Receipt::default();
    for change in &accepted.changes {
        apply(db, change, now, &mut receipt, done)?;
    }
    if let Some(dead) = &accepted.dead {
        receipt.dead_letter = Some(bury(db, dead)?);
    }
    Ok(receipt)
}

fn apply(db: &Connection, change: &RoutedChange, now: Timestamp, receipt: &mut Receipt, done: &mut Done) -> Sql<()> {
    let owner = &change.owner;
    if let Some(memory) = &change.memory {
        remember(db, owner, memory)?;
    }
    for name in &change.drop {
        let mut statement = db.prepare_cached("DELETE FROM held WHERE mapping = ?1 AND key = ?2 AND name = ?3")?;
        done.held |= statement.execute(params![owner.mapping, owner.key, name])? > 0;
    }
    for outgoing in &change.outgoing {
        let replaced = db.prepare_cached("DELETE FROM held WHERE id = ?1")?.execute([&outgoing.id])? > 0;
        done.held |= replaced;
        match &outgoing.hold {
            Some(hold) => {
                if !said(db, &outgoing.id)? {
                    self::hold(db, owner, outgoing, hold)?;
                    done.held = true;
                    receipt.held += 1;
                }
            }
            None => receipt.events += usize::from(say(db, owner, outgoing, now, done)?),
        }
    }
    Ok(())
}

fn remember(db: &Connection, owner: &Owner, memory: &Map<String, Value>) -> Sql<()> {
    if memory.is_empty() {
        db.prepare_cached("DELETE FROM memory WHERE mapping = ?1 AND key = ?2")?
            .execute(params![owner.mapping, owner.key])?;
        return Ok(());
    }
    let json = serde_json::to_string(memory).unwrap_or_default();
    let mut statement =
        db.prepare_cached("INSERT OR REPLACE INTO memory (mapping, key, json, crc) VALUES (?1, ?2, ?3, ?4)")?;
    statement.execute(params![owner.mapping, owner.key, json, checksum(&json)])?;
    Ok(())
}

fn said(db: &Connection, id: &str) -> Sql<bool> {
    db.prepare_cached("SELECT 1 FROM said WHERE id = ?1")?.exists([id])
}

/// Queues an event, unless it was said before.
fn say(db: &Connection, owner: &Owner, outgoing: &Outgoing, now: Timestamp, done: &mut Done) -> Sql<bool> {
    let at = now.as_millisecond();
    if db.prepare_cached("INSERT OR IGNORE INTO said (id, at) VALUES (?1, ?2)")?.execute(params![outgoing.id, at])? == 0
    {
        return Ok(false);
    }
    if !outgoing.sinks.is_empty() {
        // Of one application, whichever mapping speaks of it.
        let key: Arc<str> = owner.key.as_str().into();
        let packed = pack(&outgoing.documents);
        let seq = insert_event(db, &outgoing.id, &outgoing.kind, &outgoing.subject, &key, at, &packed)?;
        for (sink, version) in &outgoing.sinks {
            insert_delivery(db, sink, seq, *version)?;
            if let Some((_, document)) = outgoing.documents.iter().find(|(known, _)| known == version) {
                let queued = Queued {
                    seq,
                    id: outgoing.id.clone(),
                    kind: outgoing.kind.clone(),
                    key: Arc::clone(&key),
                    document: Arc::clone(document),
                    since: now,
                    attempts: 0,
                    next: Timestamp::UNIX_EPOCH,
                };
                done.queued.push((Arc::clone(sink), queued));
            }
        }
    }
    Ok(true)
}

fn insert_event(db: &Connection, id: &str, kind: &str, subject: &str, key: &str, at: i64, packed: &str) -> Sql<i64> {
    db.prepare_cached(
        "INSERT INTO events (id, kind, subject, key, at, documents, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .insert(params![id, kind, subject, key, at, packed, checksum(packed)])
}

fn insert_delivery(db: &Connection, sink: &str, seq: i64, version: SpecVersion) -> Sql<()> {
    db.prepare_cached("INSERT INTO deliveries (sink, seq, version) VALUES (?1, ?2, ?3)")?.execute(params![
        sink,
        seq,
        version.as_str()
    ])?;
    Ok(())
}

fn hold(db: &Connection, owner: &Owner, outgoing: &Outgoing, hold: &HeldUntil) -> Sql<()> {
    let json = serde_json::to_string(outgoing).unwrap_or_default();
    let mut statement = db.prepare_cached(
        "INSERT INTO held (id, mapping, key, name, until, json, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let until = hold.until.as_millisecond();
    statement.execute(params![outgoing.id, owner.mapping, owner.key, hold.name, until, json, checksum(&json)])?;
    Ok(())
}

/// When the next held event is due.
pub(super) fn next_due(db: &Connection) -> Option<Timestamp> {
    let found = db.query_row("SELECT min(until) FROM held", [], |row| row.get::<_, Option<i64>>(0));
    found.ok().flatten().map(time)
}

/// Releases what is due, with what it remembers.
pub(super) fn release(db: &Connection, now: Timestamp, most: usize, done: &mut Done) -> Sql<()> {
    let mut statement = db
        .prepare_cached("SELECT id, mapping, key, json, crc FROM held WHERE until <= ?1 ORDER BY until, id LIMIT ?2")?;
    let rows = statement.query_map(params![now.as_millisecond(), i64::try_from(most).unwrap_or(i64::MAX)], |row| {
        let owner = Owner { mapping: row.get(1)?, key: row.get(2)? };
        Ok((row.get::<_, String>(0)?, owner, row.get::<_, String>(3)?, row.get::<_, i64>(4)?))
    })?;
    let due: Vec<_> = rows.collect::<Sql<_>>()?;
    for (id, owner, json, crc) in due {
        done.held = true;
        db.prepare_cached("DELETE FROM held WHERE id = ?1")?.execute([&id])?;
        let outgoing = if checksum(&json) == crc { serde_json::from_str::<Outgoing>(&json).ok() } else { None };
        let Some(outgoing) = outgoing else {
            let reason = "the held event is damaged".to_owned();
            bury(
                db,
                &RawDeadLetter {
                    source: owner.mapping,
                    body: json.into_bytes(),
                    request: Value::Null,
                    reason,
                    received_at: now,
                },
            )?;
            continue;
        };
        if say(db, &owner, &outgoing, now, done)?
            && let Some(hold) = &outgoing.hold
            && !(hold.remember.is_empty() && hold.forget.is_empty())
        {
            let mut memory = memory(db, &owner)?;
            hold.forget.iter().for_each(|name| drop(memory.shift_remove(name)));
            memory.extend(hold.remember.clone());
            remember(db, &owner, &memory)?;
        }
    }
    Ok(())
}

fn memory(db: &Connection, owner: &Owner) -> Sql<Map<String, Value>> {
    let mut statement = db.prepare_cached("SELECT json FROM memory WHERE mapping = ?1 AND key = ?2")?;
    let json: Option<String> = statement.query_row(params![owner.mapping, owner.key], |row| row.get(0)).optional()?;
    Ok(json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}

/// Keeps a raw notification, once per content.
fn bury(db: &Connection, dead: &RawDeadLetter) -> Sql<String> {
    let mut hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, &dead.body).to_string();
    hash.push_str(&dead.source);
    let known =
        db.prepare_cached("SELECT id FROM dead WHERE hash = ?1")?.query_row([&hash], |row| row.get(0)).optional()?;
    if let Some(id) = known {
        db.prepare_cached("UPDATE dead SET reason = ?2, attempts = attempts + 1 WHERE id = ?1")?
            .execute(params![id, dead.reason])?;
        return Ok(id);
    }
    let id = Uuid::now_v7().to_string();
    db.prepare_cached(
        "INSERT INTO dead (id, kind, at, place, reason, attempts, hash, body, request) VALUES (?1, 'notification', ?2, ?3, ?4, 1, ?5, ?6, ?7)",
    )?
    .execute(params![id, dead.received_at.as_millisecond(), dead.source, dead.reason, hash, dead.body, dead.request.to_string()])?;
    Ok(id)
}

pub(super) fn settle(db: &Connection, settlement: &Settlement, kept_for: Duration, now: Timestamp) -> Sql<()> {
    let Settlement { sink, seq, settled } = settlement;
    match settled {
        Settled::Again { attempts, next, error } => {
            let mut statement = db.prepare_cached(
                "UPDATE deliveries SET attempts = ?3, next = ?4, error = ?5 WHERE sink = ?1 AND seq = ?2",
            )?;
            statement.execute(params![sink, seq, attempts, next.as_millisecond(), error])?;
            return Ok(());
        }
        Settled::Dead { attempts, error } => bury_delivery(db, sink, *seq, *attempts, error, now)?,
        Settled::Delivered => {}
    }
    db.prepare_cached("DELETE FROM deliveries WHERE sink = ?1 AND seq = ?2")?.execute(params![sink, seq])?;
    let sql = if kept_for.is_zero() {
        "DELETE FROM events WHERE seq = ?1 AND ?2 IS NOT NULL AND NOT EXISTS (SELECT 1 FROM deliveries WHERE seq = ?1)"
    } else {
        "UPDATE events SET settled = ?2 WHERE seq = ?1 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE seq = ?1)"
    };
    db.prepare_cached(sql)?.execute(params![seq, now.as_millisecond()])?;
    Ok(())
}

/// Keeps an event that a sink won't take, as it was to be sent.
fn bury_delivery(db: &Connection, sink: &str, seq: i64, attempts: u32, error: &str, now: Timestamp) -> Sql<()> {
    let mut statement = db.prepare_cached(
        "SELECT e.id, e.kind, e.subject, e.key, e.documents, d.version FROM deliveries d JOIN events e ON e.seq = d.seq \
         WHERE d.sink = ?1 AND d.seq = ?2",
    )?;
    let found = statement
        .query_row(params![sink, seq], |row| {
            let version = row.get::<_, String>(5)?.parse().unwrap_or(SpecVersion::NEWEST);
            let about =
                Undelivered { event: row.get(0)?, kind: row.get(1)?, subject: row.get(2)?, key: row.get(3)?, version };
            Ok((about, row.get::<_, String>(4)?))
        })
        .optional()?;
    let Some((about, documents)) = found else { return Ok(()) };
    // Of a damaged one, what is there.
    let document = unpack(&documents, about.version).unwrap_or(&documents);
    let request = serde_json::to_string(&about).unwrap_or_default();
    db.prepare_cached(
        "INSERT INTO dead (id, kind, at, place, reason, attempts, hash, body, request) VALUES (?1, 'delivery', ?2, ?3, ?4, ?5, NULL, ?6, ?7)",
    )?
    .execute(params![Uuid::now_v7().to_string(), now.as_millisecond(), sink, error, attempts, document.as_bytes(), request])?;
    Ok(())
}

/// Queues undeliverable events again, under the ids that they had. Untranslated notifications are run again by those who can
/// translate, and then purged.
pub(super) fn replay(
    db: &Connection,
    ids: &[String],
    now: Timestamp,
    done: &mut Done,
) -> Sql<Result<usize, OutboxError>> {
    let mut count = 0;
    for id in ids {
        let mut statement =
            db.prepare_cached("SELECT place, body, request FROM dead WHERE id = ?1 AND kind = 'delivery'")?;
        let row = |row: &rusqlite::Row<'_>| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, String>(2)?))
        };
        let Some((sink, body, request)) = statement.query_row([id], row).optional()? else {
            return Ok(Err(OutboxError::NoSuchDeadLetter(id.clone())));
        };
        let (Ok(about), Ok(document)) = (serde_json::from_str::<Undelivered>(&request), String::from_utf8(body)) else {
            return Ok(Err(OutboxError::NoSuchDeadLetter(id.clone())));
        };
        let document: Arc<str> = document.into();
        let packed = pack(&[(about.version, Arc::clone(&document))]);
        let seq =
            insert_event(db, &about.event, &about.kind, &about.subject, &about.key, now.as_millisecond(), &packed)?;
        insert_delivery(db, &sink, seq, about.version)?;
        db.prepare_cached("DELETE FROM dead WHERE id = ?1")?.execute([id])?;
        let Undelivered { event: id, kind, key, .. } = about;
        let queued =
            Queued { seq, id, kind, key: key.into(), document, since: now, attempts: 0, next: Timestamp::UNIX_EPOCH };
        done.queued.push((sink.into(), queued));
        count += 1;
    }
    Ok(Ok(count))
}

pub(super) fn purge(db: &Connection, ids: &[String]) -> Sql<Result<usize, OutboxError>> {
    let mut count = 0;
    for id in ids {
        if db.prepare_cached("DELETE FROM dead WHERE id = ?1")?.execute([id])? == 0 {
            return Ok(Err(OutboxError::NoSuchDeadLetter(id.clone())));
        }
        count += 1;
    }
    Ok(Ok(count))
}

/// Forgets what is old enough, a batch at a time.
pub(super) fn sweep(db: &Connection, options: OutboxOptions, now: Timestamp) -> Sql<()> {
    let before =
        |kept: Duration| now.as_millisecond().saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
    let batch = i64::try_from(BATCH).unwrap_or(i64::MAX);
    db.prepare_cached("DELETE FROM said WHERE id IN (SELECT id FROM said WHERE at < ?1 LIMIT ?2)")?
        .execute(params![before(options.seen_for), batch])?;
    db.prepare_cached("DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE settled < ?1 LIMIT ?2)")?
        .execute(params![before(options.delivered_for), batch])?;
    Ok(())
}

pub(super) fn figures(db: &Connection) -> Sql<Figures> {
    let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0));
    let pages = number("PRAGMA page_count")? - number("PRAGMA freelist_count")?;
    let bytes = u64::try_from(pages * number("PRAGMA page_size")?).unwrap_or_default();
    let held = u64::try_from(number("SELECT count(*) FROM held")?).unwrap_or_default();
    let now = Timestamp::now().as_millisecond();
    let mut statement = db.prepare_cached(
        "SELECT sink, count(*), (SELECT at FROM events e WHERE e.seq = min(d.seq)) FROM deliveries d GROUP BY sink",
    )?;
    let rows = statement.query_map([], |row| {
        let since = row.get::<_, Option<i64>>(2)?.unwrap_or(now);
        let waiting = u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
        let oldest_seconds = u64::try_from((now - since) / 1000).unwrap_or_default();
        Ok((row.get::<_, String>(0)?, QueueDepth { waiting, oldest_seconds }))
    })?;
    Ok(Figures { held, bytes, queues: rows.collect::<Sql<_>>()? })
}
