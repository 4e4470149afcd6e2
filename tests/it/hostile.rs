//! Mappings and bodies that would hang the program or end it: each is refused, or ends as a dead letter, and the proxy goes on.
//!
//! They run in processes of their own, so that a stack that overflows is seen.

use crate::support::{Proxy, eventually, payload, program};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::tempdir;

/// The stack of the program's main thread, as large as the stacks of its other threads.
const STACK_KIB: usize = 2048;

/// What a run came to.
struct Ended {
    code: Option<i32>,
    stderr: String,
}

/// Runs the program on a small stack. One that takes a minute hangs.
fn run(args: &[&str]) -> Ended {
    let program = program().get_program().to_owned();
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg(format!("ulimit -s {STACK_KIB}; exec \"$0\" \"$@\"")).arg(program).args(args);
    command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let told = std::thread::spawn(move || {
        let mut told = String::new();
        std::io::Read::read_to_string(&mut stderr, &mut told).map(|_| told).unwrap_or_default()
    });
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("{args:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Ended { code: status.code(), stderr: told.join().unwrap() }
}

const HEAD: &str = "apiVersion: argocd-cdevents/v1\nkind: Mapping\nmetadata: {name: hostile}\nspec:\n  key: \"'x'\"\n";

/// A mapping with one rule.
fn rule(when: &str, id: &str) -> String {
    let (when, id) = (Value::from(when), Value::from(id));
    format!(
        "{HEAD}  rules:\n    - name: one\n      when: {when}\n      emit: {{type: service.removed, timestamp: '2026-03-01T00:00:00Z', \
         subject: {{id: {id}, content: {{environment: {{id: x}}}}}}}}\n"
    )
}

fn when(condition: &str) -> String {
    rule(condition, "x")
}

fn template(text: &str) -> String {
    rule("true", text)
}

/// Each mapping is refused with its place, by `check`.
fn refused(mappings: &[(&str, String)]) {
    let dir = tempdir().unwrap();
    for (name, text) in mappings {
        let file = dir.path().join("mapping.yaml");
        std::fs::write(&file, text).unwrap();
        let ended = run(&["check", file.to_str().unwrap()]);
        let told: String = ended.stderr.chars().take(600).collect();
        assert_eq!(ended.code, Some(1), "{name}: {told}");
        assert!(ended.stderr.contains("mapping.yaml:"), "{name} has a place: {told}");
        assert!(ended.stderr.contains("help:"), "{name} has a remedy: {told}");
    }
}

/// What a body may have to make things slow: a long list, a long text.
fn body() -> Value {
    json!({"app": {"metadata": {"name": "x"}}, "list": (0..100_000).collect::<Vec<_>>(), "text": "x".repeat(400_000)})
}

/// Each mapping is loaded, and fails on the body because it costs too much.
fn spent(mappings: &[(&str, String)]) {
    let dir = tempdir().unwrap();
    let (file, notification) = (dir.path().join("mapping.yaml"), dir.path().join("body.json"));
    std::fs::write(&notification, body().to_string()).unwrap();
    for (name, text) in mappings {
        std::fs::write(&file, text).unwrap();
        let ended = run(&["translate", "--mapping", file.to_str().unwrap(), notification.to_str().unwrap()]);
        let told: String = ended.stderr.chars().take(600).collect();
        assert_eq!(ended.code, Some(1), "{name}: {told}");
        assert!(told.contains("hostile") && (told.contains("steps") || told.contains("more than")), "{name}: {told}");
    }
}

#[test]
fn expressions_that_nest_without_end_are_refused() {
    let around = |open: &str, inner: &str, close: &str, n: usize| when(&(open.repeat(n) + inner + &close.repeat(n)));
    refused(&[
        ("brackets", around("(", "true", ")", 4000)),
        ("lists", around("[", "1", "]", 4000)),
        ("maps", around("{1:", "1", "}", 1500)),
        ("messages", around("a.b{c:", "1", "}", 1000)),
        ("calls", around("size(", "body", ")", 1000)),
        ("has", around("has(", "body.a", ")", 1000)),
        ("macros", around("[1].all(a,", "true", ")", 500)),
        ("negations in brackets", around("!(", "true", ")", 2000)),
        ("indexes", around("body[", "1", "]", 1000)),
        ("negations", around("!", "true", "", 8000)),
        ("signs", around("- ", "1 == 1", "", 4000)),
        ("sums", around("1+", "1 == 2", "", 4000)),
        ("comparisons", around("1<", "1", "", 4000)),
        ("choices", around("true ? true : ", "true", "", 500)),
        ("choices within", around("true ? ", "true", " : true", 500)),
        ("members", when(&format!("body{}", ".a".repeat(4000)))),
        ("optional members", when(&format!("body{}", ".?a".repeat(2000)))),
        ("items", when(&format!("body{}", "[0]".repeat(2000)))),
        ("methods", when(&format!("body{}", ".size()".repeat(1000)))),
        ("macros in a row", when(&format!("[1]{} == []", ".map(a, a)".repeat(700)))),
    ]);
}

#[test]
fn what_only_looks_like_an_expression_is_refused_before_the_parser_mends_it() {
    refused(&[
        ("brackets that don't close", when(&"(".repeat(8000))),
        ("lists that don't close", when(&"[".repeat(8000))),
        ("maps that don't close", when(&"{".repeat(8000))),
        ("empty brackets in a row", when(&"( ) ".repeat(2000))),
        ("empty brackets beside each other", when(&"( ) && ".repeat(1000))),
        ("a mix", when(&"a(b[c{d".repeat(1000))),
        ("words", when(&"a b ".repeat(2000))),
        ("brackets behind a text that doesn't end", when(&format!("'{}", "(".repeat(8000)))),
        ("brackets behind an escape that isn't one", when(&format!("'\\({}'", "(".repeat(8000)))),
        ("too long", when(&format!("'{}' == ''", "x".repeat(9000)))),
        ("a regular expression of megabytes", when("'x'.matches('((a{100}){100}){100}')")),
        ("a regular expression that nests", when(&format!("'x'.matches('{}x{}')", "(".repeat(3000), ")".repeat(3000)))),
    ]);
}

#[test]
fn templates_that_nest_without_end_are_refused() {
    refused(&[
        ("blocks", template(&("{{#if body}}".repeat(600) + "x" + &"{{/if}}".repeat(600)))),
        ("blocks that don't close", template(&"{{#if body}}".repeat(600))),
        ("alternatives", template(&format!("{{{{#if body.a}}}}{}{{{{/if}}}}", "{{else if body.a}}".repeat(600)))),
        ("a few blocks too many", template(&("{{#if body}}".repeat(20) + "x" + &"{{/if}}".repeat(20)))),
        ("helpers", template(&format!("{{{{{}upper \"a\"{}}}}}", "upper (".repeat(2000), ")".repeat(2000)))),
        ("lists", template(&format!("{{{{lower {}{}}}}}", "[".repeat(5000), "]".repeat(5000)))),
        ("braces", template(&"{".repeat(16_000))),
        ("loops", template("{{#each body.a}}{{#each this}}{{#each this}}{{/each}}{{/each}}{{/each}}")),
        ("blocks for partials", template("{{#> health-description}}x{{/health-description}}")),
        ("too long", template(&format!("{}{{{{upper body.a}}}}", "x".repeat(20_000)))),
    ]);
}

#[test]
fn partials_that_grow_without_end_are_refused() {
    let dir = tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    for n in 1..30 {
        write(&format!("twice-{n}.hbs"), &format!("{{{{> twice-{0}}}}}{{{{> twice-{0}}}}}", n - 1));
        write(&format!("once-{n}.hbs"), &format!("{{{{> once-{}}}}}", n - 1));
    }
    write("twice-0.hbs", "x");
    write("once-0.hbs", "x");
    write("circle-a.hbs", "{{> circle-b}}");
    write("circle-b.hbs", "{{#if body}}{{> circle-a}}{{/if}}");
    for (partial, told) in [("twice-12", "parts"), ("twice-29", "deep"), ("once-29", "deep"), ("circle-a", "itself")] {
        write("mapping.yaml", &template(&format!("{{{{> {partial}}}}}")));
        let (file, templates) = (dir.path().join("mapping.yaml"), dir.path().to_str().unwrap());
        let ended = run(&["check", "--templates", templates, file.to_str().unwrap()]);
        assert_eq!(ended.code, Some(1), "{partial}: {}", ended.stderr);
        assert!(ended.stderr.contains(told), "{partial}: {}", ended.stderr);
    }
}

#[test]
fn files_that_are_too_deep_or_too_large_are_refused() {
    let parameter = |text: &str| format!("{HEAD}  parameters: {{x: {text}}}\n  rules: []\n");
    let many = |n: usize, one: fn(usize) -> String| (0..n).map(one).collect::<String>();
    let mut bomb = format!("{HEAD}  parameters:\n    a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..9 {
        bomb += &format!("    a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "));
    }
    let lets = |n: usize, of: fn(usize) -> String| {
        format!("{HEAD}  let:\n    a0: '1'\n{}  rules: []\n", (1..n).map(of).collect::<String>())
    };
    refused(&[
        ("lists", parameter(&("[".repeat(10_000) + &"]".repeat(10_000)))),
        ("maps", parameter(&("{a: ".repeat(10_000) + "1" + &"}".repeat(10_000)))),
        ("blocks", format!("{HEAD}  parameters:\n    x:\n      {}a\n", "- ".repeat(3000))),
        ("a list that holds itself", parameter("&a [*a]")),
        ("aliases of aliases", bomb + "  rules: []\n"),
        ("a long text", parameter(&"a".repeat(2_000_000))),
        ("values", format!("{HEAD}  parameters: [{}]\n  rules: []\n", "1,".repeat(60_000))),
        ("rules", format!("{HEAD}  rules:\n{}", many(3000, |n| format!("  - {{name: r{n}}}\n")))),
        ("unknown keys", format!("{HEAD}{}  rules: []\n", many(2000, |n| format!("  x{n}: 1\n")))),
        ("names", lets(600, |n| format!("    a{n}: '1'\n"))),
        ("names that read each other", lets(60, |n| format!("    a{n}: a{}\n", n - 1))),
        (
            "defaults under many rules",
            format!(
                "{HEAD}  defaults: {{customData: {{{}}}}}\n  rules:\n{}",
                many(1000, |n| format!("a{n}: x, ")),
                many(500, |n| format!("  - {{name: r{n}, emit: {{type: service.removed}}}}\n"))
            ),
        ),
    ]);
}

