//! What translating costs, stage by stage: `cargo bench --bench mapping`.

use argocd_cdevents::argocd;
use argocd_cdevents::cdevents::SpecVersion;
use argocd_cdevents::mapping::{self, Expr, MappingRef};
use argocd_cdevents::notification::{Notification, Request, Source};
use argocd_cdevents::translate::{self, Recollection};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::hint::black_box;

/// The program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A real-sized Application: the first deployment's payload, padded to 10 KiB with resources.
#[allow(clippy::unwrap_used, reason = "a bench that can't go on says so")]
fn body() -> Value {
    let mut body: Value =
        serde_json::from_str(include_str!("../tests/payloads/first-deployment/03-healthy.json")).unwrap();
    while body.to_string().len() < 10 * 1024 {
        let resources = body["app"]["status"]["resources"].as_array_mut().unwrap();
        resources.push(resources[0].clone());
    }
    body
}

fn request() -> Request {
    Request {
        path: "/webhook".into(),
        query: IndexMap::new(),
        headers: IndexMap::new(),
        received_at: Timestamp::UNIX_EPOCH,
        source: Source { name: "bench".into(), uri: String::new(), labels: IndexMap::new() },
    }
}

#[allow(clippy::unwrap_used, reason = "a bench that can't go on says so")]
fn stages(criterion: &mut Criterion) {
    let body = body();
    let bytes = body.to_string();
    let scope: Map<String, Value> = [
        ("argo".to_owned(), serde_json::to_value(argocd::facts(&body["app"])).unwrap()),
        ("body".to_owned(), body.clone()),
    ]
    .into_iter()
    .collect();
    let three = Expr::compile("argo.health.status == 'Healthy' && argo.deployment.live && has(argo.deployment.origin)")
        .unwrap();
    let deep = Expr::compile("body.app.status.operationState.phase in ['Succeeded']").unwrap();
    let mappings = mapping::load(&[MappingRef::Builtin { name: "argocd".into(), with: Value::Null }], None).unwrap();
    let past = Recollection::default();
    let unread = mappings.unread();

    criterion.bench_function("parse 10 KiB with serde_json", |b| {
        b.iter(|| serde_json::from_str::<Value>(black_box(&bytes)).unwrap());
    });
    criterion.bench_function("parse a notification", |b| {
        b.iter_batched(
            request,
            |request| Notification::parse_without(&unread, bytes.as_bytes(), request).unwrap(),
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("facts", |b| b.iter(|| argocd::facts(black_box(&body["app"]))));
    criterion.bench_function("condition of three terms", |b| b.iter(|| three.holds(black_box(&scope))));
    criterion.bench_function("condition deep in the body", |b| b.iter(|| deep.holds(black_box(&scope))));
    criterion.bench_function("parse and translate with the built-in mapping", |b| {
        b.iter_batched(
            request,
            |request| {
                let notification = Notification::parse_without(&unread, bytes.as_bytes(), request).unwrap();
                translate::prepare(&mappings, notification).unwrap().run(&past, &[SpecVersion::NEWEST]).unwrap()
            },
            BatchSize::SmallInput,
        );
    });
}

/// Rules of which one applies.
fn rules(count: usize) -> String {
    let rule = |n: usize| {
        format!(
            "    - name: r{n}\n      when: argo.app.name == 'app-{n}' && argo.health.status == 'Healthy'\n      emit:\n        \
             type: service.deployed\n        timestamp: '{{{{argo.health.since}}}}'\n        subject:\n          id: \
             '{{{{argo.app.name}}}}'\n          content: {{environment: {{id: e}}, artifactId: 'pkg:oci/pear@1'}}\n"
        )
    };
    let rules: String = (0..count).map(rule).collect();
    format!(
        "apiVersion: argocd-cdevents/v1\nkind: Mapping\nmetadata: {{name: m}}\nspec:\n  key: argo.app.key\n  rules:\n{rules}"
    )
}

#[allow(clippy::unwrap_used, reason = "a bench that can't go on says so")]
fn many_rules(criterion: &mut Criterion) {
    let mut body = body();
    body["app"]["metadata"]["name"] = "app-3".into();
    let bytes = body.to_string();
    let past = Recollection::default();
    for count in [10, 1000] {
        let mappings =
            mapping::load_text("m.yaml", &rules(count), &Value::Null, &std::collections::BTreeMap::new()).unwrap();
        let unread = mappings.unread();
        criterion.bench_function(&format!("parse and translate with {count} rules"), |b| {
            b.iter_batched(
                request,
                |request| {
                    let notification = Notification::parse_without(&unread, bytes.as_bytes(), request).unwrap();
                    let prepared = translate::prepare(&mappings, notification).unwrap();
                    let said = prepared.run(&past, &[SpecVersion::NEWEST]).unwrap();
                    assert_eq!(said.changes[0].emissions.len(), 1);
                },
                BatchSize::SmallInput,
            );
        });
    }
}

/// The built-in mapping as data.
#[allow(clippy::unwrap_used, reason = "a bench that can't go on says so")]
fn builtin() -> Value {
    serde_saphyr::from_str(mapping::BUILTIN).unwrap()
}

/// What the conditions of the built-in mapping read: facts, parameters, and every named value that isn't absent.
fn scope(builtin: &Value, body: &Value) -> Map<String, Value> {
    let facts = serde_json::to_value(argocd::facts(&body["app"])).unwrap_or_default();
    let request = serde_json::to_value(request()).unwrap_or_default();
    let mut scope = Map::from_iter([("argo".to_owned(), facts), ("request".to_owned(), request)]);
    scope.insert("parameters".to_owned(), builtin["spec"]["parameters"].clone());
    scope.insert("memory".to_owned(), Value::Object(Map::new()));
    let lets = builtin["spec"]["let"].as_object().into_iter().flatten();
    let mut lets: Vec<_> =
        lets.filter_map(|(name, text)| Some((name, Expr::compile(text.as_str()?.trim()).ok()?))).collect();
    // Each reads only those that were found before, so it takes as many rounds as they're deep.
    for _ in 0..lets.len() {
        lets.retain(|(name, expr)| match expr.value(&scope) {
            Ok(value) => scope.insert((*name).clone(), value).is_some(),
            Err(_) => true,
        });
    }
    scope
}

#[allow(clippy::unwrap_used, reason = "a bench that can't go on says so")]
fn builtin_rules(criterion: &mut Criterion) {
    let (builtin, body) = (builtin(), body());
    let scope = scope(&builtin, &body);
    let rules = builtin["spec"]["rules"].as_array().unwrap();
    let conditions: Vec<Expr> =
        rules.iter().filter_map(|rule| Expr::compile(rule["when"].as_str()?.trim()).ok()).collect();
    criterion.bench_function(&format!("all {} conditions of the built-in mapping", conditions.len()), |b| {
        b.iter(|| conditions.iter().filter(|condition| condition.holds(black_box(&scope)) == Ok(true)).count());
    });

    let bytes = body.to_string();
    let past = Recollection::default();
    // What an event costs is the difference: the condition, and what becomes of it.
    for (name, applies) in [("with one event", "service-deployed"), ("without it", "")] {
        let mut one = builtin.clone();
        for rule in one["spec"]["rules"].as_array_mut().unwrap() {
            if rule["name"] != applies {
                rule["when"] = false.into();
            }
        }
        let one =
            mapping::load_text("one.yaml", &one.to_string(), &Value::Null, &std::collections::BTreeMap::new()).unwrap();
        let notification = || Notification::parse_without(&one.unread(), bytes.as_bytes(), request()).unwrap();
        criterion.bench_function(&format!("the rules of the built-in mapping {name}"), |b| {
            b.iter_batched(
                || translate::prepare(&one, notification()).unwrap(),
                |prepared| prepared.run(&past, &[SpecVersion::NEWEST]).unwrap(),
                BatchSize::SmallInput,
            );
        });
    }
}

/// What costs as much as an event may, and fails.
#[allow(clippy::unwrap_used, reason = "a bench that can't go on says so")]
fn limits(criterion: &mut Criterion) {
    let mut body = body();
    body["list"] = (0..50_000).collect();
    body["text"] = "x".repeat(200_000).into();
    let past = Recollection::default();
    for (name, when, id) in [
        ("loops in loops", "body.list.all(a, body.list.all(b, a + b >= 0))", "x"),
        ("a pattern for each item", "body.list.all(a, !body.text.matches('(x+x+)+y'))", "x"),
        ("a pattern made for each item", "body.list.all(a, !'x'.matches(string(a) + '[a-z]{900}'))", "x"),
        ("lists compared", "body.list.all(a, body.list == body.list)", "x"),
        ("a template's loops", "true", "{{#each body.list}}{{#each ../body.list}}{{this}}{{/each}}{{/each}}"),
        ("a template's texts", "true", "{{#each body.list}}{{#if (upper ../body.text)}}{{/if}}{{/each}}"),
    ] {
        let (when, id) = (Value::from(when), Value::from(id));
        let text = format!(
            "{{apiVersion: argocd-cdevents/v1, kind: Mapping, metadata: {{name: m}}, spec: {{key: argo.app.key, rules: [{{name: r, when: \
             {when}, emit: {{type: service.removed, timestamp: '2026-03-01T00:00:00Z', subject: {{id: {id}, content: {{environment: \
             {{id: e}}}}}}}}}}]}}}}"
        );
        let mapping = mapping::load_text("m.yaml", &text, &Value::Null, &std::collections::BTreeMap::new()).unwrap();
        criterion.bench_function(&format!("at the limit: {name}"), |b| {
            b.iter_batched(
                || translate::prepare(&mapping, Notification::new(body.clone(), request())).unwrap(),
                |prepared| assert!(prepared.run(&past, &[SpecVersion::NEWEST]).is_err()),
                BatchSize::PerIteration,
            );
        });
    }
}

criterion_group!(name = limited; config = Criterion::default().sample_size(10); targets = limits);
criterion_group!(many, many_rules);
criterion_group!(benches, stages);
criterion_group!(builtins, builtin_rules);
criterion_main!(benches, builtins, limited, many);
