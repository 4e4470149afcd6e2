//! The operation that runs, or the last one.

use super::health::revisions;
use super::read::{Read, owned, time};
use serde::Serialize;
use serde_json::Value;

/// The operation that runs, or the last one. Absent right after one was requested: Argo CD empties the state then, so its
/// absence doesn't mean that there never was any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// The application's key and the start; of a self-heal the attempt's number, too: two can begin within a second.
    pub key: String,
    /// `Running`, `Terminating`, `Succeeded`, `Failed` or `Error`.
    pub phase: String,
    /// How it ended; absent while it runs, also between two tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Constant over all tries.
    pub started_at: String,
    /// Absent while it runs, also between two tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// What Argo CD says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Tries after the first.
    pub retry_count: i64,
    /// Whether Argo CD began it by itself.
    pub automated: bool,
    /// Who began it, if it was somebody: `initiatedBy.username`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initiator: Option<String>,
    /// Whether nothing was to be changed.
    pub dry_run: bool,
    /// Whether only some resources were synced: no deployment.
    pub partial: bool,
    /// Whether it mends a drift: no deployment.
    pub self_heal: bool,
    /// Whether the manifests were given by hand, so that no revision says what is deployed.
    pub local: bool,
    /// What was synced, else what is to be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
}

/// How an operation ended, in the words of CDEvents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// `Succeeded`
    Success,
    /// `Failed`, after all tries.
    Failure,
    /// `Error`: it couldn't be carried out.
    Error,
    /// Somebody terminated it.
    Cancel,
}

/// How Argo CD begins the message of an operation that somebody terminated (`sync_context.go`).
const TERMINATED: &str = "Operation terminated";

pub(super) fn operation(status: &Value, app: &str) -> Option<Operation> {
    let state = status.at("/operationState");
    let phase = owned(state, "/phase")?;
    let started_at = time(state, "/startedAt")?;
    let sync = state.at("/operation/sync");
    let attempt = sync.whole("/autoHealAttemptsCount").filter(|attempt| *attempt > 0);
    let message = owned(state, "/message");
    let outcome = outcome(&phase, message.as_deref());
    let synced = revisions(state.at("/syncResult"));
    let heal = attempt.map(|attempt| format!("#{attempt}")).unwrap_or_default();
    Some(Operation {
        key: format!("{app}/{started_at}{heal}"),
        outcome,
        finished_at: outcome.and_then(|_| time(state, "/finishedAt")),
        message,
        retry_count: state.whole("/retryCount").unwrap_or_default(),
        automated: state.flag("/operation/initiatedBy/automated"),
        initiator: owned(state, "/operation/initiatedBy/username"),
        dry_run: sync.flag("/dryRun"),
        partial: !sync.list("/resources").is_empty(),
        self_heal: attempt.is_some(),
        local: !sync.list("/manifests").is_empty(),
        revisions: if synced.is_empty() { revisions(sync) } else { synced },
        phase,
        started_at,
    })
}

/// Whether a `operationState` is of a sync that becomes a deployment: not of a dry run, a part, or a self-heal.
pub(super) fn is_full(state: &Value) -> bool {
    let sync = state.at("/operation/sync");
    let heals = sync.whole("/autoHealAttemptsCount").unwrap_or_default() > 0;
    !sync.flag("/dryRun") && sync.list("/resources").is_empty() && !heals
}

fn outcome(phase: &str, message: Option<&str>) -> Option<Outcome> {
    let terminated = message.is_some_and(|message| message.starts_with(TERMINATED));
    match phase {
        "Failed" | "Error" if terminated => Some(Outcome::Cancel),
        "Succeeded" => Some(Outcome::Success),
        "Failed" => Some(Outcome::Failure),
        "Error" => Some(Outcome::Error),
        _ => None,
    }
}
