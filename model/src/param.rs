//! Parameters of a DAG: a default and a JSON Schema each.

use crate::json_schema;

/// What `format` of a parameter may say. All but `multiline`, which is for the form, are checked.
pub const FORMATS: &[&str] = &[
    "date",
    "date-time",
    "time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uuid",
    "regex",
    "multiline",
];

/// A parameter: a name, a default and a JSON Schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its value when a run says nothing; JSON null when there is none.
    pub default: serde_json::Value,
    /// The JSON Schema that values must satisfy, with `type`, `enum`, `title` and the like.
    pub schema: serde_json::Value,
}

impl Param {
    /// Does a value fit? Every word of JSON Schema that a file may write is looked at, in the
    /// items of lists and the keys of objects too.
    ///
    /// # Errors
    /// What is wrong, to be read after the parameter's name.
    pub fn accepts(&self, value: &serde_json::Value) -> Result<(), String> {
        json_schema::check(&self.schema, value)
    }
}

#[cfg(test)]
#[path = "param_tests.rs"]
mod tests;
