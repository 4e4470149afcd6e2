//! Documents of several spec versions in one column, and the checksum that tells whether they're as they were written.

use crate::cdevents::SpecVersion;
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

/// CRC-32C.
pub(super) fn checksum(text: &str) -> i64 {
    i64::from(crc32c::crc32c(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_finds_its_document_again() {
        let documents = [(SpecVersion::V0_5_1, "{\"a\":\"ü\\n\"}".into()), (SpecVersion::V0_4_1, "{}".into())];
        let packed = pack(&documents);
        assert_eq!(unpack(&packed, SpecVersion::V0_5_1), Some("{\"a\":\"ü\\n\"}"));
        assert_eq!(unpack(&packed, SpecVersion::V0_4_1), Some("{}"));
        assert_eq!(unpack("", SpecVersion::V0_4_1), None);
        assert_eq!(unpack("0.4.1 99\n{}", SpecVersion::V0_4_1), None);
    }
}
