//! Files with many connections or variables, as Airflow's `export` writes and its `import` reads
//! them.

use crate::{Connection, HIDDEN, Secret, Unusable, Variable, from_json};
use serde_json::{Map, Value, json};

/// A variable as a file has it: what it does not say stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadVariable {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: Secret,
    /// What it is for.
    pub description: Option<String>,
    /// Is it marked as secret?
    pub is_marked: Option<bool>,
}

/// Reads connections: `{NAME: {…} or URI}`, or lines of `NAME=URI`.
///
/// # Errors
/// What is wrong, without any value.
pub fn read_connections(text: &str) -> Result<Vec<Connection>, Unusable> {
    if !text.trim_start().starts_with('{') {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        return lines.map(line).collect();
    }
    let one = |(id, value): (String, Value)| match &value {
        Value::String(uri) => Connection::parse(&id, uri.trim()),
        other => from_json(&id, other),
    };
    object(text)?.into_iter().map(one).collect()
}

fn line(line: &str) -> Result<Connection, Unusable> {
    let (id, uri) = line
        .split_once('=')
        .ok_or_else(|| Unusable::new("a line is not NAME=URI"))?;
    Connection::parse(id.trim(), uri.trim())
}

/// Reads variables: `{NAME: value}`, or `{NAME: {"value": …, "description": …}}`. A value that is
/// no text is kept as its JSON.
///
/// # Errors
/// What is wrong, without any value.
pub fn read_variables(text: &str) -> Result<Vec<ReadVariable>, Unusable> {
    object(text)?.into_iter().map(variable).collect()
}

fn variable((key, whole): (String, Value)) -> Result<ReadVariable, Unusable> {
    let plain = |value: &Value| match value {
        Value::String(text) => Secret::from(text.as_str()),
        other => Secret::new(other.to_string()),
    };
    let long = whole.as_object().filter(|long| long.contains_key("value"));
    let Some(long) = long else {
        return Ok(ReadVariable {
            value: plain(&whole),
            key,
            description: None,
            is_marked: None,
        });
    };
    let wrong =
        |part: &str, kind: &str| Unusable::new(format!("variable `{key}`: `{part}` is {kind}"));
    let description = match long.get("description") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) => return Err(wrong("description", "a text")),
    };
    let is_marked = match long.get("is_secret") {
        None | Some(Value::Null) => None,
        Some(Value::Bool(is_marked)) => Some(*is_marked),
        Some(_) => return Err(wrong("is_secret", "true or false")),
    };
    Ok(ReadVariable {
        value: plain(&long["value"]),
        description,
        is_marked,
        key,
    })
}

fn object(text: &str) -> Result<Map<String, Value>, Unusable> {
    serde_json::from_str(text).map_err(|err| {
        let (line, column) = (err.line(), err.column());
        Unusable::new(format!("not JSON: line {line}, column {column}"))
    })
}

/// Writes variables: objects and lists as such, everything else as its text.
pub fn variables_to_json(variables: &[Variable]) -> Value {
    let one = |variable: &Variable| {
        let text = variable.value.expose();
        let value = match serde_json::from_str(text) {
            Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
            _ => json!(text),
        };
        let whole = match (&variable.description, variable.is_marked) {
            // A value that has the shape of a whole variable would be read as one.
            (None, false) if value.get("value").is_none() => value,
            (description, false) => json!({ "value": value, "description": description }),
            (description, true) => {
                json!({ "value": value, "description": description, "is_secret": true })
            }
        };
        (variable.key.clone(), whole)
    };
    Value::Object(variables.iter().map(one).collect())
}

/// Is it the mark that stands for a value that is not shown? Then what is kept stays.
pub fn is_hidden_mark(secret: &Secret) -> bool {
    secret.expose() == HIDDEN
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::to_json;

    #[test]
    fn both_forms_of_a_file_of_connections_are_read_as_the_same() {
        let text =
            r#"{"a": {"conn_type": "http", "host": "h", "password": "p"}, "b": "ssh://me@box"}"#;
        let found = read_connections(text).unwrap();
        let ids: Vec<&str> = found.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        let whole: Map<String, Value> = found
            .iter()
            .map(|one| (one.id.clone(), to_json(one)))
            .collect();
        assert_eq!(
            read_connections(&Value::Object(whole).to_string()),
            Ok(found.clone())
        );
        let lines: String = found
            .iter()
            .map(|one| format!("{}={}\n", one.id, one.uri().expose()))
            .collect();
        assert_eq!(read_connections(&format!("# all\n\n{lines}")), Ok(found));
    }

    #[test]
    fn variables_that_are_written_are_read_as_the_same() {
        let variable = |key: &str, value: &str, description: Option<&str>, is_marked| Variable {
            description: description.map(str::to_string),
            is_marked,
            ..Variable::new(key, value)
        };
        let all = [
            variable("a", "007", None, false),
            variable("b", r#"{"x":[1]}"#, Some("deep"), false),
            variable("c", "s", None, true),
            variable("d", r#"{"value":"inner"}"#, None, false),
        ];
        let whole = variables_to_json(&all);
        assert_eq!(
            (&whole["a"], &whole["b"]["value"]),
            (&json!("007"), &json!({"x": [1]}))
        );
        let found = read_variables(&whole.to_string()).unwrap();
        for (one, read) in all.iter().zip(&found) {
            assert_eq!((&one.key, &one.value), (&read.key, &read.value));
            assert_eq!(one.description, read.description);
            assert_eq!(
                one.is_marked,
                read.is_marked.unwrap_or(false),
                "{}",
                one.key
            );
        }
        assert_eq!(found.len(), all.len());
    }

    #[test]
    fn mistakes_are_told_without_a_value() {
        for text in [
            "just words hunter2",
            r#"{"a": ["hunter2"]}"#,
            r#"{"a": "hunter2"#,
        ] {
            let err = read_connections(text).unwrap_err().what;
            assert!(!err.contains("hunter2"), "{err}");
        }
        for text in [
            "hunter2",
            r#"{"a": {"value": "hunter2", "description": 7}}"#,
            r#"{"a": {"value": "hunter2", "is_secret": "yes"}}"#,
        ] {
            let err = read_variables(text).unwrap_err().what;
            assert!(!err.contains("hunter2"), "{err}");
        }
    }
}
