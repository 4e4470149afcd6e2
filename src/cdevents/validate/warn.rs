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
        Hint::Purl if plainly_a_purl(text) => None,
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

/// Most package URLs, told in a fraction of the time that taking one apart takes (4 µs). What isn't plain is left to the
/// library, which also knows what is wrong.
fn plainly_a_purl(text: &str) -> bool {
    let Some((kind, rest)) = text.strip_prefix("pkg:").and_then(|rest| rest.split_once('/')) else { return false };
    let (path, qualifiers) = rest.split_once('?').map_or((rest, None), |(path, q)| (path, Some(q)));
    let (name, version) = path.split_once('@').map_or((path, None), |(name, version)| (name, Some(version)));
    let segments = name.split('/').count();
    let plain_kind = match kind {
        "oci" | "helm" | "generic" => segments == 1,
        "github" | "bitbucket" => segments == 2,
        _ => false,
    };
    let plain_name = !name.contains('%')
        && name.split('/').all(|segment| !matches!(segment, "" | "." | "..") && is_encoded(segment));
    let plain_version = version.is_none_or(|v| !v.is_empty() && is_encoded(v));
    let plain_pair = |(key, value): (&str, &str)| {
        let plain_key = key.starts_with(|c: char| c.is_ascii_lowercase());
        let rest = key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        plain_key && rest && !value.is_empty() && is_encoded(value)
    };
    let plain_qualifiers = qualifiers.is_none_or(|q| q.split('&').all(|p| p.split_once('=').is_some_and(plain_pair)));
    plain_kind && plain_name && plain_version && plain_qualifiers
}

/// Letters, digits, `.-_~:/` and whole `%XX`.
fn is_encoded(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            // Of visible ASCII only.
            b'%' => matches!((bytes.next(), bytes.next()), (Some(b'2'..=b'7'), Some(low)) if low.is_ascii_hexdigit()),
            b'.' | b'-' | b'_' | b'~' | b':' | b'/' => true,
            other => other.is_ascii_alphanumeric(),
        };
        if !fits {
            return false;
        }
    }
    true
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn usual_package_urls_are_told_at_a_glance() {
        for purl in [
            "pkg:oci/guestbook@sha256%3A0b31b1c0?repository_url=ghcr.io/org/guestbook&tag=v1",
            "pkg:github/org/repo@5c4ff1a",
            "pkg:helm/chart@1.2.3?repository_url=https%3A%2F%2Fcharts.example.com",
            "pkg:generic/repo@5c4ff1a?vcs_url=git%2Bhttps://git.example.com/r.git",
        ] {
            assert!(plainly_a_purl(purl) && packageurl::PackageUrl::from_str(purl).is_ok(), "{purl}");
        }
        for other in ["guestbook:v1", "pkg:oci", "pkg:oci/", "pkg:/a", "pkg:oci/a@%zz", "pkg:oci/a?b", "pkg:maven/a"] {
            assert!(!plainly_a_purl(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_is_told_at_a_glance_the_library_finds_sound_too(
            purl in "pkg:(oci|github|bitbucket|helm|generic)(/([a-z.:]|%[2-7][0-9a-f]){0,3}){0,3}(@([a-z0-9:]|%2[0-9]){0,3})?([?&][a-z_]{0,2}=([a-z:/]|%2[0-9]){0,3}){0,2}"
        ) {
            if plainly_a_purl(&purl) {
                let sound = packageurl::PackageUrl::from_str(&purl);
                prop_assert!(sound.is_ok(), "{purl}: {sound:?}");
            }
        }
    }
}
