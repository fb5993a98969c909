//! Where a task's secrets come from: the worker's environment, then files.

use serde_json::Value;
use std::path::Path;

/// A file with a secret is not larger.
const FILE_MAX: u64 = 1024 * 1024;

/// Looks a secret up: `conn.NAME`, `conn.NAME.FIELD` or `var.NAME`. `env` reads the worker's
/// environment.
///
/// # Errors
/// What is missing and where it was looked for; never a part of a value.
pub(crate) fn resolve(
    from: &str,
    env: &dyn Fn(&str) -> Option<String>,
    folder: Option<&Path>,
) -> Result<String, String> {
    let mut parts = from.splitn(3, '.');
    let kind = parts.next().unwrap_or_default();
    let name = parts.next().filter(|name| is_name(name));
    let (Some(name), field) = (name, parts.next()) else {
        return Err(format!(
            "secret `{from}` is neither conn.NAME.FIELD nor var.NAME"
        ));
    };
    match (kind, field) {
        ("var", None) => find(from, "VAR", name, env, folder),
        ("conn", field) => {
            let text = find(from, "CONN", name, env, folder)?;
            field_of(&text, field.unwrap_or("uri"))
                .ok_or_else(|| format!("secret `{from}`: connection `{name}` has no such field"))
        }
        _ => Err(format!(
            "secret `{from}` is neither conn.NAME.FIELD nor var.NAME"
        )),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn find(
    from: &str,
    kind: &str,
    name: &str,
    env: &dyn Fn(&str) -> Option<String>,
    folder: Option<&Path>,
) -> Result<String, String> {
    let upper = name.to_ascii_uppercase().replace('-', "_");
    let names = [
        format!("TIDEMILL_{kind}_{upper}"),
        format!("AIRFLOW_{kind}_{upper}"),
    ];
    if let Some(value) = names.iter().find_map(|name| env(name)) {
        return Ok(value);
    }
    let looked = format!(
        "the environment of the server ({} or {})",
        names[0], names[1]
    );
    let Some(folder) = folder else {
        return Err(format!(
            "secret `{from}` is missing: not in {looked}; no secrets folder is set"
        ));
    };
    let path = folder.join(name);
    match read(&path) {
        Ok(text) => Ok(text.strip_suffix('\n').unwrap_or(&text).to_string()),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Err(format!(
            "secret `{from}` is missing: not in {looked}, no file {}",
            path.display()
        )),
        Err(err) => Err(format!(
            "secret `{from}`: cannot read {}: {err}",
            path.display()
        )),
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(FILE_MAX)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// A field of a connection, which is JSON or a URI.
fn field_of(text: &str, field: &str) -> Option<String> {
    if field == "uri" {
        return Some(text.to_string());
    }
    if text.trim_start().starts_with('{') {
        let connection: Value = serde_json::from_str(text).ok()?;
        return field_of_json(&connection, field);
    }
    field_of_uri(text, field)
}

fn field_of_json(connection: &Value, field: &str) -> Option<String> {
    if let Some(key) = field
        .strip_prefix("extra.")
        .or(field.strip_prefix("extra_dejson."))
    {
        let extra = match connection.get("extra")? {
            Value::String(text) => serde_json::from_str(text).ok()?,
            other => other.clone(),
        };
        return extra.get(key).map(plain);
    }
    let names: &[&str] = match field {
        "login" | "user" => &["login", "user"],
        "type" | "conn_type" => &["conn_type", "type"],
        other => {
            return connection
                .get(other)
                .filter(|value| !value.is_null())
                .map(plain);
        }
    };
    names
        .iter()
        .find_map(|name| connection.get(*name))
        .map(plain)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Airflow's form: `type://login:password@host:port/schema?key=value`.
fn field_of_uri(text: &str, field: &str) -> Option<String> {
    let (kind, rest) = text.split_once("://")?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (user, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (address, schema) = place.split_once('/').unwrap_or((place, ""));
    let (login, password) = user.split_once(':').unwrap_or((user, ""));
    // The colons of an IPv6 address stand in brackets.
    let after_brackets = address.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match address[after_brackets..].rfind(':') {
        Some(at) => (
            &address[..after_brackets + at],
            &address[after_brackets + at + 1..],
        ),
        None => (address, ""),
    };
    let value = match field {
        "type" | "conn_type" => kind,
        "login" | "user" => login,
        "password" => password,
        "host" => host.trim_start_matches('[').trim_end_matches(']'),
        "port" => port,
        "schema" => schema,
        "extra" => query,
        _ => {
            let key = field
                .strip_prefix("extra.")
                .or(field.strip_prefix("extra_dejson."))?;
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| decode(name) == key)?.1
        }
    };
    (!value.is_empty()).then(|| decode(value))
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text
            .get(at + 1..at + 3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(code)) => {
                out.push(code);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &'static str) -> impl Fn(&str) -> Option<String> {
        move |asked| (asked == name).then(|| value.to_string())
    }

    #[test]
    fn a_connection_is_read_from_a_uri_or_json() {
        let uri = with(
            "TIDEMILL_CONN_WARE_HOUSE",
            "postgres://me:p%40ss@db:5432/dw?sslmode=on",
        );
        let json = with(
            "AIRFLOW_CONN_WARE_HOUSE",
            r#"{"conn_type":"postgres","login":"me","password":"p@ss","host":"db","port":5432,
                "schema":"dw","extra":"{\"sslmode\":\"on\"}"}"#,
        );
        for env in [&uri as &dyn Fn(&str) -> Option<String>, &json] {
            for (field, value) in [
                ("password", "p@ss"),
                ("login", "me"),
                ("user", "me"),
                ("host", "db"),
                ("port", "5432"),
                ("schema", "dw"),
                ("extra.sslmode", "on"),
                ("conn_type", "postgres"),
            ] {
                let got = resolve(&format!("conn.ware-house.{field}"), env, None);
                assert_eq!(got.as_deref(), Ok(value), "{field}");
            }
            assert!(resolve("conn.ware-house.nothing", env, None).is_err());
        }
    }

    #[test]
    fn the_environment_wins_over_a_file_and_a_miss_says_where_it_looked() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "from a file\n").unwrap();
        let none = |_: &str| None;
        let env = with("TIDEMILL_VAR_KEY", "from env");
        let dir = Some(folder.path());
        assert_eq!(resolve("var.key", &env, dir).as_deref(), Ok("from env"));
        assert_eq!(resolve("var.key", &none, dir).as_deref(), Ok("from a file"));
        let missing = resolve("var.other", &none, dir).unwrap_err();
        for place in [
            "TIDEMILL_VAR_OTHER",
            "AIRFLOW_VAR_OTHER",
            "other",
            "var.other",
        ] {
            assert!(missing.contains(place), "{missing}");
        }
        assert!(resolve("var.../x", &none, dir).is_err());
        assert!(resolve("key", &none, dir).is_err());
    }
}
