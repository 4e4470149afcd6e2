//! The configuration as it's written: names, shapes and defaults. What it means is decided one door further.

use super::units::{Bytes, Span};
use crate::secret::SecretRef;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The configuration file of argocd-cdevents.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Written {
    /// Address of the door. Default: 127.0.0.1:8080.
    pub listen: Option<SocketAddr>,
    /// Directory of the store. Default: ./data.
    pub data: Option<PathBuf>,
    /// Mappings, in order. Default: the built-in one for Argo CD.
    pub mappings: Option<Vec<MappingWritten>>,
    /// Directory of partials (`NAME.hbs`) for the mappings.
    pub templates: Option<PathBuf>,
    /// Doors, by name. Default: one without credentials, on loopback only.
    pub sources: IndexMap<String, SourceWritten>,
    /// Collectors, by name. Default: events as JSON lines on standard output.
    pub sinks: IndexMap<String, SinkWritten>,
    /// Bounds.
    pub limits: LimitsWritten,
    /// How long settled things are kept.
    pub retention: RetentionWritten,
    /// JSON Schema files of custom event types, by type (`dev.cdeventsx.tool-subject.predicate.0.1.0`).
    pub schemas: IndexMap<String, PathBuf>,
    /// Serve sources without credentials on other than loopback addresses, too.
    pub allow_unauthenticated: bool,
}

/// A mapping: built into the program, or a file or directory.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum MappingWritten {
    /// One of the program's own.
    Builtin {
        /// Its name: `argocd`.
        builtin: String,
        /// Values of its parameters.
        #[serde(default)]
        with: Value,
    },
    /// A file, or every `*.yaml` of a directory but tests.
    Path {
        /// Where.
        path: PathBuf,
        /// Values of its parameters.
        #[serde(default)]
        with: Value,
    },
}

/// A door.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SourceWritten {
    /// What comes in.
    pub kind: SourceKind,
    /// A path of its own, beside `/webhook/<name>`.
    pub path: Option<String>,
    /// `context.source` of its events. Default: the body's `context.argocdUrl`.
    pub uri: Option<String>,
    /// What rules see under `request.source.labels`.
    pub labels: IndexMap<String, String>,
    /// Who may come in.
    pub auth: Option<AuthWritten>,
}

/// What comes in through a door.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SourceKind {
    /// Notifications, for the mappings.
    #[default]
    Argocd,
    /// `CDEvents` already: validated and forwarded.
    Cdevents,
}

/// Credentials.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum AuthWritten {
    /// `Authorization: Bearer …`
    Bearer(OneOrMany),
    /// `Authorization: Basic …`
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: OneOrMany,
    },
}

/// One secret, or several that are valid at once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(SecretRef),
    /// Several.
    Many(Vec<SecretRef>),
}

impl OneOrMany {
    pub(super) fn into_vec(self) -> Vec<SecretRef> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// A collector.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SinkWritten {
    /// POST to a URL.
    pub http: Option<HttpWritten>,
    /// Lines of JSON on standard output.
    pub stdout: Option<StdoutWritten>,
    /// `CDEvents` version that it's sent. Default: the newest.
    pub spec_version: Option<String>,
    /// Types that it wants, `*` for any text: `service.*`. Default: all.
    pub types: Vec<String>,
    /// CEL over `event`, the document as it would be sent: whether it wants it.
    pub when: Option<String>,
    /// When to try again.
    pub retry: RetryWritten,
    /// Requests at a time.
    pub concurrency: usize,
    /// Whether events of one key go one after another.
    pub order: Order,
}

impl Default for SinkWritten {
    fn default() -> Self {
        Self {
            http: None,
            stdout: None,
            spec_version: None,
            types: Vec::new(),
            when: None,
            retry: RetryWritten::default(),
            concurrency: 16,
            order: Order::Key,
        }
    }
}

impl SinkWritten {
    pub(super) fn stdout() -> Self {
        Self { stdout: Some(StdoutWritten {}), ..Self::default() }
    }
}

/// Nothing to set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StdoutWritten {}

/// POST to a URL.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpWritten {
    /// Where to.
    pub url: String,
    /// How the event is laid into the request.
    #[serde(default)]
    pub mode: Mode,
    /// Additional headers.
    #[serde(default)]
    pub headers: IndexMap<String, String>,
    /// How we show who we are.
    #[serde(default)]
    pub auth: Option<AuthWritten>,
}

/// How an event is laid into a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// `CloudEvents` headers, the `CDEvent` as body.
    #[default]
    Binary,
    /// A `CloudEvents` envelope as body.
    Structured,
    /// The `CDEvent` as body, no `CloudEvents`.
    Event,
}

/// Whether events of one key go one after another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// Those of one key do.
    #[default]
    Key,
    /// They don't.
    None,
}

/// When to try a delivery again.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RetryWritten {
    /// Longest wait before the second attempt; it doubles from attempt to attempt.
    pub initial: Span,
    /// Longest wait between attempts.
    pub max: Span,
    /// When an event becomes a dead letter.
    pub give_up_after: Span,
    /// Time for one attempt, from connecting to the end of the answer.
    pub timeout: Span,
}

impl Default for RetryWritten {
    fn default() -> Self {
        Self {
            initial: Span(Duration::from_secs(1)),
            max: Span(Duration::from_secs(15 * 60)),
            give_up_after: Span(Duration::from_secs(7 * 24 * 3600)),
            timeout: Span(Duration::from_secs(15)),
        }
    }
}

/// Bounds.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LimitsWritten {
    /// Size of a request's body.
    pub body: Bytes,
    /// Requests under way at a time.
    pub in_flight: usize,
    /// Size of the store; from 80 % on, notifications are answered 503.
    pub store: Bytes,
}

impl Default for LimitsWritten {
    fn default() -> Self {
        Self { body: Bytes(8 << 20), in_flight: 1024, store: Bytes(10 << 30) }
    }
}

impl From<LimitsWritten> for super::Limits {
    fn from(written: LimitsWritten) -> Self {
        Self { body: written.body.0, in_flight: written.in_flight, store: written.store.0 }
    }
}

/// How long settled things are kept.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RetentionWritten {
    /// Ids of events that were said: a notification told again within this time is known.
    pub seen: Span,
    /// Events that every sink has taken.
    pub delivered: Span,
}

impl Default for RetentionWritten {
    fn default() -> Self {
        Self { seen: Span(Duration::from_secs(30 * 24 * 3600)), delivered: Span(Duration::ZERO) }
    }
}

impl From<RetentionWritten> for super::Retention {
    fn from(written: RetentionWritten) -> Self {
        Self { seen: written.seen.0, delivered: written.delivered.0 }
    }
}
