//! What a variable is.

use crate::{Secret, is_sensitive};

/// A named text that tasks read (Airflow's variable).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: Secret,
    /// What it is for.
    pub description: Option<String>,
    /// Did somebody mark it as secret?
    pub is_marked: bool,
}

impl Variable {
    /// A variable that nobody has marked.
    pub fn new(key: &str, value: impl Into<Secret>) -> Variable {
        Variable {
            key: key.to_string(),
            value: value.into(),
            ..Variable::default()
        }
    }

    /// May nobody see its value? So it is when it is marked, or when its name says it.
    pub fn is_secret(&self) -> bool {
        self.is_marked || is_sensitive(&self.key)
    }
}
