//! JSON as CEL sees it: borrowed, so that a condition on a large body copies nothing.

use ::cel::ExecutionError;
use ::cel::common::traits::{Container, Indexer, Iterable, Iterator as CelIterator, Sizer, Zeroer};
use ::cel::common::types::{CelBool, CelDouble, CelInt, CelNull, CelString, CelUInt, LIST_TYPE, MAP_TYPE, Type};
use ::cel::common::value::{CowVal, Val};
use serde_json::{Map, Number, Value};
use std::sync::OnceLock;

/// A JSON value as a CEL value that borrows it.
pub(super) fn borrowed<'v>(value: &'v Value) -> Box<dyn Val + 'v> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(flag) => Box::new(CelBool::from(*flag)),
        Value::Number(number) => self::number(number),
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => Box::new(JsonList { items, vals: OnceLock::new() }),
        Value::Object(map) => Box::new(JsonMap { map, keys: OnceLock::new() }),
    }
}

fn number<'v>(number: &Number) -> Box<dyn Val + 'v> {
    if let Some(whole) = number.as_i64() {
        Box::new(CelInt::from(whole))
    } else if let Some(whole) = number.as_u64() {
        Box::new(CelUInt::from(whole))
    } else {
        Box::new(CelDouble::from(number.as_f64().unwrap_or_default()))
    }
}

/// A CEL value as JSON, copied. What JSON can't say (bytes, functions, not-a-number) becomes null.
pub(super) fn owned(val: &dyn Val) -> Value {
    if let Some(text) = val.downcast_ref::<CelString<'_>>() {
        return text.inner().into();
    }
    if let Some(flag) = val.downcast_ref::<CelBool>() {
        return (*flag.inner()).into();
    }
    if let Some(whole) = val.downcast_ref::<CelInt>() {
        return (*whole.inner()).into();
    }
    if let Some(whole) = val.downcast_ref::<CelUInt>() {
        return (*whole.inner()).into();
    }
    if let Some(float) = val.downcast_ref::<CelDouble>() {
        return (*float.inner()).into();
    }
    if let Some(optional) = val.downcast_ref::<cel::common::types::CelOptional<'_>>() {
        return optional.inner().map_or(Value::Null, owned);
    }
    match (val.get_type() == &MAP_TYPE, val.as_iterable(), val.as_indexer()) {
        (true, Some(keys), Some(indexer)) => Value::Object(entries(keys, indexer)),
        (false, Some(items), _) => {
            let mut list = Vec::new();
            let mut items = items.iter();
            while let Some(item) = items.next() {
                list.push(owned(item));
            }
            Value::Array(list)
        }
        _ => Value::Null,
    }
}

fn entries(keys: &dyn Iterable, indexer: &dyn Indexer) -> Map<String, Value> {
    let mut map = Map::new();
    let mut keys = keys.iter();
    while let Some(key) = keys.next() {
        let name = match owned(key) {
            Value::String(name) => name,
            other => other.to_string(),
        };
        if let Ok(value) = indexer.get(key) {
            map.insert(name, owned(value.as_ref()));
        }
    }
    // A CEL map has no order of its own.
    map.sort_keys();
    map
}

/// An object.
#[derive(Debug)]
struct JsonMap<'j> {
    map: &'j Map<String, Value>,
    keys: OnceLock<Vec<CelString<'j>>>,
}

/// An array.
#[derive(Debug)]
struct JsonList<'j> {
    items: &'j [Value],
    vals: OnceLock<Vec<Box<dyn Val + 'j>>>,
}

impl<'j> JsonMap<'j> {
    fn field(&self, index: &dyn Val) -> Result<&'j Value, ExecutionError> {
        match index.downcast_ref::<CelString<'_>>() {
            Some(key) => self.map.get(key.inner()).ok_or_else(|| ExecutionError::no_such_key(key.inner())),
            None => Err(ExecutionError::no_such_key("a key that isn't a string")),
        }
    }
}

impl Val for JsonMap<'_> {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn into_indexer<'v>(self: Box<Self>) -> Option<Box<dyn Indexer + 'v>>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        matches!(owned(other), Value::Object(map) if map == *self.map)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(JsonMap { map: self.map, keys: OnceLock::new() })
    }
}

impl Indexer for JsonMap<'_> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        Ok(CowVal::Owned(borrowed(self.field(index)?)))
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        Ok(borrowed(self.field(index)?))
    }
}

impl Container for JsonMap<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.field(value).is_ok())
    }
}

impl Sizer for JsonMap<'_> {
    fn size(&self) -> CelInt {
        size(self.map.len())
    }
}

impl Zeroer for JsonMap<'_> {
    fn is_zero_value(&self) -> bool {
        self.map.is_empty()
    }
}

impl Iterable for JsonMap<'_> {
    fn iter<'b, 'v>(&'b self) -> Box<dyn CelIterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        let keys = self.keys.get_or_init(|| self.map.keys().map(|key| CelString::from(key.as_str())).collect());
        Box::new(Keys(keys.iter()))
    }
}

impl<'j> JsonList<'j> {
    fn item(&self, index: &dyn Val) -> Result<&'j Value, ExecutionError> {
        let place = index.downcast_ref::<CelInt>().and_then(|index| usize::try_from(*index.inner()).ok());
        // Behind the end is as absent as a key that isn't there.
        place.and_then(|place| self.items.get(place)).ok_or_else(|| ExecutionError::no_such_key("index out of bounds"))
    }

    fn vals(&self) -> &[Box<dyn Val + 'j>] {
        self.vals.get_or_init(|| self.items.iter().map(borrowed).collect())
    }
}

impl Val for JsonList<'_> {
    fn get_type(&self) -> &Type {
        &LIST_TYPE
    }

    fn cel_type() -> &'static Type {
        &LIST_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn into_indexer<'v>(self: Box<Self>) -> Option<Box<dyn Indexer + 'v>>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        matches!(owned(other), Value::Array(items) if items == self.items)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(JsonList { items: self.items, vals: OnceLock::new() })
    }
}

impl Indexer for JsonList<'_> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        Ok(CowVal::Owned(borrowed(self.item(index)?)))
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        Ok(borrowed(self.item(index)?))
    }
}

impl Container for JsonList<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.vals().iter().any(|item| item.equals(value)))
    }
}

impl Sizer for JsonList<'_> {
    fn size(&self) -> CelInt {
        size(self.items.len())
    }
}

impl Zeroer for JsonList<'_> {
    fn is_zero_value(&self) -> bool {
        self.items.is_empty()
    }
}

impl Iterable for JsonList<'_> {
    fn iter<'b, 'v>(&'b self) -> Box<dyn CelIterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(Items(self.vals().iter()))
    }
}

struct Keys<'b, 'j>(std::slice::Iter<'b, CelString<'j>>);

impl<'b, 'j: 'v, 'v> CelIterator<'b, 'v> for Keys<'b, 'j> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        match self.0.next() {
            Some(key) => Some(key),
            None => None,
        }
    }
}

struct Items<'b, 'j>(std::slice::Iter<'b, Box<dyn Val + 'j>>);

impl<'b, 'j: 'v, 'v> CelIterator<'b, 'v> for Items<'b, 'j> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        match self.0.next() {
            Some(item) => Some(item.as_ref()),
            None => None,
        }
    }
}

fn size(len: usize) -> CelInt {
    CelInt::from(i64::try_from(len).unwrap_or(i64::MAX))
}
