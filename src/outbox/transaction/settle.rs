//! What becomes of deliveries.

use super::dead::Undelivered;
use super::{Sql, Transaction};
use crate::cdevents::SpecVersion;
use crate::outbox::codec::unpack;
use crate::outbox::command::{Settled, Settlement};
use rusqlite::{OptionalExtension, Row, params};

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
        let mut statement = self.db.prepare_cached("DELETE FROM deliveries WHERE sink = ?1 AND seq = ?2")?;
        let gone = statement.execute(params![sink, seq])?;
        *self.tally.waiting.entry(sink.clone()).or_default() -= i64::try_from(gone).unwrap_or_default();
        let sql = if self.delivered_for.is_zero() {
            "DELETE FROM events WHERE seq = ?1 AND ?2 IS NOT NULL AND NOT EXISTS (SELECT 1 FROM deliveries WHERE seq = ?1)"
        } else {
            "UPDATE events SET settled = ?2 WHERE seq = ?1 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE seq = ?1)"
        };
        self.db.prepare_cached(sql)?.execute(params![seq, self.now.as_millisecond()])?;
        Ok(())
    }

    /// Keeps an event that a sink won't take, as it was to be sent. Of a damaged one, what is there.
    fn bury_delivery(&mut self, sink: &str, seq: i64, attempts: u32, error: &str) -> Sql<()> {
        let mut statement = self.db.prepare_cached(
            "SELECT e.id, e.kind, e.subject, e.key, e.documents, d.version, d.earlier \
             FROM deliveries d LEFT JOIN events e ON e.seq = d.seq WHERE d.sink = ?1 AND d.seq = ?2",
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

/// A column as text, whatever is in it.
fn text(row: &Row<'_>, column: usize) -> String {
    let bytes = row.get_ref(column).ok().and_then(|value| value.as_bytes_or_null().ok().flatten());
    bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}
