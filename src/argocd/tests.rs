//! The traps of reading an Application, by name.

use super::*;
use serde_json::json;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const C: &str = "cccccccccccccccccccccccccccccccccccccccc";

fn at(minute: usize) -> String {
    format!("2026-04-01T10:{minute:02}:00Z")
}

/// An application whose history holds these revisions, one a minute, live.
fn app(revisions: &[&str]) -> Value {
    let source = json!({"repoURL": "https://git.grove.example/pear.git", "path": "pear", "targetRevision": "main"});
    let entry = |(index, revision): (usize, &&str)| json!({"id": index, "deployStartedAt": at(index), "deployedAt": at(index), "revision": revision, "source": source});
    let history: Vec<Value> = revisions.iter().enumerate().map(entry).collect();
    let last = revisions.last().copied().unwrap_or_default();
    json!({
        "metadata": {"name": "pear", "namespace": "argocd", "uid": "u"},
        "spec": {"source": source, "destination": {"server": "https://kubernetes.default.svc"}},
        "status": {
            "history": history,
            "health": {"status": "Healthy", "lastTransitionTime": at(50)},
            "sync": {"status": "Synced", "revision": last},
        }
    })
}

fn change(revisions: &[&str]) -> Option<Change> {
    facts(&app(revisions)).deployment.unwrap().change
}

fn set(application: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    application.pointer_mut(parent).unwrap()[name] = value;
}

#[test]
fn the_first_deployment_is_told_by_its_id_and_not_by_the_length_of_the_history() {
    assert_eq!(change(&[A]), Some(Change::First));
    let mut trimmed = app(&[A]);
    set(&mut trimmed, "/status/history/0/id", 7.into());
    assert_eq!(facts(&trimmed).deployment.unwrap().change, None, "with a limit of 1 there is nothing to compare with");
}

#[test]
fn a_rollback_goes_back_and_forward_again_is_none() {
    assert_eq!(change(&[A, B]), Some(Change::Upgrade));
    assert_eq!(change(&[A, B, A]), Some(Change::Rollback));
    assert_eq!(change(&[A, B, A, B]), Some(Change::Upgrade));
    assert_eq!(
        change(&[A, B, C, A, B]),
        Some(Change::Upgrade),
        "newer than what it replaces, though older than the newest"
    );
    assert_eq!(change(&[A, B, C, B]), Some(Change::Rollback));
}

#[test]
fn a_resync_is_none_and_knows_what_it_repeats() {
    let deployment = facts(&app(&[A, B, B, B])).deployment.unwrap();
    assert_eq!(deployment.change, Some(Change::Resync));
    let origin = deployment.origin.unwrap();
    assert_eq!((origin.key, origin.change), (format!("u/{}", at(1)), Some(Change::Upgrade)));
    let mut trimmed = app(&[A, A]);
    set(&mut trimmed, "/status/history/0/id", 5.into());
    set(&mut trimmed, "/status/history/1/id", 6.into());
    assert_eq!(facts(&trimmed).deployment.unwrap().origin, None, "what it repeats may not be in the history any more");
}

#[test]
fn an_older_chart_is_a_rollback_though_the_history_never_saw_it() {
    let chart =
        |version: &str| json!({"repoURL": "https://charts.grove.example", "chart": "pear", "targetRevision": version});
    let mut older = app(&["3.1.0", "3.0.0"]);
    set(&mut older, "/status/history/0/source", chart("3.1.0"));
    set(&mut older, "/status/history/1/source", chart("3.0.0"));
    let deployment = facts(&older).deployment.unwrap();
    assert_eq!(deployment.change, Some(Change::Rollback));
    assert!(deployment.artifact.unwrap().starts_with("pkg:helm/pear@3.0.0"));
}

#[test]
fn other_values_of_one_chart_are_a_change_of_configuration() {
    let mut values = app(&["3.0.0", "3.0.0"]);
    for (index, replicas) in [(0, 1), (1, 2)] {
        let source = json!({"repoURL": "https://charts.grove.example", "chart": "pear", "helm": {"valuesObject": {"replicas": replicas}}});
        set(&mut values, &format!("/status/history/{index}/source"), source);
    }
    assert_eq!(facts(&values).deployment.unwrap().change, Some(Change::Config));
}

