//! Settings: as written in a file, the environment and flags, then as meant.
//!
//! Owns names, defaults and units. Trusts nothing of what was written: an unknown key is a fault, and every fault is
//! told at once. Promises that a [`Settings`] can be run, but for what only running shows (a port that is taken).
//!
//! Order of precedence: flags, then `ARGOCD_CDEVENTS__…` variables, then the file, then defaults. Paths in a file are
//! relative to that file; those of flags and variables to the working directory.

mod overrides;
mod shape;
pub mod units;
pub mod written;

use crate::cdevents::{SpecVersion, UnknownSpecVersion};
use crate::mapping::MappingRef;
use crate::secret::{Secret, SecretError};
use indexmap::IndexMap;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use written::{AuthWritten, MappingWritten, SinkWritten, SourceWritten, Written};

/// Prefix of the variables that override a setting; `__` goes one level down.
pub const ENV_PREFIX: &str = "ARGOCD_CDEVENTS__";

/// Settings as meant.
#[derive(Debug)]
pub struct Settings {
    /// Where the door listens.
    pub listen: SocketAddr,
    /// Directory of the store.
    pub data: PathBuf,
    /// The mappings, in order.
    pub mappings: Vec<MappingWritten>,
    /// Directory of the users' partials.
    pub templates: Option<PathBuf>,
    /// The doors, by name.
    pub sources: Vec<Source>,
    /// The collectors.
    pub sinks: Vec<Sink>,
    /// Bounds.
    pub limits: Limits,
    /// How long settled things are kept.
    pub retention: Retention,
    /// JSON Schemas of custom event types: type without version or whole, and the schema's file.
    pub schemas: IndexMap<String, PathBuf>,
}

/// A door.
#[derive(Debug)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// What comes in through it.
    pub kind: written::SourceKind,
    /// A path of its own, beside `/webhook/<name>`.
    pub path: Option<String>,
    /// `context.source` of its events.
    pub uri: Option<String>,
    /// What rules see under `request.source.labels`.
    pub labels: IndexMap<String, String>,
    /// Who may come in.
    pub auth: Auth,
}

/// Who may come in, or how we show who we are.
#[derive(Debug)]
pub enum Auth {
    /// Anyone.
    None,
    /// `Authorization: Bearer …`; at a door several are valid at once, at a sink the first is sent.
    Bearer(Vec<Arc<Secret>>),
    /// `Authorization: Basic …`.
    Basic {
        /// The user's name.
        username: String,
        /// Their passwords; several are valid at once at a door.
        passwords: Vec<Arc<Secret>>,
    },
}

/// A collector.
#[derive(Debug)]
pub struct Sink {
    /// Its name.
    pub name: Arc<str>,
    /// Where events go.
    pub to: Target,
    /// What it's sent.
    pub version: SpecVersion,
    /// Globs over types (`service.*`); empty: all.
    pub types: Vec<String>,
    /// CEL over `event`.
    pub when: Option<String>,
    /// When to try again.
    pub retry: written::RetryWritten,
    /// Requests at a time.
    pub concurrency: usize,
    /// Whether events of one key go one after another.
    pub order: written::Order,
}

impl Settings {
    /// The mappings as their room wants them.
    #[must_use]
    pub fn mapping_refs(&self) -> Vec<MappingRef> {
        let refs = self.mappings.iter().cloned().map(|written| match written {
            MappingWritten::Builtin { builtin: name, with } => MappingRef::Builtin { name, with },
            MappingWritten::Path { path, with } => MappingRef::Path { path, with },
        });
        refs.collect()
    }
}

/// Where a sink's events go.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there are a few, made once")]
pub enum Target {
    /// A line of JSON on standard output.
    Stdout,
    /// A POST.
    Http {
        /// Where to.
        url: reqwest::Url,
        /// How the event is laid into the request.
        mode: written::Mode,
        /// Additional headers.
        headers: http::HeaderMap,
        /// How we show who we are.
        auth: Auth,
    },
}

/// Bounds.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body: u64,
    /// Requests under way at a time.
    pub in_flight: usize,
    /// Bytes of the store.
    pub store: u64,
}

/// How long settled things are kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Ids of events that were said.
    pub seen: std::time::Duration,
    /// Events that every sink has taken.
    pub delivered: std::time::Duration,
}

