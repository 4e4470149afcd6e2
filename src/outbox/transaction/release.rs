//! Events that wait for their time.
//!
//! A held event lies where it will lie when it waits for its sinks: its release moves no document, and gives its deliveries a place
//! in their order.

use super::{EventRow, Place, Sql, Transaction};
use crate::cdevents::SpecVersion;
use crate::outbox::codec::{held_sum, pack};
use crate::outbox::read::time;
use crate::outbox::recall::{Promise, Recall};
use crate::outbox::releases::Releases;
use crate::outbox::{HeldUntil, Outgoing};
use crate::translate::Owner;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::sync::Arc;

/// A held event that is due; without `sinks` where its row isn't what was written.
struct Due {
    seq: i64,
    owner: Owner,
    sinks: Option<Vec<(Arc<str>, SpecVersion)>>,
}

const COLUMNS: &str = "seq, id, mapping, key, name, until, json, crc";

impl Due {
    fn read(row: &Row<'_>) -> Sql<Self> {
        let (seq, id) = (row.get(0)?, row.get::<_, String>(1)?);
        let owner = Owner { mapping: row.get(2)?, key: row.get(3)? };
        let (name, until, sinks) = (row.get::<_, String>(4)?, row.get(5)?, row.get::<_, String>(6)?);
        let sound = held_sum(seq, &id, &owner, &name, until, &sinks) == row.get::<_, i64>(7)?;
        Ok(Self { seq, owner, sinks: if sound { serde_json::from_str(&sinks).ok() } else { None } })
    }
}

