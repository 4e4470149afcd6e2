//! The test file as it's written.

use super::compare::{self, Difference};
use crate::config::units::span;
use crate::mapping::MappingRef;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_saphyr::Spanned;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why a test file can't be run.
#[derive(Debug, thiserror::Error)]
pub enum CaseFault {
    /// It can't be read.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's word.
        reason: std::io::Error,
    },
    /// It isn't a test file.
    #[error("{}: {problem}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// With line and column.
        problem: String,
    },
    /// Its mapping has faults.
    #[error("{}: its mapping has faults:\n{faults}", path.display())]
    Mapping {
        /// The test file.
        path: PathBuf,
        /// All of them.
        faults: String,
    },
}

/// A file of kind `MappingTest`.
#[derive(Debug)]
pub struct TestFile {
    path: PathBuf,
    spec: Spec,
    /// The cases, in order.
    pub cases: Vec<Spanned<Case>>,
}

/// A file of tests for a mapping.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Written {
    /// `argocd-cdevents/v1`
    api_version: ApiVersion,
    /// `MappingTest`
    #[serde(rename = "kind")]
    _kind: Kind,
    /// Of no meaning; for people.
    #[serde(default)]
    #[serde(rename = "metadata")]
    _metadata: Value,
    /// The mapping and its cases.
    spec: Spec,
}

#[derive(Debug, Deserialize, JsonSchema)]
enum ApiVersion {
    #[serde(rename = "argocd-cdevents/v1")]
    V1,
}

#[derive(Debug, Deserialize, JsonSchema)]
enum Kind {
    MappingTest,
}

/// The mapping and its cases.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    /// The mapping's file, relative to this one.
    mapping: Option<PathBuf>,
    /// Or the name of a built-in mapping.
    builtin: Option<String>,
    /// Values of the mapping's parameters.
    #[serde(default)]
    with: Value,
    /// Directory of its partials, relative to this file; default: `templates` beside the mapping, if there is one.
    templates: Option<PathBuf>,
    /// The cases.
    #[schemars(with = "Vec<Case>")]
    cases: Vec<Spanned<Case>>,
}

/// Something that an application lives through, and what is to be said of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub(super) name: String,
    /// One after another, with one memory.
    #[schemars(with = "Vec<StepWritten>")]
    pub(super) steps: Vec<Spanned<Step>>,
}

/// One notification, or some time, and the events that come of it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) what: What,
    pub(super) received_at: Option<Timestamp>,
    pub(super) source: Option<String>,
    pub(super) source_uri: Option<String>,
    expectation: Option<Expectation>,
}

#[derive(Debug)]
pub(super) enum What {
    Notify(PathBuf),
    Wait(SignedDuration),
}

#[derive(Debug)]
struct Expectation {
    line: usize,
    exactly: bool,
    events: Vec<Value>,
}

/// One notification, or some time, and the events that come of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StepWritten {
    /// A payload's file, relative to this one: a body, or a recorded request.
    notify: Option<PathBuf>,
    /// Or time that passes: `30s`.
    wait: Option<String>,
    /// When it's received; default: as recorded, else the newest time in the payload.
    received_at: Option<String>,
    /// Name of the source it comes through.
    source: Option<String>,
    /// The source's `uri`.
    source_uri: Option<String>,
    /// The events in order, each compared on the fields it names; `type` is short for `service.deployed` and the like.
    #[schemars(with = "Option<Vec<Value>>")]
    expect: Option<Spanned<Vec<Value>>>,
    /// The events in order, each compared on all its fields.
    #[schemars(with = "Option<Vec<Value>>")]
    exactly: Option<Spanned<Vec<Value>>>,
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        StepWritten::deserialize(from)?.meant().map_err(serde::de::Error::custom)
    }
}

impl StepWritten {
    fn meant(self) -> Result<Step, String> {
        let what = match (self.notify, self.wait) {
            (Some(path), None) => What::Notify(path),
            (None, Some(text)) => What::Wait(SignedDuration::try_from(span(&text)?).map_err(|e| e.to_string())?),
            _ => return Err("a step has either `notify: FILE` or `wait: 30s`".to_owned()),
        };
        let received_at =
            self.received_at.map(|text| text.parse().map_err(|e| format!("receivedAt: {e}"))).transpose()?;
        let expectation = match (self.expect, self.exactly) {
            (Some(_), Some(_)) => return Err("a step has either `expect` or `exactly`".to_owned()),
            (Some(events), None) => Some(Expectation { line: line(&events), exactly: false, events: events.value }),
            (None, Some(events)) => Some(Expectation { line: line(&events), exactly: true, events: events.value }),
            (None, None) => None,
        };
        Ok(Step { what, received_at, source: self.source, source_uri: self.source_uri, expectation })
    }
}

impl TestFile {
    /// Reads a test file.
    ///
    /// # Errors
    ///
    /// [`CaseFault`] with the place.
    pub fn read(path: &Path) -> Result<Self, CaseFault> {
        let text =
            std::fs::read_to_string(path).map_err(|reason| CaseFault::Unreadable { path: path.to_owned(), reason })?;
        let shape = |problem: String| CaseFault::Shape { path: path.to_owned(), problem };
        let written: Written = serde_saphyr::from_str(&text).map_err(|e| shape(e.to_string()))?;
        let ApiVersion::V1 = written.api_version;
        let mut spec = written.spec;
        if spec.mapping.is_some() == spec.builtin.is_some() {
            return Err(shape("`spec` has either `mapping: FILE` or `builtin: argocd`".to_owned()));
        }
        let cases = std::mem::take(&mut spec.cases);
        Ok(Self { path: path.to_owned(), spec, cases })
    }

    fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    pub(super) fn mapping(&self) -> MappingRef {
        let with = self.spec.with.clone();
        match (&self.spec.mapping, &self.spec.builtin) {
            (Some(path), _) => MappingRef::Path { path: self.beside(path), with },
            (None, name) => MappingRef::Builtin { name: name.clone().unwrap_or_default(), with },
        }
    }

    pub(super) fn templates(&self) -> Option<PathBuf> {
        if let Some(path) = &self.spec.templates {
            return Some(self.beside(path));
        }
        let mapping = self.beside(self.spec.mapping.as_deref()?);
        let beside = mapping.parent()?.join("templates");
        beside.is_dir().then_some(beside)
    }
}

impl Step {
    /// What differs from the expectation; a step without one expects nothing in particular.
    pub(super) fn judge(&self, documents: &[Value]) -> Option<Vec<Difference>> {
        let expectation = self.expectation.as_ref()?;
        let differences = compare::differences(&expectation.events, documents, expectation.exactly);
        (!differences.is_empty()).then_some(differences)
    }

    pub(super) fn expectation_line(&self, step: usize) -> usize {
        self.expectation.as_ref().map_or(step, |expectation| expectation.line)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Notify(path) => write!(f, "notify {}", path.display()),
            Self::Wait(span) => write!(f, "wait {span:#}"),
        }
    }
}

/// Where a value stands, 1-based.
pub(super) fn line<T>(value: &Spanned<T>) -> usize {
    usize::try_from(value.referenced.line()).unwrap_or(usize::MAX)
}