#[test]
fn conditions_that_cost_too_much_fail_the_notification_alone() {
    spent(&[
        ("loops in loops", when("body.list.all(a, body.list.all(b, true))")),
        ("looking for each", when("body.list.all(a, !(-1 in body.list))")),
        ("comparing all with all", when("body.list.all(a, body.list == body.list)")),
        ("comparing texts", when("body.list.all(a, body.text == body.text)")),
        ("searching texts", when("body.list.all(a, !body.text.contains('y'))")),
        ("matching texts", when("body.list.all(a, !body.text.matches('(x+x+)+y'))")),
        ("copying lists", when("size([body.list.map(x, x)].map(m, m.map(a, m))) > 0")),
        ("adding lists", when("size(body.list + body.list + body.list + body.list + body.list + body.list) > 0")),
        ("adding texts", when(&format!("size(body.text{}) > 0", " + body.text".repeat(12)))),
    ]);
    let doubled: String = (1..16).map(|n| format!("    a{n}: a{0} + a{0} + a{0} + a{0}\n", n - 1)).collect();
    let nested: String = (1..16).map(|n| format!("    a{n}: '[a{0}, a{0}, a{0}, a{0}]'\n", n - 1)).collect();
    let rules = "  rules:\n    - {name: one, when: size(a15) > 0, stop: true}\n";
    spent(&[
        ("a text that doubles", format!("{HEAD}  let:\n    a0: \"'x'\"\n{doubled}{rules}")),
        ("a list that doubles", format!("{HEAD}  let:\n    a0: '[1]'\n{nested}{rules}")),
        (
            "items",
            format!(
                "{HEAD}  rules:\n    - {{name: one, forEach: body.list, when: 'body.list.exists(a, a == 9000)'}}\n"
            ),
        ),
    ]);
}

