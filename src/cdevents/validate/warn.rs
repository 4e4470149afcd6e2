//! What is likely wrong though the official schemas let it pass.

use super::super::cloudevents;
use super::super::vocabulary::{self, EventKind, Hint, Object, Shape};
use super::shape::Path;
use serde::Serialize;
use serde_json::Value;
use std::str::FromStr;

/// Something in a document that is likely wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Which of the checks found it.
    pub kind: WarningKind,
    /// Where: a JSON pointer (RFC 6901).
    pub path: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// The checks beyond the schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarningKind {
    /// An `artifactId` that is no package URL.
    Purl,
    /// A `chainId` that is no UUID.
    ChainId,
    /// A `context.source` without a scheme.
    Source,
    /// A link to an event that nobody knows.
    Link,
    /// An attribute that a CloudEvents header can't carry as it is.
    Header,
    /// The version that the document says isn't the one that its members and type are of.
    SpecVersion,
}

impl WarningKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Purl, Self::ChainId, Self::Source, Self::Link, Self::Header, Self::SpecVersion];

    /// As it's written in arguments and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Purl => "purl",
            Self::ChainId => "chain-id",
            Self::Source => "source",
            Self::Link => "link",
            Self::Header => "header",
            Self::SpecVersion => "spec-version",
        }
    }
}

/// Every check that needs nothing but the document.
pub(super) fn warnings(document: &Value, kind: &EventKind) -> Vec<Warning> {
    let mut found = Vec::new();
    hints(document, &kind.document, Path::Root, &mut found);
    spec_version(document, kind, &mut found);
    headers(document, &mut found);
    found
}

/// Links of `document` whose event isn't `known` by its id.
#[must_use]
pub fn links_to_nothing(document: &Value, known: impl Fn(&str) -> bool) -> Vec<Warning> {
    let links = document.pointer("/context/links").and_then(Value::as_array);
    let ends = links.into_iter().flatten().enumerate().flat_map(|(at, link)| {
        ["from", "target"].into_iter().filter_map(move |end| {
            let id = link.get(end)?.get("contextId")?.as_str()?;
            Some((format!("/context/links/{at}/{end}/contextId"), id))
        })
    });
    let unknown = ends.filter(|(_, id)| !known(id));
    let warn =
        |(path, _)| Warning { kind: WarningKind::Link, path, message: "no event of this id is known".to_owned() };
    unknown.map(warn).collect()
}

/// What the vocabulary hints at, wherever the document has a string there.
fn hints(value: &Value, object: &Object, path: Path<'_>, found: &mut Vec<Warning>) {
    let Value::Object(members) = value else { return };
    for field in &object.fields {
        let Some(member) = members.get(&field.name) else { continue };
        let here = Path::Member(&path, &field.name);
        match (&field.shape, member) {
            (Shape::Object(inner), _) => hints(member, inner, here, found),
            (Shape::Text(rule), Value::String(text)) if !text.is_empty() => {
                if let Some((kind, message)) = rule.hint.and_then(|hint| broken(hint, text)) {
                    found.push(Warning { kind, path: here.pointer(), message });
                }
            }
            _ => {}
        }
    }
}

fn broken(hint: Hint, text: &str) -> Option<(WarningKind, String)> {
    match hint {
        Hint::Purl => {
            let error = packageurl::PackageUrl::from_str(text).err()?;
            Some((WarningKind::Purl, format!("should be a package URL, such as `pkg:oci/name@sha256%3A…`: {error}")))
        }
        Hint::Uuid if uuid::Uuid::try_parse(text).is_ok() => None,
        Hint::Uuid => Some((WarningKind::ChainId, "should be a UUID".to_owned())),
        Hint::Absolute if fluent_uri::Uri::parse(text).is_ok() => None,
        Hint::Absolute => {
            let message = "should be absolute, such as `https://argocd.example.com`, to be unique beyond one site";
            Some((WarningKind::Source, message.to_owned()))
        }
    }
}

fn spec_version(document: &Value, kind: &EventKind, found: &mut Vec<Warning>) {
    let field = vocabulary::version_field(kind.spec);
    let said = document.get("context").and_then(|c| c.get(field)).and_then(Value::as_str);
    if said.is_some_and(|said| said != kind.spec.as_str()) {
        found.push(Warning {
            kind: WarningKind::SpecVersion,
            path: format!("/context/{field}"),
            message: format!("should be `{}`: that is the version it was judged by", kind.spec),
        });
    }
}

/// Attributes that become headers in binary mode. A receiver that doesn't decode them would see other ids.
fn headers(document: &Value, found: &mut Vec<Warning>) {
    for path in ["/context/id", "/context/source", "/subject/id"] {
        let text = document.pointer(path).and_then(Value::as_str);
        if text.is_some_and(|t| !t.bytes().all(cloudevents::is_plain)) {
            found.push(Warning {
                kind: WarningKind::Header,
                path: path.to_owned(),
                message: "binary mode must percent-encode it: avoid spaces, `\"`, `%` and non-ASCII here".to_owned(),
            });
        }
    }
}
