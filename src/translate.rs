//! The order of a translation and nothing else: facts, match, render, assemble, validate.
//!
//! Pure: no runtime, no network, no store and no clock. What a translation must know of the past comes in as
//! [`Past`]; what the future must know goes out in [`Translation`].

mod explain;
mod recollection;
mod run;

pub use explain::{Explanation, MappingExplained, RuleExplained, Verdict};
pub use recollection::Recollection;

use crate::argocd;
use crate::cdevents::{Event, SpecVersion};
use crate::mapping::{EvalError, Mapping, Mappings};
use crate::notification::Notification;
use handlebars::Context;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

/// Whose memory it is: a mapping by its name, and the key that it gave the notification.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// `metadata.name` of the mapping.
    pub mapping: String,
    /// What its `key` evaluated to.
    pub key: String,
}

/// What a translation may know of the past.
pub trait Past {
    /// What rules remembered for `owner`: name → object. Empty when nothing was.
    fn memory(&self, owner: &Owner) -> Map<String, Value>;
    /// Whether an event of this id was said already: accepted for delivery, or released from being held. An event that
    /// is still held wasn't said.
    fn said(&self, event_id: &str) -> bool;
}

/// What comes of one notification. All of it is committed together, or nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Translation {
    /// One change per mapping that accepted the notification, in the order of the mappings.
    pub changes: Vec<Change>,
}

/// What one mapping makes of one notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Whose memory `memory` is, and whose events these are.
    pub owner: Owner,
    /// The whole memory of the owner after this notification, if it changed. What held events will remember when
    /// they're released isn't in it.
    pub memory: Option<Map<String, Value>>,
    /// Names of held events of this owner that must not go out any more. Applied before `emissions`.
    pub drop: Vec<String>,
    /// The events, in the order in which they are to be delivered.
    pub emissions: Vec<Emission>,
}

/// One event and when it may go out.
#[derive(Debug, Clone, PartialEq)]
pub struct Emission {
    /// The rule that made it.
    pub rule: String,
    /// The event. One with the id of an event that is held replaces that.
    pub event: Event,
    /// Absent: it goes out at once.
    pub hold: Option<Hold>,
}

/// An event that waits in the store before it goes out.
#[derive(Debug, Clone, PartialEq)]
pub struct Hold {
    /// Name by which later notifications of the same owner can drop it.
    pub name: String,
    /// How long after the notification was received.
    pub duration: SignedDuration,
    /// When it's released: the notification's `receivedAt` + `duration`.
    pub until: Timestamp,
    /// Memory entries that are written when the event is released: name → object.
    pub remember: Map<String, Value>,
    /// Memory entries that are removed when the event is released, before `remember`.
    pub forget: Vec<String>,
}

/// Why a notification can't be translated. Nothing of it is said then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{mapping}{}: {problem}", rule.as_ref().map(|rule| format!(", rule {rule}")).unwrap_or_default())]
pub struct Failure {
    /// The mapping.
    pub mapping: String,
    /// The rule, if it was one.
    pub rule: Option<String>,
    /// What went wrong and what to do.
    pub problem: String,
}

/// A notification of which is known what it's about.
#[derive(Debug)]
pub struct Prepared<'m> {
    scope: Context,
    accepted: Vec<&'m Mapping>,
    owners: Vec<Owner>,
    received_at: Timestamp,
    explained: Vec<MappingExplained>,
}

/// Computes the facts, and asks every mapping whether it reads this notification and what it's about.
///
/// # Errors
///
/// [`Failure`] when `accept` or `key` fail; what they read and isn't there only means that the mapping doesn't read it.
pub fn prepare(mappings: &Mappings, notification: Notification) -> Result<Prepared<'_>, Failure> {
    let received_at = notification.request.received_at;
    let scope = scope(notification);
    let mut prepared = Prepared { scope, accepted: Vec::new(), owners: Vec::new(), received_at, explained: Vec::new() };
    for mapping in &mappings.0 {
        prepared.ask(mapping)?;
    }
    Ok(prepared)
}

impl<'m> Prepared<'m> {
    /// Whose memory will be read and written, in the order of the mappings.
    #[must_use]
    pub fn owners(&self) -> &[Owner] {
        &self.owners
    }

