//! A disk whose syncs take 5 ms longer: as many notifications as come meanwhile share one.

use super::{Senders, can_trace, number};
use crate::crash::services;
use crate::support::{Collector, Proxy, eventually};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tempfile::tempdir;

fn syncs(trace: &Path) -> usize {
    let trace = std::fs::read_to_string(trace).unwrap();
    trace.lines().filter(|line| line.contains("sync(")).count()
}

/// `ARGOCD_CDEVENTS_SLOW=20000` for more; rates are those of an optimised build.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_syncs_are_shared() {
    if !can_trace() {
        return;
    }
    let notifications = number("ARGOCD_CDEVENTS_SLOW", 500);
    let dir = tempdir().unwrap();
    let trace = dir.path().join("trace");
    let inject = "inject=fsync,fdatasync:delay_exit=5000";
    let arguments = ["-o", trace.to_str().unwrap(), "-e", "trace=fsync,fdatasync", "-e", inject];
    let collector = Collector::start().await;
    let config = format!("sinks: {{c: {{http: {{url: \"{}\"}}}}}}\n", collector.url);
    let proxy = Proxy::start_traced(&dir.path().join("data"), &config, &arguments);
    let (senders, before, started) = (Arc::new(Senders::default()), syncs(&trace), Instant::now());
    senders.send(&proxy.url, 64, notifications).await;
    let (took, syncs, acknowledged) = (started.elapsed(), syncs(&trace) - before, senders.acknowledged());
    assert!(acknowledged.len() >= notifications, "{} acknowledged", acknowledged.len());
    eventually("everything is delivered", || acknowledged.is_subset(&services(&collector))).await;
    proxy.kill();
    let per_second = acknowledged.len() as f64 / took.as_secs_f64();
    let each = syncs as f64 / (2 * acknowledged.len()) as f64;
    eprintln!("{} notifications of two events, {per_second:.0} a second, {each:.3} syncs an event", acknowledged.len());
    assert!(syncs > 0 && syncs < acknowledged.len(), "{syncs} syncs");
}
