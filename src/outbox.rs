//! What is on disk: queued deliveries, held events, dead letters, memory, seen ids.
//!
//! One writer commits in groups; readers are short.

use crate::cdevents::SpecVersion;
use crate::translate::Owner;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What one notification leads to, routed and ready to be committed in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Accepted {
    /// One per mapping that accepted the notification.
    pub changes: Vec<RoutedChange>,
    /// What couldn't be translated or read, kept with its reason.
    pub dead: Option<RawDeadLetter>,
}

/// A [`Change`](crate::translate::Change) whose events were assembled for the sinks that want them.
#[derive(Debug, Clone)]
pub struct RoutedChange {
    /// Whose memory it is, and whose events these are.
    pub owner: Owner,
    /// The whole memory of the owner from now on, if it changed.
    pub memory: Option<Map<String, Value>>,
    /// Names of held events of this owner to drop, before `outgoing`.
    pub drop: Vec<String>,
    /// The events in order of delivery. One that no sink wants is still here: its id counts as said.
    pub outgoing: Vec<Outgoing>,
}

/// An event as it lies in the store.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// `context.id`.
    pub id: String,
    /// Its type without prefix and version: `service.deployed`, or the whole custom type.
    pub kind: String,
    /// `subject.id`.
    pub subject: String,
    /// The document as each of its sinks' spec versions writes it; one entry per version that some sink wants.
    pub documents: Vec<(SpecVersion, Arc<str>)>,
    /// The sinks that want it, each with the version it asked for.
    pub sinks: Vec<(Arc<str>, SpecVersion)>,
    /// Absent: it's due at once.
    pub hold: Option<HeldUntil>,
}

/// How long an event waits, and what its release remembers.
#[derive(Debug, Clone)]
pub struct HeldUntil {
    /// Name by which it can be dropped.
    pub name: String,
    /// When it's released.
    pub until: Timestamp,
    /// Memory entries written at release.
    pub remember: Map<String, Value>,
    /// Memory entries removed at release, before `remember`.
    pub forget: Vec<String>,
}

/// A notification that couldn't be read or translated, kept whole.
#[derive(Debug, Clone)]
pub struct RawDeadLetter {
    /// The configured source it came through.
    pub source: String,
    /// The raw body.
    pub body: Vec<u8>,
    /// The request as JSON ([`Request`](crate::notification::Request) without secrets), so that it can be run again.
    pub request: Value,
    /// What went wrong, for a person.
    pub reason: String,
    /// When it was received.
    pub received_at: Timestamp,
}
