//! Why the store can't: as its users see it, and as its writer does.

use std::path::PathBuf;

/// Why the store can't do something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OutboxError {
    /// Another process has it open.
    #[error("the store in {} is in use by another process: stop that, or choose another directory with `--data`", .0.display())]
    InUse(PathBuf),
    /// It can't be opened.
    #[error("the store in {} can't be opened ({reason}): check the directory's rights and its disk", directory.display())]
    Open {
        /// Its directory.
        directory: PathBuf,
        /// What the system or the database says.
        reason: String,
    },
    /// It was written by a newer version.
    #[error("the store has version {found}, and this program knows up to {known}: run the newer program")]
    Newer {
        /// Its version.
        found: i64,
        /// What this program knows.
        known: i64,
    },
    /// Its quota or its disk is full; deliveries go on.
    #[error("the store is full: it takes notifications again when deliveries or more room have emptied it")]
    Full,
    /// Something of its owner was released since the translation looked: it must be done again.
    #[error("an event of the same key was released meanwhile: translate again")]
    Overtaken,
    /// A commit failed in a way that can't be undone.
    #[error("the store failed ({0}): the process must be restarted")]
    Failed(String),
    /// There is no such thing in it.
    #[error("there is no dead letter `{0}`: see `dead-letters list`")]
    NoSuchDeadLetter(String),
    /// A dead letter isn't what was written.
    #[error("the dead letter `{0}` is damaged and can't be replayed: see `dead-letters show`, then purge it")]
    DamagedDeadLetter(String),
    /// It was closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a store can't.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum StoreError {
    /// No room, on the disk or in the quota. Nothing happened.
    #[error("no room ({0})")]
    Full(String),
    /// What is on disk isn't what was written. The next start puts it right.
    #[error("the database is damaged ({0})")]
    Damaged(String),
    /// Anything else: whether it happened isn't known.
    #[error("{0}")]
    Failed(String),
}

impl From<&StoreError> for OutboxError {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Full(_) => Self::Full,
            StoreError::Damaged(_) | StoreError::Failed(_) => Self::Failed(error.to_string()),
        }
    }
}
