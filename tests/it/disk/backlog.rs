//! A queue that is much larger than memory should be.

use super::number;
use crate::support::{Collector, Proxy, client, eventually};
use argocd_cdevents::cdevents::SpecVersion;
use argocd_cdevents::observe::Observe;
use argocd_cdevents::outbox::{Accepted, Outbox, OutboxOptions, Outgoing, RoutedChange};
use argocd_cdevents::translate::Owner;
use serde_json::json;
use std::path::Path;

use std::time::{Duration, Instant};
use tempfile::tempdir;

pub(super) const OPTIONS: OutboxOptions =
    OutboxOptions { quota: 10 << 30, seen_for: Duration::from_secs(30 * 86_400), delivered_for: Duration::ZERO };

/// A document of about 1 KiB.
pub(super) fn event(number: usize) -> Outgoing {
    // In no order, as ids are.
    let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &number.to_le_bytes()).to_string();
    let document = json!({
        "context": {"specversion": "0.5.1", "id": id, "source": "https://argocd.grove.example",
            "type": "dev.cdevents.service.deployed.0.3.0", "timestamp": "2026-03-02T09:00:09Z"},
        "subject": {"id": format!("argocd/pear-{number}"), "content": {
            "environment": {"id": "in-cluster/grove"}, "artifactId": "pkg:oci/pear?tag=1.0.0"}},
        "customData": {"note": "x".repeat(640)},
    });
    Outgoing {
        id,
        kind: "service.deployed".to_owned(),
        subject: format!("argocd/pear-{number}"),
        documents: vec![(SpecVersion::V0_5_1, document.to_string().into())],
        sinks: vec![("c".into(), SpecVersion::V0_5_1)],
        hold: None,
    }
}

async fn fill(data: &Path, count: usize) {
    let outbox = Outbox::open(data, OPTIONS, Observe::default()).unwrap();
    for chunk in (0..count).collect::<Vec<_>>().chunks(2000) {
        let changes = chunk.iter().map(|number| RoutedChange {
            owner: Owner { mapping: "m".to_owned(), key: format!("k{number}") },
            memory: None,
            drop: Vec::new(),
            outgoing: vec![event(*number)],
        });
        outbox.commit(Accepted { changes: changes.collect(), dead: None }).await.unwrap();
    }
}

/// `ARGOCD_CDEVENTS_QUEUED=1000000 cargo test --release --test it -- backlog --nocapture` for the number that is promised.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_queue_is_no_burden() {
    let count = number("ARGOCD_CDEVENTS_QUEUED", 50_000);
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    fill(&data, count).await;
    let collector = Collector::start().await;
    let config = format!("sinks: {{c: {{http: {{url: \"{}\"}}}}}}\n", collector.url);
    let started = Instant::now();
    let proxy = Proxy::start(&data, &config);
    while !client().get(format!("{}/readyz", proxy.url)).send().await.is_ok_and(|ready| ready.status() == 200) {
        assert!(started.elapsed() < Duration::from_secs(60), "it's ready");
    }
    let ready = started.elapsed();
    let resident = proxy.status_kib("VmRSS");
    eventually("it drains", || collector.taken().len() >= 2000).await;
    let most = proxy.status_kib("VmHWM");
    eprintln!("{count} queued: ready after {ready:?}, {resident} KiB resident then, {most} KiB at most while draining");
    // A debug build is larger, not by much.
    assert!(most < 80 << 10, "{most} KiB");
    let first: Vec<String> =
        collector.taken().iter().take(50).map(|one| one.header("ce-id").unwrap().to_owned()).collect();
    let expected: std::collections::BTreeSet<String> = (0..200).map(|number| event(number).id).collect();
    assert!(first.iter().all(|id| expected.contains(id)), "the oldest first: {first:?}");
}
