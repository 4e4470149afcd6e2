//! The door: what it answers, and that what it took arrives.

use crate::support::{Collector, Proxy, client, eventually, payload, program, run};
use serde_json::Value;
use std::collections::BTreeSet;
use tempfile::tempdir;

const FIRST: &str = "first-deployment/03-healthy.json";

fn sink(collector: &Collector) -> String {
    format!("sinks: {{c: {{http: {{url: \"{}\"}}, retry: {{initial: 50ms, max: 200ms}}}}}}\n", collector.url)
}

/// Ids of what a collector took.
fn ids(collector: &Collector) -> BTreeSet<String> {
    collector.taken().iter().filter_map(|one| one.header("ce-id").map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_notification_becomes_events_on_stdout_and_only_once() {
    let dir = tempdir().unwrap();
    let proxy = Proxy::start(&dir.path().join("data"), "");
    let (status, answer) = proxy.post(payload(FIRST)).await;
    assert_eq!(status, 202);
    let events = usize::try_from(answer["events"].as_u64().unwrap()).unwrap();
    assert!(events > 0, "{answer}");
    eventually("the events are printed", || proxy.stdout.lock().unwrap().len() == events).await;
    let types: Vec<_> = proxy.events().iter().map(|event| event["context"]["type"].clone()).collect();
    assert!(types.contains(&Value::from("dev.cdevents.service.deployed.0.3.0")), "{types:?}");

    let (status, again) = proxy.post(payload(FIRST)).await;
    assert_eq!((status, &again["events"]), (202, &Value::from(0)));
}

#[tokio::test]
async fn each_refusal_says_what_to_do() {
    let dir = tempdir().unwrap();
    let config = "limits: {body: 1KiB}\nsources: {default: {}, eu: {path: /argocd/eu, auth: {bearer: [{env: EU_NEW}, {env: EU_OLD}]}}}\n";
    let proxy = Proxy::start_with(&dir.path().join("data"), config, &[("EU_NEW", "new"), ("EU_OLD", "old")]);

    let (status, answer) = proxy.post("app: not json").await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("toJson"), "{answer}");
    let kept = answer["deadLetter"].as_str().unwrap().to_owned();
    let (_, again) = proxy.post("app: not json").await;
    assert_eq!(again["deadLetter"].as_str(), Some(kept.as_str()), "kept once per content");

    let (status, answer) = proxy.post_to("/webhook/nowhere", "{}").await;
    assert_eq!(status, 404);
    assert!(answer["error"].as_str().unwrap().contains("/webhook/<source>"), "{answer}");

    let (status, answer) = proxy.post(vec![b' '; 2000]).await;
    assert_eq!(status, 413);
    assert!(answer["error"].as_str().unwrap().contains("limits.body"), "{answer}");

    let get = client().get(format!("{}/webhook", proxy.url)).send().await.unwrap();
    assert_eq!(get.status(), 405);
    assert_eq!(get.headers()["allow"], "POST");
    assert!(get.text().await.unwrap().contains("method: POST"));

    let zipped = client().post(format!("{}/webhook", proxy.url)).header("content-encoding", "gzip").body("{}");
    assert_eq!(zipped.send().await.unwrap().status(), 415);

    for (token, status) in [("", 401), ("newer", 401), ("new", 202), ("old", 202)] {
        let post = client().post(format!("{}/argocd/eu", proxy.url)).bearer_auth(token).body("{}");
        assert_eq!(post.send().await.unwrap().status(), status, "{token}");
    }
    assert_eq!(proxy.post_to("/webhook/eu", "{}").await.0, 401);
}

#[tokio::test]
async fn go_clients_are_asked_to_close_and_others_may_stay() {
    let dir = tempdir().unwrap();
    let proxy = Proxy::start(&dir.path().join("data"), "");
    for (agent, close) in [("Go-http-client/1.1", true), ("curl/8", false)] {
        let post = client().post(format!("{}/webhook", proxy.url)).header("user-agent", agent).body("{}");
        let answer = post.send().await.unwrap();
        assert_eq!(answer.headers().get("connection").is_some_and(|value| value == "close"), close, "{agent}");
    }
}

#[tokio::test]
async fn a_collector_that_was_down_gets_each_event_once() {
    let dir = tempdir().unwrap();
    let collector = Collector::start().await;
    collector.answer(503);
    let proxy = Proxy::start(&dir.path().join("data"), &sink(&collector));
    let (_, answer) = proxy.post(payload(FIRST)).await;
    let events = usize::try_from(answer["events"].as_u64().unwrap()).unwrap();
    eventually("the collector refuses some", || collector.received().len() > 2).await;
    collector.answer(202);
    eventually("every event arrives", || collector.taken().len() >= events).await;
    assert_eq!((ids(&collector).len(), collector.taken().len()), (events, events));
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let collector = Collector::start().await;
    collector.answer(503);
    let proxy = Proxy::start(&data, &sink(&collector));
    let (status, answer) = proxy.post(payload(FIRST)).await;
    proxy.kill();
    assert_eq!(status, 202);
    collector.answer(202);
    let proxy = Proxy::start(&data, &sink(&collector));
    let events = usize::try_from(answer["events"].as_u64().unwrap()).unwrap();
    // At least once: an attempt that was under way when the process died may be made again, with the same id.
    eventually("every event arrives", || ids(&collector).len() == events).await;
    assert_eq!(proxy.post(payload(FIRST)).await.1["events"], 0, "it's known after the restart, too");
    assert_eq!(proxy.terminate(), Some(0));
}

#[test]
fn what_cannot_run_says_what_to_do_and_exits_with_two() {
    let dir = tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = dir.path().join("data");
    let output = run(&["serve", "--listen", &address, "--data", data.to_str().unwrap()]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains(&address) && message.contains("--listen"), "{message}");

    let mapping = dir.path().join("broken.yaml");
    std::fs::write(&mapping, "apiVersion: argocd-cdevents/v1\nkind: Mapping\nspec: [\n").unwrap();
    let output = run(&["serve", "--mapping", mapping.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("broken.yaml"), "{message}");
}

#[tokio::test]
async fn a_changed_mapping_is_taken_and_a_broken_one_is_not() {
    let dir = tempdir().unwrap();
    let mapping = dir.path().join("mine.yaml");
    let text = |kind: &str| {
        format!(
            "apiVersion: argocd-cdevents/v1\nkind: Mapping\nmetadata: {{name: mine}}\nspec:\n  key: body.id\n  rules:\n    - name: one\n      \
             emit:\n        type: {kind}\n        timestamp: '2026-01-01T00:00:00Z'\n        occurrence: '{{{{body.id}}}}'\n        \
             subject: {{id: '{{{{body.id}}}}', content: {{environment: {{id: e}}, artifactId: 'pkg:generic/a@1'}}}}\n"
        )
    };
    std::fs::write(&mapping, text("service.deployed")).unwrap();
    let proxy = Proxy::start(&dir.path().join("data"), &format!("mappings: [{{path: {}}}]\n", mapping.display()));
    assert_eq!(proxy.post(r#"{"id": "1"}"#).await.1["events"], 1);
    let logged = |what: &str| proxy.stderr.lock().unwrap().iter().any(|line| line.contains(what));

    std::fs::write(&mapping, "spec: {").unwrap();
    eventually("the broken mapping is refused", || logged("refused")).await;
    assert_eq!(proxy.post(r#"{"id": "2"}"#).await.1["events"], 1);

    std::fs::write(&mapping, text("service.upgraded")).unwrap();
    eventually("the new mapping is taken", || logged("loaded again")).await;
    assert_eq!(proxy.post(r#"{"id": "3"}"#).await.1["events"], 1);
    eventually("three events are printed", || proxy.stdout.lock().unwrap().len() == 3).await;
    let types: Vec<_> = proxy.events().iter().map(|e| e["context"]["type"].as_str().unwrap().to_owned()).collect();
    assert!(types[1].contains("deployed") && types[2].contains("upgraded"), "{types:?}");
}

#[test]
fn every_command_has_help_with_an_example() {
    let output = program().arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .map_while(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        let output = program().args([command, "--help"]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("Example"), "{command} --help shows no example");
    }
}
