//! Airflow's URI form: `type://login:password@host:port/schema?key=value`, each part
//! percent-encoded. It is not quite a URL: `http://https://host` has the scheme in its host.

use crate::json::normal_type;
use crate::{Connection, Kind, Secret, Unusable};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};

/// The key of the query under which an `extra` stands that is more than keys and texts.
const EXTRA_KEY: &str = "__extra__";
/// What Python's `quote(text, safe="")` encodes.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~');

/// Reads it.
///
/// # Errors
/// What is wrong with its form, without any of its values.
pub(crate) fn parse(id: &str, text: &str) -> Result<Connection, Unusable> {
    Kind::Connection.check(id)?;
    let wrong = |what: &str| Unusable::new(format!("connection `{id}`: {what}"));
    let text = text.trim();
    let (kind, rest) = text.split_once("://").ok_or_else(|| {
        wrong("neither JSON nor a URI such as type://login:password@host:port/schema")
    })?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = match rest.split_once("://") {
        Some((scheme, _)) if scheme.contains(['@', ':', '/']) => {
            return Err(wrong("the scheme of its host stands in the wrong place"));
        }
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, rest),
    };
    // An @ or a / in a password is percent-encoded; where it is not, the last @ before the path counts.
    let (authority, schema) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (login, password) = user.split_once(':').unwrap_or((user, ""));
    let (host, port) = split_port(address);
    let decode = |text: &str| decode(text).ok_or_else(|| wrong("a part of its URI is not UTF-8"));
    let part = |text: &str| decode(text).map(|text| Some(text).filter(|text| !text.is_empty()));
    let host = part(host)?.map(|host| match scheme {
        Some(scheme) => format!("{scheme}://{host}"),
        None => host,
    });
    Ok(Connection {
        id: id.to_string(),
        conn_type: normal_type(kind),
        description: None,
        host,
        port: match port {
            "" => None,
            port => Some(
                port.parse()
                    .map_err(|_| wrong("its port is not a number up to 65535"))?,
            ),
        },
        login: part(login)?,
        password: part(password)?.map(Secret::new),
        schema: part(schema)?,
        extra: extra_of(query),
    })
}

/// The colons of an IPv6 address stand in brackets.
fn split_port(address: &str) -> (&str, &str) {
    if let Some(rest) = address.strip_prefix('[')
        && let Some((host, after)) = rest.split_once(']')
    {
        return (host, after.strip_prefix(':').unwrap_or(""));
    }
    address.rsplit_once(':').unwrap_or((address, ""))
}

fn decode(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

fn extra_of(query: &str) -> Option<Secret> {
    if query.is_empty() {
        return None;
    }
    let mut extra = Map::new();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if key == EXTRA_KEY {
            return Some(Secret::new(value.into_owned()));
        }
        let value = json_of(&value).unwrap_or_else(|| Value::String(value.into_owned()));
        extra.insert(key.into_owned(), value);
    }
    Some(Secret::new(Value::Object(extra).to_string()))
}

