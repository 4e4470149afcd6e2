//! Whether something of an owner was released between a translation's look at its memory and its commit.
//!
//! Notifications of one owner are translated and committed one after another, but the writer releases held events whenever they
//! are due, and a release changes memory and what was said. A translation that began before it would overwrite that. So it takes
//! a [`Basis`] before it looks, and the writer refuses a commit whose basis is no longer so; the translation is then done again.

use crate::translate::Owner;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Owners that share a counter only make each other translate twice, now and then.
const COUNTERS: usize = 4096;

/// How often something of each owner was released.
#[derive(Debug, Clone)]
pub(super) struct Releases(Arc<[AtomicU64]>);

/// What some owners' counters stood at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Basis(Vec<(usize, u64)>);

impl Default for Releases {
    fn default() -> Self {
        Self((0..COUNTERS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Releases {
    pub(super) fn basis(&self, owners: &[Owner]) -> Basis {
        let at = |owner| (counter(owner), self.0[counter(owner)].load(Ordering::SeqCst));
        Basis(owners.iter().map(at).collect())
    }

    /// Counted twice, within the transaction and after it: who looks in between sees the memory of before, and must be overtaken.
    pub(super) fn count(&self, owner: &Owner) {
        self.0[counter(owner)].fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn is_still(&self, basis: &Basis) -> bool {
        basis.0.iter().all(|(counter, stood)| self.0[*counter].load(Ordering::SeqCst) == *stood)
    }
}

fn counter(owner: &Owner) -> usize {
    let mut hasher = DefaultHasher::new();
    owner.hash(&mut hasher);
    usize::try_from(hasher.finish() % COUNTERS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_overtakes_who_looked_before_or_during_it() {
        let releases = Releases::default();
        let owner = |key: &str| Owner { mapping: "m".into(), key: key.into() };
        let before = releases.basis(&[owner("a"), owner("b")]);
        let other = releases.basis(&[owner("c")]);
        assert!(releases.is_still(&before));
        releases.count(&owner("b"));
        let during = releases.basis(&[owner("b")]);
        assert!(!releases.is_still(&before));
        releases.count(&owner("b"));
        assert!(!releases.is_still(&during));
        assert!(releases.is_still(&releases.basis(&[owner("b")])) && releases.is_still(&other));
    }
}
