//! From a file's text to a compiled mapping, collecting every fault on the way.

use super::cel::{Expr, NotCel};
use super::check::{self, Names};
use super::fault::{Fault, nearest};
use super::index::Index;
use super::limits::{FAULTS, FILE};
use super::node::{self, Inner, Node, Place};
use super::template::{Library, NotTemplate};
use super::tree::Tree;
use super::{Emit, Let, Mapping, Rule};
use indexmap::IndexMap;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const TOP: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];
const SPEC: [&str; 6] = ["parameters", "accept", "key", "let", "defaults", "rules"];
const RULE: [&str; 11] =
    ["name", "description", "when", "forEach", "emit", "remember", "forget", "drop", "stop", "hold", "as"];
const EMIT: [&str; 13] = [
    "type",
    "id",
    "occurrence",
    "timestamp",
    "source",
    "chainId",
    "schemaUri",
    "links",
    "subject",
    "customData",
    "customDataContentType",
    "hold",
    "as",
];

pub(super) fn compile(
    file: &str,
    text: &str,
    with: &Value,
    partials: &BTreeMap<String, String>,
) -> Result<Mapping, Vec<Fault>> {
    let text: Arc<str> = text.into();
    let mut compiler = Compiler {
        file,
        text: Arc::clone(&text),
        faults: Vec::new(),
        names: Names::default(),
        of_body: Vec::new(),
        compiled: HashMap::new(),
    };
    let mapping = if text.len() > FILE {
        let message = format!("a mapping file has at most {FILE} bytes, and this has more");
        compiler.fault(Place { line: 1, column: 1 }, message, "make two mappings of it".into());
        None
    } else {
        match node::read(&text) {
            Ok(root) => compiler.mapping(&root, with, partials),
            Err(error) => {
                compiler.fault(error.at, format!("this isn't YAML: {}", error.message), error.remedy);
                None
            }
        }
    };
    let mut faults = compiler.faults;
    faults.sort_by_key(|fault| (fault.line, fault.column));
    match mapping {
        Some(mapping) if faults.is_empty() => Ok(mapping),
        _ => Err(faults),
    }
}

/// JSON pointers into a document for every value of an event as it's written.
pub(super) fn pointers(fields: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in fields {
        match name.as_str() {
            "type" | "occurrence" | "hold" | "as" => {}
            "subject" | "customData" | "customDataContentType" => leaves(&format!("/{name}"), value, &mut found),
            _ => leaves(&format!("/context/{name}"), value, &mut found),
        }
    }
    found
}

fn leaves(path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.contains_key("$cel") && !map.is_empty() => {
            map.iter().for_each(|(name, inner)| leaves(&format!("{path}/{name}"), inner, found));
        }
        // Which entries of a list come out differs from event to event.
        _ => found.push(path.to_owned()),
    }
}

pub(super) struct Compiler<'a> {
    file: &'a str,
    text: Arc<str>,
    faults: Vec<Fault>,
    names: Names,
    /// Paths below `body` that anything reads.
    of_body: Vec<Vec<String>>,
    /// Every expression so far, by its text.
    compiled: HashMap<String, Expr>,
}

