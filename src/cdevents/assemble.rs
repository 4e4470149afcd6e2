//! From an [`Event`] to a document of one spec version, and back.
//!
//! Promises that what a spec version writes in its own way (the version's member, the type with its suffix,
//! `subject.type`, renamed fields and values of the content) is written so, from the vocabulary alone. It doesn't judge:
//! what isn't valid is assembled all the same, and [`validate_as`](super::validate_as) says why.

use super::vocabulary::{self, EventKind, Object, Shape};
use super::{Event, SpecVersion, custom_subject};
use serde_json::{Map, Value};

/// Which way through the versions content is written anew.
#[derive(Clone, Copy)]
enum Way {
    /// From a version to the one before it.
    Older,
    /// To a version from the one before it.
    Newer,
}

impl Event {
    /// The document as `spec` writes it, context first.
    ///
    /// An event that `spec` doesn't know gets a type without an event version, which no schema accepts.
    #[must_use]
    pub fn assemble(&self, spec: SpecVersion) -> Value {
        let kind = vocabulary::find(spec, &self.kind);
        let mut document = Map::with_capacity(4);
        document.insert("context".to_owned(), self.context(spec, kind));
        document.insert("subject".to_owned(), self.subject(spec, kind));
        insert(&mut document, "customDataContentType", self.custom_data_content_type.as_deref());
        if let Some(data) = &self.custom_data {
            document.insert("customData".to_owned(), data.clone());
        }
        Value::Object(document)
    }

    /// Reads a document of `spec` as an event without a version, with the content's names as the newest version has them.
    /// `None` when a member that every event has is missing or no string: a valid document always reads.
    #[must_use]
    pub fn read(document: &Value, spec: SpecVersion) -> Option<Self> {
        let context = document.get("context")?;
        let subject = document.get("subject")?;
        let text = |part: &Value, name: &str| part.get(name).and_then(Value::as_str).map(str::to_owned);
        let type_name = text(context, "type")?;
        let kind = match custom_subject(&type_name) {
            Some(_) => type_name,
            None => vocabulary::of_type(spec, &type_name)?.kind.clone(),
        };
        let content = subject.get("content")?.as_object()?.clone();
        Some(Self {
            id: text(context, "id")?,
            source: text(context, "source")?,
            timestamp: text(context, "timestamp")?,
            chain_id: text(context, "chainId"),
            schema_uri: text(context, "schemaUri"),
            links: context.get("links").and_then(Value::as_array).cloned().unwrap_or_default(),
            subject_id: text(subject, "id")?,
            subject_source: text(subject, "source"),
            content: newest(content, &kind, spec),
            custom_data: document.get("customData").cloned(),
            custom_data_content_type: text(document, "customDataContentType"),
            kind,
        })
    }

    fn context(&self, spec: SpecVersion, kind: Option<&EventKind>) -> Value {
        let type_name = match kind {
            Some(known) if !known.type_name.is_empty() => known.type_name.clone(),
            Some(_) => self.kind.clone(),
            None => format!("dev.cdevents.{}", self.kind),
        };
        let mut context = Map::with_capacity(8);
        insert(&mut context, vocabulary::version_field(spec), Some(spec.as_str()));
        insert(&mut context, "id", Some(&self.id));
        insert(&mut context, "source", Some(&self.source));
        insert(&mut context, "type", Some(&type_name));
        insert(&mut context, "timestamp", Some(&self.timestamp));
        insert(&mut context, "schemaUri", self.schema_uri.as_deref());
        insert(&mut context, "chainId", self.chain_id.as_deref());
        if !self.links.is_empty() {
            context.insert("links".to_owned(), Value::Array(self.links.clone()));
        }
        Value::Object(context)
    }

    fn subject(&self, spec: SpecVersion, kind: Option<&EventKind>) -> Value {
        let mut subject = Map::with_capacity(4);
        insert(&mut subject, "id", Some(&self.subject_id));
        insert(&mut subject, "source", self.subject_source.as_deref());
        let custom = custom_subject(&self.kind).filter(|_| vocabulary::says_custom_subject(spec));
        insert(&mut subject, "type", kind.and_then(|k| k.subject_type.as_deref()).or(custom));
        subject.insert("content".to_owned(), Value::Object(as_of(self.content.clone(), &self.kind, spec)));
        Value::Object(subject)
    }
}

fn insert(object: &mut Map<String, Value>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), Value::String(value.to_owned()));
    }
}

/// Content in the newest names → content as `spec` has it: one version's renamings after another, newest first.
fn as_of(mut content: Map<String, Value>, kind: &str, spec: SpecVersion) -> Map<String, Value> {
    for version in SpecVersion::ALL.into_iter().rev().filter(|v| *v > spec) {
        if let Some(known) = vocabulary::find(version, kind) {
            content = rename(content, &known.content, Way::Older);
        }
    }
    content
}

/// Content as `spec` has it → content in the newest names.
fn newest(mut content: Map<String, Value>, kind: &str, spec: SpecVersion) -> Map<String, Value> {
    for version in SpecVersion::ALL.into_iter().filter(|v| *v > spec) {
        if let Some(known) = vocabulary::find(version, kind) {
            content = rename(content, &known.content, Way::Newer);
        }
    }
    content
}

fn rename(content: Map<String, Value>, shape: &Object, way: Way) -> Map<String, Value> {
    content.into_iter().map(|(name, value)| rename_member(name, value, shape, way)).collect()
}

