//! What a sink is sent next, and what becomes of it: everything that a sink's loop decides, without I/O and clock.
//!
//! Deliveries of one key are a lane: its first goes, and only when that is done with, delivered or given up, the next. A delivery
//! that must be tried again keeps its place, so that later ones of its key wait; other keys don't.

use super::breaker::{Breaker, Change, Pass};
use super::dice::Dice;
use super::pace::Pace;
use super::retry::{Decision, Outcome, Policy, decide};
use crate::outbox::{Queued, Settled};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Deliveries that are kept in memory, under way and waiting; more wait on disk.
const LOADED: usize = 2048;
/// Bytes of their documents from which on no more are loaded.
const LOADED_BYTES: usize = 8 << 20;
/// Deliveries that are enough while the sink is away.
const LOADED_WHILE_AWAY: usize = 64;
/// Deliveries that are loaded at a time.
const AT_A_TIME: usize = 256;

/// What one sink is sent when.
#[derive(Debug)]
pub(super) struct Plan {
    policy: Policy,
    concurrency: usize,
    ordered: bool,
    breaker: Breaker,
    pace: Pace,
    lanes: HashMap<LaneKey, Lane>,
    /// Lanes whose first may go now, in the order in which they became so.
    ready: VecDeque<LaneKey>,
    /// Lanes whose first must wait, by when.
    later: BTreeMap<(Timestamp, i64), LaneKey>,
    under_way: usize,
    loaded: usize,
    bytes: usize,
    dice: Dice,
}

/// Without order, every delivery is a lane of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum LaneKey {
    Key(Arc<str>),
    Alone(i64),
}

/// Deliveries of one key, in order; only the first may be under way.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Queued>,
    /// The first isn't tried before that, whatever becomes of the sink: it was asked for.
    asked: Timestamp,
    busy: bool,
}

/// An attempt to be made.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) queued: Queued,
    pass: Pass,
    began: Timestamp,
}

/// What came of an attempt.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) seq: i64,
    pub(super) id: Arc<str>,
    pub(super) attempts: u32,
    pub(super) settled: Settled,
    /// What it tells of the sink.
    pub(super) change: Option<Change>,
}

impl Plan {
    pub(super) fn new(policy: Policy, concurrency: usize, ordered: bool, dice: Dice) -> Self {
        Self {
            policy,
            concurrency,
            ordered,
            breaker: Breaker::new(&policy),
            pace: Pace::default(),
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            later: BTreeMap::new(),
            under_way: 0,
            loaded: 0,
            bytes: 0,
            dice,
        }
    }

    /// How many deliveries, and bytes of them, it takes from the store now. While the sink is away, a few are enough.
    pub(super) fn room(&self) -> Option<(usize, usize)> {
        let most = if self.breaker.is_closed() { LOADED } else { LOADED_WHILE_AWAY };
        let (room, bytes) = (most.saturating_sub(self.loaded), LOADED_BYTES.saturating_sub(self.bytes));
        (room > 0 && bytes > 0).then_some((room.min(AT_A_TIME), bytes))
    }

    #[cfg(test)]
    pub(super) fn loaded(&self) -> usize {
        self.loaded
    }

    /// Takes one from the store, in the order of the store.
    pub(super) fn add(&mut self, queued: Queued, now: Timestamp) {
        self.loaded += 1;
        self.bytes += queued.document.len();
        let key = self.lane_of(&queued);
        let lane = self.lanes.entry(key.clone()).or_default();
        lane.waiting.push_back(queued);
        if lane.waiting.len() == 1 && !lane.busy {
            lane.first();
            self.schedule(key, now);
        }
    }

