//! What is deployed, whether it's something else than before, and whether it's live.
//!
//! A deployment is the newest entry of `status.history`: Argo CD writes one for every full sync that succeeded, and none for
//! dry runs, partial syncs and self-heals (`sync.go`). So it's there whatever operation came after it.

mod change;
mod live;

use super::health::{Health, Sync, revisions};
use super::operation::is_full;
use super::purl::{Image, image};
use super::read::{Read, owned, time};
use super::source::{Written, written};
use change::{change, origin};
use live::Evidence;
use serde::Serialize;
use serde_json::Value;

/// What is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// The application's key and `deployStartedAt`: the key of the operation that made it.
    pub key: String,
    /// What it is, compared to what was deployed before; absent when the object can't tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Whether its pods were seen healthy: false when they weren't, absent when the object can't tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<bool>,
    /// `id` in the history; absent without a history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_id: Option<i64>,
    /// When its sync began.
    pub started_at: String,
    /// When its sync ended.
    pub at: String,
    /// When it was healthy, or when its sync ended, whichever is later.
    pub live_at: String,
    /// Package URL of what is deployed: the only image that was synced, else the chart, artifact or commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    /// Package URLs of every image that was synced, and of every source.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<String>,
    /// A revision for each source.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
    /// Who began it, if it was somebody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initiator: Option<String>,
    /// What was deployed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// The deployment that brought what runs: this one, or of a re-sync the one that it repeats. Absent when that isn't in the
    /// history any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The images that were synced (3.1+), hooks left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
}

/// The deployment that brought what runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The application's key and `deployStartedAt`.
    pub key: String,
    /// When its sync began.
    pub started_at: String,
    /// When its sync ended.
    pub at: String,
    /// What it was, compared to the one before it; never a re-sync. Absent when the object can't tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// What was deployed at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Past {
    /// The application's key and `deployStartedAt`.
    pub key: String,
    /// `id` in the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_id: Option<i64>,
    /// When its sync began.
    pub started_at: String,
    /// When its sync ended.
    pub at: String,
    /// A revision for each source.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
    /// Who began it, if it was somebody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initiator: Option<String>,
}

/// What was deployed before what is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Previous {
    /// What the history says of it.
    #[serde(flatten)]
    pub past: Past,
    /// What it was, compared to the one before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Package URL of its first chart, artifact or commit; its images aren't known any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
}

/// What a deployment is, compared to the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The first that the application ever had.
    First,
    /// Something newer.
    Upgrade,
    /// The same revision or chart with other values.
    Config,
    /// Something that ran before what ran last.
    Rollback,
    /// The same again.
    Resync,
}

pub(super) fn history(status: &Value, app: &str) -> Vec<Past> {
    status.list("/history").iter().filter_map(|entry| past(entry, app)).collect()
}

fn past(entry: &Value, app: &str) -> Option<Past> {
    let at = time(entry, "/deployedAt")?;
    let started_at = time(entry, "/deployStartedAt").unwrap_or_else(|| at.clone());
    Some(Past {
        key: format!("{app}/{started_at}"),
        history_id: entry.whole("/id"),
        started_at,
        at,
        revisions: revisions(entry),
        initiator: owned(entry, "/initiatedBy/username"),
    })
}

pub(super) fn deployment(
    application: &Value,
    app: &str,
    health: Option<&Health>,
    sync: Option<&Sync>,
) -> Option<Deployment> {
    let status = application.at("/status");
    let entries = status.list("/history");
    let (newest, previous, change, origin) = match entries {
        [older @ .., newest] => (past(newest, app)?, previous(older, app), change(entries), origin(entries, app)),
        [] => {
            let only = without_history(status, app)?;
            let origin = Origin {
                key: only.key.clone(),
                started_at: only.started_at.clone(),
                at: only.at.clone(),
                change: None,
            };
            (only, None, None, Some(origin))
        }
    };
    let owner = entries.last().unwrap_or_else(|| status.at("/operationState/syncResult"));
    let sources = if written(owner).is_empty() { written(application.at("/spec")) } else { written(owner) };
    let own = own_operation(status, &newest.started_at);
    let synced = own.map(synced_images).unwrap_or_default();
    let evidence = Evidence { newest: &newest, sources: owner, status, synced: &synced, health, sync };
    let live = evidence.live();
    let live_at = evidence.live_at();
    let (artifact, artifacts) = artifacts(&sources, &newest.revisions, &synced);
    Some(Deployment {
        key: newest.key,
        change,
        live,
        history_id: newest.history_id,
        started_at: newest.started_at,
        at: newest.at,
        live_at,
        artifact,
        artifacts,
        revisions: newest.revisions,
        initiator: newest.initiator,
        previous,
        origin,
        images: synced.iter().map(|reference| image(reference)).collect(),
    })
}

fn previous(entries: &[Value], app: &str) -> Option<Previous> {
    let entry = entries.last()?;
    let past = past(entry, app)?;
    let (artifact, _) = artifacts(&written(entry), &past.revisions, &[]);
    Some(Previous { past, change: change(entries), artifact })
}

/// With `revisionHistoryLimit: 0` the last full operation that succeeded is all there is.
fn without_history(status: &Value, app: &str) -> Option<Past> {
    let state = status.at("/operationState");
    if state.text("/phase") != Some("Succeeded") || !is_full(state) {
        return None;
    }
    let started_at = time(state, "/startedAt")?;
    Some(Past {
        key: format!("{app}/{started_at}"),
        history_id: None,
        at: time(state, "/finishedAt")?,
        started_at,
        revisions: revisions(state.at("/syncResult")),
        initiator: owned(state, "/operation/initiatedBy/username"),
    })
}

/// The operation, if it's the one that made the deployment.
fn own_operation<'a>(status: &'a Value, started_at: &str) -> Option<&'a Value> {
    let state = status.at("/operationState");
    let own = time(state, "/startedAt").as_deref() == Some(started_at) && state.text("/phase") == Some("Succeeded");
    (own && is_full(state)).then_some(state)
}

/// What runs its images only now and then: that they don't run says nothing.
const NOW_AND_THEN: [&str; 2] = ["CronJob", "Job"];

/// The images of what was synced (3.1+), without hooks, which are gone when they have run, and without what is pruned.
fn synced_images(state: &Value) -> Vec<&str> {
    let lasting = |resource: &&Value| {
        resource.text("/hookType").is_none()
            && resource.text("/status") != Some("Pruned")
            && !resource.text("/kind").is_some_and(|kind| NOW_AND_THEN.contains(&kind))
    };
    let resources = state.list("/syncResult/resources").iter().filter(lasting);
    let mut images: Vec<&str> = resources.flat_map(|r| r.list("/images")).filter_map(|image| image.text("")).collect();
    images.sort_unstable();
    images.dedup();
    images
}

/// The package URL that says best what is deployed, and all of them.
fn artifacts(sources: &[Written<'_>], revisions: &[String], synced: &[&str]) -> (Option<String>, Vec<String>) {
    let revision = |source: &Written<'_>| revisions.get(source.index).map(String::as_str);
    let images: Vec<String> = synced.iter().filter_map(|reference| image(reference).purl).collect();
    let packages: Vec<String> = sources.iter().filter_map(|source| source.purl(revision(source))).collect();
    let best = if let [only] = &images[..] { Some(only.clone()) } else { packages.first().or(images.first()).cloned() };
    (best, images.into_iter().chain(packages).collect())
}
