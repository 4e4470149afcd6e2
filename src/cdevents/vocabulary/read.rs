//! From a vocabulary file's notation to shapes. `docs/decisions/vocabulary.md` describes the notation.

use super::{Book, EventKind, Field, Format, Hint, Literal, Object, Shape, SpecVersion, Tagged, Text};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A vocabulary file as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    spec_version: String,
    version_field: String,
    subject_types: IndexMap<String, String>,
    shapes: Map<String, Value>,
    frame: Map<String, Value>,
    variants: IndexMap<String, Map<String, Value>>,
    events: IndexMap<String, Entry>,
}

/// An event as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    version: String,
    variant: Option<String>,
    content: Value,
}

/// What is wrong with a vocabulary file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("not the notation of a vocabulary: {0}")]
    Yaml(String),
    #[error("the file says it's of {0}")]
    Version(String),
    #[error("`{0}` is no shape")]
    Shape(String),
    #[error("there is no variant `{0}`")]
    Variant(String),
    #[error("`{0}` isn't `subject.predicate`")]
    Kind(String),
}

pub(super) fn book(spec: SpecVersion, text: &str) -> Result<Book, Unreadable> {
    let file: File = serde_saphyr::from_str(text).map_err(|e| Unreadable::Yaml(e.to_string()))?;
    if file.spec_version != spec.as_str() {
        return Err(Unreadable::Version(file.spec_version));
    }
    let mut kinds = file.events.iter().map(|(kind, e)| file.event(spec, kind, e)).collect::<Result<Vec<_>, _>>()?;
    kinds.sort_by(|a, b| a.kind.cmp(&b.kind));
    let by_type = kinds.iter().enumerate().map(|(at, k)| (k.type_name.clone(), at)).collect();
    let custom = file.without_vocabulary(spec, "custom", super::CUSTOM)?;
    let unknown = file.without_vocabulary(spec, "unknown", super::UNKNOWN)?;
    Ok(Book { version_field: file.version_field, kinds, by_type, custom, unknown })
}

/// What the words of a shape stand for in the event that is being read.
struct Words<'a> {
    shapes: &'a Map<String, Value>,
    type_name: &'a str,
    subject_type: &'a str,
    content: &'a Value,
}

impl File {
    fn event(&self, spec: SpecVersion, kind: &str, entry: &Entry) -> Result<EventKind, Unreadable> {
        let (subject, predicate) = kind.split_once('.').ok_or_else(|| Unreadable::Kind(kind.to_owned()))?;
        let type_name = format!("dev.cdevents.{kind}.{}", entry.version);
        let subject_type = self.subject_types.get(subject).map_or(subject, String::as_str);
        let words = Words { shapes: &self.shapes, type_name: &type_name, subject_type, content: &entry.content };
        let document = self.document(entry.variant.as_deref(), &words)?;
        Ok(EventKind {
            spec,
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            predicate: predicate.to_owned(),
            version: entry.version.clone(),
            subject_type: says_subject_type(&document).then(|| subject_type.to_owned()),
            content: content_of(&document),
            document,
            type_name,
        })
    }

    /// Events whose content the spec doesn't describe.
    fn without_vocabulary(&self, spec: SpecVersion, variant: &str, kind: &str) -> Result<EventKind, Unreadable> {
        let words = Words { shapes: &self.shapes, type_name: "", subject_type: "", content: &Value::Null };
        let document = self.document(Some(variant), &words)?;
        Ok(EventKind {
            spec,
            kind: kind.to_owned(),
            subject: String::new(),
            predicate: String::new(),
            version: String::new(),
            type_name: String::new(),
            subject_type: None,
            content: content_of(&document),
            document,
        })
    }

    /// The frame, with what the variant changes or adds in it.
    fn document(&self, variant: Option<&str>, words: &Words<'_>) -> Result<Object, Unreadable> {
        let mut frame = self.frame.clone();
        if let Some(name) = variant {
            let changes = self.variants.get(name).ok_or_else(|| Unreadable::Variant(name.to_owned()))?;
            for (path, shape) in changes {
                let (part, field) = path.split_once('.').ok_or_else(|| Unreadable::Variant(path.clone()))?;
                let part = frame.get_mut(&format!("{part}!")).and_then(Value::as_object_mut);
                let part = part.ok_or_else(|| Unreadable::Variant(path.clone()))?;
                let same = |key: &String| key.trim_end_matches('!') == field.trim_end_matches('!');
                if let Some(old) = part.keys().find(|key| same(key)).cloned() {
                    part.shift_remove(&old);
                }
                part.insert(field.to_owned(), shape.clone());
            }
        }
        words.object(&frame)
    }
}

pub(super) fn says_subject_type(document: &Object) -> bool {
    let Some(Shape::Object(subject)) = document.field("subject").map(|f| &f.shape) else { return false };
    subject.field("type").is_some_and(|f| f.required)
}

