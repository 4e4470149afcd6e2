//! Notifications one after another on a virtual clock: what `translate` and `test` run on, with the same translation that
//! `serve` runs.
//!
//! Owns the clock and the memory of one sequence. Promises that nothing waits in real time: what is held is released when
//! the clock has come that far.

use crate::argocd;
use crate::cdevents::SpecVersion;
use crate::mapping::Mappings;
use crate::notification::{Notification, Request, Source};
use crate::translate::{self, Emission, Explanation, Failure, Recollection};
use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// A sequence of notifications with one memory.
#[derive(Debug)]
pub struct Replay<'a> {
    mappings: &'a Mappings,
    versions: Vec<SpecVersion>,
    past: Recollection,
    now: Option<Timestamp>,
    explains: bool,
}

/// What came of one notification.
#[derive(Debug)]
pub struct Told {
    /// What had been held and was released before it, because its time had come.
    pub released: Vec<Emission>,
    /// The notification's own events that go out at once.
    pub events: Vec<Emission>,
    /// The notification's own events that wait.
    pub held: Vec<Emission>,
    /// Why, rule by rule; empty unless that was asked for.
    pub explanation: Explanation,
}

/// One line of input: a body, with what is known about the request that it came in.
#[derive(Debug, Clone)]
pub struct Input {
    /// The body.
    pub body: Value,
    /// When it was received, if that was recorded.
    pub received_at: Option<Timestamp>,
    /// The request's path, if that was recorded.
    pub path: String,
}

impl Input {
    /// Reads a body, or a recorded request `{receivedAt, method, path, headers, body}` around one.
    #[must_use]
    pub fn new(document: Value) -> Self {
        let recorded = document.get("method").is_some_and(Value::is_string) && document.get("body").is_some();
        if !recorded {
            return Self { body: document, received_at: None, path: "/webhook".to_owned() };
        }
        let text = |key: &str| document.get(key).and_then(Value::as_str);
        let received_at = text("receivedAt").and_then(|at| at.parse().ok());
        let path = text("path").unwrap_or("/webhook").to_owned();
        let body = match &document["body"] {
            Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone())),
            body => body.clone(),
        };
        Self { body, received_at, path }
    }

    /// When it happened, as far as anybody says: when it was received, else the newest time in the Application.
    fn time(&self) -> Option<Timestamp> {
        let application = self.body.get("app").unwrap_or(&self.body);
        self.received_at.or_else(|| argocd::observed_at(application))
    }
}

impl<'a> Replay<'a> {
    /// An empty memory, before anything happened.
    #[must_use]
    pub fn new(mappings: &'a Mappings, versions: Vec<SpecVersion>) -> Self {
        Self { mappings, versions, past: Recollection::default(), now: None, explains: false }
    }

    /// The same that also says why; that takes longer.
    #[must_use]
    pub fn explained(self) -> Self {
        Self { explains: true, ..self }
    }

    /// Runs one notification. The clock never goes back: one that comes late is received when it comes.
    ///
    /// # Errors
    ///
    /// [`Failure`] when it can't be translated; the memory is as it was then.
    pub fn notify(&mut self, input: Input, source: Source) -> Result<Told, Failure> {
        let now = self.now.into_iter().chain(input.time()).max().unwrap_or(Timestamp::UNIX_EPOCH);
        let released = self.advance_to(now);
        let request =
            Request { path: input.path, query: IndexMap::new(), headers: IndexMap::new(), received_at: now, source };
        let prepared = translate::prepare(self.mappings, Notification::new(input.body, request))?;
        let (translation, explanation) = if self.explains {
            prepared.run_explained(&self.past, &self.versions)
        } else {
            (prepared.run(&self.past, &self.versions), Explanation::default())
        };
        let translation = translation?;
        let emissions = translation.changes.iter().flat_map(|change| change.emissions.iter().cloned());
        let (held, events) = emissions.partition(|emission| emission.hold.is_some());
        self.past.apply(&translation);
        Ok(Told { released, events, held, explanation })
    }

    /// Lets time pass.
    pub fn wait(&mut self, span: SignedDuration) -> Vec<Emission> {
        let now = self.now.unwrap_or(Timestamp::UNIX_EPOCH);
        self.advance_to(now.saturating_add(span).unwrap_or(Timestamp::MAX))
    }

    /// Lets all time pass.
    pub fn finish(&mut self) -> Vec<Emission> {
        self.advance_to(Timestamp::MAX)
    }

    fn advance_to(&mut self, now: Timestamp) -> Vec<Emission> {
        self.now = Some(now);
        self.past.release_until(now)
    }
}
