//! What a deployment is, compared to those before it in the history.

use super::{Change, Origin, past};
use crate::argocd::health::revisions;
use crate::argocd::read::Read;
use crate::argocd::source::{Written, all, written};
use crate::argocd::version::Version;
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// What the newest entry is, compared to the one before it.
pub(super) fn change(entries: &[Value]) -> Option<Change> {
    let [older @ .., newest] = entries else { return None };
    if newest.whole("/id") == Some(0) {
        return Some(Change::First);
    }
    // With a limit of 1 there is nothing to compare with.
    let previous = older.last()?;
    let (now, before) = (Content::of(newest), Content::of(previous));
    Some(if now.is(&before) {
        Change::Resync
    } else if is_rollback(entries, &now, &before) {
        Change::Rollback
    } else if now.is_same_package(&before) {
        Change::Config
    } else {
        Change::Upgrade
    })
}

/// The deployment that brought what runs: the first of the entries at the end that are all the same.
pub(super) fn origin(entries: &[Value], app: &str) -> Option<Origin> {
    let now = Content::of(entries.last()?);
    let again = entries.iter().rev().skip(1).take_while(|entry| Content::of(entry).is(&now)).count();
    let first = entries.len() - 1 - again;
    // What came before the oldest entry is only known of the very first.
    let known = first > 0 || again == 0 || entries[0].whole("/id") == Some(0);
    let past = past(&entries[first], app).filter(|_| known)?;
    Some(Origin { key: past.key, started_at: past.started_at, at: past.at, change: change(&entries[..=first]) })
}

/// What runs now first appeared before what ran last. Forward again after a rollback is none, though it equals an older entry,
/// too. What isn't in the history (any more) is judged by its version, if it has one.
fn is_rollback(entries: &[Value], now: &Content<'_>, before: &Content<'_>) -> bool {
    if now.revisions.is_empty() || before.revisions.is_empty() {
        return false;
    }
    let first = |content: &Content<'_>| entries.iter().position(|entry| Content::of(entry).is(content));
    match (first(now), first(before)) {
        (Some(now_at), Some(before_at)) if now_at + 1 < entries.len() => now_at < before_at,
        _ => now.order(before) == Some(Ordering::Less),
    }
}

/// What an entry of the history deployed: sources without the target, which says what was wished for, and revisions.
#[derive(Debug)]
struct Content<'a> {
    revisions: Vec<String>,
    all: &'a [Value],
    rendered: Vec<Written<'a>>,
}

impl<'a> Content<'a> {
    fn of(entry: &'a Value) -> Self {
        Self { revisions: revisions(entry), all: all(entry), rendered: written(entry) }
    }

    /// Whether both are the same. Of local manifests there is no revision that could say so.
    fn is(&self, other: &Self) -> bool {
        !self.revisions.is_empty() && self.revisions == other.revisions && same(self.all, other.all)
    }

    /// Whether both render the same repository, chart, path and revision: only values differ.
    fn is_same_package(&self, other: &Self) -> bool {
        !self.revisions.is_empty()
            && self.rendered.len() == other.rendered.len()
            && self.rendered.iter().zip(&other.rendered).all(|(a, b)| {
                let same = |pointer| a.value.text(pointer) == b.value.text(pointer);
                ["/repoURL", "/chart", "/path"].into_iter().all(same) && self.revision(a) == other.revision(b)
            })
    }

    fn revision(&self, source: &Written<'_>) -> Option<&str> {
        self.revisions.get(source.index).map(String::as_str)
    }

    /// By the first of the rendered sources whose versions differ.
    fn order(&self, other: &Self) -> Option<Ordering> {
        let pairs = self.rendered.iter().zip(&other.rendered);
        let orders = pairs.filter_map(|(a, b)| Some(self.version(a)?.order(&other.version(b)?)));
        orders.into_iter().find(|order| order.is_ne())
    }

    /// The version that a source says: the chart's or artifact's, else the tag that was wished for.
    fn version(&self, source: &Written<'_>) -> Option<Version> {
        self.revision(source).and_then(Version::parse).or_else(|| Version::parse(source.value.text("/targetRevision")?))
    }
}

/// Whether two objects have the same `sources`, or the same `source`, but for the target.
pub(super) fn have_same_sources(a: &Value, b: &Value) -> bool {
    same(all(a), all(b))
}

fn same(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_but_target(a, b))
}

fn same_but_target(a: &Value, b: &Value) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else { return a == b };
    let rest = |map: &Map<String, Value>| map.keys().filter(|key| *key != "targetRevision").count();
    rest(a) == rest(b) && a.iter().all(|(key, value)| key == "targetRevision" || b.get(key) == Some(value))
}
