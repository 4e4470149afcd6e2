//! What a sink that is away costs the seven others, on a machine that does other work, too.
//!
//! A proxy for each way of being away, and two whose eighth sink is well, take turns of ten seconds each: all see the same noise, and
//! how much the two that are well differ is what can't be told apart.

use super::{OTHERS, config};
use crate::delivery::sinks::{Away, away, notification};
use crate::support::{Collector, Proxy};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::tempdir;

const TURN: Duration = Duration::from_secs(10);
/// Between two notifications.
const PACE: Duration = Duration::from_millis(50);

struct Compared {
    name: String,
    proxy: Proxy,
    others: Vec<Collector>,
    told: usize,
    /// Of each turn: p50 and p99 in milliseconds.
    turns: Vec<[f64; 2]>,
    residents: Vec<u64>,
}

impl Compared {
    async fn start(dir: &Path, number: usize, how: Option<Away>) -> Self {
        let mut others = Vec::new();
        for _ in 0..OTHERS {
            others.push(Collector::start().await);
        }
        let eighth = match how {
            None => Collector::start().await.url,
            Some(how) => away(how).await,
        };
        let proxy = Proxy::start(&dir.join(number.to_string()), &config(dir, &others, &eighth));
        let name = how.map_or("is well".to_owned(), |how| format!("{how:?}"));
        Self { name, proxy, others, told: 0, turns: Vec::new(), residents: Vec::new() }
    }

    async fn turn(&mut self) {
        let (started, mut latencies) = (Instant::now(), Vec::new());
        while started.elapsed() < TURN {
            let sent = Instant::now();
            let body = notification(&format!("app-{}", self.told % 20), self.told);
            assert_eq!(self.proxy.post(body).await.0, 202);
            self.told += 1;
            while self.others.iter().any(|other| other.count() < self.told) {
                assert!(sent.elapsed() < Duration::from_secs(30), "{}: the others have it", self.name);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            latencies.push(sent.elapsed().as_secs_f64() * 1e3);
            tokio::time::sleep(PACE.saturating_sub(sent.elapsed())).await;
        }
        latencies.sort_by(f64::total_cmp);
        self.turns.push([latencies[latencies.len() / 2], latencies[latencies.len() * 99 / 100]]);
        self.residents.push(self.proxy.status_kib("VmRSS"));
    }

    /// The medians over the turns, and of how they compare to the other's turns next to them.
    fn tell(&self, well: &Self) {
        let of = |figure: usize| median(self.turns.iter().map(|turn| turn[figure]));
        let ratio = |figure: usize| {
            median(self.turns.iter().zip(&well.turns).map(|(mine, other)| mine[figure] / other[figure]))
        };
        let (first, last) = (self.residents[self.residents.len() / 4], self.residents.last());
        eprintln!(
            "{}: {} turns, {} notifications, p50 {:.1} ms (× {:.2}), p99 {:.1} ms (× {:.2}), resident {first} → {last:?} kB",
            self.name,
            self.turns.len(),
            self.told,
            of(0),
            ratio(0),
            of(1),
            ratio(1),
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_costs_the_others_in_turns() {
    let Some(seconds) = std::env::var("ARGOCD_CDEVENTS_AWAY").ok().and_then(|text| text.parse().ok()) else { return };
    let dir = tempdir().unwrap();
    let ways = [None, None, Some(Away::Refuses), Some(Away::Hangs), Some(Away::Drips), Some(Away::Fails)];
    let mut all = Vec::new();
    for (number, how) in ways.into_iter().enumerate() {
        all.push(Compared::start(dir.path(), number, how).await);
    }
    let (started, mut round) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(seconds) {
        // Each comes first as often as last.
        for place in 0..all.len() {
            let whose = (place + round) % all.len();
            all[whose].turn().await;
        }
        round += 1;
        if round % 5 == 1 {
            all.iter().for_each(|one| one.tell(&all[0]));
        }
    }
    for one in all {
        assert!(one.others.iter().all(|other| other.count() == one.told), "{}: each once", one.name);
        assert_eq!(one.proxy.terminate(), Some(0));
    }
}
