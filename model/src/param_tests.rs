//! Each word of JSON Schema, with values that fit and values that do not.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::{FORMATS, Param};
use serde_json::{Value, json};

fn param(schema: Value) -> Param {
    Param {
        name: "p".to_string(),
        default: Value::Null,
        schema,
    }
}

/// A schema, values that fit it, and values that do not.
#[rustfmt::skip]
fn table() -> Vec<(Value, Vec<Value>, Vec<Value>)> {
    let many = |values: Value| values.as_array().unwrap().clone();
    let row = |schema: Value, good: Value, bad: Value| (schema, many(good), many(bad));
    vec![
        row(json!({"type": "string"}), json!(["", "a"]), json!([1, null, ["a"]])),
        row(json!({"type": "integer"}), json!([1, 2.0, -3]), json!([1.5, "1", null])),
        row(json!({"type": ["number", "null"]}), json!([1.5, null]), json!(["x", true])),
        row(json!({"enum": ["a", 1, null]}), json!(["a", 1, 1.0, null]), json!(["b", 2, "1"])),
        row(json!({"const": {"a": 1, "b": [2]}}), json!([{"b": [2.0], "a": 1}]), json!([{"a": 1}, 1])),
        row(json!({"minimum": 2}), json!([2, 2.5, "1"]), json!([1, 1.99, -7])),
        row(json!({"maximum": 2.5}), json!([2, 2.5, "9"]), json!([3, 2.51])),
        row(json!({"exclusiveMinimum": 0}), json!([1, 0.001, "0"]), json!([0, 0.0, -1])),
        row(json!({"exclusiveMaximum": 10}), json!([9, 9.99]), json!([10, 10.0, 11])),
        row(json!({"minimum": 9007199254740993_i64}), json!([9007199254740993_i64]), json!([9007199254740992_i64])),
        row(json!({"multipleOf": 5}), json!([0, 5, -10, 15.0, "7"]), json!([1, 7, 5.5])),
        row(json!({"multipleOf": 0.1}), json!([0.3, 1, 1.1]), json!([0.35, 0.01])),
        row(json!({"minLength": 2}), json!(["ab", "äö", 1]), json!(["a", "ä", ""])),
        row(json!({"maxLength": 2}), json!(["ab", "äö"]), json!(["abc", "äöü"])),
        row(json!({"pattern": "^[a-z]+-[0-9]$"}), json!(["eu-1", 7]), json!(["eu", "EU-1", "eu-1 "])),
        row(json!({"pattern": "b"}), json!(["abc"]), json!(["ac"])),
        row(json!({"minItems": 1}), json!([[1], "x"]), json!([[]])),
        row(json!({"maxItems": 2}), json!([[], [1, 2]]), json!([[1, 2, 3]])),
        row(json!({"uniqueItems": true}), json!([[], [1, 2], [[1], [2]]]), json!([[1, 1.0], [{"a": 1, "b": 2}, {"b": 2, "a": 1}]])),
        row(json!({"uniqueItems": false}), json!([[1, 1]]), json!([])),
        row(json!({"items": {"type": "integer", "minimum": 0}}), json!([[], [0, 1], "x"]), json!([["a"], [1, -1]])),
        row(json!({"items": {"items": {"maxLength": 1}}}), json!([[["a"], []]]), json!([[["a"], ["ab"]]])),
        row(
            json!({"properties": {"port": {"type": "integer"}}}),
            json!([{}, {"port": 1}, {"other": "x"}, []]),
            json!([{"port": "1"}]),
        ),
        row(json!({"required": ["host", "port"]}), json!([{"host": 1, "port": null}, "x"]), json!([{}, {"host": 1}])),
    ]
}

#[test]
fn every_word_lets_through_what_fits_and_nothing_else() {
    for (schema, good, bad) in table() {
        let one = param(schema.clone());
        for value in good {
            assert_eq!(one.accepts(&value), Ok(()), "{value} by {schema}");
        }
        for value in bad {
            assert!(one.accepts(&value).is_err(), "{value} by {schema}");
        }
    }
}

#[test]
#[rustfmt::skip]
fn every_format_lets_through_what_has_it_and_nothing_else() {
    let table: &[(&str, &[&str], &[&str])] = &[
        ("date", &["2026-11-20", "2024-02-29"], &["2026-02-29", "2026-1-1", "20261120", "2026-11-20T00:00:00Z", ""]),
        ("date-time", &["2026-11-20T06:00:00Z", "2026-11-20T06:00:00.25+01:00"], &["2026-11-20", "2026-11-20T06:00:00", "2026-11-20T25:00:00Z"]),
        ("time", &["06:00", "06:00:59", "23:59:00.5", "06:00:00Z", "06:00:00+01:00"], &["6:00", "24:01", "06:60:00", "noon"]),
        ("duration", &["PT15M", "P1D", "P1Y2M3DT4H", "P2W"], &["15m", "P", "PT", "P1DT", "PT1D"]),
        ("email", &["me@example.com"], &["me", "@example.com", "a b@example.com", "me@"]),
        ("hostname", &["db", "db-1.example.com"], &["-db", "a..b", "a_b", ""]),
        ("ipv4", &["192.0.2.1"], &["192.0.2", "256.0.0.1", "::1"]),
        ("ipv6", &["2001:db8::1", "::1"], &["192.0.2.1", "2001:db8"]),
        ("uri", &["https://example.com/a?b=c", "urn:x:y"], &["example.com", "/a", "http://a b"]),
        ("uuid", &["2eb8aa08-aa98-11ea-b4aa-73b441d16380"], &["2eb8aa08", "2eb8aa08-aa98-11ea-b4aa-73b441d1638g"]),
        ("regex", &["^a+$", ""], &["(", "[a"]),
        ("multiline", &["a\nb", ""], &[]),
    ];
    let told: Vec<&str> = table.iter().map(|row| row.0).collect();
    assert_eq!(told, FORMATS);
    for (format, good, bad) in table {
        let one = param(json!({ "format": format }));
        for text in *good {
            assert_eq!(one.accepts(&json!(text)), Ok(()), "{text} as {format}");
        }
        for text in *bad {
            assert!(one.accepts(&json!(text)).is_err(), "{text} as {format}");
        }
        assert_eq!(one.accepts(&json!(7)), Ok(()), "{format} says nothing of numbers");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let hosts = json!({"type": "array", "items": {
        "type": "object", "required": ["host"], "properties": {"port": {"type": "integer", "exclusiveMinimum": 0}},
    }});
    let told = |value: Value| param(hosts.clone()).accepts(&value).unwrap_err();
    assert_eq!(told(Value::Null), "needs a value");
    assert_eq!(told(json!("x")), "must be array, not \"x\"");
    assert_eq!(told(json!([{"host": "a"}, {}])), "at [1] has no `host`");
    assert_eq!(
        told(json!([{"host": "a", "port": 0}])),
        "at [0].port must be above 0, not 0"
    );
    let day = param(json!({"format": "date"}));
    assert_eq!(
        day.accepts(&json!("soon")).unwrap_err(),
        "must be a date such as 2026-11-20, not \"soon\""
    );
}
