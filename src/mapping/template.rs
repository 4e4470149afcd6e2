//! Values: Handlebars, one template per string, so that no value can break the JSON around it.
//!
//! What is absent comes out empty. Plain paths (`{{argo.app.name}}`), alone or within text, are looked up directly; anything else
//! goes through the Handlebars library. Output is bounded, and nothing can include itself.

mod bounds;
mod helpers;
mod meter;

pub use helpers::HELPERS;

use super::cel::{Budget, EvalError, Stop, Val, Variables, found};
use super::limits::{LOOPS, TEMPLATE_DEPTH, TEMPLATE_PARTS, TEMPLATES};
use handlebars::template::{Parameter, Template as Parsed, TemplateElement};
use handlebars::{Context, Handlebars, Path};
use helpers::is_helper;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Most bytes that one template gives.
pub const MOST: usize = 1 << 20;

/// A compiled template.
#[derive(Debug)]
pub(crate) enum Template {
    /// Text and plain paths.
    Plain(Vec<Part>),
    /// What goes through the library.
    Named(Named),
}

impl Template {
    /// What it reads beside its plain paths.
    pub(super) fn reads(&self) -> &[Vec<String>] {
        match self {
            Self::Plain(_) => &[],
            Self::Named(named) => &named.reads,
        }
    }
}

/// A template in the library's registry.
#[derive(Debug)]
pub(crate) struct Named {
    name: String,
    /// What it may read: only that is copied for it.
    reads: Vec<Vec<String>>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Part {
    Text(String),
    Path(Vec<String>),
}

/// Why a text isn't a template, or what in it isn't known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotTemplate {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
    pub(super) remedy: String,
}

/// The templates of one mapping, its partials and helpers.
#[derive(Debug)]
pub(crate) struct Library {
    registry: Handlebars<'static>,
    partials: Vec<String>,
    count: usize,
}

impl Library {
    /// A library of partials: name → text.
    pub(super) fn new(partials: &BTreeMap<String, String>) -> Result<Self, Vec<(String, NotTemplate)>> {
        let mut registry = Handlebars::new();
        registry.register_escape_fn(handlebars::no_escape);
        helpers::register(&mut registry);
        meter::register(&mut registry);
        let mut faults = Vec::new();
        for (name, text) in partials {
            match parsed(text) {
                Ok(partial) => registry.register_template(name, meter::paying(partial)),
                Err(fault) => faults.push((name.clone(), fault)),
            }
        }
        let library = Self { registry, partials: partials.keys().cloned().collect(), count: 0 };
        if faults.is_empty() { Ok(library) } else { Err(faults) }
    }

    /// Compiles a template, and says which paths it reads, those of its partials included.
    pub(super) fn compile(&mut self, text: &str) -> Result<(Template, Vec<Vec<String>>), NotTemplate> {
        if let Some(parts) = plain(text) {
            let paths = parts.iter().filter_map(|part| match part {
                Part::Path(path) => Some(path.clone()),
                Part::Text(_) => None,
            });
            let paths = paths.collect();
            return Ok((Template::Plain(parts), paths));
        }
        if self.count >= TEMPLATES {
            let message = format!("a mapping has at most {TEMPLATES} templates with helpers or blocks");
            return Err(fault(message, "make two mappings of it"));
        }
        let parsed = parsed(text)?;
        let mut walk = Walk {
            library: self,
            paths: Vec::new(),
            outer: Vec::new(),
            within: Vec::new(),
            loops: 0,
            depth: 0,
            parts: 0,
        };
        walk.template(&parsed, true)?;
        let Walk { paths, outer, .. } = walk;
        self.count += 1;
        // A space can't be in a partial's name.
        let name = format!("template {}", self.count);
        self.registry.register_template(&name, meter::paying(parsed));
        let mut reads: Vec<_> = paths.iter().cloned().chain(outer).collect();
        // What is whole stands before its parts.
        reads.sort_by_key(Vec::len);
        Ok((Template::Named(Named { name, reads }), paths))
    }

    /// The text that a template gives.
    pub(crate) fn render(&self, template: &Template, scope: &dyn Variables) -> Result<String, String> {
        let own = Budget::default();
        let budget = scope.budget().unwrap_or(&own);
        let text = match template {
            Template::Plain(parts) => plain_text(parts, scope)?,
            Template::Named(named) => self.named(named, scope, budget)?,
        };
        budget.bytes(text.len()).map_err(stopped)?;
        Ok(text)
    }

