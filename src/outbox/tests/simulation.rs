//! Random histories of a store that fails, fills up and dies: notifications of a few owners at once, each translated from what its
//! owner remembers; held events; sinks that take, refuse and are cut off before they settle.
//!
//! `ARGOCD_CDEVENTS_SEEDS=1000` for more than the ordinary run's, `ARGOCD_CDEVENTS_SEED=17` for one of them.

use super::twin::{Fault, Twin};
use super::*;
use futures_util::future::join_all;
use std::sync::atomic::{AtomicBool, Ordering};

const OWNERS: usize = 3;
const SINKS: [&str; 2] = ["a", "b"];

/// Numbers that depend on the seed alone.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }
}

/// How an event goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    AtOnce,
    /// Held for a moment.
    Soon,
    /// Held for longer than the history lasts.
    Late,
}

/// A notification of an owner: one event, and whether it drops what is held for long.
#[derive(Debug, Clone)]
struct Told {
    owner: usize,
    number: usize,
    how: How,
    drops: bool,
}

impl Told {
    fn id(&self) -> String {
        format!("{}-{}", self.owner, self.number)
    }

    fn key(&self) -> String {
        format!("k{}", self.owner)
    }

    /// As a translation has it: from what is remembered now.
    fn accepted(&self, mut memory: Map<String, Value>) -> Accepted {
        let id = self.id();
        memory.insert("last".to_owned(), json!({"is": self.number}));
        let mut event = outgoing(&id);
        event.sinks = SINKS.iter().map(|sink| (Arc::from(*sink), SpecVersion::NEWEST)).collect();
        let wait = match self.how {
            How::AtOnce => None,
            How::Soon => Some(SignedDuration::from_millis(3)),
            How::Late => Some(SignedDuration::from_hours(1)),
        };
        event.hold = wait.map(|wait| HeldUntil {
            name: if self.how == How::Late { "late".into() } else { id.clone() },
            until: Timestamp::now() + wait,
            remember: json!({format!("released {id}"): {}}).as_object().unwrap().clone(),
            forget: Vec::new(),
        });
        let drop = if self.drops { vec!["late".to_owned()] } else { Vec::new() };
        let change = RoutedChange { owner: owner(&self.key()), memory: Some(memory), drop, outgoing: vec![event] };
        Accepted { changes: vec![change], dead: None }
    }
}

