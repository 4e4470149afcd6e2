//! Durations (`15s`, `7d`) and sizes (`8MiB`) as people write them.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// A duration: a whole number with `ms`, `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(transparent)]
pub struct Span(#[schemars(with = "String")] pub Duration);

/// A size: a whole number with `KiB`, `MiB`, `GiB`, `KB`, `MB`, `GB`, `B` or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(transparent)]
pub struct Bytes(#[schemars(with = "NumberOrText")] pub u64);

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum NumberOrText {
    Number(u64),
    Text(String),
}

const MILLIS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: [(&str, u64); 8] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
    ("", 1),
];

/// Reads `15s`.
///
/// # Errors
///
/// What is accepted, when `text` isn't.
pub fn span(text: &str) -> Result<Duration, String> {
    let millis = scaled(text, &MILLIS)
        .ok_or_else(|| format!("`{text}` isn't a duration: write one such as 500ms, 15s, 10m, 6h or 7d"))?;
    Ok(Duration::from_millis(millis))
}

/// Reads `8MiB`.
///
/// # Errors
///
/// What is accepted, when `text` isn't.
pub fn bytes(text: &str) -> Result<u64, String> {
    scaled(text, &SIZES).ok_or_else(|| format!("`{text}` isn't a size: write one such as 512KiB, 8MiB or 10GiB"))
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        span(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(from)? {
            NumberOrText::Number(number) => Ok(Self(number)),
            NumberOrText::Text(text) => bytes(&text).map(Self).map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_mean_what_people_write() {
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(span("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(bytes("8MiB"), Ok(8 << 20));
        assert_eq!(bytes("10 GiB"), Ok(10 << 30));
        assert_eq!(bytes("1000"), Ok(1000));
    }

    #[test]
    fn what_is_no_duration_or_size_says_what_would_be() {
        for text in ["", "s", "5", "1.5s", "-1s", "5 weeks", "99999999999999999999d"] {
            assert!(span(text).unwrap_err().contains("15s"), "{text}");
        }
        for text in ["", "MiB", "8mib", "-1", "99999999999GiB"] {
            assert!(bytes(text).unwrap_err().contains("8MiB"), "{text}");
        }
    }
}
