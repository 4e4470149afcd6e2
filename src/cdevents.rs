//! CDEvents: the vocabulary of each spec version as data, assembly of a document from an [`Event`], validation, and the
//! CloudEvents binding.
//!
//! Owns everything that the specification says. Trusts nothing about a document. Promises that [`validate`] and the
//! official JSON Schemas, with formats asserted, agree on every document.

mod assemble;
pub mod cloudevents;
mod custom;
mod format;
mod lines;
pub(crate) mod validate;
pub mod vocabulary;

pub use custom::{BadSchema, CustomSchemas};
pub use lines::{Judge, Verdict, documents};
pub use validate::{Fault, Report, Warning, WarningKind, detect, faults, links_to_nothing, validate, validate_as};

use serde_json::{Map, Value};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The namespace of the ids that [`event_id`] makes. It never changes: ids must stay the same from release to release.
const EVENT_IDS: Uuid = Uuid::from_u128(0x8f0c_1f0a_6b1e_4a57_9d2c_c3de_7e47_51d5);

/// A version of the CDEvents specification that the vocabulary knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum SpecVersion {
    /// 0.4.1
    #[serde(rename = "0.4.1")]
    V0_4_1,
    /// 0.5.1
    #[serde(rename = "0.5.1")]
    V0_5_1,
}

impl SpecVersion {
    /// Every version, oldest first.
    pub const ALL: [Self; 2] = [Self::V0_4_1, Self::V0_5_1];
    /// What a sink gets that doesn't ask for another.
    pub const NEWEST: Self = Self::V0_5_1;

    /// As it's written in configuration and in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_4_1 => "0.4.1",
            Self::V0_5_1 => "0.5.1",
        }
    }
}

impl fmt::Display for SpecVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A spec version that the vocabulary doesn't know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown CDEvents spec version `{0}`: use 0.4.1 or 0.5.1")]
pub struct UnknownSpecVersion(pub String);

impl FromStr for SpecVersion {
    type Err = UnknownSpecVersion;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|v| v.as_str() == text).ok_or_else(|| UnknownSpecVersion(text.to_owned()))
    }
}

/// The id of what happened: the same four always give the same id, in any process, and any other four another.
///
/// `occurrence` tells one happening of an event from the next on the same subject. The result is a version 5 UUID.
#[must_use]
pub fn event_id(source: &str, kind: &str, subject_id: &str, occurrence: &str) -> String {
    // Each part behind its length, so that no two quadruples run together into the same name.
    let name = [source, kind, subject_id, occurrence].map(|part| format!("{}:{part}", part.len())).concat();
    Uuid::new_v5(&EVENT_IDS, name.as_bytes()).to_string()
}

/// The subject (`<tool>-<subject>`) of a custom type, if it's one: `dev.cdeventsx.<tool>-<subject>.<predicate>.<version>`,
/// the version being three digits. The rule is the pattern in the spec's schema of custom events.
#[must_use]
pub fn custom_subject(type_name: &str) -> Option<&str> {
    let (subject, rest) = type_name.strip_prefix("dev.cdeventsx.")?.split_once('.')?;
    let (predicate, version) = rest.split_once('.')?;
    let letters = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic());
    let digits = matches!(version.as_bytes(), [a, b'.', b, b'.', c] if [a, b, c].iter().all(|d| d.is_ascii_digit()));
    (is_custom_subject(subject) && letters(predicate) && digits).then_some(subject)
}

/// `<tool>-<subject>`: letters and digits, then letters.
fn is_custom_subject(text: &str) -> bool {
    text.split_once('-').is_some_and(|(tool, subject)| {
        let tool_fits = !tool.is_empty() && tool.bytes().all(|b| b.is_ascii_alphanumeric());
        tool_fits && !subject.is_empty() && subject.bytes().all(|b| b.is_ascii_alphabetic())
    })
}

/// An event without a version: what a rule rendered, before assembly writes it as a spec version wants it.
///
/// Field names of `content` are those of the newest spec version.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `subject.predicate` (`service.deployed`), or a full custom type (`dev.cdeventsx.…`).
    pub kind: String,
    /// `context.id`.
    pub id: String,
    /// `context.source`.
    pub source: String,
    /// `context.timestamp`: RFC 3339, of the occurrence.
    pub timestamp: String,
    /// `context.chainId`.
    pub chain_id: Option<String>,
    /// `context.schemaUri`.
    pub schema_uri: Option<String>,
    /// `context.links`; empty: none.
    pub links: Vec<Value>,
    /// `subject.id`.
    pub subject_id: String,
    /// `subject.source`.
    pub subject_source: Option<String>,
    /// `subject.content`.
    pub content: Map<String, Value>,
    /// `customData`: an object or a string.
    pub custom_data: Option<Value>,
    /// `customDataContentType`.
    pub custom_data_content_type: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_constant_and_tell_occurrences_apart() {
        let id = event_id("urn:a", "service.deployed", "ns/app", "2026-01-05T10:00:00Z");
        assert_eq!(id, "6b8a19b6-ac46-5825-8926-7da2625eb04b", "a release that changes this says everything twice");
        assert_ne!(event_id("a", "b", "c", "d"), event_id("ab", "", "c", "d"));
        assert_ne!(event_id("a", "1:b", "c", "d"), event_id("a1:", "b", "c", "d"));
        assert_eq!(Uuid::parse_str(&id).unwrap().get_version_num(), 5);
    }

    #[test]
    fn custom_types_follow_the_pattern_of_the_spec() {
        assert_eq!(custom_subject("dev.cdeventsx.my1tool-resource.created.0.1.0"), Some("my1tool-resource"));
        for wrong in [
            "dev.cdeventsx.mytool.created.0.1.0",
            "dev.cdeventsx.mytool-resource.created.0.1",
            "dev.cdeventsx.mytool-resource.created.0.1.10",
            "dev.cdeventsx.mytool-resource.created.0.1.0.0",
            "dev.cdeventsx.mytool-res0urce.created.0.1.0",
            "dev.cdeventsx.my-tool-resource.created.0.1.0",
            "dev.cdeventsx.mytool-resource..0.1.0",
            "dev.cdeventsx.mytool-resource.created.0.1.0\n",
            "dev.cdevents.mytool-resource.created.0.1.0",
        ] {
            assert_eq!(custom_subject(wrong), None, "{wrong}");
        }
    }
}
