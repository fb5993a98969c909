//! Assets: data that tasks write and runs wait for (Airflow's `Asset`, `AssetAll`, `AssetAny`).

use std::collections::BTreeSet;

/// An asset, as a file declares it. Its name is its identity in the installation.
#[derive(Clone, Debug, PartialEq)]
pub struct Asset {
    /// Its name.
    pub name: String,
    /// What it is, as an address; its name where the file gives none.
    pub uri: String,
    /// The group that it is shown in (Airflow's default is `asset`).
    pub group: String,
    /// One line about it.
    pub description: Option<String>,
    /// More about it, for machines.
    pub extra: serde_json::Value,
    /// Does this file declare it, and not only name it?
    pub is_declared: bool,
}

/// The events that a run waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssetCondition {
    /// One of this asset.
    Asset(String),
    /// What all of these wait for.
    All(Vec<AssetCondition>),
    /// What one of these waits for.
    Any(Vec<AssetCondition>),
}

impl AssetCondition {
    /// Is it met, when these assets have events?
    pub fn is_met(&self, has_event: &impl Fn(&str) -> bool) -> bool {
        match self {
            AssetCondition::Asset(name) => has_event(name),
            AssetCondition::All(parts) => parts.iter().all(|part| part.is_met(has_event)),
            AssetCondition::Any(parts) => parts.iter().any(|part| part.is_met(has_event)),
        }
    }

    /// Every asset that it names.
    pub fn names(&self) -> BTreeSet<&str> {
        match self {
            AssetCondition::Asset(name) => BTreeSet::from([name.as_str()]),
            AssetCondition::All(parts) | AssetCondition::Any(parts) => {
                parts.iter().flat_map(AssetCondition::names).collect()
            }
        }
    }

    /// The expression as Airflow's API tells it.
    pub fn to_json(&self) -> serde_json::Value {
        let all = |parts: &[AssetCondition]| -> serde_json::Value {
            parts.iter().map(AssetCondition::to_json).collect()
        };
        match self {
            AssetCondition::Asset(name) => serde_json::json!({"asset": {"name": name}}),
            AssetCondition::All(parts) => serde_json::json!({"all": all(parts)}),
            AssetCondition::Any(parts) => serde_json::json!({"any": all(parts)}),
        }
    }
}

impl std::fmt::Display for AssetCondition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (parts, sign) = match self {
            AssetCondition::Asset(name) => return f.write_str(name),
            AssetCondition::All(parts) => (parts, " and "),
            AssetCondition::Any(parts) => (parts, " or "),
        };
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                f.write_str(sign)?;
            }
            match part {
                AssetCondition::Asset(name) => f.write_str(name)?,
                inner => write!(f, "({inner})")?,
            }
        }
        Ok(())
    }
}
