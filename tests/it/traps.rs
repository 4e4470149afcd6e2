//! The traps of Argo CD's notifications and triggers, each as a test: what looks like news and isn't, what is news and looks like
//! nothing, and what was told twice, late, by the wrong trigger or not at all.

use argocd_cdevents::cdevents::SpecVersion;
use argocd_cdevents::mapping::{self, MappingRef, Mappings};
use argocd_cdevents::notification::Source;
use argocd_cdevents::replay::{Input, Replay};
use indexmap::IndexMap;
use serde_json::{Value, json};
use std::sync::LazyLock;

static MAPPINGS: LazyLock<Mappings> =
    LazyLock::new(|| mapping::load(&[MappingRef::Builtin { name: "argocd".into(), with: Value::Null }], None).unwrap());

const FIRST: [&str; 3] =
    ["first-deployment/01-started.json", "first-deployment/02-succeeded.json", "first-deployment/03-healthy.json"];
const UPGRADE: [&str; 3] = ["upgrade/01-started.json", "upgrade/02-succeeded.json", "upgrade/03-healthy.json"];
const ROLLBACK: [&str; 3] = ["rollback/01-started.json", "rollback/02-succeeded.json", "rollback/03-healthy.json"];

fn body(name: &str) -> Value {
    serde_json::from_slice(&crate::support::payload(name)).unwrap()
}

/// A payload with some of its Application otherwise; null takes away.
fn with(name: &str, changes: &[(&str, Value)]) -> Value {
    let mut body = body(name);
    for (pointer, value) in changes {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = body["app"].pointer_mut(parent).unwrap_or_else(|| panic!("{parent} in {name}"));
        match value {
            Value::Null => drop(parent.as_object_mut().unwrap().remove(field)),
            value => parent[field] = value.clone(),
        }
    }
    body
}

fn bodies(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| body(name)).collect()
}

/// What is said of notifications, in order: kind and, of incidents, subject.
fn said(notifications: impl IntoIterator<Item = Value>) -> Vec<String> {
    events(notifications).into_iter().map(|(kind, _)| kind).collect()
}

fn events(notifications: impl IntoIterator<Item = Value>) -> Vec<(String, Value)> {
    let mut replay = Replay::new(&MAPPINGS, SpecVersion::ALL.to_vec());
    let mut said = Vec::new();
    for notification in notifications {
        let source = Source { name: "default".into(), uri: String::new(), labels: IndexMap::new() };
        let told = replay.notify(Input::new(notification), source).unwrap();
        said.extend(told.released.into_iter().chain(told.events));
    }
    said.extend(replay.finish());
    said.into_iter().map(|one| (one.event.kind.clone(), one.event.assemble(SpecVersion::NEWEST))).collect()
}

/// What the payloads of the upgrade say, seen first: what ran before, the run, and what runs now.
const UPGRADED: [&str; 4] = ["taskrun.started", "service.deployed", "taskrun.finished", "service.upgraded"];

// ---- What one payload says ----

#[test]
fn every_trigger_tells_the_whole_application_so_an_old_success_in_a_new_payload_is_no_news() {
    let later = with("upgrade/03-healthy.json", &[("/status/reconciledAt", "2026-03-03T12:00:00Z".into())]);
    let said = said(bodies(&UPGRADE).into_iter().chain([later, body("degraded/03-recovered.json")]));
    assert_eq!(said, UPGRADED);
}

#[test]
fn the_target_of_a_comparison_is_not_what_is_deployed() {
    // A commit elsewhere in the repository moves the target; nothing is synced.
    let moved = with(
        "upgrade/03-healthy.json",
        &[("/status/sync/revision", "f".repeat(40).into()), ("/status/reconciledAt", "2026-03-03T12:00:00Z".into())],
    );
    assert_eq!(said(bodies(&UPGRADE).into_iter().chain([moved])), UPGRADED);
}

#[test]
fn degraded_is_told_though_the_operation_says_succeeded() {
    assert!(said([body("degraded/01-degraded.json")]).contains(&"incident.detected".to_owned()));
}

