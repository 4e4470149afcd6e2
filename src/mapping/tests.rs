use super::*;
use crate::cdevents::SpecVersion;
use crate::notification::{Notification, Request, Source};
use crate::translate::{self, Emission, Failure, Recollection};
use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::json;

const HEAD: &str = "apiVersion: argocd-cdevents/v1\nkind: Mapping\nmetadata: {name: t}\n";

fn load(spec: &str) -> Result<Mappings, Faults> {
    load_text("t.yaml", &format!("{HEAD}{spec}"), &Value::Null, &BTreeMap::new())
}

fn faults(spec: &str) -> Vec<Fault> {
    load(spec).unwrap_err().0
}

fn notification(body: Value) -> Notification {
    let source = Source { name: "s".into(), uri: "https://argocd.grove.example".into(), labels: IndexMap::new() };
    let received_at = "2026-03-02T09:00:10Z".parse().unwrap();
    Notification::new(
        body,
        Request { path: "/webhook".into(), query: IndexMap::new(), headers: IndexMap::new(), received_at, source },
    )
}

fn run(mappings: &Mappings, past: &mut Recollection, body: Value) -> Result<Vec<Emission>, Failure> {
    let translation = translate::prepare(mappings, notification(body))?.run(past, &SpecVersion::ALL)?;
    past.apply(&translation);
    Ok(translation.changes.into_iter().flat_map(|change| change.emissions).collect())
}

fn once(spec: &str, body: Value) -> Result<Vec<Emission>, Failure> {
    run(&load(spec).unwrap(), &mut Recollection::default(), body)
}

/// A mapping of one rule that removes a service.
fn removed(more: &str) -> String {
    format!(
        "spec:\n  key: body.id\n  parameters: {{on: true, list: []}}\n  rules:\n    - name: r\n{more}      emit:\n        type: service.removed\n        \
         timestamp: '2026-01-01T00:00:00Z'\n        subject: {{id: '{{{{body.id}}}}', content: {{environment: {{id: '{{{{body.env}}}}'}}}}}}\n"
    )
}

#[test]
fn ten_faults_of_ten_kinds_are_ten_each_with_its_line() {
    let text = "spec:
  key: body.id
  acept: 'true'
  parameters: {on: true}
  rules:
    - name: a
      when: argo.helth.status == 'Healthy'
      emit: {type: service.deploid, timestamp: x, subject: {id: x}}
    - name: a
      when: body.x and body.y
    - name: b
      emit:
        type: service.removed
        timestamp: '{{nosuch.name}}'
        subject: {id: '{{#if body.x}}', content: {environment: {id: 5}, colour: red}}
    - name: c
      when: parameters.of && memory.nothing == 1
      emit: {type: service.deployed, timestamp: '{{> missing}}', subject: {id: x, content: {environment: {id: e}}}}
";
    let found = faults(text);
    let told: Vec<(usize, &str)> = found.iter().map(|fault| (fault.line, fault.message.as_str())).collect();
    for (line, part) in [
        (6, "unknown key `acept`"),
        (10, "no fact `helth`"),
        (11, "no event `service.deploid`"),
        (12, "two rules are named `a`"),
        (13, "isn't CEL"),
        (17, "`nosuch` is no name"),
        (18, "isn't a Handlebars template"),
        (18, "must be text"),
        (18, "no field `content.colour`"),
        (20, "no parameter `of`"),
        (20, "no rule remembers `nothing`"),
        (21, "requires `content.artifactId`"),
        (21, "no partial `missing`"),
    ] {
        assert!(told.iter().any(|(at, message)| *at == line && message.contains(part)), "{line} {part} in {told:#?}");
    }
    assert!(found.iter().all(|fault| !fault.remedy.is_empty()));
    let expr = found.iter().find(|fault| fault.line == 13).unwrap();
    assert!(expr.remedy.contains("body.x && body.y"), "{expr:?}");
    assert!(expr.render(false).contains("t.yaml:13"), "{}", expr.render(false));
}

#[test]
fn text_that_is_not_yaml_is_told_with_its_place() {
    let found = faults("spec: [\n  a: b\n c: d\n");
    assert!(found.len() == 1 && found[0].line > 0 && found[0].message.contains("YAML"), "{found:?}");
}

#[test]
fn what_reads_something_absent_does_not_match() {
    let mappings = load(&removed("      when: body.nothing.at.all == 'x'\n")).unwrap();
    assert_eq!(run(&mappings, &mut Recollection::default(), json!({"id": "1", "env": "e"})).unwrap(), []);
    let failed = once(&removed("      when: body.id + 1 == 2\n"), json!({"id": "1", "env": "e"})).unwrap_err();
    assert_eq!(failed.rule.as_deref(), Some("r"));
}

