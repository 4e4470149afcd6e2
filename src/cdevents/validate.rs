//! Judging documents: every error at once, each with its place and a message for a person.
//!
//! Trusts nothing about the document. Promises to find an error exactly when the official schema of the event finds one;
//! what the schemas let pass and yet is likely wrong are warnings, which never change validity. Messages never quote the
//! document's values but for types and enumerations, so that no secret in a URL gets out through them.

pub(crate) mod nearest;
mod shape;
mod warn;

pub use warn::{Warning, WarningKind, links_to_nothing};

use super::SpecVersion;
use super::vocabulary::{self, EventKind};
use serde::Serialize;
use serde_json::Value;

/// Something in a document that the specification forbids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where: a JSON pointer (RFC 6901). Of what is missing, where it should be.
    pub path: String,
    /// What is wrong, and what is right.
    pub message: String,
}

/// What came of judging a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The spec version that it was judged by.
    pub spec: SpecVersion,
    /// `context.type`, if it's a string.
    pub type_name: Option<String>,
    /// What makes it invalid, in the order of the document; what is missing comes behind its siblings.
    pub errors: Vec<Fault>,
    /// What is likely wrong though it's valid.
    pub warnings: Vec<Warning>,
}

impl Report {
    /// Whether the document is what the specification demands. Warnings don't count.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }
}

/// Judges a document by the spec version that it says it's of.
#[must_use]
pub fn validate(document: &Value) -> Report {
    validate_as(document, detect(document))
}

/// Judges a document by a spec version, whatever it says itself.
#[must_use]
pub fn validate_as(document: &Value, spec: SpecVersion) -> Report {
    let kind = kind_of(document, spec);
    Report {
        spec,
        type_name: type_of(document).map(str::to_owned),
        errors: shape::faults(document, kind),
        warnings: warn::warnings(document, kind),
    }
}

/// The errors alone, for those who have no use for warnings.
#[must_use]
pub fn faults(document: &Value, spec: SpecVersion) -> Vec<Fault> {
    shape::faults(document, kind_of(document, spec))
}

/// The spec version a document is of. The member that says so differs between versions, so its name tells more than its
/// value, which the schemas leave free; where that doesn't decide, the value does, then the type, then the newest.
#[must_use]
pub fn detect(document: &Value) -> SpecVersion {
    let says = |spec: &SpecVersion| document.pointer("/context")?.get(vocabulary::version_field(*spec));
    let mut candidates = SpecVersion::ALL.to_vec();
    narrow(&mut candidates, |spec| says(spec).is_some());
    narrow(&mut candidates, |spec| says(spec).and_then(Value::as_str) == Some(spec.as_str()));
    narrow(&mut candidates, |spec| type_of(document).is_some_and(|t| vocabulary::of_type(*spec, t).is_some()));
    candidates.last().copied().unwrap_or(SpecVersion::NEWEST)
}

/// Keeps those that fit, unless none does.
fn narrow(candidates: &mut Vec<SpecVersion>, fits: impl Fn(&SpecVersion) -> bool) {
    if candidates.iter().any(&fits) {
        candidates.retain(fits);
    }
}

fn type_of(document: &Value) -> Option<&str> {
    document.get("context")?.get("type")?.as_str()
}

/// What to hold the document against. A type in a wrong version is held against the event of that name, and anything
/// else that isn't known against what all events share.
fn kind_of(document: &Value, spec: SpecVersion) -> &'static EventKind {
    let Some(type_name) = type_of(document) else { return vocabulary::unknown(spec) };
    if let Some(kind) = vocabulary::of_type(spec, type_name) {
        return kind;
    }
    if type_name.starts_with("dev.cdeventsx.") {
        return vocabulary::custom(spec);
    }
    let mut words = type_name.strip_prefix("dev.cdevents.").unwrap_or_default().splitn(3, '.');
    let named = words.next().zip(words.next());
    let known = named.and_then(|(subject, predicate)| vocabulary::find(spec, &format!("{subject}.{predicate}")));
    known.unwrap_or_else(|| vocabulary::unknown(spec))
}
