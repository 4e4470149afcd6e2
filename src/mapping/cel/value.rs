//! A value while an expression is evaluated: borrowed from the JSON that it reads, as far as it's there.

use super::budget::Budget;
use super::stop::Stop;
use serde_json::{Map, Number, Value};
use std::cmp::Ordering;
use std::rc::Rc;

/// A CEL value. Lists and maps that are read off JSON stay where they are.
#[derive(Debug, Clone)]
pub(in crate::mapping) enum Val<'v> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    Text(&'v str),
    Made(Rc<str>),
    /// A JSON array.
    Array(&'v [Value]),
    /// A JSON object.
    Object(&'v Map<String, Value>),
    List(Rc<[Val<'v>]>),
    Map(Rc<[(Val<'v>, Val<'v>)]>),
    Optional(Option<Rc<Val<'v>>>),
    /// What `type()` gives.
    Type(&'static str),
}

impl<'v> From<&'v Value> for Val<'v> {
    fn from(value: &'v Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Number(number) => Self::number(number),
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::Array(items),
            Value::Object(map) => Self::Object(map),
        }
    }
}

impl<'v> Val<'v> {
    fn number(number: &Number) -> Self {
        match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Self::Int(whole),
            (None, Some(whole)) => Self::UInt(whole),
            (None, None) => Self::Double(number.as_f64().unwrap_or_default()),
        }
    }

    /// A new text, which the budget pays for.
    pub(in crate::mapping) fn text(text: &str, budget: &Budget) -> Result<Self, Stop<'v>> {
        budget.bytes(text.len())?;
        Ok(Self::Made(text.into()))
    }

    /// A new list, which the budget pays for.
    pub(super) fn list(items: Vec<Val<'v>>, budget: &Budget) -> Result<Self, Stop<'v>> {
        budget.bytes(items.len() * size_of::<Val<'_>>())?;
        Ok(Self::List(items.into()))
    }

    pub(super) fn optional(value: Option<Val<'v>>) -> Self {
        Self::Optional(value.map(Rc::new))
    }

    pub(in crate::mapping) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Made(text) => Some(text),
            _ => None,
        }
    }

    /// The name of its type, as `type()` gives it and errors say it.
    pub(in crate::mapping) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::UInt(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) | Self::Made(_) => "string",
            Self::Array(_) | Self::List(_) => "list",
            Self::Object(_) | Self::Map(_) => "map",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
        }
    }

    /// Whether a map may have it as a key.
    pub(super) fn is_key(&self) -> bool {
        matches!(self.kind(), "string" | "int" | "uint" | "bool")
    }

    /// How many characters, items or entries it has.
    pub(in crate::mapping) fn size(&self) -> Option<usize> {
        match self {
            Self::Array(items) => Some(items.len()),
            Self::List(items) => Some(items.len()),
            Self::Object(map) => Some(map.len()),
            Self::Map(entries) => Some(entries.len()),
            _ => self.as_str().map(|text| text.chars().count()),
        }
    }

    /// The member of this name, of a map.
    pub(super) fn member(&self, name: &str) -> Option<Val<'v>> {
        match self {
            Self::Object(map) => map.get(name).map(Val::from),
            Self::Map(entries) => {
                entries.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value.clone())
            }
            _ => None,
        }
    }

    /// What stands at an index of a list, or under a key of a map.
    pub(super) fn at(&self, index: &Val<'v>, budget: &Budget) -> Result<Option<Val<'v>>, Stop<'v>> {
        if let Some(name) = index.as_str() {
            return Ok(self.member(name));
        }
        if let Self::Map(entries) = self {
            for (key, value) in entries.iter() {
                if key.equals(index, budget)? {
                    return Ok(Some(value.clone()));
                }
            }
            return Ok(None);
        }
        let place = match index {
            Self::Int(place) => usize::try_from(*place).ok(),
            Self::UInt(place) => usize::try_from(*place).ok(),
            _ => return Err(Stop::failed(format!("a {} has no index of type {}", self.kind(), index.kind()))),
        };
        Ok(match self {
            Self::Array(items) => place.and_then(|place| items.get(place)).map(Val::from),
            Self::List(items) => place.and_then(|place| items.get(place)).cloned(),
            _ => None,
        })
    }

    /// The items of a list, or the keys of a map.
    pub(in crate::mapping) fn items(&self) -> Option<Items<'_, 'v>> {
        match self {
            Self::Array(items) => Some(Items::Json(items.iter())),
            Self::List(items) => Some(Items::Made(items.iter())),
            Self::Object(map) => Some(Items::Keys(map.keys())),
            Self::Map(entries) => Some(Items::Entries(entries.iter())),
            _ => None,
        }
    }

    /// Whether a list has this item, or a map this key.
    pub(super) fn contains(&self, item: &Val<'v>, budget: &Budget) -> Result<bool, Stop<'v>> {
        if let (Self::Object(map), Some(key)) = (self, item.as_str()) {
            return Ok(map.contains_key(key));
        }
        let Some(items) = self.items() else {
            return Err(Stop::failed(format!("`in` takes a list or a map, not a {}", self.kind())));
        };
        if self.kind() == "map" && !item.is_key() && item.kind() != "double" {
            return Err(Stop::failed(format!("a {} can't be a key", item.kind())));
        }
        for other in items {
            if other.equals(item, budget)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Numbers of different types are equal when they're the same number.
    pub(super) fn equals(&self, other: &Val<'v>, budget: &Budget) -> Result<bool, Stop<'v>> {
        budget.step()?;
        if let (Some(left), Some(right)) = (self.as_str(), other.as_str()) {
            budget.over(left.len().min(right.len()))?;
            return Ok(left == right);
        }
        Ok(match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Type(left), Self::Type(right)) => left == right,
            (Self::Optional(None), Self::Optional(None)) => true,
            (Self::Optional(Some(left)), Self::Optional(Some(right))) => left.equals(right, budget)?,
            _ => match (self.items(), other.items()) {
                (Some(left), Some(right)) if self.kind() == other.kind() && self.size() == other.size() => {
                    if self.kind() == "map" {
                        self.same_entries(left, other, budget)?
                    } else {
                        pairwise(left, right, budget)?
                    }
                }
                _ => self.order(other) == Some(Ordering::Equal),
            },
        })
    }

    fn same_entries(&self, keys: Items<'_, 'v>, other: &Val<'v>, budget: &Budget) -> Result<bool, Stop<'v>> {
        for key in keys {
            let same = match (self.at(&key, budget)?, other.at(&key, budget)?) {
                (Some(left), Some(right)) => left.equals(&right, budget)?,
                _ => false,
            };
            if !same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Which is less; nothing for what has no order.
    pub(in crate::mapping) fn order(&self, other: &Val<'v>) -> Option<Ordering> {
        if let (Some(left), Some(right)) = (self.as_str(), other.as_str()) {
            return Some(left.cmp(right));
        }
        match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => Some(left.cmp(right)),
            (Self::Double(left), _) => left.partial_cmp(&other.float()?),
            (_, Self::Double(right)) => self.float()?.partial_cmp(right),
            _ => Some(self.whole()?.cmp(&other.whole()?)),
        }
    }

    fn whole(&self) -> Option<i128> {
        match self {
            Self::Int(whole) => Some((*whole).into()),
            Self::UInt(whole) => Some((*whole).into()),
            _ => None,
        }
    }

    /// The number as a double, rounded where it's large.
    #[allow(clippy::cast_precision_loss, reason = "what CEL says of comparing a double")]
    fn float(&self) -> Option<f64> {
        match self {
            Self::Double(float) => Some(*float),
            _ => self.whole().map(|whole| whole as f64),
        }
    }

    /// The value as JSON, copied, which the budget pays for. What JSON can't say (types, not-a-number) becomes null.
    pub(in crate::mapping) fn to_json(&self, budget: &Budget) -> Result<Value, Stop<'v>> {
        budget.bytes(size_of::<Value>())?;
        if let Some(text) = self.as_str() {
            budget.bytes(text.len())?;
            return Ok(text.into());
        }
        Ok(match self {
            Self::Bool(flag) => (*flag).into(),
            Self::Int(whole) => (*whole).into(),
            Self::UInt(whole) => (*whole).into(),
            Self::Double(float) => (*float).into(),
            Self::Optional(Some(inner)) => inner.to_json(budget)?,
            Self::Array(_) | Self::List(_) => Value::Array(
                self.items().into_iter().flatten().map(|item| item.to_json(budget)).collect::<Result<_, _>>()?,
            ),
            // An object keeps its order; a map that CEL made has none of its own.
            Self::Object(map) => {
                let entry = |(name, value): (&String, &'v Value)| Ok((name.clone(), Val::from(value).to_json(budget)?));
                Value::Object(map.iter().map(entry).collect::<Result<_, _>>()?)
            }
            Self::Map(entries) => {
                let entry = |(key, value): &(Val<'v>, Val<'v>)| {
                    Ok((key.as_str().map_or_else(|| key.to_string(), str::to_owned), value.to_json(budget)?))
                };
                let mut map = entries.iter().map(entry).collect::<Result<Map<_, _>, _>>()?;
                map.sort_keys();
                Value::Object(map)
            }
            Self::Null | Self::Type(_) | Self::Optional(None) | Self::Text(_) | Self::Made(_) => Value::Null,
        })
    }
}

fn pairwise<'v>(left: Items<'_, 'v>, right: Items<'_, 'v>, budget: &Budget) -> Result<bool, Stop<'v>> {
    for (left, right) in left.zip(right) {
        if !left.equals(&right, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// As `string()` writes it.
impl std::fmt::Display for Val<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(flag) => flag.fmt(f),
            Self::Int(whole) => whole.fmt(f),
            Self::UInt(whole) => whole.fmt(f),
            Self::Double(float) => float.fmt(f),
            Self::Type(name) => f.write_str(name),
            _ => match self.as_str() {
                Some(text) => f.write_str(text),
                None => f.write_str(self.kind()),
            },
        }
    }
}

/// What a comprehension goes over.
pub(in crate::mapping) enum Items<'b, 'v> {
    Json(std::slice::Iter<'v, Value>),
    Keys(serde_json::map::Keys<'v>),
    Made(std::slice::Iter<'b, Val<'v>>),
    Entries(std::slice::Iter<'b, (Val<'v>, Val<'v>)>),
}

impl<'v> Iterator for Items<'_, 'v> {
    type Item = Val<'v>;

    fn next(&mut self) -> Option<Val<'v>> {
        match self {
            Self::Json(items) => items.next().map(Val::from),
            Self::Keys(keys) => keys.next().map(|key| Val::Text(key)),
            Self::Made(items) => items.next().cloned(),
            Self::Entries(entries) => entries.next().map(|(key, _)| key.clone()),
        }
    }
}
