//! Kill -9, over and over: what was acknowledged arrives, nothing else does, and what comes twice has the same id.
//!
//! `ARGOCD_CDEVENTS_KILLS=1000 cargo test --test it crash` runs as many cycles as it says; 20 otherwise.

use crate::support::{Collector, Proxy, client, eventually, payload};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::tempdir;

const SENDERS: usize = 16;

pub fn first_deployment(number: usize) -> String {
    let mut body: Value = serde_json::from_slice(&payload("first-deployment/03-healthy.json")).unwrap();
    body["app"]["metadata"]["uid"] = format!("uid-{number}").into();
    body["app"]["metadata"]["name"] = format!("pear-{number}").into();
    body.to_string()
}

/// Subjects of the services that a collector was told of; a notification makes one each.
pub fn services(collector: &Collector) -> BTreeSet<String> {
    let taken = collector.taken().into_iter();
    let services = taken.filter(|one| one.header("ce-type").is_some_and(|kind| kind.contains(".service.")));
    services.map(|one| one.body["subject"]["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_events_survive_kill() {
    let cycles: usize = std::env::var("ARGOCD_CDEVENTS_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let collector = Collector::start().await;
    let config =
        format!("sinks: {{c: {{http: {{url: \"{}\"}}, retry: {{initial: 20ms, max: 100ms}}}}}}\n", collector.url);
    let (next, sent, acked) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(std::sync::Mutex::new(BTreeSet::new())),
    );
    // Made once: in a debug build that takes longer than some of the lives.
    let clients: Vec<_> = (0..SENDERS).map(|_| client()).collect();
    for cycle in 0..cycles {
        // The sink flaps, too.
        collector.answer(if cycle % 3 == 1 { 503 } else { 202 });
        let proxy = Proxy::start(&data, &config);
        let stop = Arc::new(AtomicBool::new(false));
        let mut senders = Vec::new();
        for client in clients.clone() {
            let (next, sent, acked, stop) =
                (Arc::clone(&next), Arc::clone(&sent), Arc::clone(&acked), Arc::clone(&stop));
            let url = format!("{}/webhook", proxy.url);
            senders.push(tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    sent.fetch_add(1, Ordering::SeqCst);
                    let post = client.post(&url).timeout(Duration::from_secs(10));
                    let answer = post.body(first_deployment(number)).send().await;
                    if answer.is_ok_and(|answer| answer.status() == 202) {
                        acked.lock().unwrap().insert(format!("argocd/pear-{number}"));
                    }
                }
            }));
        }
        // Between 20 and 500 ms, and never the same.
        tokio::time::sleep(Duration::from_millis(20 + (cycle as u64 * 7919) % 480)).await;
        proxy.kill();
        stop.store(true, Ordering::SeqCst);
        for sender in senders {
            sender.await.unwrap();
        }
    }
    collector.answer(202);
    let proxy = Proxy::start(&data, &config);
    let acked = acked.lock().unwrap().clone();
    assert!(acked.len() > cycles, "{} acknowledged", acked.len());
    let mut came = 0;
    while !acked.is_subset(&services(&collector)) {
        // As long as more comes: after many lives there's much to deliver.
        eventually("more of what was acknowledged arrives", || collector.taken().len() > came).await;
        came = collector.taken().len();
    }
    let invented: Vec<String> = services(&collector)
        .into_iter()
        .filter(|id| id.rsplit('-').next().unwrap().parse::<usize>().unwrap() >= sent.load(Ordering::SeqCst))
        .collect();
    assert!(invented.is_empty(), "{invented:?}");
    // One id for each service, however often it came.
    let taken = collector.taken().into_iter();
    let pairs: BTreeSet<(String, String)> = taken
        .map(|one| {
            (
                one.header("ce-id").unwrap().to_owned(),
                format!("{} {}", one.header("ce-type").unwrap(), one.body["subject"]["id"]),
            )
        })
        .collect();
    let about: BTreeSet<&String> = pairs.iter().map(|(_, about)| about).collect();
    assert_eq!(pairs.len(), about.len());
    eprintln!(
        "{cycles} kills, {} sent, {} acknowledged, {} delivered",
        sent.load(Ordering::SeqCst),
        acked.len(),
        services(&collector).len()
    );
    assert_eq!(proxy.terminate(), Some(0));
}

