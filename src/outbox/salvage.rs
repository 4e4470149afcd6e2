//! A damaged database is put aside, and what can be read of it goes into a new one.
//!
//! Who finds damage leaves a mark and ends the process; the next start comes here first. Every step may be the last before a
//! crash, and is then done again: the files are moved aside, the new database is made beside its place, moved there when it's
//! whole and synced, and only then the mark goes. The damaged files stay for whoever wants to look at them.

mod copy;

use super::migrate::DATABASE;
use jiff::Timestamp;
use rusqlite::Connection;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, Result};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

/// The file that says that the database is to be put right before it's used.
const MARK: &str = "damaged";
/// Where the damaged files lie while they're worked on.
const WORK: &str = "damaged.work";
/// What of the damaged database is read: a copy, so that the original stays as it is.
const COPY: &str = "copy.sqlite";
/// Bytes of a page.
const PAGE: usize = 4096;
/// The new database, until it's whole.
const NEW: &str = "outbox.sqlite.new";

/// The next start puts the database right.
pub(super) fn leave_mark(directory: &Path) -> Result<()> {
    File::create(directory.join(MARK))?.sync_all()?;
    sync(directory)
}

pub(super) fn is_marked(directory: &Path) -> bool {
    directory.join(MARK).exists()
}

/// Puts a marked database right.
pub(super) fn put_right(directory: &Path, now: Timestamp) -> Result<()> {
    let (place, work) = (directory.join(DATABASE), directory.join(WORK));
    if !work.join(DATABASE).exists() {
        put_aside(directory, &work)?;
    }
    if !place.exists() && work.join(DATABASE).exists() {
        let new = directory.join(NEW);
        make_new(&work, &new, now)?;
        std::fs::rename(&new, &place)?;
        sync(directory)?;
    }
    let kept = directory.join(format!("damaged-{}", now.as_millisecond()));
    std::fs::rename(&work, &kept)?;
    std::fs::remove_file(directory.join(MARK))?;
    sync(directory)?;
    tracing::error!(kept = %kept.display(), "the database was damaged: what could be read of it is in a new one, the files are kept");
    Ok(())
}

/// The log goes first: where the database is, its log must be, too.
fn put_aside(directory: &Path, work: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(work)?;
    remove(&directory.join(format!("{DATABASE}-shm")))?;
    for name in [format!("{DATABASE}-wal"), DATABASE.to_owned()] {
        if directory.join(&name).exists() {
            std::fs::rename(directory.join(&name), work.join(&name))?;
        }
    }
    sync(work)?;
    sync(directory)
}

fn make_new(work: &Path, new: &Path, now: Timestamp) -> Result<()> {
    let copy = work.join(COPY);
    let logs =
        |path: &Path| ["", "-wal", "-shm", "-journal"].map(|end| PathBuf::from(format!("{}{end}", path.display())));
    for leftover in logs(&copy).into_iter().chain(logs(new)) {
        remove(&leftover)?;
    }
    std::fs::copy(work.join(DATABASE), &copy)?;
    let log = work.join(format!("{DATABASE}-wal"));
    if log.exists() {
        std::fs::copy(&log, work.join(format!("{COPY}-wal")))?;
    }
    let salvaged = salvage(&copy, new, now).map_err(Error::other)?;
    tracing::error!(?salvaged, "rows of the damaged database");
    File::open(new)?.sync_all()?;
    logs(&copy).iter().try_for_each(|leftover| remove(leftover))
}

fn salvage(copy: &Path, new: &Path, now: Timestamp) -> rusqlite::Result<copy::Salvaged> {
    let mut to = Connection::open(new)?;
    to.pragma_update(None, "journal_mode", "MEMORY")?;
    to.pragma_update(None, "synchronous", "OFF")?;
    if super::migrate::migrate(&mut to)?.is_err() {
        return Err(rusqlite::Error::InvalidQuery);
    }
    let mut from = Connection::open(copy)?;
    // One of an older version is brought to the newest as far as it goes: it's a copy.
    drop(super::migrate::migrate(&mut from));
    if tables(&from).ok() != Some(tables(&to)?) {
        drop(from);
        borrow_first_page(new, copy).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        from = Connection::open(copy)?;
    }
    copy::all(&from, &mut to, now)
}

/// What there is, and where; it's the same in every store, because tables are made once and in one order.
fn tables(db: &Connection) -> rusqlite::Result<Vec<(String, i64, Option<String>)>> {
    let sql = "SELECT name, rootpage, sql FROM sqlite_master ORDER BY rowid";
    let mut statement = db.prepare(sql)?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

/// The page that says where the tables are is the same in every store, but for the file's size and the kind of its log.
fn borrow_first_page(new: &Path, copy: &Path) -> Result<()> {
    let mut page = vec![0; PAGE];
    File::open(new)?.read_exact_at(&mut page, 0)?;
    let file = OpenOptions::new().write(true).open(copy)?;
    let pages = u32::try_from(file.metadata()?.len() / PAGE as u64).unwrap_or(u32::MAX);
    page[28..32].copy_from_slice(&pages.to_be_bytes());
    // The list of free pages isn't needed to read.
    page[32..40].fill(0);
    file.write_all_at(&page, 0)
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync(directory: &Path) -> Result<()> {
    File::open(directory)?.sync_all()
}
