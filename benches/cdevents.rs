//! What the hot path pays for one usual event: assembly, validation, and making a request of it.
#![allow(missing_docs, clippy::unwrap_used)]

use argocd_cdevents::cdevents::cloudevents::{Attributes, Mode, decode, encode};
use argocd_cdevents::cdevents::{Event, SpecVersion, event_id, faults, validate};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use std::hint::black_box;

fn usual() -> Event {
    let content = json!({
        "environment": {"id": "in-cluster/guestbook", "source": "https://kubernetes.default.svc"},
        "artifactId": "pkg:oci/guestbook@sha256%3A5f5b8b1c7e0a5fb0a9c1f2f0a3c0a6a0b6c4a4b8c3ab4a3e8a1f7a8d9e0c1b2a?tag=v3.2.1",
    });
    let custom = json!({"argocd": {
        "app": "guestbook", "project": "default", "uid": "4a2f0b1c-91ac-4c5a-8d2b-7d1b8e6f0a11", "phase": "Succeeded",
        "revisions": ["5c4ff1a0c7d8e9f00112233445566778899aabbc"], "images": ["registry.example.com/guestbook:v3.2.1"],
        "url": "https://argocd.example.com/applications/argocd/guestbook",
    }});
    let source = "https://argocd.example.com";
    let timestamp = "2026-01-05T10:00:00Z";
    Event {
        kind: "service.upgraded".to_owned(),
        id: event_id(source, "service.upgraded", "argocd/guestbook", timestamp),
        source: source.to_owned(),
        timestamp: timestamp.to_owned(),
        chain_id: Some("6ca3f9c5-1cef-4ce0-861c-2456a69cf137".to_owned()),
        schema_uri: None,
        links: vec![json!({"linkType": "PATH", "from": {"contextId": "5328c37f-bb7e-4bb7-84ea-9f5f85e4a7ce"}})],
        subject_id: "argocd/guestbook".to_owned(),
        subject_source: Some(source.to_owned()),
        content: content.as_object().unwrap().clone(),
        custom_data: Some(custom),
        custom_data_content_type: None,
    }
}

fn cdevents(c: &mut Criterion) {
    let event = usual();
    let document = event.assemble(SpecVersion::NEWEST);
    assert!(validate(&document).is_valid());
    let mut broken = document.clone();
    broken["subject"]["content"]["artefactId"] = Value::Null;
    broken["context"]["timestamp"] = json!("yesterday");
    let text = document.to_string();
    let attributes = Attributes::of(&text).unwrap();
    let binary = encode(Mode::Binary, &attributes, &text);

    c.bench_function("event_id", |b| b.iter(|| event_id(black_box("https://a"), "service.upgraded", "a/b", "2026")));
    c.bench_function("assemble 0.5.1", |b| b.iter(|| black_box(&event).assemble(SpecVersion::V0_5_1)));
    c.bench_function("assemble 0.4.1", |b| b.iter(|| black_box(&event).assemble(SpecVersion::V0_4_1)));
    c.bench_function("faults of a valid event", |b| b.iter(|| faults(black_box(&document), SpecVersion::NEWEST)));
    c.bench_function("validate a valid event, warnings too", |b| b.iter(|| validate(black_box(&document))));
    c.bench_function("validate a broken event", |b| b.iter(|| validate(black_box(&broken))));
    c.bench_function("attributes of a serialised event", |b| {
        b.iter(|| Attributes::of(black_box(&text)).unwrap().id.len());
    });
    c.bench_function("encode binary", |b| b.iter(|| encode(Mode::Binary, black_box(&attributes), &text)));
    c.bench_function("encode structured", |b| b.iter(|| encode(Mode::Structured, black_box(&attributes), &text)));
    c.bench_function("decode binary", |b| b.iter(|| decode(black_box(&binary.headers), &binary.body).unwrap()));
}

criterion_group!(benches, cdevents);
criterion_main!(benches);
