//! What a module may reach.

use crate::output::Words;
use crate::run::{Failure, Why};
use std::path::PathBuf;
use wasmtime_wasi::cli::InputFile;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// The most bytes that a module may ask of chance at once.
const RANDOM_MAX: u64 = 1 << 20;

/// What a module may reach. By default that is nothing.
#[derive(Debug, Default)]
pub struct Grants {
    /// Its arguments; the first is its name.
    pub args: Vec<String>,
    /// Its environment, whole.
    pub env: Vec<(String, String)>,
    /// What it reads from standard input.
    pub stdin: Stdin,
    /// The folders that it sees.
    pub dirs: Vec<Dir>,
    /// The hosts that it may send HTTP requests to: `name:port`.
    pub hosts: Vec<String>,
}

/// Standard input.
#[derive(Debug, Default)]
pub enum Stdin {
    /// Nothing.
    #[default]
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// An open file, from where it stands.
    File(std::fs::File),
}

/// A folder of this machine in a module's eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dir {
    /// Where it is.
    pub host: PathBuf,
    /// What the module calls it.
    pub guest: String,
    /// What the module may do there.
    pub mode: Mode,
}

/// What a module may do in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Read.
    Read,
    /// Read, make, change and remove.
    ReadWrite,
}

/// A builder with exactly these grants and these streams.
pub(crate) fn builder(
    grants: &mut Grants,
    stdout: Words,
    stderr: Words,
) -> Result<WasiCtxBuilder, Failure> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.args(&grants.args)
        .envs(&grants.env)
        .stdout(stdout)
        .stderr(stderr)
        .max_random_size(RANDOM_MAX)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    match std::mem::take(&mut grants.stdin) {
        Stdin::Empty => {}
        Stdin::Bytes(bytes) => {
            wasi.stdin(MemoryInputPipe::new(bytes));
        }
        Stdin::File(file) => {
            wasi.stdin(InputFile::new(file));
        }
    }
    for dir in &grants.dirs {
        let perms = match dir.mode {
            Mode::Read => FsPerms::ReadOnly,
            Mode::ReadWrite => FsPerms::ReadWrite,
        };
        wasi.preopened_dir(&dir.host, &dir.guest, perms)
            .map_err(|err| {
                let folder = dir.host.display();
                Failure::new(
                    Why::Grant,
                    format!("cannot open the folder {folder}: {err:#}"),
                )
            })?;
    }
    Ok(wasi)
}