#[tokio::test]
async fn a_held_event_survives_a_kill_and_is_released_once() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let collector = Collector::start().await;
    let config = format!(
        "mappings: [{{builtin: argocd, with: {{settle: 8s}}}}]\nsinks: {{c: {{http: {{url: \"{}\"}}}}}}\n",
        collector.url
    );
    let proxy = Proxy::start(&data, &config);
    proxy.post(payload("upgrade/03-healthy.json")).await;
    let (_, answer) = proxy.post(payload("stale/01-succeeded-and-healthy-of-before.json")).await;
    assert_eq!(answer["held"], 1, "{answer}");
    let waiting = crate::support::run(&["deliveries", "--data", data.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&waiting.stdout).contains("held until"), "{waiting:?}");
    proxy.kill();
    let proxy = Proxy::start(&data, &config);
    // By id: what wasn't settled before the kill comes again.
    let upgrades = || {
        let taken = collector.taken().into_iter();
        let upgrades = taken.filter(|one| one.header("ce-type").is_some_and(|kind| kind.contains("service.upgraded")));
        upgrades.map(|one| one.header("ce-id").unwrap().to_owned()).collect::<BTreeSet<_>>().len()
    };
    eventually("the held deployment goes out", || upgrades() == 2).await;
    // Its memory was written with it: the fresh Healthy that comes now says nothing more.
    let (_, answer) = proxy.post(payload("stale/04-healthy.json")).await;
    assert_eq!((answer["events"].as_u64(), answer["held"].as_u64()), (Some(0), None), "{answer}");
}

#[tokio::test]
async fn dead_letters_are_listed_shown_replayed_and_purged() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let collector = Collector::start().await;
    collector.answer(422);
    let config = format!("sinks: {{c: {{http: {{url: \"{}\"}}}}}}\n", collector.url);
    let proxy = Proxy::start(&data, &config);
    proxy.post("no json").await;
    proxy.post(payload("oci/01-deployed.json")).await;
    let command = |args: &[&str]| {
        let file = data.with_extension("config.yaml");
        let all: Vec<&str> = args
            .iter()
            .copied()
            .chain(["--json", "--config", file.to_str().unwrap(), "--data", data.to_str().unwrap()])
            .collect();
        let output = crate::support::run(&all);
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default())
    };
    let list = || command(&["dead-letters", "list"]).1.as_array().cloned().unwrap_or_default();
    eventually("what the sink refuses is dead", || list().len() == 3).await;
    let delivery = list().iter().find(|one| one["kind"] == "delivery").unwrap().clone();
    assert!(delivery["reason"].as_str().unwrap().contains("422"), "{delivery}");
    let notification =
        list().iter().find(|one| one["kind"] == "notification").unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(command(&["dead-letters", "show", &notification]).1["body"], "no json");

    collector.answer(202);
    let (code, replayed) = command(&["dead-letters", "replay", "--all"]);
    assert_eq!((code, &replayed["replayed"]), (Some(1), &Value::from(2)), "the one that isn't JSON stays: {replayed}");
    eventually("what was replayed arrives", || collector.taken().len() == 2).await;
    // The same commands on a store that no server runs on.
    assert_eq!(proxy.terminate(), Some(0));
    assert_eq!(list().len(), 1);
    assert_eq!(command(&["dead-letters", "purge", &notification]).0, Some(0));
    assert!(list().is_empty());
    assert_eq!(command(&["dead-letters", "purge", &notification]).0, Some(2));
}

#[tokio::test]
async fn a_second_server_on_one_store_is_told_so() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let _proxy = Proxy::start(&data, "");
    let output = crate::support::run(&["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && text.contains("in use by another process"), "{text}");
}

#[tokio::test]
async fn cdevents_that_come_in_are_validated_and_forwarded() {
    let dir = tempdir().unwrap();
    let collector = Collector::start().await;
    let config = format!(
        "sources: {{ci: {{kind: cdevents, path: /cdevents}}}}\nsinks: {{c: {{http: {{url: \"{}\"}}}}, old: {{http: {{url: \"{}\"}}, specVersion: \"0.4.1\"}}}}\n",
        collector.url, collector.url
    );
    let proxy = Proxy::start(&dir.path().join("data"), &config);
    let output = crate::support::run(&[
        "translate",
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/payloads/oci/01-deployed.json"),
    ]);
    let document = String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned();
    let (status, answer) = proxy.post_to("/cdevents", document.clone()).await;
    assert_eq!((status, &answer["events"]), (202, &Value::from(1)), "{answer}");
    eventually("both sinks have it", || collector.taken().len() == 2).await;
    let mut types: Vec<String> =
        collector.taken().iter().map(|one| one.header("ce-type").unwrap().to_owned()).collect();
    types.sort();
    assert_eq!(types, ["dev.cdevents.service.deployed.0.2.0", "dev.cdevents.service.deployed.0.3.0"]);
    let (status, answer) = proxy.post_to("/cdevents", document.replace("artifactId", "artefactId")).await;
    assert_eq!(status, 202);
    assert!(answer["deadLetter"].is_string() && answer["error"].as_str().unwrap().contains("artifactId"), "{answer}");
    assert_eq!(proxy.post_to("/cdevents", document).await.1["events"], 0, "said before");
}
