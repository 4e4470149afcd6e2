//! Recordings of a real Argo CD: exactly the events that a careful operator would expect, also when notifications come twice,
//! in another order, late, not at all, from some time on, all at once, without a record of when, or by the stock catalog's triggers only.
//!
//! The recordings lie beside the project (`shared.rs`); without them these tests pass without having run, and say so.

use crate::shared;
use argocd_cdevents::cdevents::SpecVersion;
use argocd_cdevents::mapping::{self, MappingRef, Mappings};
use argocd_cdevents::notification::Source;
use argocd_cdevents::replay::{Input, Replay};
use argocd_cdevents::translate::Emission;
use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Decided otherwise than the judgement says, where that calls itself arguable; the reasons are in the mapping's comments.
const DECIDED: [(&str, u64, &str, &str); 1] = [("manual", 8, "service.rolledback", "service.upgraded")];

/// What the replay knows of when a notification came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// What was recorded.
    Recorded,
    /// Nothing: it has to go by what the body states.
    Stated,
    /// Everything came in one second, long after.
    AtOnce,
}

const CLOCKS: [Clock; 3] = [Clock::Recorded, Clock::Stated, Clock::AtOnce];

/// One recorded scenario.
struct Scenario {
    name: String,
    /// Those whose body is JSON.
    records: Vec<Value>,
    expected: Vec<Value>,
}

fn mappings() -> Mappings {
    mapping::load(&[MappingRef::Builtin { name: "argocd".into(), with: Value::Null }], None).unwrap()
}

fn scenarios() -> Vec<Scenario> {
    let Some(folder) = shared::folder("payloads/real") else { return Vec::new() };
    let folders = files(&folder).into_iter().filter(|path| path.is_dir());
    let found: Vec<Scenario> = folders.map(|folder| scenario(&folder)).collect();
    assert!(!found.is_empty());
    found
}

fn scenario(folder: &Path) -> Scenario {
    let json = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    let records = files(folder).into_iter().filter(json);
    let records = records.map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap());
    Scenario {
        name: folder.file_name().unwrap().to_string_lossy().into_owned(),
        records: records.filter(|record: &Value| record["body"].is_object()).collect(),
        expected: serde_saphyr::from_str(&std::fs::read_to_string(folder.join("expected.yaml")).unwrap()).unwrap(),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn replay<'a>(mappings: &Mappings, records: impl IntoIterator<Item = &'a Value>, clock: Clock) -> Vec<Emission> {
    let mut replay = Replay::new(mappings, SpecVersion::ALL.to_vec());
    let mut said = Vec::new();
    for record in records {
        let mut input = Input::new(record.clone());
        match clock {
            Clock::Recorded => {}
            Clock::Stated => input.received_at = None,
            Clock::AtOnce => input.received_at = Some("2026-11-23T12:00:00Z".parse().unwrap()),
        }
        let source = Source { name: "default".into(), uri: String::new(), labels: IndexMap::new() };
        let told = replay.notify(input, source).unwrap();
        said.extend(told.released.into_iter().chain(told.events));
    }
    said.extend(replay.finish());
    assert_eq!(ids(&said).len(), said.len(), "an event came twice: {:?}", kinds(&said));
    said
}

fn ids(said: &[Emission]) -> BTreeSet<&str> {
    said.iter().map(|emission| emission.event.id.as_str()).collect()
}

/// Kinds by application, in order.
fn kinds(said: &[Emission]) -> BTreeMap<String, Vec<String>> {
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for emission in said {
        let app = emission.event.custom_data.as_ref().unwrap()["argocd"]["app"].as_str().unwrap().to_owned();
        kinds.entry(app).or_default().push(emission.event.kind.clone());
    }
    kinds
}

/// Kinds by application, in order, with and without what is optional.
fn expected(scenario: &Scenario) -> [BTreeMap<String, Vec<String>>; 2] {
    let (mut must, mut may) = (BTreeMap::new(), BTreeMap::new());
    for row in &scenario.expected {
        let kind = row["type"].as_str().unwrap();
        let decided = DECIDED
            .iter()
            .find(|(name, after, decided, _)| *name == scenario.name && row["after"] == *after && *decided == kind);
        let kind = decided.map_or(kind, |(.., instead)| instead).to_owned();
        let app = row["app"].as_str().unwrap().to_owned();
        if row["optional"] != true {
            must.entry(app.clone()).or_insert_with(Vec::new).push(kind.clone());
        }
        may.entry(app).or_insert_with(Vec::new).push(kind);
    }
    [must, may]
}

