//! One attempt by HTTP.
//!
//! Most sinks are in the same cluster, by plain HTTP: they're reached by hyper's own client, which costs half of what one that
//! knows of TLS and proxies does.

use super::retry::Outcome;
use crate::cdevents::cloudevents::{Attributes, Mode, encode};
use crate::config::Auth;
use crate::config::written;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use reqwest::{Url, redirect};
use std::sync::Once;
use std::time::Duration;

/// Why a sink can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The HTTP client can't be made.
    #[error("the HTTP client can't be set up ({0}): are there root certificates? Set SSL_CERT_FILE")]
    Client(String),
}

const OURSELVES: &str = concat!("argocd-cdevents/", env!("CARGO_PKG_VERSION"));
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(60);
/// Time for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Time for an answer's body, once its status is there.
const BODY: Duration = Duration::from_secs(1);
/// Bytes of an answer's body that are read, and that are kept.
const READ: usize = 64 * 1024;
const KEPT: usize = 1024;

/// A sink that's reached by HTTP.
#[derive(Debug)]
pub(super) struct HttpSink {
    client: Client,
    timeout: Duration,
    mode: Mode,
    headers: HeaderMap,
    auth: Auth,
}

#[derive(Debug)]
enum Client {
    Plain(legacy::Client<HttpConnector, Full<Bytes>>, Uri),
    /// TLS, proxies, and passwords in the URL.
    Full(reqwest::Client, Url),
}

impl HttpSink {
    pub(super) fn new(
        url: Url,
        mode: written::Mode,
        headers: HeaderMap,
        auth: Auth,
        timeout: Duration,
        connections: usize,
    ) -> Result<Self, SinkError> {
        let plain = url.scheme() == "http" && url.username().is_empty() && url.password().is_none() && !proxied();
        let client = match Uri::try_from(url.as_str()) {
            Ok(uri) if plain => Client::Plain(plain_client(timeout, connections), uri),
            _ => Client::Full(full_client(timeout, connections)?, url),
        };
        let mode = match mode {
            written::Mode::Binary => Mode::Binary,
            written::Mode::Structured => Mode::Structured,
            written::Mode::Event => Mode::Event,
        };
        Ok(Self { client, timeout, mode, headers, auth })
    }

    pub(super) async fn send(&self, document: &str) -> Outcome {
        let attributes = match Attributes::of(document) {
            Ok(attributes) => attributes,
            Err(error) => return Outcome::Unsendable(format!("the stored document is no event: {error}")),
        };
        let message = encode(self.mode, &attributes, document);
        let headers = self.headers(message.headers);
        match &self.client {
            Client::Plain(client, uri) => {
                let mut request = Request::new(Full::new(message.body));
                *request.method_mut() = Method::POST;
                *request.uri_mut() = uri.clone();
                *request.headers_mut() = headers;
                match tokio::time::timeout(self.timeout, client.request(request)).await {
                    Ok(Ok(response)) => answered(response).await,
                    Ok(Err(error)) if error.is_connect() => Outcome::Unanswered(because("can't connect", &error)),
                    Ok(Err(error)) => Outcome::Unanswered(because("the connection broke", &error)),
                    Err(error) => Outcome::Unanswered(because("no answer in time", &error)),
                }
            }
            Client::Full(client, url) => {
                match client.post(url.clone()).headers(headers).body(message.body).send().await {
                    Ok(response) => answered(Response::from(response)).await,
                    // The URL may carry a password.
                    Err(error) => Outcome::Unanswered(reason(&error.without_url())),
                }
            }
        }
    }

    /// The message's, those of the configuration over them, and who we are.
    fn headers(&self, mut headers: HeaderMap) -> HeaderMap {
        headers.insert(USER_AGENT, HeaderValue::from_static(OURSELVES));
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        if let Some(value) = self.authorization() {
            headers.insert(AUTHORIZATION, value);
        }
        headers
    }

    fn authorization(&self) -> Option<HeaderValue> {
        let text = match &self.auth {
            Auth::None => return None,
            Auth::Bearer(tokens) => tokens.first()?.with(|token| format!("Bearer {token}")),
            Auth::Basic { username, passwords } => {
                let pair = passwords.first()?.with(|password| STANDARD.encode(format!("{username}:{password}")));
                format!("Basic {pair}")
            }
        };
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Whether the environment names a proxy for plain HTTP.
fn proxied() -> bool {
    let names = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
    names.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn plain_client(timeout: Duration, connections: usize) -> legacy::Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT.min(timeout)));
    connector.set_nodelay(true);
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(connections)
        .build(connector)
}

fn full_client(timeout: Duration, connections: usize) -> Result<reqwest::Client, SinkError> {
    static PROVIDER: Once = Once::new();
    // Who comes first wins; it's the same provider.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT.min(timeout))
        .timeout(timeout)
        .pool_max_idle_per_host(connections)
        .pool_idle_timeout(IDLE)
        .tcp_nodelay(true)
        .build()
        .map_err(|error| SinkError::Client(error.to_string()))
}

/// The status decides; of the body only the beginning is read, so that the connection can be kept, and not for long.
async fn answered<B>(response: Response<B>) -> Outcome
where
    B: BodyExt<Data = Bytes> + Unpin,
{
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (mut kept, mut body) = (Vec::new(), response.into_body());
    let read = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(chunk) = frame.data_ref() else { continue };
            read += chunk.len();
            kept.extend_from_slice(&chunk[..chunk.len().min(KEPT - kept.len())]);
            if read > READ {
                break;
            }
        }
    };
    drop(tokio::time::timeout(BODY, read).await);
    Outcome::Answered { status, retry_after, body: String::from_utf8_lossy(&kept).into_owned() }
}

fn reason(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "can't connect"
    } else {
        "the connection broke"
    };
    because(kind, error)
}

/// The innermost cause is what tells.
fn because(kind: &str, error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    format!("{kind}: {cause}")
}
