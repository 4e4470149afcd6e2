//! The vocabulary: what each spec version says of each event, read once from the data files beside this module.
//!
//! Owns the shapes of documents. Trusts the data files, which are compiled in and tested. Promises that everything else
//! in this room, and everyone who asks what an event may say, is answered from here.

mod read;

use super::SpecVersion;
use std::collections::HashMap;
use std::sync::LazyLock;

/// One event of one spec version.
#[derive(Debug, Clone)]
pub struct EventKind {
    /// The spec version that this says it for.
    pub spec: SpecVersion,
    /// `subject.predicate`, as in [`Event::kind`](super::Event::kind); for custom events `dev.cdeventsx`.
    pub kind: String,
    /// The subject as it's written in the type: `pipelinerun`. Empty for custom events.
    pub subject: String,
    /// The predicate: `finished`. Empty for custom events.
    pub predicate: String,
    /// Version of the event, not of the spec: `0.3.0`. Empty for custom events.
    pub version: String,
    /// The whole type: `dev.cdevents.pipelinerun.finished.0.3.0`. Empty for custom events.
    pub type_name: String,
    /// The subject's type (`pipelineRun`), where this version has documents say it in `subject.type`.
    pub subject_type: Option<String>,
    /// The shape of the whole document, content included.
    pub document: Object,
    /// The shape of `subject.content`.
    pub content: Object,
}

/// What a JSON value must be like.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Anything.
    Any,
    /// A string.
    Text(Text),
    /// An array whose items have this shape.
    List(Box<Shape>),
    /// An object.
    Object(Object),
    /// An object whose shape is chosen by the string in one of its members.
    Tagged(Tagged),
    /// Any object, or any string.
    ObjectOrString,
}

/// What a string must be like.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Text {
    /// Least length in characters: 0 or 1.
    pub min_length: usize,
    /// The format it must have.
    pub format: Option<Format>,
    /// What is wrong with it though the official schemas let it pass; broken hints are warnings.
    pub hint: Option<Hint>,
    /// The only values allowed; empty: any.
    pub values: Vec<Literal>,
    /// Values that the spec names while it allows others.
    pub suggestions: Vec<String>,
}

/// A value of an enumeration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// As it's written in this spec version.
    pub value: String,
    /// What it was in the version before, if it was written in another way.
    pub was: Option<String>,
}

/// A format that the official schemas demand of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 3339 `date-time`.
    DateTime,
    /// RFC 3986 URI, with a scheme.
    Uri,
    /// RFC 3986 URI reference.
    UriReference,
    /// The type of a custom event: `dev.cdeventsx.<tool>-<subject>.<predicate>.<version>`.
    CustomType,
    /// The subject of a custom event: `<tool>-<subject>`.
    CustomSubject,
}

/// What a string should be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// A package URL.
    Purl,
    /// A UUID.
    Uuid,
    /// A URI with a scheme, so that it's unique beyond one site.
    Absolute,
}

/// What an object must be like.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object {
    /// The members it may have.
    pub fields: Vec<Field>,
    /// Whether it may have others, of any shape.
    pub open: bool,
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name in this spec version.
    pub name: String,
    /// Whether it must be there.
    pub required: bool,
    /// What it was called in the version before, if it was renamed.
    pub was: Option<String>,
    /// What its value must be like.
    pub shape: Shape,
}

/// Objects of several shapes, told apart by the string in one member.
#[derive(Debug, Clone, PartialEq)]
pub struct Tagged {
    /// Name of the member that tells.
    pub tag: String,
    /// What the member says, and the shape that goes with it; the tag is among its fields.
    pub variants: Vec<(String, Object)>,
}

impl EventKind {
    /// Whether this stands for events that the spec version doesn't know.
    pub(super) fn is_unknown(&self) -> bool {
        self.kind == UNKNOWN
    }
}

impl Object {
    /// The member of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }
}

const CUSTOM: &str = "dev.cdeventsx";
const UNKNOWN: &str = "unknown";

/// The event `kind` (`service.deployed`) of a spec version. A well-formed custom type finds the version's custom event,
/// whose content is open.
#[must_use]
pub fn find(spec: SpecVersion, kind: &str) -> Option<&'static EventKind> {
    let book = book(spec);
    if super::custom_subject(kind).is_some() {
        return Some(&book.custom);
    }
    book.kinds.iter().find(|k| k.kind == kind)
}

/// Every event of a spec version but the custom one, in the order of the alphabet.
#[must_use]
pub fn kinds(spec: SpecVersion) -> &'static [EventKind] {
    &book(spec).kinds
}

