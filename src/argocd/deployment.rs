//! What is deployed, whether it's something else than before, and whether it's live.
//!
//! A deployment is the newest entry of `status.history`: Argo CD writes one for every full sync that succeeded, and none for
//! dry runs, partial syncs and self-heals (`sync.go`). So it's there whatever operation came after it.

use super::health::{Health, Sync, revisions};
use super::purl::{Image, image};
use super::read::{Read, owned};
use super::source::{Written, written};
use super::version::Version;
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
    pub previous: Option<Past>,
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
    let at = owned(entry, "/deployedAt")?;
    let started_at = owned(entry, "/deployStartedAt").unwrap_or_else(|| at.clone());
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
        [.., newest] => {
            let before = entries.len().checked_sub(2).map(|index| &entries[index]);
            (past(newest, app)?, before.and_then(|entry| past(entry, app)), change(entries), origin(entries, app))
        }
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
    let evidence = Evidence { newest: &newest, status, synced: own.map(|_| synced.as_slice()), health, sync };
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

/// With `revisionHistoryLimit: 0` the last full operation that succeeded is all there is.
fn without_history(status: &Value, app: &str) -> Option<Past> {
    let state = status.at("/operationState");
    let sync = state.at("/operation/sync");
    let full = sync.list("/resources").is_empty() && !sync.flag("/dryRun");
    let heals = sync.whole("/autoHealAttemptsCount").unwrap_or_default() > 0;
    if state.text("/phase") != Some("Succeeded") || !full || heals {
        return None;
    }
    let started_at = owned(state, "/startedAt")?;
    Some(Past {
        key: format!("{app}/{started_at}"),
        history_id: None,
        at: owned(state, "/finishedAt")?,
        started_at,
        revisions: revisions(state.at("/syncResult")),
        initiator: owned(state, "/operation/initiatedBy/username"),
    })
}

/// The operation, if it's the one that made the deployment.
fn own_operation<'a>(status: &'a Value, started_at: &str) -> Option<&'a Value> {
    let state = status.at("/operationState");
    let heals = state.whole("/operation/sync/autoHealAttemptsCount").unwrap_or_default() > 0;
    let own = state.text("/startedAt") == Some(started_at) && !heals && state.text("/phase") == Some("Succeeded");
    own.then_some(state)
}

/// The images of what was synced, without hooks, which are gone when they have run (3.1+).
fn synced_images(state: &Value) -> Vec<&str> {
    let resources = state.list("/syncResult/resources").iter().filter(|resource| resource.text("/hookType").is_none());
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

/// What the newest entry is, compared to the one before it.
fn change(entries: &[Value]) -> Option<Change> {
    let [older @ .., newest] = entries else { return None };
    if newest.whole("/id") == Some(0) {
        return Some(Change::First);
    }
    // With a limit of 1 there is nothing to compare with.
    let previous = older.last()?;
    let (now, before) = (Content::of(newest), Content::of(previous));
    if now == before {
        return Some(Change::Resync);
    }
    if now.package() == before.package() && !now.revisions.is_empty() {
        return Some(Change::Config);
    }
    Some(if is_rollback(entries, &now, &before) { Change::Rollback } else { Change::Upgrade })
}

/// The first of the entries at the end that are all the same.
fn origin(entries: &[Value], app: &str) -> Option<Origin> {
    let now = Content::of(entries.last()?);
    let same = entries.iter().rev().take_while(|entry| Content::of(entry) == now).count();
    let first = entries.len() - same;
    // What came before the oldest entry is only known of the very first.
    let known = first > 0 || same == 1 || entries[0].whole("/id") == Some(0);
    let past = past(&entries[first], app).filter(|_| known)?;
    Some(Origin { key: past.key, started_at: past.started_at, at: past.at, change: change(&entries[..=first]) })
}

/// What runs now first appeared before what ran last. Forward again after a rollback is an upgrade, though it equals an older
/// entry, too. What isn't in the history any more is judged by its version, if it has one.
fn is_rollback(entries: &[Value], now: &Content<'_>, before: &Content<'_>) -> bool {
    if now.revisions.is_empty() || before.revisions.is_empty() {
        return false;
    }
    let first = |content: &Content<'_>| entries.iter().position(|entry| Content::of(entry) == *content);
    match (first(now), first(before)) {
        (Some(now_at), Some(before_at)) if now_at + 1 < entries.len() => now_at < before_at,
        _ => match (now.version(), before.version()) {
            (Some(now), Some(before)) => now.is_older_than(&before),
            _ => false,
        },
    }
}

/// What an entry of the history deployed: sources without the target, which says what was wished for, and revisions.
#[derive(Debug)]
struct Content<'a> {
    revisions: Vec<String>,
    all: Vec<&'a Value>,
    rendered: Vec<Written<'a>>,
}

