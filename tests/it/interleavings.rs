//! An application's life, simulated: whatever order, repetition and delay its notifications come in, a deployment that became
//! healthy is announced once, and one that ended degraded never; and a crash at any step changes nothing.

mod crashes;

use argocd_cdevents::cdevents::SpecVersion;
use argocd_cdevents::mapping::{self, MappingRef, Mappings};
use argocd_cdevents::notification::Source;
use argocd_cdevents::replay::{Input, Replay};
use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

static MAPPINGS: LazyLock<Mappings> =
    LazyLock::new(|| mapping::load(&[MappingRef::Builtin { name: "argocd".into(), with: Value::Null }], None).unwrap());

/// How a deployment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Progressing, then Healthy.
    Healthy,
    /// Progressing, then Degraded, until the next one.
    Degraded,
}

#[derive(Debug, Clone)]
struct Life {
    /// Each with: how it ends, whether `Succeeded` comes with the health of before, seconds of its rollout.
    deployments: Vec<(End, bool, i64)>,
    /// For each notification: how often it's told again, and how many seconds late.
    noise: Vec<(usize, i64)>,
}

fn life() -> impl Strategy<Value = Life> {
    let end = prop_oneof![3 => Just(End::Healthy), 1 => Just(End::Degraded)];
    let deployments = prop::collection::vec((end, any::<bool>(), 1_i64..25), 1..5);
    let noise = prop::collection::vec((0_usize..3, 0_i64..8), 20);
    (deployments, noise).prop_map(|(deployments, noise)| Life { deployments, noise })
}

fn at(seconds: i64) -> String {
    (Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_770_000_000 + seconds)).to_string()
}

/// The object as Argo CD keeps it.
#[derive(Clone)]
struct App {
    history: Vec<Value>,
    operation: Value,
    health: (&'static str, i64),
    compared: i64,
    sync: (&'static str, String),
    images: Vec<String>,
}

impl App {
    fn body(&self) -> Value {
        json!({"app": {
            "metadata": {"name": "pear", "namespace": "argocd", "uid": "u-1", "creationTimestamp": at(0)},
            "spec": {"destination": {"server": "https://kubernetes.default.svc", "namespace": "grove"}, "project": "grove",
                     "source": {"repoURL": "https://git.grove.example/pear.git", "path": "pear"}},
            "status": {
                "health": {"status": self.health.0, "lastTransitionTime": at(self.health.1)},
                "history": self.history, "operationState": self.operation, "reconciledAt": at(self.compared),
                "summary": {"images": self.images}, "sync": {"status": self.sync.0, "revision": self.sync.1},
            }
        }})
    }
}

/// Every notification of a life with the second in which it's sent, and how each deployment ended by its revision.
fn notifications(life: &Life) -> (Vec<(i64, Value)>, BTreeMap<String, End>) {
    let mut app = App {
        history: Vec::new(),
        operation: Value::Null,
        health: ("Missing", 0),
        compared: 0,
        sync: ("OutOfSync", String::new()),
        images: Vec::new(),
    };
    let (mut sent, mut ends) = (Vec::new(), BTreeMap::new());
    let mut now = 10;
    for (id, (end, stale, rollout)) in life.deployments.iter().enumerate() {
        let (revision, image) = (format!("{id:040}"), format!("registry.grove.example/pear:{id}"));
        let source = json!({"repoURL": "https://git.grove.example/pear.git", "path": "pear"});
        let started = now;
        app.sync = ("OutOfSync", revision.clone());
        app.operation =
            json!({"phase": "Running", "startedAt": at(started), "operation": {"sync": {"revision": revision}}});
        sent.push((now, app.body()));
        now += 2;
        app.operation = json!({
            "phase": "Succeeded", "startedAt": at(started), "finishedAt": at(now), "operation": {"sync": {"revision": revision}},
            "syncResult": {"revision": revision, "source": source, "resources": [{"kind": "Deployment", "images": [image]}]}
        });
        app.history.push(json!({"id": id, "deployStartedAt": at(started), "deployedAt": at(now), "revision": revision, "source": source}));
        app.compared = now;
        if *stale {
            sent.push((now, app.body()));
            now += 1;
        }
        app.sync.0 = "Synced";
        app.compared = now;
        app.health = ("Progressing", now);
        app.images.push(image.clone());
        sent.push((now, app.body()));
        now += rollout;
        app.health = (if *end == End::Healthy { "Healthy" } else { "Degraded" }, now);
        if *end == End::Healthy {
            app.images = vec![image];
        }
        sent.push((now, app.body()));
        ends.insert(revision, *end);
        // The next comparison tells it again.
        now += 120;
        app.compared = now;
        sent.push((now, app.body()));
        now += 60;
    }
    (sent, ends)
}

/// How many lives are tried: `few`, or as many as `ARGOCD_CDEVENTS_LIVES` says.
fn lives(few: u32) -> u32 {
    std::env::var("ARGOCD_CDEVENTS_LIVES").ok().and_then(|lives| lives.parse().ok()).unwrap_or(few)
}

/// The gate tries the same every time; `PROPTEST_RNG_SEED` tries others.
fn seed() -> RngSeed {
    std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok()).map_or(RngSeed::Fixed(1), RngSeed::Fixed)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: lives(250), failure_persistence: None, rng_seed: seed(), ..ProptestConfig::default() })]

    #[test]
    fn what_became_healthy_is_announced_once_and_what_degraded_never(life in life()) {
        let (arriving, ends) = arriving(&life);
        let mut replay = Replay::new(&MAPPINGS, vec![SpecVersion::NEWEST]);
        let mut said = Vec::new();
        for (second, body) in arriving {
            let input = Input { received_at: Some(at(second).parse().unwrap()), ..Input::new(body) };
            let told = replay.notify(input, source()).unwrap();
            said.extend(told.released.into_iter().chain(told.events));
        }
        said.extend(replay.finish());
        let documents: Vec<Value> = said.iter().map(|one| one.event.assemble(SpecVersion::NEWEST)).collect();
        is_right(&documents, &ends)?;
    }
}