/// What a value of the query means where it is JSON, as Airflow reads it: `timeout=3` is a number.
fn json_of(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// Writes it.
pub(crate) fn write(connection: &Connection) -> Secret {
    let quote = |text: &str| utf8_percent_encode(text, QUOTED).to_string();
    let mut uri = format!("{}://", connection.conn_type.replace('_', "-"));
    let host = connection.host.as_deref().unwrap_or("");
    let (scheme, host) = match host.split_once("://") {
        Some((scheme, host)) => (Some(scheme), host),
        None => (None, host),
    };
    if let Some(scheme) = scheme {
        uri.push_str(&format!("{scheme}://"));
    }
    let has_user = connection.login.is_some() || connection.password.is_some();
    if has_user {
        uri.push_str(&quote(connection.login.as_deref().unwrap_or("")));
        if let Some(password) = &connection.password {
            uri.push_str(&format!(":{}", quote(password.expose())));
        }
        uri.push('@');
    }
    uri.push_str(&quote(host));
    if let Some(port) = connection.port {
        let mark = if host.is_empty() && !has_user {
            "@"
        } else {
            ""
        };
        uri.push_str(&format!("{mark}:{port}"));
    }
    if let Some(schema) = &connection.schema {
        uri.push_str(&format!("/{}", quote(schema)));
    }
    if let Some(extra) = &connection.extra {
        uri.push_str(if connection.schema.is_some() {
            "?"
        } else {
            "/?"
        });
        uri.push_str(&query_of(connection, extra));
    }
    Secret::new(uri)
}

/// Keys and texts stand in the query as they are; anything else, and what would be read as
/// something else, as one JSON text.
fn query_of(connection: &Connection, extra: &Secret) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let object = connection.extra_object().unwrap_or_default();
    let is_plain = |value: &Value| value.as_str().is_some_and(|text| json_of(text).is_none());
    if !object.is_empty() && object.values().all(is_plain) {
        for (key, value) in &object {
            query.append_pair(key, value.as_str().unwrap_or_default());
        }
    } else {
        query.append_pair(EXTRA_KEY, extra.expose());
    }
    query.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        let c = parse("c", text).unwrap();
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let secret = |part: &Option<Secret>| part.clone().unwrap_or_default().expose().to_string();
        let port = c.port.map(|port| port.to_string()).unwrap_or_default();
        let parts = [
            c.conn_type.clone(),
            text(&c.login),
            secret(&c.password),
            text(&c.host),
            port,
            text(&c.schema),
            secret(&c.extra),
        ];
        parts.join("|")
    }

    /// The forms of Airflow's documentation and its own tests.
    #[test]
    fn airflows_forms_are_read_as_airflow_reads_them() {
        let table = [
            ("postgresql://u:p@h:5432/db", "postgres|u|p|h|5432|db|"),
            ("my-conn-type://h", "my_conn_type|||h|||"),
            (
                "s://u:p%20w@h%2Fost:1/sch%2Fema",
                "s|u|p w|h/ost|1|sch/ema|",
            ),
            ("s://h/db?a=b%20c&d=", r#"s|||h||db|{"a":"b c","d":""}"#),
            (
                "s://h:1/a/b?x=1&y=true&z=%22q%22",
                r#"s|||h|1|a/b|{"x":1,"y":true,"z":"q"}"#,
            ),
            ("s://u:p@w@h/x", "s|u|p@w|h||x|"),
            ("s://h/?__extra__=%7B%22a%22%3A1%7D", r#"s|||h|||{"a":1}"#),
            ("http://https://h:80/x", "http|||https://h|80|x|"),
            (
                "spark://k8s%3a%2f%2f100.68.0.1:443?deploy-mode=cluster",
                r#"spark|||k8s://100.68.0.1|443||{"deploy-mode":"cluster"}"#,
            ),
            ("s://@:123", "s||||123||"),
            ("s://:p%3A%2F@", "s||p:/||||"),
            (
                "google-cloud-platform:///?x=y",
                r#"google_cloud_platform||||||{"x":"y"}"#,
            ),
            ("s://u@[2001:db8::1]:5432/x", "s|u||2001:db8::1|5432|x|"),
        ];
        for (uri, want) in table {
            assert_eq!(shown(uri), want, "{uri}");
        }
    }

    #[test]
    fn mistakes_are_told_without_values() {
        for text in [
            "hunter2",
            "s://h:hunter2",
            "s://hunter2:x@http://y",
            "http://me:hunter2@https://h/x",
            "s://u:%ff@hunter2",
        ] {
            let err = parse("c", text).unwrap_err().what;
            assert!(err.starts_with("connection `c`"), "{err}");
            assert!(!err.contains("hunter2"), "{err}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(
            login in proptest::option::of("\\PC{1,12}"),
            password in proptest::option::of("\\PC{1,12}"),
            host in proptest::option::of("[a-z0-9./%@-]{1,12}"),
            port in proptest::option::of(1u16..),
            schema in proptest::option::of("\\PC{1,12}"),
            extra in proptest::option::of(proptest::collection::btree_map("\\PC{1,5}", "\\PC{0,9}", 1..4)),
            deep in any::<bool>(),
        ) {
            let extra = extra.map(|pairs| {
                let mut object: Map<String, Value> =
                    pairs.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
                if deep {
                    object.insert("n".to_string(), Value::from(7));
                }
                Secret::new(Value::Object(object).to_string())
            });
            let connection = Connection {
                id: "c".to_string(),
                conn_type: "some_type".to_string(),
                description: None,
                host, port, login, schema, extra,
                password: password.map(Secret::new),
            };
            let uri = write(&connection);
            prop_assert_eq!(parse("c", uri.expose()).unwrap(), connection);
        }
    }
}
