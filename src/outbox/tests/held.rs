//! Many events that are held at once, and what their release costs those who wait for an answer meanwhile.

use super::*;
use crate::outbox::store::Work;
use std::sync::atomic::{AtomicBool, Ordering};
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
    let released = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn(ask_on(outbox.clone(), due, Arc::clone(&released)));
    tokio::time::sleep(Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default()).await;
    // The last in the order in which they came.
    while !outbox.said(&id(count - 1)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = Timestamp::now().duration_since(due);
    released.store(true, Ordering::SeqCst);
    let [before, during] = asking.await.unwrap();
    let out: BTreeSet<String> = taken(&mut window, count).await.into_iter().collect();
    assert_eq!(out, (0..count).map(id).collect());
    eprintln!("{count} held events released {took:#} after they were due; commits before {before}, meanwhile {during}");
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

/// Commits an event every two milliseconds until all are released; tells what was waited for that before they were due, and since.
async fn ask_on(outbox: Outbox, due: Timestamp, released: Arc<AtomicBool>) -> [String; 2] {
    let mut waited: [Vec<Duration>; 2] = Default::default();
    for n in 0.. {
        if released.load(Ordering::SeqCst) {
            break;
        }
        let mut event = outgoing(&format!("asked-{n}"));
        event.sinks.clear();
        let started = Instant::now();
        outbox.commit(accepted(&format!("asking-{}", n % 100), &[], vec![event])).await.unwrap();
        waited[usize::from(Timestamp::now() > due)].push(started.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    waited.map(|mut all| {
        all.sort_unstable();
        let of = |share: usize| all.get(all.len() * share / 100).copied().unwrap_or_default();
        format!("p50 {:.1?}, p99 {:.1?} of {}", of(50), of(99), all.len())
    })
}

#[test]
fn what_is_due_comes_before_what_is_told_then() {
    let dir = tempdir().unwrap();
    let mut store = schema::open(dir.path(), OPTIONS).unwrap().store;
    let (due, releases) = (Timestamp::now(), Releases::default());
    let mut transact = |accepted: Accepted, now: SignedDuration| {
        let order = Order::Commit { accepted: Box::new(accepted), basis: None };
        // None is released but for the sake of what is told.
        let work = Work { now: due + now, settlements: &[], release: 0, orders: &[&order], releases: &releases };
        store.transact(&work).unwrap()
    };
    let three = vec![held("1", "x", due + SignedDuration::from_millis(2)), held("2", "x", due), held("3", "x", due)];
    transact(accepted("k", &[], three), -SignedDuration::from_secs(1));
    transact(accepted("other", &["x"], vec![held("4", "x", due)]), -SignedDuration::from_secs(1));
    let basis = releases.basis(&[owner("k")]);
    let done = transact(accepted("k", &["x"], vec![outgoing("5")]), SignedDuration::from_millis(1));
    assert_eq!(done.outcomes, [Outcome::Committed(Receipt { events: 1, held: 0, dead_letter: None })]);
    assert!(!releases.is_still(&basis), "who looked before has to look again");
    drop(store);
    let outbox = open(&dir);
    let mut window = outbox.window("a");
    let out: Vec<String> = window.take(10, 1 << 20).into_iter().map(|queued| queued.id.to_string()).collect();
    assert_eq!(out[..3], ["2", "3", "5"], "1 was dropped before it was due");
    assert!(outbox.said("2") && outbox.said("3") && !outbox.said("1"));
    assert_eq!(outbox.memory(&owner("k"))["last"]["id"], "3");
}
