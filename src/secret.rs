//! Secrets by reference: an environment variable or a file, never a value in the configuration.
//!
//! Promises that a secret's text reaches neither `Debug` nor an error, that a file is read again when it changes, and
//! that comparison takes the same time wherever two secrets differ.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use subtle::ConstantTimeEq;

/// How long a file's content is trusted before its modification time is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Where a secret stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum SecretRef {
    /// The name of an environment variable, read once at start.
    Env(String),
    /// The path of a file, read again when it changes; white space around its content doesn't count.
    File(PathBuf),
}

/// A secret that was found at start.
pub struct Secret {
    from: SecretRef,
    held: Mutex<Held>,
}

struct Held {
    text: String,
    changed: Option<SystemTime>,
    looked: Instant,
}

/// Why a secret can't be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable isn't set, or empty.
    #[error("the environment variable `{0}` isn't set: set it, or refer to another secret")]
    Env(String),
    /// The file can't be read.
    #[error("the secret file {} can't be read ({reason})", path.display())]
    File {
        /// As configured.
        path: PathBuf,
        /// The operating system's word.
        reason: std::io::Error,
    },
    /// Nothing but white space.
    #[error("the secret in {0} is empty")]
    Empty(String),
}

impl Secret {
    /// Finds the secret.
    ///
    /// # Errors
    ///
    /// [`SecretError`] when the reference leads to nothing.
    pub fn find(from: SecretRef) -> Result<Self, SecretError> {
        let held = Held::read(&from)?;
        Ok(Self { from, held: Mutex::new(held) })
    }

    /// Hands the secret's text to `use_it`: the newest that could be read.
    pub fn with<T>(&self, use_it: impl FnOnce(&str) -> T) -> T {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.refresh(&self.from);
        use_it(&held.text)
    }

    /// Whether `offered` is this secret, in a time that doesn't tell how much of it is right.
    #[must_use]
    pub fn matches(&self, offered: &[u8]) -> bool {
        self.with(|text| text.as_bytes().ct_eq(offered).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({:?})", self.from)
    }
}

impl Held {
    fn read(from: &SecretRef) -> Result<Self, SecretError> {
        let (text, changed) = match from {
            SecretRef::Env(name) => (std::env::var(name).map_err(|_| SecretError::Env(name.clone()))?, None),
            SecretRef::File(path) => {
                let failed = |reason| SecretError::File { path: path.clone(), reason };
                (std::fs::read_to_string(path).map_err(failed)?, modified(path))
            }
        };
        let text = text.trim().to_owned();
        if text.is_empty() {
            return Err(SecretError::Empty(format!("{from:?}")));
        }
        Ok(Self { text, changed, looked: Instant::now() })
    }

    /// A file that's gone, empty or torn for a moment leaves the last good secret in place.
    fn refresh(&mut self, from: &SecretRef) {
        let SecretRef::File(path) = from else { return };
        if self.looked.elapsed() < LOOK_AGAIN {
            return;
        }
        self.looked = Instant::now();
        if modified(path) == self.changed {
            return;
        }
        if let Ok(newer) = Self::read(from) {
            *self = newer;
        }
    }
}

fn modified(path: &std::path::Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|m| m.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "  hush-hush\n").unwrap();
        let secret = Secret::find(SecretRef::File(path)).unwrap();
        assert!(!format!("{secret:?}").contains("hush"));
        assert!(secret.matches(b"hush-hush"));
        assert!(!secret.matches(b"hush-hus"));
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_missing_one_keeps_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "one").unwrap();
        let secret = Secret::find(SecretRef::File(path.clone())).unwrap();
        let expire = || {
            let mut held = secret.held.lock().unwrap();
            held.looked = Instant::now().checked_sub(LOOK_AGAIN).unwrap();
            held.changed = None;
        };
        std::fs::write(&path, "two").unwrap();
        expire();
        assert!(secret.matches(b"two"));
        std::fs::remove_file(&path).unwrap();
        expire();
        assert!(secret.matches(b"two"));
    }

    #[test]
    fn a_secret_that_is_not_there_says_where_it_was_looked_for() {
        let error = Secret::find(SecretRef::Env("ARGOCD_CDEVENTS_NO_SUCH".into())).unwrap_err();
        assert!(error.to_string().contains("ARGOCD_CDEVENTS_NO_SUCH"));
    }
}
