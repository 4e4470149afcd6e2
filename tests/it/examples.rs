//! What the documentation shows is run or loaded here, so that it can't lie.

use crate::support::{program, run};
use argocd_cdevents::config::{self, Flags};
use argocd_cdevents::mapping;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tempfile::tempdir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Fenced blocks of a language in a document.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(document)).unwrap();
    let fence = format!("```{language}\n");
    let found: Vec<String> =
        text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect();
    assert!(!found.is_empty(), "{document} has no {language}");
    found
}

#[test]
fn every_mapping_in_the_documentation_loads_and_every_test_passes() {
    let directory = root().join("target/doc-examples");
    std::fs::create_dir_all(&directory).unwrap();
    for (index, text) in blocks("docs/mapping.md", "yaml").iter().enumerate() {
        if text.contains("kind: MappingTest") {
            // Beside docs/, so that relative paths are those of the document.
            let text = text.replace("../tests/payloads", root().join("tests/payloads").to_str().unwrap());
            let path = directory.join(format!("{index}.test.yaml"));
            std::fs::write(&path, text).unwrap();
            let output = run(&["test", path.to_str().unwrap()]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        } else {
            let loaded = mapping::load_text("docs/mapping.md", text, &Value::Null, &BTreeMap::new());
            assert!(loaded.is_ok(), "{}", loaded.unwrap_err());
        }
    }
}

#[test]
fn the_built_in_mapping_passes_its_tests_and_they_reach_all_of_it() {
    let output = run(&["test", root().join("mappings").to_str().unwrap(), "--coverage"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("100 % of rules and fields"), "{text}");
}

#[test]
fn every_documented_setting_is_known() {
    let dir = tempdir().unwrap();
    for document in ["docs/configuration.md", "README.md"] {
        for text in blocks(document, "yaml") {
            let path = dir.path().join("config.yaml");
            let text = text.replace("{file: secrets/old-token}", "{env: OLD}");
            std::fs::write(&path, text).unwrap();
            for name in ["PROD_EU_TOKEN", "OLD", "LEGACY_PASSWORD", "CI_TOKEN", "CDVIZ_TOKEN"] {
                assert!(std::env::var_os(name).is_none());
            }
            // Secrets aren't there; that's the only fault there may be.
            let faults = match config::load(Some(&path), [], &Flags::default()) {
                Ok(_) => Vec::new(),
                Err(config::Faults(faults)) => faults,
            };
            assert!(faults.iter().all(|fault| matches!(fault, config::Fault::Secret { .. })), "{document}: {faults:?}");
        }
    }
}

#[test]
fn the_readme_shows_the_event_that_its_payload_makes() {
    let payload = root().join("tests/payloads/first-deployment/03-healthy.json");
    let output = run(&["translate", payload.to_str().unwrap()]);
    let said: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown: Value = blocks("README.md", "json")
        .iter()
        .find_map(|text| serde_json::from_str(text).ok().filter(|v: &Value| v.get("context").is_some()))
        .unwrap();
    assert_eq!(said.last(), Some(&shown));
}

#[test]
fn every_document_that_is_linked_is_there() {
    let documents = [
        "README.md",
        "docs/mapping.md",
        "docs/argocd.md",
        "docs/configuration.md",
        "docs/operations.md",
        "docs/ARCHITECTURE.md",
    ];
    for document in documents {
        let path = root().join(document);
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if !target.is_empty() && !target.contains("://") {
                assert!(path.parent().unwrap().join(target).exists(), "{document} links to {link}");
            }
        }
    }
}

#[test]
fn translate_explains_and_compares() {
    let payload = root().join("tests/payloads/first-deployment/03-healthy.json");
    let payload = payload.to_str().unwrap();
    let explained = run(&["translate", payload, "--explain"]);
    let text = String::from_utf8(explained.stderr).unwrap();
    assert!(text.contains("+ service-deployed"), "{text}");
    assert!(text.contains("- incident-detected: `degraded` doesn't hold: degraded is false"), "{text}");

    let same = run(&["translate", payload, "--against", root().join("mappings").join("argocd.yaml").to_str().unwrap()]);
    assert_eq!((same.status.code(), String::from_utf8(same.stdout).unwrap().as_str()), (Some(0), "no difference\n"));

    let dir = tempdir().unwrap();
    let changed = dir.path().join("changed.yaml");
    let text = std::fs::read_to_string(root().join("mappings/argocd.yaml")).unwrap();
    std::fs::write(&changed, text.replace("taskName: \"sync {{argo.app.name}}\"", "taskName: other")).unwrap();
    let differs = run(&["translate", payload, "--against", changed.to_str().unwrap()]);
    let text = String::from_utf8(differs.stdout).unwrap();
    assert_eq!(differs.status.code(), Some(1));
    assert!(text.contains("/subject/content/taskName: \"other\" -> \"sync pear\""), "{text}");
}

#[test]
fn validate_tells_every_error_of_every_line() {
    use std::io::Write;
    use std::process::Stdio;
    let mut child = program().args(["validate", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let payload = root().join("tests/payloads/first-deployment/03-healthy.json");
    let good = run(&["translate", payload.to_str().unwrap()]).stdout;
    child.stdin.take().unwrap().write_all(&[&good[..], b"{\"context\":{},\"subject\":{}}\n"].concat()).unwrap();
    let output = child.wait_with_output().unwrap();
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(output.status.code(), Some(1));
    assert!(lines[..2].iter().all(|line| line["valid"] == true), "{lines:?}");
    assert_eq!(lines[2]["valid"], false);
    assert!(lines[2]["errors"].as_array().unwrap().len() > 2);
}

#[test]
fn check_tells_all_faults_and_exits_with_one() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("bad.yaml");
    std::fs::write(&path, "apiVersion: argocd-cdevents/v1\nkind: Mapping\nmetadata: {name: bad}\nspec:\n  key: argo.app.kee\n  rule: []\n").unwrap();
    let output = run(&["check", path.to_str().unwrap()]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("did you mean `rules`?") && text.contains("did you mean `key`?") && text.contains("bad.yaml:5"),
        "{text}"
    );
    assert_eq!(run(&["test", dir.path().to_str().unwrap()]).status.code(), Some(1), "a run of no case is a failure");
}
