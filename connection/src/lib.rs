//! Connections and variables: what they are, how they are written, where they are looked for, and
//! which of their values nobody may see.
//!
//! Knows no store, task or process. Reads the environment and files where it is told to.

mod connection;
mod exchange;
mod found;
mod json;
mod mask;
mod name;
mod places;
mod secret;
mod uri;
mod variable;
mod vault;

pub use connection::Connection;
pub use exchange::{
    ReadVariable, is_hidden_mark, read_connections, read_variables, variables_to_json,
};
pub use found::Found;
pub use json::{from_json, to_json};
pub use mask::{HIDDEN, Masker};
pub use name::{CONNECTION_NAME_MAX, Kind, VARIABLE_NAME_MAX, is_sensitive};
pub use places::Places;
pub use secret::Secret;
pub use variable::Variable;
pub use vault::Keys;

/// A connection or a variable cannot be used. Never holds a part of a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Unusable {
    /// What is wrong, and what to do.
    pub what: String,
}

impl Unusable {
    /// With this sentence.
    pub fn new(what: impl Into<String>) -> Unusable {
        Unusable { what: what.into() }
    }
}
