//! From the commit to a sink's loop: a bounded window in memory, and the disk behind it.
//!
//! What was just committed goes straight to the loop as long as the window has room and nothing older waits on disk. Otherwise
//! the loop reads on from disk, until it has caught up. Order is that of the commits either way.

use super::read::Found;
use super::{Outbox, Queued, Settled, Settlement};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Deliveries in a window, and bytes of their documents.
const ROOM: usize = 1024;
const ROOM_BYTES: usize = 1 << 20;
/// Deliveries that are read from disk at a time, and about how many bytes of their documents.
const READ: usize = 256;
const READ_BYTES: usize = 1 << 18;
/// When to try again what couldn't be read.
const AGAIN: Duration = Duration::from_secs(1);

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
    bytes: usize,
    /// Something waits on disk that isn't in `fresh`.
    spilled: bool,
}

/// One sink's deliveries in order; for its loop alone.
#[derive(Debug)]
pub struct Window {
    sink: Arc<str>,
    outbox: Outbox,
    shared: Arc<Shared>,
    /// What was read from disk and not handed out yet; older than all that is fresh.
    ahead: VecDeque<Queued>,
    /// What was handed out, or read, last.
    last: i64,
}

impl Windows {
    pub(super) fn open(&self, sink: &str, outbox: Outbox) -> Window {
        let state = State { fresh: VecDeque::new(), bytes: 0, spilled: true };
        let shared = Arc::new(Shared { state: Mutex::new(state), news: Notify::new() });
        let sink: Arc<str> = sink.into();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(&sink), Arc::clone(&shared));
        shared.news.notify_one();
        Window { sink, outbox, shared, ahead: VecDeque::new(), last: 0 }
    }

    /// After a commit: hands over, or leaves it on disk, as all behind what was `spilled` there.
    pub(super) fn push(&self, spilled: &[Arc<str>], deliveries: Vec<(Arc<str>, Queued)>) {
        let windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for shared in spilled.iter().filter_map(|sink| windows.get(sink)) {
            shared.lock().spilled = true;
            shared.news.notify_one();
        }
        for (sink, queued) in deliveries {
            let Some(shared) = windows.get(&sink) else { continue };
            let mut state = shared.lock();
            let bytes = queued.document.len();
            if !state.spilled && state.fresh.len() < ROOM && state.bytes + bytes <= ROOM_BYTES {
                state.bytes += bytes;
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

impl State {
    /// Something older waits on disk: what was handed over meanwhile is read from there, too, so that the order stays.
    fn spill(&mut self) {
        self.fresh.clear();
        self.bytes = 0;
        self.spilled = true;
    }
}

impl Window {
    /// Up to `most` deliveries that weren't handed out yet, in order, with documents of about `bytes` together; none when there are
    /// none now.
    pub fn take(&mut self, most: usize, bytes: usize) -> Vec<Queued> {
        let mut taken: Vec<Queued> = Vec::new();
        let mut left = bytes;
        while taken.len() < most && (left > 0 || taken.is_empty()) {
            let Some(queued) = self.ahead.pop_front().or_else(|| self.fresh()).or_else(|| self.read_on()) else {
                break;
            };
            left = left.saturating_sub(queued.document.len());
            taken.push(queued);
        }
        taken
    }

    fn fresh(&mut self) -> Option<Queued> {
        let mut state = self.shared.lock();
        while let Some(queued) = state.fresh.pop_front() {
            state.bytes -= queued.document.len();
            // What was read from disk meanwhile is handed over a second time.
            if queued.seq > self.last {
                self.last = queued.seq;
                return Some(queued);
            }
        }
        None
    }

    fn read_on(&mut self) -> Option<Queued> {
        while self.ahead.is_empty() {
            // What is committed during the read is handed over; if it was read, too, it's skipped then.
            if !std::mem::take(&mut self.shared.lock().spilled) {
                return self.fresh();
            }
            let more = self.read();
            if more != More::Nothing {
                self.shared.lock().spill();
            }
            if more == More::Later {
                self.wake_later();
                break;
            }
        }
        self.ahead.pop_front()
    }

    /// Resolves when there may be something to take.
    pub async fn news(&self) {
        self.shared.news.notified().await;
    }

    /// Reads what waits on disk, and says whether there's more. A damaged row is set aside, and counts as read.
    fn read(&mut self) -> More {
        let batch = match self.outbox.0.readers.queued(&self.sink, self.last, READ, READ_BYTES) {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(sink = %self.sink, %error, "the sink's queue can't be read");
                self.outbox.broken_if_damaged(error);
                return More::Later;
            }
        };
        for one in batch.rows {
            match one {
                Found::Good(queued) => {
                    self.last = queued.seq;
                    self.ahead.push_back(queued);
                }
                Found::Damaged { seq } => {
                    self.last = seq;
                    self.set_aside(seq);
                }
            }
        }
        if batch.all { More::Nothing } else { More::Now }
    }

    fn set_aside(&self, seq: i64) {
        tracing::error!(sink = %self.sink, seq, "a stored event is damaged, it's set aside as a dead letter");
        let settled = Settled::Dead { attempts: 0, error: "the stored event is damaged".to_owned() };
        self.outbox.settle(Settlement { sink: Arc::clone(&self.sink), seq, settled });
    }

    fn wake_later(&self) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            tokio::time::sleep(AGAIN).await;
            shared.news.notify_one();
        });
    }
}

/// Whether something waits on disk behind what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    Nothing,
    Now,
    /// It can't be read now.
    Later,
}
