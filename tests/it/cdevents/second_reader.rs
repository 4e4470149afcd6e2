//! Whatever can be said with the vocabulary is valid in every version that can say it, is read by the CDEvents project's own
//! library, and travels as a CloudEvent unharmed.

use argocd_cdevents::cdevents::cloudevents::{Attributes, Mode, decode, encode};
use argocd_cdevents::cdevents::vocabulary::{self, Format, Object, Shape, Text};
use argocd_cdevents::cdevents::{Event, SpecVersion, event_id, faults, validate};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Text as people and tools write it, and worse.
fn any_text() -> BoxedStrategy<String> {
    prop_oneof![any::<String>(), "[ %\"\\\\/a-zÀ-ÿ€😀\\t]{0,10}", "[a-z0-9/.-]{1,20}"].boxed()
}

fn some_text() -> BoxedStrategy<String> {
    any_text().prop_filter("not empty", |t| !t.is_empty()).boxed()
}

fn uri() -> BoxedStrategy<String> {
    "https://[a-z]{1,8}(:[0-9]{1,4})?(/[a-z0-9%]{0,0}([a-z0-9._~@:-]|%[0-9A-F]{2}){0,8}){0,3}(\\?[a-z=&%]{0,0}[a-z=&]{0,5})?".boxed()
}

fn text(rule: &Text) -> BoxedStrategy<String> {
    if !rule.values.is_empty() {
        let values = rule.values.iter().map(|l| l.value.clone()).collect::<Vec<_>>();
        return prop::sample::select(values).boxed();
    }
    match rule.format {
        Some(Format::Uri | Format::UriReference) => uri(),
        Some(other) => unreachable!("no content has a {other:?}"),
        None if rule.min_length > 0 => some_text(),
        None => any_text(),
    }
}

fn object(shape: &Object) -> BoxedStrategy<Map<String, Value>> {
    let fields = shape.fields.iter().map(|field| {
        let name = field.name.clone();
        let present = if field.required { Just(true).boxed() } else { any::<bool>().boxed() };
        (present, value(&field.shape)).prop_map(move |(present, v)| present.then(|| (name.clone(), v)))
    });
    fields.collect::<Vec<_>>().prop_map(|fields| fields.into_iter().flatten().collect()).boxed()
}

fn value(shape: &Shape) -> BoxedStrategy<Value> {
    match shape {
        Shape::Text(rule) => text(rule).prop_map(Value::from).boxed(),
        Shape::List(item) => prop::collection::vec(value(item), 0..3).prop_map(Value::from).boxed(),
        Shape::Object(shape) => object(shape).prop_map(Value::from).boxed(),
        other => unreachable!("no content has a {other:?}"),
    }
}

fn timestamp() -> BoxedStrategy<String> {
    let parts = (
        1970..2100_u32,
        1..=12_u32,
        1..=28_u32,
        0..24_u32,
        0..60_u32,
        0..60_u32,
        "(\\.[0-9]{1,9})?",
        "Z|[+-]0[0-9]:30",
    );
    let written =
        |(y, mo, d, h, mi, s, fraction, offset)| format!("{y}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}{fraction}{offset}");
    parts.prop_map(written).boxed()
}

fn links() -> BoxedStrategy<Vec<Value>> {
    let link = |id: String| {
        prop_oneof![
            Just(json!({"linkType": "PATH", "from": {"contextId": id}})),
            Just(json!({"linkType": "END", "from": {"contextId": id}, "tags": {"a": id}})),
            Just(json!({"linkType": "RELATION", "linkKind": id, "target": {"contextId": id}})),
        ]
    };
    prop::collection::vec(some_text().prop_flat_map(link), 0..3).boxed()
}

fn any_event() -> impl Strategy<Value = Event> {
    let kinds = vocabulary::kinds(SpecVersion::NEWEST).iter().map(|k| (k.kind.clone(), object(&k.content)));
    let mut kinds =
        kinds.map(|(kind, content)| content.prop_map(move |c| (kind.clone(), c)).boxed()).collect::<Vec<_>>();
    let custom = "dev\\.cdeventsx\\.[a-zA-Z0-9]{1,5}-[a-zA-Z]{1,5}\\.[a-z]{1,5}\\.[0-9]\\.[0-9]\\.[0-9]";
    let content = any_text().prop_map(|t| Map::from_iter([(t.clone(), json!([t, 1, null]))]));
    kinds.push((custom, content).boxed());
    let kind = prop::sample::select(kinds).prop_flat_map(|k| k);
    let custom_data = prop::option::of(any_text().prop_map(|t| json!({t.clone(): {"value": t}})));
    let ids = (some_text(), uri(), timestamp(), prop::option::of(some_text()), prop::option::of(uri()));
    (kind, ids, links(), some_text(), prop::option::of(uri()), custom_data).prop_map(
        |(
            (kind, content),
            (occurrence, source, timestamp, chain_id, schema_uri),
            links,
            subject_id,
            subject_source,
            custom_data,
        )| Event {
            id: event_id(&source, &kind, &subject_id, &occurrence),
            kind,
            source,
            timestamp,
            chain_id,
            schema_uri,
            links,
            subject_id,
            subject_source,
            content,
            custom_data_content_type: custom_data.as_ref().map(|_| "application/json".to_owned()),
            custom_data,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_assembled_is_valid_read_by_others_and_travels_unharmed(event in any_event()) {
        for spec in SpecVersion::ALL {
            let document = event.assemble(spec);
            prop_assert_eq!(faults(&document, spec), vec![], "{}", document);
            prop_assert_eq!(validate(&document).spec, spec);
            let anew = Event::read(&document, spec);
            prop_assert_eq!(anew.as_ref(), Some(&event));
            let text = document.to_string();
            let read = serde_json::from_str::<cdevents_sdk::CDEvent>(&text);
            let read = read.map_err(|e| TestCaseError::fail(format!("{e}: {text}")))?;
            prop_assert_eq!(read.id().as_str(), &event.id);
            let attributes = Attributes::of(&text).unwrap();
            for mode in [Mode::Binary, Mode::Structured] {
                let message = encode(mode, &attributes, &text);
                prop_assert_eq!(decode(&message.headers, &message.body).unwrap(), std::slice::from_ref(&document));
            }
        }
    }
}
