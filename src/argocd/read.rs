//! Reading what may not be there: an empty string counts as absent, and so does a value of another type.

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
    fn at(&self, pointer: &str) -> &Value {
        self.pointer(pointer).unwrap_or(&NOTHING)
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
