//! The same lives through a real outbox that is closed and opened again at every step: what was to be done comes from the disk.
//!
//! Time is virtual. The outbox releases by the clock of the wall, so events are held in it until long after, and the test releases what is due.

use super::{Life, MAPPINGS, arriving, at, is_right, life, lives, seed, source};
use argocd_cdevents::cdevents::SpecVersion;
use argocd_cdevents::notification::{Notification, Request};
use argocd_cdevents::observe::Observe;
use argocd_cdevents::outbox::{Accepted, HeldUntil, Outbox, OutboxOptions, Outgoing, RoutedChange};
use argocd_cdevents::translate::{self, Emission, Owner, Past, Translation};
use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

const SINK: &str = "collector";
/// Lives in an ordinary run.
const LIVES: u32 = 6;

/// What goes wrong at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crash {
    Never,
    /// Between two notifications.
    Between,
    /// When one is translated and not committed: Argo CD tells it again a second later.
    BeforeCommit,
    /// When one is committed and not answered: it's told again, too.
    BeforeAnswer,
}

struct Run<'d> {
    directory: &'d Path,
    /// Absent while it's closed.
    outbox: Option<Outbox>,
    held: Vec<(Owner, Emission)>,
}

fn open(directory: &Path) -> Outbox {
    let long = Duration::from_secs(1 << 30);
    let options = OutboxOptions { quota: 1 << 30, seen_for: long, delivered_for: Duration::ZERO };
    Outbox::open(directory, options, Observe::default()).unwrap()
}

/// An event as it's routed to the one sink.
fn outgoing(emission: &Emission) -> Outgoing {
    let hold = emission.hold.as_ref().map(|hold| HeldUntil {
        name: hold.name.clone(),
        until: Timestamp::now() + SignedDuration::from_hours(24 * 365),
        remember: hold.remember.clone(),
        forget: hold.forget.clone(),
    });
    let event = &emission.event;
    Outgoing {
        id: event.id.clone(),
        kind: event.kind.clone(),
        subject: event.subject_id.clone(),
        documents: vec![(SpecVersion::NEWEST, event.assemble(SpecVersion::NEWEST).to_string().into())],
        sinks: vec![(SINK.into(), SpecVersion::NEWEST)],
        hold,
    }
}

impl<'d> Run<'d> {
    fn new(directory: &'d Path) -> Self {
        Self { directory, outbox: Some(open(directory)), held: Vec::new() }
    }

    fn outbox(&self) -> &Outbox {
        self.outbox.as_ref().unwrap()
    }

    async fn close(&mut self) {
        self.outbox().close().await;
        self.outbox = None;
    }

    /// What was in memory is gone; what is held is what the disk says.
    async fn crash(&mut self) {
        self.close().await;
        self.outbox = Some(open(self.directory));
        let kept = self.outbox().waiting(None, 1000).unwrap();
        let kept: BTreeSet<String> =
            kept.into_iter().filter(|one| one.held_until.is_some()).map(|one| one.id).collect();
        let known: BTreeSet<String> = self.held.iter().map(|(_, held)| held.event.id.clone()).collect();
        assert_eq!(kept, known, "what is held");
    }

    async fn notify(&mut self, now: Timestamp, body: Value, crash: Crash) {
        self.release(now).await;
        if crash == Crash::BeforeCommit {
            drop(self.translate(now, body.clone()));
            self.crash().await;
        }
        let translation = self.translate(now, body.clone());
        self.commit(translation).await;
        if crash == Crash::BeforeAnswer {
            self.crash().await;
            let again = self.translate(now, body);
            self.commit(again).await;
        }
        if crash == Crash::Between {
            self.crash().await;
        }
    }

