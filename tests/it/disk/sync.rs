//! What is acknowledged was synced before, and a sync that fails ends the process.

use super::{Senders, can_trace, number};
use crate::crash::services;
use crate::support::{Collector, Proxy, client, eventually};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tempfile::tempdir;

/// What a trace says, line by line.
#[derive(Default)]
struct Trace {
    /// Calls under way, by thread: where they began, and what was said of them so far.
    begun: HashMap<String, (usize, String)>,
    /// By marker: after which line it was in the log.
    written: HashMap<String, usize>,
    /// Everything that was written before this line is synced.
    synced: usize,
    /// By socket: the marker of the request.
    requests: HashMap<String, String>,
    acknowledged: usize,
    violations: Vec<String>,
}

impl Trace {
    fn read(path: &Path) -> Self {
        let mut trace = Self::default();
        let bytes = std::fs::read(path).unwrap();
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = String::from_utf8_lossy(line);
            let Some((thread, call)) = line.split_once(' ') else { continue };
            trace.line(number, thread, call.trim_start());
        }
        trace
    }

    fn line(&mut self, number: usize, thread: &str, call: &str) {
        if let Some(begun) = call.strip_suffix("<unfinished ...>") {
            self.answered(begun);
            self.begun.insert(thread.to_owned(), (number, begun.to_owned()));
        } else if call.starts_with("<... ") {
            let Some((since, mut whole)) = self.begun.remove(thread) else { return };
            whole.push_str(call);
            self.ended(since, number, &whole);
        } else {
            self.answered(call);
            self.ended(number, number, call);
        }
    }

    /// An answer counts from where it begins.
    fn answered(&mut self, call: &str) {
        let sent = call.starts_with("send") || call.starts_with("write");
        if !sent || !call.contains("\"HTTP/1.1 202") {
            return;
        }
        self.acknowledged += 1;
        let marker = self.requests.get(&descriptor(call)).cloned().unwrap_or_default();
        if self.written.get(&marker).is_none_or(|written| *written >= self.synced) {
            self.violations.push(format!("{marker}: {:?} {}", self.written.get(&marker), self.synced));
        }
    }

    fn ended(&mut self, since: usize, number: usize, call: &str) {
        let of_log = descriptor(call).ends_with("-wal");
        if call.contains("\"POST /webhook?n=") {
            self.requests.extend(marker(call).map(|marker| (descriptor(call), marker)));
        } else if of_log && call.starts_with("pwrite64") {
            for part in call.split("argocd/pear-").skip(1) {
                let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
                self.written.entry(digits).or_insert(number);
            }
        } else if of_log && call.starts_with('f') && call.ends_with("= 0") {
            self.synced = self.synced.max(since);
        }
    }
}

/// `24<socket:[1]>` of `recvfrom(24<socket:[1]>, …`.
fn descriptor(call: &str) -> String {
    let of = call.split_once('(').map_or("", |(_, rest)| rest);
    of.split_once('>').map_or("", |(of, _)| of).to_owned()
}

fn marker(call: &str) -> Option<String> {
    Some(call.split_once("?n=pear-")?.1.split_once('.')?.0.to_owned())
}

/// `ARGOCD_CDEVENTS_TRACED=10000` for more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_comes_after_the_sync_that_covers_it() {
    if !can_trace() {
        return;
    }
    let requests = number("ARGOCD_CDEVENTS_TRACED", 1000);
    let dir = tempdir().unwrap();
    let trace = dir.path().join("trace");
    let calls = "trace=fdatasync,fsync,pwrite64,recvfrom,read,write,writev,sendto,sendmsg";
    let arguments = ["-y", "-s", "4096", "-o", trace.to_str().unwrap(), "-e", calls];
    let collector = Collector::start().await;
    let config = format!("sinks: {{c: {{http: {{url: \"{}\"}}}}}}\n", collector.url);
    let proxy = Proxy::start_traced(&dir.path().join("data"), &config, &arguments);
    let senders = Arc::new(Senders::default());
    senders.send(&proxy.url, 16, requests).await;
    proxy.kill();
    let read = || Trace::read(&trace);
    eventually("the tracer has written everything", || read().acknowledged >= requests).await;
    let trace = read();
    assert_eq!(trace.violations, Vec::<String>::new());
    eprintln!("{} answers, each after the sync that covers it", trace.acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_sync_that_failed_nothing_is_acknowledged_and_the_process_ends() {
    ends_after(|_| vec!["inject=fsync,fdatasync:error=EIO:when=40+".to_owned()]).await;
}

/// The log has what the database then may not have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_sync_of_the_database_itself_that_failed_the_process_ends_too() {
    ends_after(|data| {
        let database = data.join("outbox.sqlite").display().to_string();
        vec!["inject=fsync,fdatasync:error=EIO:when=8+".to_owned(), "-P".to_owned(), database]
    })
    .await;
}

async fn ends_after(fail: impl Fn(&Path) -> Vec<String>) {
    if !can_trace() {
        return;
    }
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let collector = Collector::start().await;
    collector.answer(503);
    let config =
        format!("sinks: {{c: {{http: {{url: \"{}\"}}, retry: {{initial: 20ms, max: 100ms}}}}}}\n", collector.url);
    let fail = fail(&data);
    let mut arguments = vec!["-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e"];
    arguments.extend(fail.iter().map(String::as_str));
    let mut proxy = Proxy::start_traced(&data, &config, &arguments);
    let senders = Arc::new(Senders::default());
    senders.send(&proxy.url, 8, usize::MAX).await;
    let refused = Instant::now();
    assert_eq!(senders.too_late.load(Ordering::SeqCst), 0, "nothing is acknowledged any more");
    let ready = client().get(format!("{}/readyz", proxy.url)).send().await;
    assert!(!ready.is_ok_and(|ready| ready.status() == 200), "it isn't ready any more");
    let unready = refused.elapsed();
    let mut code = None;
    eventually("the process ends", || {
        code = proxy.ended();
        code.is_some()
    })
    .await;
    let ended = refused.elapsed();
    assert_eq!(code, Some(Some(2)), "{:?}", proxy.stderr.lock().unwrap());
    let acknowledged = senders.acknowledged();
    assert!(!acknowledged.is_empty());
    collector.answer(202);
    let _proxy = Proxy::start(&data, &config);
    eventually("everything acknowledged arrives", || acknowledged.is_subset(&services(&collector))).await;
    eprintln!(
        "{} acknowledged before the sync failed, all delivered; not ready after {unready:?}, ended after {ended:?}",
        acknowledged.len()
    );
}