impl Compiler<'_> {
    pub(super) fn fault(&mut self, at: Place, message: String, remedy: String) {
        // Those that come first in the file aren't always those that are found first, but nobody reads so many.
        if self.faults.len() >= FAULTS {
            return;
        }
        let text = Arc::clone(&self.text);
        self.faults.push(Fault { file: self.file.to_owned(), line: at.line, column: at.column, message, remedy, text });
    }

    fn mapping(&mut self, root: &Node, with: &Value, partials: &BTreeMap<String, String>) -> Option<Mapping> {
        self.keys(root, &TOP, "a mapping file");
        self.expect(root, "apiVersion", "argocd-cdevents/v1");
        self.expect(root, "kind", "Mapping");
        let name =
            root.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::text).map(str::to_owned);
        if name.is_none() {
            self.fault(
                root.at,
                "`metadata.name` is missing".into(),
                "name the mapping: its memory is kept by that name".into(),
            );
        }
        let Some(spec) = root.get("spec") else {
            self.fault(root.at, "`spec` is missing".into(), "write `spec: {key: …, rules: […]}`".into());
            return None;
        };
        self.keys(spec, &SPEC, "`spec`");
        let parameters = self.parameters(spec, with);
        let rules = spec.get("rules").map(|node| self.list(node, "`rules`")).unwrap_or_default();
        if !self.bounded(spec, &rules) {
            return None;
        }
        self.names = Names::of(spec, &parameters, &rules);
        let mut library = self.library(partials)?;
        let accept = spec.get("accept").and_then(|node| self.expr(node, check::Extra::None));
        let key = match spec.get("key") {
            Some(node) => self.expr(node, check::Extra::None),
            None => {
                self.fault(
                    spec.at,
                    "`key` is missing".into(),
                    "say in CEL what a notification is about: key: argo.app.key".into(),
                );
                None
            }
        };
        let lets = self.lets(spec);
        let defaults = spec.get("defaults");
        let rules = self.rules(&rules, defaults, &mut library);
        let file = self.file.to_owned();
        let parameters = Value::Object(parameters);
        let reads_of_body = std::mem::take(&mut self.of_body);
        let index = Index::of(&rules);
        Some(Mapping { index, name: name?, file, parameters, accept, key: key?, lets, rules, reads_of_body, library })
    }

    fn library(&mut self, partials: &BTreeMap<String, String>) -> Option<Library> {
        match Library::new(partials) {
            Ok(library) => Some(library),
            Err(faults) => {
                for (name, NotTemplate { line, column, message, remedy }) in faults {
                    let message = format!("in the partial `{name}`, line {line}, column {column}: {message}");
                    self.fault(Place::default(), message, remedy);
                }
                None
            }
        }
    }

    /// Defaults, and over them what the mapping was loaded with.
    fn parameters(&mut self, spec: &Node, with: &Value) -> Map<String, Value> {
        let declared = spec.get("parameters");
        let mut parameters = match declared.map(Node::value) {
            Some(Value::Object(map)) => map,
            Some(Value::Null) | None => Map::new(),
            Some(_) => {
                let at = declared.map(|node| node.at).unwrap_or_default();
                self.fault(at, "`parameters` must be a map".into(), "write `name: default` for each".into());
                Map::new()
            }
        };
        for (name, value) in with.as_object().into_iter().flatten() {
            let Some(default) = parameters.get(name) else {
                let known: Vec<&str> = parameters.keys().map(String::as_str).collect();
                let remedy = nearest(name, &known);
                self.fault(
                    Place::default(),
                    format!("`with` sets `{name}`, which is no parameter of this mapping"),
                    remedy,
                );
                continue;
            };
            if !default.is_null() && std::mem::discriminant(default) != std::mem::discriminant(value) {
                let message = format!("the parameter `{name}` is set to {value}, and its default is {default}");
                self.fault(Place::default(), message, "set it to a value of the same kind".into());
                continue;
            }
            parameters.insert(name.clone(), value.clone());
        }
        parameters
    }

    fn lets(&mut self, spec: &Node) -> IndexMap<String, Let> {
        let mut compiled = IndexMap::new();
        for (key, node) in spec.get("let").and_then(Node::entries).unwrap_or_default() {
            if check::ROOTS.contains(&key.name.as_str()) {
                let message = format!("`{}` is the name of something else already", key.name);
                self.fault(key.at, message, "choose another name".into());
            }
            if let Some(expr) = self.expr(node, check::Extra::None) {
                let needs = self.names.lets_in(expr.reads());
                let remembers = expr.reads().iter().any(|path| path[0] == "memory");
                compiled.insert(key.name.clone(), Let { expr, needs, remembers });
            }
        }
        let mut sorted: IndexMap<String, Let> = IndexMap::new();
        while !compiled.is_empty() {
            let ready = compiled.iter().position(|(_, one): (&String, &Let)| {
                one.needs.iter().all(|need| sorted.contains_key(need) || !self.names.lets.contains(need))
            });
            let Some((name, mut one)) = ready.and_then(|index| compiled.shift_remove_index(index)) else {
                let names: Vec<&str> = compiled.keys().map(String::as_str).collect();
                let at = spec.get("let").map(|node| node.at).unwrap_or_default();
                self.fault(
                    at,
                    format!("`let` names read each other in a circle: {}", names.join(", ")),
                    "break the circle".into(),
                );
                break;
            };
            one.remembers |= one.needs.iter().filter_map(|need| sorted.get(need)).any(|need| need.remembers);
            sorted.insert(name, one);
        }
        self.bounded_lets(&sorted, spec.get("let").map(|node| node.at).unwrap_or_default());
        sorted
    }

    fn rules(&mut self, nodes: &[Node], defaults: Option<&Node>, library: &mut Library) -> Vec<Rule> {
        let mut seen: Vec<String> = Vec::new();
        let mut rules = Vec::new();
        for node in nodes {
            self.keys(node, &RULE, "a rule");
            let name = node.get("name").and_then(Node::text).unwrap_or_default().to_owned();
            if name.is_empty() {
                self.fault(
                    node.at,
                    "the rule has no name".into(),
                    "add `name: …`: it's shown by `--explain` and in tests".into(),
                );
            } else if seen.contains(&name) {
                let at = node.get("name").map(|node| node.at).unwrap_or(node.at);
                self.fault(at, format!("two rules are named `{name}`"), "give each a name of its own".into());
            }
            seen.push(name.clone());
            rules.push(self.rule(name, node, defaults, library));
        }
        rules
    }

    fn rule(&mut self, name: String, node: &Node, defaults: Option<&Node>, library: &mut Library) -> Rule {
        let for_each = node.get("forEach").and_then(|inner| self.expr(inner, check::Extra::None));
        let extra = if node.get("forEach").is_some() { check::Extra::Item } else { check::Extra::None };
        let when = node.get("when").and_then(|inner| self.when(inner, extra));
        let emit = node.get("emit").map(|inner| merged(defaults, inner));
        let emit = emit.as_ref().and_then(|inner| self.emit(node, inner, extra, library));
        let after = if emit.is_some() { extra.with_event() } else { extra };
        let remember = node.get("remember").and_then(Node::entries).unwrap_or_default();
        let remember = remember.iter().map(|(key, inner)| (key.name.clone(), self.tree(inner, after, library)));
        let remember = remember.collect();
        Rule {
            line: node.at.line,
            when,
            for_each,
            emit,
            remember,
            forget: self.words(node.get("forget")),
            drop: self.words(node.get("drop")),
            stop: self.flag(node.get("stop")),
            name,
        }
    }

    fn when(&mut self, node: &Node, extra: check::Extra) -> Option<Expr> {
        match &node.inner {
            Inner::Scalar(Value::Bool(flag)) => Expr::compile(&flag.to_string()).ok(),
            _ => self.expr(node, extra),
        }
    }

    fn emit(&mut self, rule: &Node, node: &Node, extra: check::Extra, library: &mut Library) -> Option<Emit> {
        self.keys(node, &EMIT, "`emit`");
        let kind = self.kind(node)?;
        check::event(self, node, &kind);
        let hold = node.get("hold").or_else(|| rule.get("hold"));
        let hold_name = node.get("as").or_else(|| rule.get("as")).and_then(Node::text).map(str::to_owned);
        if let (Some(hold), None) = (hold, &hold_name) {
            self.fault(
                hold.at,
                "`hold` has no name".into(),
                "add `as: NAME`, by which later rules can `drop` it".into(),
            );
        }
        let hold = hold.and_then(|hold| self.expr(hold, extra));
        let subject = node.get("subject");
        let mut field = |of: Option<&Node>, name: &str| {
            of.and_then(|node| node.get(name)).map(|inner| self.tree(inner, extra, library))
        };
        Some(Emit {
            kind,
            fields: node.value().as_object().cloned().unwrap_or_default(),
            id: field(Some(node), "id"),
            occurrence: field(Some(node), "occurrence"),
            timestamp: field(Some(node), "timestamp"),
            source: field(Some(node), "source"),
            chain_id: field(Some(node), "chainId"),
            schema_uri: field(Some(node), "schemaUri"),
            links: field(Some(node), "links"),
            subject_id: field(subject, "id"),
            subject_source: field(subject, "source"),
            content: field(subject, "content"),
            custom_data: field(Some(node), "customData"),
            custom_data_content_type: field(Some(node), "customDataContentType"),
            hold,
            hold_name: hold_name.unwrap_or_default(),
        })
    }

    fn kind(&mut self, node: &Node) -> Option<String> {
        let Some(kind) = node.get("type") else {
            self.fault(node.at, "the event has no `type`".into(), "write e.g. `type: service.deployed`".into());
            return None;
        };
        let Some(text) = kind.text() else {
            self.fault(
                kind.at,
                format!("`type` must be text, and this is {}", kind.kind()),
                "write e.g. `type: service.deployed`".into(),
            );
            return None;
        };
        match check::kind(text) {
            Ok(()) => Some(text.to_owned()),
            Err(remedy) => {
                self.fault(kind.at, format!("there is no event `{text}`"), remedy);
                None
            }
        }
    }

    /// A value to be rendered: text is a template, `{$cel: …}` a typed value, anything else is what it is.
    fn tree(&mut self, node: &Node, extra: check::Extra, library: &mut Library) -> Tree {
        match &node.inner {
            Inner::Scalar(Value::String(text)) if text.contains("{{") => self.template(node, text, extra, library),
            Inner::Scalar(value) => Tree::Literal(value.clone()),
            Inner::List(items) => Tree::List(items.iter().map(|item| self.tree(item, extra, library)).collect()),
            Inner::Map(entries) if entries.len() == 1 && entries[0].0.name == "$cel" => {
                let expr = self.expr(&entries[0].1, extra);
                expr.map_or(Tree::Literal(Value::Null), Tree::Typed)
            }
            Inner::Map(entries) => {
                let entry = |(key, inner): &(node::Key, Node)| (key.name.clone(), self.tree(inner, extra, library));
                Tree::Map(entries.iter().map(entry).collect())
            }
        }
    }

    fn template(&mut self, node: &Node, text: &str, extra: check::Extra, library: &mut Library) -> Tree {
        match library.compile(text) {
            Ok((template, paths)) => {
                for path in &paths {
                    if let Err((message, remedy)) = self.names.known(path, extra) {
                        self.fault(node.at, message, remedy);
                    }
                }
                self.reads(template.reads());
                self.reads(&paths);
                Tree::Template(template)
            }
            Err(NotTemplate { line, column, message, remedy }) => {
                self.fault(within(node.at, line, column), message, remedy);
                Tree::Literal(Value::Null)
            }
        }
    }

    pub(super) fn expr(&mut self, node: &Node, extra: check::Extra) -> Option<Expr> {
        let Some(text) = node.text() else {
            let message = format!("this must be CEL in text, and is {}", node.kind());
            self.fault(node.at, message, "put it in quotes".into());
            return None;
        };
        // What an alias repeats is compiled once.
        let known = self.compiled.get(text).cloned();
        match known.map_or_else(|| Expr::compile(text), Ok) {
            Ok(expr) => {
                self.compiled.entry(text.to_owned()).or_insert_with(|| expr.clone());
                for path in expr.reads() {
                    if let Err((message, remedy)) = self.names.known(path, extra) {
                        self.fault(node.at, message, remedy);
                    }
                }
                self.reads(expr.reads());
                Some(expr)
            }
            Err(NotCel { line, column, message, remedy }) => {
                let remedy = remedy.unwrap_or_else(|| "see docs/mapping.md for what CEL has".into());
                self.fault(within(node.at, line, column), message, remedy);
                None
            }
        }
    }

    fn reads(&mut self, paths: &[Vec<String>]) {
        let of_body = paths.iter().filter(|path| path.first().is_some_and(|root| root == "body"));
        self.of_body.extend(of_body.map(|path| path[1..].to_vec()));
    }

    /// Unknown keys, each with the nearest known one.
    pub(super) fn keys(&mut self, node: &Node, known: &[&str], what: &str) {
        let Some(entries) = node.entries() else {
            self.fault(
                node.at,
                format!("{what} must be a map, and this is {}", node.kind()),
                format!("known keys: {}", known.join(", ")),
            );
            return;
        };
        for (key, _) in entries {
            if self.faults.len() < FAULTS && !known.contains(&key.name.as_str()) {
                self.fault(key.at, format!("unknown key `{}` in {what}", key.name), nearest(&key.name, known));
            }
        }
    }

    fn expect(&mut self, root: &Node, key: &str, value: &str) {
        match root.get(key) {
            Some(node) if node.text() == Some(value) => {}
            Some(node) => self.fault(node.at, format!("`{key}` isn't `{value}`"), format!("write `{key}: {value}`")),
            None => self.fault(root.at, format!("`{key}` is missing"), format!("write `{key}: {value}`")),
        }
    }

    fn list(&mut self, node: &Node, what: &str) -> Vec<Node> {
        match node.items() {
            Some(items) => items.to_vec(),
            None => {
                self.fault(
                    node.at,
                    format!("{what} must be a list, and this is {}", node.kind()),
                    "begin each entry with `- `".into(),
                );
                Vec::new()
            }
        }
    }

    fn words(&mut self, node: Option<&Node>) -> Vec<String> {
        let Some(node) = node else { return Vec::new() };
        let words: Option<Vec<String>> =
            node.items().map(|items| items.iter().filter_map(|item| item.text().map(str::to_owned)).collect());
        match words {
            Some(words) if Some(words.len()) == node.items().map(<[Node]>::len) => words,
            _ => {
                self.fault(node.at, "this must be a list of names".into(), "write `[name]`".into());
                Vec::new()
            }
        }
    }

    fn flag(&mut self, node: Option<&Node>) -> bool {
        match node.map(|node| (&node.inner, node)) {
            None => false,
            Some((Inner::Scalar(Value::Bool(flag)), _)) => *flag,
            Some((_, node)) => {
                self.fault(
                    node.at,
                    format!("this must be true or false, and is {}", node.kind()),
                    "write `true`".into(),
                );
                false
            }
        }
    }
}

/// A place within a value; a block of several lines begins on the line below its key.
fn within(at: Place, line: usize, column: usize) -> Place {
    if line <= 1 {
        Place { line: at.line, column: at.column + column.saturating_sub(1) }
    } else {
        Place { line: at.line + line - 1, column }
    }
}

/// `defaults` under `emit`, map by map.
fn merged(defaults: Option<&Node>, emit: &Node) -> Node {
    let (Some(defaults), Some(own)) = (defaults.and_then(Node::entries), emit.entries()) else { return emit.clone() };
    let typed = own.iter().any(|(key, _)| key.name == "$cel");
    if typed {
        return emit.clone();
    }
    let mut entries: Vec<(node::Key, Node)> = Vec::new();
    for (key, node) in own {
        let below = defaults.iter().find(|(other, _)| other.name == key.name).map(|(_, node)| node);
        entries.push((key.clone(), merged(below, node)));
    }
    let missing = defaults.iter().filter(|(key, _)| !own.iter().any(|(other, _)| other.name == key.name));
    entries.extend(missing.cloned());
    Node { at: emit.at, inner: Inner::Map(entries) }
}
