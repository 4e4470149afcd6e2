//! Where manifests come from.

use super::purl;
use super::read::{Read, owned};
use serde::Serialize;
use serde_json::Value;

/// One source of manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// What it is.
    pub kind: SourceKind,
    /// `repoURL`, without credentials.
    pub repo: String,
    /// The chart's name, of a Helm repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chart: Option<String>,
    /// The path in the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What is to be deployed: a branch, tag, version or range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Package URL, with `revision` as version where it's an exact one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    /// Where a person reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// A git repository.
    Git,
    /// A chart in a Helm repository, or in an OCI registry that serves as one.
    Helm,
    /// An OCI artifact: `repoURL` begins with `oci://`.
    Oci,
}

/// A source as it's written, with its place among the revisions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'a> {
    /// Which of the revisions is its own.
    pub(super) index: usize,
    pub(super) value: &'a Value,
}

/// `sources` before `source`, which is there but says nothing when there are several.
pub(super) fn all(owner: &Value) -> &[Value] {
    let several = owner.list("/sources");
    if several.is_empty() { std::slice::from_ref(owner.at("/source")) } else { several }
}

/// The sources without those that others only refer to (`ref` and nothing to render).
pub(super) fn written(owner: &Value) -> Vec<Written<'_>> {
    let rendered = all(owner).iter().enumerate().filter(|(_, value)| {
        let referred = value.text("/ref").is_some() && value.text("/chart").is_none() && value.text("/path").is_none();
        value.text("/repoURL").is_some() && !referred
    });
    rendered.map(|(index, value)| Written { index, value }).collect()
}

pub(super) fn sources(owner: &Value) -> Vec<Source> {
    written(owner).iter().filter_map(Written::source).collect()
}

impl Written<'_> {
    pub(super) fn kind(&self) -> SourceKind {
        if self.value.text("/chart").is_some() {
            SourceKind::Helm
        } else if self.value.text("/repoURL").is_some_and(|url| url.starts_with("oci://")) {
            SourceKind::Oci
        } else {
            SourceKind::Git
        }
    }

    fn source(&self) -> Option<Source> {
        let repo = self.value.text("/repoURL")?;
        let kind = self.kind();
        Some(Source {
            kind,
            repo: purl::without_credentials(repo),
            chart: owned(self.value, "/chart"),
            path: owned(self.value, "/path"),
            revision: owned(self.value, "/targetRevision"),
            purl: self.purl(None),
            url: if kind == SourceKind::Git { purl::browse(repo) } else { None },
        })
    }

    /// Its package URL at a revision: a commit, a chart's version, an artifact's digest.
    pub(super) fn purl(&self, revision: Option<&str>) -> Option<String> {
        let repo = self.value.text("/repoURL")?;
        let target = self.value.text("/targetRevision");
        match self.kind() {
            SourceKind::Helm => purl::helm(repo, self.value.text("/chart")?, revision.or(target)),
            SourceKind::Git => purl::git(repo, revision),
            SourceKind::Oci => {
                let (digest, tag) = match revision {
                    Some(revision) if revision.contains(':') => (Some(revision), target),
                    other => (None, other.or(target)),
                };
                purl::oci(repo.trim_start_matches("oci://").trim_end_matches('/'), digest, tag)
            }
        }
    }
}
