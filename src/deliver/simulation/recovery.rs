//! A sink comes back to a backlog, and takes fifty a second.
//!
//! `ARGOCD_CDEVENTS_BACKLOG=100000 cargo test --lib simulation::recovery -- --nocapture` for as many events; 20,000 otherwise.

use super::world::{ModelSink, World, answered, at, seconds};
use crate::deliver::retry::Outcome;
use crate::outbox::Queued;
use jiff::Timestamp;
use std::time::Duration;

/// When it comes back, in seconds.
const BACK: f64 = 600.0;
const TAKES: usize = 50;

/// How it says that more is too much.
#[derive(Debug, Clone, Copy)]
enum Says {
    TooManyRequests(Option<u32>),
    Unavailable(u32),
    /// It says nothing, and serves one after another.
    Slow,
}

struct Fifty {
    says: Says,
    /// Fraction of a second's share that is there now, at most a tenth of a second's.
    share: f64,
    filled: f64,
    /// When it's through with what it has, if it serves one after another.
    busy_until: f64,
    answers_in: Duration,
}

impl Fifty {
    fn new(says: Says, answers_in: Duration) -> Self {
        Self { says, share: 1.0, filled: BACK, busy_until: 0.0, answers_in }
    }

    /// One of a bucket that fills with fifty a second.
    fn has_room(&mut self, now: f64) -> bool {
        #[allow(clippy::cast_precision_loss, reason = "fifty")]
        let rate = TAKES as f64;
        self.share = (self.share + (now - self.filled) * rate).min(rate / 10.0);
        self.filled = now;
        let room = self.share >= 1.0;
        self.share -= f64::from(u8::from(room));
        room
    }
}

impl ModelSink for Fifty {
    fn take(&mut self, _queued: &Queued, now: Timestamp) -> (Duration, Outcome) {
        let now = seconds(now);
        if now < BACK {
            return (Duration::from_millis(1), Outcome::Unanswered("refused".into()));
        }
        let refusal = match self.says {
            Says::Slow => {
                self.busy_until = self.busy_until.max(now) + 0.02;
                return (Duration::from_secs_f64(self.busy_until - now), answered(202, None));
            }
            Says::TooManyRequests(retry_after) => answered(429, retry_after),
            Says::Unavailable(retry_after) => answered(503, Some(retry_after)),
        };
        (self.answers_in, if self.has_room(now) { answered(202, None) } else { refusal })
    }
}

#[test]
fn a_sink_that_came_back_gets_no_more_than_it_takes_and_no_burst() {
    let backlog = std::env::var("ARGOCD_CDEVENTS_BACKLOG").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let ways = [Says::TooManyRequests(Some(1)), Says::TooManyRequests(None), Says::Unavailable(1), Says::Slow];
    for (says, answers_in) in ways.into_iter().zip([5, 100, 100, 5]) {
        let mut world = World::new(Fifty::new(says, Duration::from_millis(answers_in)), 16, 1);
        world.backlog(backlog, 5000);
        world.run_until(at(86_400.0));
        assert!(world.store.is_empty(), "{says:?}: all are delivered within a day");
        let buckets = world.buckets();
        let after: Vec<usize> = buckets.into_iter().skip(600).collect();
        // The last second isn't whole.
        let whole = &after[..after.len() - 1];
        let (most, mean) = (*whole.iter().max().unwrap(), whole.iter().sum::<usize>() / whole.len());
        eprintln!("{says:?}, answers in {answers_in} ms: {} s, mean {mean}/s, most {most}/s", whole.len());
        assert!(most <= TAKES + TAKES / 10, "{says:?}: {most} in a second");
        assert!(most <= 2 * mean, "{says:?}: {most} in a second, {mean} in the mean");
    }
}
