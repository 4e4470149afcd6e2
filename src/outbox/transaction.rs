//! What is done within one transaction. Every method leaves the invariants of the store in place.

mod dead;
mod release;
mod settle;

pub(super) use dead::Undelivered;
pub(super) use release::next_due;

use super::codec::{delivery_sum, event_sum, pack};
use super::command::{Order, Outcome};
use super::recall::Recall;
use super::store::{Done, Work};
use super::{Accepted, Outgoing, Queued, Receipt, RoutedChange};
use crate::cdevents::SpecVersion;
use crate::translate::Owner;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
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
    /// The last place that was given: to an event, or to one that was held, when it was released.
    pub(super) seq: i64,
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
    /// From when on it waits for its sinks.
    at: Timestamp,
    documents: &'e str,
}

/// Where a delivery is in the order of its sink.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) seq: i64,
    /// The event's own place, where that's another: it was held.
    pub(super) event: Option<i64>,
}

impl<'a> Transaction<'a> {
    /// One on a new database.
    pub(super) fn of(db: &'a Connection, now: Timestamp) -> Self {
        let (done, tally) = (Done::default(), Tally::default());
        Self { db, now, delivered_for: Duration::ZERO, seq: 0, held: 0, done, tally }
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
                Order::Commit { accepted, basis } => {
                    // What is due comes before what is told now.
                    for change in &accepted.changes {
                        self.release_due_of(&change.owner, work.releases)?;
                    }
                    match basis {
                        Some(basis) if !work.releases.is_still(basis) => Outcome::Overtaken,
                        _ => Outcome::Committed(self.commit(accepted)?),
                    }
                }
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
        let RoutedChange { owner, memory, drop, outgoing } = change;
        let holds = outgoing.iter().any(|outgoing| outgoing.hold.is_some());
        // A row that isn't what was written counts as nothing.
        let mut recall =
            if holds || !self.none_held() { self.recall(owner)?.unwrap_or_default() } else { Recall::default() };
        let mut changed = memory.is_some();
        if let Some(memory) = memory {
            recall.remember(memory);
        }
        for name in drop {
            changed |= self.drop_held(&mut recall, name)?;
        }
        for outgoing in outgoing {
            changed |= self.withdraw(&outgoing.id, &mut recall)?;
            match &outgoing.hold {
                Some(hold) => {
                    let held = self.hold(owner, outgoing, hold, &mut recall)?;
                    changed |= held;
                    receipt.held += usize::from(held);
                }
                None => receipt.events += usize::from(self.say(owner, outgoing)?),
            }
        }
        if changed { recall.write(self.db, owner) } else { Ok(()) }
    }

    /// An owner's row, with what was released.
    fn recall(&self, owner: &Owner) -> Sql<Option<Recall>> {
        let mut recall = Recall::read(self.db, owner)?;
        if let Some(recall) = &mut recall {
            recall.settle(self.db)?;
        }
        Ok(recall)
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
        let row = EventRow { id, kind, subject, key: &owner.key, at: self.now, documents: &documents };
        let seq = self.insert_event(&row)?;
        let (id, key): (Arc<str>, Arc<str>) = (id.as_str().into(), owner.key.as_str().into());
        for (sink, version) in &outgoing.sinks {
            self.insert_delivery(sink, Place { seq, event: None }, *version, 0)?;
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
        let EventRow { id, kind, subject, key, at, documents } = event;
        let at = at.as_millisecond();
        self.seq += 1;
        let crc = event_sum(self.seq, id, kind, subject, key, at, documents);
        let mut statement = self.db.prepare_cached(
            "INSERT INTO events (seq, id, kind, subject, key, at, documents, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        statement.insert(params![self.seq, id, kind, subject, key, at, documents, crc])
    }

    pub(super) fn insert_delivery(
        &mut self,
        sink: &Arc<str>,
        at: Place,
        version: SpecVersion,
        earlier: u32,
    ) -> Sql<()> {
        let Place { seq, event } = at;
        let mut statement = self.db.prepare_cached(
            "INSERT INTO deliveries (sink, seq, event, version, earlier, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let version = version.as_str();
        statement.execute(params![sink, seq, event, version, earlier, delivery_sum(sink, seq, version, event)])?;
        *self.tally.waiting.entry(Arc::clone(sink)).or_default() += 1;
        Ok(())
    }
}

/// A column as text, whatever is in it.
pub(super) fn text(row: &Row<'_>, column: usize) -> String {
    let bytes = row.get_ref(column).ok().and_then(|value| value.as_bytes_or_null().ok().flatten());
    bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}
