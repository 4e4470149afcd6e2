//! What can be known to be wrong before anything runs: names that nobody knows, fields that an event doesn't have.

use super::compile::Compiler;
use super::fault::nearest;
use super::node::{Inner, Node};
use crate::argocd;
use crate::cdevents::SpecVersion;
use crate::cdevents::vocabulary::{self, Object, Shape};
use serde_json::{Map, Value};

/// What every expression and template may read, beside named values.
pub(super) const ROOTS: [&str; 8] = ["body", "request", "argo", "parameters", "memory", "item", "index", "event"];

/// What may be read beyond the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    None,
    /// `item` and `index`.
    Item,
    /// `event`.
    Event,
    /// All three.
    Both,
}

impl Extra {
    pub(super) fn with_event(self) -> Self {
        if self == Self::None { Self::Event } else { Self::Both }
    }
}

/// The names that one mapping knows.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) lets: Vec<String>,
    parameters: Vec<String>,
    memory: Vec<String>,
}

impl Names {
    pub(super) fn of(spec: &Node, parameters: &Map<String, Value>, rules: &[Node]) -> Self {
        let names = |node: Option<&Node>| -> Vec<String> {
            node.and_then(Node::entries).unwrap_or_default().iter().map(|(key, _)| key.name.clone()).collect()
        };
        Self {
            lets: names(spec.get("let")),
            parameters: parameters.keys().cloned().collect(),
            memory: rules.iter().flat_map(|rule| names(rule.get("remember"))).collect(),
        }
    }

    /// The named values among what is read.
    pub(super) fn lets_in(&self, reads: &[Vec<String>]) -> Vec<String> {
        let mut found: Vec<String> =
            reads.iter().filter_map(|path| path.first()).filter(|root| self.lets.contains(root)).cloned().collect();
        found.sort();
        found.dedup();
        found
    }

    /// Whether a path can ever be there; if not, what is wrong and what to do.
    pub(super) fn known(&self, path: &[String], extra: Extra) -> Result<(), (String, String)> {
        let Some(root) = path.first().map(String::as_str) else { return Ok(()) };
        let whole = path.join(".");
        let second = |known: &[String], what: &str| match path.get(1) {
            Some(name) if !known.contains(name) => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                Err((format!("`{whole}`: {what} `{name}`"), nearest(name, &known)))
            }
            _ => Ok(()),
        };
        match root {
            "body" => Ok(()),
            "request" => {
                second(&["path", "query", "headers", "receivedAt", "source"].map(str::to_owned), "a request has no")
            }
            "parameters" => second(&self.parameters, "there is no parameter"),
            "memory" => second(&self.memory, "no rule remembers"),
            "argo" => argocd::known(&path[1..]).map_err(|unknown| {
                let known: Vec<&str> = unknown.known.iter().map(String::as_str).collect();
                (format!("`{whole}`: there is no fact `{}`", unknown.name), nearest(&unknown.name, &known))
            }),
            "item" | "index" if matches!(extra, Extra::Item | Extra::Both) => Ok(()),
            "item" | "index" => {
                Err((format!("`{root}` is only known in a rule with `forEach`"), "add `forEach: …`".into()))
            }
            "event" if matches!(extra, Extra::Event | Extra::Both) => Ok(()),
            "event" => {
                Err(("`event` is only known in `remember`".into(), "read it there, from the rule that emits it".into()))
            }
            name if self.lets.iter().any(|known| known == name) => Ok(()),
            name => {
                let known: Vec<&str> = ROOTS.iter().copied().chain(self.lets.iter().map(String::as_str)).collect();
                Err((format!("`{name}` is no name that a rule can read"), nearest(name, &known)))
            }
        }
    }
}

/// Whether there is such an event; if not, what to write.
pub(super) fn kind(text: &str) -> Result<(), String> {
    if vocabulary::find(SpecVersion::NEWEST, text).is_some() {
        return Ok(());
    }
    if text.starts_with("dev.cdeventsx") {
        return Err("a custom type is `dev.cdeventsx.<tool>-<subject>.<predicate>.<version>`, e.g. dev.cdeventsx.argocd-application.outofsync.0.1.0".into());
    }
    let known: Vec<&str> = vocabulary::kinds(SpecVersion::NEWEST).iter().map(|kind| kind.kind.as_str()).collect();
    Err(nearest(text, &known))
}

