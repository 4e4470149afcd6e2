//! How fast a sink is sent to. Pure: time comes in.
//!
//! Nothing is held back until a sink was away or says that it's too much. After an outage the rate begins low and doubles
//! every second, and so do attempts at a time grow; a sink that says "too much" (429, or 503 with `Retry-After`) is left alone
//! for as long as it asks, then gets three quarters of what it had, and a tenth more every second. Attempts are spread evenly.

use super::retry::after;
use jiff::Timestamp;
use std::time::Duration;

/// Attempts a second right after an outage.
const FIRST: f64 = 10.0;
/// Attempts a second from which on nothing is held back.
const FREE: f64 = 10_000.0;
/// The least that a rate is cut to.
const LEAST: f64 = 1.0;
/// What is left of a rate that was too much.
const CUT: f64 = 0.75;
/// By how much the rate grows in a second: up to what was well before, and above.
const UP_TO_KNOWN: f64 = 2.0;
const ABOVE: f64 = 1.1;
/// Seconds after an outage in which attempts at a time grow from one to all.
const WIDENS: usize = 16;
/// By how much an attempt may be early, so that a timer's tick isn't lost.
const EARLY: jiff::SignedDuration = jiff::SignedDuration::from_millis(10);

/// The rate of one sink.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    limit: Option<Limit>,
    /// Where the next attempt belongs.
    due: Timestamp,
    /// When the sink came back last.
    back: Option<Timestamp>,
    /// When the rate was cut last.
    cut: Timestamp,
    flow: Flow,
}

/// A rate as a function of time.
#[derive(Debug, Clone, Copy)]
struct Limit {
    from: f64,
    known: f64,
    since: Timestamp,
}

impl Pace {
    /// From when on the next attempt may begin.
    pub(super) fn next(&self) -> Timestamp {
        self.due.checked_sub(EARLY).unwrap_or(Timestamp::MIN)
    }

    /// How many of `most` attempts may be under way.
    pub(super) fn at_a_time(&self, most: usize, now: Timestamp) -> usize {
        let steps = self.back.map_or(WIDENS, |back| usize::try_from(now.duration_since(back).as_secs()).unwrap_or(0));
        if steps >= WIDENS { most } else { most.min(1 + steps * most.div_ceil(WIDENS)) }
    }

    /// When one more than now may be under way without the end of another.
    pub(super) fn widens(&self, most: usize, now: Timestamp) -> Option<Timestamp> {
        let back = self.back.filter(|_| self.at_a_time(most, now) < most)?;
        let whole = u64::try_from(now.duration_since(back).as_secs()).unwrap_or(0);
        Some(after(back, Duration::from_secs(whole + 1)))
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.flow.count(now);
        let Some(limit) = self.limit else { return };
        let rate = limit.rate(now);
        if rate >= FREE {
            self.limit = None;
        }
        self.due = after(self.due.max(now), Duration::from_secs_f64(1.0 / rate));
    }

    /// The sink takes events again after an outage.
    pub(super) fn came_back(&mut self, now: Timestamp) {
        let known = self.limit.map_or(FREE, |limit| limit.known);
        self.limit = Some(Limit { from: FIRST.min(known), known, since: now });
        self.back = Some(now);
        self.due = self.due.max(now);
    }

    /// The sink said, to an attempt that began at `began`, that it's too much, and wants nothing before `asked`.
    pub(super) fn refused(&mut self, began: Timestamp, now: Timestamp, asked: Timestamp) {
        self.due = self.due.max(asked);
        let since = asked.max(now);
        // Those that were under way together are told together: that's one cut.
        if began <= self.cut {
            if let Some(limit) = &mut self.limit {
                limit.since = limit.since.max(since);
            }
            return;
        }
        let sent = self.flow.per_second(now);
        let had = self.limit.map_or(sent, |limit| sent.clamp(limit.rate(now) / 2.0, limit.rate(now)));
        let known = (had * CUT).max(LEAST);
        self.limit = Some(Limit { from: known, known, since });
        self.cut = now;
    }

    /// Attempts a second that are allowed, while there is a limit.
    pub(super) fn rate(&self, now: Timestamp) -> Option<f64> {
        self.limit.map(|limit| limit.rate(now))
    }
}

impl Limit {
    fn rate(&self, now: Timestamp) -> f64 {
        let seconds = now.duration_since(self.since).as_secs_f64().max(0.0);
        let climb = (self.known / self.from).log2().max(0.0);
        let rate = if seconds <= climb {
            self.from * UP_TO_KNOWN.powf(seconds)
        } else {
            self.known * ABOVE.powf(seconds - climb)
        };
        rate.min(FREE)
    }
}

