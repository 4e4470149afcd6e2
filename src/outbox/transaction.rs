//! What is done within one transaction. Every method leaves the invariants of the store in place.

mod dead;
mod release;
mod settle;

pub(super) use dead::Undelivered;
pub(super) use release::next_due;

use super::codec::{delivery_sum, event_sum, memory_sum, pack};
use super::command::{Order, Outcome};
use super::store::{Done, Work};
use super::{Accepted, Outgoing, Queued, Receipt, RoutedChange};
use crate::cdevents::SpecVersion;
use crate::translate::Owner;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

type Sql<T> = rusqlite::Result<T>;

/// A transaction under way.
pub(super) struct Transaction<'a> {
    pub(super) db: &'a Connection,
    pub(super) now: Timestamp,
    /// How long events are kept that every sink has taken.
    pub(super) delivered_for: Duration,
    /// The places of the last event, and of the last that was held.
    pub(super) seq: i64,
    pub(super) held_seq: i64,
    /// Events that were held before.
    pub(super) held: i64,
    pub(super) done: Done,
    pub(super) tally: Tally,
}

/// How numbers changed that would be slow to count.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) held: i64,
    pub(super) waiting: HashMap<Arc<str>, i64>,
}

/// The columns of an event.
struct EventRow<'e> {
    id: &'e str,
    kind: &'e str,
    subject: &'e str,
    key: &'e str,
    documents: &'e str,
}

impl<'a> Transaction<'a> {
    /// One on a new database.
    pub(super) fn of(db: &'a Connection, now: Timestamp) -> Self {
        let (done, tally) = (Done::default(), Tally::default());
        Self { db, now, delivered_for: Duration::ZERO, seq: 0, held_seq: 0, held: 0, done, tally }
    }
}

impl Transaction<'_> {
    pub(super) fn carry_out(&mut self, work: &Work<'_>) -> Sql<()> {
        for settlement in work.settlements {
            self.settle(settlement)?;
        }
        if work.release > 0 {
            self.release(work.release, work.releases)?;
        }
        for order in work.orders {
            let outcome = match order {
                Order::Commit { basis: Some(basis), .. } if !work.releases.is_still(basis) => Outcome::Overtaken,
                Order::Commit { accepted, .. } => Outcome::Committed(self.commit(accepted)?),
                Order::Replay(ids) => self.replay(ids)?,
                Order::Purge(ids) => self.purge(ids)?,
            };
            self.done.outcomes.push(outcome);
        }
        Ok(())
    }

    fn commit(&mut self, accepted: &Accepted) -> Sql<Receipt> {
        let mut receipt = Receipt::default();
        for change in &accepted.changes {
            self.apply(change, &mut receipt)?;
        }
        if let Some(dead) = &accepted.dead {
            receipt.dead_letter = Some(self.bury(dead)?);
        }
        Ok(receipt)
    }

    fn apply(&mut self, change: &RoutedChange, receipt: &mut Receipt) -> Sql<()> {
        if let Some(memory) = &change.memory {
            self.remember(&change.owner, memory)?;
        }
        for name in &change.drop {
            self.drop_held(&change.owner, name)?;
        }
        for outgoing in &change.outgoing {
            self.withdraw(&outgoing.id)?;
            match &outgoing.hold {
                Some(hold) => receipt.held += usize::from(self.hold(&change.owner, outgoing, hold)?),
                None => receipt.events += usize::from(self.say(&change.owner, outgoing)?),
            }
        }
        Ok(())
    }

    fn remember(&self, owner: &Owner, memory: &Map<String, Value>) -> Sql<()> {
        if memory.is_empty() {
            let mut statement = self.db.prepare_cached("DELETE FROM memory WHERE mapping = ?1 AND key = ?2")?;
            statement.execute(params![owner.mapping, owner.key])?;
            return Ok(());
        }
        let json = serde_json::to_string(memory).unwrap_or_default();
        let mut statement = self
            .db
            .prepare_cached("INSERT OR REPLACE INTO memory (mapping, key, json, crc) VALUES (?1, ?2, ?3, ?4)")?;
        statement.execute(params![owner.mapping, owner.key, json, memory_sum(owner, &json)])?;
        Ok(())
    }

    /// What an owner remembers; a damaged row counts as nothing.
    fn memory(&self, owner: &Owner) -> Sql<Map<String, Value>> {
        let mut statement = self.db.prepare_cached("SELECT json, crc FROM memory WHERE mapping = ?1 AND key = ?2")?;
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
        let found = statement.query_row(params![owner.mapping, owner.key], row).optional()?;
        let sound = found.filter(|(json, crc)| memory_sum(owner, json) == *crc);
        Ok(sound.and_then(|(json, _)| serde_json::from_str(&json).ok()).unwrap_or_default())
    }

    fn said(&self, id: &str) -> Sql<bool> {
        self.db.prepare_cached("SELECT 1 FROM said WHERE id = ?1")?.exists([id])
    }

    /// Queues an event, unless it was said before.
    fn say(&mut self, owner: &Owner, outgoing: &Outgoing) -> Sql<bool> {
        let mut statement = self.db.prepare_cached("INSERT OR IGNORE INTO said (id, at) VALUES (?1, ?2)")?;
        if statement.execute(params![outgoing.id, self.now.as_millisecond()])? == 0 {
            return Ok(false);
        }
        if outgoing.sinks.is_empty() {
            return Ok(true);
        }
        let documents = pack(&outgoing.documents);
        // Order is that of the application, whichever mapping speaks of it.
        let Outgoing { id, kind, subject, .. } = outgoing;
        let seq = self.insert_event(&EventRow { id, kind, subject, key: &owner.key, documents: &documents })?;
        let (id, key): (Arc<str>, Arc<str>) = (id.as_str().into(), owner.key.as_str().into());
        for (sink, version) in &outgoing.sinks {
            self.insert_delivery(sink, seq, *version, 0)?;
            if let Some((_, document)) = outgoing.documents.iter().find(|(known, _)| known == version) {
                self.hand_over(sink, seq, &id, &key, document);
            }
        }
        Ok(true)
    }

    /// Tells the sink's loop, once this is committed.
    fn hand_over(&mut self, sink: &Arc<str>, seq: i64, id: &Arc<str>, key: &Arc<str>, document: &Arc<str>) {
        let queued = Queued {
            seq,
            id: Arc::clone(id),
            key: Arc::clone(key),
            document: Arc::clone(document),
            since: self.now,
            attempts: 0,
            next: Timestamp::UNIX_EPOCH,
        };
        self.done.queued.push((Arc::clone(sink), queued));
    }

    fn insert_event(&mut self, event: &EventRow<'_>) -> Sql<i64> {
        let EventRow { id, kind, subject, key, documents } = event;
        let at = self.now.as_millisecond();
        self.seq += 1;
        let crc = event_sum(self.seq, id, kind, subject, key, at, documents);
        let mut statement = self.db.prepare_cached(
            "INSERT INTO events (seq, id, kind, subject, key, at, documents, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        statement.insert(params![self.seq, id, kind, subject, key, at, documents, crc])
    }

    pub(super) fn insert_delivery(&mut self, sink: &Arc<str>, seq: i64, version: SpecVersion, earlier: u32) -> Sql<()> {
        let mut statement = self
            .db
            .prepare_cached("INSERT INTO deliveries (sink, seq, version, earlier, crc) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        let version = version.as_str();
        statement.execute(params![sink, seq, version, earlier, delivery_sum(sink, seq, version)])?;
        *self.tally.waiting.entry(Arc::clone(sink)).or_default() += 1;
        Ok(())
    }
}
