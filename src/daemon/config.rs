//! `tidemill.toml` of a home: what git holds for the whole installation.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use tidemill_model::dag::is_pool_name;
use tidemill_store::PoolRecord;

/// What the file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    pools: BTreeMap<String, Pool>,
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

/// The pools that a configuration file declares; none when there is no file.
///
/// # Errors
/// What is wrong, with its place.
pub fn pools(path: &Path) -> Result<Vec<PoolRecord>, String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(format!("{} cannot be read: {err}", path.display())),
    };
    let config: Config =
        toml::from_str(&text).map_err(|err| format!("{}: {err}", path.display()))?;
    config
        .pools
        .into_iter()
        .map(|(name, pool)| record(path, name, pool))
        .collect()
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

    fn read(text: &str) -> Result<Vec<PoolRecord>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tidemill.toml");
        std::fs::write(&path, text).unwrap();
        pools(&path)
    }

    #[test]
    fn pools_are_read_and_what_is_wrong_is_named_with_its_place() {
        let found =
            read("[pools.warehouse]\nslots = 8\ndescription = 'loads'\n[pools.any]\nslots = -1\n");
        let found = found.unwrap();
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
        ] {
            let wrong = read(text).unwrap_err();
            assert!(
                wrong.contains(part) && wrong.contains("tidemill.toml"),
                "{text}: {wrong}"
            );
        }
    }

    #[test]
    fn no_file_declares_no_pools() {
        assert_eq!(pools(Path::new("/nonexistent/tidemill.toml")).unwrap(), []);
    }
}
