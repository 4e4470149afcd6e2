//! The HTTP door: routes, authentication, limits, and the one table from what happened to the answer.
//!
//! Owns everything between a connection and an answer. Trusts nothing that comes in. Promises an answer within about two
//! seconds, never a redirect, and 202 only when what came of the notification is committed and synced: Argo CD tries a
//! webhook four times within seven seconds and then forgets it.

mod answer;
mod credentials;
mod direct;
mod intake;
mod listener;

pub use answer::{Answer, Refusal};
pub use intake::{Engine, Intake, Taken};
pub use listener::listen;

use crate::config::{Limits, Source};
use crate::notification::{Request, Source as Origin};
use crate::observe::Observe;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request as HttpRequest, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use indexmap::IndexMap;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

/// Time for a request's body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a notification to be translated and committed; then the sender is told to try again.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(2);

/// Everything that a request needs.
#[derive(Debug)]
pub struct Door {
    sources: Vec<Source>,
    limits: Limits,
    under_way: Semaphore,
    intake: Arc<Intake>,
    observe: Observe,
}

impl Door {
    /// A door for `sources`, in front of `intake`.
    #[must_use]
    pub fn new(sources: Vec<Source>, limits: Limits, intake: Arc<Intake>, observe: Observe) -> Self {
        Self { sources, limits, under_way: Semaphore::new(limits.in_flight), intake, observe }
    }

    /// `/webhook` is the source named `default`, or the only one.
    fn default_source(&self) -> Option<&Source> {
        let named = self.sources.iter().find(|source| source.name == "default");
        named.or_else(|| if let [only] = &self.sources[..] { Some(only) } else { None })
    }

    fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.name == name)
    }
}

/// The routes of the contract.
pub fn routes(door: Arc<Door>) -> Router {
    let mut router = Router::new()
        .route("/webhook", any(default_webhook))
        .route("/webhook/", any(default_webhook))
        .route("/webhook/{source}", any(named_webhook))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics));
    for path in door.sources.iter().filter_map(|source| source.path.clone()) {
        if !["/webhook", "/webhook/"].contains(&path.as_str()) && !path.starts_with("/webhook/") {
            router = router.route(&path, any(own_path));
        }
    }
    router.fallback(no_such_source).layer(CatchPanicLayer::custom(panicked)).with_state(door)
}

async fn ready(State(door): State<Arc<Door>>) -> Response {
    if door.observe.is_ready() {
        (StatusCode::OK, "ready\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: the store is not writable, or the proxy is stopping\n")
            .into_response()
    }
}

async fn metrics(State(door): State<Arc<Door>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], door.observe.render()).into_response()
}

async fn default_webhook(State(door): State<Arc<Door>>, request: HttpRequest) -> Response {
    let by_path = door.sources.iter().find(|s| s.path.as_deref() == Some(request.uri().path()));
    answer(&door, by_path.or_else(|| door.default_source()), request).await
}

async fn named_webhook(State(door): State<Arc<Door>>, Path(name): Path<String>, request: HttpRequest) -> Response {
    let by_path = door.sources.iter().find(|s| s.path.as_deref() == Some(request.uri().path()));
    answer(&door, by_path.or_else(|| door.source(&name)), request).await
}

async fn own_path(State(door): State<Arc<Door>>, request: HttpRequest) -> Response {
    let source = door.sources.iter().find(|source| source.path.as_deref() == Some(request.uri().path()));
    answer(&door, source, request).await
}

async fn no_such_source(State(door): State<Arc<Door>>, request: HttpRequest) -> Response {
    answer(&door, None, request).await
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    Refusal::Internal.into_response()
}

/// Takes the request in, and says what became of it: in the answer, the log and the metrics.
async fn answer(door: &Door, source: Option<&Source>, request: HttpRequest) -> Response {
    let started = Instant::now();
    let close = closes_connection(request.headers());
    let answer = match take(door, source, request).await {
        Ok(taken) => Answer::Taken(taken),
        Err(refusal) => Answer::Refused(refusal),
    };
    let name = source.map_or("", |source| source.name.as_str());
    door.observe.answered(name, answer.outcome(), started.elapsed());
    let mut response = answer.into_response();
    // One that isn't ready may be about to stop.
    if close || !door.observe.is_ready() {
        response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    response
}

/// Argo CD opens a connection per notification and never closes it.
fn closes_connection(headers: &HeaderMap) -> bool {
    headers.get(header::USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"Go-http-client/"))
}

/// The order of the checks: source, method, credentials, framing, load, size; only then is anything read.
async fn take(door: &Door, source: Option<&Source>, request: HttpRequest) -> Result<Taken, Refusal> {
    let source = source.ok_or_else(|| Refusal::NoSuchSource { path: request.uri().path().to_owned() })?;
    if request.method() != Method::POST {
        return Err(Refusal::Method { used: request.method().clone() });
    }
    credentials::check(&source.auth, request.headers())?;
    framing(request.headers())?;
    let _permit = door.under_way.try_acquire().map_err(|_| Refusal::Busy)?;
    let received_at = Timestamp::now();
    let (head, body) = request.into_parts();
    let bytes = read(&head.headers, body, door.limits.body).await?;
    let request = describe(source, &head.uri, &head.headers, received_at);
    let taking = door.intake.take(source.kind, request, head.headers, bytes);
    tokio::time::timeout(COMMIT_TIMEOUT, taking).await.map_err(|_| Refusal::Slow)?
}

/// What hyper lets through and shouldn't: no host, and two ways to tell the body's length.
fn framing(headers: &HeaderMap) -> Result<(), Refusal> {
    if !headers.contains_key(header::HOST) {
        return Err(Refusal::Framing { problem: "the request has no Host header" });
    }
    if headers.contains_key(header::TRANSFER_ENCODING) && headers.contains_key(header::CONTENT_LENGTH) {
        return Err(Refusal::Framing { problem: "the request has both Content-Length and Transfer-Encoding" });
    }
    Ok(())
}

async fn read(headers: &HeaderMap, body: Body, limit: u64) -> Result<Bytes, Refusal> {
    let encoding = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Refusal::Encoding);
    }
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(Refusal::TooLarge { limit });
    }
    let limited = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    match tokio::time::timeout(BODY_TIMEOUT, limited.collect()).await {
        Err(_) => Err(Refusal::BodyTimeout),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge { limit }),
        Ok(Err(_)) => Err(Refusal::Framing { problem: "the body broke off" }),
    }
}

/// The request as rules see it; credentials stay behind.
fn describe(source: &Source, uri: &Uri, headers: &HeaderMap, received_at: Timestamp) -> Request {
    let readable = headers.iter().filter(|(name, _)| !credentials::is_secret(name.as_str()));
    let headers = readable.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    let uri_text = source.uri.clone().unwrap_or_default();
    Request {
        path: uri.path().to_owned(),
        query: query(uri.query().unwrap_or_default()),
        headers: headers.collect(),
        received_at,
        source: Origin { name: source.name.clone(), uri: uri_text, labels: source.labels.clone() },
    }
}

fn query(text: &str) -> IndexMap<String, String> {
    // The base only gives the parser a URL to hang the query on.
    let Ok(url) = reqwest::Url::parse(&format!("http://localhost/?{text}")) else { return IndexMap::new() };
    url.query_pairs().into_owned().collect()
}
