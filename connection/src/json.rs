//! Airflow's JSON form: `{"conn_type": …, "login": …, "password": …, "extra": {…}}`.

use crate::{Connection, Kind, Secret, Unusable};
use serde_json::{Map, Value, json};

/// The keys that it may have; those after `extra` are other spellings and what exports add.
const KEYS: [&str; 14] = [
    "conn_id",
    "conn_type",
    "description",
    "host",
    "port",
    "login",
    "password",
    "schema",
    "extra",
    "type",
    "user",
    "is_encrypted",
    "is_extra_encrypted",
    "team_name",
];

/// Reads it.
///
/// # Errors
/// Which key is wrong and why, without its value.
pub fn from_json(id: &str, value: &Value) -> Result<Connection, Unusable> {
    Kind::Connection.check(id)?;
    let wrong = |what: String| Unusable::new(format!("connection `{id}`: {what}"));
    let object = value
        .as_object()
        .ok_or_else(|| wrong("its JSON is not an object".to_string()))?;
    if let Some(key) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let known = KEYS[1..9].join(", ");
        return Err(wrong(format!("unknown key `{key}`; there are {known}")));
    }
    let text = |names: &[&str]| text_of(object, names).map_err(&wrong);
    let extra = match object.get("extra") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()).filter(|text| !text.trim().is_empty()),
        Some(value @ Value::Object(_)) => Some(value.to_string()),
        Some(_) => return Err(wrong("`extra` is an object or its text".to_string())),
    };
    Ok(Connection {
        id: id.to_string(),
        conn_type: normal_type(&text(&["conn_type", "type"])?.unwrap_or_default()),
        description: text(&["description"])?,
        host: text(&["host"])?,
        port: port_of(object.get("port")).map_err(wrong)?,
        login: text(&["login", "user"])?,
        password: text(&["password"])?.map(Secret::new),
        schema: text(&["schema"])?,
        extra: extra.map(Secret::new),
    })
}

fn text_of(object: &Map<String, Value>, names: &[&str]) -> Result<Option<String>, String> {
    for name in names {
        match object.get(*name) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.is_empty() => {}
            Some(Value::String(text)) => return Ok(Some(text.clone())),
            Some(_) => return Err(format!("`{name}` is a text")),
        }
    }
    Ok(None)
}

fn port_of(value: Option<&Value>) -> Result<Option<u16>, String> {
    let port = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64().and_then(|port| u16::try_from(port).ok()),
    };
    port.map(Some)
        .ok_or_else(|| "`port` is a number from 0 to 65535".to_string())
}

/// Airflow's spelling of a type: `_` for `-`, and one name for PostgreSQL.
pub(crate) fn normal_type(word: &str) -> String {
    match word.to_ascii_lowercase().replace('-', "_").as_str() {
        "postgresql" => "postgres".to_string(),
        other => other.to_string(),
    }
}

/// Writes it as Airflow's `connections export` does, with all its values.
pub fn to_json(connection: &Connection) -> Value {
    let secret = |value: &Option<Secret>| value.as_ref().map(|secret| secret.expose().to_string());
    json!({
        "conn_type": connection.conn_type,
        "description": connection.description,
        "login": connection.login,
        "password": secret(&connection.password),
        "host": connection.host,
        "port": connection.port,
        "schema": connection.schema,
        "extra": secret(&connection.extra),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let uri = "http://me:pw@https%3A%2F%2Fapi/x?timeout=3";
        let connection = Connection::parse("api", uri).unwrap();
        let again = from_json("api", &to_json(&connection)).unwrap();
        assert_eq!(again, connection);
    }

    #[test]
    fn mistakes_name_the_key_and_never_the_value() {
        for (text, word) in [
            (r#"{"conn_type":"x","pasword":"hunter2"}"#, "pasword"),
            (r#"{"conn_type":"x","password":["hunter2"]}"#, "password"),
            (r#"{"conn_type":"x","port":"hunter2"}"#, "port"),
            (r#"{"conn_type":"x","port":70000}"#, "port"),
            (r#"{"conn_type":"x","extra":["hunter2"]}"#, "extra"),
            (r#"{"password":"hunter2"#, "JSON"),
        ] {
            let err = Connection::parse("c", text).unwrap_err().what;
            assert!(err.contains(word) && !err.contains("hunter2"), "{err}");
        }
    }
}
