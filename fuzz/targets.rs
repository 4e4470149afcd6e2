//! What the fuzzer calls, and an ordinary test too: functions over any bytes that must neither panic nor break a promise.

use argocd_cdevents::argocd;
use argocd_cdevents::cdevents::cloudevents::{Attributes, Mode, decode, encode};
use argocd_cdevents::cdevents::{Event, SpecVersion, documents, faults, validate, validate_as};
use argocd_cdevents::notification::{Notification, Request, Source};
use http::{HeaderMap, HeaderName, HeaderValue};
use indexmap::IndexMap;
use serde_json::Value;

/// The body parser, and the facts of what it finds.
pub fn notification(bytes: &[u8]) {
    let source = Source { name: "fuzz".into(), uri: "urn:fuzz".into(), labels: IndexMap::new() };
    let request = Request {
        path: "/webhook".into(),
        query: IndexMap::new(),
        headers: IndexMap::new(),
        received_at: jiff::Timestamp::UNIX_EPOCH,
        source,
    };
    if let Ok(notification) = Notification::parse(bytes, request)
        && let Some(application) = notification.application()
    {
        assert!(application.pointer("/metadata/name").is_some_and(Value::is_string));
        let _ = argocd::facts(application);
    }
}

/// The validator: what it finds has a place in the document, and what it finds sound can be assembled anew.
pub fn validator(bytes: &[u8]) {
    let lines = bytes.iter().filter(|b| **b == b'\n').count() + 1;
    for found in documents(bytes) {
        let (line, document) = found.expect("bytes can be read");
        assert!((1..=lines).contains(&line));
        if let Ok(document) = document {
            judged(&document);
        }
    }
}

fn judged(document: &Value) {
    let report = validate(document);
    assert_eq!(report.errors, faults(document, report.spec));
    for spec in SpecVersion::ALL {
        let report = validate_as(document, spec);
        for place in report.errors.iter().map(|f| &f.path).chain(report.warnings.iter().map(|w| &w.path)) {
            let parent = place.rsplit_once('/').map_or("", |(parent, _)| parent);
            assert!(document.pointer(parent).is_some(), "{place} of {document}");
        }
        if report.is_valid() {
            let event = Event::read(document, spec).expect("a valid document reads");
            let anew = event.assemble(spec);
            assert_eq!(faults(&anew, spec), [], "{anew}");
            assert_eq!(Event::read(&anew, spec), Some(event));
        }
    }
}

/// The CloudEvents decoder: header lines, an empty line, a body. What it reads survives every mode.
pub fn cloudevents(bytes: &[u8]) {
    let split = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = split.map_or((&b""[..], bytes), |at| (&bytes[..at], &bytes[at + 2..]));
    let mut headers = HeaderMap::new();
    for line in head.split(|b| *b == b'\n').take(50) {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii())) {
            headers.append(name, value);
        }
    }
    for document in decode(&headers, body).unwrap_or_default() {
        travels(&document);
    }
}

fn travels(document: &Value) {
    let text = document.to_string();
    // A number that its own text doesn't give back, or a depth that an envelope would take over the reader's limit.
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    if read(&text).as_ref() != Some(document) || read(&format!("[[{text}]]")).is_none() {
        return;
    }
    let Ok(attributes) = Attributes::of(&text) else { return };
    if [&attributes.id, &attributes.source, &attributes.type_name].into_iter().any(|a| a.is_empty()) {
        return;
    }
    for mode in [Mode::Binary, Mode::Structured, Mode::Event] {
        let message = encode(mode, &attributes, &text);
        let back = decode(&message.headers, &message.body);
        assert_eq!(back.expect("what was encoded is decoded"), std::slice::from_ref(document), "{mode:?}");
    }
}
