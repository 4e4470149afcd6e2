//! Helpers of templates, each of which pays for what it reads and makes.

use super::{MOST, meter, push};
use crate::mapping::cel::weight;
use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, ScopedJson, handlebars_helper};
use serde_json::Value;

/// Helpers beside the library's own (`if`, `unless`, `each`, `with`, `lookup`, `eq`, …): name and what it gives.
pub const HELPERS: [(&str, &str); 6] = [
    ("default a b", "`a`, or `b` where `a` is empty"),
    ("lower text", "in lower case"),
    ("upper text", "in upper case"),
    ("trunc text n", "its first n characters"),
    ("replace text from to", "with every `from` replaced"),
    ("json value", "as JSON"),
];

pub(super) const BUILT_IN: [&str; 16] =
    ["if", "unless", "each", "with", "lookup", "raw", "log", "eq", "ne", "gt", "gte", "lt", "lte", "and", "or", "not"];

handlebars_helper!(default: |a: Json, b: Json| if matches!(a, Value::Null) || a == "" { b.clone() } else { a.clone() });
handlebars_helper!(lower: |text: Json| as_text(text).to_lowercase());
handlebars_helper!(upper: |text: Json| as_text(text).to_uppercase());
handlebars_helper!(trunc: |text: Json, n: u64| as_text(text).chars().take(usize::try_from(n).unwrap_or(usize::MAX)).collect::<String>());
handlebars_helper!(replace: |text: Json, from: str, to: str| replaced(&as_text(text), from, to));
handlebars_helper!(json: |value: Json| value.to_string());

pub(super) fn register(registry: &mut Handlebars<'_>) {
    registry.register_helper("default", Box::new(Paid(default)));
    registry.register_helper("lower", Box::new(Paid(lower)));
    registry.register_helper("upper", Box::new(Paid(upper)));
    registry.register_helper("trunc", Box::new(Paid(trunc)));
    registry.register_helper("replace", Box::new(Paid(replace)));
    registry.register_helper("json", Box::new(Paid(json)));
}

/// A helper that pays for what it reads before it does anything, and for what it made.
struct Paid<H>(H);

impl<H: HelperDef> HelperDef for Paid<H> {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        rc: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        meter::pay(h.params().iter().map(|param| weight(param.value())).sum())?;
        let made = self.0.call_inner(h, registry, context, rc)?;
        meter::pay(weight(made.as_json()))?;
        Ok(made)
    }
}

/// Replacing can make a text as much longer as one likes: what would be too long takes all that is left instead.
fn replaced(text: &str, from: &str, to: &str) -> String {
    let longer = text.matches(from).count().saturating_mul(to.len());
    if text.len().saturating_add(longer) > MOST {
        meter::spend();
        return String::new();
    }
    text.replace(from, to)
}

pub(super) fn is_helper(name: &str) -> bool {
    BUILT_IN.contains(&name)
        || ["len"].contains(&name)
        || HELPERS.iter().any(|(usage, _)| usage.split(' ').next() == Some(name))
}

fn as_text(value: &Value) -> String {
    let mut out = String::new();
    push(&mut out, value);
    out
}
