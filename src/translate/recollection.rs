//! A past that lives in memory: for `translate`, `test` and the tests, with the semantics of the store.

use super::{Emission, Owner, Past, Translation};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// What was said, remembered and held so far.
#[derive(Debug, Clone, Default)]
pub struct Recollection {
    memory: HashMap<Owner, Map<String, Value>>,
    said: HashSet<String>,
    held: Vec<(Owner, Emission)>,
}

impl Past for Recollection {
    fn memory(&self, owner: &Owner) -> Map<String, Value> {
        self.memory.get(owner).cloned().unwrap_or_default()
    }

    fn said(&self, event_id: &str) -> bool {
        self.said.contains(event_id)
    }
}

impl Recollection {
    /// Commits a translation: memory, then what is dropped, then the events.
    pub fn apply(&mut self, translation: &Translation) {
        for change in &translation.changes {
            if let Some(memory) = &change.memory {
                self.memory.insert(change.owner.clone(), memory.clone());
            }
            let dropped = |owner: &Owner, emission: &Emission| {
                let name = emission.hold.as_ref().map(|hold| &hold.name);
                *owner == change.owner && name.is_some_and(|name| change.drop.contains(name))
            };
            self.held.retain(|(owner, emission)| !dropped(owner, emission));
            for emission in &change.emissions {
                self.held.retain(|(_, held)| held.event.id != emission.event.id);
                if emission.hold.is_some() {
                    self.held.push((change.owner.clone(), emission.clone()));
                } else {
                    self.said.insert(emission.event.id.clone());
                }
            }
        }
    }

    /// Releases what is due at `now`, in the order in which it became due.
    pub fn release_until(&mut self, now: Timestamp) -> Vec<Emission> {
        let due = |(_, emission): &(Owner, Emission)| emission.hold.as_ref().is_some_and(|hold| hold.until <= now);
        let (mut released, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.held).into_iter().partition(due);
        self.held = kept;
        released.sort_by_key(|(_, emission)| emission.hold.as_ref().map(|hold| hold.until));
        for (owner, emission) in &released {
            self.said.insert(emission.event.id.clone());
            if let Some(hold) = &emission.hold {
                let memory = self.memory.entry(owner.clone()).or_default();
                hold.forget.iter().for_each(|name| drop(memory.shift_remove(name)));
                memory.extend(hold.remember.clone());
            }
        }
        released.into_iter().map(|(_, emission)| emission).collect()
    }

    /// How many events are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }
}
