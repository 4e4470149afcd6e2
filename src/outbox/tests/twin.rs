//! A store that fails, fills up and dies wherever a test wants it to.

use super::*;
use crate::outbox::store::{Done, Figures, Store, Work};
use std::sync::atomic::{AtomicBool, Ordering};

/// What goes wrong with a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing of it is on disk.
    Before,
    /// All of it is on disk, and nobody is told.
    After,
    /// There's no room for it, nor for so many behind it.
    Full(usize),
}

/// The real store, and one fault in its life.
pub(super) struct Twin {
    inner: Box<dyn Store>,
    /// At which transaction, counted down.
    at: usize,
    fault: Option<Fault>,
    /// From now on nothing gets to the disk any more.
    dead: Arc<AtomicBool>,
}

impl Twin {
    pub(super) fn open(
        dir: &TempDir,
        options: OutboxOptions,
        fault: Option<(usize, Fault)>,
    ) -> (Outbox, Arc<AtomicBool>) {
        let mut opened = schema::open(dir.path(), options).unwrap();
        let dead = Arc::new(AtomicBool::new(false));
        let (at, fault) = fault.map_or((0, None), |(at, fault)| (at, Some(fault)));
        opened.store = Box::new(Self { inner: opened.store, at, fault, dead: Arc::clone(&dead) });
        (Outbox::start(opened, dir.path(), Observe::default()).unwrap(), dead)
    }

    fn killed() -> StoreError {
        StoreError::Failed("killed".to_owned())
    }

    fn alive(&self) -> Result<(), StoreError> {
        if self.dead.load(Ordering::SeqCst) { Err(Self::killed()) } else { Ok(()) }
    }
}

impl Store for Twin {
    fn transact(&mut self, work: &Work<'_>) -> Result<Done, StoreError> {
        self.alive()?;
        if self.at > 0 {
            self.at -= 1;
            return self.inner.transact(work);
        }
        match self.fault.take() {
            None => self.inner.transact(work),
            Some(Fault::Full(more)) => {
                self.fault = (more > 0).then(|| Fault::Full(more - 1));
                Err(StoreError::Full("as it was told".to_owned()))
            }
            Some(Fault::Before) => {
                self.dead.store(true, Ordering::SeqCst);
                Err(Self::killed())
            }
            Some(Fault::After) => {
                self.dead.store(true, Ordering::SeqCst);
                self.inner.transact(work)?;
                Err(Self::killed())
            }
        }
    }

    fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.next_due()
    }

    fn sweep(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        self.alive()?;
        self.inner.sweep(now)
    }

    fn used(&mut self) -> Result<u64, StoreError> {
        self.inner.used()
    }

    fn figures(&mut self, now: Timestamp) -> Result<Figures, StoreError> {
        self.inner.figures(now)
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        self.alive()?;
        self.inner.compact()
    }
}
