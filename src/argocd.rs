//! What one Argo CD Application says about its operation, deployment, health, sources, images and deletion.
//!
//! Owns the domain's knowledge. Trusts nothing: every field may be absent, empty, null or of another type. Pure functions.

use serde::Serialize;
use serde_json::Value;

/// The facts of one Application, which rules read under `argo`.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {}

/// Reads the facts off an Application.
#[must_use]
pub fn facts(_application: &Value) -> Facts {
    Facts::default()
}
