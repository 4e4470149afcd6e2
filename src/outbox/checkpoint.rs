//! The log goes into the database beside the work.
//!
//! To move it there takes two syncs and some megabytes of writing. `SQLite` does that within the commit that makes the log long
//! enough, and who waits for that commit waits for all of it. Here a thread with a connection of its own does it while commits go
//! on; the writer then moves the little that came meanwhile, after which the log begins anew.
//! (<https://sqlite.org/wal.html>, 2.3: a checkpoint runs beside readers and the writer.)

use super::error::StoreError;
use rusqlite::Connection;
use std::fs::File;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Pages of the log from which on it's moved: 2 MiB. A commit that comes while they're synced waits for them: with a million events
/// queued, where pages lie far apart, 2000 took 10 ms and 500 take 4.
const MOST: u32 = 500;
/// Pages that the writer may move itself.
const REST: u32 = 256;
/// Pages at which the writer waits until what is under way has been moved: the log stays bounded however fast it grows.
const TOO_MANY: u32 = 64 * MOST;

/// Moves the log of one writer's connection.
#[derive(Debug)]
pub(super) struct Checkpoints {
    /// Pages in the log, after the last commit.
    logged: Arc<AtomicU32>,
    /// How many make the next move.
    due: u32,
    under_way: bool,
    ask: Option<SyncSender<()>>,
    /// How many pages of the log are in the database.
    moved: Receiver<Result<u32, StoreError>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// From now on, of `writer`'s log.
    pub(super) fn of(writer: &mut Connection) -> rusqlite::Result<Self> {
        let logged = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&logged);
        writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            count.store(u32::try_from(pages).unwrap_or_default(), Ordering::Relaxed);
            Ok(())
        }))?;
        let path = writer.path().unwrap_or_default().to_owned();
        let beside = Connection::open(&path)?;
        beside.pragma_update(None, "synchronous", "FULL")?;
        let database = File::open(path).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let (ask, asked) = sync_channel(1);
        let (tell, moved) = sync_channel(1);
        let work = move || {
            for () in asked {
                let _ = tell.send(move_and_sync(&beside, &database));
            }
        };
        // Without a thread to spare it's all the writer's.
        let thread = std::thread::Builder::new().name("outbox-log".into()).spawn(work).ok();
        Ok(Self { logged, due: MOST, under_way: false, ask: Some(ask), moved, thread })
    }

    /// How many pages are in the log.
    pub(super) fn logged(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.logged)
    }

    /// After a commit: begins, or does the rest.
    ///
    /// An error that isn't [`StoreError::Full`] means that the database can't be trusted to have what was moved. The log has it: it
    /// begins anew only when all was moved and synced.
    pub(super) fn look(&mut self, writer: &Connection) -> Result<(), StoreError> {
        let logged = self.logged.load(Ordering::Relaxed);
        if self.under_way {
            let too_many = logged > TOO_MANY;
            let moved = if too_many { self.moved.recv().ok() } else { self.moved.try_recv().ok() };
            let Some(moved) = moved else { return Ok(()) };
            self.under_way = false;
            let moved = match moved {
                // Room may be made meanwhile.
                Err(StoreError::Full(_)) => 0,
                other => other?,
            };
            if too_many || logged.saturating_sub(moved) <= REST {
                return self.finish(writer);
            }
            // So many came meanwhile, or somebody reads for long.
            self.due = logged.saturating_add(REST);
        }
        if logged < self.due {
            return Ok(());
        }
        self.under_way = self.ask.as_ref().is_some_and(|ask| ask.send(()).is_ok());
        if self.under_way { Ok(()) } else { self.finish(writer) }
    }

    fn finish(&mut self, writer: &Connection) -> Result<(), StoreError> {
        let (logged, moved) = checkpoint(writer, "PASSIVE")?;
        // Who reads for long keeps the log as it is.
        self.due = if moved < logged { logged.saturating_add(MOST) } else { MOST };
        Ok(())
    }

    /// Moves all of it, and makes the log's file empty.
    pub(super) fn truncate(&mut self, writer: &Connection) -> Result<(), StoreError> {
        if std::mem::take(&mut self.under_way)
            && let Ok(Err(error)) = self.moved.recv()
            && !matches!(error, StoreError::Full(_))
        {
            return Err(error);
        }
        checkpoint(writer, "TRUNCATE")?;
        self.due = MOST;
        self.logged.store(0, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Of a log that grows meanwhile `SQLite` syncs nothing: it leaves that to who moves the last page. That's the writer, who shouldn't
/// wait for all of it.
fn move_and_sync(beside: &Connection, database: &File) -> Result<u32, StoreError> {
    let (_, moved) = checkpoint(beside, "PASSIVE")?;
    database.sync_data().map_err(|error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full(error.to_string()),
        _ => StoreError::Failed(error.to_string()),
    })?;
    Ok(moved)
}

/// Pages in the log, and those of them that are in the database now.
fn checkpoint(db: &Connection, how: &str) -> rusqlite::Result<(u32, u32)> {
    let row = |row: &rusqlite::Row<'_>| {
        let pages = |column| Ok::<_, rusqlite::Error>(u32::try_from(row.get::<_, i64>(column)?).unwrap_or_default());
        Ok((pages(1)?, pages(2)?))
    };
    db.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], row)
}
