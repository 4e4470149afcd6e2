//! Many documents, one verdict each: what the `validate` command prints.
//!
//! Promises a verdict for everything in the input, readable or not, and that a broken document costs its neighbours
//! nothing.

use super::{CustomSchemas, Fault, Report, SpecVersion, Warning, WarningKind, links_to_nothing, validate, validate_as};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashSet;
use std::io::{self, BufRead};

/// How documents are judged, and the ids that were seen so far.
#[derive(Debug, Default)]
pub struct Judge {
    spec: Option<SpecVersion>,
    deny: Vec<WarningKind>,
    schemas: CustomSchemas,
    seen: HashSet<String>,
}

/// What came of one document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The line it begins in, from 1.
    pub line: usize,
    /// Whether it's free of errors.
    pub valid: bool,
    /// `context.type`, if there is one.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// The version that it was judged by; absent when it's no JSON.
    #[serde(rename = "specVersion", skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub spec: Option<SpecVersion>,
    /// What makes it invalid, warnings that are denied among it.
    pub errors: Vec<Fault>,
    /// What is likely wrong.
    pub warnings: Vec<Warning>,
}

fn as_text<S: serde::Serializer>(spec: &Option<SpecVersion>, serializer: S) -> Result<S::Ok, S::Error> {
    spec.map(SpecVersion::as_str).serialize(serializer)
}

impl Judge {
    /// One that judges by `spec`, or by what each document says of itself; that takes warnings of the kinds in `deny`
    /// for errors; and that holds documents against the users' `schemas` as well.
    #[must_use]
    pub fn new(spec: Option<SpecVersion>, deny: Vec<WarningKind>, schemas: CustomSchemas) -> Self {
        Self { spec, deny, schemas, seen: HashSet::new() }
    }

    /// Judges what [`documents`] found in a line. Links may point to documents that this judge saw before.
    pub fn judge(&mut self, line: usize, document: &Result<Value, serde_json::Error>) -> Verdict {
        let document = match document {
            Ok(document) => document,
            Err(error) => return unreadable(line, error),
        };
        let report = self.spec.map_or_else(|| validate(document), |spec| validate_as(document, spec));
        let Report { spec, type_name, mut errors, mut warnings } = report;
        errors.extend(self.schemas.validate(document));
        if let Some(id) = document.pointer("/context/id").and_then(Value::as_str) {
            self.seen.insert(id.to_owned());
        }
        warnings.extend(links_to_nothing(document, |id| self.seen.contains(id)));
        let denied = warnings.extract_if(.., |w| self.deny.contains(&w.kind));
        errors.extend(denied.map(|w| Fault { path: w.path, message: w.message }));
        Verdict { line, valid: errors.is_empty(), type_name, spec: Some(spec), errors, warnings }
    }
}

fn unreadable(line: usize, error: &serde_json::Error) -> Verdict {
    let message = if error.is_eof() {
        "isn't a JSON document: it ends before it's complete".to_owned()
    } else {
        // The library counts lines within the document.
        let at = line + error.line().saturating_sub(1);
        format!("isn't a JSON document: {} at line {at}, column {}", reason(error), error.column())
    };
    let errors = vec![Fault { path: String::new(), message }];
    Verdict { line, valid: false, type_name: None, spec: None, errors, warnings: Vec::new() }
}

fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

/// The JSON documents of `input`, each with the line it begins in: one a line, or one over several lines, as people and
/// tools write them. One that is broken ends where its brackets close, or before a line that looks like another.
pub fn documents<R: BufRead>(input: R) -> impl Iterator<Item = io::Result<(usize, Result<Value, serde_json::Error>)>> {
    let mut lines = Lines { input, ahead: None, at: 0 };
    std::iter::from_fn(move || lines.document().transpose())
}

struct Lines<R> {
    input: R,
    /// A line that was read to see whether it belongs to the document before it.
    ahead: Option<Vec<u8>>,
    /// Lines given out.
    at: usize,
}

impl<R: BufRead> Lines<R> {
    fn document(&mut self) -> io::Result<Option<(usize, Result<Value, serde_json::Error>)>> {
        let Some(mut text) = self.first()? else { return Ok(None) };
        let begun_at = self.at;
        let mut brackets = Brackets::default();
        brackets.read(&text);
        while brackets.open > 0 {
            match self.next()? {
                Some(line) if !goes_on(&line) => {
                    self.ahead = Some(line);
                    self.at -= 1;
                    break;
                }
                Some(line) => {
                    brackets.read(&line);
                    text.extend_from_slice(&line);
                }
                None => break,
            }
        }
        Ok(Some((begun_at, serde_json::from_slice(&text))))
    }