/// What a spec version says of custom events.
#[must_use]
pub fn custom(spec: SpecVersion) -> &'static EventKind {
    &book(spec).custom
}

/// The event whose `context.type` is `type_name`, custom types included.
#[must_use]
pub fn of_type(spec: SpecVersion, type_name: &str) -> Option<&'static EventKind> {
    let book = book(spec);
    if super::custom_subject(type_name).is_some() {
        return Some(&book.custom);
    }
    book.by_type.get(type_name).map(|&at| &book.kinds[at])
}

/// Name of the member of `context` in which documents of a spec version say that version.
#[must_use]
pub fn version_field(spec: SpecVersion) -> &'static str {
    &book(spec).version_field
}

/// What a spec version says of every event, for documents whose type it doesn't know.
pub(super) fn unknown(spec: SpecVersion) -> &'static EventKind {
    &book(spec).unknown
}

/// Whether documents of a spec version say a custom event's subject in `subject.type`.
pub(super) fn says_custom_subject(spec: SpecVersion) -> bool {
    read::says_subject_type(&book(spec).custom.document)
}

/// One spec version, read.
#[derive(Debug)]
struct Book {
    version_field: String,
    kinds: Vec<EventKind>,
    by_type: HashMap<String, usize>,
    custom: EventKind,
    unknown: EventKind,
}

fn book(spec: SpecVersion) -> &'static Book {
    static V0_4_1: LazyLock<Book> = LazyLock::new(|| compiled_in(SpecVersion::V0_4_1));
    static V0_5_1: LazyLock<Book> = LazyLock::new(|| compiled_in(SpecVersion::V0_5_1));
    match spec {
        SpecVersion::V0_4_1 => &V0_4_1,
        SpecVersion::V0_5_1 => &V0_5_1,
    }
}

#[expect(clippy::expect_used, reason = "the file is part of the program, and a test reads it")]
fn compiled_in(spec: SpecVersion) -> Book {
    let text = match spec {
        SpecVersion::V0_4_1 => include_str!("0.4.1.yaml"),
        SpecVersion::V0_5_1 => include_str!("0.5.1.yaml"),
    };
    read::book(spec, text).expect("the vocabulary is readable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_reads_and_knows_its_events() {
        for spec in SpecVersion::ALL {
            assert_eq!(kinds(spec).len(), 45, "{spec}");
            for kind in kinds(spec) {
                assert_eq!(kind.type_name, format!("dev.cdevents.{}.{}", kind.kind, kind.version));
                assert!(std::ptr::eq(find(spec, &kind.kind).unwrap(), of_type(spec, &kind.type_name).unwrap()));
            }
            assert!(find(spec, "service.exploded").is_none());
            assert!(find(spec, "dev.cdeventsx.mytool-resource.created.0.1.0").unwrap().content.open);
            assert!(find(spec, "dev.cdeventsx.mytool.created.0.1.0").is_none());
        }
    }

    #[test]
    fn fields_tell_their_names_shapes_and_whether_they_are_required() {
        let deployed = find(SpecVersion::V0_5_1, "service.deployed").unwrap();
        assert_eq!(deployed.type_name, "dev.cdevents.service.deployed.0.3.0");
        let environment = deployed.content.field("environment").unwrap();
        assert!(environment.required);
        let Shape::Object(environment) = &environment.shape else { panic!("{environment:?}") };
        assert!(environment.field("id").unwrap().required && !environment.field("source").unwrap().required);
        let Shape::Text(artifact) = &deployed.content.field("artifactId").unwrap().shape else { panic!() };
        assert_eq!((artifact.min_length, artifact.hint), (1, Some(Hint::Purl)));
    }

    #[test]
    fn what_a_version_renames_was_there_in_the_version_before() {
        fn check(newer: &Object, older: &Object, kind: &str) {
            for field in &newer.fields {
                let was = field.was.as_ref().unwrap_or(&field.name);
                let Some(before) = older.field(was) else {
                    assert!(field.was.is_none(), "{kind}: {was}");
                    continue;
                };
                match (&field.shape, &before.shape) {
                    (Shape::Object(newer), Shape::Object(older)) => check(newer, older, kind),
                    (Shape::Text(newer), Shape::Text(older)) => {
                        let was = newer.values.iter().filter_map(|l| l.was.as_ref());
                        was.for_each(|was| assert!(older.values.iter().any(|l| l.value == *was), "{kind}: {was}"));
                    }
                    _ => {}
                }
            }
        }
        for pair in SpecVersion::ALL.windows(2) {
            for newer in kinds(pair[1]) {
                if let Some(older) = find(pair[0], &newer.kind) {
                    check(&newer.content, &older.content, &newer.kind);
                }
            }
        }
    }
}