impl Transaction<'_> {
    /// Holds an event, unless it was said before.
    pub(in crate::outbox) fn hold(
        &mut self,
        owner: &Owner,
        outgoing: &Outgoing,
        hold: &HeldUntil,
        recall: &mut Recall,
    ) -> Sql<bool> {
        let Outgoing { id, kind, subject, documents, sinks, .. } = outgoing;
        let until = hold.until.as_millisecond();
        let mut statement = self.db.prepare_cached("INSERT OR IGNORE INTO said (id, at, held) VALUES (?1, ?2, ?3)")?;
        if statement.execute(params![id, until, self.seq + 1])? == 0 {
            return Ok(false);
        }
        let documents = pack(documents);
        let row = EventRow { id, kind, subject, key: &owner.key, at: hold.until, documents: &documents };
        let seq = self.insert_event(&row)?;
        let sinks = serde_json::to_string(sinks).unwrap_or_default();
        let crc = held_sum(seq, id, owner, &hold.name, until, &sinks);
        let sql =
            "INSERT INTO held (seq, id, mapping, key, name, until, json, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let mut statement = self.db.prepare_cached(sql)?;
        statement.execute(params![seq, id, owner.mapping, owner.key, hold.name, until, sinks, crc])?;
        let (remember, forget) = (hold.remember.clone(), hold.forget.clone());
        recall.promise(Promise { seq, name: hold.name.clone(), until, remember, forget });
        self.count_held(1);
        Ok(true)
    }

    /// Takes a held event out, by its id, and what it promised back.
    pub(super) fn withdraw(&mut self, id: &str, recall: &mut Recall) -> Sql<bool> {
        if self.none_held() {
            return Ok(false);
        }
        let sql = "SELECT h.seq, h.mapping, h.key FROM said s JOIN held h ON h.seq = s.held WHERE s.id = ?1";
        let row = |row: &Row<'_>| Ok((row.get(0)?, Owner { mapping: row.get(1)?, key: row.get(2)? }));
        let Some((seq, owner)) = self.db.prepare_cached(sql)?.query_row([id], row).optional()? else {
            return Ok(false);
        };
        self.take_out(seq)?;
        if recall.take_back(seq) {
            return Ok(true);
        }
        self.take_back(&owner, seq)?;
        Ok(false)
    }

    /// Takes an owner's held events out, by their name.
    pub(super) fn drop_held(&mut self, recall: &mut Recall, name: &str) -> Sql<bool> {
        let named = recall.promises().iter().filter(|promise| promise.name == name);
        let named: Vec<i64> = named.map(|promise| promise.seq).collect();
        for seq in &named {
            self.take_out(*seq)?;
            recall.take_back(*seq);
        }
        Ok(!named.is_empty())
    }

    /// As if it had never been held.
    fn take_out(&mut self, seq: i64) -> Sql<()> {
        let known = "DELETE FROM said WHERE id = (SELECT id FROM events WHERE seq = ?1) AND held = ?1";
        for sql in [known, "DELETE FROM held WHERE seq = ?1", "DELETE FROM events WHERE seq = ?1"] {
            self.db.prepare_cached(sql)?.execute([seq])?;
        }
        self.count_held(-1);
        Ok(())
    }

    /// Takes a promise out of its owner's row.
    fn take_back(&self, owner: &Owner, seq: i64) -> Sql<()> {
        let Some(mut recall) = self.recall(owner)? else { return Ok(()) };
        recall.take_back(seq);
        recall.write(self.db, owner)
    }

    /// Releases what is due, in the order in which it became so.
    pub(super) fn release(&mut self, most: usize, releases: &Releases) -> Sql<()> {
        let due = {
            let sql = format!("SELECT {COLUMNS} FROM held WHERE until <= ?1 ORDER BY until, seq LIMIT ?2");
            let mut statement = self.db.prepare_cached(&sql)?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            statement.query_map(params![self.now.as_millisecond(), most], Due::read)?.collect::<Sql<Vec<_>>>()?
        };
        due.into_iter().try_for_each(|due| self.release_one(due, releases))
    }

    /// Releases what is due of an owner.
    pub(super) fn release_due_of(&mut self, owner: &Owner, releases: &Releases) -> Sql<()> {
        if self.none_held() {
            return Ok(());
        }
        let Some(recall) = Recall::read(self.db, owner)? else { return Ok(()) };
        let now = self.now.as_millisecond();
        let mut due: Vec<(i64, i64)> = recall
            .promises()
            .iter()
            .map(|promise| (promise.until, promise.seq))
            .filter(|(until, _)| *until <= now)
            .collect();
        due.sort_unstable();
        for (_, seq) in due {
            let sql = format!("SELECT {COLUMNS} FROM held WHERE seq = ?1");
            let due = self.db.prepare_cached(&sql)?.query_row([seq], Due::read).optional()?;
            if let Some(due) = due {
                self.release_one(due, releases)?;
            }
        }
        Ok(())
    }

    /// Gives a held event its place in its sinks' order. From now on it was said, and what it promised is remembered.
    fn release_one(&mut self, due: Due, releases: &Releases) -> Sql<()> {
        let Due { seq, owner, sinks } = due;
        let Some(sinks) = sinks else {
            self.bury_event(seq, "", "the held event is damaged")?;
            self.take_out(seq)?;
            return self.take_back(&owner, seq);
        };
        self.db.prepare_cached("DELETE FROM held WHERE seq = ?1")?.execute([seq])?;
        self.count_held(-1);
        if sinks.is_empty() {
            self.db.prepare_cached("DELETE FROM events WHERE seq = ?1")?.execute([seq])?;
        }
        self.seq += 1;
        for (sink, version) in &sinks {
            self.insert_delivery(sink, Place { seq: self.seq, event: Some(seq) }, *version, 0)?;
            if !self.done.spilled.contains(sink) {
                self.done.spilled.push(Arc::clone(sink));
            }
        }
        releases.count(&owner);
        self.done.released.push(owner);
        Ok(())
    }

    pub(super) fn none_held(&self) -> bool {
        self.held + self.tally.held == 0
    }

    fn count_held(&mut self, change: i64) {
        self.tally.held += change;
        self.done.held |= change != 0;
    }
}

/// When the next held event is due.
pub(in crate::outbox) fn next_due(db: &Connection) -> Sql<Option<Timestamp>> {
    let found: Option<i64> = db.prepare_cached("SELECT min(until) FROM held")?.query_row([], |row| row.get(0))?;
    Ok(found.map(time))
}