#[test]
fn a_required_field_that_comes_out_empty_fails_the_whole_notification() {
    let deployed = removed("")
        .replace("removed", "deployed")
        .replace("'{{body.env}}'}", "'{{body.env}}'}, artifactId: '{{body.artifact}}'");
    let failed = once(&deployed, json!({"id": "1", "env": "e"})).unwrap_err();
    assert!(failed.problem.contains("/subject/content/artifactId"), "{failed}");
    assert_eq!(once(&deployed, json!({"id": "1", "env": "e", "artifact": "pkg:generic/a@1"})).unwrap().len(), 1);
}

#[test]
fn an_event_that_was_said_before_neither_emits_nor_changes_memory() {
    let spec = removed("      remember: {seen: {count: '{{body.n}}'}}\n");
    let mappings = load(&spec).unwrap();
    let mut past = Recollection::default();
    assert_eq!(run(&mappings, &mut past, json!({"id": "1", "env": "e", "n": 1})).unwrap().len(), 1);
    let before = past.clone();
    assert_eq!(run(&mappings, &mut past, json!({"id": "1", "env": "e", "n": 2})).unwrap(), []);
    let owner = translate::Owner { mapping: "t".into(), key: "1".into() };
    use translate::Past;
    assert_eq!(past.memory(&owner), before.memory(&owner));
    assert_eq!(past.memory(&owner)["seen"]["count"], "1");
}

#[test]
fn for_each_and_stop_do_what_they_say() {
    let spec = removed("      forEach: body.list\n      when: item != 'b'\n      stop: true\n")
        .replace("id: '{{body.id}}'", "id: '{{body.id}}/{{item}}/{{index}}'");
    let said = once(&spec, json!({"id": "1", "env": "e", "list": ["a", "b", "c"]})).unwrap();
    let ids: Vec<&str> = said.iter().map(|one| one.event.subject_id.as_str()).collect();
    assert_eq!(ids, ["1/a/0", "1/c/2"]);
}

#[test]
fn a_held_event_is_released_with_what_it_remembers_and_can_be_dropped() {
    let spec = format!(
        "{}    - name: drop\n      when: body.drop\n      drop: [h]\n",
        removed(
            "      when: '!has(body.drop)'\n      hold: \"'30s'\"\n      as: h\n      remember: {seen: {event: '{{event.context.id}}'}}\n"
        )
    );
    let mappings = load(&spec).unwrap();
    let due: Timestamp = "2026-03-02T09:00:40Z".parse().unwrap();
    let mut past = Recollection::default();
    run(&mappings, &mut past, json!({"id": "1", "env": "e"})).unwrap();
    let owner = translate::Owner { mapping: "t".into(), key: "1".into() };
    use translate::Past;
    assert!(past.memory(&owner).is_empty() && past.held() == 1);
    assert_eq!(past.release_until(due - jiff::SignedDuration::from_secs(1)), []);
    let released = past.release_until(due);
    assert_eq!(past.memory(&owner)["seen"]["event"], released[0].event.id.as_str());

    let mut past = Recollection::default();
    run(&mappings, &mut past, json!({"id": "2", "env": "e"})).unwrap();
    run(&mappings, &mut past, json!({"id": "2", "env": "e", "drop": true})).unwrap();
    assert_eq!((past.release_until(due), past.held()), (vec![], 0));
}

#[test]
fn hostile_mappings_are_refused_or_bounded() {
    let recursive = BTreeMap::from([("loop".to_owned(), "{{> loop}}".to_owned())]);
    let text = format!("{HEAD}{}", removed("").replace("'{{body.env}}'", "'{{> loop}}'"));
    let found = load_text("t.yaml", &text, &Value::Null, &recursive).unwrap_err();
    assert!(found.0[0].message.contains("includes itself"), "{found}");

    let loops = removed("").replace(
        "'{{body.env}}'",
        "'{{#each body.a}}{{#each ../body.a}}{{#each ../body.a}}x{{/each}}{{/each}}{{/each}}'",
    );
    assert!(faults(&loops)[0].message.contains("nested"));

    let large = once(&removed(""), json!({"id": "1", "env": "x".repeat(2 << 20)})).unwrap_err();
    assert!(large.problem.contains("more than"), "{}", &large.problem[..100]);

    let many = removed("      forEach: body.list\n").replace("id: '{{body.id}}'", "id: '{{index}}'");
    let list: Vec<usize> = (0..2000).collect();
    assert!(once(&many, json!({"id": "1", "env": "e", "list": list})).unwrap_err().problem.contains("1000 events"));
}

#[test]
fn parameters_are_checked_where_a_mapping_is_loaded() {
    let text = format!("{HEAD}{}", removed(""));
    let load = |with: Value| load_text("t.yaml", &text, &with, &BTreeMap::new());
    assert!(load(json!({"on": false})).is_ok());
    assert!(load(json!({"onn": false})).unwrap_err().to_string().contains("did you mean `on`?"));
    assert!(load(json!({"on": "yes"})).unwrap_err().to_string().contains("same kind"));
}

