//! Health, sync status and conditions.

use super::read::{Read, owned};
use serde::Serialize;
use serde_json::Value;

/// The application's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// `Healthy`, `Progressing`, `Degraded`, `Suspended`, `Missing` or `Unknown`.
    pub status: String,
    /// Since when: `lastTransitionTime`, which Argo CD before 2.14 doesn't say. Then the newest of what it must have
    /// followed: the last comparison, or the operation's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Whether `since` is what Argo CD says, and not our estimate.
    pub exact: bool,
    /// Why, if it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How the application compares to its target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sync {
    /// `Synced`, `OutOfSync` or `Unknown`.
    pub status: String,
    /// What it was compared to: the target, not what is deployed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
    /// When it was compared last (`status.reconciledAt`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared_at: Option<String>,
}

/// What Argo CD warns of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// `ComparisonError`, `InvalidSpecError`, …
    pub r#type: String,
    /// What it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `lastTransitionTime`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

pub(super) fn health(application: &Value) -> Option<Health> {
    let health = application.at("/status/health");
    let status = owned(health, "/status")?;
    let stated = owned(health, "/lastTransitionTime");
    let exact = stated.is_some();
    Some(Health { status, since: stated.or_else(|| estimate(application)), exact, message: owned(health, "/message") })
}

/// Without `lastTransitionTime`: when it was assessed at the latest.
fn estimate(application: &Value) -> Option<String> {
    let ended = application.text("/status/operationState/finishedAt");
    let compared = application.text("/status/reconciledAt");
    let created = application.text("/metadata/creationTimestamp");
    compared.or(ended).or(created).map(str::to_owned)
}

pub(super) fn sync(status: &Value) -> Option<Sync> {
    let sync = status.at("/sync");
    Some(Sync {
        status: owned(sync, "/status")?,
        revisions: revisions(sync),
        compared_at: owned(status, "/reconciledAt"),
    })
}

pub(super) fn conditions(status: &Value) -> Vec<Condition> {
    let conditions = status.list("/conditions").iter();
    conditions
        .filter_map(|condition| {
            Some(Condition {
                r#type: owned(condition, "/type")?,
                message: owned(condition, "/message"),
                since: owned(condition, "/lastTransitionTime"),
            })
        })
        .collect()
}

/// `revisions` of several sources, else `revision`, which is there but empty for several sources.
pub(super) fn revisions(value: &Value) -> Vec<String> {
    let several: Vec<String> = value.list("/revisions").iter().filter_map(|r| r.text("")).map(str::to_owned).collect();
    if several.is_empty() { owned(value, "/revision").into_iter().collect() } else { several }
}
