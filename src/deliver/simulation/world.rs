//! A store, a plan, a sink and a clock, all of them models but the plan.

use crate::deliver::dice::Dice;
use crate::deliver::plan::{Attempt, Plan};
use crate::deliver::retry::{Outcome, Policy, after};
use crate::outbox::{Queued, Settled};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) const POLICY: Policy = Policy {
    initial: Duration::from_secs(1),
    max: Duration::from_secs(900),
    give_up_after: Duration::from_secs(7 * 86_400),
    timeout: Duration::from_secs(15),
};

/// What stands at the other end.
pub(super) trait ModelSink {
    /// An attempt arrives; how long the answer takes, and what it is.
    fn take(&mut self, queued: &Queued, now: Timestamp) -> (Duration, Outcome);

    /// The proxy died, and what it was told and hadn't synced with it.
    fn proxy_died(&mut self) {}
}

pub(super) fn answered(status: u16, retry_after: Option<u32>) -> Outcome {
    Outcome::Answered { status, retry_after: retry_after.map(|seconds| seconds.to_string()), body: String::new() }
}

pub(super) fn at(seconds: f64) -> Timestamp {
    after("2026-03-01T00:00:00Z".parse().unwrap(), Duration::from_secs_f64(seconds))
}

/// Seconds since [`at(0)`](at).
pub(super) fn seconds(now: Timestamp) -> f64 {
    now.duration_since(at(0.0)).as_secs_f64()
}

/// The rows of a store, and the settlements that aren't synced yet.
#[derive(Default)]
pub(super) struct Store {
    pub(super) rows: BTreeMap<i64, Queued>,
    unsynced: Vec<(i64, Settled)>,
    latest: i64,
    read: i64,
    pub(super) dead: Vec<String>,
}

impl Store {
    pub(super) fn commit(&mut self, id: String, key: &Arc<str>, document: &Arc<str>, now: Timestamp) -> i64 {
        self.latest += 1;
        let seq = self.latest;
        let (key, document) = (Arc::clone(key), Arc::clone(document));
        let queued = Queued { seq, id: id.into(), key, document, since: now, attempts: 0, next: now };
        self.rows.insert(seq, queued);
        seq
    }

    fn sync(&mut self) {
        for (seq, settled) in self.unsynced.drain(..) {
            match settled {
                Settled::Delivered => drop(self.rows.remove(&seq)),
                Settled::Dead { .. } => self.dead.extend(self.rows.remove(&seq).map(|queued| queued.id.to_string())),
                Settled::Again { attempts, next, .. } => {
                    if let Some(queued) = self.rows.get_mut(&seq) {
                        (queued.attempts, queued.next) = (attempts, next);
                    }
                }
            }
        }
    }

    pub(super) fn is_empty(&mut self) -> bool {
        self.sync();
        self.rows.is_empty()
    }
}

pub(super) struct World<S> {
    pub(super) now: Timestamp,
    pub(super) sink: S,
    pub(super) store: Store,
    pub(super) dice: Dice,
    plan: Plan,
    concurrency: usize,
    under_way: BTreeMap<(Timestamp, u64), (Attempt, Outcome)>,
    /// When each attempt began, in seconds.
    pub(super) began: Vec<f64>,
    pub(super) most_loaded: usize,
}

impl<S: ModelSink> World<S> {
    pub(super) fn new(sink: S, concurrency: usize, seed: u64) -> Self {
        let plan = Plan::new(POLICY, concurrency, true, Dice::seeded(seed));
        let dice = Dice::seeded(!seed);
        let (store, under_way, began) = (Store::default(), BTreeMap::new(), Vec::new());
        Self { now: at(0.0), sink, store, dice, plan, concurrency, under_way, began, most_loaded: 0 }
    }

    /// `many` events of `keys` keys in turn, all there already.
    pub(super) fn backlog(&mut self, many: usize, keys: usize) {
        let document: Arc<str> = "{}".into();
        let keys: Vec<Arc<str>> = (0..keys).map(|key| format!("app-{key}").into()).collect();
        for number in 0..many {
            self.store.commit(format!("{number}"), &keys[number % keys.len()], &document, self.now);
        }
    }

    /// Until `end`, or until nothing waits any more.
    pub(super) fn run_until(&mut self, end: Timestamp) {
        loop {
            self.begin();
            let ended = self.under_way.keys().next().map(|(at, _)| *at);
            let next = [ended, self.plan.wake(self.now)].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            self.end();
            if self.under_way.is_empty() && self.store.unsynced.len() == self.store.rows.len() && self.store.is_empty()
            {
                return;
            }
        }
    }

    fn begin(&mut self) {
        loop {
            let room = self.plan.room().map_or(0, |(room, _)| room);
            let new: Vec<Queued> =
                self.store.rows.range(self.store.read + 1..).take(room).map(|(_, q)| q.clone()).collect();
            self.store.read = new.last().map_or(self.store.read, |queued| queued.seq);
            let none = new.is_empty();
            new.into_iter().for_each(|queued| self.plan.add(queued, self.now));
            if none {
                break;
            }
        }
        self.most_loaded = self.most_loaded.max(self.plan.loaded());
        while let Some(attempt) = self.plan.next(self.now) {
            self.began.push(seconds(self.now));
            let (took, outcome) = self.sink.take(&attempt.queued, self.now);
            self.under_way.insert((after(self.now, took), self.began.len() as u64), (attempt, outcome));
        }
    }

    fn end(&mut self) {
        while let Some(first) = self.under_way.first_entry().filter(|first| first.key().0 <= self.now) {
            let (attempt, outcome) = first.remove();
            let verdict = self.plan.ended(attempt, &outcome, self.now);
            self.store.unsynced.push((verdict.seq, verdict.settled));
        }
        // Some groups are small, some large; what is behind the last is lost in a crash.
        if self.store.unsynced.len() > 64 || self.dice.roll() < 0.2 {
            self.store.sync();
        }
    }

    /// The process dies and starts again: what isn't synced never was.
    pub(super) fn crash(&mut self) {
        self.under_way.clear();
        self.sink.proxy_died();
        self.store.unsynced.clear();
        self.store.read = 0;
        self.plan = Plan::new(POLICY, self.concurrency, true, Dice::seeded(self.dice.bits()));
    }

    /// Attempts of each second from the first on.
    pub(super) fn buckets(&self) -> Vec<usize> {
        let mut buckets = Vec::new();
        for began in &self.began {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and small")]
            let second = *began as usize;
            buckets.resize(buckets.len().max(second + 1), 0);
            buckets[second] += 1;
        }
        buckets
    }
}
