//! One sink's loop: what to send next, what is under way, what waits for its time.

use super::breaker::Breaker;
use super::http::HttpSink;
use super::retry::{Decision, Outcome, Policy, decide};
use super::stdout;
use crate::config;
use crate::config::written::Order;
use crate::observe::Observe;
use crate::outbox::{Outbox, Queued, Settled, Settlement, Window};
use jiff::Timestamp;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Deliveries that are kept in memory, under way and waiting; more wait on disk.
const LOADED: usize = 2048;

/// A sink, ready to be run.
#[derive(Debug)]
pub struct Sink {
    name: Arc<str>,
    to: Arc<To>,
    policy: Policy,
    concurrency: usize,
    ordered: bool,
}

/// Where events go: a closed set, one match.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there are a few, made once")]
enum To {
    Http(HttpSink),
    Stdout,
}

/// Why a sink can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The HTTP client can't be made.
    #[error("the HTTP client can't be set up ({0}): are there root certificates? Set SSL_CERT_FILE")]
    Client(String),
}

/// Sets the configured sinks up.
///
/// # Errors
///
/// [`SinkError`]
pub fn sinks(configured: Vec<config::Sink>) -> Result<Vec<Sink>, SinkError> {
    configured.into_iter().map(Sink::new).collect()
}

impl Sink {
    fn new(configured: config::Sink) -> Result<Self, SinkError> {
        let policy = Policy::from(configured.retry);
        let concurrency = configured.concurrency;
        let (to, concurrency, ordered) = match configured.to {
            // Lines come out in the order of the events.
            config::Target::Stdout => (To::Stdout, 1, false),
            config::Target::Http { url, mode, headers, auth } => {
                let sink = HttpSink::new(url, mode, headers, auth, policy.timeout, concurrency)?;
                (To::Http(sink), concurrency, configured.order == Order::Key)
            }
        };
        Ok(Self { name: configured.name, to: Arc::new(to), policy, concurrency, ordered })
    }
}

/// An attempt that ended.
struct Attempt {
    queued: Queued,
    outcome: Outcome,
    took: Duration,
}

/// Deliveries of one key, in order; only the first may be under way.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Queued>,
    busy: bool,
}

struct Loop {
    sink: Sink,
    outbox: Outbox,
    observe: Observe,
    window: Window,
    breaker: Breaker,
    lanes: HashMap<Arc<str>, Lane>,
    /// Lanes whose first may go now, in the order in which they became so.
    ready: VecDeque<Arc<str>>,
    /// Lanes whose first must wait, by when.
    later: BTreeMap<(Timestamp, i64), Arc<str>>,
    under_way: JoinSet<Attempt>,
    loaded: usize,
    dice: Dice,
}

/// Runs one sink until `stop` says so, and then until what is under way has ended.
pub(super) async fn run(sink: Sink, outbox: Outbox, observe: Observe, mut stop: watch::Receiver<bool>) {
    let window = outbox.window(&sink.name);
    let breaker = Breaker::new(sink.concurrency);
    let mut it = Loop {
        sink,
        outbox,
        observe,
        window,
        breaker,
        lanes: HashMap::new(),
        ready: VecDeque::new(),
        later: BTreeMap::new(),
        under_way: JoinSet::new(),
        loaded: 0,
        dice: Dice::new(),
    };
    while !*stop.borrow() {
        it.load();
        it.start();
        let wake = it.wake();
        tokio::select! {
            Some(ended) = it.under_way.join_next() => it.ended(ended),
            () = it.window.news(), if it.loaded < LOADED => {}
            () = sleep_until(wake) => {}
            _ = stop.changed() => break,
        }
        while let Some(ended) = it.under_way.try_join_next() {
            it.ended(ended);
        }
    }
    while let Some(ended) = it.under_way.join_next().await {
        it.ended(ended);
    }
}

impl Loop {
    /// Fills memory from the window. While the sink is away, what is there is enough.
    fn load(&mut self) {
        let room = if self.breaker.allowed(Timestamp::now()) == 0 {
            64_usize.saturating_sub(self.loaded)
        } else {
            LOADED - self.loaded
        };
        if room == 0 {
            return;
        }
        for queued in self.window.take(room.min(256)) {
            self.loaded += 1;
            // Without order, every delivery is a lane of its own.
            let key = if self.sink.ordered { Arc::clone(&queued.key) } else { queued.seq.to_string().into() };
            let lane = self.lanes.entry(Arc::clone(&key)).or_default();
            lane.waiting.push_back(queued);
            if lane.waiting.len() == 1 && !lane.busy {
                self.schedule(key);
            }
        }
    }

