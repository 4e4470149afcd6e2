//! What happens to single events.

use super::sinks::{notification, one_event_each, tell};
use crate::support::{Collector, Proxy, eventually, run};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::tempdir;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_key_arrive_in_order_while_a_tenth_is_answered_503() {
    const KEYS: usize = 20;
    const MANY: usize = KEYS * 50;
    let dir = tempdir().unwrap();
    let turn = AtomicUsize::new(0);
    let collector = Collector::answering(move |_| {
        // Every tenth in a mixed order.
        let turn = turn.fetch_add(1, Ordering::SeqCst).wrapping_mul(7919) % 1000;
        (if turn < 100 { 503 } else { 202 }, None)
    })
    .await;
    let config = one_event_each(
        dir.path(),
        &format!("c: {{http: {{url: \"{}\"}}, retry: {{initial: 5ms, max: 50ms}}}}", collector.url),
    );
    let proxy = Proxy::start(&dir.path().join("data"), &config);
    // Those of a key one after another, as they happen.
    let told = (0..KEYS).map(|key| {
        let proxy = &proxy;
        async move {
            for number in (key..MANY).step_by(KEYS) {
                let (status, answer) = proxy.post(notification(&format!("app-{key}"), number)).await;
                assert_eq!((status, &answer["events"]), (202, &Value::from(1)), "{answer}");
            }
        }
    });
    futures_util::future::join_all(told).await;
    eventually("all are taken", || collector.taken().len() >= MANY).await;
    let mut latest: BTreeMap<String, usize> = BTreeMap::new();
    for one in collector.taken() {
        let (key, number) = (one.body["subject"]["id"].as_str().unwrap().to_owned(), number(&one.body));
        let before = latest.insert(key.clone(), number);
        assert!(before.is_none_or(|before| before < number), "{key}: {number} after {before:?}");
    }
    assert_eq!(collector.taken().len(), MANY, "each once");
    assert!(collector.received().len() > MANY + MANY / 20, "a tenth was refused");
}

fn number(body: &Value) -> usize {
    body["subject"]["content"]["artifactId"].as_str().unwrap().rsplit('@').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn poison_is_kept_with_its_reason_and_the_next_event_goes_on() {
    let dir = tempdir().unwrap();
    let collector = Collector::answering(|body| (if number(body) == 13 { 422 } else { 202 }, None)).await;
    let config = one_event_each(dir.path(), &format!("c: {{http: {{url: \"{}\"}}}}", collector.url));
    let data = dir.path().join("data");
    let proxy = Proxy::start(&data, &config);
    assert_eq!(proxy.post(notification("pear", 13)).await.0, 202);
    // A mapping that can't make an event of it, a subject with a line's end, and what isn't JSON.
    let (status, answer) = proxy.post(r#"{"app": {"no": "text"}, "number": 14}"#).await;
    assert!(status == 202 && answer["deadLetter"].is_string(), "{answer}");
    assert_eq!(proxy.post("{").await.0, 400);
    proxy.post(notification("pear\r\nx-injected: yes", 15)).await;
    assert_eq!(proxy.post(notification("pear", 16)).await.0, 202);
    eventually("the others arrive", || collector.taken().len() == 2).await;
    let hostile = collector.taken().into_iter().find(|one| number(&one.body) == 15).unwrap();
    assert_eq!(hostile.header("ce-subject"), Some("pear%0D%0Ax-injected:%20yes"));
    assert_eq!(hostile.header("x-injected"), None);
    let listed = || run(&["dead-letters", "list", "--json", "--data", data.to_str().unwrap()]);
    eventually("three are kept", || {
        serde_json::from_slice::<Value>(&listed().stdout).is_ok_and(|list| list.as_array().map(Vec::len) == Some(3))
    })
    .await;
    let listed = String::from_utf8_lossy(&listed().stdout).into_owned();
    assert!(listed.contains("422"), "{listed}");
}

#[tokio::test]
async fn what_is_told_four_times_and_across_a_restart_is_one_delivery() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let collector = Collector::start().await;
    let config = one_event_each(dir.path(), &format!("c: {{http: {{url: \"{}\"}}}}", collector.url));
    let proxy = Proxy::start(&data, &config);
    for told in 0..4 {
        let (status, answer) = proxy.post(notification("pear", 1)).await;
        assert_eq!((status, &answer["events"]), (202, &Value::from(u8::from(told == 0))));
    }
    eventually("it arrives", || !collector.taken().is_empty()).await;
    assert_eq!(proxy.terminate(), Some(0));
    let proxy = Proxy::start(&data, &config);
    let all_at_once = (0..4).map(|_| proxy.post(notification("pear", 1)));
    for (status, answer) in futures_util::future::join_all(all_at_once).await {
        assert_eq!((status, &answer["events"]), (202, &Value::from(0)));
    }
    // What comes after it arrives, so that what would have come before it has.
    proxy.post(notification("pear", 2)).await;
    eventually("the next arrives", || collector.taken().len() >= 2).await;
    let numbers: Vec<usize> = collector.received().iter().map(|one| number(&one.body)).collect();
    assert_eq!(numbers, [1, 2]);
}

/// How many come at most, and in the mean, in a second that begins with one of them.
fn busiest(times: &[Instant]) -> usize {
    let within =
        |from: &Instant| times.iter().filter(|at| *at >= from && **at < *from + Duration::from_secs(1)).count();
    times.iter().map(within).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_takes_fifty_a_second_gets_no_burst_after_an_outage() {
    const MANY: usize = 200;
    let dir = tempdir().unwrap();
    let started = Instant::now();
    let (away, bucket) = (Duration::from_secs(2), std::sync::Mutex::new((5.0_f64, Instant::now())));
    let collector = Collector::answering(move |_| {
        if started.elapsed() < away {
            return (500, None);
        }
        let mut bucket = bucket.lock().unwrap();
        let share = (bucket.0 + bucket.1.elapsed().as_secs_f64() * 50.0).min(5.0);
        *bucket = (if share >= 1.0 { share - 1.0 } else { share }, Instant::now());
        if share >= 1.0 { (202, None) } else { (429, Some(1)) }
    })
    .await;
    let sink = format!("c: {{http: {{url: \"{}\"}}, retry: {{initial: 100ms, max: 400ms}}}}", collector.url);
    let proxy = Proxy::start(&dir.path().join("data"), &one_event_each(dir.path(), &sink));
    tell(&proxy, 0..MANY, MANY).await;
    eventually("all are taken", || collector.taken().len() == MANY).await;
    let since_back = collector.received().into_iter().skip_while(|one| one.status == 500);
    let times: Vec<Instant> = since_back.map(|one| one.at).collect();
    let most = busiest(&times);
    eprintln!("{} attempts, {most} in the busiest second", times.len());
    // A machine that stalls may bunch a few together.
    assert!(most <= 80, "{most} in a second");
    let ids: BTreeSet<_> = collector.taken().iter().map(|one| one.header("ce-id").unwrap().to_owned()).collect();
    assert_eq!(ids.len(), MANY);
}
