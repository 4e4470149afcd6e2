//! Beside the work, once after the start: whether the database is what it should be, page by page and index by index.
//!
//! Rows have checksums and are looked at when they're read. What isn't found any more because a page leads elsewhere is only found
//! out here.

use rusqlite::{Connection, InterruptHandle, OpenFlags};
use std::path::Path;
use std::thread::JoinHandle;

/// One table after another: a long read keeps the log from being used again.
const TABLES: [&str; 6] = ["memory", "said", "events", "deliveries", "held", "dead"];

/// A check under way.
pub(super) struct Check {
    interrupt: InterruptHandle,
    thread: JoinHandle<()>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").finish_non_exhaustive()
    }
}

impl Check {
    /// Starts one; `damaged` is called with what it found first.
    pub(super) fn start(path: &Path, damaged: impl FnOnce(String) + Send + 'static) -> rusqlite::Result<Self> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "cache_size", -2048)?;
        let interrupt = connection.get_interrupt_handle();
        let look = move || {
            if let Some(found) = TABLES.iter().find_map(|table| look(&connection, table)) {
                damaged(found);
            }
        };
        // Without a thread to spare it isn't checked, and the store works all the same.
        let thread = std::thread::Builder::new().name("outbox-check".into()).spawn(look);
        let thread = thread.map_err(|_| rusqlite::Error::InvalidQuery)?;
        Ok(Self { interrupt, thread })
    }

    /// Ends it, whatever it has seen so far.
    pub(super) fn stop(self) {
        self.interrupt.interrupt();
        self.join();
    }

    /// Until it's through.
    pub(super) fn join(self) {
        drop(self.thread.join());
    }
}

/// What is wrong with a table and its indices, if anything is.
fn look(connection: &Connection, table: &str) -> Option<String> {
    let found = connection.query_row(&format!("PRAGMA integrity_check('{table}')"), [], |row| row.get::<_, String>(0));
    match found {
        Ok(found) if found == "ok" => None,
        Ok(found) => Some(found),
        Err(error) => match super::error::StoreError::from(error) {
            super::error::StoreError::Damaged(found) => Some(found),
            _ => None,
        },
    }
}
