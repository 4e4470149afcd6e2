//! The shape of the configuration, taken from the types of [`written`](super::written): finds every key that isn't known
//! and every value of the wrong type at once, and finds a key by a variable's name.

use super::{Fault, written::Written};
use serde_json::Value;
use std::sync::OnceLock;

/// JSON Schema of the configuration file.
pub(super) fn schema() -> Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| schemars::schema_for!(Written).to_value()).clone()
}

/// Unknown keys, everywhere at once; `text` is where their lines are looked up.
pub(super) fn faults(value: &Value, text: &str) -> Vec<Fault> {
    let root = schema();
    let mut walk = Walk { root: &root, text, faults: Vec::new() };
    walk.visit(value, &alternatives(&root, &root), &mut Vec::new());
    walk.faults
}

/// The key that a variable's name (without prefix) stands for, as a path of the `config` crate.
pub(super) fn resolve(file: &Value, name: &str) -> String {
    let root = schema();
    let mut at = Some(file);
    let mut shape = vec![&root];
    let mut keys = Vec::new();
    for segment in name.split("__") {
        let existing = at.and_then(Value::as_object).and_then(|map| map.keys().find(|key| same(key, segment)));
        let known = shape.iter().flat_map(|s| properties(s)).map(|(key, _)| key).find(|key| same(key, segment));
        let key = existing.or(known).cloned().unwrap_or_else(|| segment.to_lowercase().replace('_', "-"));
        at = at.and_then(|value| value.get(&key));
        shape = shape.iter().flat_map(|s| child(&root, s, &key)).collect();
        keys.push(key);
    }
    keys.join(".")
}

/// Whether a key is what a segment of a variable's name means.
fn same(key: &str, segment: &str) -> bool {
    let letters = |text: &str| text.chars().filter(|c| !"-_.".contains(*c)).collect::<String>().to_lowercase();
    letters(key) == letters(segment)
}

struct Walk<'a> {
    root: &'a Value,
    text: &'a str,
    faults: Vec<Fault>,
}

impl<'a> Walk<'a> {
    /// `shapes` are the alternatives of what may stand here.
    fn visit(&mut self, value: &Value, shapes: &[&'a Value], path: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, inner) in map {
                    path.push(key.clone());
                    let next: Vec<_> = shapes.iter().flat_map(|s| child(self.root, s, key)).collect();
                    let free = shapes.iter().any(|s| accepts_anything(s));
                    if !next.is_empty() {
                        self.visit(inner, &next, path);
                    } else if !free {
                        self.unknown(path, shapes);
                    }
                    path.pop();
                }
            }
            Value::Array(items) => {
                for item in items {
                    let items = shapes.iter().filter_map(|s| s.get("items"));
                    let inner: Vec<_> = items.flat_map(|inner| alternatives(self.root, inner)).collect();
                    self.visit(item, &inner, path);
                }
            }
            _ => {}
        }
    }

    fn unknown(&mut self, path: &[String], shapes: &[&Value]) {
        let Some(key) = path.last() else { return };
        let mut known: Vec<&str> = shapes.iter().flat_map(|s| properties(s)).map(|(name, _)| name.as_str()).collect();
        known.sort_by_key(|name| distance(key, name));
        let line = line_of(self.text, path).map(|line| format!(" (line {line})")).unwrap_or_default();
        let remedy = match known.first() {
            Some(nearest) if distance(key, nearest) <= 1 + nearest.len() / 3 => format!("did you mean `{nearest}`?"),
            Some(_) => format!("known here: {}", known.join(", ")),
            None => "there is nothing to set here".to_owned(),
        };
        let problem = format!("unknown key{line}; {remedy}");
        self.faults.push(Fault::Value { key: path.join("."), problem });
    }
}

/// A shape behind its references, and each of its alternatives.
fn alternatives<'a>(root: &'a Value, shape: &'a Value) -> Vec<&'a Value> {
    if let Some(reference) = shape.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(reference.trim_start_matches('#'));
        return target.map(|target| alternatives(root, target)).unwrap_or_default();
    }
    let several = shape.get("anyOf").or_else(|| shape.get("oneOf")).and_then(Value::as_array);
    match several {
        Some(several) => several.iter().flat_map(|one| alternatives(root, one)).collect(),
        None => vec![shape],
    }
}

fn properties(shape: &Value) -> impl Iterator<Item = (&String, &Value)> {
    shape.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn child<'a>(root: &'a Value, shape: &'a Value, key: &str) -> Vec<&'a Value> {
    let named = properties(shape).find(|(name, _)| *name == key).map(|(_, inner)| inner);
    let any = shape.get("additionalProperties").filter(|inner| inner.is_object());
    named.or(any).map(|inner| alternatives(root, inner)).unwrap_or_default()
}

/// `true`, `{}` and objects that don't forbid what they don't name.
fn accepts_anything(shape: &Value) -> bool {
    let closed = shape.get("additionalProperties") == Some(&Value::Bool(false));
    let object = match shape.get("type") {
        None => true,
        Some(Value::String(one)) => one == "object",
        Some(several) => several.as_array().is_some_and(|types| types.contains(&"object".into())),
    };
    object && !closed && shape.get("properties").is_none()
}

/// The line in which the last key of `path` is written, below those before it.
fn line_of(text: &str, path: &[String]) -> Option<usize> {
    let mut keys = path.iter().peekable();
    for (index, line) in text.lines().enumerate() {
        let key = keys.peek()?;
        let written = line.trim_start().trim_start_matches("- ").trim_start_matches('{');
        let found = written.strip_prefix(key.as_str()).is_some_and(|rest| rest.trim_start().starts_with(':'));
        let flow = line.contains(&format!("{key}:"));
        if found || flow {
            keys.next();
            if keys.peek().is_none() {
                return Some(index + 1);
            }
        }
    }
    None
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
