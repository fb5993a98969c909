//! The graphs, written three times: as a Makefile, as build.ninja and as a DAG file.

use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A graph to run.
pub struct Shape {
    /// Its name on the command line.
    pub name: &'static str,
    /// How many tasks it has.
    pub tasks: usize,
    /// Its hops one after another, where the time of one hop is the question.
    pub hops: Option<usize>,
    upstream: fn(usize) -> Vec<usize>,
}

/// All of them.
pub const SHAPES: &[Shape] = &[
    Shape {
        name: "chain",
        tasks: 500,
        hops: Some(500),
        upstream: |at| if at == 0 { vec![] } else { vec![at - 1] },
    },
    Shape {
        name: "fan1000",
        tasks: 1000,
        hops: None,
        upstream: |_| vec![],
    },
    Shape {
        name: "fan10000",
        tasks: 10_000,
        hops: None,
        upstream: |_| vec![],
    },
    Shape {
        name: "diamonds",
        tasks: 5000,
        hops: None,
        upstream: diamond,
    },
];

/// Five tasks: one, three side by side, one.
fn diamond(at: usize) -> Vec<usize> {
    let first = at - at % 5;
    match at % 5 {
        0 => vec![],
        4 => vec![first + 1, first + 2, first + 3],
        _ => vec![first],
    }
}

/// The interpreter of all three, so that none has a shorter way. `make` runs simple commands
/// without a shell when it is named `/bin/sh`; another spelling of the same file keeps the shell.
const SHELL_FOR_MAKE: &str = "/bin//sh";

impl Shape {
    /// A Makefile whose default goal is everything.
    pub fn makefile(&self, noop: &Path) -> String {
        let mut text = format!("SHELL := {SHELL_FOR_MAKE}\n.PHONY: all");
        for at in 0..self.tasks {
            let _ = write!(text, " t{at}");
        }
        text.push_str("\nall:");
        for at in 0..self.tasks {
            let _ = write!(text, " t{at}");
        }
        text.push('\n');
        for at in 0..self.tasks {
            let _ = write!(text, "t{at}:");
            for upstream in (self.upstream)(at) {
                let _ = write!(text, " t{upstream}");
            }
            let _ = write!(text, "\n\t@{}\n", noop.display());
        }
        text
    }

    /// The same for ninja, which always uses `/bin/sh -c`.
    pub fn ninja(&self, noop: &Path) -> String {
        let mut text = format!("rule noop\n  command = {}\n", noop.display());
        for at in 0..self.tasks {
            let _ = write!(text, "build t{at}: noop");
            for (place, upstream) in (self.upstream)(at).into_iter().enumerate() {
                let _ = write!(text, "{} t{upstream}", if place == 0 { " ||" } else { "" });
            }
            text.push('\n');
        }
        text
    }

    /// The same as a DAG file.
    pub fn dag(&self, noop: &Path) -> String {
        let mut text = "[dag]\nmax_active_tasks = 16\n[tasks]\n".to_string();
        for at in 0..self.tasks {
            let upstream: Vec<String> = (self.upstream)(at)
                .into_iter()
                .map(|one| format!("'t{one}'"))
                .collect();
            let _ = writeln!(
                text,
                "t{at} = {{ depends_on = [{}], shell = {{ command = '{}', interpreter = ['/bin/sh', '-c'] }} }}",
                upstream.join(", "),
                noop.display()
            );
        }
        text
    }
}

/// Diamonds of tasks without a process, as a DAG file.
pub fn empty_diamonds(tasks: usize) -> String {
    let mut text = "[dag]\nmax_active_tasks = 16\n[tasks]\n".to_string();
    for at in 0..tasks {
        let upstream: Vec<String> = diamond(at).iter().map(|one| format!("'t{one}'")).collect();
        let upstream = upstream.join(", ");
        let _ = writeln!(
            text,
            "t{at} = {{ depends_on = [{upstream}], operator = 'empty' }}"
        );
    }
    text
}

/// Builds the no-op: a C program that writes one byte to its standard output.
pub fn build_noop(folder: &Path) -> Result<PathBuf> {
    let source = folder.join("noop.c");
    let noop = folder.join("noop");
    std::fs::write(
        &source,
        "#include <unistd.h>\nint main(void) { return write(1, \"x\", 1) == 1 ? 0 : 1; }\n",
    )?;
    let compiler = Command::new("cc")
        .args(["-O2", "-o"])
        .arg(&noop)
        .arg(&source)
        .status();
    if !compiler
        .context("a C compiler is needed for the no-op: install gcc")?
        .success()
    {
        bail!("the no-op did not compile");
    }
    Ok(noop)
}
