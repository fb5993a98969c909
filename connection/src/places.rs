//! Where connections and variables are looked for before the database: the environment, then files.

use crate::{Connection, Kind, Secret, Unusable, Variable, name};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

/// A file with a secret is not larger.
const FILE_MAX: u64 = 1024 * 1024;
/// Names that carry connections and variables.
const PREFIXES: [&str; 4] = [
    "TIDEMILL_CONN_",
    "AIRFLOW_CONN_",
    "TIDEMILL_VAR_",
    "AIRFLOW_VAR_",
];
/// The variable that names the folder of files.
const FOLDER: &str = "TIDEMILL_SECRETS_DIR";

/// The environment and the files of one machine.
#[derive(Clone, Debug, Default)]
pub struct Places {
    env: BTreeMap<String, Secret>,
    folder: Option<PathBuf>,
}

impl Places {
    /// Those of this process: its environment, and `$TIDEMILL_SECRETS_DIR`.
    pub fn of_process() -> Places {
        let vars = std::env::vars_os();
        Places::of(vars.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
    }

    /// Those of an environment.
    pub fn of(vars: impl Iterator<Item = (String, String)>) -> Places {
        let mut places = Places::default();
        for (name, value) in vars {
            if name == FOLDER {
                places.folder = Some(PathBuf::from(value));
            } else if PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
                places.env.insert(name, Secret::new(value));
            }
        }
        places
    }

    /// A connection, if it is here.
    ///
    /// # Errors
    /// When it is here and cannot be read.
    pub fn connection(&self, id: &str) -> Result<Option<Connection>, Unusable> {
        let Some((place, text)) = self.text(Kind::Connection, id)? else {
            return Ok(None);
        };
        let read = Connection::parse(id, text.expose());
        read.map(Some)
            .map_err(|err| Unusable::new(format!("{err} (it is in {place})")))
    }

    /// A variable, if it is here.
    ///
    /// # Errors
    /// When it is here and cannot be read.
    pub fn variable(&self, key: &str) -> Result<Option<Variable>, Unusable> {
        let found = self.text(Kind::Variable, key)?;
        Ok(found.map(|(_, value)| Variable::new(key, value)))
    }

    /// Where something of this name is, for people; nothing when it is not here.
    pub fn place_of(&self, kind: Kind, name: &str) -> Option<String> {
        let found = self.text(kind, name).ok()?;
        found.map(|(place, _)| place)
    }

    /// The names that this environment carries, in the form of the environment: in lower case.
    pub fn names_in_env(&self, kind: Kind) -> Vec<String> {
        let prefixes = kind.env_names("");
        let names = self.env.keys().filter_map(|name| {
            let name = prefixes
                .iter()
                .find_map(|prefix| name.strip_prefix(prefix.as_str()));
            name.map(str::to_ascii_lowercase)
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names.dedup();
        names
    }

    /// How somebody could set what is missing.
    pub fn how_to_set(&self, kind: Kind, name: &str) -> String {
        let [ours, airflows] = kind.env_names(name);
        let file = match &self.folder {
            Some(folder) if name::is_plain(name) => {
                format!("write the file {}", folder.join(name).display())
            }
            _ => format!("write a file `{name}` into the folder that ${FOLDER} names"),
        };
        let word = kind.word();
        format!(
            "set {ours} (or {airflows}) in the environment of whatever runs the task, {file}, \
             or run `tidemill {word}s set {name} …`"
        )
    }

    fn text(&self, kind: Kind, name: &str) -> Result<Option<(String, Secret)>, Unusable> {
        for env in kind.env_names(name) {
            if let Some(value) = self.env.get(&env) {
                return Ok(Some((format!("the environment, {env}"), value.clone())));
            }
        }
        let Some(folder) = self.folder.as_ref().filter(|_| name::is_plain(name)) else {
            return Ok(None);
        };
        let path = folder.join(name);
        let place = format!("the file {}", path.display());
        let read = std::fs::File::open(&path).and_then(|file| {
            let mut text = String::new();
            file.take(FILE_MAX + 1).read_to_string(&mut text)?;
            Ok(text)
        });
        match read {
            Ok(text) if text.len() as u64 > FILE_MAX => Err(Unusable::new(format!(
                "{} `{name}`: {place} has over {FILE_MAX} bytes",
                kind.word()
            ))),
            Ok(text) => {
                let text = text.strip_suffix('\n').unwrap_or(&text);
                Ok(Some((place, Secret::from(text))))
            }
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(Unusable::new(format!(
                "{} `{name}`: cannot read {place}: {err}",
                kind.word()
            ))),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn places(vars: &[(&str, &str)]) -> Places {
        let vars = vars
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        Places::of(vars)
    }

    fn value(places: &Places, key: &str) -> String {
        let found = places.variable(key).unwrap();
        found.map_or("none".to_string(), |found| found.value.expose().to_string())
    }

    #[test]
    fn our_environment_wins_over_airflows_and_both_over_a_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "from a file\n").unwrap();
        let dir = ("TIDEMILL_SECRETS_DIR", folder.path().to_str().unwrap());
        let (ours, airflows) = (
            ("TIDEMILL_VAR_KEY", "ours"),
            ("AIRFLOW_VAR_KEY", "airflows"),
        );
        assert_eq!(value(&places(&[dir, airflows, ours]), "key"), "ours");
        assert_eq!(value(&places(&[dir, airflows]), "key"), "airflows");
        assert_eq!(value(&places(&[dir]), "key"), "from a file");
        assert_eq!(value(&places(&[dir]), "other"), "none");
        assert_eq!(value(&places(&[]), "key"), "none");
    }

    #[test]
    fn a_name_never_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("out"), "x").unwrap();
        let inner = folder.path().join("in");
        let places = places(&[("TIDEMILL_SECRETS_DIR", inner.to_str().unwrap())]);
        assert_eq!(value(&places, "../out"), "none");
    }

    #[test]
    fn a_connection_that_cannot_be_read_says_where_it_stands() {
        let places = places(&[("AIRFLOW_CONN_DW", "hunter2")]);
        let err = places.connection("dw").unwrap_err().what;
        assert!(
            err.contains("AIRFLOW_CONN_DW") && !err.contains("hunter2"),
            "{err}"
        );
    }

    #[test]
    fn what_is_missing_can_be_set_in_three_ways() {
        let told = places(&[("TIDEMILL_SECRETS_DIR", "/run/s")]).how_to_set(Kind::Connection, "dw");
        for way in [
            "TIDEMILL_CONN_DW",
            "AIRFLOW_CONN_DW",
            "/run/s/dw",
            "tidemill connections set dw",
        ] {
            assert!(told.contains(way), "{told}");
        }
    }

    #[test]
    fn names_in_the_environment_are_listed_once() {
        let places = places(&[
            ("TIDEMILL_CONN_B", "x://"),
            ("AIRFLOW_CONN_B", "x://"),
            ("AIRFLOW_CONN_A", "x://"),
            ("TIDEMILL_VAR_C", "x"),
            ("HOME", "/"),
        ]);
        assert_eq!(places.names_in_env(Kind::Connection), ["a", "b"]);
        assert_eq!(places.names_in_env(Kind::Variable), ["c"]);
    }
}
