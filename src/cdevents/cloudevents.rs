//! The CloudEvents HTTP binding, as CDEvents use it: the data of a CloudEvent is the whole CDEvent, and the CloudEvent's
//! attributes repeat what the CDEvent says of itself.
//!
//! Trusts nothing about headers and bodies. Promises that what [`encode`] writes [`decode`] reads as the same document,
//! and that no header holds anything but visible ASCII. Sources: CloudEvents 1.0.2 with its HTTP binding and JSON format,
//! and the CDEvents binding for CloudEvents.

mod decode;
mod percent;

pub use decode::{Undecodable, decode};
pub(super) use percent::is_plain;
pub use percent::{decoded, encoded};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

const JSON: &str = "application/json";
const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// How a CDEvent travels over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// CloudEvents attributes as headers, the CDEvent as body.
    Binary,
    /// The CDEvent as `data` of a CloudEvent that is the body.
    Structured,
    /// The CDEvent as body, and nothing of CloudEvents.
    Event,
}

/// What a CloudEvent says of its CDEvent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attributes<'a> {
    /// `context.id`.
    pub id: Cow<'a, str>,
    /// `context.source`.
    pub source: Cow<'a, str>,
    /// `context.type`.
    #[serde(rename = "type")]
    pub type_name: Cow<'a, str>,
    /// `subject.id`.
    pub subject: Cow<'a, str>,
    /// `context.timestamp`.
    pub time: Cow<'a, str>,
}

/// An HTTP request's headers and body.
#[derive(Debug, Clone)]
pub struct Message {
    /// The headers that say what the body is, `content-type` among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl<'a> Attributes<'a> {
    /// Reads them off a serialised CDEvent, passing over the rest without keeping it.
    ///
    /// # Errors
    ///
    /// When `document` isn't JSON, or lacks one of them. No valid CDEvent does.
    pub fn of(document: &'a str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Document<'a> {
            #[serde(borrow)]
            context: Context<'a>,
            #[serde(borrow)]
            subject: Subject<'a>,
        }
        #[derive(Deserialize)]
        struct Context<'a> {
            #[serde(borrow)]
            id: Cow<'a, str>,
            #[serde(borrow)]
            source: Cow<'a, str>,
            #[serde(borrow, rename = "type")]
            type_name: Cow<'a, str>,
            #[serde(borrow)]
            timestamp: Cow<'a, str>,
        }
        #[derive(Deserialize)]
        struct Subject<'a> {
            #[serde(borrow)]
            id: Cow<'a, str>,
        }
        let Document { context, subject } = serde_json::from_str(document)?;
        Ok(Self {
            id: context.id,
            source: context.source,
            type_name: context.type_name,
            subject: subject.id,
            time: context.timestamp,
        })
    }

    fn each(&self) -> [(&'static str, &str); 5] {
        [
            ("ce-id", &self.id),
            ("ce-source", &self.source),
            ("ce-type", &self.type_name),
            ("ce-subject", &self.subject),
            ("ce-time", &self.time),
        ]
    }
}

/// The serialised CDEvent `document` as a message. `attributes` are its own: as [`Attributes::of`] reads them.
#[must_use]
pub fn encode(mode: Mode, attributes: &Attributes<'_>, document: &str) -> Message {
    let mut headers = HeaderMap::new();
    let content_type = if mode == Mode::Structured { STRUCTURED } else { JSON };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if mode == Mode::Binary {
        headers.insert(HeaderName::from_static("ce-specversion"), HeaderValue::from_static("1.0"));
        for (name, value) in attributes.each() {
            headers.insert(HeaderName::from_static(name), header_value(value));
        }
    }
    let body = match mode {
        Mode::Binary | Mode::Event => Bytes::copy_from_slice(document.as_bytes()),
        Mode::Structured => Bytes::from(structured(attributes, document)),
    };
    Message { headers, body }
}

#[expect(clippy::expect_used, reason = "what is encoded is visible ASCII, which every header may hold")]
fn header_value(value: &str) -> HeaderValue {
    HeaderValue::try_from(encoded(value).as_ref()).expect("visible ASCII")
}

/// The JSON format, around the document as it is.
fn structured(attributes: &Attributes<'_>, document: &str) -> String {
    let mut body = String::with_capacity(document.len() + 512);
    body.push_str(r#"{"specversion":"1.0""#);
    for (name, value) in attributes.each() {
        let name = name.trim_start_matches("ce-");
        body.push_str(&format!(r#","{name}":{}"#, serde_json::Value::from(value)));
    }
    body.push_str(r#","datacontenttype":"application/json","data":"#);
    body.push_str(document);
    body.push('}');
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const DOCUMENT: &str = r#"{"context":{"specversion":"0.5.1","id":"a b","source":"/größe","type":"dev.cdevents.build.queued.0.3.0",
        "timestamp":"2026-01-05T10:00:00Z"},"subject":{"id":"50%\"\\n","content":{}}}"#;

    #[test]
    fn binary_mode_encodes_what_a_header_cannot_carry() {
        let message = encode(Mode::Binary, &Attributes::of(DOCUMENT).unwrap(), DOCUMENT);
        let header = |name: &str| message.headers[name].to_str().unwrap();
        assert_eq!(header("ce-specversion"), "1.0");
        assert_eq!(header("ce-id"), "a%20b");
        assert_eq!(header("ce-source"), "/gr%C3%B6%C3%9Fe");
        assert_eq!(header("ce-subject"), "50%25%22\\n");
        assert_eq!(header("ce-time"), "2026-01-05T10:00:00Z");
        assert_eq!(header("content-type"), "application/json");
        assert_eq!(message.body, DOCUMENT);
    }

    #[test]
    fn structured_mode_holds_the_document_as_data() {
        let message = encode(Mode::Structured, &Attributes::of(DOCUMENT).unwrap(), DOCUMENT);
        let body: Value = serde_json::from_slice(&message.body).unwrap();
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        assert_eq!(
            body,
            json!({
                "specversion": "1.0", "id": "a b", "source": "/größe", "type": "dev.cdevents.build.queued.0.3.0",
                "subject": "50%\"\\n", "time": "2026-01-05T10:00:00Z", "datacontenttype": "application/json", "data": document,
            })
        );
        assert_eq!(message.headers["content-type"], "application/cloudevents+json");
        assert_eq!(message.headers.len(), 1);
    }

    #[test]
    fn event_mode_says_nothing_of_cloudevents() {
        let message = encode(Mode::Event, &Attributes::of(DOCUMENT).unwrap(), DOCUMENT);
        assert_eq!(message.headers.len(), 1);
        assert_eq!(
            (&message.headers["content-type"], message.body),
            (&HeaderValue::from_static(JSON), DOCUMENT.into())
        );
    }
}
