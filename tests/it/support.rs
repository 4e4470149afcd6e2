//! A proxy of one's own, a collector of one's own, each on a port that the system picks and in its own directory.

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// One of the repository's payloads.
pub fn payload(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The built program.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_argocd-cdevents"));
    command.env("NO_COLOR", "1").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn run(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
}

/// Waits until `done` holds.
///
/// # Panics
///
/// When it doesn't within half a minute: a machine under load is slow, not wrong.
pub async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(30), "{what} within 30 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A running `serve`; it's killed when dropped.
pub struct Proxy {
    child: Child,
    /// `http://127.0.0.1:PORT`
    pub url: String,
    /// Lines on stdout so far.
    pub stdout: Arc<Mutex<Vec<String>>>,
    /// Lines on stderr so far.
    pub stderr: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts `serve` on `data` with a configuration.
    pub fn start(data: &Path, config: &str) -> Self {
        Self::start_with(data, config, &[])
    }

    /// The same with variables.
    pub fn start_with(data: &Path, config: &str, env: &[(&str, &str)]) -> Self {
        let mut command = program();
        command.envs(env.iter().copied());
        Self::spawn(command, data, config)
    }

    /// The same under `strace` with these arguments. The tracer is a process beside it and ends with it.
    pub fn start_traced(data: &Path, config: &str, strace: &[&str]) -> Self {
        let mut command = Command::new("strace");
        command.env("NO_COLOR", "1").env_remove("RUST_LOG").stdin(Stdio::null());
        command.args(["-D", "-f", "--seccomp-bpf"]).args(strace).arg(env!("CARGO_BIN_EXE_argocd-cdevents"));
        Self::spawn(command, data, config)
    }

    fn spawn(mut command: Command, data: &Path, config: &str) -> Self {
        std::fs::create_dir_all(data).unwrap();
        let file = data.with_extension("config.yaml");
        std::fs::write(&file, config).unwrap();
        command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(&file).arg("--data").arg(data);
        Self::started(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// Starts a command that serves, and waits until it listens.
    pub fn started(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().map(gather).unwrap_or_default();
        let stderr = gather(child.stderr.take().unwrap());
        let started = Instant::now();
        let address = loop {
            let found = stderr.lock().unwrap().iter().find_map(|line: &String| {
                line.contains("listening")
                    .then(|| line.split("address=").nth(1)?.split_whitespace().next().map(str::to_owned))?
            });
            if let Some(address) = found {
                break address;
            }
            assert!(child.try_wait().unwrap().is_none(), "serve ended: {:?}", stderr.lock().unwrap());
            assert!(started.elapsed() < Duration::from_secs(30), "serve listens: {:?}", stderr.lock().unwrap());
            std::thread::sleep(Duration::from_millis(5));
        };
        Self { child, url: format!("http://{address}"), stdout, stderr }
    }

    /// POSTs to the default source.
    pub async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, Value) {
        self.post_to("/webhook", body).await
    }

    /// POSTs to a path.
    pub async fn post_to(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request =
            client().post(format!("{}{path}", self.url)).header("content-type", "application/json").body(body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// What the system says of it under `/proc/<pid>/status`, in KiB.
    pub fn status_kib(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
    }

    /// The exit code, if it has ended.
    pub fn ended(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().unwrap().map(|status| status.code())
    }

    /// SIGKILL, as a node that loses power does it to a process.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the exit code.
    pub fn terminate(self) -> Option<i32> {
        self.tell_to_stop();
        self.wait()
    }

    /// SIGTERM alone.
    pub fn tell_to_stop(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// The exit code, once it's there.
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Documents printed on stdout so far.
    pub fn events(&self) -> Vec<Value> {
        let lines = self.stdout.lock().unwrap();
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn gather(from: impl std::io::Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            into.lock().unwrap().push(line);
        }
    });
    lines
}

/// A client without connections kept from one test to the next.
pub fn client() -> reqwest::Client {
    builder().pool_max_idle_per_host(0).build().unwrap()
}

/// A client that keeps its connections.
pub fn keeping() -> reqwest::Client {
    builder().build().unwrap()
}

fn builder() -> reqwest::ClientBuilder {
    use std::sync::Once;
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    reqwest::Client::builder()
}

/// One request that a collector got.
#[derive(Debug, Clone)]
pub struct Received {
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
    /// The document.
    pub body: Value,
    /// What it was answered.
    pub status: u16,
    /// When.
    pub at: Instant,
}

impl Received {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Says what a request is answered: a status, and how many seconds to wait.
pub type Answering = dyn Fn(&Value) -> (u16, Option<u32>) + Send + Sync;

/// A collector that answers with a status that can be changed.
pub struct Collector {
    /// `http://127.0.0.1:PORT/`
    pub url: String,
    status: Arc<AtomicU16>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Collector {
    /// One that takes everything.
    pub async fn start() -> Self {
        let status = Arc::new(AtomicU16::new(202));
        let says = Arc::clone(&status);
        Self::serving(status, Arc::new(move |_| (says.load(Ordering::SeqCst), None))).await
    }

    /// One that answers by the document.
    pub async fn answering(says: impl Fn(&Value) -> (u16, Option<u32>) + Send + Sync + 'static) -> Self {
        Self::serving(Arc::default(), Arc::new(says)).await
    }

    async fn serving(status: Arc<AtomicU16>, says: Arc<Answering>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let collector = Self { url, status, received: Arc::clone(&received) };
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (says, received) = (Arc::clone(&says), Arc::clone(&received));
                let service = service_fn(move |request| take(request, Arc::clone(&says), Arc::clone(&received)));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        collector
    }

    /// From now on it answers `status`.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// Everything it got.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// How many requests it got.
    pub fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// What it took.
    pub fn taken(&self) -> Vec<Received> {
        self.received().into_iter().filter(|one| one.status < 300).collect()
    }
}

async fn take(
    request: hyper::Request<Incoming>,
    says: Arc<Answering>,
    received: Arc<Mutex<Vec<Received>>>,
) -> Result<hyper::Response<Empty<Bytes>>, Infallible> {
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let bytes = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let (status, retry_after) = says(&body);
    received.lock().unwrap().push(Received { headers, body, status, at: Instant::now() });
    let mut response = hyper::Response::new(Empty::new());
    if let Some(seconds) = retry_after {
        response.headers_mut().insert("retry-after", seconds.into());
    }
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap();
    Ok(response)
}