impl<'a> Content<'a> {
    fn of(entry: &'a Value) -> Self {
        let several = entry.list("/sources");
        let all = if several.is_empty() { vec![entry.at("/source")] } else { several.iter().collect() };
        Self { revisions: revisions(entry), all, rendered: written(entry) }
    }

    /// What is rendered, without its values: repository, chart, path and revision of every source that isn't only referred to.
    fn package(&self) -> Vec<[Option<&str>; 4]> {
        let of = |source: &Written<'a>, revision| {
            [source.value.text("/repoURL"), source.value.text("/chart"), source.value.text("/path"), revision]
        };
        let revision = |source: &Written<'_>| self.revisions.get(source.index).map(String::as_str);
        self.rendered.iter().map(|source| of(source, revision(source))).collect()
    }

    /// The version of the first source, if it says one: the chart's or artifact's, else the tag that was wished for.
    fn version(&self) -> Option<Version> {
        let source = self.rendered.first()?;
        let revision = self.revisions.get(source.index).map(String::as_str);
        revision.and_then(Version::parse).or_else(|| Version::parse(source.value.text("/targetRevision")?))
    }
}

impl PartialEq for Content<'_> {
    fn eq(&self, other: &Self) -> bool {
        let same = |(a, b): (&&Value, &&Value)| same_but_target(a, b);
        self.revisions == other.revisions
            && self.all.len() == other.all.len()
            && self.all.iter().zip(&other.all).all(same)
    }
}

fn same_but_target(a: &Value, b: &Value) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else { return a == b };
    let rest = |map: &serde_json::Map<String, Value>| map.keys().filter(|key| *key != "targetRevision").count();
    rest(a) == rest(b) && a.iter().all(|(key, value)| key == "targetRevision" || b.get(key) == Some(value))
}

/// What one object knows about whether the newest deployment is live.
///
/// Argo CD says `Succeeded`, and often still `Healthy`, before it has looked at the new pods (argo-cd#9070).
struct Evidence<'a> {
    newest: &'a Past,
    status: &'a Value,
    /// Images that its own operation synced; absent when the operation in the object is another's.
    synced: Option<&'a [&'a str]>,
    health: Option<&'a Health>,
    sync: Option<&'a Sync>,
}

impl Evidence<'_> {
    fn live(&self) -> Option<bool> {
        let health = self.health?;
        if health.status != "Healthy" || self.an_image_is_missing() {
            return Some(false);
        }
        let since = health.since.as_deref().filter(|_| health.exact).unwrap_or_default();
        let compared = self.sync.and_then(|sync| sync.compared_at.as_deref()).unwrap_or_default();
        let ended = self.newest.at.as_str();
        // Times have whole seconds: within the second of the end, the status may be of before.
        let assessed_after = since > ended || compared > ended || self.target_runs();
        assessed_after.then_some(true)
    }

    /// When it was healthy, if that's after its end.
    fn live_at(&self) -> String {
        let healthy = self.health.filter(|health| health.status == "Healthy" && health.exact);
        let since = healthy.and_then(|health| health.since.clone());
        since.into_iter().chain([self.newest.at.clone()]).max().unwrap_or_default()
    }

    /// An image that was synced doesn't run yet.
    fn an_image_is_missing(&self) -> bool {
        let running: Vec<&str> =
            self.status.list("/summary/images").iter().filter_map(|image| image.text("")).collect();
        self.synced.is_some_and(|synced| synced.iter().any(|image| !running.contains(image)))
    }

    /// `Synced` with what was deployed, every image that was synced runs, and nothing else was there to run: the status is of
    /// after. Without any word of images (before 3.1), it's only so where nothing runs at all.
    fn target_runs(&self) -> bool {
        let Some(sync) = self.sync else { return false };
        let Some(synced) = self.synced else { return false };
        let told = !synced.is_empty() || self.status.list("/summary/images").is_empty();
        sync.status == "Synced" && sync.revisions == self.newest.revisions && told
    }
}
