//! Whether a mapping is small enough to be compiled at all. See [`super::limits`].

use super::Let;
use super::compile::Compiler;
use super::limits::{LET_DEPTH, LETS, RULES, TEXTS, VALUES};
use super::node::{Inner, Node, Place};
use indexmap::IndexMap;
use serde_json::Value;
use std::collections::HashMap;

impl Compiler<'_> {
    /// Whether everything that `spec` has is as much as a mapping may have; what isn't becomes a fault.
    pub(super) fn bounded(&mut self, spec: &Node, rules: &[Node]) -> bool {
        let lets = spec.get("let").and_then(Node::entries).unwrap_or_default().len();
        let defaults = spec.get("defaults").map(Size::of).unwrap_or_default();
        let emits = rules.iter().filter(|rule| rule.get("emit").is_some()).count();
        let mut whole = Size::of(spec);
        whole.values += defaults.values * emits;
        whole.bytes += defaults.bytes * emits;
        let at = |name: &str| spec.get(name).map_or(spec.at, |node| node.at);
        let rows = [
            (rules.len(), RULES, "rules", at("rules")),
            (lets, LETS, "names under `let`", at("let")),
            (whole.values, VALUES, "values, each rule's defaults counted", spec.at),
            (whole.bytes, TEXTS, "bytes of text, each rule's defaults counted", spec.at),
        ];
        let mut bounded = true;
        for (count, most, what, at) in rows {
            if count > most {
                let message = format!("a mapping has at most {most} {what}, and this has {count}");
                self.fault(at, message, "make two mappings of it".into());
                bounded = false;
            }
        }
        bounded
    }

    /// Named values are evaluated when they're read, one within the other.
    pub(super) fn bounded_lets(&mut self, lets: &IndexMap<String, Let>, at: Place) {
        let mut depths: HashMap<&str, usize> = HashMap::new();
        for (name, one) in lets {
            let depth = 1 + one.needs.iter().filter_map(|need| depths.get(need.as_str())).max().unwrap_or(&0);
            depths.insert(name, depth);
        }
        if let Some((name, depth)) = depths.into_iter().max_by_key(|(_, depth)| *depth).filter(|(_, d)| *d > LET_DEPTH)
        {
            let message =
                format!("`{name}` reads names under `let` that read others, {depth} deep; {LET_DEPTH} is most");
            self.fault(at, message, "put some of them into one expression".into());
        }
    }
}

#[derive(Default)]
struct Size {
    values: usize,
    bytes: usize,
}

impl Size {
    fn of(node: &Node) -> Self {
        let mut size = Self { values: 1, bytes: 0 };
        match &node.inner {
            Inner::Scalar(Value::String(text)) => size.bytes = text.len(),
            Inner::Scalar(_) => {}
            Inner::List(items) => items.iter().for_each(|item| size.add(item)),
            Inner::Map(entries) => entries.iter().for_each(|(key, inner)| {
                size.bytes += key.name.len();
                size.add(inner);
            }),
        }
        size
    }

    fn add(&mut self, node: &Node) {
        let inner = Self::of(node);
        self.values += inner.values;
        self.bytes += inner.bytes;
    }
}
