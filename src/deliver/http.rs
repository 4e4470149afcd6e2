//! One attempt by HTTP.

use super::retry::Outcome;
use super::sink::SinkError;
use crate::cdevents::cloudevents::{Attributes, Mode, encode};
use crate::config::Auth;
use crate::config::written;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use reqwest::{Client, Url, redirect};
use std::sync::Once;
use std::time::Duration;

/// Time for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of an answer's body that are read, and that are kept.
const READ: usize = 64 * 1024;
const KEPT: usize = 1024;

/// A sink that's reached by HTTP.
#[derive(Debug)]
pub(super) struct HttpSink {
    client: Client,
    url: Url,
    mode: Mode,
    headers: HeaderMap,
    auth: Auth,
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
        static PROVIDER: Once = Once::new();
        // Who comes first wins; it's the same provider.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT.min(timeout))
            .timeout(timeout)
            .pool_max_idle_per_host(connections)
            .pool_idle_timeout(Duration::from_secs(60))
            .tcp_nodelay(true)
            .user_agent(concat!("argocd-cdevents/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| SinkError::Client(error.to_string()))?;
        let mode = match mode {
            written::Mode::Binary => Mode::Binary,
            written::Mode::Structured => Mode::Structured,
            written::Mode::Event => Mode::Event,
        };
        Ok(Self { client, url, mode, headers, auth })
    }

    pub(super) async fn send(&self, document: &str) -> Outcome {
        let attributes = match Attributes::of(document) {
            Ok(attributes) => attributes,
            Err(error) => return Outcome::Unsendable(format!("the stored document is no event: {error}")),
        };
        let message = encode(self.mode, &attributes, document);
        let mut request = self.client.post(self.url.clone()).headers(message.headers).headers(self.headers.clone());
        if let Some(value) = self.authorization() {
            request = request.header(AUTHORIZATION, value);
        }
        match request.body(message.body).send().await {
            Ok(response) => answered(response).await,
            // The URL may carry a password.
            Err(error) => Outcome::Unanswered(reason(&error.without_url())),
        }
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

/// The status decides; of the body only the beginning is read, so that the connection can be kept.
async fn answered(mut response: reqwest::Response) -> Outcome {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        body.extend_from_slice(&chunk[..chunk.len().min(KEPT - body.len())]);
        if read > READ {
            break;
        }
    }
    Outcome::Answered { status, retry_after, body: String::from_utf8_lossy(&body).into_owned() }
}

/// The innermost cause is what tells.
fn reason(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "can't connect"
    } else {
        "the connection broke"
    };
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    format!("{kind}: {cause}")
}
