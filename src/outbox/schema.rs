//! Opening: the directory, the lock, the settings of the database.

use super::error::StoreError;
use super::migrate::{DATABASE, NEWEST, migrate};
use super::room::Room;
use super::salvage;
use super::sqlite::Sqlite;
use super::store::Store;
use super::{OutboxError, OutboxOptions};
use jiff::Timestamp;
use rusqlite::Connection;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// How long the writer waits for readers.
const BUSY: Duration = Duration::from_secs(1);

/// A store that was opened for its writer.
pub(super) struct Opened {
    pub(super) store: Box<dyn Store>,
    pub(super) room: Room,
    pub(super) path: PathBuf,
    /// Pages in the log.
    pub(super) logged: Arc<AtomicU32>,
    pub(super) lock: File,
}

pub(super) fn open(directory: &Path, options: OutboxOptions) -> Result<Opened, OutboxError> {
    let failed = |reason: String| OutboxError::Open { directory: directory.to_owned(), reason };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|e| failed(e.to_string()))?;
    // A directory that was there already keeps its rights where we may not change them.
    drop(std::fs::set_permissions(directory, Permissions::from_mode(0o700)));
    refuse_network(directory).map_err(&failed)?;
    let lock = lock(directory)?;
    let path = directory.join(DATABASE);
    let mut room = Room::new(directory, options.quota);
    if salvage::is_marked(directory) {
        room.give_up_ballast();
        salvage::put_right(directory, Timestamp::now()).map_err(|e| failed(e.to_string()))?;
    }
    let mut store = connect(&path, options);
    if let Err(Refused::Store(StoreError::Full(reason))) = &store {
        // The log and its index need a little room to be opened.
        room.fill(reason);
        store = connect(&path, options);
    }
    if let Err(Refused::Store(StoreError::Damaged(reason))) = &store {
        tracing::error!(reason, "the database is damaged");
        room.give_up_ballast();
        salvage::leave_mark(directory).map_err(|e| failed(e.to_string()))?;
        salvage::put_right(directory, Timestamp::now()).map_err(|e| failed(e.to_string()))?;
        store = connect(&path, options);
    }
    match store {
        Ok(store) => Ok(Opened { logged: store.logged(), store: Box::new(store), room, path, lock }),
        Err(Refused::Store(error)) => Err(failed(error.to_string())),
        Err(Refused::Newer(found)) => {
            Err(OutboxError::Newer { found, known: i64::try_from(NEWEST).unwrap_or(i64::MAX) })
        }
    }
}

/// Why the database can't be used.
enum Refused {
    Store(StoreError),
    /// It has that version.
    Newer(i64),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
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

fn connect(path: &Path, options: OutboxOptions) -> Result<Sqlite, Refused> {
    if let Err(error) = OpenOptions::new().create(true).append(true).mode(0o600).open(path) {
        return Err(Refused::Store(StoreError::Failed(error.to_string())));
    }
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    let page: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let pages = i64::try_from(options.quota).unwrap_or(i64::MAX) / page.max(1);
    connection.pragma_update(None, "max_page_count", pages.max(256))?;
    connection.set_prepared_statement_cache_capacity(64);
    migrate(&mut connection)?.map_err(Refused::Newer)?;
    if !is_as_made(&connection)? {
        return Err(Refused::Store(StoreError::Damaged("its tables aren't those that were made".to_owned())));
    }
    let mut store = Sqlite::new(connection, options)?;
    // As long as nobody reads: lives that are short would otherwise write the log on and on.
    match store.compact() {
        Ok(()) | Err(StoreError::Full(_)) => Ok(store),
        Err(error) => Err(Refused::Store(error)),
    }
}

/// Whether the definitions of the tables are what they are in a new store: a flipped bit may rename a column, and nothing else
/// tells it.
fn is_as_made(connection: &Connection) -> rusqlite::Result<bool> {
    let definitions = |db: &Connection| -> rusqlite::Result<Vec<(String, Option<String>)>> {
        let mut statement = db.prepare("SELECT name, sql FROM sqlite_master ORDER BY rowid")?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let mut made = Connection::open_in_memory()?;
    Ok(migrate(&mut made)?.is_ok() && definitions(connection)? == definitions(&made)?)
}