/// What flags say; each beats the file and the environment.
#[derive(Debug, Default, Clone)]
pub struct Flags {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--mapping`, in order; replaces the configured ones.
    pub mappings: Vec<PathBuf>,
    /// `--data`
    pub data: Option<PathBuf>,
}

/// Every fault that was found in the settings.
#[derive(Debug, thiserror::Error)]
#[error("{}", list(.0))]
pub struct Faults(pub Vec<Fault>);

/// One fault in the settings.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file can't be read.
    #[error("the configuration {} can't be read ({reason}): check `--config`", path.display())]
    Unreadable {
        /// As given.
        path: PathBuf,
        /// The operating system's word.
        reason: std::io::Error,
    },
    /// What was written isn't YAML, or not of the shape.
    #[error("{0}")]
    Shape(String),
    /// A value isn't what its key means.
    #[error("{key}: {problem}")]
    Value {
        /// Path of the key.
        key: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A secret can't be had.
    #[error("{key}: {source}")]
    Secret {
        /// Path of the key.
        key: String,
        /// Why.
        source: SecretError,
    },
}

fn list(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Reads the settings.
///
/// # Errors
///
/// Every fault in the file, the variables and the flags.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &Flags,
) -> Result<Settings, Faults> {
    let text = match file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|reason| Faults(vec![Fault::Unreadable { path: path.to_owned(), reason }]))?,
        None => String::new(),
    };
    let value = overrides::merge(&text, environment).map_err(|fault| Faults(vec![fault]))?;
    let faults = shape::faults(&value, &text);
    if !faults.is_empty() {
        return Err(Faults(faults));
    }
    let written: Written = serde_json::from_value(value).map_err(|e| Faults(vec![Fault::Shape(e.to_string())]))?;
    let base = file.and_then(Path::parent).unwrap_or(Path::new(""));
    Meaning { base, faults: Vec::new() }.settings(written, flags)
}

/// JSON Schema of the configuration file.
#[must_use]
pub fn schema() -> Value {
    shape::schema()
}

/// Turns what was written into what was meant, collecting faults on the way.
struct Meaning<'a> {
    base: &'a Path,
    faults: Vec<Fault>,
}

impl Meaning<'_> {
    fn settings(mut self, written: Written, flags: &Flags) -> Result<Settings, Faults> {
        let listen = flags.listen.unwrap_or(written.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080))));
        let sources = self.sources(written.sources, listen, written.allow_unauthenticated);
        let sinks = self.sinks(written.sinks);
        let mappings = self.mappings(written.mappings, &flags.mappings);
        let settings = Settings {
            listen,
            data: flags.data.clone().or_else(|| written.data.map(|p| self.base.join(p))).unwrap_or("data".into()),
            mappings,
            templates: written.templates.map(|path| self.base.join(path)),
            sources,
            sinks,
            limits: written.limits.into(),
            retention: written.retention.into(),
            schemas: written.schemas.into_iter().map(|(kind, path)| (kind, self.base.join(path))).collect(),
        };
        if self.faults.is_empty() { Ok(settings) } else { Err(Faults(self.faults)) }
    }

    fn mappings(&self, written: Option<Vec<MappingWritten>>, flags: &[PathBuf]) -> Vec<MappingWritten> {
        if !flags.is_empty() {
            let file = |path: &PathBuf| MappingWritten::Path { path: path.clone(), with: Value::Null };
            return flags.iter().map(file).collect();
        }
        let builtin = || vec![MappingWritten::Builtin { builtin: "argocd".to_owned(), with: Value::Null }];
        let mut mappings = written.unwrap_or_else(builtin);
        for mapping in &mut mappings {
            if let MappingWritten::Path { path, .. } = mapping {
                *path = self.base.join(&*path);
            }
        }
        mappings
    }

    fn sources(
        &mut self,
        written: IndexMap<String, SourceWritten>,
        listen: SocketAddr,
        allow_unauthenticated: bool,
    ) -> Vec<Source> {
        let written = if written.is_empty() {
            IndexMap::from([("default".to_owned(), SourceWritten::default())])
        } else {
            written
        };
        let mut sources: Vec<Source> = Vec::new();
        for (name, source) in written {
            let source = self.source(name, source);
            let open = matches!(source.auth, Auth::None);
            if open && !listen.ip().is_loopback() && !allow_unauthenticated {
                let problem = format!(
                    "a source without `auth` is only served on a loopback address, and {listen} isn't one: \
                     give it `auth`, or set `allowUnauthenticated: true`"
                );
                self.fault(format!("sources.{}", source.name), problem);
            }
            if let Some(other) = sources.iter().find(|other| other.path.is_some() && other.path == source.path) {
                let problem = format!("the path is the one of source `{}` already: give it another", other.name);
                self.fault(format!("sources.{}.path", source.name), problem);
            }
            sources.push(source);
        }
        sources
    }

    fn source(&mut self, name: String, written: SourceWritten) -> Source {
        let key = format!("sources.{name}");
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            self.fault(key.clone(), "a source's name is part of a URL: use letters, digits, `-`, `_` and `.`".into());
        }
        if let Some(path) = &written.path {
            let taken = ["/livez", "/readyz", "/metrics"].contains(&path.as_str());
            if !path.starts_with('/') || path.contains(['?', '#', '{', '}', ' ']) || taken {
                let problem = format!("`{path}` can't be a door: write a path such as /argocd/{name}");
                self.fault(format!("{key}.path"), problem);
            }
        }
        let auth = self.auth(&format!("{key}.auth"), written.auth);
        Source { name, kind: written.kind, path: written.path, uri: written.uri, labels: written.labels, auth }
    }

    fn auth(&mut self, key: &str, written: Option<AuthWritten>) -> Auth {
        match written {
            None => Auth::None,
            Some(AuthWritten::Bearer(tokens)) => Auth::Bearer(self.secrets(key, tokens.into_vec())),
            Some(AuthWritten::Basic { username, password }) => {
                Auth::Basic { username, passwords: self.secrets(key, password.into_vec()) }
            }
        }
    }

    fn secrets(&mut self, key: &str, refs: Vec<crate::secret::SecretRef>) -> Vec<Arc<Secret>> {
        if refs.is_empty() {
            self.fault(key.to_owned(), "no secret is named: add `{env: NAME}` or `{file: PATH}`".into());
        }
        let mut secrets = Vec::new();
        for from in refs {
            let from = match from {
                crate::secret::SecretRef::File(path) => crate::secret::SecretRef::File(self.base.join(path)),
                env @ crate::secret::SecretRef::Env(_) => env,
            };
            match Secret::find(from) {
                Ok(secret) => secrets.push(Arc::new(secret)),
                Err(source) => self.faults.push(Fault::Secret { key: key.to_owned(), source }),
            }
        }
        secrets
    }

    fn sinks(&mut self, written: IndexMap<String, SinkWritten>) -> Vec<Sink> {
        let written =
            if written.is_empty() { IndexMap::from([("stdout".to_owned(), SinkWritten::stdout())]) } else { written };
        written.into_iter().filter_map(|(name, sink)| self.sink(name, sink)).collect()
    }

    fn sink(&mut self, name: String, written: SinkWritten) -> Option<Sink> {
        let key = format!("sinks.{name}");
        let version = match written.spec_version.map(|text| text.parse::<SpecVersion>()).transpose() {
            Ok(version) => version.unwrap_or(SpecVersion::NEWEST),
            Err(error @ UnknownSpecVersion(_)) => {
                self.fault(format!("{key}.specVersion"), error.to_string());
                SpecVersion::NEWEST
            }
        };
        if written.concurrency == 0 {
            self.fault(format!("{key}.concurrency"), "0 would send nothing: use 1 or more".into());
        }
        if written.retry.initial.0.is_zero() || written.retry.max.0 < written.retry.initial.0 {
            self.fault(format!("{key}.retry"), "`initial` must be more than 0 and at most `max`".into());
        }
        let to = match (written.http, written.stdout) {
            (Some(http), None) => self.http(&key, http)?,
            (None, Some(_)) => Target::Stdout,
            _ => {
                self.fault(key, "a sink has either `http: {url: …}` or `stdout: {}`".into());
                return None;
            }
        };
        Some(Sink {
            name: name.into(),
            to,
            version,
            types: written.types,
            when: written.when,
            retry: written.retry,
            concurrency: written.concurrency,
            order: written.order,
        })
    }

    fn http(&mut self, key: &str, written: written::HttpWritten) -> Option<Target> {
        let auth = self.auth(&format!("{key}.http.auth"), written.auth);
        let mut headers = http::HeaderMap::new();
        for (name, value) in &written.headers {
            match (http::HeaderName::try_from(name), http::HeaderValue::try_from(value)) {
                (Ok(name), Ok(value)) => drop(headers.insert(name, value)),
                _ => self.fault(format!("{key}.http.headers.{name}"), "not a header's name or value".into()),
            }
        }
        match reqwest::Url::parse(&written.url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                Some(Target::Http { url, mode: written.mode, headers, auth })
            }
            _ => {
                // The URL itself isn't told: it may carry a password.
                self.fault(format!("{key}.http.url"), "not an absolute http:// or https:// URL".into());
                None
            }
        }
    }

    fn fault(&mut self, key: String, problem: String) {
        self.faults.push(Fault::Value { key, problem });
    }
}

#[cfg(test)]
mod tests;
