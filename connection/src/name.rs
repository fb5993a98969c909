//! Names of connections and variables, and the environment variables that carry them.

use crate::Unusable;

/// A connection's name has at most so many bytes (Airflow: 200 characters).
pub const CONNECTION_NAME_MAX: usize = 200;
/// A variable's name has at most so many bytes (Airflow: 250 characters).
pub const VARIABLE_NAME_MAX: usize = 250;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A connection.
    Connection,
    /// A variable.
    Variable,
}

impl Kind {
    /// Its word, for people.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Connection => "connection",
            Kind::Variable => "variable",
        }
    }

    /// The environment variables that may carry one of this name, the first one first: letters in
    /// capitals, and all but letters and digits as `_`.
    pub fn env_names(self, name: &str) -> [String; 2] {
        let kind = match self {
            Kind::Connection => "CONN",
            Kind::Variable => "VAR",
        };
        let upper = name.to_ascii_uppercase();
        let upper = upper.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        ["TIDEMILL", "AIRFLOW"].map(|of| format!("{of}_{kind}_{upper}"))
    }

    /// Can something of this kind have this name?
    ///
    /// # Errors
    /// Which names it could have.
    pub fn check(self, name: &str) -> Result<(), Unusable> {
        let is_good = match self {
            Kind::Connection => name.len() <= CONNECTION_NAME_MAX && is_plain(name),
            Kind::Variable => {
                let is_text = !name.chars().any(char::is_control);
                !name.trim().is_empty() && name.len() <= VARIABLE_NAME_MAX && is_text
            }
        };
        if is_good {
            return Ok(());
        }
        let shown: String = name.chars().take(60).flat_map(char::escape_debug).collect();
        Err(Unusable::new(match self {
            Kind::Connection => format!(
                "`{shown}` cannot be the name of a connection: it has at most {CONNECTION_NAME_MAX} \
                 letters, digits and _ - . : and does not begin with a dot"
            ),
            Kind::Variable => format!(
                "`{shown}` cannot be the name of a variable: it has 1 to {VARIABLE_NAME_MAX} bytes \
                 and no control characters"
            ),
        }))
    }
}

/// May a file be asked for under this name?
pub(crate) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte))
}

/// Words in a name that say that its value is secret: Airflow's list
/// (`core:_shared/secrets_masker: DEFAULT_SENSITIVE_FIELDS`) and `credential`.
const WORDS: [&str; 22] = [
    "access_key",
    "access_token",
    "api_key",
    "apikey",
    "auth_header",
    "authorization",
    "bearer",
    "connection_string",
    "credential",
    "dsn",
    "keyfile_dict",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "proxies",
    "proxy",
    "secret",
    "service_account",
    "service_key",
    "token",
    "webhook_url",
];

/// Does the name of a value say that it is secret?
pub fn is_sensitive(name: &str) -> bool {
    let lower = name.to_ascii_lowercase().replace('-', "_");
    WORDS.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_environment_variables() {
        let names = Kind::Connection.env_names("ware-house.eu");
        let want = ["TIDEMILL_CONN_WARE_HOUSE_EU", "AIRFLOW_CONN_WARE_HOUSE_EU"];
        assert_eq!(names, want);
        assert_eq!(Kind::Variable.env_names("k")[0], "TIDEMILL_VAR_K");
    }

    #[test]
    fn names_that_could_leave_a_folder_are_refused() {
        for name in ["", ".", "..", "../x", "a/b", ".hidden", "a b", "ä", "a\0"] {
            assert!(Kind::Connection.check(name).is_err(), "{name:?}");
        }
        for name in ["a", "warehouse", "http_default", "a.b-c:d"] {
            assert_eq!(Kind::Connection.check(name), Ok(()), "{name:?}");
        }
        assert!(Kind::Connection.check(&"a".repeat(201)).is_err());
        assert_eq!(
            Kind::Variable.check("a name with spaces / and more"),
            Ok(())
        );
        assert!(Kind::Variable.check("line\nbreak").is_err());
        assert!(Kind::Variable.check(" ").is_err());
    }

    /// `core:_shared/secrets_masker/secrets_masker.py: DEFAULT_SENSITIVE_FIELDS`, as Airflow 3.3.2
    /// has them: a part of a name, in any case.
    const AIRFLOWS: &str = "access_key access_token api_key apikey auth_header authorization bearer \
        connection_string dsn passphrase passwd password private_key proxy proxy_password proxies \
        secret service_account service_key token keyfile_dict webhook_url";

    #[test]
    fn names_tell_what_is_secret() {
        for word in AIRFLOWS.split_whitespace() {
            for name in [
                word.to_string(),
                word.to_uppercase(),
                format!("my_{word}_2"),
                word.replace('_', "-"),
            ] {
                assert!(is_sensitive(&name), "{name}");
            }
        }
        for name in ["API-KEY", "slack_token", "aws_credentials"] {
            assert!(is_sensitive(name), "{name}");
        }
        for name in ["region", "keyboard", "bucket"] {
            assert!(!is_sensitive(name), "{name}");
        }
    }
}
