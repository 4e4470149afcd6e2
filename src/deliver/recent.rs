//! How many of the last attempts failed, by the second.

use jiff::Timestamp;
use std::collections::VecDeque;

/// Seconds that are looked back.
pub(super) const SPAN: i64 = 30;

/// Attempts and failures of the last [`SPAN`] seconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent {
    seconds: VecDeque<Second>,
    attempts: u32,
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
struct Second {
    at: i64,
    attempts: u32,
    failures: u32,
}

impl Recent {
    pub(super) fn count(&mut self, now: Timestamp, failed: bool) {
        let at = now.as_second();
        // A clock that was set back doesn't open a second of its own.
        while let Some(oldest) = self.seconds.front().filter(|second| second.at <= at - SPAN) {
            self.attempts -= oldest.attempts;
            self.failures -= oldest.failures;
            self.seconds.pop_front();
        }
        if self.seconds.back().is_none_or(|latest| latest.at < at) {
            self.seconds.push_back(Second { at, attempts: 0, failures: 0 });
        }
        if let Some(second) = self.seconds.back_mut() {
            second.attempts += 1;
            second.failures += u32::from(failed);
            self.attempts += 1;
            self.failures += u32::from(failed);
        }
    }

    /// Whether at least half of at least `enough` attempts failed.
    pub(super) fn mostly_failed(&self, enough: u32) -> bool {
        self.attempts >= enough && self.failures.saturating_mul(2) >= self.attempts
    }
}