    /// The attempt that is to be made now, if any.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Attempt> {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= now) {
            self.ready.push_back(entry.remove());
        }
        if self.gate(now).is_none_or(|opens| opens > now) {
            return None;
        }
        let key = self.ready.pop_front()?;
        let lane = self.lanes.get_mut(&key)?;
        let queued = lane.waiting.pop_front()?;
        lane.busy = true;
        self.under_way += 1;
        self.pace.begin(now);
        Some(Attempt { queued, pass: self.breaker.begin(), began: now })
    }

    /// When something may be done that no end of an attempt and no news from the store wakes us for.
    pub(super) fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let due = if self.ready.is_empty() { self.later.keys().next()?.0 } else { now };
        Some(due.max(self.gate(now)?))
    }

    /// Attempts a second that the sink is limited to, if it is.
    pub(super) fn rate(&self, now: Timestamp) -> Option<f64> {
        self.pace.rate(now)
    }

    /// From when on an attempt may begin; only after the end of another, if none.
    fn gate(&self, now: Timestamp) -> Option<Timestamp> {
        // A probe doesn't wait for what was under way when the breaker opened.
        if self.breaker.is_closed() && self.under_way >= self.pace.at_a_time(self.concurrency, now) {
            return self.pace.widens(self.concurrency, now);
        }
        Some(self.breaker.next()?.max(self.pace.next()))
    }

    /// An attempt ended.
    pub(super) fn ended(&mut self, attempt: Attempt, outcome: &Outcome, now: Timestamp) -> Verdict {
        let Attempt { mut queued, pass, began } = attempt;
        self.under_way -= 1;
        queued.attempts += 1;
        let (seq, id, attempts) = (queued.seq, queued.id.clone(), queued.attempts);
        let decision = decide(outcome, attempts, queued.since, now, self.dice.roll(), &self.policy);
        let change = self.judge(&decision, outcome, pass, began, now);
        let (settled, again) = match decision {
            Decision::Delivered => (Settled::Delivered, None),
            Decision::Dead(error) => (Settled::Dead { attempts, error }, None),
            Decision::Retry { at, asked, error } => (Settled::Again { attempts, next: at, error }, Some((at, asked))),
            Decision::Park { at, error } => (Settled::Again { attempts, next: at, error }, Some((at, now))),
        };
        self.leave(queued, again, now);
        if change == Some(Change::Closed) {
            self.forgive(now);
        }
        Verdict { seq, id, attempts, settled, change }
    }

    /// An attempt broke off without an outcome: it counts as not made.
    pub(super) fn broke_off(&mut self, attempt: Attempt, now: Timestamp) {
        self.under_way -= 1;
        self.breaker.withdraw(attempt.pass);
        self.leave(attempt.queued, Some((now, now)), now);
    }

    /// What an attempt tells of the sink.
    fn judge(
        &mut self,
        decision: &Decision,
        outcome: &Outcome,
        pass: Pass,
        began: Timestamp,
        now: Timestamp,
    ) -> Option<Change> {
        match decision {
            Decision::Delivered => self.there(pass, now),
            Decision::Dead(_) if outcome.is_refusal() => self.there(pass, now),
            Decision::Dead(_) if matches!(outcome, Outcome::Unsendable(_)) => {
                self.breaker.withdraw(pass);
                None
            }
            Decision::Dead(_) => self.breaker.failed(pass, now, now, self.dice.roll()),
            Decision::Park { at, .. } => self.breaker.park(pass, *at),
            Decision::Retry { asked, .. } if outcome.is_too_much(now) => {
                self.pace.refused(began, now, *asked);
                self.breaker.put_off(pass, now, *asked, self.dice.roll());
                None
            }
            Decision::Retry { asked, .. } => self.breaker.failed(pass, now, *asked, self.dice.roll()),
        }
    }

    fn there(&mut self, pass: Pass, now: Timestamp) -> Option<Change> {
        let change = self.breaker.succeeded(pass, now);
        if change.is_some() {
            self.pace.came_back(now);
        }
        change
    }

    /// The lane's first is done with, or goes to its front again.
    fn leave(&mut self, mut queued: Queued, again: Option<(Timestamp, Timestamp)>, now: Timestamp) {
        let key = self.lane_of(&queued);
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        lane.busy = false;
        match again {
            Some((at, asked)) => {
                queued.next = at;
                lane.asked = asked;
                lane.waiting.push_front(queued);
            }
            None => {
                self.loaded -= 1;
                self.bytes -= queued.document.len();
                lane.first();
            }
        }
        if lane.waiting.is_empty() {
            self.lanes.remove(&key);
        } else {
            self.schedule(key, now);
        }
    }

    /// Puts a lane where its first belongs: now, or later.
    fn schedule(&mut self, key: LaneKey, now: Timestamp) {
        let Some(first) = self.lanes.get(&key).and_then(|lane| lane.waiting.front()) else { return };
        if first.next > now {
            self.later.insert((first.next, first.seq), key);
        } else {
            self.ready.push_back(key);
        }
    }

    /// The sink is there again: what waits because it wasn't needn't wait any longer than the sink asked for.
    fn forgive(&mut self, now: Timestamp) {
        for key in std::mem::take(&mut self.later).into_values() {
            if let Some(lane) = self.lanes.get_mut(&key) {
                let asked = lane.asked;
                if let Some(first) = lane.waiting.front_mut() {
                    first.next = first.next.min(asked.max(now));
                }
            }
            self.schedule(key, now);
        }
    }

    fn lane_of(&self, queued: &Queued) -> LaneKey {
        if self.ordered { LaneKey::Key(Arc::clone(&queued.key)) } else { LaneKey::Alone(queued.seq) }
    }
}

impl Lane {
    /// It has another first, of which nothing is known but when the store says that it's due.
    fn first(&mut self) {
        self.asked = self.waiting.front().map_or(Timestamp::MIN, |first| first.next);
    }
}

/// How long until `at`.
pub(super) fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