    /// The next line that isn't blank.
    fn first(&mut self) -> io::Result<Option<Vec<u8>>> {
        while let Some(mut line) = self.next()? {
            let mark = "\u{feff}".as_bytes();
            if self.at == 1 && line.starts_with(mark) {
                line.drain(..mark.len());
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = self.ahead.take().unwrap_or_default();
        if line.is_empty() {
            self.input.read_until(b'\n', &mut line)?;
        }
        self.at += usize::from(!line.is_empty());
        Ok(Some(line).filter(|l| !l.is_empty()))
    }
}

/// Whether a line can be the next of a document over several lines: it's indented, or a member or an end stands there.
fn goes_on(line: &[u8]) -> bool {
    line.first().is_some_and(|b| b.is_ascii_whitespace() || matches!(b, b'"' | b'}' | b']' | b','))
}

/// How many brackets are open, strings aside. No string of JSON goes on in the next line.
#[derive(Default)]
struct Brackets {
    open: usize,
}

impl Brackets {
    fn read(&mut self, line: &[u8]) {
        let (mut quoted, mut escaped) = (false, false);
        for byte in line {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'{' | b'[' if !quoted => self.open += 1,
                b'}' | b']' if !quoted => self.open = self.open.saturating_sub(1),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(id: &str) -> Value {
        json!({
            "context": {"specversion": "0.5.1", "id": id, "source": "https://a", "timestamp": "2026-01-05T10:00:00Z",
                        "type": "dev.cdevents.build.queued.0.3.0"},
            "subject": {"id": "1", "content": {}},
        })
    }

    fn verdicts(judge: &mut Judge, input: &str) -> Vec<Verdict> {
        documents(input.as_bytes()).map(|d| d.unwrap()).map(|(line, d)| judge.judge(line, &d)).collect()
    }

    #[test]
    fn each_document_gets_one_line_as_the_contract_has_it() {
        let mut broken = event("2");
        broken["subject"]["id"] = json!("");
        let input = format!("{}\n\n{broken}\n", event("1"));
        let lines = verdicts(&mut Judge::default(), &input);
        let printed = lines.iter().map(|v| serde_json::to_value(v).unwrap()).collect::<Vec<_>>();
        assert_eq!(
            printed,
            [
                json!({"line": 1, "valid": true, "type": "dev.cdevents.build.queued.0.3.0", "specVersion": "0.5.1",
                       "errors": [], "warnings": []}),
                json!({"line": 3, "valid": false, "type": "dev.cdevents.build.queued.0.3.0", "specVersion": "0.5.1",
                       "errors": [{"path": "/subject/id", "message": "must not be empty"}], "warnings": []}),
            ]
        );
    }

    #[test]
    fn documents_over_several_lines_are_read_and_broken_ones_cost_their_neighbours_nothing() {
        let pretty = serde_json::to_string_pretty(&event("1")).unwrap();
        let height = pretty.lines().count();
        let cut = pretty.lines().take(5).collect::<Vec<_>>().join("\n");
        let slip = pretty.replace("\"id\": \"1\",", "\"id\": \"1\"");
        let input = format!(
            "\u{feff}{pretty}\r\n{}\n{{\"a\": [\n{}\n{cut}\n{slip}\nnonsense\n{}\n{pretty}\n{{\"a\":\n7\n",
            event("2"),
            event("3"),
            event("4")
        );
        let lines = verdicts(&mut Judge::default(), &input);
        let found = lines.iter().map(|v| (v.line, v.valid)).collect::<Vec<_>>();
        let h = height;
        let wanted = [
            (1, true),
            (h + 1, true),
            (h + 2, false),
            (h + 3, true),
            (h + 4, false),
            (h + 9, false),
            (2 * h + 9, false),
            (2 * h + 10, true),
            (2 * h + 11, true),
            (3 * h + 11, false),
            (3 * h + 12, false),
        ];
        assert_eq!(found, wanted);
        let message = |n: usize| lines[n].errors[0].message.as_str();
        assert_eq!(message(2), "isn't a JSON document: it ends before it's complete");
        let slip_at = h + 9 + 4;
        assert_eq!(message(5), format!("isn't a JSON document: expected `,` or `}}` at line {slip_at}, column 5"));
        assert_eq!(lines[6].errors[0].path, "");
    }

    #[test]
    fn links_may_point_to_what_came_before_and_denied_warnings_make_invalid() {
        let mut second = event("2");
        second["context"]["links"] = json!([{"linkType": "PATH", "from": {"contextId": "1"}}]);
        let input = format!("{}\n{second}\n", event("1"));
        assert!(verdicts(&mut Judge::default(), &input)[1].warnings.is_empty());
        let alone = &verdicts(&mut Judge::default(), &second.to_string())[0];
        assert!(alone.valid);
        assert_eq!(alone.warnings[0].path, "/context/links/0/from/contextId");
        let mut strict = Judge { deny: vec![WarningKind::Link], ..Judge::default() };
        let refused = &verdicts(&mut strict, &second.to_string())[0];
        assert!(!refused.valid && refused.warnings.is_empty());
        assert_eq!(refused.errors[0].path, "/context/links/0/from/contextId");
    }

    #[test]
    fn another_spec_version_can_be_asked_for() {
        let mut judge = Judge { spec: Some(SpecVersion::V0_4_1), ..Judge::default() };
        let verdict = &verdicts(&mut judge, &event("1").to_string())[0];
        assert!(!verdict.valid && verdict.errors.iter().any(|e| e.path == "/context/version"));
    }
}
