//! What was expected beside what came, and where they differ.

use crate::cdevents;
use serde_json::Value;
use std::fmt;

/// One difference between what was expected and what came.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    /// An event was expected, and none came in its place.
    Missing {
        /// 0-based position among the step's events.
        index: usize,
        /// As written.
        expected: Value,
    },
    /// An event came that nobody expected.
    Unexpected {
        /// 0-based position among the step's events.
        index: usize,
        /// Its type.
        kind: String,
        /// Its subject's id.
        subject: String,
    },
    /// A field has another value.
    Field {
        /// 0-based position among the step's events.
        index: usize,
        /// JSON pointer into the document.
        path: String,
        /// As written; absent: nothing should be there.
        expected: Option<Value>,
        /// As it came; absent: nothing is there.
        actual: Option<Value>,
    },
}

/// Everything that differs, in order.
pub(super) fn differences(expected: &[Value], documents: &[Value], exactly: bool) -> Vec<Difference> {
    let mut found = Vec::new();
    for index in 0..expected.len().max(documents.len()) {
        match (expected.get(index), documents.get(index)) {
            (Some(expected), Some(document)) => event(index, expected, document, exactly, &mut found),
            (Some(expected), None) => found.push(Difference::Missing { index, expected: expected.clone() }),
            (None, Some(document)) => {
                let subject = document["subject"]["id"].as_str().unwrap_or_default().to_owned();
                found.push(Difference::Unexpected { index, kind: kind_of(document), subject });
            }
            (None, None) => {}
        }
    }
    found
}

/// `service.deployed` of a document, or its whole custom type.
fn kind_of(document: &Value) -> String {
    let event = cdevents::Event::read(document, cdevents::SpecVersion::NEWEST);
    event.map_or_else(|| document["context"]["type"].as_str().unwrap_or_default().to_owned(), |event| event.kind)
}

fn event(index: usize, expected: &Value, document: &Value, exactly: bool, found: &mut Vec<Difference>) {
    let mut expected = expected.clone();
    if let Some(wanted) = expected.as_object_mut().and_then(|fields| fields.shift_remove("type")) {
        let kind = Value::from(kind_of(document));
        if wanted != kind && wanted != document["context"]["type"] {
            found.push(Difference::Field {
                index,
                path: "/type".to_owned(),
                expected: Some(wanted),
                actual: Some(kind),
            });
        }
    }
    fields(index, &expected, document, exactly, &mut String::new(), found);
}

fn fields(
    index: usize,
    expected: &Value,
    actual: &Value,
    exactly: bool,
    path: &mut String,
    found: &mut Vec<Difference>,
) {
    let differ = |path: &str, expected: Option<&Value>, actual: Option<&Value>| Difference::Field {
        index,
        path: path.to_owned(),
        expected: expected.cloned(),
        actual: actual.cloned(),
    };
    let (Value::Object(wanted), Value::Object(there)) = (expected, actual) else {
        if expected != actual {
            found.push(differ(path, Some(expected), Some(actual)));
        }
        return;
    };
    for (key, value) in wanted {
        let length = path.len();
        path.push('/');
        path.push_str(&key.replace('~', "~0").replace('/', "~1"));
        match there.get(key) {
            Some(inner) => fields(index, value, inner, exactly, path, found),
            // `field: null` says that it must not be there.
            None if value.is_null() => {}
            None => found.push(differ(path, Some(value), None)),
        }
        path.truncate(length);
    }
    for (key, value) in there.iter().filter(|(key, _)| exactly && !wanted.contains_key(*key)) {
        found.push(differ(&format!("{path}/{key}"), None, Some(value)));
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { index, expected } => {
                write!(f, "event {}: expected {expected}, and nothing came", index + 1)
            }
            Self::Unexpected { index, kind, subject } => {
                write!(f, "event {}: {kind} of {subject} came, and nothing was expected", index + 1)
            }
            Self::Field { index, path, expected, actual } => {
                let side = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
                write!(f, "event {}, {path}:\n  - {}\n  + {}", index + 1, side(expected), side(actual))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document() -> Value {
        json!({
            "context": {"specversion": "0.5.1", "id": "1", "source": "/a", "type": "dev.cdevents.service.removed.0.3.0",
                        "timestamp": "2026-01-01T00:00:00Z"},
            "subject": {"id": "s", "content": {"environment": {"id": "e"}}}
        })
    }

    #[test]
    fn only_named_fields_are_compared() {
        let expected = [json!({"type": "service.removed", "subject": {"id": "s"}})];
        assert_eq!(differences(&expected, &[document()], false), []);
    }

    #[test]
    fn exactly_compares_all() {
        let found = differences(&[json!({"subject": {"id": "s"}})], &[document()], true);
        assert!(found.iter().any(|d| matches!(d, Difference::Field { path, .. } if path == "/context")), "{found:?}");
        assert_eq!(differences(&[document()], &[document()], true), []);
    }

    #[test]
    fn what_is_wrong_missing_or_too_much_is_told() {
        let other = json!({"type": "service.deployed", "subject": {"id": "t", "source": "/b"}});
        let found = differences(std::slice::from_ref(&other), &[document()], false);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(matches!(differences(&[other], &[], false)[..], [Difference::Missing { index: 0, .. }]));
        assert!(
            matches!(&differences(&[], &[document()], false)[..], [Difference::Unexpected { kind, .. }] if kind == "service.removed")
        );
    }
}
