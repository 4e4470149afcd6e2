//! Load bench: starts the proxy, a counting sink and a load on this machine, and prints what came of it.
//!
//! ```text
//! cargo build --release && cargo run --release --example load -- --connections 32 --notifications 20000
//! ```
//!
//! Every notification is the first deployment of an application of its own, so every one makes an event that must arrive at
//! the sink. The proxy is the built program, in a process of its own, with its store in a temporary directory.

use clap::Parser;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::HashSet;
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What to do to the proxy.
#[derive(Debug, Clone, Parser)]
struct Load {
    /// Connections at a time
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Notifications in all
    #[arg(long, default_value_t = 20_000)]
    notifications: usize,
    /// A new connection for every notification, as Argo CD has it
    #[arg(long)]
    per_request: bool,
    /// Notifications a second; 0: as fast as it goes
    #[arg(long, default_value_t = 0)]
    rate: usize,
    /// Size of a body in KiB
    #[arg(long, default_value_t = 10)]
    kib: usize,
    /// Seconds in which the sink answers 503 at the start
    #[arg(long, default_value_t = 0)]
    outage: u64,
    /// Let the sink refuse everything for good, to fill the queue; nothing is waited for
    #[arg(long)]
    dead_sink: bool,
    /// Pass through nginx instead, which stores nothing: the yardstick of what the machine can do. nginx must be installed
    #[arg(long)]
    nginx: bool,
    /// The program
    #[arg(long, default_value = "target/release/argocd-cdevents")]
    program: PathBuf,
    /// Keep the store in this directory, and what's in it already
    #[arg(long)]
    data: Option<PathBuf>,
    /// First application's number, so that runs on one store don't repeat each other
    #[arg(long, default_value_t = 0)]
    first: usize,
}