#[test]
fn several_sources_have_revisions_and_an_empty_revision_is_absent() {
    let sources = json!([{"repoURL": "https://git.grove.example/values.git", "ref": "values"},
                         {"repoURL": "https://charts.grove.example", "chart": "pear", "targetRevision": "3.0.0"}]);
    let mut several = app(&["", ""]);
    for (index, values) in [(0, A), (1, B)] {
        set(&mut several, &format!("/status/history/{index}/sources"), sources.clone());
        set(&mut several, &format!("/status/history/{index}/revisions"), json!([values, "3.0.0"]));
    }
    let deployment = facts(&several).deployment.unwrap();
    assert_eq!(deployment.change, Some(Change::Config), "only the values moved");
    assert_eq!(deployment.revisions, [B, "3.0.0"]);
    assert!(
        deployment.artifact.unwrap().starts_with("pkg:helm/pear@3.0.0"),
        "a source that is only referred to is no artifact"
    );
}

#[test]
fn an_operation_that_ran_later_does_not_hide_what_is_deployed() {
    let mut healed = app(&[A, B]);
    let operation = json!({"phase": "Running", "startedAt": at(9), "operation": {"sync": {"autoHealAttemptsCount": 2, "resources": [{"kind": "Deployment"}]}}});
    set(&mut healed, "/status/operationState", operation);
    let facts = facts(&healed);
    let operation = facts.operation.unwrap();
    assert_eq!(operation.key, format!("u/{}#2", at(9)));
    assert!(operation.self_heal && operation.partial && operation.outcome.is_none());
    assert_eq!(facts.deployment.unwrap().key, format!("u/{}", at(1)));
}

#[test]
fn outcomes_are_those_of_the_end_and_none_between_two_tries() {
    let outcome = |phase: &str, message: &str| {
        let mut application = app(&[A]);
        let state =
            json!({"phase": phase, "startedAt": at(9), "finishedAt": at(10), "message": message, "retryCount": 1});
        set(&mut application, "/status/operationState", state);
        let operation = facts(&application).operation.unwrap();
        (operation.outcome, operation.finished_at.is_some())
    };
    assert_eq!(outcome("Succeeded", ""), (Some(Outcome::Success), true));
    assert_eq!(outcome("Failed", "one or more objects failed"), (Some(Outcome::Failure), true));
    assert_eq!(outcome("Error", "no such path"), (Some(Outcome::Error), true));
    assert_eq!(outcome("Failed", "Operation terminated"), (Some(Outcome::Cancel), true));
    assert_eq!(outcome("Running", "retrying"), (None, false));
}

/// The object right after a sync of an image, with the health of before.
fn synced(health: &str, since: usize, compared: usize, sync: &str, running: &[&str]) -> Value {
    let mut application = app(&[A, B]);
    let state = json!({"phase": "Succeeded", "startedAt": at(1), "finishedAt": at(1), "syncResult": {"revision": B, "resources": [
        {"kind": "Deployment", "images": ["pear:2"]}, {"kind": "Job", "hookType": "PreSync", "images": ["migrate:2"]}]}});
    set(&mut application, "/status/operationState", state);
    set(&mut application, "/status/health", json!({"status": health, "lastTransitionTime": at(since)}));
    set(&mut application, "/status/reconciledAt", at(compared).into());
    set(&mut application, "/status/sync/status", sync.into());
    set(&mut application, "/status/summary", json!({"images": running}));
    application
}

#[test]
fn applied_is_not_live() {
    let live = |application: &Value| facts(application).deployment.unwrap().live;
    assert_eq!(live(&synced("Healthy", 0, 1, "OutOfSync", &["pear:1"])), Some(false), "the image doesn't run yet");
    assert_eq!(live(&synced("Progressing", 1, 1, "Synced", &["pear:1", "pear:2"])), Some(false));
    assert_eq!(live(&synced("Healthy", 0, 1, "OutOfSync", &["pear:2"])), None, "the object can't tell");
    assert_eq!(
        live(&synced("Healthy", 0, 1, "Synced", &["pear:2"])),
        Some(true),
        "synced, and every image runs; a hook's needn't"
    );
    assert_eq!(live(&synced("Healthy", 2, 1, "OutOfSync", &["pear:2", "pear:1"])), Some(true), "health moved after it");
    assert_eq!(
        live(&synced("Healthy", 0, 3, "OutOfSync", &["pear:2"])),
        Some(true),
        "the comparison is newer than its end"
    );
}

