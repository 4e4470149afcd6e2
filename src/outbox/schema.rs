//! Opening: the directory, the lock, the settings, the tables and their versions.

use super::OutboxError;
use rusqlite::Connection;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The newest version of the tables. Each step leads from the version that is its index to the next.
const STEPS: [&str; 1] = ["
CREATE TABLE memory (mapping TEXT NOT NULL, key TEXT NOT NULL, json TEXT NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (mapping, key)) WITHOUT ROWID;
CREATE TABLE said (id TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX said_by_time ON said (at);
CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, key TEXT NOT NULL,
  at INTEGER NOT NULL, documents TEXT NOT NULL, crc INTEGER NOT NULL, settled INTEGER);
CREATE INDEX events_settled ON events (settled) WHERE settled IS NOT NULL;
CREATE TABLE deliveries (sink TEXT NOT NULL, seq INTEGER NOT NULL, version TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  next INTEGER NOT NULL DEFAULT 0, error TEXT, PRIMARY KEY (sink, seq)) WITHOUT ROWID;
CREATE INDEX deliveries_by_event ON deliveries (seq);
CREATE TABLE held (id TEXT PRIMARY KEY, mapping TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, until INTEGER NOT NULL,
  json TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX held_by_time ON held (until);
CREATE INDEX held_by_owner ON held (mapping, key, name);
CREATE TABLE dead (id TEXT PRIMARY KEY, kind TEXT NOT NULL, at INTEGER NOT NULL, place TEXT NOT NULL, reason TEXT NOT NULL,
  attempts INTEGER NOT NULL, hash TEXT UNIQUE, body BLOB NOT NULL, request TEXT NOT NULL) WITHOUT ROWID;
"];

/// A store that was opened for its writer.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) lock: File,
}

pub(super) fn open(directory: &Path, quota: u64) -> Result<Opened, OutboxError> {
    let failed = |reason: String| OutboxError::Open { directory: directory.to_owned(), reason };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|e| failed(e.to_string()))?;
    // A directory that was there already keeps its rights where we may not change them.
    drop(std::fs::set_permissions(directory, Permissions::from_mode(0o700)));
    refuse_network(directory).map_err(&failed)?;
    let lock = lock(directory)?;
    let path = directory.join("outbox.sqlite");
    drop(OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(|e| failed(e.to_string()))?);
    let connection = connect(&path, quota).and_then(|mut c| migrate(&mut c).map(|known| (c, known)));
    let (connection, known) = connection.map_err(|e| failed(e.to_string()))?;
    match known {
        Ok(()) => Ok(Opened { connection, path, lock }),
        Err(found) => Err(OutboxError::Newer { found, known: i64::try_from(STEPS.len()).unwrap_or(i64::MAX) }),
    }
}

fn lock(directory: &Path) -> Result<File, OutboxError> {
    let failed =
        |reason: std::io::Error| OutboxError::Open { directory: directory.to_owned(), reason: reason.to_string() };
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(directory.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OutboxError::InUse(directory.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// `fsync` and locks don't mean there what they mean on a local disk.
fn refuse_network(directory: &Path) -> Result<(), String> {
    const NETWORK: [(i64, &str); 4] =
        [(0x6969, "NFS"), (0xFF53_4D42, "CIFS"), (0xFE53_4D42, "SMB"), (0x0102_1997, "9P")];
    let Ok(stat) = rustix::fs::statfs(directory) else { return Ok(()) };
    #[allow(clippy::unnecessary_cast, reason = "the field's type differs between platforms")]
    let kind = stat.f_type as i64;
    match NETWORK.iter().find(|(magic, _)| *magic == kind) {
        Some((_, name)) => Err(format!("it's on a network file system ({name}), where a sync isn't to be relied on")),
        None => Ok(()),
    }
}

fn connect(path: &Path, quota: u64) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 2000)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    let page: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let pages = i64::try_from(quota).unwrap_or(i64::MAX) / page.max(1);
    connection.pragma_update(None, "max_page_count", pages.max(256))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Brings the tables to the newest version, or says which newer one they have.
fn migrate(connection: &mut Connection) -> rusqlite::Result<Result<(), i64>> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let Ok(at) = usize::try_from(found) else { return Ok(Err(found)) };
    if at > STEPS.len() {
        return Ok(Err(found));
    }
    for (index, step) in STEPS.iter().enumerate().skip(at) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", i64::try_from(index + 1).unwrap_or(i64::MAX))?;
        transaction.commit()?;
    }
    Ok(Ok(()))
}
