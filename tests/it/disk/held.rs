//! Very many held events that are due at once, while notifications go on.

use super::backlog::{OPTIONS, event};
use super::number;
use crate::crash::first_deployment;
use crate::support::{Collector, Proxy, eventually, keeping};
use argocd_cdevents::observe::Observe;
use argocd_cdevents::outbox::{Accepted, HeldUntil, Outbox, Outgoing, RoutedChange};
use argocd_cdevents::translate::Owner;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::tempdir;

/// Notifications a second.
const RATE: usize = 100;

fn held(number: usize, until: Timestamp) -> RoutedChange {
    let event = event(number);
    let remember = json!({"deployed": {"revision": event.id}}).as_object().unwrap().clone();
    let hold = HeldUntil { name: "crowd".to_owned(), until, remember: remember.clone(), forget: Vec::new() };
    RoutedChange {
        owner: Owner { mapping: "argocd".to_owned(), key: format!("uid-{}", event.id) },
        memory: Some(remember),
        drop: Vec::new(),
        outgoing: vec![Outgoing { hold: Some(hold), ..event }],
    }
}

async fn fill(data: &Path, count: usize, until: Timestamp) {
    let outbox = Outbox::open(data, OPTIONS, Observe::default()).unwrap();
    for chunk in (0..count).collect::<Vec<_>>().chunks(1000) {
        let changes = chunk.iter().map(|number| held(*number, until)).collect();
        outbox.commit(Accepted { changes, dead: None }).await.unwrap();
    }
    outbox.close().await;
}

/// Posts at [`RATE`] until it's told to stop; when each was due to be posted, and how long after that it was acknowledged.
async fn post_on(url: String, first: usize, stop: tokio::sync::watch::Receiver<bool>) -> Vec<(Instant, Duration)> {
    let (client, started, mut posts) = (keeping(), Instant::now(), Vec::new());
    for number in 0.. {
        let due = started + Duration::from_secs(1) * u32::try_from(number).unwrap() / u32::try_from(RATE).unwrap();
        tokio::time::sleep_until(due.into()).await;
        if *stop.borrow() {
            break;
        }
        let post = client.post(format!("{url}/webhook")).body(first_deployment(first + number));
        posts.push(tokio::spawn(async move {
            assert_eq!(post.send().await.unwrap().status(), 202);
            (due, due.elapsed())
        }));
    }
    let mut waited = Vec::with_capacity(posts.len());
    for post in posts {
        waited.push(post.await.unwrap());
    }
    waited
}

/// Of those that were due in a time.
fn told(waited: &[(Instant, Duration)], from: Instant, to: Instant) -> String {
    let within = waited.iter().filter(|(due, _)| (from..to).contains(due));
    let mut within: Vec<f64> = within.map(|(_, waited)| waited.as_secs_f64() * 1e3).collect();
    within.sort_by(f64::total_cmp);
    let of = |share: usize| within.get(within.len() * share / 100).copied().unwrap_or_default();
    format!("p50 {:.1} ms, p99 {:.1} ms of {}", of(50), of(99), within.len())
}

/// Whether any that was filled in is held still.
fn any_left(data: &Path, until: Timestamp) -> bool {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let db = rusqlite::Connection::open_with_flags(data.join("outbox.sqlite"), flags).unwrap();
    db.busy_timeout(Duration::from_secs(5)).unwrap();
    let sql = "SELECT EXISTS(SELECT 1 FROM held WHERE until <= ?1)";
    db.query_row(sql, [until.as_millisecond()], |row| row.get(0)).unwrap()
}

/// `ARGOCD_CDEVENTS_HELD=100000 cargo test --release --test it -- disk::held --nocapture` for the number that is promised.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_held_events_that_are_due_at_once_are_no_burden() {
    let count = number("ARGOCD_CDEVENTS_HELD", 2000);
    let quiet = Duration::from_secs(if count > 2000 { 10 } else { 1 });
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let due = Timestamp::now() + SignedDuration::from_secs(4 + i64::try_from(count / 5000).unwrap());
    let due = due + SignedDuration::try_from(2 * quiet).unwrap();
    fill(&data, count, due).await;
    let collector = Collector::start().await;
    let config = format!("sinks: {{c: {{http: {{url: \"{}\"}}}}}}\n", collector.url);
    // The same without any, to compare with.
    let without = Proxy::start(&dir.path().join("without"), &config);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let posts = tokio::spawn(post_on(without.url.clone(), 0, stopped));
    tokio::time::sleep(quiet).await;
    stop.send_replace(true);
    let alone = posts.await.unwrap();
    let first = alone.len();
    drop(without);

    let proxy = Proxy::start(&data, &config);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let posts = tokio::spawn(post_on(proxy.url.clone(), first, stopped));
    tokio::time::sleep(Duration::try_from(due.duration_since(Timestamp::now())).expect("more time to fill")).await;
    assert!(any_left(&data, due), "none was released before its time");
    let (came_due, resident) = (Instant::now(), proxy.status_kib("VmRSS"));
    eventually("all are released", || !any_left(&data, due)).await;
    let took = came_due.elapsed();
    let drained = came_due + Duration::from_secs(120);
    let released: BTreeSet<String> = (0..count).map(|number| event(number).id).collect();
    while collector.count() < count && Instant::now() < drained {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(quiet).await;
    stop.send_replace(true);
    let (over, waited) = (Instant::now(), posts.await.unwrap());
    let most = proxy.status_kib("VmHWM");
    eventually("all came", || collector.count() >= count + 2 * (first + waited.len())).await;
    let came: Vec<String> = collector.taken().iter().map(|one| one.header("ce-id").unwrap().to_owned()).collect();
    assert_eq!(came.iter().filter(|id| released.contains(*id)).count(), count, "each comes once");
    assert!(came.iter().collect::<BTreeSet<_>>().is_superset(&released.iter().collect()));
    let ago = Instant::now().checked_sub(Duration::from_secs(3600)).unwrap();
    eprintln!(
        "{count} held: released {took:.2?} after they were due, {resident} KiB resident before, {most} KiB at most\n\
         acknowledged without any:  {}\nwhile they were held:      {}\nduring the release:        {}\n\
         from then on:              {}\nwith them, all the time:   {}",
        told(&alone, ago, over),
        told(&waited, ago, came_due),
        told(&waited, came_due, came_due + took),
        told(&waited, came_due + took, over),
        told(&waited, ago, over),
    );
    // A debug build is larger, not by much.
    assert!(most < 80 << 10, "{most} KiB");
}