fn source() -> Source {
    Source { name: "sim".into(), uri: String::new(), labels: IndexMap::new() }
}

/// The notifications in the order in which they arrive, repeated and late, with the second; and how each deployment ended.
fn arriving(life: &Life) -> (Vec<(i64, Value)>, BTreeMap<String, End>) {
    let (sent, ends) = notifications(life);
    let mut arriving: Vec<(i64, usize, Value)> = Vec::new();
    for (index, (second, body)) in sent.into_iter().enumerate() {
        let (repeats, late) = life.noise[index % life.noise.len()];
        for repeat in 0..=repeats {
            arriving.push((second + late + i64::try_from(repeat).unwrap(), index, body.clone()));
        }
    }
    arriving.sort_by_key(|(second, index, _)| (*second, *index));
    (arriving.into_iter().map(|(second, _, body)| (second, body)).collect(), ends)
}

/// Each deployment that became healthy was announced once, none that didn't, and as many incidents are open as should be.
fn is_right(said: &[Value], ends: &BTreeMap<String, End>) -> Result<(), TestCaseError> {
    let mut announced: BTreeMap<String, usize> = BTreeMap::new();
    let mut incidents = 0_i64;
    for document in said {
        let kind = document["context"]["type"].as_str().unwrap();
        if ["deployed", "upgraded", "rolledback"]
            .iter()
            .any(|what| kind.starts_with(&format!("dev.cdevents.service.{what}")))
        {
            let revisions = &document["customData"]["argocd"]["revisions"];
            *announced.entry(revisions[0].as_str().unwrap().to_owned()).or_default() += 1;
        }
        incidents += i64::from(kind.starts_with("dev.cdevents.incident.detected"));
        incidents -= i64::from(kind.starts_with("dev.cdevents.incident.resolved"));
    }
    let healthy = ends.iter().filter(|(_, end)| **end == End::Healthy).map(|(revision, _)| (revision.clone(), 1));
    prop_assert_eq!(announced, healthy.collect::<BTreeMap<_, usize>>());
    prop_assert_eq!(incidents, i64::from(ends.values().next_back() == Some(&End::Degraded)));
    Ok(())
}
