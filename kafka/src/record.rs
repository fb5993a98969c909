//! One record: its bytes, and what they mean.

use crate::raw;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;
use tidemill_model::Ts;
use tidemill_model::trigger::Format;
use tidemill_template::RecordView;

/// A record as it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Option<Ts>,
    pub key: Option<Arc<[u8]>>,
    pub value: Option<Arc<[u8]>>,
    pub headers: Vec<raw::Header>,
}

impl Record {
    pub(crate) fn of(message: &BorrowedMessage<'_>, topic: &Arc<str>) -> Record {
        let millis = message.timestamp().to_millis();
        Record {
            topic: Arc::clone(topic),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: millis.map(|millis| Ts(millis.saturating_mul(1_000))),
            key: message.key().map(Arc::from),
            value: message.payload().map(Arc::from),
            headers: raw::headers(message),
        }
    }

    /// Its bytes, as limits count them.
    pub(crate) fn n_bytes(&self) -> usize {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len));
        self.key.as_ref().map_or(0, |key| key.len())
            + self.value.as_ref().map_or(0, |value| value.len())
            + headers.sum::<usize>()
    }

    /// As expressions see it; key and value are read when they are asked for.
    pub(crate) fn view(&self, key_format: Format, value_format: Format) -> Arc<RecordView> {
        let read = |format: Format, bytes: &Option<Arc<[u8]>>, what: &'static str| {
            let bytes = bytes.clone();
            let read = move || match &bytes {
                None => Ok(None),
                Some(bytes) => value_of(format, bytes)
                    .map(Some)
                    .map_err(|why| format!("its {what} {why}")),
            };
            Box::new(read) as tidemill_template::Read
        };
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), value.as_ref().map(text)));
        RecordView::new(
            Arc::clone(&self.topic),
            self.partition,
            self.offset,
            self.timestamp,
            headers.collect(),
            read(key_format, &self.key, "key"),
            read(value_format, &self.value, "value"),
            self.value.is_none(),
        )
    }

    /// The line that tasks read: one JSON object, which holds every byte of the record.
    ///
    /// # Errors
    /// Why its key or its value is not of the format; nothing of the record is in it.
    pub(crate) fn line(&self, key_format: Format, value_format: Format) -> Result<String, String> {
        let key = json_or_null(key_format, self.key.as_deref(), "key")?;
        let value = json_or_null(value_format, self.value.as_deref(), "value")?;
        let mut line = format!(
            "{{\"topic\":{},\"partition\":{},\"offset\":{},\"timestamp\":{},\"key\":{key},\"value\":",
            Value::from(&*self.topic),
            self.partition,
            self.offset,
            json!(self.timestamp),
        );
        push_line(&mut line, &value);
        if has_breaks(&value) {
            // The text of the line is not that of the record any more, so its bytes stand beside.
            let bytes = self.value.as_deref().unwrap_or_default();
            line.push_str(&format!(",\"value_base64\":\"{}\"", STANDARD.encode(bytes)));
        }
        line.push_str(&format!(
            ",\"headers\":{},\"tombstone\":{}}}\n",
            headers_json(&self.headers),
            self.value.is_none()
        ));
        Ok(line)
    }
}

fn json_or_null<'b>(
    format: Format,
    bytes: Option<&'b [u8]>,
    what: &str,
) -> Result<Cow<'b, str>, String> {
    match bytes {
        None => Ok(Cow::Borrowed("null")),
        Some(bytes) => json_text(format, bytes).map_err(|why| format!("its {what} {why}")),
    }
}

/// Line breaks in JSON stand only between its parts, so a blank is as good.
fn push_line(line: &mut String, text: &str) {
    if has_breaks(text) {
        line.push_str(&text.replace(['\n', '\r'], " "));
    } else {
        line.push_str(text);
    }
}

fn has_breaks(text: &str) -> bool {
    text.contains(['\n', '\r'])
}

/// Headers in order: a text, base64 in an object where it is not UTF-8, or null.
pub(crate) fn headers_json(headers: &[raw::Header]) -> Value {
    let value = |bytes: &Vec<u8>| match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    };
    headers
        .iter()
        .map(|(name, bytes)| json!([name, bytes.as_ref().map(value)]))
        .collect()
}

