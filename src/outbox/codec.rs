//! Documents of several spec versions in one column, and the checksum that tells whether they're as they were written.

use crate::cdevents::SpecVersion;
use crate::translate::Owner;
use std::fmt::Write;
use std::sync::Arc;

/// `0.5.1 1234\n<1234 bytes>0.4.1 …`
pub(super) fn pack(documents: &[(SpecVersion, Arc<str>)]) -> String {
    let mut packed = String::new();
    for (version, document) in documents {
        let _ = write!(packed, "{version} {}\n{document}", document.len());
    }
    packed
}

/// The document of one version.
pub(super) fn unpack(packed: &str, version: SpecVersion) -> Option<&str> {
    let mut rest = packed;
    while let Some((head, body)) = rest.split_once('\n') {
        let (name, length) = head.split_once(' ')?;
        let (document, after) = body.split_at_checked(length.parse().ok()?)?;
        if name == version.as_str() {
            return Some(document);
        }
        rest = after;
    }
    None
}

/// The version of the document, if there's just one.
pub(super) fn only_version(packed: &str) -> Option<SpecVersion> {
    let (name, length) = packed.split_once('\n')?.0.split_once(' ')?;
    let (version, length): (SpecVersion, usize) = (name.parse().ok()?, length.parse().ok()?);
    (packed.len() == packed.find('\n')? + 1 + length).then_some(version)
}

/// CRC-32C over the columns of a row. Each is followed by its length, so that text can't move from one column to the next.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum(u32);

impl Sum {
    pub(super) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        Self(crc32c::crc32c_append(self.0, bytes)).number(i64::try_from(bytes.len()).unwrap_or(i64::MAX))
    }

    pub(super) fn number(self, number: i64) -> Self {
        Self(crc32c::crc32c_append(self.0, &number.to_le_bytes()))
    }

    /// As it's stored.
    pub(super) fn get(self) -> i64 {
        i64::from(self.0)
    }
}

/// The checksum of an event's row.
pub(super) fn event_sum(seq: i64, id: &str, kind: &str, subject: &str, key: &str, at: i64, documents: &str) -> i64 {
    Sum::default().number(seq).text(id).text(kind).text(subject).text(key).number(at).text(documents).get()
}

/// The checksum of a delivery's row: of what doesn't change from attempt to attempt. `event` is the place of an event that was held.
pub(super) fn delivery_sum(sink: &str, seq: i64, version: &str, event: Option<i64>) -> i64 {
    let sum = Sum::default().text(sink).number(seq).text(version);
    event.map_or(sum, |event| sum.number(event)).get()
}

/// The checksum of an owner's memory, and of what it's promised.
pub(super) fn memory_sum(owner: &Owner, json: &str, promises: &str) -> i64 {
    let sum = Sum::default().text(&owner.mapping).text(&owner.key).text(json);
    if promises.is_empty() { sum.get() } else { sum.text(promises).get() }
}

/// The checksum of a held event's row.
pub(super) fn held_sum(seq: i64, id: &str, owner: &Owner, name: &str, until: i64, sinks: &str) -> i64 {
    let sum = Sum::default().number(seq).text(id).text(&owner.mapping).text(&owner.key);
    sum.text(name).number(until).text(sinks).get()
}

/// The checksum of a dead letter's row: of what it takes to run it again.
pub(super) fn dead_sum(place: &str, request: &str, body: &[u8]) -> i64 {
    Sum::default().text(place).text(request).bytes(body).get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_moves_to_the_next_column_is_noticed() {
        assert_ne!(Sum::default().text("ab").text("c").get(), Sum::default().text("a").text("bc").get());
        assert_ne!(Sum::default().text("").text("a").get(), Sum::default().text("a").text("").get());
    }

    #[test]
    fn each_version_finds_its_document_again() {
        let documents = [(SpecVersion::V0_5_1, "{\"a\":\"ü\\n\"}".into()), (SpecVersion::V0_4_1, "{}".into())];
        let packed = pack(&documents);
        assert_eq!(unpack(&packed, SpecVersion::V0_5_1), Some("{\"a\":\"ü\\n\"}"));
        assert_eq!(unpack(&packed, SpecVersion::V0_4_1), Some("{}"));
        assert_eq!((only_version(&packed), only_version(&pack(&documents[..1]))), (None, Some(SpecVersion::V0_5_1)));
        assert_eq!(unpack("", SpecVersion::V0_4_1), None);
        assert_eq!(unpack("0.4.1 99\n{}", SpecVersion::V0_4_1), None);
    }
}