#[test]
fn an_incident_has_the_same_subject_when_it_ends_and_each_has_its_own() {
    let again = with(
        "degraded/01-degraded.json",
        &[
            ("/status/health/lastTransitionTime", "2026-03-03T16:00:00Z".into()),
            ("/status/reconciledAt", "2026-03-03T16:00:00Z".into()),
        ],
    );
    let told = events([body("degraded/01-degraded.json"), body("degraded/03-recovered.json"), again]);
    let subjects: Vec<(&str, &str)> = told
        .iter()
        .filter(|(kind, _)| kind.starts_with("incident"))
        .map(|(kind, event)| (kind.as_str(), event["subject"]["id"].as_str().unwrap()))
        .collect();
    assert_eq!(
        subjects,
        [
            ("incident.detected", "argocd/pear/health/2026-03-03T14:30:00Z"),
            ("incident.resolved", "argocd/pear/health/2026-03-03T14:30:00Z"),
            ("incident.detected", "argocd/pear/health/2026-03-03T16:00:00Z"),
        ]
    );
}

#[test]
fn progressing_suspended_missing_and_unknown_are_no_incidents() {
    for status in ["Progressing", "Suspended", "Missing", "Unknown"] {
        let moved = with(
            "upgrade/03-healthy.json",
            &[
                ("/status/health/status", status.into()),
                ("/status/health/lastTransitionTime", "2026-03-03T12:00:00Z".into()),
            ],
        );
        assert_eq!(said(bodies(&UPGRADE).into_iter().chain([moved])), UPGRADED, "{status}");
    }
}

#[test]
fn healthy_while_running_is_of_before() {
    let healthy = with("first-deployment/01-started.json", &[("/status/health/status", "Healthy".into())]);
    assert_eq!(said([healthy]), ["taskrun.started"]);
    assert_eq!(
        said([body("upgrade/01-started.json")]).last().map(String::as_str),
        Some("service.deployed"),
        "the one before"
    );
}

#[test]
fn healthy_without_any_operation_or_history_is_nothing() {
    let repository_lost = with(
        "first-deployment/01-started.json",
        &[
            ("/status/operationState", Value::Null),
            ("/status/health/status", "Healthy".into()),
            ("/status/sync/status", "Unknown".into()),
        ],
    );
    assert!(said([repository_lost]).is_empty());
}

#[test]
fn an_operation_that_was_just_requested_hides_the_one_before_but_not_what_is_deployed() {
    // Argo CD clears the state of the operation while one is requested.
    let requested = with("upgrade/03-healthy.json", &[("/status/operationState", Value::Null)]);
    let told = said([body("first-deployment/03-healthy.json"), requested]);
    assert_eq!(told.last().map(String::as_str), Some("service.upgraded"), "{told:?}");
}

#[test]
fn tries_of_one_operation_are_one_run() {
    let between = with(
        "failed-sync/01-started.json",
        &[
            ("/status/operationState/retryCount", 1.into()),
            ("/status/operationState/finishedAt", "2026-03-05T11:00:05Z".into()),
        ],
    );
    let again = with("failed-sync/01-started.json", &[("/status/operationState/retryCount", 1.into())]);
    let told = said([body("failed-sync/01-started.json"), between, again, body("failed-sync/02-failed.json")]);
    let runs: Vec<&String> = told.iter().filter(|kind| kind.starts_with("taskrun")).collect();
    // The upgrade before is in the history only, and its run was over when it was first seen.
    assert_eq!(runs, ["taskrun.started", "taskrun.finished"]);
    assert_eq!(told.iter().filter(|kind| *kind == "incident.detected").count(), 1);
}

#[test]
fn an_operation_that_ends_before_it_has_a_revision_has_an_end_and_an_incident() {
    assert_eq!(said([body("error/01-error.json")]), ["taskrun.finished", "incident.detected"]);
}