/// What the vocabulary says of an event's fields: known, required, of the right type.
pub(super) fn event(compiler: &mut Compiler<'_>, node: &Node, kind: &str) {
    let Some(known) = vocabulary::find(SpecVersion::NEWEST, kind) else { return };
    if node.get("timestamp").is_none() {
        compiler.fault(
            node.at,
            format!("{kind} has no `timestamp`"),
            "say when it happened, e.g. \"{{argo.deployment.at}}\"".into(),
        );
    }
    let Some(subject) = node.get("subject") else {
        compiler.fault(node.at, format!("{kind} has no `subject`"), "write `subject: {id: …, content: {…}}`".into());
        return;
    };
    compiler.keys(subject, &["id", "source", "content"], "`subject`");
    if subject.get("id").is_none() {
        compiler.fault(subject.at, format!("{kind} has no `subject.id`"), "say what it's about".into());
    }
    let empty = Node { at: subject.at, inner: Inner::Map(Vec::new()) };
    object(compiler, subject.get("content").unwrap_or(&empty), &known.content, kind, "content");
}

fn object(compiler: &mut Compiler<'_>, node: &Node, shape: &Object, kind: &str, path: &str) {
    let Some(entries) = node.entries() else {
        compiler.fault(
            node.at,
            format!("`{path}` must be a map, and this is {}", node.kind()),
            "write its fields below it".into(),
        );
        return;
    };
    if entries.iter().any(|(key, _)| key.name == "$cel") {
        return;
    }
    let names: Vec<&str> = shape.fields.iter().map(|field| field.name.as_str()).collect();
    for (key, inner) in entries {
        match shape.field(&key.name) {
            Some(field) => value(compiler, inner, &field.shape, kind, &format!("{path}.{}", key.name)),
            None if shape.open => {}
            None => {
                compiler.fault(
                    key.at,
                    format!("{kind} has no field `{path}.{}`", key.name),
                    nearest(&key.name, &names),
                );
            }
        }
    }
    for field in shape.fields.iter().filter(|field| field.required && node.get(&field.name).is_none()) {
        compiler.fault(node.at, format!("{kind} requires `{path}.{}`", field.name), format!("add `{}`", field.name));
    }
}

fn value(compiler: &mut Compiler<'_>, node: &Node, shape: &Shape, kind: &str, path: &str) {
    let typed = node.entries().is_some_and(|entries| entries.iter().any(|(key, _)| key.name == "$cel"));
    match (shape, &node.inner) {
        _ if typed => {}
        (Shape::Object(inner), _) => object(compiler, node, inner, kind, path),
        (Shape::Text(text), Inner::Scalar(Value::String(literal))) => {
            let allowed: Vec<&str> = text.values.iter().map(|value| value.value.as_str()).collect();
            if !literal.contains("{{") && !allowed.is_empty() && !allowed.contains(&literal.as_str()) {
                compiler.fault(node.at, format!("`{path}` can't be `{literal}`"), nearest(literal, &allowed));
            }
        }
        (Shape::Text(_), Inner::Scalar(Value::Null)) => {}
        (Shape::Text(_), _) => {
            compiler.fault(
                node.at,
                format!("`{path}` must be text, and this is {}", node.kind()),
                "put it in quotes".into(),
            );
        }
        _ => {}
    }
}

/// The terms of a conjunction, as written; one when it's none.
pub(super) fn terms(source: &str) -> Vec<&str> {
    let (mut depth, mut quote, mut start) = (0_usize, None, 0);
    let mut found = Vec::new();
    let bytes = source.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        match (byte, quote) {
            (b'\'' | b'"', None) => quote = Some(*byte),
            (byte, Some(open)) if *byte == open && (index == 0 || bytes[index - 1] != b'\\') => quote = None,
            (b'(' | b'[' | b'{', None) => depth += 1,
            (b')' | b']' | b'}', None) => depth = depth.saturating_sub(1),
            // Below an alternative or a choice, `&&` isn't the outermost.
            (b'|', None) if depth == 0 && bytes.get(index + 1) == Some(&b'|') => return vec![source.trim()],
            (b'?', None) if depth == 0 && !(index > 0 && bytes[index - 1] == b'.') => return vec![source.trim()],
            (b'&', None) if depth == 0 && bytes.get(index + 1) == Some(&b'&') => {
                found.push(source[start..index].trim());
                start = index + 2;
            }
            _ => {}
        }
    }
    found.push(source[start..].trim());
    found
}

#[cfg(test)]
mod tests {
    use super::terms;

    #[test]
    fn only_the_outermost_conjunction_is_taken_apart() {
        assert_eq!(terms("a && (b && c) && d == 'x && y'"), ["a", "(b && c)", "d == 'x && y'"]);
        assert_eq!(terms("a && b || c"), ["a && b || c"]);
        assert_eq!(terms("a.?b.orValue(1) == 1 && c"), ["a.?b.orValue(1) == 1", "c"]);
        assert_eq!(terms("a"), ["a"]);
    }
}
