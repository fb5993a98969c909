//! What was found of the connections and variables that a task uses.

use crate::{Connection, Kind, Masker, Places, Secret, Variable};
use std::collections::BTreeMap;
use tidemill_model::Uses;

/// The connections and variables of one attempt, and what it lacks.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// By name.
    pub connections: BTreeMap<String, Connection>,
    /// By name.
    pub variables: BTreeMap<String, Variable>,
    /// What is missing or cannot be used, one sentence each.
    pub wrong: Vec<String>,
}

impl Found {
    /// Looks at the places of this machine. What they do not have comes back as still open; the
    /// database is asked for that.
    pub fn look(uses: &Uses, places: &Places) -> (Found, Uses) {
        let mut found = Found::default();
        let mut open = Uses::default();
        for id in &uses.connections {
            match places.connection(id) {
                Ok(Some(connection)) => {
                    found.connections.insert(id.clone(), connection);
                }
                Ok(None) => open.connections.push(id.clone()),
                Err(err) => found.wrong.push(err.what),
            }
        }
        let variables = [
            (&uses.variables, &mut open.variables),
            (&uses.optional_variables, &mut open.optional_variables),
        ];
        for (keys, open) in variables {
            for key in keys {
                match places.variable(key) {
                    Ok(Some(variable)) => {
                        found.variables.insert(key.clone(), variable);
                    }
                    Ok(None) => open.push(key.clone()),
                    Err(err) => found.wrong.push(err.what),
                }
            }
        }
        (found, open)
    }

    /// The database has been asked: what is open now is missing.
    pub fn close(&mut self, open: &Uses, places: &Places) {
        let connections = open.connections.iter().map(|id| (Kind::Connection, id));
        let variables = open.variables.iter().map(|key| (Kind::Variable, key));
        for (kind, name) in connections.chain(variables) {
            let is_there = match kind {
                Kind::Connection => self.connections.contains_key(name),
                Kind::Variable => self.variables.contains_key(name),
            };
            if !is_there {
                let how = places.how_to_set(kind, name);
                self.wrong
                    .push(format!("{} `{name}` is missing: {how}", kind.word()));
            }
        }
    }

    /// Why the task cannot start; nothing when it has all that it uses.
    pub fn trouble(&self) -> Option<String> {
        (!self.wrong.is_empty()).then(|| self.wrong.join("; "))
    }

    /// A connection that the task uses.
    ///
    /// # Errors
    /// When it is not there: one sentence.
    pub fn connection(&self, id: &str) -> Result<&Connection, String> {
        self.connections
            .get(id)
            .ok_or_else(|| format!("connection `{id}` is missing"))
    }

    /// A secret by its name in a task's `secrets`: `conn.NAME`, `conn.NAME.FIELD` or `var.NAME`.
    ///
    /// # Errors
    /// What is missing, without any value.
    pub fn secret(&self, from: &str) -> Result<Secret, String> {
        let missing = || format!("secret `{from}` is missing");
        if let Some(key) = from.strip_prefix("var.") {
            let variable = self.variables.get(key).ok_or_else(missing)?;
            return Ok(variable.value.clone());
        }
        let rest = from.strip_prefix("conn.").ok_or_else(missing)?;
        let (id, field) = rest.split_once('.').unwrap_or((rest, "uri"));
        let connection = self.connections.get(id).ok_or_else(missing)?;
        connection.field(field).ok_or_else(|| {
            format!("secret `{from}`: connection `{id}` has no `{field}`, or it is empty")
        })
    }

    /// What nobody may see of all that was found.
    pub fn hidden(&self) -> Vec<Secret> {
        let connections = self.connections.values().flat_map(Connection::hidden);
        let variables = self
            .variables
            .values()
            .filter(|variable| variable.is_secret());
        let variables = variables.map(|variable| variable.value.clone());
        connections.chain(variables).collect()
    }

    /// Hides it.
    pub fn masker(&self) -> Masker {
        Masker::new(&self.hidden())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn uses() -> Uses {
        let list = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        Uses {
            connections: list(&["dw", "gone"]),
            variables: list(&["region", "api_token"]),
            optional_variables: list(&["maybe"]),
            ..Uses::default()
        }
    }

    #[test]
    fn what_no_place_has_is_missing_unless_it_may_be() {
        let vars = [
            ("TIDEMILL_CONN_DW", "postgres://me:pw@db/x"),
            ("TIDEMILL_VAR_REGION", "eu-west-1"),
            ("TIDEMILL_VAR_API_TOKEN", "t0ken"),
        ];
        let vars = vars.map(|(name, value)| (name.to_string(), value.to_string()));
        let places = Places::of(vars.into_iter());
        let (mut found, open) = Found::look(&uses(), &places);
        assert_eq!(open.connections, ["gone"]);
        assert_eq!(found.trouble(), None);
        found.close(&open, &places);
        let trouble = found.trouble().unwrap();
        assert!(
            trouble.contains("connection `gone` is missing"),
            "{trouble}"
        );
        assert!(!trouble.contains("maybe"), "{trouble}");
        let secret = |from: &str| found.secret(from).map(|secret| secret.expose().to_string());
        assert_eq!(secret("conn.dw.password"), Ok("pw".to_string()));
        assert_eq!(secret("var.region"), Ok("eu-west-1".to_string()));
        assert!(secret("conn.dw.port").unwrap_err().contains("port"));
        let hidden = found.hidden();
        let texts: Vec<&str> = hidden.iter().map(Secret::expose).collect();
        assert!(
            texts.contains(&"t0ken") && texts.contains(&"pw"),
            "{texts:?}"
        );
        assert!(!texts.contains(&"eu-west-1"), "{texts:?}");
    }
}
