//! From a connection to what a Kafka client needs to be let in.

use crate::daemon::outside::Keeper;
use crate::exit::chain;
use serde_json::Value;
use std::sync::Arc;
use tidemill_connection::{Connection, Found, Places};
use tidemill_kafka::Login;
use tidemill_model::Uses;
use tidemill_model::trigger::Cluster;

/// What `extra` of a connection may say besides the brokers: librdkafka's names, as in Airflow's
/// Kafka connection. Others could run code or read files of the server.
const PROPERTIES: &[&str] = &[
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.pem",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
];
const BROKERS: &str = "bootstrap.servers";

/// Finds connections: in the environment, in files, in the database.
#[derive(Clone)]
pub struct Logins {
    /// For those of the database.
    pub keeper: Arc<Keeper>,
    /// For those of this machine.
    pub places: Places,
    /// Where the database is asked.
    pub runtime: tokio::runtime::Handle,
}

impl Logins {
    /// Where the brokers of a cluster are and how one is let in. Waits for the database.
    ///
    /// # Errors
    /// What is missing or wrong, without any value of the connection.
    pub fn of(&self, cluster: &Cluster) -> Result<Login, String> {
        match cluster {
            Cluster::Brokers(brokers) => Ok(Login::open(brokers)),
            Cluster::Connection(id) => login_of(&self.find(id)?),
        }
    }

    fn find(&self, id: &str) -> Result<Connection, String> {
        let uses = Uses {
            connections: vec![id.to_string()],
            ..Uses::default()
        };
        let (mut found, open) = Found::look(&uses, &self.places);
        if !open.is_empty() {
            let stored = self.runtime.block_on(self.keeper.read(&open));
            self.keeper
                .unseal(&stored.map_err(|err| chain(&err))?, &mut found);
            found.close(&open, &self.places);
        }
        match found.trouble() {
            Some(trouble) => Err(trouble),
            None => found.connection(id).cloned(),
        }
    }
}

/// The fields of a connection as properties. A user without a protocol is let in by SASL over TLS.
pub(crate) fn login_of(connection: &Connection) -> Result<Login, String> {
    let id = &connection.id;
    let extra = connection.extra_object().unwrap_or_default();
    let host = connection.host.clone().filter(|host| !host.is_empty());
    let brokers = match (extra.get(BROKERS).and_then(Value::as_str), host) {
        (Some(brokers), _) => brokers
            .split(',')
            .map(|one| one.trim().to_string())
            .collect(),
        (None, Some(host)) => vec![format!("{host}:{}", connection.port.unwrap_or(9092))],
        (None, None) => {
            return Err(format!(
                "connection `{id}` has neither a host nor `{BROKERS}` in its extra"
            ));
        }
    };
    let mut properties = Vec::new();
    for (name, value) in extra.iter().filter(|(name, _)| *name != BROKERS) {
        if !PROPERTIES.contains(&name.as_str()) {
            return Err(format!(
                "connection `{id}` has `{name}` in its extra, which a Kafka connection may not set"
            ));
        }
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_string);
        properties.push((name.clone(), text));
    }
    let has = |name: &str, properties: &[(String, String)]| {
        properties.iter().any(|(known, _)| known == name)
    };
    if let (Some(user), Some(password)) = (&connection.login, &connection.password) {
        let defaults = [
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", user.as_str()),
            ("sasl.password", password.expose()),
        ];
        for (name, value) in defaults {
            let is_given = has(name, &properties)
                || name == "sasl.mechanism" && has("sasl.mechanisms", &properties);
            if !is_given {
                properties.push((name.to_string(), value.to_string()));
            }
        }
    }
    Ok(Login {
        brokers,
        properties,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
    use super::*;

    fn login(text: &str) -> Result<Login, String> {
        login_of(&Connection::parse("k", text).unwrap())
    }

    #[test]
    fn a_connection_says_where_and_how() {
        let plain = login("kafka://broker.example:9093").unwrap();
        assert_eq!(plain, Login::open(&["broker.example:9093".to_string()]));
        let secure = login(
            r#"{"conn_type": "kafka", "login": "me", "password": "hunter2",
                "extra": {"bootstrap.servers": "a:1, b:2", "sasl.mechanism": "SCRAM-SHA-512", "ssl.ca.location": "/ca.pem"}}"#,
        );
        let secure = secure.unwrap();
        assert_eq!(secure.brokers, ["a:1", "b:2"]);
        let of = |name: &str| {
            let found = secure.properties.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(of("sasl.mechanism"), Some("SCRAM-SHA-512"));
        assert_eq!(
            (of("sasl.password"), of("security.protocol")),
            (Some("hunter2"), Some("sasl_ssl"))
        );
        assert!(!format!("{secure:?}").contains("hunter2"));
    }

    #[test]
    fn what_a_connection_may_not_set_is_refused_without_its_value() {
        let told = login(
            r#"{"conn_type": "kafka", "host": "a", "extra": {"plugin.library.paths": "/tmp/evil"}}"#,
        );
        let told = told.unwrap_err();
        assert!(
            told.contains("plugin.library.paths") && !told.contains("evil"),
            "{told}"
        );
        assert!(login(r#"{"conn_type": "kafka"}"#).is_err());
    }
}
