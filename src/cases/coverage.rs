//! Which rules, and which fields of their events, no case has ever exercised.

use crate::cdevents::SpecVersion;
use crate::mapping::{Mappings, RuleInfo};
use crate::translate::Emission;
use std::collections::BTreeMap;
use std::fmt;

/// What was exercised so far, over all cases and files.
#[derive(Debug, Default)]
pub struct Coverage(BTreeMap<(String, usize), Exercised>);

#[derive(Debug)]
struct Exercised {
    rule: RuleInfo,
    events: usize,
    fields: Vec<String>,
}

impl Coverage {
    /// The rules of a mapping that emit are to be exercised.
    pub fn register(&mut self, mappings: &Mappings) {
        for rule in mappings.rules().into_iter().filter(|rule| !rule.fields.is_empty()) {
            let key = (rule.rule.clone(), rule.line);
            self.0.entry(key).or_insert(Exercised { rule, events: 0, fields: Vec::new() });
        }
    }

    /// An event was made.
    pub fn saw(&mut self, emission: &Emission) {
        let document = emission.event.assemble(SpecVersion::NEWEST);
        let exercised = self.0.values_mut().filter(|exercised| exercised.rule.rule == emission.rule);
        for exercised in exercised {
            exercised.events += 1;
            for field in &exercised.rule.fields {
                let there = document.pointer(field).is_some();
                if there && !exercised.fields.contains(field) {
                    exercised.fields.push(field.clone());
                }
            }
        }
    }

    /// Share of rules and fields that were exercised, in percent; 100 when there's nothing to exercise.
    #[must_use]
    pub fn percent(&self) -> usize {
        let all: usize = self.0.values().map(|one| 1 + one.rule.fields.len()).sum();
        let hit: usize = self.0.values().map(|one| usize::from(one.events > 0) + one.fields.len()).sum();
        (hit * 100).checked_div(all).unwrap_or(100)
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Exercised { rule, events, fields } in self.0.values() {
            let place = format!("{}:{} {}", rule.file, rule.line, rule.rule);
            if *events == 0 {
                writeln!(f, "{place}: no case makes this rule say anything")?;
                continue;
            }
            for missing in rule.fields.iter().filter(|field| !fields.contains(field)) {
                writeln!(f, "{place}: no case fills {missing}")?;
            }
        }
        writeln!(f, "{} % of rules and fields exercised", self.percent())
    }
}
