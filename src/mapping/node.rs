//! YAML with the place of everything in it, so that every fault can be shown where it is.

use super::limits::{YAML_ALIASES, YAML_DEPTH, YAML_VALUES};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;
use std::fmt;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) inner: Inner,
}

/// 1-based line and column in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Inner {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) at: Place,
    pub(super) name: String,
}

/// Why a text isn't YAML that can be read.
#[derive(Debug)]
pub(super) struct NotYaml {
    pub(super) at: Place,
    pub(super) message: String,
    pub(super) remedy: String,
}

/// Reads one document.
pub(super) fn read(text: &str) -> Result<Node, NotYaml> {
    let mut options = serde_saphyr::Options::default();
    options.strict_booleans = true;
    options.leading_zero_numbers_as_strings = true;
    options.with_snippet = false;
    options.budget = Some(budget());
    options.alias_limits.max_total_replayed_events = YAML_VALUES;
    let spanned: Spanned<Inner> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error.location().map(|location| place(&location)).unwrap_or_default();
        let message = error.to_string();
        let remedy = if message.contains("limit") || message.contains("budget") {
            format!("a mapping file has at most {YAML_VALUES} values, {YAML_DEPTH} deep, and {YAML_ALIASES} aliases")
        } else {
            "mend the YAML; indent with spaces".to_owned()
        };
        NotYaml { at, message, remedy }
    })?;
    Ok(Node { at: place(&spanned.referenced), inner: spanned.value })
}

fn budget() -> serde_saphyr::Budget {
    let mut budget = serde_saphyr::Budget::default();
    budget.flow_nesting_limit = YAML_DEPTH;
    budget.max_depth = YAML_DEPTH;
    budget.max_nodes = YAML_VALUES;
    budget.max_aliases = YAML_ALIASES;
    budget.max_anchors = YAML_ALIASES;
    budget.max_merge_keys = YAML_ALIASES;
    budget.max_documents = 1;
    budget
}

fn place(location: &serde_saphyr::Location) -> Place {
    let whole = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Place { line: whole(location.line()), column: whole(location.column()) }
}

impl Node {
    /// The entry of a map.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.entries()?.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    pub(super) fn entries(&self) -> Option<&[(Key, Node)]> {
        match &self.inner {
            Inner::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> Option<&[Node]> {
        match &self.inner {
            Inner::List(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.inner {
            Inner::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The value without its places.
    pub(super) fn value(&self) -> Value {
        match &self.inner {
            Inner::Scalar(value) => value.clone(),
            Inner::List(items) => items.iter().map(Node::value).collect(),
            Inner::Map(entries) => {
                Value::Object(entries.iter().map(|(key, node)| (key.name.clone(), node.value())).collect::<Map<_, _>>())
            }
        }
    }

    /// What it is, for a message.
    pub(super) fn kind(&self) -> &'static str {
        match &self.inner {
            Inner::Scalar(Value::Null) => "nothing",
            Inner::Scalar(Value::Bool(_)) => "a boolean",
            Inner::Scalar(Value::Number(_)) => "a number",
            Inner::Scalar(_) => "text",
            Inner::List(_) => "a list",
            Inner::Map(_) => "a map",
        }
    }
}

impl<'de> Deserialize<'de> for Inner {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(InnerVisitor)
    }
}

struct InnerVisitor;

impl<'de> Visitor<'de> for InnerVisitor {
    type Value = Inner;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Inner, E> {
        Ok(Inner::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Inner, E> {
        Ok(Inner::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Inner, D::Error> {
        Inner::deserialize(from)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Inner, E> {
        Ok(Inner::Scalar(flag.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Inner, E> {
        Ok(Inner::Scalar(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Inner, E> {
        Ok(Inner::Scalar(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Inner, E> {
        Ok(Inner::Scalar(Number::from_f64(number).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Inner, E> {
        Ok(Inner::Scalar(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Inner, E> {
        Ok(Inner::Scalar(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Inner, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Inner>>()? {
            list.push(Node { at: place(&item.referenced), inner: item.value });
        }
        Ok(Inner::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Inner, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let value = entries.next_value::<Spanned<Inner>>()?;
            let key = Key { at: place(&key.referenced), name: key.value };
            map.push((key, Node { at: place(&value.referenced), inner: value.value }));
        }
        Ok(Inner::Map(map))
    }
}
