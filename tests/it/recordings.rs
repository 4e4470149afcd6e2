//! Recordings of a real Argo CD: exactly the events that a careful operator would expect, also when notifications come twice,
//! in another order, not at all, or all at once.

use crate::shared;
use argocd_cdevents::cdevents::SpecVersion;
use argocd_cdevents::mapping::{self, MappingRef, Mappings};
use argocd_cdevents::notification::Source;
use argocd_cdevents::replay::{Input, Replay};
use argocd_cdevents::translate::Emission;
use indexmap::IndexMap;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Decided otherwise than the judgement says, where that calls itself arguable; the reasons are in the mapping's comments.
const DECIDED: [(&str, u64, &str, &str); 1] = [("manual", 8, "service.rolledback", "service.upgraded")];

fn mappings() -> Mappings {
    mapping::load(&[MappingRef::Builtin { name: "argocd".into(), with: Value::Null }], None).unwrap()
}

fn scenarios() -> Vec<PathBuf> {
    let Some(folder) = shared::folder("payloads/real") else { return Vec::new() };
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// The records of a scenario whose body is JSON.
fn records(scenario: &Path) -> Vec<Value> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(scenario).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let records = files.iter().map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap());
    records.filter(|record: &Value| record["body"].is_object()).collect()
}

fn source() -> Source {
    Source { name: "default".into(), uri: String::new(), labels: IndexMap::new() }
}

fn replay(mappings: &Mappings, records: &[Value]) -> Vec<Emission> {
    let mut replay = Replay::new(mappings, SpecVersion::ALL.to_vec());
    let mut said = Vec::new();
    for record in records {
        let told = replay.notify(Input::new(record.clone()), source()).unwrap();
        said.extend(told.released.into_iter().chain(told.events));
    }
    said.extend(replay.finish());
    said
}

fn app(emission: &Emission) -> String {
    emission.event.custom_data.as_ref().unwrap()["argocd"]["app"].as_str().unwrap().to_owned()
}

fn ids(said: &[Emission]) -> Vec<String> {
    said.iter().map(|emission| emission.event.id.clone()).collect()
}

/// Kinds by application, in order; what is optional is there only in the second.
fn expected(scenario: &Path) -> (BTreeMap<String, Vec<String>>, BTreeMap<String, Vec<String>>) {
    let name = scenario.file_name().unwrap().to_str().unwrap();
    let text = std::fs::read_to_string(scenario.join("expected.yaml")).unwrap();
    let rows: Vec<Value> = serde_saphyr::from_str(&text).unwrap();
    let (mut must, mut may) = (BTreeMap::new(), BTreeMap::new());
    for row in rows {
        let kind = row["type"].as_str().unwrap();
        let decided = DECIDED.iter().find(|(s, after, k, _)| *s == name && row["after"] == *after && *k == kind);
        let kind = decided.map_or(kind, |(.., instead)| instead).to_owned();
        let app = row["app"].as_str().unwrap().to_owned();
        if row["optional"] != true {
            must.entry(app.clone()).or_insert_with(Vec::new).push(kind.clone());
        }
        may.entry(app).or_insert_with(Vec::new).push(kind);
    }
    (must, may)
}

#[test]
fn every_recording_gives_exactly_the_expected_events_in_order() {
    let mappings = mappings();
    for scenario in scenarios() {
        let said = replay(&mappings, &records(&scenario));
        let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for emission in &said {
            kinds.entry(app(emission)).or_default().push(emission.event.kind.clone());
        }
        let (must, may) = expected(&scenario);
        assert!(kinds == must || kinds == may, "{}: {kinds:#?}", scenario.display());
    }
}

#[test]
fn a_notification_told_twice_says_nothing_more() {
    let mappings = mappings();
    for scenario in scenarios() {
        let records = records(&scenario);
        let twice: Vec<Value> = records.iter().flat_map(|record| [record.clone(), record.clone()]).collect();
        assert_eq!(ids(&replay(&mappings, &twice)), ids(&replay(&mappings, &records)), "{}", scenario.display());
    }
}

#[test]
fn the_order_within_a_second_changes_no_event() {
    let mappings = mappings();
    for scenario in scenarios() {
        let records = records(&scenario);
        let once: BTreeSet<String> = ids(&replay(&mappings, &records)).into_iter().collect();
        for seed in 0..50_u64 {
            let mut shuffled = records.clone();
            let dice = |index: usize| {
                (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ (seed << 17) ^ seed).rotate_left(23)
            };
            let order: BTreeMap<(String, u64), Value> = shuffled
                .drain(..)
                .enumerate()
                .map(|(index, record)| ((record["receivedAt"].as_str().unwrap()[..19].to_owned(), dice(index)), record))
                .collect();
            let shuffled: Vec<Value> = order.into_values().collect();
            let said = ids(&replay(&mappings, &shuffled));
            let all: BTreeSet<String> = said.iter().cloned().collect();
            assert_eq!((said.len(), &all), (once.len(), &once), "{} with seed {seed}", scenario.display());
        }
    }
}

#[test]
fn a_notification_that_is_missing_makes_no_event_wrong() {
    let mappings = mappings();
    for scenario in scenarios() {
        let records = records(&scenario);
        let whole = replay(&mappings, &records);
        for missing in 0..records.len() {
            let rest: Vec<Value> = records
                .iter()
                .enumerate()
                .filter(|(index, _)| *index != missing)
                .map(|(_, record)| record.clone())
                .collect();
            let said = replay(&mappings, &rest);
            let place = format!("{} without {}", scenario.display(), missing + 1);
            for emission in &said {
                assert!(whole.iter().any(|known| known.event.id == emission.event.id), "{place}: {:?}", emission.event);
            }
            // What is gone is what this one told of its own operation or transition, and what closes it.
            let gone = whole.iter().filter(|known| !said.iter().any(|one| one.event.id == known.event.id)).count();
            assert!(gone <= 3, "{place}: {gone} events are missing");
        }
    }
}

#[test]
fn a_recording_that_comes_all_at_once_gives_the_same_events() {
    let mappings = mappings();
    for scenario in scenarios() {
        let records = records(&scenario);
        let at_once: Vec<Value> = records
            .iter()
            .map(|record| {
                let mut record = record.clone();
                record["receivedAt"] = "2026-11-23T12:00:00Z".into();
                record
            })
            .collect();
        assert_eq!(ids(&replay(&mappings, &at_once)), ids(&replay(&mappings, &records)), "{}", scenario.display());
    }
}

#[test]
fn what_other_tools_recorded_gives_valid_events_too() {
    let Some(folder) = shared::folder("payloads/captured") else { return };
    let mappings = mappings();
    for entry in std::fs::read_dir(folder).unwrap() {
        let body: Value = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        // An event that isn't valid in both versions would be a failure.
        replay(&mappings, &[body]);
    }
}
