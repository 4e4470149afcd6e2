//! Which rules can hold at all: told by what they require of a notification, without evaluating each.
//!
//! A condition `a && b && c` is false when one of its terms is. Terms that compare something which is the same for the whole
//! notification with constants (`argo.app.name == 'pear'`, `parameters.on`) are looked up once for all rules that have them.

use super::Rule;
use super::cel::{Constant, Variables, found};
use indexmap::IndexMap;
use std::collections::HashMap;

/// What is the same for every rule.
const SAME: [&str; 4] = ["argo", "body", "request", "parameters"];

/// The rules of a mapping by what they require.
#[derive(Debug, Default)]
pub(crate) struct Index {
    count: usize,
    /// Those that require nothing that can be looked up.
    others: Set,
    required: Vec<Required>,
}

/// Rules that require a value of one path.
#[derive(Debug)]
struct Required {
    path: Vec<String>,
    all: Set,
    /// Those that require a truth value: text there makes them fail.
    flags: Set,
    by_value: HashMap<Constant, Set>,
}

/// Rules by their place, a bit for each.
#[derive(Debug, Default, Clone)]
struct Set(Vec<u64>);

impl Set {
    fn insert(&mut self, rule: usize) {
        let word = rule / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (rule % 64);
    }

    fn add(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(word, more)| *word |= more);
    }

    fn contains(&self, rule: usize) -> bool {
        self.0.get(rule / 64).is_some_and(|word| word & (1 << (rule % 64)) != 0)
    }
}

impl Index {
    pub(super) fn of(rules: &[Rule]) -> Self {
        let requirements: Vec<_> = rules.iter().map(requirements).collect();
        // The path with the most different values tells most rules apart.
        let mut values: IndexMap<&[String], Vec<&Constant>> = IndexMap::new();
        for (path, constants) in requirements.iter().flatten() {
            let known = values.entry(path).or_default();
            constants.iter().for_each(|constant| {
                if !known.contains(&constant) {
                    known.push(constant);
                }
            });
        }
        let mut index = Self { count: rules.len(), ..Self::default() };
        for (rule, required) in requirements.iter().enumerate() {
            let most = required.iter().max_by_key(|(path, _)| values.get(path.as_slice()).map_or(0, Vec::len));
            match most {
                Some((path, constants)) => index.require(rule, path, constants),
                None => index.others.insert(rule),
            }
        }
        index
    }

    fn require(&mut self, rule: usize, path: &[String], constants: &[Constant]) {
        let at = self.required.iter().position(|required| required.path == path).unwrap_or_else(|| {
            self.required.push(Required {
                path: path.to_vec(),
                all: Set::default(),
                flags: Set::default(),
                by_value: HashMap::new(),
            });
            self.required.len() - 1
        });
        let required = &mut self.required[at];
        required.all.insert(rule);
        if constants.iter().any(|constant| matches!(constant, Constant::Flag(_))) {
            required.flags.insert(rule);
        }
        constants.iter().for_each(|constant| required.by_value.entry(constant.clone()).or_default().insert(rule));
    }

    /// The places of the rules that may hold, in order; the others certainly don't.
    pub(crate) fn candidates(&self, vars: &dyn Variables) -> impl Iterator<Item = usize> + use<> {
        let mut set = self.others.clone();
        for required in &self.required {
            let value = found(&required.path, vars).ok().flatten();
            let value = value.and_then(Constant::of);
            if let Some(Constant::Text(_)) = value {
                set.add(&required.flags);
            }
            match value {
                Some(value) => required.by_value.get(&value).into_iter().for_each(|rules| set.add(rules)),
                // What isn't there, or is something else, makes a condition fail or stop otherwise.
                None => set.add(&required.all),
            }
        }
        (0..self.count).filter(move |rule| set.contains(*rule))
    }
}

/// What a rule requires: a path, and the values of which it must have one.
fn requirements(rule: &Rule) -> Vec<(Vec<String>, Vec<Constant>)> {
    // With `forEach`, what isn't a list is a failure, which is told.
    let when = rule.when.as_ref().filter(|_| rule.for_each.is_none());
    let all = when.map(super::cel::Expr::requires).unwrap_or_default();
    all.into_iter().filter(|(path, _)| path.first().is_some_and(|root| SAME.contains(&root.as_str()))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::cel::Expr;
    use super::*;
    use serde_json::{Map, Value, json};

    fn rule(when: &str) -> Rule {
        Rule {
            name: "r".into(),
            line: 1,
            when: Some(Expr::compile(when).unwrap()),
            for_each: None,
            emit: None,
            remember: Vec::new(),
            forget: Vec::new(),
            drop: Vec::new(),
            stop: false,
        }
    }

    fn scope(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn rules_that_require_something_else_are_no_candidates() {
        let rules: Vec<Rule> = [
            "argo.app.name == 'a' && argo.on",
            "argo.app.name in ['b', 'c'] && argo.on",
            "'a' == argo.app.name",
            "argo.app.name == 'b' || true",
            "!parameters.off",
            "parameters.off",
            "argo.n == 1 && memory.x == 'y'",
        ]
        .map(rule)
        .into();
        let index = Index::of(&rules);
        let candidates = |value: Value| index.candidates(&scope(&value)).collect::<Vec<_>>();
        let parameters = json!({"off": false});
        assert_eq!(candidates(json!({"argo": {"app": {"name": "a"}}, "parameters": parameters})), [0, 2, 3, 4, 6]);
        assert_eq!(candidates(json!({"argo": {"app": {"name": "c"}}, "parameters": parameters})), [1, 3, 4, 6]);
        assert_eq!(candidates(json!({"argo": {"app": {"name": "z"}}, "parameters": {"off": true}})), [3, 5, 6]);
        // What isn't there, or isn't text, has no place in the index.
        assert_eq!(candidates(json!({"argo": {"app": {"name": 1}}})), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_rule_that_is_no_candidate_would_not_hold() {
        let terms = [
            "argo.s == 'x'",
            "argo.s in ['x', 'y']",
            "argo.b",
            "!argo.b",
            "argo.n == 1",
            "argo.none.s == 'x'",
            "1 / 0 == 1",
        ];
        let mut rules = Vec::new();
        for left in terms {
            for right in terms {
                rules.extend(
                    [format!("{left} && {right}"), format!("{left} || {right}"), format!("!({left})")]
                        .map(|w| rule(&w)),
                );
            }
        }
        let index = Index::of(&rules);
        let mut skipped = 0;
        for s in [json!("x"), json!("y"), json!("z"), json!(true), json!(null)] {
            for b in [json!(true), json!(false), json!("x")] {
                let scope = scope(&json!({"argo": {"s": s, "b": b, "n": 1}}));
                let candidates: Vec<_> = index.candidates(&scope).collect();
                skipped += rules.len() - candidates.len();
                for (at, rule) in rules.iter().enumerate().filter(|(at, _)| !candidates.contains(at)) {
                    let when = rule.when.as_ref().unwrap();
                    assert_eq!(when.holds(&scope), Ok(false), "{at}: {}", when.source());
                }
            }
        }
        assert!(skipped > 0);
    }
}