/// Attempts of this second and the one before.
#[derive(Debug, Clone, Copy, Default)]
struct Flow {
    second: i64,
    now: u32,
    before: u32,
}

impl Flow {
    fn count(&mut self, now: Timestamp) {
        let second = now.as_second();
        if second != self.second {
            self.before = if second == self.second + 1 { self.now } else { 0 };
            (self.second, self.now) = (second, 0);
        }
        self.now += 1;
    }

    /// In the second that ends now, as if those of the second before had been even.
    fn per_second(&self, now: Timestamp) -> f64 {
        let gone = f64::from(now.subsec_nanosecond()) / 1e9;
        match now.as_second() - self.second {
            0 => f64::from(self.before) * (1.0 - gone) + f64::from(self.now),
            1 => f64::from(self.now) * (1.0 - gone),
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, Duration::from_secs_f64(seconds))
    }

    /// Attempts by the second, of a sender that always has more.
    fn sent(pace: &mut Pace, from: f64, seconds: usize) -> Vec<usize> {
        let (mut now, mut buckets) = (at(from), vec![0; seconds]);
        loop {
            now = now.max(pace.next());
            let second = now.duration_since(at(from)).as_secs_f64().floor();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
            let Some(bucket) = buckets.get_mut(second as usize) else { return buckets };
            *bucket += 1;
            pace.begin(now);
        }
    }

    #[test]
    fn after_an_outage_the_rate_begins_low_and_doubles_until_it_is_free() {
        let mut pace = Pace::default();
        assert!(pace.next() <= at(0.0), "nothing is held back");
        pace.came_back(at(100.0));
        let buckets = sent(&mut pace, 100.0, 6);
        // The integral of 10 · 2^t over each second.
        for (bucket, right) in buckets.iter().zip([14.4, 28.9, 57.7, 115.4, 230.8, 461.7]) {
            #[allow(clippy::cast_precision_loss, reason = "small")]
            let off = (*bucket as f64 - right).abs();
            assert!(off <= 2.0 + right / 20.0, "{buckets:?}");
        }
        pace.begin(at(111.0));
        assert_eq!(pace.rate(at(111.0)), None, "free after ten seconds");
    }

    #[test]
    fn attempts_at_a_time_grow_from_one_to_all() {
        let mut pace = Pace::default();
        assert_eq!(pace.at_a_time(16, at(0.0)), 16);
        pace.came_back(at(10.0));
        let widths: Vec<usize> = [10.0, 10.9, 11.0, 14.0, 25.0, 26.0].map(|t| pace.at_a_time(16, at(t))).into();
        assert_eq!(widths, [1, 1, 2, 5, 16, 16]);
        assert_eq!(pace.at_a_time(1, at(10.0)), 1);
        assert_eq!(pace.at_a_time(256, at(12.0)), 33);
    }

    #[test]
    fn too_much_is_one_cut_for_all_that_were_under_way() {
        let mut pace = Pace::default();
        for n in 0..100 {
            pace.begin(at(f64::from(n) / 100.0));
        }
        pace.refused(at(0.98), at(1.0), at(3.0));
        pace.refused(at(0.99), at(1.01), at(2.0));
        let rate = pace.rate(at(3.0)).unwrap();
        assert!((rate - 75.0).abs() < 2.0, "{rate}");
        assert!(pace.next() > at(2.98) && pace.next() <= at(3.0), "it's left alone for as long as it asks");
        pace.begin(at(3.0));
        pace.refused(at(3.0), at(3.1), at(3.1));
        assert!(pace.rate(at(3.1)).unwrap() < rate / 2.0);
    }

    #[test]
    fn a_rate_that_was_cut_grows_by_a_tenth_a_second_and_is_known_after_an_outage() {
        let mut pace = Pace::default();
        for n in 0..40 {
            pace.begin(at(f64::from(n) / 40.0));
        }
        pace.refused(at(0.99), at(1.0), at(1.0));
        let near = |pace: &Pace, t: f64, right: f64| {
            let rate = pace.rate(at(t)).unwrap();
            assert!((rate - right).abs() < right / 15.0, "{rate} at {t}, not {right}");
        };
        near(&pace, 1.0, 30.0);
        near(&pace, 2.0, 33.0);
        pace.came_back(at(100.0));
        near(&pace, 101.0, 20.0);
        near(&pace, 103.0, 34.0);
    }

    #[test]
    fn no_rate_is_cut_below_one_a_second() {
        let mut pace = Pace::default();
        for n in 0..50 {
            pace.begin(at(f64::from(n)));
            pace.refused(at(f64::from(n)), at(f64::from(n) + 0.1), at(0.0));
        }
        assert!(pace.rate(at(50.0)).unwrap() >= 1.0);
    }
}
