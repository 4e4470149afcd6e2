//! The end: nobody's request is cut off, nothing is lost, and nobody waits for a sink.

use super::sinks::{Away, away, notification, one_event_each, tell};
use crate::support::{Collector, Proxy, client, eventually, keeping, program};
use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::tempdir;

/// Requests a second, and who share them.
const RATE: u32 = 500;
const SENDERS: u32 = 25;

#[derive(Default)]
struct Sent {
    acked: Mutex<BTreeSet<String>>,
    /// Errors of requests that were no refused connections.
    broken: Mutex<Vec<String>>,
    next: AtomicUsize,
    stop: AtomicBool,
}

/// Sends until it's told to stop or can't connect any more.
async fn send(client: reqwest::Client, url: String, sent: Arc<Sent>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1) * SENDERS / RATE);
    while !sent.stop.load(Ordering::SeqCst) {
        tick.tick().await;
        let number = sent.next.fetch_add(1, Ordering::SeqCst);
        let app = format!("app-{number}");
        match client.post(&url).body(notification(&app, number)).send().await {
            Ok(answer) if answer.status() == 202 => drop(sent.acked.lock().unwrap().insert(app)),
            Ok(answer) => sent.broken.lock().unwrap().push(answer.status().to_string()),
            Err(error) if error.is_connect() => return,
            Err(error) => sent.broken.lock().unwrap().push(format!("{error:?}")),
        }
    }
}

async fn stopped_under_load(kept: bool) {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let collector = Collector::start().await;
    let config = one_event_each(dir.path(), &format!("c: {{http: {{url: \"{}\"}}}}", collector.url));
    let proxy = Proxy::start(&data, &config);
    let sent = Arc::new(Sent::default());
    let url = format!("{}/webhook", proxy.url);
    let new_client = || if kept { keeping() } else { client() };
    let senders: Vec<_> =
        (0..SENDERS).map(|_| tokio::spawn(send(new_client(), url.clone(), Arc::clone(&sent)))).collect();
    eventually("hundreds are acknowledged", || sent.acked.lock().unwrap().len() >= 500).await;
    let told = Instant::now();
    proxy.tell_to_stop();
    // Some go on for a while: they are served, or can't connect.
    tokio::time::sleep(Duration::from_millis(300)).await;
    sent.stop.store(true, Ordering::SeqCst);
    let code = tokio::task::spawn_blocking(move || proxy.wait()).await.unwrap();
    let took = told.elapsed();
    for sender in senders {
        sender.await.unwrap();
    }
    let acked = sent.acked.lock().unwrap().clone();
    eprintln!("stopped in {took:?}, {} acknowledged", acked.len());
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(20), "{took:?}");
    let broken = sent.broken.lock().unwrap().clone();
    assert!(broken.is_empty(), "{} cut off: {:?}", broken.len(), &broken[..broken.len().min(3)]);
    let proxy = Proxy::start(&data, &config);
    let services = || -> BTreeSet<String> {
        collector.taken().iter().map(|one| one.body["subject"]["id"].as_str().unwrap().to_owned()).collect()
    };
    eventually("everything acknowledged arrives", || acked.is_subset(&services())).await;
    drop(proxy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_under_load_it_cuts_off_no_connection_of_one_request() {
    stopped_under_load(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_under_load_it_cuts_off_no_kept_connection() {
    stopped_under_load(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_hears_at_once_that_it_is_not_ready() {
    let dir = tempdir().unwrap();
    let hangs = away(Away::Hangs).await;
    let config = one_event_each(dir.path(), &format!("c: {{http: {{url: \"{hangs}\"}}}}"));
    let proxy = Proxy::start(&dir.path().join("data"), &config);
    let (client, url) = (keeping(), format!("{}/readyz", proxy.url));
    assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), "ready\n");
    assert_eq!(proxy.post(notification("pear", 1)).await.0, 202);
    proxy.tell_to_stop();
    eventually("it says so in its log", || proxy.stderr.lock().unwrap().iter().any(|line| line.contains("stopping")))
        .await;
    let answer = client.get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let told = Instant::now();
    assert_eq!(tokio::task::spawn_blocking(move || proxy.wait()).await.unwrap(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(20), "it waits ten seconds for a sink that hangs");
}

#[tokio::test]
async fn a_reader_of_standard_output_that_does_not_read_holds_nobody_up() {
    let dir = tempdir().unwrap();
    let collector = Collector::start().await;
    let sinks = format!("c: {{http: {{url: \"{}\"}}}}, lines: {{stdout: {{}}}}", collector.url);
    std::fs::write(dir.path().join("config.yaml"), one_event_each(dir.path(), &sinks)).unwrap();
    let mut command = program();
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(dir.path().join("config.yaml"));
    command.arg("--data").arg(dir.path().join("data"));
    let (_kept, stdout) = std::io::pipe().unwrap();
    let proxy = Proxy::started(command.stdout(Stdio::from(stdout)).stderr(Stdio::piped()));
    // More than a pipe holds.
    tell(&proxy, 0..400, 400).await;
    eventually("the other has all", || collector.count() == 400).await;
    let told = Instant::now();
    assert_eq!(proxy.terminate(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(20), "{:?}", told.elapsed());
}