    fn translate(&self, received_at: Timestamp, body: Value) -> Translation {
        let (query, headers) = (IndexMap::new(), IndexMap::new());
        let request = Request { path: "/webhook".into(), query, headers, received_at, source: source() };
        let prepared = translate::prepare(&MAPPINGS, Notification::new(body, request)).unwrap();
        prepared.run(self.outbox(), &[SpecVersion::NEWEST]).unwrap()
    }

    async fn commit(&mut self, translation: Translation) {
        let mut changes = Vec::new();
        for change in translation.changes {
            let named =
                |emission: &Emission| emission.hold.as_ref().is_some_and(|hold| change.drop.contains(&hold.name));
            self.held.retain(|(owner, held)| *owner != change.owner || !named(held));
            for emission in &change.emissions {
                self.held.retain(|(_, held)| held.event.id != emission.event.id);
                if emission.hold.is_some() {
                    self.held.push((change.owner.clone(), emission.clone()));
                }
            }
            let outgoing = change.emissions.iter().map(outgoing).collect();
            changes.push(RoutedChange { owner: change.owner, memory: change.memory, drop: change.drop, outgoing });
        }
        self.outbox().commit(Accepted { changes, dead: None }).await.unwrap();
    }

    /// What is due goes out with what it remembers, in one transaction.
    async fn release(&mut self, now: Timestamp) {
        let due = |emission: &Emission| emission.hold.as_ref().map(|hold| hold.until).filter(|until| *until <= now);
        let (mut ready, held): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.held).into_iter().partition(|(_, emission)| due(emission).is_some());
        self.held = held;
        ready.sort_by_key(|(_, emission)| due(emission));
        for (owner, mut emission) in ready {
            let Some(hold) = emission.hold.take() else { continue };
            let mut memory = self.outbox().memory(&owner);
            hold.forget.iter().for_each(|name| drop(memory.shift_remove(name)));
            memory.extend(hold.remember);
            let change =
                RoutedChange { owner, memory: Some(memory), drop: Vec::new(), outgoing: vec![outgoing(&emission)] };
            self.outbox().commit(Accepted { changes: vec![change], dead: None }).await.unwrap();
        }
    }

    /// Everything that is queued, in order.
    async fn end(mut self) -> Vec<Value> {
        self.release(Timestamp::MAX).await;
        let queued = self.outbox().waiting(Some(SINK), 1000).unwrap().len();
        let mut window = self.outbox().window(SINK);
        let mut said = Vec::new();
        while said.len() < queued {
            for event in window.take(1000, 1 << 30) {
                said.push(serde_json::from_str(&event.document).unwrap());
            }
        }
        drop(window);
        self.close().await;
        said
    }
}

/// What is said of a life with a crash at every step that `crash` names.
fn lived(life: &Life, crash: impl Fn(usize) -> Crash) -> Vec<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let mut run = Run::new(directory.path());
        for (step, (second, body)) in arriving(life).0.into_iter().enumerate() {
            run.notify(at(second).parse().unwrap(), body, crash(step)).await;
        }
        run.end().await
    })
}

#[test]
fn a_crash_at_any_step_changes_nothing_that_is_said() {
    let config = ProptestConfig {
        cases: lives(LIVES),
        failure_persistence: None,
        max_shrink_iters: 20,
        rng_seed: seed(),
        ..ProptestConfig::default()
    };
    let tried = TestRunner::new(config).run(&life(), |life| {
        let whole = lived(&life, |_| Crash::Never);
        is_right(&whole, &arriving(&life).1)?;
        let kinds = [Crash::Between, Crash::BeforeCommit, Crash::BeforeAnswer];
        prop_assert_eq!(&lived(&life, |step| kinds[step % kinds.len()]), &whole);
        prop_assert_eq!(&lived(&life, |step| kinds[(step + 1) % kinds.len()]), &whole);
        prop_assert_eq!(&lived(&life, |step| kinds[(step + 2) % kinds.len()]), &whole);
        Ok(())
    });
    tried.unwrap_or_else(|failure| panic!("{failure}"));
}