/// What is known of the world outside of the store; it outlives every crash.
#[derive(Default)]
struct World {
    told: Vec<(Told, bool)>,
    /// By sink and id: the places under which it came.
    came: BTreeMap<(&'static str, String), BTreeSet<i64>>,
}

/// One life of the store.
struct Life {
    outbox: Outbox,
    dead: Arc<AtomicBool>,
    windows: Vec<(&'static str, Window)>,
    at_hand: Vec<(&'static str, Queued)>,
}

impl Life {
    fn start(dir: &TempDir, fault: Option<(usize, Fault)>) -> Self {
        let options = OutboxOptions { quota: 16 << 20, ..OPTIONS };
        let (outbox, dead) = Twin::open(dir, options, fault);
        let windows = SINKS.iter().map(|sink| (*sink, outbox.window(sink))).collect();
        Self { outbox, dead, windows, at_hand: Vec::new() }
    }

    /// Nothing that is under way gets to the disk.
    async fn kill(self) {
        self.dead.store(true, Ordering::SeqCst);
        self.outbox.close().await;
    }

    /// Several owners at once, each its own next notification or one that failed before; the next waits for its answer.
    async fn tell(&self, world: &mut World, told: Vec<Told>) {
        let answers = join_all(told.iter().map(|one| self.translate_and_commit(one))).await;
        for (one, acknowledged) in told.into_iter().zip(answers) {
            world.told.push((one, acknowledged));
        }
    }

    async fn translate_and_commit(&self, told: &Told) -> bool {
        let owner = owner(&told.key());
        loop {
            let basis = self.outbox.basis(std::slice::from_ref(&owner));
            let memory = self.outbox.memory(&owner);
            tokio::task::yield_now().await;
            match self.outbox.commit_on(basis, told.accepted(memory)).await {
                Ok(_) => return true,
                Err(OutboxError::Overtaken) => {}
                Err(OutboxError::Full | OutboxError::Failed(_) | OutboxError::Closed) => return false,
                Err(other) => panic!("{other}"),
            }
        }
    }

    /// Sinks take what is there, and settle some of it.
    fn deliver(&mut self, world: &mut World, dice: &mut Dice, settle_all: bool) {
        for (sink, window) in &mut self.windows {
            for queued in window.take(1 + dice.roll(8), 1 << 20) {
                assert!(*queued.document == *outgoing(&queued.id).documents[0].1, "altered: {}", queued.document);
                world.came.entry((*sink, queued.id.to_string())).or_default().insert(queued.seq);
                self.at_hand.push((*sink, queued));
            }
        }
        let settled = if settle_all { self.at_hand.len() } else { dice.roll(self.at_hand.len() + 1) };
        for (sink, queued) in self.at_hand.drain(..settled) {
            let again = !settle_all && dice.roll(5) == 0;
            let settled = if again {
                Settled::Again { attempts: 1, next: Timestamp::now(), error: "503".to_owned() }
            } else {
                Settled::Delivered
            };
            self.outbox.settle(Settlement { sink: sink.into(), seq: queued.seq, settled });
        }
    }
}

fn fault(dice: &mut Dice) -> Option<(usize, Fault)> {
    let at = dice.roll(10);
    match dice.roll(5) {
        0 => Some((at, Fault::Before)),
        1 => Some((at, Fault::After)),
        2 => Some((at, Fault::Full(dice.roll(3)))),
        _ => None,
    }
}

async fn history(seed: u64) {
    let mut dice = Dice(seed);
    let memory = std::path::Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempdir().unwrap() };
    let (mut world, mut next) = (World::default(), [0; OWNERS]);
    for _ in 0..2 + dice.roll(4) {
        let mut life = Life::start(&dir, fault(&mut dice));
        for _ in 0..dice.roll(12) {
            let mut told = Vec::new();
            for (owner, next) in next.iter_mut().enumerate().take(1 + dice.roll(OWNERS)) {
                // Argo CD says again what wasn't acknowledged, mostly.
                let failed = world.told.iter().rev().find(|(one, _)| one.owner == owner).filter(|(_, acked)| !acked);
                let again = failed.filter(|_| dice.roll(4) > 0).map(|(one, _)| one.clone());
                told.push(again.unwrap_or_else(|| {
                    *next += 1;
                    let how = [How::AtOnce, How::AtOnce, How::Soon, How::Late][dice.roll(4)];
                    Told { owner, number: *next, how, drops: dice.roll(4) == 0 }
                }));
            }
            life.tell(&mut world, told).await;
            life.deliver(&mut world, &mut dice, false);
        }
        if dice.roll(3) == 0 {
            life.outbox.close().await;
        } else {
            life.kill().await;
        }
    }
    let mut life = Life::start(&dir, None);
    drain(&mut life, &mut world, &mut dice).await;
    check(&life.outbox, &world);
    life.outbox.close().await;
}

/// Until nothing waits any more but what is held for long.
async fn drain(life: &mut Life, world: &mut World, dice: &mut Dice) {
    let soon = Timestamp::now() + SignedDuration::from_mins(30);
    for _ in 0..10_000 {
        life.deliver(world, dice, true);
        life.outbox.commit(Accepted::default()).await.unwrap();
        if life.outbox.waiting(None, 1000).unwrap().iter().all(|row| row.held_until.is_some_and(|until| until > soon)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never ends");
}

fn check(outbox: &Outbox, world: &World) {
    for ((sink, id), places) in &world.came {
        assert!(world.told.iter().any(|(one, _)| one.id() == *id), "{id} was invented for {sink}");
        assert_eq!(places.len(), 1, "{id} was queued more than once for {sink}");
    }
    let held: BTreeSet<String> = outbox.waiting(None, 1000).unwrap().into_iter().map(|row| row.id).collect();
    let came = |id: &str| SINKS.map(|sink| world.came.contains_key(&(sink, id.to_owned())));
    for (index, (one, acknowledged)) in world.told.iter().enumerate() {
        let id = one.id();
        assert_eq!(outbox.said(&id), came(&id) == [true, true], "{id}");
        let dropped = |acked: bool| {
            let mut since = world.told[index + 1..].iter().filter(|(other, _)| other.owner == one.owner);
            since.any(|(other, a)| other.drops && other.number != one.number && (*a || !acked))
        };
        let told_again = world.told[index + 1..].iter().any(|(other, _)| other.id() == id);
        match one.how {
            How::Late => {
                assert_eq!(came(&id), [false, false], "{id} was held");
                assert!(!held.contains(&id) || told_again || !dropped(true), "{id} was dropped");
                assert!(held.contains(&id) || !acknowledged || dropped(false), "{id} was lost while it was held");
            }
            How::AtOnce | How::Soon => assert!(!acknowledged || came(&id) == [true, true], "{id} was lost"),
        }
        let released = outbox.memory(&owner(&one.key())).contains_key(&format!("released {id}"));
        assert_eq!(released, one.how == How::Soon && outbox.said(&id), "{id} and its memory go together");
    }
    for owner_number in 0..OWNERS {
        let mut theirs = world.told.iter().rev().filter(|(one, _)| one.owner == owner_number);
        let mut possible: Vec<Option<usize>> = Vec::new();
        let last = theirs.find_map(|(one, acked)| {
            possible.push(Some(one.number));
            acked.then_some(())
        });
        if last.is_none() {
            possible.push(None);
        }
        let memory = outbox.memory(&owner(&format!("k{owner_number}")));
        let is = memory.get("last").and_then(|last| last["is"].as_u64()).map(|is| usize::try_from(is).unwrap());
        assert!(possible.contains(&is), "owner {owner_number} remembers {is:?}, possible {possible:?}");
    }
}

#[test]
fn whatever_fails_nothing_acknowledged_is_lost_and_nothing_is_invented() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("ARGOCD_CDEVENTS_SEED") {
        Some(one) => one..one + 1,
        None => 0..number("ARGOCD_CDEVENTS_SEEDS").unwrap_or(200),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for seed in seeds {
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(history(seed))));
        assert!(run.is_ok(), "ARGOCD_CDEVENTS_SEED={seed}");
    }
}
