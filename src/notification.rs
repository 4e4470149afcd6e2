//! The first door: bytes become a [`Notification`], or a reason why they can't.
//!
//! Owns the recognition of the envelopes in which an Application travels. Trusts nothing about the bytes. Promises
//! that a `Notification` holds one JSON document, and that finding the Application in it costs nothing afterwards.

mod skip;

pub use skip::Unread;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The request that a notification came in, as rules see it under `request`. Secrets were removed before.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Path of the request, without the query.
    pub path: String,
    /// Query parameters; of a repeated one, the last.
    pub query: IndexMap<String, String>,
    /// Header names in lower case; those that carry credentials are absent.
    pub headers: IndexMap<String, String>,
    /// When the proxy received it.
    pub received_at: Timestamp,
    /// The configured source whose door it came through.
    pub source: Source,
}

/// A configured source, as rules see it under `request.source`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Source {
    /// Its name in the configuration.
    pub name: String,
    /// `context.source` of its events: as configured, else the body's `context.argocdUrl`, else `urn:argocd:<name>`.
    pub uri: String,
    /// Labels from the configuration.
    pub labels: IndexMap<String, String>,
}

/// One notification: a JSON document and the request that it came in.
#[derive(Debug, Clone)]
pub struct Notification {
    /// The JSON body, whole.
    pub body: Value,
    /// The request.
    pub request: Arc<Request>,
    envelope: Envelope,
}

/// Where in the body the Application stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    /// `{"app": {…}, …}`: our own template's, and cdviz's `{timestamp, context, app}`.
    App,
    /// The Application itself.
    Bare,
    /// Something else; rules may still read `body`.
    Other,
}

/// Why bytes aren't a notification.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The body isn't one JSON document.
    #[error("the body isn't JSON ({0}): send the Application with `toJson` from a template with `method: POST`")]
    Json(#[from] serde_json::Error),
}

impl Notification {
    /// Reads `bytes` as JSON and finds the Application in them.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] when the bytes aren't exactly one JSON document.
    pub fn parse(bytes: &[u8], request: impl Into<Arc<Request>>) -> Result<Self, Unreadable> {
        Self::parse_without(&Unread::default(), bytes, request)
    }

    /// The same, without what nobody reads.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] when the bytes aren't exactly one JSON document.
    pub fn parse_without(unread: &Unread, bytes: &[u8], request: impl Into<Arc<Request>>) -> Result<Self, Unreadable> {
        Ok(Self::new(unread.read(bytes)?, request))
    }

    /// Wraps a document that was already read.
    #[must_use]
    pub fn new(body: Value, request: impl Into<Arc<Request>>) -> Self {
        let envelope = if body.get("app").is_some_and(is_application) {
            Envelope::App
        } else if is_application(&body) {
            Envelope::Bare
        } else {
            Envelope::Other
        };
        Self { body, request: request.into(), envelope }
    }

    /// The Argo CD Application in the body, if there is one.
    #[must_use]
    pub fn application(&self) -> Option<&Value> {
        match self.envelope {
            Envelope::App => self.body.get("app"),
            Envelope::Bare => Some(&self.body),
            Envelope::Other => None,
        }
    }
}

/// An object with a name and something that only an Application has. `kind` isn't asked for: controllers drop it.
fn is_application(value: &Value) -> bool {
    let named = value.pointer("/metadata/name").is_some_and(Value::is_string);
    named && (value.pointer("/spec/destination").is_some() || value.get("status").is_some())
}