#[test]
fn two_operations_that_start_within_one_second_are_two() {
    let heal = [
        ("/status/operationState/operation/sync/autoHealAttemptsCount", json!(1)),
        (
            "/status/operationState/operation/sync/resources",
            json!([{"kind": "Deployment", "name": "pear", "group": "apps"}]),
        ),
    ];
    let told = said(
        bodies(&UPGRADE)
            .into_iter()
            .chain([with("upgrade/01-started.json", &heal), with("upgrade/03-healthy.json", &heal)]),
    );
    assert_eq!(told.iter().filter(|kind| *kind == "taskrun.started").count(), 2, "{told:?}");
    assert_eq!(told.iter().filter(|kind| *kind == "taskrun.finished").count(), 2, "{told:?}");
    assert_eq!(told.iter().filter(|kind| *kind == "service.upgraded").count(), 1, "{told:?}");
}

#[test]
fn a_long_hook_after_the_sync_does_not_hide_that_it_is_live() {
    // Healthy long before the operation's end, so that the stock catalog's on-deployed never fires.
    let ended = with(
        "upgrade/03-healthy.json",
        &[
            ("/status/operationState/finishedAt", "2026-03-03T10:05:00Z".into()),
            ("/status/history/1/deployedAt", "2026-03-03T10:05:00Z".into()),
            ("/status/reconciledAt", "2026-03-03T10:05:00Z".into()),
        ],
    );
    assert_eq!(said([body(UPGRADE[0]), ended]).last().map(String::as_str), Some("service.upgraded"));
}

#[test]
fn a_hook_that_fails_after_the_sync_is_a_failure_though_the_pods_are_new() {
    let failed = with(
        "failed-sync/02-failed.json",
        &[
            ("/status/health/lastTransitionTime", "2026-03-05T11:00:10Z".into()),
            ("/status/summary/images", json!(["registry.grove.example/pear:1.2.0"])),
        ],
    );
    let told = said([body("upgrade/03-healthy.json"), body("failed-sync/01-started.json"), failed]);
    assert!(told.ends_with(&["incident.detected".to_owned()]), "{told:?}");
    assert_eq!(told.iter().filter(|kind| kind.starts_with("service.")).count(), 1, "{told:?}");
}

// ---- Deletion and what comes after ----

#[test]
fn a_deletion_that_leaves_the_resources_running_removes_nothing() {
    for finalizers in [Value::Null, json!(["foregroundDeletion"])] {
        let going = with("deletion/01-deleting.json", &[("/metadata/finalizers", finalizers)]);
        assert_eq!(said(bodies(&UPGRADE).into_iter().chain([going])), UPGRADED);
    }
}

