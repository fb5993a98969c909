//! Values of the database on their way to a worker in another process: sealed, in the row of the
//! one attempt that needs them. So a worker reads no table of secrets, and one that has claimed
//! nothing learns nothing.

use serde_json::{Map, Value, json};
use tidemill_connection::{
    Connection, Found, Keys, Places, Secret, Unusable, Variable, from_json, to_json,
};
use tidemill_model::{Attempt, Uses};

fn place(attempt: Attempt) -> String {
    format!("attempt/{attempt}")
}

/// Seals what was found for an attempt; nothing when nothing was.
///
/// # Errors
/// When it cannot be sealed.
pub fn for_worker(
    attempt: Attempt,
    found: &Found,
    keys: &Keys,
) -> Result<Option<Vec<u8>>, Unusable> {
    if found.connections.is_empty() && found.variables.is_empty() {
        return Ok(None);
    }
    let connections = found.connections.iter();
    let connections: Map<String, Value> = connections
        .map(|(id, connection)| (id.clone(), to_json(connection)))
        .collect();
    let variable =
        |one: &Variable| json!({"value": one.value.expose(), "is_marked": one.is_marked});
    let variables: Map<String, Value> = found
        .variables
        .iter()
        .map(|(key, one)| (key.clone(), variable(one)))
        .collect();
    let whole = json!({"connections": connections, "variables": variables}).to_string();
    let keys = keys.for_workers();
    keys.seal(&place(attempt), &Secret::new(whole)).map(Some)
}

/// Everything that a task uses, on the machine of a worker: its own environment and files first,
/// then what came sealed with the attempt.
pub fn of_worker(
    uses: &Uses,
    places: &Places,
    attempt: Attempt,
    sealed: Option<&[u8]>,
    keys: impl FnOnce() -> Result<Option<Keys>, Unusable>,
) -> Found {
    if uses.is_empty() {
        return Found::default();
    }
    let (mut found, open) = Found::look(uses, places);
    if let Some(sealed) = sealed.filter(|_| !open.is_empty()) {
        let opened = keys().and_then(|keys| {
            let keys = keys.ok_or_else(no_key)?;
            unseal(attempt, sealed, &keys)
        });
        match opened {
            Ok(sent) => take_open(&mut found, sent, &open),
            Err(err) => found.wrong.push(err.what),
        }
    }
    if found.wrong.is_empty() {
        found.close(&open, places);
    }
    found
}

fn no_key() -> Unusable {
    Unusable::new(
        "connections of the database come sealed, and this worker has no key: \
         set TIDEMILL_SECRETS_KEY to what `tidemill secrets worker-key` prints on the server",
    )
}

fn take_open(found: &mut Found, sent: Found, open: &Uses) {
    let is_open = |names: &[String], name: &String| names.contains(name);
    let connections = sent.connections.into_iter();
    found
        .connections
        .extend(connections.filter(|(id, _)| is_open(&open.connections, id)));
    let variables = sent.variables.into_iter();
    found.variables.extend(variables.filter(|(key, _)| {
        is_open(&open.variables, key) || is_open(&open.optional_variables, key)
    }));
}

fn unseal(attempt: Attempt, sealed: &[u8], keys: &Keys) -> Result<Found, Unusable> {
    let text = keys.open(&place(attempt), sealed)?;
    let unknown = || Unusable::new("what the scheduler has sent sealed cannot be understood");
    let whole: Value = serde_json::from_str(text.expose()).map_err(|_| unknown())?;
    let mut found = Found::default();
    for (id, one) in whole["connections"].as_object().ok_or_else(unknown)? {
        let connection: Connection = from_json(id, one)?;
        found.connections.insert(id.clone(), connection);
    }
    for (key, one) in whole["variables"].as_object().ok_or_else(unknown)? {
        let value = one["value"].as_str().ok_or_else(unknown)?;
        let variable = Variable {
            is_marked: one["is_marked"].as_bool().unwrap_or(true),
            ..Variable::new(key, value)
        };
        found.variables.insert(key.clone(), variable);
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use tidemill_model::{Epoch, MapIndex, RunNo, TaskNo};

    fn attempt(run: i64) -> Attempt {
        Attempt {
            run: RunNo(run),
            task_no: TaskNo(1),
            map_index: MapIndex::NONE,
            epoch: Epoch(1),
        }
    }

    fn sent() -> Found {
        let mut found = Found::default();
        let connection = Connection::parse("dw", "postgres://me:hunter2@db/x").unwrap();
        found.connections.insert("dw".to_string(), connection);
        found
            .variables
            .insert("v".to_string(), Variable::new("v", "from the database"));
        found
    }

    fn uses() -> Uses {
        let mut uses = Uses::default();
        uses.add_connection("dw");
        uses.add_variable("v", false);
        uses
    }

    #[test]
    fn a_worker_gets_what_its_attempt_needs_and_its_own_environment_wins() {
        let keys = Keys::generate().unwrap();
        let sealed = for_worker(attempt(7), &sent(), &keys).unwrap().unwrap();
        let worker_keys = || Keys::parse_for_worker(keys.for_workers_text().expose()).map(Some);
        let vars = [("TIDEMILL_VAR_V".to_string(), "its own".to_string())];
        let places = Places::of(vars.into_iter());
        let found = of_worker(&uses(), &places, attempt(7), Some(&sealed), worker_keys);
        assert_eq!(found.trouble(), None);
        assert_eq!(
            found.secret("conn.dw.password").unwrap().expose(),
            "hunter2"
        );
        assert_eq!(found.secret("var.v").unwrap().expose(), "its own");
        let other = of_worker(&uses(), &places, attempt(8), Some(&sealed), worker_keys);
        assert!(
            other.trouble().unwrap().contains("changed"),
            "another attempt's row"
        );
    }

    #[test]
    fn a_worker_without_a_key_says_how_to_give_it_one() {
        let keys = Keys::generate().unwrap();
        let sealed = for_worker(attempt(7), &sent(), &keys).unwrap().unwrap();
        let places = Places::default();
        let found = of_worker(&uses(), &places, attempt(7), Some(&sealed), || Ok(None));
        let trouble = found.trouble().unwrap();
        assert!(trouble.contains("tidemill secrets worker-key"), "{trouble}");
        let found = of_worker(&uses(), &places, attempt(7), None, || Ok(None));
        assert!(
            found
                .trouble()
                .unwrap()
                .contains("connection `dw` is missing")
        );
    }
}
