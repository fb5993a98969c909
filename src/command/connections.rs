//! `connections`: list, get, set, delete, test, import, export.

use super::client::{Client, Where, escape};
use super::print::{Printer, json, line, text};
use super::secrets::{read_input, write_private};
use crate::args::{Connections, Form, SetConnection};
use crate::exit::{Exit, Failure};
use serde_json::{Map, Value, json};
use tidemill_connection::{Connection, from_json, read_connections, to_json};

const ADDRESS: &str = "/api/v2/connections";
const PAGE: usize = 100;

/// Runs one of the verbs.
pub async fn connections(
    printer: &Printer,
    at: &Where,
    verb: Connections,
) -> Result<Exit, Failure> {
    let client = Client::of(at).await?;
    match verb {
        Connections::List => show(printer, all(&client, ADDRESS, "connections").await?),
        Connections::Get { connection } => {
            let found = client
                .get(&format!("{ADDRESS}/{}", escape(&connection)))
                .await?;
            if printer.is_json() {
                json(&found);
            } else {
                show(printer, vec![found]);
            }
        }
        Connections::Set(wish) => {
            let body = body_of(&wish)?;
            let kept = keep(&client, &wish.connection, body, true).await?;
            if printer.is_json() {
                json(&kept);
            } else {
                show(printer, vec![kept]);
            }
        }
        Connections::Delete { connection } => {
            let path = format!("{ADDRESS}/{}", escape(&connection));
            client.send("DELETE", &path, None).await?;
            line(&format!("connection {connection} is deleted"));
        }
        Connections::Test { connection } => return test(printer, &client, &connection).await,
        Connections::Import { file, overwrite } => {
            let found = read_connections(&read_input(&file)?);
            let found = found.map_err(|err| Failure::new(Exit::Usage, err.what))?;
            for one in &found {
                keep(&client, &one.id, wish_of(one), overwrite).await?;
            }
            line(&format!("{} connections are kept", found.len()));
        }
        Connections::Export { file, format } => {
            let whole = client.get("/api/tidemill/v1/secrets/export").await?;
            write_private(&file, &exported(&whole["connections"], format)?)?;
        }
    }
    Ok(Exit::Ok)
}

/// Every page of a list.
pub(super) async fn all(client: &Client, address: &str, key: &str) -> Result<Vec<Value>, Failure> {
    let mut found = Vec::new();
    loop {
        let path = format!("{address}?limit={PAGE}&offset={}", found.len());
        let page = client.get(&path).await?;
        let page = page[key].as_array().cloned().unwrap_or_default();
        let is_last = page.len() < PAGE;
        found.extend(page);
        if is_last {
            return Ok(found);
        }
    }
}

async fn test(printer: &Printer, client: &Client, id: &str) -> Result<Exit, Failure> {
    client.get(&format!("{ADDRESS}/{}", escape(id))).await?; // is it there at all?
    let path = format!("{ADDRESS}/test");
    let body = json!({"connection_id": id});
    let told = client.send("POST", &path, Some(&body)).await?;
    if printer.is_json() {
        json(&told);
    } else {
        line(&format!("{id}: {}", text(&told, "message")));
    }
    match told["status"].as_bool() {
        Some(true) => Ok(Exit::Ok),
        _ => Ok(Exit::Unreachable),
    }
}

/// What the command line says of a connection, as a body of the API.
fn body_of(wish: &SetConnection) -> Result<Map<String, Value>, Failure> {
    let mut body = match (&wish.uri, &wish.uri_file) {
        (Some(uri), _) => {
            let read = parse(&wish.connection, uri)?;
            if read.password.is_some() || read.extra.is_some() {
                let what = "a password or an extra stands on the command line, where everybody on this machine can read it";
                return Err(Failure::new(Exit::Usage, what)
                    .hint("give it by --uri-file, - for standard input"));
            }
            wish_of(&read)
        }
        (None, Some(file)) => wish_of(&parse(&wish.connection, &read_input(file)?)?),
        (None, None) => Map::new(),
    };
    let secret =
        |file: &Option<std::path::PathBuf>| file.as_ref().map(|file| read_input(file)).transpose();
    let fields = [
        ("conn_type", wish.conn_type.clone().map(Value::from)),
        ("host", wish.host.clone().map(Value::from)),
        ("port", wish.port.map(Value::from)),
        ("login", wish.login.clone().map(Value::from)),
        ("password", secret(&wish.password_file)?.map(Value::from)),
        ("schema", wish.schema.clone().map(Value::from)),
        ("extra", secret(&wish.extra_file)?.map(Value::from)),
        ("description", wish.description.clone().map(Value::from)),
    ];
    for (key, value) in fields {
        if let Some(value) = value {
            body.insert(key.to_string(), value);
        }
    }
    Ok(body)
}

fn parse(id: &str, text: &str) -> Result<Connection, Failure> {
    Connection::parse(id, text.trim()).map_err(|err| Failure::new(Exit::Usage, err.what))
}

fn wish_of(connection: &Connection) -> Map<String, Value> {
    match to_json(connection) {
        Value::Object(body) => body,
        _ => Map::new(),
    }
}

/// Changes the connection, or makes it where there is none.
async fn keep(
    client: &Client,
    id: &str,
    mut body: Map<String, Value>,
    overwrite: bool,
) -> Result<Value, Failure> {
    let path = format!("{ADDRESS}/{}", escape(id));
    if overwrite {
        match client.send("PATCH", &path, Some(&json!(body))).await {
            Err(failure) if failure.exit == Exit::NotFound => {}
            done => return done,
        }
    }
    body.insert("connection_id".to_string(), json!(id));
    client.send("POST", ADDRESS, Some(&json!(body))).await
}

fn exported(connections: &Value, format: Form) -> Result<String, Failure> {
    if format == Form::Json {
        return Ok(format!("{connections:#}\n"));
    }
    let mut lines = String::new();
    for (id, one) in connections.as_object().into_iter().flatten() {
        let one = from_json(id, one).map_err(|err| Failure::new(Exit::Error, err.what))?;
        lines.push_str(&format!("{id}={}\n", one.uri().expose()));
    }
    Ok(lines)
}

fn show(printer: &Printer, found: Vec<Value>) {
    let keys = [
        "connection_id",
        "conn_type",
        "host",
        "port",
        "login",
        "schema",
        "password",
        "extra",
        "description",
    ];
    let cell = |one: &Value, key: &str| match &one[key] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows = found
        .iter()
        .map(|one| keys.map(|key| cell(one, key)).to_vec());
    let columns = [
        "connection",
        "type",
        "host",
        "port",
        "login",
        "schema",
        "password",
        "extra",
        "description",
    ];
    printer.list(&columns, rows.collect(), &json!(found));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_exported_in_both_forms_is_read_as_the_same() {
        let json =
            r#"{"a": {"conn_type": "http", "host": "h", "password": "p"}, "b": "ssh://me@box"}"#;
        let found = read_connections(json).unwrap();
        let whole: Map<String, Value> = found
            .iter()
            .map(|one| (one.id.clone(), to_json(one)))
            .collect();
        for format in [Form::Json, Form::Env] {
            let text = exported(&Value::Object(whole.clone()), format).unwrap();
            assert_eq!(read_connections(&text).unwrap(), found, "{text}");
        }
    }
}
