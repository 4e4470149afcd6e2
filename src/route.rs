//! Who gets which event, and in which spec version: a pure function from a translation to what the outbox keeps.
//!
//! Promises that a document is written once per version, and that an event which no sink wants is still kept as said.

use crate::cdevents::{self, Event, SpecVersion};
use crate::config;
use crate::mapping::{Condition, ConditionError, Variables};
use crate::outbox::{HeldUntil, Outgoing, RoutedChange};
use crate::translate::{Document, Emission, Translation};
use serde_json::Value;
use std::sync::Arc;

/// The sinks' filters, compiled.
#[derive(Debug, Default)]
pub struct Routes(Vec<Route>);

#[derive(Debug)]
struct Route {
    sink: Arc<str>,
    version: SpecVersion,
    types: Vec<String>,
    when: Option<Condition>,
}

/// Every fault in the sinks' filters.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct RouteFaults(pub Vec<String>);

impl Routes {
    /// Compiles the filters of `sinks`.
    ///
    /// # Errors
    ///
    /// Every condition that isn't CEL over `event`, and every type pattern that fits no event.
    pub fn compile(sinks: &[config::Sink]) -> Result<Self, RouteFaults> {
        let mut faults = Vec::new();
        let mut routes = Vec::new();
        for sink in sinks {
            let compiled = sink.when.as_deref().map(Condition::over_event).transpose();
            let when = compiled.unwrap_or_else(|error: ConditionError| {
                faults.push(format!("sinks.{}.when: {error}", sink.name));
                None
            });
            for pattern in sink.types.iter().filter(|pattern| !fits_any(pattern, sink.version)) {
                faults.push(format!(
                    "sinks.{}.types: `{pattern}` fits no event of CDEvents {}: write `service.*`, `incident.detected` or \
                     `dev.cdeventsx.*`",
                    sink.name, sink.version
                ));
            }
            routes.push(Route { sink: Arc::clone(&sink.name), version: sink.version, types: sink.types.clone(), when });
        }
        if faults.is_empty() { Ok(Self(routes)) } else { Err(RouteFaults(faults)) }
    }

    /// The spec versions that some sink asks for: what every event must be valid in.
    #[must_use]
    pub fn versions(&self) -> Vec<SpecVersion> {
        let mut versions: Vec<_> = self.0.iter().map(|route| route.version).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    /// Lays every event of a translation out for the sinks that want it.
    #[must_use]
    pub fn route(&self, translation: Translation) -> Vec<RoutedChange> {
        let routed = translation.changes.into_iter().map(|change| RoutedChange {
            owner: change.owner,
            memory: change.memory,
            drop: change.drop,
            outgoing: change.emissions.into_iter().map(|emission| self.outgoing(emission)).collect(),
        });
        routed.collect()
    }

    fn outgoing(&self, emission: Emission) -> Outgoing {
        let Emission { event, hold, documents, .. } = emission;
        let (documents, sinks) = self.wanted(&event.kind, documents, |version| event.assemble(version));
        let hold = hold.map(|hold| HeldUntil {
            name: hold.name,
            until: hold.until,
            remember: hold.remember,
            forget: hold.forget,
        });
        let Event { id, kind, subject_id: subject, .. } = event;
        Outgoing { id, kind, subject, documents, sinks, hold }
    }

    /// Lays out an event that came as a document: as it came, or in a sink's own version where it's valid in that.
    #[must_use]
    pub fn forward(&self, event: &Event, spec: SpecVersion, document: &Value) -> (Documents, Wanted) {
        self.wanted(&event.kind, Vec::new(), |version| {
            if version == spec {
                return document.clone();
            }
            let translated = event.assemble(version);
            let valid = cdevents::faults(&translated, version).is_empty();
            if valid { translated } else { document.clone() }
        })
    }

    /// The documents that are needed, each assembled at most once, and who gets which.
    fn wanted(&self, kind: &str, known: Vec<Document>, assemble: impl Fn(SpecVersion) -> Value) -> (Documents, Wanted) {
        let mut documents = known;
        let mut sinks = Vec::new();
        for route in self.0.iter().filter(|route| route.wants_type(kind)) {
            let known = documents.iter().position(|document| document.version == route.version);
            let index = known.unwrap_or_else(|| {
                documents.push(Document::new(route.version, assemble(route.version)));
                documents.len() - 1
            });
            if route.wants(&documents[index].value) {
                sinks.push((Arc::clone(&route.sink), route.version));
            }
        }
        let needed =
            documents.into_iter().filter(|document| sinks.iter().any(|(_, wanted)| *wanted == document.version));
        (needed.map(|document| (document.version, document.text)).collect(), sinks)
    }
}

/// A document per version.
pub type Documents = Vec<(SpecVersion, Arc<str>)>;
/// The sinks that want an event, each with its version.
pub type Wanted = Vec<(Arc<str>, SpecVersion)>;

/// What a sink's filter reads.
struct OfEvent<'d>(&'d Value);

impl Variables for OfEvent<'_> {
    fn variable(&self, name: &str) -> Result<Option<&Value>, String> {
        Ok((name == "event").then_some(self.0))
    }
}

impl Route {
    fn wants_type(&self, kind: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|pattern| glob(pattern, kind))
    }

    /// A condition that reads something absent doesn't match; one that fails otherwise lets the event through, because a
    /// filter that is wrong mustn't lose anything.
    fn wants(&self, document: &Value) -> bool {
        let Some(when) = &self.when else { return true };
        when.holds(&OfEvent(document)).unwrap_or_else(|error| {
            tracing::warn!(sink = %self.sink, %error, "the sink's `when` failed, the event is sent");
            true
        })
    }
}

fn fits_any(pattern: &str, version: SpecVersion) -> bool {
    let custom = "dev.cdeventsx.";
    let head = pattern.split('*').next().unwrap_or_default();
    let known = crate::cdevents::vocabulary::kinds(version).iter().any(|kind| glob(pattern, &kind.kind));
    known || head.starts_with(custom) || (pattern.contains('*') && custom.starts_with(head))
}

/// `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(previous) = last.replace(part) {
            let Some(at) = str::find(rest, previous) else { return false };
            rest = &rest[at + str::len(previous)..];
        }
    }
    match last {
        None => rest.is_empty(),
        Some(last) => rest.ends_with(last),
    }
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, fits) in [
            ("service.*", "service.deployed", true),
            ("service.*", "services.deployed", false),
            ("*", "", true),
            ("*.detected", "incident.detected", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("service.deployed", "service.deployed", true),
            ("service.deployed", "service.deployed2", false),
            ("ab*b", "ab", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
