//! What an event may cost: counted, and not measured by a clock, so that the same input always ends the same way.

use super::eval::Stop;
use std::cell::Cell;

/// Most steps of one event: about 10 ms. A step is a term, an item of a list, or 64 bytes that are looked through.
pub const MOST_STEPS: u32 = 200_000;
/// Most bytes of one event that expressions make on the way.
pub const MOST_BYTES: usize = 4 << 20;

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
    pub(super) fn bytes<'v>(&self, bytes: usize) -> Result<(), Stop<'v>> {
        self.bytes.set(self.bytes.get().checked_sub(bytes).ok_or(Stop::Spent)?);
        self.over(bytes)
    }

    fn take<'v>(&self, steps: u32) -> Result<(), Stop<'v>> {
        self.steps.set(self.steps.get().checked_sub(steps).ok_or(Stop::Spent)?);
        Ok(())
    }
}