fn content_of(document: &Object) -> Object {
    let Some(Shape::Object(subject)) = document.field("subject").map(|f| &f.shape) else { return Object::default() };
    match subject.field("content").map(|f| &f.shape) {
        Some(Shape::Object(content)) => content.clone(),
        _ => Object::default(),
    }
}

impl Words<'_> {
    fn shape(&self, written: &Value) -> Result<Shape, Unreadable> {
        match written {
            Value::String(word) => self.word(word),
            Value::Array(values) => values_of(values).map(Shape::Text),
            Value::Object(fields) if fields.contains_key("by") => self.tagged(fields),
            Value::Object(fields) => self.object(fields).map(Shape::Object),
            other => Err(Unreadable::Shape(other.to_string())),
        }
    }

    fn word(&self, word: &str) -> Result<Shape, Unreadable> {
        Ok(match word {
            "any" => Shape::Any,
            "object" => Shape::Object(Object { fields: Vec::new(), open: true }),
            "object or string" => Shape::ObjectOrString,
            "type" => Shape::Text(only(self.type_name)),
            "subject-type" => Shape::Text(only(self.subject_type)),
            "content" => return self.shape(self.content),
            _ => {
                if let Some(item) = word.strip_prefix("list of ") {
                    Shape::List(Box::new(self.word(item)?))
                } else if let Some(named) = self.shapes.get(word) {
                    return self.shape(named);
                } else {
                    Shape::Text(text(word)?)
                }
            }
        })
    }

    fn object(&self, written: &Map<String, Value>) -> Result<Object, Unreadable> {
        let mut object = Object::default();
        for (key, shape) in written {
            if key == "*" {
                object.open = true;
                continue;
            }
            let (key, was) = renamed(key);
            let name = key.trim_end_matches('!');
            let required = name.len() < key.len();
            object.fields.push(Field { name: name.to_owned(), required, was, shape: self.shape(shape)? });
        }
        Ok(object)
    }

    fn tagged(&self, written: &Map<String, Value>) -> Result<Shape, Unreadable> {
        let tag = written["by"].as_str().unwrap_or_default().to_owned();
        let mut variants = Vec::new();
        for (name, shape) in written.iter().filter(|(key, _)| *key != "by") {
            let Shape::Object(mut object) = self.shape(shape)? else { return Err(Unreadable::Shape(name.clone())) };
            let says = Field { name: tag.clone(), required: true, was: None, shape: Shape::Text(only(name)) };
            object.fields.insert(0, says);
            variants.push((name.clone(), object));
        }
        Ok(Shape::Tagged(Tagged { tag, variants }))
    }
}

/// `new was old` → the new name and the old one.
fn renamed(key: &str) -> (&str, Option<String>) {
    key.split_once(" was ").map_or((key, None), |(new, old)| (new, Some(old.to_owned())))
}

/// `string`, `text` (not empty), `uri`, `uri-reference` (not empty), `date-time`, each with a hint behind it or none.
fn text(words: &str) -> Result<Text, Unreadable> {
    let (word, hint) = words.split_once(' ').map_or((words, None), |(word, hint)| (word, Some(hint)));
    let (min_length, format) = match word {
        "string" => (0, None),
        "text" => (1, None),
        "uri" => (1, Some(Format::Uri)),
        "uri-reference" => (1, Some(Format::UriReference)),
        "date-time" => (1, Some(Format::DateTime)),
        "custom-type" => (1, Some(Format::CustomType)),
        "custom-subject" => (1, Some(Format::CustomSubject)),
        _ => return Err(Unreadable::Shape(words.to_owned())),
    };
    let hint = match hint {
        None => None,
        Some("purl") => Some(Hint::Purl),
        Some("uuid") => Some(Hint::Uuid),
        Some("absolute") => Some(Hint::Absolute),
        Some(_) => return Err(Unreadable::Shape(words.to_owned())),
    };
    Ok(Text { min_length, format, hint, ..Text::default() })
}

fn only(value: &str) -> Text {
    Text { values: vec![Literal { value: value.to_owned(), was: None }], ..Text::default() }
}

/// A closed enumeration, or one that ends in `or string` / `or text` and is no more than a suggestion.
fn values_of(written: &[Value]) -> Result<Text, Unreadable> {
    let words = written.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
    let words = words.ok_or_else(|| Unreadable::Shape(Value::Array(written.to_vec()).to_string()))?;
    if let Some((last, named)) = words.split_last()
        && let Some(otherwise) = last.strip_prefix("or ")
    {
        let suggestions = named.iter().map(|w| (*w).to_owned()).collect();
        return Ok(Text { suggestions, ..text(otherwise)? });
    }
    let values = words.into_iter().map(renamed).map(|(value, was)| Literal { value: value.to_owned(), was });
    Ok(Text { values: values.collect(), ..Text::default() })
}
