//! Whether a sink may be tried at all: closed, open, or half open with one probe. After an outage it ramps up, so that a sink that
//! just came back isn't flooded.

use jiff::Timestamp;

/// Failures in a row that open it.
const OPENS_AFTER: u32 = 5;

/// The state of one sink.
#[derive(Debug, Clone)]
pub struct Breaker {
    state: State,
    failures: u32,
    most: usize,
    /// How many attempts at a time are allowed now.
    allowed: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    /// Nothing goes before that time; then one probe.
    Open {
        until: Timestamp,
        parked: bool,
    },
    /// One probe is under way.
    HalfOpen {
        parked: bool,
    },
}

impl Breaker {
    /// Closed, with `most` attempts at a time.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { state: State::Closed, failures: 0, most, allowed: most }
    }

    /// Attempts that may be under way at `now`.
    #[must_use]
    pub fn allowed(&self, now: Timestamp) -> usize {
        match self.state {
            State::Closed => self.allowed,
            State::Open { until, .. } if now >= until => 1,
            State::Open { .. } => 0,
            State::HalfOpen { .. } => 1,
        }
    }

    /// An attempt begins.
    pub fn begin(&mut self) {
        if let State::Open { parked, .. } = self.state {
            self.state = State::HalfOpen { parked };
        }
    }

    /// When the next attempt may begin, while nothing may now.
    #[must_use]
    pub fn opens_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Open { until, .. } => Some(until),
            _ => None,
        }
    }

    /// The sink took an event, or refused that one alone: it's there. Says whether it had been parked.
    pub fn succeeded(&mut self) -> bool {
        let was = std::mem::replace(&mut self.state, State::Closed);
        self.failures = 0;
        if was == State::Closed {
            self.allowed = (self.allowed + 1).min(self.most);
            return false;
        }
        // Slow start: one more at a time with every success.
        self.allowed = 2.min(self.most);
        matches!(was, State::Open { parked: true, .. } | State::HalfOpen { parked: true })
    }

    /// The sink didn't take an event that it should; the next attempt may begin at `at`.
    pub fn failed(&mut self, at: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        match self.state {
            State::Open { until, parked } => self.state = State::Open { until: until.max(at), parked },
            State::HalfOpen { parked } => self.state = State::Open { until: at, parked },
            State::Closed if self.failures >= OPENS_AFTER => self.state = State::Open { until: at, parked: false },
            State::Closed => self.allowed = (self.allowed / 2).max(1),
        }
    }

    /// The sink refuses everything. Says whether that's news.
    pub fn park(&mut self, at: Timestamp) -> bool {
        let known = matches!(self.state, State::Open { parked: true, .. } | State::HalfOpen { parked: true });
        self.state = State::Open { until: at, parked: true };
        !known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_probe_goes_when_it_is_time() {
        let mut breaker = Breaker::new(16);
        for _ in 0..OPENS_AFTER {
            breaker.begin();
            breaker.failed(at(10));
        }
        assert_eq!(breaker.allowed(at(9)), 0);
        assert_eq!(breaker.allowed(at(10)), 1);
        breaker.begin();
        assert_eq!(breaker.allowed(at(10)), 1, "and that one is under way");
        breaker.failed(at(30));
        assert_eq!(breaker.allowed(at(29)), 0);
    }

    #[test]
    fn a_sink_that_came_back_is_ramped_up() {
        let mut breaker = Breaker::new(8);
        breaker.park(at(10));
        breaker.begin();
        assert!(breaker.succeeded(), "it had been parked");
        let mut allowed = Vec::new();
        for _ in 0..8 {
            allowed.push(breaker.allowed(at(11)));
            breaker.succeeded();
        }
        assert_eq!(allowed, [2, 3, 4, 5, 6, 7, 8, 8]);
    }

    #[test]
    fn parking_is_news_once() {
        let mut breaker = Breaker::new(1);
        assert!(breaker.park(at(10)));
        breaker.begin();
        assert!(!breaker.park(at(20)));
    }
}
