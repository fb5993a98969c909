//! Graphile Worker, from npm: its no-op jobs on the same server.

use super::Postgres;
use crate::Options;
use crate::contest::middle;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

const PACKAGE: &str = include_str!("../../graphile/package.json");
const SCRIPT: &str = include_str!("../../graphile/bench.mjs");

/// Jobs a second.
pub struct Rates {
    /// As it is by default.
    pub plain: f64,
    /// With a local queue and completions in batches.
    pub batched: f64,
}

/// Installs it and measures both forms, in turn.
pub fn rates(options: &Options, scratch: &Path, postgres: &Postgres, jobs: usize) -> Result<Rates> {
    let folder = scratch.join("graphile");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("package.json"), PACKAGE)?;
    std::fs::write(folder.join("bench.mjs"), SCRIPT)?;
    let npm = ["install", "--no-audit", "--no-fund", "--silent"];
    let installed = Command::new("npm")
        .args(npm)
        .current_dir(&folder)
        .output()
        .context("npm is needed")?;
    if !installed.status.success() {
        bail!(
            "npm install: {}",
            String::from_utf8_lossy(&installed.stderr)
        );
    }
    let (mut plain, mut batched) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        plain.push(jobs as f64 / seconds(&folder, postgres, jobs, "plain")?);
        batched.push(jobs as f64 / seconds(&folder, postgres, jobs, "batched")?);
    }
    Ok(Rates {
        plain: middle(plain),
        batched: middle(batched),
    })
}

fn seconds(folder: &Path, postgres: &Postgres, jobs: usize, form: &str) -> Result<f64> {
    let url = postgres.database();
    let mut node = Command::new("node");
    node.arg("bench.mjs").args([&url, &jobs.to_string(), form]);
    let ran = node
        .env("GRAPHILE_LOGGER_DEBUG", "0")
        .env("PGHOST", postgres.server.folder())
        .env("PGUSER", "postgres")
        .current_dir(folder)
        .output()
        .context("node is needed")?;
    let text = String::from_utf8_lossy(&ran.stdout);
    let found = text.lines().find(|line| line.starts_with("{\"seconds\""));
    let found =
        found.with_context(|| format!("{form}: {text}{}", String::from_utf8_lossy(&ran.stderr)))?;
    let found: serde_json::Value = serde_json::from_str(found)?;
    found["seconds"].as_f64().context("no seconds")
}
