//! Reading what may not be there: an empty string counts as absent, and so does a value of another type.

use jiff::Timestamp;
use serde_json::Value;

const NOTHING: Value = Value::Null;

/// Reads below a JSON pointer.
pub(super) trait Read {
    /// What stands there, or null.
    fn at(&self, pointer: &str) -> &Value;
    /// A string that isn't empty.
    fn text(&self, pointer: &str) -> Option<&str>;
    /// An array's items, or none.
    fn list(&self, pointer: &str) -> &[Value];
    /// A whole number.
    fn whole(&self, pointer: &str) -> Option<i64>;
    /// Whether it's `true`.
    fn flag(&self, pointer: &str) -> bool;
}

impl Read for Value {
    // Our pointers escape nothing, so that nothing is made on the way; and lists aren't looked into by them.
    fn at(&self, pointer: &str) -> &Value {
        let mut names = pointer.split('/').skip(1);
        names.try_fold(self, |value, name| value.as_object()?.get(name)).unwrap_or(&NOTHING)
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.at(pointer).as_str().filter(|text| !text.is_empty())
    }

    fn list(&self, pointer: &str) -> &[Value] {
        self.at(pointer).as_array().map(Vec::as_slice).unwrap_or_default()
    }

    fn whole(&self, pointer: &str) -> Option<i64> {
        self.at(pointer).as_i64()
    }

    fn flag(&self, pointer: &str) -> bool {
        self.at(pointer).as_bool().unwrap_or(false)
    }
}

/// A copy of a string that isn't empty.
pub(super) fn owned(value: &Value, pointer: &str) -> Option<String> {
    value.text(pointer).map(str::to_owned)
}

/// A time, written so that text compares as time does: whole seconds in UTC, as Kubernetes writes it.
pub(super) fn time(value: &Value, pointer: &str) -> Option<String> {
    let text = value.text(pointer)?;
    if is_usual(text.as_bytes()) {
        return Some(text.to_owned());
    }
    let time: Timestamp = text.parse().ok()?;
    Timestamp::from_second(time.as_second()).ok().map(|time| time.to_string())
}

/// `2026-01-05T10:00:00Z`
fn is_usual(text: &[u8]) -> bool {
    const SHAPE: &[u8; 20] = b"0000-00-00T00:00:00Z";
    text.len() == SHAPE.len()
        && text
            .iter()
            .zip(SHAPE)
            .all(|(byte, shape)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_written_so_that_text_compares_as_time_does() {
        let value =
            json!({"a": "2026-01-05T12:00:00+02:00", "b": "2026-01-05T10:00:00.25Z", "c": "2026-01-05T10:00:00Z"});
        for pointer in ["/a", "/b", "/c"] {
            assert_eq!(time(&value, pointer).as_deref(), Some("2026-01-05T10:00:00Z"), "{pointer}");
        }
        assert_eq!(time(&json!({"a": "soon"}), "/a"), None);
        assert_eq!(time(&json!({"a": ""}), "/a"), None);
    }
}
