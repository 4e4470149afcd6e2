//! Functions that expressions may call: CEL's own by name, and ours.

use super::budget::Budget;
use super::stop::Stop;
use super::value::Val;
use crate::mapping::fault::nearest;
use jiff::Timestamp;
use regex::{Regex, RegexBuilder};
use serde_json::Value;
use std::cmp::Ordering;

/// What conditions may call beyond CEL's standard library: name, and what it does.
pub const FUNCTIONS: [(&str, &str); 4] = [
    ("timestamp(text)", "milliseconds since 1970 of an RFC 3339 time; two can be compared and subtracted"),
    ("duration(text)", "milliseconds of `500ms`, `30s`, `10m`, `6h` or `7d`"),
    ("environment(destination, table)", "{id, source} of the first row that fits, else <cluster>/<namespace>"),
    ("uuid(text, …)", "a UUID made of texts, always the same for the same ones"),
];

/// Bytes that a compiled regular expression may take.
const LARGEST_PATTERN: usize = 256 << 10;

/// A function, resolved when the expression is compiled.
#[derive(Debug)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    /// With the pattern, where that's a constant.
    Matches(Option<Regex>),
    String,
    Int,
    UInt,
    Double,
    Bool,
    Type,
    Dyn,
    Min,
    Max,
    Timestamp,
    Duration,
    Environment,
    Uuid,
    Optional,
    NoOptional,
    OptionalOfNonZero,
    HasValue,
    Value,
    Or,
    OrValue,
}

const NAMES: [&str; 22] = [
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
    "type",
    "dyn",
    "min",
    "max",
    "timestamp",
    "duration",
    "environment",
    "uuid",
    "hasValue",
    "value",
    "or",
    "orValue",
];

/// How a function is called: on a target, or not, and with how many arguments, the target among them.
enum Call {
    OnTarget,
    Alone,
    Either,
}

/// The function of a name, how it's called, and with how many arguments.
fn named(name: &str) -> Option<(Function, Call, std::ops::RangeInclusive<usize>)> {
    Some(match name {
        "size" => (Function::Size, Call::Either, 1..=1),
        "contains" => (Function::Contains, Call::OnTarget, 2..=2),
        "startsWith" => (Function::StartsWith, Call::OnTarget, 2..=2),
        "endsWith" => (Function::EndsWith, Call::OnTarget, 2..=2),
        "matches" => (Function::Matches(None), Call::Either, 2..=2),
        "string" => (Function::String, Call::Alone, 1..=1),
        "int" => (Function::Int, Call::Alone, 1..=1),
        "uint" => (Function::UInt, Call::Alone, 1..=1),
        "double" => (Function::Double, Call::Alone, 1..=1),
        "bool" => (Function::Bool, Call::Alone, 1..=1),
        "type" => (Function::Type, Call::Alone, 1..=1),
        "dyn" => (Function::Dyn, Call::Alone, 1..=1),
        "min" => (Function::Min, Call::Alone, 1..=usize::MAX),
        "max" => (Function::Max, Call::Alone, 1..=usize::MAX),
        "timestamp" => (Function::Timestamp, Call::Alone, 1..=1),
        "duration" => (Function::Duration, Call::Alone, 1..=1),
        "environment" => (Function::Environment, Call::Alone, 2..=2),
        "uuid" => (Function::Uuid, Call::Alone, 1..=3),
        "optional.of" => (Function::Optional, Call::Alone, 1..=1),
        "optional.none" => (Function::NoOptional, Call::Alone, 0..=0),
        "optional.ofNonZeroValue" => (Function::OptionalOfNonZero, Call::Alone, 1..=1),
        "hasValue" => (Function::HasValue, Call::OnTarget, 1..=1),
        "value" => (Function::Value, Call::OnTarget, 1..=1),
        "or" => (Function::Or, Call::OnTarget, 2..=2),
        "orValue" => (Function::OrValue, Call::OnTarget, 2..=2),
        _ => return None,
    })
}

type Returned<'v> = Result<Val<'v>, Stop<'v>>;

impl Function {
    /// The function of a name that's called with so many arguments, the target among them. `pattern` is the second argument, where
    /// it's a constant.
    ///
    /// # Errors
    ///
    /// What is wrong with the call.
    pub(super) fn find(name: &str, on_target: bool, count: usize, pattern: Option<&str>) -> Result<Self, String> {
        let Some((function, call, counts)) = named(name) else {
            return Err(format!("there is no function `{name}`: {}", nearest(name, &NAMES)));
        };
        let fits = match call {
            Call::OnTarget => on_target,
            Call::Alone => !on_target,
            Call::Either => true,
        };
        if !fits {
            let how = if on_target { format!("{name}(x)") } else { format!("x.{name}()") };
            return Err(format!("`{name}` is called as {how}"));
        }
        if !counts.contains(&count) {
            return Err(format!("`{name}` doesn't take {} arguments", count - usize::from(on_target)));
        }
        match (function, pattern) {
            (Self::Matches(_), Some(pattern)) => regex(pattern).map(|regex| Self::Matches(Some(regex))),
            (function, _) => Ok(function),
        }
    }