#[test]
fn every_recording_gives_exactly_the_expected_events_in_order() {
    let mappings = mappings();
    for scenario in scenarios() {
        for clock in CLOCKS {
            let kinds = kinds(&replay(&mappings, &scenario.records, clock));
            assert!(expected(&scenario).contains(&kinds), "{} {clock:?}: {kinds:#?}", scenario.name);
        }
    }
}

#[test]
fn a_notification_told_twice_says_nothing_more() {
    let mappings = mappings();
    for scenario in scenarios() {
        let once = replay(&mappings, &scenario.records, Clock::Recorded);
        let twice: Vec<&Value> = scenario.records.iter().flat_map(|record| [record, record]).collect();
        let again: Vec<&Value> = scenario.records.iter().chain(&scenario.records).collect();
        for records in [twice, again] {
            assert_eq!(ids(&replay(&mappings, records, Clock::Recorded)), ids(&once), "{}", scenario.name);
        }
    }
}

#[test]
fn the_order_within_a_second_changes_no_event() {
    let mappings = mappings();
    for scenario in scenarios() {
        let once = replay(&mappings, &scenario.records, Clock::Recorded);
        for seed in 0..50 {
            let clock = CLOCKS[seed % CLOCKS.len()];
            let said = replay(&mappings, shuffled(&scenario.records, seed as u64), clock);
            assert_eq!(ids(&said), ids(&once), "{} {clock:?} with seed {seed}", scenario.name);
        }
    }
}

/// The records with those of each second in another order.
fn shuffled(records: &[Value], seed: u64) -> Vec<&Value> {
    let dice =
        |index: usize| (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ (seed << 17) ^ seed).rotate_left(23);
    let mut order: Vec<(usize, &Value)> = records.iter().enumerate().collect();
    order.sort_by_key(|(index, record)| (&record["receivedAt"].as_str().unwrap()[..19], dice(*index)));
    order.into_iter().map(|(_, record)| record).collect()
}

/// Argo CD tries again for seven seconds.
#[test]
fn notifications_that_come_up_to_seven_seconds_late_change_no_event() {
    let mappings = mappings();
    for scenario in scenarios() {
        let once = replay(&mappings, &scenario.records, Clock::Recorded);
        for seed in 0..20 {
            let said = replay(&mappings, &delayed(&scenario.records, seed), Clock::Recorded);
            assert_eq!(ids(&said), ids(&once), "{} with seed {seed}", scenario.name);
        }
    }
}

/// The records, about a third of them later than they came.
fn delayed(records: &[Value], seed: u64) -> Vec<Value> {
    let came = |record: &Value| record["receivedAt"].as_str().unwrap().parse::<Timestamp>().unwrap();
    let late = |(index, record): (usize, &Value)| {
        let dice = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ (seed << 17) ^ seed).rotate_left(23);
        let millis = if dice.is_multiple_of(3) { (dice / 3 % 7000).cast_signed() } else { 0 };
        let mut record = record.clone();
        record["receivedAt"] = (came(&record) + SignedDuration::from_millis(millis)).to_string().into();
        record
    };
    let mut records: Vec<Value> = records.iter().enumerate().map(late).collect();
    records.sort_by_key(came);
    records
}

#[test]
fn whoever_comes_to_know_applications_late_is_told_nothing_wrong() {
    let mappings = mappings();
    for scenario in scenarios() {
        let whole = replay(&mappings, &scenario.records, Clock::Recorded);
        for first in 1..scenario.records.len() {
            let said = replay(&mappings, &scenario.records[first..], Clock::Recorded);
            let wrong: Vec<_> = said.iter().filter(|event| !ids(&whole).contains(event.event.id.as_str())).collect();
            assert!(wrong.is_empty(), "{} from {}: {wrong:#?}", scenario.name, first + 1);
        }
    }
}

#[test]
fn a_notification_that_is_missing_makes_no_event_wrong_and_takes_only_its_own_with_it() {
    let mappings = mappings();
    for scenario in scenarios() {
        let whole = replay(&mappings, &scenario.records, Clock::Recorded);
        for missing in 0..scenario.records.len() {
            let without =
                |index: usize| scenario.records.iter().enumerate().filter(move |(i, _)| *i != index).map(|(_, r)| r);
            let clock = CLOCKS[missing % CLOCKS.len()];
            let said = replay(&mappings, without(missing), clock);
            let place = format!("{} {clock:?} without {}", scenario.name, missing + 1);
            let wrong: Vec<_> = ids(&said).difference(&ids(&whole)).map(|id| (*id).to_owned()).collect();
            assert!(wrong.is_empty(), "{place}: {wrong:?} of {:#?}", kinds(&said));
            // What is gone is what this one told: without all that came after it, the events up to it are the same.
            let before: Vec<&Value> = scenario.records[..missing].iter().collect();
            let until: Vec<&Value> = scenario.records[..=missing].iter().collect();
            let told_before = replay_open(&mappings, &before);
            let told_until = replay_open(&mappings, &until);
            for event in whole.iter().filter(|event| !ids(&said).contains(event.event.id.as_str())) {
                let id = event.event.id.as_str();
                let its_own = told_until.contains(id) && !told_before.contains(id);
                let opened_by_it = event.event.kind == "incident.resolved"
                    && whole.iter().any(|other| {
                        other.event.kind == "incident.detected"
                            && other.event.subject_id == event.event.subject_id
                            && told_until.contains(&other.event.id)
                            && !told_before.contains(&other.event.id)
                    });
                assert!(
                    its_own || opened_by_it,
                    "{place}: {} of {} is missing",
                    event.event.kind,
                    event.event.subject_id
                );
            }
        }
    }
}

