//! Mapping files: their shape, compilation with every fault's place, conditions (CEL), templates (Handlebars), parameters,
//! memory.
//!
//! Owns the language. Trusts nothing in a file. Promises that whatever can be known to be wrong is told when a mapping is
//! loaded, every fault at once, and that evaluation needs no clock, no store and no network, and ends.

mod argo_expr;
mod bounds;
mod cel;
mod check;
mod compile;
mod fault;
mod index;
pub mod limits;
mod node;
mod schema;
mod template;
mod tree;

pub use argo_expr::SAID_IN_CEL;
pub use cel::{
    Budget, Condition, ConditionError, EvalError, Expr, FUNCTIONS, MOST_BYTES, MOST_STEPS, MOST_STEPS_IN_ALL, NotCel,
    Variables,
};
pub use fault::{Fault, Faults};

pub use schema::schema;
pub use template::{HELPERS, MOST};
pub(crate) use tree::Tree;

use crate::argocd::UNREAD;
use crate::notification::Unread;
use index::Index;
use indexmap::IndexMap;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use template::Library;

/// Where a mapping comes from, and what its parameters are set to.
#[derive(Debug, Clone)]
pub enum MappingRef {
    /// One of the program's own.
    Builtin {
        /// `argocd`
        name: String,
        /// Parameters by name; null: none.
        with: Value,
    },
    /// A file, or every `*.yaml` of a directory but tests.
    Path {
        /// Where.
        path: PathBuf,
        /// Parameters by name; null: none.
        with: Value,
    },
}

/// Compiled mappings, in the order in which each notification goes through them.
#[derive(Debug, Default)]
pub struct Mappings(pub(crate) Vec<Mapping>);

/// One compiled mapping.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) name: String,
    pub(crate) file: String,
    /// A map.
    pub(crate) parameters: Value,
    pub(crate) accept: Option<Expr>,
    pub(crate) key: Expr,
    /// In an order in which each reads only those before it.
    pub(crate) lets: IndexMap<String, Let>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) index: Index,
    /// Paths below `body` that anything in it reads.
    pub(crate) reads_of_body: Vec<Vec<String>>,
    pub(crate) library: Library,
}

/// A named value.
#[derive(Debug)]
pub(crate) struct Let {
    pub(crate) expr: Expr,
    /// Other named values that it reads.
    pub(crate) needs: Vec<String>,
    /// Whether it, or what it reads, reads `memory`.
    pub(crate) remembers: bool,
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) when: Option<Expr>,
    pub(crate) for_each: Option<Expr>,
    pub(crate) emit: Option<Emit>,
    pub(crate) remember: Vec<(String, Tree)>,
    pub(crate) forget: Vec<String>,
    pub(crate) drop: Vec<String>,
    pub(crate) stop: bool,
}

/// The terms of a condition, for who asks which of them decides.
pub(crate) fn terms(when: &Expr) -> Vec<Expr> {
    check::terms(when.source()).into_iter().filter_map(|term| Expr::compile(term).ok()).collect()
}

/// The event of a rule.
#[derive(Debug)]
pub(crate) struct Emit {
    pub(crate) kind: String,
    pub(crate) fields: Map<String, Value>,
    pub(crate) id: Option<Tree>,
    pub(crate) occurrence: Option<Tree>,
    pub(crate) timestamp: Option<Tree>,
    pub(crate) source: Option<Tree>,
    pub(crate) chain_id: Option<Tree>,
    pub(crate) schema_uri: Option<Tree>,
    pub(crate) links: Option<Tree>,
    pub(crate) subject_id: Option<Tree>,
    pub(crate) subject_source: Option<Tree>,
    pub(crate) content: Option<Tree>,
    pub(crate) custom_data: Option<Tree>,
    pub(crate) custom_data_content_type: Option<Tree>,
    pub(crate) hold: Option<Expr>,
    pub(crate) hold_name: String,
}

/// A rule as coverage and lists see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInfo {
    /// `metadata.name` of the mapping.
    pub mapping: String,
    /// The file that it stands in.
    pub file: String,
    /// The rule's name.
    pub rule: String,
    /// 1-based.
    pub line: usize,
    /// JSON pointers into the event's document, one for each value that the rule gives; empty for rules without event.
    pub fields: Vec<String>,
}

impl Mappings {
    /// Every rule, in order.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleInfo> {
        let of = |mapping: &Mapping, rule: &Rule| RuleInfo {
            mapping: mapping.name.clone(),
            file: mapping.file.clone(),
            rule: rule.name.clone(),
            line: rule.line,
            fields: rule.emit.as_ref().map(|emit| compile::pointers(&emit.fields)).unwrap_or_default(),
        };
        self.0.iter().flat_map(|mapping| mapping.rules.iter().map(move |rule| of(mapping, rule))).collect()
    }

    /// What neither facts nor any rule reads of a notification's body.
    #[must_use]
    pub fn unread(&self) -> Unread {
        let read: Vec<_> = self.0.iter().flat_map(|mapping| &mapping.reads_of_body).collect();
        let mut unread = Unread::default();
        for path in UNREAD.iter().flat_map(|path| [path.to_vec(), [&["app"], *path].concat()]) {
            // Who reads a part of it, or what it's a part of, reads it.
            let is_read = |read: &&Vec<String>| read.iter().zip(&path).all(|(read, name)| read == name);
            if !read.iter().any(is_read) {
                unread.skip(&path);
            }
        }
        unread
    }

    /// Whether any mapping has a parameter of this name that is set to something but false, null or nothing.
    #[must_use]
    pub fn wants(&self, parameter: &str) -> bool {
        let set = |value: &Value| {
            !matches!(value, Value::Null | Value::Bool(false)) && value != "" && value != &Value::Array(Vec::new())
        };
        self.0.iter().any(|mapping| mapping.parameters.get(parameter).is_some_and(set))
    }
}

