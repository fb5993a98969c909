//! `tidemill.toml` of a home: what git holds for the whole installation.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tidemill_model::dag::is_pool_name;
use tidemill_model::time::parse_span;
use tidemill_store::PoolRecord;

/// What a home is told by its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The pools that it declares.
    pub pools: Vec<PoolRecord>,
    /// How long history is kept.
    pub retention: Retention,
}

/// How long history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Runs that ended so long ago are forgotten; `None` keeps all.
    pub runs: Option<Duration>,
    /// So many of the newest runs of each DAG stay in any case.
    pub keep_last: u32,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            runs: Some(Duration::from_secs(90 * 86_400)),
            keep_last: 20,
        }
    }
}

/// What the file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    pools: BTreeMap<String, Pool>,
    #[serde(default)]
    retention: RetentionTable,
}

/// `[retention]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetentionTable {
    runs: Option<String>,
    keep_last: Option<u32>,
}

/// `[pools.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pool {
    slots: i64,
    #[serde(default)]
    description: String,
    #[serde(default)]
    include_deferred: bool,
}

/// What a configuration file says; the defaults when there is no file.
///
/// # Errors
/// What is wrong, with its place.
pub fn read(path: &Path) -> Result<Settings, String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(Settings::default()),
        Err(err) => return Err(format!("{} cannot be read: {err}", path.display())),
    };
    let config: Config =
        toml::from_str(&text).map_err(|err| format!("{}: {err}", path.display()))?;
    let pools = config.pools.into_iter();
    Ok(Settings {
        pools: pools
            .map(|(name, pool)| record(path, name, pool))
            .collect::<Result<_, _>>()?,
        retention: retention(path, config.retention)?,
    })
}

fn retention(path: &Path, table: RetentionTable) -> Result<Retention, String> {
    let default = Retention::default();
    let runs = match table.runs.as_deref() {
        None => default.runs,
        Some("never") => None,
        Some(text) => Some(parse_span(text).map_err(|err| {
            format!(
                "{}: retention.runs = \"{text}\": {err}; write \"never\" to keep every run",
                path.display()
            )
        })?),
    };
    Ok(Retention {
        runs,
        keep_last: table.keep_last.unwrap_or(default.keep_last),
    })
}

fn record(path: &Path, name: String, pool: Pool) -> Result<PoolRecord, String> {
    if !is_pool_name(&name) {
        return Err(format!(
            "{}: `{name}` cannot be the name of a pool: A-Z a-z 0-9 _ . and - only",
            path.display()
        ));
    }
    if pool.slots < -1 {
        return Err(format!(
            "{}: pool {name} has {} slots; write 0 or more, or -1 for no limit",
            path.display(),
            pool.slots
        ));
    }
    Ok(PoolRecord {
        name,
        slots: pool.slots,
        description: pool.description,
        include_deferred: pool.include_deferred,
        from_file: true,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what cannot be")]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tidemill.toml");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn pools_are_read_and_what_is_wrong_is_named_with_its_place() {
        let found = settings(
            "[pools.warehouse]\nslots = 8\ndescription = 'loads'\n[pools.any]\nslots = -1\n",
        );
        let found = found.unwrap().pools;
        assert_eq!((found[0].name.as_str(), found[0].slots), ("any", -1));
        assert_eq!(
            (found[1].description.as_str(), found[1].slots),
            ("loads", 8)
        );
        assert!(found.iter().all(|pool| pool.from_file));
        for (text, part) in [
            ("[pools.x]\n", "missing field `slots`"),
            ("[pools.x]\nslots = 1\nsize = 2\n", "line 3"),
            ("[pool.x]\nslots = 1\n", "unknown field `pool`"),
            ("[pools.'a b']\nslots = 1\n", "cannot be the name"),
            ("[pools.x]\nslots = -2\n", "no limit"),
            ("[retention]\nruns = '90'\n", "needs a unit"),
            ("[retention]\nruns = 'always'\n", "\"never\""),
            ("[retention]\nkeep_last = -1\n", "line 2"),
        ] {
            let wrong = settings(text).unwrap_err();
            assert!(
                wrong.contains(part) && wrong.contains("tidemill.toml"),
                "{text}: {wrong}"
            );
        }
    }

    #[test]
    fn history_is_kept_as_long_as_the_file_says() {
        let retention = |text: &str| settings(text).unwrap().retention;
        assert_eq!(retention(""), Retention::default());
        assert_eq!(retention("[retention]\nruns = 'never'\n").runs, None);
        let short = retention("[retention]\nruns = '2d'\nkeep_last = 1\n");
        assert_eq!(short.runs, Some(Duration::from_secs(2 * 86_400)));
        assert_eq!(short.keep_last, 1);
    }

    #[test]
    fn no_file_is_the_defaults() {
        let none = read(Path::new("/nonexistent/tidemill.toml")).unwrap();
        assert_eq!(none, Settings::default());
        assert!(none.pools.is_empty());
    }
}
