//! Random histories of one sink: notifications that come in, are told again or not, a sink of many moods, and kills at any time.
//!
//! In each: nothing is tried sooner than the sink asked; what was acknowledged is delivered, or dead when the sink refuses it for what it is; nothing else is; ids stay; keys
//! keep their order. A history that fails prints its seed.

use super::world::{ModelSink, POLICY, World, answered, at, seconds};
use crate::deliver::dice::Dice;
use crate::deliver::retry::Outcome;
use crate::outbox::Queued;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How a sink answers for some time.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Well,
    Refuses,
    Hangs,
    /// It takes the event, and its answer is lost.
    Forgets,
    Fails,
    Flaky,
    TooMany(u32),
    Unauthorized,
}

struct Moody {
    dice: Dice,
    /// From when on which mood.
    moods: BTreeMap<u64, Mood>,
    /// Ids that it refuses for what they are.
    poison: BTreeSet<String>,
    /// Ids in the order in which they were taken, with key and place.
    taken: Vec<(String, Arc<str>, i64)>,
    /// What it asked of this life of the proxy: when that was heard, and until when it wants nothing.
    asked: Vec<(f64, f64)>,
    seed: u64,
}

impl Moody {
    fn new(seed: u64, last_change: u64) -> Self {
        let mut dice = Dice::seeded(seed.wrapping_mul(31).wrapping_add(7));
        let mut moods = BTreeMap::from([(0, Mood::Well)]);
        for _ in 0..pick(&mut dice, 8) {
            let mood = match pick(&mut dice, 8) {
                0 => Mood::Well,
                1 => Mood::Refuses,
                2 => Mood::Hangs,
                3 => Mood::Forgets,
                4 => Mood::Fails,
                5 => Mood::Flaky,
                6 => Mood::TooMany(u32::try_from(pick(&mut dice, 120)).unwrap()),
                _ => Mood::Unauthorized,
            };
            moods.insert(pick(&mut dice, last_change), mood);
        }
        moods.insert(last_change, Mood::Well);
        Self { dice, moods, poison: BTreeSet::new(), taken: Vec::new(), asked: Vec::new(), seed }
    }

    fn takes(&mut self, queued: &Queued) -> Outcome {
        if self.poison.contains(&*queued.id) {
            return answered(422, None);
        }
        self.taken.push((queued.id.to_string(), Arc::clone(&queued.key), queued.seq));
        answered(202, None)
    }
}

impl ModelSink for Moody {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and small")]
    fn take(&mut self, queued: &Queued, now: Timestamp) -> (Duration, Outcome) {
        // Timers are 10 ms early at most.
        let early = self.asked.iter().any(|(heard, until)| *heard < seconds(now) && seconds(now) + 0.011 < *until);
        assert!(!early, "seed {}: tried at {now} though it had asked for more time", self.seed);
        let mood = *self.moods.range(..=seconds(now) as u64).next_back().unwrap().1;
        let soon = Duration::from_secs_f64(0.001 + 0.2 * self.dice.roll());
        match mood {
            Mood::Well => (soon, self.takes(queued)),
            Mood::Refuses => (soon, Outcome::Unanswered("refused".into())),
            Mood::Hangs => (POLICY.timeout, Outcome::Unanswered("no answer in time".into())),
            Mood::Forgets => {
                self.takes(queued);
                (POLICY.timeout, Outcome::Unanswered("the connection broke".into()))
            }
            Mood::Fails => (soon, answered(500, None)),
            Mood::Flaky if self.dice.roll() < 0.5 => (soon, self.takes(queued)),
            Mood::Flaky => (soon, answered(502, None)),
            Mood::TooMany(retry_after) => {
                let heard = seconds(now) + soon.as_secs_f64();
                self.asked.push((heard, heard + f64::from(retry_after)));
                (soon, answered(429, Some(retry_after)))
            }
            Mood::Unauthorized => (soon, answered(401, None)),
        }
    }

    fn proxy_died(&mut self) {
        self.asked.clear();
    }
}

