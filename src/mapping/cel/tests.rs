use super::*;
use serde_json::{Map, json};

fn scope() -> Map<String, Value> {
    let value = json!({
        "argo": {"health": {"status": "Healthy", "since": "2026-01-05T10:00:00Z"}, "images": [{"tag": "1"}, {"tag": "2"}]},
        "parameters": {"on": true, "n": 3},
    });
    value.as_object().unwrap().clone()
}

fn holds(source: &str) -> Result<bool, EvalError> {
    Expr::compile(source).unwrap().holds(&scope())
}

#[test]
fn conditions_read_borrowed_json() {
    for source in [
        "argo.health.status == 'Healthy'",
        "argo.health.status in ['Healthy', 'Suspended'] && parameters.on",
        "has(argo.health) && !has(argo.nothing)",
        "argo.images.exists(i, i.tag == '2')",
        "size(argo.images) == 2 && parameters.n > 2",
        "argo.images[1].tag == '2'",
        "argo.images.map(i, i.tag) == ['1', '2']",
        "argo.?nothing.orValue('x') == 'x'",
        "argo.health.since < '2026-01-05T10:00:01Z'",
        "argo.health == {'status': 'Healthy', 'since': '2026-01-05T10:00:00Z'}",
        "timestamp(argo.health.since) - timestamp('2026-01-05T09:59:00Z') == duration('1m')",
        "argo.health.status.matches('^Health')",
        "true || argo.nothing.at.all",
    ] {
        assert_eq!(holds(source), Ok(true), "{source}");
    }
}

#[test]
fn what_is_absent_is_told_apart_from_what_fails() {
    for source in ["argo.nothing.status == 'x'", "memory.incident == 'x'", "argo.images[7].tag == 'x'"] {
        assert!(matches!(holds(source), Err(EvalError::Absent(_))), "{source}");
    }
    for source in ["argo.health.status + 1 == 2", "parameters.n", "timestamp('nonsense') > 0"] {
        assert!(matches!(holds(source), Err(EvalError::Failed(_))), "{source}: {:?}", holds(source));
    }
}

#[test]
fn values_come_out_as_json() {
    let value = |source: &str| Expr::compile(source).unwrap().value(&scope()).unwrap();
    assert_eq!(value("argo.images.map(i, i.tag)"), json!(["1", "2"]));
    assert_eq!(value("{'b': 1, 'a': [true, null]}"), json!({"a": [true, null], "b": 1}));
    assert_eq!(value("argo.health"), scope()["argo"]["health"]);
}

#[test]
fn every_path_that_is_read_is_known_and_local_names_are_not() {
    let expr = Expr::compile("has(memory.a) && argo.images.exists(i, i.tag == parameters.tag)").unwrap();
    let paths: Vec<String> = expr.reads().iter().map(|path| path.join(".")).collect();
    assert_eq!(paths, ["argo.images", "memory.a", "parameters.tag"]);
}

#[test]
fn comprehensions_can_not_be_nested_without_bound() {
    let three = "[1].all(a, [1].all(b, [1].all(c, a == b && b == c)))";
    assert!(Expr::compile(three).unwrap_err().message.contains("nested"));
    assert!(Expr::compile(&format!("'{}' == ''", "x".repeat(crate::mapping::limits::EXPRESSION))).is_err());
}

#[test]
fn what_an_event_may_cost_is_bounded() {
    let mut big = scope();
    big.insert("many".into(), (0..100_000).collect::<Vec<_>>().into());
    big.insert("long".into(), "x".repeat(900_000).into());
    for source in [
        "many.all(a, many.all(b, a == a && b == b))",
        "many.map(a, [a, a, a, a, a, a]).size() == 0",
        "many.map(a, long + long).size() == 0",
        "many.filter(a, long.contains('y')).size() == 0",
        "many.exists(a, long.matches('(x+x+)+y'))",
        "many.exists(a, many == [1] || many + many == many)",
        "long + long + long + long + long == ''",
        "many.exists(a, true && many.all(b, b >= 0) && false) || true",
        "many.exists(a, string(a).matches('[' + string(a) + ']{1000}z'))",
    ] {
        let outcome = Expr::compile(source).unwrap().holds(&big);
        assert!(matches!(&outcome, Err(EvalError::Failed(why)) if why.contains("steps")), "{source}: {outcome:?}");
    }
    assert_eq!(Expr::compile("many.exists(a, a == 30000)").unwrap().holds(&big), Ok(true));
    for source in ["'x'.matches('(a{1000}){1000}')", "'x'.matches('(')"] {
        assert!(Expr::compile(source).unwrap_err().message.contains("regular expression"), "{source}");
    }
}

#[test]
fn calls_that_can_not_work_are_refused_when_compiled() {
    for (source, part) in [
        ("sizee('x')", "did you mean `size`"),
        ("size()", "doesn't take 0"),
        ("'x'.timestamp()", "called as timestamp(x)"),
        ("startsWith('x', 'y')", "called as x.startsWith()"),
        ("b'bytes'", "bytes aren't supported"),
        ("Message{a: 1}", "messages aren't supported"),
    ] {
        let message = Expr::compile(source).unwrap_err().message;
        assert!(message.contains(part), "{source}: {message}");
    }
}

/// The interpreter of the `cel` crate, which reads its own values: slower, and the yardstick.
mod yardstick {
    use super::*;
    use ::cel::objects::Key;
    use ::cel::{Context, Value as Cel};
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use std::collections::HashMap;
    use std::sync::Arc;

