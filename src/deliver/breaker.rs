//! Whether a sink may be tried at all: closed, open, or half open with one probe under way. Pure: time and dice come in.
//!
//! It opens after some failures in a row, and when most of many attempts fail. From then on one event at a time is tried, at
//! growing intervals, until one gets through. What was under way when it opened decides nothing any more: only the probe
//! does.

use super::recent::Recent;
use super::retry::{Policy, after};
use jiff::Timestamp;
use std::time::Duration;

/// Failures in a row that open it.
const IN_A_ROW: u32 = 5;
/// Attempts within [`recent::SPAN`](super::recent::SPAN) from which on a half of failures opens it.
const ENOUGH: u32 = 20;
/// The longest that a failing sink is left alone: a probe a minute costs nobody anything, and finds it soon after its return.
const PROBE_AT_LEAST: Duration = Duration::from_secs(60);

/// The state of one sink.
#[derive(Debug, Clone)]
pub(super) struct Breaker {
    state: State,
    parked: bool,
    /// Grows with every change of state, so that attempts from before a change are known.
    epoch: u64,
    in_a_row: u32,
    recent: Recent,
    failed_probes: u32,
    shortest: Duration,
    longest: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    /// Nothing goes before that time; then one probe.
    Open {
        until: Timestamp,
    },
    /// One probe is under way.
    HalfOpen,
}

/// What an attempt was begun with, and is reported with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pass(u64);

/// A change that operators want to know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The sink fails, and is only probed.
    Opened,
    /// The sink refuses everything, and is probed at the longest interval.
    Parked,
    /// It takes events again.
    Closed,
}

impl Breaker {
    /// A closed one, which probes at intervals from the policy's shortest wait on.
    pub(super) fn new(policy: &Policy) -> Self {
        Self {
            state: State::Closed,
            parked: false,
            epoch: 0,
            in_a_row: 0,
            recent: Recent::default(),
            failed_probes: 0,
            shortest: policy.initial,
            longest: policy.max.min(PROBE_AT_LEAST),
        }
    }

    /// Whether it's closed: the sink is there, as far as is known.
    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// From when on an attempt may begin; never, while a probe is under way.
    pub(super) fn next(&self) -> Option<Timestamp> {
        match self.state {
            State::Closed => Some(Timestamp::MIN),
            State::Open { until } => Some(until),
            State::HalfOpen => None,
        }
    }

    /// An attempt begins, which [`next`](Self::next) allowed.
    pub(super) fn begin(&mut self) -> Pass {
        if matches!(self.state, State::Open { .. }) {
            self.turn(State::HalfOpen);
        }
        Pass(self.epoch)
    }

    /// The sink took an event, or refused that one alone: it's there.
    pub(super) fn succeeded(&mut self, pass: Pass, now: Timestamp) -> Option<Change> {
        if pass.0 != self.epoch {
            return None;
        }
        self.in_a_row = 0;
        if self.is_closed() {
            self.recent.count(now, false);
            return None;
        }
        self.turn(State::Closed);
        self.recent = Recent::default();
        (self.failed_probes, self.parked) = (0, false);
        Some(Change::Closed)
    }

    /// The sink didn't take an event that it should, and mustn't be tried before `asked`.
    pub(super) fn failed(&mut self, pass: Pass, now: Timestamp, asked: Timestamp, dice: f64) -> Option<Change> {
        if pass.0 != self.epoch {
            return None;
        }
        let was_closed = self.is_closed();
        if was_closed {
            self.in_a_row += 1;
            self.recent.count(now, true);
            if self.in_a_row < IN_A_ROW && !self.recent.mostly_failed(ENOUGH) {
                return None;
            }
        } else {
            self.failed_probes = self.failed_probes.saturating_add(1);
        }
        self.turn(State::Open { until: self.interval(now, dice).max(asked) });
        was_closed.then_some(Change::Opened)
    }

    /// The sink wants to be tried later: that says neither that it's there for everything nor that it fails.
    pub(super) fn put_off(&mut self, pass: Pass, now: Timestamp, asked: Timestamp, dice: f64) {
        if pass.0 == self.epoch && !self.is_closed() {
            self.turn(State::Open { until: self.interval(now, dice).max(asked) });
        }
    }

    /// The sink refuses everything; the next probe goes at `at`.
    pub(super) fn park(&mut self, pass: Pass, at: Timestamp) -> Option<Change> {
        if pass.0 != self.epoch {
            return None;
        }
        self.turn(State::Open { until: at });
        let known = std::mem::replace(&mut self.parked, true);
        (!known).then_some(Change::Parked)
    }

    /// The attempt told nothing of the sink.
    pub(super) fn withdraw(&mut self, pass: Pass) {
        if pass.0 == self.epoch && self.state == State::HalfOpen {
            self.turn(State::Open { until: Timestamp::MIN });
        }
    }

    /// From half to the whole of an interval that doubles with every probe that failed.
    fn interval(&self, now: Timestamp, dice: f64) -> Timestamp {
        let doubled = self.shortest.saturating_mul(2_u32.saturating_pow(self.failed_probes.min(31)));
        after(now, doubled.min(self.longest).mul_f64(0.5 + dice.clamp(0.0, 1.0) / 2.0))
    }

    fn turn(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests;
