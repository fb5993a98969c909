//! Expressions over one record of a stream: filters, and keys by which records are the same.
//!
//! They are evaluated strictly, with JSON's null as undefined: what compares a field that is not
//! there is neither true nor false, and the filter is then false.

use crate::environment::shared;
use crate::moment::Moment;
use crate::{Facts, TemplateError, scope, single_expression};
use minijinja::value::{Object, ValueKind};
use minijinja::{ErrorKind, Value};
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use tidemill_model::Ts;

/// What an expression may ask of a record.
const FIELDS: &[&str] = &[
    "key",
    "value",
    "headers",
    "topic",
    "partition",
    "offset",
    "timestamp",
    "tombstone",
];

/// Reads a key or a value when it is first asked for; `None` is null.
pub type Read = Box<dyn Fn() -> Result<Option<serde_json::Value>, String> + Send + Sync>;

/// A record as expressions see it.
pub struct RecordView {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// When it was written, as its producer or its broker says.
    pub timestamp: Option<Ts>,
    /// Its headers in order; names may come twice.
    pub headers: Vec<(String, Option<String>)>,
    /// Its key.
    pub key: Read,
    /// Its value.
    pub value: Read,
    /// Has it a key's place but no value at all?
    pub is_tombstone: bool,
    failure: OnceLock<String>,
}

impl std::fmt::Debug for RecordView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// What a filter says of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Pass,
    /// It does not.
    Reject,
    /// It does not, since a field that is asked for is not there.
    Missing,
    /// Its key or value cannot be read.
    Unreadable(String),
    /// The expression itself fails on it.
    Broken(String),
}

/// An expression over a record.
#[derive(Debug)]
pub struct Expression<'s> {
    text: Cow<'s, str>,
    compiled: minijinja::Expression<'s, 's>,
    /// What it sees besides the record.
    scope: Option<Value>,
}

impl<'s> Expression<'s> {
    /// Compiles a text that is one `{{ }}`.
    ///
    /// # Errors
    /// When it is not that, does not compile, or asks for something else than the record.
    pub fn over_record(text: &'s str) -> Result<Expression<'s>, TemplateError> {
        let refuse = |message: String| TemplateError {
            message,
            range: None,
        };
        let inner = inner_of(text)?;
        let wrong = |err: minijinja::Error| TemplateError::of(&err, inner);
        let compiled = shared().compile_expression(inner).map_err(wrong)?;
        for name in compiled.undeclared_variables(true) {
            let mut steps = name.split('.');
            match (steps.next(), steps.next()) {
                (Some("record"), None) | (Some("macros"), _) => {}
                (Some("record"), Some(field)) if FIELDS.contains(&field) => {}
                (Some("record"), Some(field)) => {
                    let known = FIELDS.join(", ");
                    return Err(refuse(format!("a record has no `{field}`: it has {known}")));
                }
                (Some(name), _) if crate::environment::FUNCTIONS.contains(&name) => {}
                (Some(name), _) => {
                    return Err(refuse(format!("`{name}` is not known here: `record` is")));
                }
                (None, _) => {}
            }
        }
        Ok(Expression {
            text: Cow::Borrowed(text),
            compiled,
            scope: None,
        })
    }

    /// Compiles a text that is one `{{ }}` over a record and what the templates of a task see.
    ///
    /// # Errors
    /// When it is not that, or does not compile.
    pub fn of_task(text: &str, facts: &Facts) -> Result<Expression<'static>, TemplateError> {
        let inner = inner_of(text)?;
        let compiled = shared().compile_expression_owned(inner.to_string());
        Ok(Expression {
            text: Cow::Owned(text.to_string()),
            compiled: compiled.map_err(|err| TemplateError::of(&err, inner))?,
            scope: Some(scope::value(facts)),
        })
    }

