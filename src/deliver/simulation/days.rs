//! Three days, and more than a week, with a sink that is away.

use super::world::{ModelSink, POLICY, World, answered, at, seconds};
use crate::deliver::retry::Outcome;
use crate::outbox::Queued;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const HOUR: f64 = 3600.0;

/// How a sink is away.
#[derive(Debug, Clone, Copy)]
enum Away {
    Refuses,
    Hangs,
    /// The status comes at once, and then a byte a second of the body, so that the connection is of no more use.
    Drips,
    Fails,
    Unauthorized,
}

struct AwayUntil {
    away: Away,
    back: f64,
    taken: BTreeSet<String>,
    arrivals: Vec<f64>,
    at_once: Vec<(f64, f64)>,
}

impl ModelSink for AwayUntil {
    fn take(&mut self, queued: &Queued, now: Timestamp) -> (Duration, Outcome) {
        let now = seconds(now);
        if now >= self.back {
            self.taken.insert(queued.id.to_string());
            return (Duration::from_millis(5), answered(202, None));
        }
        self.arrivals.push(now);
        let (took, outcome) = match self.away {
            Away::Refuses => (Duration::from_millis(1), Outcome::Unanswered("refused".into())),
            Away::Hangs => (POLICY.timeout, Outcome::Unanswered("no answer in time".into())),
            Away::Drips => (POLICY.timeout, answered(503, None)),
            Away::Fails => (Duration::from_millis(5), answered(500, None)),
            Away::Unauthorized => (Duration::from_millis(5), answered(401, None)),
        };
        self.at_once.push((now, now + took.as_secs_f64()));
        (took, outcome)
    }
}

/// An event a minute while the sink is away, and half an hour more.
fn lived_through(away: Away, hours: f64) -> World<AwayUntil> {
    let back = hours * HOUR;
    let sink = AwayUntil { away, back, taken: BTreeSet::new(), arrivals: Vec::new(), at_once: Vec::new() };
    let mut world = World::new(sink, 16, 3);
    let (document, mut number): (Arc<str>, u32) = ("{}".into(), 0);
    while f64::from(number) * 60.0 < back + 0.5 * HOUR {
        let now = at(f64::from(number) * 60.0);
        world.run_until(now);
        world.store.commit(number.to_string(), &format!("app-{}", number % 200).into(), &document, now);
        number += 1;
    }
    world.run_until(at(back + 2.0 * HOUR));
    world
}

#[test]
fn three_days_away_cost_a_probe_a_minute_and_lose_nothing() {
    for away in [Away::Refuses, Away::Hangs, Away::Drips, Away::Fails, Away::Unauthorized] {
        let mut world = lived_through(away, 72.0);
        assert!(world.store.is_empty() && world.store.dead.is_empty(), "{away:?}");
        assert_eq!(world.sink.taken.len(), 72 * 60 + 30, "{away:?}");
        let attempts = world.sink.arrivals.len();
        eprintln!("{away:?}: {attempts} attempts in 72 h");
        let most = if matches!(away, Away::Unauthorized) { 72 * 4 + 16 } else { 72 * 120 + 100 };
        assert!(attempts <= most, "{away:?}: {attempts} attempts");
        assert!(attempts >= 72 * 4 - 4, "{away:?}: {attempts} attempts, it's looked after all the time");
        // After the first five failures there is one at a time.
        let probes = &world.sink.at_once[16.min(attempts)..];
        assert!(probes.windows(2).all(|pair| pair[1].0 >= pair[0].1), "{away:?}");
        let buckets = world.buckets();
        assert!(buckets[60..].iter().all(|bucket| *bucket <= 10_000), "{away:?}");
        assert!(world.most_loaded <= 2048 + 256, "{away:?}: {} in memory", world.most_loaded);
    }
}

#[test]
fn after_a_week_events_are_given_up_one_by_one_and_later_ones_live() {
    let mut world = lived_through(Away::Refuses, 8.0 * 24.0);
    assert!(world.store.is_empty());
    let dead = world.store.dead.len();
    assert!(dead > 0, "those of the first day were too old");
    assert_eq!(world.sink.taken.len() + dead, 8 * 24 * 60 + 30);
    let too_old = world.store.dead.iter().all(|id| id.parse::<f64>().unwrap() * 60.0 <= 24.0 * HOUR);
    assert!(too_old, "nothing was given up before its time");
}
