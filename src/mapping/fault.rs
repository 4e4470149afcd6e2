//! Faults in mapping files: each with its place, what is wrong, and what to do.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;
use std::fmt;

/// Every fault that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file, as it was given.
    pub file: String,
    /// 1-based; 0 when it concerns the whole file.
    pub line: usize,
    /// 1-based.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// The text of the file, for the snippet.
    #[serde(skip)]
    pub(super) text: std::sync::Arc<str>,
}

impl Fault {
    /// The fault with a pointer into the text.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let title = Level::ERROR.primary_title(self.message.as_str());
        let help = Level::HELP.message(self.remedy.as_str());
        let group = if self.line == 0 {
            title.element(annotate_snippets::Origin::path(self.file.as_str())).element(help)
        } else {
            let span = self.span();
            let snippet =
                Snippet::source(&*self.text).path(self.file.as_str()).annotation(AnnotationKind::Primary.span(span));
            title.element(snippet).element(help)
        };
        renderer.render(&[group]).clone()
    }

    /// From the place to the end of the word there, in bytes.
    fn span(&self) -> std::ops::Range<usize> {
        let before: usize = self.text.split_inclusive('\n').take(self.line - 1).map(str::len).sum();
        let line = self.text[before..].split('\n').next().unwrap_or_default();
        let start = line.char_indices().nth(self.column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
        let word = line[start..].find(|c: char| c.is_whitespace() || ":,[]{}".contains(c));
        let length = word.unwrap_or(line.len() - start).max(1).min(line.len() - start);
        before + start..before + start + length
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}; {}", self.file, self.message, self.remedy)
        } else {
            write!(f, "{}:{}:{}: {}; {}", self.file, self.line, self.column, self.message, self.remedy)
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The nearest known name, or all of them.
pub(super) fn nearest(name: &str, known: &[&str]) -> String {
    crate::cdevents::validate::nearest::nearest(name, known.iter().copied()).map_or_else(
        || {
            if known.is_empty() {
                "there is nothing to name here".to_owned()
            } else {
                format!("known: {}", known.join(", "))
            }
        },
        |nearest| format!("did you mean `{nearest}`?"),
    )
}