    /// Calls it.
    pub(super) fn call<'v>(&self, args: Vec<Val<'v>>, budget: &Budget) -> Returned<'v> {
        let count = args.len();
        let mut args = args.into_iter();
        let (first, second) = (args.next(), args.next());
        match (self, first, second) {
            (Self::NoOptional, ..) => Ok(Val::Optional(None)),
            (_, Some(one), None) if count == 1 && !matches!(self, Self::Uuid) => self.of_one(one, budget),
            (Self::Uuid | Self::Min | Self::Max, Some(one), two) => {
                let all: Vec<_> = std::iter::once(one).chain(two).chain(args).collect();
                match self {
                    Self::Uuid => uuid(&all, budget),
                    _ => extreme(&all, matches!(self, Self::Max)),
                }
            }
            (_, Some(one), Some(two)) => self.of_two(&one, two, budget),
            _ => Err(Stop::failed("too few arguments")),
        }
    }

    fn of_one<'v>(&self, one: Val<'v>, budget: &Budget) -> Returned<'v> {
        match self {
            Self::Size => {
                if let Some(text) = one.as_str() {
                    budget.over(text.len())?;
                }
                let size = one.size().ok_or_else(|| wrong("size", "a text, a list or a map", &one))?;
                Ok(Val::Int(i64::try_from(size).unwrap_or(i64::MAX)))
            }
            Self::String => match one {
                Val::Text(_) | Val::Made(_) => Ok(one),
                Val::Bool(_) | Val::Int(_) | Val::UInt(_) | Val::Double(_) => Val::text(&one.to_string(), budget),
                other => Err(wrong("string", "text, a number or a boolean", &other)),
            },
            Self::Int | Self::UInt | Self::Double | Self::Bool => self.converted(&one),
            Self::Type => Ok(Val::Type(one.kind())),
            Self::Dyn => Ok(one),
            Self::Min | Self::Max => match one.items() {
                Some(items) if one.kind() == "list" => extreme(&items.collect::<Vec<_>>(), matches!(self, Self::Max)),
                _ => Ok(one),
            },
            Self::Timestamp => timestamp(&one),
            Self::Duration => duration(&one),
            Self::Optional => Ok(Val::Optional(Some(one.into()))),
            Self::OptionalOfNonZero => Ok(Val::Optional((!is_zero(&one)).then(|| one.into()))),
            Self::HasValue => match one {
                Val::Optional(inner) => Ok(Val::Bool(inner.is_some())),
                other => Err(wrong("hasValue", "an optional", &other)),
            },
            Self::Value => match one {
                Val::Optional(Some(inner)) => Ok(inner.as_ref().clone()),
                Val::Optional(None) => Err(Stop::failed("value() of an optional without one: use orValue()")),
                other => Err(wrong("value", "an optional", &other)),
            },
            _ => Err(Stop::failed("too few arguments")),
        }
    }

    fn of_two<'v>(&self, one: &Val<'v>, two: Val<'v>, budget: &Budget) -> Returned<'v> {
        match self {
            Self::OrValue | Self::Or => match (one, self) {
                (Val::Optional(Some(inner)), Self::OrValue) => Ok(inner.as_ref().clone()),
                (Val::Optional(Some(_)), _) => Ok(one.clone()),
                (Val::Optional(None), _) => Ok(two),
                (other, _) => Err(wrong("orValue", "an optional: write `a.?b`", other)),
            },
            Self::Environment => environment(&one.to_json(budget)?, &two.to_json(budget)?, budget),
            _ => {
                let (Some(text), Some(part)) = (one.as_str(), two.as_str()) else {
                    let other = if one.as_str().is_some() { &two } else { one };
                    return Err(Stop::failed(format!("text is needed here, and this is a {}", other.kind())));
                };
                // A byte that is matched takes about as long as four that are compared.
                let each = if matches!(self, Self::Contains | Self::StartsWith | Self::EndsWith) { 1 } else { 4 };
                budget.over(text.len().saturating_mul(each))?;
                Ok(Val::Bool(match self {
                    Self::Contains => text.contains(part),
                    Self::StartsWith => text.starts_with(part),
                    Self::EndsWith => text.ends_with(part),
                    Self::Matches(Some(regex)) => regex.is_match(text),
                    // Compiling takes far longer than looking.
                    _ => {
                        budget.over(1 << 20)?;
                        regex(part).map_err(Stop::Failed)?.is_match(text)
                    }
                }))
            }
        }
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the range is checked before; a double is rounded as CEL says"
    )]
    fn converted<'v>(&self, one: &Val<'v>) -> Returned<'v> {
        let impossible = || Stop::failed(format!("`{one}` can't be converted"));
        let text = one.as_str();
        match (self, one) {
            (Self::Int, Val::Int(_)) | (Self::UInt, Val::UInt(_)) | (Self::Double, Val::Double(_)) => Ok(one.clone()),
            (Self::Bool, Val::Bool(_)) => Ok(one.clone()),
            (Self::Int, Val::UInt(whole)) => i64::try_from(*whole).map(Val::Int).map_err(|_| impossible()),
            (Self::UInt, Val::Int(whole)) => u64::try_from(*whole).map(Val::UInt).map_err(|_| impossible()),
            (Self::Int, Val::Double(float)) if float.abs() < 9.2e18 => Ok(Val::Int(*float as i64)),
            (Self::UInt, Val::Double(float)) if (0.0..1.8e19).contains(float) => Ok(Val::UInt(*float as u64)),
            (Self::Double, Val::Int(whole)) => Ok(Val::Double(*whole as f64)),
            (Self::Double, Val::UInt(whole)) => Ok(Val::Double(*whole as f64)),
            (Self::Int, _) => text.and_then(|text| text.parse().ok()).map(Val::Int).ok_or_else(impossible),
            (Self::UInt, _) => text.and_then(|text| text.parse().ok()).map(Val::UInt).ok_or_else(impossible),
            (Self::Double, _) => text.and_then(|text| text.parse().ok()).map(Val::Double).ok_or_else(impossible),
            _ => match text {
                Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Val::Bool(true)),
                Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Val::Bool(false)),
                _ => Err(impossible()),
            },
        }
    }
}