/// Headers from what [`headers_json`] has made of them.
pub(crate) fn stored_headers(stored: &Value) -> Vec<raw::Header> {
    let pairs = stored.as_array().into_iter().flatten().map(|pair| {
        let value = match &pair[1] {
            Value::String(text) => Some(text.clone().into_bytes()),
            Value::Object(object) => object
                .get("base64")
                .and_then(Value::as_str)
                .and_then(|text| STANDARD.decode(text).ok()),
            _ => None,
        };
        (pair[0].as_str().unwrap_or_default().to_string(), value)
    });
    pairs.collect()
}

/// Bytes as JSON text. JSON comes through as it is, so that its numbers keep every digit.
fn json_text(format: Format, bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    match format {
        Format::Bytes => Ok(Cow::Owned(format!("\"{}\"", STANDARD.encode(bytes)))),
        Format::String => Ok(Cow::Owned(Value::from(utf8(bytes)?).to_string())),
        Format::Json => {
            let text = utf8(bytes)?;
            serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|err| not_json(&err))?;
            Ok(Cow::Borrowed(text))
        }
    }
}

/// Bytes as a value for expressions.
fn value_of(format: Format, bytes: &[u8]) -> Result<Value, String> {
    match format {
        Format::Bytes => Ok(Value::from(STANDARD.encode(bytes))),
        Format::String => Ok(Value::from(utf8(bytes)?)),
        Format::Json => serde_json::from_str(utf8(bytes)?).map_err(|err| not_json(&err)),
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes)
        .map_err(|err| format!("is not UTF-8 from byte {} on", err.valid_up_to()))
}

/// The place, and not the text: what a record holds may be a secret.
fn not_json(err: &serde_json::Error) -> String {
    format!("is not JSON at line {} column {}", err.line(), err.column())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    fn record(key: Option<&[u8]>, value: Option<&[u8]>) -> Record {
        Record {
            topic: "t".into(),
            partition: 1,
            offset: 2,
            timestamp: Some(Ts(0)),
            key: key.map(Arc::from),
            value: value.map(Arc::from),
            headers: vec![
                ("h".to_string(), Some(b"a".to_vec())),
                ("h".to_string(), None),
                ("h".to_string(), Some(vec![255])),
            ],
        }
    }

    #[test]
    fn a_line_holds_every_byte_of_a_record() {
        let exact = br#"{"n":123456789012345678901234567890.10,"a":1,"a":2}"#;
        let line = record(Some(b"k"), Some(exact)).line(Format::String, Format::Json);
        assert_eq!(
            line.unwrap(),
            "{\"topic\":\"t\",\"partition\":1,\"offset\":2,\"timestamp\":\"1970-01-01T00:00:00Z\",\"key\":\"k\",\
             \"value\":{\"n\":123456789012345678901234567890.10,\"a\":1,\"a\":2},\
             \"headers\":[[\"h\",\"a\"],[\"h\",null],[\"h\",{\"base64\":\"/w==\"}]],\"tombstone\":false}\n"
        );
        let broken = record(None, Some(b"[1,\n2]"))
            .line(Format::String, Format::Json)
            .unwrap();
        assert_eq!(broken.matches('\n').count(), 1);
        let read: Value = serde_json::from_str(&broken).unwrap();
        assert_eq!(read["value_base64"], STANDARD.encode(b"[1,\n2]"));
        assert_eq!(
            (&read["value"], &read["key"]),
            (&json!([1, 2]), &Value::Null)
        );
        // A value of no bytes is not the same as no value.
        let line = |value| {
            record(None, value)
                .line(Format::String, Format::String)
                .unwrap()
        };
        assert!(line(None).contains("\"value\":null"), "{}", line(None));
        assert!(line(None).contains("\"tombstone\":true"));
        assert!(line(Some(b"")).contains("\"value\":\"\""));
        assert!(line(Some(b"")).contains("\"tombstone\":false"));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_record() {
        #[rustfmt::skip]
        let cases: [(Format, &[u8], &str); 5] = [
            (Format::Json, b"{\"password\": hunter2}", "its value is not JSON at line 1 column 14"),
            (Format::Json, b"", "its value is not JSON at line 1 column 0"),
            (Format::Json, b"1 2", "its value is not JSON at line 1 column 3"),
            (Format::Json, b"\"\xff\"", "its value is not UTF-8 from byte 1 on"),
            (Format::String, b"ab\xff", "its value is not UTF-8 from byte 2 on"),
        ];
        for (format, value, expected) in cases {
            let told = record(None, Some(value)).line(Format::Bytes, format);
            assert_eq!(told.unwrap_err(), expected);
        }
        assert!(
            record(None, Some(b"\xff"))
                .line(Format::Bytes, Format::Bytes)
                .is_ok()
        );
    }
}
