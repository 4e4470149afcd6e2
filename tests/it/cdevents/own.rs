//! Verdicts on documents of our own, which need nothing from outside the project.

use argocd_cdevents::cdevents::{SpecVersion, validate};
use serde_json::{Value, json};

/// `/path: part of the message`, for each error, in order.
fn errors(document: &Value) -> Vec<String> {
    validate(document).errors.into_iter().map(|f| format!("{}: {}", f.path, f.message)).collect()
}

fn warnings(document: &Value) -> Vec<String> {
    validate(document).warnings.into_iter().map(|w| format!("{} {}", w.kind.as_str(), w.path)).collect()
}

fn deployed() -> Value {
    json!({
        "context": {
            "specversion": "0.5.1", "id": "8f14e45f-ea5c-4b6e-9d1c-2f6f1c3a7f10", "source": "https://argocd.example.com",
            "type": "dev.cdevents.service.deployed.0.3.0", "timestamp": "2026-01-05T10:00:00Z",
        },
        "subject": {"id": "argocd/guestbook", "content": {
            "environment": {"id": "prod", "source": "https://k8s.example.com"},
            "artifactId": "pkg:oci/guestbook@sha256%3Aab12?tag=v1",
        }},
        "customData": {"argocd": {"app": "guestbook"}},
    })
}

fn deployed_in_0_4_1() -> Value {
    let mut document = deployed();
    document["context"].as_object_mut().unwrap().shift_remove("specversion");
    document["context"]["version"] = json!("0.4.1");
    document["context"]["type"] = json!("dev.cdevents.service.deployed.0.2.0");
    document["subject"]["type"] = json!("service");
    document
}

/// Changes what is at `place`, or puts it there; `null` removes it.
fn changed(mut document: Value, place: &str, value: Value) -> Value {
    let (parent, name) = place.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Value::Null => drop(parent.shift_remove(name)),
        value => drop(parent.insert(name.to_owned(), value)),
    }
    document
}

#[test]
fn sound_documents_have_neither_errors_nor_warnings() {
    for (spec, document) in [(SpecVersion::V0_5_1, deployed()), (SpecVersion::V0_4_1, deployed_in_0_4_1())] {
        let report = validate(&document);
        assert_eq!((report.spec, report.errors, report.warnings), (spec, vec![], vec![]));
    }
}

#[test]
fn every_error_comes_at_once_with_its_place_and_what_to_do() {
    let broken = json!({
        "context": {
            "specversion": "0.5.1", "id": "", "source": "a b", "type": "dev.cdevents.service.deployed.0.3.0",
            "timestamp": "2026-01-05 10:00", "schemaUri": "no uri", "links": [{"linkType": "PATH"}, {"linkType": "NEXT"}],
        },
        "subject": {"id": 7, "content": {"enviroment": {"id": "prod"}, "artifactId": null}},
        "customData": [],
        "more/or~less": 1,
    });
    let wanted = [
        ("/context/id", "must not be empty"),
        ("/context/source", "percent-encoded"),
        ("/context/timestamp", "RFC 3339"),
        ("/context/schemaUri", "with a scheme"),
        ("/context/links/0/from", "is missing"),
        ("/context/links/1/linkType", "must be `RELATION`, `PATH` or `END`"),
        ("/subject/id", "must be a string, but is a number"),
        ("/subject/content/enviroment", "did you mean `environment`?"),
        ("/subject/content/artifactId", "must be a string, but is null"),
        ("/subject/content/environment", "is missing"),
        ("/customData", "must be an object or a string, but is an array"),
        ("/more~1or~0less", "unknown field; known here: `context`, `subject`, `customData` or `customDataContentType`"),
    ];
    let errors = errors(&broken);
    assert_eq!(errors.len(), wanted.len(), "{errors:#?}");
    for (error, (path, part)) in errors.iter().zip(wanted) {
        assert!(error.starts_with(&format!("{path}: ")) && error.contains(part), "{error} should be {path}: …{part}…");
    }
}

