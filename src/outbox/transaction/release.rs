//! Events that wait for their time.

use super::{Sql, Transaction};
use crate::outbox::codec::held_sum;
use crate::outbox::read::time;
use crate::outbox::releases::Releases;
use crate::outbox::{HeldUntil, Outgoing, RawDeadLetter};
use crate::translate::Owner;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use serde_json::Value;

/// A held event that is due; without `outgoing` where its row isn't what was written.
struct Due {
    seq: i64,
    owner: Owner,
    json: String,
    outgoing: Option<Outgoing>,
}

impl Transaction<'_> {
    /// Holds an event, unless it was said before.
    pub(super) fn hold(&mut self, owner: &Owner, outgoing: &Outgoing, hold: &HeldUntil) -> Sql<bool> {
        if self.said(&outgoing.id)? {
            return Ok(false);
        }
        let json = serde_json::to_string(outgoing).unwrap_or_default();
        let until = hold.until.as_millisecond();
        let crc = held_sum(&outgoing.id, owner, &hold.name, until, &json);
        self.held_seq += 1;
        let mut statement = self.db.prepare_cached(
            "INSERT INTO held (id, mapping, key, name, until, seq, json, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        statement.execute(params![
            outgoing.id,
            owner.mapping,
            owner.key,
            hold.name,
            until,
            self.held_seq,
            json,
            crc
        ])?;
        self.count_held(1);
        Ok(true)
    }

    /// Takes a held event out, by its id.
    pub(super) fn withdraw(&mut self, id: &str) -> Sql<()> {
        if self.none_held() {
            return Ok(());
        }
        let gone = self.db.prepare_cached("DELETE FROM held WHERE id = ?1")?.execute([id])?;
        self.count_held(-i64::try_from(gone).unwrap_or_default());
        Ok(())
    }

    /// Takes an owner's held events out, by their name.
    pub(super) fn drop_held(&mut self, owner: &Owner, name: &str) -> Sql<()> {
        if self.none_held() {
            return Ok(());
        }
        let mut statement = self.db.prepare_cached("DELETE FROM held WHERE mapping = ?1 AND key = ?2 AND name = ?3")?;
        let gone = statement.execute(params![owner.mapping, owner.key, name])?;
        self.count_held(-i64::try_from(gone).unwrap_or_default());
        Ok(())
    }

    /// Releases what is due, in the order in which it became so, with what it remembers.
    pub(super) fn release(&mut self, most: usize, releases: &Releases) -> Sql<()> {
        for Due { seq, owner, json, outgoing } in due(self.db, self.now.as_millisecond(), most)? {
            self.db.prepare_cached("DELETE FROM held WHERE seq = ?1")?.execute([seq])?;
            self.count_held(-1);
            let Some(outgoing) = outgoing else {
                self.bury(&damaged(owner, json, self.now))?;
                continue;
            };
            releases.count(&owner);
            if self.say(&owner, &outgoing)?
                && let Some(hold) = &outgoing.hold
            {
                self.remember_released(&owner, hold)?;
            }
            self.done.released.push(owner);
        }
        Ok(())
    }

    fn remember_released(&self, owner: &Owner, hold: &HeldUntil) -> Sql<()> {
        if hold.remember.is_empty() && hold.forget.is_empty() {
            return Ok(());
        }
        let mut memory = self.memory(owner)?;
        hold.forget.iter().for_each(|name| drop(memory.shift_remove(name)));
        memory.extend(hold.remember.clone());
        self.remember(owner, &memory)
    }

    fn none_held(&self) -> bool {
        self.held + self.tally.held == 0
    }

    fn count_held(&mut self, change: i64) {
        self.tally.held += change;
        self.done.held |= change != 0;
    }
}

fn due(db: &Connection, now: i64, most: usize) -> Sql<Vec<Due>> {
    let mut statement = db.prepare_cached(
        "SELECT id, mapping, key, name, until, json, crc, seq FROM held WHERE until <= ?1 ORDER BY until, seq LIMIT ?2",
    )?;
    let rows = statement.query_map(params![now, i64::try_from(most).unwrap_or(i64::MAX)], |row: &Row<'_>| {
        let (id, json): (String, String) = (row.get(0)?, row.get(5)?);
        let owner = Owner { mapping: row.get(1)?, key: row.get(2)? };
        let (name, until): (String, i64) = (row.get(3)?, row.get(4)?);
        let sound = held_sum(&id, &owner, &name, until, &json) == row.get::<_, i64>(6)?;
        let outgoing = if sound { serde_json::from_str(&json).ok() } else { None };
        Ok(Due { seq: row.get(7)?, owner, json, outgoing })
    })?;
    rows.collect()
}

fn damaged(owner: Owner, json: String, now: Timestamp) -> RawDeadLetter {
    RawDeadLetter {
        source: owner.mapping,
        body: json.into_bytes(),
        request: Value::Null,
        reason: "the held event is damaged".to_owned(),
        received_at: now,
    }
}

/// When the next held event is due.
pub(in crate::outbox) fn next_due(db: &Connection) -> Sql<Option<Timestamp>> {
    let found: Option<i64> = db.prepare_cached("SELECT min(until) FROM held")?.query_row([], |row| row.get(0))?;
    Ok(found.map(time))
}
