//! The rules of the mappings that accepted a notification, one after another.

use super::scope::Scope;
use super::{
    Change, Document, Emission, Explanation, Failure, Hold, Owner, Past, Prepared, RuleExplained, Translation, Verdict,
};
use crate::cdevents::{self, Event, SpecVersion};
use crate::config::units;
use crate::mapping::{Emit, EvalError, Expr, Mapping, Rule, Tree, Variables};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Most events of one notification: a `forEach` over a large list mustn't fill the store.
const MOST_EVENTS: usize = 1000;
/// Most bytes of an event, as one spec version writes it.
const LARGEST_EVENT: usize = 1 << 20;

pub(super) fn run(
    prepared: Prepared<'_>,
    past: &dyn Past,
    versions: &[SpecVersion],
    mut explanation: Option<&mut Explanation>,
) -> Result<Translation, Failure> {
    let Prepared { told, accepted, owners, received_at, .. } = prepared;
    let newest = [SpecVersion::NEWEST];
    let versions = if versions.is_empty() { &newest[..] } else { versions };
    let mut said = HashSet::new();
    let mut translation = Translation::default();
    for (mapping, owner) in accepted.into_iter().zip(owners) {
        let mut run = Run {
            mapping,
            scope: Scope::new(&told, mapping, past.memory(&owner)),
            source: told.source_uri(),
            past,
            versions,
            received_at,
            said: &mut said,
            remembers: false,
            change: Change { owner, memory: None, drop: Vec::new(), emissions: Vec::new() },
            explained: explanation.is_some().then(Vec::new),
        };
        let outcome = run.rules();
        let (change, explained) = run.finish();
        if let (Some(explanation), Some(rules)) = (explanation.as_deref_mut(), explained) {
            explanation.rules_of(&change.owner, rules);
        }
        outcome?;
        if change.memory.is_some() || !change.drop.is_empty() || !change.emissions.is_empty() {
            translation.changes.push(change);
        }
    }
    Ok(translation)
}

/// One mapping and one notification.
struct Run<'r> {
    mapping: &'r Mapping,
    scope: Scope<'r>,
    source: Option<&'r str>,
    past: &'r dyn Past,
    versions: &'r [SpecVersion],
    received_at: Timestamp,
    /// Ids of the events of this notification, over all mappings.
    said: &'r mut HashSet<String>,
    remembers: bool,
    change: Change,
    explained: Option<Vec<RuleExplained>>,
}