fn wrong<'v>(function: &str, wanted: &str, is: &Val<'v>) -> Stop<'v> {
    Stop::failed(format!("`{function}` takes {wanted}, not a {}", is.kind()))
}

fn regex(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).size_limit(LARGEST_PATTERN).dfa_size_limit(LARGEST_PATTERN).build();
    built.map_err(|error| format!("`{pattern}` isn't a regular expression that can be used: {error}"))
}

/// The least or greatest of some values.
fn extreme<'v>(values: &[Val<'v>], greatest: bool) -> Returned<'v> {
    let wanted = if greatest { Ordering::Greater } else { Ordering::Less };
    let Some((first, rest)) = values.split_first() else { return Ok(Val::Null) };
    let mut found = first;
    for value in rest {
        match value.order(found) {
            Some(order) if order == wanted => found = value,
            Some(_) => {}
            None => return Err(Stop::failed(format!("a {} and a {} have no order", found.kind(), value.kind()))),
        }
    }
    Ok(found.clone())
}

fn is_zero(value: &Val<'_>) -> bool {
    match value {
        Val::Null | Val::Bool(false) | Val::Int(0) | Val::UInt(0) | Val::Optional(None) => true,
        Val::Double(float) => *float == 0.0,
        other => other.size() == Some(0),
    }
}

fn timestamp<'v>(one: &Val<'v>) -> Returned<'v> {
    let text = one.as_str().ok_or_else(|| wrong("timestamp", "text", one))?;
    let time: Timestamp =
        text.parse().map_err(|_| Stop::failed(format!("`{text}` isn't a time such as 2026-01-05T10:00:00Z")))?;
    Ok(Val::Int(time.as_millisecond()))
}

fn duration<'v>(one: &Val<'v>) -> Returned<'v> {
    let text = one.as_str().ok_or_else(|| wrong("duration", "text", one))?;
    let span = crate::config::units::span(text).map_err(Stop::Failed)?;
    Ok(Val::Int(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
}

fn uuid<'v>(texts: &[Val<'v>], budget: &Budget) -> Returned<'v> {
    let text = |at: usize| match texts.get(at) {
        None => Ok(""),
        Some(text) => text.as_str().ok_or_else(|| wrong("uuid", "text", text)),
    };
    Val::text(&crate::cdevents::event_id("uuid", text(0)?, text(1)?, text(2)?), budget)
}

/// The first row whose `server`, `name` and `namespace`, as far as it has them, are the destination's; a `*` at the end of any
/// stands for any text. Without one: the cluster's name, or its server's host, and the namespace.
fn environment<'v>(destination: &Value, table: &Value, budget: &Budget) -> Returned<'v> {
    let row = table.as_array().into_iter().flatten().find(|row| fits(row, destination));
    let stated = |name| row.and_then(|row| row.get(name)).and_then(Value::as_str);
    let id = stated("id").map_or_else(|| by_place(destination), str::to_owned);
    let mut entries = vec![(Val::Text("id"), Val::text(&id, budget)?)];
    if let Some(source) = stated("source") {
        entries.push((Val::Text("source"), Val::text(source, budget)?));
    }
    Ok(Val::Map(entries.into()))
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
