//! Parameters: what they let through is what JSON Schema lets through.

use super::good;
use serde_json::{Value, json};

/// Schemas as a file writes them: each word alone, and some together.
const SCHEMAS: &[&str] = &[
    "type = 'string'",
    "type = 'integer'",
    "type = ['number', 'null']",
    "type = 'object'",
    "enum = [1, 'a', [1], { a = 1 }]",
    "const = 1",
    "const = [1.0, 'a']",
    "minimum = -1.5",
    "maximum = 2",
    "exclusiveMinimum = 0",
    "exclusiveMaximum = 2.5",
    "multipleOf = 2",
    "multipleOf = 0.1",
    "minLength = 2",
    "maxLength = 1",
    "pattern = '^[ab]+$'",
    "pattern = 'b'",
    "minItems = 2",
    "maxItems = 1",
    "uniqueItems = true",
    "items = { type = 'integer' }",
    "items = { items = { minimum = 1 } }",
    "required = ['a']",
    "properties = { a = { type = 'integer', maximum = 1 }, b = { required = ['a'] } }",
    "type = 'array'\nitems = { enum = [1, 2] }\nminItems = 1\nuniqueItems = true",
];

fn values() -> Vec<Value> {
    let plain = [
        json!(null),
        json!(true),
        json!(-2),
        json!(-1.5),
        json!(0),
        json!(0.0),
        json!(0.3),
        json!(1),
        json!(1.0),
        json!(2),
        json!(2.5),
        json!(""),
        json!("a"),
        json!("ab"),
        json!("äb"),
        json!("abc"),
    ];
    let mut all = plain.to_vec();
    all.push(json!([]));
    all.push(json!({}));
    for one in &plain {
        all.push(json!([one]));
        all.push(json!([[one]]));
        all.push(json!({ "a": one }));
        all.push(json!({ "b": { "a": one } }));
        for other in &plain {
            all.push(json!([one, other]));
            all.push(json!([{ "a": one, "b": other }, { "b": other, "a": one }]));
        }
    }
    all
}

#[test]
fn params_let_through_what_another_reader_of_json_schema_does() {
    for words in SCHEMAS {
        let source = format!("[params.p]\n{words}\n[tasks]\nt = 'true'\n");
        let dag = good(&source).dag.unwrap();
        let param = &dag.params[0];
        let other = jsonschema::draft202012::new(&param.schema).unwrap();
        for value in values() {
            let ours = param.accepts(&value);
            assert_eq!(
                ours.is_ok(),
                other.is_valid(&value),
                "{value} by {words}: {ours:?}"
            );
        }
    }
}

#[test]
fn a_run_with_a_value_that_does_not_fit_is_told_which() {
    let source = "[params.hosts]\ndefault = []\n[params.hosts.items]\nrequired = ['name']\nproperties = { name = { format = 'hostname' } }\n[tasks]\nt = 'true'\n";
    let dag = good(source).dag.unwrap();
    let check = |hosts: Value| {
        let conf = json!({ "hosts": hosts });
        dag.check_conf(conf.as_object().unwrap())
    };
    assert_eq!(check(json!([{ "name": "db-1" }])), Ok(()));
    assert_eq!(
        check(json!([{ "name": "db-1" }, { "name": "a b" }])).unwrap_err(),
        "parameter `hosts` at [1].name must be the name of a host such as db.example.com, not \"a b\""
    );
}
