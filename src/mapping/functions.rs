//! Functions that conditions may call beside CEL's own.

#![allow(clippy::needless_pass_by_value, reason = "the signature of a CEL function")]

use super::json::owned;
use ::cel::common::types::{CelInt, CelMap, CelString, DYN_TYPE};
use ::cel::common::value::{CowVal, Val};
use ::cel::{Env, ExecutionError};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::HashMap;

/// What conditions may call beyond CEL's standard library: name, and what it does.
pub const FUNCTIONS: [(&str, &str); 4] = [
    ("timestamp(text)", "milliseconds since 1970 of an RFC 3339 time; two can be compared and subtracted"),
    ("duration(text)", "milliseconds of `500ms`, `30s`, `10m`, `6h` or `7d`"),
    ("environment(destination, table)", "{id, source} of the first row that fits, else <cluster>/<namespace>"),
    ("uuid(text, …)", "a UUID made of texts, always the same for the same ones"),
];

/// CEL's own, as far as they are called by name.
const STANDARD: [&str; 24] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "type",
    "dyn",
    "min",
    "max",
    "orValue",
    "or",
    "hasValue",
    "value",
    "optional.of",
    "optional.none",
    "optional.ofNonZeroValue",
    "optMap",
    "optFlatMap",
];

/// Whether a call of this name can be carried out. Operators have names of their own, with signs in them.
pub(super) fn is_known(name: &str) -> bool {
    let own = FUNCTIONS.iter().any(|(signature, _)| signature.split('(').next() == Some(name));
    let operator = name.contains(|c: char| !c.is_alphanumeric() && c != '.') || ["in", "has"].contains(&name);
    own || operator || STANDARD.contains(&name)
}

/// The environment in which every expression is compiled.
pub(super) fn env() -> Env {
    let mut env = Env::stdlib().with_optional_support(true);
    let declared = [
        env.add_overload("timestamp", "timestamp_dyn", vec![DYN_TYPE], timestamp),
        env.add_overload("duration", "duration_dyn", vec![DYN_TYPE], duration),
        env.add_overload("environment", "environment_dyn_dyn", vec![DYN_TYPE, DYN_TYPE], environment),
        env.add_overload("uuid", "uuid_1", vec![DYN_TYPE], uuid),
        env.add_overload("uuid", "uuid_2", vec![DYN_TYPE, DYN_TYPE], uuid),
        env.add_overload("uuid", "uuid_3", vec![DYN_TYPE, DYN_TYPE, DYN_TYPE], uuid),
    ];
    debug_assert!(declared.iter().all(Result::is_ok), "{declared:?}");
    env
}

type Args<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Returned<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

fn text(function: &str, arg: Option<&CowVal<'_, '_>>) -> Result<String, ExecutionError> {
    match arg.map(|arg| owned(arg.as_ref())) {
        Some(Value::String(text)) => Ok(text),
        other => {
            Err(ExecutionError::function_error(function, format!("takes text, not {}", other.unwrap_or_default())))
        }
    }
}

fn timestamp<'b, 'v>(args: Args<'b, 'v>) -> Returned<'b, 'v> {
    let text = text("timestamp", args.first())?;
    let time: Timestamp = text.parse().map_err(|_| {
        ExecutionError::function_error("timestamp", format!("`{text}` isn't a time such as 2026-01-05T10:00:00Z"))
    })?;
    Ok(CowVal::Owned(Box::new(CelInt::from(time.as_millisecond()))))
}

fn duration<'b, 'v>(args: Args<'b, 'v>) -> Returned<'b, 'v> {
    let text = text("duration", args.first())?;
    let span = crate::config::units::span(&text).map_err(|e| ExecutionError::function_error("duration", e))?;
    Ok(CowVal::Owned(Box::new(CelInt::from(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))))
}

fn uuid<'b, 'v>(args: Args<'b, 'v>) -> Returned<'b, 'v> {
    let texts: Vec<String> = args.iter().map(|arg| text("uuid", Some(arg))).collect::<Result<_, _>>()?;
    let part = |index: usize| texts.get(index).map(String::as_str).unwrap_or_default();
    let id = crate::cdevents::event_id("uuid", part(0), part(1), part(2));
    Ok(CowVal::Owned(Box::new(CelString::from(id))))
}

/// The first row whose `server`, `name` and `namespace`, as far as it has them, are the destination's; a `*` at the end of any
/// stands for any text. Without one: the cluster's name, or its server's host, and the namespace.
fn environment<'b, 'v>(args: Args<'b, 'v>) -> Returned<'b, 'v> {
    let destination = args.first().map(|arg| owned(arg.as_ref())).unwrap_or_default();
    let table = args.get(1).map(|arg| owned(arg.as_ref())).unwrap_or_default();
    let row = table.as_array().into_iter().flatten().find(|row| fits(row, &destination));
    let (id, source) = match row {
        Some(row) => {
            (row.get("id").and_then(Value::as_str).map(str::to_owned), row.get("source").and_then(Value::as_str))
        }
        None => (None, None),
    };
    let mut map: HashMap<_, Box<dyn Val>> = HashMap::new();
    map.insert("id".into(), Box::new(CelString::from(id.unwrap_or_else(|| by_place(&destination)))));
    if let Some(source) = source {
        map.insert("source".into(), Box::new(CelString::from(source.to_owned())));
    }
    Ok(CowVal::Owned(Box::new(CelMap::from(map))))
}

fn fits(row: &Value, destination: &Value) -> bool {
    ["server", "name", "namespace"].iter().all(|key| match row.get(key).and_then(Value::as_str) {
        None => true,
        Some(wanted) => {
            let there = destination.get(key).and_then(Value::as_str).unwrap_or_default();
            wanted.strip_suffix('*').map_or(wanted == there, |start| there.starts_with(start))
        }
    })
}

fn by_place(destination: &Value) -> String {
    let part = |key: &str| destination.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let host = part("server").map(|server| {
        let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
        let host = rest.split(['/', '?']).next().unwrap_or(rest);
        // What Argo CD calls its own cluster.
        if host.starts_with("kubernetes.default.svc") { "in-cluster" } else { host }
    });
    let cluster = part("name").or(host).unwrap_or("unknown");
    part("namespace").map_or_else(|| cluster.to_owned(), |namespace| format!("{cluster}/{namespace}"))
}
