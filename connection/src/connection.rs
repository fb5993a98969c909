//! What a connection is.

use crate::{Secret, uri};
use serde_json::Value;

/// Shorter values of `extra` are words such as `require`; to hide them would hide half a log.
const EXTRA_VALUE_MIN: usize = 8;

/// How another system is reached: Airflow's connection, field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Its name.
    pub id: String,
    /// What is at the other end, such as `postgres` or `http`.
    pub conn_type: String,
    /// What it is for.
    pub description: Option<String>,
    /// The host; for HTTP perhaps with its scheme, `https://api.example`.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The user there.
    pub login: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// The database, or what the type makes of it.
    pub schema: Option<String>,
    /// More settings, one JSON object as text.
    pub extra: Option<Secret>,
}

impl Connection {
    /// Reads Airflow's URI or JSON form, whichever the text is.
    ///
    /// # Errors
    /// What is wrong with it, without any of its values.
    pub fn parse(id: &str, text: &str) -> Result<Connection, crate::Unusable> {
        if text.trim_start().starts_with('{') {
            let value = serde_json::from_str(text).map_err(|err| {
                let (line, column) = (err.line(), err.column());
                crate::Unusable::new(format!(
                    "connection `{id}` is not JSON: see line {line}, column {column}"
                ))
            })?;
            return crate::from_json(id, &value);
        }
        uri::parse(id, text)
    }

    /// Airflow's URI form.
    pub fn uri(&self) -> Secret {
        uri::write(self)
    }

    /// `extra` as an object; nothing when it is none.
    pub fn extra_object(&self) -> Option<serde_json::Map<String, Value>> {
        match serde_json::from_str(self.extra.as_ref()?.expose()) {
            Ok(Value::Object(object)) => Some(object),
            _ => None,
        }
    }

    /// One setting of `extra`.
    pub fn extra_value(&self, key: &str) -> Option<Value> {
        self.extra_object()?.remove(key)
    }

    /// A setting of `extra` as a text: a number or flag in its JSON form.
    pub fn extra_text(&self, key: &str) -> Option<Secret> {
        self.extra_value(key).map(|value| Secret::new(plain(value)))
    }

    /// A field by its name in `secrets` of a task: `password`, `extra.KEY`, `uri` and so on.
    /// Nothing where it is empty.
    pub fn field(&self, name: &str) -> Option<Secret> {
        let text = |value: &Option<String>| value.as_deref().map(Secret::from);
        let key = name.strip_prefix("extra.");
        if let Some(key) = key.or(name.strip_prefix("extra_dejson.")) {
            return self.extra_text(key);
        }
        let value = match name {
            "uri" => Some(self.uri()),
            "type" | "conn_type" => Some(Secret::from(self.conn_type.as_str())),
            "description" => text(&self.description),
            "host" => text(&self.host),
            "port" => self.port.map(|port| Secret::new(port.to_string())),
            "login" | "user" => text(&self.login),
            "password" => self.password.clone(),
            "schema" => text(&self.schema),
            "extra" => self.extra.clone(),
            _ => None,
        };
        value.filter(|value| !value.is_empty())
    }

    /// What nobody may see: the password, `extra` and the texts in it, and the URI that holds
    /// them. Texts of `extra` under eight characters are hidden only where their key asks for it.
    pub fn hidden(&self) -> Vec<Secret> {
        let mut hidden: Vec<Secret> = self.password.iter().cloned().collect();
        if let Some(extra) = &self.extra {
            hidden.push(extra.clone());
            for (key, value) in self.extra_object().into_iter().flatten() {
                hide(&key, value, &mut hidden);
            }
        }
        if !hidden.is_empty() {
            hidden.push(self.uri());
        }
        hidden.retain(|secret| !secret.is_empty());
        hidden
    }
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn hide(key: &str, value: Value, hidden: &mut Vec<Secret>) {
    match value {
        Value::Object(object) => {
            for (inner, value) in object {
                let key = if crate::is_sensitive(key) {
                    key
                } else {
                    &inner
                };
                hide(key, value, hidden);
            }
        }
        Value::Array(values) => values
            .into_iter()
            .for_each(|value| hide(key, value, hidden)),
        Value::Null | Value::Bool(_) => {}
        other => {
            let text = plain(other);
            if text.len() >= EXTRA_VALUE_MIN || crate::is_sensitive(key) {
                hidden.push(Secret::new(text));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const URI: &str = "postgres://me:p%40ss@db:5432/dw?sslmode=on";
    const JSON: &str = r#"{"conn_type":"postgres","login":"me","password":"p@ss","host":"db",
        "port":"5432","schema":"dw","extra":"{\"sslmode\":\"on\"}"}"#;

    #[test]
    fn both_forms_mean_the_same_connection() {
        let uri = Connection::parse("dw", URI).unwrap();
        assert_eq!(uri, Connection::parse("dw", JSON).unwrap());
        for (field, value) in [
            ("password", "p@ss"),
            ("login", "me"),
            ("user", "me"),
            ("host", "db"),
            ("port", "5432"),
            ("schema", "dw"),
            ("extra.sslmode", "on"),
            ("extra_dejson.sslmode", "on"),
            ("conn_type", "postgres"),
            ("uri", "postgres://me:p%40ss@db:5432/dw?sslmode=on"),
        ] {
            let got = uri.field(field).unwrap();
            assert_eq!(got.expose(), value, "{field}");
        }
        assert_eq!(uri.field("nothing"), None);
        assert_eq!(uri.field("extra.nothing"), None);
    }

    #[test]
    fn debug_shows_that_there_is_a_secret_and_not_what_it_is() {
        let shown = format!("{:?}", Connection::parse("dw", URI).unwrap());
        assert!(shown.contains("***") && shown.contains("db"), "{shown}");
        assert!(
            !shown.contains("p@ss") && !shown.contains("sslmode"),
            "{shown}"
        );
    }

    #[test]
    fn hidden_are_the_password_the_extra_and_the_texts_in_it() {
        let text = r#"{"conn_type":"aws","password":"pw","login":"me","extra":
            {"region":"eu","session_token":"abc","role":"arn:aws:iam::12","deep":{"token":["xyz"]},"on":true}}"#;
        let found = Connection::parse("s3", text).unwrap().hidden();
        let texts: Vec<&str> = found.iter().map(Secret::expose).collect();
        for text in ["pw", "abc", "arn:aws:iam::12", "xyz"] {
            assert!(texts.contains(&text), "{text} in {texts:?}");
        }
        for text in ["eu", "true", "me"] {
            assert!(!texts.contains(&text), "{text} in {texts:?}");
        }
        let open = Connection::parse("x", "http://host").unwrap();
        assert!(open.hidden().is_empty());
    }
}
