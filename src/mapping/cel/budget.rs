//! What an event may cost: counted, and not measured by a clock, so that the same input always ends the same way.

use super::stop::Stop;
use serde_json::Value;
use std::cell::Cell;

/// Most steps of one event: 3 to 10 ms (`cargo bench --bench mapping`). A step is a term, an item of a list, or 64 bytes that are looked through.
pub const MOST_STEPS: u32 = 150_000;
/// Most bytes of one event that expressions make on the way.
pub const MOST_BYTES: usize = 4 << 20;

/// Most steps of one notification and mapping: what its rules and the items that they go over cost together.
pub const MOST_STEPS_IN_ALL: u32 = 20 * MOST_STEPS;

/// What is left of one event's steps and bytes.
#[derive(Debug)]
pub struct Budget {
    steps: Cell<u32>,
    bytes: Cell<usize>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: Cell::new(MOST_STEPS), bytes: Cell::new(MOST_BYTES) }
    }
}

impl Budget {
    pub(in crate::mapping) fn step<'v>(&self) -> Result<(), Stop<'v>> {
        self.take(1)
    }

    /// So many bytes are looked through.
    pub(in crate::mapping) fn over<'v>(&self, bytes: usize) -> Result<(), Stop<'v>> {
        if bytes < 64 { Ok(()) } else { self.take(u32::try_from(bytes / 64).unwrap_or(u32::MAX)) }
    }

    /// So many bytes are made.
    pub(in crate::mapping) fn bytes<'v>(&self, bytes: usize) -> Result<(), Stop<'v>> {
        self.bytes.set(self.bytes.get().checked_sub(bytes).ok_or(Stop::Spent)?);
        self.over(bytes)
    }

    /// A budget for the next event, when this one is spent as far as it is and so many steps are left for all. Gives back what
    /// is left for all then.
    pub(crate) fn next(&self, in_all: u32) -> (Self, u32) {
        let in_all = in_all.saturating_sub(MOST_STEPS - self.left());
        (Self { steps: Cell::new(in_all.min(MOST_STEPS)), ..Self::default() }, in_all)
    }

    /// The steps that are left.
    pub(in crate::mapping) fn left(&self) -> u32 {
        self.steps.get()
    }

    /// So many steps are left.
    pub(in crate::mapping) fn leave(&self, steps: u32) {
        self.steps.set(steps);
    }

    fn take<'v>(&self, steps: u32) -> Result<(), Stop<'v>> {
        self.steps.set(self.steps.get().checked_sub(steps).ok_or(Stop::Spent)?);
        Ok(())
    }
}

/// The steps that it takes to go over a value, or to copy it.
pub(in crate::mapping) fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 1 + text.len() / 64,
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(map) => 1 + map.iter().map(|(name, inner)| 1 + name.len() / 64 + weight(inner)).sum::<usize>(),
        _ => 1,
    }
}
