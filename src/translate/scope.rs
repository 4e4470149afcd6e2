//! What rules read: the notification, and what one mapping makes of it.

use crate::argocd;
use crate::mapping::{Budget, EvalError, MOST_STEPS_IN_ALL, Mapping, Variables};
use crate::notification::Notification;
use serde_json::{Map, Value};
use std::cell::OnceCell;

/// What is the same for every mapping. The body is moved into it, not copied.
#[derive(Debug)]
pub(super) struct Told {
    body: Value,
    request: Value,
    argo: Option<Value>,
}

impl Told {
    pub(super) fn new(notification: Notification) -> Self {
        let stated = notification.body.pointer("/context/argocdUrl").and_then(Value::as_str);
        let stated = stated.filter(|url| !url.is_empty()).map(|url| url.trim_end_matches('/').to_owned());
        let argo = notification.application().map(|application| {
            let mut facts = argocd::facts(application);
            facts.app.url = stated.as_ref().map(|url| match &facts.app.namespace {
                Some(namespace) => format!("{url}/applications/{namespace}/{}", facts.app.name),
                None => format!("{url}/applications/{}", facts.app.name),
            });
            serde_json::to_value(facts).unwrap_or_default()
        });
        let mut request = serde_json::to_value(notification.request.as_ref()).unwrap_or_default();
        let source = &notification.request.source;
        if source.uri.is_empty() {
            request["source"]["uri"] = stated.unwrap_or_else(|| format!("urn:argocd:{}", source.name)).into();
        }
        Self { body: notification.body, request, argo }
    }

    /// `context.source` of events that name none.
    pub(super) fn source_uri(&self) -> Option<&str> {
        self.request.pointer("/source/uri").and_then(Value::as_str)
    }
}

/// What one mapping's rules read. Named values are evaluated when they're first read.
#[derive(Debug)]
pub(super) struct Scope<'t> {
    told: &'t Told,
    mapping: &'t Mapping,
    /// A map.
    memory: Value,
    item: Option<(Value, Value)>,
    event: Option<Value>,
    lets: Vec<OnceCell<Result<Option<Value>, String>>>,
    budget: Budget,
    /// Steps that are left for all events together.
    left: u32,
}

impl<'t> Scope<'t> {
    pub(super) fn new(told: &'t Told, mapping: &'t Mapping, memory: Map<String, Value>) -> Self {
        let lets = mapping.lets.iter().map(|_| OnceCell::new()).collect();
        let memory = Value::Object(memory);
        Self {
            told,
            mapping,
            memory,
            item: None,
            event: None,
            lets,
            budget: Budget::default(),
            left: MOST_STEPS_IN_ALL,
        }
    }

    /// The next item of a `forEach`. What it costs is counted anew.
    pub(super) fn enter(&mut self, item: Option<(usize, Value)>) {
        (self.budget, self.left) = self.budget.next(self.left);
        self.item = item.map(|(index, item)| (item, index.into()));
    }

    /// The event that `remember` and `hold` read; gives back the one before.
    pub(super) fn set_event(&mut self, event: Option<Value>) -> Option<Value> {
        std::mem::replace(&mut self.event, event)
    }

    /// Changes the memory; says whether that changed anything. Named values that read it are evaluated again.
    pub(super) fn remember(&mut self, forget: &[String], remember: Map<String, Value>) -> bool {
        let Value::Object(memory) = &mut self.memory else { return false };
        let mut changed = false;
        for name in forget {
            changed |= memory.shift_remove(name).is_some();
        }
        for (name, value) in remember {
            changed |= memory.get(&name) != Some(&value);
            memory.insert(name, value);
        }
        if changed {
            let cells = self.lets.iter_mut().zip(self.mapping.lets.values());
            cells.filter(|(_, one)| one.remembers).for_each(|(cell, _)| drop(cell.take()));
        }
        changed
    }

    pub(super) fn into_memory(self) -> Map<String, Value> {
        if let Value::Object(memory) = self.memory { memory } else { Map::new() }
    }

    /// A named value; what reads something absent is absent itself.
    fn named(&self, name: &str) -> Result<Option<&Value>, String> {
        let Some((at, _, one)) = self.mapping.lets.get_full(name) else { return Ok(None) };
        let evaluated = self.lets[at].get_or_init(|| match one.expr.value(self) {
            Ok(value) => Ok(Some(value)),
            Err(EvalError::Absent(_)) => Ok(None),
            Err(EvalError::Failed(problem)) => Err(format!("`let` {name}: {problem}")),
        });
        evaluated.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }
}

impl Variables for Scope<'_> {
    fn variable(&self, name: &str) -> Result<Option<&Value>, String> {
        match name {
            "argo" => Ok(self.told.argo.as_ref()),
            "memory" => Ok(Some(&self.memory)),
            "parameters" => Ok(Some(&self.mapping.parameters)),
            "request" => Ok(Some(&self.told.request)),
            "body" => Ok(Some(&self.told.body)),
            "item" => Ok(self.item.as_ref().map(|(item, _)| item)),
            "index" => Ok(self.item.as_ref().map(|(_, index)| index)),
            "event" => Ok(self.event.as_ref()),
            _ => self.named(name),
        }
    }

    fn budget(&self) -> Option<&Budget> {
        Some(&self.budget)
    }
}