    /// As a filter.
    pub fn decide(&self, record: &Arc<RecordView>) -> Verdict {
        match self.eval(record) {
            Ok(value) if value.kind() == ValueKind::Bool && value.is_true() => Verdict::Pass,
            Ok(value) if value.kind() == ValueKind::Bool => Verdict::Reject,
            Ok(value) if value.is_undefined() => Verdict::Missing,
            Ok(value) => Verdict::Broken(format!(
                "`{}` must be true or false, it is a {}",
                self.text,
                value.kind()
            )),
            Err(verdict) => verdict,
        }
    }

    /// As a key; `None` where a field of it is not there.
    ///
    /// # Errors
    /// Why the record has no key.
    pub fn key(&self, record: &Arc<RecordView>) -> Result<Option<String>, Verdict> {
        match self.eval(record) {
            Ok(value) if value.is_undefined() || value.is_none() => Ok(None),
            Ok(value) => Ok(Some(value.to_string())),
            Err(Verdict::Missing) => Ok(None),
            Err(verdict) => Err(verdict),
        }
    }

    fn eval(&self, record: &Arc<RecordView>) -> Result<Value, Verdict> {
        let context = Context(Arc::clone(record), self.scope.clone());
        let context = Value::from_object(context);
        let found = self.compiled.eval(context);
        if let Some(failure) = record.failure.get() {
            return Err(Verdict::Unreadable(failure.clone()));
        }
        found.map_err(|err| match err.kind() {
            ErrorKind::UndefinedError => Verdict::Missing,
            _ => Verdict::Broken(TemplateError::of(&err, &self.text).message),
        })
    }
}

/// What stands between the braces of a text that is one `{{ }}`.
fn inner_of(text: &str) -> Result<&str, TemplateError> {
    let inner = single_expression(text.trim()).filter(|inner| !inner.contains("}}"));
    inner.ok_or_else(|| TemplateError {
        message: "an expression over a record is one {{ … }}".to_string(),
        range: None,
    })
}

/// The record, and what else there is to see.
#[derive(Debug)]
struct Context(Arc<RecordView>, Option<Value>);

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if key.as_str()? == "record" {
            return Some(Value::from_dyn_object(Arc::new(Record(Arc::clone(
                &self.0,
            )))));
        }
        let found = self.1.as_ref()?.get_item(key).ok()?;
        (!found.is_undefined()).then_some(found)
    }
}

#[derive(Debug)]
struct Record(Arc<RecordView>);

impl Object for Record {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let record = &self.0;
        match key.as_str()? {
            "key" => record.read(&record.key),
            "value" => record.read(&record.value),
            // The last of those with one name, as most clients have it.
            "headers" => Some(Value::from_pairs(record.headers.iter().map(
                |(name, text)| {
                    (
                        name.as_str(),
                        text.as_deref().map_or(Value::UNDEFINED, Value::from),
                    )
                },
            ))),
            "topic" => Some(Value::from(&*record.topic)),
            "partition" => Some(Value::from(record.partition)),
            "offset" => Some(Value::from(record.offset)),
            "timestamp" => record.timestamp.map(Moment::value),
            "tombstone" => Some(Value::from(record.is_tombstone)),
            _ => None,
        }
    }
}

impl RecordView {
    /// A record.
    #[allow(clippy::too_many_arguments, reason = "a record has so many parts")]
    pub fn new(
        topic: Arc<str>,
        partition: i32,
        offset: i64,
        timestamp: Option<Ts>,
        headers: Vec<(String, Option<String>)>,
        key: Read,
        value: Read,
        is_tombstone: bool,
    ) -> Arc<RecordView> {
        Arc::new(RecordView {
            topic,
            partition,
            offset,
            timestamp,
            headers,
            key,
            value,
            is_tombstone,
            failure: OnceLock::new(),
        })
    }

    fn read(&self, read: &Read) -> Option<Value> {
        match read() {
            Ok(found) => found.as_ref().map(strict),
            Err(why) => {
                let _ = self.failure.set(why); // the first failure is told
                None
            }
        }
    }
}