    /// Nothing for what holds an optional.
    fn json(value: &Cel) -> Option<Value> {
        Some(match value {
            Cel::List(items) => Value::Array(items.iter().map(json).collect::<Option<_>>()?),
            Cel::Map(map) => {
                let entry = |(key, value): (&Key, &Cel)| Some((key.to_string(), json(value)?));
                sorted(Value::Object(map.map.iter().map(entry).collect::<Option<_>>()?))
            }
            Cel::Int(whole) => (*whole).into(),
            Cel::UInt(whole) => (*whole).into(),
            Cel::Float(float) => (*float).into(),
            Cel::String(text) => text.as_str().into(),
            Cel::Bool(flag) => (*flag).into(),
            Cel::Opaque(_) => return None,
            _ => Value::Null,
        })
    }

    fn theirs(value: &Value) -> Cel {
        match value {
            Value::Null => Cel::Null,
            Value::Bool(flag) => Cel::Bool(*flag),
            Value::Number(number) => {
                number.as_i64().map_or_else(|| Cel::Float(number.as_f64().unwrap_or_default()), Cel::Int)
            }
            Value::String(text) => Cel::String(Arc::new(text.clone())),
            Value::Array(items) => Cel::List(Arc::new(items.iter().map(theirs).collect())),
            Value::Object(map) => {
                let map: HashMap<Key, Cel> =
                    map.iter().map(|(key, value)| (key.as_str().into(), theirs(value))).collect();
                Cel::Map(map.into())
            }
        }
    }

    fn variables() -> Map<String, Value> {
        let value = json!({
            "m": {"a": 1, "b": "x", "c": {"d": [1, 2, 3], "e": null}, "t": true},
            "l": [3, 1, 2], "s": "xyz", "n": 7, "f": 1.5, "t": true, "z": null, "e": [],
        });
        value.as_object().unwrap().clone()
    }

    /// What both make of an expression. Failures differ on purpose: what is no map has no members, so they're absent.
    fn both(source: &str) -> Option<(Option<Value>, Option<Value>)> {
        let ours = Expr::compile(source).ok()?.value(&variables());
        // They take a map's keys for a list there.
        if matches!(&ours, Err(EvalError::Failed(why)) if why.contains("a list and a map")) {
            return None;
        }
        let ours = ours.ok().map(sorted);
        let mut context = Context::with_env(Arc::new(Env::stdlib().with_optional_support(true)));
        for (name, value) in variables() {
            context.add_variable_from_value(name, theirs(&value));
        }
        match ENV.compile(source).ok()?.execute(&context) {
            Ok(value) => Some((ours, Some(json(&value)?))),
            Err(_) => Some((ours, None)),
        }
    }

    fn sorted(mut value: Value) -> Value {
        value.sort_all_objects();
        value
    }

    fn expression() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec![
            "m",
            "m.a",
            "m.b",
            "m.c.d",
            "m.c.e",
            "m.none",
            "none.at.all",
            "l",
            "s",
            "n",
            "f",
            "t",
            "z",
            "e",
            "1",
            "2",
            "-1",
            "0",
            "'x'",
            "''",
            "true",
            "false",
            "null",
            "1.5",
            "[1, 2]",
            "[]",
            "{'a': 1}",
            "has(m.a)",
            "has(m.c.x)",
            "m.?a",
            "m.?none",
            "m.?c.?d",
            "l[0]",
            "l[9]",
            "m['a']",
            "l[?1]",
        ]);
        let leaf = leaf.prop_map(str::to_owned);
        leaf.prop_recursive(4, 24, 3, |inner| {
            let binary =
                prop::sample::select(vec!["&&", "||", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "in"]);
            // What goes over a map has no order with them.
            let macros = prop::sample::select(vec![
                "l.all(i, @)",
                "l.exists(i, @)",
                "l.exists_one(i, @)",
                "l.filter(i, @)",
                "l.map(i, @)",
                "l.map(i, @, i)",
                "m.all(i, @)",
                "m.exists(i, @)",
                "m.exists_one(i, @)",
                "e.map(i, @)",
                "m.c.d.filter(i, @)",
            ]);
            let unary = prop::sample::select(vec![
                "!(@)",
                "-(@)",
                "size(@)",
                "string(@)",
                "int(@)",
                "double(@)",
                "(@).size()",
                "(@).?b.orValue(5)",
                "(@)[0]",
                "(@).a",
                "has((@).b)",
                "(@).startsWith('x')",
                "(@).contains('y')",
                "(@).matches('^x')",
                "[@, 1]",
                "{'k': @}",
                "(@).orValue(3)",
                "(@).hasValue()",
                "dyn(@)",
            ]);
            prop_oneof![
                (inner.clone(), binary, inner.clone()).prop_map(|(l, op, r)| format!("({l} {op} {r})")),
                (unary, inner.clone()).prop_map(|(shape, of)| shape.replace('@', &of)),
                (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
                (macros, inner.clone()).prop_map(|(shape, test)| shape.replace('@', &test.replace('n', "i"))),
            ]
        })
    }

    /// The gate tries the same every time; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` try others.
    fn seed() -> RngSeed {
        set("PROPTEST_RNG_SEED").map_or(RngSeed::Fixed(1), RngSeed::Fixed)
    }

    fn cases() -> u32 {
        set("PROPTEST_CASES").and_then(|cases| cases.try_into().ok()).unwrap_or(3000)
    }

    fn set(name: &str) -> Option<u64> {
        std::env::var(name).ok().and_then(|value| value.parse().ok())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: cases(), rng_seed: seed(), failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn expressions_mean_what_they_mean_to_the_cel_crate(source in expression()) {
            if let Some((ours, theirs)) = both(&source) {
                prop_assert_eq!(ours, theirs, "{}", source);
            }
        }
    }
}
