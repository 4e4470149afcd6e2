//! What one Argo CD Application says about its operation, deployment, health, sources, images and deletion.
//!
//! Owns the domain's knowledge. Trusts nothing: every field may be absent, empty, null or of another type. Promises that a
//! fact is absent when the object doesn't say it, that an empty string counts as absent, and that the same object always
//! gives the same facts. Pure functions; field names are those of `pkg/apis/application/v1alpha1/types.go`.

mod app;
mod deployment;
mod health;
mod names;
mod operation;
mod purl;
mod read;
pub mod setup;
mod source;
mod version;

pub use app::{App, Deletion, Destination};
pub use deployment::{Change, Deployment, Origin, Past, Previous};
pub use health::{Condition, Health, Sync};
pub use names::{Unknown, known};
pub use operation::{Operation, Outcome};
pub use purl::Image;
pub use source::{Source, SourceKind};

use jiff::Timestamp;
use read::Read;
use serde::Serialize;
use serde_json::Value;

/// The facts of one Application, which rules read under `argo`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Who it is.
    pub app: App,
    /// That it's being deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// Where it's deployed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
    /// The operation that runs, or the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// What is deployed: the newest entry of the history, whatever operation came after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Deployment>,
    /// What was deployed, oldest first; the last is `deployment`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Past>,
    /// Its health.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// How it compares to its target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<Sync>,
    /// Where its manifests come from, without sources that are only referred to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// The images that run, old ones of a rollout included.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    /// What Argo CD warns of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// URLs at which it's reached from outside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_urls: Vec<String>,
    /// The newest time that the object states: when it was looked at, at the earliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<String>,
}

/// What facts never read, and what's often the larger part of an Application.
pub const UNREAD: [&[&str]; 3] = [
    &["metadata", "managedFields"],
    &["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"],
    &["status", "resources"],
];

/// Reads the facts off an Application.
#[must_use]
pub fn facts(application: &Value) -> Facts {
    let app = app::app(application);
    let status = application.at("/status");
    let sync = health::sync(status);
    let health = health::health(application);
    let operation = operation::operation(status, &app.key);
    let images = purl::images(status.list("/summary/images"));
    let deployment = deployment::deployment(application, &app.key, health.as_ref(), sync.as_ref());
    Facts {
        deletion: app::deletion(application),
        destination: app::destination(application),
        operation,
        history: deployment::history(status, &app.key),
        deployment,
        health,
        sync,
        sources: source::sources(application.at("/spec")),
        images,
        conditions: health::conditions(status),
        external_urls: status
            .list("/summary/externalURLs")
            .iter()
            .filter_map(|url| url.text(""))
            .map(str::to_owned)
            .collect(),
        observed_at: observed_at(application).map(|at| at.to_string()),
        app,
    }
}

/// The newest time that the object states. Everything in it happened then or before.
#[must_use]
pub fn observed_at(application: &Value) -> Option<Timestamp> {
    const PLACES: [&str; 7] = [
        "/metadata/creationTimestamp",
        "/metadata/deletionTimestamp",
        "/status/reconciledAt",
        "/status/observedAt",
        "/status/health/lastTransitionTime",
        "/status/operationState/startedAt",
        "/status/operationState/finishedAt",
    ];
    let deployed = application.list("/status/history").last().and_then(|newest| newest.text("/deployedAt"));
    let times = PLACES.iter().filter_map(|place| application.text(place)).chain(deployed);
    times.filter_map(|text| text.parse().ok()).max()
}

#[cfg(test)]
mod tests;