#[test]
fn an_application_that_is_created_again_under_its_name_is_another_one() {
    let anew = |name: &str| {
        let mut text = body(name).to_string();
        for (old, new) in [
            ("2026-03-02T", "2026-03-07T"),
            ("7b0d1c52-55aa-4b02-9e0e-1c6f30a7d001", "7b0d1c52-55aa-4b02-9e0e-1c6f30a7d002"),
        ] {
            text = text.replace(old, new);
        }
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let gone = [body("degraded/01-degraded.json"), body("deletion/03-while-degraded.json")];
    let told = said(gone.into_iter().chain(FIRST.map(anew)));
    assert_eq!(
        told.iter().map(String::as_str).collect::<Vec<_>>(),
        [
            "taskrun.finished",
            "incident.detected",
            "incident.resolved",
            "service.removed",
            "taskrun.started",
            "taskrun.finished",
            "service.deployed"
        ]
    );
}

#[test]
fn what_health_does_while_deleting_means_nothing_new() {
    let gone = [body("deletion/01-deleting.json"), body("deletion/02-missing.json")];
    let late = with("deletion/02-missing.json", &[("/status/health/status", "Degraded".into())]);
    let told = said(bodies(&UPGRADE).into_iter().chain(gone).chain([late]));
    assert_eq!(told[..4], UPGRADED);
    assert_eq!(told[4..], ["service.removed"]);
}

// ---- What triggers do ----

#[test]
fn a_trigger_that_fires_for_every_application_at_the_start_says_nothing_of_what_never_ran() {
    let created = with("first-deployment/01-started.json", &[("/status", json!({}))]);
    assert!(said([created]).is_empty());
}

#[test]
fn triggers_that_fire_again_for_old_states_say_nothing_twice() {
    // The state annotation keeps a hundred keys, and two triggers may tell one state, or one trigger the same twice.
    let life = bodies(&[FIRST, UPGRADE].concat());
    let once = said(life.clone());
    let twice = life.iter().flat_map(|body| [body.clone(), body.clone()]);
    assert_eq!(said(twice), once);
    assert_eq!(said(life.iter().chain(&life).cloned()), once);
}

#[test]
fn a_rollback_that_the_triggers_tell_nobody_is_announced_by_the_next_notification_of_its_history() {
    let said = said(bodies(&[&FIRST[..], &UPGRADE[1..]].concat()).into_iter().chain([body(ROLLBACK[2])]));
    assert_eq!(said.last().map(String::as_str), Some("service.rolledback"));
}

#[test]
fn a_trigger_that_fires_once_in_a_lifetime_leaves_to_others_what_it_does_not_tell() {
    // `oncePer: app.status.sync.revision` is nil for several sources: only the first success is ever told by it.
    let others = ["multi-source/01-deployed.json", "multi-source/02-started.json", "multi-source/05-healthy.json"];
    let told = said(bodies(&others));
    assert_eq!(told.iter().filter(|kind| *kind == "service.upgraded").count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|kind| *kind == "service.deployed").count(), 1, "{told:?}");
}

#[test]
fn a_condition_without_once_per_that_flaps_says_each_state_once() {
    let flapping = ["multi-source/01-deployed.json", "multi-source/05-healthy.json"];
    let told = said(bodies(&[flapping, flapping, flapping].concat()));
    assert_eq!(told, said(bodies(&flapping)));
}

#[test]
fn the_second_look_tells_what_the_first_could_not() {
    let stale = "stale/01-succeeded-and-healthy-of-before.json";
    let look = with(
        "stale/04-healthy.json",
        &[
            ("/status/reconciledAt", "2026-03-07T10:03:00Z".into()),
            ("/status/health/lastTransitionTime", "2026-03-07T10:00:20Z".into()),
        ],
    );
    let told = events([body("upgrade/03-healthy.json"), body(stale), body("stale/02-progressing.json"), look]);
    let upgraded: Vec<_> = told.iter().filter(|(kind, _)| kind == "service.upgraded").collect();
    assert_eq!(upgraded.len(), 2, "{told:#?}");
    assert_eq!(upgraded[1].1["context"]["timestamp"], "2026-03-07T10:00:20Z");
}

#[test]
fn short_states_that_no_trigger_saw_are_told_from_what_follows() {
    // Neither Running nor Progressing was seen.
    assert_eq!(said([body(FIRST[2])]), ["taskrun.finished", "service.deployed"]);
}

#[test]
fn notifications_of_one_state_may_come_in_any_order() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let sorted = |order: [usize; 3]| {
        let mut told = events(order.map(|index| body(FIRST[index])));
        told.sort_by_key(|(kind, event)| (kind.clone(), event["context"]["id"].to_string()));
        told.into_iter().map(|(kind, event)| (kind, event["context"]["id"].clone())).collect::<Vec<_>>()
    };
    for order in orders {
        assert_eq!(sorted(order), sorted([0, 1, 2]), "{order:?}");
    }
}

#[test]
fn every_envelope_says_the_same() {
    let whole = body(FIRST[2]);
    let community = json!({"timestamp": "2026-03-02T09:00:10Z", "context": whole["context"], "app": whole["app"]});
    let kinds = said([whole.clone()]);
    assert_eq!(said([community]), kinds);
    assert_eq!(said([whole["app"].clone()]), kinds);
}