/// A JSON value in which null is undefined.
fn strict(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::UNDEFINED,
        serde_json::Value::Array(items) => items.iter().map(strict).collect::<Vec<_>>().into(),
        serde_json::Value::Object(map) => {
            Value::from_pairs(map.iter().map(|(key, value)| (key.as_str(), strict(value))))
        }
        plain => crate::scope::json(plain),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;
    use serde_json::json;

    fn record(value: Result<serde_json::Value, &'static str>) -> Arc<RecordView> {
        let is_tombstone = value == Ok(serde_json::Value::Null);
        let read: Read = Box::new(move || match &value {
            Ok(json) => Ok(Some(json.clone()).filter(|json| !json.is_null())),
            Err(why) => Err(why.to_string()),
        });
        let headers = vec![
            ("a".to_string(), Some("1".to_string())),
            ("n".to_string(), None),
        ];
        let key: Read = Box::new(|| Ok(Some(json!("k"))));
        RecordView::new(
            "t".into(),
            3,
            17,
            Some(Ts(0)),
            headers,
            key,
            read,
            is_tombstone,
        )
    }

    fn verdict(text: &str, value: Result<serde_json::Value, &'static str>) -> Verdict {
        Expression::over_record(text)
            .unwrap()
            .decide(&record(value))
    }

    #[test]
    fn a_missing_field_is_never_true() {
        use Verdict::*;
        #[rustfmt::skip]
        let cases = [
            ("{{ record.value.n > 3 }}", json!({"n": 4}), Pass),
            ("{{ record.value.n > 3 }}", json!({"n": 3}), Reject),
            ("{{ record.value.n > 3 }}", json!({"n": null}), Missing),
            ("{{ record.value.n < 3 }}", json!({}), Missing),
            ("{{ record.value.a.b == 1 }}", json!({"a": null}), Missing),
            ("{{ record.value.n is defined }}", json!({}), Reject),
            ("{{ record.value.n | default(9) > 3 }}", json!({}), Pass),
            ("{{ record.tombstone }}", json!(null), Pass),
            ("{{ record.value.n > 3 }}", json!(null), Missing),
            ("{{ record.key == 'k' and record.partition == 3 and record.offset == 17 }}", json!(1), Pass),
            ("{{ record.headers.a == '1' }}", json!(1), Pass),
            ("{{ record.headers.n == '1' }}", json!(1), Missing),
            ("{{ record.timestamp.strftime('%Y') == '1970' }}", json!(1), Pass),
            ("{{ record.value.id == 12345678901234567890 }}", json!({"id": 12345678901234567890u64}), Pass),
        ];
        for (text, value, expected) in cases {
            assert_eq!(
                verdict(text, Ok(value.clone())),
                expected,
                "{text} of {value}"
            );
        }
        assert!(matches!(
            verdict("{{ record.value.n }}", Ok(json!({"n": 1}))),
            Broken(_)
        ));
        assert!(matches!(
            verdict("{{ record.value | foo }}", Ok(json!(1))),
            Broken(_)
        ));
    }

    #[test]
    fn what_is_not_asked_for_is_not_read() {
        let bad = || Err("not JSON");
        assert_eq!(
            verdict("{{ record.key == 'x' and record.value.n > 1 }}", bad()),
            Verdict::Reject
        );
        let unreadable = Verdict::Unreadable("not JSON".to_string());
        assert_eq!(
            verdict("{{ record.key == 'k' and record.value.n > 1 }}", bad()),
            unreadable
        );
    }

    #[test]
    fn an_expression_knows_the_record_alone() {
        for text in [
            "record.value",
            "{{ record.value }} and {{ record.key }}",
            "{{ record.valeu }}",
            "{{ params.x }}",
            "{{ record.value > }}",
        ] {
            assert!(Expression::over_record(text).is_err(), "{text}");
        }
        let key = Expression::over_record("{{ record.value.id }}").unwrap();
        assert_eq!(
            key.key(&record(Ok(json!({"id": 7})))),
            Ok(Some("7".to_string()))
        );
        assert_eq!(key.key(&record(Ok(json!({})))), Ok(None));
    }
}
