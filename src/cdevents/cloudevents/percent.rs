//! Attribute values in HTTP headers: CloudEvents HTTP binding 1.0.2, section 3.1.3.2.

use std::borrow::Cow;

/// `value` as a header holds it: space, `"`, `%` and whatever isn't visible ASCII as the `%XX` of its UTF-8 bytes.
#[must_use]
pub fn encoded(value: &str) -> Cow<'_, str> {
    if value.bytes().all(is_plain) {
        return Cow::Borrowed(value);
    }
    let mut text = String::with_capacity(value.len() + 16);
    for byte in value.bytes() {
        if is_plain(byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push(HEX[usize::from(byte >> 4)]);
            text.push(HEX[usize::from(byte & 15)]);
        }
    }
    Cow::Owned(text)
}

/// A header's bytes as the value that was meant, one round of it: unquoted if they're a quoted string, then `%XX` undone.
/// A `%` that begins no such triple stands for itself, as there are senders that don't encode. `None`: not UTF-8.
#[must_use]
pub fn decoded(header: &[u8]) -> Option<String> {
    let unquoted = unquoted(header);
    let mut bytes = Vec::with_capacity(unquoted.len());
    let mut rest = &*unquoted;
    while let [first, after @ ..] = rest {
        let triple = match rest {
            [b'%', high, low, ..] => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match triple {
            Some((high, low)) => {
                bytes.push(high * 16 + low);
                rest = &rest[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];

/// Whether a header may hold the byte as it is.
pub(in super::super) fn is_plain(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'%')
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// Without the quotes and backslashes of an RFC 9110 quoted string, if it's one.
fn unquoted(header: &[u8]) -> Cow<'_, [u8]> {
    let [b'"', inside @ .., b'"'] = header else { return Cow::Borrowed(header) };
    let mut bytes = Vec::with_capacity(inside.len());
    let mut rest = inside.iter();
    while let Some(byte) = rest.next() {
        bytes.push(if *byte == b'\\' { *rest.next().unwrap_or(byte) } else { *byte });
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_binding_s_own_examples_hold() {
        assert_eq!(encoded("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(decoded(b"Euro%20%e2%82%ac%20%F0%9F%98%80").unwrap(), "Euro € 😀");
        assert_eq!(decoded(br#""a \"quoted\" %22value""#).unwrap(), r#"a "quoted" "value"#);
        assert_eq!(decoded(b"%zz%4%").unwrap(), "%zz%4%");
        assert_eq!(decoded("größe".as_bytes()).unwrap(), "größe");
        assert_eq!(decoded(b"%25E2").unwrap(), "%E2", "one round only");
        assert_eq!(decoded(b"%FF"), None);
        assert_eq!(decoded(b"\""), Some("\"".to_owned()));
    }

    proptest! {
        #[test]
        fn every_text_comes_back_and_travels_as_visible_ascii(text in any::<String>()) {
            let header = encoded(&text);
            prop_assert!(header.bytes().all(|b| matches!(b, b'!'..=b'~') && b != b'"'));
            prop_assert_eq!(decoded(header.as_bytes()), Some(text));
        }

        #[test]
        fn no_header_panics(header in any::<Vec<u8>>()) {
            let _ = decoded(&header);
        }
    }
}
