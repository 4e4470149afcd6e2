//! Beside the work, once after the start: whether the database is what it should be, page by page and index by index.
//!
//! Rows have checksums and are looked at when they're read. What isn't found any more because a page leads elsewhere is only found
//! out here.
//!
//! A check reads a whole table of one moment, and as long as it does, the log can't begin anew. So it gives way when the log gets
//! long, and is tried again later; at last it goes on whatever comes.

use super::error::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// One table after another: a long read keeps the log from being used again.
const TABLES: [&str; 6] = ["memory", "said", "events", "deliveries", "held", "dead"];
/// Pages of the log at which a check gives way: 16 MiB.
const LONG: u32 = 4000;
/// When a table is tried again whose check gave way.
const AGAIN: [Duration; 3] = [Duration::from_secs(10), Duration::from_mins(1), Duration::from_mins(10)];
/// Steps of `SQLite`'s machine between two looks at the log: some microseconds.
const STEPS: i32 = 1000;

/// A check under way.
#[derive(Debug)]
pub(super) struct Check {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Check {
    /// Starts one; `damaged` is called with what it found first. `logged` is how many pages are in the log.
    pub(super) fn start(
        path: &Path,
        logged: Arc<AtomicU32>,
        damaged: impl FnOnce(String) + Send + 'static,
    ) -> rusqlite::Result<Self> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "cache_size", -2048)?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut tables = Tables { connection, logged, stop: Arc::clone(&stop) };
        let look = move || {
            if let Some(found) = TABLES.iter().find_map(|table| tables.through(table)) {
                damaged(found);
            }
        };
        // Without a thread to spare it isn't checked, and the store works all the same.
        let thread = std::thread::Builder::new().name("outbox-check".into()).spawn(look);
        let thread = thread.map_err(|_| rusqlite::Error::InvalidQuery)?;
        Ok(Self { stop, thread })
    }

    /// Ends it, whatever it has seen so far.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        self.join();
    }

    /// Until it's through.
    pub(super) fn join(self) {
        drop(self.thread.join());
    }
}

/// What is looked at, and what it gives way to.
struct Tables {
    connection: Connection,
    logged: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
}

/// What came of a look at a table.
#[derive(Debug, PartialEq, Eq)]
enum Looked {
    Well,
    Damaged(String),
    GaveWay,
}

impl Tables {
    /// What is wrong with a table and its indices, if anything is; however often it has to be looked at.
    fn through(&mut self, table: &str) -> Option<String> {
        for wait in AGAIN.into_iter().map(Some).chain([None]) {
            match self.look(table, wait.map_or(u32::MAX, |_| LONG)) {
                Looked::Well => return None,
                Looked::Damaged(found) => return Some(found),
                Looked::GaveWay if self.stop.load(Ordering::SeqCst) => return None,
                Looked::GaveWay => std::thread::park_timeout(wait.unwrap_or_default()),
            }
        }
        None
    }

    /// Looks, as long as the log isn't longer than that.
    fn look(&mut self, table: &str, long: u32) -> Looked {
        let (logged, stop) = (Arc::clone(&self.logged), Arc::clone(&self.stop));
        let give_way = move || stop.load(Ordering::SeqCst) || logged.load(Ordering::Relaxed) > long;
        // Without it it's only less polite.
        drop(self.connection.progress_handler(STEPS, Some(give_way)));
        let sql = format!("PRAGMA integrity_check('{table}')");
        match self.connection.query_row(&sql, [], |row| row.get::<_, String>(0)) {
            Ok(found) if found == "ok" => Looked::Well,
            Ok(found) => Looked::Damaged(found),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) => {
                Looked::GaveWay
            }
            Err(error) => match StoreError::from(error) {
                StoreError::Damaged(found) => Looked::Damaged(found),
                _ => Looked::Well,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_gives_way_to_a_long_log_and_to_the_end() {
        let connection = Connection::open_in_memory().unwrap();
        let rows =
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5000) SELECT n, 'x' || n FROM n";
        connection
            .execute_batch(&format!(
                "CREATE TABLE said (n INTEGER PRIMARY KEY, x TEXT UNIQUE); INSERT INTO said {rows}"
            ))
            .unwrap();
        let mut tables = Tables { connection, logged: Arc::default(), stop: Arc::default() };
        assert_eq!(tables.look("said", LONG), Looked::Well);
        tables.logged.store(LONG + 1, Ordering::SeqCst);
        assert_eq!(tables.look("said", LONG), Looked::GaveWay);
        assert_eq!(tables.look("said", u32::MAX), Looked::Well, "the last time it goes on");
        tables.stop.store(true, Ordering::SeqCst);
        assert_eq!(tables.through("said"), None);
        assert_eq!(tables.look("said", u32::MAX), Looked::GaveWay);
    }
}
