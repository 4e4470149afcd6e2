//! The third version: held events lie in `events`, and their release moves nothing.
//!
//! No table gets another place in the file: where they are is the same in every store, which a salvage relies on.

use super::{Sql, held_sum_of_2};
use crate::outbox::recall::Recall;
use crate::outbox::transaction;
use crate::outbox::{Outgoing, RawDeadLetter};
use crate::translate::Owner;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction};

/// A held event as it was.
struct Held {
    seq: i64,
    owner: Owner,
    json: String,
    sound: bool,
}

pub(super) fn in_their_place(db: &Transaction<'_>) -> Sql<()> {
    db.execute_batch(
        "ALTER TABLE deliveries ADD COLUMN event INTEGER;
ALTER TABLE said ADD COLUMN held INTEGER;
ALTER TABLE memory ADD COLUMN held TEXT NOT NULL DEFAULT '';
DROP INDEX held_by_id;
DROP INDEX held_by_owner;
UPDATE held SET seq = -seq;",
    )?;
    let mut to = transaction::Transaction::of(db, Timestamp::now());
    to.seq = db
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'events'", [], |row| row.get(0))
        .optional()?
        .unwrap_or_default();
    // One after the other, in the order in which they came.
    let first =
        "SELECT seq, id, mapping, key, name, until, json, crc FROM held WHERE seq < 0 ORDER BY seq DESC LIMIT 1";
    while let Some(held) = db.prepare_cached(first)?.query_row([], held).optional()? {
        db.execute("DELETE FROM held WHERE seq = ?1", [held.seq])?;
        put(&mut to, held)?;
    }
    Ok(())
}

fn held(row: &Row<'_>) -> Sql<Held> {
    let (id, name, json) = (row.get::<_, String>(1)?, row.get::<_, String>(4)?, row.get::<_, String>(6)?);
    let owner = Owner { mapping: row.get(2)?, key: row.get(3)? };
    let sound = held_sum_of_2(&id, &owner, &name, row.get(5)?, &json) == row.get::<_, i64>(7)?;
    Ok(Held { seq: row.get(0)?, owner, json, sound })
}

fn put(to: &mut transaction::Transaction<'_>, held: Held) -> Sql<()> {
    let Held { owner, json, sound, .. } = held;
    let outgoing: Option<Outgoing> = if sound { serde_json::from_str(&json).ok() } else { None };
    if let Some(outgoing) = &outgoing
        && let Some(hold) = &outgoing.hold
    {
        let mut recall = Recall::read(to.db, &owner)?.unwrap_or_default();
        to.hold(&owner, outgoing, hold, &mut recall)?;
        return recall.write(to.db, &owner);
    }
    let reason = "the held event is damaged".to_owned();
    let (body, received_at) = (json.into_bytes(), to.now);
    let dead = RawDeadLetter { source: owner.mapping, body, request: serde_json::Value::Null, reason, received_at };
    to.bury(&dead).map(drop)
}
