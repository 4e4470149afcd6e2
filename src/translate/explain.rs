//! Why a rule matched or didn't, down to the term that decided.

use crate::mapping::{self, EvalError, Expr, Variables};
use jiff::Timestamp;
use serde::Serialize;
use std::fmt;

/// Why a notification became what it became.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// In the order of the mappings.
    pub mappings: Vec<MappingExplained>,
}

/// One mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MappingExplained {
    /// Its name.
    pub mapping: String,
    /// What the notification is about; absent when the mapping doesn't read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Why it doesn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// Its rules in order; those behind a `stop` are missing.
    pub rules: Vec<RuleExplained>,
}

/// One rule, or one item of its `forEach`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleExplained {
    /// Its name.
    pub rule: String,
    /// Where it stands in its file, 1-based.
    pub line: usize,
    /// What became of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What became of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "camelCase")]
pub enum Verdict {
    /// It made an event.
    Emitted {
        /// The event's id.
        id: String,
        /// `service.deployed`
        kind: String,
        /// Until when it's held.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// Fields that came out empty and were left out.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        empty: Vec<String>,
    },
    /// It matched and has no event.
    Matched,
    /// Its event was said before, so it did nothing.
    SaidBefore {
        /// The event's id.
        id: String,
    },
    /// Its condition didn't hold.
    NotMatched {
        /// The term that decided.
        term: String,
        /// What the term read.
        why: String,
    },
}

/// The first term that doesn't hold, and the values that it read.
pub(super) fn deciding(when: &Expr, scope: &dyn Variables, absent: Option<String>) -> (String, String) {
    let terms = mapping::terms(when);
    let failing = terms.iter().find(|term| !matches!(term.holds(scope), Ok(true)));
    let term = failing.unwrap_or(when);
    let why = match term.holds(scope) {
        Err(error @ EvalError::Absent(_)) => error.to_string(),
        _ => absent.filter(|_| failing.is_none()).unwrap_or_else(|| values(term, scope)),
    };
    (term.source().to_owned(), why)
}

fn values(term: &Expr, scope: &dyn Variables) -> String {
    let read = term.reads().iter().map(|path| {
        let mut value = path.first().and_then(|root| scope.variable(root).ok().flatten());
        for name in path.iter().skip(1) {
            value = value.and_then(|value| value.get(name));
        }
        let shown = value.map_or("absent".to_owned(), |value| {
            let text = value.to_string();
            if text.len() > 80 { format!("{}…", text.chars().take(80).collect::<String>()) } else { text }
        });
        format!("{} is {shown}", path.join("."))
    });
    read.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mapping in &self.mappings {
            match (&mapping.key, &mapping.why_not) {
                (Some(key), _) => writeln!(f, "{} (key {key})", mapping.mapping)?,
                (None, why) => {
                    writeln!(f, "{} doesn't read it: {}", mapping.mapping, why.as_deref().unwrap_or("no key"))?;
                }
            }
            for rule in &mapping.rules {
                writeln!(f, "  {rule}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for RuleExplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = &self.rule;
        match &self.verdict {
            Verdict::Emitted { id, kind, until, empty } => {
                write!(f, "+ {rule}: {kind} {id}")?;
                if let Some(until) = until {
                    write!(f, ", held until {until}")?;
                }
                if !empty.is_empty() {
                    write!(f, "; left out because empty: {}", empty.join(", "))?;
                }
                Ok(())
            }
            Verdict::Matched => write!(f, "+ {rule}: matched"),
            Verdict::SaidBefore { id } => write!(f, "= {rule}: said before as {id}"),
            Verdict::NotMatched { term, why } => write!(f, "- {rule}: `{term}` doesn't hold: {why}"),
        }
    }
}
