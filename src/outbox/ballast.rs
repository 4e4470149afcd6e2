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
    /// Takes the room, if there's enough.
    pub(super) fn take(directory: &Path, quota: u64) -> Self {
        let ballast = Self { path: directory.join("ballast"), bytes: (quota / 16).min(32 << 20) };
        ballast.restore();
        ballast
    }

    /// Gives the room up.
    pub(super) fn free(&self) -> bool {
        std::fs::remove_file(&self.path).is_ok()
    }

    /// Takes the room again; without enough of it, nothing is left behind.
    pub(super) fn restore(&self) {
        if std::fs::metadata(&self.path).is_ok_and(|file| file.len() >= self.bytes) {
            return;
        }
        if self.write().is_err() {
            drop(std::fs::remove_file(&self.path));
        }
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