    /// Runs the rules. Events are checked in each of `versions`, or in the newest when there are none.
    ///
    /// # Errors
    ///
    /// [`Failure`] when a rule fails, or its event isn't valid.
    pub fn run(self, past: &dyn Past, versions: &[SpecVersion]) -> Result<Translation, Failure> {
        run::run(self, past, versions, None)
    }

    /// The same, and why.
    pub fn run_explained(
        mut self,
        past: &dyn Past,
        versions: &[SpecVersion],
    ) -> (Result<Translation, Failure>, Explanation) {
        let mut explanation = Explanation { mappings: std::mem::take(&mut self.explained) };
        let translation = run::run(self, past, versions, Some(&mut explanation));
        (translation, explanation)
    }

    fn ask(&mut self, mapping: &'m Mapping) -> Result<(), Failure> {
        enter(&mut self.scope, mapping);
        let failed = |problem: String| Failure { mapping: mapping.name.clone(), rule: None, problem };
        let mut explained =
            MappingExplained { mapping: mapping.name.clone(), key: None, why_not: None, rules: Vec::new() };
        let none = Map::new();
        for name in mapping.lets_before() {
            run::fill_let(&mut self.scope, mapping, name).map_err(&failed)?;
        }
        let data = self.scope.data().as_object().unwrap_or(&none);
        let accepted = match mapping.accept.as_ref().map(|accept| accept.holds(data)) {
            None | Some(Ok(true)) => None,
            Some(Ok(false)) => Some("`accept` is false".to_owned()),
            Some(Err(error @ EvalError::Absent(_))) => Some(format!("`accept` {error}")),
            Some(Err(EvalError::Failed(problem))) => return Err(failed(format!("`accept`: {problem}"))),
        };
        explained.why_not = match (accepted, mapping.key.value(data)) {
            (Some(why_not), _) => Some(why_not),
            (None, Ok(Value::String(key))) if !key.is_empty() => {
                explained.key = Some(key.clone());
                self.accepted.push(mapping);
                self.owners.push(Owner { mapping: mapping.name.clone(), key });
                None
            }
            (None, Ok(Value::String(_))) => Some("`key` is empty".to_owned()),
            (None, Err(error @ EvalError::Absent(_))) => Some(format!("`key` {error}")),
            (None, Ok(other)) => return Err(failed(format!("`key` must be text, and is {other}"))),
            (None, Err(EvalError::Failed(problem))) => return Err(failed(format!("`key`: {problem}"))),
        };
        self.explained.push(explained);
        Ok(())
    }
}

/// What rules read, but for what depends on the mapping. The body is moved into it, not copied.
fn scope(mut notification: Notification) -> Context {
    let stated = notification.body.pointer("/context/argocdUrl").and_then(Value::as_str).filter(|url| !url.is_empty());
    let stated = stated.map(|url| url.trim_end_matches('/').to_owned());
    let argo = notification.application().map(|application| {
        let mut facts = argocd::facts(application);
        facts.app.url = stated.as_ref().map(|url| match &facts.app.namespace {
            Some(namespace) => format!("{url}/applications/{namespace}/{}", facts.app.name),
            None => format!("{url}/applications/{}", facts.app.name),
        });
        serde_json::to_value(facts).unwrap_or_default()
    });
    let source = &mut notification.request.source;
    if source.uri.is_empty() {
        source.uri = stated.unwrap_or_else(|| format!("urn:argocd:{}", source.name));
    }
    let request = serde_json::to_value(&notification.request).unwrap_or_default();
    let mut root = Map::from_iter([("body".to_owned(), notification.body), ("request".to_owned(), request)]);
    if let Some(argo) = argo {
        root.insert("argo".to_owned(), argo);
    }
    let mut scope = Context::null();
    *scope.data_mut() = Value::Object(root);
    scope
}

/// What depends on the mapping, and nothing of the one before.
fn enter(scope: &mut Context, mapping: &Mapping) {
    if let Some(root) = scope.data_mut().as_object_mut() {
        root.retain(|name, _| ["body", "request", "argo"].contains(&name.as_str()));
        root.insert("parameters".to_owned(), Value::Object(mapping.parameters.clone()));
    }
}