fn pick(dice: &mut Dice, below: u64) -> u64 {
    dice.bits() % below.max(1)
}

/// What the sender knows, and what the store's transactions keep.
#[derive(Default)]
struct Told {
    said: BTreeSet<String>,
    acked: BTreeSet<String>,
    sent: BTreeSet<String>,
}

fn live(seed: u64) {
    let mut dice = Dice::seeded(seed);
    // Minutes in most, days in some.
    let last_change = if pick(&mut dice, 8) == 0 { 3 * 86_400 } else { 60 + pick(&mut dice, 3600) };
    let mut world = World::new(Moody::new(seed, last_change), 1 + usize::try_from(pick(&mut dice, 16)).unwrap(), seed);
    let (mut told, document): (Told, Arc<str>) = (Told::default(), "{}".into());
    let keys: Vec<Arc<str>> = (0..=pick(&mut dice, 6)).map(|key| format!("app-{key}").into()).collect();
    let mut steps: Vec<u64> = (0..20 + pick(&mut dice, 60)).map(|_| pick(&mut dice, last_change)).collect();
    steps.sort_unstable();
    for (number, step) in steps.into_iter().enumerate() {
        world.run_until(at(f64::from(u32::try_from(step).unwrap())));
        let id = format!("event-{number}");
        if pick(&mut dice, 20) == 0 {
            world.sink.poison.insert(id.clone());
        }
        tell(&mut world, &mut told, &mut dice, &id, &keys[number % keys.len()], &document);
        if pick(&mut dice, 12) == 0 {
            world.crash();
        }
    }
    let end = f64::from(u32::try_from(last_change).unwrap()) + 2.0 * 86_400.0;
    world.run_until(at(end));
    judge(seed, &mut world, &told);
}

/// Up to four times, as Argo CD does; each may die before or after the commit.
fn tell(world: &mut World<Moody>, told: &mut Told, dice: &mut Dice, id: &str, key: &Arc<str>, document: &Arc<str>) {
    told.sent.insert(id.to_owned());
    for _ in 0..4 {
        let fate = pick(dice, 10);
        if fate == 0 {
            world.crash();
            continue;
        }
        if told.said.insert(id.to_owned()) {
            world.store.commit(id.to_owned(), key, document, world.now);
        }
        if fate == 1 {
            world.crash();
            continue;
        }
        told.acked.insert(id.to_owned());
        if fate != 2 {
            return;
        }
    }
}

fn judge(seed: u64, world: &mut World<Moody>, told: &Told) {
    assert!(world.store.is_empty(), "seed {seed}: {:?} wait for ever", world.store.rows.values());
    let taken: BTreeSet<String> = world.sink.taken.iter().map(|(id, ..)| id.clone()).collect();
    let dead: BTreeSet<String> = world.store.dead.iter().cloned().collect();
    assert!(dead.is_subset(&world.sink.poison), "seed {seed}: {dead:?} was given up");
    for id in &told.acked {
        assert!(taken.contains(id) || dead.contains(id), "seed {seed}: {id} was acknowledged and is lost");
    }
    assert!(taken.is_subset(&told.sent) && taken.is_subset(&told.said), "seed {seed}: something was invented");
    let mut latest: BTreeMap<&Arc<str>, i64> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for (id, key, seq) in &world.sink.taken {
        if known.insert(id) {
            let before = latest.insert(key, *seq);
            assert!(before.is_none_or(|before| before < *seq), "seed {seed}: {id} came too late for its key");
        }
    }
}

#[test]
fn acknowledged_is_delivered_in_every_history() {
    let seeds = std::env::var("ARGOCD_CDEVENTS_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let from = std::env::var("ARGOCD_CDEVENTS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    for seed in from..from + seeds {
        let lived = std::panic::catch_unwind(|| live(seed));
        assert!(lived.is_ok(), "seed {seed} fails: ARGOCD_CDEVENTS_SEED={seed} ARGOCD_CDEVENTS_SEEDS=1 runs it alone");
    }
}
