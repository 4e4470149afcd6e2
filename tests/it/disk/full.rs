//! A disk that is full.

use super::Senders;
use crate::crash::{first_deployment, services};
use crate::support::{Collector, Proxy, client, eventually};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;
use tempfile::{TempDir, tempdir};

/// A file system of 48 MiB, as long as this lives.
struct Disk {
    _dir: TempDir,
    mounted: PathBuf,
}

impl Disk {
    /// None, with a message, where it can't be made.
    fn mount() -> Option<Self> {
        let dir = tempdir().unwrap();
        let (image, mounted) = (dir.path().join("image"), dir.path().join("mounted"));
        std::fs::create_dir(&mounted).unwrap();
        std::fs::File::create(&image).unwrap().set_len(48 << 20).unwrap();
        let made = run("mkfs.ext4", &["-q", "-F", "-m", "0", image.to_str().unwrap()])
            && run("mount", &["-o", "loop", image.to_str().unwrap(), mounted.to_str().unwrap()]);
        if !made {
            eprintln!("skipped: no file system can be made and mounted here");
            return None;
        }
        Some(Self { _dir: dir, mounted })
    }

    /// Takes all the room that is left.
    fn fill(&self) -> PathBuf {
        let path = self.mounted.join("filler");
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        for size in [1 << 20, 4096, 512] {
            let zeros = vec![0; size];
            while file.write_all(&zeros).is_ok() {}
        }
        drop(file.sync_all());
        path
    }

    fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.mounted).unwrap();
        stat.f_bavail * stat.f_frsize
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", self.mounted.to_str().unwrap()]);
    }
}

fn run(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Status and `Retry-After` of one more notification.
async fn one_more(proxy: &Proxy, number: usize) -> (u16, Option<String>) {
    let request = client().post(format!("{}/webhook", proxy.url)).body(first_deployment(number));
    let answer = request.send().await.unwrap();
    let after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), after)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_drains_and_takes_again() {
    let Some(disk) = Disk::mount() else { return };
    let data: &Path = &disk.mounted.join("data");
    let collector = Collector::start().await;
    collector.answer(503);
    let config =
        format!("sinks: {{c: {{http: {{url: \"{}\"}}, retry: {{initial: 20ms, max: 100ms}}}}}}\n", collector.url);
    let proxy = Proxy::start(data, &config);
    let senders = Arc::new(Senders::default());
    senders.send(&proxy.url, 8, 200).await;
    let filler = disk.fill();
    senders.send(&proxy.url, 8, usize::MAX).await;
    assert_eq!(one_more(&proxy, 1_000_000).await, (503, Some("1".to_owned())));
    // What the store gave up is taken, too, and it's started again: nothing is left at all.
    disk.fill();
    proxy.kill();
    let proxy = Proxy::start(data, &config);
    disk.fill();
    let left = disk.free();
    let acknowledged = senders.acknowledged();
    assert!(acknowledged.len() >= 200 && left < 1 << 20, "{} acknowledged, {left} bytes left", acknowledged.len());
    collector.answer(202);
    eventually("everything acknowledged is delivered from the full disk", || {
        acknowledged.is_subset(&services(&collector))
    })
    .await;
    let (status, _) = one_more(&proxy, 1_000_001).await;
    assert!(status == 202 || status == 503);
    std::fs::remove_file(filler).unwrap();
    let roomy = Instant::now();
    let mut number = 1_000_002;
    while one_more(&proxy, number).await.0 != 202 {
        number += 1;
        assert!(roomy.elapsed().as_secs() < 30, "it takes notifications again");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    eprintln!(
        "{} acknowledged, all delivered with {left} bytes left; took again after {:?}",
        acknowledged.len(),
        roomy.elapsed()
    );
    assert_eq!(proxy.terminate(), Some(0));
}
