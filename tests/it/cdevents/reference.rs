//! `docs/cdevents.md` says what the vocabulary says.

use argocd_cdevents::cdevents::SpecVersion;
use argocd_cdevents::cdevents::vocabulary::{self, EventKind, Field, Format, Object, Shape, Text};
use std::fmt::Write;
use std::fs;
use std::path::Path;

const HEAD: &str = "\
# CDEvents that mappings can make

Generated from the vocabulary (`src/cdevents/*.yaml`) by `UPDATE_DOCS=1 cargo test --test it reference`; a test compares them.

Names are those of the newest version, as mappings use them; what an older version calls otherwise stands behind it. **Bold** is
required, `…` means that other members or values are allowed, and text may be empty unless it says otherwise. Besides these,
`dev.cdeventsx.<tool>-<subject>.<predicate>.<version>` is a custom event with any object as content.
";

fn reference() -> String {
    let mut page = HEAD.to_owned();
    let mut subject = "";
    for kind in vocabulary::kinds(SpecVersion::NEWEST) {
        if kind.subject != subject {
            subject = &kind.subject;
            let versions = SpecVersion::ALL.map(|v| format!(" {v} |")).concat();
            let rule = SpecVersion::ALL.map(|_| "---|").concat();
            write!(page, "\n## {subject}\n\n| event |{versions} content |\n|---|{rule}---|\n").unwrap();
        }
        let version = |spec| vocabulary::find(spec, &kind.kind).map_or("", |k: &EventKind| &k.version);
        let versions = SpecVersion::ALL.map(|v| format!(" {} |", version(v))).concat();
        writeln!(page, "| `{}` |{versions} {} |", kind.kind, members(&kind.content)).unwrap();
    }
    page
}

fn members(object: &Object) -> String {
    let mut all = object.fields.iter().map(member).collect::<Vec<_>>();
    if object.open {
        all.push("…".to_owned());
    }
    all.join(", ")
}

fn member(field: &Field) -> String {
    let name = if field.required { format!("**`{}`**", field.name) } else { format!("`{}`", field.name) };
    let was = field.was.as_ref().map(|was| format!(" (before: `{was}`)")).unwrap_or_default();
    format!("{name}{was}{}", shape(&field.shape))
}

fn shape(shape: &Shape) -> String {
    match shape {
        Shape::Any => ": anything".to_owned(),
        Shape::Text(rule) => text(rule),
        Shape::List(item) => format!(": list{}", self::shape(item)),
        Shape::Object(object) => format!(" {{{}}}", members(object)),
        Shape::Tagged(_) | Shape::ObjectOrString => unreachable!("no content has it"),
    }
}

fn text(rule: &Text) -> String {
    let named = |value: &str, was: Option<&str>| match was {
        Some(was) => format!("`{value}` (before: `{was}`)"),
        None => format!("`{value}`"),
    };
    let mut values = rule.values.iter().map(|l| named(&l.value, l.was.as_deref())).collect::<Vec<_>>();
    values.extend(rule.suggestions.iter().map(|s| named(s, None)));
    if !rule.suggestions.is_empty() {
        values.push("…".to_owned());
    }
    if !values.is_empty() {
        return format!(": {}", values.join(" / "));
    }
    match (rule.format, rule.min_length) {
        (Some(Format::Uri), _) => ": URI",
        (Some(Format::UriReference), _) => ": URI reference",
        (Some(Format::DateTime), _) => ": timestamp",
        (Some(Format::CustomType | Format::CustomSubject), _) => ": name",
        (None, 0) => "",
        (None, _) => ": not empty",
    }
    .to_owned()
}

#[test]
fn the_reference_page_says_what_the_vocabulary_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cdevents.md");
    let wanted = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/cdevents.md is stale: run UPDATE_DOCS=1 cargo test --test it reference");
}