#[test]
fn named_values_may_use_each_other_but_not_in_a_circle() {
    let lets =
        |lets: &str| removed("      when: a == 'x'\n").replace("  rules:", &format!("  let: {{{lets}}}\n  rules:"));
    assert_eq!(once(&lets("a: b, b: body.b"), json!({"id": "1", "env": "e", "b": "x"})).unwrap().len(), 1);
    assert!(faults(&lets("a: b, b: a"))[0].message.contains("circle"));
}

#[test]
fn templates_read_what_blocks_and_partials_are_about_and_what_is_around_them() {
    let partials = BTreeMap::from([
        ("named".to_owned(), "{{name}} in {{team}}".to_owned()),
        ("of".to_owned(), "{{n}}".to_owned()),
    ]);
    let mut library = Library::new(&partials).unwrap();
    let scope = json!({"app": {"n": "pear", "l": [{"n": 1}, {"n": 2}], "deep": {"er": "x"}}, "team": "fruit"});
    let scope = scope.as_object().unwrap().clone();
    for (source, text) in [
        ("{{#each app.l}}{{n}} {{../team}} {{@root.app.n}} {{@index}};{{/each}}", "1 fruit pear 0;2 fruit pear 1;"),
        ("{{#with app.deep}}{{er}}{{/with}} {{app.deep.er}}", "x x"),
        ("{{> named name=app.n}}", "pear in fruit"),
        ("{{> of app}}", "pear"),
        ("{{#if (eq team 'fruit')}}{{default app.none app.n}}{{/if}}", "pear"),
        ("{{lookup app 'n'}} {{app.deep.er}}", "pear x"),
        ("{{#each app.l as |one|}}{{one.n}}{{/each}}", "12"),
    ] {
        let (template, _) = library.compile(source).unwrap();
        assert_eq!(library.render(&template, &scope).as_deref(), Ok(text), "{source}");
    }
}

#[test]
fn what_no_rule_reads_of_a_body_is_skipped_and_what_one_may_read_is_not() {
    let resources = |more: &str| {
        let mappings = load(&removed("").replace("'{{body.env}}'", more)).unwrap();
        let bytes = br#"{"app": {"status": {"resources": [1], "sync": 1}, "metadata": {"managedFields": [1]}}}"#;
        let request = notification(Value::Null).request;
        let read = Notification::parse_without(&mappings.unread(), bytes, request).unwrap();
        assert!(read.body.pointer("/app/status/sync").is_some());
        read.body.pointer("/app/status/resources").is_some()
    };
    assert!(!resources("e"));
    assert!(!resources("'{{body.app.status.sync}}'"));
    for reading in [
        "'{{body.app.status.resources.[0].kind}}'",
        "'{{#each body.app.status.resources}}{{this}}{{/each}}'",
        "'{{json body.app.status}}'",
        "{$cel: body.app.status.resources}",
        "{$cel: \"body.app['status']\"}",
        "'{{#with body.app}}{{status.resources}}{{/with}}'",
        "'{{#each argo.images}}{{../body.app.status.resources}}{{/each}}'",
    ] {
        assert!(resources(reading), "{reading}");
    }
}

proptest::proptest! {
    #[test]
    fn no_value_can_break_the_json_around_it(value in "\\PC*") {
        let said = once(&removed("").replace("'{{body.env}}'", "'e {{body.env}}'"), json!({"id": "1", "env": value.clone()})).unwrap();
        let document: Value = serde_json::from_str(&said[0].event.assemble(SpecVersion::NEWEST).to_string()).unwrap();
        let wanted = Value::from(format!("e {value}"));
        proptest::prop_assert_eq!(&document["subject"]["content"]["environment"]["id"], &wanted);
    }

    #[test]
    fn plain_paths_are_looked_up_as_handlebars_would(text in "[a-z .]{0,8}", deep in "\\PC{0,8}") {
        let mut library = Library::new(&BTreeMap::new()).unwrap();
        let scope = json!({"a": {"b": deep, "c": [1, "x", null], "d": true, "e": {"f": 1}}}).as_object().unwrap().clone();
        for path in ["a.b", "a.c", "a.d", "a.e", "a.x.y", "z"] {
            let source = format!("{text}{{{{{path}}}}}{text}");
            let (fast, _) = library.compile(&source).unwrap();
            proptest::prop_assert!(matches!(fast, template::Template::Plain(_)));
            // A comment is nothing, but not plain.
            let (slow, _) = library.compile(&format!("{source}{{{{!-- --}}}}")).unwrap();
            proptest::prop_assert_eq!(library.render(&fast, &scope), library.render(&slow, &scope));
        }
    }
}