/// Ids of what has gone out, or is held, after these records.
fn replay_open(mappings: &Mappings, records: &[&Value]) -> BTreeSet<String> {
    replay(mappings, records.iter().copied(), Clock::Recorded).into_iter().map(|emission| emission.event.id).collect()
}

/// What the stock catalog's triggers would have sent of it, each once per revision.
fn by_the_catalog(records: &[Value]) -> Vec<&Value> {
    let mut told: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    let mut sent = Vec::new();
    for record in records {
        let app = record["body"].get("app").unwrap_or(&record["body"]);
        let text = |pointer: &str| app.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (phase, health) = (text("/status/operationState/phase"), text("/status/health/status"));
        let since = text("/status/health/lastTransitionTime");
        // The catalog's on-deployed: Healthy since about the end, or since before the start.
        let deployed = phase == "Succeeded"
            && health == "Healthy"
            && (since >= text("/status/operationState/finishedAt") || since < text("/status/operationState/startedAt"));
        let conditions = [
            ("on-sync-succeeded", phase == "Succeeded"),
            ("on-sync-failed", ["Failed", "Error"].contains(&phase)),
            ("on-deployed", deployed),
            ("on-health-degraded", health == "Degraded"),
            ("on-deleted", !text("/metadata/deletionTimestamp").is_empty()),
        ];
        let revision = text("/status/operationState/syncResult/revision");
        for (trigger, _) in conditions.into_iter().filter(|(_, holds)| *holds) {
            if told.insert((text("/metadata/name"), trigger, revision)) {
                sent.push(record);
            }
        }
    }
    sent
}

#[test]
fn with_the_triggers_of_the_stock_catalog_nothing_is_wrong_and_each_new_revision_is_announced() {
    let mappings = mappings();
    for scenario in scenarios() {
        let whole = replay(&mappings, &scenario.records, Clock::Recorded);
        let sent = by_the_catalog(&scenario.records);
        let said = replay(&mappings, sent, Clock::Recorded);
        let wrong: Vec<_> = said.iter().filter(|event| !ids(&whole).contains(event.event.id.as_str())).collect();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", scenario.name);
        let is_deployment = |event: &&Emission| {
            ["service.deployed", "service.upgraded", "service.rolledback"].contains(&event.event.kind.as_str())
        };
        let deployments: Vec<&Emission> = whole.iter().filter(is_deployment).collect();
        let mut seen = BTreeSet::new();
        for (index, event) in deployments.iter().enumerate() {
            let revisions = &event.event.custom_data.as_ref().unwrap()["argocd"]["revisions"];
            let several = revisions.as_array().is_none_or(|list| list.len() > 1);
            if seen.insert((event.event.subject_id.as_str(), revisions.to_string())) && !several {
                let told = ids(&said).contains(event.event.id.as_str()) || overtaken(event, &deployments[index + 1..]);
                assert!(told, "{}: {} {revisions} is missing", scenario.name, event.event.kind);
            }
        }
    }
}

/// Whether another deployment of the same application came before this one could be told to have settled.
fn overtaken(event: &Emission, later: &[&Emission]) -> bool {
    let at = |event: &Emission| event.event.timestamp.parse::<jiff::Timestamp>().unwrap();
    let next = later.iter().find(|next| next.event.subject_id == event.event.subject_id);
    next.is_some_and(|next| at(next).as_second() - at(event).as_second() < 30)
}

#[test]
fn what_other_tools_recorded_gives_valid_events_too() {
    let Some(folder) = shared::folder("payloads/captured") else { return };
    let mappings = mappings();
    for path in files(&folder) {
        let body: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        // An event that isn't valid in both versions would be a failure.
        replay(&mappings, [&body], Clock::Recorded);
    }
}