fn rename_member(name: String, value: Value, shape: &Object, way: Way) -> (String, Value) {
    let called = |f: &&vocabulary::Field| match way {
        Way::Older => f.name == name,
        Way::Newer => f.was.as_ref().unwrap_or(&f.name) == &name,
    };
    let Some(field) = shape.fields.iter().find(called) else { return (name, value) };
    let other = match way {
        Way::Older => field.was.clone(),
        Way::Newer => field.was.as_ref().map(|_| field.name.clone()),
    };
    (other.unwrap_or(name), rename_value(value, &field.shape, way))
}

fn rename_value(value: Value, shape: &Shape, way: Way) -> Value {
    match (value, shape) {
        (Value::Object(members), Shape::Object(object)) => Value::Object(rename(members, object, way)),
        (Value::Array(items), Shape::List(item)) => {
            Value::Array(items.into_iter().map(|i| rename_value(i, item, way)).collect())
        }
        (Value::String(text), Shape::Text(rule)) => {
            let pair = rule.values.iter().filter_map(|l| l.was.as_deref().map(|was| (l.value.as_str(), was)));
            let mut pairs = pair.map(|(new, old)| if matches!(way, Way::Older) { (new, old) } else { (old, new) });
            let renamed = pairs.find(|(from, _)| *from == text).map(|(_, to)| to.to_owned());
            Value::String(renamed.unwrap_or(text))
        }
        (value, _) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::super::validate_as;
    use super::*;
    use serde_json::json;

    fn event(kind: &str, content: &Value) -> Event {
        Event {
            kind: kind.to_owned(),
            id: "1".to_owned(),
            source: "https://argocd.example.com".to_owned(),
            timestamp: "2026-01-05T10:00:00Z".to_owned(),
            chain_id: None,
            schema_uri: None,
            links: Vec::new(),
            subject_id: "argocd/guestbook".to_owned(),
            subject_source: None,
            content: content.as_object().unwrap().clone(),
            custom_data: None,
            custom_data_content_type: None,
        }
    }

    #[test]
    fn each_version_gets_its_own_way_of_saying_it() {
        let run = event("pipelinerun.started", &json!({"pipelineName": "sync", "uri": "https://example.com/1"}));
        let newest = run.assemble(SpecVersion::V0_5_1);
        assert_eq!(newest["context"]["specversion"], "0.5.1");
        assert_eq!(newest["context"]["type"], "dev.cdevents.pipelinerun.started.0.3.0");
        assert_eq!(newest["subject"].get("type"), None);
        assert_eq!(newest["subject"]["content"]["uri"], "https://example.com/1");
        let older = run.assemble(SpecVersion::V0_4_1);
        assert_eq!(older["context"]["version"], "0.4.1");
        assert_eq!(older["context"]["type"], "dev.cdevents.pipelinerun.started.0.2.0");
        assert_eq!(older["subject"]["type"], "pipelineRun");
        assert_eq!(older["subject"]["content"], json!({"pipelineName": "sync", "url": "https://example.com/1"}));
        assert_eq!(older.as_object().unwrap().keys().next().unwrap(), "context");
        for (spec, document) in [(SpecVersion::V0_4_1, older), (SpecVersion::V0_5_1, newest)] {
            assert_eq!(validate_as(&document, spec).errors, []);
        }
    }

    #[test]
    fn renamings_reach_nested_fields_and_values() {
        let suite =
            event("testsuiterun.queued", &json!({"environment": {"id": "e"}, "testSuite": {"id": "s", "uri": "u:1"}}));
        assert_eq!(suite.assemble(SpecVersion::V0_4_1)["subject"]["content"]["testSuite"]["url"], "u:1");
        let case = event("testcaserun.finished", &json!({"environment": {"id": "e"}, "outcome": "success"}));
        assert_eq!(case.assemble(SpecVersion::V0_4_1)["subject"]["content"]["outcome"], "pass");
    }

    #[test]
    fn reading_a_document_undoes_assembly_in_every_version() {
        for (kind, content) in [
            ("repository.created", json!({"name": "n", "uri": "https://example.com/r"})),
            ("testsuiterun.finished", json!({"environment": {"id": "e"}, "outcome": "failure"})),
            ("dev.cdeventsx.mytool-resource.created.0.1.0", json!({"uri": 1, "url": [2]})),
        ] {
            let event = event(kind, &content);
            for spec in SpecVersion::ALL {
                assert_eq!(Event::read(&event.assemble(spec), spec).as_ref(), Some(&event), "{kind} {spec}");
            }
        }
    }

    #[test]
    fn custom_types_pass_with_their_own_subject_type() {
        let custom = event("dev.cdeventsx.mytool-resource.created.0.1.0", &json!({"any": ["thing"]}));
        for spec in SpecVersion::ALL {
            let document = custom.assemble(spec);
            assert_eq!(document["context"]["type"], custom.kind);
            assert_eq!(validate_as(&document, spec).errors, [], "{spec}");
        }
        assert_eq!(custom.assemble(SpecVersion::V0_4_1)["subject"]["type"], "mytool-resource");
    }

    #[test]
    fn an_event_that_a_version_does_not_know_is_invalid_in_it() {
        let errors =
            validate_as(&event("service.exploded", &json!({})).assemble(SpecVersion::NEWEST), SpecVersion::NEWEST)
                .errors;
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].path, "/context/type");
    }
}
