//! What operators can do with a store, whether a server runs on it or not.

use crate::outbox::{DeadLetterKind, Outbox};
use crate::receive::Intake;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// What is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase")]
pub enum Operation {
    /// Every dead letter, without bodies.
    ListDeadLetters,
    /// One, with its body.
    ShowDeadLetter {
        /// Its id.
        id: String,
    },
    /// Translates or queues dead letters again; none named: all.
    ReplayDeadLetters {
        /// Their ids.
        ids: Vec<String>,
    },
    /// Forgets dead letters.
    PurgeDeadLetters {
        /// Their ids.
        ids: Vec<String>,
    },
    /// What waits for a sink, or for all, and what is held.
    Deliveries {
        /// The sink.
        sink: Option<String>,
    },
}

/// Most rows that are listed.
const LISTED: usize = 1000;

/// Carries operations out.
#[derive(Debug)]
pub struct Operator {
    outbox: Outbox,
    intake: Arc<Intake>,
}

impl Operator {
    /// An operator of a store; notifications are translated again by `intake`.
    #[must_use]
    pub fn new(outbox: Outbox, intake: Arc<Intake>) -> Self {
        Self { outbox, intake }
    }

    /// Does it, and says what came of it.
    ///
    /// # Errors
    ///
    /// What went wrong, for a person.
    pub async fn carry_out(&self, operation: Operation) -> Result<Value, String> {
        let text = |error: crate::outbox::OutboxError| error.to_string();
        match operation {
            Operation::ListDeadLetters => Ok(json!(self.outbox.dead_letters().map_err(text)?)),
            Operation::ShowDeadLetter { id } => Ok(json!(self.outbox.dead_letter(&id).map_err(text)?)),
            Operation::ReplayDeadLetters { ids } => self.replay(ids).await,
            Operation::PurgeDeadLetters { ids } => Ok(json!({"purged": self.outbox.purge(ids).await.map_err(text)?})),
            Operation::Deliveries { sink } => Ok(json!(self.outbox.waiting(sink.as_deref(), LISTED).map_err(text)?)),
        }
    }

    /// Events go back into their queues; notifications go through the mappings as they are now. One that fails again stays.
    async fn replay(&self, ids: Vec<String>) -> Result<Value, String> {
        let all = self.outbox.dead_letters().map_err(|error| error.to_string())?;
        let wanted = if ids.is_empty() { all.iter().map(|dead| dead.id.clone()).collect() } else { ids };
        let (mut replayed, mut failed) = (0, Vec::new());
        for id in wanted {
            let Some(dead) = all.iter().find(|dead| dead.id == id) else {
                return Err(format!("there is no dead letter `{id}`: see `dead-letters list`"));
            };
            let outcome = match dead.kind {
                DeadLetterKind::Delivery => {
                    self.outbox.replay(vec![id.clone()]).await.map(drop).map_err(|e| e.to_string())
                }
                DeadLetterKind::Notification => self.intake.again(&id).await,
            };
            match outcome {
                Ok(()) => replayed += 1,
                Err(problem) => failed.push(json!({"id": id, "error": problem})),
            }
        }
        Ok(json!({"replayed": replayed, "failed": failed}))
    }
}
