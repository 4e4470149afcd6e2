//! From the commit to a sink's loop: a bounded window in memory, and the disk behind it.
//!
//! What was just committed goes straight to the loop as long as the window has room and nothing older waits on disk. Otherwise
//! the loop reads on from disk, until it has caught up. Order is that of the commits either way.

use super::read::Found;
use super::{Outbox, Queued, Settled, Settlement};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Deliveries in a window.
const ROOM: usize = 1024;
/// Deliveries that are read from disk at a time.
const READ: usize = 256;

/// The windows of all sinks, as the writer sees them.
#[derive(Debug, Clone, Default)]
pub(super) struct Windows(Arc<Mutex<HashMap<Arc<str>, Arc<Shared>>>>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug)]
struct State {
    fresh: VecDeque<Queued>,
    /// Something waits on disk that isn't in `fresh`.
    spilled: bool,
}

/// One sink's deliveries in order; for its loop alone.
#[derive(Debug)]
pub struct Window {
    sink: Arc<str>,
    outbox: Outbox,
    shared: Arc<Shared>,
    /// What was handed out last.
    last: i64,
}

impl Windows {
    pub(super) fn open(&self, sink: &str, outbox: Outbox) -> Window {
        let state = State { fresh: VecDeque::new(), spilled: true };
        let shared = Arc::new(Shared { state: Mutex::new(state), news: Notify::new() });
        let sink: Arc<str> = sink.into();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(&sink), Arc::clone(&shared));
        shared.news.notify_one();
        Window { sink, outbox, shared, last: 0 }
    }

    /// After a commit: hands over, or leaves it on disk.
    pub(super) fn push(&self, deliveries: Vec<(Arc<str>, Queued)>) {
        let windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (sink, queued) in deliveries {
            let Some(shared) = windows.get(&sink) else { continue };
            let mut state = shared.lock();
            if !state.spilled && state.fresh.len() < ROOM {
                state.fresh.push_back(queued);
            } else {
                state.spilled = true;
            }
            drop(state);
            shared.news.notify_one();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    /// Up to `most` deliveries that weren't handed out yet, in order; none when there are none now.
    pub fn take(&mut self, most: usize) -> Vec<Queued> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let mut taken: Vec<Queued> = Vec::new();
        while taken.len() < most {
            if let Some(queued) = state.fresh.pop_front() {
                // What was read from disk meanwhile is handed over a second time.
                if queued.seq > self.last {
                    self.last = queued.seq;
                    taken.push(queued);
                }
            } else if state.spilled {
                let wanted = READ.min(most - taken.len());
                let found = self.read(wanted);
                state.spilled = found.len() == wanted;
                taken.extend(found.into_iter().flatten());
            } else {
                break;
            }
        }
        taken
    }

    /// Resolves when there may be something to take.
    pub async fn news(&self) {
        self.shared.news.notified().await;
    }

    /// What a row of damage was is none; it counts as read.
    fn read(&mut self, wanted: usize) -> Vec<Option<Queued>> {
        let found = match self.outbox.0.readers.queued(&self.sink, self.last, wanted) {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(sink = %self.sink, %error, "the sink's queue can't be read");
                return Vec::new();
            }
        };
        let mut read = Vec::with_capacity(found.len());
        for one in found {
            match one {
                Found::Good(queued) => {
                    self.last = queued.seq;
                    read.push(Some(queued));
                }
                Found::Damaged { seq } => {
                    self.last = seq;
                    tracing::error!(sink = %self.sink, seq, "a stored event is damaged, it's set aside as a dead letter");
                    let error = "the stored event is damaged".to_owned();
                    self.outbox.settle(Settlement {
                        sink: Arc::clone(&self.sink),
                        seq,
                        settled: Settled::Dead { attempts: 0, error },
                    });
                    read.push(None);
                }
            }
        }
        read
    }
}
