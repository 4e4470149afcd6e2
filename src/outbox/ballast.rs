//! Room that is kept back, so that a full disk still drains: settling a delivery needs a little room itself.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file of zeros that is given up when the disk is full.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    bytes: u64,
}

impl Ballast {
    /// A ballast that is in keeping with the quota and with the disk.
    pub(super) fn new(directory: &Path, quota: u64) -> Self {
        let path = directory.join("ballast");
        let taken = std::fs::metadata(&path).map_or(0, |file| file.len());
        let room = free(directory).map_or(u64::MAX, |free| free + taken);
        Self { path, bytes: (quota / 16).min(room / 8).min(32 << 20) }
    }

    /// Gives the room up.
    pub(super) fn free(&self) {
        drop(std::fs::remove_file(&self.path));
    }

    /// Takes the room, if it isn't taken; without enough of it, nothing is left behind. Says whether it's there.
    pub(super) fn restore(&self) -> bool {
        if std::fs::metadata(&self.path).is_ok_and(|file| file.len() >= self.bytes) {
            return true;
        }
        let written = self.write().is_ok();
        if !written {
            self.free();
        }
        written
    }

    /// Reserved blocks, not a hole: a hole takes no room. Where a file system can't reserve, zeros are written.
    fn write(&self) -> std::io::Result<()> {
        let mut file =
            std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&self.path)?;
        if rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, self.bytes).is_ok() {
            return Ok(());
        }
        let zeros = vec![0; 1 << 20];
        let mut left = self.bytes;
        while left > 0 {
            let now = usize::try_from(left.min(1 << 20)).unwrap_or(1 << 20);
            file.write_all(&zeros[..now])?;
            left -= now as u64;
        }
        file.sync_all()
    }
}

/// Bytes that are free on the disk under `directory`; `None` where the system doesn't say.
pub(super) fn free(directory: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(directory).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_once_given_up_and_taken_again() {
        let dir = tempfile::tempdir().unwrap();
        let size = || std::fs::metadata(dir.path().join("ballast")).map_or(0, |file| file.len());
        let ballast = Ballast::new(dir.path(), 16 << 20);
        assert!(ballast.restore() && ballast.restore());
        assert_eq!(size(), 1 << 20);
        ballast.free();
        assert_eq!(size(), 0);
        assert!(ballast.restore());
        assert_eq!(size(), 1 << 20);
    }

    #[test]
    fn without_enough_room_nothing_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let ballast = Ballast { path: dir.path().join("no/such/directory/ballast"), bytes: 1 };
        assert!(!ballast.restore());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
