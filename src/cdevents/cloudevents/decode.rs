//! From a request to the CDEvents in it.

use super::{BATCH, JSON, STRUCTURED, decoded};
use base64::Engine;
use http::{HeaderMap, header::CONTENT_TYPE};
use serde_json::{Map, Value};

/// Why a request holds no CDEvents that can be read.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// The body isn't one JSON document.
    #[error("the body isn't JSON ({0})")]
    Json(#[from] serde_json::Error),
    /// A media type that holds no JSON.
    #[error("`content-type: {0}` isn't supported: send {JSON}, {STRUCTURED} or {BATCH}")]
    MediaType(String),
    /// A version of CloudEvents other than 1.0.
    #[error("CloudEvents {0} isn't supported: `specversion` must be 1.0")]
    SpecVersion(String),
    /// A required attribute isn't there, or empty, or no string.
    #[error("the CloudEvent has no `{0}`")]
    Missing(&'static str),
    /// A header whose bytes are no text.
    #[error("`ce-{0}` isn't UTF-8 once percent-decoded")]
    NotText(&'static str),
    /// A CloudEvent whose data is no CDEvent.
    #[error("the CloudEvent's data isn't a CDEvent: {0}")]
    Data(&'static str),
    /// An attribute says something else than the CDEvent it travels with.
    #[error("the CloudEvent's `{0}` isn't the CDEvent's")]
    Mismatch(&'static str),
    /// An entry of a batch.
    #[error("entry {at} of the batch: {cause}")]
    Entry {
        /// Which, from 0.
        at: usize,
        /// What is wrong with it.
        cause: Box<Self>,
    },
    /// A body that is neither an object nor, as a batch, an array of them.
    #[error("the body must be {0}")]
    Shape(&'static str),
}

/// The CDEvents in a request: one of binary or structured mode or without CloudEvents, any number of a batch. They're
/// JSON objects, and what they say agrees with the CloudEvent's attributes; whether they're valid isn't asked here.
///
/// # Errors
///
/// [`Undecodable`] says what is wrong; of a batch, the first entry that is.
pub fn decode(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Value>, Undecodable> {
    let content_type = headers.get(CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    let media_type = content_type.as_deref().map(media_type);
    match media_type.as_deref() {
        Some(BATCH) => batch(body),
        Some(STRUCTURED) => Ok(vec![structured(object(serde_json::from_slice(body)?)?)?]),
        Some(other) if !is_json(other) => Err(Undecodable::MediaType(other.to_owned())),
        _ if headers.contains_key("ce-specversion") => binary(headers, body).map(|document| vec![document]),
        _ => {
            let object = object(serde_json::from_slice(body)?)?;
            // A CloudEvent whose sender left the media type at plain JSON.
            let wrapped = object.contains_key("specversion") && !object.contains_key("context");
            Ok(vec![if wrapped { structured(object)? } else { Value::Object(object) }])
        }
    }
}

fn media_type(header: &str) -> String {
    header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_json(media_type: &str) -> bool {
    // `application/cloudevents+json` was asked for before; other formats of CloudEvents aren't JSON objects.
    let cloudevents = media_type.starts_with("application/cloudevents");
    !cloudevents && (media_type == JSON || media_type == "text/json" || media_type.ends_with("+json"))
}

fn object(value: Value) -> Result<Map<String, Value>, Undecodable> {
    match value {
        Value::Object(object) => Ok(object),
        Value::Array(_) => Err(Undecodable::Shape("a JSON object, or be sent as application/cloudevents-batch+json")),
        _ => Err(Undecodable::Shape("a JSON object")),
    }
}

fn batch(body: &[u8]) -> Result<Vec<Value>, Undecodable> {
    let Value::Array(entries) = serde_json::from_slice(body)? else {
        return Err(Undecodable::Shape("a JSON array of CloudEvents"));
    };
    let entry = |(at, value)| {
        let decoded = object(value).and_then(structured);
        decoded.map_err(|cause| Undecodable::Entry { at, cause: Box::new(cause) })
    };
    entries.into_iter().enumerate().map(entry).collect()
}

fn binary(headers: &HeaderMap, body: &[u8]) -> Result<Value, Undecodable> {
    check_version(headers.get("ce-specversion").map(|v| String::from_utf8_lossy(v.as_bytes())).as_deref())?;
    let document = Value::Object(object(serde_json::from_slice(body)?)?);
    for (name, header, pointer, required) in ATTRIBUTES {
        let Some(raw) = headers.get(header).map(http::HeaderValue::as_bytes) else {
            if required {
                return Err(Undecodable::Missing(name));
            }
            continue;
        };
        let value = decoded(raw).ok_or(Undecodable::NotText(name))?;
        if required && value.is_empty() {
            return Err(Undecodable::Missing(name));
        }
        // A sender that doesn't encode means the header as it is.
        let said = document.pointer(pointer).and_then(Value::as_str);
        if said.is_some_and(|said| said != value && said.as_bytes() != raw) {
            return Err(Undecodable::Mismatch(name));
        }
    }
    Ok(document)
}

fn structured(mut event: Map<String, Value>) -> Result<Value, Undecodable> {
    check_version(event.get("specversion").and_then(Value::as_str))?;
    let document = data(&mut event)?;
    for (name, _, pointer, required) in ATTRIBUTES {
        let value = event.get(name).filter(|v| !v.is_null());
        if required && value.and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(Undecodable::Missing(name));
        }
        if let (Some(value), Some(said)) = (value, document.pointer(pointer))
            && value != said
        {
            return Err(Undecodable::Mismatch(name));
        }
    }
    Ok(document)
}

/// Attribute, header, where the CDEvent says the same, and whether CloudEvents demand it. The time isn't compared: the
/// same instant can be written in many ways.
const ATTRIBUTES: [(&str, &str, &str, bool); 4] = [
    ("id", "ce-id", "/context/id", true),
    ("source", "ce-source", "/context/source", true),
    ("type", "ce-type", "/context/type", true),
    ("subject", "ce-subject", "/subject/id", false),
];

fn check_version(written: Option<&str>) -> Result<(), Undecodable> {
    match written {
        Some("1.0") => Ok(()),
        Some(other) => Err(Undecodable::SpecVersion(other.chars().take(20).collect())),
        None => Err(Undecodable::Missing("specversion")),
    }
}

fn data(event: &mut Map<String, Value>) -> Result<Value, Undecodable> {
    if let Some(Value::String(declared)) = event.get("datacontenttype")
        && !is_json(&media_type(declared))
    {
        return Err(Undecodable::Data("`datacontenttype` isn't JSON"));
    }
    let document = match (event.remove("data"), event.remove("data_base64")) {
        (Some(data), None) => data,
        (None, Some(Value::String(text))) => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text);
            let bytes = bytes.map_err(|_| Undecodable::Data("`data_base64` isn't base64"))?;
            serde_json::from_slice(&bytes)?
        }
        (None, None) => return Err(Undecodable::Data("there is no `data`")),
        _ => return Err(Undecodable::Data("there must be one of `data` and `data_base64`")),
    };
    if document.is_object() { Ok(document) } else { Err(Undecodable::Data("`data` isn't a JSON object")) }
}

#[cfg(test)]
mod tests {
    use super::super::{Attributes, Mode, encode};
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (http::HeaderName::from_static(n), v.parse().unwrap())).collect()
    }

    fn document(id: &str) -> Value {
        json!({
            "context": {"specversion": "0.5.1", "id": id, "source": "/s", "type": "t", "timestamp": "2026-01-05T10:00:00Z"},
            "subject": {"id": "s", "content": {}},
        })
    }

    fn wrapped(id: &str) -> Value {
        json!({"specversion": "1.0", "id": id, "source": "/s", "type": "t", "datacontenttype": "application/json; charset=utf-8",
               "data": document(id)})
    }

    fn refused(headers: &HeaderMap, body: &str) -> String {
        decode(headers, body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_batch_is_read_in_order_and_may_be_empty() {
        let as_batch = headers(&[("content-type", "Application/CloudEvents-Batch+JSON; charset=utf-8")]);
        let encoded = base64::engine::general_purpose::STANDARD.encode(document("3").to_string());
        let mut third = wrapped("3");
        third.as_object_mut().unwrap().remove("data");
        third["data_base64"] = json!(encoded);
        let body = json!([wrapped("1"), wrapped("2"), third]).to_string();
        assert_eq!(decode(&as_batch, body.as_bytes()).unwrap(), [document("1"), document("2"), document("3")]);
        assert!(decode(&as_batch, b"[]").unwrap().is_empty());
        let mut other = wrapped("2");
        other["id"] = json!("3");
        let message = refused(&as_batch, &json!([wrapped("1"), other]).to_string());
        assert_eq!(message, "entry 1 of the batch: the CloudEvent's `id` isn't the CDEvent's");
        assert!(refused(&as_batch, "{}").contains("array"));
    }

    #[test]
    fn bare_events_need_no_headers_and_plain_json_may_hold_a_cloudevent() {
        let plain = headers(&[("content-type", "application/json")]);
        for headers in [HeaderMap::new(), plain] {
            assert_eq!(decode(&headers, document("1").to_string().as_bytes()).unwrap(), [document("1")]);
            assert_eq!(decode(&headers, wrapped("1").to_string().as_bytes()).unwrap(), [document("1")]);
        }
    }

    #[test]
    fn senders_that_do_not_encode_are_understood() {
        let binary =
            |id: &str| headers(&[("ce-specversion", "1.0"), ("ce-id", id), ("ce-source", "/s"), ("ce-type", "t")]);
        for (header, id) in [("a%3Ab", "a%3Ab"), ("a%3Ab", "a:b"), ("\"a b\"", "a b"), ("50%", "50%")] {
            assert_eq!(
                decode(&binary(header), document(id).to_string().as_bytes()).unwrap(),
                [document(id)],
                "{header}"
            );
        }
    }

    #[test]
    fn every_refusal_says_what_is_wrong() {
        let plain = HeaderMap::new();
        let body = document("1").to_string();
        assert!(refused(&plain, "{").contains("isn't JSON"));
        assert!(refused(&plain, "[]").contains("batch+json"));
        assert!(refused(&plain, "7").contains("must be a JSON object"));
        assert!(refused(&headers(&[("content-type", "text/plain")]), &body).contains("`content-type: text/plain`"));
        assert!(
            refused(&headers(&[("content-type", "application/cloudevents+avro")]), &body).contains("isn't supported")
        );
        assert!(refused(&headers(&[("ce-specversion", "0.3")]), &body).contains("CloudEvents 0.3"));
        let mut binary = headers(&[("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s")]);
        assert_eq!(refused(&binary, &body), "the CloudEvent has no `type`");
        binary.insert("ce-type", "t".parse().unwrap());
        binary.insert("ce-subject", "other".parse().unwrap());
        assert_eq!(refused(&binary, &body), "the CloudEvent's `subject` isn't the CDEvent's");
        binary.insert("ce-subject", "%FF".parse().unwrap());
        assert!(refused(&binary, &body).contains("UTF-8"));
        let structured = headers(&[("content-type", STRUCTURED)]);
        assert!(refused(&structured, &body).contains("no `specversion`"));
        for (name, value, part) in [
            ("data", json!("text"), "isn't a JSON object"),
            ("data_base64", json!("e30="), "one of"),
            ("datacontenttype", json!("text/xml"), "datacontenttype"),
            ("id", json!(7), "no `id`"),
            ("source", json!(""), "no `source`"),
            ("specversion", json!("1.1"), "1.1"),
        ] {
            let mut event = wrapped("1");
            event[name] = value;
            let message = refused(&structured, &event.to_string());
            assert!(message.contains(part), "{message} should say {part}");
        }
    }

    fn any_document() -> impl Strategy<Value = Value> {
        let text = || {
            prop_oneof![any::<String>(), "[ %\"a-zé€😀\\\\]{1,12}"].prop_filter("ids aren't empty", |t| !t.is_empty())
        };
        (text(), text(), text(), text(), text(), any::<String>()).prop_map(|(id, source, kind, time, subject, data)| {
            json!({
                "context": {"specversion": "0.5.1", "id": id, "source": source, "type": kind, "timestamp": time},
                "subject": {"id": subject, "content": {data.clone(): data}},
                "customData": data,
            })
        })
    }

    proptest! {
        #[test]
        fn every_document_survives_every_mode(document in any_document()) {
            let text = document.to_string();
            let attributes = Attributes::of(&text).unwrap();
            for mode in [Mode::Binary, Mode::Structured, Mode::Event] {
                let message = encode(mode, &attributes, &text);
                prop_assert_eq!(decode(&message.headers, &message.body).unwrap(), std::slice::from_ref(&document));
            }
        }

        #[test]
        fn no_request_panics(content_type in "(application/(cloudevents(-batch)?\\+)?json)?", body in any::<Vec<u8>>(), id in "[!-~]*") {
            let mut headers = headers(&[("ce-specversion", "1.0"), ("ce-id", &id)]);
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
            let _ = decode(&headers, &body);
        }
    }
}