/// What the sink got.
#[derive(Debug, Default)]
struct Sink {
    ids: Mutex<HashSet<String>>,
    requests: AtomicUsize,
    refused: AtomicUsize,
    others: AtomicUsize,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let load = Load::parse();
    let dir = std::env::temp_dir().join(format!("argocd-cdevents-load-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let outcome = bench(&load, &dir).await;
    std::fs::remove_dir_all(&dir)?;
    outcome
}

async fn bench(load: &Load, dir: &Path) -> Result<ExitCode, Failure> {
    let sink = Arc::new(Sink::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let sink_address = listener.local_addr()?;
    tokio::spawn(serve_sink(listener, Arc::clone(&sink), Duration::from_secs(load.outage), load.dead_sink));
    let mut proxy = if load.nginx {
        Proxy::nginx(dir, sink_address.port())?
    } else {
        Proxy::start(load, dir, sink_address.port())?
    };
    let before = Io::of(&proxy.child)?;

    let started = Instant::now();
    let mut latencies = post_all(load, proxy.address.clone()).await?;
    let acked_in = started.elapsed();
    let acked = latencies.len();
    // What passes through nginx is no event.
    let goal = if load.dead_sink || load.nginx { 0 } else { acked };
    let delivered_in = wait_for(&sink, goal, started).await;

    let after = Io::of(&proxy.child)?;
    latencies.sort_unstable();
    let delivered = sink.ids.lock().map_err(|_| "poisoned")?.len();
    let took = sink.requests.load(Ordering::SeqCst) - sink.refused.load(Ordering::SeqCst);
    let repeated = took - sink.others.load(Ordering::SeqCst) - delivered;
    let at = |share: f64| latencies.get(((acked as f64 - 1.0) * share) as usize).copied().unwrap_or_default();
    let per_second = |count: usize, time: Duration| count as f64 / time.as_secs_f64();
    let mut out = std::io::stdout();
    writeln!(out, "acked      {acked:>8}  {:>9.0}/s", per_second(acked, acked_in))?;
    writeln!(out, "delivered  {delivered:>8}  {:>9.0}/s  repeated {repeated}", per_second(delivered, delivered_in))?;
    writeln!(out, "ack        p50 {:?}  p99 {:?}  p99.9 {:?}", at(0.50), at(0.99), at(0.999))?;
    writeln!(out, "resident   {} KiB now, {} KiB at most", after.rss, after.peak)?;
    writeln!(
        out,
        "written    {:.1} KiB a notification",
        (after.written - before.written) as f64 / 1024.0 / acked as f64
    )?;
    writeln!(out, "cpu        {:.0} us a notification", (after.cpu - before.cpu).as_micros() as f64 / acked as f64)?;
    proxy.stop()?;
    let lost = acked != load.notifications || delivered < goal;
    Ok(if lost { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The built program, as a user runs it.
struct Proxy {
    child: Child,
    address: String,
}

impl Proxy {
    fn start(load: &Load, dir: &Path, sink: u16) -> Result<Self, Failure> {
        let config = dir.join("config.yaml");
        std::fs::write(
            &config,
            format!("sinks: {{count: {{http: {{url: \"http://127.0.0.1:{sink}/\"}}}}}}\nlimits: {{body: 64MiB}}\n"),
        )?;
        let data = load.data.clone().unwrap_or_else(|| dir.join("data"));
        let started = Instant::now();
        let mut child = Command::new(&load.program)
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&config)
            .arg("--data")
            .arg(data)
            .env("RUST_LOG", "argocd_cdevents=info")
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no stderr")?).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split("address=").nth(1)?.split_whitespace().next().map(str::to_owned))
            .ok_or("the proxy doesn't listen")?;
        writeln!(std::io::stdout(), "listening  after {:?}", started.elapsed())?;
        // The pipe must be read on, or the proxy would wait for it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address })
    }

    fn nginx(dir: &Path, sink: u16) -> Result<Self, Failure> {
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let config = dir.join("nginx.conf");
        let temporary = |what: &str| format!("{what}_temp_path {};", dir.join(what).display());
        std::fs::write(
            &config,
            format!(
                "daemon off; worker_processes 2; pid {}; error_log stderr; events {{ worker_connections 1024; }}\n\
                 http {{ access_log off; {} {} {} {} {}\n\
                 client_max_body_size 64m; client_body_buffer_size 2m; keepalive_requests 1000000;\n\
                 upstream sink {{ server 127.0.0.1:{sink}; keepalive 64; keepalive_requests 1000000; }}\n\
                 server {{ listen {address}; location / {{ proxy_pass http://sink; proxy_http_version 1.1; \
                 proxy_set_header Connection \"\"; }} }} }}\n",
                dir.join("nginx.pid").display(),
                temporary("client_body"),
                temporary("proxy"),
                temporary("fastcgi"),
                temporary("uwsgi"),
                temporary("scgi"),
            ),
        )?;
        let child = Command::new("nginx").arg("-c").arg(&config).stderr(Stdio::inherit()).spawn()?;
        let started = Instant::now();
        while std::net::TcpStream::connect(&address).is_err() {
            if started.elapsed() > Duration::from_secs(10) {
                return Err("nginx doesn't listen".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { child, address })
    }

    /// Ends it, with its children.
    fn stop(&mut self) -> Result<(), Failure> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        drop(Command::new("kill").arg(self.child.id().to_string()).status());
        std::thread::sleep(Duration::from_millis(100));
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop());
    }
}

/// What the system says of a process.
struct Io {
    rss: u64,
    peak: u64,
    written: u64,
    cpu: Duration,
}

impl Io {
    fn of(child: &Child) -> Result<Self, Failure> {
        let proc = PathBuf::from(format!("/proc/{}", child.id()));
        let status = std::fs::read_to_string(proc.join("status"))?;
        let io = std::fs::read_to_string(proc.join("io"))?;
        let stat = std::fs::read_to_string(proc.join("stat"))?;
        let number = |text: &str, key: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        // User and system time in ticks of 10 ms, the 12th and 13th field behind the command's closing parenthesis.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().filter_map(|i| fields.get(*i)?.parse::<u64>().ok()).sum();
        Ok(Self {
            rss: number(&status, "VmRSS:"),
            peak: number(&status, "VmHWM:"),
            written: number(&io, "write_bytes:"),
            cpu: Duration::from_millis(ticks * 10),
        })
    }
}

async fn serve_sink(listener: TcpListener, sink: Arc<Sink>, outage: Duration, dead: bool) {
    let opens = Instant::now() + outage;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        drop(stream.set_nodelay(true));
        let sink = Arc::clone(&sink);
        let service = service_fn(move |request| count(Arc::clone(&sink), request, dead || Instant::now() < opens));
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn count(
    sink: Arc<Sink>,
    request: hyper::Request<Incoming>,
    refuse: bool,
) -> Result<hyper::Response<Empty<bytes::Bytes>>, Infallible> {
    sink.requests.fetch_add(1, Ordering::SeqCst);
    let text =
        |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (id, kind) = (text("ce-id"), text("ce-type"));
    drop(request.into_body().collect().await);
    let mut response = hyper::Response::new(Empty::new());
    if refuse {
        sink.refused.fetch_add(1, Ordering::SeqCst);
        *response.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
    } else if kind.contains(".service.") {
        // Each notification makes two events; the last of them counts it as delivered.
        if let Ok(mut ids) = sink.ids.lock() {
            ids.insert(id);
        }
    } else {
        sink.others.fetch_add(1, Ordering::SeqCst);
    }
    Ok(response)
}

async fn post_all(load: &Load, address: String) -> Result<Vec<Duration>, Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let body = Arc::new(Body::new(load.kib));
    let started = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..load.connections {
        tasks.push(tokio::spawn(post(load.clone(), address.clone(), Arc::clone(&next), Arc::clone(&body), started)));
    }
    let mut latencies = Vec::with_capacity(load.notifications);
    for task in tasks {
        latencies.extend(task.await??);
    }
    Ok(latencies)
}

async fn post(
    load: Load,
    address: String,
    next: Arc<AtomicUsize>,
    body: Arc<Body>,
    started: Instant,
) -> Result<Vec<Duration>, Failure> {
    let mut latencies = Vec::new();
    let mut kept: Option<TcpStream> = None;
    let mut request = Vec::new();
    let mut answer = vec![0; 4096];
    loop {
        let number = next.fetch_add(1, Ordering::SeqCst);
        if number >= load.notifications {
            return Ok(latencies);
        }
        let mut due = Instant::now();
        if load.rate > 0 {
            // From when it was due, not from when we came to it: a slow answer mustn't hide the wait behind it.
            due = started + Duration::from_secs_f64(number as f64 / load.rate as f64);
            tokio::time::sleep_until(due.into()).await;
        }
        request.clear();
        body.write(&mut request, load.first + number, load.per_request);
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        stream.write_all(&request).await?;
        let read = stream.read(&mut answer).await?;
        if answer[..read].starts_with(b"HTTP/1.1 20") {
            latencies.push(due.elapsed());
        } else {
            writeln!(std::io::stderr(), "{}", String::from_utf8_lossy(&answer[..read]))?;
        }
        if !load.per_request {
            kept = Some(stream);
        }
    }
}

/// A first deployment that is healthy, padded to a size with what real ones are full of.
struct Body {
    resources: String,
}

const MARK: &str = "00000000";

impl Body {
    fn new(kib: usize) -> Self {
        let mut resources = String::new();
        let mut number = 0;
        while application(MARK, &resources).len() < kib * 1024 {
            let comma = if number == 0 { "" } else { "," };
            resources.push_str(&format!(
                r#"{comma}{{"group":"apps","health":{{"status":"Healthy"}},"kind":"Deployment","name":"pear-{number}","namespace":"grove","status":"Synced","version":"v1"}}"#
            ));
            number += 1;
        }
        Self { resources }
    }

    fn write(&self, request: &mut Vec<u8>, number: usize, close: bool) {
        let body = application(&format!("{number:08}"), &self.resources);
        let agent = if close { "Go-http-client/1.1" } else { "load" };
        let head = format!(
            "POST /webhook HTTP/1.1\r\nHost: proxy\r\nUser-Agent: {agent}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        request.extend_from_slice(head.as_bytes());
        request.extend_from_slice(body.as_bytes());
    }
}

fn application(mark: &str, resources: &str) -> String {
    let source = r#"{"path":"pear","repoURL":"https://git.grove.example/team/manifests.git","targetRevision":"main"}"#;
    let revision = "5f1c2d3e4a5b6c7d8e9f00112233445566778899";
    format!(
        r#"{{"hint":"cdevents:health","context":{{"argocdUrl":"https://argocd.grove.example","notificationType":"cdevents"}},"app":{{"apiVersion":"argoproj.io/v1alpha1","kind":"Application","metadata":{{"name":"pear-{mark}","namespace":"argocd","uid":"7b0d1c52-55aa-4b02-9e0e-0000{mark}","creationTimestamp":"2026-03-02T09:00:00Z"}},"spec":{{"destination":{{"namespace":"grove","server":"https://kubernetes.default.svc"}},"project":"grove","source":{source}}},"status":{{"health":{{"lastTransitionTime":"2026-03-02T09:00:09Z","status":"Healthy"}},"history":[{{"deployStartedAt":"2026-03-02T09:00:03Z","deployedAt":"2026-03-02T09:00:05Z","id":0,"revision":"{revision}","source":{source}}}],"operationState":{{"finishedAt":"2026-03-02T09:00:05Z","operation":{{"initiatedBy":{{"automated":true}},"sync":{{"revision":"{revision}"}}}},"phase":"Succeeded","startedAt":"2026-03-02T09:00:03Z","syncResult":{{"resources":[{{"group":"apps","images":["registry.grove.example/pear:1.0.0"],"kind":"Deployment","name":"pear","namespace":"grove","status":"Synced"}}],"revision":"{revision}","source":{source}}}}},"reconciledAt":"2026-03-02T09:00:06Z","resources":[{resources}],"summary":{{"images":["registry.grove.example/pear:1.0.0"]}},"sync":{{"comparedTo":{{"source":{source}}},"revision":"{revision}","status":"Synced"}}}}}}}}"#
    )
}

/// Until the sink got `goal` different events, or nothing comes any more.
async fn wait_for(sink: &Sink, goal: usize, started: Instant) -> Duration {
    let mut last = (0, Instant::now());
    loop {
        let got = sink.ids.lock().map(|ids| ids.len()).unwrap_or_default();
        if got != last.0 {
            last = (got, Instant::now());
        }
        if got >= goal || last.1.elapsed() > Duration::from_secs(60) {
            return started.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
