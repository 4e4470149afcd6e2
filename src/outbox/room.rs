//! Whether there's room: in the quota, and on the disk.
//!
//! From 80 % of the quota on, or when the disk is about to be full, notifications are refused and deliveries go on. They're taken
//! again below 75 %, and when the disk has room for the ballast, too: otherwise its room would be used up by what comes in.

use super::ballast::{self, Ballast};
use super::salvage;
use std::path::{Path, PathBuf};

/// Room on the disk that isn't left to notifications.
const MARGIN: u64 = 2 << 20;

/// The room that the store has.
#[derive(Debug)]
pub(super) struct Room {
    directory: PathBuf,
    quota: u64,
    ballast: Ballast,
    used: u64,
    full: bool,
}

impl Room {
    pub(super) fn new(directory: &Path, quota: u64) -> Self {
        let ballast = Ballast::new(directory, quota);
        Self { directory: directory.to_owned(), quota: quota.max(1), ballast, used: 0, full: false }
    }

    /// Whether notifications are refused.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Bytes in use, and the quota.
    pub(super) fn figures(&self) -> (u64, u64) {
        (self.used, self.quota)
    }

    /// So much is in use now.
    pub(super) fn used(&mut self, used: u64) {
        self.used = used;
        if self.above(80) {
            self.fill_up("80 % of the store's quota are used");
        }
    }

    /// Its room is needed for a while; it's taken again when the room is looked at.
    pub(super) fn give_up_ballast(&self) {
        self.ballast.free();
    }

    /// A transaction found no room.
    pub(super) fn fill(&mut self, reason: &str) {
        self.give_up_ballast();
        self.fill_up(reason);
    }

    /// Looks at the quota and the disk again.
    pub(super) fn look(&mut self, used: u64) {
        self.used(used);
        if !self.on_disk() {
            self.fill_up("the disk is almost full");
        }
        if self.full && self.above(75) {
            return;
        }
        // Taking the ballast may take the margin.
        let room = self.on_disk() && self.ballast.restore() && self.on_disk();
        if self.full && room {
            self.full = false;
            tracing::info!("the store has room again and takes notifications");
        }
    }

    /// The next start puts the database right.
    pub(super) fn leave_mark(&self) {
        if let Err(error) = salvage::leave_mark(&self.directory) {
            tracing::error!(%error, "the damaged database can't be marked");
        }
    }

    fn fill_up(&mut self, reason: &str) {
        if !self.full {
            self.full = true;
            let (used, quota) = self.figures();
            tracing::error!(reason, used, quota, "no room: notifications are refused, deliveries go on");
        }
    }

    fn on_disk(&self) -> bool {
        ballast::free(&self.directory).is_none_or(|free| free >= MARGIN)
    }

    fn above(&self, percent: u64) -> bool {
        u128::from(self.used) * 100 > u128::from(self.quota) * u128::from(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_four_fifths_of_the_quota_on_it_is_full_until_there_is_clearly_less() {
        let dir = tempfile::tempdir().unwrap();
        let mut room = Room::new(dir.path(), 1000);
        let mut full = |used| {
            room.look(used);
            room.is_full()
        };
        assert_eq!([800, 801, 760, 750, 801].map(&mut full), [false, true, true, false, true]);
    }

    #[test]
    fn what_found_no_room_gives_up_the_ballast_until_there_is_room_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut room = Room::new(dir.path(), 16 << 20);
        room.look(0);
        let ballast = dir.path().join("ballast");
        assert!(ballast.exists());
        room.fill("no room");
        assert!(room.is_full() && !ballast.exists());
        room.look(0);
        assert!(!room.is_full() && ballast.exists());
    }
}
