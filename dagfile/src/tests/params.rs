//! Parameters: what they let through is what JSON Schema lets through.

use super::{found, good};
use serde_json::{Value, json};
use tidemill_model::JsonObject;

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

/// `sdk:definitions/param.py: Param.resolve` and `ParamsDict.validate`: a value of the run's stands
/// over the default, a default over nothing, and nothing is an error.
#[test]
fn a_parameter_without_a_default_needs_a_value_unless_its_type_names_null() {
    let table = [
        ("type = 'string'", Err("needs a value"), "type = 'string'"),
        (
            "description = 'any'",
            Err("needs a value"),
            "no type at all",
        ),
        (
            "minimum = 1",
            Err("needs a value"),
            "a word that says nothing of null",
        ),
        ("enum = ['a', 'b']", Err("needs a value"), "a choice"),
        (
            "type = ['integer', 'null']\nminimum = 1",
            Ok(()),
            "null is named",
        ),
        ("type = 'null'", Ok(()), "nothing but null"),
        ("default = 7\nminimum = 1", Ok(()), "a default"),
        ("default = ''", Ok(()), "an empty default is one"),
    ];
    for (words, silent, what) in table {
        let source = format!("[params.p]\n{words}\n[tasks]\nt = 'true'\n");
        let dag = good(&source).dag.unwrap();
        let expected = silent.map_err(|why: &str| format!("parameter `p` {why}"));
        assert_eq!(dag.check_conf(&JsonObject::new()), expected, "{what}");
        // Nobody can be asked about a run by schedule, so the file says it (TM0151).
        let by_schedule = ["schedule = '@daily'", "schedule = { assets = ['a'] }"];
        for schedule in by_schedule {
            let source = format!("[dag]\n{schedule}\n[assets.a]\n{source}");
            let codes: Vec<String> = found(&source)
                .iter()
                .map(|one| one[..6].to_string())
                .collect();
            let told: &[&str] = if silent.is_ok() { &[] } else { &["TM0151"] };
            assert_eq!(codes, told, "{what}: {schedule}");
        }
    }
}

/// The same: what a run says is held against the schema, whatever the default is, and names that
/// are not declared are let through.
#[test]
fn what_a_run_says_stands_over_the_default_and_must_fit() {
    let source =
        "[params]\nn = 3\n[params.day]\ntype = 'string'\nformat = 'date'\n[tasks]\nt = 'true'\n";
    let dag = good(source).dag.unwrap();
    let check = |conf: Value| dag.check_conf(conf.as_object().unwrap());
    assert_eq!(check(json!({ "day": "2026-11-20" })), Ok(()));
    assert_eq!(
        check(json!({ "day": "2026-11-20", "n": 4, "more": [1] })),
        Ok(())
    );
    for (conf, why) in [
        (json!({ "n": 4 }), "parameter `day` needs a value"),
        (json!({ "day": null }), "parameter `day` needs a value"),
        (
            json!({ "day": "2026-11-20", "n": "4" }),
            "parameter `n` must be integer, not \"4\"",
        ),
        (
            json!({ "day": "2026-11-20", "n": null }),
            "parameter `n` needs a value",
        ),
        (
            json!({ "day": "today" }),
            "parameter `day` must be a date such as 2026-11-20, not \"today\"",
        ),
    ] {
        assert_eq!(check(conf).unwrap_err(), why);
    }
}

/// What the form is told (`Param` of Airflow takes these words as they are, and the API gives them
/// back unchanged).
#[test]
fn a_schema_keeps_every_word_that_is_for_the_form() {
    let words = "type = 'string'\ntitle = 'T'\nsection = 'S'\ndescription = 'd'\ndescription_md = '**d**'\nexamples = ['x']\nvalues_display = { x = 'X' }\nenum = ['x']\nconst = 'x'";
    let source = format!("[params.p]\ndefault = 'x'\n{words}\n[tasks]\nt = 'true'\n");
    let schema = good(&source).dag.unwrap().params.remove(0).schema;
    let expected = json!({
        "type": "string", "title": "T", "section": "S", "description": "d",
        "description_md": "**d**", "examples": ["x"], "values_display": {"x": "X"},
        "enum": ["x"], "const": "x",
    });
    assert_eq!(schema, expected);
}
