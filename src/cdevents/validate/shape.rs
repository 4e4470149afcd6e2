//! A document against the shape of its event.

use super::super::format;
use super::super::vocabulary::{self, EventKind, Object, Shape, Tagged, Text};
use super::Fault;
use super::nearest::nearest;
use serde_json::{Map, Value};

/// Everything in `document` that the event's shape forbids.
pub(super) fn faults(document: &Value, kind: &EventKind) -> Vec<Fault> {
    let mut judge = Judge { kind, faults: Vec::new() };
    judge.object(document, &kind.document, Path::Root);
    judge.faults
}

/// Where the judge is. Written out only when there is something to say.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// As a JSON pointer.
    pub(super) fn pointer(self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Member(parent, name) => {
                format!("{}/{}", parent.pointer(), name.replace('~', "~0").replace('/', "~1"))
            }
            Self::Item(parent, at) => format!("{}/{at}", parent.pointer()),
        }
    }

    fn is(self, part: &str, name: &str) -> bool {
        matches!(self, Self::Member(Path::Member(Path::Root, p), n) if *p == part && n == name)
    }
}

struct Judge<'a> {
    kind: &'a EventKind,
    faults: Vec<Fault>,
}

impl Judge<'_> {
    fn value(&mut self, value: &Value, shape: &Shape, path: Path<'_>) {
        match shape {
            Shape::Any => {}
            Shape::Text(rule) => self.text(value, rule, path),
            Shape::List(item) => self.list(value, item, path),
            Shape::Object(object) => self.object(value, object, path),
            Shape::Tagged(tagged) => self.tagged(value, tagged, path),
            Shape::ObjectOrString if value.is_object() || value.is_string() => {}
            Shape::ObjectOrString => self.mistyped(value, "an object or a string", path),
        }
    }

    fn text(&mut self, value: &Value, rule: &Text, path: Path<'_>) {
        let Value::String(text) = value else { return self.mistyped(value, "a string", path) };
        if !rule.values.is_empty() {
            if !rule.values.iter().any(|known| known.value == *text) {
                let message = if path.is("context", "type") { self.wrong_type(text) } else { one_of(rule, text) };
                self.fault(path, message);
            }
            return;
        }
        if text.is_empty() {
            if rule.min_length > 0 {
                self.fault(path, "must not be empty");
            }
            return;
        }
        if let Some(format) = rule.format
            && !format::fits(format, text)
        {
            self.fault(path, format::explained(format));
        } else if self.kind.is_unknown() && path.is("context", "type") {
            let message = self.wrong_type(text);
            self.fault(path, message);
        }
    }

    fn list(&mut self, value: &Value, item: &Shape, path: Path<'_>) {
        let Value::Array(items) = value else { return self.mistyped(value, "an array", path) };
        for (at, member) in items.iter().enumerate() {
            self.value(member, item, Path::Item(&path, at));
        }
    }

    fn object(&mut self, value: &Value, object: &Object, path: Path<'_>) {
        let Value::Object(members) = value else { return self.mistyped(value, "an object", path) };
        for (name, member) in members {
            let here = Path::Member(&path, name);
            match object.field(name) {
                Some(field) => self.value(member, &field.shape, here),
                None if object.open => {}
                None => self.fault(here, unknown_field(name, members, object)),
            }
        }
        for field in object.fields.iter().filter(|f| f.required && !members.contains_key(&f.name)) {
            self.fault(Path::Member(&path, &field.name), "is missing, and required");
        }
    }

    fn tagged(&mut self, value: &Value, tagged: &Tagged, path: Path<'_>) {
        let Value::Object(members) = value else { return self.mistyped(value, "an object", path) };
        let here = Path::Member(&path, &tagged.tag);
        let names = || listed(tagged.variants.iter().map(|(name, _)| name.as_str()));
        match members.get(&tagged.tag) {
            None => self.fault(here, format!("is missing: must be {}", names())),
            Some(Value::String(tag)) => match tagged.variants.iter().find(|(name, _)| name == tag) {
                Some((_, object)) => self.object(value, object, path),
                None => self.fault(here, format!("must be {}", names())),
            },
            Some(other) => self.mistyped(other, "a string", here),
        }
    }

    fn mistyped(&mut self, value: &Value, wanted: &str, path: Path<'_>) {
        self.fault(path, format!("must be {wanted}, but is {}", a_kind_of(value)));
    }

    fn fault(&mut self, path: Path<'_>, message: impl Into<String>) {
        self.faults.push(Fault { path: path.pointer(), message: message.into() });
    }

    fn wrong_type(&self, written: &str) -> String {
        let spec = self.kind.spec;
        let written = shortened(written);
        if !self.kind.type_name.is_empty() {
            return format!("must be `{}` in CDEvents {spec}, but is `{written}`", self.kind.type_name);
        }
        let meant = nearest(&written, vocabulary::kinds(spec).iter().map(|k| k.type_name.as_str()));
        let meant = meant.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        format!("CDEvents {spec} has no type `{written}`{meant}")
    }
}

fn one_of(rule: &Text, written: &str) -> String {
    if let Some(renamed) = rule.values.iter().find(|known| known.was.as_deref() == Some(written)) {
        return format!("`{written}` is called `{}` in this spec version", renamed.value);
    }
    format!("must be {}, but is `{}`", listed(rule.values.iter().map(|v| v.value.as_str())), shortened(written))
}

fn unknown_field(name: &str, members: &Map<String, Value>, object: &Object) -> String {
    if let Some(renamed) = object.fields.iter().find(|f| f.was.as_deref() == Some(name)) {
        return format!("unknown field: it's called `{}` in this spec version", renamed.name);
    }
    let free = object.fields.iter().map(|f| f.name.as_str()).filter(|known| !members.contains_key(*known));
    if let Some(meant) = nearest(name, free) {
        return format!("unknown field; did you mean `{meant}`?");
    }
    if object.fields.is_empty() {
        return "unknown field: none is allowed here".to_owned();
    }
    format!("unknown field; known here: {}", listed(object.fields.iter().map(|f| f.name.as_str())))
}

/// `a`, `b` or `c`.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names = names.map(|n| format!("`{n}`")).collect::<Vec<_>>();
    match names.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

/// No message grows with what someone sent.
fn shortened(text: &str) -> String {
    let mut chars = text.chars();
    let head = chars.by_ref().take(80).collect::<String>();
    if chars.next().is_some() { format!("{head}…") } else { head }
}

fn a_kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