#[test]
fn one_change_makes_one_error_in_either_version() {
    let long = "é".repeat(9_000);
    let cases = [
        ("/context/id", json!(""), "must not be empty"),
        ("/context/id", Value::Null, "is missing"),
        ("/context/source", json!(""), "must not be empty"),
        ("/context/source", json!("%zz"), "percent-encoded"),
        ("/context/source", json!("\t"), "percent-encoded"),
        ("/context/source", json!("http://[::1"), "percent-encoded"),
        ("/context/source", json!(":"), "percent-encoded"),
        ("/context/source", json!("://"), "percent-encoded"),
        ("/context/source", json!(long), "percent-encoded"),
        ("/context/timestamp", json!("2026-01-05T24:00:00Z"), "RFC 3339"),
        ("/context/timestamp", json!("2026-01-05T10:00:60Z"), "RFC 3339"),
        ("/context/timestamp", json!("2026-01-05T10:00:00+24:00"), "RFC 3339"),
        ("/context/timestamp", json!("2026-01-05T10:00:00"), "RFC 3339"),
        ("/context/timestamp", json!("2026-01-05T10:00:00.Z"), "RFC 3339"),
        ("/context/timestamp", json!("2026-02-29T10:00:00Z"), "RFC 3339"),
        ("/context/schemaUri", json!("/relative"), "with a scheme"),
        ("/context/chainId", json!(""), "must not be empty"),
        ("/context/links", json!({}), "must be an array"),
        ("/context/type", json!(5), "must be a string"),
        ("/subject/source", json!("a b"), "percent-encoded"),
        ("/subject/content", json!([]), "must be an object"),
        ("/subject/content/artifactId", json!(""), "must not be empty"),
        ("/subject/content/environment", json!("prod"), "must be an object"),
        ("/subject/content/environment/id", Value::Null, "is missing"),
        ("/subject/content/environment/name", json!("prod"), "unknown field"),
        ("/customDataContentType", json!(1), "must be a string"),
        ("/customData", json!(true), "an object or a string"),
    ];
    for document in [deployed(), deployed_in_0_4_1()] {
        for (place, value, part) in &cases {
            let errors = errors(&changed(document.clone(), place, value.clone()));
            assert_eq!(errors.len(), 1, "{place} = {value}: {errors:?}");
            assert!(errors[0].starts_with(&format!("{place}: ")) && errors[0].contains(part), "{} …{part}…", errors[0]);
            assert!(errors[0].len() < 300);
        }
    }
}

#[test]
fn what_lies_just_inside_the_edges_is_valid() {
    let cases = [
        ("/context/id", json!(" ")),
        ("/context/source", json!("a")),
        ("/context/source", json!("//[::1]:/?#")),
        ("/context/source", json!("http://a/%20")),
        ("/context/timestamp", json!("2026-01-05t10:00:00.123456789012z")),
        ("/context/timestamp", json!("2026-01-06T00:59:60+01:00")),
        ("/context/timestamp", json!("2024-02-29T23:59:59-23:59")),
        ("/context/specversion", json!("anything")),
        ("/context/chainId", json!("no uuid")),
        ("/context/schemaUri", json!("a:")),
        ("/context/links", json!([])),
        (
            "/context/links",
            json!([{"linkType": "END"}, {"linkType": "RELATION", "linkKind": "a", "target": {"more": 1}}]),
        ),
        ("/customData", json!("no base64 !")),
        ("/customDataContentType", json!("")),
    ];
    for (place, value) in cases {
        assert_eq!(errors(&changed(deployed(), place, value.clone())), [""; 0], "{place} = {value}");
    }
}

#[test]
fn types_tell_which_version_they_should_have() {
    let older = changed(deployed(), "/context/type", json!("dev.cdevents.service.deployed.0.2.0"));
    let wanted =
        "must be `dev.cdevents.service.deployed.0.3.0` in CDEvents 0.5.1, but is `dev.cdevents.service.deployed.0.2.0`";
    assert_eq!(errors(&older), [format!("/context/type: {wanted}")]);
    let slip = changed(deployed(), "/context/type", json!("dev.cdevents.service.deploid.0.3.0"));
    assert_eq!(
        errors(&slip),
        ["/context/type: CDEvents 0.5.1 has no type `dev.cdevents.service.deploid.0.3.0`; \
          did you mean `dev.cdevents.service.deployed.0.3.0`?"]
    );
    let custom = changed(deployed(), "/context/type", json!("dev.cdeventsx.mytool.created.0.1.0"));
    assert!(errors(&custom)[0].contains("<tool>-<subject>"));
}

#[test]
fn what_is_no_object_is_invalid_and_nothing_panics() {
    for document in [json!(null), json!([]), json!("a"), json!(1), json!({}), json!({"context": 1, "subject": []})] {
        assert!(!validate(&document).is_valid(), "{document}");
    }
}

#[test]
fn likely_mistakes_are_warnings_and_change_no_verdict() {
    let cases = [
        ("/subject/content/artifactId", json!("guestbook:v1"), "purl /subject/content/artifactId"),
        ("/context/chainId", json!("chain 1"), "chain-id /context/chainId"),
        ("/context/source", json!("/argocd"), "source /context/source"),
        ("/context/specversion", json!("0.6.0"), "spec-version /context/specversion"),
        ("/context/id", json!("a b"), "header /context/id"),
        ("/subject/id", json!("größe"), "header /subject/id"),
        ("/context/source", json!("https://a/%20"), "header /context/source"),
    ];
    for (place, value, wanted) in cases {
        let document = changed(deployed(), place, value);
        assert_eq!(warnings(&document), [wanted]);
        assert!(validate(&document).is_valid());
    }
}
