//! JSON Schema of mapping files, for editors.

use crate::cdevents::SpecVersion;
use crate::cdevents::vocabulary;
use serde_json::{Value, json};

/// JSON Schema (2020-12) of a mapping file.
#[must_use]
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "argocd-cdevents mapping",
        "type": "object",
        "additionalProperties": false,
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": "argocd-cdevents/v1"},
            "kind": {"const": "Mapping"},
            "metadata": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
            "spec": {
                "type": "object",
                "additionalProperties": false,
                "required": ["key", "rules"],
                "properties": {
                    "parameters": {"type": "object"},
                    "accept": cel("which notifications this mapping reads"),
                    "key": cel("what a notification is about"),
                    "let": {"type": "object", "additionalProperties": cel("a named value")},
                    "defaults": emit(),
                    "rules": {"type": "array", "items": rule()},
                }
            }
        }
    })
}

fn cel(description: &str) -> Value {
    json!({"type": "string", "description": format!("CEL: {description}")})
}

fn rule() -> Value {
    let names = || json!({"type": "array", "items": {"type": "string"}});
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "description": {"type": "string"},
            "when": {"type": ["string", "boolean"], "description": "CEL: whether the rule matches"},
            "forEach": cel("a list; the rule runs for each `item`"),
            "emit": emit(),
            "remember": {"type": "object"},
            "forget": names(),
            "drop": names(),
            "stop": {"type": "boolean"},
            "hold": cel("how long the event waits"),
            "as": {"type": "string", "description": "name by which it can be dropped"},
        }
    })
}

fn emit() -> Value {
    let kinds: Vec<&str> = vocabulary::kinds(SpecVersion::NEWEST).iter().map(|kind| kind.kind.as_str()).collect();
    let text = || json!({"type": ["string", "object"]});
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "type": {"anyOf": [{"enum": kinds}, {"type": "string", "pattern": "^dev\\.cdeventsx\\."}]},
            "id": text(),
            "occurrence": text(),
            "timestamp": text(),
            "source": text(),
            "chainId": text(),
            "schemaUri": text(),
            "links": {"type": "array"},
            "subject": {
                "type": "object",
                "additionalProperties": false,
                "properties": {"id": text(), "source": text(), "content": {"type": "object"}}
            },
            "customData": {"type": ["object", "string"]},
            "customDataContentType": text(),
            "hold": cel("how long the event waits"),
            "as": {"type": "string"},
        }
    })
}
