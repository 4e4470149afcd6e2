//! The order of a translation and nothing else: facts, match, render, assemble, validate.
//!
//! Pure: no runtime, no network, no store and no clock. What a translation must know of the past comes in as
//! [`Past`]; what the future must know goes out in [`Translation`].

use crate::cdevents::Event;
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
