//! One of eight sinks is away: the others notice nothing.
//!
//! `ARGOCD_CDEVENTS_AWAY=3600 cargo test --test it delivery::away -- --nocapture` compares them for so many seconds.

mod compared;

use super::sinks::{Away, away, one_event_each, tell};
use crate::support::{Collector, Proxy, eventually};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::tempdir;

const OTHERS: usize = 7;

fn config(dir: &Path, others: &[Collector], eighth: &str) -> String {
    let sink = |(number, url): (usize, &str)| format!("s{number}: {{http: {{url: \"{url}\"}}}}");
    let urls = others.iter().map(|other| other.url.as_str()).chain([eighth]);
    one_event_each(dir, &urls.enumerate().map(sink).collect::<Vec<_>>().join(", "))
}

/// Tells `many` notifications and waits until each of the others has them; how long that took in the median of five parts.
async fn told(proxy: &Proxy, others: &[Collector], from: usize, many: usize) -> Duration {
    let mut took = Vec::new();
    for part in 0..5 {
        let started = Instant::now();
        let numbers = from + part * many / 5..from + (part + 1) * many / 5;
        let end = numbers.end;
        tell(proxy, numbers, 20).await;
        for other in others {
            eventually("the others have all", || other.count() >= end).await;
        }
        took.push(started.elapsed());
    }
    took.sort();
    took[2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sink_that_is_away_costs_the_others_nothing() {
    let dir = tempdir().unwrap();
    let well = Collector::start().await;
    let mut baseline = None;
    for how in [None, Some(Away::Refuses), Some(Away::Hangs), Some(Away::Drips), Some(Away::Fails)] {
        let mut others = Vec::new();
        for _ in 0..OTHERS {
            others.push(Collector::start().await);
        }
        let eighth = match how {
            None => well.url.clone(),
            Some(how) => away(how).await,
        };
        let data = dir.path().join(format!("{how:?}"));
        let proxy = Proxy::start(&data, &config(dir.path(), &others, &eighth));
        told(&proxy, &others, 0, 20).await;
        let took = told(&proxy, &others, 20, 100).await;
        let resident = proxy.status_kib("VmRSS");
        eprintln!("{how:?}: 20 notifications to seven others in {took:?}, {resident} kB resident");
        let baseline = *baseline.get_or_insert(took);
        assert!(took < baseline * 4 + Duration::from_secs(2), "{how:?}: {took:?}, {baseline:?} with all well");
        assert!(others.iter().all(|other| other.count() == 120), "each once");
        assert_eq!(proxy.terminate(), Some(0));
    }
}
