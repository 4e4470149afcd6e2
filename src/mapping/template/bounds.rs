//! What isn't even parsed as a template: what is too long, or may nest too deep for a parser that recurses.

use super::NotTemplate;
use crate::mapping::limits::{TEMPLATE, TEMPLATE_BLOCKS, TEMPLATE_HELPERS};

/// Counts what can nest, wherever it stands: what only looks like a block in a comment is rare, and counts too.
pub(super) fn bounded(text: &str) -> Result<(), NotTemplate> {
    let what = if text.len() > TEMPLATE {
        format!("a template is at most {TEMPLATE} bytes long, and this has {}", text.len())
    } else if count(text, &["{{#", "{{^", "{{~#", "{{~^", "{{{{", "else"]) > TEMPLATE_BLOCKS {
        format!("a template has at most {TEMPLATE_BLOCKS} blocks, each `else` counted")
    } else if text.contains("{{") && count(text, &["("]) > TEMPLATE_HELPERS {
        format!("a template has at most {TEMPLATE_HELPERS} helpers in brackets")
    } else {
        return Ok(());
    };
    Err(super::fault(what, "put parts of it into partials: {{> name}}"))
}

fn count(text: &str, any: &[&str]) -> usize {
    any.iter().map(|what| text.matches(what).count()).sum()
}
