//! The door for what is CDEvents already: validated, then laid out for the sinks.

use super::Engine;
use crate::cdevents::{self, Event};
use crate::outbox::{Outgoing, RoutedChange};
use crate::translate::Owner;
use serde_json::Value;
use std::fmt::Write;

/// One change per document, or every fault of every document.
pub(super) fn changes(engine: &Engine, source: &str, documents: &[Value]) -> Result<Vec<RoutedChange>, String> {
    let mut faults = String::new();
    let mut changes = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let report = cdevents::validate(document);
        let custom = engine.schemas.validate(document);
        for fault in report.errors.iter().chain(&custom) {
            let _ = write!(
                faults,
                "{}event {index}: {} {}",
                if faults.is_empty() { "" } else { "; " },
                fault.path,
                fault.message
            );
        }
        let spec = cdevents::detect(document);
        if let Some(event) = Event::read(document, spec) {
            let (documents, sinks) = engine.routes.forward(&event, spec, document);
            let owner = Owner { mapping: format!("source/{source}"), key: event.subject_id.clone() };
            // Ids are only unique within their source: ours are made so that both are in them.
            let id = cdevents::event_id(&event.source, &event.kind, &event.subject_id, &event.id);
            let Event { kind, subject_id: subject, .. } = event;
            let outgoing = vec![Outgoing { id, kind, subject, documents, sinks, hold: None }];
            changes.push(RoutedChange { owner, memory: None, drop: Vec::new(), outgoing });
        }
    }
    if faults.is_empty() { Ok(changes) } else { Err(faults) }
}
