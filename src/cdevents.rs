//! CDEvents: the vocabulary of each spec version as data, assembly of a document from an [`Event`], validation, and the
//! CloudEvents binding.

use serde_json::{Map, Value};
use std::fmt;
use std::str::FromStr;

/// A version of the CDEvents specification that the vocabulary knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecVersion {
    /// 0.4.1
    V0_4_1,
    /// 0.5.1
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
