//! Our validation and the official schemas agree on every document.

use super::mutants::{MEMBERS, edges, places, plain, with, with_member, without};
use super::official::Official;
use argocd_cdevents::cdevents::vocabulary::{self, EventKind, Format, Object, Shape, Text};
use argocd_cdevents::cdevents::{SpecVersion, faults, validate, validate_as};
use serde_json::{Value, json};

/// Counts what was asked, and keeps what we and the schema disagreed on.
#[derive(Default)]
struct Verdicts {
    asked: usize,
    valid: usize,
    disagreed: Vec<String>,
}

impl Verdicts {
    fn ask(&mut self, official: &Official, document: &Value, file_type: &str) {
        let theirs = official.accepts(document, file_type);
        let ours = faults(document, official.spec);
        self.asked += 1;
        self.valid += usize::from(theirs);
        let undetected = validate(document);
        if theirs != ours.is_empty() || theirs != undetected.is_valid() {
            self.disagreed.push(format!(
                "{} {file_type}: the schema says {theirs}, we {ours:?}, and as {} {:?}, on {document}",
                official.spec, undetected.spec, undetected.errors
            ));
        }
    }

    fn assert_agreed(&self, least: usize) {
        eprintln!("{} documents asked, {} of them valid", self.asked, self.valid);
        let shown = self.disagreed.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
        assert!(self.disagreed.is_empty(), "{} disagreements:\n{shown}", self.disagreed.len());
        assert!(self.asked >= least, "the mutator made {} documents only", self.asked);
        assert!(self.valid > 0 && self.valid < self.asked, "only one verdict ever came up");
    }
}

fn type_of(document: &Value) -> &str {
    document["context"]["type"].as_str().unwrap()
}

#[test]
fn all_conformance_documents_are_valid() {
    for official in Official::all().into_iter().flatten() {
        for (file, document) in &official.conformance {
            assert!(official.accepts(document, type_of(document)), "{file}");
            let report = validate(document);
            assert_eq!((report.spec, report.errors), (official.spec, vec![]), "{file}");
            assert_eq!(validate_as(document, official.spec).errors, [], "{file}");
        }
    }
}

/// How many documents share the work of trying every edge in the same place: 1 with `ARGOCD_CDEVENTS_ALL_MUTANTS=1`.
fn share() -> usize {
    if std::env::var_os("ARGOCD_CDEVENTS_ALL_MUTANTS").is_some() { 1 } else { 12 }
}

#[test]
fn every_mutant_gets_the_same_verdict_from_us_and_from_the_official_schema() {
    let Some(all) = Official::all() else { return };
    let (plain, edges, share) = (plain(), edges(), share());
    let mut verdicts = Verdicts::default();
    let mut turn = 0;
    for official in &all {
        for (_, document) in &official.conformance {
            let type_name = type_of(document);
            for place in places(document) {
                if !place.is_empty() {
                    verdicts.ask(official, &without(document, &place), type_name);
                }
                turn += 1;
                let some = edges.iter().skip(turn % share).step_by(share);
                for value in plain.iter().chain(some) {
                    verdicts.ask(official, &with(document, &place, value), type_name);
                }
                for (name, value) in MEMBERS.iter().zip([json!("a"), json!({}), json!(7)].iter().cycle()) {
                    if let Some(mutant) = with_member(document, &place, name, value) {
                        verdicts.ask(official, &mutant, type_name);
                    }
                }
            }
        }
    }
    verdicts.assert_agreed(150_000);
}

#[test]
fn every_field_that_an_event_may_have_is_judged_as_the_official_schema_judges_it() {
    let Some(all) = Official::all() else { return };
    let (plain, edges, share) = (plain(), edges(), share());
    let mut verdicts = Verdicts::default();
    let mut turn = 0;
    for official in &all {
        for kind in vocabulary::kinds(official.spec) {
            let full = sample(kind);
            assert!(official.accepts(&full, &kind.type_name), "{full}");
            for place in places(&full).into_iter().skip(1) {
                verdicts.ask(official, &without(&full, &place), &kind.type_name);
                turn += 1;
                let some = edges.iter().skip(turn % share).step_by(share);
                for value in plain.iter().chain(some) {
                    verdicts.ask(official, &with(&full, &place, value), &kind.type_name);
                }
            }
        }
    }
    verdicts.assert_agreed(50_000);
}

#[test]
fn documents_with_several_mutations_get_the_same_verdict() {
    let Some(all) = Official::all() else { return };
    let values = edges();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut verdicts = Verdicts::default();
    for _ in 0..40_000 {
        let official = dice.pick(&all);
        let (_, original) = dice.pick(&official.conformance);
        let mut document = original.clone();
        for _ in 0..2 + dice.below(2) {
            let place = dice.pick(&places(&document)).clone();
            document = match dice.below(4) {
                0 if !place.is_empty() => without(&document, &place),
                1 => {
                    let (name, value) = (*dice.pick(MEMBERS), dice.pick(&values));
                    with_member(&document, &place, name, value).unwrap_or(document)
                }
                _ if place.is_empty() => document,
                _ => with(&document, &place, dice.pick(&values)),
            };
        }
        verdicts.ask(official, &document, type_of(original));
    }
    verdicts.assert_agreed(40_000);
}

/// A repeatable stream of choices (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// A document of the event with every field that it may have.
fn sample(kind: &EventKind) -> Value {
    let mut document = object(&kind.document);
    let version = vocabulary::version_field(kind.spec);
    document["context"][version] = json!(kind.spec.as_str());
    document
}

fn object(shape: &Object) -> Value {
    Value::Object(shape.fields.iter().map(|f| (f.name.clone(), value(&f.shape))).collect())
}

fn value(shape: &Shape) -> Value {
    match shape {
        Shape::Any | Shape::ObjectOrString => json!({}),
        Shape::Text(rule) => json!(text(rule)),
        Shape::List(item) => json!([value(item), value(item)]),
        Shape::Object(shape) => object(shape),
        Shape::Tagged(tagged) => object(&tagged.variants[0].1),
    }
}

fn text(rule: &Text) -> String {
    if let Some(first) = rule.values.first() {
        return first.value.clone();
    }
    match rule.format {
        Some(Format::DateTime) => "2026-01-05T10:00:00Z",
        Some(Format::Uri | Format::UriReference) => "https://example.com/a",
        _ => "a",
    }
    .to_owned()
}

#[test]
fn every_tag_of_a_link_is_judged_without_the_official_schemas_too() {
    let kind = vocabulary::find(SpecVersion::NEWEST, "service.deployed").unwrap();
    let mut document = sample(kind);
    document["context"]["links"] = json!([{"linkType": "START"}, {"linkType": "PATH"}, {}, 7]);
    let found = faults(&document, SpecVersion::NEWEST);
    let paths = found.iter().map(|f| f.path.as_str()).collect::<Vec<_>>();
    let links = "/context/links";
    let wanted = ["/0/linkType", "/1/from", "/2/linkType", "/3"].map(|p| format!("{links}{p}"));
    assert_eq!(paths, wanted);
}
