//! Events of one key arrive in order, whatever fails.

use super::world::{ModelSink, World, answered, at};
use crate::deliver::dice::Dice;
use crate::deliver::retry::Outcome;
use crate::outbox::Queued;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Takes nine of ten.
struct NineOfTen {
    dice: Dice,
    latest: HashMap<Arc<str>, i64>,
    taken: usize,
    inversions: usize,
}

impl ModelSink for NineOfTen {
    fn take(&mut self, queued: &Queued, _now: Timestamp) -> (Duration, Outcome) {
        let took = Duration::from_secs_f64(0.001 + 0.05 * self.dice.roll());
        if self.dice.roll() < 0.1 {
            return (took, answered(503, None));
        }
        let latest = self.latest.entry(Arc::clone(&queued.key)).or_insert(0);
        self.inversions += usize::from(queued.seq <= *latest);
        *latest = queued.seq;
        self.taken += 1;
        (took, answered(202, None))
    }
}

#[test]
fn a_hundred_thousand_events_keep_the_order_of_their_keys_while_a_tenth_fails() {
    let sink = NineOfTen { dice: Dice::seeded(7), latest: HashMap::new(), taken: 0, inversions: 0 };
    let mut world = World::new(sink, 16, 7);
    world.backlog(100_000, 500);
    world.run_until(at(86_400.0));
    assert!(world.store.is_empty());
    assert_eq!((world.sink.taken, world.sink.inversions), (100_000, 0));
    assert!(world.began.len() > 105_000, "a tenth failed: {}", world.began.len());
}