#[test]
fn the_time_of_a_deployment_is_when_it_was_healthy() {
    let deployment = facts(&synced("Healthy", 4, 1, "Synced", &["pear:2"])).deployment.unwrap();
    assert_eq!((deployment.at, deployment.live_at), (at(1), at(4)));
}

#[test]
fn deletion_is_cascading_only_with_the_finalizer_of_argo_cd() {
    let mut gone = app(&[A]);
    set(&mut gone, "/metadata/deletionTimestamp", at(3).into());
    set(&mut gone, "/metadata/finalizers", json!(["foregroundDeletion"]));
    assert!(!facts(&gone).deletion.unwrap().cascading);
    set(&mut gone, "/metadata/finalizers", json!(["resources-finalizer.argocd.argoproj.io/background"]));
    assert!(facts(&gone).deletion.unwrap().cascading);
}

#[test]
fn older_argo_cds_and_bodies_that_were_cut_down_still_have_facts() {
    let mut old = app(&[A, B]);
    set(&mut old, "/status/health", json!({"status": "Degraded"}));
    set(&mut old, "/status/reconciledAt", at(7).into());
    old["metadata"].as_object_mut().unwrap().remove("uid");
    let facts = facts(&old);
    let health = facts.health.unwrap();
    assert_eq!((health.since, health.exact), (Some(at(7)), false));
    assert_eq!(facts.app.key, "argocd/pear");
    assert!(
        facts.deployment.unwrap().artifact.unwrap().starts_with(&format!("pkg:generic/pear@{B}")),
        "no images before 3.1: the commit"
    );
}

#[test]
fn without_a_history_the_last_full_success_is_the_deployment() {
    let mut none = app(&[]);
    let state = json!({"phase": "Succeeded", "startedAt": at(1), "finishedAt": at(2), "syncResult": {"revision": A}});
    set(&mut none, "/status/operationState", state.clone());
    let deployment = facts(&none).deployment.unwrap();
    assert_eq!((deployment.key, deployment.change), (format!("u/{}", at(1)), None));
    let mut dry = state;
    dry["operation"] = json!({"sync": {"dryRun": true}});
    set(&mut none, "/status/operationState", dry);
    assert_eq!(facts(&none).deployment, None);
}

#[test]
fn local_manifests_leave_no_revision_and_are_no_rollback() {
    let mut local = app(&[A, "", A]);
    assert_eq!(facts(&local).deployment.unwrap().change, Some(Change::Upgrade));
    local["status"]["history"].as_array_mut().unwrap().pop();
    let deployment = facts(&local).deployment.unwrap();
    assert_eq!(deployment.change, Some(Change::Upgrade));
    assert!(deployment.artifact.unwrap().starts_with("pkg:generic/pear?"), "which one it is isn't known");
}

#[test]
fn nothing_in_the_object_can_make_it_panic() {
    for odd in [
        json!(null),
        json!([]),
        json!({"status": 5, "metadata": "x"}),
        json!({"status": {"history": [null, 3, {}], "operationState": [], "health": null, "sync": {"revisions": [1]}}}),
    ] {
        assert_eq!(facts(&odd).deployment, None);
        assert!(observed_at(&odd).is_none());
    }
}

#[test]
fn facts_are_the_same_without_what_is_said_to_be_unread() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads");
    let directories = std::fs::read_dir(root).unwrap().flatten();
    let files = directories.flat_map(|directory| std::fs::read_dir(directory.path()).into_iter().flatten().flatten());
    let mut seen = 0;
    for file in files.map(|file| file.path()) {
        let body: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let whole = body.get("app").unwrap_or(&body);
        let mut part = whole.clone();
        for path in UNREAD {
            let (name, parents) = path.split_last().unwrap();
            let parent = parents.iter().try_fold(&mut part, |value, name| value.get_mut(name));
            let gone = parent.and_then(Value::as_object_mut).and_then(|map| map.shift_remove(*name));
            seen += usize::from(gone.is_some());
        }
        assert_eq!(facts(&part), facts(whole), "{}", file.display());
    }
    assert!(seen > 0);
}
