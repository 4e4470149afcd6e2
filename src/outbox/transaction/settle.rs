//! What becomes of deliveries.

use super::dead::Undelivered;
use super::{Sql, Transaction, text};
use crate::cdevents::SpecVersion;
use crate::outbox::codec::unpack;
use crate::outbox::command::{Settled, Settlement};
use rusqlite::{OptionalExtension, params};

impl Transaction<'_> {
    pub(super) fn settle(&mut self, settlement: &Settlement) -> Sql<()> {
        let Settlement { sink, seq, settled } = settlement;
        match settled {
            Settled::Again { attempts, next, error } => {
                let mut statement = self.db.prepare_cached(
                    "UPDATE deliveries SET attempts = ?3, next = ?4, error = ?5 WHERE sink = ?1 AND seq = ?2",
                )?;
                statement.execute(params![sink, seq, attempts, next.as_millisecond(), error])?;
                return Ok(());
            }
            Settled::Dead { attempts, error } => self.bury_delivery(sink, *seq, *attempts, error)?,
            Settled::Delivered => {}
        }
        let sql = "DELETE FROM deliveries WHERE sink = ?1 AND seq = ?2 RETURNING coalesce(event, seq)";
        let event = self.db.prepare_cached(sql)?.query_row(params![sink, seq], |row| row.get(0)).optional()?;
        let Some(event) = event else { return Ok(()) };
        *self.tally.waiting.entry(sink.clone()).or_default() -= 1;
        if self.db.prepare_cached("SELECT 1 FROM deliveries WHERE seq = ?1")?.exists([seq])? {
            return Ok(());
        }
        self.taken_by_all(event)
    }

    /// An event that no sink waits for any more.
    fn taken_by_all(&self, event: i64) -> Sql<()> {
        if self.delivered_for.is_zero() {
            return self.db.prepare_cached("DELETE FROM events WHERE seq = ?1")?.execute([event]).map(drop);
        }
        let mut statement = self.db.prepare_cached("UPDATE events SET settled = ?2 WHERE seq = ?1")?;
        statement.execute(params![event, self.now.as_millisecond()]).map(drop)
    }

    /// Keeps an event that a sink won't take, as it was to be sent. Of a damaged one, what is there.
    fn bury_delivery(&mut self, sink: &str, seq: i64, attempts: u32, error: &str) -> Sql<()> {
        let mut statement = self.db.prepare_cached(
            "SELECT e.id, e.kind, e.subject, e.key, e.documents, d.version, d.earlier \
             FROM deliveries d LEFT JOIN events e ON e.seq = coalesce(d.event, d.seq) WHERE d.sink = ?1 AND d.seq = ?2",
        )?;
        let found = statement
            .query_row(params![sink, seq], |row| {
                let version = text(row, 5).parse().unwrap_or(SpecVersion::NEWEST);
                let (event, kind, subject, key) = (text(row, 0), text(row, 1), text(row, 2), text(row, 3));
                let about = Undelivered { event, kind, subject, key, version };
                Ok((about, text(row, 4), row.get::<_, u32>(6).unwrap_or_default()))
            })
            .optional()?;
        let Some((about, documents, earlier)) = found else { return Ok(()) };
        let document = unpack(&documents, about.version).unwrap_or(&documents);
        self.bury_undelivered(sink, error, earlier.saturating_add(attempts), &about, document.as_bytes())
    }
}
