//! One sink's loop: carries out what its plan decides.

use super::breaker::Change;
use super::dice::Dice;
use super::http::{HttpSink, SinkError};
use super::plan::{Attempt, Plan, Verdict, until};
use super::retry::{Outcome, Policy};
use super::stdout;
use crate::config;
use crate::config::written::Order;
use crate::observe::Observe;
use crate::outbox::{Outbox, Queued, Settled, Settlement, Window};
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

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

/// An attempt that ended; one that broke off has no outcome.
struct Ended {
    attempt: Attempt,
    outcome: Option<Outcome>,
    took: Duration,
}

/// Runs one sink until `stop` says so, and then until what is under way has ended.
pub(super) async fn run(sink: Sink, outbox: Outbox, observe: Observe, mut stop: watch::Receiver<bool>) {
    let mut window = outbox.window(&sink.name);
    let mut plan = Plan::new(sink.policy, sink.concurrency, sink.ordered, Dice::new());
    let teller = Teller { name: Arc::clone(&sink.name), outbox, observe };
    let mut under_way = FuturesUnordered::new();
    while !*stop.borrow() {
        let now = Timestamp::now();
        load(&mut plan, &mut window, now);
        while let Some(attempt) = plan.next(now) {
            under_way.push(make(Arc::clone(&sink.to), attempt));
        }
        tokio::select! {
            Some(ended) = under_way.next() => teller.tell(&mut plan, ended),
            () = window.news(), if plan.room().is_some() => {}
            () = sleep_until(plan.wake(now), now) => {}
            _ = stop.changed() => break,
        }
        while let Some(Some(ended)) = under_way.next().now_or_never() {
            teller.tell(&mut plan, ended);
        }
    }
    while let Some(ended) = under_way.next().await {
        teller.tell(&mut plan, ended);
    }
}

fn load(plan: &mut Plan, window: &mut Window, now: Timestamp) {
    if let Some((room, bytes)) = plan.room() {
        window.take(room, bytes).into_iter().for_each(|queued| plan.add(queued, now));
    }
}

async fn make(to: Arc<To>, attempt: Attempt) -> Ended {
    let started = Instant::now();
    let sending = AssertUnwindSafe(send(&to, &attempt.queued)).catch_unwind();
    let outcome = sending.await.ok();
    Ended { attempt, outcome, took: started.elapsed() }
}

async fn send(to: &To, queued: &Queued) -> Outcome {
    match to {
        To::Http(sink) => sink.send(&queued.document).await,
        To::Stdout => stdout::print(Arc::clone(&queued.document)).await,
    }
}

async fn sleep_until(wake: Option<Timestamp>, now: Timestamp) {
    match wake {
        Some(at) => tokio::time::sleep(until(at, now)).await,
        None => std::future::pending().await,
    }
}

/// Tells the store and those who watch what came of attempts.
struct Teller {
    name: Arc<str>,
    outbox: Outbox,
    observe: Observe,
}

impl Teller {
    fn tell(&self, plan: &mut Plan, ended: Ended) {
        let now = Timestamp::now();
        let Ended { attempt, outcome, took } = ended;
        let Some(outcome) = outcome else {
            tracing::error!(sink = %self.name, event_id = &*attempt.queued.id, "an attempt broke off, its event is sent again");
            plan.broke_off(attempt, now);
            return;
        };
        let verdict = plan.ended(attempt, &outcome, now);
        self.watched(&verdict, now, took);
        self.outbox.settle(Settlement { sink: Arc::clone(&self.name), seq: verdict.seq, settled: verdict.settled });
        self.observe.sink_rate(&self.name, plan.rate(now));
    }

    fn watched(&self, verdict: &Verdict, now: Timestamp, took: Duration) {
        let Verdict { id, attempts, settled, change, .. } = verdict;
        let error = match settled {
            Settled::Delivered => {
                self.observe.delivered(&self.name, id, *attempts, took);
                ""
            }
            Settled::Again { next, error, .. } => {
                self.observe.will_retry(&self.name, id, *attempts, error, until(*next, now), took);
                error
            }
            Settled::Dead { error, .. } => {
                self.observe.gave_up(&self.name, id, *attempts, error, took);
                error
            }
        };
        match change {
            Some(Change::Opened) => self.observe.sink_failing(&self.name, error),
            Some(Change::Parked) => self.observe.sink_parked(&self.name, error),
            Some(Change::Closed) => self.observe.sink_back(&self.name),
            None => {}
        }
    }
}