    fn named(&self, named: &Named, scope: &dyn Variables, budget: &Budget) -> Result<String, String> {
        let context = Context::from(copied(&named.reads, scope, budget)?);
        let mut out = Bounded(Vec::new());
        let render = || self.registry.render_with_context_to_write(&named.name, &context, &mut out);
        meter::within(budget, render).map_err(|error| match budget.left() {
            0 => stopped(Stop::Spent),
            _ => error.to_string(),
        })?;
        String::from_utf8(out.0).map_err(|error| error.to_string())
    }
}

fn stopped(stop: Stop<'_>) -> String {
    EvalError::from(stop).to_string()
}

fn parsed(text: &str) -> Result<Parsed, NotTemplate> {
    bounds::bounded(text)?;
    Parsed::compile(text).map_err(|error| not_template(&error))
}

/// The part of the scope that some paths lead to.
fn copied(paths: &[Vec<String>], scope: &dyn Variables, budget: &Budget) -> Result<Value, String> {
    let mut whole = Value::Object(Map::new());
    for path in paths {
        let Some(value) = found(path, scope)? else { continue };
        let mut place = &mut whole;
        for name in path {
            if !place.is_object() {
                break;
            }
            place = &mut place[name.as_str()];
            if place.is_null() {
                *place = Value::Object(Map::new());
            }
        }
        // A part of what was copied already is there.
        if place.as_object().is_some_and(Map::is_empty) {
            *place = Val::from(value).to_json(budget).map_err(stopped)?;
        }
    }
    Ok(whole)
}

struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST {
            return Err(io::Error::other(format!("the template gives more than {MOST} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The parts of a text in which nothing but plain paths stands between braces.
fn plain(text: &str) -> Option<Vec<Part>> {
    // Handlebars has an escape and white space control of its own.
    if text.contains('\\') || text.contains('~') {
        return None;
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        if open > 0 {
            parts.push(Part::Text(rest[..open].to_owned()));
        }
        let inner = &rest[open + 2..];
        let close = inner.find("}}")?;
        let path: Vec<String> = inner[..close].trim().split('.').map(str::to_owned).collect();
        let name = |name: &String| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let helper = path.len() == 1 && is_helper(&path[0]);
        if !path.iter().all(name) || path[0] == "this" || helper || inner[close..].starts_with("}}}") {
            return None;
        }
        parts.push(Part::Path(path));
        rest = &inner[close + 2..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Some(parts)
}

fn plain_text(parts: &[Part], scope: &dyn Variables) -> Result<String, String> {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Path(path) => {
                found(path, scope)?.into_iter().for_each(|value| push(&mut out, value));
            }
        }
        if out.len() > MOST {
            return Err(format!("the template gives more than {MOST} bytes"));
        }
    }
    Ok(out)
}

/// As Handlebars writes a value: text as it is, nothing for null, lists in brackets, objects by their name.
fn push(out: &mut String, value: &Value) {
    match value {
        Value::Null => {}
        Value::String(text) => out.push_str(text),
        Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                push(out, item);
            }
            out.push(']');
        }
        Value::Object(_) => out.push_str("[object]"),
    }
}

fn not_template(error: &handlebars::TemplateError) -> NotTemplate {
    let (line, column) = error.pos().unwrap_or((1, 1));
    NotTemplate {
        line,
        column,
        message: format!("this isn't a Handlebars template: {}", error.reason()),
        remedy: "write {{path.to.value}}, {{#if …}}…{{/if}} or {{> partial}}".to_owned(),
    }
}

/// Walks a parsed template: unknown helpers and partials only fail when they're rendered otherwise.
struct Walk<'l> {
    library: &'l Library,
    paths: Vec<Vec<String>>,
    /// What is read from within a block: it may be of the root, or of what the block goes over.
    outer: Vec<Vec<String>>,
    within: Vec<String>,
    loops: usize,
    depth: usize,
    parts: usize,
}

impl Walk<'_> {
    fn template(&mut self, template: &Parsed, rooted: bool) -> Result<(), NotTemplate> {
        for (element, place) in template.elements.iter().zip(&template.mapping) {
            self.element(element, rooted).map_err(|mut fault| {
                if self.within.is_empty() {
                    (fault.line, fault.column) = (place.0, place.1);
                }
                fault
            })?;
        }
        Ok(())
    }

    /// Counts what is walked over: with partials in partials, a short template may be a large one.
    fn element(&mut self, element: &TemplateElement, rooted: bool) -> Result<(), NotTemplate> {
        self.parts += 1;
        self.depth += 1;
        if self.depth > TEMPLATE_DEPTH {
            return Err(fault(format!("a template nests at most {TEMPLATE_DEPTH} deep"), "take the inner part out"));
        }
        if self.parts > TEMPLATE_PARTS {
            let message = format!("a template has at most {TEMPLATE_PARTS} parts, those of its partials included");
            return Err(fault(message, "say it with fewer"));
        }
        let walked = self.inside(element, rooted);
        self.depth -= 1;
        walked
    }

    fn inside(&mut self, element: &TemplateElement, rooted: bool) -> Result<(), NotTemplate> {
        match element {
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => Ok(()),
            TemplateElement::Expression(expression) if meter::pays(expression) => Ok(()),
            TemplateElement::Expression(expression) | TemplateElement::HtmlExpression(expression) => {
                if !expression.params.is_empty() || !expression.hash.is_empty() {
                    self.helper(&expression.name)?;
                    return self.parameters(expression.params.iter().chain(expression.hash.values()), rooted);
                }
                match expression.name.as_name() {
                    Some(name) if is_helper(name) => Ok(()),
                    Some(name) => {
                        self.read(name, rooted);
                        Ok(())
                    }
                    None => self.parameters(std::iter::once(&expression.name), rooted),
                }
            }
            TemplateElement::HelperBlock(block) => {
                self.helper(&block.name)?;
                self.parameters(block.params.iter().chain(block.hash.values()), rooted)?;
                let repeats = block.name.as_name() == Some("each");
                let moves = repeats || block.name.as_name() == Some("with");
                self.loops += usize::from(repeats);
                if self.loops > LOOPS {
                    return Err(fault(format!("{{{{#each}}}} may be nested {LOOPS} deep"), "take the inner loop out"));
                }
                for inner in block.template.iter().chain(&block.inverse) {
                    self.template(inner, rooted && !moves)?;
                }
                self.loops -= usize::from(repeats);
                Ok(())
            }
            TemplateElement::PartialExpression(partial) => {
                let Some(name) = partial.name.as_name().map(str::to_owned) else {
                    return Err(fault("a partial's name can't be computed", "write {{> name}}"));
                };
                self.parameters(partial.params.iter().chain(partial.hash.values()), rooted)?;
                self.partial(&name, rooted && partial.params.is_empty() && partial.hash.is_empty())
            }
            _ => Err(fault("decorators and blocks for partials aren't supported", "use a partial: {{> name}}")),
        }
    }

    fn partial(&mut self, name: &str, rooted: bool) -> Result<(), NotTemplate> {
        let Some(template) = self.library.registry.get_template(name) else {
            let known = if self.library.partials.is_empty() {
                "there are none".to_owned()
            } else {
                format!("known: {}", self.library.partials.join(", "))
            };
            return Err(fault(
                format!("there is no partial `{name}`"),
                &format!("put it into the templates directory as {name}.hbs; {known}"),
            ));
        };
        if self.within.iter().any(|outer| outer == name) {
            return Err(fault(format!("the partial `{name}` includes itself"), "that would never end"));
        }
        self.within.push(name.to_owned());
        self.template(template, rooted)?;
        self.within.pop();
        Ok(())
    }

    fn helper(&self, name: &Parameter) -> Result<(), NotTemplate> {
        match name.as_name() {
            Some(name) if is_helper(name) => Ok(()),
            Some(name) => {
                let own: Vec<&str> = HELPERS.iter().filter_map(|(usage, _)| usage.split(' ').next()).collect();
                Err(fault(
                    format!("there is no helper `{name}`"),
                    &format!("known: {}, {}", helpers::BUILT_IN.join(", "), own.join(", ")),
                ))
            }
            None => Ok(()),
        }
    }

    fn parameters<'p>(&mut self, all: impl Iterator<Item = &'p Parameter>, rooted: bool) -> Result<(), NotTemplate> {
        for parameter in all {
            match parameter {
                Parameter::Path(Path::Relative((_, raw)) | Path::Local((_, _, raw))) => self.read(raw, rooted),
                Parameter::Subexpression(inner) => self.element(&inner.element, rooted)?,
                Parameter::Name(name) => self.read(name, rooted),
                _ => {}
            }
        }
        Ok(())
    }

    /// Within `each` and `with`, names are relative to what is looped over, and may be of the root all the same.
    fn read(&mut self, raw: &str, rooted: bool) {
        let outer = raw.trim_start_matches("../");
        let outer = outer.strip_prefix("@root").unwrap_or(outer);
        let names = outer.split(['.', '/']).take_while(|name| !name.contains('['));
        let path: Vec<String> = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if path.first().is_none_or(|root| root == "this" || root.starts_with('@')) {
            return;
        }
        if rooted && outer == raw && !raw.starts_with('.') {
            self.paths.push(path);
        } else {
            self.outer.push(path);
        }
    }
}

fn fault(message: impl Into<String>, remedy: &str) -> NotTemplate {
    NotTemplate { line: 1, column: 1, message: message.into(), remedy: remedy.to_owned() }
}
