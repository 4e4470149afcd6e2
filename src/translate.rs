//! The order of a translation and nothing else: facts, match, render, assemble, validate.
//!
//! Pure: no runtime, no network, no store and no clock. What a translation must know of the past comes in as
//! [`Past`]; what the future must know goes out in [`Translation`].

mod explain;
mod recollection;
mod run;
mod scope;

pub use explain::{Explanation, MappingExplained, RuleExplained, Verdict};
pub use recollection::Recollection;

use crate::cdevents::{Event, SpecVersion};
use crate::mapping::{EvalError, Mapping, Mappings};
use crate::notification::Notification;
use jiff::{SignedDuration, Timestamp};
use scope::{Scope, Told};
use serde_json::{Map, Value};
use std::sync::Arc;

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
    /// As each of the spec versions that were asked for writes it.
    pub documents: Vec<Document>,
    /// Absent: it goes out at once.
    pub hold: Option<Hold>,
}

/// An event as one spec version writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The version.
    pub version: SpecVersion,
    /// For filters.
    pub value: Value,
    /// For the wire.
    pub text: Arc<str>,
}

impl Document {
    /// Writes a document down.
    #[must_use]
    pub fn new(version: SpecVersion, value: Value) -> Self {
        // `Display` checks again what it wrote.
        let text = serde_json::to_string(&value).unwrap_or_default().into();
        Self { version, value, text }
    }
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
    told: Told,
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
    let told = Told::new(notification);
    let mut prepared = Prepared { told, accepted: Vec::new(), owners: Vec::new(), received_at, explained: Vec::new() };
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
        let failed = |problem: String| Failure { mapping: mapping.name.clone(), rule: None, problem };
        let (key, why_not) = match key_of(mapping, &self.told).map_err(failed)? {
            Ok(key) => {
                self.accepted.push(mapping);
                self.owners.push(Owner { mapping: mapping.name.clone(), key: key.clone() });
                (Some(key), None)
            }
            Err(why_not) => (None, Some(why_not)),
        };
        self.explained.push(MappingExplained { mapping: mapping.name.clone(), key, why_not, rules: Vec::new() });
        Ok(())
    }
}

/// What a notification is about to a mapping, or why that doesn't read it.
fn key_of(mapping: &Mapping, told: &Told) -> Result<Result<String, String>, String> {
    let scope = Scope::new(told, mapping, Map::new());
    match mapping.accept.as_ref().map(|accept| accept.holds(&scope)) {
        None | Some(Ok(true)) => {}
        Some(Ok(false)) => return Ok(Err("`accept` is false".to_owned())),
        Some(Err(error @ EvalError::Absent(_))) => return Ok(Err(format!("`accept` {error}"))),
        Some(Err(EvalError::Failed(problem))) => return Err(format!("`accept`: {problem}")),
    }
    match mapping.key.value(&scope) {
        Ok(Value::String(key)) if !key.is_empty() => Ok(Ok(key)),
        Ok(Value::String(_)) => Ok(Err("`key` is empty".to_owned())),
        Err(error @ EvalError::Absent(_)) => Ok(Err(format!("`key` {error}"))),
        Ok(other) => Err(format!("`key` must be text, and is {other}")),
        Err(EvalError::Failed(problem)) => Err(format!("`key`: {problem}")),
    }
}
