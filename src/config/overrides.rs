//! The file and, over it, the `ARGOCD_CDEVENTS__…` variables.
//!
//! A variable names a key level by level, in any case and with or without `_` between words: `…__SINKS__CDVIZ__SPEC_VERSION`
//! sets `sinks.cdviz.specVersion`. Keys that exist already are found first, then the names that the configuration knows.
//! A value that begins with `[` or `{` is JSON, so that lists can be set.

use super::{ENV_PREFIX, Fault, shape};
use config::{Config, File, FileFormat};
use serde_json::Value;

/// One document out of the file's text and the variables.
pub(super) fn merge(text: &str, environment: impl IntoIterator<Item = (String, String)>) -> Result<Value, Fault> {
    let file = read(text)?;
    let mut builder = Config::builder().add_source(File::from_str(text, FileFormat::Yaml));
    for (name, value) in environment {
        let Some(path) = name.strip_prefix(ENV_PREFIX) else { continue };
        let key = shape::resolve(&file, path);
        let refused = |e: config::ConfigError| Fault::Shape(format!("the variable {name} can't be set: {e}"));
        let value = parse(&name, &value)?;
        builder = builder.set_override(key, value).map_err(refused)?;
    }
    settle(builder.build().and_then(Config::try_deserialize))
}

fn read(text: &str) -> Result<Value, Fault> {
    let built = Config::builder().add_source(File::from_str(text, FileFormat::Yaml)).build();
    settle(built.and_then(Config::try_deserialize))
}

fn settle(value: Result<Value, config::ConfigError>) -> Result<Value, Fault> {
    match value {
        Ok(Value::Null) => Ok(Value::Object(serde_json::Map::new())),
        Ok(value) => Ok(value),
        Err(error) => Err(Fault::Shape(format!("the configuration isn't YAML of key and value: {error}"))),
    }
}

fn parse(name: &str, value: &str) -> Result<config::Value, Fault> {
    if !value.starts_with(['[', '{']) {
        return Ok(config::Value::from(value));
    }
    let json: Value = serde_json::from_str(value)
        .map_err(|e| Fault::Shape(format!("the variable {name} begins like JSON, but isn't: {e}")))?;
    Ok(config_value(json))
}

fn config_value(json: Value) -> config::Value {
    match json {
        Value::Null => config::Value::new(None, config::ValueKind::Nil),
        Value::Bool(flag) => flag.into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        Value::String(text) => text.into(),
        Value::Array(items) => items.into_iter().map(config_value).collect::<Vec<_>>().into(),
        Value::Object(map) => {
            map.into_iter().map(|(key, value)| (key, config_value(value))).collect::<config::Map<_, _>>().into()
        }
    }
}
