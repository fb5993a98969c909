//! `tidemill.toml` of a home: what git holds for the whole installation.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidemill_log::KeepRules;
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
    /// How long logs are kept, and how large one may be.
    pub logs: LogSettings,
    /// The folder that holds the runs' folders, if it is not in the home.
    pub runs: Option<PathBuf>,
}

/// What the file says about logs. They go with their run in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// What is kept of the logs of runs that stay; all when it says nothing.
    pub keep: KeepRules,
    /// The most that one try may log, in bytes.
    pub try_max: Option<u64>,
    /// Where finished logs go besides.
    pub archive: Option<ArchiveSettings>,
}

/// `[logs.s3]`: storage that speaks S3.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveSettings {
    /// The bucket.
    pub bucket: String,
    /// What stands before every name in it.
    #[serde(default)]
    pub prefix: String,
    /// The address of storage that is not Amazon's.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The connection that says who one is; Amazon's own ways when `None`.
    pub connection: Option<String>,
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
    #[serde(default)]
    logs: LogTable,
    #[serde(default)]
    folders: FolderTable,
}

/// `[folders]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FolderTable {
    runs: Option<PathBuf>,
}

/// `[logs]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogTable {
    max_age: Option<String>,
    max_bytes: Option<String>,
    max_try_bytes: Option<String>,
    s3: Option<ArchiveSettings>,
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
    let config: Config = toml::from_str(&text).map_err(|err| wrong(path, &text, &err))?;
    let pools = config.pools.into_iter();
    Ok(Settings {
        pools: pools
            .map(|(name, pool)| record(path, name, pool))
            .collect::<Result<_, _>>()?,
        retention: retention(path, config.retention)?,
        logs: logs(path, config.logs)?,
        runs: folder(path, "runs", config.folders.runs)?,
    })
}

/// A folder is the same wherever the program was started.
fn folder(path: &Path, key: &str, folder: Option<PathBuf>) -> Result<Option<PathBuf>, String> {
    match folder {
        Some(folder) if !folder.is_absolute() => Err(format!(
            "{}: folders.{key} = \"{}\": write the whole path, from / on",
            path.display(),
            folder.display()
        )),
        folder => Ok(folder),
    }
}

/// What is wrong and in which line, without what stands there: it may be a password at the wrong
/// place.
fn wrong(path: &Path, text: &str, err: &toml::de::Error) -> String {
    let before = err.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    format!("{}, line {line}: {}", path.display(), err.message())
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

fn logs(path: &Path, table: LogTable) -> Result<LogSettings, String> {
    let wrong = |key: &str, text: &str, what: String| {
        format!("{}: logs.{key} = \"{text}\": {what}", path.display())
    };
    let age = table.max_age.as_deref();
    let age =
        age.map(|text| parse_span(text).map_err(|err| wrong("max_age", text, err.to_string())));
    let bytes = |key: &str, text: &Option<String>| {
        let text = text.as_deref();
        let size = text.map(|text| {
            let what = || {
                wrong(
                    key,
                    text,
                    "write a size such as 512MiB or 10GiB".to_string(),
                )
            };
            tidemill_model::size::parse_binary(text).ok_or_else(what)
        });
        size.transpose()
    };
    Ok(LogSettings {
        keep: KeepRules {
            max_age: age.transpose()?,
            max_bytes: bytes("max_bytes", &table.max_bytes)?,
            archived: table.s3.is_some(),
        },
        try_max: bytes("max_try_bytes", &table.max_try_bytes)?,
        archive: table.s3.map(|s3| archive(path, s3)).transpose()?,
    })
}

fn archive(path: &Path, s3: ArchiveSettings) -> Result<ArchiveSettings, String> {
    let wrong = |what: &str| Err(format!("{}: logs.s3: {what}", path.display()));
    if cfg!(not(feature = "s3")) {
        return wrong(
            "this program was built without S3; build it with `cargo build --release --features s3`",
        );
    }
    if s3.bucket.is_empty() || s3.bucket.contains('/') {
        return wrong("`bucket` is the name of a bucket, without a slash");
    }
    let is_address = |address: &String| {
        let rest = address
            .strip_prefix("https://")
            .or(address.strip_prefix("http://"));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.contains('@'))
    };
    if s3
        .endpoint
        .as_ref()
        .is_some_and(|address| !is_address(address))
    {
        return wrong(
            "`endpoint` is an address such as https://s3.example:9000; a login belongs into a connection",
        );
    }
    Ok(s3)
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
            ("[folders]\nruns = 'runs'\n", "the whole path"),
            ("[folders]\nlogs = '/logs'\n", "unknown field `logs`"),
        ] {
            let wrong = settings(text).unwrap_err();
            assert!(
                wrong.contains(part) && wrong.contains("tidemill.toml"),
                "{text}: {wrong}"
            );
        }
    }

    #[test]
    fn the_folder_of_runs_is_the_one_of_the_home_unless_the_file_names_another() {
        assert_eq!(settings("").unwrap().runs, None);
        let found = settings("[folders]\nruns = '/srv/runs'\n").unwrap();
        assert_eq!(found.runs, Some(PathBuf::from("/srv/runs")));
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
    fn logs_are_kept_with_their_runs_or_as_the_file_says() {
        let logs = |text: &str| settings(text).map(|settings| settings.logs);
        assert_eq!(logs("").unwrap(), LogSettings::default());
        let text = "[logs]\nmax_age = '30d'\nmax_bytes = '10GiB'\nmax_try_bytes = '5MiB'\n";
        let found = logs(text).unwrap();
        assert_eq!(found.keep.max_age, Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(found.keep.max_bytes, Some(10 << 30));
        assert_eq!(found.try_max, Some(5 << 20));
        for wrong in ["max_age = 'soon'", "max_bytes = '10GB'", "size = 1"] {
            assert!(logs(&format!("[logs]\n{wrong}\n")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn logs_go_to_storage_that_the_file_names_if_this_program_can() {
        let text =
            "[logs.s3]\nbucket = 'b'\nendpoint = 'https://s3.example'\nconnection = 'logs'\n";
        let found = settings(text).map(|settings| settings.logs);
        if cfg!(not(feature = "s3")) {
            assert!(found.unwrap_err().contains("--features s3"));
            return;
        }
        let found = found.unwrap();
        assert!(found.keep.archived);
        assert_eq!(found.archive.unwrap().bucket, "b");
        for (wrong, part) in [
            ("prefix = 'x'", "missing field `bucket`"),
            ("bucket = 'a/b'", "without a slash"),
            ("bucket = 'b'\nendpoint = 's3.example'", "https://"),
            (
                "bucket = 'b'\nendpoint = 'https://me:word@s3.example'",
                "connection",
            ),
            ("bucket = 'b'\nsecret_key = 'x'", "unknown field"),
        ] {
            let told = settings(&format!("[logs.s3]\n{wrong}\n")).unwrap_err();
            assert!(
                told.contains(part) && !told.contains("word@"),
                "{wrong}: {told}"
            );
        }
    }

    #[test]
    fn no_file_is_the_defaults() {
        let none = read(Path::new("/nonexistent/tidemill.toml")).unwrap();
        assert_eq!(none, Settings::default());
        assert!(none.pools.is_empty());
    }
}