/// The built-in mapping's text.
pub const BUILTIN: &str = include_str!("../mappings/argocd.yaml");

/// The built-in mapping's partials; they're known to every mapping.
const PARTIALS: [(&str, &str); 1] = [("health-description", include_str!("../templates/health-description.hbs"))];

/// Loads mappings, with the partials of `templates` beside the built-in ones.
///
/// # Errors
///
/// Every fault of every file.
pub fn load(refs: &[MappingRef], templates: Option<&Path>) -> Result<Mappings, Faults> {
    let mut faults = Vec::new();
    let partials = partials(templates, &mut faults);
    let mut files = Vec::new();
    for reference in refs {
        match reference {
            MappingRef::Builtin { name, with } if name == "argocd" => {
                files.push(("builtin:argocd".to_owned(), BUILTIN.to_owned(), with.clone()));
            }
            MappingRef::Builtin { name, .. } => {
                faults.push(whole(name, "there is no such built-in mapping", "use `argocd`, or `path: FILE`"));
            }
            MappingRef::Path { path, with } => read(path, with, &mut files, &mut faults),
        }
    }
    let mut mappings = Vec::new();
    for (file, text, with) in files {
        match compile::compile(&file, &text, &with, &partials) {
            Ok(mapping) => mappings.push(mapping),
            Err(found) => faults.extend(found),
        }
    }
    twice(&mappings, &mut faults);
    if faults.is_empty() { Ok(Mappings(mappings)) } else { Err(Faults(faults)) }
}

/// Loads one mapping from its text; `file` is what faults call it.
///
/// # Errors
///
/// Every fault in it.
pub fn load_text(
    file: &str,
    text: &str,
    with: &Value,
    partials: &BTreeMap<String, String>,
) -> Result<Mappings, Faults> {
    let known = self::partials(None, &mut Vec::new());
    let all = known.into_iter().chain(partials.clone()).collect();
    compile::compile(file, text, with, &all).map(|mapping| Mappings(vec![mapping])).map_err(Faults)
}

/// Whether a file is a mapping that a directory is loaded for.
fn is_mapping(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let yaml = name.ends_with(".yaml") || name.ends_with(".yml");
    // A mounted ConfigMap has hidden links beside its files.
    yaml && !name.starts_with('.') && !name.ends_with(".test.yaml") && !name.ends_with(".test.yml") && path.is_file()
}

fn read(path: &Path, with: &Value, files: &mut Vec<(String, String, Value)>, faults: &mut Vec<Fault>) {
    let paths = if path.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut found: Vec<PathBuf> = entries.filter(|path| is_mapping(path)).collect();
        found.sort();
        if found.is_empty() {
            faults.push(whole(
                &path.display().to_string(),
                "no mapping is in this directory",
                "put a *.yaml file there",
            ));
        }
        found
    } else {
        vec![path.to_owned()]
    };
    for path in paths {
        match text_of(&path) {
            Ok(text) => files.push((path.display().to_string(), text, with.clone())),
            Err(error) => {
                faults.push(whole(&path.display().to_string(), &format!("can't be read ({error})"), "check the path"));
            }
        }
    }
}

/// A file's text, as far as one is read: what is cut off is refused for its size.
fn text_of(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(limits::FILE as u64 + 1).read_to_end(&mut text)?;
    String::from_utf8(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

fn partials(directory: Option<&Path>, faults: &mut Vec<Fault>) -> BTreeMap<String, String> {
    let mut partials: BTreeMap<String, String> =
        PARTIALS.iter().map(|(name, text)| ((*name).to_owned(), text.trim_end().to_owned())).collect();
    let Some(directory) = directory else { return partials };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            let name = directory.display().to_string();
            faults.push(whole(&name, &format!("the templates can't be read ({error})"), "check `templates`"));
            return partials;
        }
    };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "hbs"))
    {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        match text_of(&path) {
            Ok(text) => drop(partials.insert(name, text.trim_end_matches('\n').to_owned())),
            Err(error) => {
                faults.push(whole(&path.display().to_string(), &format!("can't be read ({error})"), "check the file"));
            }
        }
    }
    partials
}

/// Two mappings of one name would share a memory.
fn twice(mappings: &[Mapping], faults: &mut Vec<Fault>) {
    for (index, mapping) in mappings.iter().enumerate() {
        if let Some(other) = mappings[..index].iter().find(|other| other.name == mapping.name) {
            let message = format!("its name `{}` is the one of {} already", mapping.name, other.file);
            faults.push(whole(&mapping.file, &message, "give it another `metadata.name`: memory is kept by it"));
        }
    }
}

fn whole(file: &str, message: &str, remedy: &str) -> Fault {
    Fault {
        file: file.to_owned(),
        line: 0,
        column: 0,
        message: message.to_owned(),
        remedy: remedy.to_owned(),
        text: "".into(),
    }
}

#[cfg(test)]
mod tests;
