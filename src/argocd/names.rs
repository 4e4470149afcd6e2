//! Which facts there are, so that a name that nobody knows is told when a mapping is loaded. Taken from a whole set of facts:
//! one that gains a field without it being here doesn't compile.

use super::{
    App, Change, Condition, Deletion, Deployment, Destination, Facts, Health, Image, Operation, Origin, Outcome, Past,
    Previous,
};
use super::{Source, SourceKind, Sync};
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// A name that no fact has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The name.
    pub name: String,
    /// What there is in its place.
    pub known: Vec<String>,
}

static NAMES: LazyLock<Value> = LazyLock::new(|| serde_json::to_value(whole()).unwrap_or_default());

/// Whether a path below `argo` can ever be there.
///
/// # Errors
///
/// The first name that nobody knows.
pub fn known(path: &[String]) -> Result<(), Unknown> {
    let mut at: &Value = &NAMES;
    for name in path {
        match at {
            Value::Object(map) if map.contains_key("*") => return Ok(()),
            Value::Object(map) => {
                at = map
                    .get(name)
                    .ok_or_else(|| Unknown { name: name.clone(), known: map.keys().cloned().collect() })?;
            }
            // Lists are read by number or looped over, which isn't followed.
            Value::Array(_) => return Ok(()),
            _ => return Err(Unknown { name: name.clone(), known: Vec::new() }),
        }
    }
    Ok(())
}

fn text() -> Option<String> {
    Some("x".to_owned())
}

/// Every fact that there is.
fn whole() -> Facts {
    let free = || Map::from_iter([("*".to_owned(), Value::Null)]);
    let x = || "x".to_owned();
    let past =
        || Past { key: x(), history_id: Some(0), started_at: x(), at: x(), revisions: vec![x()], initiator: text() };
    let image = || Image { r#ref: x(), name: x(), tag: text(), digest: text(), purl: text() };
    Facts {
        app: App {
            key: x(),
            name: x(),
            namespace: text(),
            uid: text(),
            url: text(),
            project: text(),
            labels: free(),
            annotations: free(),
            app_set: text(),
            created_at: text(),
            generation: Some(0),
        },
        deletion: Some(Deletion { at: x(), cascading: true }),
        destination: Some(Destination { server: text(), name: text(), namespace: text() }),
        operation: Some(Operation {
            key: x(),
            phase: x(),
            outcome: Some(Outcome::Success),
            started_at: x(),
            finished_at: text(),
            message: text(),
            retry_count: 0,
            automated: false,
            initiator: text(),
            dry_run: false,
            partial: false,
            self_heal: false,
            local: false,
            revisions: vec![x()],
        }),
        deployment: Some(Deployment {
            key: x(),
            change: Some(Change::First),
            live: Some(true),
            history_id: Some(0),
            started_at: x(),
            at: x(),
            live_at: x(),
            artifact: text(),
            artifacts: vec![x()],
            revisions: vec![x()],
            initiator: text(),
            previous: Some(Previous { past: past(), change: Some(Change::First), artifact: text() }),
            origin: Some(Origin { key: x(), started_at: x(), at: x(), change: Some(Change::First) }),
            images: vec![image()],
        }),
        history: vec![past()],
        health: Some(Health { status: x(), since: text(), exact: true, order: x(), message: text() }),
        sync: Some(Sync { status: x(), revisions: vec![x()], compared_at: text() }),
        sources: vec![Source {
            kind: SourceKind::Git,
            repo: x(),
            chart: text(),
            path: text(),
            revision: text(),
            purl: text(),
            url: text(),
        }],
        images: vec![image()],
        conditions: vec![Condition { r#type: x(), message: text(), since: text() }],
        external_urls: vec![x()],
        observed_at: text(),
    }
}

#[cfg(test)]
mod tests {
    use super::known;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn facts_are_known_and_others_are_not() {
        for fact in
            ["app.labels.team", "deployment.previous.key", "operation.startedAt", "images", "deletion.cascading"]
        {
            assert_eq!(known(&path(fact)), Ok(()), "{fact}");
        }
        let unknown = known(&path("deployment.artefact")).unwrap_err();
        assert!(unknown.name == "artefact" && unknown.known.contains(&"artifact".to_owned()));
        assert!(known(&path("health.status.x")).is_err());
    }
}
