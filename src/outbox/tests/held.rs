//! Many events that are held at once, and what their release costs those who wait for an answer meanwhile.

use super::*;
use std::time::Instant;

/// `ARGOCD_CDEVENTS_HELD=100000` for the number that is promised; the figures are those of an optimised build.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_held_events_are_released_together() {
    let count: usize = std::env::var("ARGOCD_CDEVENTS_HELD").ok().and_then(|text| text.parse().ok()).unwrap_or(2000);
    let dir = tempdir().unwrap();
    let outbox = open(&dir);
    let due = Timestamp::now() + SignedDuration::from_secs(5 + i64::try_from(count / 2000).unwrap());
    for chunk in (0..count).collect::<Vec<_>>().chunks(1000) {
        let changes = chunk.iter().map(|n| RoutedChange {
            owner: owner(&id(*n)),
            memory: None,
            drop: Vec::new(),
            outgoing: vec![large(held(&id(*n), "h", due))],
        });
        outbox.commit(Accepted { changes: changes.collect(), dead: None }).await.unwrap();
    }
    let mut window = outbox.window("a");
    let asking = tokio::spawn(ask_on(outbox.clone(), due));
    tokio::time::sleep(Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default()).await;
    // The last in the order in which they came.
    while !outbox.said(&id(count - 1)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let released = Timestamp::now().duration_since(due);
    asking.abort();
    let out: BTreeSet<String> = taken(&mut window, count).await.into_iter().collect();
    assert_eq!(out, (0..count).map(id).collect());
    eprintln!("{count} held events released {released:#} after they were due");
}

/// In no order, as ids are.
fn id(number: usize) -> String {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &number.to_le_bytes()).to_string()
}

/// Of the size of a usual event.
fn large(outgoing: Outgoing) -> Outgoing {
    let document = json!({"context": {"id": outgoing.id}, "customData": "x".repeat(1024)}).to_string();
    Outgoing { documents: vec![(SpecVersion::NEWEST, document.into())], ..outgoing }
}

/// Commits an event every few milliseconds; tells what the slowest hundredth waited before `due` and after it.
async fn ask_on(outbox: Outbox, due: Timestamp) {
    let mut waited: [Vec<Duration>; 2] = Default::default();
    let mut told = Timestamp::now();
    for n in 0.. {
        let mut event = outgoing(&format!("asked-{n}"));
        event.sinks.clear();
        let started = Instant::now();
        outbox.commit(accepted(&format!("asking-{}", n % 100), &[], vec![event])).await.unwrap();
        let now = Timestamp::now();
        waited[usize::from(now > due)].push(started.elapsed());
        if now.duration_since(told) > SignedDuration::from_millis(500) {
            told = now;
            let p99 = waited.clone().map(|mut all| {
                all.sort_unstable();
                all.get(all.len() * 99 / 100).copied().unwrap_or_default()
            });
            eprintln!("p99 of a commit before it's due {:?}, since then {:?} of {}", p99[0], p99[1], waited[1].len());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
