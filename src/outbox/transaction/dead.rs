//! Dead letters: kept, run again, forgotten.

use super::{EventRow, Place, Sql, Transaction, text};
use crate::cdevents::SpecVersion;
use crate::outbox::RawDeadLetter;
use crate::outbox::codec::{dead_sum, only_version, pack, unpack};
use crate::outbox::command::Outcome;
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// A dead delivery's request column: what it takes to queue it again.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::outbox) struct Undelivered {
    pub(in crate::outbox) event: String,
    pub(in crate::outbox) kind: String,
    pub(in crate::outbox) subject: String,
    pub(in crate::outbox) key: String,
    pub(in crate::outbox) version: SpecVersion,
}

/// A dead delivery's row.
struct DeadDelivery {
    sink: Arc<str>,
    body: Vec<u8>,
    request: String,
    attempts: u32,
    sound: bool,
}

impl DeadDelivery {
    /// What is queued again, if it's what was written.
    fn read(self) -> Option<(Arc<str>, u32, Undelivered, Arc<str>)> {
        let about: Undelivered = serde_json::from_str(&self.request).ok().filter(|_| self.sound)?;
        // Of what a salvage found it may not be known for whom it was.
        if self.sink.is_empty() {
            return None;
        }
        // What was buried because it was damaged isn't an event.
        let event: Value = serde_json::from_slice(&self.body).ok()?;
        let document: String = String::from_utf8(self.body).ok()?;
        event.is_object().then(|| (self.sink, self.attempts, about, document.into()))
    }
}

impl Transaction<'_> {
    /// Keeps a raw notification, once per content.
    pub(in crate::outbox) fn bury(&mut self, dead: &RawDeadLetter) -> Sql<String> {
        let mut hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, &dead.body).to_string();
        hash.push_str(&dead.source);
        let mut statement = self.db.prepare_cached("SELECT id FROM dead WHERE hash = ?1")?;
        let known: Option<String> = statement.query_row([&hash], |row| row.get(0)).optional()?;
        if let Some(id) = known {
            let mut statement =
                self.db.prepare_cached("UPDATE dead SET reason = ?2, attempts = attempts + 1 WHERE id = ?1")?;
            statement.execute(params![id, dead.reason])?;
            return Ok(id);
        }
        let (id, request) = (Uuid::now_v7().to_string(), dead.request.to_string());
        let mut statement = self.db.prepare_cached(
            "INSERT INTO dead (id, kind, at, place, reason, attempts, hash, body, request, crc) \
             VALUES (?1, 'notification', ?2, ?3, ?4, 1, ?5, ?6, ?7, ?8)",
        )?;
        let crc = dead_sum(&dead.source, &request, &dead.body);
        let at = dead.received_at.as_millisecond();
        statement.execute(params![id, at, dead.source, dead.reason, hash, dead.body, request, crc])?;
        Ok(id)
    }

    /// Keeps an event that a sink won't take.
    pub(in crate::outbox) fn bury_undelivered(
        &mut self,
        sink: &str,
        reason: &str,
        attempts: u32,
        about: &Undelivered,
        document: &[u8],
    ) -> Sql<()> {
        let request = serde_json::to_string(about).unwrap_or_default();
        let mut statement = self.db.prepare_cached(
            "INSERT INTO dead (id, kind, at, place, reason, attempts, hash, body, request, crc) \
             VALUES (?1, 'delivery', ?2, ?3, ?4, ?5, NULL, ?6, ?7, ?8)",
        )?;
        let crc = dead_sum(sink, &request, document);
        let (id, at) = (Uuid::now_v7().to_string(), self.now.as_millisecond());
        statement.execute(params![id, at, sink, reason, attempts, document, request, crc])?;
        Ok(())
    }

    /// Keeps an event whose delivery to `sink` is lost, of which it may not be known for whom it was; says whether there was one.
    pub(in crate::outbox) fn bury_event(&mut self, seq: i64, sink: &str, reason: &str) -> Sql<bool> {
        let select = "SELECT id, kind, subject, key, documents FROM events WHERE seq = ?1";
        let row = |row: &Row<'_>| {
            let (event, kind, subject, key) = (text(row, 0), text(row, 1), text(row, 2), text(row, 3));
            let documents = text(row, 4);
            let version = only_version(&documents).unwrap_or(SpecVersion::NEWEST);
            Ok((Undelivered { event, kind, subject, key, version }, documents))
        };
        let Some((about, documents)) = self.db.query_row(select, [seq], row).optional()? else { return Ok(false) };
        let document = unpack(&documents, about.version).unwrap_or(&documents);
        self.bury_undelivered(sink, reason, 0, &about, document.as_bytes())?;
        Ok(true)
    }

    /// Queues undeliverable events again, under the ids that they had. Untranslated notifications are run again by those who can
    /// translate, and then purged.
    pub(super) fn replay(&mut self, ids: &[String]) -> Sql<Outcome> {
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(dead) = self.dead_delivery(id)? else { return Ok(Outcome::NoSuchDeadLetter(id.clone())) };
            let Some(readable) = dead.read() else { return Ok(Outcome::DamagedDeadLetter(id.clone())) };
            found.push(readable);
        }
        for (id, (sink, attempts, about, document)) in ids.iter().zip(found) {
            self.queue_again(&sink, attempts, &about, &document)?;
            self.db.prepare_cached("DELETE FROM dead WHERE id = ?1")?.execute([id])?;
        }
        Ok(Outcome::Count(ids.len()))
    }

    fn dead_delivery(&self, id: &str) -> Sql<Option<DeadDelivery>> {
        let mut statement = self.db.prepare_cached(
            "SELECT place, body, request, attempts, crc FROM dead WHERE id = ?1 AND kind = 'delivery'",
        )?;
        let row = |row: &Row<'_>| {
            let (place, body, request): (String, Vec<u8>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let sound = dead_sum(&place, &request, &body) == row.get::<_, i64>(4)?;
            Ok(DeadDelivery { sink: place.into(), body, request, attempts: row.get(3)?, sound })
        };
        statement.query_row([id], row).optional()
    }

    /// A new delivery of an event that was given up: its id stays, its attempts go on.
    fn queue_again(&mut self, sink: &Arc<str>, attempts: u32, about: &Undelivered, document: &Arc<str>) -> Sql<()> {
        let documents = pack(&[(about.version, Arc::clone(document))]);
        let Undelivered { event: id, kind, subject, key, .. } = about;
        let seq = self.insert_event(&EventRow { id, kind, subject, key, at: self.now, documents: &documents })?;
        self.insert_delivery(sink, Place { seq, event: None }, about.version, attempts)?;
        self.hand_over(sink, seq, &id.as_str().into(), &key.as_str().into(), document);
        Ok(())
    }

    /// Forgets dead letters: all that are named, or none.
    pub(super) fn purge(&mut self, ids: &[String]) -> Sql<Outcome> {
        for id in ids {
            if !self.db.prepare_cached("SELECT 1 FROM dead WHERE id = ?1")?.exists([id])? {
                return Ok(Outcome::NoSuchDeadLetter(id.clone()));
            }
        }
        let mut count = 0;
        for id in ids {
            count += self.db.prepare_cached("DELETE FROM dead WHERE id = ?1")?.execute([id])?;
        }
        Ok(Outcome::Count(count))
    }
}
