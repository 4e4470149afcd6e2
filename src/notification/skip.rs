//! Reading JSON without what nobody reads.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::collections::HashMap;
use std::fmt;

/// Members of a body that are skipped while it's read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread(HashMap<String, Below>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Below {
    Skipped,
    Some(Unread),
}

impl Unread {
    /// Skips the member at `path`, and all below it.
    pub fn skip(&mut self, path: &[&str]) {
        let Some((name, rest)) = path.split_first() else { return };
        if rest.is_empty() {
            self.0.insert((*name).to_owned(), Below::Skipped);
        } else if let Below::Some(below) =
            self.0.entry((*name).to_owned()).or_insert_with(|| Below::Some(Self::default()))
        {
            below.skip(rest);
        }
    }

    /// Reads one JSON document without these members.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<Value, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let value = self.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    }
}

impl<'de> DeserializeSeed<'de> for &Unread {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.0.is_empty() { Value::deserialize(deserializer) } else { deserializer.deserialize_any(self) }
    }
}

impl<'de> Visitor<'de> for &Unread {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_i64<E: Error>(self, whole: i64) -> Result<Value, E> {
        Ok(whole.into())
    }

    fn visit_u64<E: Error>(self, whole: u64) -> Result<Value, E> {
        Ok(whole.into())
    }

    fn visit_f64<E: Error>(self, float: f64) -> Result<Value, E> {
        Ok(Number::from_f64(float).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = match self.0.get(&name) {
                None => members.next_value()?,
                Some(Below::Some(below)) => members.next_value_seed(below)?,
                Some(Below::Skipped) => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_skipped_is_gone_and_the_rest_is_as_it_was() {
        let mut unread = Unread::default();
        unread.skip(&["app", "big"]);
        unread.skip(&["app", "meta", "note"]);
        unread.skip(&["list", "x"]);
        let text = r#"{"a": [1, -2, 1.5e3, null, true, "\u00e4"], "app": {"big": {"x": [1]}, "meta": {"note": 1, "name": "n"}, "n": 18446744073709551615},
            "list": [{"x": 1}], "big": 1}"#;
        let whole: Value = serde_json::from_str(text).unwrap();
        let mut wanted = whole.clone();
        wanted["app"].as_object_mut().unwrap().shift_remove("big");
        wanted["app"]["meta"].as_object_mut().unwrap().shift_remove("note");
        assert_eq!(unread.read(text.as_bytes()).unwrap(), wanted);
        assert_eq!(Unread::default().read(text.as_bytes()).unwrap(), whole);
        for (text, value) in [("null", json!(null)), ("3", json!(3)), ("\"x\"", json!("x")), ("[true]", json!([true]))]
        {
            assert_eq!(unread.read(text.as_bytes()).unwrap(), value);
        }
        for broken in ["", "{} {}", "{\"app\": {\"big\": [1,}}", "{\"app\": {\"big\": \"\n\"}}"] {
            assert!(unread.read(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
