//! What one object knows about whether the newest deployment is live.
//!
//! Argo CD says `Succeeded`, and often still `Healthy`, before it has looked at the new pods (argo-cd#9070). So the question is
//! whether the status was assessed after what was deployed had been applied. Its times have whole seconds.

use super::Past;
use super::change::have_same_sources;
use crate::argocd::health::{Health, Sync};
use crate::argocd::read::Read;
use jiff::Timestamp;
use serde_json::Value;

/// How far behind what was applied Argo CD's view of the cluster may be.
const LAG_SECONDS: i64 = 5;

pub(super) struct Evidence<'a> {
    pub(super) newest: &'a Past,
    /// What has the sources of what was deployed.
    pub(super) sources: &'a Value,
    pub(super) status: &'a Value,
    /// Images that its own operation synced; empty when the operation in the object is another's, or doesn't say.
    pub(super) synced: &'a [&'a str],
    pub(super) health: Option<&'a Health>,
    pub(super) sync: Option<&'a Sync>,
}

impl Evidence<'_> {
    pub(super) fn live(&self) -> Option<bool> {
        let health = self.health?;
        if health.status != "Healthy" {
            return Some(false);
        }
        let later = self.healthy_since_then() || self.compared() > self.newest.at.as_str();
        match () {
            () if self.is_target() && later => Some(true),
            () if self.an_image_is_missing() => Some(false),
            () if self.is_target() && self.compared() >= self.newest.at.as_str() => Some(true),
            () if self.healthy_since_then() => Some(true),
            () if later && (!self.contradicts() || self.compared_long_after()) => Some(true),
            () => None,
        }
    }

    /// When it was healthy, if that's after its end.
    pub(super) fn live_at(&self) -> String {
        let healthy = self.health.filter(|health| health.status == "Healthy" && health.exact);
        let since = healthy.and_then(|health| health.since.clone());
        since.into_iter().chain([self.newest.at.clone()]).max().unwrap_or_default()
    }

    fn healthy_since_then(&self) -> bool {
        let since = self.health.filter(|health| health.exact).and_then(|health| health.since.as_deref());
        since > Some(self.newest.at.as_str())
    }

    /// When it was compared, or an empty string.
    fn compared(&self) -> &str {
        self.sync.and_then(|sync| sync.compared_at.as_deref()).unwrap_or_default()
    }

    /// `Synced` with exactly what was deployed: what was applied is in the cluster, and health was assessed with that.
    fn is_target(&self) -> bool {
        let target = self.status.at("/sync/comparedTo");
        self.compared_to_it() && self.is("Synced") && (target.is_null() || have_same_sources(target, self.sources))
    }

    /// `OutOfSync` with what was just synced, or `Synced` with something else: the status is of before, or something drifted
    /// or was committed since.
    fn contradicts(&self) -> bool {
        self.is("OutOfSync") && self.compared_to_it() || self.is("Synced") && !self.compared_to_it()
    }

    fn compared_to_it(&self) -> bool {
        self.sync.is_some_and(|sync| sync.revisions == self.newest.revisions)
    }

    fn is(&self, status: &str) -> bool {
        self.sync.is_some_and(|sync| sync.status == status)
    }

    fn compared_long_after(&self) -> bool {
        let seconds = |text: &str| text.parse().map(Timestamp::as_second).ok();
        matches!((seconds(self.compared()), seconds(&self.newest.at)), (Some(c), Some(e)) if c - e >= LAG_SECONDS)
    }

    /// An image that was synced doesn't run yet.
    fn an_image_is_missing(&self) -> bool {
        let running = self.status.list("/summary/images");
        self.synced.iter().any(|image| !running.iter().any(|one| one.text("") == Some(image)))
    }
}