    /// Puts a lane where its first belongs: now, or later.
    fn schedule(&mut self, key: Arc<str>) {
        let Some(first) = self.lanes.get(&key).and_then(|lane| lane.waiting.front()) else { return };
        if first.next > Timestamp::now() {
            self.later.insert((first.next, first.seq), key);
        } else {
            self.ready.push_back(key);
        }
    }

    fn start(&mut self) {
        let now = Timestamp::now();
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > now {
                break;
            }
            self.ready.push_back(entry.remove());
        }
        while self.under_way.len() < self.breaker.allowed(now) {
            let Some(key) = self.ready.pop_front() else { break };
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            let Some(queued) = lane.waiting.pop_front() else { continue };
            lane.busy = true;
            self.breaker.begin();
            let to = Arc::clone(&self.sink.to);
            self.under_way.spawn(attempt(to, queued));
        }
    }

    /// When something may be done that nothing else wakes us for.
    fn wake(&self) -> Option<Timestamp> {
        let waiting = self.later.keys().next().map(|(at, _)| *at);
        match self.breaker.opens_at() {
            Some(opens) if self.ready.is_empty() => waiting.map(|at| at.max(opens)),
            Some(opens) => Some(opens),
            None => waiting,
        }
    }

    fn ended(&mut self, ended: Result<Attempt, tokio::task::JoinError>) {
        match ended {
            Ok(attempt) => self.settle(attempt),
            Err(error) => {
                tracing::error!(sink = %self.sink.name, %error, "an attempt broke off; its event is sent again after a restart");
            }
        }
    }

    fn settle(&mut self, attempt: Attempt) {
        let Attempt { mut queued, outcome, took } = attempt;
        let (name, now) = (Arc::clone(&self.sink.name), Timestamp::now());
        queued.attempts += 1;
        let attempts = queued.attempts;
        let decision = decide(&outcome, attempts, queued.since, now, self.dice.roll(), &self.sink.policy);
        let key = if self.sink.ordered { Arc::clone(&queued.key) } else { queued.seq.to_string().into() };
        let (settled, again) = match decision {
            Decision::Delivered => {
                self.there();
                self.observe.delivered(&name, &queued.id, attempts, took);
                (Settled::Delivered, None)
            }
            Decision::Dead(error) => {
                if matches!(outcome, Outcome::Answered { status: 400..=499, .. }) {
                    self.there();
                }
                self.observe.gave_up(&name, &queued.id, attempts, &error, took);
                (Settled::Dead { attempts, error }, None)
            }
            Decision::Retry { at, error } => {
                self.breaker.failed(at);
                let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
                self.observe.will_retry(&name, &queued.id, attempts, &error, wait, took);
                (Settled::Again { attempts, next: at, error }, Some(at))
            }
            Decision::Park { at, error } => {
                if self.breaker.park(at) {
                    self.observe.parked(&name, &error);
                }
                (Settled::Again { attempts, next: at, error }, Some(at))
            }
        };
        self.outbox.settle(Settlement { sink: name, seq: queued.seq, settled });
        self.leave(key, queued, again);
    }

    fn there(&mut self) {
        if self.breaker.succeeded() {
            self.observe.unparked(&self.sink.name);
        }
    }

    /// The lane's first is done with, or goes to its front again.
    fn leave(&mut self, key: Arc<str>, mut queued: Queued, again: Option<Timestamp>) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        lane.busy = false;
        match again {
            Some(at) => {
                queued.next = at;
                lane.waiting.push_front(queued);
            }
            None => self.loaded -= 1,
        }
        if lane.waiting.is_empty() {
            self.lanes.remove(&key);
        } else {
            self.schedule(key);
        }
    }
}

async fn attempt(to: Arc<To>, queued: Queued) -> Attempt {
    let started = Instant::now();
    let outcome = match &*to {
        To::Http(sink) => sink.send(&queued.document).await,
        To::Stdout => stdout::print(&queued.document),
    };
    Attempt { queued, outcome, took: started.elapsed() }
}

async fn sleep_until(wake: Option<Timestamp>) {
    match wake {
        Some(at) => {
            tokio::time::sleep(Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()).await;
        }
        None => std::future::pending().await,
    }
}

/// Numbers from 0 to 1 for jitter; nothing depends on their being hard to guess.
struct Dice {
    keys: RandomState,
    rolled: u64,
}

impl Dice {
    fn new() -> Self {
        Self { keys: RandomState::new(), rolled: 0 }
    }

    fn roll(&mut self) -> f64 {
        self.rolled += 1;
        #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
        let roll = (self.keys.hash_one(self.rolled) >> 11) as f64 / (1_u64 << 53) as f64;
        roll
    }
}
