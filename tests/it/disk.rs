//! A disk that is slow to sync, fails to, is full, or doesn't give back what was written.
//!
//! Linux only. What needs `strace`, or root for a file system of its own, is skipped with a message where that is missing.

mod backlog;
mod full;
mod held;
mod slow;
mod sync;

use crate::crash::first_deployment;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A number from the environment.
fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Whether `strace` is there and may trace.
fn can_trace() -> bool {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fsync", "true"]);
    let can = command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !can {
        eprintln!("skipped: strace isn't there, or may not trace");
    }
    can
}

/// Notifications from several senders at once, and what was answered.
#[derive(Default)]
struct Senders {
    next: AtomicUsize,
    /// Subjects of what was acknowledged.
    acknowledged: Mutex<BTreeSet<String>>,
    refused: AtomicBool,
    /// 2xx to requests that were sent after one was refused.
    too_late: AtomicUsize,
}

impl Senders {
    /// Until `most` were sent, or a sender is refused.
    async fn send(self: &Arc<Self>, url: &str, senders: usize, most: usize) {
        let mut tasks = Vec::new();
        for client in (0..senders).map(|_| crate::support::client()) {
            let (all, url) = (Arc::clone(self), url.to_owned());
            tasks.push(tokio::spawn(async move {
                while all.next.load(Ordering::SeqCst) < most {
                    let number = all.next.fetch_add(1, Ordering::SeqCst);
                    let late = all.refused.load(Ordering::SeqCst);
                    let request = client.post(format!("{url}/webhook?n=pear-{number}.")).body(first_deployment(number));
                    match request.send().await {
                        Ok(answer) if answer.status() == 202 => {
                            all.acknowledged.lock().unwrap().insert(format!("argocd/pear-{number}"));
                            all.too_late.fetch_add(usize::from(late), Ordering::SeqCst);
                        }
                        _ => {
                            all.refused.store(true, Ordering::SeqCst);
                            return;
                        }
                    }
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    }

    fn acknowledged(&self) -> BTreeSet<String> {
        self.acknowledged.lock().unwrap().clone()
    }
}