#[test]
fn templates_that_cost_too_much_fail_the_notification_alone() {
    let doubled = |n: usize| {
        format!("{{{{{}body.text{}}}}}", "replace (".repeat(n), ") \"x\" \"xx\"".repeat(n))
            .replace("(body.text)", "body.text")
    };
    spent(&[
        ("loops in loops", template("{{#each body.list}}{{#each ../body.list}}{{/each}}{{/each}}x")),
        ("a long loop", template("{{#each body.list}}{{/each}}x")),
        ("looking up", template("{{#each body.list}}{{#if (lookup ../body \"list\")}}{{/if}}{{/each}}x")),
        ("comparing", template("{{#each body.list}}{{#if (eq ../body ../body)}}{{/if}}{{/each}}x")),
        ("copying", template("{{#each body.list}}{{#with (default ../body 1)}}{{/with}}{{/each}}x")),
        ("writing out", template("{{#each body.list}}{{#if (json ../body)}}{{/if}}{{/each}}x")),
        ("partials", template("{{#each body.list}}{{> health-description ../body}}{{/each}}x")),
        ("partials with values", template("{{#each body.list}}{{> health-description x=../body}}{{/each}}x")),
        ("a text that doubles", template(&doubled(8))),
        ("the body thrice", template("{{json body}}{{json body}}{{json body}}")),
        ("a text thrice", template("{{body.text}}{{body.text}}{{body.text}}")),
    ]);
}

#[tokio::test]
async fn a_running_proxy_refuses_a_hostile_mapping_and_goes_on_with_the_one_it_has() {
    let dir = tempdir().unwrap();
    let mapping = dir.path().join("mapping.yaml");
    std::fs::write(&mapping, when("argo.app.name == 'pear'")).unwrap();
    let config = format!("mappings: [{{path: {}}}]\n", mapping.display());
    let proxy = Proxy::start(&dir.path().join("data"), &config);
    let said =
        |proxy: &Proxy, what: &str| proxy.stderr.lock().unwrap().iter().filter(|line| line.contains(what)).count();
    for (count, hostile) in [when(&"(".repeat(8000)), template(&"{{#if body}}".repeat(600))].into_iter().enumerate() {
        std::fs::write(&mapping, hostile).unwrap();
        eventually("the mapping is refused", || said(&proxy, "changed mappings refused") > count).await;
    }
    let (status, answer) = proxy.post(payload("first-deployment/03-healthy.json")).await;
    assert_eq!((status, &answer["events"]), (202, &Value::from(1)), "{answer}");

    std::fs::write(&mapping, when("body.list.all(a, body.list.all(b, true))")).unwrap();
    eventually("the mapping is loaded", || said(&proxy, "loaded again") > 0).await;
    let (status, answer) = proxy.post(body().to_string()).await;
    assert_eq!(status, 202, "{answer}");
    assert!(answer["deadLetter"].is_string(), "{answer}");
}