impl<'r> Run<'r> {
    fn rules(&mut self) -> Result<(), Failure> {
        let mapping = self.mapping;
        let candidates: Box<dyn Iterator<Item = usize>> = match &self.explained {
            // Who asks why is told of every rule.
            Some(_) => Box::new(0..mapping.rules.len()),
            None => Box::new(mapping.index.candidates(&self.scope)),
        };
        for rule in candidates.filter_map(|at| mapping.rules.get(at)) {
            let stop = self.rule(rule).map_err(|problem| Failure {
                mapping: self.mapping.name.clone(),
                rule: Some(rule.name.clone()),
                problem,
            })?;
            if stop {
                break;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> (Change, Option<Vec<RuleExplained>>) {
        if self.remembers {
            self.change.memory = Some(self.scope.into_memory());
        }
        (self.change, self.explained)
    }

    /// Whether later rules are skipped.
    fn rule(&mut self, rule: &'r Rule) -> Result<bool, String> {
        self.scope.enter(None);
        let Some(items) = self.items(rule)? else { return Ok(false) };
        let mut matched = false;
        for (index, item) in items.into_iter().enumerate() {
            self.scope.enter(item.map(|item| (index, item)));
            if self.matches(rule)? {
                matched = true;
                self.act(rule)?;
            }
        }
        Ok(matched && rule.stop)
    }

    /// What `forEach` goes over; nothing when that isn't there.
    fn items(&mut self, rule: &Rule) -> Result<Option<Vec<Option<Value>>>, String> {
        let Some(for_each) = &rule.for_each else { return Ok(Some(vec![None])) };
        match for_each.value(&self.scope) {
            Ok(Value::Array(items)) => Ok(Some(items.into_iter().map(Some).collect())),
            Ok(other) => Err(format!("`forEach` must be a list, and is {other}")),
            Err(error @ EvalError::Absent(_)) => {
                self.explain(rule, || Verdict::NotMatched {
                    term: for_each.source().to_owned(),
                    why: error.to_string(),
                });
                Ok(None)
            }
            Err(EvalError::Failed(problem)) => Err(format!("`forEach`: {problem}")),
        }
    }

    fn matches(&mut self, rule: &Rule) -> Result<bool, String> {
        let Some(when) = &rule.when else { return Ok(true) };
        let absent = match when.holds(&self.scope) {
            Ok(true) => return Ok(true),
            Ok(false) => None,
            Err(error @ EvalError::Absent(_)) => Some(error),
            Err(EvalError::Failed(problem)) => return Err(format!("`when`: {problem}")),
        };
        if self.explained.is_some() {
            let absent = absent.map(|error| error.to_string());
            let (term, why) = super::explain::deciding(when, &self.scope, absent);
            self.explain(rule, || Verdict::NotMatched { term, why });
        }
        Ok(false)
    }

    /// A rule that matched: its event, and what it remembers. One whose event was said before does nothing.
    fn act(&mut self, rule: &Rule) -> Result<(), String> {
        let Some(emit) = &rule.emit else {
            self.drop_held(rule);
            let remembered = self.remembered(rule)?;
            self.apply(&rule.forget, remembered);
            self.explain(rule, || Verdict::Matched);
            return Ok(());
        };
        let mut empty = Vec::new();
        let head = self.head(emit, &mut empty)?;
        if self.said.contains(&head.id) || self.past.said(&head.id) {
            self.explain(rule, || Verdict::SaidBefore { id: head.id });
            return Ok(());
        }
        if self.said.len() >= MOST_EVENTS {
            return Err(format!("one notification gives more than {MOST_EVENTS} events: narrow `forEach`"));
        }
        let event = self.event(emit, head, &mut empty)?;
        let mut documents = self.documents(&event)?;
        let mut newest = documents.iter_mut().find(|document| document.version == SpecVersion::NEWEST);
        // Lent to what reads the event.
        let lent = newest.as_mut().map(|document| std::mem::take(&mut document.value));
        self.scope.set_event(Some(lent.unwrap_or_else(|| event.assemble(SpecVersion::NEWEST))));
        let hold = self.hold(emit)?;
        let remembered = self.remembered(rule)?;
        if let (Some(document), Some(lent)) = (newest, self.scope.set_event(None)) {
            document.value = lent;
        }
        self.drop_held(rule);
        let hold = match hold {
            Some(duration) => Some(Hold {
                name: emit.hold_name.clone(),
                duration,
                until: self.received_at.saturating_add(duration).unwrap_or(Timestamp::MAX),
                remember: remembered,
                forget: rule.forget.clone(),
            }),
            None => {
                self.apply(&rule.forget, remembered);
                None
            }
        };
        self.said.insert(event.id.clone());
        let until = hold.as_ref().map(|hold| hold.until);
        self.explain(rule, || Verdict::Emitted { id: event.id.clone(), kind: event.kind.clone(), until, empty });
        self.change.emissions.push(Emission { rule: rule.name.clone(), event, documents, hold });
        Ok(())
    }

    /// What an event's id is made of, and the id: most of the events that rules come to were said before.
    fn head(&mut self, emit: &Emit, empty: &mut Vec<String>) -> Result<Head, String> {
        let subject_id = self.text(&emit.subject_id, "subject.id", empty)?.ok_or("`subject.id` comes out empty")?;
        let source = match &emit.source {
            Some(_) => self.text(&emit.source, "source", empty)?,
            None => self.source.map(str::to_owned),
        };
        let source = source.ok_or("`source` comes out empty")?;
        let timestamp = self.text(&emit.timestamp, "timestamp", empty)?.ok_or("`timestamp` comes out empty")?;
        let id = match self.text(&emit.id, "id", empty)? {
            Some(id) => id,
            None => {
                let occurrence = self.text(&emit.occurrence, "occurrence", empty)?;
                cdevents::event_id(&source, &emit.kind, &subject_id, occurrence.as_ref().unwrap_or(&timestamp))
            }
        };
        Ok(Head { id, source, subject_id, timestamp })
    }

    fn event(&mut self, emit: &Emit, head: Head, empty: &mut Vec<String>) -> Result<Event, String> {
        let Head { id, source, subject_id, timestamp } = head;
        let links = match self.tree(emit.links.as_ref(), "links", empty)? {
            Some(Value::Array(links)) => links,
            Some(_) => return Err("`links` must be a list".to_owned()),
            None => Vec::new(),
        };
        let content = match self.tree(emit.content.as_ref(), "subject.content", empty)? {
            Some(Value::Object(content)) => content,
            Some(_) => return Err("`subject.content` must be a map".to_owned()),
            None => Map::new(),
        };
        Ok(Event {
            kind: emit.kind.clone(),
            id,
            source,
            timestamp,
            chain_id: self.text(&emit.chain_id, "chainId", empty)?,
            schema_uri: self.text(&emit.schema_uri, "schemaUri", empty)?,
            links,
            subject_id,
            subject_source: self.text(&emit.subject_source, "subject.source", empty)?,
            content,
            custom_data: self.tree(emit.custom_data.as_ref(), "customData", empty)?,
            custom_data_content_type: self.text(&emit.custom_data_content_type, "customDataContentType", empty)?,
        })
    }

    /// Valid in every version that it will be sent in, and of a size that a collector takes.
    fn documents(&self, event: &Event) -> Result<Vec<Document>, String> {
        let document = |version: &SpecVersion| {
            let value = event.assemble(*version);
            let faults = cdevents::faults(&value, *version);
            if !faults.is_empty() {
                let list: Vec<String> =
                    faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect();
                return Err(format!("{} isn't valid in CDEvents {version}: {}", event.kind, list.join("; ")));
            }
            let document = Document::new(*version, value);
            if document.text.len() > LARGEST_EVENT {
                let is = document.text.len();
                return Err(format!(
                    "{} would be {is} bytes long, and {LARGEST_EVENT} is the most: say less",
                    event.kind
                ));
            }
            Ok(document)
        };
        self.versions.iter().map(document).collect()
    }

    fn hold(&self, emit: &Emit) -> Result<Option<SignedDuration>, String> {
        let Some(expr) = &emit.hold else { return Ok(None) };
        let duration = duration(expr, &self.scope).map_err(|problem| format!("`hold`: {problem}"))?;
        Ok((!duration.is_zero()).then_some(duration))
    }

    fn remembered(&mut self, rule: &Rule) -> Result<Map<String, Value>, String> {
        let mut remembered = Map::new();
        for (name, tree) in &rule.remember {
            let value = self.tree(Some(tree), &format!("remember.{name}"), &mut Vec::new())?;
            remembered.insert(name.clone(), value.unwrap_or_else(|| Value::Object(Map::new())));
        }
        Ok(remembered)
    }

    fn apply(&mut self, forget: &[String], remember: Map<String, Value>) {
        self.remembers |= self.scope.remember(forget, remember);
    }

    /// Also what an earlier rule held in this same notification.
    fn drop_held(&mut self, rule: &Rule) {
        for name in &rule.drop {
            let dropped = |emission: &Emission| emission.hold.as_ref().is_some_and(|hold| hold.name == *name);
            let (gone, kept) = std::mem::take(&mut self.change.emissions).into_iter().partition(dropped);
            let gone: Vec<Emission> = gone;
            for emission in &gone {
                self.said.remove(&emission.event.id);
            }
            self.change.emissions = kept;
            if !self.change.drop.contains(name) {
                self.change.drop.push(name.clone());
            }
        }
    }

    fn text(&mut self, tree: &Option<Tree>, what: &str, empty: &mut Vec<String>) -> Result<Option<String>, String> {
        match self.tree(tree.as_ref(), what, empty)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("`{what}` must be text, and is {other}")),
        }
    }

    fn tree(&mut self, tree: Option<&Tree>, what: &str, empty: &mut Vec<String>) -> Result<Option<Value>, String> {
        let Some(tree) = tree else { return Ok(None) };
        let mut here = Vec::new();
        let value = tree
            .render(&self.mapping.library, &self.scope, &mut here)
            .map_err(|error| format!("`{what}{}`: {}", error.path.replace('/', "."), error.problem))?;
        empty.extend(here.into_iter().map(|path| format!("{what}{}", path.replace('/', "."))));
        Ok(value)
    }

    fn explain(&mut self, rule: &Rule, verdict: impl FnOnce() -> Verdict) {
        if let Some(explained) = &mut self.explained {
            explained.push(RuleExplained { rule: rule.name.clone(), line: rule.line, verdict: verdict() });
        }
    }
}

/// What is needed of an event to know whether it was said.
struct Head {
    id: String,
    source: String,
    subject_id: String,
    timestamp: String,
}

/// `30s`, or milliseconds as `duration('30s')` gives them.
fn duration(expr: &Expr, scope: &dyn Variables) -> Result<SignedDuration, String> {
    match expr.value(scope).map_err(|error| error.to_string())? {
        Value::String(text) => SignedDuration::try_from(units::span(&text)?).map_err(|error| error.to_string()),
        Value::Number(millis) => match millis.as_i64() {
            Some(millis) if millis >= 0 => Ok(SignedDuration::from_millis(millis)),
            _ => Err(format!("{millis} isn't a duration")),
        },
        Value::Null => Ok(SignedDuration::ZERO),
        other => Err(format!("{other} isn't a duration: write '30s'")),
    }
}

impl Explanation {
    fn rules_of(&mut self, owner: &Owner, rules: Vec<RuleExplained>) {
        if let Some(mapping) = self.mappings.iter_mut().find(|mapping| mapping.mapping == owner.mapping) {
            mapping.rules = rules;
        }
    }
}
