//! Where the database is. What is printed of an address never holds a password.

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use std::fmt;
use std::str::FromStr;
use tidemill_store::StoreError;

/// What may follow the `?`; anything else is a slip of the pen, and is refused unread.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
];

/// The address of a database, with everything that a connection needs.
#[derive(Clone)]
pub struct Address {
    pub(crate) options: PgConnectOptions,
    /// Each transaction may be another session's.
    pub(crate) is_pooled: bool,
    text: String,
}

impl Address {
    /// Reads `postgres://user@host:port/database?sslmode=…`. The password comes from `password`,
    /// else from the address, `PGPASSWORD` or the file that `PGPASSFILE` names (`~/.pgpass`).
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when it is no such address.
    pub fn parse(url: &str, password: Option<&str>) -> Result<Address, StoreError> {
        let refuse = |what: String| StoreError::Unreadable { what };
        if !is_postgres(url) {
            return Err(refuse(
                "its address does not begin with postgres://".to_string(),
            ));
        }
        if let Some(key) = unknown_parameter(url) {
            return Err(refuse(format!(
                "its address has the unknown parameter `{key}`; known are {}",
                PARAMETERS.join(", ")
            )));
        }
        // The reasons of a refusal quote parts of the address, which may be parts of a password.
        let mut options = PgConnectOptions::from_str(url).map_err(|_| {
            refuse("its address is not postgres://user@host:port/database?sslmode=…".to_string())
        })?;
        if let Some(password) = password {
            options = options.password(password);
        }
        if !url.contains("application_name=") {
            options = options.application_name("tidemill");
        }
        let options = options.disable_statement_logging();
        let text = shown(&options);
        Ok(Address {
            options,
            is_pooled: false,
            text,
        })
    }

    /// The same by way of a pooler that gives each transaction any session: nothing is kept in
    /// one, no setting, no statement and no ear. It is enough for a worker.
    #[must_use]
    pub fn by_pooler(mut self) -> Address {
        // A pooler refuses to begin with a setting that it does not follow.
        self.options = self.options.extra_float_digits(None);
        self.is_pooled = true;
        self
    }

    /// Does a password stand in the address itself?
    pub fn holds_password(url: &str) -> bool {
        let (authority, query) = url.split_once('?').unwrap_or((url, ""));
        let authority = authority.split_once("://").map_or("", |(_, rest)| rest);
        let userinfo = authority.rsplit_once('@').map(|(userinfo, _)| userinfo);
        userinfo.is_some_and(|userinfo| userinfo.contains(':'))
            || query.split('&').any(|pair| pair.starts_with("password="))
    }
}

/// Is this the address of a PostgreSQL database?
pub fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

fn unknown_parameter(url: &str) -> Option<&str> {
    let (_, query) = url.split_once('?')?;
    query
        .split('&')
        .map(|pair| pair.split_once('=').map_or(pair, |(key, _)| key))
        .find(|key| !PARAMETERS.contains(key))
}

/// The address for people.
fn shown(options: &PgConnectOptions) -> String {
    let (user, database) = (options.get_username(), options.get_database().unwrap_or(""));
    match options.get_socket() {
        Some(socket) => format!("postgres://{user}@{}/{database}", socket.display()),
        None => format!(
            "postgres://{user}@{}:{}/{database}",
            options.get_host(),
            options.get_port()
        ),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed step fails the test")]
mod tests {
    use super::Address;

    #[test]
    fn no_form_of_an_address_shows_its_password() {
        for url in [
            "postgres://me:geheim@localhost:5433/db",
            "postgres://me@localhost/db?password=geheim",
            "postgresql:///db?host=/run/postgresql&user=me&password=geheim",
        ] {
            assert!(Address::holds_password(url), "{url}");
            let address = Address::parse(url, None).unwrap();
            let shown = format!("{address} {address:?}");
            assert!(!shown.contains("geheim"), "{shown}");
            assert!(shown.contains("me@") && shown.contains("db"), "{shown}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_quoting_it() {
        for url in [
            "mysql://me:geheim@localhost/db",
            "postgres://me:geheim@localhost:geheim/db",
            "postgres://me@localhost/db?passwort=geheim",
            "postgres://me@localhost/db?sslmode=geheim",
        ] {
            let text = Address::parse(url, None).unwrap_err().to_string();
            assert!(!text.contains("geheim"), "{text}");
        }
    }

    #[test]
    fn a_password_is_found_where_it_stands() {
        for url in [
            "postgres://me@localhost/db",
            "postgres:///db?host=/run/a:b",
            "postgres://localhost:5432/db",
        ] {
            assert!(!Address::holds_password(url), "{url}");
        }
    }
}
