//! Writes what really came into a test file, in place of what was expected.

use super::Outcome;
use serde_json::{Value, json};
use std::fmt::Write;

/// The text of a test file with the expectations of `outcomes` that differ replaced, and how many were.
///
/// An expectation is rewritten as the list of what came, each event with its type, subject's id and timestamp, or whole below
/// `exactly`. What stands in flow style (`{…}`) on one line with its step can't be, and is left as it is.
#[must_use]
pub fn update(text: &str, outcomes: &[Outcome]) -> (String, usize) {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut edits: Vec<(usize, &[Value])> = Vec::new();
    for actual in outcomes.iter().flat_map(|outcome| &outcome.actual).filter(|actual| actual.differs) {
        edits.push((actual.line, &actual.documents));
    }
    edits.sort_by_key(|(line, _)| std::cmp::Reverse(*line));
    let updated = edits.into_iter().filter(|(line, documents)| replace(&mut lines, *line, documents)).count();
    (lines.join("\n") + "\n", updated)
}

/// Replaces the block whose key stands in or just above `line` (1-based).
fn replace(lines: &mut Vec<String>, line: usize, documents: &[Value]) -> bool {
    let above = (0..line.min(lines.len())).rev().find(|index| key_of(&lines[*index]).is_some());
    let Some((start, (depth, key))) = above.and_then(|index| Some((index, key_of(&lines[index])?))) else {
        return false;
    };
    let end = (start + 1..lines.len())
        .find(|index| {
            let line = &lines[*index];
            let indent = line.len() - line.trim_start().len();
            let item = line.trim_start().starts_with('-');
            !line.trim().is_empty() && (indent < depth || (indent == depth && !item))
        })
        .unwrap_or(lines.len());
    // Blank lines behind a block belong to what follows.
    let end = (start + 1..=end).rev().find(|end| !lines[end - 1].trim().is_empty()).unwrap_or(start + 1);
    let block = render(depth, key, documents);
    lines.splice(start..end, block);
    true
}

/// The column and name of an expectation's key, when the line begins with it.
fn key_of(line: &str) -> Option<(usize, &'static str)> {
    let indent = line.len() - line.trim_start().len();
    let key = ["expect", "exactly"].into_iter().find(|key| line.trim_start().starts_with(&format!("{key}:")))?;
    Some((indent, key))
}

fn render(depth: usize, key: &str, documents: &[Value]) -> Vec<String> {
    if documents.is_empty() {
        return vec![format!("{:depth$}{key}: []", "")];
    }
    let mut block = vec![format!("{:depth$}{key}:", "")];
    for document in documents {
        let event = if key == "exactly" { document.clone() } else { summary(document) };
        let mut line = String::new();
        // JSON is YAML.
        let _ = write!(line, "{:depth$}  - {event}", "");
        block.push(line);
    }
    block
}

fn summary(document: &Value) -> Value {
    let context = &document["context"];
    let kind = crate::cdevents::Event::read(document, crate::cdevents::SpecVersion::NEWEST).map(|event| event.kind);
    json!({
        "type": kind.map_or_else(|| context["type"].clone(), Value::from),
        "subject": {"id": document["subject"]["id"]},
        "context": {"timestamp": context["timestamp"]},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::Actual;
    use std::time::Duration;

    fn outcome(line: usize, documents: Vec<Value>) -> Outcome {
        let actual = vec![Actual { line, differs: true, documents }];
        Outcome { file: "a".into(), case: "b".into(), failures: Vec::new(), took: Duration::ZERO, actual }
    }

    #[test]
    fn only_the_expectation_that_differs_is_rewritten() {
        let text = "cases:\n  - name: a\n    steps:\n      - notify: x\n        expect:\n          - type: old\n            subject: {id: s}\n      - notify: y\n        expect: []\n";
        let (updated, count) = update(text, &[outcome(6, vec![])]);
        assert_eq!(count, 1);
        assert_eq!(
            updated,
            "cases:\n  - name: a\n    steps:\n      - notify: x\n        expect: []\n      - notify: y\n        expect: []\n"
        );
        let event = json!({"context": {"type": "t", "timestamp": "z"}, "subject": {"id": "s"}});
        let (updated, _) = update(text, &[outcome(9, vec![event])]);
        assert!(updated.ends_with("        expect:\n          - {\"type\":\"t\",\"subject\":{\"id\":\"s\"},\"context\":{\"timestamp\":\"z\"}}\n"), "{updated}");
    }
}
