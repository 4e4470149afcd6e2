//! Health, sync status and conditions.

use super::read::{Read, owned, time};
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
    /// Later states compare greater, as text: `since`, and within a second the object's `generation`, which grows with every
    /// change of it.
    pub order: String,
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
    let stated = time(health, "/lastTransitionTime");
    let exact = stated.is_some();
    let since = stated.or_else(|| estimate(application));
    let order = order(since.as_deref(), exact, application.whole("/metadata/generation"));
    Some(Health { status, since, exact, order, message: owned(health, "/message") })
}

fn order(since: Option<&str>, exact: bool, generation: Option<i64>) -> String {
    let since = since.unwrap_or_default();
    match generation {
        Some(generation) if exact => format!("{since}#{generation:012}"),
        // An estimate is no time of a transition: the generation alone tells the order.
        Some(generation) => format!("#{generation:012}"),
        None => since.to_owned(),
    }
}

/// Without `lastTransitionTime`: when it was assessed at the latest.
fn estimate(application: &Value) -> Option<String> {
    let places = ["/status/reconciledAt", "/status/operationState/finishedAt", "/metadata/creationTimestamp"];
    places.into_iter().find_map(|place| time(application, place))
}

pub(super) fn sync(status: &Value) -> Option<Sync> {
    let sync = status.at("/sync");
    Some(Sync {
        status: owned(sync, "/status")?,
        revisions: revisions(sync),
        compared_at: time(status, "/reconciledAt"),
    })
}

pub(super) fn conditions(status: &Value) -> Vec<Condition> {
    let conditions = status.list("/conditions").iter();
    conditions
        .filter_map(|condition| {
            Some(Condition {
                r#type: owned(condition, "/type")?,
                message: owned(condition, "/message"),
                since: time(condition, "/lastTransitionTime"),
            })
        })
        .collect()
}

/// `revisions` of several sources, else `revision`, which is there but empty for several sources.
pub(super) fn revisions(value: &Value) -> Vec<String> {
    let several: Vec<String> = value.list("/revisions").iter().filter_map(|r| r.text("")).map(str::to_owned).collect();
    if several.is_empty() { owned(value, "/revision").into_iter().collect() } else { several }
}
