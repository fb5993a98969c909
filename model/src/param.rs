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

    /// Can a run go without saying anything of it? A default must fit. Where there is none, a run
    /// has to name a value (Airflow's `Param.resolve`), unless the type says that it may be null,
    /// which a file cannot write as a default.
    ///
    /// # Errors
    /// What is wrong, to be read after the parameter's name.
    pub fn accepts_silence(&self) -> Result<(), String> {
        if self.default.is_null() && !self.may_be_null() {
            return Err("needs a value".to_string());
        }
        self.accepts(&self.default)
    }

    /// Does its type name null?
    pub fn may_be_null(&self) -> bool {
        match self.schema.get("type") {
            Some(serde_json::Value::Array(types)) => types.iter().any(|name| name == "null"),
            Some(name) => name == "null",
            None => false,
        }
    }
}

#[cfg(test)]
#[path = "param_tests.rs"]
mod tests;
